#include "base/codec.h"

#include <string.h>

#define VARINT_BYTES_MAX 10

void store_u16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

void store_u32(uint8_t *at, uint32_t v)
{
    store_u16(at, (uint16_t)v);
    store_u16(at + 2, (uint16_t)(v >> 16));
}

void store_u64(uint8_t *at, uint64_t v)
{
    store_u32(at, (uint32_t)v);
    store_u32(at + 4, (uint32_t)(v >> 32));
}

uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | (at[1] << 8));
}

uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)load_u16(at) | ((uint32_t)load_u16(at + 2) << 16);
}

uint64_t load_u64(const uint8_t *at)
{
    return (uint64_t)load_u32(at) | ((uint64_t)load_u32(at + 4) << 32);
}

void put_u8(struct buf *b, uint8_t v)
{
    buf_append_byte(b, v);
}

void put_u16(struct buf *b, uint16_t v)
{
    store_u16(buf_reserve(b, 2), v);
    b->size += 2;
}

void put_u32(struct buf *b, uint32_t v)
{
    store_u32(buf_reserve(b, 4), v);
    b->size += 4;
}

void put_u64(struct buf *b, uint64_t v)
{
    store_u64(buf_reserve(b, 8), v);
    b->size += 8;
}

void put_varint(struct buf *b, uint64_t v)
{
    uint8_t *at = buf_reserve(b, VARINT_BYTES_MAX);
    size_t n = 0;
    while (v >= 0x80) {
        at[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    at[n++] = (uint8_t)v;
    b->size += n;
}

void put_bytes(struct buf *b, struct slice bytes)
{
    put_varint(b, bytes.size);
    buf_append_slice(b, bytes);
}

size_t varint_size(uint64_t v)
{
    size_t n = 1;
    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}

struct reader reader_of(struct slice bytes)
{
    return (struct reader){.at = bytes.data,
                           .end = bytes.size > 0 ? bytes.data + bytes.size : bytes.data,
                           .bad = false};
}

/* The next `size` bytes, or NULL and a bad reader. */
static const uint8_t *take(struct reader *r, size_t size)
{
    if (r->bad || reader_left(r) < size) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    if (size > 0) {
        r->at += size;
    }
    return at;
}

uint8_t get_u8(struct reader *r)
{
    const uint8_t *at = take(r, 1);
    return at != NULL ? at[0] : 0;
}

uint16_t get_u16(struct reader *r)
{
    const uint8_t *at = take(r, 2);
    return at != NULL ? load_u16(at) : 0;
}

uint32_t get_u32(struct reader *r)
{
    const uint8_t *at = take(r, 4);
    return at != NULL ? load_u32(at) : 0;
}

uint64_t get_u64(struct reader *r)
{
    const uint8_t *at = take(r, 8);
    return at != NULL ? load_u64(at) : 0;
}

uint64_t get_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = get_u8(r);
        if (r->bad) {
            return 0;
        }
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) {
            break;
        }
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

struct slice get_bytes(struct reader *r)
{
    uint64_t size = get_varint(r);
    if (size > reader_left(r)) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    return get_raw(r, (size_t)size);
}

struct slice get_raw(struct reader *r, size_t size)
{
    const uint8_t *at = take(r, size);
    return r->bad ? slice_of(NULL, 0) : slice_of(at, size);
}

size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

bool reader_ok(const struct reader *r)
{
    return !r->bad;
}

bool reader_done(const struct reader *r)
{
    return !r->bad && r->at == r->end;
}
