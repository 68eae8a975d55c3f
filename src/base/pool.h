/* base/pool.h - memory for small things that come and go by the thousand, such as what a request
 * needs: what is freed is kept by its size and handed out again, without a search.
 *
 * Zero-initialised is empty and valid. One thread. Up to LIMIT_POOL_SPARE_BYTES are kept, in
 * things of up to POOL_ITEM_BYTES_MAX; all else goes back to mem.h at once. */
#pragma once

#include "base/limits.h"

#include <stddef.h>
#include <stdint.h>

/* AddressSanitizer sees what is used after its end only when nothing is kept. */
#ifdef __has_feature
#define POOL_IS_WATCHED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define POOL_IS_WATCHED 1
#else
#define POOL_IS_WATCHED 0
#endif
#define POOL_KEEPS_BYTES (POOL_IS_WATCHED ? 0 : LIMIT_POOL_SPARE_BYTES)

#define POOL_ITEM_BYTES_MAX 2032
#define POOL_STEP_BYTES     16
#define POOL_CLASSES        128

struct pool_item;

struct pool {
    struct pool_item *spare[POOL_CLASSES]; /* owned; by size */
    size_t spare_bytes;
};

/* Frees what is kept. What is handed out still must be freed before. */
void pool_deinit(struct pool *p);
/* Uninitialised, aligned for anything; never NULL, also for 0 bytes. Freed by pool_free. */
void *pool_alloc(struct pool *p, size_t size);
/* Zeroed, `count` of `size` bytes. The product may not overflow. */
void *pool_calloc(struct pool *p, size_t count, size_t size);
/* Like realloc; never NULL. `old` may be. */
void *pool_realloc(struct pool *p, void *old, size_t size);
/* NULL is fine. */
void pool_free(struct pool *p, void *item);
