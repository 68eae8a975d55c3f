#include "net/http_header.h"

#include <strings.h>

bool http_text_equal(struct slice s, const char *text)
{
    size_t size = strlen(text);
    return s.size == size && (size == 0 || strncasecmp((const char *)s.data, text, size) == 0);
}

struct slice http_headers_find(const struct http_header *headers, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (http_text_equal(headers[i].name, name)) {
            return headers[i].value;
        }
    }
    return slice_of(NULL, 0);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status http_percent_decode(struct slice in, struct buf *out)
{
    uint8_t *to = buf_reserve(out, in.size);
    size_t size = 0;
    for (size_t i = 0; i < in.size; i++) {
        uint8_t c = in.data[i];
        if (c == '%') {
            int high = in.size - i > 2 ? hex_digit(in.data[i + 1]) : -1;
            int low = in.size - i > 2 ? hex_digit(in.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return STATUS_INVALID;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        to[size++] = c;
    }
    out->size += size;
    return STATUS_OK;
}
