/* kv/kv_lease.h - reading the leases of a store. They change by commands only (kv.h): granted,
 * revoked, expired, or made along with a key and gone with it.
 *
 * A lease here has no deadline: the state knows no clock. Who keeps deadlines remembers leases by
 * id and grant number and proposes KV_LEASE_EXPIRE with both (rule T3). */
#pragma once

#include "kv/kv.h"

struct kv_lease {
    uint64_t id; /* never 0 */
    uint64_t ttl_s;
    /* Every grant of the store has a number of its own, ascending from 1, also one of an id that
     * was there before. */
    uint64_t grant;
    bool is_private; /* made by KV_PUT_TTL: goes with its last key */
    uint64_t keys;   /* attached */
};

/* False: there is none. */
bool kv_lease_get(const struct kv *kv, uint64_t id, struct kv_lease *lease);
/* The one with the lowest id above `after`: from 0 on, all of them in order of id. */
bool kv_lease_next(const struct kv *kv, uint64_t after, struct kv_lease *lease);
/* The one with the lowest grant number above `grant`: from 0 on, all of them in the order in which
 * they were granted; from the last one seen on, those that are new. */
bool kv_lease_next_grant(const struct kv *kv, uint64_t grant, struct kv_lease *lease);
/* The lease's first key behind `after` (empty = the first), in key order; *key is borrowed until
 * the next kv_apply and may be given as `after`. */
bool kv_lease_next_key(const struct kv *kv, uint64_t id, struct slice after, struct slice *key);

/* How many there are. */
uint64_t kv_lease_count(const struct kv *kv);
/* Goes up whenever a lease came or went, and when the store was swapped. Members may differ. */
uint64_t kv_lease_changes(const struct kv *kv);

/* Append one lease to the `expiry` of a KV_LEASE_EXPIRE; at most LIMIT_LEASE_EXPIRY of them. */
void kv_expiry_add(struct buf *expiry, uint64_t id, uint64_t grant);
