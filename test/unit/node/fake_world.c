#include "fake_world.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "fake_internal.h"

#include <stdio.h>
#include <string.h>

/* --- events ----------------------------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

static void append(struct event ***array, size_t *count, size_t *capacity, struct event *e)
{
    if (*count == *capacity) {
        *capacity = *capacity * 2 + 64;
        *array = mem_realloc(*array, *capacity * sizeof(struct event *));
    }
    (*array)[(*count)++] = e;
}

static void heap_push(struct fake_world *w, struct event *e)
{
    append(&w->heap, &w->heap_count, &w->heap_capacity, e);
    size_t at = w->heap_count - 1;
    while (at > 0 && is_before(e, w->heap[(at - 1) / 2])) {
        w->heap[at] = w->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    w->heap[at] = e;
}

static struct event *heap_pop(struct fake_world *w)
{
    struct event *first = w->heap[0];
    struct event *last = w->heap[--w->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= w->heap_count) {
            break;
        }
        if (child + 1 < w->heap_count && is_before(w->heap[child + 1], w->heap[child])) {
            child++;
        }
        if (!is_before(w->heap[child], last)) {
            break;
        }
        w->heap[at] = w->heap[child];
        at = child;
    }
    if (w->heap_count > 0) {
        w->heap[at] = last;
    }
    return first;
}

struct event *fake_schedule(struct fake_world *w, enum event_kind kind, struct fake_conn *conn,
                            uint64_t at_ms)
{
    struct event *e = mem_calloc(1, sizeof(*e));
    e->kind = kind;
    e->conn = conn;
    e->loop = conn != NULL && kind != EVENT_DIAL ? conn->loop : NULL;
    e->at_ms = at_ms;
    e->order = w->order++;
    heap_push(w, e);
    return e;
}

static void drop_event(struct event *e)
{
    buf_deinit(&e->data);
    mem_free(e);
}

/* What was held may go on; what still may not is held again, in its order. */
static void release_held(struct fake_world *w)
{
    for (size_t i = 0; i < w->held_count; i++) {
        w->held[i]->at_ms = w->now_ms;
        heap_push(w, w->held[i]);
    }
    w->held_count = 0;
}

uint64_t fake_delay(struct fake_process *l)
{
    uint64_t max = l->world->options.delay_ms_max;
    return max > 0 ? rng_below(&l->net, max + 1) : 0;
}

uint32_t fake_host(struct fake_world *w, const char *host)
{
    for (uint32_t i = 0; i < w->host_count; i++) {
        if (strcmp(w->hosts[i], host) == 0) {
            return i;
        }
    }
    CHECK_CMP(w->host_count, <, FAKE_HOSTS_MAX);
    snprintf(w->hosts[w->host_count], sizeof(w->hosts[0]), "%s", host);
    return w->host_count++;
}

bool fake_is_cut(struct fake_world *w, const char *from, const char *to)
{
    return w->cut[fake_host(w, from)][fake_host(w, to)];
}

/* --- the table of functions ------------------------------------------------------------------- */

static uint64_t local_now(const struct fake_process *l)
{
    uint64_t passed = l->world->now_ms - l->clock_world_ms;
    return l->clock_local_ms + (l->permille == 1000 ? passed : passed * l->permille / 1000);
}

/* When its clock shows `local_ms`. */
static uint64_t world_time(const struct fake_process *l, uint64_t local_ms)
{
    if (local_ms <= l->clock_local_ms) {
        return l->clock_world_ms;
    }
    uint64_t local = local_ms - l->clock_local_ms;
    bool is_right = l->permille == 1000;
    return l->clock_world_ms + (is_right ? local : (local * 1000 + l->permille - 1) / l->permille);
}

static uint64_t op_now(struct loop *l)
{
    return local_now(fake_of_loop(l));
}

static uint64_t op_now_us(struct loop *l)
{
    return op_now(l) * 1000;
}

static uint64_t op_wall(struct loop *l)
{
    return (uint64_t)((int64_t)op_now(l) + fake_of_loop(l)->wall_offset_ms);
}

static void op_random(struct loop *l, void *bytes, size_t size)
{
    uint8_t *at = bytes;
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)rng_next(&fake_of_loop(l)->random);
    }
}

static void op_timer_stop(struct loop *l, struct timer *t)
{
    timer_heap_stop(&fake_of_loop(l)->timers, t);
}

static void op_timer_start(struct loop *l, struct timer *t, uint64_t at_ms)
{
    timer_heap_start(&fake_of_loop(l)->timers, t, at_ms);
}

/* The log thread does one work after the other; that it is done is heard a moment later. */
static void op_submit(struct loop *base, struct work *work)
{
    struct fake_process *l = fake_of_loop(base);
    uint64_t max = l->world->options.delay_ms_max;
    uint64_t at_ms = l->world->now_ms + l->work_delay_ms;
    l->short_works += work->late != NULL;
    at_ms += max > 0 ? rng_below(&l->disk, max + 1) : 0;
    l->last_work_ms = at_ms > l->last_work_ms ? at_ms : l->last_work_ms;
    struct event *e = fake_schedule(l->world, EVENT_WORK, NULL, l->last_work_ms);
    e->work = work;
    e->loop = l;
}

static enum status op_listen(struct loop *base, const char *host, uint16_t port,
                             uint16_t *bound_port, void (*on_accept)(void *context, struct conn *c),
                             void *context)
{
    struct fake_process *l = fake_of_loop(base);
    (void)host;
    l->port = port;
    l->on_accept = on_accept;
    l->accept_context = context;
    *bound_port = port;
    return STATUS_OK;
}

static void op_listen_stop(struct loop *base)
{
    fake_of_loop(base)->port = 0;
}

static void op_on_turn(struct loop *base, void (*hook)(void *context), void *context)
{
    fake_of_loop(base)->turn_hook = hook;
    fake_of_loop(base)->turn_context = context;
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
    .submit_slow = op_submit, /* a member hashes nothing: no thread of its own */
    .dial = fake_op_dial,
    .listen = op_listen,
    .listen_stop = op_listen_stop,
    .conn_write = fake_op_write,
    .conn_write_owned = fake_op_write_owned,
    .conn_unsent = fake_op_unsent,
    .conn_pause = fake_op_pause,
    .conn_close = fake_op_close,
    .on_turn = op_on_turn,
    .stop = op_stop,
};

/* --- running ---------------------------------------------------------------------------------- */

static void end_turn(struct fake_process *l)
{
    l->owes_turn = false;
    if (l->turn_hook != NULL && !l->dead) {
        l->turn_hook(l->turn_context);
    }
    fake_conns_flush(l);
}

/* The events of a process, and those that cross the network. */
static bool is_held(struct fake_world *w, const struct event *e)
{
    if (e->kind == EVENT_DIAL) {
        uint32_t from = e->conn->loop->host_index;
        uint32_t to = fake_host(w, e->conn->host);
        return w->cut[from][to] || w->cut[to][from];
    }
    if (e->loop->frozen || (e->kind == EVENT_WORK && e->loop->stalled)) {
        return !e->loop->dead;
    }
    bool crosses = e->kind == EVENT_DATA || e->kind == EVENT_FIN;
    return crosses && w->cut[e->conn->other->loop->host_index][e->conn->loop->host_index];
}

static void run_work(struct fake_world *w, struct event *e)
{
    struct fake_process *l = e->loop;
    uint64_t max = w->options.delay_ms_max;
    e->work->run(e->work);
    l->works_half_done++;
    uint64_t at_ms = w->now_ms + (w->options.late_done && max > 0 ? rng_below(&l->disk, max) : 0);
    l->last_work_ms = at_ms > l->last_work_ms ? at_ms : l->last_work_ms;
    struct event *done = fake_schedule(w, EVENT_DONE, NULL, l->last_work_ms);
    done->work = e->work;
    done->loop = l;
}

static void deliver(struct fake_world *w, struct event *e)
{
    switch (e->kind) {
    case EVENT_WORK:
        run_work(w, e);
        break;
    case EVENT_DONE:
        e->loop->works_half_done--;
        e->work->done(e->work);
        break;
    case EVENT_CALL:
        e->call(e->call_context);
        break;
    default:
        fake_conn_deliver(w, e);
        break;
    }
}

static void mix(struct fake_world *w, uint64_t value)
{
    w->hash = (w->hash ^ value) * 0x9e3779b97f4a7c15u;
    w->hash ^= w->hash >> 29;
}

/* Several events of one process in one millisecond may share a turn, as one wake-up brings them. */
static bool shares_turn(struct fake_world *w, const struct fake_process *l)
{
    return w->options.coalesce_percent > 0 && w->heap_count > 0 && w->heap[0]->at_ms <= w->now_ms &&
           w->heap[0]->loop == l && rng_chance(&w->rng, w->options.coalesce_percent, 100);
}

static void enter(struct fake_world *w, struct fake_process *l)
{
    if (w->on_enter != NULL && l != NULL) {
        w->on_enter(w->enter_context, &l->base);
    }
}

static void run_event(struct fake_world *w, struct event *e)
{
    if (is_held(w, e)) {
        append(&w->held, &w->held_count, &w->held_capacity, e);
        return;
    }
    w->events_done++;
    mix(w, e->at_ms << 16 ^ (uint64_t)e->kind << 8 ^ (e->loop != NULL ? e->loop->host_index : 255));
    mix(w, e->data.size > 0 ? crc32c((uint32_t)e->data.size, e->data.data, e->data.size) : 0);
    if (e->kind == EVENT_DATA) {
        fake_conn_arrived(e);
    }
    if (e->loop == NULL || !e->loop->dead) {
        enter(w, e->loop);
        deliver(w, e);
    }
    if (e->loop != NULL && !e->loop->dead && e->kind != EVENT_WORK) {
        e->loop->owes_turn = true;
        if (!shares_turn(w, e->loop)) {
            end_turn(e->loop);
        }
    }
    if (e->kind == EVENT_DATA && !e->conn->other->gone && !e->conn->other->loop->dead) {
        fake_conns_flush(e->conn->other->loop);
    }
    drop_event(e);
}

/* What was to bring the turn along may be held back, or was no event of the loop. True: some had
 * one, and may have done anything. */
static bool end_turns_that_are_owed(struct fake_world *w)
{
    bool any = false;
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        if (l->owes_turn && !l->dead && !l->frozen) {
            enter(w, l);
            end_turn(l);
            any = true;
        }
    }
    return any;
}

static struct fake_process *next_loop(const struct fake_world *w, uint64_t *at_ms)
{
    struct fake_process *owner = NULL;
    *at_ms = UINT64_MAX;
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        struct timer *t = l->dead || l->frozen ? NULL : timer_heap_first(&l->timers);
        uint64_t due = t != NULL ? world_time(l, t->at_ms) : UINT64_MAX;
        if (due < *at_ms) {
            *at_ms = due;
            owner = l;
        }
    }
    return owner;
}

static void run_timer(struct fake_world *w, struct fake_process *l)
{
    struct timer *t = timer_heap_first(&l->timers);
    w->events_done++;
    mix(w, w->now_ms << 16 ^ 0xff00 ^ l->host_index);
    timer_heap_stop(&l->timers, t);
    enter(w, l);
    t->fire(t);
    end_turn(l);
}

void fake_world_run(struct fake_world *w, uint64_t ms)
{
    /* What the test itself wrote is a turn of its own. */
    for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        if (!l->dead && !l->frozen) {
            end_turn(l);
        }
    }
    fake_world_advance(w, ms);
}

void fake_world_advance(struct fake_world *w, uint64_t ms)
{
    uint64_t until = w->now_ms + ms;
    for (;;) {
        uint64_t timer_at;
        struct fake_process *l = next_loop(w, &timer_at);
        uint64_t event_at = w->heap_count > 0 ? w->heap[0]->at_ms : UINT64_MAX;
        uint64_t at = timer_at < event_at ? timer_at : event_at;
        if (at > w->now_ms && end_turns_that_are_owed(w)) {
            continue; /* before time goes on */
        }
        if (at > until) {
            break;
        }
        w->now_ms = at > w->now_ms ? at : w->now_ms;
        if (timer_at < event_at) {
            run_timer(w, l);
        } else {
            run_event(w, heap_pop(w));
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
    list_init(&w->loops);
    list_init(&w->graveyard);
    return w;
}

void fake_world_destroy(struct fake_world *w)
{
    fake_conns_destroy(w);
    for (size_t i = 0; i < w->heap_count; i++) {
        drop_event(w->heap[i]);
    }
    for (size_t i = 0; i < w->held_count; i++) {
        drop_event(w->held[i]);
    }
    struct list *at;
    while ((at = list_pop_front(&w->loops)) != NULL) {
        struct fake_process *l = CONTAINER_OF(at, struct fake_process, node);
        timer_heap_deinit(&l->timers);
        mem_free(l);
    }
    mem_free(w->heap);
    mem_free(w->held);
    mem_free(w);
}

uint64_t fake_world_now(const struct fake_world *w)
{
    return w->now_ms;
}

void fake_world_on_enter(struct fake_world *w,
                         void (*on_enter)(void *context, struct loop *process), void *context)
{
    w->on_enter = on_enter;
    w->enter_context = context;
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
    l->host_index = fake_host(w, host);
    list_init(&l->node);
    list_init(&l->conns);
    list_push_back(&w->loops, &l->node);
    /* One stream for each purpose: what one draws does not shift the others. */
    uint64_t seed = rng_next(&w->rng);
    rng_init(&l->random, seed ^ 0x5a5a);
    rng_init(&l->net, seed ^ 0x1234567);
    rng_init(&l->disk, seed ^ 0xabcdef01);
    l->clock_world_ms = w->now_ms;
    l->clock_local_ms = w->now_ms;
    l->permille = 1000;
    l->wall_offset_ms = 1700000000000;
    return &l->base;
}

void fake_process_kill(struct loop *base)
{
    struct fake_process *l = fake_of_loop(base);
    fake_conns_kill(l);
    l->dead = true;
}

void fake_process_freeze(struct loop *base, bool frozen)
{
    fake_of_loop(base)->frozen = frozen;
    release_held(fake_of_loop(base)->world);
}

void fake_process_stall(struct loop *base, bool stalled)
{
    fake_of_loop(base)->stalled = stalled;
    release_held(fake_of_loop(base)->world);
}

void fake_process_slow_disk(struct loop *base, uint64_t ms)
{
    fake_of_loop(base)->work_delay_ms = ms;
}

uint32_t fake_process_short_works(struct loop *base)
{
    return fake_of_loop(base)->short_works;
}

void fake_process_clock(struct loop *base, uint32_t permille, uint64_t jump_ms)
{
    struct fake_process *l = fake_of_loop(base);
    CHECK(permille > 0);
    l->clock_local_ms = local_now(l) + jump_ms;
    l->clock_world_ms = l->world->now_ms;
    l->permille = permille;
}

void fake_process_wall(struct loop *base, int64_t jump_ms)
{
    fake_of_loop(base)->wall_offset_ms += jump_ms;
}

void fake_process_post(struct loop *base, void (*call)(void *context), void *context)
{
    struct fake_process *l = fake_of_loop(base);
    struct event *e = fake_schedule(l->world, EVENT_CALL, NULL, l->world->now_ms);
    e->loop = l;
    e->call = call;
    e->call_context = context;
}

bool fake_process_owes_work(struct loop *base)
{
    return fake_of_loop(base)->works_half_done > 0;
}

void fake_world_cut(struct fake_world *w, const char *a, const char *b, bool cut)
{
    fake_world_cut_way(w, a, b, cut);
    fake_world_cut_way(w, b, a, cut);
}

void fake_world_cut_way(struct fake_world *w, const char *from, const char *to, bool cut)
{
    w->cut[fake_host(w, from)][fake_host(w, to)] = cut;
    release_held(w);
}

void fake_world_slow(struct fake_world *w, const char *from, const char *to, uint64_t ms)
{
    w->slow_ms[fake_host(w, from)][fake_host(w, to)] = ms;
}

void fake_world_tamper(struct fake_world *w,
                       void (*tamper)(void *context, struct loop *from, struct buf *piece),
                       void *context)
{
    w->tamper = tamper;
    w->tamper_context = context;
}

uint32_t fake_world_dials(const struct fake_world *w)
{
    return w->dials;
}

uint64_t fake_world_events(const struct fake_world *w)
{
    return w->events_done;
}

uint64_t fake_world_hash(const struct fake_world *w)
{
    return w->hash;
}
