/* fake_conn.c - the connections of fake_world.h: dialled, written, cut into pieces, closed. */
#include "fake_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* When what `c` sends now arrives: after what it sent before. */
static uint64_t arrival(struct fake_conn *c)
{
    struct fake_world *w = c->loop->world;
    uint64_t at = w->now_ms + fake_delay(c->loop);
    if (c->other != NULL) {
        at += w->slow_ms[c->loop->host_index][c->other->loop->host_index];
    }
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
    list_push_back(&l->conns, &c->node);
    return c;
}

/* --- the table of functions ------------------------------------------------------------------- */

struct conn *fake_op_dial(struct loop *base, const char *host, uint16_t port,
                          const struct conn_events *events, void *context)
{
    struct fake_process *l = fake_of_loop(base);
    struct fake_conn *c = new_conn(l);
    c->base.events = events;
    c->base.context = context;
    snprintf(c->host, sizeof(c->host), "%s", host);
    c->port = port;
    snprintf(c->base.remote, sizeof(c->base.remote), "%.50s:%u", host, port);
    l->world->dials++;
    fake_schedule(l->world, EVENT_DIAL, c, arrival(c));
    return &c->base;
}

static size_t unsent(const struct fake_conn *c)
{
    return c->out.size - c->out_taken;
}

void fake_op_write(struct conn *base, struct slice bytes)
{
    struct fake_conn *c = fake_of_conn(base);
    if (!c->closing && !c->gone) {
        buf_append_slice(&c->out, bytes);
    }
}

void fake_op_write_owned(struct conn *base, struct slice bytes, void (*release)(void *owner),
                         void *owner)
{
    fake_op_write(base, bytes);
    release(owner);
}

size_t fake_op_unsent(const struct conn *base)
{
    struct fake_conn *c = fake_of_conn(base);
    c->told_unsent |= unsent(c) > 0;
    return unsent(c);
}

void fake_op_pause(struct conn *base, bool paused)
{
    (void)base;
    (void)paused;
    check_failed(__FILE__, __LINE__, "no owner here pauses");
}

static void fin_other(struct fake_conn *c, enum status why)
{
    if (c->other != NULL && !c->other->gone) {
        fake_schedule(c->loop->world, EVENT_FIN, c->other, arrival(c))->why = why;
    }
}

void fake_op_close(struct conn *base, bool flush)
{
    struct fake_conn *c = fake_of_conn(base);
    CHECK(!c->gone);
    if (c->closing) {
        return;
    }
    c->closing = true;
    c->flushing = flush && c->other != NULL;
    if (!c->flushing) {
        buf_clear(&c->out);
        c->out_taken = 0;
        fin_other(c, STATUS_IO);
        fake_schedule(c->loop->world, EVENT_CLOSE, c, c->loop->world->now_ms)->why = STATUS_CLOSED;
    }
}

/* --- the end of a turn ------------------------------------------------------------------------ */

static void send_piece(struct fake_conn *c, size_t room)
{
    struct fake_world *w = c->loop->world;
    size_t size = unsent(c) < room ? unsent(c) : room;
    if (w->options.piece_bytes_max > 0 && size > w->options.piece_bytes_max) {
        size = (size_t)rng_between(&c->loop->net, 1, w->options.piece_bytes_max);
    }
    struct event *e = fake_schedule(w, EVENT_DATA, c->other, arrival(c));
    buf_append(&e->data, c->out.data + c->out_taken, size);
    c->out_taken += size;
    if (c->out_taken * 2 >= c->out.size) { /* so that what is moved is little */
        buf_consume(&c->out, c->out_taken);
        c->out_taken = 0;
    }
    c->under_way += size;
}

static void hand_to_kernel(struct fake_conn *c)
{
    struct fake_world *w = c->loop->world;
    size_t kernel = w->options.kernel_bytes > 0 ? w->options.kernel_bytes : FAKE_KERNEL_BYTES;
    while (c->other != NULL && unsent(c) > 0 && c->under_way < kernel) {
        send_piece(c, kernel - c->under_way);
    }
    if (unsent(c) > 0) {
        return;
    }
    if (c->told_unsent && !c->closing) {
        c->told_unsent = false;
        fake_schedule(w, EVENT_DRAIN, c, w->now_ms);
    }
    if (c->flushing) {
        c->flushing = false;
        fin_other(c, STATUS_CLOSED);
        fake_schedule(w, EVENT_CLOSE, c, w->now_ms)->why = STATUS_CLOSED;
    }
}

void fake_conns_flush(struct fake_process *l)
{
    for (struct list *at = l->conns.next; at != &l->conns; at = at->next) {
        hand_to_kernel(CONTAINER_OF(at, struct fake_conn, node));
    }
}

void fake_conn_arrived(struct event *e)
{
    struct fake_conn *from = e->conn->other;
    from->under_way -= e->data.size;
}

static void close_now(struct fake_conn *c, enum status why)
{
    if (!c->gone) {
        c->gone = true;
        list_remove(&c->node);
        list_push_back(&c->loop->world->graveyard, &c->node);
        if (c->base.events != NULL) { /* else: nobody had accepted it yet */
            c->base.events->on_close(&c->base, why);
        }
        buf_deinit(&c->out);
    }
}

/* --- delivery --------------------------------------------------------------------------------- */

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
            fake_schedule(w, EVENT_OPEN, c, w->now_ms + fake_delay(c->loop));
            /* What it sends arrives after EVENT_OPEN. */
            accepted->last_arrival_ms = w->now_ms + w->options.delay_ms_max;
            fake_schedule(w, EVENT_ACCEPT, accepted, w->now_ms);
            return;
        }
    }
    fake_schedule(w, EVENT_CLOSE, c, w->now_ms + fake_delay(c->loop))->why = STATUS_UNREACHABLE;
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

void fake_conn_deliver(struct fake_world *w, struct event *e)
{
    struct fake_conn *c = e->conn;
    bool is_open = !c->closing && !c->gone;
    switch (e->kind) {
    case EVENT_DIAL:
        deliver_dial(w, c);
        break;
    case EVENT_OPEN:
        if (is_open) {
            c->base.events->on_open(&c->base);
        }
        break;
    case EVENT_ACCEPT:
        if (!c->gone) {
            c->loop->on_accept(c->loop->accept_context, &c->base);
        }
        break;
    case EVENT_DATA:
        deliver_data(w, e);
        break;
    case EVENT_DRAIN:
        if (is_open && c->base.events->on_drain != NULL) {
            c->base.events->on_drain(&c->base);
        }
        break;
    default:
        close_now(c, e->why);
        break;
    }
}

/* --- from outside ----------------------------------------------------------------------------- */

void fake_conns_kill(struct fake_process *l)
{
    while (!list_is_empty(&l->conns)) {
        struct fake_conn *c = CONTAINER_OF(l->conns.next, struct fake_conn, node);
        fin_other(c, STATUS_IO);
        close_now(c, STATUS_CLOSED);
    }
}

static bool is_between(const struct fake_conn *c, const char *a, const char *b)
{
    return c->other != NULL && !c->gone && !c->other->gone && strcmp(c->loop->host, a) == 0 &&
           strcmp(c->other->loop->host, b) == 0;
}

/* The ends on host `a` of connections with `b`, told after at most `delay` of their own; returns
 * how many. */
static uint32_t end_between(struct fake_world *w, const char *a, const char *b, bool ends,
                            bool delayed)
{
    uint32_t count = 0;
    for (struct list *p = w->loops.next; p != &w->loops; p = p->next) {
        struct fake_process *l = CONTAINER_OF(p, struct fake_process, node);
        for (struct list *at = l->conns.next; at != &l->conns; at = at->next) {
            struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
            if (is_between(c, a, b)) {
                count++;
                uint64_t delay = ends && delayed ? fake_delay(l) : 0;
                if (ends) {
                    fake_schedule(w, EVENT_CLOSE, c, w->now_ms + delay)->why = STATUS_IO;
                }
            }
        }
    }
    return count;
}

void fake_world_reset(struct fake_world *w, const char *a, const char *b)
{
    end_between(w, a, b, true, true);
    end_between(w, b, a, true, true);
}

void fake_world_forget(struct fake_world *w, const char *a, const char *b)
{
    end_between(w, a, b, true, false);
}

uint32_t fake_world_conns(const struct fake_world *w, const char *a, const char *b)
{
    return end_between((struct fake_world *)(uintptr_t)w, a, b, false, false);
}

static void destroy_list(struct list *conns)
{
    struct list *at;
    while ((at = list_pop_front(conns)) != NULL) {
        struct fake_conn *c = CONTAINER_OF(at, struct fake_conn, node);
        buf_deinit(&c->out);
        mem_free(c);
    }
}

void fake_conns_destroy(struct fake_world *w)
{
    for (struct list *p = w->loops.next; p != &w->loops; p = p->next) {
        struct fake_process *l = CONTAINER_OF(p, struct fake_process, node);
        while (!list_is_empty(&l->conns)) {
            close_now(CONTAINER_OF(l->conns.next, struct fake_conn, node), STATUS_CLOSED);
        }
    }
    destroy_list(&w->graveyard);
}
