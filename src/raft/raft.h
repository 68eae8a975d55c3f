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
#include "base/slice.h"
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
    RAFT_ENTRY_CONFIG = 2,  /* a membership: raft_config_encode */
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

/* The payload of a RAFT_ENTRY_CONFIG: the configuration, and then `annex`, bytes of the host that
 * travel with it (names, URLs, who was removed). */
struct blob *raft_config_encode(const struct raft_config *config, struct slice annex);
/* CORRUPT for anything that raft_config_encode does not write: more than LIMIT_MEMBERS in a list,
 * no voter, an id zero or twice in one list, a learner among the voters (an outgoing voter may be
 * one: it becomes a learner), an annex beyond LIMIT_CONFIG_ANNEX_BYTES. *annex borrows from
 * `payload`. */
enum status MUST_CHECK raft_config_decode(struct slice payload, struct raft_config *config,
                                          struct slice *annex);

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
    /* Leader to its own host: this follower needs a snapshot. It is not sent as such: the host
     * streams the newest snapshot that it has (S6), and tells RAFT_INPUT_SNAPSHOT_SENT how it went;
     * the receiver's host gives it to its core by RAFT_INPUT_INSTALL. Once a leadership and try. */
    RAFT_MSG_SNAPSHOT,
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
    /* APPEND_REPLY, HEARTBEAT_REPLY: somebody at the sender waits for what is committed, and it is
     * to be told at once (rule R14) */
    bool waits;
    /* Rule P4. HEARTBEAT_REPLY, APPEND_REPLY: the sender lost a part of its log; `match` is all
     * that may be believed of it, and it counts in no quorum. HEARTBEAT: the leader knows; what the
     * receiver must have again is `last` (the leader's last entry) */
    bool recovering;
    /* Rule Q6b. APPEND, HEARTBEAT: for so long after its arrival the receiver grants no vote and no
     * pre-vote to anybody but the sender; 0 = no such promise is asked */
    uint32_t lease_ms;
    /* APPEND_REPLY, HEARTBEAT_REPLY: while nothing happens, heartbeats to the sender may be so far
     * apart; 0 = no further than the leader's own, and no notice of the commit index may wait
     * (members before this say so) */
    uint32_t rest_ms;
    bool bulk; /* APPEND: of entries read back from disk, or after such: may take the slow lane */
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
    /* A majority of the voters is there, and none of them says that it leads. The first time that
     * this is told, a member that has not heard of a leader since it was started does not wait for
     * its timeout: the most preferred one campaigns first (E10) */
    RAFT_INPUT_GATHERED,
    /* .target: messages to it were dropped. It gets heartbeats only until it answers one, then a
     * probe; reads that were asked of it fail */
    RAFT_INPUT_UNREACHABLE,
    RAFT_INPUT_STALLED, /* this member's disk hangs: a leader hands over or steps down (rule E8) */
    /* .change: OK = the last entry of the log is the new (perhaps joint) configuration; the core
     * leaves the joint one by itself (rule C9). NOT_LEADER; BUSY: a change is in flight, no entry
     * of this term is committed yet (rule C1), or leadership is being handed over; INVALID: no
     * voter, too many, `outgoing` not empty, an annex beyond LIMIT_CONFIG_ANNEX_BYTES; BEHIND: a
     * new voter has not caught up (rule C4); NO_QUORUM: a majority of the new voters is not heard;
     * OVERLOADED */
    RAFT_INPUT_CHANGE,
    /* .compact: a durable snapshot `id` is there, and entries before `first` are gone or may go
     * (first <= id.index + 1). What a follower needs below `first` it gets as a snapshot. */
    RAFT_INPUT_COMPACTED,
    /* .install: a whole, verified, durable snapshot of this cluster came (rule S3). Answered by
     * output.restore once the log agrees with it on disk. CONFLICT: nothing new in it (at or below
     * the commit index); throw it away. BUSY: one is being installed or not applied yet. */
    RAFT_INPUT_INSTALL,
    /* .sent: streaming a snapshot to .sent.member ended. Not ok: tried again after a heartbeat */
    RAFT_INPUT_SNAPSHOT_SENT,
    /* .barred: this member may not lead (quarantined, rule P15b): it neither campaigns nor takes
     * leadership, and hands it over when it has it. Its log and votes count as ever. */
    RAFT_INPUT_BARRED,
};

struct raft_input {
    /* Monotonic, also while the machine is suspended: leases are measured with it (rule Q6). Never
     * smaller than before */
    uint64_t now_ms;
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
            const struct raft_config *config; /* voters and learners; no outgoing ones */
            struct slice annex;
        } change;
        struct {
            struct entry_id id;
            raft_index first;
        } compact;
        struct {
            struct entry_id id;
            raft_term term;          /* of the leader that sent it; 0 = not above this member's */
            raft_index config_index; /* where the log had the configuration below */
            const struct raft_config *config; /* in force at id.index; both halves if joint (S1) */
            struct slice annex;
        } install;
        struct {
            node_id member;
            bool ok;
        } sent;
        bool barred;
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
    /* Rule Q6b: the longest lease that this member may have promised, in ms; never falls. Part of
     * the hard state. */
    uint32_t lease_promise_ms;
    /* Rule S3. index != 0: a snapshot was taken in. `discard`: the whole log is void, and the next
     * entry is install.index + 1 (entries of this persist come after that); else the log goes on
     * behind it. */
    struct entry_id install;
    bool discard;
    /* Rule P4: this member has again what it had lost; the log need not be doubted any more */
    bool recovered;
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
    X(AMNESIA, "commit", "last")  /* entries that this member acknowledged are not here */         \
    X(CONFIG, "index", "joint")   /* a configuration came into force (rule C2) */                  \
    X(CONFIG_ROLLED_BACK, "index", "dropped") /* rule C3: the one at `index` is in force again */  \
    X(CONFIG_COMMITTED, "index", "joint")                                                          \
    X(INSTALLED, "index", "discarded") /* a snapshot took the place of the log */                  \
    X(SNAPSHOT_NEEDED, "member", "next")                                                           \
    X(RECOVERED, "index", "term")  /* rule P4: votes and acknowledgements count again */           \
    X(PREFERRED, "member", "term") /* rule E10: leadership is handed to a preferred member */

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
    /* Rule S3: before anything else is applied, the state is that of the snapshot that was given by
     * RAFT_INPUT_INSTALL: index != 0 once, when the log agrees with it on disk. */
    struct entry_id restore;
    /* Committed and durable here: apply up to it, in order, once (rule R10). Falls to what is
     * applied from INSTALL until `restore`, and never else. */
    raft_index apply_to;
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

/* Rule E10. Who of two members of the active configuration is preferred: node ids in order, most
 * preferred first; those not named come last, alike. Set by the host from names and --priority. */
struct raft_preference {
    uint32_t count;
    node_id order[LIMIT_MEMBERS];
    /* The leader hands over to the most preferred voter once that one has been caught up for ten
     * election timeouts, and waits for it rather than hand over to a lesser one; at most one such
     * hand-over in ten, and fewer when it does not take it. Else rank only orders who campaigns
     * first. */
    bool hand_back;
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
    /* Rule Q6: as leader, confirm reads by a lease. Its length is derived from E and the bound of
     * the clocks' rates below. */
    bool lease_reads;
    uint32_t clock_rate_error_percent; /* r; 0 = 1 */
};

/* What recovery found on disk. All of it is durable. The parts of a persist that a crash cut short
 * may be there in any combination that keeps the entries a prefix: even the term may be older than
 * that of the last entry. */
struct raft_restored {
    raft_term term;
    node_id vote;
    /* The newest configuration at or before `applied`: the founding roster (rule G5, index 0), an
     * entry, or a snapshot's. Later ones are found in `tail`. */
    struct raft_config config;
    raft_index config_index;
    struct slice annex;       /* of that configuration; copied */
    struct entry_id snapshot; /* the newest one on disk; 0 = none */
    /* Entries from here on are in the log, or would be: 1 without a snapshot. The entry before it
     * is {base_term, first - 1}, which `snapshot` covers. */
    raft_index first;
    raft_term base_term;
    uint32_t lease_promise_ms; /* as the last persist had it */
    bool recovering;           /* rule P4: entries that this member had acknowledged may be lost */
    raft_index commit;         /* floor */
    raft_index applied;        /* <= commit: already applied by the caller */
    raft_index last;           /* last entry in the log */
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

/* Feed one input. Returns OK, or for PROPOSE, READ, TRANSFER, CAMPAIGN, CHANGE and INSTALL why it
 * was refused. An accepted proposal's entries are the last `count` of the log: raft_last(r) tells
 * their ids. */
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
/* The configuration in force (rule C2: from its append on), borrowed until the next step. */
struct raft_config_view {
    struct entry_id id; /* where it stands; index 0 = as restored */
    bool committed;
    const struct raft_config *config;
    struct slice annex;
};
void raft_config_view(const struct raft *r, struct raft_config_view *view);
/* The newest configuration at or before `index` (>= the applied index of the last step): what a
 * snapshot taken at `index` must carry (rule S1). False when it is no longer known. */
bool raft_config_at(const struct raft *r, raft_index index, struct raft_config_view *view);
/* Entries from here on are in the log. */
raft_index raft_first(const struct raft *r);
bool raft_is_recovering(const struct raft *r);
/* A linearizable read may be served from the applied state at `*index` now, without asking anybody
 * (rule Q6: commit index and validity taken in one step). `now_ms` is read from the clock for this
 * call, and that of a message after it arrived: else leases are longer, or promises shorter. */
bool raft_lease_read(struct raft *r, uint64_t now_ms, raft_index *index);
/* What this member wants of its leader beside entries; said with every answer from now on. */
struct raft_wish {
    bool waits; /* as in struct raft_message; of a leader: all are to be told at once */
    bool beats; /* heartbeats as often as ever */
};
void raft_set_wish(struct raft *r, struct raft_wish wish);
/* Rule E10: the ranks changed (a new membership); copied. A follower's timeout is drawn anew where
 * its part of the interval is another one by that: step before waiting for the last deadline. */
void raft_set_preference(struct raft *r, const struct raft_preference *preference);
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
    bool needs_snapshot;
    bool recovering;
};
bool raft_progress_of(const struct raft *r, node_id member, struct raft_progress_view *view);

/* What waits, against its bounds in struct raft_options. */
struct raft_figures {
    uint64_t uncommitted_bytes; /* payloads; 0 unless leading (rule O2) */
    uint32_t uncommitted_entries;
    uint64_t tail_bytes; /* the log in memory */
};
struct raft_figures raft_figures(const struct raft *r);

const char *raft_role_name(enum raft_role role);
const char *raft_message_name(enum raft_message_type type);
const char *raft_event_name(enum raft_event_kind kind);
