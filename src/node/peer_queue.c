#include "node/peer_queue.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"

/* u32 size, u8 type */
#define ITEM_HEADER_BYTES 5

static size_t fifo_bytes(const struct peer_fifo *q)
{
    return q->bytes.size - q->begin;
}

static void fifo_push(struct peer_fifo *q, uint8_t type, struct slice message)
{
    /* Move what is left to the front when that is cheap: less than was sent. */
    if (q->begin > 0 && q->begin >= fifo_bytes(q)) {
        buf_consume(&q->bytes, q->begin);
        q->begin = 0;
    }
    put_u32(&q->bytes, (uint32_t)message.size);
    put_u8(&q->bytes, type);
    buf_append_slice(&q->bytes, message);
}

static struct slice fifo_head(const struct peer_fifo *q, uint8_t *type)
{
    const uint8_t *at = q->bytes.data + q->begin;
    *type = at[4];
    return slice_of(at + ITEM_HEADER_BYTES, load_u32(at));
}

static void fifo_pop(struct peer_fifo *q)
{
    q->begin += ITEM_HEADER_BYTES + load_u32(q->bytes.data + q->begin);
    CHECK_CMP(q->begin, <=, q->bytes.size);
    if (q->begin == q->bytes.size) {
        q->begin = 0;
        buf_clear(&q->bytes);
        if (q->bytes.capacity > LIMIT_PEER_CONN_BYTES * 4) {
            buf_deinit(&q->bytes);
        }
    }
}

size_t peer_queue_bytes(const struct peer_queue *q)
{
    return fifo_bytes(&q->urgent) + fifo_bytes(&q->ordered);
}

bool peer_queue_push(struct peer_queue *q, uint8_t type, bool urgent, struct slice message)
{
    CHECK_CMP(message.size, <=, urgent ? FRAME_PAYLOAD_MAX : LIMIT_PEER_MESSAGE_BYTES);
    struct peer_fifo *fifo = urgent ? &q->urgent : &q->ordered;
    size_t limit = urgent ? LIMIT_PEER_URGENT_BYTES : LIMIT_PEER_UNSENT_BYTES;
    size_t waiting = fifo_bytes(fifo);
    if (waiting > 0 && waiting + ITEM_HEADER_BYTES + message.size > limit) {
        return false;
    }
    fifo_push(fifo, type, message);
    return true;
}

bool peer_queue_next(struct peer_queue *q, struct frame *f)
{
    *f = (struct frame){.flags = FRAME_FIRST | FRAME_LAST};
    if (fifo_bytes(&q->urgent) > 0) {
        f->payload = fifo_head(&q->urgent, &f->type);
        return true;
    }
    if (fifo_bytes(&q->ordered) == 0) {
        return false;
    }
    struct slice message = fifo_head(&q->ordered, &f->type);
    if (message.size <= FRAME_PAYLOAD_MAX) {
        f->payload = message;
        return true;
    }
    if (q->sent == 0) {
        q->stream = q->stream == UINT16_MAX ? 1 : (uint16_t)(q->stream + 1);
    }
    size_t left = message.size - q->sent;
    size_t size = left < FRAME_PAYLOAD_MAX ? left : FRAME_PAYLOAD_MAX;
    f->stream = q->stream;
    f->flags = (uint8_t)((q->sent == 0 ? FRAME_FIRST : 0) | (size == left ? FRAME_LAST : 0));
    f->payload = slice_of(message.data + q->sent, size);
    return true;
}

void peer_queue_pop(struct peer_queue *q, const struct frame *f)
{
    if (fifo_bytes(&q->urgent) > 0) {
        fifo_pop(&q->urgent);
        return;
    }
    if (f->flags & FRAME_LAST) {
        q->sent = 0;
        fifo_pop(&q->ordered);
    } else {
        q->sent += f->payload.size;
    }
}

void peer_queue_restart(struct peer_queue *q)
{
    q->sent = 0;
}

void peer_queue_deinit(struct peer_queue *q)
{
    buf_deinit(&q->urgent.bytes);
    buf_deinit(&q->ordered.bytes);
    *q = (struct peer_queue){0};
}
