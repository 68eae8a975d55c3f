#include "fake_world.h"

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define TIMERS_MAX   512
#define KERNEL_BYTES (1024 * 1024)

struct fake_process {
    struct loop base;
    struct fake_world *world;
    struct list node;
    char host[64];
    uint16_t port; /* 0 = does not listen */
    void (*on_accept)(void *context, struct conn *c);
    void *accept_context;
    void (*turn_hook)(void *context);
    void *turn_context;
    struct timer *timers[TIMERS_MAX];
    uint32_t timer_count;
    uint64_t timer_order;
    bool frozen;
    bool stalled;
    bool dead;
};

struct fake_conn {
    struct conn base;
    struct list node;
    struct fake_process *loop;
    struct fake_conn *other; /* NULL until it is connected */
    char host[64];
    uint16_t port;
    struct buf out;           /* not taken by the kernel */
    size_t under_way;         /* taken, and not arrived */
    uint64_t last_arrival_ms; /* of what this end sent */
    bool told_unsent;
    bool closing; /* conn_close was called */
    bool flushing;
    bool gone; /* on_close was called */
};

enum event_kind {
    EVENT_DIAL,
    EVENT_OPEN,
    EVENT_ACCEPT,
    EVENT_DATA,
    EVENT_FIN,
    EVENT_DRAIN,
    EVENT_CLOSE,
    EVENT_WORK
};

struct event {
    struct list node;
    uint64_t at_ms;
    uint64_t order;
    enum event_kind kind;
    struct fake_conn *conn; /* to whom */
    struct work *work;
    struct fake_process *loop; /* whose process it is for; NULL = the network's */
    enum status why;
    struct buf data;
};

#define CUTS_MAX 32
struct fake_world {
    struct fake_options options;
    struct rng rng;
    uint64_t now_ms;
    uint64_t order;
    struct list events; /* by (at_ms, order) */
    struct list loops;
    struct list conns;
    uint32_t dials;
    uint32_t cut_count;
    char cuts[CUTS_MAX][2][64];
    void (*tamper)(void *context, struct loop *from, struct buf *piece);
    void *tamper_context;
};

static struct fake_process *of_loop(struct loop *l)
{
    return (struct fake_process *)l;
}

static struct fake_conn *of_conn(const struct conn *c)
{
    return (struct fake_conn *)(uintptr_t)c;
}

/* --- events ----------------------------------------------------------------------------------- */

static void insert(struct fake_world *w, struct event *e)
{
    struct list *at = w->events.prev;
    while (at != &w->events) {
        struct event *before = CONTAINER_OF(at, struct event, node);
        if (before->at_ms < e->at_ms || (before->at_ms == e->at_ms && before->order < e->order)) {
            break;
        }
        at = at->prev;
    }
    list_push_front(at, &e->node);
}

static struct event *schedule(struct fake_world *w, enum event_kind kind, struct fake_conn *conn,
                              uint64_t at_ms)
{
    struct event *e = mem_calloc(1, sizeof(*e));
    e->kind = kind;
    e->conn = conn;
    e->loop = conn != NULL && kind != EVENT_DIAL ? conn->loop : NULL;
    e->at_ms = at_ms;
    e->order = w->order++;
    list_init(&e->node);
    insert(w, e);
    return e;
}

static uint64_t delay(struct fake_world *w)
{
    return w->options.delay_ms_max > 0 ? rng_below(&w->rng, w->options.delay_ms_max + 1) : 0;
}

/* When what `c` sends now arrives: after what it sent before. */
static uint64_t arrival(struct fake_conn *c)
{
    uint64_t at = c->loop->world->now_ms + delay(c->loop->world);
    if (at < c->last_arrival_ms) {
        at = c->last_arrival_ms;
    }
    c->last_arrival_ms = at;
    return at;
}

static struct fake_conn *new_conn(struct fake_process *l)
{
    struct fake_conn *c = mem_calloc(1, sizeof(*c));
    c->loop = l;
    c->base.loop = &l->base;
    snprintf(c->base.local_host, sizeof(c->base.local_host), "%.40s", l->host);
    list_init(&c->node);
    list_push_back(&l->world->conns, &c->node);
    return c;
}

/* --- the table of functions ------------------------------------------------------------------- */

static uint64_t op_now(struct loop *l)
{
    return of_loop(l)->world->now_ms;
}

static uint64_t op_now_us(struct loop *l)
{
    return op_now(l) * 1000;
}

static uint64_t op_wall(struct loop *l)
{
    return op_now(l) + 1700000000000u;
}

static void op_random(struct loop *l, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)rng_next(&of_loop(l)->world->rng);
    }
}

static void op_timer_stop(struct loop *base, struct timer *t)
{
    struct fake_process *l = of_loop(base);
    if (t->slot == 0) {
        return;
    }
    uint32_t i = t->slot - 1;
    CHECK(l->timers[i] == t);
    l->timers[i] = l->timers[--l->timer_count];
    l->timers[i]->slot = i + 1;
    t->slot = 0;
}

static void op_timer_start(struct loop *base, struct timer *t, uint64_t at_ms)
{
    struct fake_process *l = of_loop(base);
    op_timer_stop(base, t);
    CHECK(l->timer_count < TIMERS_MAX);
    t->at_ms = at_ms;
    t->order = l->timer_order++;
    l->timers[l->timer_count++] = t;
    t->slot = l->timer_count;
}

static void op_submit(struct loop *base, struct work *work)
{
    struct fake_process *l = of_loop(base);
    struct event *e = schedule(l->world, EVENT_WORK, NULL, l->world->now_ms + delay(l->world));
    e->work = work;
    e->loop = l;
}

static struct conn *op_dial(struct loop *base, const char *host, uint16_t port,
                            const struct conn_events *events, void *context)
{
    struct fake_process *l = of_loop(base);
    struct fake_conn *c = new_conn(l);
    c->base.events = events;
    c->base.context = context;
    snprintf(c->host, sizeof(c->host), "%s", host);
    c->port = port;
    snprintf(c->base.remote, sizeof(c->base.remote), "%.50s:%u", host, port);
    l->world->dials++;
    schedule(l->world, EVENT_DIAL, c, arrival(c));
    return &c->base;
}

static enum status op_listen(struct loop *base, const char *host, uint16_t port,
                             uint16_t *bound_port, void (*on_accept)(void *context, struct conn *c),
                             void *context)
{
    struct fake_process *l = of_loop(base);
    (void)host;
    l->port = port;
    l->on_accept = on_accept;
    l->accept_context = context;
    *bound_port = port;
    return STATUS_OK;
}

static void op_listen_stop(struct loop *base)
{
    of_loop(base)->port = 0;
}

static void op_write(struct conn *base, struct slice bytes)
{
    struct fake_conn *c = of_conn(base);
    if (!c->closing && !c->gone) {
        buf_append_slice(&c->out, bytes);
    }
}

static void op_write_owned(struct conn *base, struct slice bytes, void (*release)(void *owner),
                           void *owner)
{
    op_write(base, bytes);
    release(owner);
}

static size_t op_unsent(const struct conn *base)
{
    struct fake_conn *c = of_conn(base);
    c->told_unsent |= c->out.size > 0;
    return c->out.size;
}

static void op_pause(struct conn *base, bool paused)
{
    (void)base;
    (void)paused;
    check_failed(__FILE__, __LINE__, "no owner here pauses");
}

static void fin_other(struct fake_conn *c, enum status why)
{
    if (c->other != NULL && !c->other->gone) {
        schedule(c->loop->world, EVENT_FIN, c->other, arrival(c))->why = why;
    }
}

static void op_close(struct conn *base, bool flush)
{
    struct fake_conn *c = of_conn(base);
    CHECK(!c->gone);
    if (c->closing) {
        return;
    }
    c->closing = true;
    c->flushing = flush && c->other != NULL;
    if (!c->flushing) {
        buf_clear(&c->out);
        fin_other(c, STATUS_IO);
        schedule(c->loop->world, EVENT_CLOSE, c, c->loop->world->now_ms)->why = STATUS_CLOSED;
    }
}

static void op_on_turn(struct loop *base, void (*hook)(void *context), void *context)
{
    of_loop(base)->turn_hook = hook;
    of_loop(base)->turn_context = context;
}

static void op_stop(struct loop *base)
{
    (void)base;
}

static const struct loop_ops fake_ops = {
    .now_ms = op_now,
    .now_us = op_now_us,
    .wall_ms = op_wall,
    .random = op_random,
    .timer_start = op_timer_start,
    .timer_stop = op_timer_stop,
    .submit = op_submit,
    .dial = op_dial,
    .listen = op_listen,
    .listen_stop = op_listen_stop,
    .conn_write = op_write,
    .conn_write_owned = op_write_owned,
    .conn_unsent = op_unsent,
    .conn_pause = op_pause,
    .conn_close = op_close,
    .on_turn = op_on_turn,
    .stop = op_stop,
};

/* --- the end of a turn ------------------------------------------------------------------------ */

static void send_piece(struct fake_conn *c, size_t room)
{
    struct fake_world *w = c->loop->world;
    size_t size = c->out.size < room ? c->out.size : room;
    if (w->options.piece_bytes_max > 0 && size > w->options.piece_bytes_max) {
        size = (size_t)rng_between(&w->rng, 1, w->options.piece_bytes_max);
    }
    struct event *e = schedule(w, EVENT_DATA, c->other, arrival(c));
    buf_append(&e->data, c->out.data, size);
    buf_consume(&c->out, size);
    c->under_way += size;
}

static void hand_to_kernel(struct fake_conn *c)
{
    struct fake_world *w = c->loop->world;
    size_t kernel = w->options.kernel_bytes > 0 ? w->options.kernel_bytes : KERNEL_BYTES;
    while (c->other != NULL && c->out.size > 0 && c->under_way < kernel) {
        send_piece(c, kernel - c->under_way);
    }
    if (c->out.size > 0) {
        return;
    }
    if (c->told_unsent && !c->closing) {
        c->told_unsent = false;
        schedule(w, EVENT_DRAIN, c, w->now_ms);
    }
    if (c->flushing) {
        c->flushing = false;
        fin_other(c, STATUS_CLOSED);
        schedule(w, EVENT_CLOSE, c, w->now_ms)->why = STATUS_CLOSED;
    }
}

static void end_turn(struct fake_process *l)
{
    if (l->turn_hook != NULL && !l->dead) {
        l->turn_hook(l->turn_context);
    }
    for (struct list *at = l->world->conns.next; at != &l->world->conns; at = at->next) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        if (c->loop == l && !c->gone) {
            hand_to_kernel(c);
        }
    }
}

static void close_now(struct fake_conn *c, enum status why)
{
    if (!c->gone) {
        c->gone = true;
        if (c->base.events != NULL) { /* else: nobody had accepted it yet */
            c->base.events->on_close(&c->base, why);
        }
        buf_deinit(&c->out);
    }
}

/* --- delivery --------------------------------------------------------------------------------- */

static bool is_cut(const struct fake_world *w, const char *a, const char *b)
{
    for (uint32_t i = 0; i < w->cut_count; i++) {
        if ((strcmp(w->cuts[i][0], a) == 0 && strcmp(w->cuts[i][1], b) == 0) ||
            (strcmp(w->cuts[i][0], b) == 0 && strcmp(w->cuts[i][1], a) == 0)) {
            return true;
        }
    }
    return false;
}

/* The two hosts of an event that crosses the network. */
static bool is_held(const struct fake_world *w, const struct event *e)
{
    if (e->kind == EVENT_DIAL) {
        return is_cut(w, e->conn->loop->host, e->conn->host);
    }
    if (e->loop != NULL && e->loop->frozen) {
        return true;
    }
    if (e->kind == EVENT_WORK && e->loop->stalled) {
        return true;
    }
    bool crosses = e->kind == EVENT_DATA || e->kind == EVENT_FIN;
    return crosses && is_cut(w, e->conn->loop->host, e->conn->other->loop->host);
}

static void deliver_dial(struct fake_world *w, struct fake_conn *c)
{
    if (c->closing || c->gone) {
        return;
    }
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        if (!l->dead && l->port == c->port && c->port != 0 && strcmp(l->host, c->host) == 0) {
            struct fake_conn *accepted = new_conn(l);
            accepted->other = c;
            c->other = accepted;
            snprintf(accepted->base.remote, sizeof(accepted->base.remote), "%.50s:9",
                     c->loop->host);
            schedule(w, EVENT_OPEN, c, w->now_ms + delay(w));
            /* What it sends arrives after EVENT_OPEN. */
            accepted->last_arrival_ms = w->now_ms + w->options.delay_ms_max;
            schedule(w, EVENT_ACCEPT, accepted, w->now_ms);
            return;
        }
    }
    schedule(w, EVENT_CLOSE, c, w->now_ms + delay(w))->why = STATUS_UNREACHABLE;
}

static void deliver_data(struct fake_world *w, struct event *e)
{
    struct fake_conn *c = e->conn;
    struct fake_conn *from = c->other;
    if (w->tamper != NULL) {
        w->tamper(w->tamper_context, &from->loop->base, &e->data);
    }
    if (!c->closing && !c->gone && e->data.size > 0) {
        c->base.events->on_data(&c->base, buf_slice(&e->data));
    }
}

static void deliver(struct fake_world *w, struct event *e)
{
    struct fake_conn *c = e->conn;
    switch (e->kind) {
    case EVENT_DIAL:
        deliver_dial(w, c);
        return;
    case EVENT_OPEN:
        if (!c->closing && !c->gone) {
            c->base.events->on_open(&c->base);
        }
        return;
    case EVENT_ACCEPT:
        if (c->gone) {
            return;
        }
        c->loop->on_accept(c->loop->accept_context, &c->base);
        return;
    case EVENT_DATA:
        deliver_data(w, e);
        return;
    case EVENT_FIN:
        if (!c->gone) {
            close_now(c, e->why);
        }
        return;
    case EVENT_DRAIN:
        if (!c->closing && !c->gone && c->base.events->on_drain != NULL) {
            c->base.events->on_drain(&c->base);
        }
        return;
    case EVENT_CLOSE:
        close_now(c, e->why);
        return;
    case EVENT_WORK:
        e->work->run(e->work);
        e->work->done(e->work);
        return;
    }
}

static void drop_event(struct event *e)
{
    buf_deinit(&e->data);
    mem_free(e);
}

static void run_event(struct fake_world *w, struct event *e)
{
    if (is_held(w, e)) {
        e->at_ms = w->now_ms + 1;
        insert(w, e);
        return;
    }
    if (e->kind == EVENT_DATA) {
        /* Room for the sender, whatever becomes of the bytes. */
        e->conn->other->under_way -= e->data.size;
    }
    if (e->loop == NULL || !e->loop->dead) {
        deliver(w, e);
    }
    if (e->loop != NULL && !e->loop->dead) {
        end_turn(e->loop);
    }
    if (e->kind == EVENT_DATA && !e->conn->other->gone && !e->conn->other->loop->dead) {
        hand_to_kernel(e->conn->other);
    }
    drop_event(e);
}

static struct timer *next_timer(const struct fake_process *l)
{
    struct timer *next = NULL;
    for (uint32_t i = 0; i < l->timer_count; i++) {
        struct timer *t = l->timers[i];
        if (next == NULL || t->at_ms < next->at_ms ||
            (t->at_ms == next->at_ms && t->order < next->order)) {
            next = t;
        }
    }
    return next;
}

static struct fake_process *next_loop(const struct fake_world *w, struct timer **next)
{
    struct fake_process *owner = NULL;
    *next = NULL;
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        struct timer *t = l->dead || l->frozen ? NULL : next_timer(l);
        if (t != NULL && (*next == NULL || t->at_ms < (*next)->at_ms)) {
            *next = t;
            owner = l;
        }
    }
    return owner;
}

void fake_world_run(struct fake_world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    /* What the test itself wrote is a turn of its own. */
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        end_turn(CONTAINER_OF(at, struct fake_process, node));
    }
    for (;;) {
        struct timer *t;
        struct fake_process *l = next_loop(w, &t);
        struct event *e =
            list_is_empty(&w->events) ? NULL : CONTAINER_OF(w->events.next, struct event, node);
        uint64_t at = e != NULL ? e->at_ms : UINT64_MAX;
        bool timer_first = t != NULL && t->at_ms < at;
        at = timer_first ? t->at_ms : at;
        if (at > until) {
            break;
        }
        w->now_ms = at > w->now_ms ? at : w->now_ms;
        if (timer_first) {
            op_timer_stop(&l->base, t);
            t->fire(t);
            end_turn(l);
        } else {
            list_remove(&e->node);
            run_event(w, e);
        }
    }
    w->now_ms = until;
}

/* --- the world -------------------------------------------------------------------------------- */

struct fake_world *fake_world_create(const struct fake_options *options)
{
    struct fake_world *w = mem_calloc(1, sizeof(*w));
    w->options = *options;
    w->now_ms = 1000;
    rng_init(&w->rng, options->seed);
    list_init(&w->events);
    list_init(&w->loops);
    list_init(&w->conns);
    return w;
}

void fake_world_destroy(struct fake_world *w)
{
    struct list *at;
    while ((at = list_pop_front(&w->events)) != NULL) {
        drop_event(CONTAINER_OF(at, struct event, node));
    }
    while ((at = list_pop_front(&w->conns)) != NULL) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        if (!c->gone && c->base.events != NULL) {
            close_now(c, STATUS_CLOSED);
        }
        buf_deinit(&c->out);
        mem_free(c);
    }
    while ((at = list_pop_front(&w->loops)) != NULL) {
        mem_free(CONTAINER_OF(at, struct fake_process, node));
    }
    mem_free(w);
}

uint64_t fake_world_now(const struct fake_world *w)
{
    return w->now_ms;
}

struct rng *fake_world_rng(struct fake_world *w)
{
    return &w->rng;
}

struct loop *fake_process_create(struct fake_world *w, const char *host)
{
    struct fake_process *l = mem_calloc(1, sizeof(*l));
    l->base.ops = &fake_ops;
    l->world = w;
    snprintf(l->host, sizeof(l->host), "%s", host);
    list_init(&l->node);
    list_push_back(&w->loops, &l->node);
    return &l->base;
}

void fake_process_kill(struct loop *base)
{
    struct fake_process *l = of_loop(base);
    for (struct list *at = l->world->conns.next; at != &l->world->conns; at = at->next) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        if (c->loop == l && !c->gone) {
            fin_other(c, STATUS_IO);
            if (c->base.events != NULL) {
                close_now(c, STATUS_CLOSED);
            }
            c->gone = true;
        }
    }
    l->dead = true;
}

void fake_process_freeze(struct loop *base, bool frozen)
{
    of_loop(base)->frozen = frozen;
}

void fake_process_stall(struct loop *base, bool stalled)
{
    of_loop(base)->stalled = stalled;
}

void fake_world_cut(struct fake_world *w, const char *a, const char *b, bool cut)
{
    for (uint32_t i = 0; i < w->cut_count; i++) {
        if (strcmp(w->cuts[i][0], a) == 0 && strcmp(w->cuts[i][1], b) == 0) {
            if (!cut) {
                memcpy(w->cuts[i], w->cuts[--w->cut_count], sizeof(w->cuts[i]));
            }
            return;
        }
    }
    if (cut) {
        CHECK(w->cut_count < CUTS_MAX);
        snprintf(w->cuts[w->cut_count][0], 64, "%s", a);
        snprintf(w->cuts[w->cut_count++][1], 64, "%s", b);
    }
}

void fake_world_tamper(struct fake_world *w,
                       void (*tamper)(void *context, struct loop *from, struct buf *piece),
                       void *context)
{
    w->tamper = tamper;
    w->tamper_context = context;
}

static bool is_between(const struct fake_conn *c, const char *a, const char *b)
{
    return c->other != NULL && !c->gone && !c->other->gone && strcmp(c->loop->host, a) == 0 &&
           strcmp(c->other->loop->host, b) == 0;
}

void fake_world_reset(struct fake_world *w, const char *a, const char *b)
{
    for (struct list *at = w->conns.next; at != &w->conns; at = at->next) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        if (is_between(c, a, b) || is_between(c, b, a)) {
            schedule(w, EVENT_CLOSE, c, w->now_ms + delay(w))->why = STATUS_IO;
        }
    }
}

void fake_world_forget(struct fake_world *w, const char *a, const char *b)
{
    for (struct list *at = w->conns.next; at != &w->conns; at = at->next) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        if (is_between(c, a, b)) {
            schedule(w, EVENT_CLOSE, c, w->now_ms)->why = STATUS_IO;
        }
    }
}

uint32_t fake_world_conns(const struct fake_world *w, const char *a, const char *b)
{
    uint32_t count = 0;
    for (struct list *at = w->conns.next; at != &w->conns; at = at->next) {
        count += is_between(CONTAINER_OF(at, struct fake_conn, node), a, b) ? 1 : 0;
    }
    return count;
}

uint32_t fake_world_dials(const struct fake_world *w)
{
    return w->dials;
}
