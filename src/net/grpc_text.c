#include "net/grpc_text.h"

#define TIMEOUT_DIGITS_MAX 8

/* How long a unit is, in ns; 0: there is no such unit. */
static uint64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return 3600000000000;
    case 'M':
        return 60000000000;
    case 'S':
        return 1000000000;
    case 'm':
        return 1000000;
    case 'u':
        return 1000;
    case 'n':
        return 1;
    default:
        return 0;
    }
}

bool grpc_timeout_parse(struct slice text, uint64_t *ms)
{
    if (text.size < 2 || text.size > TIMEOUT_DIGITS_MAX + 1) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = 10 * value + (text.data[i] - '0');
    }
    uint64_t unit = unit_ns(text.data[text.size - 1]);
    if (unit >= 1000000) {
        *ms = value * (unit / 1000000);
    } else {
        *ms = (value * unit + 999999) / 1000000;
    }
    return unit > 0;
}

void grpc_message_escape(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_append_byte(out, c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

void grpc_prefix_append(uint32_t size, struct buf *out)
{
    const uint8_t prefix[GRPC_PREFIX_BYTES] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                               (uint8_t)(size >> 8), (uint8_t)size};
    buf_append(out, prefix, sizeof(prefix));
}

uint32_t grpc_prefix_size(const uint8_t *at)
{
    return (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
}
