/* api/etcd_frame.h - what is between the calls of etcd_call.h and the two ways that they come.
 *
 * etcd_call.c keeps the life of a call; etcd_grpc.c and etcd_gateway.c bring requests and take
 * answers. Only for these files. */
#pragma once

#include "api/etcd_call.h"

/* A call without a transport yet, of api->etcd_calls. */
struct etcd_call *etcd_call_create(struct api *api, const struct etcd_method *method);
/* Let the handler begin; call->request is there, unless it streams. The call may be gone when this
 * returns. */
void etcd_call_start(struct etcd_call *call);
/* Around whatever may end a call that is used afterwards. False: it has ended, and is gone now. */
void etcd_call_enter(struct etcd_call *call);
bool etcd_call_leave(struct etcd_call *call);
/* One message of a stream, borrowed during the call. */
void etcd_call_message(struct etcd_call *call, const ProtobufCMessage *message);
void etcd_call_half_close(struct etcd_call *call);
void etcd_call_writable(struct etcd_call *call);
/* Without an answer: the client is gone, or the api ends. */
void etcd_call_end(struct etcd_call *call);

/* --- etcd_grpc.c ------------------------------------------------------------------------------ */

void etcd_grpc_reply(struct etcd_call *call, const ProtobufCMessage *message);
void etcd_grpc_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared);

/* --- etcd_gateway.c --------------------------------------------------------------------------- */

/* The whole answer of a call that streams nothing. Ends the call. */
void etcd_gateway_answer(struct etcd_call *call, const ProtobufCMessage *message);
void etcd_gateway_reply(struct etcd_call *call, const ProtobufCMessage *message);
void etcd_gateway_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared);
/* Ends the call. `code` GRPC_OK: the stream ends well. */
void etcd_gateway_finish(struct etcd_call *call, enum grpc_code code, const char *text);
/* Messages are not held back any more. */
void etcd_gateway_go_on(struct etcd_call *call);
