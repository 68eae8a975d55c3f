#include "base/json_cut.h"

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

bool json_text_next_member(struct slice *rest, struct slice *name, struct slice *value)
{
    const uint8_t *end = rest->data + rest->size;
    const uint8_t *at = skip_space(rest->data, end);
    if (at < end && (*at == '{' || *at == ',')) {
        at = skip_space(at + 1, end);
    }
    if (at == end || *at != '"') {
        return false;
    }
    const uint8_t *name_end = skip_string(at, end);
    *name = slice_of(at + 1, (size_t)(name_end - at) - 2);
    at = skip_space(name_end, end);
    at = skip_space(at < end ? at + 1 : end, end); /* the colon */
    const uint8_t *value_end = skip_value(at, end);
    *value = slice_of(at, (size_t)(value_end - at));
    at = skip_space(value_end, end);
    *rest = slice_of(at, (size_t)(end - at));
    return true;
}

bool json_text_member(struct slice object, const char *name, struct slice *value)
{
    struct slice found;
    struct slice text;
    struct slice rest = slice_trim(object);
    if (rest.size == 0 || rest.data[0] != '{') {
        return false;
    }
    while (json_text_next_member(&rest, &found, &text)) {
        if (slice_equal(found, slice_str(name))) {
            *value = text;
            return true;
        }
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
