#include "base/utf8.h"

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Length of the sequence that `lead` opens and the range of its second byte, which is narrower than
 * 80..bf where overlong forms, surrogates or numbers beyond U+10FFFF would begin. */
static size_t sequence_of(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;
        *high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

size_t utf8_first(struct slice s)
{
    if (s.size == 0) {
        return 0;
    }
    if (s.data[0] < 0x80) {
        return 1;
    }
    uint8_t low;
    uint8_t high;
    size_t length = sequence_of(s.data[0], &low, &high);
    if (length == 0 || length > s.size || s.data[1] < low || s.data[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!is_continuation(s.data[i])) {
            return 0;
        }
    }
    return length;
}

bool utf8_is_valid(struct slice s)
{
    size_t at = 0;
    while (at < s.size) {
        size_t length = utf8_first(slice_of(s.data + at, s.size - at));
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}
