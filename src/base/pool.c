#include "base/pool.h"

#include "base/check.h"
#include "base/mem.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

/* Before what is handed out. */
struct pool_item {
    alignas(max_align_t) size_t room; /* behind this head: a multiple of the step, less the head */
    struct pool_item *next;           /* while it is spare */
};

#define HEAD_BYTES sizeof(struct pool_item)

static_assert(POOL_CLASSES * POOL_STEP_BYTES == POOL_ITEM_BYTES_MAX + HEAD_BYTES,
              "a class for every size");

static struct pool_item *item_of(void *data)
{
    return (struct pool_item *)data - 1;
}

static void *data_of(struct pool_item *item)
{
    return item + 1;
}

void pool_deinit(struct pool *p)
{
    for (size_t i = 0; i < POOL_CLASSES; i++) {
        while (p->spare[i] != NULL) {
            struct pool_item *item = p->spare[i];
            p->spare[i] = item->next;
            mem_free(item);
        }
    }
    p->spare_bytes = 0;
}

/* Of items of that room. */
static struct pool_item **spare_of(struct pool *p, size_t room)
{
    return &p->spare[(room + HEAD_BYTES) / POOL_STEP_BYTES - 1];
}

static size_t round_up(size_t size)
{
    size_t whole = (size + HEAD_BYTES + POOL_STEP_BYTES - 1) / POOL_STEP_BYTES * POOL_STEP_BYTES;
    return whole - HEAD_BYTES;
}

void *pool_alloc(struct pool *p, size_t size)
{
    CHECK(size <= SIZE_MAX / 2);
    size_t room = round_up(size);
    if (room <= POOL_ITEM_BYTES_MAX) {
        struct pool_item **spare = spare_of(p, room);
        struct pool_item *item = *spare;
        if (item != NULL) {
            *spare = item->next;
            p->spare_bytes -= room;
            return data_of(item);
        }
    }
    struct pool_item *item = mem_alloc(HEAD_BYTES + room);
    item->room = room;
    return data_of(item);
}

void *pool_calloc(struct pool *p, size_t count, size_t size)
{
    CHECK(size == 0 || count <= SIZE_MAX / size);
    void *data = pool_alloc(p, count * size);
    memset(data, 0, count * size);
    return data;
}

void *pool_realloc(struct pool *p, void *old, size_t size)
{
    if (old == NULL) {
        return pool_alloc(p, size);
    }
    size_t room = item_of(old)->room;
    if (size <= room) {
        return old;
    }
    void *data = pool_alloc(p, size);
    memcpy(data, old, room);
    pool_free(p, old);
    return data;
}

void pool_free(struct pool *p, void *data)
{
    if (data == NULL) {
        return;
    }
    struct pool_item *item = item_of(data);
    size_t room = item->room;
    if (room > POOL_ITEM_BYTES_MAX || room > POOL_KEEPS_BYTES - p->spare_bytes) {
        mem_free(item);
        return;
    }
    struct pool_item **spare = spare_of(p, room);
    item->next = *spare;
    *spare = item;
    p->spare_bytes += room;
}
