/* etcd_gateway.c - calls that come as JSON: POST /v3/..., over HTTP/1.1. */
#include "api/etcd_frame.h"

#include "api/protobuf_json.h"
#include "api/protobuf_wire.h"
#include "api/rest.h"
#include "base/check.h"

/* --- answers ---------------------------------------------------------------------------------- */

/* {"error", "code", "message", "details"}: some clients read the one, some the other. */
static void print_error(struct json_writer *w, enum grpc_code code, const char *text)
{
    json_open_object(w);
    json_field_text(w, "error", text);
    json_field_u64(w, "code", code);
    json_field_text(w, "message", text);
    json_write_name(w, "details");
    json_open_array(w);
    json_close_array(w);
    json_close_object(w);
}

static struct json_writer begin_text(struct api *api)
{
    buf_clear(&api->out);
    return (struct json_writer){.out = &api->out};
}

static void answer_fault(struct api *api, struct http_request *r, int http_status,
                         enum grpc_code code, const char *text)
{
    struct json_writer w = begin_text(api);
    print_error(&w, code, text);
    http_answer(r, http_status, TYPE_JSON, NULL, buf_slice(w.out));
}

void etcd_gateway_answer(struct etcd_call *call, const ProtobufCMessage *message)
{
    struct http_request *r = call->http;
    struct json_writer w = begin_text(call->api);
    protobuf_json_print(&w, message);
    etcd_call_end(call);
    http_answer(r, 200, TYPE_JSON, NULL, buf_slice(w.out));
}

static void begin_stream(struct etcd_call *call)
{
    if (!call->begun) {
        call->begun = true;
        http_answer_begin(call->http, 200, TYPE_JSON, NULL);
    }
}

static void send_line(struct http_request *r, struct json_writer *w)
{
    json_close_object(w);
    buf_append_byte(w->out, '\n');
    http_answer_chunk(r, buf_slice(w->out));
}

void etcd_gateway_reply(struct etcd_call *call, const ProtobufCMessage *message)
{
    begin_stream(call);
    struct json_writer w = begin_text(call->api);
    json_open_object(&w);
    json_write_name(&w, "result");
    protobuf_json_print(&w, message);
    send_line(call->http, &w);
}

void etcd_gateway_reply_shared(struct etcd_call *call, struct slice head, struct blob *shared)
{
    struct arena scratch = {0};
    struct buf whole = {0};
    buf_append_slice(&whole, head);
    buf_append_slice(&whole, blob_slice(shared));
    const ProtobufCMessage *message =
        protobuf_unpack(call->method->response, buf_slice(&whole), &scratch);
    CHECK(message != NULL); /* we packed it */
    etcd_gateway_reply(call, message);
    buf_deinit(&whole);
    arena_deinit(&scratch);
}

/* The last line of a stream that went wrong. */
static void send_error_line(struct api *api, struct http_request *r, enum grpc_code code,
                            const char *text)
{
    struct json_writer w = begin_text(api);
    json_open_object(&w);
    json_write_name(&w, "error");
    json_open_object(&w);
    json_field_u64(&w, "grpc_code", code);
    json_field_u64(&w, "http_code", (uint64_t)etcd_code_http(code));
    json_field_text(&w, "message", text);
    json_field_text(&w, "http_status", http_status_text(etcd_code_http(code)));
    json_close_object(&w);
    send_line(r, &w);
}

void etcd_gateway_finish(struct etcd_call *call, enum grpc_code code, const char *text)
{
    struct api *api = call->api;
    struct http_request *r = call->http;
    if (code != GRPC_OK && !call->begun) {
        struct json_writer w = begin_text(api);
        print_error(&w, code, text); /* before the end: the text may be the call's */
        etcd_call_end(call);
        http_answer(r, etcd_code_http(code), TYPE_JSON, NULL, buf_slice(w.out));
        return;
    }
    begin_stream(call);
    if (code != GRPC_OK) {
        send_error_line(api, r, code, text);
    }
    etcd_call_end(call);
    http_answer_end(r);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Not OK: the call has failed and is gone. */
static enum status take_message(struct etcd_call *call, struct slice text, struct arena *arena,
                                ProtobufCMessage **message, size_t *used)
{
    char why[PROTOBUF_JSON_WHY_SIZE];
    enum status status = protobuf_json_read(call->method->request, text, arena, message, used, why);
    if (status == STATUS_TOO_LARGE) {
        etcd_fail(call, ETCD_REQUEST_TOO_LARGE);
    } else if (status != STATUS_OK) {
        etcd_fail_text(call, GRPC_INVALID_ARGUMENT, why);
    }
    return status;
}

/* The next message of the body, or its end. */
static void take_next(struct etcd_call *call)
{
    call->rest = slice_trim(call->rest);
    if (call->rest.size == 0) {
        etcd_call_half_close(call);
        return;
    }
    if (call->messages++ == LIMIT_ETCD_JSON_MESSAGES) {
        etcd_fail(call, ETCD_TOO_MANY_REQUESTS);
        return;
    }
    struct arena scratch = {0};
    ProtobufCMessage *message = NULL;
    size_t used = 0;
    if (take_message(call, call->rest, &scratch, &message, &used) == STATUS_OK) {
        call->rest = slice_of(call->rest.data + used, call->rest.size - used);
        etcd_call_message(call, message);
    }
    arena_deinit(&scratch);
}

void etcd_gateway_go_on(struct etcd_call *call)
{
    if (call->entered > 0) {
        return; /* below is the loop that goes on */
    }
    etcd_call_enter(call);
    while (!call->ended && !call->held && !call->half_closed) {
        take_next(call);
    }
    etcd_call_leave(call);
}

static void on_gone(struct http_request *r)
{
    etcd_call_end(r->user);
}

static void on_writable(struct http_request *r)
{
    etcd_call_writable(r->user);
}

static void begin_call(struct api *api, struct http_request *r, const struct etcd_method *method)
{
    struct etcd_call *call = etcd_call_create(api, method);
    call->http = r;
    r->user = call;
    r->on_gone = on_gone;
    r->on_writable = on_writable;
    if (method->client_streams) {
        call->rest = r->body;
        etcd_call_enter(call);
        etcd_call_start(call);
        if (etcd_call_leave(call)) {
            etcd_gateway_go_on(call);
        }
        return;
    }
    static const char nothing[] = "{}";
    struct slice body = slice_trim(r->body);
    ProtobufCMessage *request = NULL;
    size_t used = 0;
    if (take_message(call, body.size > 0 ? body : slice_str(nothing), &call->arena, &request,
                     &used) == STATUS_OK) {
        call->request = request;
        etcd_call_start(call);
    }
}

void etcd_gateway(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    /* What is behind "/v3", "/v3beta", "/v3alpha". */
    const uint8_t *slash = memchr(r->path.data + 1, '/', r->path.size - 1);
    struct slice route = slice_of(slash, (size_t)(r->path.data + r->path.size - slash));
    const struct etcd_method *method = etcd_method_of_route(route);
    if (method == NULL) {
        answer_fault(api, r, 404, GRPC_NOT_FOUND, "Not Found");
        return;
    }
    begin_call(api, r, method);
}
