#include "net/http_internal.h"

#include "base/check.h"
#include "base/limits.h"

#include <string.h>

/* Bodies up to this size leave with their head in one piece. */
#define JOINED_BODY_BYTES (4u * KIB)

static const struct {
    int http_status;
    const char *text;
} texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Payload Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Entity"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(int http_status)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].http_status == http_status) {
            return texts[i].text;
        }
    }
    return "Unknown";
}

struct slice http_header_find(const struct http_request *r, const char *name)
{
    return http_headers_find(r->headers, r->header_count, name);
}

static struct exchange *exchange_of_request(struct http_request *r)
{
    return CONTAINER_OF(r, struct exchange, request);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* It waits for its turn as others wait to be sent, and counts like those. */
static void keep(struct exchange *e, struct slice bytes)
{
    struct http_connection *c = e->connection;
    buf_append_slice(&e->out, bytes);
    c->kept_bytes += bytes.size;
    loop_add_unsent(c->server->loop, bytes.size);
    if (c->kept_bytes >= LIMIT_CLIENT_SMALL_BYTES) {
        client_share_grew(c->server->options.memory, &c->share, bytes.size);
    }
}

void exchange_drop_kept(struct exchange *e)
{
    loop_take_unsent(e->server->loop, e->out.size);
    buf_deinit(&e->out);
}

void exchange_emit(struct exchange *e, struct slice bytes)
{
    struct http_connection *c = e->connection;
    if (c == NULL || c->is_closed || bytes.size == 0) {
        return;
    }
    if (exchange_is_first(e)) {
        c->conn->loop->ops->conn_write(c->conn, bytes);
        http_connection_wrote(c, bytes.size);
        if (bytes.size > LIMIT_CROWDED_ANSWER_BYTES && loop_is_crowded(c->server->loop)) {
            http_sweep_by(c->server, http_now(c->server) + LIMIT_CROWDED_STALL_MS);
        }
    } else {
        keep(e, bytes);
    }
}

void exchange_take_turn(struct exchange *e)
{
    struct buf kept = e->out;
    e->out = (struct buf){0};
    e->connection->kept_bytes -= kept.size;
    loop_take_unsent(e->server->loop, kept.size);
    exchange_emit(e, buf_slice(&kept));
    buf_deinit(&kept);
    if (e->stage != ANSWER_DONE && e->request.on_writable != NULL) {
        e->connection->is_starved = true;
        http_connection_wake(e->connection);
    }
}

static void append_number(struct buf *b, uint64_t v, unsigned base)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v > 0);
    buf_append(b, digits + at, sizeof(digits) - at);
}

static void append_status_line(struct buf *b, int http_status)
{
    if (http_status == 200) {
        buf_append_str(b, "HTTP/1.1 200 OK\r\n");
        return;
    }
    buf_append_str(b, "HTTP/1.1 ");
    append_number(b, (uint64_t)http_status, 10);
    buf_append_byte(b, ' ');
    buf_append_str(b, http_status_text(http_status));
    buf_append_str(b, "\r\n");
}

static void append_content_type(struct buf *b, const char *content_type)
{
    if (content_type != NULL) {
        buf_append_str(b, "Content-Type: ");
        buf_append_str(b, content_type);
        buf_append_str(b, "\r\n");
    }
}

/* Everything after the length: the handler's lines, and what becomes of the connection. */
static void append_rest_of_head(struct exchange *e, struct buf *b, const char *headers,
                                const struct http_request *seen)
{
    const struct http_handler *h = &e->server->handler;
    if (h->common_headers != NULL) {
        h->common_headers(h->context, seen, b);
    }
    if (headers != NULL) {
        buf_append_str(b, headers);
    }
    if (!e->keep_alive) {
        buf_append_str(b, "Connection: close\r\n");
    } else if (e->is_http_1_0 || e->stage == ANSWER_STREAMS) {
        buf_append_str(b, "Connection: keep-alive\r\n"); /* row E9 asks for it in streams */
    }
    buf_append_str(b, "\r\n");
}

static bool has_no_body(int http_status)
{
    return http_status == 204 || http_status == 304;
}

void http_request_end_connection(struct http_request *r)
{
    exchange_of_request(r)->is_last_wanted = true;
}

static void close_if_ending(struct exchange *e)
{
    struct http_connection *c = e->connection;
    if ((e->server->is_ending || e->is_last_wanted) && c != NULL && c->exchanges.prev == &e->link &&
        c->reading == NULL && c->unread == 0 && c->stash.size == 0) {
        e->keep_alive = false; /* the last one: say so */
        c->is_last = true;
    }
}

static void finish(struct exchange *e)
{
    bool first = exchange_is_first(e);
    e->stage = ANSWER_DONE;
    if (e->connection == NULL) {
        exchange_release(e);
    } else if (first) {
        http_connection_advance(e->connection);
    }
}

/* `seen`: the request as common_headers gets it. */
static void answer_whole(struct exchange *e, int http_status, const char *content_type,
                         const char *headers, struct slice body, const struct http_request *seen)
{
    CHECK(e->stage == ANSWER_NONE);
    close_if_ending(e);
    struct buf *b = &e->server->scratch;
    buf_clear(b);
    append_status_line(b, http_status);
    if (!has_no_body(http_status)) {
        append_content_type(b, content_type);
        buf_append_str(b, "Content-Length: ");
        append_number(b, body.size, 10);
        buf_append_str(b, "\r\n");
    }
    append_rest_of_head(e, b, headers, seen);
    bool with_body = e->request.method != HTTP_HEAD && !has_no_body(http_status);
    if (with_body && body.size <= JOINED_BODY_BYTES) {
        buf_append_slice(b, body);
    }
    exchange_emit(e, buf_slice(b));
    if (with_body && body.size > JOINED_BODY_BYTES) {
        exchange_emit(e, body);
    }
    finish(e);
}

void http_answer(struct http_request *r, int http_status, const char *content_type,
                 const char *headers, struct slice body)
{
    answer_whole(exchange_of_request(r), http_status, content_type, headers, body, r);
}

void exchange_answer_bad(struct exchange *e, int http_status, const char *reason)
{
    const struct http_handler *h = &e->server->handler;
    struct buf body = {0};
    h->on_bad(h->context, http_status, reason, &body);
    const char *headers = http_status == 429 || http_status == 503 ? "Retry-After: 1\r\n" : NULL;
    answer_whole(e, http_status, "application/json", headers, buf_slice(&body), NULL);
    buf_deinit(&body);
}

/* --- streaming -------------------------------------------------------------------------------- */

void http_answer_begin(struct http_request *r, int http_status, const char *content_type,
                       const char *headers)
{
    struct exchange *e = exchange_of_request(r);
    CHECK(e->stage == ANSWER_NONE);
    close_if_ending(e);
    e->stage = ANSWER_STREAMS;
    e->is_chunked = !e->is_http_1_0;
    e->keep_alive = e->keep_alive && e->is_chunked;
    if (e->connection != NULL) {
        e->connection->is_last = e->connection->is_last || !e->keep_alive;
        http_sweep_by(e->server, http_now(e->server) + http_sweep_idle_grain_ms(e->server));
    }
    struct buf *b = &e->server->scratch;
    buf_clear(b);
    append_status_line(b, http_status);
    append_content_type(b, content_type);
    if (e->is_chunked) {
        buf_append_str(b, "Transfer-Encoding: chunked\r\n");
    }
    append_rest_of_head(e, b, headers, r);
    exchange_emit(e, buf_slice(b));
}

void http_answer_chunk(struct http_request *r, struct slice bytes)
{
    struct exchange *e = exchange_of_request(r);
    CHECK(e->stage == ANSWER_STREAMS);
    if (bytes.size == 0 || r->method == HTTP_HEAD) {
        return; /* an empty chunk would be the end */
    }
    if (!e->is_chunked) {
        exchange_emit(e, bytes);
        return;
    }
    struct buf *b = &e->server->scratch;
    buf_clear(b);
    append_number(b, bytes.size, 16);
    buf_append_str(b, "\r\n");
    exchange_emit(e, buf_slice(b));
    exchange_emit(e, bytes);
    exchange_emit(e, slice_str("\r\n"));
}

static void release_blob(void *owner)
{
    blob_unref(owner);
}

static void emit_shared(struct exchange *e, struct blob *bytes)
{
    struct http_connection *c = e->connection;
    if (c == NULL || c->is_closed || !exchange_is_first(e)) {
        exchange_emit(e, blob_slice(bytes));
        return;
    }
    c->conn->loop->ops->conn_write_owned(c->conn, blob_slice(bytes), release_blob, blob_ref(bytes));
    c->flow.written += bytes->size;
}

void http_answer_chunk_shared(struct http_request *r, struct blob *bytes)
{
    struct exchange *e = exchange_of_request(r);
    CHECK(e->stage == ANSWER_STREAMS);
    if (bytes->size == 0 || r->method == HTTP_HEAD) {
        return;
    }
    if (!e->is_chunked) {
        emit_shared(e, bytes);
        return;
    }
    struct buf *b = &e->server->scratch;
    buf_clear(b);
    append_number(b, bytes->size, 16);
    buf_append_str(b, "\r\n");
    exchange_emit(e, buf_slice(b));
    emit_shared(e, bytes);
    exchange_emit(e, slice_str("\r\n"));
}

size_t http_answer_unsent(const struct http_request *r)
{
    const struct exchange *e = CONTAINER_OF(r, const struct exchange, request);
    const struct http_connection *c = e->connection;
    if (c == NULL || c->is_closed) {
        return 0;
    }
    return exchange_is_first(e) ? c->conn->loop->ops->conn_unsent(c->conn) : c->kept_bytes;
}

bool http_answer_wants_more(const struct http_request *r)
{
    const struct exchange *e = CONTAINER_OF(r, const struct exchange, request);
    struct http_connection *c = e->connection;
    if (c == NULL || c->is_closed) {
        return true; /* what is said goes nowhere, and on_gone will come */
    }
    if (!exchange_is_first(e)) {
        return c->kept_bytes < LIMIT_PIPELINED_OUT_BYTES;
    }
    if (c->conn->loop->ops->conn_unsent(c->conn) >= LIMIT_STREAM_UNSENT_BYTES) {
        c->is_starved = true;
        return false;
    }
    return true;
}

void http_answer_end(struct http_request *r)
{
    struct exchange *e = exchange_of_request(r);
    CHECK(e->stage == ANSWER_STREAMS);
    if (e->is_chunked && r->method != HTTP_HEAD) {
        exchange_emit(e, slice_str("0\r\n\r\n"));
    }
    finish(e);
}

void http_answer_abort(struct http_request *r)
{
    struct exchange *e = exchange_of_request(r);
    struct http_connection *c = e->connection;
    e->stage = ANSWER_DONE;
    if (c == NULL) {
        exchange_release(e);
    } else {
        http_connection_abort(c); /* its on_close releases the exchange */
    }
}
