#include "net/grpc_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

#define FRAME_HEADER_BYTES 9
#define SECOND_MS          1000
/* That a client may send for each call of it and each piece of an answer: for the call and for the
 * connection, and some do so twice. */
#define WINDOW_UPDATES     4

/* --- sending ---------------------------------------------------------------------------------- */

static void write_bytes(struct http2_connection *c, struct slice bytes)
{
    c->conn->loop->ops->conn_write(c->conn, bytes);
    http2_connection_wrote(c, bytes.size);
}

/* The connection has enough for now: on_drain will come. */
static bool is_full(struct http2_connection *c)
{
    return unsent_is_full(&c->flow, c->conn, LIMIT_H2_CONN_BYTES);
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t length, nghttp2_data_source *source, void *context)
{
    (void)session;
    (void)frame;
    struct http2_connection *c = context;
    if (is_full(c)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    write_bytes(c, slice_of(head, FRAME_HEADER_BYTES));
    const struct grpc_call *call = source->ptr;
    grpc_answer_take(source->ptr, length);
    if (length >= LIMIT_H2_SMALL_DATA_BYTES || call->unsent == 0) {
        c->empty_frames = 0; /* who gets answers may ask how fast they come */
        c->window_updates += WINDOW_UPDATES;
    }
    return 0;
}

void http2_connection_touch(struct http2_connection *c)
{
    if (list_is_empty(&c->dirty)) {
        list_push_back(&c->server->dirty, &c->dirty);
    }
}

void http2_connection_wake(struct http2_connection *c)
{
    struct grpc_server *g = c->server;
    if (list_is_empty(&c->ready)) {
        list_push_back(&g->ready, &c->ready);
    }
    if (g->go_on.slot == 0) {
        g->loop->ops->timer_start(g->loop, &g->go_on, grpc_now(g));
    }
}

static void send_all(struct http2_connection *c)
{
    c->is_sending = true;
    while (!is_full(c)) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(c->session, &bytes);
        if (size < 0) {
            http2_connection_abort(c);
        }
        if (size <= 0) {
            break;
        }
        write_bytes(c, slice_of(bytes, (size_t)size));
    }
    c->is_sending = false;
}

void http2_connection_flush(struct http2_connection *c)
{
    if (c->is_closed) {
        return;
    }
    uint64_t written = c->flow.written;
    send_all(c);
    if (c->flow.written != written) {
        grpc_sweep_by(c->server, grpc_now(c->server) + grpc_sweep_grain_ms(c->server));
        if (!list_is_empty(&c->starved) || !list_is_empty(&c->held)) {
            http2_connection_wake(c);
        }
    }
    if (c->is_ending ||
        (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))) {
        http2_connection_close(c, true);
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

void http2_connection_close(struct http2_connection *c, bool flush)
{
    if (!c->is_closed) {
        c->is_closed = true;
        c->conn->loop->ops->conn_close(c->conn, flush);
    }
}

void http2_connection_abort(struct http2_connection *c)
{
    http2_connection_close(c, false);
}

void http2_connection_end(struct http2_connection *c, uint32_t error_code, const char *why)
{
    if (c->is_ending || c->is_closed) {
        return;
    }
    c->is_ending = true;
    CHECK(nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(c->session), error_code,
                                (const uint8_t *)why, strlen(why)) != NGHTTP2_ERR_NOMEM);
    http2_connection_touch(c);
}

void http2_connection_forget(struct http2_connection *c)
{
    c->is_closed = true;
    while (!list_is_empty(&c->calls)) {
        grpc_call_lost(grpc_call_of(c->calls.next));
    }
    grpc_head_reader_deinit(&c->head);
    client_share_end(&c->share);
    nghttp2_session_del(c->session);
    list_remove(&c->link);
    list_remove(&c->dirty);
    list_remove(&c->ready);
    c->server->connection_count--;
    mem_free(c);
}

/* --- floods ----------------------------------------------------------------------------------- */

static void count_empty_frame(struct http2_connection *c)
{
    uint64_t now = grpc_now(c->server);
    if (now - c->empty_from_ms >= SECOND_MS) {
        c->empty_from_ms = now;
        c->empty_frames = 0;
    }
    if (++c->empty_frames > LIMIT_H2_EMPTY_FRAMES) {
        http2_connection_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    }
}

static void count_reset(struct http2_connection *c)
{
    uint64_t now = grpc_now(c->server);
    uint64_t forgiven = (now - c->reset_ms) * LIMIT_H2_RESETS_PER_S / SECOND_MS;
    if (forgiven > 0) {
        c->resets = forgiven < c->resets ? c->resets - (uint32_t)forgiven : 0;
        c->reset_ms = now;
    }
    if (++c->resets > LIMIT_H2_RESETS) {
        http2_connection_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
    }
}

/* --- what nghttp2 tells ----------------------------------------------------------------------- */

/* What comes is of one call for a while. */
static struct grpc_call *find_call(struct http2_connection *c, int32_t id)
{
    if (c->recent == NULL || c->recent->id != id) {
        c->recent = nghttp2_session_get_stream_user_data(c->session, id);
    }
    return c->recent;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_connection *c = context;
    c->head_from_ms = grpc_now(c->server);
    c->window_updates += WINDOW_UPDATES;
    grpc_sweep_by(c->server, c->head_from_ms + c->server->options.request_ms);
    grpc_head_reader_begin(&c->head, frame->headers.cat != NGHTTP2_HCAT_REQUEST);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct grpc_call *call = grpc_call_begin(c, frame->hd.stream_id);
        CHECK(nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, call) == 0);
    }
    return 0;
}

/* A malformed block: of a request, which no handler will see, or of trailers, that end it. */
static void refuse_head(struct http2_connection *c, int32_t id)
{
    c->head_from_ms = 0;
    CHECK(nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_PROTOCOL_ERROR) !=
          NGHTTP2_ERR_NOMEM);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *context)
{
    (void)session;
    (void)flags;
    struct http2_connection *c = context;
    if (!grpc_head_reader_take(&c->head, name, value)) {
        refuse_head(c, frame->hd.stream_id);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* the rest of the block is not told */
    }
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                    size_t size, void *context)
{
    (void)session;
    struct http2_connection *c = context;
    struct grpc_call *call = find_call(c, id);
    c->told += size;
    if (call != NULL) {
        grpc_call_data(call, slice_of(data, size), (flags & NGHTTP2_FLAG_END_STREAM) != 0);
    }
    return 0;
}

static void maybe_half_close(struct http2_connection *c, const nghttp2_frame *frame)
{
    struct grpc_call *call = find_call(c, frame->hd.stream_id);
    if (call != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        grpc_call_half_close(call);
        grpc_answer_http_now(call);
    }
}

static void on_headers(struct http2_connection *c, const nghttp2_frame *frame)
{
    struct grpc_call *call = find_call(c, frame->hd.stream_id);
    bool ends_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!http2_head_is_whole(&c->head.check, ends_stream)) {
        refuse_head(c, frame->hd.stream_id);
        return;
    }
    c->head_from_ms = 0;
    if (call != NULL && !c->head.check.is_trailer) {
        grpc_call_open(call, grpc_head_reader_end(&c->head));
    }
    maybe_half_close(c, frame);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct http2_connection *c = context;
    bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        on_headers(c, frame);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length == frame->data.padlen &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
            count_empty_frame(c);
        }
        maybe_half_close(c, frame);
        break;
    case NGHTTP2_SETTINGS:
        c->has_settings = true;
        if (!is_ack) {
            count_empty_frame(c);
        }
        break;
    case NGHTTP2_PING:
        if (is_ack && c->pinged_ms != 0) {
            c->pinged_ms = 0;
        } else {
            count_empty_frame(c);
        }
        break;
    case NGHTTP2_WINDOW_UPDATE:
        if (c->window_updates > 0) {
            c->window_updates--;
        } else {
            count_empty_frame(c);
        }
        break;
    case NGHTTP2_PRIORITY:
        count_empty_frame(c);
        break;
    case NGHTTP2_RST_STREAM:
        count_reset(c);
        break;
    default:
        break;
    }
    return 0;
}

/* A frame of a kind that HTTP/2 does not know: passed over, as it must be, but not for ever. */
static int on_unknown_frame(nghttp2_session *session, void **payload, const nghttp2_frame_hd *head,
                            void *context)
{
    (void)session;
    (void)payload;
    (void)head;
    count_empty_frame(context);
    return NGHTTP2_ERR_CANCEL; /* nothing more is told of it */
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *context)
{
    (void)session;
    struct http2_connection *c = context;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        c->head_from_ms = 0;
    }
    if (error == NGHTTP2_ERR_REFUSED_STREAM) {
        count_reset(c); /* now: how many of these wait to be sent is not bounded otherwise */
    }
    return 0;
}

/* A call that has its whole answer while its client still sends: the client is told to stop, as
 * clients of gRPC expect. */
static int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_connection *c = context;
    if (frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        const struct grpc_call *call = find_call(c, frame->hd.stream_id);
        if (call != NULL &&
            nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0) {
            CHECK(nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                            NGHTTP2_NO_ERROR) != NGHTTP2_ERR_NOMEM);
        }
    } else if (frame->hd.type == NGHTTP2_RST_STREAM &&
               frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
               frame->rst_stream.error_code != NGHTTP2_REFUSED_STREAM) {
        count_reset(c); /* made to reset is as good as resetting */
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)error_code;
    struct http2_connection *c = context;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call != NULL) {
        grpc_call_lost(call);
        if (c->is_sending || !list_is_empty(&c->starved) || !list_is_empty(&c->held)) {
            http2_connection_wake(
                c); /* the handler may have done what wants a turn; room is left */
        }
    }
    return 0;
}

static void *take_memory(size_t size, void *pool)
{
    return pool_alloc(pool, size);
}

static void give_memory_back(void *memory, void *pool)
{
    pool_free(pool, memory);
}

static void *take_zeroed_memory(size_t count, size_t size, void *pool)
{
    return pool_calloc(pool, count, size);
}

static void *resize_memory(void *old, size_t size, void *pool)
{
    return pool_realloc(pool, old, size);
}

void http2_configure(struct grpc_server *g)
{
    CHECK(nghttp2_session_callbacks_new(&g->callbacks) == 0);
    nghttp2_session_callbacks *cb = g->callbacks;
    nghttp2_session_callbacks_set_unpack_extension_callback(cb, on_unknown_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    g->memory = (nghttp2_mem){.mem_user_data = &g->pool,
                              .malloc = take_memory,
                              .free = give_memory_back,
                              .calloc = take_zeroed_memory,
                              .realloc = resize_memory};
    CHECK(nghttp2_option_new(&g->option) == 0);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++) {
        nghttp2_option_set_user_recv_extension_type(g->option, (uint8_t)type);
    }
    nghttp2_option_set_no_auto_window_update(g->option, 1);
    nghttp2_option_set_no_closed_streams(g->option, 1);
    nghttp2_option_set_no_http_messaging(g->option, 1); /* net/http2_head.h instead */
    nghttp2_option_set_max_outbound_ack(g->option, LIMIT_H2_ACKS);
    nghttp2_option_set_max_deflate_dynamic_table_size(g->option, LIMIT_H2_HPACK_BYTES);
#ifdef HAVE_NGHTTP2_RESET_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(g->option, 2 * LIMIT_H2_RESETS,
                                               LIMIT_H2_RESETS_PER_S); /* ours says why, first */
#endif
#ifdef HAVE_NGHTTP2_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(g->option, LIMIT_H2_CONTINUATIONS);
#endif
}

/* --- what the loop tells ---------------------------------------------------------------------- */

void http2_connection_read(struct http2_connection *c, struct slice data)
{
    if (c->is_closed || c->is_ending) {
        return;
    }
    c->came_ms = grpc_now(c->server);
    c->told = 0;
    ssize_t used = nghttp2_session_mem_recv(c->session, data.data, data.size);
    CHECK(nghttp2_session_consume_connection(c->session, c->told) != NGHTTP2_ERR_NOMEM);
    http2_connection_touch(c);
    if (used == NGHTTP2_ERR_FLOODED) {
        http2_connection_abort(c); /* it does not read what it asks for */
    } else if (used < 0) {
        http2_connection_end(c, NGHTTP2_PROTOCOL_ERROR, "");
    }
}

static void on_data(struct conn *conn, struct slice data)
{
    http2_connection_read(conn->context, data);
}

static void on_drain(struct conn *conn)
{
    struct http2_connection *c = conn->context;
    c->flow.checked = c->flow.written;
    http2_connection_touch(c);
}

/* Nothing more can be asked or acknowledged: what is said goes out, and that is the end. */
static void on_end(struct conn *conn)
{
    struct http2_connection *c = conn->context;
    c->is_ending = true;
    http2_connection_touch(c);
}

static void on_close(struct conn *conn, enum status why)
{
    (void)why;
    http2_connection_forget(conn->context);
}

static const struct conn_events events = {
    .on_data = on_data,
    .on_drain = on_drain,
    .on_end = on_end,
    .on_close = on_close,
};

static struct http2_connection *connection_of_share(const struct client_share *share)
{
    return (struct http2_connection *)((uintptr_t)share - offsetof(struct http2_connection, share));
}

static size_t count_share(const struct client_share *share)
{
    const struct http2_connection *c = connection_of_share(share);
    return c->conn->loop->ops->conn_kept(c->conn) + (size_t)(c->untold + c->unsent + c->kept);
}

static void drop_share(struct client_share *share)
{
    struct http2_connection *c = connection_of_share(share);
    http2_connection_abort(c);
    c->conn->loop->ops->conn_close(c->conn, false); /* also when it was being closed */
}

static void submit_settings(struct http2_connection *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->options.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_H2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HEADERS_BYTES},
    };
    CHECK(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                  sizeof(settings) / sizeof(settings[0])) == 0);
    CHECK(nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                (int32_t)LIMIT_H2_WINDOW) == 0);
}

struct http2_connection *http2_connection_begin(struct grpc_server *g, struct conn *conn)
{
    struct http2_connection *c = mem_calloc(1, sizeof(*c));
    c->server = g;
    c->conn = conn;
    client_share_begin(&c->share, count_share, drop_share);
    list_init(&c->dirty);
    list_init(&c->ready);
    list_init(&c->calls);
    list_init(&c->partial);
    list_init(&c->held);
    list_init(&c->starved);
    c->began_ms = grpc_now(g);
    c->idle_from_ms = c->began_ms;
    c->reset_ms = c->began_ms;
    list_push_back(&g->connections, &c->link);
    g->connection_count++;
    conn->events = &events;
    conn->context = c;
    CHECK(nghttp2_session_server_new3(&c->session, g->callbacks, c, g->option, &g->memory) == 0);
    submit_settings(c);
    grpc_sweep_by(g, c->began_ms + g->options.request_ms);
    return c;
}
