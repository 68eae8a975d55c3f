#include "api/etcd_frame.h"

#include "api/audit.h"
#include "api/etcd_access.h"
#include "api/rest.h"
#include "base/check.h"
#include "net/grpc.h"

#include <stdio.h>

/* --- life ------------------------------------------------------------------------------------- */

struct etcd_call *etcd_call_create(struct api *api, const struct etcd_method *method)
{
    CHECK(method->call_size >= sizeof(struct etcd_call));
    struct etcd_call *call = pool_calloc(&api->etcd_memory, 1, method->call_size);
    call->api = api;
    call->arena.pool = &api->etcd_memory;
    call->method = method;
    list_push_back(&api->etcd_calls, &call->link);
    return call;
}

void etcd_call_enter(struct etcd_call *call)
{
    call->entered++;
}

static void free_call(struct etcd_call *call)
{
    arena_deinit(&call->arena);
    pool_free(&call->api->etcd_memory, call);
}

bool etcd_call_leave(struct etcd_call *call)
{
    bool has_ended = call->ended;
    if (--call->entered == 0 && has_ended) {
        free_call(call);
    }
    return !has_ended;
}

static void detach(struct etcd_call *call)
{
    if (call->grpc != NULL) {
        struct grpc_stream *s = call->grpc;
        s->user = NULL;
        s->on_message = NULL;
        s->on_half_close = NULL;
        s->on_gone = NULL;
        s->on_writable = NULL;
        call->grpc = NULL;
    }
    if (call->http != NULL) {
        struct http_request *r = call->http;
        r->user = NULL;
        r->on_gone = NULL;
        r->on_writable = NULL;
        call->http = NULL;
    }
}

void etcd_call_end(struct etcd_call *call)
{
    CHECK(!call->ended);
    if (call->note != NULL) {
        audit_lose_call(call);
    }
    call->ended = true;
    list_remove(&call->link);
    detach(call);
    if (call->destroy != NULL) {
        call->destroy(call);
    }
    if (call->entered == 0) {
        free_call(call);
    }
}

/* --- what comes in ---------------------------------------------------------------------------- */

void etcd_call_start(struct etcd_call *call)
{
    if (call->api->options.audit != NULL) {
        audit_begin_call(call);
    }
    if (etcd_requires_leader(call) && !node_knows_leader(call->api->options.node)) {
        etcd_fail(call, ETCD_NO_LEADER);
        return;
    }
    if (etcd_may_call(call)) {
        call->method->start(call);
    }
}

void etcd_call_message(struct etcd_call *call, const ProtobufCMessage *message)
{
    if (call->on_message != NULL) {
        call->on_message(call, message);
    }
}

void etcd_call_half_close(struct etcd_call *call)
{
    if (call->half_closed) {
        return;
    }
    call->half_closed = true;
    if (call->on_half_close != NULL) {
        call->on_half_close(call);
    } else {
        etcd_finish(call);
    }
}

void etcd_call_writable(struct etcd_call *call)
{
    if (call->on_writable != NULL) {
        call->on_writable(call);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

void etcd_answer(struct etcd_call *call, const ProtobufCMessage *message)
{
    CHECK(message->descriptor == call->method->response && !call->method->server_streams);
    if (call->grpc == NULL) {
        if (call->note != NULL) {
            audit_end_call(call, GRPC_OK, NULL);
        }
        etcd_gateway_answer(call, message);
        return;
    }
    etcd_grpc_reply(call, message);
    etcd_finish(call);
}

void etcd_reply(struct etcd_call *call, const ProtobufCMessage *message)
{
    CHECK(message->descriptor == call->method->response && call->method->server_streams);
    if (call->grpc != NULL) {
        etcd_grpc_reply(call, message);
    } else {
        etcd_gateway_reply(call, message);
    }
}

void etcd_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared)
{
    CHECK(call->method->server_streams);
    if (call->grpc != NULL) {
        etcd_grpc_reply_shared(call, head, shared);
    } else {
        etcd_gateway_reply_shared(call, head, shared);
    }
}

static void finish(struct etcd_call *call, enum grpc_code code, const char *text)
{
    struct grpc_stream *stream = call->grpc;
    if (call->note != NULL || code != GRPC_OK) {
        audit_end_call(call, code, text);
    }
    if (stream == NULL) {
        etcd_gateway_finish(call, code, text);
        return;
    }
    grpc_finish(stream, code, text);
    call->grpc = NULL; /* it is the server's now */
    etcd_call_end(call);
}

void etcd_finish(struct etcd_call *call)
{
    finish(call, GRPC_OK, NULL);
}

void etcd_fail(struct etcd_call *call, enum etcd_error error)
{
    finish(call, etcd_error_code(error), etcd_error_text(error));
}

void etcd_fail_text(struct etcd_call *call, enum grpc_code code, const char *text)
{
    finish(call, code, text);
}

/* --- flow ------------------------------------------------------------------------------------- */

bool etcd_wants_more(const struct etcd_call *call)
{
    return call->grpc != NULL ? grpc_wants_more(call->grpc) : http_answer_wants_more(call->http);
}

void etcd_hold_messages(struct etcd_call *call, bool held)
{
    call->held = held;
    if (call->grpc != NULL) {
        grpc_pause(call->grpc, held);
    } else if (!held) {
        etcd_gateway_go_on(call);
    }
}

/* --- what the client told besides ------------------------------------------------------------- */

struct slice etcd_metadata(const struct etcd_call *call, const char *name)
{
    if (call->grpc != NULL) {
        return grpc_header_find(call->grpc, name);
    }
    char header[64];
    snprintf(header, sizeof(header), "Grpc-Metadata-%s", name);
    return http_header_find(call->http, header);
}

struct slice etcd_token(const struct etcd_call *call)
{
    struct slice token = etcd_metadata(call, "token");
    if (token.data != NULL) {
        return token;
    }
    return call->grpc != NULL ? grpc_header_find(call->grpc, "authorization")
                              : http_header_find(call->http, "Authorization");
}

const struct conn *etcd_conn(const struct etcd_call *call)
{
    return call->grpc != NULL ? call->grpc->conn : call->http->conn;
}

bool etcd_requires_leader(const struct etcd_call *call)
{
    return slice_equal(etcd_metadata(call, "hasleader"), slice_str("true"));
}

bool etcd_request_exceeds(const struct etcd_call *call, size_t size)
{
    bool is_surely_less = call->grpc != NULL && call->request_bytes <= size;
    return !is_surely_less && protobuf_c_message_get_packed_size(call->request) > size;
}

/* --- what answers carry ----------------------------------------------------------------------- */

void etcd_header_at(struct api *api, uint64_t revision, Etcdserverpb__ResponseHeader *header)
{
    const struct node *node = api->options.node;
    struct uuid cluster = node_cluster(node);
    etcdserverpb__response_header__init(header);
    header->cluster_id = uuid_is_zero(cluster) ? 0 : uuid_short(cluster);
    header->member_id = node_own_id(node);
    header->revision = (int64_t)revision;
    header->raft_term = node_term(node);
}

void etcd_header(struct api *api, Etcdserverpb__ResponseHeader *header)
{
    etcd_header_at(api, api_revision(api), header);
}
