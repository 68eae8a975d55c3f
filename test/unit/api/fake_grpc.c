#include "fake_grpc.h"

#include "api/api.h"
#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"
#include "fakes.h"

#include <stdio.h>

static struct called *called_of(const struct grpc_stream *s)
{
    return (struct called *)(void *)((char *)(uintptr_t)s - offsetof(struct called, stream));
}

/* --- what the api calls ----------------------------------------------------------------------- */

static struct buf *next_message(struct grpc_stream *s)
{
    struct called *c = called_of(s);
    CHECK(!c->done && c->message_count < FAKE_MESSAGES_MAX);
    return &c->messages[c->message_count++];
}

void grpc_send(struct grpc_stream *s, struct slice message)
{
    buf_append_slice(next_message(s), message);
}

void grpc_send_shared(struct grpc_stream *s, struct slice head, struct blob *shared)
{
    struct buf *message = next_message(s);
    buf_append_slice(message, head);
    buf_append_slice(message, blob_slice(shared));
    called_of(s)->shared = shared->data;
}

void grpc_finish(struct grpc_stream *s, enum grpc_code code, const char *message)
{
    struct called *c = called_of(s);
    CHECK(!c->done);
    c->done = true;
    c->code = code;
    snprintf(c->text, sizeof(c->text), "%s", message != NULL ? message : "");
}

void grpc_finish_unknown(struct grpc_stream *s, bool is_service_known)
{
    grpc_finish(s, GRPC_UNIMPLEMENTED, is_service_known ? "method" : "service");
    called_of(s)->is_unknown = true;
}

void grpc_pause(struct grpc_stream *s, bool paused)
{
    called_of(s)->paused = paused;
}

bool grpc_wants_more(struct grpc_stream *s)
{
    return !called_of(s)->full;
}

struct slice grpc_header_find(const struct grpc_stream *s, const char *name)
{
    for (uint32_t i = 0; i < s->header_count; i++) {
        if (slice_equal(s->headers[i].name, slice_str(name))) {
            return s->headers[i].value;
        }
    }
    return slice_of(NULL, 0);
}

/* --- the test's side -------------------------------------------------------------------------- */

struct called *call_begin_rpc(const char *path, const char *name, const char *value)
{
    struct called *c = mem_calloc(1, sizeof(*c));
    c->stream.path = slice_str(path);
    c->stream.path_note = &c->path_note;
    c->stream.headers = c->headers;
    c->stream.deadline_ms = UINT64_MAX;
    if (name != NULL) {
        c->headers[c->stream.header_count++] =
            (struct http_header){.name = slice_str(name), .value = slice_str(value)};
    }
    const struct grpc_handler *handler = api_grpc_handler(fake_api);
    handler->on_stream(handler->context, &c->stream);
    return c;
}

void call_send_bytes(struct called *c, struct slice bytes)
{
    if (!c->done && c->stream.on_message != NULL) {
        c->stream.on_message(&c->stream, bytes);
    }
}

void call_send(struct called *c, const ProtobufCMessage *message)
{
    struct buf bytes = {0};
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buf_reserve(&bytes, size + 1));
    call_send_bytes(c, slice_of(bytes.data, size));
    buf_deinit(&bytes);
}

void call_half_close(struct called *c)
{
    if (!c->done && c->stream.on_half_close != NULL) {
        c->stream.on_half_close(&c->stream);
    }
}

struct called *call_rpc(const char *path, const ProtobufCMessage *request)
{
    struct called *c = call_begin_rpc(path, NULL, NULL);
    call_send(c, request);
    call_half_close(c);
    return c;
}

void call_reset(struct called *c)
{
    CHECK(!c->done && c->stream.on_gone != NULL);
    c->stream.on_gone(&c->stream);
    c->done = true;
}

void call_writable(struct called *c)
{
    c->full = false;
    c->stream.on_writable(&c->stream);
}

void call_forget(struct called *c)
{
    CHECK(c->done);
    for (uint32_t i = 0; i < c->message_count; i++) {
        buf_deinit(&c->messages[i]);
    }
    mem_free(c);
}
