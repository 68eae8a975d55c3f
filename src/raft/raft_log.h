/* raft/raft_log.h - the log as the core sees it: the term of every entry, the payloads of the last.
 *
 *        base:  4^t1                                      the entry before the first, or {0, 0}
 *        runs:       (t2 from 5) (t4 from 9)              a term for every index base + 1..last
 *        tail:               [tail_first ......... last]  entries with payloads, in memory
 *
 * Terms are kept as runs, so a log of a billion entries costs as much as it has seen leaders. Below
 * the base entries are committed and in a snapshot, and gone from here (rule R12: an index there
 * has no term). Never reads a disk and knows nothing of durability (durable.h). A struct raft owns
 * one. */
#pragma once

#include "raft/raft.h"

/* What one entry weighs against a bound in bytes: its payload and the structs around it. */
#define RAFT_ENTRY_OVERHEAD (sizeof(struct raft_entry) + sizeof(struct blob))

struct raft_log {
    struct entry_id base; /* its term is known, and no more of it */
    /* Ascending in term and in index; runs[k] = {term, first index of that term}. Owned. */
    struct entry_id *runs;
    uint32_t run_count;
    uint32_t run_capacity;
    /* The tail is entries[head .. head + count); contiguous, so that messages may point into it.
     * Each entry holds one reference to its payload. */
    struct raft_entry *entries;
    uint32_t head;
    uint32_t count;
    uint32_t capacity;
    raft_index last;
    uint64_t bytes; /* the sum of the weights of the tail */
};

/* A run of entries in memory, borrowed until the log changes. */
struct raft_span {
    const struct raft_entry *entries; /* NULL = not in memory */
    uint32_t count;
};

void raft_log_init(struct raft_log *log, const struct raft_restored *restored);
void raft_log_deinit(struct raft_log *log);

/* The index of the first entry in memory; last + 1 when there is none. */
raft_index raft_log_tail_first(const struct raft_log *log);
struct entry_id raft_log_last(const struct raft_log *log);
/* False when the index is not in the log (rule R12: never term 0 for an absent one). The base has
 * its term, also when that is index 0, before the first entry, of term 0. */
bool raft_log_term(const struct raft_log *log, raft_index index, raft_term *term);
/* This very entry is in the log, or its base. */
bool raft_log_has(const struct raft_log *log, struct entry_id id);
/* The entry, base included, with the highest index <= at.index whose term is <= at.term; {0, 0}
 * when there is none. Both sides of a conflict use it, so that a whole term is skipped with each
 * probe (rule R6). */
struct entry_id raft_log_find_below(const struct raft_log *log, struct entry_id at);
/* The entries in memory from `index` on. */
struct raft_span raft_log_span(const struct raft_log *log, raft_index index);

uint64_t raft_entry_weight(const struct raft_entry *entry);
uint32_t raft_entry_payload_bytes(const struct raft_entry *entry);
/* How many entries of the span fit in `bytes_max`; at least one when there is one. */
uint32_t raft_span_fit(struct raft_span span, uint32_t bytes_max, uint64_t *bytes);

/* Add one entry; takes a reference of its own. Requires: term >= the last one's. */
void raft_log_append(struct raft_log *log, const struct raft_entry *entry);
/* Drop the entries from `from` on. Requires: 0 < from <= last and from >= tail_first. */
void raft_log_truncate(struct raft_log *log, raft_index from);
/* Drop the entries before `first`. Requires: first <= last + 1. Nothing when they are gone. */
void raft_log_compact(struct raft_log *log, raft_index first);
/* Drop all entries; the log goes on behind `base` (rule S3). */
void raft_log_reset(struct raft_log *log, struct entry_id base);
/* The index of the first entry in the log; last + 1 when there is none. */
raft_index raft_log_first(const struct raft_log *log);
/* Forget payloads of entries <= `upto`, oldest first, until the tail weighs at most `bytes_max`. */
void raft_log_trim(struct raft_log *log, raft_index upto, uint64_t bytes_max);
