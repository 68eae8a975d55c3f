/* The hash of the digest, against another one's. */
#include "base/codec.h"
#include "kv/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#define SIZE_MAX_TRIED 100

static void assert_hash(const uint8_t key_bytes[16], struct slice bytes, bool is_wide)
{
    uint8_t want[16] = {0};
    if (is_wide) {
        crypto_shorthash_siphashx24(want, bytes.data, bytes.size, key_bytes);
    } else {
        crypto_shorthash_siphash24(want, bytes.data, bytes.size, key_bytes);
    }
    const uint64_t key[2] = {load_u64(key_bytes), load_u64(key_bytes + 8)};
    /* Some of it as words, the rest as bytes. */
    for (size_t words = 0; words <= bytes.size / 8; words++) {
        struct siphash s = siphash_begin(key, 2, 4, is_wide);
        for (size_t i = 0; i < words; i++) {
            siphash_word(&s, load_u64(bytes.data + 8 * i));
        }
        uint64_t half[2];
        siphash_finish(&s, slice_of(bytes.data + 8 * words, bytes.size - 8 * words), half);
        assert_int_equal(half[0], load_u64(want));
        assert_int_equal(half[1], load_u64(want + 8));
    }
}

static void with_2_and_4_rounds_it_is_what_libsodium_makes(void **state)
{
    (void)state;
    uint8_t key[16];
    uint8_t bytes[SIZE_MAX_TRIED];
    for (unsigned i = 0; i < SIZE_MAX_TRIED; i++) {
        bytes[i] = (uint8_t)(i * 37 + 200);
        key[i % 16] = (uint8_t)(i * 11 + 3);
    }
    for (size_t size = 0; size <= SIZE_MAX_TRIED; size++) {
        assert_hash(key, slice_of(bytes, size), false);
        assert_hash(key, slice_of(bytes, size), true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_2_and_4_rounds_it_is_what_libsodium_makes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
