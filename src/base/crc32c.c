#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

#define POLYNOMIAL_REVERSED 0x82f63b78u

/* One table of 256, made at the first use; the same values whoever makes them. */
static uint32_t table[256];
static bool table_made;

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL_REVERSED : 0);
        }
        table[i] = crc;
    }
    __atomic_store_n(&table_made, true, __ATOMIC_RELEASE);
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    if (!__atomic_load_n(&table_made, __ATOMIC_ACQUIRE)) {
        make_table();
    }
    const uint8_t *at = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc = (crc >> 8) ^ table[(crc ^ at[i]) & 0xff];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
                                                               size_t size)
{
    uint64_t state = ~crc;
    uint64_t words[4];
    for (; size >= sizeof(words); at += sizeof(words), size -= sizeof(words)) {
        memcpy(words, at, sizeof(words));
        state = _mm_crc32_u64(state, words[0]);
        state = _mm_crc32_u64(state, words[1]);
        state = _mm_crc32_u64(state, words[2]);
        state = _mm_crc32_u64(state, words[3]);
    }
    for (; size >= sizeof(words[0]); at += sizeof(words[0]), size -= sizeof(words[0])) {
        memcpy(words, at, sizeof(words[0]));
        state = _mm_crc32_u64(state, words[0]);
    }
    uint32_t narrow = (uint32_t)state;
    for (; size > 0; at++, size--) {
        narrow = _mm_crc32_u8(narrow, *at);
    }
    return ~narrow;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    if (__builtin_cpu_supports("sse4.2")) {
        return crc32c_sse42(crc, data, size);
    }
    return crc32c_portable(crc, data, size);
}

#elif defined(__ARM_FEATURE_CRC32)

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; at++, size--) {
        crc = __crc32cb(crc, *at);
    }
    return ~crc;
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable(crc, data, size);
}

#endif
