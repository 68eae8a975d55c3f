/* net/unsent.h - what was written to a connection and not taken by the kernel yet: is it full, and
 * does its reader take nothing at all? */
#pragma once

#include "base/limits.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed at the beginning. */
struct unsent {
    uint64_t written;  /* bytes given to the connection; its owner counts */
    uint64_t noted;    /* `written` when unsent_add last said how many */
    uint64_t checked;  /* `written` when the connection was last asked */
    uint64_t taken;    /* of `written` by the kernel, when unsent_stall_ms was last asked */
    uint64_t taken_ms; /* when `taken` was seen to grow; 0 = nothing is unsent */
};

/* So many more are written. How many since the last time, once they are LIMIT_CLIENT_SMALL_BYTES;
 * else 0. */
static inline uint64_t unsent_add(struct unsent *u, size_t size)
{
    u->written += size;
    uint64_t grown = u->written - u->noted;
    if (grown < LIMIT_CLIENT_SMALL_BYTES) {
        return 0;
    }
    u->noted = u->written;
    return grown;
}

/* `limit` bytes or more are unsent: on_drain will come. Looked at after each 64 KiB only. */
bool unsent_is_full(struct unsent *u, struct conn *conn, size_t limit);
/* How long a reader may take nothing: shorter when too much waits to be sent. */
uint32_t unsent_patience_ms(const struct loop *loop);
/* When the reader will have taken nothing for that long; UINT64_MAX: nothing is
 * unsent. Asked now and then: whatever was taken in between counts as taken `now_ms`. */
uint64_t unsent_stall_ms(struct unsent *u, struct conn *conn, uint64_t now_ms);
