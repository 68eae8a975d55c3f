#include "net/http_internal.h"

#include "base/limits.h"

#define NEVER UINT64_MAX

uint32_t http_sweep_request_grain_ms(const struct http_server *s)
{
    uint32_t grain = s->options.request_ms / 10 + 1;
    grain = grain < LIMIT_HTTP_REQUEST_LOOK_MS ? grain : LIMIT_HTTP_REQUEST_LOOK_MS;
    return s->is_draining ? http_sweep_idle_grain_ms(s) : grain;
}

uint32_t http_sweep_idle_grain_ms(const struct http_server *s)
{
    uint32_t grain = s->options.idle_ms / 15 + 1;
    return grain < LIMIT_HTTP_IDLE_LOOK_MS ? grain : LIMIT_HTTP_IDLE_LOOK_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Close a connection whose reader takes nothing. When to look again. */
static uint64_t watch_unsent(struct http_connection *c, uint64_t now)
{
    uint64_t due = unsent_stall_ms(&c->flow, c->conn, now);
    if (due == NEVER) {
        return NEVER;
    }
    if (now >= due) {
        http_connection_abort(c);
        return NEVER;
    }
    return earlier(due, now + http_sweep_idle_grain_ms(c->server));
}

/* When to look at the connection again. */
static uint64_t look_at(struct http_connection *c, uint64_t now)
{
    const struct http_options *o = &c->server->options;
    if (c->is_closed) {
        return NEVER;
    }
    uint64_t next = watch_unsent(c, now);
    if (c->is_closed) {
        return NEVER;
    }
    if (!list_is_empty(&c->exchanges) && exchange_of(c->exchanges.next)->stage == ANSWER_STREAMS) {
        next = earlier(next, now + http_sweep_idle_grain_ms(c->server)); /* it may stall yet */
    }
    if (c->reading != NULL && !c->is_paused) {
        if (now >= c->started_ms + o->request_ms) {
            http_connection_refuse(c, 408, "Request timeout");
            return next;
        }
        return earlier(next, c->started_ms + o->request_ms);
    }
    if (c->in_progress == 0 && (next == NEVER || c->server->is_draining)) {
        if (now >= c->idle_from_ms + o->idle_ms) {
            http_connection_finish(c);
            return NEVER;
        }
        uint64_t soonest = now + http_sweep_idle_grain_ms(c->server);
        uint64_t due = c->idle_from_ms + o->idle_ms;
        return due > soonest ? due : soonest;
    }
    return next;
}

/* One timer for all connections: each is looked at when the earliest deadline has come, which a
 * connection that goes on living moves ahead without touching the timer. */
static void on_sweep(struct timer *t)
{
    struct http_server *s = t->context;
    uint64_t now = http_now(s);
    uint64_t next = NEVER;
    s->has_looked = s->is_draining && !s->has_looked;
    if (s->has_looked) {
        http_sweep_by(s, now); /* a request that lies in the kernel is read before we close on it */
        return;
    }
    struct list *link = s->connections.next;
    while (link != &s->connections) {
        struct http_connection *c = CONTAINER_OF(link, struct http_connection, link);
        link = link->next;
        next = earlier(next, look_at(c, now));
    }
    if (next != NEVER) {
        uint64_t soonest = now + http_sweep_request_grain_ms(s);
        http_sweep_by(s, next > soonest ? next : soonest);
    }
}

void http_sweep_init(struct http_server *s)
{
    s->sweep = (struct timer){.fire = on_sweep, .context = s};
}

void http_sweep_by(struct http_server *s, uint64_t at_ms)
{
    if (s->sweep.slot == 0 || s->sweep.at_ms > at_ms) {
        s->loop->ops->timer_start(s->loop, &s->sweep, at_ms);
    }
}
