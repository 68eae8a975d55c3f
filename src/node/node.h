/* node/node.h - one member: gather, step, persist, send, apply, reply.
 *
 * The only room that sees raft, wal, kv and net together. Everything here runs on the loop thread;
 * the log is written on the log thread. api/ turns client protocols into these calls; cmd/server.c
 * puts a node, an HTTP server and a loop together.
 *
 * Life: node_open recovers what the data directory holds. A member that is not founded yet founds
 * (founding.h) and meanwhile answers node_status_get; then it takes part. */
#pragma once

#include "base/limits.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"
#include "kv/kv_watch.h"
#include "net/loop.h"
#include "net/url.h"
#include "node/fault_set.h"

#include <stdbool.h>
#include <stdint.h>

struct disk;
struct node;

/* How far a write must have come before it is answered (contract: "Writes answer only what is
 * true"). */
enum node_ack { NODE_ACK_LEADER, NODE_ACK_QUORUM, NODE_ACK_ALL };

/* Contract, --election-policy. Natural order of names: node-2 before node-10. */
enum node_election_policy {
    NODE_POLICY_NONE,
    NODE_POLICY_LOWEST_ID,
    NODE_POLICY_HIGHEST_ID,
    NODE_POLICY_PRIORITY,
};

enum node_consistency { NODE_LINEARIZABLE, NODE_SESSION, NODE_STALE };

struct node_options {
    const char *name;
    /* Where `disk` is, for messages. */
    const char *data_dir;
    const char *listen_host;
    uint16_t listen_port;
    bool speaks_tls; /* where it listens: URLs made from that are https */
    /* NULL = from listen; for 0.0.0.0 what the others dialled, else the first local address, else
     * the host's name. */
    const char *advertise;
    /* The other founding members; own URL among them is dropped. */
    const char *const *peers;
    uint32_t peer_count;
    /* Any members of the cluster that this one wants to join; excludes `peers`. Ignored once it
     * is a member. */
    const char *const *join;
    uint32_t join_count;
    /* The cluster's secret, any bytes; empty = none. */
    struct slice secret;
    uint32_t heartbeat_ms;
    uint32_t election_timeout_ms;
    uint32_t request_timeout_ms;
    uint64_t history_ms;
    uint64_t history_bytes;
    uint64_t quota_bytes;
    uint64_t value_bytes_max;
    /* Rule E10; as leader. `priority` is this member's own and travels with its place in the
     * membership. */
    enum node_election_policy election_policy;
    uint32_t priority;
    bool lease_reads; /* rule Q6; as leader */
    /* Rule S0: take a snapshot when the log since the last one is this long; 0 = 64 MiB and
     * 1,000,000 entries. Or when the log takes LIMIT_SNAPSHOT_LOG_TIMES of it on the disk. */
    uint64_t snapshot_log_bytes;
    uint64_t snapshot_log_entries;
    /* Sizes of log segments, for tests; 0 = those of wal.h */
    uint64_t first_segment_bytes;
    uint64_t segment_bytes;
    /* The member cannot go on: says why; the process must exit with this code. Called once, on the
     * loop thread. */
    void (*on_fatal)(void *context, int exit_code, const char *why);
    void *context;
};

/* Opens the data directory behind `disk` (locks it first). OK, or a status and *detail, a new
 * string for a person: BUSY (in use), CORRUPT, UNSUPPORTED (newer format), CONFLICT (another
 * member's name), IO, NO_SPACE. `loop` and `disk` are borrowed until node_destroy. */
enum status MUST_CHECK node_open(const struct node_options *options, struct loop *loop,
                                 struct disk *disk, struct node **node, char **detail);
/* Hand leadership over if leading (given up after one election timeout), refuse new writes, finish
 * what waits, then call `done` once. */
void node_shutdown(struct node *n, void (*done)(void *context), void *context);
void node_destroy(struct node *n);

/* The turn hook of the loop: step the core, persist, send, apply, answer. */
void node_turn(struct node *n);

/* A connection that asked for `Upgrade: conclave-peer/1` on `GET /peer`; the 101 was sent. `rest`
 * are bytes already read. The node owns it from here. */
void node_take_peer(struct node *n, struct conn *c, struct slice rest);

/* --- writes ----------------------------------------------------------------------------------- */

/* Embedded in the caller's request; zero-initialised, then the first block is set. */
struct node_write {
    enum node_ack ack;
    /* Not leading, hand it to the leader instead of NOT_LEADER (rule R15): one hop, sent once. */
    bool forward;
    /* Of a transaction: where its answer goes (kv_txn.h); borrowed until `done` or the cancel; NULL
     * = not wanted. Appended to, when the transaction is OK. NODE_ACK_LEADER is then as
     * NODE_ACK_QUORUM: there is no answer before it is applied. */
    struct buf *answer;
    /* Called once, on the loop, never inside node_write_start. */
    void (*done)(struct node_write *w);
    void *context;

    /* The answer. OK: durable as `ack` says (and applied, but for NODE_ACK_LEADER).
     * Nothing was written: NOT_LEADER (another entry was committed in its place), and whatever else
     * kv_apply says (kv.h): NOT_FOUND, CONFLICT, ...; `result` says more. UNKNOWN: proposed, and
     * not known to be committed. NOT_CONFIRMED: committed and applied, but not on all; `missing`
     * has who. */
    enum status status;
    struct kv_result result; /* key_revision 0: an older leader, that did not say it */
    uint64_t index;
    uint64_t term;
    uint32_t missing_count;
    char missing[LIMIT_MEMBERS][LIMIT_NAME_BYTES + 1];
    char leader[LIMIT_NAME_BYTES + 1]; /* it was forwarded to this one; empty = taken here */

    /* The node's own. */
    struct node *node;
    struct list link;
    uint64_t deadline_ms;
    uint64_t started_us;
    uint64_t forward_number; /* 0 = not forwarded */
    struct uuid forwarded_to;
};

/* Propose a command (its time_ms and retry_origin are set here); its slices may go when this
 * returns. OK: `done` will be called. Anything else: nothing was written and `done` is never
 * called: NOT_LEADER (node_status_get says who leads), NO_QUORUM (leading, but a majority is known
 * to be away), OVERLOADED, NO_SPACE, TOO_LARGE (a value, or all of a transaction, beyond
 * value_bytes_max), BUSY (leadership is being handed over). A forwarded one may get each of these
 * in `done`, and UNKNOWN when the link with the leader ends before its answer. NO_SPACE is never
 * said of what makes room: deletes, compactions, revokes, transactions without a put. Lease
 * expiries are proposed by the node alone: INVALID. UNSUPPORTED: transactions and leases, while a
 * member is linked whose version is an older one, which they would end. */
enum status MUST_CHECK node_write_start(struct node *n, struct node_write *w,
                                        const struct kv_command *command);
/* A write of so many bytes would be OVERLOADED: what was proposed before it has waited for too
 * long, or is too much. False where this member would not propose it. */
bool node_is_overloaded(const struct node *n, uint64_t bytes);
/* The client went away: `done` will not be called; the write itself goes on. */
void node_write_cancel(struct node_write *w);

/* --- reads ------------------------------------------------------------------------------------ */

struct node_read {
    enum node_consistency consistency;
    uint64_t min_revision; /* NODE_SESSION: wait until the store is there */
    uint64_t max_lag_ms; /* NODE_STALE: refuse when the leader was not heard for longer; 0 = any */
    /* Called once; inside node_read_start when the answer is ready at once. */
    void (*done)(struct node_read *r);
    void *context;

    /* OK: node_kv may be read now, inside `done`. NOT_LEADER: no leader known, or it changed.
     * NO_QUORUM: not confirmed in time. BEHIND: the session's revision or the lag. */
    enum status status;

    struct node *node;
    struct list link;
    uint64_t deadline_ms;
    uint64_t token;
    uint64_t index;
};

void node_read_start(struct node *n, struct node_read *r);
void node_read_cancel(struct node_read *r);
/* The applied state. Valid for reading on the loop thread, between turns. */
const struct kv *node_kv(const struct node *n);

/* --- watches: kv/kv_watch.h ------------------------------------------------------------------- */

/* kv_watch_start with the hub of this member; the callbacks come in its turns, never inside this.
 * CLOSED also while it is shutting down, which ends all watches. From then on pause, resume and
 * cancel are kv_watch_*. */
enum status MUST_CHECK node_watch_start(struct node *n, struct kv_watch *w);
/* For kv_watch_hub_told: the revision in progress notifications. */
const struct kv_watch_hub *node_watch_hub(const struct node *n);

/* For streams whose clients asked to hear of it (`hasleader`): embedded in the owner's, `lost` is
 * called once when this member has known no leader for LIMIT_NO_LEADER_TIMEOUTS election timeouts,
 * in a turn. It is not waited for any more then. */
struct node_leader_guard {
    void (*lost)(struct node_leader_guard *g);
    void *context;
    struct list link;
};
/* False: there has been none for so long already; `lost` will not be called. */
bool node_leader_guard_start(struct node *n, struct node_leader_guard *g);
/* Harmless after `lost`; not before the start. */
void node_leader_guard_cancel(struct node_leader_guard *g);
/* --- leases: rules T1 to T3 ------------------------------------------------------------------- */

/* Grants, revokes and `?ttl=` are commands for node_write_start; what there is of leases and their
 * keys is in node_kv. The leader alone has their clock, and what is asked of it here is handed to
 * it from any member. Expiry is the node's own business. */

/* The shortest TTL in seconds that a failover leaves time to keep alive. Who grants raises a
 * shorter one to this. */
uint64_t node_lease_ttl_min(const struct node *n);

enum node_lease_question {
    NODE_LEASE_KEEP_ALIVE,
    NODE_LEASE_REMAINING, /* changes nothing */
};

/* Embedded in the caller's request; zero-initialised, then the first block is set. */
struct node_lease_ask {
    enum node_lease_question question;
    uint64_t id;
    /* Called once, on the loop, never inside node_lease_start. */
    void (*done)(struct node_lease_ask *a);
    void *context;

    /* OK: a majority has confirmed the leader since it was asked (rule T2), and the lease is there;
     * kept alive, it has its whole TTL from then on. NO_LEASE: there is none. Else nothing is known
     * of it, and it may be asked again: NOT_LEADER (none is known, or it changed), NO_QUORUM (not
     * confirmed in time), UNREACHABLE (the link with the leader ended, or it did not answer in
     * time), OVERLOADED, BUSY (the leader's state is in doubt). */
    enum status status;
    uint64_t ttl_s;       /* as granted */
    uint64_t remaining_s; /* rounded down; 0 to ttl_s */

    /* The node's own. */
    struct node *node;
    struct list link;
    struct node_read read; /* that confirms it */
    uint64_t term;
    uint64_t deadline_ms;
    uint64_t forward_number; /* 0 = not forwarded */
    struct uuid forwarded_to;
};

/* OK: `done` will be called. NOT_LEADER, OVERLOADED (LIMIT_LEASE_ASKS wait here), BUSY, UNSUPPORTED
 * (the leader's version is an older one): it will not be. */
enum status MUST_CHECK node_lease_start(struct node *n, struct node_lease_ask *a);
/* The client went away: `done` will not be called; the lease may be kept alive all the same. */
void node_lease_cancel(struct node_lease_ask *a);

/* --- who is who ------------------------------------------------------------------------------- */

/* A member as this one sees it. */
struct node_member {
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    uint64_t id; /* uuid_short(incarnation) */
    struct uuid incarnation;
    bool self;
};

struct node_status {
    const char *name; /* borrowed from the node */
    uint64_t id;
    char url[LIMIT_URL_BYTES]; /* own, advertised */
    bool founding;
    struct uuid cluster; /* zero while founding */
    /* "leader", "follower", "candidate", "learner", "quarantined"; NULL while founding or
     * joining */
    const char *role;
    bool joining;    /* not a member yet: --join */
    bool recovering; /* rule P4: what its disk lost comes from the others */
    bool no_space;   /* rule P12: writes are refused, deletes pass */
    uint64_t term;
    /* Leader's name and URL; empty = unknown */
    char leader[LIMIT_NAME_BYTES + 1];
    char leader_url[LIMIT_URL_BYTES];
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t last_index;
    uint64_t uptime_ms;
    /* voters and learners of the active configuration, self first, then by name; while founding:
     * self and those reached */
    uint32_t member_count;
    struct node_member members[LIMIT_MEMBERS];
    bool shutting_down;
    bool no_quorum; /* leading, but a majority is known to be away */
    bool faults;    /* node_faults_set: it plays some */
    /* since the last word of the leader; 0 on the leader; UINT64_MAX = never */
    uint64_t leader_contact_ms;
};
void node_status_get(const struct node *n, struct node_status *status);
/* The fields of node_status that answers carry, one by one: asked with every request. */
const char *node_name(const struct node *n); /* borrowed from the node */
uint64_t node_own_id(const struct node *n);
struct uuid node_cluster(const struct node *n); /* zero while founding */
const char *node_role(const struct node *n);    /* static; NULL while founding or joining */
uint64_t node_term(const struct node *n);       /* 0 while founding */
bool node_knows_leader(const struct node *n);   /* status.leader is not empty */
/* While founding: who is missing and what is done, one line for a person; empty otherwise. */
void node_founding_text(const struct node *n, char *text, size_t size);

/* What a survey learned of one member. */
struct node_survey_item {
    struct node_member member;
    bool online;
    const char *role; /* static, NULL while founding or offline */
    uint64_t term;
    char leader[LIMIT_NAME_BYTES + 1];
    uint64_t applied_index;
    uint64_t revision;
    uint64_t last_contact_ms; /* since it was last heard; UINT64_MAX = never */
};
struct node_survey {
    void (*done)(struct node_survey *s);
    void *context;
    uint32_t count; /* self first */
    struct node_survey_item items[LIMIT_MEMBERS];
    struct node *node;
    struct list link;
    uint64_t deadline_ms;
    uint64_t number;
};
/* Ask every member for its state, all at once; `done` within half a second, with whoever
 * answered. OVERLOADED: LIMIT_SURVEYS are under way; `done` will not be called. */
enum status MUST_CHECK node_survey_start(struct node *n, struct node_survey *s);
void node_survey_cancel(struct node_survey *s);

/* --- load: who is how busy, and who is there (rows E4 to E7) ---------------------------------- */

struct node_load {
    uint32_t connections; /* of clients */
    uint32_t requests_per_second;
    uint16_t loop_permille; /* of the time, the loop works */
};
/* What clients ask of this member now; the others are told with the next beat. Cheap. */
void node_set_load(struct node *n, const struct node_load *load);

struct node_load_item {
    struct node_member member;
    /* May be given clients: a voter that is heard, takes part, does not stop, and is not more than
     * LIMIT_PROMOTE_LAG_ENTRIES behind. */
    bool serves;
    uint64_t age_ms; /* since it told; 0 = self; UINT64_MAX = never */
    struct node_load load;
};
/* Every member: by name from the one after this on, this one last. How many; 0 while founding. */
uint32_t node_loads_get(const struct node *n, struct node_load_item items[LIMIT_MEMBERS]);

enum node_presence { NODE_OFFLINE, NODE_ONLINE, NODE_LEADS };
struct node_view_item {
    char name[LIMIT_NAME_BYTES + 1];
    struct url address;
    enum node_presence presence;
    uint32_t connections; /* 0 = none, or offline */
};
/* The members as a leader saw them, and told all: the same term and number are the same view.
 * Numbers grow within a term. */
struct node_view {
    uint64_t term; /* 0 = nothing was heard yet */
    uint64_t number;
    uint32_t count; /* by name */
    struct node_view_item items[LIMIT_MEMBERS];
};
/* The word of the last leader. Borrowed; another one after a turn. */
const struct node_view *node_view(const struct node *n);

/* --- membership: rules C1 to C9 --------------------------------------------------------------- */

struct node_membership_item {
    struct node_member member; /* incarnation zero: invited, and has not come yet */
    bool voter;                /* of the new half when joint */
    bool learner;
    bool stays_learner; /* nobody promotes it by itself */
    bool replaced;      /* its disk was given up; it goes when its successor has caught up */
    uint32_t priority;
};
struct node_membership {
    uint64_t index; /* where it stands in the log */
    bool joint;
    bool committed;
    uint32_t count; /* by name */
    struct node_membership_item items[2 * LIMIT_MEMBERS];
};
void node_membership_get(const struct node *n, struct node_membership *m);

enum node_change_kind {
    /* `name` may join as `url` (by --join), as a learner first; promoted when it has caught up
     * unless `learner`. OK as soon as the invitation is committed. */
    NODE_CHANGE_ADD,
    /* Whatever it is: voter, learner, invited; also the leader (rule C5). OK once the configuration
     * without it is committed. */
    NODE_CHANGE_REMOVE,
    /* A learner becomes a voter. BEHIND: it has not caught up (rule C4). */
    NODE_CHANGE_PROMOTE,
    /* Its disk is lost: a new incarnation of the name may join, at `url` (empty = the same), and
     * takes its place in one joint change once it has caught up (rules C4b, C7). */
    NODE_CHANGE_REPLACE,
};
struct node_change {
    enum node_change_kind kind;
    char name[LIMIT_NAME_BYTES + 1];
    char url[LIMIT_URL_BYTES];
    bool learner;
    /* Once. OK: committed. NOT_FOUND: no such member; CONFLICT: it is there already, or is a voter
     * already, or another member has that url; INVALID: the last voter, or too many members; BUSY:
     * another change was under way for as long as a request may wait; BEHIND; NO_QUORUM: the
     * members that would be left, or that would decide, do not answer (C4); NOT_LEADER; UNKNOWN:
     * proposed, and not known to be committed. `why` is for a person. */
    void (*done)(struct node_change *c);
    void *context;
    enum status status;
    char why[256];
    struct node *node;
    struct list link;
    uint64_t deadline_ms;
    uint64_t index;
    uint64_t term;
    bool is_committed; /* the entry; a joint configuration is still to be left */
};
/* On the leader. `done` is called later, never inside; or NOT_LEADER, OVERLOADED, INVALID (name or
 * url), and it is not. */
enum status MUST_CHECK node_change_start(struct node *n, struct node_change *c);
void node_change_cancel(struct node_change *c);

/* --- the log ---------------------------------------------------------------------------------- */

/* One committed entry, as it stands in the log: what was asked for, which a condition or a retry
 * key may have kept from being done. */
struct node_log_entry {
    uint64_t index;
    uint64_t term;
    const char *type; /* static: "write", "delete", "compact", "noop", "config" ... */
    /* Time, key and so on; false: the type has no such. Slices borrow as the array does. */
    bool has_command;
    bool has_value;
    struct kv_command command;
};
struct node_log_read {
    uint64_t from;  /* the first index; 0 = so that the newest is the last that is told */
    uint32_t limit; /* 1 to LIMIT_LOG_READ_ENTRIES; LIMIT_LOG_READ_BYTES may end it before */
    /* Once. OK, TIMEOUT: the disk did not answer for as long as a request may wait; CORRUPT, IO. */
    void (*done)(struct node_log_read *r);
    void *context;
    enum status status;
    uint64_t oldest; /* that this member has, when it was started; newest + 1 = none */
    uint64_t newest;
    uint32_t count;
    const struct node_log_entry *entries; /* borrowed during `done` */
    struct node *node;
};
/* What is committed and applied here, from this member's own log, read on the log thread. OK:
 * `done` will be called, never inside. COMPACTED: a snapshot took the place of `from`; FUTURE: it
 * is beyond newest + 1; both with `oldest` and `newest`. OVERLOADED: LIMIT_LOG_READS are under way;
 * CLOSED: no member yet, or stopping. */
enum status MUST_CHECK node_log_read_start(struct node *n, struct node_log_read *r);
void node_log_read_cancel(struct node_log_read *r);

/* What the leader knows of another member's log. */
struct node_replica {
    char name[LIMIT_NAME_BYTES + 1];
    const char *state;    /* static: "probe", "replicate", "snapshot", "recovering" */
    uint64_t match;       /* it has everything up to here; 0 = not known in this term */
    uint64_t next;        /* what is sent next */
    uint64_t backlog;     /* entries that it is not known to have */
    uint64_t attempts;    /* to reach it, since it was reached last */
    char last_error[160]; /* of the last of them; empty = none */
};
struct node_replication {
    uint64_t term;
    uint64_t commit_index;
    uint64_t last_index;
    uint32_t count; /* voters and learners but this one, by name */
    struct node_replica replicas[LIMIT_MEMBERS];
};
/* NOT_LEADER, or OK. */
enum status MUST_CHECK node_replication_get(const struct node *n, struct node_replication *r);

/* --- backups ---------------------------------------------------------------------------------- */

/* The state at one applied index as the bytes of a snapshot file (wal/snapshot_file.h), verified.
 * On any member; what is read is what is committed and applied there. */
struct node_backup {
    /* Once: OK (size_bytes, index and revision are set; call node_backup_next), NO_SPACE, IO, BUSY
     * (another one is under way), or TIMEOUT. */
    void (*ready)(struct node_backup *b);
    /* After each node_backup_next: OK with bytes (borrowed during the call; empty = that was the
     * end), or IO. */
    void (*piece)(struct node_backup *b, enum status status, struct slice bytes);
    void *context;
    enum status status;
    uint64_t size_bytes;
    uint64_t index;
    uint64_t revision;
    struct node *node;
    struct list link;
    uint64_t offset;
};
enum status MUST_CHECK node_backup_start(struct node *n, struct node_backup *b);
void node_backup_next(struct node_backup *b);
/* Also before the end; nothing is called any more. */
void node_backup_end(struct node_backup *b);

/* --- figures, for /metrics -------------------------------------------------------------------- */

#define NODE_HISTOGRAM_BUCKETS 20
/* Bucket i counts what took less than 2^i * 10 us; the last one all the rest. */
struct node_histogram {
    uint64_t counts[NODE_HISTOGRAM_BUCKETS];
    uint64_t sum_us;
    uint64_t count;
};
struct node_metrics {
    /* Queues now, each with its bound in base/limits.h. */
    uint64_t writes_waiting;
    uint64_t reads_waiting;
    uint64_t lease_asks_waiting;
    uint64_t uncommitted_bytes;
    uint64_t uncommitted_entries;
    uint64_t log_tail_bytes;
    uint64_t apply_backlog;
    uint64_t peer_unsent_bytes;
    /* Since the start. */
    uint64_t proposals;
    uint64_t proposals_refused;
    uint64_t reads;
    uint64_t elections_timeout;     /* begun because of silence */
    uint64_t elections_lost_leader; /* rule E6b */
    uint64_t elections_transfer;
    uint64_t elections_won;
    uint64_t leader_changes;
    uint64_t quorum_lost;
    uint64_t stalls;
    uint64_t snapshots_taken;
    uint64_t snapshots_sent;
    uint64_t snapshots_installed;
    uint64_t scrub_rounds;
    uint64_t damage_found;
    uint64_t digest_mismatches;
    uint64_t fault_drops;     /* messages that node_faults_set lost, both ways */
    uint64_t peer_bad_frames; /* links that ended for that; see struct peers_counters */
    uint64_t peer_bad_secrets;
    uint64_t peer_bad_versions;
    uint64_t peer_refused_hellos;
    uint64_t peer_strangers;
    uint64_t log_disk_bytes;
    uint64_t log_written_bytes; /* whole records with their padding, since the start */
    uint64_t log_room_bytes;
    uint64_t snapshot_index;
    struct kv_watch_stats watches;
    struct node_histogram log_sync;   /* one write and sync of the log */
    struct node_histogram peer_round; /* leader: from sending to the answer of each voter */
    struct node_histogram commit;     /* from proposal to applied */
};
void node_metrics_get(const struct node *n, struct node_metrics *m);

/* --- leadership ------------------------------------------------------------------------------- */

struct node_step_down {
    char to[LIMIT_NAME_BYTES + 1]; /* empty = whoever is best caught up */
    /* OK: another member leads (a lone member: leads a new term). TIMEOUT: nobody caught up within
     * an election timeout, it still leads. NO_QUORUM: it does not lead any more, and it is not
     * known that anybody does. */
    void (*done)(struct node_step_down *d);
    void *context;
    enum status status;
    struct node *node;
    struct list link;
    uint64_t deadline_ms;
    uint64_t term;
};
/* OK: `done` will be called. NOT_LEADER, NOT_FOUND (no such voter), CONFLICT (`to` is this one,
 * which leads), BUSY (one is under way). */
enum status MUST_CHECK node_step_down_start(struct node *n, struct node_step_down *d);
void node_step_down_cancel(struct node_step_down *d);
/* Ask the leader for leadership, or campaign by pre-vote when there is none; at most one per ten
 * election timeouts (further ones are OK and do nothing). */
void node_campaign(struct node *n);

/* --- faults for experiments (contract, /faults) ----------------------------------------------- */

/* Play these from now on instead of those before, until a restart; copied. Links with members whose
 * names are not known (yet) are played when there are such members. */
void node_faults_set(struct node *n, const struct fault_set *faults);
void node_faults_get(const struct node *n, struct fault_set *faults);

/* --- probes ----------------------------------------------------------------------------------- */

/* False with a reason for a person in `why`. */
bool node_is_live(const struct node *n, char *why, size_t size);
struct node_check {
    const char *name; /* static */
    bool ok;
    char detail[256];
};
#define NODE_CHECKS_MAX 12
/* Every readiness check; returns how many. */
uint32_t node_ready_checks(const struct node *n, struct node_check checks[NODE_CHECKS_MAX]);
