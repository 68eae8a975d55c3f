#include "api/json_value.h"

#include "base/limits.h"
#include "base/utf8.h"

#include <jansson.h>

#define NUL_ESCAPE      "\\u0000"
#define NUL_ESCAPE_SIZE 6

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice trim(struct slice s)
{
    while (s.size > 0 && is_space(s.data[0])) {
        s = slice_of(s.data + 1, s.size - 1);
    }
    while (s.size > 0 && is_space(s.data[s.size - 1])) {
        s.size--;
    }
    return s;
}

/* Right for every well-formed text; what it says of others does not matter, they are refused
 * anyway. */
static bool is_too_deep(struct slice text)
{
    uint32_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > LIMIT_JSON_DEPTH) {
                return true;
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

/* INT_AS_REAL: integers of any length are fine as long as a double can hold their size. */
static bool jansson_accepts(struct slice text)
{
    json_error_t error;
    json_t *parsed = json_loadb((const char *)text.data, text.size,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (parsed == NULL) {
        return false;
    }
    json_decref(parsed);
    return true;
}

/* jansson can't hold a name with U+0000 in it and refuses it; RFC 8259 does not. Since only the
 * form is asked for, a copy with another character in that place is checked instead. */
static bool jansson_accepts_without_nul(struct slice text)
{
    struct buf copy = {0};
    buf_append_slice(&copy, text);
    uint8_t *end = copy.data + copy.size;
    uint8_t *at = copy.data;
    while ((at = memmem(at, (size_t)(end - at), NUL_ESCAPE, NUL_ESCAPE_SIZE)) != NULL) {
        at[NUL_ESCAPE_SIZE - 1] = '1';
        at += NUL_ESCAPE_SIZE;
    }
    bool accepted = jansson_accepts(buf_slice(&copy));
    buf_deinit(&copy);
    return accepted;
}

enum status json_text_check(struct slice body, struct slice *text)
{
    struct slice inner = trim(body);
    /* jansson takes a raw NUL behind the text for the end of it. */
    bool has_raw_nul = inner.size > 0 && memchr(inner.data, 0, inner.size) != NULL;
    if (inner.size == 0 || has_raw_nul || is_too_deep(inner)) {
        return STATUS_INVALID;
    }
    bool has_nul = memmem(inner.data, inner.size, NUL_ESCAPE, NUL_ESCAPE_SIZE) != NULL;
    if (!(has_nul ? jansson_accepts_without_nul(inner) : jansson_accepts(inner))) {
        return STATUS_INVALID;
    }
    *text = inner;
    return STATUS_OK;
}

void json_field_value(struct json_writer *w, struct slice value)
{
    struct slice text;
    json_write_name(w, "value");
    if (json_text_check(value, &text) == STATUS_OK) {
        json_write_raw(w, text);
    } else if (utf8_is_valid(value)) {
        json_write_string(w, value);
        json_field_text(w, "encoding", "text");
    } else {
        json_write_base64(w, value);
        json_field_text(w, "encoding", "base64");
    }
}
