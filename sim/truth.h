/* truth.h - what is really so in a simulated cluster, whatever its members believe: what is on each
 * disk, what was ever written under which index and term, what was committed, what it must answer.
 *
 * One story at a time: this is the one place with global state, because the code under test is
 * watched at its own functions (watch_*.c, linked with --wrap), which know nothing of a story. */
#pragma once

#include "fake_disk.h"
#include "model.h"
#include "net/loop.h"
#include "plans.h"
#include "raft/raft.h"
#include "schedule.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <stdint.h>

/* One entry that somebody wrote. */
struct known_entry {
    raft_term term;
    uint64_t chain; /* over it and everything before it */
    enum raft_entry_type type;
    uint32_t size;
    const struct known_entry *previous; /* what it follows */
    struct known_entry *next;           /* another one at the same index */
    uint8_t payload[];
};

/* A batch on its way to the disk, or one whose fate only a restart tells. */
struct unsure_write {
    bool is_there;
    bool hard_state;
    uint64_t term;
    uint64_t vote;
    uint64_t discard_to; /* != 0: the log is void and goes on behind the snapshot there (rule S3) */
    uint64_t truncate_from;
    uint64_t first;
    uint32_t count;
    struct known_entry **entries; /* owned, `capacity` of them */
    uint32_t capacity;
};

/* What the code of a member did to its store, until the core hears of it. */
struct applied_command {
    uint64_t hash;
    struct kv_result result;
    struct kv_digest digest; /* of the store after it */
    uint64_t lease_hash;
};

/* A store that came out of a snapshot. */
struct imported_store {
    uint64_t revision;
    uint64_t compacted;
    struct kv_digest digest;
};

/* A member: its disk as it must be, and what it is made of while it runs. */
struct truth_member {
    node_id id;
    struct loop *loop;   /* NULL = it does not run */
    uint32_t starts;     /* of its process */
    uint64_t started_ms; /* the last one, by its own clock */
    uint64_t term;       /* durable, and so below */
    uint64_t vote;
    /* By index; [0] unused. A snapshot on the disk counts as all that it covers, which was
     * committed. */
    struct known_entry **log;
    uint64_t last;
    uint64_t log_capacity;
    uint64_t log_first; /* of the entries that the log itself has, as it was last seen */
    /* By index, as `log`: the term of the leader for whom its core dropped the entry; 0 = it has
     * not. The disk follows later, and by then it may know of a newer term. */
    raft_term *dropped_for;
    uint64_t dropped_capacity;
    struct unsure_write unsure;
    struct fake_disk *disk;
    struct wal_options wal_options;
    struct wal *wal;     /* NULL = none open */
    struct raft *raft;   /* NULL = not running */
    bool may_fail;       /* a failure of its disk was arranged for this run */
    bool is_full;        /* its disk has no room for more */
    bool was_full;       /* once; an answer of then may be heard later */
    const struct kv *kv; /* its store, while it runs */
    bool is_odd;         /* something else was put into that (rule P15b) */
    bool was_odd;        /* once */
    bool is_quarantined; /* it knows */
    bool is_damaged;     /* bytes on its disk were changed */
    bool may_refuse;     /* not only of snapshots: it may not start any more */
    bool has_hidden_rot; /* a snapshot rotted under it; its next start finds out */
    bool is_repaired;    /* and what that cost came back from the others (rule P4) */
    bool recovers;       /* it knows that it lost some of its log */
    bool is_stranger;    /* its disk was replaced by an empty one */
    bool was_counted;    /* by a configuration that was committed */
    raft_term highest_sent;
    raft_term led_in;          /* of the leader that it last heard of */
    raft_index commit;         /* as this run of it believes */
    struct raft_config config; /* in force when its last turn ended */
    raft_index applied;
    struct kv_digest digest; /* of its store at `applied` */
    raft_index restoring;    /* its store becomes that of a snapshot here; 0 = no */
    enum raft_role role;
    raft_term role_term;
    raft_index role_last;  /* of its log, when it led a turn ago */
    node_id asked_to_lead; /* by TIMEOUT_NOW of `role_term`, which did not arrive; 0 = nobody */
    raft_index matches[SIM_MEMBERS_MAX]; /* that it believed in, leading that term */
    struct applied_command *commands;
    uint32_t command_count;
    uint32_t command_capacity;
    uint32_t writes_seen;
};

struct committed_entry {
    const struct known_entry *entry;
    raft_term by;            /* of the leader that committed it */
    struct kv_result result; /* of a command: what it must answer */
    uint64_t command_hash;
    char *answer;        /* to a transaction that is OK, as text; owned */
    uint64_t lease_hash; /* of the leases behind it; 0 where there are none */
    bool is_expiry;
    uint64_t revision; /* of the store behind it */
    uint64_t compacted;
    bool has_digest; /* somebody has applied it */
    struct kv_digest digest;
};

/* What one attempt to write came to, as its client knows it. */
enum attempt_state { ATTEMPT_OPEN, ATTEMPT_OK, ATTEMPT_REFUSED, ATTEMPT_UNKNOWN };
struct attempt {
    enum attempt_state state;
    raft_index committed_at; /* 0 = not committed */
    bool is_keyed;           /* with an Idempotency-Key: it may be in the log several times */
    struct kv_result result; /* of the first one of them */
    struct plan *plan;       /* of a transaction; owned */
};

#define LOST_DISKS_MAX  64
#define TRUTH_TERMS_MAX (1u << 16)
struct term_truth {
    node_id leader;
    node_id votes[SIM_MEMBERS_MAX];
};

/* A disk that was taken away: what it had acknowledged counts for what was committed by it. */
struct lost_disk {
    node_id id;
    struct known_entry **log; /* by index */
    uint64_t last;
};

struct truth {
    uint32_t member_count;
    struct truth_member members[SIM_MEMBERS_MAX];
    struct lost_disk lost[LOST_DISKS_MAX];
    uint32_t lost_count;
    int current;                  /* whose code runs */
    struct known_entry **entries; /* by index; a list of those of different terms */
    uint64_t entry_capacity;
    struct committed_entry *committed; /* by index */
    uint64_t committed_last;
    uint64_t committed_capacity;
    struct model *model;            /* of everything committed */
    struct imported_store imported; /* the last one, whoever's */
    struct kv_digest empty_digest;
    bool has_config; /* the newest one that is committed */
    uint64_t config_index;
    struct raft_config config;
    struct attempt *attempts;
    uint32_t attempt_count;
    uint32_t attempt_capacity;
    struct term_truth *terms;
    uint32_t term_capacity;
    const uint32_t *knobs;
    bool has_odd; /* some member's state was made odd */
};

extern struct truth truth;

void truth_begin(const struct schedule *s);
void truth_end(void);
/* Code of this member runs from now on: what it opens and creates is its. */
void truth_enter(int member);
struct truth_member *truth_by_id(node_id id); /* NULL = nobody */
struct truth_member *truth_by_raft(const struct raft *r);
struct truth_member *truth_by_wal(const struct wal *w);
int truth_index(const struct truth_member *m);
/* Its process runs on this loop. */
void truth_on_start(int member, struct loop *loop);
/* It does not run any more. */
void truth_on_stop(int member);
/* Its disk is another one, and so it is somebody else. */
void truth_on_wipe(int member);
/* It lost a part of its log; what it had counts for what was committed by it. */
void truth_on_salvage(struct truth_member *m);
/* Everything that it acknowledged is there, as far as is known. */
bool truth_is_intact(const struct truth_member *m);

/* I3. The entry that follows `previous` (NULL at index 1); fails when another one is known under
 * this index and term. */
struct known_entry *truth_entry(uint64_t index, const struct known_entry *previous, raft_term term,
                                enum raft_entry_type type, struct slice payload);
bool truth_disk_has(const struct truth_member *m, struct entry_id id);
/* The same by raft id, also of a disk that was lost since. */
bool truth_had(node_id id, struct entry_id entry);
void truth_log_set(struct truth_member *m, uint64_t index, struct known_entry *entry);
/* Everything up to `index` is what was committed, by a snapshot; nothing else is in the log. */
void truth_log_restore(struct truth_member *m, uint64_t index);
/* Its core drops from..last, for the leader that it follows. */
void truth_core_drops(struct truth_member *m, uint64_t from, uint64_t last);
/* What its core dropped from `from` on is on the disk, or forgotten with the core. */
void truth_drops_done(struct truth_member *m, uint64_t from);
/* Everything in `m`'s log up to `index` is committed, by the leader of a term. */
void truth_commit(const struct truth_member *m, uint64_t index, raft_term by);
struct term_truth *truth_term(raft_term term);

uint64_t truth_hash_command(const struct kv_command *command);
/* A new attempt; its number is the beginning of what is written. */
uint32_t truth_attempt(void);
#define TRUTH_VALUE_MIN 8 /* bytes: the number */
/* Its Idempotency-Key. */
#define TRUTH_KEY_BYTES 16
void truth_retry_key(uint32_t attempt, char key[TRUTH_KEY_BYTES]);
/* Rule K1: its outcome, as the client was told; `index` and `term` with OK. */
void truth_attempt_ended(uint32_t attempt, enum attempt_state state);
