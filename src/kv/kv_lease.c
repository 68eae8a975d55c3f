/* kv/kv_lease.c - reading leases (kv_lease.h), and the commands that grant and end them. */
#include "kv/kv_lease.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_state.h"

#include <string.h>

#define EXPIRY_BYTES 16u /* id and grant number */

/* --- reads ------------------------------------------------------------------------------------ */

static bool tell(const struct lease *found, struct kv_lease *lease)
{
    if (found == NULL) {
        return false;
    }
    *lease = (struct kv_lease){.id = found->id,
                               .ttl_s = found->ttl_s,
                               .grant = found->grant,
                               .is_private = found->is_private,
                               .keys = found->keys};
    return true;
}

bool kv_lease_get(const struct kv *kv, uint64_t id, struct kv_lease *lease)
{
    return tell(leases_find(&kv->leases, id), lease);
}

bool kv_lease_next(const struct kv *kv, uint64_t after, struct kv_lease *lease)
{
    return after < UINT64_MAX && tell(leases_seek(&kv->leases, after + 1), lease);
}

bool kv_lease_next_grant(const struct kv *kv, uint64_t grant, struct kv_lease *lease)
{
    return grant < kv->leases.grants && tell(leases_seek_grant(&kv->leases, grant + 1), lease);
}

/* The smallest key behind one is the same with a zero byte at its end. */
bool kv_lease_next_key(const struct kv *kv, uint64_t id, struct slice after, struct slice *key)
{
    uint8_t from[LIMIT_KEY_BYTES + 1] = {0};
    CHECK_CMP(after.size, <=, LIMIT_KEY_BYTES);
    if (after.size == 0) {
        return leases_seek_key(&kv->leases, id, after, key);
    }
    memcpy(from, after.data, after.size);
    return leases_seek_key(&kv->leases, id, slice_of(from, after.size + 1), key);
}

uint64_t kv_lease_count(const struct kv *kv)
{
    return kv->leases.by_id.count;
}

uint64_t kv_lease_changes(const struct kv *kv)
{
    return kv->leases.changes;
}

void kv_expiry_add(struct buf *expiry, uint64_t id, uint64_t grant)
{
    CHECK_CMP(expiry->size, <, (size_t)LIMIT_LEASE_EXPIRY * EXPIRY_BYTES);
    put_u64(expiry, id);
    put_u64(expiry, grant);
}

bool kv_expiry_is_sound(struct slice expiry)
{
    return expiry.size > 0 && expiry.size % EXPIRY_BYTES == 0 &&
           expiry.size <= (size_t)LIMIT_LEASE_EXPIRY * EXPIRY_BYTES;
}

/* --- commands --------------------------------------------------------------------------------- */

/* Its keys go in one revision. A private one, which had some, goes in the next sweep. */
static void end_lease(struct kv *kv, struct lease *lease)
{
    uint64_t revision = kv->revision + 1;
    struct slice key;
    while (leases_seek_key(&kv->leases, lease->id, slice_of(NULL, 0), &key)) {
        kv_change_delete(kv, btree_find(&kv->tree, key), revision);
    }
    if (!lease->is_private) {
        leases_remove(&kv->leases, lease);
    }
}

static void apply_grant(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    CHECK(c->ttl_s >= 1 && c->ttl_s <= LIMIT_LEASE_TTL_S);
    if (leases_find(&kv->leases, c->lease) != NULL) {
        result->status = STATUS_CONFLICT;
        return;
    }
    if (kv_lease_count(kv) >= LIMIT_LEASES) {
        result->status = STATUS_OVERLOADED;
        return;
    }
    leases_grant(&kv->leases, &(struct lease){.id = c->lease, .ttl_s = c->ttl_s});
    result->lease = c->lease;
}

static void apply_revoke(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    struct lease *lease = leases_find(&kv->leases, c->lease);
    if (lease == NULL) {
        result->status = STATUS_NO_LEASE;
        return;
    }
    end_lease(kv, lease);
}

/* Rule T3. Once ended, a lease that is named twice is stale. */
static void apply_expire(struct kv *kv, const struct kv_command *c)
{
    struct reader r = reader_of(c->expiry);
    CHECK(kv_expiry_is_sound(c->expiry));
    while (reader_left(&r) > 0) {
        struct lease *lease = leases_find(&kv->leases, get_u64(&r));
        uint64_t grant = get_u64(&r);
        if (lease != NULL && lease->grant == grant) {
            end_lease(kv, lease);
            leases_sweep(&kv->leases);
        }
    }
}

void kv_lease_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    if (c->op == KV_LEASE_GRANT) {
        apply_grant(kv, c, result);
    } else if (c->op == KV_LEASE_REVOKE) {
        apply_revoke(kv, c, result);
    } else {
        apply_expire(kv, c);
    }
}
