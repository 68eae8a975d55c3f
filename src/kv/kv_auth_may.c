/* kv/kv_auth_may.c - what a user's roles permit together (kv_auth.h).
 *
 * For each user the spans of all his permissions are merged into intervals with gaps in between, so
 * that a span is permitted when it is within one of them, which a binary search finds. They are
 * made anew when the auth revision has changed. */
#include "base/check.h"
#include "base/mem.h"
#include "kv/kv_auth_table.h"
#include "kv/kv_lease.h"
#include "kv/kv_state.h"
#include "kv/kv_txn.h"

#include <stdlib.h>

void auth_intervals_clear(struct auth_intervals *intervals)
{
    for (size_t i = 0; i < intervals->count; i++) {
        buf_deinit(&intervals->at[i].start);
        buf_deinit(&intervals->at[i].end);
    }
    mem_free(intervals->at);
    *intervals = (struct auth_intervals){0};
}

static int compare_starts(const void *left, const void *right)
{
    const struct auth_interval *a = left;
    const struct auth_interval *b = right;
    return slice_compare(buf_slice(&a->start), buf_slice(&b->start));
}

static struct auth_interval interval_of(const struct auth_permission *p)
{
    struct kv_span span = kv_span_of(buf_slice(&p->key), buf_slice(&p->range_end));
    struct auth_interval interval = {.is_open = span.kind == KV_SPAN_FROM};
    buf_append_slice(&interval.start, span.key);
    buf_append_slice(&interval.end, span.kind == KV_SPAN_RANGE ? span.end : span.key);
    if (span.kind == KV_SPAN_KEY) {
        buf_append_byte(&interval.end, 0); /* the key right behind it */
    }
    return interval;
}

/* Is `next`, which does not begin before `last`, a part of it or right behind? Then join it. */
static bool join(struct auth_interval *last, struct auth_interval *next)
{
    if (!last->is_open && slice_compare(buf_slice(&last->end), buf_slice(&next->start)) < 0) {
        return false;
    }
    if (!last->is_open &&
        (next->is_open || slice_compare(buf_slice(&last->end), buf_slice(&next->end)) < 0)) {
        const struct buf end = last->end;
        last->end = next->end;
        next->end = end;
        last->is_open = next->is_open;
    }
    buf_deinit(&next->start);
    buf_deinit(&next->end);
    return true;
}

static void merge(struct auth_intervals *intervals)
{
    size_t kept = 0;
    if (intervals->count > 1) {
        qsort(intervals->at, intervals->count, sizeof(*intervals->at), compare_starts);
    }
    for (size_t i = 0; i < intervals->count; i++) {
        if (kept == 0 || !join(&intervals->at[kept - 1], &intervals->at[i])) {
            intervals->at[kept++] = intervals->at[i];
        }
    }
    intervals->count = kept;
}

static void gather(const struct auth *a, const struct auth_user *u, enum kv_permission permission,
                   struct auth_intervals *intervals)
{
    size_t capacity = 0;
    for (size_t i = 0; i < u->count; i++) {
        const struct auth_role *r = auth_role_find(a, buf_slice(&u->roles[i]));
        capacity += r != NULL ? r->count : 0;
    }
    intervals->at = mem_calloc(capacity + 1, sizeof(*intervals->at));
    for (size_t i = 0; i < u->count; i++) {
        const struct auth_role *r = auth_role_find(a, buf_slice(&u->roles[i]));
        for (size_t k = 0; r != NULL && k < r->count; k++) {
            const struct auth_permission *p = &r->permissions[k];
            if (p->permission == permission || p->permission == KV_PERMIT_BOTH) {
                intervals->at[intervals->count++] = interval_of(p);
            }
        }
    }
    merge(intervals);
}

static const struct auth_intervals *permitted(const struct auth *a, struct auth_user *u,
                                              enum kv_permission permission)
{
    if (u->permitted_at != a->revision) {
        for (unsigned i = KV_PERMIT_READ; i <= KV_PERMIT_WRITE; i++) {
            auth_intervals_clear(&u->permitted[i]);
            gather(a, u, (enum kv_permission)i, &u->permitted[i]);
        }
        u->permitted_at = a->revision;
    }
    return &u->permitted[permission];
}

/* The last one that does not begin behind `key`, or NULL. */
static const struct auth_interval *interval_at(const struct auth_intervals *intervals,
                                               struct slice key)
{
    size_t low = 0;
    size_t high = intervals->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(buf_slice(&intervals->at[middle].start), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &intervals->at[low - 1] : NULL;
}

static bool covers(const struct auth_intervals *intervals, const struct kv_span *span)
{
    /* There is no key before the one of a single zero byte. */
    struct slice key = span->key.size > 0 ? span->key : slice_of("", 1);
    const struct auth_interval *interval = interval_at(intervals, key);
    if (interval == NULL || interval->is_open) {
        return interval != NULL;
    }
    struct slice end = buf_slice(&interval->end);
    return span->kind != KV_SPAN_FROM && slice_compare(key, end) < 0 &&
           (span->kind != KV_SPAN_RANGE || slice_compare(span->end, end) <= 0);
}

bool kv_auth_is_root(const struct kv *kv, struct slice user)
{
    return kv_auth_user_has_role(kv, user, slice_str(KV_AUTH_ROOT));
}

bool kv_auth_may(const struct kv *kv, struct slice user, enum kv_permission permission,
                 const struct kv_span *span)
{
    CHECK(permission != KV_PERMIT_BOTH);
    struct auth_user *u = auth_user_find(kv->auth, user);
    return u != NULL &&
           (kv_auth_is_root(kv, user) || covers(permitted(kv->auth, u, permission), span));
}

bool kv_auth_may_lease(const struct kv *kv, struct slice user, enum kv_permission permission,
                       uint64_t lease)
{
    struct kv_span span = {.kind = KV_SPAN_KEY};
    struct slice key = {0};
    if (kv_auth_is_root(kv, user)) {
        return true;
    }
    while (kv_lease_next_key(kv, lease, key, &key)) {
        span.key = key;
        if (!kv_auth_may(kv, user, permission, &span)) {
            return false;
        }
    }
    return auth_user_find(kv->auth, user) != NULL;
}

static bool may_op(const struct kv *kv, struct slice user, const struct kv_txn_op *op)
{
    struct kv_span key;
    switch (op->kind) {
    case KV_TXN_RANGE:
        return kv_auth_may(kv, user, KV_PERMIT_READ, &op->range.span);
    case KV_TXN_PUT:
        key = (struct kv_span){.kind = KV_SPAN_KEY, .key = op->put.key};
        return kv_auth_may(kv, user, KV_PERMIT_WRITE, &key) &&
               (!op->put.previous || kv_auth_may(kv, user, KV_PERMIT_READ, &key)) &&
               (op->put.lease == 0 || kv_auth_may_lease(kv, user, KV_PERMIT_WRITE, op->put.lease));
    case KV_TXN_DELETE:
        return kv_auth_may(kv, user, KV_PERMIT_WRITE, &op->deletes.span) &&
               (!op->deletes.previous || kv_auth_may(kv, user, KV_PERMIT_READ, &op->deletes.span));
    case KV_TXN_NESTED:
        return kv_auth_may_txn(kv, user, op->nested);
    }
    return false;
}

static bool may_ops(const struct kv *kv, struct slice user, const struct kv_txn_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        if (!may_op(kv, user, &ops->at[i])) {
            return false;
        }
    }
    return true;
}

bool kv_auth_may_txn(const struct kv *kv, struct slice user, const struct kv_txn *txn)
{
    for (size_t i = 0; i < txn->compare_count; i++) {
        if (!kv_auth_may(kv, user, KV_PERMIT_READ, &txn->compares[i].span)) {
            return false;
        }
    }
    return may_ops(kv, user, &txn->success) && may_ops(kv, user, &txn->failure);
}
