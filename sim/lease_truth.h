/* lease_truth.h - rules T1 to T3: how long every lease that was ever granted must live, by the
 * clock of whoever ends it, and what may be said of it.
 *
 * Deadlines are the leader's, and its clock may be wrong: so it is noted what every member's clock
 * showed when a lease was granted or kept alive, and when a leader proposed that it ends. */
#pragma once

#include "kv/kv.h"
#include "node/node.h"
#include "raft/raft.h"
#include "truth.h"

/* What the clocks showed. */
struct clock_reading {
    uint64_t moment; /* what was noted later has a higher one */
    uint64_t local_ms[SIM_MEMBERS_MAX];
    uint32_t starts[SIM_MEMBERS_MAX]; /* 0 = it did not run */
};

/* A question under way. */
struct lease_question {
    uint64_t committed; /* when it was asked */
    struct clock_reading reading;
};

void lease_truth_begin(void);
void lease_truth_end(void);
/* A leader puts a command into its log. */
void lease_truth_on_propose(const struct truth_member *m, struct slice payload);
/* The model has applied it. */
void lease_truth_on_commit(uint64_t index, const struct kv_command *command);

void lease_truth_ask(struct lease_question *q);
/* OK and NO_LEASE, by `member`. */
void lease_truth_answer(const struct lease_question *q, const struct node_lease_ask *a, int member);

/* How many leases are there that must end by themselves before `ttl_max_s` are over, twice. */
uint32_t lease_truth_pending(uint64_t ttl_max_s);
