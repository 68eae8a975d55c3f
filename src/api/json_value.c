#include "api/json_value.h"

#include "api/json_scan.h"
#include "base/utf8.h"

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

enum status json_text_check(struct slice body, struct slice *text)
{
    if (!json_scan(body)) {
        return STATUS_INVALID;
    }
    *text = trim(body);
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
