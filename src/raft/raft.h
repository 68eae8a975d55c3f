/* raft/raft.h - agreement: the Raft core of one member (Ongaro & Ousterhout 2014; Ongaro's thesis).
 *
 * Pure: no I/O, no clock, no globals, no text. Time, chance (the seed) and the completion of disk
 * writes are inputs; what to write, whom to tell what, and what is committed are outputs. Same
 * inputs, same outputs, byte for byte. Only node/ (and the simulator) calls this.
 *
 *   raft_step(r, input)    any number of times a turn: mutates, queues
 *   raft_turn(r, now, out) once at the end of a turn: collects everything that follows from it
 *
 * Durability lives here and not in the caller. A message leaves the core only when everything that
 * it says is durable (consensus.md A6): the core remembers what it owes (an append acknowledged, a
 * vote granted) and emits it when RAFT_INPUT_PERSISTED arrives. So every message of an output may
 * be sent at once, and the caller's only duty is: write output.persist, sync, and then say so.
 *
 * One persist is outstanding at a time. What arrives meanwhile gathers in the log and forms the
 * next batch: group commit without a timer (rule R14). Appends to followers do not wait for it
 * (rule R8).
 *
 * Broken promises of the caller and of this code abort (base/check.h); messages are input from
 * outside as far as their numbers go: an impossible one is dropped and counted, never a CHECK. */
#pragma once

#include "base/blob.h"
#include "base/limits.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t raft_index; /* 1.. ; 0 = before the first entry */
typedef uint64_t raft_term;  /* 1.. ; 0 = none yet */
typedef uint64_t node_id;    /* never 0 for a member; 0 = nobody */

struct entry_id {
    raft_term term;
    raft_index index;
};

enum raft_entry_type {
    RAFT_ENTRY_NOOP = 0,    /* the first entry of a leader (rule R13) */
    RAFT_ENTRY_COMMAND = 1, /* opaque to raft */
    RAFT_ENTRY_CONFIG = 2,  /* reserved for membership changes */
};

/* One entry; its index is known from where it stands. */
struct raft_entry {
    raft_term term;
    enum raft_entry_type type;
    struct blob *payload; /* shared; NULL = empty */
};

/* Who takes part. Joint when outgoing_count > 0: then every decision needs a majority of `voters`
 * and one of `outgoing`, counted separately (rule E12). Learners receive entries and never
 * count. */
struct raft_config {
    uint32_t voter_count;
    uint32_t outgoing_count;
    uint32_t learner_count;
    node_id voters[LIMIT_MEMBERS];
    node_id outgoing[LIMIT_MEMBERS];
    node_id learners[LIMIT_MEMBERS];
};

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_message_type {
    RAFT_MSG_PREVOTE = 1,
    RAFT_MSG_PREVOTE_REPLY,
    RAFT_MSG_VOTE,
    RAFT_MSG_VOTE_REPLY,
    RAFT_MSG_APPEND,
    RAFT_MSG_APPEND_REPLY,
    RAFT_MSG_HEARTBEAT,
    RAFT_MSG_HEARTBEAT_REPLY,
    RAFT_MSG_READ, /* follower to leader: which index is current? (rule Q5) */
    RAFT_MSG_READ_REPLY,
    RAFT_MSG_TIMEOUT_NOW,      /* leader to its successor (rule E9) */
    RAFT_MSG_TRANSFER_REQUEST, /* member to leader: hand leadership to me */
    RAFT_MSG_SNAPSHOT,         /* reserved */
    RAFT_MSG_SNAPSHOT_REPLY,   /* reserved */
};

/* One message. Fields that a type does not name are zero. */
struct raft_message {
    enum raft_message_type type;
    node_id from;
    node_id to;
    /* the sender's; in PREVOTE the term it would campaign at, and so in the grant of one; a
     * rejection of PREVOTE carries the voter's own (rule E4) */
    raft_term term;
    /* PREVOTE, VOTE: the candidate's durable tail (rule E3). APPEND: the entry before the first one
     * carried */
    struct entry_id last;
    /* APPEND, HEARTBEAT: min(commit, what the receiver is known to hold) as the rule R2 says */
    raft_index commit;
    /* APPEND_REPLY, HEARTBEAT_REPLY: verified against this leader and durable (rule R5).
     * READ_REPLY: the read index */
    raft_index match;
    struct entry_id hint; /* APPEND_REPLY with reject: where to look next (rule R6) */
    raft_index probe; /* APPEND_REPLY with reject: last.index of the append that was refused (R4) */
    /* APPEND, HEARTBEAT: leader-local number of this confirmation round, echoed in the reply (rule
     * Q2); 0 in a HEARTBEAT: only a notice of the commit index (rule R14), not answered. READ:
     * sender-local number of the question, echoed */
    uint64_t round;
    /* APPEND, HEARTBEAT: the leader's clock when it left; echoed, so that the check of the quorum
     * counts from sending (rule E7) */
    uint64_t sent_ms;
    bool reject;   /* replies: refused */
    bool transfer; /* VOTE: asked for by the leader itself; passes stickiness (rule E9) */
    bool bulk;     /* APPEND: made of entries read back from disk; may take the slow lane */
    uint32_t entry_count;
    const struct raft_entry *entries; /* APPEND: borrowed until the next raft_step */
};

enum raft_input_kind {
    RAFT_INPUT_TICK,    /* only time passed */
    RAFT_INPUT_MESSAGE, /* .message, addressed to this member */
    /* .propose; OK, NOT_LEADER, BUSY while leadership is being handed over (rule E9), or OVERLOADED
     * (rules O1, O2); all or nothing */
    RAFT_INPUT_PROPOSE,
    RAFT_INPUT_PERSISTED, /* the outstanding persist is durable */
    RAFT_INPUT_APPLIED,   /* .index: everything up to it is applied; its payloads may be dropped */
    RAFT_INPUT_LOADED,    /* .loaded: what output.load asked for */
    /* .token: a linearizable read wants an index. OK: answered once in output.reads, within E when
     * the leader is silent. NOT_LEADER (nobody is known), OVERLOADED: not taken */
    RAFT_INPUT_READ,
    /* .target (0 = best): OK = begun, NOT_LEADER, NOT_FOUND (no such voter), or BUSY (to another
     * one). A lone voter begins a new term */
    RAFT_INPUT_TRANSFER,
    /* ask the leader for leadership, or pre-vote when there is none. NOT_FOUND: this member is no
     * voter */
    RAFT_INPUT_CAMPAIGN,
    /* .lost: the stream with the leader ended and a reconnect failed (E6b) */
    RAFT_INPUT_LEADER_LOST,
    /* .target: messages to it were dropped. It gets heartbeats only until it answers one, then a
     * probe; reads that were asked of it fail */
    RAFT_INPUT_UNREACHABLE,
    RAFT_INPUT_STALLED, /* this member's disk hangs: a leader hands over or steps down (rule E8) */
};

struct raft_input {
    uint64_t now_ms; /* monotonic; never smaller than before */
    enum raft_input_kind kind;
    union {
        const struct raft_message *message; /* payloads are taken by reference count */
        struct {
            const struct raft_entry *entries; /* type and payload; the term is set by the core */
            uint32_t count;
        } propose;
        raft_index index;
        struct {
            raft_index first;
            const struct raft_entry *entries;
            uint32_t count; /* 0: could not be read; asked again later */
        } loaded;
        uint64_t token;
        node_id target;
        struct {
            node_id leader;
            raft_term term;
            uint32_t sync_ms; /* what one sync takes here, for the slot of rule E6b */
        } lost;
    };
};

/* What must be written and synced, as one unit, before RAFT_INPUT_PERSISTED. */
struct raft_persist {
    bool hard_state; /* term and vote changed: write both, together (M36) */
    raft_term term;
    node_id vote;
    raft_index
        truncate_from; /* != 0: entries from here on are void, before the new ones (rule P14) */
    raft_index first;  /* index of entries[0] */
    uint32_t count;
    const struct raft_entry *entries; /* borrowed until RAFT_INPUT_PERSISTED */
    /* the floor that recovery may rely on (rule P7): committed and, before this persist, durable */
    raft_index commit;
};

struct raft_read {
    uint64_t token;
    enum status
        status; /* OK: serve once `index` is applied. NOT_LEADER: leadership changed, ask again */
    raft_index index;
};

/* X(name, meaning of a, meaning of b). Typed trace: the logger, the scenarios and the simulator
 * render the same events; the core writes no text. */
#define RAFT_EVENT_TABLE(X)                                                                        \
    X(ROLE, "role", "term")                  /* this member's role changed */                      \
    X(LEADER, "leader", "term")              /* who leads changed; 0 = nobody known */             \
    X(ELECTION_TIMEOUT, "term", "silent_ms") /* no leader contact: pre-vote begins */              \
    X(LEADER_LOST, "leader", "term")         /* rule E6b: contact ended with the stream */         \
    X(VOTE_GRANTED, "candidate", "term")                                                           \
    X(VOTE_REFUSED, "candidate", "term")                                                           \
    X(QUORUM_LOST, "term", "silent_ms") /* rule E7: a leader steps down */                         \
    X(TRUNCATED, "from", "last")        /* a conflicting suffix was dropped */                     \
    X(TRANSFER_STARTED, "target", "term")                                                          \
    X(TRANSFER_ABORTED, "target", "term")                                                          \
    X(CONFLICT, "member", "hint") /* an append was refused */                                      \
    X(DROPPED, "type", "from")    /* an impossible message */                                      \
    X(AMNESIA, "commit", "last")  /* entries that this member acknowledged are not here */

enum raft_event_kind {
#define RAFT_EVENT_ENUM(name, a, b) RAFT_EVENT_##name,
    RAFT_EVENT_TABLE(RAFT_EVENT_ENUM)
#undef RAFT_EVENT_ENUM
};

struct raft_event {
    enum raft_event_kind kind;
    uint64_t a;
    uint64_t b;
};

/* All that follows from a turn. Arrays are owned by the core and borrowed until the next raft_step
 * or raft_turn, but for persist.entries. */
struct raft_output {
    bool has_persist;
    struct raft_persist persist;
    uint32_t message_count;
    const struct raft_message *messages;
    raft_index apply_to; /* committed and durable here: apply up to it, in order, once (rule R10) */
    uint32_t read_count;
    const struct raft_read *reads;
    struct {
        bool wanted; /* a follower needs entries that are no longer in memory; one at a time */
        raft_index first;
        raft_index last;
        uint32_t bytes_max;
    } load;
    uint32_t event_count;
    const struct raft_event *events;
    uint64_t deadline_ms; /* step a TICK no later than this; UINT64_MAX = nothing is due */
};

struct raft_options {
    node_id self;
    uint32_t election_timeout_ms; /* E: timeouts are drawn from [E, 2E) (rule E2) */
    uint32_t heartbeat_ms;
    uint64_t seed;
    /* Bounds; 0 = the value of base/limits.h. Tests make them tiny. */
    uint32_t append_bytes_max;
    uint32_t persist_bytes_max;
    uint32_t inflight_messages_max;
    uint32_t inflight_bytes_max;
    uint32_t uncommitted_bytes_max;
    uint32_t uncommitted_entries_max;
    uint32_t tail_bytes_max;
};

/* What recovery found on disk. All of it is durable. The parts of a persist that a crash cut short
 * may be there in any combination that keeps the entries a prefix: even the term may be older than
 * that of the last entry. */
struct raft_restored {
    raft_term term;
    node_id vote;
    struct raft_config config;   /* at index 0: the founding roster (rule G5) */
    raft_index commit;           /* floor */
    raft_index applied;          /* <= commit: already applied by the caller */
    raft_index last;             /* last entry in the log */
    const struct entry_id *runs; /* for each term in the log, ascending: {term, its first index} */
    uint32_t run_count;
    raft_index tail_first; /* entries given here: tail_first..last; tail_first <= applied + 1 */
    const struct raft_entry *tail;
};

struct raft;

/* The copy of `restored` that it needs is taken. Owned by the caller; raft_destroy. */
struct raft *raft_create(const struct raft_options *options, const struct raft_restored *restored,
                         uint64_t now_ms);
void raft_destroy(struct raft *r);

/* Feed one input. Returns OK, or for PROPOSE, READ, TRANSFER and CAMPAIGN why it was refused. An
 * accepted proposal's entries are the last `count` of the log: raft_last(r) tells their ids. */
enum status MUST_CHECK raft_step(struct raft *r, const struct raft_input *input);
/* End the turn. */
void raft_turn(struct raft *r, uint64_t now_ms, struct raft_output *out);

enum raft_role raft_role(const struct raft *r);
raft_term raft_term_now(const struct raft *r);
node_id raft_leader(const struct raft *r); /* 0 = unknown */
node_id raft_vote(const struct raft *r);
raft_index raft_commit(const struct raft *r);
struct entry_id raft_last(const struct raft *r);
raft_index raft_durable(const struct raft *r);
/* The leader has committed an entry of its own term (rules Q1, R13). */
bool raft_leader_is_established(const struct raft *r);
bool raft_is_transferring(const struct raft *r);
const struct raft_config *raft_active_config(const struct raft *r);
/* The entry at `index`, borrowed until the next step; NULL when it is not in memory. */
const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index);
/* Its term; false when it is not in the log (never 0 for an absent one, rule R12). */
bool raft_term_at(const struct raft *r, raft_index index, raft_term *term);

/* What a leader believes about one member; false when not leading or unknown. */
struct raft_progress_view {
    raft_index match;
    raft_index next;
    uint64_t last_ack_ms; /* when an answer last arrived, 0 = never */
    uint32_t inflight;
    bool probing;
};
bool raft_progress_of(const struct raft *r, node_id member, struct raft_progress_view *view);

const char *raft_role_name(enum raft_role role);
const char *raft_message_name(enum raft_message_type type);
const char *raft_event_name(enum raft_event_kind kind);
