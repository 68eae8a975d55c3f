/* kv/kv_history.h - every change since the last compaction, in the order in which it was made.
 *
 * Compaction walks it to free only what must go; the store's history in bytes and its age come from
 * it; a watch's past is a walk over it from a revision on. The changes of one revision stand
 * together in their order.
 *
 * A change has a number (0 for the first since the store was made or loaded), and three marks
 * divide them:
 *
 *        freed        waiting to be freed        history
 *   ---------------|-----------------------|------------------|
 *                head                    floor               tail
 *
 * Compaction moves the floor at once: everything that the outside can see depends on the floor
 * only. The head follows in steps of bounded work (kv_compact_step), so that no compaction stalls
 * the loop.
 *
 * What a change costs is what forgetting it frees: its place here and what it superseded. It is
 * computed from the versions when it is needed. The same holds for its digest (kv_digest.h). Times
 * are log times, and never go back.
 *
 * Changes are kept in chunks of HISTORY_CHUNK; the number of chunks is bounded by what the leader
 * lets history grow to (kv_compaction_due). Owns its chunks, which are in the slab, and neither
 * versions nor entries. */
#pragma once

#include "kv/btree.h"
#include "kv/kv_digest.h"
#include "kv/kv_version.h"

#include <stdbool.h>
#include <stdint.h>

/* So many fit in one item of the slab. */
#define HISTORY_CHUNK 168

/* What a live key, a superseded version and a change count beside their bytes (kv_stats). */
#define HISTORY_LIVE_OVERHEAD    64
#define HISTORY_VERSION_OVERHEAD 24
#define HISTORY_CHANGE_OVERHEAD  24

struct history_chunk;

/* Over many changes. */
struct history_sum {
    uint64_t bytes; /* what they cost */
    struct kv_digest digest;
};

struct history {
    struct slab *slab;             /* borrowed; outlives the history */
    struct history_chunk **chunks; /* owned; [0] holds change number first_number */
    size_t chunk_count;
    size_t chunk_capacity;
    uint64_t first_number;
    uint64_t head;
    uint64_t floor;
    uint64_t tail;
    struct history_sum total;    /* of all changes ever */
    struct history_sum at_floor; /* of those before the floor */
};

struct change {
    struct btree_entry *entry;
    struct version *version;
    uint64_t time_ms;
};

void history_init(struct history *h, struct slab *slab);
/* Forget everything; the slab's owner frees the chunks. */
void history_deinit(struct history *h);

/* What a live key and its value count. */
uint64_t history_live_bytes(size_t key_size, size_t value_size);
/* The cost of the history: of the changes from the floor on. */
uint64_t history_bytes(const struct history *h);
/* The sum of digest_change over the same. */
struct kv_digest history_digest(const struct history *h);

/* The version is now the newest of its entry; its revision and its time are not below those of the
 * change before. `digest` is its digest_change. */
void history_append(struct history *h, const struct change *c, struct kv_digest digest);
/* The change with this number, from head to tail - 1. */
struct change history_at(const struct history *h, uint64_t number);
/* The cost of a change from floor to tail - 1. */
uint64_t history_cost(const struct change *c);
/* The number of the first change from the floor on whose revision is >= `revision`, or tail. */
uint64_t history_find_revision(const struct history *h, uint64_t revision);
/* The number of the first change from the floor on made after `time_ms`, or tail. */
uint64_t history_find_time(const struct history *h, uint64_t time_ms);
/* The number of the first change from which on history costs at most `bytes`, or tail. Requires
 * that it costs more now. */
uint64_t history_find_bytes(const struct history *h, uint64_t bytes);

/* Move the floor up to the number of a change or to the tail, or leave it. */
void history_raise_floor(struct history *h, uint64_t number);
/* Forget the change at the head, which is below the floor. */
void history_drop_head(struct history *h);
/* What its chunks take from the slab, and what it takes beside. */
uint64_t history_slab_bytes(const struct history *h);
uint64_t history_other_bytes(const struct history *h);
