/* kv/slab.h - memory for the store's many small things: keys, versions, tree nodes.
 *
 * One slab serves all sizes. Memory comes in chunks of 64 KiB, and a chunk holds items of one size
 * class, so an item costs its size rounded up (to 4 bytes, to 64 above 1 KiB) and nothing else. A
 * chunk whose last item is freed gives its pages back to the system. Items above SLAB_ITEM_MAX go
 * to mem_alloc one by one.
 *
 *   arena (64 chunks, from mem_alloc)
 *   +-------------------+-------------------+---
 *   | chunk of 32-bytes | chunk of 280-bytes| ...
 *   | head |i|i|i|i|i|i | head | i | i | i  |
 *   +-------------------+-------------------+---
 *
 * It does not know what an item is: the caller says its size again when it frees it. */
#pragma once

#include "base/list.h"

#include <stddef.h>
#include <stdint.h>

#define SLAB_ITEM_MAX   4096
#define SLAB_FINE_MAX   1024
#define SLAB_FINE_STEP  4
#define SLAB_WIDE_STEP  64
#define SLAB_FINE_COUNT (SLAB_FINE_MAX / SLAB_FINE_STEP)
#define SLAB_CLASSES    (SLAB_FINE_COUNT + (SLAB_ITEM_MAX - SLAB_FINE_MAX) / SLAB_WIDE_STEP)

struct slab {
    /* Chunks of a class that have room. Full ones are in no list. */
    struct list roomy[SLAB_CLASSES];
    struct list arenas;
    struct list large; /* items from mem_alloc */
    /* Chunks without a class: owned array, used as a stack. */
    void **free_chunks;
    size_t free_count;
    size_t free_capacity;
    uint64_t held_bytes; /* chunks in use and large items */
    uint64_t used_bytes; /* items as asked for, before rounding */
};

void slab_init(struct slab *s);
/* Frees every item, whether it was given back or not. */
void slab_deinit(struct slab *s);
/* Each holds what the other held; items stay where they are. */
void slab_swap(struct slab *a, struct slab *b);
/* Uninitialised memory of `size` > 0 bytes, aligned to 4, and to 8 if `size` is a multiple of 8. */
void *slab_alloc(struct slab *s, size_t size);
/* `size` is what slab_alloc was asked for. */
void slab_free(struct slab *s, void *item, size_t size);
