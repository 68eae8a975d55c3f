/* etcd_grpc.c - calls that come as gRPC (net/grpc.h). */
#include "api/etcd_frame.h"

#include "api/protobuf_wire.h"
#include "api/rest.h"
#include "base/check.h"
#include "net/grpc.h"

/* A larger message's memory is given back. */
#define PACKED_KEPT_BYTES (64u * KIB)
#define HEADER_TAG        0x0a /* field 1, a message */
/* The struct of an answer, without what it points to. */
#define MESSAGE_BYTES_MAX 256

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
        call->request_bytes = bytes.size;
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
    struct arena scratch = {.pool = &call->api->etcd_memory};
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
    const struct etcd_method *method = *s->path_note;
    if (method == NULL) {
        method = etcd_method_of_path(s->path, &is_service_known);
        *s->path_note = method;
    }
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

/* With its tag and its length, as the field 1 of an answer. */
static struct slice pack_header(struct api *api, const Etcdserverpb__ResponseHeader *header)
{
    struct packed_header *p = &api->packed_header;
    bool is_same = p->size > 0 && p->revision == (uint64_t)header->revision &&
                   p->term == header->raft_term && p->member == header->member_id &&
                   p->cluster == header->cluster_id;
    if (!is_same) {
        size_t size = etcdserverpb__response_header__get_packed_size(header);
        CHECK_CMP(size, <, sizeof(p->bytes) - 2);
        p->bytes[0] = HEADER_TAG;
        p->bytes[1] = (uint8_t)size;
        p->size = 2 + etcdserverpb__response_header__pack(header, p->bytes + 2);
        p->cluster = header->cluster_id;
        p->member = header->member_id;
        p->revision = (uint64_t)header->revision;
        p->term = header->raft_term;
    }
    return slice_of(p->bytes, p->size);
}

/* Where an answer that begins with a header has it; NULL: it does not. */
static Etcdserverpb__ResponseHeader **header_of(ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *first = message->descriptor->fields;
    if (message->descriptor->n_fields == 0 || first->id != 1 ||
        first->descriptor != &etcdserverpb__response_header__descriptor) {
        return NULL;
    }
    return (void *)((uint8_t *)message + first->offset);
}

struct slice etcd_pack(struct api *api, const ProtobufCMessage *message)
{
    union {
        ProtobufCMessage base;
        uint64_t room[MESSAGE_BYTES_MAX / sizeof(uint64_t)];
    } rest; /* the message without its header */
    CHECK_CMP(message->descriptor->sizeof_message, <=, sizeof(rest));
    memcpy(&rest, message, message->descriptor->sizeof_message);
    struct buf *packed = &api->packed;
    if (packed->capacity > PACKED_KEPT_BYTES) {
        buf_deinit(packed);
    }
    buf_clear(packed);
    Etcdserverpb__ResponseHeader **header = header_of(&rest.base);
    if (header != NULL && *header != NULL) {
        buf_append_slice(packed, pack_header(api, *header));
        *header = NULL;
    }
    size_t size = protobuf_c_message_get_packed_size(&rest.base);
    protobuf_c_message_pack(&rest.base, buf_reserve(packed, size));
    packed->size += size;
    return buf_slice(packed);
}

void etcd_grpc_reply(struct etcd_call *call, const ProtobufCMessage *message)
{
    grpc_send(call->grpc, etcd_pack(call->api, message));
}

void etcd_grpc_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared)
{
    grpc_send_shared(call->grpc, head, shared);
}
