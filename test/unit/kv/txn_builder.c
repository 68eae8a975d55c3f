#include "txn_builder.h"

struct kv_span one(const char *key)
{
    return (struct kv_span){.kind = KV_SPAN_KEY, .key = slice_str(key)};
}

struct kv_span between(const char *key, const char *end)
{
    return (struct kv_span){.kind = KV_SPAN_RANGE, .key = slice_str(key), .end = slice_str(end)};
}

struct kv_span all(void)
{
    return (struct kv_span){.kind = KV_SPAN_FROM};
}

struct kv_txn_put *add_put(struct kv_txn_ops *ops, const char *key, const char *value)
{
    struct kv_txn_put *p = &kv_txn_add_op(ops, KV_TXN_PUT)->put;
    p->key = slice_str(key);
    p->value = slice_str(value);
    return p;
}

struct kv_txn_delete *add_delete(struct kv_txn_ops *ops, struct kv_span span)
{
    struct kv_txn_delete *d = &kv_txn_add_op(ops, KV_TXN_DELETE)->deletes;
    d->span = span;
    return d;
}

struct kv_range *add_range(struct kv_txn_ops *ops, struct kv_span span)
{
    struct kv_range *r = &kv_txn_add_op(ops, KV_TXN_RANGE)->range;
    r->span = span;
    return r;
}

struct kv_txn *add_nested(struct kv_txn_ops *ops)
{
    struct kv_txn_op *op = kv_txn_add_op(ops, KV_TXN_NESTED);
    op->nested = kv_txn_create();
    return op->nested;
}

void add_compare(struct kv_txn *txn, struct kv_span span, enum kv_compare_target target,
                 enum kv_compare_relation relation, int64_t number)
{
    struct kv_compare *c = kv_txn_add_compare(txn);
    c->span = span;
    c->target = target;
    c->relation = relation;
    c->number = number;
}

void add_compare_value(struct kv_txn *txn, struct kv_span span, enum kv_compare_relation relation,
                       const char *value)
{
    add_compare(txn, span, KV_COMPARE_VALUE, relation, 0);
    txn->compares[txn->compare_count - 1].value = slice_str(value);
}
