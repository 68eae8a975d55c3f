/* kv/kv.h - the replicated state: a revisioned, ordered map of byte keys to byte values.
 *
 * Deterministic: the same commands in the same order give the same state, byte for byte, on every
 * member (rule P16). No clock, no chance, no I/O. One thread.
 *
 * The revision of the empty store is 1; every command that changes something takes the next one. A
 * delete leaves a tombstone at its own revision until compaction. Old revisions are readable until
 * a compaction, which is a command like any other (rule P18). A transaction (kv_txn.h) is a command
 * whose changes are all of one revision, no key twice. A key may be attached to a lease, and goes
 * with it (kv_lease.h).
 *
 * Beside the keys stands a table of documents, which only grows: each has a content and a time, and
 * the revision that made it is its identity. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv;
struct btree_node;
struct retry;

struct kv *kv_create(void);
void kv_destroy(struct kv *kv);

/* --- commands --------------------------------------------------------------------------------- */

/* Numbers in the log. */
enum kv_op {
    KV_PUT = 1,
    KV_DELETE = 2,
    KV_COMPACT = 3,      /* forget what is below `revision` */
    KV_TXN = 4,          /* `txn` */
    KV_LEASE_GRANT = 5,  /* `lease` for `ttl_s`: an id of which there is none */
    KV_LEASE_REVOKE = 6, /* `lease` ends, and its keys with it: one revision, in key order */
    /* The same for each of `expiry` whose grant number is still that (rule T3); a revision each,
     * unless it has no keys. */
    KV_LEASE_EXPIRE = 7,
    /* A put, and a lease for this key: with the id `lease` or the next one that is free, for
     * `ttl_s`. It goes with its last key, as all leases go that were made so. */
    KV_PUT_TTL = 8,
    KV_DOCUMENT = 9, /* one more document, with `value` as its content */
    KV_AUTH = 10,    /* `auth`: a change of users, roles or permissions (kv_auth.h) */
};

/* A compare on the key that must hold, or the command answers CONFLICT and changes nothing. */
enum kv_condition {
    KV_ALWAYS = 0,
    KV_IF_REVISION = 1, /* the key exists and its last change was `condition_revision` */
    KV_IF_EXISTS = 2,
    KV_IF_ABSENT = 3,
};

/* How long the answer to a command with a retry key is kept, in log time. */
#define RETRY_KEPT_MS (10u * 60u * 1000u)

struct kv_command {
    enum kv_op op;
    enum kv_condition condition; /* puts and KV_DELETE only */
    uint64_t condition_revision;
    uint64_t time_ms;   /* the leader's wall clock when it was proposed: shown, and history's age */
    struct slice key;   /* borrowed; 1 to LIMIT_KEY_BYTES; puts and KV_DELETE only */
    struct slice value; /* borrowed; at most LIMIT_VALUE_BYTES_MAX; puts and KV_DOCUMENT only */
    /* KV_PUT: attach the key to it, 0 = to none; the lease commands and KV_PUT_TTL: never 0. */
    uint64_t lease;
    uint64_t ttl_s;      /* 1 to LIMIT_LEASE_TTL_S; KV_LEASE_GRANT and KV_PUT_TTL only */
    uint64_t revision;   /* KV_COMPACT only */
    struct slice txn;    /* of kv_txn_encode; borrowed; KV_TXN only */
    struct slice expiry; /* of kv_expiry_add, not empty; borrowed; KV_LEASE_EXPIRE only */
    struct slice auth;   /* of kv_auth_encode; borrowed; KV_AUTH only */
    /* kv_auth_stamp where it was looked at who may do this; 0 = auth was off there. While auth is
     * on, any other than the store's is AUTH_OLD; but the node's own (compactions, expiries) have
     * none. */
    uint64_t auth_revision;
    /* Rule K2b: `Idempotency-Key`, at most LIMIT_RETRY_KEY_BYTES; empty = none. Only for puts,
     * deletes and documents. The same key within ten minutes of log time (RETRY_KEPT_MS, by
     * time_ms): the command is not applied again; the result is the first one's, `replayed`. */
    struct slice retry_key;
    uint64_t retry_hash[2]; /* of method, path and body: another one answers MISMATCH */
    uint64_t retry_origin;  /* told again with the stored result; who led, say */
};

/* Append the encoding (versioned, about 15 bytes beside key and value). Requires the bounds above;
 * only puts and a delete have a condition; fields that are not for the op are not written. */
void kv_command_encode(const struct kv_command *c, struct buf *out);
/* CORRUPT for anything that kv_command_encode does not write, also for a key or value beyond its
 * bounds; slices borrow from `bytes`. */
enum status MUST_CHECK kv_command_decode(struct slice bytes, struct kv_command *c);

/* What a command did. */
struct kv_result {
    /* OK; CONFLICT (the condition, before all else; a grant of an id that is in use), NOT_FOUND
     * (delete of nothing), NO_LEASE (a put's, or the one to revoke), OVERLOADED (LIMIT_LEASES are
     * there); for a compaction COMPACTED (at or below the last one), FUTURE. For a transaction:
     * NOT_FOUND (a put keeps value or lease of a key that is not there), NO_LEASE, COMPACTED,
     * FUTURE (of a read), INVALID (KV_TXN_DUPLICATE_KEY), TOO_LARGE (its compares look at more than
     * LIMIT_TXN_KEYS). For KV_AUTH: CONFLICT, OVERLOADED, and `version` says why. For any, before
     * all else: AUTH_OLD. All but OK have changed nothing. */
    enum status status;
    uint64_t revision;        /* of the store after it */
    uint64_t create_revision; /* of the key, after a put */
    uint64_t version;         /* of the key, after a put; of KV_AUTH an enum kv_auth_outcome */
    uint64_t lease;           /* granted; 0 when replayed */
    uint64_t time_ms;         /* of the document */
    bool succeeded;           /* all compares of the transaction held */
    /* The answer was beyond LIMIT_TXN_ANSWER_BYTES or LIMIT_TXN_KEYS and is not there; the
     * transaction was done. */
    bool answer_cut;
    bool replayed;         /* rule K2b: all of this is what the first one was answered */
    uint64_t retry_origin; /* of the first one */
    /* CONFLICT: of the key as it is now, also of a replayed one; KV_NO_KEY = there is none. */
    uint64_t key_revision;
};
#define KV_NO_KEY UINT64_MAX
/* With a retry key also: MISMATCH (the key was used for something else), OVERLOADED (the table is
 * full: LIMIT_RETRY_KEYS or LIMIT_RETRY_BYTES; nothing that has not expired makes room). Neither
 * changes anything. A result of CONFLICT or NOT_FOUND is kept and replayed like OK; the others are
 * not. */

/* Apply one command. What is kept of it is copied. */
void kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result);
/* The same, and the answer to a transaction that is OK is appended to `answer` (kv_txn.h); with
 * NULL its reads are not done. */
void kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                       struct buf *answer);

/* A compaction takes effect at once, but what it condemned is freed little by little: some with
 * every kv_apply, and here that of up to `budget` old changes (about half a microsecond each). True
 * when more is to do. Nothing that a read or a decision can see depends on it, memory_bytes
 * excepted, and what items borrow stays. */
bool kv_compact_step(struct kv *kv, unsigned budget);

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
    /* Where `next` is in the tree, as long as the tree's count of changes is this. */
    const struct btree_node *leaf;
    unsigned slot;
    uint64_t tree_changes;
};
/* `end` with size 0 = to the last key. OK, COMPACTED, FUTURE. Ended by kv_cursor_deinit. */
enum status MUST_CHECK kv_cursor_init(struct kv_cursor *c, const struct kv *kv, struct slice from,
                                      struct slice end, uint64_t revision);
/* OK and an item; NOT_FOUND at the end; COMPACTED when the revision was compacted meanwhile. A key
 * whose deletion is still in the history is visited too, and not answered. */
enum status MUST_CHECK kv_cursor_next(struct kv_cursor *c, struct kv_item *item);
/* Skip to the first key >= `key`, which must not be before the cursor's place. */
void kv_cursor_seek(struct kv_cursor *c, struct slice key);
void kv_cursor_deinit(struct kv_cursor *c);

/* The end of the range of all keys that begin with `prefix`: the prefix with its last byte raised
 * (trailing 0xff dropped). Empty = to the last key. Written to `end`, which is cleared first. */
void kv_prefix_end(struct slice prefix, struct buf *end);

/* --- documents -------------------------------------------------------------------------------- */

struct kv_document {
    uint64_t revision;    /* that made it */
    uint64_t time_ms;     /* when: the highest of the leaders' clocks until then */
    struct slice content; /* borrowed until kv_swap or kv_destroy: none is changed or goes */
};
/* How many there were at `revision` (0 = now): numbers 0 (the oldest) to *count - 1, in order of
 * revision, now and ever. No compaction takes them. OK, FUTURE. */
enum status MUST_CHECK kv_document_count(const struct kv *kv, uint64_t revision, uint64_t *count);
/* False: there are not so many. */
bool kv_document_at(const struct kv *kv, uint64_t number, struct kv_document *document);

/* Rules P15, P15b: an order-free sum of keyed hashes over everything that members must have alike:
 * live records, history within the floor, documents, leases, users and roles, the retry table,
 * revisions. Kept as it goes; equal at equal applied indexes. */
struct kv_digest {
    uint64_t half[2];
};
struct kv_digest kv_digest(const struct kv *kv);
/* The same, computed anew from what is there (O(n)): the scrub's, in steps. Begin with a zeroed
 * `scan`; true = finished, *digest is that of now if nothing was applied since the beginning, and
 * otherwise `scan->stale` is set and nothing is said. */
struct kv_digest_scan {
    struct buf at;
    uint64_t number;
    uint64_t document;
    uint64_t lease;
    uint64_t auth;
    const struct retry *retry;
    unsigned phase;
    bool stale;
    uint64_t changes;
    struct kv_digest sum;
};
bool kv_digest_step(const struct kv *kv, struct kv_digest_scan *scan, unsigned budget,
                    struct kv_digest *digest);
void kv_digest_scan_deinit(struct kv_digest_scan *scan);

struct kv_stats {
    uint64_t retry_keys;       /* kept for rule K2b */
    uint64_t keys;             /* live */
    uint64_t revision;         /* of the store */
    uint64_t compact_revision; /* reads strictly below are COMPACTED; 0 = none yet */
    uint64_t documents;
    uint64_t leases;
    /* Keys and values of live keys, contents of documents, leases, and 64 each; the keys of leases
     * once more, and 32 each: the quota's measure. */
    uint64_t live_bytes;
    /* What compaction would free: superseded versions, deleted keys, and 24 a change. */
    uint64_t history_bytes;
    uint64_t memory_bytes; /* held, used or not; the only figure that members may differ in */
};
void kv_stats(const struct kv *kv, struct kv_stats *stats);

/* What the leader should propose to keep history within `age_ms` of `now_ms` and within `bytes`:
 * the revision to compact at, or 0 for nothing to do. Never above the store's revision. Times are
 * those of the commands, and never go back: after a leader whose clock was ahead, age counts from
 * its clock. Asks in steps worth a log entry: not before the oldest change is age_ms * 9/8 old (it
 * then asks for all that is older than age_ms), and when `bytes` is exceeded for an eighth more.
 * Cheap enough to be called at every turn of the loop. */
uint64_t kv_compaction_due(const struct kv *kv, uint64_t now_ms, uint64_t age_ms, uint64_t bytes);

/* Aborts when an invariant of the tree or of the versions is broken; O(n), for tests. */
void kv_check(const struct kv *kv);
