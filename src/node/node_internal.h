/* node/node_internal.h - one member's state, shared by the files of node/ that act on it.
 *
 * Reading order: restart.c (what the disk says), forming.c (founding), joining.c, node.c (the
 * turn), log_writer.c (the log thread), snapshots.h (the state as files), write_queue.c and
 * read_queue.c (who waits for what), leadership.c, active_members.c (who belongs to the cluster),
 * changes.c, admission.c, old_copy.c, survey.c, loads.h, leases.h, member_info.c (what is told
 * about it), fault_control.c (experiments). */
#pragma once

#include "base/buf.h"
#include "node/founding.h"
#include "node/joining.h"
#include "node/leases.h"
#include "node/loads.h"
#include "node/membership_annex.h"
#include "node/node.h"
#include "node/peers.h"
#include "node/roster.h"
#include "node/snapshots.h"
#include "node/state_check.h"
#include "raft/raft.h"
#include "wal/disk.h"
#include "wal/wal.h"

/* The record (wal.h) that holds struct identity. */
#define IDENTITY_RECORD "identity"

/* What was found, and where. */
#define DAMAGE_TEXT_SIZE 256

/* One write of the log under way on the log thread. */
struct log_write {
    struct work work;
    struct loop *loop; /* for its clock */
    struct wal *wal;
    struct wal_batch batch;
    struct wal_entry *entries; /* owned, `capacity` of them */
    uint32_t capacity;
    enum status status;
    bool wants_prepare; /* the next segment is due, as the log thread saw it */
    uint64_t room_bytes;
    uint64_t disk_bytes;
    uint64_t written_bytes;
    bool in_flight;
    bool waits_for_space; /* in flight, and handed to the log again when there may be room */
    bool recovered;       /* rule P4: with it, what the log had lost is here again */
    uint64_t started_ms;
    uint64_t sync_us; /* of the last one, by the log thread's clock */
    bool stall_told;  /* rule E8: the core knows */
    uint32_t lone;    /* small ones in a row that had the disk for themselves, and were fast */
    uint64_t done_us; /* when the last one was done */
    uint32_t held_ms; /* by a fault, before the log thread got it */
    struct timer hold_timer;
    uint32_t sync_ms; /* smoothed duration, for rule E6b's slot; at least 1 */
};

/* Entries read back from disk for a follower that is far behind. */
struct log_load {
    struct work work;
    struct wal *wal;
    raft_index first;
    raft_index last;
    uint64_t bytes_max;
    struct raft_entry *entries; /* owned, with their payloads; made on the log thread */
    uint32_t count;
    uint32_t capacity;
    enum status status;
    bool in_flight;
};

struct log_prepare {
    struct work work;
    struct wal *wal;
    enum status status;
    bool wants_more;
    uint64_t room_bytes;
    uint64_t disk_bytes;
    bool in_flight;
};

struct log_seal {
    struct work work;
    struct wal *wal;
    enum status status;
    bool in_flight;
};

/* Entries being read for a client; free when `node` is NULL. */
struct log_reading {
    struct work work;
    struct node *node;
    struct wal *wal;
    struct node_log_read *client; /* NULL: it has gone, or was answered */
    uint64_t deadline_ms;
    raft_index first;
    raft_index last;                /* first - 1: nothing to read */
    struct node_log_entry *entries; /* owned, with their payloads; filled on the log thread */
    struct blob **payloads;
    uint32_t count;
    enum status status;
};

/* The identity being saved: while founding or joining, and when this member ends for ever. */
struct identity_save {
    struct work work;
    struct disk *disk;
    struct identity identity; /* what is being saved */
    struct buf content;
    enum status status;
    bool in_flight;
};

/* Row D9: a member whose link came back, as its leader tells it. */
struct catch_up {
    bool is_up;
    raft_index target; /* has everything at this index; 0 = nothing is to be told */
    raft_index holds;  /* what it had then, or a guess */
    bool is_known;     /* no guess */
    bool by_snapshot;
    bool is_told; /* that it is being sent something */
};

/* The same as this member tells it of itself, when the link with its leader came back. */
struct catching_up {
    raft_index from;
    raft_index seen;     /* at the last heartbeat */
    uint32_t beats_left; /* 0 = nothing is to be told */
};

/* Links of so many processes of a member may be heard in any order. */
#define BOOTS_KNOWN 4

/* What this process remembers of another member, however often that one was started. */
struct acquaintance {
    struct uuid incarnation; /* zero = free */
    struct uuid
        boot[BOOTS_KNOWN]; /* the processes that were heard and believed, the newest first */
    uint64_t boots;        /* rule C7: the highest that it told; 0 = none, or it could not count */
    raft_term term;        /* of its messages, so that it is durable there */
    uint32_t priority;
};

/* Joining: from the first hello until the identity is that of a member. */
struct join_state {
    bool active;
    struct timer timer;
    struct uuid cluster; /* the one that is asked; zero = none was met yet */
    char leader_url[LIMIT_URL_BYTES];
    char text[JOIN_TEXT_SIZE]; /* what is waited for; may be empty */
    uint64_t told_ms;
};

struct node {
    struct loop *loop;
    struct disk *disk;
    struct node_options options; /* strings below are its own */
    char *name;
    char *advertise; /* NULL = derived, see node_own_url */
    char **peer_urls;
    uint32_t peer_count;
    char **join_urls;
    uint32_t join_count;
    uint8_t *secret;

    struct identity identity; /* as it is on disk */
    struct uuid boot;
    node_id self;
    struct wal *wal;
    struct kv *kv;
    struct peers *peers;
    struct founding *founding; /* NULL once founded, and while joining */
    struct raft *raft;         /* NULL while founding or joining */
    struct join_state joining;
    /* The configuration in force as of the last turn (rule C2), and who that is. */
    struct entry_id config_id;
    bool config_is_known;
    bool config_is_committed;
    struct raft_config config;
    struct membership membership;
    /* Rule C6: as the newest committed configuration has it; what is not committed may be
     * undone. */
    uint32_t removed_count;
    struct uuid removed[LIMIT_REMOVED];
    raft_index removed_index;
    bool removed_untold; /* one of them may be linked still */
    bool self_removed;   /* rule C5: by a committed configuration */
    bool retiring;       /* the reason for the end is being saved */
    struct list changes; /* node_change */
    uint32_t change_count;
    uint64_t promote_again_ms;
    uint64_t promote_held_ms; /* since when a promotion waits for company; 0 = none does */
    struct acquaintance acquaintances[LIMIT_PEERS_KNOWN];
    uint64_t boots_told; /* rule C7; 0 = it could not be counted */
    /* Whom the links are kept with: members of the configuration in force, with the newest URLs
     * that hellos told. Two may have one name, while one replaces the other. */
    struct roster members;
    struct snapshots snapshots;
    struct catch_up catch_ups[LIMIT_MEMBERS]; /* by place in `members` */
    struct catching_up catching_up;
    char own_url[LIMIT_URL_BYTES]; /* empty = not known yet */
    bool own_url_is_sure;          /* given, or what another member dialled */

    uint64_t started_ms;
    raft_index applied;
    raft_term applied_term; /* of that entry */
    uint64_t caught_up_ms;  /* when a turn last ended with all that is committed applied; or 0 */
    uint64_t leader_contact_ms; /* last word of the leader; 0 = never */
    uint64_t beats_until_ms;    /* heartbeats are wanted as often as ever; 0 = never yet */
    node_id told_leader;        /* as the events told */
    struct told_rank {
        node_id first;
        uint32_t place; /* from 1; 0 = not among them */
        uint32_t count;
    } told_rank; /* of the election policy */
    bool hello_told;
    struct peer_hello hello; /* what the links say of us now */

    struct log_write write;
    struct log_load load;
    struct log_prepare prepare;
    struct log_seal seal;
    struct log_reading log_readings[LIMIT_LOG_READS];
    uint64_t written_ms; /* when the last write was durable */
    bool prepare_wanted;
    /* Rule P12 */
    bool is_short_of_space; /* the next segment could not be made */
    bool no_space;          /* and little is left of this one */
    struct timer space_timer;
    bool space_hand_over_tried; /* since then */
    /* Rule P13: found while running; leadership goes, then this member. Empty = none. */
    char damage[DAMAGE_TEXT_SIZE];
    struct timer damage_timer;
    struct scrub scrub;
    struct agreement agreement;
    struct rebuild rebuild;
    struct identity_save save;

    struct timer raft_timer;
    struct timer request_timer;
    struct timer compaction_timer;
    raft_index compaction_index; /* of the last one proposed */
    struct timer founding_timer;
    struct timer seal_timer; /* runs from a write until the log is sealed */

    uint64_t applying_us;       /* when the application that is under way began */
    struct buf scratch;         /* command encoding */
    struct list writes;         /* node_write, by index: not yet applied */
    struct list writes_durable; /* node_write with NODE_ACK_LEADER, by index */
    struct list writes_all;     /* node_write with NODE_ACK_ALL, applied, not yet on all */
    raft_index ack_all_index;   /* of the newest with NODE_ACK_ALL */
    uint32_t write_count;
    struct list forwards_out; /* node_write that a leader was asked to take, by number */
    struct list forwards_in;  /* struct forwarded: what others asked of us */
    uint32_t forwards_in_count;
    uint64_t forward_number;
    struct list reads_new;     /* node_read of this turn */
    struct list reads_asked;   /* waiting for raft's answer to their token */
    struct list reads_indexed; /* waiting for applied >= index */
    struct list reads_refused; /* the core said no; told at the end of the turn */
    struct list reads_session; /* waiting for a revision */
    uint32_t read_count;
    uint64_t read_token;
    struct leases leases;
    struct list surveys;
    uint32_t survey_count;
    uint64_t survey_number;
    struct loads loads;
    struct kv_watch_hub *watches;
    struct list leader_guards;    /* node_leader_guard */
    uint64_t leaderless_since_ms; /* 0 = there is a leader */
    struct list step_downs;
    uint64_t campaign_again_ms;

    struct fault_set *faults; /* NULL = none */
    struct node_metrics
        figures; /* what is counted since the start; queues are looked at when asked */

    /* A callback of this turn brought an input that the core has not seen a turn for: without one
     * more it would lie until something else happens. */
    bool turn_wanted;
    bool shutting_down;
    void (*shutdown_done)(void *context);
    void *shutdown_context;
    struct node_step_down shutdown_step_down;
    struct timer shutdown_timer;
    bool stopped; /* shut down: takes no part any more, but what it holds can be read */
    bool dead;    /* on_fatal was called: nothing is done any more */
};

/* --- node.c */
uint64_t node_now(const struct node *n);
/* Stop for good: tell the owner once. */
void node_fail(struct node *n, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The end is near: every request that waits gets the answer of its deadline, at once; no new ones
 * are taken. */
void node_answer_all(struct node *n);
/* Feed the core an input whose refusal means nothing to the caller. */
void node_step(struct node *n, const struct raft_input *input);
/* The member with that raft id, or NULL. */
const struct roster_member *node_member_by_id(const struct node *n, node_id id);
bool node_is_leader(const struct node *n);
/* Leading, but links to a majority (of either half) are down. */
bool node_lacks_quorum(const struct node *n);
/* Begin to take part: identity is FOUNDED and durable. Without a configuration in `restored` it is
 * the founding roster at index 0 (rule G5). */
void node_start_raft(struct node *n, const struct raft_restored *restored);

/* --- peer_events.c */
extern const struct peers_events node_peer_events;
/* Under this host others reach us. */
void node_set_own_url(struct node *n, const char *host);
/* Tell the links what we are now, if that changed. */
void node_update_hello(struct node *n);

/* --- restart.c */
/* Rule G0: load the identity, or make one durable. */
enum status MUST_CHECK node_load_identity(struct node *n, char **detail);
/* Open the log, apply what is known to be committed, and (when founded) start the core. */
enum status MUST_CHECK node_recover(struct node *n, char **detail);

/* --- forming.c */
void node_forming_begin(struct node *n);
/* Carry out what founding wants; moves on to raft when founded. */
void node_forming_turn(struct node *n);

/* --- event_lines.c */
/* True when a hand-over was given up. */
bool node_tell_event(struct node *n, const struct raft_event *e);

/* --- joining.c: a member that wants to be one */
void node_joining_begin(struct node *n);
bool node_joining_on_hello(struct node *n, const struct peer_hello *hello);
void node_joining_on_reply(struct node *n, struct slice body);
void node_joining_text(const struct node *n, char *text, size_t size);

/* --- admission.c: those that let it in, by the leader */
void node_admission_on_ask(struct node *n, struct uuid from, struct slice body);

/* --- active_members.c */
/* Take over the configuration in force, if it changed; every turn. */
void node_members_on_turn(struct node *n);
/* Dial whom it names. */
void node_members_dial(struct node *n);
/* Rule E11: may the link with who said this stay? */
bool node_members_on_hello(struct node *n, const struct peer_hello *hello);
/* Rule C6: a member says that this one was removed. */
void node_members_on_removed(struct node *n, struct slice body);
/* Save that this member's directory is of no use any more, then end. */
void node_retire(struct node *n, enum identity_end why, raft_index index);
/* Rule E10: tell the core who is preferred. */
void node_members_rank(struct node *n);

/* --- changes.c */
/* OK: proposed; or what RAFT_INPUT_CHANGE said. */
enum status MUST_CHECK node_propose_members(struct node *n, const struct membership_edit *e);
/* Another member than that of this name is at the URL. */
bool node_is_taken_url(const struct node *n, const char *name, const char *url);
void node_changes_on_turn(struct node *n);
/* Rule C4: make voters of the learners that have caught up. */
void node_promote_on_turn(struct node *n);
void node_changes_expire(struct node *n, uint64_t now_ms);
uint64_t node_changes_deadline(const struct node *n);

/* --- old_copy.c: rule C7, a data directory that was put back from an older copy */
/* Count this start in the identity, before anybody hears of it; refuse a directory that has ended.
 */
enum status MUST_CHECK node_count_boot(struct node *n, char **detail);
/* False: it says less than it said before. Else it is remembered. */
bool node_remember_hello(struct node *n, const struct peer_hello *hello);
/* Tell who said this that it is an old copy. It believes that only of a hello that it could say
 * now: one of a former life, or from before it was let in, may have been on its way for long. */
void node_accuse(struct node *n, const struct peer_hello *hello);
void node_on_accused(struct node *n, struct slice body);
void node_remember_term(struct node *n, struct uuid from, const struct raft_message *message);
/* NULL: never met. */
const struct acquaintance *node_acquaintance(const struct node *n, struct uuid incarnation);
void node_words_of_end(const struct node *n, char *text, size_t size);

/* --- log_writer.c */
void node_write_log(struct node *n, const struct raft_persist *persist);
void node_load_log(struct node *n, raft_index first, raft_index last, uint64_t bytes_max);
void node_maybe_prepare_log(struct node *n);
void node_on_seal_timer(struct timer *t);
/* A write that a fault holds back is held back as the faults say now. */
void node_write_log_hurry(struct node *n);
void node_on_hold_timer(struct timer *t);
/* Hand the write that found no room to the log again. */
void node_write_log_again(struct node *n);
/* Rules P17, E8: tell the core when a write hangs. */
void node_check_stall(struct node *n);
/* Tell it now, once for each write. */
void node_tell_stall(struct node *n);

/* --- disk_damage.c: rules P4, P6, P13 */
/* wal_open; a damaged log of a founded member is salvaged, in the hope for the others. */
enum status MUST_CHECK node_open_log(struct node *n, const struct wal_options *options,
                                     char **detail);
/* The core was made from a log that is recovering: CORRUPT when there is nobody to recover from. */
enum status MUST_CHECK node_check_recovery(const struct node *n, char **detail);
/* What must not be started any more: a new string for *detail, with what is there in it. */
void node_explain_lost_promise(const struct node *n, char **detail);
/* Damage was found while running, and `what` says where: hand leadership over, then end. */
void node_on_damage(struct node *n, const char *what);
/* The end, when the time has come. */
void node_damage_on_turn(struct node *n);
void node_on_damage_timer(struct timer *t);

/* --- scrub.c */
void node_scrub_start(struct node *n);
/* A snapshot may be damaged: they are read now. */
void node_scrub_suspect(struct node *n);
void node_scrub_destroy(struct node *n);

/* --- agreement.c */
/* Requires: n->applied is a multiple of DIGEST_EVERY. */
void node_digest_on_applied(struct node *n);
void node_digest_on_told(struct node *n, struct uuid from, struct slice body);
void node_digest_on_odd(struct node *n, struct uuid from, struct slice body);
/* The state is another one, and right: made anew, or that of a leader's snapshot. */
void node_quarantine_end(struct node *n);

/* --- rebuild.c */
void node_rebuild_on_turn(struct node *n);
void node_rebuild_destroy(struct node *n);

/* --- disk_space.c */
/* Making the next segment succeeded, or found no space. */
void node_space_on_prepared(struct node *n, bool found_none);
/* A write of the log found no room and nothing was written. */
void node_space_on_full(struct node *n);
/* The log was written. */
void node_space_on_written(struct node *n);
void node_on_space_timer(struct timer *t);

/* --- compaction.c: rule P18 */
/* How often a leader at rest looks whether history is due for compaction. */
#define NODE_COMPACTION_CHECK_MS 1000
void node_maybe_compact(struct node *n);
void node_on_compaction_timer(struct timer *t);

/* --- write_queue.c */
/* Append a command of the node's own, or of a client, to the log. OK and its place, or what
 * RAFT_INPUT_PROPOSE said. */
enum status MUST_CHECK node_propose(struct node *n, const struct kv_command *command,
                                    struct entry_id *id);
/* An older version would end, or make another state of it. */
bool node_is_new_command(const struct kv_command *command);
/* A value, or a transaction. */
bool node_is_too_large(const struct node *n, const struct kv_command *command);
/* Where the answer to the transaction at `index` goes, which is about to be applied; NULL = nobody
 * waits for it. */
struct buf *node_writes_answer_at(const struct node *n, raft_index index, raft_term term);
/* The entry at `index` was applied with this result. */
void node_writes_on_applied(struct node *n, raft_index index, raft_term term,
                            const struct kv_result *result);
/* The state is that of a snapshot at `index`: what became of the writes that it covers is not
 * known. */
void node_writes_on_restored(struct node *n, raft_index index);
/* Something moved: durable index, follower progress. */
void node_writes_on_turn(struct node *n);
void node_writes_expire(struct node *n, uint64_t now_ms);
void node_writes_fail_all(struct node *n);
/* UINT64_MAX = none. */
uint64_t node_writes_deadline(const struct node *n);

/* --- forward.c */
/* Ask the leader to take it. OK, or NOT_LEADER (none is known, or there is no link with it),
 * OVERLOADED; then nothing was sent. */
enum status MUST_CHECK node_forward_start(struct node *n, struct node_write *w,
                                          const struct kv_command *command);
void node_forward_on_ask(struct node *n, struct uuid from, struct slice body);
void node_forward_on_reply(struct node *n, struct uuid from, struct slice body);
/* What was asked of it has an unknown outcome from now on; what it asked of us is not answered. */
void node_forward_on_down(struct node *n, struct uuid peer);
void node_forwards_expire(struct node *n, uint64_t now_ms);
uint64_t node_forwards_deadline(const struct node *n);
/* Outcomes in notes. */
uint8_t node_wire_status(enum status status);
/* UNKNOWN: a number that only a newer version writes. */
enum status node_status_of_wire(uint8_t code);
/* Forget what others asked: no answers any more. */
void node_forwards_destroy(struct node *n);

/* --- read_queue.c */
void node_reads_ask(struct node *n); /* at the start of a turn */
void node_reads_on_answer(struct node *n, const struct raft_read *answer);
void node_reads_on_turn(struct node *n);
void node_reads_expire(struct node *n, uint64_t now_ms);
void node_reads_fail_all(struct node *n);
uint64_t node_reads_deadline(const struct node *n);
/* Somebody waits for more to be applied, or for the index to wait for. */
bool node_reads_wait(const struct node *n);

/* --- survey.c */
void node_survey_on_ask(struct node *n, struct uuid from, struct slice body);
void node_survey_on_reply(struct node *n, struct uuid from, struct slice body);
void node_surveys_expire(struct node *n, uint64_t now_ms);
uint64_t node_surveys_deadline(const struct node *n);

/* --- log_read.c */
void node_log_reads_expire(struct node *n, uint64_t now_ms);
uint64_t node_log_reads_deadline(const struct node *n);
void node_log_reads_destroy(struct node *n);

/* --- watches.c */
/* The state is that of the start. */
void node_watches_begin(struct node *n);
void node_watches_destroy(struct node *n);
void node_watches_on_turn(struct node *n);
/* Tell what the compaction that is about to be applied would take away. */
void node_watches_before_compaction(struct node *n);
/* End them all: clients go on at other members. */
void node_watches_close(struct node *n);
void node_leader_guards_expire(struct node *n, uint64_t now_ms);
uint64_t node_leader_guards_deadline(const struct node *n);

/* --- replication.c */
/* The core learns what this member wants of its leader (raft.h, struct raft_wish). */
void node_tell_wish(struct node *n);

/* --- loads.c */
void node_loads_on_turn(struct node *n);
uint64_t node_loads_deadline(const struct node *n);
void node_loads_on_load(struct node *n, struct uuid from, struct slice body);
void node_loads_on_view(struct node *n, struct uuid from, struct slice body);
/* False: its version is known to be an older one. */
bool node_loads_knows_leases(const struct node *n, struct uuid member);
/* What it told was told on a link that is no more. */
void node_loads_on_down(struct node *n, struct uuid member);

/* --- catch_up.c */
/* The link with a member, which says that it leads, came or went. Requires: founded. */
void node_catch_up_on_link(struct node *n, struct uuid peer, bool is_up, bool leads);
/* The leader was heard. */
void node_catch_up_on_heartbeat(struct node *n);
void node_catch_up_on_turn(struct node *n);

/* --- leadership.c */
void node_leadership_on_turn(struct node *n, bool transfer_aborted);
void node_leadership_expire(struct node *n, uint64_t now_ms);
uint64_t node_leadership_deadline(const struct node *n);

/* --- figures.c */
void node_histogram_add(struct node_histogram *h, uint64_t us);
/* Count what the core tells and what the leader hears. */
void node_count_event(struct node *n, const struct raft_event *e);
void node_count_message(struct node *n, const struct raft_message *m);

/* --- member_info.c */
void node_own_url(const struct node *n, char url[LIMIT_URL_BYTES]);
