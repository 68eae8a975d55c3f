#include "client/json_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* --- cutting ---------------------------------------------------------------------------------- */

static const uint8_t *skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    return at;
}

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end) {
            at++;
        }
    }
    return at < end ? at + 1 : end;
}

/* Behind the value at `at`: brackets are counted, strings are jumped over. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end)
{
    size_t depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            if (depth == 0) {
                return at;
            }
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0) {
                return at;
            }
            at++;
            if (--depth == 0) {
                return at;
            }
        } else if (depth == 0 &&
                   (*at == ',' || *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
            return at;
        } else {
            at++;
        }
    }
    return end;
}

bool json_text_member(struct slice object, const char *name, struct slice *value)
{
    const uint8_t *end = object.data + object.size;
    const uint8_t *at = skip_space(object.data, end);
    if (at == end || *at != '{') {
        return false;
    }
    at = skip_space(at + 1, end);
    while (at < end && *at == '"') {
        const uint8_t *name_end = skip_string(at, end);
        struct slice found = slice_of(at + 1, (size_t)(name_end - at) - 2);
        at = skip_space(name_end, end);
        at = skip_space(at < end ? at + 1 : end, end); /* the colon */
        const uint8_t *value_end = skip_value(at, end);
        if (slice_equal(found, slice_str(name))) {
            *value = slice_of(at, (size_t)(value_end - at));
            return true;
        }
        at = skip_space(value_end, end);
        at = skip_space(at < end ? at + 1 : end, end); /* the comma */
    }
    return false;
}

bool json_text_next(struct slice *rest, struct slice *item)
{
    const uint8_t *end = rest->data + rest->size;
    const uint8_t *at = skip_space(rest->data, end);
    if (at < end && (*at == '[' || *at == ',')) {
        at = skip_space(at + 1, end);
    }
    if (at == end || *at == ']') {
        return false;
    }
    const uint8_t *item_end = skip_value(at, end);
    *item = slice_of(at, (size_t)(item_end - at));
    at = skip_space(item_end, end);
    *rest = slice_of(at, (size_t)(end - at));
    return item->size > 0;
}

enum status json_text_decode(struct slice text, struct buf *out)
{
    json_t *value =
        json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    enum status status = STATUS_INVALID;
    if (json_is_string(value)) {
        buf_append(out, json_string_value(value), json_string_length(value));
        status = STATUS_OK;
    }
    json_decref(value);
    return status;
}

/* --- making ----------------------------------------------------------------------------------- */

bool json_text_is_valid(struct slice bytes)
{
    if (bytes.size == 0) {
        return false;
    }
    json_error_t error;
    json_t *value = json_loadb((const char *)bytes.data, bytes.size,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    bool is_valid = value != NULL || json_error_code(&error) == json_error_numeric_overflow;
    json_decref(value);
    return is_valid;
}

enum status json_text_quote(struct slice bytes, struct buf *out)
{
    json_t *value = json_stringn(bytes.size > 0 ? (const char *)bytes.data : "", bytes.size);
    if (value == NULL) {
        return STATUS_INVALID;
    }
    size_t size = json_dumpb(value, NULL, 0, JSON_ENCODE_ANY);
    uint8_t *at = buf_reserve(out, size);
    json_dumpb(value, (char *)at, size, JSON_ENCODE_ANY);
    out->size += size;
    json_decref(value);
    return STATUS_OK;
}

enum status json_text_from_user(struct slice bytes, struct buf *out)
{
    if (json_text_is_valid(bytes)) {
        buf_append_slice(out, bytes);
        return STATUS_OK;
    }
    return json_text_quote(bytes, out);
}
