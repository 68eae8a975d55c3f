#include "node/delay_line.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"

/* u64 due, u32 size, u8 type, u8 flags */
#define ITEM_HEADER_BYTES 14

enum { ITEM_URGENT = 1, ITEM_BULK = 2 };

static size_t waiting_bytes(const struct delay_line *d)
{
    return d->bytes.size - d->begin;
}

bool delay_line_push(struct delay_line *d, uint64_t due_ms, const struct outgoing *m)
{
    size_t waiting = waiting_bytes(d);
    if (waiting > 0 && waiting + ITEM_HEADER_BYTES + m->message.size > LIMIT_FAULT_DELAYED_BYTES) {
        return false;
    }
    /* Move what is left to the front when that is cheap: less than was sent. */
    if (d->begin > 0 && d->begin >= waiting) {
        buf_consume(&d->bytes, d->begin);
        d->begin = 0;
    }
    d->due_ms = waiting > 0 && d->due_ms > due_ms ? d->due_ms : due_ms;
    put_u64(&d->bytes, d->due_ms);
    put_u32(&d->bytes, (uint32_t)m->message.size);
    put_u8(&d->bytes, m->type);
    put_u8(&d->bytes, (uint8_t)((m->is_urgent ? ITEM_URGENT : 0) | (m->is_bulk ? ITEM_BULK : 0)));
    buf_append_slice(&d->bytes, m->message);
    return true;
}

uint64_t delay_line_due_ms(const struct delay_line *d)
{
    return waiting_bytes(d) > 0 ? load_u64(d->bytes.data + d->begin) : UINT64_MAX;
}

struct outgoing delay_line_head(const struct delay_line *d)
{
    CHECK_CMP(waiting_bytes(d), >=, ITEM_HEADER_BYTES);
    const uint8_t *at = d->bytes.data + d->begin;
    uint8_t flags = at[13];
    return (struct outgoing){.type = at[12],
                             .is_urgent = (flags & ITEM_URGENT) != 0,
                             .is_bulk = (flags & ITEM_BULK) != 0,
                             .message = slice_of(at + ITEM_HEADER_BYTES, load_u32(at + 8))};
}

void delay_line_pop(struct delay_line *d)
{
    d->begin += ITEM_HEADER_BYTES + delay_line_head(d).message.size;
    CHECK_CMP(d->begin, <=, d->bytes.size);
    if (d->begin == d->bytes.size) {
        d->begin = 0;
        buf_clear(&d->bytes);
        if (d->bytes.capacity > 4 * LIMIT_PEER_CONN_BYTES) {
            buf_deinit(&d->bytes);
        }
    }
}

void delay_line_hurry(struct delay_line *d, uint64_t due_ms)
{
    size_t at = d->begin;
    while (at < d->bytes.size) {
        uint8_t *item = d->bytes.data + at;
        if (load_u64(item) > due_ms) {
            store_u64(item, due_ms);
        }
        at += ITEM_HEADER_BYTES + load_u32(item + 8);
    }
    d->due_ms = d->due_ms < due_ms ? d->due_ms : due_ms;
}

void delay_line_deinit(struct delay_line *d)
{
    buf_deinit(&d->bytes);
    *d = (struct delay_line){0};
}
