#include "fake_loop.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"

static struct fake_loop *loop_of(struct loop *l)
{
    return (struct fake_loop *)(void *)l;
}

static struct fake_conn *conn_of(const struct conn *c)
{
    return (struct fake_conn *)(void *)(uintptr_t)c;
}

static uint64_t now_ms(struct loop *l)
{
    return loop_of(l)->now_ms;
}

static uint64_t now_us(struct loop *l)
{
    return 1000 * loop_of(l)->now_ms + loop_of(l)->spent_us;
}

static void timer_start(struct loop *l, struct timer *t, uint64_t at_ms)
{
    timer_heap_start(&loop_of(l)->timers, t, at_ms);
}

static void timer_stop(struct loop *l, struct timer *t)
{
    timer_heap_stop(&loop_of(l)->timers, t);
}

static void conn_write(struct conn *conn, struct slice bytes)
{
    struct fake_conn *c = conn_of(conn);
    if (!c->is_closed) {
        buf_append_slice(&c->sent, bytes);
    }
}

static size_t conn_unsent(const struct conn *conn)
{
    struct fake_conn *c = conn_of(conn);
    c->owes_drain = c->owes_drain || c->sent.size > c->taken;
    return c->sent.size - c->taken;
}

static size_t conn_kept(const struct conn *conn)
{
    const struct fake_conn *c = conn_of(conn);
    return c->sent.size - c->taken;
}

static void conn_write_owned(struct conn *conn, struct slice bytes, void (*release)(void *owner),
                             void *owner)
{
    struct fake_conn *c = conn_of(conn);
    CHECK(c->owned_count < FAKE_OWNED_MAX);
    buf_append_slice(&c->sent, bytes);
    c->owned[c->owned_count].release = release;
    c->owned[c->owned_count++].owner = owner;
}

static void release_owned(struct fake_conn *c)
{
    for (size_t i = 0; i < c->owned_count; i++) {
        c->owned[i].release(c->owned[i].owner);
    }
    c->owned_count = 0;
}

static void conn_pause(struct conn *conn, bool paused)
{
    conn_of(conn)->is_paused = paused;
}

static void conn_close(struct conn *conn, bool flush)
{
    struct fake_conn *c = conn_of(conn);
    if (!c->is_closed) {
        c->is_closed = true;
        c->was_flushed = flush;
    }
}

static struct conn *dial(struct loop *l, const char *host, uint16_t port,
                         const struct conn_events *events, void *context)
{
    (void)host;
    (void)port;
    struct fake_conn *c = fake_loop_connect(loop_of(l));
    c->base.events = events;
    c->base.context = context;
    return &c->base;
}

static enum status listen_here(struct loop *l, const char *host, uint16_t port,
                               uint16_t *bound_port,
                               void (*on_accept)(void *context, struct conn *c), void *context)
{
    (void)host;
    *bound_port = port;
    loop_of(l)->on_accept = on_accept;
    loop_of(l)->accept_context = context;
    return STATUS_OK;
}

static void on_turn(struct loop *l, void (*hook)(void *context), void *context)
{
    loop_of(l)->hook = hook;
    loop_of(l)->hook_context = context;
}

static const struct loop_ops ops = {
    .now_ms = now_ms,
    .now_us = now_us,
    .timer_start = timer_start,
    .timer_stop = timer_stop,
    .dial = dial,
    .listen = listen_here,
    .on_turn = on_turn,
    .conn_write = conn_write,
    .conn_write_owned = conn_write_owned,
    .conn_unsent = conn_unsent,
    .conn_kept = conn_kept,
    .conn_pause = conn_pause,
    .conn_close = conn_close,
};

void fake_loop_init(struct fake_loop *l)
{
    *l = (struct fake_loop){.base = {.ops = &ops}, .now_ms = 1000};
    list_init(&l->conns);
}

void fake_loop_deinit(struct fake_loop *l)
{
    struct list *link;
    while ((link = list_pop_front(&l->conns)) != NULL) {
        struct fake_conn *c = CONTAINER_OF(link, struct fake_conn, link);
        CHECK(c->is_gone);
        buf_deinit(&c->sent);
        buf_deinit(&c->held);
        mem_free(c);
    }
    timer_heap_deinit(&l->timers);
}

struct fake_conn *fake_loop_connect(struct fake_loop *l)
{
    struct fake_conn *c = mem_calloc(1, sizeof(*c));
    c->base.loop = &l->base;
    list_push_back(&l->conns, &c->link);
    return c;
}

struct fake_conn *fake_loop_accept(struct fake_loop *l)
{
    struct fake_conn *c = fake_loop_connect(l);
    l->on_accept(l->accept_context, &c->base);
    return c;
}

static void go_gone(struct fake_conn *c)
{
    c->is_closed = true;
    c->is_gone = true;
    release_owned(c);
    c->base.events->on_close(&c->base, STATUS_CLOSED);
}

static void deliver_held(struct fake_conn *c)
{
    if (c->held.size > 0 && !c->is_paused && !c->is_closed) {
        struct buf held = c->held;
        c->held = (struct buf){0};
        c->base.events->on_data(&c->base, buf_slice(&held));
        buf_deinit(&held);
    }
}

static void deliver_drain(struct fake_conn *c)
{
    if (!c->is_stuck) {
        c->taken = c->sent.size;
        release_owned(c);
        if (c->owes_drain && !c->is_closed) {
            c->owes_drain = false;
            c->base.events->on_drain(&c->base);
        }
    }
}

void fake_loop_turn(struct fake_loop *l)
{
    timer_heap_fire(&l->timers, l->now_ms);
    for (struct list *link = l->conns.next; link != &l->conns; link = link->next) {
        struct fake_conn *c = CONTAINER_OF(link, struct fake_conn, link);
        deliver_held(c);
        deliver_drain(c);
        if (c->is_closed && !c->is_gone) {
            go_gone(c);
        }
    }
    if (l->hook != NULL) {
        l->hook(l->hook_context);
    }
}

void fake_loop_pass(struct fake_loop *l, uint64_t ms, uint64_t step_ms)
{
    for (uint64_t passed = 0; passed < ms; passed += step_ms) {
        l->now_ms += step_ms;
        fake_loop_turn(l);
    }
}

void fake_conn_feed(struct fake_conn *c, struct slice bytes)
{
    if (c->is_closed) {
        return;
    }
    if (c->is_paused || c->held.size > 0) {
        buf_append_slice(&c->held, bytes);
        return;
    }
    c->base.events->on_data(&c->base, bytes);
}

void fake_conn_by_chance(struct fake_conn *c, const struct fake_feed *feed)
{
    uint64_t choice = rng_next(feed->rng) % 8;
    if (choice == 0) {
        feed->act(feed->context);
    } else if (choice == 1) {
        c->is_stuck = !c->is_stuck;
    } else if (choice <= 4) {
        feed->turn(feed->context);
    }
}

void fake_conn_feed_pieces(struct fake_conn *c, struct slice bytes, size_t piece,
                           const struct fake_feed *feed)
{
    for (size_t at = 0; at < bytes.size && !c->is_gone; at += piece) {
        size_t left = bytes.size - at;
        fake_conn_feed(c, slice_of(bytes.data + at, left < piece ? left : piece));
        fake_conn_by_chance(c, feed);
    }
}

void fake_conn_end(struct fake_conn *c)
{
    if (!c->is_closed) {
        c->base.events->on_end(&c->base);
    }
}

void fake_conn_reset(struct fake_conn *c)
{
    if (!c->is_gone) {
        go_gone(c);
    }
}
