/* kv/kv_state.h - what a store is made of; only for the files of kv/.
 *
 * Two kinds of state. What the outside can see - answers, statistics but memory_bytes - is a
 * function of the commands alone. What compaction has condemned and not yet freed (versions and
 * entries of changes below the history's floor) is not: it depends on how often kv_compact_step was
 * called, and nothing else may. */
#pragma once

#include "kv/btree.h"
#include "kv/kv.h"
#include "kv/kv_history.h"
#include "kv/kv_retry.h"
#include "kv/slab.h"

struct kv {
    struct slab slab;
    struct btree tree; /* an entry's payload is the newest version of its key */
    struct history history;
    struct retry_table retries;
    uint64_t time_ms; /* log time: the highest of all commands so far */
    uint64_t revision;
    uint64_t compact_revision;
    uint64_t next_change; /* number of the first change above compact_revision */
    uint64_t keys;        /* whose newest version is not a tombstone */
    uint64_t live_bytes;  /* of those */
};
