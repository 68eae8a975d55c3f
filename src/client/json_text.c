#include "client/json_text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

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
