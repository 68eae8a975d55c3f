#include "net/grpc_internal.h"

#include "base/limits.h"

#define NEVER UINT64_MAX

uint32_t grpc_sweep_grain_ms(const struct grpc_server *g)
{
    uint32_t grain = g->options.request_ms / 10 + 1;
    grain = grain < LIMIT_HTTP_REQUEST_LOOK_MS ? grain : LIMIT_HTTP_REQUEST_LOOK_MS;
    return g->is_draining ? LIMIT_HTTP_DRAIN_IDLE_MS / 10 : grain;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A connection whose reader takes nothing is broken off. */
static uint64_t watch_unsent(struct http2_connection *c, uint64_t now)
{
    uint64_t due = unsent_stall_ms(&c->flow, c->conn, now);
    if (now >= due) {
        http2_connection_abort(c);
    }
    return due;
}

static bool has_window(const struct grpc_call *call)
{
    nghttp2_session *session = call->connection->session;
    return nghttp2_session_get_remote_window_size(session) > 0 &&
           nghttp2_session_get_stream_remote_window_size(session, call->id) > 0;
}

/* Calls with whole answers for which a client gives no window are reset. What is left of an answer
 * goes with its call: a piece of it may be on its way to a connection that is full. */
static uint64_t watch_answers(struct http2_connection *c, uint64_t now)
{
    uint64_t next = NEVER;
    for (struct list *link = c->calls.next; c->unsent > 0 && link != &c->calls; link = link->next) {
        struct grpc_call *call = grpc_call_of(link);
        uint64_t due = call->moved_ms + unsent_patience_ms(c->server->loop);
        if (!call->is_answered || call->unsent == 0) {
            continue;
        }
        if (now < due) {
            next = earlier(next, due);
        } else if (has_window(call)) {
            next = earlier(next,
                           now + unsent_patience_ms(c->server->loop)); /* its connection is slow */
        } else {
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
            http2_connection_touch(c);
        }
    }
    return next;
}

/* Beginnings that find no end: of the connection, of headers, of a message. */
static uint64_t watch_beginnings(struct http2_connection *c, uint64_t now)
{
    uint32_t patience = c->server->options.request_ms;
    uint64_t next = NEVER;
    uint64_t head_ms = !c->has_settings ? c->began_ms : c->head_from_ms;
    if (head_ms != 0) {
        next = head_ms + patience;
        if (now >= next) {
            http2_connection_end(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_slow");
            return NEVER;
        }
    }
    while (!list_is_empty(&c->partial)) {
        struct grpc_call *call = CONTAINER_OF(c->partial.next, struct grpc_call, waiting);
        if (now < call->started_ms + patience) {
            return earlier(next, call->started_ms + patience);
        }
        grpc_call_fail(call, GRPC_DEADLINE_EXCEEDED, "request timeout: the message is not whole");
    }
    return next;
}

static uint64_t watch_silence(struct http2_connection *c, uint64_t now)
{
    if (c->call_count == 0) {
        uint64_t due = c->idle_from_ms + c->server->options.idle_ms;
        if (now >= due) {
            http2_connection_end(c, NGHTTP2_NO_ERROR, "");
        }
        return due;
    }
    if (c->pinged_ms != 0 && c->came_ms < c->pinged_ms) {
        if (now >= c->pinged_ms + LIMIT_H2_PING_ANSWER_MS) {
            http2_connection_abort(c);
        }
        return c->pinged_ms + LIMIT_H2_PING_ANSWER_MS;
    }
    if (now >= c->came_ms + LIMIT_H2_SILENCE_MS) {
        c->pinged_ms = now;
        nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        http2_connection_touch(c);
        return now + LIMIT_H2_PING_ANSWER_MS;
    }
    return c->came_ms + LIMIT_H2_SILENCE_MS;
}

/* While the member leaves: no more calls after the grace, and none are left in the end. */
static uint64_t watch_drain(struct http2_connection *c, uint64_t now)
{
    const struct grpc_server *g = c->server;
    uint64_t last_call_ms = g->drain_ms + LIMIT_HTTP_DRAIN_IDLE_MS;
    uint64_t end_ms = g->drain_ms + LIMIT_HTTP_DRAIN_REQUEST_MS;
    if (now < last_call_ms) {
        return last_call_ms;
    }
    if (!c->is_last_call) {
        c->is_last_call = true;
        nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                              NULL, 0);
        http2_connection_touch(c);
    }
    if (now < end_ms) {
        return end_ms;
    }
    for (struct list *link = c->calls.next; link != &c->calls; link = link->next) {
        grpc_call_fail(grpc_call_of(link), GRPC_UNAVAILABLE, "the server is shutting down");
    }
    http2_connection_end(c, NGHTTP2_NO_ERROR, "");
    return NEVER;
}

static uint64_t look_at(struct http2_connection *c, uint64_t now)
{
    uint64_t next = earlier(watch_unsent(c, now), watch_answers(c, now));
    if (!c->is_closed && !c->is_ending) {
        next = earlier(next, watch_beginnings(c, now));
    }
    if (!c->is_closed && !c->is_ending) {
        next = earlier(next, c->server->is_draining ? watch_drain(c, now) : watch_silence(c, now));
    }
    return next;
}

/* One timer for all connections, as in http_sweep.c. */
static void on_sweep(struct timer *t)
{
    struct grpc_server *g = t->context;
    uint64_t now = grpc_now(g);
    uint64_t next = NEVER;
    for (struct list *link = g->connections.next; link != &g->connections; link = link->next) {
        struct http2_connection *c = CONTAINER_OF(link, struct http2_connection, link);
        if (!c->is_closed) {
            next = earlier(next, look_at(c, now));
        }
    }
    if (next != NEVER) {
        uint64_t soonest = now + grpc_sweep_grain_ms(g);
        grpc_sweep_by(g, next > soonest ? next : soonest);
    }
}

void grpc_sweep_init(struct grpc_server *g)
{
    g->sweep = (struct timer){.fire = on_sweep, .context = g};
}

void grpc_sweep_by(struct grpc_server *g, uint64_t at_ms)
{
    if (g->sweep.slot == 0 || g->sweep.at_ms > at_ms) {
        g->loop->ops->timer_start(g->loop, &g->sweep, at_ms);
    }
}
