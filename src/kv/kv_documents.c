#include "kv/kv_documents.h"

#include "base/check.h"
#include "base/mem.h"

#include <stddef.h>
#include <string.h>

#define CHUNKS_MIN 8

struct documents_chunk {
    struct document *documents[DOCUMENTS_CHUNK];
};
_Static_assert(sizeof(struct documents_chunk) <= SLAB_ITEM_MAX,
               "a chunk must fit an item of the slab");

void documents_init(struct documents *d, struct slab *slab)
{
    *d = (struct documents){.slab = slab};
}

void documents_deinit(struct documents *d)
{
    mem_free(d->chunks);
    *d = (struct documents){0};
}

/* A multiple of 8, for the slab aligns those to 8. */
static size_t item_size(size_t content_size)
{
    size_t size = offsetof(struct document, content) + content_size;
    return (size + 7) & ~(size_t)7;
}

static struct documents_chunk *last_chunk(struct documents *d)
{
    if (d->count < d->chunk_count * DOCUMENTS_CHUNK) {
        return d->chunks[d->chunk_count - 1];
    }
    if (d->chunk_count == d->chunk_capacity) {
        d->chunk_capacity = d->chunk_capacity > 0 ? 2 * d->chunk_capacity : CHUNKS_MIN;
        d->chunks = mem_realloc(d->chunks, d->chunk_capacity * sizeof(struct documents_chunk *));
    }
    struct documents_chunk *chunk = slab_alloc(d->slab, sizeof(*chunk));
    d->chunks[d->chunk_count++] = chunk;
    return chunk;
}

void documents_append(struct documents *d, uint64_t revision, uint64_t time_ms,
                      struct slice content)
{
    const struct document *last = documents_last(d);
    CHECK(last == NULL || (last->revision < revision && last->time_ms <= time_ms));
    struct document *made = slab_alloc(d->slab, item_size(content.size));
    *made = (struct document){.revision = revision,
                              .time_ms = time_ms,
                              .hash = digest_value(content),
                              .size = (uint32_t)content.size};
    if (content.size > 0) {
        memcpy(made->content, content.data, content.size);
    }
    last_chunk(d)->documents[d->count % DOCUMENTS_CHUNK] = made;
    d->count++;
    d->bytes += DOCUMENTS_OVERHEAD + content.size;
    digest_add(&d->sum, digest_document(made, made->hash));
}

const struct document *documents_at(const struct documents *d, uint64_t number)
{
    CHECK_CMP(number, <, d->count);
    return d->chunks[number / DOCUMENTS_CHUNK]->documents[number % DOCUMENTS_CHUNK];
}

const struct document *documents_last(const struct documents *d)
{
    return d->count > 0 ? documents_at(d, d->count - 1) : NULL;
}

uint64_t documents_up_to(const struct documents *d, uint64_t revision)
{
    uint64_t low = 0;
    uint64_t high = d->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (documents_at(d, middle)->revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct slice document_content(const struct document *d)
{
    return slice_of(d->content, d->size);
}

uint64_t documents_slab_bytes(const struct documents *d)
{
    uint64_t bytes = d->chunk_count * sizeof(struct documents_chunk);
    for (uint64_t i = 0; i < d->count; i++) {
        bytes += item_size(documents_at(d, i)->size);
    }
    return bytes;
}

uint64_t documents_other_bytes(const struct documents *d)
{
    return d->chunk_capacity * sizeof(struct documents_chunk *);
}
