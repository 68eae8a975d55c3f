/* etcd_grpc.c - calls that come as gRPC (net/grpc.h). */
#include "api/etcd_frame.h"

#include "api/protobuf_wire.h"
#include "api/rest.h"
#include "net/grpc.h"

/* A larger message's memory is given back. */
#define PACKED_KEPT_BYTES (64u * KIB)

/* --- requests --------------------------------------------------------------------------------- */

/* Not OK: the call has failed and is gone. */
static enum status take_message(struct etcd_call *call, struct slice bytes, struct arena *arena,
                                ProtobufCMessage **message)
{
    enum status status = protobuf_read(call->method->request, bytes, arena, message);
    if (status == STATUS_TOO_LARGE) {
        etcd_fail(call, ETCD_REQUEST_TOO_LARGE);
    } else if (status != STATUS_OK) {
        etcd_fail_text(call, GRPC_INTERNAL, "grpc: error unmarshalling request");
    }
    return status;
}

static void on_only_message(struct grpc_stream *s, struct slice bytes)
{
    struct etcd_call *call = s->user;
    ProtobufCMessage *request = NULL;
    s->on_message = NULL; /* there should be no other; it is dropped */
    s->on_half_close = NULL;
    if (take_message(call, bytes, &call->arena, &request) == STATUS_OK) {
        call->request = request;
        etcd_call_start(call);
    }
}

static void on_no_message(struct grpc_stream *s)
{
    etcd_fail_text(s->user, GRPC_INTERNAL, "grpc: the request has no message");
}

static void on_next_message(struct grpc_stream *s, struct slice bytes)
{
    struct etcd_call *call = s->user;
    struct arena scratch = {0};
    ProtobufCMessage *message = NULL;
    if (take_message(call, bytes, &scratch, &message) == STATUS_OK) {
        etcd_call_message(call, message);
    }
    arena_deinit(&scratch);
}

static void on_half_close(struct grpc_stream *s)
{
    etcd_call_half_close(s->user);
}

static void on_writable(struct grpc_stream *s)
{
    etcd_call_writable(s->user);
}

static void on_gone(struct grpc_stream *s)
{
    struct etcd_call *call = s->user;
    call->grpc = NULL;
    etcd_call_end(call);
}

static void on_stream(void *context, struct grpc_stream *s)
{
    struct api *api = context;
    bool is_service_known = false;
    const struct etcd_method *method = etcd_method_of_path(s->path, &is_service_known);
    if (method == NULL) {
        grpc_finish_unknown(s, is_service_known);
        return;
    }
    struct etcd_call *call = etcd_call_create(api, method);
    call->grpc = s;
    s->user = call;
    s->on_gone = on_gone;
    s->on_writable = on_writable;
    s->on_message = method->client_streams ? on_next_message : on_only_message;
    s->on_half_close = method->client_streams ? on_half_close : on_no_message;
    if (method->client_streams) {
        etcd_call_start(call);
    }
}

const struct grpc_handler *api_grpc_handler(struct api *api)
{
    api->grpc_handler = (struct grpc_handler){.on_stream = on_stream, .context = api};
    return &api->grpc_handler;
}

/* --- answers ---------------------------------------------------------------------------------- */

void etcd_grpc_reply(struct etcd_call *call, const ProtobufCMessage *message)
{
    struct buf *packed = &call->api->packed;
    if (packed->capacity > PACKED_KEPT_BYTES) {
        buf_deinit(packed);
    }
    buf_clear(packed);
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buf_reserve(packed, size));
    grpc_send(call->grpc, slice_of(packed->data, size));
}

void etcd_grpc_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared)
{
    grpc_send_shared(call->grpc, head, shared);
}
