/* net/client_memory.h - what the connections of clients make this member keep: requests that are
 * not whole, answers that are not taken, calls that are open.
 *
 * Each connection has bounds of its own, but thousands that each keep a little less than theirs are
 * more than any machine has. So there is a bound for all of them together: beyond it, those that
 * make up most of it are reset, until a quarter of the bound is free. Who keeps less than
 * LIMIT_CLIENT_SMALL_BYTES is never among them. */
#pragma once

#include "base/list.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in a connection's owner. */
struct client_share {
    struct list link; /* memory->heavy, or alone */
    size_t bytes;     /* when it was last looked at */
    /* Bytes that it keeps now. */
    size_t (*count)(const struct client_share *share);
    /* Reset it, whatever it waits for. The share stays valid until client_share_end. */
    void (*drop)(struct client_share *share);
};

struct client_memory {
    struct loop *loop;
    uint64_t bytes_max;
    struct list heavy; /* shares that may keep much */
    struct timer look;
    uint64_t grown;   /* since it last looked, at the most */
    uint64_t dropped; /* connections, since the start */
    uint64_t logged_ms;
};

/* Of a whole member; outlives every server that has it. */
void client_memory_init(struct client_memory *m, struct loop *loop, uint64_t bytes_max);
void client_memory_deinit(struct client_memory *m);

void client_share_begin(struct client_share *share, size_t (*count)(const struct client_share *),
                        void (*drop)(struct client_share *));
void client_share_end(struct client_share *share);
/* It may keep LIMIT_CLIENT_SMALL_BYTES or more, `bytes` of them new: it is looked at soon, and
 * in the next turn if there is much new. `m` may be NULL: nothing is bounded. */
void client_share_grew(struct client_memory *m, struct client_share *share, uint64_t bytes);
/* So much is new that nobody may have more before all are looked at: in the next turn. */
static inline bool client_memory_is_pressed(const struct client_memory *m)
{
    return m != NULL && m->grown >= m->bytes_max / 4;
}
