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
 * completes it can speak only for entries that are still the ones it wrote. A snapshot that takes
 * the place of the log (rule S3) takes out everything. */
#pragma once

#include "raft/raft_log.h"

struct durable {
    raft_term term;
    node_id vote;
    uint32_t lease_promise_ms; /* rule Q6b */
    bool recovering;           /* rule P4: the disk says so */
    /* Entries up to here are durable, or void once `install` is. Ask durable_index. */
    raft_index index;
    raft_index written;       /* the highest index that the disk may hold */
    raft_index truncate_from; /* != 0: the disk holds void entries from here on */
    /* Rule S3. index != 0: this snapshot is to take the place of the log. */
    struct entry_id install;
    bool discard;
    raft_index until_install; /* what the disk holds of the log as it was and as it will be */
    bool outstanding;
    /* What the outstanding persist covers. */
    raft_term covers_term;
    node_id covers_vote;
    uint32_t covers_lease_promise_ms;
    bool covers_install;
    bool covers_recovered;
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
    uint32_t lease_promise_ms;
    bool recovered; /* rule P4: what was lost is here again */
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
/* The log begins anew behind this snapshot; `until_install` of the old log is committed, and
 * durable until then. */
void durable_on_discard(struct durable *d, struct entry_id install, raft_index until_install);
/* This snapshot is the newest state, and the log, which has its last entry, goes on. */
void durable_on_install(struct durable *d, struct entry_id install);
/* Whatever a crash leaves, the log up to here is on this disk (entries or a snapshot of them). */
raft_index durable_index(const struct durable *d);
