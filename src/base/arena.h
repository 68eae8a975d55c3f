/* base/arena.h - memory that goes all at once: what one request needs until it is answered.
 *
 * Zero-initialised is empty and valid. Pieces are handed out one after the other from blocks that
 * double; nothing is given back before arena_reset or arena_deinit. The caller bounds what it
 * takes. */
#pragma once

#include "base/slice.h"

#include <stddef.h>

struct arena_block;
struct pool;

struct arena {
    struct arena_block *newest; /* owned; each has the one before it */
    size_t left;                /* at the end of the newest */
    struct pool *pool;          /* its blocks are from there; NULL: from mem.h */
};

/* Uninitialised, aligned for anything; never NULL, also for 0 bytes. */
void *arena_alloc(struct arena *a, size_t size);
/* Zeroed, `count` of `size` bytes. The product may not overflow. */
void *arena_calloc(struct arena *a, size_t count, size_t size);
/* A zero-terminated copy. */
char *arena_text(struct arena *a, struct slice text);
/* Everything is gone; one block is kept for what comes. */
void arena_reset(struct arena *a);
void arena_deinit(struct arena *a);
