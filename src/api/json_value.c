#include "api/json_value.h"

#include "api/json_scan.h"
#include "base/utf8.h"

enum status json_text_check(struct slice body, struct slice *text)
{
    if (!json_scan(body)) {
        return STATUS_INVALID;
    }
    *text = slice_trim(body);
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
