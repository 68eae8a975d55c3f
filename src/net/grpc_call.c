#include "net/grpc_internal.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/grpc_inflate.h"
#include "net/grpc_text.h"

#include <string.h>

#define SPARE_CALLS_MAX 256 /* kept for the next requests; beyond: freed */
#define KEPT_BYTES      (4u * KIB)
/* About. */
#define CALL_BYTES      2048
#define HEADER_BYTES    96

/* --- life ------------------------------------------------------------------------------------- */

static void on_deadline(struct timer *t)
{
    grpc_call_fail(t->context, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
}

struct grpc_call *grpc_call_begin(struct http2_connection *c, int32_t id)
{
    struct grpc_server *g = c->server;
    struct list *link = list_pop_front(&g->spare);
    struct grpc_call *call;
    if (link != NULL) {
        g->spare_count--;
        call = grpc_call_of(link);
    } else {
        call = mem_calloc(1, sizeof(*call));
        list_init(&call->link);
        list_init(&call->waiting);
        list_init(&call->starving);
        call->server = g;
        call->deadline = (struct timer){.fire = on_deadline, .context = call};
    }
    call->stream.deadline_ms = UINT64_MAX;
    call->stream.conn = c->conn;
    call->connection = c;
    call->id = id;
    list_push_back(&c->calls, &call->link);
    c->call_count++;
    return call;
}

void grpc_call_free(struct grpc_call *call)
{
    grpc_answer_drop(call);
    list_remove(&call->link);
    grpc_head_unref(call->head);
    buf_deinit(&call->in);
    buf_deinit(&call->own);
    buf_deinit(&call->message);
    mem_free(call->shared);
    mem_free(call);
}

static void empty(struct buf *b)
{
    buf_clear(b);
    if (b->capacity > KEPT_BYTES) {
        buf_deinit(b);
    }
}

void grpc_call_release(struct grpc_call *call)
{
    struct grpc_server *g = call->server;
    if (g->spare_count >= SPARE_CALLS_MAX) {
        grpc_call_free(call);
        return;
    }
    grpc_answer_drop(call);
    grpc_head_unref(call->head);
    list_remove(&call->link);
    list_remove(&call->waiting);
    list_remove(&call->starving);
    empty(&call->in);
    empty(&call->message);
    memset(call, 0, offsetof(struct grpc_call, link));
    list_push_front(&g->spare, &call->link);
    g->spare_count++;
}

/* The handler hears that its call is gone; without an on_gone it finishes it some time. */
static void tell_gone(struct grpc_call *call)
{
    struct grpc_stream *s = &call->stream;
    if (call->stage == CALL_OPEN && s->on_gone != NULL) {
        call->is_leaving = true;
        s->on_gone(s);
        call->is_leaving = false;
        call->stage = CALL_OVER;
        call->server->stream_count--;
    }
}

void grpc_call_lost(struct grpc_call *call)
{
    struct grpc_server *g = call->server;
    struct http2_connection *c = call->connection;
    grpc_call_drop_input(call);
    grpc_answer_drop(call);
    g->loop->ops->timer_stop(g->loop, &call->deadline);
    list_remove(&call->link);
    list_remove(&call->starving);
    c->call_count--;
    c->kept -= call->kept;
    c->recent = c->recent == call ? NULL : c->recent;
    c->idle_from_ms = grpc_now(g);
    call->connection = NULL;
    call->stream.conn = NULL;
    tell_gone(call);
    if (call->stage == CALL_OPEN) {
        list_push_back(&g->orphans, &call->link);
    } else {
        grpc_call_release(call);
    }
}

void grpc_call_fail(struct grpc_call *call, enum grpc_code code, const char *message)
{
    if (!call->is_answered && call->connection != NULL) {
        grpc_answer_end(call, code, slice_str(message));
    }
    tell_gone(call);
}

/* --- headers ---------------------------------------------------------------------------------- */

static bool text_is(struct slice s, const char *text)
{
    return slice_equal(s, slice_str(text));
}

struct slice grpc_header_find(const struct grpc_stream *s, const char *name)
{
    struct slice wanted = slice_str(name);
    for (uint32_t i = 0; i < s->header_count; i++) {
        if (slice_equal(s->headers[i].name, wanted)) {
            return s->headers[i].value;
        }
    }
    return slice_of(NULL, 0);
}

/* False: there is one that makes no sense. */
static bool set_deadline(struct grpc_call *call)
{
    struct grpc_server *g = call->server;
    struct slice timeout = call->head->timeout;
    uint64_t ms;
    if (timeout.data == NULL) {
        return true;
    }
    if (!grpc_timeout_parse(timeout, &ms)) {
        return false;
    }
    call->stream.deadline_ms = grpc_now(g) + ms;
    g->loop->ops->timer_start(g->loop, &call->deadline, call->stream.deadline_ms);
    return true;
}

/* True: it was answered, and no handler gets it. */
static bool refuse(struct grpc_call *call)
{
    const struct grpc_head *head = call->head;
    if (head->is_too_long) {
        grpc_answer_end(call, GRPC_RESOURCE_EXHAUSTED, slice_str("grpc: metadata is too large"));
    } else if (!head->is_post) {
        grpc_answer_http(call, "405");
    } else if (!head->is_grpc) {
        grpc_answer_http(call, "415");
    } else if (!set_deadline(call)) {
        grpc_answer_end(call, GRPC_INTERNAL, slice_str("malformed grpc-timeout"));
    }
    return call->is_answered;
}

/* What the call takes until it ends: itself, what nghttp2 and its handler have of it, and its
 * headers, unless they are those of other calls, too. */
static void count_kept(struct grpc_call *call)
{
    struct http2_connection *c = call->connection;
    const struct grpc_head *head = call->head;
    bool is_shared = head->refs > 2; /* two: the call, and who compares the next one with it */
    call->kept = CALL_BYTES;
    if (!is_shared) {
        call->kept += (uint32_t)head->bytes + head->entry_count * HEADER_BYTES;
    }
    c->kept += call->kept;
    http2_connection_kept(c, c->kept, call->kept);
}

void grpc_call_open(struct grpc_call *call, struct grpc_head *head)
{
    struct grpc_server *g = call->server;
    const struct grpc_handler *h = &g->handler;
    if (client_memory_is_pressed(g->options.memory)) {
        grpc_head_unref(head); /* thousands of these may be in one turn */
        grpc_answer_end(call, GRPC_RESOURCE_EXHAUSTED, slice_str("too many requests"));
        return;
    }
    call->head = head;
    count_kept(call);
    call->stream.path = head->path;
    call->stream.path_note = &head->path_note;
    call->stream.headers = head->headers;
    call->stream.header_count = head->header_count;
    if (refuse(call)) {
        return;
    }
    call->stage = CALL_OPEN;
    g->stream_count++;
    h->on_stream(h->context, &call->stream);
    call->message_max = LIMIT_GRPC_MESSAGE_BYTES;
    if (call->stage == CALL_OPEN && h->message_bytes_max != NULL) {
        call->message_max = h->message_bytes_max(h->context, &call->stream);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static void fail_text(struct grpc_call *call, enum grpc_code code, char *text)
{
    grpc_call_fail(call, code, text);
    mem_free(text);
}

static void fail_too_large(struct grpc_call *call, const char *what, uint32_t size)
{
    fail_text(call, GRPC_RESOURCE_EXHAUSTED,
              mem_printf("grpc: received message%s larger than max (%u vs. %u)", what, size,
                         call->message_max));
}

static void tell(struct grpc_call *call, struct slice message)
{
    call->server->message_count++;
    if (call->stream.on_message != NULL) {
        call->stream.on_message(&call->stream, message);
    }
}

static void tell_compressed(struct grpc_call *call, struct slice message)
{
    struct slice encoding = grpc_header_find(&call->stream, "grpc-encoding");
    if (encoding.size == 0 || text_is(encoding, "identity")) {
        grpc_call_fail(call, GRPC_INTERNAL,
                       "grpc: compressed flag set with identity or empty encoding");
        return;
    }
    if (!text_is(encoding, "gzip")) {
        fail_text(call, GRPC_UNIMPLEMENTED,
                  mem_printf("grpc: Decompressor is not installed for grpc-encoding \"%.*s\"",
                             (int)encoding.size, (const char *)encoding.data));
        return;
    }
    struct buf out = {0};
    switch (grpc_inflate(message, call->message_max, &out)) {
    case STATUS_OK:
        tell(call, buf_slice(&out));
        break;
    case STATUS_TOO_LARGE:
        fail_too_large(call, " after decompression", (uint32_t)out.size);
        break;
    default:
        grpc_call_fail(call, GRPC_INTERNAL, "grpc: failed to decompress the received message");
    }
    buf_deinit(&out);
}

static bool must_wait(const struct grpc_call *call)
{
    return call->is_paused || !grpc_call_has_room(call);
}

static bool is_alive(const struct grpc_call *call)
{
    return call->stage == CALL_OPEN && !call->is_answered;
}

/* Tell what is whole in `data`. How many bytes were used. */
static size_t tell_messages(struct grpc_call *call, struct slice data)
{
    size_t used = 0;
    while (is_alive(call) && !must_wait(call) && data.size - used >= GRPC_PREFIX_BYTES) {
        const uint8_t *at = data.data + used;
        uint32_t size = grpc_prefix_size(at);
        if (at[0] > 1) {
            fail_text(call, GRPC_INTERNAL,
                      mem_printf("grpc: received unexpected payload format %u", at[0]));
        } else if (size > call->message_max) {
            fail_too_large(call, "", size);
        } else if (data.size - used - GRPC_PREFIX_BYTES < size) {
            break;
        } else {
            used += GRPC_PREFIX_BYTES + size;
            (at[0] == 1 ? tell_compressed : tell)(call, slice_of(at + GRPC_PREFIX_BYTES, size));
        }
    }
    return used;
}

/* Bytes that came and were not told. */
static size_t count_untold(const struct grpc_call *call)
{
    return call->in.size - call->in_at;
}

/* --- what waits to be told -------------------------------------------------------------------- */

static void give_back(struct grpc_call *call)
{
    uint32_t size = call->withheld;
    call->withheld = 0;
    if (size > 0 && call->connection != NULL) {
        CHECK(nghttp2_session_consume_stream(call->connection->session, call->id, size) !=
              NGHTTP2_ERR_NOMEM);
        http2_connection_touch(call->connection);
    }
}

/* The oldest message always goes on, so that the others get their turn. */
static bool may_take_more(const struct grpc_call *call)
{
    const struct http2_connection *c = call->connection;
    return c->untold < LIMIT_H2_UNTOLD_BYTES || c->partial.next == &call->waiting;
}

static void stop_waiting(struct grpc_call *call)
{
    struct http2_connection *c = call->connection;
    bool was_partial = call->is_partial;
    list_remove(&call->waiting);
    call->is_partial = false;
    call->is_held = false;
    struct list *link = c->partial.next;
    while (was_partial && link != &c->partial) {
        struct grpc_call *other = CONTAINER_OF(link, struct grpc_call, waiting);
        if (!may_take_more(other)) {
            break;
        }
        link = link->next;
        give_back(other);
    }
}

static void wait_in(struct list *list, struct grpc_call *call)
{
    if (list == &call->connection->held) {
        call->is_held = true;
    } else {
        call->is_partial = true;
        call->started_ms = grpc_now(call->server);
        grpc_sweep_by(call->server, call->started_ms + call->server->options.request_ms);
    }
    list_push_back(list, &call->waiting);
}

/* Put the call where it belongs after `in` or what holds it has changed. */
static void settle(struct grpc_call *call, bool has_moved)
{
    struct http2_connection *c = call->connection;
    bool has_more = count_untold(call) > 0 || (call->has_ended && !call->has_told_end);
    bool is_held = has_more && must_wait(call);
    bool is_partial = !is_held && count_untold(call) > 0;
    if (call->is_held != is_held || call->is_partial != is_partial || (is_partial && has_moved)) {
        stop_waiting(call);
        if (is_held || is_partial) {
            wait_in(is_held ? &c->held : &c->partial, call);
        }
    }
    if (!is_held && (!is_partial || may_take_more(call))) {
        give_back(call);
    }
}

static void end_input(struct grpc_call *call)
{
    if (!call->has_ended || call->has_told_end || !is_alive(call) || must_wait(call)) {
        return;
    }
    call->has_told_end = true;
    if (count_untold(call) > 0) {
        grpc_call_fail(call, GRPC_INTERNAL, "unexpected EOF");
    } else if (call->stream.on_half_close != NULL) {
        call->stream.on_half_close(&call->stream);
    }
}

void grpc_call_drop_input(struct grpc_call *call)
{
    struct http2_connection *c = call->connection;
    c->untold -= count_untold(call);
    call->in_at = 0;
    empty(&call->in);
    stop_waiting(call);
    give_back(call);
}

void grpc_call_data(struct grpc_call *call, struct slice data, bool is_last)
{
    struct http2_connection *c = call->connection;
    call->withheld += is_last ? 0 : (uint32_t)data.size; /* nothing is sent any more */
    if (!is_alive(call)) {
        give_back(call); /* nobody's: the end of the call is on its way */
        return;
    }
    size_t used = 0;
    if (call->in.size == 0) {
        used = tell_messages(call, data);
        if (is_alive(call)) {
            buf_append(&call->in, data.data + used, data.size - used);
            c->untold += call->in.size;
            http2_connection_kept(c, c->untold, call->in.size);
            settle(call, used > 0);
        } else {
            give_back(call);
        }
        return;
    }
    buf_append_slice(&call->in, data);
    c->untold += data.size;
    http2_connection_kept(c, c->untold, data.size);
    grpc_call_resume(call);
}

void grpc_call_resume(struct grpc_call *call)
{
    struct http2_connection *c = call->connection;
    struct buf in = call->in;
    size_t at = call->in_at;
    c->untold -= count_untold(call);
    call->in = (struct buf){0}; /* while it is told, the call may end */
    call->in_at = 0;
    struct slice rest = at > 0 ? slice_of(in.data + at, in.size - at) : buf_slice(&in);
    size_t used = tell_messages(call, rest);
    if (!is_alive(call)) {
        buf_deinit(&in);
        return;
    }
    at += used;
    c->untold += in.size - at;
    if (at >= in.size / 2) { /* or each message would move all that follow */
        buf_consume(&in, at);
        at = 0;
    }
    call->in = in;
    call->in_at = at;
    if (in.size == 0) {
        empty(&call->in);
    }
    end_input(call);
    if (is_alive(call)) {
        settle(call, used > 0);
    }
}

void grpc_call_half_close(struct grpc_call *call)
{
    call->has_ended = true;
    end_input(call);
    if (is_alive(call)) {
        settle(call, false);
    }
}

void grpc_pause(struct grpc_stream *s, bool paused)
{
    struct grpc_call *call = CONTAINER_OF(s, struct grpc_call, stream);
    call->is_paused = paused;
    if (!paused && call->connection != NULL && call->is_held) {
        http2_connection_wake(call->connection);
    }
}
