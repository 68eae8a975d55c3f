/* raft/durable.h - how much of this member's state has reached its disk.
 *
 * Makes the persists (one outstanding at a time, so that what arrives meanwhile forms the next
 * batch, rule R14) and knows what each covers when it completes. Asks nobody and sends nothing.
 *
 * Why a completion needs no term (rule R9). The story to survive:
 *
 *   1. index 7 is written with term 2, and the sync takes long;
 *   2. a leader of term 3 overwrites 7;
 *   3. a leader of term 4 overwrites 7 again, with what happens to be the old entry's index;
 *   4. the completion of step 1 arrives and says "7 is durable". It is not: another 7 is.
 *
 * Here a truncation at 7 takes 7 out of what the outstanding persist covers, at once. So when it
 * completes it can speak only for entries that are still the ones it wrote. */
#pragma once

#include "raft/raft_log.h"

struct durable {
    raft_term term;
    node_id vote;
    raft_index index;         /* entries up to here are durable */
    raft_index written;       /* the highest index that the disk may hold */
    raft_index truncate_from; /* != 0: the disk holds void entries from here on */
    bool outstanding;
    /* What the outstanding persist covers. */
    raft_term covers_term;
    node_id covers_vote;
    raft_index covers_last;
    /* Its entries, each with a reference, so that a truncation cannot free what is being
     * written. */
    struct raft_entry *entries; /* owned */
    uint32_t count;
    uint32_t capacity;
};

void durable_init(struct durable *d, const struct raft_restored *restored);
void durable_deinit(struct durable *d);

/* What a persist is made from. */
struct durable_source {
    const struct raft_log *log;
    raft_term term;
    node_id vote;
    raft_index commit;
    uint32_t bytes_max;
};

/* Begin a persist when none is outstanding and something is not durable. True when there is one. */
bool durable_begin(struct durable *d, const struct durable_source *source,
                   struct raft_persist *persist);
/* The outstanding persist is durable. */
void durable_complete(struct durable *d);
/* The log was cut: entries from `from` on are not what was or is being written. */
void durable_on_truncate(struct durable *d, raft_index from);
