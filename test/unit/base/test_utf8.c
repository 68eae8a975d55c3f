/* UTF-8, held against the definition: encode every character, and try everything that is none. */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static size_t encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t length = c < 0x800 ? 2 : (c < 0x10000 ? 3 : 4);
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(leads[length] | c);
    return length;
}

static void every_character_and_no_surrogate_is_utf8(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x120000; c++) {
        uint8_t bytes[4];
        size_t length = encode(c, bytes);
        bool is_character = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        assert_int_equal(utf8_first(slice_of(bytes, length)), is_character ? length : 0);
        assert_int_equal(utf8_first(slice_of(bytes, length - 1)), 0);
    }
}

/* Of all sequences of two and three bytes as many are valid as there are ways to make them. */
static void nothing_else_is_utf8(void **state)
{
    (void)state;
    uint32_t twos = 0;
    uint32_t threes = 0;
    for (uint32_t i = 0; i < 1u << 24; i++) {
        const uint8_t bytes[] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        if (bytes[2] == 0 && utf8_is_valid(slice_of(bytes, 2))) {
            twos++;
        }
        if (utf8_is_valid(slice_of(bytes, 3))) {
            threes++;
        }
    }
    const uint32_t two_bytes = 0x800 - 0x80;
    const uint32_t three_bytes = 0x10000 - 0x800 - 0x800;
    assert_int_equal(twos, 128 * 128 + two_bytes);
    assert_int_equal(threes, 128 * 128 * 128 + 2 * 128 * two_bytes + three_bytes);
    assert_true(utf8_is_valid(slice_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_and_no_surrogate_is_utf8),
        cmocka_unit_test(nothing_else_is_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
