#include "base/arena.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/pool.h"

#include <stdalign.h>
#include <stdint.h>

#define FIRST_BLOCK_BYTES 1024u
#define LAST_BLOCK_BYTES  (64u * 1024u)
#define ALIGNMENT         alignof(max_align_t)

struct arena_block {
    struct arena_block *before;
    size_t size;
    alignas(max_align_t) uint8_t data[];
};

static size_t block_size(const struct arena *a, size_t wanted)
{
    size_t size = a->newest != NULL ? a->newest->size * 2 : FIRST_BLOCK_BYTES;
    size = size < LAST_BLOCK_BYTES ? size : LAST_BLOCK_BYTES;
    return size > wanted ? size : wanted;
}

static struct arena_block *alloc_block(struct arena *a, size_t size)
{
    return a->pool != NULL ? pool_alloc(a->pool, size) : mem_alloc(size);
}

void *arena_alloc(struct arena *a, size_t size)
{
    CHECK(size <= SIZE_MAX / 2);
    size_t taken = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (a->newest == NULL || taken > a->left) {
        size_t room = block_size(a, taken);
        struct arena_block *block = alloc_block(a, sizeof(*block) + room);
        block->before = a->newest;
        block->size = room;
        a->newest = block;
        a->left = room;
    }
    uint8_t *at = a->newest->data + (a->newest->size - a->left);
    a->left -= taken;
    return at;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    CHECK(size == 0 || count <= SIZE_MAX / size);
    void *at = arena_alloc(a, count * size);
    memset(at, 0, count * size);
    return at;
}

char *arena_text(struct arena *a, struct slice text)
{
    char *copy = arena_alloc(a, text.size + 1);
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    return copy;
}

static void free_blocks(struct arena *a, struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *before = block->before;
        if (a->pool != NULL) {
            pool_free(a->pool, block);
        } else {
            mem_free(block);
        }
        block = before;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->newest;
    if (kept == NULL) {
        return;
    }
    free_blocks(a, kept->before);
    kept->before = NULL;
    if (kept->size > LAST_BLOCK_BYTES) {
        free_blocks(a, kept);
        kept = NULL;
    }
    a->newest = kept;
    a->left = kept != NULL ? kept->size : 0;
}

void arena_deinit(struct arena *a)
{
    free_blocks(a, a->newest);
    *a = (struct arena){.pool = a->pool};
}
