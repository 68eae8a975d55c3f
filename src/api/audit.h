/* api/audit.h - who changed what, when and from where: a line of JSON for each request that changes
 * or administers something, shows all that is stored, or is refused for want of who asks or of what
 * he may. docs/SECURITY.md has the fields. Never values, passwords or tokens.
 *
 * A request that is to be told has a note, made when it is known who asks. It is told once, and the
 * note gone: when it is answered, or when its client goes before that. Off, which is the default,
 * there are no notes. */
#pragma once

#include "api/auth.h"
#include "base/buf.h"
#include "base/slice.h"
#include "net/grpc.h"
#include "net/http.h"

#include <protobuf-c/protobuf-c.h>

struct api;
struct audit_note;
struct etcd_call;
struct kv_txn;

/* Nothing below does anything while it is off. */
bool audit_is_on(const struct api *api);

/* REST: `r` is told when it is answered. `caller` asks. */
void audit_expect(struct api *api, struct http_request *r, const struct auth_caller *caller);
/* The same for one who did not show that he is `name`; data == NULL: who said nothing. */
void audit_expect_claim(struct api *api, struct http_request *r, struct slice name);
/* If it is told, then with its body, which has no secrets, or the keys that are written. */
void audit_show_body(struct http_request *r);
void audit_show_txn(struct http_request *r, const struct kv_txn *txn);
/* Requires r->note. 0: the client has gone before. */
void audit_http(struct http_request *r, int http_status);

/* The etcd API: before it starts; and when it ends so, or is gone (call->note). */
void audit_begin_call(struct etcd_call *call);
void audit_end_call(struct etcd_call *call, enum grpc_code code, const char *text);
void audit_lose_call(struct etcd_call *call);
/* Of a part of a call that goes on, which is about this. */
void audit_denied(struct etcd_call *call, const ProtobufCMessage *about);

/* What nobody asked for by a connection, such as "reset the password of root". */
void audit_tell(struct api *api, const char *what, bool is_done);

/* For /metrics. */
void audit_print_metrics(const struct api *api, struct buf *out);
