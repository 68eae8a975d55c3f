/* api/etcd_item.h - a key of the store as etcd's clients see it. */
#pragma once

#include "api/proto/etcd_mvcc.pb-c.h"
#include "kv/kv.h"

/* Initialises `kv`, which borrows what `item` does. */
void etcd_item_fill(const struct kv_item *item, Mvccpb__KeyValue *kv);
