#include "base/codec.h"

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
    b->size += (size_t)(store_varint(at, v) - at);
}

void put_bytes(struct buf *b, struct slice bytes)
{
    put_varint(b, bytes.size);
    buf_append_slice(b, bytes);
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

uint64_t get_long_varint(struct reader *r)
{
    const uint8_t *at = r->at;
    const uint8_t *end = reader_left(r) > VARINT_BYTES_MAX ? at + VARINT_BYTES_MAX : r->end;
    uint64_t v = 0;
    for (unsigned shift = 0; at != end && !r->bad; shift += 7) {
        uint8_t byte = *at++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            r->bad = shift == 63 && byte > 1; /* the tenth has one bit */
            r->at = at;
            return r->bad ? 0 : v;
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
