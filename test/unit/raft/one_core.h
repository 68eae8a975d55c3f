/* test/unit/raft/one_core.h - one core alone, fed by hand: for tests of what it answers to what.
 *
 * Every call steps one input, ends the turn and checks the invariants; `out` is what followed from
 * it. Nothing is durable until core_persisted says so. */
#pragma once

#include "raft/invariants.h"
#include "raft/raft.h"

#define CORE_ELECTION_MS  100
#define CORE_HEARTBEAT_MS 20

struct one_core {
    struct raft *raft;
    uint64_t now_ms;
    struct raft_output out;
    bool writing; /* a persist is outstanding */
    node_id self;
    struct raft_snapshot snapshot;
};

/* How the core begins: self 1 among `voters` voters (ids from 1) and then `learners` learners, with
 * a durable log whose entries have these terms (0 ends them). */
struct core_setup {
    node_id self;
    uint32_t voters;
    uint32_t learners;
    raft_term term;
    node_id vote;
    raft_index commit;
    struct entry_id base; /* the entry before these, in a snapshot */
    raft_term terms[16];
    bool recovering;
    uint32_t lease_promise_ms;
    struct raft_config last_config; /* with voters: the last of these entries is this one */
    struct raft_options options;    /* bounds only */
};

void core_start(struct one_core *c, const struct core_setup *setup);
void core_stop(struct one_core *c);

enum status core_step(struct one_core *c, const struct raft_input *input);
void core_deliver(struct one_core *c, const struct raft_message *m);
void core_persisted(struct one_core *c);
/* Complete persists until none is outstanding. */
void core_settle(struct one_core *c);
void core_wait(struct one_core *c, uint64_t ms);
enum status core_propose(struct one_core *c, uint32_t payload_bytes);
enum status core_read(struct one_core *c, uint64_t token);
enum status core_change(struct one_core *c, const struct raft_config *config);

/* From another member to this one, of term `term`. */
struct raft_message core_message(const struct one_core *c, enum raft_message_type type,
                                 node_id from, raft_term term);
/* The first message of that type to that member in the last output, or NULL. `to` 0 = anybody. */
const struct raft_message *core_sent(const struct one_core *c, enum raft_message_type type,
                                     node_id to);
uint32_t core_sent_count(const struct one_core *c, enum raft_message_type type);
bool core_saw(const struct one_core *c, enum raft_event_kind kind);
/* Time out, win with the votes of everybody else. The no-op is not synced. Needs >= 1 voter. */
void core_lead(struct one_core *c);
/* Acknowledge to a leading core everything up to `match`, in the name of `from`. */
void core_acknowledge(struct one_core *c, node_id from, raft_index match);
/* Everybody acknowledges everything, and the disk keeps up, until nothing new follows. */
void core_agree(struct one_core *c);
/* Start, lead and be established: all have the no-op. */
void core_establish(struct one_core *c, struct core_setup setup);
/* An answer of `from` to the newest heartbeat or append of the last output to it. */
void core_echo(struct one_core *c, node_id from);
