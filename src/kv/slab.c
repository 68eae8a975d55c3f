#include "kv/slab.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES    (64u * 1024u)
#define CHUNK_HEAD     64u
#define ARENA_CHUNKS   64u
#define FREE_LIST_NONE 0u /* offset 0 is the chunk's own head, never an item */

/* Freed items are out of bounds for the address sanitizer until they are handed out again. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#endif
#ifdef SLAB_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* At the start of every chunk, which is aligned to its size: an item finds it by a mask. */
struct chunk {
    struct list link; /* in slab.roomy */
    uint32_t item_bytes;
    uint32_t used;
    uint32_t fresh_offset; /* items from here to the end were never handed out */
    uint32_t freed_offset; /* the first of the freed items, each of which holds the next's offset */
};
_Static_assert(sizeof(struct chunk) <= CHUNK_HEAD, "a chunk's head must fit before its items");

struct arena {
    struct list link;
    void *memory; /* owned */
};

struct large {
    struct list link;
    uint64_t data[]; /* aligned to 8 */
};

static size_t class_of(size_t size)
{
    if (size <= SLAB_FINE_MAX) {
        return (size - 1) / SLAB_FINE_STEP;
    }
    return SLAB_FINE_COUNT + (size - SLAB_FINE_MAX - 1) / SLAB_WIDE_STEP;
}

static uint32_t item_bytes_of(size_t class)
{
    size_t bytes = class < SLAB_FINE_COUNT
                       ? (class + 1) * SLAB_FINE_STEP
                       : SLAB_FINE_MAX + (class - SLAB_FINE_COUNT + 1) * SLAB_WIDE_STEP;
    return (uint32_t)bytes;
}

void slab_init(struct slab *s)
{
    *s = (struct slab){0};
    for (size_t i = 0; i < SLAB_CLASSES; i++) {
        list_init(&s->roomy[i]);
    }
    list_init(&s->arenas);
    list_init(&s->large);
}

static void swap_lists(struct list *a, struct list *b)
{
    struct list kept;
    list_init(&kept);
    list_splice_back(&kept, a);
    list_splice_back(a, b);
    list_splice_back(b, &kept);
}

void slab_swap(struct slab *a, struct slab *b)
{
    for (unsigned i = 0; i < SLAB_CLASSES; i++) {
        swap_lists(&a->roomy[i], &b->roomy[i]);
    }
    swap_lists(&a->arenas, &b->arenas);
    swap_lists(&a->large, &b->large);
    struct slab other = *a;
    a->free_chunks = b->free_chunks;
    a->free_count = b->free_count;
    a->free_capacity = b->free_capacity;
    a->held_bytes = b->held_bytes;
    a->used_bytes = b->used_bytes;
    b->free_chunks = other.free_chunks;
    b->free_count = other.free_count;
    b->free_capacity = other.free_capacity;
    b->held_bytes = other.held_bytes;
    b->used_bytes = other.used_bytes;
}

void slab_deinit(struct slab *s)
{
    for (struct list *l = list_pop_front(&s->large); l != NULL; l = list_pop_front(&s->large)) {
        mem_free(CONTAINER_OF(l, struct large, link));
    }
    for (struct list *l = list_pop_front(&s->arenas); l != NULL; l = list_pop_front(&s->arenas)) {
        struct arena *arena = CONTAINER_OF(l, struct arena, link);
        ASAN_UNPOISON_MEMORY_REGION(arena->memory, (ARENA_CHUNKS + 1) * CHUNK_BYTES);
        mem_free(arena->memory);
        mem_free(arena);
    }
    mem_free(s->free_chunks);
    *s = (struct slab){0};
}

static void push_free_chunk(struct slab *s, void *chunk)
{
    if (s->free_count == s->free_capacity) {
        s->free_capacity = s->free_capacity > 0 ? 2 * s->free_capacity : ARENA_CHUNKS;
        s->free_chunks = mem_realloc(s->free_chunks, s->free_capacity * sizeof(*s->free_chunks));
    }
    s->free_chunks[s->free_count++] = chunk;
}

static void add_arena(struct slab *s)
{
    struct arena *arena = mem_alloc(sizeof(*arena));
    arena->memory = mem_alloc((ARENA_CHUNKS + 1) * CHUNK_BYTES);
    list_push_back(&s->arenas, &arena->link);
    uintptr_t start = (uintptr_t)arena->memory;
    uintptr_t first = (start + CHUNK_BYTES - 1) & ~(uintptr_t)(CHUNK_BYTES - 1);
    /* Backwards, so that chunks are taken in the order of their addresses. */
    for (size_t i = ARENA_CHUNKS; i-- > 0;) {
        push_free_chunk(s, (char *)arena->memory + (first - start) + i * CHUNK_BYTES);
    }
}

static struct chunk *take_chunk(struct slab *s, size_t class)
{
    if (s->free_count == 0) {
        add_arena(s);
    }
    struct chunk *chunk = s->free_chunks[--s->free_count];
    *chunk = (struct chunk){.item_bytes = item_bytes_of(class), .fresh_offset = CHUNK_HEAD};
    list_push_front(&s->roomy[class], &chunk->link);
    s->held_bytes += CHUNK_BYTES;
    return chunk;
}

/* The address space stays ours, the pages go. */
static void give_back_chunk(struct slab *s, struct chunk *chunk)
{
    list_remove(&chunk->link);
    ASAN_UNPOISON_MEMORY_REGION(chunk, CHUNK_BYTES);
    /* Only advice: a system that refuses it keeps the pages, and nothing else changes. */
    (void)madvise(chunk, CHUNK_BYTES, MADV_DONTNEED);
    push_free_chunk(s, chunk);
    s->held_bytes -= CHUNK_BYTES;
}

static bool is_full(const struct chunk *chunk)
{
    return chunk->freed_offset == FREE_LIST_NONE &&
           chunk->fresh_offset + chunk->item_bytes > CHUNK_BYTES;
}

static void *alloc_large(struct slab *s, size_t size)
{
    struct large *large = mem_alloc(sizeof(*large) + size);
    list_push_back(&s->large, &large->link);
    s->held_bytes += sizeof(*large) + size;
    return large->data;
}

void *slab_alloc(struct slab *s, size_t size)
{
    CHECK(size > 0);
    s->used_bytes += size;
    if (size > SLAB_ITEM_MAX) {
        return alloc_large(s, size);
    }
    size_t class = class_of(size);
    struct chunk *chunk = list_is_empty(&s->roomy[class])
                              ? take_chunk(s, class)
                              : CONTAINER_OF(s->roomy[class].next, struct chunk, link);
    char *item;
    if (chunk->freed_offset != FREE_LIST_NONE) {
        item = (char *)chunk + chunk->freed_offset;
        ASAN_UNPOISON_MEMORY_REGION(item, chunk->item_bytes);
        memcpy(&chunk->freed_offset, item, sizeof(chunk->freed_offset));
    } else {
        item = (char *)chunk + chunk->fresh_offset;
        chunk->fresh_offset += chunk->item_bytes;
    }
    chunk->used++;
    if (is_full(chunk)) {
        list_remove(&chunk->link);
    }
    return item;
}

static void free_large(struct slab *s, void *item, size_t size)
{
    struct large *large = CONTAINER_OF(item, struct large, data);
    list_remove(&large->link);
    s->held_bytes -= sizeof(*large) + size;
    mem_free(large);
}

void slab_free(struct slab *s, void *item, size_t size)
{
    CHECK_CMP(size, <=, s->used_bytes);
    s->used_bytes -= size;
    if (size > SLAB_ITEM_MAX) {
        free_large(s, item, size);
        return;
    }
    size_t class = class_of(size);
    uint32_t offset = (uint32_t)((uintptr_t)item & (CHUNK_BYTES - 1));
    struct chunk *chunk = (struct chunk *)(void *)((char *)item - offset);
    CHECK_CMP(chunk->item_bytes, ==, item_bytes_of(class));
    CHECK(chunk->used > 0);
    if (is_full(chunk)) {
        list_push_front(&s->roomy[class], &chunk->link);
    }
    memcpy(item, &chunk->freed_offset, sizeof(chunk->freed_offset));
    ASAN_POISON_MEMORY_REGION(item, chunk->item_bytes);
    chunk->freed_offset = offset;
    chunk->used--;
    /* The class keeps one empty chunk, so that one item coming and going costs no system call. */
    if (chunk->used == 0 && s->roomy[class].next != s->roomy[class].prev) {
        give_back_chunk(s, chunk);
    }
}
