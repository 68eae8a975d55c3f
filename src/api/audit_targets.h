/* api/audit_targets.h - what a request is about, for the audit log: keys, names and ids, never
 * values. Objects with commas between them, at most LIMIT_AUDIT_TARGETS; `{"cut":true}` ends a
 * longer list. */
#pragma once

#include "api/json_writer.h"
#include "kv/kv_txn.h"

#include <protobuf-c/protobuf-c.h>

/* Of a request of the etcd API: fields that are known to be fit to be shown, also of messages in
 * it, but not of what it compares or reads. */
void audit_print_message(struct json_writer *w, const ProtobufCMessage *message);
/* What it may write. */
void audit_print_txn(struct json_writer *w, const struct kv_txn *txn);
