/* kv/kv_documents.h - the documents of a store: a table that only grows.
 *
 * A document is never changed and never goes, so that its number (0 = the oldest) is its place for
 * good, those up to a revision are the first so many, and a walk over them needs nothing held back:
 * neither by compaction nor by an export. They stand in the order of their revisions, one each.
 *
 * Chunks of pointers, and each document in an item of its own. Both are in the slab. */
#pragma once

#include "kv/kv_digest.h"
#include "kv/slab.h"

#include <stdbool.h>
#include <stdint.h>

/* So many pointers fit in one item of the slab. */
#define DOCUMENTS_CHUNK    512
/* What a document counts beside its content (kv_stats). */
#define DOCUMENTS_OVERHEAD 64

struct document {
    uint64_t revision; /* that made it */
    uint64_t time_ms;  /* log time then */
    uint64_t hash;     /* digest_value of its content */
    uint32_t size;
    uint8_t content[];
};

struct documents_chunk;

struct documents {
    struct slab *slab;               /* borrowed; outlives the table */
    struct documents_chunk **chunks; /* owned */
    size_t chunk_count;
    size_t chunk_capacity;
    uint64_t count;
    uint64_t bytes; /* that they count */
    struct kv_digest sum;
};

void documents_init(struct documents *d, struct slab *slab);
/* Forget everything; the slab's owner frees the documents. */
void documents_deinit(struct documents *d);

/* The content is copied; revision and time are not below those of the last one, and the revision is
 * another. */
void documents_append(struct documents *d, uint64_t revision, uint64_t time_ms,
                      struct slice content);
/* The one with this number, below `count`. */
const struct document *documents_at(const struct documents *d, uint64_t number);
/* The last one, or NULL. */
const struct document *documents_last(const struct documents *d);
/* How many have revisions up to `revision`: the number of the first behind it. */
uint64_t documents_up_to(const struct documents *d, uint64_t revision);
struct slice document_content(const struct document *d);
/* What the table takes from the slab, and what it takes beside. */
uint64_t documents_slab_bytes(const struct documents *d);
uint64_t documents_other_bytes(const struct documents *d);
