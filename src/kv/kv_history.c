#include "kv/kv_history.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define CHUNKS_MIN 8

struct history_chunk {
    struct history_sum before; /* of all changes ever before this chunk's first */
    struct btree_entry *entries[HISTORY_CHUNK];
    struct version *versions[HISTORY_CHUNK];
    uint64_t times_ms[HISTORY_CHUNK];
};
_Static_assert(sizeof(struct history_chunk) <= SLAB_ITEM_MAX,
               "a chunk must fit an item of the slab");

void history_init(struct history *h, struct slab *slab)
{
    *h = (struct history){.slab = slab};
}

void history_deinit(struct history *h)
{
    mem_free(h->chunks);
    *h = (struct history){0};
}

uint64_t history_live_bytes(size_t key_size, size_t value_size)
{
    return HISTORY_LIVE_OVERHEAD + key_size + value_size;
}

uint64_t history_bytes(const struct history *h)
{
    return h->total.bytes - h->at_floor.bytes;
}

struct kv_digest history_digest(const struct history *h)
{
    struct kv_digest sum = h->total.digest;
    digest_subtract(&sum, h->at_floor.digest);
    return sum;
}

uint64_t history_slab_bytes(const struct history *h)
{
    return h->chunk_count * sizeof(struct history_chunk);
}

uint64_t history_other_bytes(const struct history *h)
{
    return h->chunk_capacity * sizeof(struct history_chunk *);
}

static size_t chunk_of(const struct history *h, uint64_t number)
{
    return (size_t)((number - h->first_number) / HISTORY_CHUNK);
}

static size_t index_of(const struct history *h, uint64_t number)
{
    return (size_t)((number - h->first_number) % HISTORY_CHUNK);
}

static struct history_chunk *add_chunk(struct history *h)
{
    if (h->chunk_count == h->chunk_capacity) {
        h->chunk_capacity = h->chunk_capacity > 0 ? 2 * h->chunk_capacity : CHUNKS_MIN;
        h->chunks = mem_realloc(h->chunks, h->chunk_capacity * sizeof(*h->chunks));
    }
    struct history_chunk *chunk = slab_alloc(h->slab, sizeof(*chunk));
    chunk->before = h->total;
    h->chunks[h->chunk_count++] = chunk;
    return chunk;
}

void history_append(struct history *h, const struct change *c, struct kv_digest digest)
{
    size_t at = index_of(h, h->tail);
    struct history_chunk *chunk = at == 0 ? add_chunk(h) : h->chunks[chunk_of(h, h->tail)];
    chunk->entries[at] = c->entry;
    chunk->versions[at] = c->version;
    chunk->times_ms[at] = c->time_ms;
    h->tail++;
    h->total.bytes += history_cost(c);
    digest_add(&h->total.digest, digest);
}

struct change history_at(const struct history *h, uint64_t number)
{
    CHECK(number >= h->head && number < h->tail);
    const struct history_chunk *chunk = h->chunks[chunk_of(h, number)];
    size_t at = index_of(h, number);
    return (struct change){.entry = chunk->entries[at],
                           .version = chunk->versions[at],
                           .time_ms = chunk->times_ms[at]};
}

uint64_t history_cost(const struct change *c)
{
    uint64_t cost = HISTORY_CHANGE_OVERHEAD;
    const struct version *superseded = c->version->older;
    bool was_live = superseded != NULL && !superseded->is_tombstone;
    if (c->version->is_tombstone) {
        CHECK(was_live);
        cost += history_live_bytes(c->entry->key_size, superseded->value_size);
    } else if (was_live) {
        cost += HISTORY_VERSION_OVERHEAD + superseded->value_size;
    }
    return cost;
}

uint64_t history_find_revision(const struct history *h, uint64_t revision)
{
    uint64_t low = h->floor;
    uint64_t high = h->tail;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (history_at(h, middle).version->revision < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t history_find_time(const struct history *h, uint64_t time_ms)
{
    uint64_t low = h->floor;
    uint64_t high = h->tail;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (history_at(h, middle).time_ms <= time_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct kv_digest digest_of(const struct change *c)
{
    struct slice key = btree_entry_key(c->entry);
    const struct version *older = c->version->older;
    struct kv_digest superseded = {0};
    if (older != NULL && !older->is_tombstone) {
        superseded = digest_version(key, older, older->value_hash);
    }
    struct kv_digest made = digest_version(key, c->version, c->version->value_hash);
    return digest_change(made, superseded, c->time_ms);
}

/* Over all changes ever before `number`; at most one chunk is visited. The chunk in which the floor
 * is can only be summed from the floor: what is before may be freed already. */
static struct history_sum sum_before(const struct history *h, uint64_t number)
{
    if (number == h->tail) {
        return h->total;
    }
    uint64_t n = number - index_of(h, number);
    struct history_sum sum = h->at_floor;
    if (n > h->floor) {
        sum = h->chunks[chunk_of(h, n)]->before;
    } else {
        n = h->floor;
    }
    for (; n < number; n++) {
        const struct change c = history_at(h, n);
        sum.bytes += history_cost(&c);
        digest_add(&sum.digest, digest_of(&c));
    }
    return sum;
}

uint64_t history_find_bytes(const struct history *h, uint64_t bytes)
{
    CHECK_CMP(history_bytes(h), >, bytes);
    uint64_t needed = h->total.bytes - bytes; /* cost that must be before the number */
    size_t low = chunk_of(h, h->floor);
    size_t high = h->chunk_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (h->chunks[middle]->before.bytes < needed) {
            low = middle;
        } else {
            high = middle;
        }
    }
    uint64_t number = h->first_number + (uint64_t)low * HISTORY_CHUNK;
    number = number > h->floor ? number : h->floor;
    uint64_t sum = sum_before(h, number).bytes;
    while (sum < needed) {
        const struct change c = history_at(h, number++);
        sum += history_cost(&c);
    }
    return number;
}

void history_raise_floor(struct history *h, uint64_t number)
{
    CHECK(number >= h->floor && number <= h->tail);
    h->at_floor = sum_before(h, number);
    h->floor = number;
}

void history_drop_head(struct history *h)
{
    CHECK_CMP(h->head, <, h->floor);
    h->head++;
    if (h->head - h->first_number < HISTORY_CHUNK) {
        return;
    }
    slab_free(h->slab, h->chunks[0], sizeof(*h->chunks[0]));
    h->chunk_count--;
    memmove(h->chunks, h->chunks + 1, h->chunk_count * sizeof(*h->chunks));
    h->first_number += HISTORY_CHUNK;
}
