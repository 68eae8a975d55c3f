/* kv/kv_txn.c - the tree of a transaction, and what can be wrong with it. */
#include "kv/kv_txn.h"

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_state.h"

/* What a compare or an operation counts beside its keys and values: more than its bytes in the
 * log. */
#define OP_OVERHEAD 96u
#define TOUCHED_MIN 16u
#define ITEMS_MIN   4u

/* --- the tree --------------------------------------------------------------------------------- */

struct kv_txn *kv_txn_create(void)
{
    return mem_calloc(1, sizeof(struct kv_txn));
}

static void destroy_ops(struct kv_txn_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        if (ops->at[i].kind == KV_TXN_NESTED) {
            kv_txn_destroy(ops->at[i].nested);
        }
    }
    mem_free(ops->at);
}

void kv_txn_destroy(struct kv_txn *txn)
{
    if (txn == NULL) {
        return;
    }
    destroy_ops(&txn->success);
    destroy_ops(&txn->failure);
    mem_free(txn->compares);
    mem_free(txn);
}

/* Room for one more behind `count` of them: there are ITEMS_MIN, and then twice as many each time.
 */
static void *grow(void *items, size_t count, size_t size)
{
    bool is_full = count == 0 || (count >= ITEMS_MIN && (count & (count - 1)) == 0);
    return is_full ? mem_realloc(items, (count > 0 ? 2 * count : ITEMS_MIN) * size) : items;
}

struct kv_compare *kv_txn_add_compare(struct kv_txn *txn)
{
    txn->compares = grow(txn->compares, txn->compare_count, sizeof(*txn->compares));
    struct kv_compare *c = &txn->compares[txn->compare_count++];
    *c = (struct kv_compare){0};
    return c;
}

struct kv_txn_op *kv_txn_add_op(struct kv_txn_ops *ops, enum kv_txn_kind kind)
{
    ops->at = grow(ops->at, ops->count, sizeof(*ops->at));
    struct kv_txn_op *op = &ops->at[ops->count++];
    memset(op, 0, sizeof(*op));
    op->kind = kind;
    return op;
}

static bool list_writes(const struct kv_txn_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        const struct kv_txn_op *op = &ops->at[i];
        if (op->kind == KV_TXN_PUT || op->kind == KV_TXN_DELETE ||
            (op->kind == KV_TXN_NESTED && kv_txn_writes(op->nested))) {
            return true;
        }
    }
    return false;
}

bool kv_txn_writes(const struct kv_txn *txn)
{
    return list_writes(&txn->success) || list_writes(&txn->failure);
}

/* --- bounds ----------------------------------------------------------------------------------- */

struct bounds {
    size_t compares;
    size_t ops;
    size_t bytes;
};

static enum kv_txn_fault check_bytes(struct bounds *b, struct slice bytes, size_t max)
{
    b->bytes += bytes.size <= max ? bytes.size : 0;
    return bytes.size > max || b->bytes > LIMIT_TXN_BYTES ? KV_TXN_TOO_LARGE : KV_TXN_SOUND;
}

static enum kv_txn_fault check_span(struct bounds *b, const struct kv_span *span)
{
    if (span->kind > KV_SPAN_FROM) {
        return KV_TXN_BAD_ENUM;
    }
    if (span->kind == KV_SPAN_KEY && span->key.size == 0) {
        return KV_TXN_NO_KEY;
    }
    enum kv_txn_fault fault = check_bytes(b, span->key, LIMIT_KEY_BYTES);
    if (fault == KV_TXN_SOUND && span->kind == KV_SPAN_RANGE) {
        fault = check_bytes(b, span->end, LIMIT_KEY_BYTES);
    }
    return fault;
}

static enum kv_txn_fault check_compare(struct bounds *b, const struct kv_compare *c)
{
    b->bytes += OP_OVERHEAD;
    if (c->relation > KV_NOT_EQUAL || c->target > KV_COMPARE_LEASE) {
        return KV_TXN_BAD_ENUM;
    }
    enum kv_txn_fault fault = check_span(b, &c->span);
    if (fault == KV_TXN_SOUND && c->target == KV_COMPARE_VALUE) {
        fault = check_bytes(b, c->value, LIMIT_VALUE_BYTES_MAX);
    }
    return fault;
}

static enum kv_txn_fault check_put(struct bounds *b, const struct kv_txn_put *put)
{
    if (put->key.size == 0) {
        return KV_TXN_NO_KEY;
    }
    if (put->ignore_value && put->value.size > 0) {
        return KV_TXN_VALUE_GIVEN;
    }
    if (put->ignore_lease && put->lease != 0) {
        return KV_TXN_LEASE_GIVEN;
    }
    enum kv_txn_fault fault = check_bytes(b, put->key, LIMIT_KEY_BYTES);
    return fault != KV_TXN_SOUND ? fault : check_bytes(b, put->value, LIMIT_VALUE_BYTES_MAX);
}

static enum kv_txn_fault check_level(struct bounds *b, const struct kv_txn *txn, size_t left,
                                     unsigned depth);

static enum kv_txn_fault check_op(struct bounds *b, const struct kv_txn_op *op, size_t left,
                                  unsigned depth)
{
    b->bytes += OP_OVERHEAD;
    switch (op->kind) {
    case KV_TXN_RANGE:
        if (op->range.order > KV_SORT_DESCEND || op->range.target > KV_SORT_VALUE) {
            return KV_TXN_BAD_ENUM;
        }
        return check_span(b, &op->range.span);
    case KV_TXN_PUT:
        return check_put(b, &op->put);
    case KV_TXN_DELETE:
        return check_span(b, &op->deletes.span);
    case KV_TXN_NESTED:
        return check_level(b, op->nested, left, depth + 1);
    }
    return KV_TXN_BAD_ENUM;
}

static enum kv_txn_fault check_ops(struct bounds *b, const struct kv_txn_ops *ops, size_t left,
                                   unsigned depth)
{
    enum kv_txn_fault fault = KV_TXN_SOUND;
    for (size_t i = 0; i < ops->count && fault == KV_TXN_SOUND; i++) {
        fault = check_op(b, &ops->at[i], left, depth);
    }
    return fault;
}

/* `left` is how many operations or compares this level and those inside may have. */
static enum kv_txn_fault check_level(struct bounds *b, const struct kv_txn *txn, size_t left,
                                     unsigned depth)
{
    size_t longest = txn->compare_count;
    longest = longest > txn->success.count ? longest : txn->success.count;
    longest = longest > txn->failure.count ? longest : txn->failure.count;
    b->compares += txn->compare_count;
    b->ops += txn->success.count + txn->failure.count;
    if (longest > left || depth > LIMIT_TXN_DEPTH || b->compares > LIMIT_TXN_OPS_ALL ||
        b->ops > LIMIT_TXN_OPS_ALL) {
        return KV_TXN_TOO_MANY;
    }
    enum kv_txn_fault fault = KV_TXN_SOUND;
    for (size_t i = 0; i < txn->compare_count && fault == KV_TXN_SOUND; i++) {
        fault = check_compare(b, &txn->compares[i]);
    }
    fault = fault != KV_TXN_SOUND ? fault : check_ops(b, &txn->success, left - longest, depth);
    return fault != KV_TXN_SOUND ? fault : check_ops(b, &txn->failure, left - longest, depth);
}

enum kv_txn_fault kv_txn_check_bounds(const struct kv_txn *txn)
{
    struct bounds b = {.bytes = OP_OVERHEAD};
    enum kv_txn_fault fault = check_level(&b, txn, LIMIT_TXN_OPS, 1);
    return fault == KV_TXN_SOUND && b.bytes > LIMIT_TXN_BYTES ? KV_TXN_TOO_LARGE : fault;
}

/* --- keys that are touched twice -------------------------------------------------------------- */

/* The keys that an operation puts or deletes on some path. */
struct touch {
    bool is_put;
    struct kv_span span;
};

struct touched {
    struct touch *at; /* owned */
    size_t count;
};

static void add_touch(struct touched *t, bool is_put, const struct kv_span *span)
{
    if (t->count == 0 || (t->count >= TOUCHED_MIN && (t->count & (t->count - 1)) == 0)) {
        size_t capacity = t->count > 0 ? 2 * t->count : TOUCHED_MIN;
        t->at = mem_realloc(t->at, capacity * sizeof(*t->at));
    }
    t->at[t->count++] = (struct touch){.is_put = is_put, .span = *span};
}

/* Two deletes of one key are no harm: the second finds nothing. */
static bool collide(const struct touch *a, const struct touch *b)
{
    if (a->is_put) {
        return kv_span_contains(&b->span, a->span.key);
    }
    return b->is_put && kv_span_contains(&a->span, b->span.key);
}

/* Add what a list touches. False: there is something that it touches twice. */
static bool touch_list(struct touched *t, const struct kv_txn_ops *ops);

static bool touch_op(struct touched *t, const struct kv_txn_op *op)
{
    switch (op->kind) {
    case KV_TXN_RANGE:
        break;
    case KV_TXN_PUT:
        add_touch(t, true, &(struct kv_span){.kind = KV_SPAN_KEY, .key = op->put.key});
        break;
    case KV_TXN_DELETE:
        add_touch(t, false, &op->deletes.span);
        break;
    case KV_TXN_NESTED:
        /* Only one of the two is done, so they may touch the same. */
        return touch_list(t, &op->nested->success) && touch_list(t, &op->nested->failure);
    }
    return true;
}

/* From `own` on there is nothing, or one put, whose key is above that of the put before it. */
static bool goes_on_ascending(const struct touched *t, size_t begin, size_t own)
{
    if (t->count == own) {
        return true;
    }
    const struct touch *last = &t->at[own];
    return t->count == own + 1 && last->is_put &&
           (own == begin || slice_compare(t->at[own - 1].span.key, last->span.key) < 0);
}

static bool touch_list(struct touched *t, const struct kv_txn_ops *ops)
{
    size_t begin = t->count;
    bool ascends = true; /* puts alone so far, each of a key above the one before: none is twice */
    for (size_t i = 0; i < ops->count; i++) {
        size_t own = t->count;
        if (!touch_op(t, &ops->at[i])) {
            return false;
        }
        ascends = ascends && goes_on_ascending(t, begin, own);
        for (size_t j = own; j < t->count && !ascends; j++) {
            for (size_t k = begin; k < own; k++) {
                if (collide(&t->at[j], &t->at[k])) {
                    return false;
                }
            }
        }
    }
    return true;
}

bool kv_txn_touches_twice(const struct kv_txn *txn)
{
    struct touched t = {0};
    bool is_fine = touch_list(&t, &txn->success) && touch_list(&t, &txn->failure);
    mem_free(t.at);
    return !is_fine;
}

enum kv_txn_fault kv_txn_check(const struct kv_txn *txn)
{
    enum kv_txn_fault fault = kv_txn_check_bounds(txn);
    if (fault == KV_TXN_SOUND && kv_txn_touches_twice(txn)) {
        fault = KV_TXN_DUPLICATE_KEY;
    }
    return fault;
}
