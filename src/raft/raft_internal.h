/* raft/raft_internal.h - the state of one member and what the files of this room call of each
 * other.
 *
 *   raft.c      inputs dispatched, turns collected      election.c  pre-votes, votes, timeouts
 *   outbox.c    what leaves, and what waits for disk     leader.c    appends, commit, check-quorum
 *   follower.c  appends taken and acknowledged           transfer.c  leadership handed over
 *   reads.c     linearizable reads                       invariants.c what must hold after any step
 *   snapshot.c  the log's beginning, installations       recovering.c after a loss of the log
 *   lease.c     promises of voters, lease reads
 *   membership.c configurations in force and changed     preference.c who leads rather than another
 *
 * Time is checked at the end of a turn only, after all that arrived: a member that slept through
 * its timeout, but has the leader's messages in its buffers, must read them first. */
#pragma once

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "raft/config_log.h"
#include "raft/durable.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft.h"
#include "raft/raft_log.h"

/* Voters, outgoing voters and learners; self is among them when the configuration names it. */
#define RAFT_MEMBERS_MAX (3 * LIMIT_MEMBERS)

struct member {
    node_id id;
    bool granted; /* in the running election */
    bool refused;
    struct progress progress; /* of this leadership */
    uint64_t current_ms;      /* up to date without a break since; UINT64_MAX = not (rule E10) */
    uint32_t offers;          /* of leadership, for the sake of preference, by this leader */
};

/* Rule E10. This member's among all parts of [E, 2E); count 1 = nobody is preferred. */
struct preference_slot {
    uint32_t rank;
    uint32_t count;
};

struct election {
    struct preference_slot slot; /* that the timeout was drawn from */
    uint64_t timeout_ms;         /* drawn from [E, 2E) (rule E2) */
    uint64_t deadline_ms;        /* then: pre-vote */
    uint64_t started_ms;         /* when the silence began */
    uint64_t contact_ms; /* the leader's last message; counts while `leader` is known (rule E6) */
    bool asked;          /* a candidate: the votes are asked for, the own one counts */
    bool by_transfer;    /* a candidate: the leader told it to (rule E9) */
    bool wanted;         /* a candidate needs this vote, and the log here is newer (rule E14) */
    bool gathered;       /* told so, or somebody campaigned before: once in a boot (rule E10) */
    bool early;          /* the deadline is of that, and not of the timeout that was drawn */
    /* Rule E6b. `lost_leader` != 0 while quick rounds run. */
    node_id lost_leader;
    uint32_t lost_rounds;
    uint32_t slot_ms;
    uint64_t lost_ms; /* when the newest accepted LEADER_LOST came */
    bool was_lost;    /* one came */
};

/* What a follower owes its leader: one cumulative answer to all appends so far (rule R5). */
struct debt {
    raft_index verified; /* equal to the leader's log up to here */
    raft_index told;     /* the highest match acknowledged to this leader */
    bool owed;
    uint64_t round;
    uint64_t sent_ms;
};

struct leadership {
    raft_index first;           /* its no-op; committed = established (rules R13, Q1) */
    uint64_t beat_ms;           /* when the last heartbeat to all left */
    uint64_t uncommitted_bytes; /* payloads of this term's entries (rule O2) */
    uint32_t uncommitted_entries;
    uint64_t lease_from_ms; /* answers to what left earlier prove nothing (rule Q6) */
};

/* A snapshot that takes the place of the state, from its arrival until it is applied (rule S3). */
struct install {
    struct entry_id id; /* index 0 = none */
    raft_index until;   /* acknowledged no further until it is durable */
    bool discards;      /* the log before it was void */
    bool durable;
    bool announce; /* tell the host with this turn */
};

/* Rule P4; whether it recovers at all is the disk's word (durable.h). */
struct recovering {
    raft_term term;    /* the target holds in this term only */
    raft_index target; /* what must be here again */
    bool complete;     /* it is; the disk must be told */
};

/* What this member promised as a voter (rule Q6b). */
struct lease {
    node_id holder; /* to whom; 0 = before this boot, to somebody */
    uint64_t until_ms;
    uint32_t longest_ms;
};

struct transfer {
    node_id target; /* 0 = none */
    uint64_t deadline_ms;
    bool told;    /* TIMEOUT_NOW has left */
    bool final;   /* no way back: when it fails, step down (rules C5, E8) */
    bool stalled; /* rule E8: the disk hangs, say nothing more */
};

/* One who waits for a read index: a token of the host here, or a question of another member. */
struct read_request {
    node_id from;
    uint64_t token;
};

struct read_list {
    struct read_request *items; /* owned */
    uint32_t count;
    uint32_t capacity;
};

/* A follower's token, asked of the leader under `number`; 0 = not asked yet. */
struct read_question {
    uint64_t token;
    uint64_t number;
    uint64_t deadline_ms;
};

struct reads {
    uint64_t round;           /* the newest confirmation round (rule Q2) */
    bool round_open;          /* `confirming` waits for a quorum to answer `round` */
    raft_index round_index;   /* the commit index when it began */
    struct read_list waiting; /* for the next round */
    struct read_list confirming;
    struct read_question *questions; /* a follower's, oldest first; owned */
    uint32_t question_count;
    uint32_t question_capacity;
    uint64_t question_number; /* begins at chance, so that a restarted asker repeats none */
};

struct outbox {
    bool taken; /* a turn handed it out: empty it before more is put in */
    struct raft_message *messages;
    uint32_t message_count;
    uint32_t message_capacity;
    /* They carry the current term or vote, which is not durable yet. */
    struct raft_message *held;
    uint32_t held_count;
    uint32_t held_capacity;
    struct raft_read *reads;
    uint32_t read_count;
    uint32_t read_capacity;
    struct raft_event *events;
    uint32_t event_count;
    uint32_t event_capacity;
};

/* Entries read back from disk for followers that are far behind. */
struct loading {
    bool outstanding;
    bool announce; /* tell the host with this turn */
    raft_index first;
    raft_index last;
    uint32_t bytes_max;
    uint64_t retry_ms;          /* not before; after a failed one */
    struct raft_entry *entries; /* what came, until the turn is over; each with a reference */
    raft_index entries_first;
    uint32_t count;
    uint32_t capacity;
};

struct raft {
    struct raft_options options;
    struct rng rng;
    uint64_t now_ms;

    raft_term term;
    node_id vote;
    enum raft_role role;
    node_id leader;

    struct config_log configs;
    struct raft_config config; /* the newest of them: in force (rule C2) */
    struct member members[RAFT_MEMBERS_MAX];
    uint32_t member_count;
    struct raft_preference preference;
    bool barred; /* rule P15b */

    struct raft_log log;
    struct durable durable;
    raft_index commit;
    raft_index applied; /* as the host told */

    struct election election;
    struct entry_id snapshot; /* the newest durable one; index 0 = none */
    struct install install;
    struct recovering recovering;
    struct lease lease;
    struct debt debt;
    struct raft_wish wish;
    struct leadership leading;
    struct transfer transfer;
    struct reads reads;
    struct loading loading;
    struct outbox out;
};

/* A growing array: room for `needed` items. */
static inline void *array_reserve(void *items, uint32_t *capacity, uint32_t needed, size_t size)
{
    if (needed <= *capacity) {
        return items;
    }
    uint32_t larger = *capacity == 0 ? 16 : *capacity * 2;
    *capacity = larger < needed ? needed : larger;
    return mem_realloc(items, *capacity * size);
}

static inline raft_index index_min(raft_index a, raft_index b)
{
    return a < b ? a : b;
}

static inline raft_index index_max(raft_index a, raft_index b)
{
    return a > b ? a : b;
}

/* --- raft.c ----------------------------------------------------------------------------------- */

/* NULL when the configuration does not name it. */
struct member *member_find(const struct raft *r, node_id id);
/* How far apart heartbeats may be by this member's election timeout, while nothing happens: what is
 * left of the timeout holds several more, at the pace of ever (leader.c). */
uint32_t raft_rest_ms(const struct raft *r);
bool raft_is_lone_voter(const struct raft *r);
bool raft_hard_state_is_durable(const struct raft *r);
void raft_set_role(struct raft *r, enum raft_role role);
void raft_set_leader(struct raft *r, node_id leader);
/* The only way into the log: a configuration is in force from its append on. */
void raft_append(struct raft *r, const struct raft_entry *entry);
/* Nothing when it is known already. */
void raft_advance_commit(struct raft *r, raft_index index);
/* Cut the log at a conflict (rule R1). Requires: from > commit. */
void raft_truncate(struct raft *r, raft_index from);
void raft_trim_tail(struct raft *r);
/* Entries up to here may be applied (rule R10). */
raft_index raft_apply_limit(const struct raft *r);

/* --- outbox.c --------------------------------------------------------------------------------- */

/* A message to `to` that carries the current term. */
struct raft_message message_to(const struct raft *r, enum raft_message_type type, node_id to);
/* Let it leave with this turn, or when term and vote are durable (consensus.md A6). */
void outbox_send(struct raft *r, const struct raft_message *m);
/* Let it leave with this turn whatever is durable: it says nothing of this member's term. */
void outbox_send_now(struct raft *r, const struct raft_message *m);
void outbox_release_held(struct raft *r);
/* The term changed: what was held speaks of a term that may never be durable. */
void outbox_drop_held(struct raft *r);
void outbox_read(struct raft *r, const struct raft_read *read);
void outbox_event(struct raft *r, enum raft_event_kind kind, uint64_t a, uint64_t b);
/* Empty what the last turn handed out. */
void outbox_begin(struct raft *r);
void outbox_deinit(struct outbox *out);

/* --- election.c ------------------------------------------------------------------------------- */

void become_follower(struct raft *r, raft_term term, node_id leader);
void election_init(struct raft *r);
/* The preference is another (rule E10). */
void election_ranks_changed(struct raft *r);
/* A message of the leader of the current term came. False when that cannot be. */
bool election_on_contact(struct raft *r, node_id leader);
/* A live leader is known: votes that nobody asked for by its word are not looked at (rule E6). */
bool election_is_sticky(const struct raft *r);
void election_on_prevote(struct raft *r, const struct raft_message *m);
void election_on_prevote_reply(struct raft *r, const struct raft_message *m);
void election_on_vote(struct raft *r, const struct raft_message *m);
void election_on_vote_reply(struct raft *r, const struct raft_message *m);
void election_on_timeout_now(struct raft *r, const struct raft_message *m);
void election_on_lost(struct raft *r, const struct raft_input *input);
void election_on_gathered(struct raft *r);
void election_on_durable(struct raft *r);
void election_on_time(struct raft *r);
/* Pre-vote at once; alone, or told by the leader: campaign at once. */
void election_start(struct raft *r, bool by_transfer);
bool election_may_campaign(const struct raft *r);
/* When it campaigns by itself; not while it promised another one not to (rule Q6b). */
uint64_t election_deadline(const struct raft *r);

/* --- follower.c ------------------------------------------------------------------------------- */

void follower_on_append(struct raft *r, const struct raft_message *m);
void follower_on_heartbeat(struct raft *r, const struct raft_message *m);
void follower_turn(struct raft *r);
/* Verified against this leader, and durable here (rule R5). */
raft_index follower_acknowledgeable(const struct raft *r);
/* A leader of a lower term must learn of this one (rule E5). */
void follower_refuse_old_leader(struct raft *r, const struct raft_message *m);

/* --- leader.c --------------------------------------------------------------------------------- */

void become_leader(struct raft *r);
enum status leader_propose(struct raft *r, const struct raft_entry *entries, uint32_t count);
/* OVERLOADED, unless it `must` go in whatever is waiting. */
enum status leader_append_config(struct raft *r, struct blob *payload, bool must);
void leader_on_append_reply(struct raft *r, const struct raft_message *m);
void leader_on_heartbeat_reply(struct raft *r, const struct raft_message *m);
void leader_on_unreachable(struct raft *r, node_id id);
void leader_on_loaded(struct raft *r, const struct raft_input *input);
void leader_on_time(struct raft *r);
void leader_turn(struct raft *r);
bool leader_is_established(const struct raft *r);
uint64_t leader_deadline(const struct raft *r);
void leader_release_loaded(struct raft *r);
/* The member was told of an index that it can only use with the commit index: no waiting. */
void leader_hurry_commit(struct raft *r, node_id id);
/* Tell everybody, and count who answers (rules E7, Q2). */
void leader_broadcast_heartbeat(struct raft *r);
/* When the newest message had left that a quorum has answered; now, when it needs nobody. */
uint64_t leader_quorum_contact_ms(const struct raft *r);

/* --- transfer.c ------------------------------------------------------------------------------- */

enum status transfer_start(struct raft *r, node_id target);
void transfer_on_stalled(struct raft *r);
/* This leader must not go on: hand over to the best, and step down in any case. */
void transfer_away(struct raft *r);
void transfer_on_time(struct raft *r);
void transfer_turn(struct raft *r);
void transfer_clear(struct raft *r);

/* --- reads.c ---------------------------------------------------------------------------------- */

void reads_init(struct raft *r);
void reads_deinit(struct reads *reads);
enum status reads_add(struct raft *r, uint64_t token);
void reads_on_question(struct raft *r, const struct raft_message *m);
void reads_on_answer(struct raft *r, const struct raft_message *m);
/* Leadership or term changed: nobody may be answered by what was known before (rules Q1, Q5). */
void reads_fail_all(struct raft *r);
void reads_on_unreachable(struct raft *r, node_id id);
void reads_on_time(struct raft *r);
uint64_t reads_deadline(const struct raft *r);
void reads_leader_turn(struct raft *r);
void reads_follower_turn(struct raft *r);

/* --- snapshot.c ------------------------------------------------------------------------------- */

void snapshot_on_compacted(struct raft *r, const struct raft_input *input);
enum status snapshot_on_install(struct raft *r, const struct raft_input *input);
void snapshot_on_sent(struct raft *r, const struct raft_input *input);
void snapshot_on_durable(struct raft *r);
void snapshot_on_applied(struct raft *r);
/* As leader: the member needs what is no longer in the log. */
void snapshot_offer(struct raft *r, struct member *member);
/* What output.restore says. */
struct entry_id snapshot_take_restore(struct raft *r);
/* One was given and is not durable yet. */
bool snapshot_is_awaited(const struct raft *r);
/* One was given and is not applied yet. */
bool snapshot_is_restoring(const struct raft *r);

/* --- recovering.c ----------------------------------------------------------------------------- */

void recovering_on_heartbeat(struct raft *r, const struct raft_message *m);
void recovering_turn(struct raft *r);
void recovering_on_durable(struct raft *r, bool was_recovering);
/* As leader: take the word of a member that recovers. */
void recovering_note_answer(struct progress *p, const struct raft_message *m);

/* --- lease.c ---------------------------------------------------------------------------------- */

void lease_init(struct raft *r, uint32_t promise_ms);
/* The leader of the current term spoke. */
void lease_promise(struct raft *r, const struct raft_message *m);
/* A promise to another one runs. Nobody's own word and no leader's own hand-over is asked here. */
bool lease_forbids(const struct raft *r, node_id candidate);
/* The lease_ms of what this leader sends. */
uint32_t lease_asked_ms(const struct raft *r);
/* A leadership begins. */
void lease_begin(struct raft *r);
/* Only what is sent from now on counts. */
void lease_void(struct raft *r);
/* No lease any more in this term. */
void lease_end(struct raft *r);
bool lease_is_valid(const struct raft *r, uint64_t now_ms);
/* --- membership.c ----------------------------------------------------------------------------- */

/* The log is there. */
void membership_init(struct raft *r, const struct raft_restored *restored);
void membership_deinit(struct raft *r);
/* The last entry of the log is this configuration. */
void membership_on_append(struct raft *r, const struct raft_entry *entry);
void membership_on_truncate(struct raft *r, raft_index from);
/* The log is void; this one, of a snapshot, is what it goes on from. */
void membership_on_discard(struct raft *r, const struct raft_config_view *base);
void membership_on_commit(struct raft *r, raft_index from, raft_index to);
/* The one in force is committed and not joint. */
bool membership_is_settled(const struct raft *r);
/* Rules E14 and P15b. */
bool membership_may_lead(const struct raft *r);
/* Another one answered this leader within E and lacks little. */
bool member_is_current(const struct raft *r, const struct member *m);
enum status membership_change(struct raft *r, const struct raft_config *config, struct slice annex);
/* A leader's: leave a joint configuration (rule C9), or leadership (rule C5). True when a new
 * configuration is in force: what a quorum is has changed. */
bool membership_turn(struct raft *r);
void membership_bar(struct raft *r, bool barred);

/* --- preference.c ----------------------------------------------------------------------------- */

struct preference_slot preference_slot(const struct raft *r);
/* A leadership begins. */
void preference_begin(struct raft *r);
void preference_turn(struct raft *r);
