#include "net/grpc_client_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

/* --- sending ---------------------------------------------------------------------------------- */

void grpc_client_touch(struct grpc_client_conn *c)
{
    if (list_is_empty(&c->dirty)) {
        list_push_back(&c->client->dirty, &c->dirty);
    }
}

static void close_conn(struct grpc_client_conn *c, bool flush)
{
    if (!c->is_closed) {
        c->is_closed = true;
        c->conn->loop->ops->conn_close(c->conn, flush);
    }
}

/* Only the first reason is one: the others follow from it. */
static void note_why(struct grpc_client_conn *c, enum status why, struct slice text)
{
    if (c->text.size == 0) {
        c->why = why;
        if (text.size > LIMIT_GRPC_CLIENT_TEXT_BYTES) {
            text.size = LIMIT_GRPC_CLIENT_TEXT_BYTES;
        }
        buf_append_slice(&c->text, text);
        buf_append_byte(&c->text, '\0');
    }
}

static void break_off(struct grpc_client_conn *c, enum status why, const char *text)
{
    note_why(c, why, slice_str(text));
    close_conn(c, false);
}

/* The rest goes when the connection has taken what it got (on_drain). */
static bool is_full(struct grpc_client_conn *c)
{
    if (c->unchecked_bytes < LIMIT_H2_CONN_BYTES) {
        return false; /* asking brings about an on_drain, and with it a turn */
    }
    if (c->conn->loop->ops->conn_unsent(c->conn) >= LIMIT_H2_CONN_BYTES) {
        return true;
    }
    c->unchecked_bytes = 0;
    return false;
}

static void send_all(struct grpc_client_conn *c)
{
    while (!c->is_closed && !is_full(c)) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(c->session, &bytes);
        if (size < 0) {
            break_off(c, STATUS_IO, nghttp2_strerror((int)size));
        }
        if (size <= 0) {
            return;
        }
        c->conn->loop->ops->conn_write(c->conn, slice_of(bytes, (size_t)size));
        c->unchecked_bytes += (size_t)size;
    }
}

static void flush(struct grpc_client_conn *c)
{
    send_all(c);
    if (c->is_closed) {
        return;
    }
    if (c->call_count == 0 && nghttp2_session_check_request_allowed(c->session) == 0) {
        note_why(c, STATUS_CLOSED, slice_str("the connection takes no more calls"));
        close_conn(c, true);
    } else if (nghttp2_session_want_read(c->session) == 0) {
        break_off(c, STATUS_CORRUPT, "the server broke the rules of HTTP/2");
    }
}

void grpc_client_turn(struct grpc_client *g)
{
    struct list *link;
    while ((link = list_pop_front(&g->dirty)) != NULL) {
        flush(CONTAINER_OF(link, struct grpc_client_conn, dirty));
    }
}

/* --- what nghttp2 tells ----------------------------------------------------------------------- */

/* The call of a stream; NULL: nobody is to hear of it any more. */
static struct grpc_client_call *find_call(const struct grpc_client_conn *c, int32_t id)
{
    return c->is_closed ? NULL : nghttp2_session_get_stream_user_data(c->session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)session;
    (void)flags;
    struct grpc_client_call *call = find_call(context, frame->hd.stream_id);
    if (call != NULL) {
        grpc_client_call_header(call, slice_of(name, name_size), slice_of(value, value_size));
    }
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                    size_t size, void *context)
{
    (void)session;
    (void)flags;
    struct grpc_client_call *call = find_call(context, id);
    if (call != NULL) {
        grpc_client_call_data(call, slice_of(data, size));
    }
    return 0;
}

static void note_goaway(struct grpc_client_conn *c, const nghttp2_goaway *goaway)
{
    struct buf text = {0};
    buf_printf(&text, "GOAWAY %s", nghttp2_http2_strerror(goaway->error_code));
    if (goaway->opaque_data_len > 0) {
        buf_append_str(&text, ": ");
        for (size_t i = 0; i < goaway->opaque_data_len; i++) {
            uint8_t byte = goaway->opaque_data[i];
            buf_append_byte(&text, byte >= 0x20 && byte <= 0x7e ? byte : '?');
        }
    }
    note_why(c, STATUS_CLOSED, buf_slice(&text));
    buf_deinit(&text);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct grpc_client_conn *c = context;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        note_goaway(c, &frame->goaway);
        return 0;
    }
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
        return 0;
    }
    /* The answer is whole. Whatever of ours is not sent yet is for nobody: to the server the call
     * is over. */
    const struct grpc_client_call *call = find_call(c, frame->hd.stream_id);
    if (call != NULL && !call->is_sent) {
        CHECK(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_NO_ERROR) != NGHTTP2_ERR_NOMEM);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)session;
    struct grpc_client_call *call = find_call(context, id);
    if (call != NULL) {
        grpc_client_call_closed(call, error_code);
    }
    return 0;
}

/* --- what the loop tells ---------------------------------------------------------------------- */

static void on_open(struct conn *conn)
{
    struct grpc_client_conn *c = conn->context;
    if (c->events->on_open != NULL) {
        c->events->on_open(c);
    }
}

static void on_data(struct conn *conn, struct slice data)
{
    struct grpc_client_conn *c = conn->context;
    ssize_t used = nghttp2_session_mem_recv(c->session, data.data, data.size);
    if (used < 0) {
        break_off(c, STATUS_CORRUPT, nghttp2_strerror((int)used));
    }
    grpc_client_touch(c);
}

static void on_drain(struct conn *conn)
{
    grpc_client_touch(conn->context);
}

static void free_conn(struct grpc_client_conn *c)
{
    c->client->connection_count--;
    list_remove(&c->link);
    list_remove(&c->dirty);
    nghttp2_session_del(c->session);
    buf_deinit(&c->text);
    buf_deinit(&c->authority);
    mem_free(c);
}

static void on_close(struct conn *conn, enum status why)
{
    struct grpc_client_conn *c = conn->context;
    c->is_closed = true;
    note_why(c, why, slice_str(why == STATUS_UNREACHABLE ? "cannot connect" : "cut off"));
    const char *text = (const char *)c->text.data;
    enum grpc_code code = c->is_broken_off           ? GRPC_CANCELED
                          : c->why == STATUS_CORRUPT ? GRPC_INTERNAL
                                                     : GRPC_UNAVAILABLE;
    while (!list_is_empty(&c->calls)) {
        grpc_client_call_lost(CONTAINER_OF(c->calls.next, struct grpc_client_call, link), code,
                              slice_str(text));
    }
    c->events->on_close(c, c->why, text);
    free_conn(c);
}

static const struct conn_events events = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

/* --- the client ------------------------------------------------------------------------------- */

struct grpc_client *grpc_client_create(struct loop *loop)
{
    struct grpc_client *g = mem_calloc(1, sizeof(*g));
    g->loop = loop;
    list_init(&g->connections);
    list_init(&g->dirty);
    CHECK(nghttp2_session_callbacks_new(&g->callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(g->callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(g->callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(g->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(g->callbacks, on_stream_close);
    CHECK(nghttp2_option_new(&g->option) == 0);
    nghttp2_option_set_no_closed_streams(g->option, 1);
    nghttp2_option_set_max_outbound_ack(g->option, LIMIT_H2_ACKS);
    return g;
}

void grpc_client_destroy(struct grpc_client *g)
{
    CHECK(list_is_empty(&g->connections));
    nghttp2_session_callbacks_del(g->callbacks);
    nghttp2_option_del(g->option);
    mem_free(g);
}

uint32_t grpc_client_connections(const struct grpc_client *g)
{
    return g->connection_count;
}

static void submit_settings(struct grpc_client_conn *c)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_GRPC_CLIENT_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HEADERS_BYTES},
    };
    CHECK(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                  sizeof(settings) / sizeof(settings[0])) == 0);
    CHECK(nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                (int32_t)LIMIT_GRPC_CLIENT_WINDOW) == 0);
}

struct grpc_client_conn *grpc_client_connect(struct grpc_client *g, const struct url *server,
                                             const struct grpc_client_events *client_events,
                                             void *context)
{
    struct grpc_client_conn *c = mem_calloc(1, sizeof(*c));
    c->client = g;
    c->events = client_events;
    c->context = context;
    list_init(&c->dirty);
    list_init(&c->calls);
    list_push_back(&g->connections, &c->link);
    g->connection_count++;
    char text[URL_TEXT_BYTES];
    url_format(server, text, sizeof(text));
    buf_append_str(&c->authority, text + (server->is_tls ? strlen("https://") : strlen("http://")));
    CHECK(nghttp2_session_client_new2(&c->session, g->callbacks, c, g->option) == 0);
    submit_settings(c);
    grpc_client_touch(c);
    c->conn = url_dial(g->loop, server, "h2", &events, c);
    return c;
}

void *grpc_client_context(const struct grpc_client_conn *c)
{
    return c->context;
}

uint32_t grpc_client_calls(const struct grpc_client_conn *c)
{
    return c->call_count;
}

void grpc_client_close(struct grpc_client_conn *c)
{
    if (!c->is_closed) {
        c->is_broken_off = true;
        break_off(c, STATUS_CLOSED, "closed here");
    }
}
