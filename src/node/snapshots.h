/* node/snapshots.h - the state as files: taken, sent, taken in, handed out, and the log cut behind
 * them (rules S0 to S8).
 *
 *   snapshots.c          which are there, and the turn of all of these
 *   snapshot_take.c      the store at one applied index becomes a file, step by step
 *   log_compaction.c     what a snapshot covers leaves the log; old snapshots go
 *   snapshot_send.c      a leader streams a file to followers that are too far behind
 *   snapshot_arrival.c   a follower receives one, builds a store from it, and takes it over
 *   backup.c             a file for a client
 *
 * Files are touched on the log thread only, in pieces of work of about one chunk, one of a kind at
 * a time: the log's own writes stand behind a few of them at most. A file gets its name once it was
 * read back; until then, whatever fails, the log and the snapshot before it stay (rule S8). */
#pragma once

#include "base/buf.h"
#include "base/uuid.h"
#include "kv/kv_image.h"
#include "net/loop.h"
#include "node/snapshot_wire.h"
#include "raft/raft.h"
#include "wal/snapshot_file.h"

struct node;
struct node_backup;
struct wal;

/* Every active member of a joint configuration, and those of which a read has not come back. */
#define TRANSFERS_MAX (3 * LIMIT_MEMBERS + LIMIT_SNAPSHOT_TRANSFERS)

/* --- how long the log is ---------------------------------------------------------------------- */

/* What an entry takes in the log besides its payload, about. */
#define NODE_ENTRY_OVERHEAD 16

#define LOG_MARKS 64
/* Bytes of entries up to some index, since this member started. */
struct log_mark {
    raft_index index;
    uint64_t bytes;
};
/* Marks are evenly spaced in bytes; the oldest is forgotten. */
struct log_account {
    uint64_t bytes;          /* of the entries applied, and of those replayed at the start */
    uint64_t snapshot_bytes; /* `bytes` as it was at the newest snapshot */
    /* What was written to the log then, since this member started: a batch takes whole blocks. */
    uint64_t snapshot_written;
    uint32_t mark_count;
    struct log_mark marks[LOG_MARKS]; /* oldest first */
};

/* --- taking ----------------------------------------------------------------------------------- */

enum take_phase { TAKE_IDLE, TAKE_WALKING, TAKE_VERIFYING, TAKE_FINISHING, TAKE_DISCARDING };

struct snapshot_take {
    enum take_phase phase;
    bool aborted; /* to be thrown away as soon as the work is back */
    struct snapshot_id id;
    uint64_t revision;
    uint64_t log_bytes; /* of the account, at id */
    uint64_t log_written;
    uint64_t begun_ms;
    uint64_t again_ms; /* not before; after a failure */
    raft_index asked;  /* a backup wants one of at least this index */
    uint32_t jitter;   /* of the threshold, in 1/64; drawn for each (rule S0) */
    struct kv_export *export;
    bool walked;        /* the export is at its end */
    struct buf filling; /* from the walk */
    struct timer pause; /* runs: the log thread is left to the writes */
    /* From here on the log thread's while in_flight. */
    bool in_flight;
    struct work work;
    struct loop *loop; /* for its clock */
    uint64_t took_us;
    struct disk *disk;
    struct uuid cluster;
    struct buf meta;
    struct buf writing;
    size_t written; /* of `writing` */
    struct snapshot_writer *writer;
    bool verified;
    enum status status;
};

/* --- what is on the disk ---------------------------------------------------------------------- */

enum compaction_step { COMPACTION_LOG, COMPACTION_FILES };

struct log_compaction {
    raft_index first; /* as the core was told */
    bool wanted;      /* the log is still to be cut there */
    bool files_wanted;
    uint64_t again_ms;
    /* The log thread's while in_flight. */
    bool in_flight;
    enum compaction_step step;
    struct work work;
    struct wal *wal;
    struct disk *disk;
    struct uuid cluster;
    uint32_t keep;
    bool more;
    enum status status;
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count;
};

/* --- sending ---------------------------------------------------------------------------------- */

enum transfer_state { TRANSFER_NONE, TRANSFER_WAITING, TRANSFER_DESCRIBING, TRANSFER_OPEN };

struct snapshot_transfer {
    struct node *node;
    enum transfer_state state;
    node_id member;
    struct uuid to;
    raft_term term;        /* in which this member leads */
    struct snapshot_id id; /* pinned from DESCRIBING on (rule S7) */
    uint64_t again_ms;     /* not before; after a failure */
    uint64_t got;          /* bytes that the follower has on its disk */
    uint64_t sent;         /* the next byte to be read */
    uint64_t opened_ms;
    uint64_t heard_ms; /* 0 = not yet */
    uint64_t offered_ms;
    /* The log thread's while in_flight. */
    bool in_flight;
    bool describes;
    struct work work;
    struct disk *disk;
    struct snapshot_file file;
    uint64_t read_at;
    uint8_t *bytes;
    size_t size;
    enum status status;
};

/* --- receiving -------------------------------------------------------------------------------- */

enum arrival_state {
    ARRIVAL_NONE,
    ARRIVAL_OPENING, /* is a part of it here already? */
    ARRIVAL_RECEIVING,
    ARRIVAL_CHECKING,   /* step by step */
    ARRIVAL_FINISHING,  /* synced and given its name */
    ARRIVAL_READING,    /* becomes a store, beside the one in use */
    ARRIVAL_INSTALLING, /* the core has it; output.restore follows */
    ARRIVAL_CLOSING,
};

struct snapshot_arrival {
    enum arrival_state state;
    bool aborted;
    struct uuid from;
    struct snapshot_file file;
    uint64_t expected;  /* the place of the next piece */
    struct buf waiting; /* arrived after `writing` */
    uint64_t heard_ms;  /* a piece or an offer */
    uint64_t asked_ms;  /* SNAPSHOT_FROM was said */
    uint64_t told_ms;
    uint64_t again_ms; /* offers are refused before; after a failure */
    /* The log thread's while in_flight. */
    bool in_flight;
    struct work work;
    struct disk *disk;
    uint64_t offset; /* of `writing` in the file */
    struct buf writing;
    struct snapshot_receiver *receiver;
    struct snapshot_reader *reader;
    struct kv_import *import;
    struct buf meta;
    struct kv *kv; /* what was built; after the swap, what is to be freed */
    bool checked;
    enum status status;
    char *detail;
};

/* --- backups ---------------------------------------------------------------------------------- */

enum backup_state { BACKUP_NONE, BACKUP_WAITING, BACKUP_OPENING, BACKUP_OPEN };

struct backup {
    enum backup_state state;
    struct node_backup *client; /* NULL: it went away, and the work is not back yet */
    raft_index wanted;          /* a snapshot of this index or a later one */
    struct snapshot_id id;      /* pinned from OPENING on */
    uint64_t deadline_ms;
    /* The log thread's while in_flight. */
    bool in_flight;
    bool opens;
    struct work work;
    struct disk *disk;
    struct uuid cluster;
    struct snapshot_file file;
    uint64_t revision;
    uint64_t read_at;
    uint8_t *bytes;
    size_t size;
    enum status status;
};

struct snapshots {
    struct snapshot_id newest;             /* whole, read back, durable; 0, 0 = none */
    uint32_t count;                        /* on the disk */
    struct snapshot_id ids[SNAPSHOTS_MAX]; /* oldest first */
    struct log_account account;
    struct snapshot_take take;
    struct log_compaction compaction;
    struct snapshot_transfer transfers[TRANSFERS_MAX];
    uint32_t transfer_count; /* of those whose state is not NONE */
    struct snapshot_arrival arrival;
    struct backup backup;
    struct timer timer; /* what depends on time is looked at this often */
    uint64_t taken;
    uint64_t sent;
    uint64_t installed;
};

/* --- snapshots.c */
/* Takes part from now on: the core is there. */
void node_snapshots_start(struct node *n);
/* At the end of every turn. Requires: no output of the core is being read. */
void node_snapshots_on_turn(struct node *n);
/* A message of type FRAME_SNAPSHOT_*. False: it is damaged. */
bool node_snapshots_on_frame(struct node *n, struct uuid from, uint8_t type, struct slice body);
/* output.restore: the log agrees with the snapshot that was given to the core. Requires: no output
 * of the core is being read. */
void node_snapshots_restore(struct node *n, struct entry_id id);
/* All work has ended, or never will. */
void node_snapshots_destroy(struct node *n);
/* A sound snapshot of that id is on the disk now, and was read back. */
void node_snapshot_add(struct node *n, struct snapshot_id id);
/* Rule P13: its file is damaged, or gone: nobody reads it any more, and another one is taken. One
 * that was removed meanwhile is fine. `what` is for a person. */
void node_snapshot_lost(struct node *n, struct snapshot_id id, const char *what);
/* The oldest one that somebody reads; UINT64_MAX = none. */
raft_index node_snapshots_pinned(const struct node *n);

/* --- log_compaction.c */
/* An entry of so many bytes was applied, or replayed. */
void node_log_account(struct node *n, raft_index index, uint64_t bytes);
/* The state is that of a snapshot; what the log held before it is not known. */
void node_log_account_reset(struct node *n, raft_index index);
void node_compaction_on_turn(struct node *n);

/* --- snapshot_take.c */
/* Rule S0: not all members at the same moment. */
void node_take_draw(struct node *n);
void node_take_on_turn(struct node *n);
/* Rule S5: none while another one is being taken in. */
void node_take_abort(struct node *n);
/* A snapshot of `index` or later, as soon as may be. */
void node_take_ask(struct node *n, raft_index index);
void node_take_destroy(struct node *n);

/* --- snapshot_send.c */
/* RAFT_MSG_SNAPSHOT: that follower needs one. Only noted. */
void node_transfer_start(struct node *n, node_id member);
void node_transfers_on_turn(struct node *n);
void node_transfer_on_want(struct node *n, struct uuid from, const struct snapshot_want *want);
/* The oldest file that a transfer reads; UINT64_MAX = none. */
raft_index node_transfers_pinned(const struct node *n);
/* Those that read a file of at most that index end. */
void node_transfers_end_old(struct node *n, raft_index index);
void node_transfers_destroy(struct node *n);

/* --- snapshot_arrival.c */
void node_arrival_on_offer(struct node *n, struct uuid from, const struct snapshot_offer *offer);
void node_arrival_on_piece(struct node *n, struct uuid from, const struct snapshot_piece *piece);
void node_arrival_on_turn(struct node *n);
bool node_arrival_is_active(const struct node *n);
/* The stores change places. */
void node_arrival_restore(struct node *n, struct entry_id id);
void node_arrival_destroy(struct node *n);

/* --- backup.c */
void node_backup_on_turn(struct node *n);
/* The snapshot that it waits for could not be taken. */
void node_backup_on_take_failed(struct node *n, enum status why);
raft_index node_backup_pinned(const struct node *n);
void node_backup_end_old(struct node *n, raft_index index);
void node_backup_destroy(struct node *n);
