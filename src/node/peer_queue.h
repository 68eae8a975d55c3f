/* node/peer_queue.h - what waits to be sent to one member on one lane.
 *
 * Two queues. Urgent: whatever is not an append; leaves first, even between two frames of a long
 * message (rule O3). Ordered: appends, first in, first out, for one that overtakes another looks to
 * its receiver like a gap. Bytes in two buffers; nothing is allocated per message. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "node/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Messages one after the other, each behind its size and type. */
struct peer_fifo {
    struct buf bytes;
    size_t begin; /* the first message that was not wholly sent */
};

/* Zero-initialised is empty. */
struct peer_queue {
    struct peer_fifo urgent;
    struct peer_fifo ordered;
    size_t sent;     /* of the first ordered message's payload */
    uint16_t stream; /* of the message in pieces that was begun last */
};

/* False: it is not taken, since more than LIMIT_PEER_UNSENT_BYTES (urgent: LIMIT_PEER_URGENT_BYTES)
 * would wait. One that finds nothing waiting is taken whatever its size. */
bool peer_queue_push(struct peer_queue *q, uint8_t type, bool urgent, struct slice message);
size_t peer_queue_bytes(const struct peer_queue *q);
/* The next frame to send; borrowed until the next push. False: nothing waits. */
bool peer_queue_next(struct peer_queue *q, struct frame *f);
/* The frame that peer_queue_next gave has left. */
void peer_queue_pop(struct peer_queue *q, const struct frame *f);
/* Another connection goes on: a message of which pieces left begins anew. */
void peer_queue_restart(struct peer_queue *q);
/* Drop everything and the memory. */
void peer_queue_deinit(struct peer_queue *q);
