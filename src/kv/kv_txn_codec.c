/* kv/kv_txn_codec.c - the bytes of a transaction, as they stand in a command.
 *
 *   txn:     compares | operations of success | operations of failure; a varint count before each
 *   compare: target u8 | relation u8 | span | number varint (two's complement), or value bytes
 *   op:      kind u8 | by kind:
 *     range  order u8 | target u8 | flags u8 (keys only, count only) | span | revision, limit, min
 *            and max mod, min and max create revision varints
 *     put    flags u8 (previous, ignore value, ignore lease) | key bytes | [lease varint]
 *            | [value bytes]; neither when ignored
 *     delete flags u8 (previous) | span
 *     nested txn
 *   span:    kind u8 | key bytes | [end bytes]; the end of a range only
 *   bytes: a varint length and the bytes. Numbers are in their shortest form. */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_state.h"

enum {
    FLAG_KEYS_ONLY = 1,
    FLAG_COUNT_ONLY = 2,
    FLAG_PREVIOUS = 1,
    FLAG_IGNORE_VALUE = 2,
    FLAG_IGNORE_LEASE = 4,
};

/* --- writing ---------------------------------------------------------------------------------- */

static void put_span(const struct kv_span *span, struct buf *out)
{
    put_u8(out, (uint8_t)span->kind);
    put_bytes(out, span->key);
    if (span->kind == KV_SPAN_RANGE) {
        put_bytes(out, span->end);
    }
}

static void put_compare(const struct kv_compare *c, struct buf *out)
{
    put_u8(out, (uint8_t)c->target);
    put_u8(out, (uint8_t)c->relation);
    put_span(&c->span, out);
    if (c->target == KV_COMPARE_VALUE) {
        put_bytes(out, c->value);
    } else {
        put_varint(out, (uint64_t)c->number);
    }
}

static void put_range(const struct kv_range *r, struct buf *out)
{
    put_u8(out, (uint8_t)r->order);
    put_u8(out, (uint8_t)r->target);
    put_u8(out, (r->keys_only ? FLAG_KEYS_ONLY : 0) | (r->count_only ? FLAG_COUNT_ONLY : 0));
    put_span(&r->span, out);
    put_varint(out, r->revision);
    put_varint(out, r->limit);
    put_varint(out, r->min_mod_revision);
    put_varint(out, r->max_mod_revision);
    put_varint(out, r->min_create_revision);
    put_varint(out, r->max_create_revision);
}

static void put_put(const struct kv_txn_put *p, struct buf *out)
{
    put_u8(out, (p->previous ? FLAG_PREVIOUS : 0) | (p->ignore_value ? FLAG_IGNORE_VALUE : 0) |
                    (p->ignore_lease ? FLAG_IGNORE_LEASE : 0));
    put_bytes(out, p->key);
    if (!p->ignore_lease) {
        put_varint(out, p->lease);
    }
    if (!p->ignore_value) {
        put_bytes(out, p->value);
    }
}

static void put_txn(const struct kv_txn *txn, struct buf *out);

static void put_ops(const struct kv_txn_ops *ops, struct buf *out)
{
    put_varint(out, ops->count);
    for (size_t i = 0; i < ops->count; i++) {
        const struct kv_txn_op *op = &ops->at[i];
        put_u8(out, (uint8_t)op->kind);
        switch (op->kind) {
        case KV_TXN_RANGE:
            put_range(&op->range, out);
            break;
        case KV_TXN_PUT:
            put_put(&op->put, out);
            break;
        case KV_TXN_DELETE:
            put_u8(out, op->deletes.previous ? FLAG_PREVIOUS : 0);
            put_span(&op->deletes.span, out);
            break;
        case KV_TXN_NESTED:
            put_txn(op->nested, out);
            break;
        }
    }
}

static void put_txn(const struct kv_txn *txn, struct buf *out)
{
    put_varint(out, txn->compare_count);
    for (size_t i = 0; i < txn->compare_count; i++) {
        put_compare(&txn->compares[i], out);
    }
    put_ops(&txn->success, out);
    put_ops(&txn->failure, out);
}

void kv_txn_encode(const struct kv_txn *txn, struct buf *out)
{
    CHECK(kv_txn_check_bounds(txn) == KV_TXN_SOUND);
    put_txn(txn, out);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* What bounds memory and depth while a tree is built from bytes that may be anything; all else is
 * checked when it stands. */
struct decoder {
    struct reader r;
    size_t compares;
    size_t ops;
    unsigned depth;
};

static bool fail(struct decoder *d)
{
    d->r.bad = true;
    return false;
}

static uint64_t get_number(struct decoder *d)
{
    size_t before = reader_left(&d->r);
    uint64_t v = get_varint(&d->r);
    if (before - reader_left(&d->r) != varint_size(v)) {
        fail(d);
    }
    return v;
}

static struct slice get_sized(struct decoder *d)
{
    uint64_t size = get_number(d);
    if (size > reader_left(&d->r)) {
        fail(d);
    }
    return reader_ok(&d->r) ? get_raw(&d->r, (size_t)size) : slice_of(NULL, 0);
}

/* A count of things of at least one byte each. */
static size_t get_count(struct decoder *d, size_t *all)
{
    uint64_t count = get_number(d);
    if (!reader_ok(&d->r) || count > LIMIT_TXN_OPS || *all + count > LIMIT_TXN_OPS_ALL) {
        fail(d);
        return 0;
    }
    *all += (size_t)count;
    return (size_t)count;
}

static unsigned get_flags(struct decoder *d, unsigned known)
{
    unsigned flags = get_u8(&d->r);
    if ((flags & ~known) != 0) {
        fail(d);
    }
    return flags;
}

static void get_span(struct decoder *d, struct kv_span *span)
{
    span->kind = (enum kv_span_kind)get_u8(&d->r);
    span->key = get_sized(d);
    if (span->kind == KV_SPAN_RANGE) {
        span->end = get_sized(d);
    }
}

static void get_compare(struct decoder *d, struct kv_compare *c)
{
    c->target = (enum kv_compare_target)get_u8(&d->r);
    c->relation = (enum kv_compare_relation)get_u8(&d->r);
    get_span(d, &c->span);
    if (c->target == KV_COMPARE_VALUE) {
        c->value = get_sized(d);
    } else {
        c->number = (int64_t)get_number(d);
    }
}

static void get_range(struct decoder *d, struct kv_range *range)
{
    range->order = (enum kv_sort_order)get_u8(&d->r);
    range->target = (enum kv_sort_target)get_u8(&d->r);
    unsigned flags = get_flags(d, FLAG_KEYS_ONLY | FLAG_COUNT_ONLY);
    range->keys_only = (flags & FLAG_KEYS_ONLY) != 0;
    range->count_only = (flags & FLAG_COUNT_ONLY) != 0;
    get_span(d, &range->span);
    range->revision = get_number(d);
    range->limit = get_number(d);
    range->min_mod_revision = get_number(d);
    range->max_mod_revision = get_number(d);
    range->min_create_revision = get_number(d);
    range->max_create_revision = get_number(d);
}

static void get_put(struct decoder *d, struct kv_txn_put *put)
{
    unsigned flags = get_flags(d, FLAG_PREVIOUS | FLAG_IGNORE_VALUE | FLAG_IGNORE_LEASE);
    put->previous = (flags & FLAG_PREVIOUS) != 0;
    put->ignore_value = (flags & FLAG_IGNORE_VALUE) != 0;
    put->ignore_lease = (flags & FLAG_IGNORE_LEASE) != 0;
    put->key = get_sized(d);
    put->lease = put->ignore_lease ? 0 : get_number(d);
    put->value = put->ignore_value ? slice_of(NULL, 0) : get_sized(d);
}

static void get_txn(struct decoder *d, struct kv_txn *txn);

static void get_nested(struct decoder *d, struct kv_txn_op *op)
{
    op->nested = kv_txn_create();
    if (d->depth == LIMIT_TXN_DEPTH) {
        fail(d);
        return;
    }
    d->depth++;
    get_txn(d, op->nested);
    d->depth--;
}

static void get_op(struct decoder *d, struct kv_txn_ops *ops)
{
    uint8_t kind = get_u8(&d->r);
    if (kind < KV_TXN_RANGE || kind > KV_TXN_NESTED) {
        fail(d);
        return;
    }
    struct kv_txn_op *op = kv_txn_add_op(ops, (enum kv_txn_kind)kind);
    switch (op->kind) {
    case KV_TXN_RANGE:
        get_range(d, &op->range);
        break;
    case KV_TXN_PUT:
        get_put(d, &op->put);
        break;
    case KV_TXN_DELETE:
        op->deletes.previous = get_flags(d, FLAG_PREVIOUS) != 0;
        get_span(d, &op->deletes.span);
        break;
    case KV_TXN_NESTED:
        get_nested(d, op);
        break;
    }
}

static void get_ops(struct decoder *d, struct kv_txn_ops *ops)
{
    size_t count = get_count(d, &d->ops);
    for (size_t i = 0; i < count && reader_ok(&d->r); i++) {
        get_op(d, ops);
    }
}

static void get_txn(struct decoder *d, struct kv_txn *txn)
{
    size_t count = get_count(d, &d->compares);
    for (size_t i = 0; i < count && reader_ok(&d->r); i++) {
        get_compare(d, kv_txn_add_compare(txn));
    }
    get_ops(d, &txn->success);
    get_ops(d, &txn->failure);
}

enum status kv_txn_decode(struct slice bytes, struct kv_txn **txn)
{
    struct decoder d = {.r = reader_of(bytes), .depth = 1};
    *txn = kv_txn_create();
    get_txn(&d, *txn);
    if (reader_done(&d.r) && kv_txn_check_bounds(*txn) == KV_TXN_SOUND) {
        return STATUS_OK;
    }
    kv_txn_destroy(*txn);
    *txn = NULL;
    return STATUS_CORRUPT;
}
