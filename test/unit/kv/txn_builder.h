/* Transactions in few words, for tests. Keys and values are borrowed. */
#pragma once

#include "kv/kv_txn.h"

struct kv_span one(const char *key);
struct kv_span between(const char *key, const char *end);
struct kv_span all(void);
struct kv_txn_put *add_put(struct kv_txn_ops *ops, const char *key, const char *value);
struct kv_txn_delete *add_delete(struct kv_txn_ops *ops, struct kv_span span);
struct kv_range *add_range(struct kv_txn_ops *ops, struct kv_span span);
struct kv_txn *add_nested(struct kv_txn_ops *ops);
void add_compare(struct kv_txn *txn, struct kv_span span, enum kv_compare_target target,
                 enum kv_compare_relation relation, int64_t number);
void add_compare_value(struct kv_txn *txn, struct kv_span span, enum kv_compare_relation relation,
                       const char *value);
