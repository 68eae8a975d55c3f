/* api/etcd_access.h - the door (auth.h) for calls of the etcd API.
 *
 * Each of these is true when the call may go on; else it has failed, with etcd's code and text, and
 * must not be touched any more. To be asked when the store is read, or in the same call of the loop
 * as the command is handed to etcd_write_start: what holds then, holds when it is applied. */
#pragma once

#include "api/auth.h"
#include "api/etcd_call.h"
#include "node/node.h"

/* Who asks, if he has shown it. */
void etcd_caller(const struct etcd_call *call, struct auth_caller *caller);
/* What the method's `access` says. */
bool etcd_may_call(struct etcd_call *call);
bool etcd_may_act(struct etcd_call *call, enum auth_office office);
/* KV_PERMIT_READ or KV_PERMIT_WRITE. */
bool etcd_may(struct etcd_call *call, enum kv_permission permission, const struct kv_span *span);
/* All keys that are attached to the lease. */
bool etcd_may_lease(struct etcd_call *call, enum kv_permission permission, uint64_t lease);
bool etcd_may_txn(struct etcd_call *call, const struct kv_txn *txn);

/* For what answers in its own way, such as a watch that cannot be made: ALLOWED, or why not. */
enum auth_verdict etcd_verdict(const struct etcd_call *call, enum kv_permission permission,
                               const struct kv_span *span);
/* Of a verdict that is not ALLOWED. */
enum etcd_error etcd_error_of_verdict(enum auth_verdict verdict);

/* The same as the reason of a watch's end, in the form of Go's gRPC, by which etcd's clients know
 * that they must log in again. Static storage. */
const char *etcd_reason_of_verdict(enum auth_verdict verdict);

/* node_write_start, forwarding, with the auth revision of now in the command. */
enum status MUST_CHECK etcd_write_start(struct etcd_call *call, struct node_write *w,
                                        const struct kv_command *command);
