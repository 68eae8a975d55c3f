/* api/etcd_txn.h - ranges, items and transactions between etcd's messages and kv/. */
#pragma once

#include "api/etcd_call.h"
#include "kv/kv_txn.h"

/* Slices borrow from the request. */
struct kv_range etcd_range_of(const Etcdserverpb__RangeRequest *r);
struct kv_txn_put etcd_put_of(const Etcdserverpb__PutRequest *r);
/* Are order and target such that there are? */
bool etcd_is_sort(const Etcdserverpb__RangeRequest *r);

/* For kv_txn_destroy. NULL: an operation is empty, which etcd calls KEY_NOT_FOUND. */
struct kv_txn *etcd_txn_of(const Etcdserverpb__TxnRequest *r);
/* `fault` is not KV_TXN_SOUND. */
enum etcd_error etcd_error_of_fault(enum kv_txn_fault fault);

/* All in the arena, but for keys and values, which are borrowed as the item's are. */
Mvccpb__KeyValue *etcd_item_of(struct arena *arena, const struct kv_item *item);
/* The one answer of a transaction of one operation, of that kind. False: the bytes are none. */
bool etcd_single_answer(struct slice bytes, enum kv_txn_kind kind, struct kv_answer_op *op);
/* How many, in *count; NULL when there are none. */
Mvccpb__KeyValue **etcd_items_of(struct arena *arena, struct kv_answer_items items, size_t *count);
/* Without the outer header. NULL: the bytes are no answer. */
Etcdserverpb__TxnResponse *etcd_txn_response_of(struct arena *arena, struct slice bytes);
