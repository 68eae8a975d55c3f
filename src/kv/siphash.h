/* kv/siphash.h - SipHash (Aumasson, Bernstein 2012) with 64 or 128 bits, and any number of rounds.
 *
 * Here because the digest needs fewer rounds than libsodium has, and needs it word by word: most of
 * its inputs are a few numbers, which need not become bytes first. Both together take a third to a
 * half of the time. All of it is inlined with its rounds known, so that the state stays in
 * registers, which takes a third again. The test holds it against libsodium's SipHash-2-4. */
#pragma once

#include "base/slice.h"

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SIPHASH_INLINE static inline __attribute__((always_inline))

struct siphash {
    uint64_t v[4];
    uint64_t size;           /* bytes so far, a multiple of 8 until siphash_finish */
    unsigned rounds;         /* a word */
    unsigned closing_rounds; /* at the end */
    bool is_wide;            /* 128 bits, else 64 */
};

SIPHASH_INLINE uint64_t siphash_rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

SIPHASH_INLINE void siphash_mix(struct siphash *s, unsigned rounds)
{
    uint64_t *v = s->v;
    for (unsigned i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = siphash_rotate(v[1], 13) ^ v[0];
        v[3] = siphash_rotate(v[3], 16) ^ v[2];
        v[0] = siphash_rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = siphash_rotate(v[1], 17) ^ v[2];
        v[3] = siphash_rotate(v[3], 21) ^ v[0];
        v[2] = siphash_rotate(v[2], 32);
    }
}

SIPHASH_INLINE struct siphash siphash_begin(const uint64_t key[2], unsigned rounds,
                                            unsigned closing_rounds, bool is_wide)
{
    return (struct siphash){.v = {key[0] ^ 0x736f6d6570736575u,
                                  key[1] ^ 0x646f72616e646f6du ^ (is_wide ? 0xeeu : 0u),
                                  key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u},
                            .rounds = rounds,
                            .closing_rounds = closing_rounds,
                            .is_wide = is_wide};
}

/* Eight bytes, low ones first. */
SIPHASH_INLINE void siphash_word(struct siphash *s, uint64_t word)
{
    s->v[3] ^= word;
    siphash_mix(s, s->rounds);
    s->v[0] ^= word;
    s->size += sizeof(word);
}

/* The last size % 8 bytes of `bytes`, low ones first. */
SIPHASH_INLINE uint64_t siphash_rest(struct slice bytes)
{
    size_t count = bytes.size % sizeof(uint64_t);
    uint64_t word = 0;
    if (count > 0 && bytes.size >= sizeof(word)) {
        memcpy(&word, bytes.data + bytes.size - sizeof(word), sizeof(word));
        return le64toh(word) >> (8 * (sizeof(word) - count));
    }
    for (size_t i = 0; i < count; i++) {
        word |= (uint64_t)bytes.data[i] << (8 * i);
    }
    return word;
}

/* `tail` is what comes last. The second half is 0 if it is not wide. */
SIPHASH_INLINE void siphash_finish(struct siphash *s, struct slice tail, uint64_t half[2])
{
    uint64_t size = s->size + tail.size;
    uint64_t word;
    for (size_t at = 0; tail.size - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, tail.data + at, sizeof(word));
        siphash_word(s, le64toh(word));
    }
    siphash_word(s, siphash_rest(tail) | size << 56);
    s->v[2] ^= s->is_wide ? 0xeeu : 0xffu;
    siphash_mix(s, s->closing_rounds);
    half[0] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
    half[1] = 0;
    if (s->is_wide) {
        s->v[1] ^= 0xdd;
        siphash_mix(s, s->closing_rounds);
        half[1] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
    }
}
