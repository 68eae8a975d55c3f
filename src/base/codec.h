/* base/codec.h - little-endian numbers and length-prefixed bytes, to disk and to peers.
 *
 * Writers append to a buf. A reader never reads past its end: the first failure makes it bad for
 * good, values read after that are zero, and the caller asks reader_ok once at the end. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void store_u16(uint8_t *at, uint16_t v)
{
    v = htole16(v);
    memcpy(at, &v, sizeof(v));
}

static inline void store_u32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof(v));
}

static inline void store_u64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof(v));
}

static inline uint16_t load_u16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof(v));
    return le16toh(v);
}

static inline uint32_t load_u32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof(v));
    return le32toh(v);
}

static inline uint64_t load_u64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    return le64toh(v);
}

static inline void put_u8(struct buf *b, uint8_t v)
{
    buf_append_byte(b, v);
}

void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);

#define VARINT_BYTES_MAX 10

/* LEB128, 1 to 10 bytes; returns what is behind them. */
static inline uint8_t *store_varint(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        *at++ = (uint8_t)(v | 0x80);
    }
    *at++ = (uint8_t)v;
    return at;
}

void put_varint(struct buf *b, uint64_t v);
/* A varint length and the bytes. */
void put_bytes(struct buf *b, struct slice bytes);
/* Bytes that put_varint needs for v. */
static inline size_t varint_size(uint64_t v)
{
    unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
    return (bits * 9 + 64) / 64; /* a seventh, rounded up */
}

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

struct reader reader_of(struct slice bytes);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
/* get_varint, of any length. */
uint64_t get_long_varint(struct reader *r);

/* Refuses more than 10 bytes and overflow; does not insist on the shortest form. */
static inline uint64_t get_varint(struct reader *r)
{
    bool is_short = !r->bad && r->at != r->end && *r->at < 0x80;
    return is_short ? *r->at++ : get_long_varint(r);
}

/* Borrowed from the reader's bytes. */
struct slice get_bytes(struct reader *r);
/* Exactly `size` bytes, borrowed. */
struct slice get_raw(struct reader *r, size_t size);
size_t reader_left(const struct reader *r);
/* Nothing failed so far. */
bool reader_ok(const struct reader *r);
/* Nothing failed and nothing is left over. */
bool reader_done(const struct reader *r);
