#include "net/grpc_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_text.h"
#include "net/http2_nv.h"

#include <string.h>

#define COPIED_BLOB_BYTES 1024 /* up to this a copy is cheaper than a piece of its own */
#define KEPT_OUT_BYTES    (4u * KIB)
#define CONSUME_BYTES     (64u * KIB)

static struct grpc_call *call_of(struct grpc_stream *s)
{
    return CONTAINER_OF(s, struct grpc_call, stream);
}

/* --- headers ---------------------------------------------------------------------------------- */

/* Digits that live for ever. */
static const char *const code_texts[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                         "9", "10", "11", "12", "13", "14", "15", "16"};

/* The code and the text that end a call; how many headers. */
static size_t list_status(const struct grpc_call *call, nghttp2_nv *headers)
{
    size_t count = 0;
    headers[count++] =
        http2_nv("grpc-status", slice_str(code_texts[call->code]), NGHTTP2_NV_FLAG_NO_COPY_VALUE);
    if (call->message.size > 0) {
        headers[count++] = http2_nv("grpc-message", buf_slice(&call->message), 0);
    }
    return count;
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t length,
                           uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)bytes;
    (void)context;
    struct grpc_call *call = source->ptr;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (call->unsent > length) {
        return (ssize_t)length;
    }
    if (call->is_answered) {
        nghttp2_nv trailers[2];
        size_t count = list_status(call, trailers);
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        CHECK(nghttp2_submit_trailer(session, id, trailers, count) != NGHTTP2_ERR_NOMEM);
    } else if (call->unsent == 0) {
        call->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)call->unsent;
}

static void begin_answer(struct grpc_call *call)
{
    static const nghttp2_nv headers[] = {HTTP2_NV(":status", "200"),
                                         HTTP2_NV("content-type", "application/grpc")};
    const nghttp2_data_provider source = {.source = {.ptr = call}, .read_callback = read_answer};
    call->has_head = true;
    CHECK(nghttp2_submit_response(call->connection->session, call->id, headers, 2, &source) !=
          NGHTTP2_ERR_NOMEM);
}

static void answer_only_status(struct grpc_call *call)
{
    nghttp2_nv headers[5] = {HTTP2_NV(":status", "200"),
                             HTTP2_NV("content-type", "application/grpc")};
    size_t count = 2 + list_status(call, headers + 2);
    if (call->code == GRPC_UNIMPLEMENTED) {
        static const nghttp2_nv encodings = HTTP2_NV("grpc-accept-encoding", "identity,gzip");
        headers[count++] = encodings;
    }
    CHECK(nghttp2_submit_response(call->connection->session, call->id, headers, count, NULL) !=
          NGHTTP2_ERR_NOMEM);
}

void grpc_answer_http(struct grpc_call *call, const char *http_status)
{
    call->is_answered = true;
    call->http_status = http_status;
}

void grpc_answer_http_now(struct grpc_call *call)
{
    if (call->http_status == NULL) {
        return;
    }
    const nghttp2_nv headers[] = {http2_nv(":status", slice_str(call->http_status), 0)};
    CHECK(nghttp2_submit_response(call->connection->session, call->id, headers, 1, NULL) !=
          NGHTTP2_ERR_NOMEM);
    http2_connection_touch(call->connection);
}

static void resume(struct grpc_call *call)
{
    if (call->is_deferred) {
        call->is_deferred = false;
        CHECK(nghttp2_session_resume_data(call->connection->session, call->id) !=
              NGHTTP2_ERR_NOMEM);
    }
    http2_connection_touch(call->connection);
}

void grpc_answer_end(struct grpc_call *call, enum grpc_code code, struct slice message)
{
    CHECK(!call->is_answered);
    call->is_answered = true;
    call->server->loop->ops->timer_stop(call->server->loop, &call->deadline);
    list_remove(&call->starving);
    if (call->connection == NULL) {
        return;
    }
    call->code = code;
    grpc_message_escape(message, &call->message);
    if (call->has_head) {
        resume(call);
    } else {
        answer_only_status(call);
        http2_connection_touch(call->connection);
    }
    grpc_call_drop_input(call);
}

/* --- what waits to be sent -------------------------------------------------------------------- */

/* Bytes of `own` before the next blob, or before the end. */
static size_t own_run(const struct grpc_call *call)
{
    size_t left = call->own.size - call->own_taken;
    if (call->shared_first == call->shared_count) {
        return left;
    }
    uint64_t next = call->own_before + call->own_taken;
    return (size_t)(call->shared[call->shared_first].at - next);
}

static void drop_first_blob(struct grpc_call *call)
{
    blob_unref(call->shared[call->shared_first].blob);
    call->shared_taken = 0;
    if (++call->shared_first == call->shared_count) {
        call->shared_first = 0;
        call->shared_count = 0;
    }
}

static void release_blob(void *owner)
{
    blob_unref(owner);
}

static size_t take_own(struct grpc_call *call, size_t size)
{
    struct conn *conn = call->connection->conn;
    size_t run = own_run(call);
    size_t part = run < size ? run : size;
    conn->loop->ops->conn_write(conn, slice_of(call->own.data + call->own_taken, part));
    call->own_taken += part;
    return part;
}

static size_t take_shared(struct grpc_call *call, size_t size)
{
    struct conn *conn = call->connection->conn;
    struct blob *b = call->shared[call->shared_first].blob;
    size_t run = b->size - call->shared_taken;
    size_t part = run < size ? run : size;
    conn->loop->ops->conn_write_owned(conn, slice_of(b->data + call->shared_taken, part),
                                      release_blob, blob_ref(b));
    call->shared_taken += part;
    if (call->shared_taken == b->size) {
        drop_first_blob(call);
    }
    return part;
}

/* Memory that was sent is used again, or given back when it is much. */
static void tidy_own(struct grpc_call *call)
{
    struct buf *own = &call->own;
    if (call->own_taken == own->size) {
        call->own_before += own->size;
        call->own_taken = 0;
        buf_clear(own);
        if (own->capacity > KEPT_OUT_BYTES) {
            buf_deinit(own);
        }
    } else if (call->own_taken >= CONSUME_BYTES && call->own_taken >= own->size / 2) {
        call->own_before += call->own_taken;
        buf_consume(own, call->own_taken);
        call->own_taken = 0;
    }
}

void grpc_answer_take(struct grpc_call *call, size_t size)
{
    struct http2_connection *c = call->connection;
    CHECK(size <= call->unsent);
    loop_take_unsent(call->server->loop, size);
    call->unsent -= size;
    c->unsent -= size;
    http2_connection_wrote(c, size);
    while (size > 0) {
        size -= own_run(call) > 0 ? take_own(call, size) : take_shared(call, size);
    }
    tidy_own(call);
    call->moved_ms = grpc_now(call->server);
}

void grpc_answer_drop(struct grpc_call *call)
{
    if (call->connection != NULL) {
        call->connection->unsent -= call->unsent;
    }
    loop_take_unsent(call->server->loop, call->unsent);
    call->unsent = 0;
    while (call->shared_first < call->shared_count) {
        drop_first_blob(call);
    }
    call->own_taken = call->own.size;
    tidy_own(call);
}

static void add_blob(struct grpc_call *call, struct blob *b)
{
    if (call->shared_count == call->shared_capacity && call->shared_first > 0) {
        call->shared_count -= call->shared_first;
        memmove(call->shared, call->shared + call->shared_first,
                call->shared_count * sizeof(*call->shared));
        call->shared_first = 0;
    }
    if (call->shared_count == call->shared_capacity) {
        call->shared_capacity = call->shared_capacity > 0 ? 2 * call->shared_capacity : 4;
        call->shared = mem_realloc(call->shared, call->shared_capacity * sizeof(*call->shared));
    }
    call->shared[call->shared_count++] =
        (struct shared_piece){.blob = blob_ref(b), .at = call->own_before + call->own.size};
}

/* --- the handler's side ----------------------------------------------------------------------- */

bool grpc_call_has_room(const struct grpc_call *call)
{
    return call->unsent < LIMIT_STREAM_UNSENT_BYTES &&
           call->connection->unsent < LIMIT_H2_UNSENT_BYTES;
}

/* True: what is sent goes somewhere. */
static bool begin_message(struct grpc_call *call, size_t size)
{
    CHECK(call->stage == CALL_OPEN);
    if (call->connection == NULL || call->is_answered) {
        return false;
    }
    CHECK(size <= UINT32_MAX);
    grpc_prefix_append((uint32_t)size, &call->own);
    if (call->unsent == 0) {
        call->moved_ms = grpc_now(call->server);
    }
    loop_add_unsent(call->server->loop, GRPC_PREFIX_BYTES + size);
    call->unsent += GRPC_PREFIX_BYTES + size;
    call->connection->unsent += GRPC_PREFIX_BYTES + size;
    http2_connection_kept(call->connection, call->connection->unsent, GRPC_PREFIX_BYTES + size);
    return true;
}

static void end_message(struct grpc_call *call)
{
    if (call->has_head) {
        resume(call);
    } else {
        begin_answer(call);
        http2_connection_touch(call->connection);
    }
}

void grpc_send(struct grpc_stream *s, struct slice message)
{
    struct grpc_call *call = call_of(s);
    if (begin_message(call, message.size)) {
        buf_append_slice(&call->own, message);
        end_message(call);
    }
}

void grpc_send_shared(struct grpc_stream *s, struct slice head, struct blob *shared)
{
    struct grpc_call *call = call_of(s);
    if (begin_message(call, head.size + shared->size)) {
        buf_append_slice(&call->own, head);
        if (shared->size <= COPIED_BLOB_BYTES) {
            buf_append_slice(&call->own, blob_slice(shared));
        } else {
            add_blob(call, shared);
        }
        end_message(call);
    }
}

size_t grpc_unsent(const struct grpc_stream *s)
{
    return CONTAINER_OF(s, const struct grpc_call, stream)->unsent;
}

bool grpc_wants_more(struct grpc_stream *s)
{
    struct grpc_call *call = call_of(s);
    if (call->connection == NULL || call->is_answered || grpc_call_has_room(call)) {
        return true;
    }
    if (list_is_empty(&call->starving)) {
        list_push_back(&call->connection->starved, &call->starving);
    }
    return false;
}

void grpc_finish(struct grpc_stream *s, enum grpc_code code, const char *message)
{
    struct grpc_call *call = call_of(s);
    if (call->is_leaving) {
        return; /* it ends on return, and nobody listens */
    }
    CHECK(call->stage == CALL_OPEN);
    call->stage = CALL_OVER;
    call->server->stream_count--;
    if (!call->is_answered) {
        grpc_answer_end(call, code, message != NULL ? slice_str(message) : slice_of(NULL, 0));
    }
    if (call->connection == NULL) {
        grpc_call_release(call);
    }
}

void grpc_finish_unknown(struct grpc_stream *s, bool is_service_known)
{
    struct slice path = slice_of(s->path.data + 1, s->path.size - 1); /* it begins with a '/' */
    const uint8_t *slash = memrchr(path.data, '/', path.size);
    char *text;
    if (slash == NULL) {
        text = mem_printf("malformed method name: \"/%.*s\"", (int)path.size, path.data);
    } else if (is_service_known) {
        text = mem_printf("unknown method %.*s for service %.*s",
                          (int)(path.size - (size_t)(slash - path.data) - 1), slash + 1,
                          (int)(slash - path.data), path.data);
    } else {
        text = mem_printf("unknown service %.*s", (int)(slash - path.data), path.data);
    }
    grpc_finish(s, GRPC_UNIMPLEMENTED, text);
    mem_free(text);
}
