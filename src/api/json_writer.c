#include "api/json_writer.h"

#include "base/check.h"
#include "base/utf8.h"

#include <math.h>

/* Before every value: the comma that parts it from the one before. */
static void begin_value(struct json_writer *w)
{
    if (w->comma) {
        buf_append_byte(w->out, ',');
    }
    w->comma = true;
}

static void open_level(struct json_writer *w, uint8_t bracket)
{
    begin_value(w);
    buf_append_byte(w->out, bracket);
    w->comma = false;
}

static void close_level(struct json_writer *w, uint8_t bracket)
{
    buf_append_byte(w->out, bracket);
    w->comma = true;
}

void json_open_object(struct json_writer *w)
{
    open_level(w, '{');
}

void json_close_object(struct json_writer *w)
{
    close_level(w, '}');
}

void json_open_array(struct json_writer *w)
{
    open_level(w, '[');
}

void json_close_array(struct json_writer *w)
{
    close_level(w, ']');
}

static void append_snake(struct buf *out, const char *name)
{
    for (; *name != '\0'; name++) {
        bool is_capital = *name >= 'A' && *name <= 'Z';
        if (is_capital) {
            buf_append_byte(out, '_');
        }
        buf_append_byte(out, (uint8_t)(is_capital ? *name - 'A' + 'a' : *name));
    }
}

void json_write_name(struct json_writer *w, const char *name)
{
    begin_value(w);
    buf_append_byte(w->out, '"');
    if (w->snake) {
        append_snake(w->out, name);
    } else {
        buf_append_str(w->out, name);
    }
    buf_append(w->out, "\":", 2);
    w->comma = false;
}

static void append_escape(struct buf *out, uint8_t c)
{
    static const char shorts[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    if (c < sizeof(shorts) && shorts[c] != 0) {
        buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)shorts[c]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void json_write_string(struct json_writer *w, struct slice s)
{
    begin_value(w);
    buf_append_byte(w->out, '"');
    size_t at = 0;
    while (at < s.size) {
        size_t run = at;
        while (run < s.size && is_plain(s.data[run])) {
            run++;
        }
        buf_append(w->out, s.data + at, run - at);
        at = run;
        if (at == s.size) {
            break;
        }
        size_t length = utf8_first(slice_of(s.data + at, s.size - at));
        if (length > 1) {
            buf_append(w->out, s.data + at, length);
        } else if (length == 1) {
            append_escape(w->out, s.data[at]);
        } else {
            buf_append_str(w->out, "\\ufffd");
        }
        at += length > 0 ? length : 1;
    }
    buf_append_byte(w->out, '"');
}

void json_write_text_or_null(struct json_writer *w, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        json_write_null(w);
    } else {
        json_write_string(w, slice_str(text));
    }
}

void json_write_base64(struct json_writer *w, struct slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    begin_value(w);
    buf_append_byte(w->out, '"');
    uint8_t *to = buf_reserve(w->out, (bytes.size + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        *to++ = (uint8_t)digits[group >> 18];
        *to++ = (uint8_t)digits[group >> 12 & 63];
        *to++ = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? (uint8_t)digits[group & 63] : '=';
    }
    w->out->size += (bytes.size + 2) / 3 * 4;
    buf_append_byte(w->out, '"');
}

void json_write_raw(struct json_writer *w, struct slice text)
{
    begin_value(w);
    buf_append_slice(w->out, text);
}

void json_write_u64(struct json_writer *w, uint64_t v)
{
    begin_value(w);
    buf_append_u64(w->out, v);
}

void json_write_u64_or_null(struct json_writer *w, uint64_t v)
{
    if (v == UINT64_MAX) {
        json_write_null(w);
    } else {
        json_write_u64(w, v);
    }
}

void json_write_decimal(struct json_writer *w, double v)
{
    CHECK(isfinite(v));
    begin_value(w);
    buf_printf(w->out, "%.3f", v);
}

void json_write_bool(struct json_writer *w, bool v)
{
    begin_value(w);
    buf_append_str(w->out, v ? "true" : "false");
}

void json_write_null(struct json_writer *w)
{
    begin_value(w);
    buf_append_str(w->out, "null");
}

void json_field_text(struct json_writer *w, const char *name, const char *text)
{
    json_field_string(w, name, slice_str(text));
}

void json_field_text_or_null(struct json_writer *w, const char *name, const char *text)
{
    json_write_name(w, name);
    json_write_text_or_null(w, text);
}

void json_field_string(struct json_writer *w, const char *name, struct slice s)
{
    json_write_name(w, name);
    json_write_string(w, s);
}

void json_field_u64(struct json_writer *w, const char *name, uint64_t v)
{
    json_write_name(w, name);
    json_write_u64(w, v);
}

void json_field_u64_or_null(struct json_writer *w, const char *name, uint64_t v)
{
    json_write_name(w, name);
    json_write_u64_or_null(w, v);
}

void json_field_bool(struct json_writer *w, const char *name, bool v)
{
    json_write_name(w, name);
    json_write_bool(w, v);
}
