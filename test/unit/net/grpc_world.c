#include "grpc_world.h"

#include "base/check.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADERS_MAX 120

/* --- the handler ------------------------------------------------------------------------------ */

static void echo(struct grpc_stream *s, struct slice message)
{
    grpc_send(s, message);
}

static void finish_well(struct grpc_stream *s)
{
    grpc_finish(s, GRPC_OK, NULL);
}

static void answer_first(struct grpc_stream *s, struct slice message)
{
    grpc_send(s, message);
    grpc_finish(s, GRPC_OK, NULL);
}

static void note_message(struct grpc_stream *s, struct slice message)
{
    struct grpc_world *w = s->user;
    w->message_count++;
    buf_clear(&w->last_message);
    buf_append_slice(&w->last_message, message);
}

static void note_half_close(struct grpc_stream *s)
{
    ((struct grpc_world *)s->user)->half_close_count++;
}

static void note_gone(struct grpc_stream *s)
{
    ((struct grpc_world *)s->user)->gone_count++;
}

static void note_writable(struct grpc_stream *s)
{
    ((struct grpc_world *)s->user)->writable_count++;
}

static bool begins(const struct grpc_stream *s, const char *prefix)
{
    return slice_has_prefix(s->path, slice_str(prefix));
}

static void on_stream(void *context, struct grpc_stream *s)
{
    struct grpc_world *w = context;
    s->user = w;
    if (begins(s, "/echo/")) {
        s->on_message = echo;
        s->on_half_close = finish_well;
        s->on_gone = note_gone;
    } else if (begins(s, "/first/")) {
        s->on_message = answer_first;
    } else if (begins(s, "/refuse/")) {
        grpc_finish(s, GRPC_NOT_FOUND, REFUSAL);
    } else if (begins(s, "/wait/") || begins(s, "/stubborn/")) {
        assert_true(w->waiting_count < WAITING_MAX);
        w->waiting[w->waiting_count++] = s;
        s->on_message = note_message;
        s->on_half_close = note_half_close;
        s->on_writable = note_writable;
        s->on_gone = begins(s, "/wait/") ? note_gone : NULL;
    } else {
        grpc_finish_unknown(s, begins(s, "/known/") || begins(s, "/known.S/"));
    }
}

static uint32_t message_bytes_max(void *context, const struct grpc_stream *s)
{
    (void)context;
    return begins(s, "/wait/big") ? 4u << 20 : MESSAGE_MAX;
}

/* --- the world -------------------------------------------------------------------------------- */

void grpc_world_start(struct grpc_world *w, const struct grpc_options *options)
{
    memset(w, 0, sizeof(*w));
    fake_loop_init(&w->loop);
    const struct grpc_handler handler = {
        .on_stream = on_stream, .message_bytes_max = message_bytes_max, .context = w};
    w->server = grpc_server_create(&w->loop.base, &handler, options);
}

void grpc_world_finish(struct grpc_world *w)
{
    grpc_server_destroy(w->server);
    assert_null(timer_heap_first(&w->loop.timers));
    fake_loop_turn(&w->loop);
    fake_loop_deinit(&w->loop);
    buf_deinit(&w->last_message);
}

void grpc_world_turn(struct grpc_world *w)
{
    fake_loop_turn(&w->loop);
    grpc_server_turn(w->server);
}

void grpc_world_pass(struct grpc_world *w, uint64_t ms, uint64_t step_ms)
{
    for (uint64_t passed = 0; passed < ms; passed += step_ms) {
        w->loop.now_ms += step_ms;
        grpc_world_turn(w);
    }
}

struct fake_conn *grpc_world_connect(struct grpc_world *w, struct slice first)
{
    struct fake_conn *c = fake_loop_connect(&w->loop);
    grpc_server_accept(w->server, &c->base, first);
    grpc_server_turn(w->server);
    return c;
}

/* --- the client ------------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)session;
    (void)flags;
    struct client_call *call = client_find(context, frame->hd.stream_id);
    const struct {
        const char *name;
        char *text;
        size_t size;
    } known[] = {{":status", call->http_status, sizeof(call->http_status)},
                 {"grpc-status", call->code, sizeof(call->code)},
                 {"grpc-message", call->message, sizeof(call->message)}};
    for (size_t i = 0; i < 3; i++) {
        if (slice_equal(slice_of(name, name_size), slice_str(known[i].name))) {
            snprintf(known[i].text, known[i].size, "%.*s", (int)value_size, (const char *)value);
        }
    }
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                    size_t size, void *context)
{
    (void)flags;
    struct client *c = context;
    buf_append(&client_find(c, id)->body, data, size);
    if (!c->is_greedy) {
        nghttp2_session_consume(session, id, size);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct client *c = context;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        client_find(c, frame->hd.stream_id)->header_blocks++;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaway_count++;
        c->goaway_code = frame->goaway.error_code;
        c->goaway_last_id = frame->goaway.last_stream_id;
        snprintf(c->goaway_text, sizeof(c->goaway_text), "%.*s", (int)frame->goaway.opaque_data_len,
                 (const char *)frame->goaway.opaque_data);
    } else if (frame->hd.type == NGHTTP2_PING) {
        bool is_answer = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
        c->pong_count += is_answer;
        c->ping_count += !is_answer;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)session;
    struct client_call *call = client_find(context, id);
    call->is_closed = true;
    call->reset_code = error_code;
    return 0;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t length,
                        uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)session;
    (void)id;
    (void)context;
    struct client_call *call = source->ptr;
    size_t size = call->out.size < length ? call->out.size : length;
    if (size == 0 && !call->out_ends) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size > 0) {
        memcpy(bytes, call->out.data, size);
        buf_consume(&call->out, size);
    }
    if (call->out.size == 0 && call->out_ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

void client_start(struct client *c, struct grpc_world *w)
{
    memset(c, 0, sizeof(*c));
    c->world = w;
    nghttp2_session_callbacks *cb;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    assert_int_equal(nghttp2_session_client_new2(&c->session, cb, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
    const uint8_t *first;
    ssize_t size = nghttp2_session_mem_send(c->session, &first); /* the preface */
    assert_true(size >= 24);
    c->conn = grpc_world_connect(w, slice_of(first, (size_t)size));
    client_pump(c);
}

void client_finish(struct client *c)
{
    nghttp2_session_del(c->session);
    for (uint32_t i = 0; i < CALLS_MAX; i++) {
        if (c->calls[i] != NULL) {
            buf_deinit(&c->calls[i]->out);
            buf_deinit(&c->calls[i]->body);
            mem_free(c->calls[i]);
        }
    }
}

static bool send_some(struct client *c)
{
    const uint8_t *bytes;
    bool moved = false;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(c->session, &bytes)) > 0) {
        fake_conn_feed(c->conn, slice_of(bytes, (size_t)size));
        moved = true;
    }
    return moved;
}

static bool read_some(struct client *c)
{
    struct buf *sent = &c->conn->sent;
    if (c->conn->is_stuck || c->read == sent->size) {
        return false;
    }
    ssize_t used = nghttp2_session_mem_recv(c->session, sent->data + c->read, sent->size - c->read);
    assert_int_equal(used, sent->size - c->read);
    c->read = sent->size;
    return true;
}

void client_pump(struct client *c)
{
    bool moves = true;
    while (moves) {
        moves = send_some(c);
        grpc_world_turn(c->world);
        grpc_world_turn(c->world);
        moves = read_some(c) || moves;
    }
}

struct client_call *client_find(struct client *c, int32_t id)
{
    assert_true(id > 0 && id / 2 < CALLS_MAX);
    return c->calls[id / 2];
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

int32_t client_call_as(struct client *c, const char *method, const char *type, const char *path,
                       const char *const *more)
{
    nghttp2_nv headers[HEADERS_MAX] = {nv(":method", method), nv(":scheme", "http"),
                                       nv(":path", path), nv(":authority", "somewhere"),
                                       nv("te", "trailers")};
    size_t count = 5;
    if (type != NULL) {
        headers[count++] = nv("content-type", type);
    }
    for (; more != NULL && more[0] != NULL; more += 2) {
        assert_true(count < HEADERS_MAX);
        headers[count++] = nv(more[0], more[1]);
    }
    struct client_call *call = mem_calloc(1, sizeof(*call));
    nghttp2_data_provider source = {.source = {.ptr = call}, .read_callback = read_out};
    call->id = nghttp2_submit_request(c->session, NULL, headers, count, &source, NULL);
    assert_true(call->id > 0 && call->id / 2 < CALLS_MAX);
    c->calls[call->id / 2] = call;
    return call->id;
}

int32_t client_call(struct client *c, const char *path, const char *const *more)
{
    return client_call_as(c, "POST", "application/grpc", path, more);
}

void client_send_raw(struct client *c, int32_t id, struct slice bytes)
{
    buf_append_slice(&client_find(c, id)->out, bytes);
    nghttp2_session_resume_data(c->session, id);
}

void client_send_bytes(struct client *c, int32_t id, struct slice message)
{
    const uint8_t prefix[5] = {0, (uint8_t)(message.size >> 24), (uint8_t)(message.size >> 16),
                               (uint8_t)(message.size >> 8), (uint8_t)message.size};
    client_send_raw(c, id, slice_of(prefix, sizeof(prefix)));
    client_send_raw(c, id, message);
}

void client_send(struct client *c, int32_t id, const char *text)
{
    client_send_bytes(c, id, slice_str(text));
}

void client_end(struct client *c, int32_t id)
{
    client_find(c, id)->out_ends = true;
    nghttp2_session_resume_data(c->session, id);
}

void expect_end(struct client *c, int32_t id, const char *code, const char *message)
{
    struct client_call *call = client_find(c, id);
    assert_string_equal(call->code, code);
    if (message != NULL) {
        assert_string_equal(call->message, message);
    }
    assert_string_equal(call->http_status, "200");
    assert_true(call->is_closed);
    assert_int_equal(call->reset_code, NGHTTP2_NO_ERROR);
}

/* --- frames by hand --------------------------------------------------------------------------- */

void frame_append(struct buf *out, uint8_t type, uint8_t flags, uint32_t id, struct slice payload)
{
    const uint8_t head[9] = {(uint8_t)(payload.size >> 16),
                             (uint8_t)(payload.size >> 8),
                             (uint8_t)payload.size,
                             type,
                             flags,
                             (uint8_t)(id >> 24),
                             (uint8_t)(id >> 16),
                             (uint8_t)(id >> 8),
                             (uint8_t)id};
    buf_append(out, head, sizeof(head));
    buf_append_slice(out, payload);
}

void preface_append(struct buf *out)
{
    buf_append_str(out, NGHTTP2_CLIENT_MAGIC);
    frame_append(out, NGHTTP2_SETTINGS, 0, 0, slice_of(NULL, 0));
}

bool frame_find(const struct fake_conn *c, uint8_t type, uint32_t nth, struct slice *payload)
{
    struct slice rest = buf_slice(&c->sent);
    while (rest.size >= 9) {
        const uint8_t *at = rest.data;
        size_t size = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        assert_true(rest.size >= 9 + size);
        if (at[3] == type && nth-- == 0) {
            *payload = slice_of(at + 9, size);
            return true;
        }
        rest = slice_of(rest.data + 9 + size, rest.size - 9 - size);
    }
    return false;
}

void headers_append(struct buf *out, const char *path)
{
    const char *const headers[] = {
        ":method", "POST",       ":scheme", "http",         ":path",
        path,      ":authority", "a",       "content-type", "application/grpc"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i += 2) {
        buf_append_byte(out, 0); /* literal, not to be remembered */
        for (size_t k = i; k < i + 2; k++) {
            buf_append_byte(out, (uint8_t)strlen(headers[k]));
            buf_append_str(out, headers[k]);
        }
    }
}

/* --- a client by hand ------------------------------------------------------------------------- */

int raw_setup(void **state)
{
    struct raw *r = mem_calloc(1, sizeof(*r));
    grpc_world_start(&r->world, NULL);
    preface_append(&r->out);
    r->conn = grpc_world_connect(&r->world, buf_slice(&r->out));
    buf_clear(&r->out);
    *state = r;
    return 0;
}

int raw_teardown(void **state)
{
    struct raw *r = *state;
    grpc_world_finish(&r->world);
    buf_deinit(&r->out);
    mem_free(r);
    return 0;
}

void raw_say(struct raw *r)
{
    fake_conn_feed(r->conn, buf_slice(&r->out));
    buf_clear(&r->out);
    grpc_world_turn(&r->world);
    grpc_world_turn(&r->world);
}

void raw_open(struct raw *r, uint32_t id, const char *path, uint8_t flags)
{
    struct buf head = {0};
    headers_append(&head, path);
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, id, buf_slice(&head));
    buf_deinit(&head);
}

uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void raw_expect_goaway(struct raw *r, uint32_t code, const char *text)
{
    struct slice goaway;
    assert_true(frame_find(r->conn, NGHTTP2_GOAWAY, 0, &goaway));
    assert_int_equal(read_u32(goaway.data + 4), code);
    if (text != NULL) {
        assert_int_equal(goaway.size - 8, strlen(text));
        assert_memory_equal(goaway.data + 8, text, strlen(text));
    }
    grpc_world_turn(&r->world);
    assert_true(r->conn->is_gone);
    assert_true(r->conn->was_flushed);
    assert_int_equal(grpc_server_connections(r->world.server), 0);
    assert_int_equal(grpc_server_streams(r->world.server), 0);
}
