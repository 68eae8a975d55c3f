/* kv/kv_txn.h - transactions: compares, and what is done when all of them hold, or else.
 *
 * A tree, its bytes (the `txn` of a KV_TXN, checked as if they came from a stranger), and the
 * answer, which is bytes too, so that it can be sent to the member where somebody waits.
 *
 *   struct kv_txn -> kv_txn_encode -> kv_command.txn -> kv_apply_answered -> struct kv_answer
 *
 * Applying decides first and then acts: all compares, also those of nested transactions, are of the
 * state before; then everything on the chosen path is checked against it, and a transaction that is
 * refused changes nothing. What changes does so under one revision, in the order of the operations,
 * no key twice; reads see the changes before them. Any put or range delete that wants more than
 * KV_PUT and KV_DELETE know (the previous values, say) is a transaction without compares. */
#pragma once

#include "kv/kv.h"
#include "kv/kv_range.h"

/* Their numbers are those of etcd's messages and of the log. */
enum kv_compare_relation {
    KV_EQUAL = 0,
    KV_GREATER = 1,
    KV_LESS = 2,
    KV_NOT_EQUAL = 3,
};
enum kv_compare_target {
    KV_COMPARE_VERSION = 0,
    KV_COMPARE_CREATE = 1,
    KV_COMPARE_MOD = 2,
    KV_COMPARE_VALUE = 3,
    KV_COMPARE_LEASE = 4,
};

/* Holds when it holds for each key of the span. A span without keys compares like one key with all
 * numbers 0; a compare of its value never holds. */
struct kv_compare {
    struct kv_span span;
    enum kv_compare_target target;
    enum kv_compare_relation relation; /* of what the key has to what is given */
    int64_t number;                    /* all but KV_COMPARE_VALUE; what a key has is not negative,
                                          but for a lease's id beyond INT64_MAX */
    struct slice value;                /* KV_COMPARE_VALUE only; borrowed */
};

struct kv_txn_put {
    struct slice key;
    struct slice value;
    uint64_t lease;    /* 0 = none; it must be there */
    bool previous;     /* tell what was before */
    bool ignore_value; /* keep the value; the key must be there, `value` is empty */
    bool ignore_lease; /* keep the lease; likewise, `lease` is 0 */
};

struct kv_txn_delete {
    struct kv_span span;
    bool previous;
};

enum kv_txn_kind {
    KV_TXN_RANGE = 1,
    KV_TXN_PUT = 2,
    KV_TXN_DELETE = 3,
    KV_TXN_NESTED = 4,
};

struct kv_txn_op {
    enum kv_txn_kind kind;
    union {
        struct kv_range range;        /* KV_TXN_RANGE */
        struct kv_txn_put put;        /* KV_TXN_PUT */
        struct kv_txn_delete deletes; /* KV_TXN_DELETE */
        struct kv_txn *nested;        /* KV_TXN_NESTED; owned, of kv_txn_create */
    };
};

struct kv_txn_ops {
    struct kv_txn_op *at; /* owned */
    size_t count;
};

struct kv_txn {
    struct kv_compare *compares; /* owned; slices are borrowed throughout */
    size_t compare_count;
    struct kv_txn_ops success; /* when all compares hold */
    struct kv_txn_ops failure;
};

struct kv_txn *kv_txn_create(void);
/* Also what is nested. NULL is fine. */
void kv_txn_destroy(struct kv_txn *txn);
/* One more at the end, zeroed; the pointer is good until the next one of the same list. */
struct kv_compare *kv_txn_add_compare(struct kv_txn *txn);
struct kv_txn_op *kv_txn_add_op(struct kv_txn_ops *ops, enum kv_txn_kind kind);

/* What is wrong with a transaction whatever the store has in it. */
enum kv_txn_fault {
    KV_TXN_SOUND,
    /* Along a path into nested ones, the longest list of each level counts: more than LIMIT_TXN_OPS
     * together; or nested deeper than LIMIT_TXN_DEPTH; or on all paths LIMIT_TXN_OPS_ALL of either
     * operations or compares. */
    KV_TXN_TOO_MANY,
    KV_TXN_NO_KEY,      /* an empty one (but in a span that is a range) */
    KV_TXN_TOO_LARGE,   /* a key, a value, or all of it: LIMIT_TXN_BYTES encoded */
    KV_TXN_VALUE_GIVEN, /* and ignore_value */
    KV_TXN_LEASE_GIVEN, /* and ignore_lease */
    KV_TXN_BAD_ENUM,    /* a number that is none of its enum's */
    /* A key is put twice on some path, or put and in the span of a delete. (Before a delete in a
     * nested transaction too, where etcd does not look.) */
    KV_TXN_DUPLICATE_KEY,
};
/* The first fault of the order above at the first place that has one; duplicates last of all. The
 * caller refuses what is not sound; if such a one is in the log all the same, applying answers
 * INVALID. */
enum kv_txn_fault kv_txn_check(const struct kv_txn *txn);
/* Has it a put or a delete on any path? If not, kv_txn_read answers it without a command. */
bool kv_txn_writes(const struct kv_txn *txn);

/* Append the bytes of a sound transaction. */
void kv_txn_encode(const struct kv_txn *txn, struct buf *out);
/* OK and a tree for the caller to destroy, whose slices borrow from `bytes`; CORRUPT for anything
 * that kv_txn_encode does not write, but for KV_TXN_DUPLICATE_KEY, which is not looked for. */
enum status MUST_CHECK kv_txn_decode(struct slice bytes, struct kv_txn **txn);

/* Append the answer to a sound transaction that writes nothing, from the store as it is. OK,
 * COMPACTED, FUTURE; TOO_LARGE: beyond LIMIT_TXN_ANSWER_BYTES or LIMIT_TXN_KEYS, and nothing is
 * appended. */
enum status MUST_CHECK kv_txn_read(const struct kv *kv, const struct kv_txn *txn,
                                   struct buf *answer);

/* --- answers ---------------------------------------------------------------------------------- */

/* Reads the answers of one list of operations. Bytes of another member: checked as it goes. */
struct kv_answer {
    bool succeeded;
    bool bad; /* what came last was not an answer's bytes: false was said for that */
    struct slice rest;
    uint64_t left; /* operations */
};

struct kv_answer_items {
    struct slice rest;
    uint64_t left;
};

struct kv_answer_op {
    enum kv_txn_kind kind;
    uint64_t revision;            /* of the store right after the operation */
    uint64_t count;               /* KV_TXN_RANGE: in the span; KV_TXN_DELETE: deleted */
    bool more;                    /* KV_TXN_RANGE */
    struct kv_answer_items items; /* of a range; else what was before, if that was asked for */
    struct kv_answer nested;      /* KV_TXN_NESTED */
};

/* False: `bytes` are no answer. Everything read borrows from `bytes`. */
bool kv_answer_begin(struct slice bytes, struct kv_answer *answer);
/* False at the end, and when `answer->bad`. */
bool kv_answer_next(struct kv_answer *answer, struct kv_answer_op *op);
/* False at the end. They were checked with their operation. */
bool kv_answer_item(struct kv_answer_items *items, struct kv_item *item);
