/* node/state_check.h - is the state what it should be? Read again in the background (rule P13), and
 * compared with that of the others (rules P15, P15b).
 *
 *   scrub.c       the log, the snapshots and the state in memory, a little at a time
 *   agreement.c   digests at equal applied indexes; one odd against a majority is quarantined
 *   rebuild.c     the state of a quarantined member, made anew */
#pragma once

#include "base/uuid.h"
#include "kv/kv_image.h"
#include "net/loop.h"
#include "raft/raft.h"
#include "wal/snapshot_file.h"

struct node;
struct wal;

/* --- scrubbing -------------------------------------------------------------------------------- */

enum scrub_phase { SCRUB_RESTS, SCRUB_LOG, SCRUB_SNAPSHOTS, SCRUB_MEMORY };

struct scrub {
    enum scrub_phase phase;
    struct timer timer;
    uint64_t due_ms; /* of the step that is put off while writes wait */
    struct kv_digest_scan scan;
    struct snapshot_id snapshot; /* that is read, or was read last in this round */
    bool is_suspicion;           /* the snapshots are read at once and fast, out of turn */
    bool has_found;              /* and one of them was damaged */
    uint64_t trusted_until_ms;   /* no suspicion is followed until then */
    /* The log thread's while in_flight. */
    bool in_flight;
    struct work work;
    struct wal *wal;
    struct disk *disk;
    struct uuid cluster;
    struct snapshot_reader *reader; /* owned; NULL = none is half read */
    bool done;
    enum status status;
    char *detail;
};

/* --- agreement -------------------------------------------------------------------------------- */

/* Applied indexes that are multiples of it are compared (rule P15b). */
#define DIGEST_EVERY 256
#define DIGESTS_KEPT 16

struct state_digest {
    raft_index index; /* 0 = none */
    struct kv_digest digest;
};
struct digest_ring {
    struct uuid member; /* zero = free */
    uint32_t next;
    struct state_digest kept[DIGESTS_KEPT];
};
struct agreement {
    struct digest_ring own;
    struct digest_ring others[LIMIT_MEMBERS]; /* as told to this member while it leads */
    raft_index alarmed;                       /* a difference at this index was told already */
    bool is_quarantined;
    struct state_digest odd; /* where it differed, and what it should have been */
};

/* --- made anew -------------------------------------------------------------------------------- */

struct rebuild {
    bool is_active;
    uint64_t again_ms; /* not before; after a failure */
    raft_index below;  /* only a base before it is left to be tried; 0 = any */
    struct snapshot_id base;
    /* The log thread's while in_flight. */
    bool in_flight;
    struct work work;
    struct wal *wal;
    struct disk *disk;
    struct uuid cluster;
    struct snapshot_reader *reader;
    struct kv_import *import;
    struct kv *kv; /* once the base was read */
    raft_index at; /* what it has */
    raft_index target;
    bool frees; /* `kv` is the one that went */
    raft_index check_index;
    struct kv_digest expected; /* there */
    enum status apply_status;
    enum status status;
};
