#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_loop_internal.h"

#include <string.h>

/* --- turns ------------------------------------------------------------------------------------ */

void tls_turn_again(struct tls_loop *l)
{
    if (l->again.slot == 0) {
        l->inner->ops->timer_start(l->inner, &l->again, tls_now_ms(l));
    }
}

void tls_mark_dirty(struct tls_conn *c)
{
    if (list_is_empty(&c->dirty)) {
        list_push_back(&tls_home(c)->dirty, &c->dirty);
        tls_turn_again(tls_home(c));
    }
}

/* At the end of a turn. */
static void seal_all(struct tls_loop *l)
{
    struct list *link;
    while ((link = list_pop_front(&l->dirty)) != NULL) {
        struct tls_conn *c = CONTAINER_OF(link, struct tls_conn, dirty);
        tls_seal(c);
        if (c->owes_drain && c->stage == STAGE_OPEN) {
            (void)c->inner->loop->ops->conn_unsent(c->inner); /* tells the inner one to drain */
        }
    }
}

/* --- what the inner connection says ----------------------------------------------------------- */

static void copy_addresses(struct tls_conn *c)
{
    memcpy(c->base.remote, c->inner->remote, sizeof(c->base.remote));
    memcpy(c->base.local_host, c->inner->local_host, sizeof(c->base.local_host));
}

static void on_open(struct conn *inner)
{
    struct tls_conn *c = inner->context;
    if (c->stage == STAGE_DIALLING) {
        copy_addresses(c);
        c->stage = STAGE_HANDSHAKE;
        tls_start_deadline(c);
        tls_step_handshake(c);
    }
}

static void on_data(struct conn *inner, struct slice data)
{
    struct tls_conn *c = inner->context;
    switch (c->stage) {
    case STAGE_SNIFFING:
    case STAGE_HANDSHAKE:
        tls_collect(c, data);
        return;
    case STAGE_OPEN:
        if (c->is_paused || c->in.size > 0) {
            buf_append_slice(&c->in, data); /* was on its way when we paused */
        } else {
            tls_read_plain(c, data);
        }
        return;
    case STAGE_DIALLING:
    case STAGE_CLOSING:
        return;
    }
}

static void on_end(struct conn *inner)
{
    struct tls_conn *c = inner->context;
    struct tls_counters *n = &tls_home(c)->counters;
    c->has_fin = true;
    switch (c->stage) {
    case STAGE_SNIFFING: /* somebody who only wants to know whether the port is open */
        tls_part(c, false);
        return;
    case STAGE_HANDSHAKE:
        tls_fail_handshake(c, c->is_accepted ? &n->broken : &n->dials_broken,
                           "it closed the connection in the TLS handshake", false);
        c->tls.trouble = NULL; /* a process that ends says no more, either */
        return;
    case STAGE_OPEN:
        if (c->in.size == 0) {
            tls_resume(c);
        }
        return;
    case STAGE_DIALLING:
    case STAGE_CLOSING:
        return;
    }
}

static void on_close(struct conn *inner, enum status why)
{
    struct tls_conn *c = inner->context;
    struct tls_loop *l = tls_home(c);
    if (c->stage == STAGE_HANDSHAKE) { /* a reset */
        ++*(c->is_accepted ? &l->counters.broken : &l->counters.dials_broken);
        c->why = STATUS_UNREACHABLE;
    }
    tls_leave_lists(c);
    c->stage = STAGE_CLOSING;
    if (c->is_told) {
        c->base.events->on_close(&c->base, c->why != STATUS_OK ? c->why : why);
    }
    tls_session_destroy(c->session);
    buf_deinit(&c->in);
    buf_deinit(&c->plain);
    l->conn_count--;
    mem_free(c);
}

static void on_drain(struct conn *inner)
{
    tls_on_drain(inner->context);
}

static const struct conn_events inner_events = {.on_open = on_open,
                                                .on_data = on_data,
                                                .on_drain = on_drain,
                                                .on_end = on_end,
                                                .on_close = on_close};

/* --- opening and closing ---------------------------------------------------------------------- */

static struct tls_conn *create_conn(struct tls_loop *l)
{
    struct tls_conn *c = mem_calloc(1, sizeof(*c));
    c->base.loop = &l->base;
    c->base.tls = &c->tls;
    list_init(&c->under_way);
    list_init(&c->ready);
    list_init(&c->dirty);
    list_init(&c->resumed);
    l->conn_count++;
    return c;
}

/* Room for one more handshake: the one that has been at it for longest has the least to hope. */
static void make_room(struct tls_loop *l)
{
    if (l->counters.under_way >= LIMIT_TLS_HANDSHAKES) {
        struct tls_conn *oldest = CONTAINER_OF(l->under_way.next, struct tls_conn, under_way);
        tls_fail_handshake(oldest, &l->counters.crowded_out, "too many TLS handshakes at a time",
                           false);
    }
}

static void on_inner_accept(void *context, struct conn *inner)
{
    struct tls_loop *l = context;
    make_room(l);
    struct tls_conn *c = create_conn(l);
    c->inner = inner;
    c->base.carrier = inner;
    c->stage = STAGE_SNIFFING;
    c->is_accepted = true;
    inner->events = &inner_events;
    inner->context = c;
    copy_addresses(c);
    list_push_back(&l->under_way, &c->under_way);
    l->counters.under_way++;
    tls_start_deadline(c);
}

static struct conn *dial_tls(struct loop *loop, const char *host, uint16_t port,
                             const char *protocol, const struct conn_events *events, void *context)
{
    struct tls_loop *l = tls_loop_of(loop);
    struct tls_conn *c = create_conn(l);
    c->base.events = events;
    c->base.context = context;
    c->is_told = true;
    c->stage = STAGE_DIALLING;
    c->checked = tls_reloads(l->tls);
    c->session = tls_session_dial(l->tls, host, protocol);
    c->inner = l->inner->ops->dial(l->inner, host, port, &inner_events, c);
    c->base.carrier = c->inner;
    copy_addresses(c);
    return &c->base;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void on_again(struct timer *t)
{
    struct tls_loop *l = t->context;
    struct list now;
    list_init(&now);
    list_splice_back(&now, &l->resumed);
    struct list *link;
    while ((link = list_pop_front(&now)) != NULL) {
        struct tls_conn *c = CONTAINER_OF(link, struct tls_conn, resumed);
        if (!c->is_paused) {
            tls_resume(c);
        }
    }
    while (l->turn_handshakes < LIMIT_TLS_HANDSHAKES_TURN &&
           (link = list_pop_front(&l->ready)) != NULL) {
        tls_take_turn(CONTAINER_OF(link, struct tls_conn, ready));
    }
    if (!list_is_empty(&l->ready)) {
        tls_turn_again(l);
    }
}

static void on_end_of_turn(void *context)
{
    struct tls_loop *l = context;
    if (l->hook != NULL) {
        l->hook(l->hook_context);
    }
    seal_all(l);
    l->turn_handshakes = 0;
    if (list_is_empty(&l->ready) && list_is_empty(&l->resumed)) {
        l->inner->ops->timer_stop(l->inner, &l->again);
    }
}

static void on_turn(struct loop *loop, void (*hook)(void *context), void *context)
{
    struct tls_loop *l = tls_loop_of(loop);
    l->hook = hook;
    l->hook_context = context;
}

static enum status listen_tls(struct loop *loop, const char *host, uint16_t port,
                              uint16_t *bound_port,
                              void (*on_accept)(void *context, struct conn *c), void *context)
{
    struct tls_loop *l = tls_loop_of(loop);
    l->on_accept = on_accept;
    l->accept_context = context;
    return l->inner->ops->listen(l->inner, host, port, bound_port, on_inner_accept, l);
}

static void listen_stop(struct loop *loop)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->listen_stop(inner);
}

static uint64_t now_ms(struct loop *loop)
{
    return tls_now_ms(tls_loop_of(loop));
}

static uint64_t now_us(struct loop *loop)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    return inner->ops->now_us(inner);
}

static uint64_t wall_ms(struct loop *loop)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    return inner->ops->wall_ms(inner);
}

static void make_random(struct loop *loop, void *bytes, size_t size)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->random(inner, bytes, size);
}

static void timer_start(struct loop *loop, struct timer *t, uint64_t at_ms)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->timer_start(inner, t, at_ms);
}

static void timer_stop(struct loop *loop, struct timer *t)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->timer_stop(inner, t);
}

static void fine_timer_start(struct loop *loop, struct fine_timer *t, uint64_t at_us)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->fine_timer_start(inner, t, at_us);
}

static void submit(struct loop *loop, struct work *w)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->submit(inner, w);
}

static void submit_slow(struct loop *loop, struct work *w)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->submit_slow(inner, w);
}

static struct conn *dial(struct loop *loop, const char *host, uint16_t port,
                         const struct conn_events *events, void *context)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    return inner->ops->dial(inner, host, port, events, context);
}

static void stop(struct loop *loop)
{
    struct loop *inner = tls_loop_of(loop)->inner;
    inner->ops->stop(inner);
}

static const struct loop_ops ops = {
    .now_ms = now_ms,
    .now_us = now_us,
    .wall_ms = wall_ms,
    .random = make_random,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .fine_timer_start = fine_timer_start,
    .submit = submit,
    .submit_slow = submit_slow,
    .dial = dial,
    .dial_tls = dial_tls,
    .listen = listen_tls,
    .listen_stop = listen_stop,
    .conn_write = tls_conn_write,
    .conn_write_owned = tls_conn_write_owned,
    .conn_unsent = tls_conn_unsent,
    .conn_kept = tls_conn_kept,
    .conn_pause = tls_conn_pause,
    .conn_close = tls_conn_close,
    .on_turn = on_turn,
    .stop = stop,
};

struct loop *tls_loop_create(struct loop *inner, struct tls *tls)
{
    struct tls_loop *l = mem_calloc(1, sizeof(*l));
    l->base.ops = &ops;
    l->base.unsent = inner->unsent;
    l->inner = inner;
    l->tls = tls;
    list_init(&l->under_way);
    list_init(&l->ready);
    list_init(&l->dirty);
    list_init(&l->resumed);
    l->again = (struct timer){.fire = on_again, .context = l};
    inner->ops->on_turn(inner, on_end_of_turn, l);
    return &l->base;
}

void tls_loop_destroy(struct loop *loop)
{
    struct tls_loop *l = tls_loop_of(loop);
    CHECK(l->conn_count == 0);
    buf_deinit(&l->out);
    mem_free(l);
}

struct loop *tls_loop_inner(const struct loop *l)
{
    return tls_loop_of(l)->inner;
}

struct tls_counters tls_loop_counters(const struct loop *l)
{
    return tls_loop_of(l)->counters;
}
