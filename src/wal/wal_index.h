/* wal/wal_index.h - what a log remembers in memory about itself: where its entries are, roughly,
 * and which terms they have. Pure bookkeeping; filled by recovery and by appends in the same way.
 *
 * A point is a place from which records are read forward to find an entry. There is one for every
 * 64 KiB of log, one at each segment's first entries and one at each truncation. So between a point
 * and the next there is no truncation, and entries [point.first, next point.first) are found by
 * reading on from the point: dead entries of a replaced suffix are never met. Memory: 24 bytes for
 * 64 KiB of log, plus what truncations add. */
#pragma once

#include "wal/wal_format.h"

#include <stdint.h>

/* A point at least this often. */
#define WAL_POINT_EVERY_BYTES (64u * 1024u)

struct wal_point {
    uint64_t first;
    uint64_t sequence;
    uint64_t offset;
};

struct wal_index {
    /* Indexes of the oldest and the newest entry; last == first - 1 when there is none. */
    uint64_t first;
    uint64_t last;
    /* Of entry first - 1; 0 when first is 1. */
    uint64_t base_term;
    /* Runs of one term, rising in both fields; the first one begins at `first`. */
    struct wal_run *runs;
    uint32_t run_count;
    uint32_t run_capacity;
    struct wal_point *points;
    uint32_t point_count;
    uint32_t point_capacity;
};

void wal_index_init(struct wal_index *ix);
void wal_index_deinit(struct wal_index *ix);
/* No entries; the next one is `first`. */
void wal_index_reset(struct wal_index *ix, uint64_t first, uint64_t base_term);
/* Take note of a record before its entries are pushed: drops what a truncation or a snapshot
 * replaces. A truncation from before the first entry leaves what a log has that begins there. */
void wal_index_add_record(struct wal_index *ix, const struct wal_record *rec);
/* Take note of the next entry: index last + 1. */
void wal_index_push(struct wal_index *ix, uint64_t term);
/* The term of entry `index`, in first - 1 .. last. */
uint64_t wal_index_term(const struct wal_index *ix, uint64_t index);
/* The oldest entry that segments after `sequence` hold; 0 when they hold no record of entries. */
uint64_t wal_index_first_after(const struct wal_index *ix, uint64_t sequence);
/* Forget the entries before `first`, which wal_index_first_after gave, and their places. */
void wal_index_drop_before(struct wal_index *ix, uint64_t first);
/* Where to begin to read for `index`, in first..last; *limit is the first index that is not to be
 * read on from there. */
struct wal_point wal_index_find(const struct wal_index *ix, uint64_t index, uint64_t *limit);
