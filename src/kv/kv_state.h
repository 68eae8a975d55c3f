/* kv/kv_state.h - what a store is made of; only for the files of kv/.
 *
 * Two kinds of state. What the outside can see - answers, statistics but memory_bytes - is a
 * function of the commands alone. What compaction has condemned and not yet freed (versions and
 * entries of changes below the history's floor) is not: it depends on how often kv_compact_step was
 * called, and nothing else may. */
#pragma once

#include "kv/btree.h"
#include "kv/kv.h"
#include "kv/kv_documents.h"
#include "kv/kv_history.h"
#include "kv/kv_leases.h"
#include "kv/kv_retry.h"
#include "kv/kv_txn.h"
#include "kv/slab.h"

struct auth;

struct kv {
    struct slab slab;
    struct btree tree; /* an entry's payload is the newest version of its key */
    struct history history;
    struct documents documents;
    struct leases leases;
    struct retry_table retries;
    struct auth *auth; /* owned; kv_auth_table.h */
    uint64_t time_ms;  /* log time: the highest of all commands so far */
    uint64_t revision;
    uint64_t compact_revision;
    uint64_t next_change; /* number of the first change above compact_revision */
    uint64_t keys;        /* whose newest version is not a tombstone */
    uint64_t leased_keys; /* of those, with a lease */
    uint64_t live_bytes;  /* of those, without documents and leases */
    struct kv_digest live_sum;
    uint64_t applied; /* commands, also those that changed nothing */
    /* How often another state took the place of this one: for kv_watch.h, and no part of it. */
    uint64_t replaced;
    /* An export needs the changes from this number on, and what they superseded. */
    bool is_held;
    uint64_t held_change;
};

/* OK, COMPACTED or FUTURE for a read at *revision; 0 becomes the store's. */
enum status kv_resolve_revision(const struct kv *kv, uint64_t *revision);
/* `v` is a put's version of the key of `e`. */
void kv_fill_item(const struct btree_entry *e, const struct version *v, struct kv_item *item);
/* A walk goes on from there. */
void kv_prefetch_ahead(struct btree_place place);

/* Make a put's version of `e` at `revision`, which is the store's from then on; its change is made
 * at the store's log time. What it became is in *f. */
void kv_change_put(struct kv *kv, struct btree_entry *e, uint64_t revision, uint64_t lease,
                   struct slice value, struct version_fields *f);
/* Likewise a delete's, of a key that is there. */
void kv_change_delete(struct kv *kv, struct btree_entry *e, uint64_t revision);
/* A put's version as of before the history, of a key that is new. */
void kv_load_version(struct kv *kv, struct btree_entry *e, const struct version_fields *f);
/* The current version of an entry's key, or NULL when there is none. */
const struct version *kv_current_of(const struct btree_entry *e);

/* KV_TXN; the answer goes to `answer` unless that is NULL. */
void kv_txn_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                  struct buf *answer);
/* KV_LEASE_GRANT, KV_LEASE_REVOKE, KV_LEASE_EXPIRE. */
void kv_lease_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result);
/* Whole, and within its bounds. */
bool kv_expiry_is_sound(struct slice expiry);
/* May a command of this kind have a retry key? */
bool kv_op_may_retry(enum kv_op op);

/* kv_txn_check in two parts. */
enum kv_txn_fault kv_txn_check_bounds(const struct kv_txn *txn);
bool kv_txn_touches_twice(const struct kv_txn *txn);
