/* kv/kv.h - the replicated state: a revisioned, ordered map of byte keys to byte values.
 *
 * Deterministic: the same commands in the same order give the same state, byte for byte, on every
 * member (rule P16). No clock, no chance, no I/O. One thread.
 *
 * The revision of the empty store is 1; every command that changes something takes the next one. A
 * delete leaves a tombstone at its own revision until compaction. Old revisions are readable until a
 * compaction, which is a command like any other (rule P18). Shaped for what comes: transactions (a
 * command is a list of operations under one revision), leases (each key has room for one), watches
 * (the changes of a revision can be walked from the history), snapshots (a walk at a revision). */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv;

struct kv *kv_create(void);
void kv_destroy(struct kv *kv);

/* --- commands --------------------------------------------------------------------------------- */

enum kv_op {
    KV_PUT = 1,
    KV_DELETE = 2,
    KV_COMPACT = 3, /* forget what is below `revision` */
};

/* A compare on the key that must hold, or the command answers CONFLICT and changes nothing. */
enum kv_condition {
    KV_ALWAYS = 0,
    KV_IF_REVISION = 1, /* the key exists and its last change was `condition_revision` */
    KV_IF_EXISTS = 2,
    KV_IF_ABSENT = 3,
};

struct kv_command {
    enum kv_op op;
    enum kv_condition condition;
    uint64_t condition_revision;
    uint64_t time_ms;   /* the leader's wall clock when it was proposed: shown, and history's age */
    struct slice key;   /* borrowed */
    struct slice value; /* borrowed */
    uint64_t lease;     /* 0 = none */
    uint64_t revision;  /* KV_COMPACT */
};

/* Append the encoding (versioned; leases, transactions, sessions and documents have reserved ops). */
void kv_command_encode(const struct kv_command *c, struct buf *out);
/* CORRUPT for anything that kv_command_encode does not write; slices borrow from `bytes`. */
enum status MUST_CHECK kv_command_decode(struct slice bytes, struct kv_command *c);

/* What a command did. */
struct kv_result {
    enum status status;       /* OK, NOT_FOUND (delete of nothing), CONFLICT, COMPACTED, FUTURE */
    uint64_t revision;        /* of the store after it */
    uint64_t create_revision; /* of the key, after a put */
    uint64_t version;         /* of the key, after a put */
};

/* Apply one command. The key and value are copied. */
void kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result);

/* --- reads ------------------------------------------------------------------------------------ */

struct kv_item {
    struct slice key;   /* borrowed until the next kv_apply */
    struct slice value; /* likewise */
    uint64_t create_revision;
    uint64_t revision; /* of its last change ("mod revision") */
    uint64_t version;
    uint64_t lease;
};

/* The key as of `revision` (0 = now). OK, NOT_FOUND, COMPACTED, FUTURE. */
enum status MUST_CHECK kv_get(const struct kv *kv, struct slice key, uint64_t revision,
                              struct kv_item *item);

/* A walk in byte order over keys in [from, to) as of a revision. Survives changes of the store in
 * between (it finds its place again by key), so a long answer can be streamed turn by turn; the
 * answer is of one revision as long as that one is not compacted. */
struct kv_cursor {
    const struct kv *kv;
    uint64_t revision; /* > 0, fixed at the start */
    struct buf next;   /* where to go on, inclusive */
    struct buf end;    /* exclusive */
    bool has_end;
    bool done;
};
/* `end` with size 0 = to the last key. OK, COMPACTED, FUTURE. Ended by kv_cursor_deinit. */
enum status MUST_CHECK kv_cursor_init(struct kv_cursor *c, const struct kv *kv, struct slice from,
                                      struct slice end, uint64_t revision);
/* OK and an item; NOT_FOUND at the end; COMPACTED when the revision was compacted meanwhile. */
enum status MUST_CHECK kv_cursor_next(struct kv_cursor *c, struct kv_item *item);
/* Skip to the first key >= `key`, which must not be before the cursor's place. */
void kv_cursor_seek(struct kv_cursor *c, struct slice key);
void kv_cursor_deinit(struct kv_cursor *c);

/* The end of the range of all keys that begin with `prefix`: the prefix with its last byte raised
 * (trailing 0xff dropped). Empty = to the last key. Written to `end`, which is cleared first. */
void kv_prefix_end(struct slice prefix, struct buf *end);

struct kv_stats {
    uint64_t keys;             /* live */
    uint64_t revision;         /* of the store */
    uint64_t compact_revision; /* reads strictly below are COMPACTED; 0 = none yet */
    uint64_t
        live_bytes; /* keys and values of live keys, with their overhead: the quota's measure */
    uint64_t history_bytes; /* superseded versions and tombstones that compaction would free */
    uint64_t memory_bytes;  /* all slabs, used or not */
};
void kv_stats(const struct kv *kv, struct kv_stats *stats);

/* What the leader should propose to keep history within `age_ms` of `now_ms` and within `bytes`: the
 * revision to compact at, or 0 for nothing to do. Never above the store's revision. Times are those of
 * the commands. */
uint64_t kv_compaction_due(const struct kv *kv, uint64_t now_ms, uint64_t age_ms, uint64_t bytes);

/* Aborts when an invariant of the tree or of the versions is broken; O(n), for tests. */
void kv_check(const struct kv *kv);
