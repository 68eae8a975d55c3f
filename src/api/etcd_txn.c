#include "api/etcd_txn.h"

#include "api/etcd_item.h"
#include "base/limits.h"

/* --- requests --------------------------------------------------------------------------------- */

static struct slice bytes_of(ProtobufCBinaryData b)
{
    return slice_of(b.data, b.len);
}

static uint64_t or_zero(int64_t v)
{
    return v > 0 ? (uint64_t)v : 0;
}

/* A lower bound below zero lets all pass, an upper one none. */
static void set_bounds(struct kv_range *range, const Etcdserverpb__RangeRequest *r)
{
    range->min_mod_revision = or_zero(r->min_mod_revision);
    range->max_mod_revision = or_zero(r->max_mod_revision);
    range->min_create_revision = or_zero(r->min_create_revision);
    range->max_create_revision = or_zero(r->max_create_revision);
    if (r->max_mod_revision < 0 || r->max_create_revision < 0) {
        range->min_mod_revision = UINT64_MAX;
    }
}

struct kv_range etcd_range_of(const Etcdserverpb__RangeRequest *r)
{
    struct kv_range range = {
        .span = kv_span_of(bytes_of(r->key), bytes_of(r->range_end)),
        .revision = or_zero(r->revision),
        .limit = or_zero(r->limit),
        .order = (enum kv_sort_order)r->sort_order,
        .target = (enum kv_sort_target)r->sort_target,
        .keys_only = r->keys_only,
        .count_only = r->count_only,
    };
    set_bounds(&range, r);
    return range;
}

bool etcd_is_sort(const Etcdserverpb__RangeRequest *r)
{
    return (unsigned)r->sort_order <= KV_SORT_DESCEND && (unsigned)r->sort_target <= KV_SORT_VALUE;
}

struct kv_txn_put etcd_put_of(const Etcdserverpb__PutRequest *r)
{
    return (struct kv_txn_put){
        .key = bytes_of(r->key),
        .value = bytes_of(r->value),
        .lease = (uint64_t)r->lease,
        .previous = r->prev_kv,
        .ignore_value = r->ignore_value,
        .ignore_lease = r->ignore_lease,
    };
}

static void set_compare(struct kv_compare *c, const Etcdserverpb__Compare *r)
{
    c->span = kv_span_of(bytes_of(r->key), bytes_of(r->range_end));
    c->target = (enum kv_compare_target)r->target;
    c->relation = (enum kv_compare_relation)r->result;
    /* What is given for another target counts as not given. */
    switch (r->target_union_case) {
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION:
        c->number = c->target == KV_COMPARE_VERSION ? r->version : 0;
        return;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION:
        c->number = c->target == KV_COMPARE_CREATE ? r->create_revision : 0;
        return;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION:
        c->number = c->target == KV_COMPARE_MOD ? r->mod_revision : 0;
        return;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE:
        c->number = c->target == KV_COMPARE_LEASE ? r->lease : 0;
        return;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE:
        c->value = c->target == KV_COMPARE_VALUE ? bytes_of(r->value) : slice_of(NULL, 0);
        return;
    default:
        return;
    }
}

static bool add_op(struct kv_txn_ops *ops, const Etcdserverpb__RequestOp *r)
{
    const Etcdserverpb__DeleteRangeRequest *d = r->request_delete_range;
    struct kv_txn *nested = NULL;
    switch (r->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        kv_txn_add_op(ops, KV_TXN_RANGE)->range = etcd_range_of(r->request_range);
        return true;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        kv_txn_add_op(ops, KV_TXN_PUT)->put = etcd_put_of(r->request_put);
        return true;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        kv_txn_add_op(ops, KV_TXN_DELETE)->deletes = (struct kv_txn_delete){
            .span = kv_span_of(bytes_of(d->key), bytes_of(d->range_end)), .previous = d->prev_kv};
        return true;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        nested = etcd_txn_of(r->request_txn);
        if (nested != NULL) {
            kv_txn_add_op(ops, KV_TXN_NESTED)->nested = nested;
        }
        return nested != NULL;
    default:
        return false;
    }
}

static bool add_ops(struct kv_txn_ops *ops, Etcdserverpb__RequestOp *const *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!add_op(ops, requests[i])) {
            return false;
        }
    }
    return true;
}

/* As deep as the message, which LIMIT_PROTOBUF_DEPTH bounds. */
struct kv_txn *etcd_txn_of(const Etcdserverpb__TxnRequest *r)
{
    struct kv_txn *txn = kv_txn_create();
    for (size_t i = 0; i < r->n_compare; i++) {
        set_compare(kv_txn_add_compare(txn), r->compare[i]);
    }
    if (!add_ops(&txn->success, r->success, r->n_success) ||
        !add_ops(&txn->failure, r->failure, r->n_failure)) {
        kv_txn_destroy(txn);
        return NULL;
    }
    return txn;
}

enum etcd_error etcd_error_of_fault(enum kv_txn_fault fault)
{
    static const enum etcd_error errors[] = {
        [KV_TXN_TOO_MANY] = ETCD_TOO_MANY_OPS,       [KV_TXN_NO_KEY] = ETCD_EMPTY_KEY,
        [KV_TXN_TOO_LARGE] = ETCD_REQUEST_TOO_LARGE, [KV_TXN_VALUE_GIVEN] = ETCD_VALUE_PROVIDED,
        [KV_TXN_LEASE_GIVEN] = ETCD_LEASE_PROVIDED,  [KV_TXN_BAD_ENUM] = ETCD_BAD_SORT,
        [KV_TXN_DUPLICATE_KEY] = ETCD_DUPLICATE_KEY,
    };
    return errors[fault];
}

/* --- answers ---------------------------------------------------------------------------------- */

Mvccpb__KeyValue *etcd_item_of(struct arena *arena, const struct kv_item *item)
{
    Mvccpb__KeyValue *kv = arena_alloc(arena, sizeof(*kv));
    etcd_item_fill(item, kv);
    return kv;
}

Mvccpb__KeyValue **etcd_items_of(struct arena *arena, struct kv_answer_items items, size_t *count)
{
    *count = 0;
    if (items.left == 0) {
        return NULL;
    }
    Mvccpb__KeyValue **list = arena_alloc(arena, items.left * sizeof(*list));
    struct kv_item item;
    while (kv_answer_item(&items, &item)) {
        list[(*count)++] = etcd_item_of(arena, &item);
    }
    return list;
}

bool etcd_single_answer(struct slice bytes, enum kv_txn_kind kind, struct kv_answer_op *op)
{
    struct kv_answer answer;
    return kv_answer_begin(bytes, &answer) && kv_answer_next(&answer, op) && op->kind == kind;
}

static Etcdserverpb__ResponseHeader *header_of(struct arena *arena, uint64_t revision)
{
    Etcdserverpb__ResponseHeader *header = arena_alloc(arena, sizeof(*header));
    etcdserverpb__response_header__init(header);
    header->revision = (int64_t)revision;
    return header;
}

static Etcdserverpb__RangeResponse *range_response(struct arena *arena,
                                                   const struct kv_answer_op *op)
{
    Etcdserverpb__RangeResponse *r = arena_alloc(arena, sizeof(*r));
    etcdserverpb__range_response__init(r);
    r->header = header_of(arena, op->revision);
    r->count = (int64_t)op->count;
    r->more = op->more;
    r->kvs = etcd_items_of(arena, op->items, &r->n_kvs);
    return r;
}

static Etcdserverpb__PutResponse *put_response(struct arena *arena, const struct kv_answer_op *op)
{
    Etcdserverpb__PutResponse *r = arena_alloc(arena, sizeof(*r));
    etcdserverpb__put_response__init(r);
    r->header = header_of(arena, op->revision);
    size_t count = 0;
    Mvccpb__KeyValue **before = etcd_items_of(arena, op->items, &count);
    r->prev_kv = count > 0 ? before[0] : NULL;
    return r;
}

static Etcdserverpb__DeleteRangeResponse *delete_response(struct arena *arena,
                                                          const struct kv_answer_op *op)
{
    Etcdserverpb__DeleteRangeResponse *r = arena_alloc(arena, sizeof(*r));
    etcdserverpb__delete_range_response__init(r);
    r->header = header_of(arena, op->revision);
    r->deleted = (int64_t)op->count;
    r->prev_kvs = etcd_items_of(arena, op->items, &r->n_prev_kvs);
    return r;
}

static Etcdserverpb__TxnResponse *txn_response(struct arena *arena, struct kv_answer *answer,
                                               unsigned depth);

/* NULL: what is nested is no answer. */
static Etcdserverpb__ResponseOp *response_of(struct arena *arena, struct kv_answer_op *op,
                                             unsigned depth)
{
    Etcdserverpb__ResponseOp *r = arena_alloc(arena, sizeof(*r));
    etcdserverpb__response_op__init(r);
    switch (op->kind) {
    case KV_TXN_RANGE:
        r->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        r->response_range = range_response(arena, op);
        return r;
    case KV_TXN_PUT:
        r->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        r->response_put = put_response(arena, op);
        return r;
    case KV_TXN_DELETE:
        r->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        r->response_delete_range = delete_response(arena, op);
        return r;
    default:
        r->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        r->response_txn = txn_response(arena, &op->nested, depth + 1);
        if (r->response_txn == NULL) {
            return NULL;
        }
        r->response_txn->header = header_of(arena, 0); /* as etcd has it */
        return r;
    }
}

static Etcdserverpb__TxnResponse *txn_response(struct arena *arena, struct kv_answer *answer,
                                               unsigned depth)
{
    if (answer->left > LIMIT_TXN_OPS_ALL || depth > LIMIT_TXN_DEPTH) {
        return NULL;
    }
    Etcdserverpb__TxnResponse *r = arena_alloc(arena, sizeof(*r));
    etcdserverpb__txn_response__init(r);
    r->succeeded = answer->succeeded;
    r->responses = arena_calloc(arena, answer->left, sizeof(r->responses[0]));
    struct kv_answer_op op;
    while (kv_answer_next(answer, &op)) {
        Etcdserverpb__ResponseOp *response = response_of(arena, &op, depth);
        if (response == NULL) {
            return NULL;
        }
        r->responses[r->n_responses++] = response;
    }
    return answer->bad ? NULL : r;
}

Etcdserverpb__TxnResponse *etcd_txn_response_of(struct arena *arena, struct slice bytes)
{
    struct kv_answer answer;
    return kv_answer_begin(bytes, &answer) ? txn_response(arena, &answer, 0) : NULL;
}
