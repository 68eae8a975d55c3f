#include "net/grpc_internal.h"

#include "base/limits.h"
#include "base/mem.h"

#define LOOKED_AT             64 /* for one newcomer */
#define STEPS_A_LOOK          4  /* at the clock, of going on; and are made in any turn */
#define DEFAULT(value, other) ((value) != 0 ? (value) : (other))

static struct grpc_call *pop_waiting(struct list *list, bool starves)
{
    struct list *link = list_pop_front(list);
    if (link == NULL) {
        return NULL;
    }
    return starves ? CONTAINER_OF(link, struct grpc_call, starving)
                   : CONTAINER_OF(link, struct grpc_call, waiting);
}

static void tell_starved(struct http2_connection *c)
{
    struct list now;
    struct grpc_call *call;
    list_init(&now);
    list_splice_back(&now, &c->starved);
    while ((call = pop_waiting(&now, true)) != NULL) {
        if (!grpc_call_has_room(call)) {
            list_push_back(&c->starved, &call->starving);
        } else if (call->stream.on_writable != NULL) {
            call->stream.on_writable(&call->stream);
        }
    }
}

static void resume_held(struct http2_connection *c)
{
    struct list now;
    struct grpc_call *call;
    list_init(&now);
    list_splice_back(&now, &c->held);
    while ((call = pop_waiting(&now, false)) != NULL) {
        list_push_back(&c->held, &call->waiting);
        if (!call->is_paused && grpc_call_has_room(call)) {
            grpc_call_resume(call);
        }
    }
}

static void on_go_on(struct timer *t)
{
    struct grpc_server *g = t->context;
    struct list now;
    struct list *link;
    list_init(&now);
    list_splice_back(&now, &g->ready);
    for (uint32_t i = 1; (link = list_pop_front(&now)) != NULL; i++) {
        struct http2_connection *c = CONTAINER_OF(link, struct http2_connection, ready);
        if (!c->is_closed) {
            tell_starved(c);
            resume_held(c);
        }
        if (i % STEPS_A_LOOK == 0 && !list_is_empty(&now) && loop_turn_is_long(g->loop)) {
            list_splice_back(&now, &g->ready); /* who has come meanwhile goes behind */
            list_splice_back(&g->ready, &now);
            g->loop->ops->timer_start(g->loop, t, grpc_now(g));
            return;
        }
    }
}

struct grpc_server *grpc_server_create(struct loop *loop, const struct grpc_handler *handler,
                                       const struct grpc_options *options)
{
    struct grpc_server *g = mem_calloc(1, sizeof(*g));
    g->loop = loop;
    g->handler = *handler;
    if (options != NULL) {
        g->options = *options;
    }
    g->options.idle_ms = DEFAULT(g->options.idle_ms, LIMIT_H2_IDLE_MS);
    g->options.request_ms = DEFAULT(g->options.request_ms, LIMIT_HTTP_REQUEST_MS);
    g->options.streams_max = DEFAULT(g->options.streams_max, LIMIT_H2_STREAMS);
    list_init(&g->connections);
    list_init(&g->dirty);
    list_init(&g->ready);
    list_init(&g->orphans);
    list_init(&g->spare);
    g->go_on = (struct timer){.fire = on_go_on, .context = g};
    grpc_sweep_init(g);
    http2_configure(g);
    return g;
}

static void notice_end(struct http2_connection *c)
{
    nghttp2_submit_shutdown_notice(c->session);
    http2_connection_touch(c);
}

void grpc_server_accept(struct grpc_server *g, struct conn *conn, struct slice first)
{
    struct http2_connection *c = http2_connection_begin(g, conn);
    if (g->is_ending) {
        notice_end(c);
    }
    if (g->is_draining) {
        grpc_sweep_by(g, g->drain_ms + LIMIT_HTTP_DRAIN_IDLE_MS);
    }
    http2_connection_read(c, first);
}

void grpc_server_turn(struct grpc_server *g)
{
    struct list *link;
    while ((link = list_pop_front(&g->dirty)) != NULL) {
        http2_connection_flush(CONTAINER_OF(link, struct http2_connection, dirty));
    }
}

void grpc_server_announce_end(struct grpc_server *g)
{
    g->is_ending = true;
    for (struct list *link = g->connections.next; link != &g->connections; link = link->next) {
        notice_end(CONTAINER_OF(link, struct http2_connection, link));
    }
}

void grpc_server_drain(struct grpc_server *g)
{
    g->is_ending = true;
    g->is_draining = true;
    g->drain_ms = grpc_now(g);
    grpc_sweep_by(g, g->drain_ms + LIMIT_HTTP_DRAIN_IDLE_MS);
}

static void ignore_close(struct conn *conn, enum status why)
{
    (void)conn;
    (void)why;
}

static void free_all(struct list *calls)
{
    while (!list_is_empty(calls)) {
        grpc_call_free(grpc_call_of(calls->next));
    }
}

void grpc_server_destroy(struct grpc_server *g)
{
    static const struct conn_events nobody = {.on_close = ignore_close};
    while (!list_is_empty(&g->connections)) {
        struct http2_connection *c =
            CONTAINER_OF(g->connections.next, struct http2_connection, link);
        struct conn *conn = c->conn;
        http2_connection_abort(c);
        http2_connection_forget(c);
        conn->events = &nobody;
        conn->context = NULL;
    }
    g->loop->ops->timer_stop(g->loop, &g->go_on);
    g->loop->ops->timer_stop(g->loop, &g->sweep);
    free_all(&g->orphans);
    free_all(&g->spare);
    nghttp2_session_callbacks_del(g->callbacks);
    nghttp2_option_del(g->option);
    pool_deinit(&g->pool);
    mem_free(g);
}

/* As in http_room.c: of a few, the one that has been idle for the longest; the others are looked at
 * again after all that are left. */
bool grpc_server_make_room(struct grpc_server *g)
{
    struct http2_connection *idle = NULL;
    uint32_t count = g->connection_count < LOOKED_AT ? g->connection_count : LOOKED_AT;
    for (uint32_t i = 0; i < count; i++) {
        struct list *link = list_pop_front(&g->connections);
        struct http2_connection *c = CONTAINER_OF(link, struct http2_connection, link);
        list_push_back(&g->connections, link);
        bool is_idle = c->call_count == 0 && !c->is_closed &&
                       c->conn->loop->ops->conn_unsent(c->conn) == 0; /* answers are taken */
        if (is_idle && (idle == NULL || c->idle_from_ms < idle->idle_from_ms)) {
            idle = c;
        }
    }
    if (idle != NULL) {
        http2_connection_abort(idle);
    }
    return idle != NULL;
}

uint32_t grpc_server_connections(const struct grpc_server *g)
{
    return g->connection_count;
}

uint32_t grpc_server_streams(const struct grpc_server *g)
{
    return g->stream_count;
}

uint64_t grpc_server_requests(const struct grpc_server *g)
{
    return g->message_count;
}
