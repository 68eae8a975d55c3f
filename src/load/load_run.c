#include "load/load_run.h"

#include "base/check.h"
#include "base/mem.h"
#include "load/load_arrivals.h"
#include "load/load_cpu.h"
#include "load/load_link.h"

#include <stdio.h>

#define US_PER_MS 1000u

#define TICK_MS       1000
/* How often is looked for requests that wait too long, and connections that are gone. */
#define SWEEP_MS      100
/* Connections that are being made at a time: a server's queue of them is finite. */
#define DIALS         128
/* Arrivals that are closer together leave together: to wake up for each costs more than it
 * tells. */
#define PACE_MIN_US   20u
/* Watches that are being made on a stream at a time. */
#define WATCHES_ASKED 64
/* Clients of the connection that puts for watchers, when it has to keep a rate. */
#define PUTTERS       64
/* What is under way after an interrupt may take so long. */
#define INTERRUPT_MS  300

struct load_run {
    struct loop *loop;
    const struct load_plan *plan;
    struct load_run_events events;
    struct load_result *result;
    struct grpc_client *grpc; /* NULL: HTTP */
    struct load_maker maker;
    struct load_arrivals arrivals;
    enum load_phase phase;
    struct load_link *links; /* those that watch come first */
    uint32_t link_count;
    uint32_t dialled;
    uint32_t opened;
    struct list idle;  /* lanes that may ask */
    uint32_t busy;     /* lanes that wait for an answer */
    uint64_t prepared; /* of to_prepare: keys, leases or watches */
    uint64_t to_prepare;
    uint64_t begin_us; /* of what is measured */
    uint64_t end_us;
    uint64_t answers;      /* of all phases */
    uint64_t answers_told; /* of those, or of the events, at the last tick */
    bool is_done;
    bool is_interrupted;
    struct timer phase_timer;
    struct timer sweep_timer;
    struct timer tick_timer;
    struct fine_timer pace; /* until the next arrival; the other timers count in milliseconds */
    bool is_pacing;
    struct buf scratch;
};

static void pump(struct load_run *run);
static void prepare_more(struct load_run *run);

static uint64_t now_us(const struct load_run *run)
{
    return run->loop->ops->now_us(run->loop);
}

/* Never before that time: the loop's own milliseconds are those of the turn's beginning. */
static void start_timer(struct load_run *run, struct timer *t, uint64_t at_us)
{
    run->loop->ops->timer_start(run->loop, t, at_us / US_PER_MS + 1);
}

static void start_timer_in(struct load_run *run, struct timer *t, uint64_t in_ms)
{
    start_timer(run, t, now_us(run) + in_ms * US_PER_MS);
}

static bool is_counted(const struct load_run *run, uint64_t at_us)
{
    return run->phase >= LOAD_WARMING && at_us >= run->begin_us && at_us < run->end_us;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void finish(struct load_run *run)
{
    if (run->is_done) {
        return;
    }
    run->is_done = true;
    run->loop->ops->timer_stop(run->loop, &run->phase_timer);
    run->loop->ops->timer_stop(run->loop, &run->sweep_timer);
    run->loop->ops->timer_stop(run->loop, &run->tick_timer);
    run->events.on_done(run->events.context);
}

static void give_up(struct load_run *run, const char *what, const char *why)
{
    if (run->result->trouble[0] == '\0') {
        snprintf(run->result->trouble, sizeof(run->result->trouble), "%s%.200s", what, why);
    }
    finish(run);
}

/* Everything that was measured has been answered, and every watch was told of it. */
static void end_if_all_is_here(struct load_run *run)
{
    if (run->phase == LOAD_ENDING && run->busy == 0 &&
        run->result->events >= run->result->events_expected) {
        finish(run);
    }
}

/* --- processors ------------------------------------------------------------------------------- */

/* At the beginning and, to take the difference, at the end. */
static void sample_cpu(struct load_run *run, bool is_end)
{
    for (uint32_t i = 0; i <= run->plan->process_count; i++) {
        struct load_cpu *cpu = i == 0 ? &run->result->generator : &run->result->servers[i - 1];
        uint64_t us = 0;
        cpu->process = i == 0 ? 0 : run->plan->processes[i - 1];
        bool is_known = load_cpu_read(cpu->process, &us) && (!is_end || cpu->is_known);
        cpu->is_known = is_known && us >= cpu->us;
        cpu->us = us - (is_end ? cpu->us : 0);
    }
}

/* --- phases ----------------------------------------------------------------------------------- */

static void begin_measuring(struct load_run *run)
{
    run->phase = LOAD_MEASURING;
    sample_cpu(run, false);
    start_timer(run, &run->phase_timer, run->end_us);
}

static void begin_load(struct load_run *run)
{
    uint64_t from_us = now_us(run);
    run->phase = LOAD_WARMING;
    run->begin_us = from_us + run->plan->warmup_us;
    run->end_us = run->begin_us + run->plan->measured_us;
    if (run->plan->rate > 0) {
        load_arrivals_begin(&run->arrivals, run->plan, from_us);
    }
    start_timer(run, &run->phase_timer, run->begin_us);
    pump(run);
}

/* Arrivals that found no client: they have waited, and nobody answered. */
static void count_never_sent(struct load_run *run)
{
    struct load_result *result = run->result;
    for (; run->plan->rate > 0 && load_arrivals_next_us(&run->arrivals) < run->end_us;
         load_arrivals_pass(&run->arrivals)) {
        uint64_t at_us = load_arrivals_next_us(&run->arrivals);
        if (at_us >= run->begin_us) {
            load_histogram_add(&result->latency, run->end_us - at_us);
            result->never_sent++;
            result->late_sends++;
        }
    }
}

/* Of what is measured, until now. */
static void count_down_time(struct load_run *run, struct load_link *link)
{
    if (link->down_from_us != 0) {
        uint64_t at_us = now_us(run);
        uint64_t to_us = at_us < run->end_us ? at_us : run->end_us;
        uint64_t from_us = link->down_from_us > run->begin_us ? link->down_from_us : run->begin_us;
        run->result->down_us += to_us > from_us ? to_us - from_us : 0;
    }
    link->down_from_us = 0;
}

static void end_measuring(struct load_run *run)
{
    struct load_result *result = run->result;
    pump(run); /* what is due and has a client is not late yet */
    sample_cpu(run, true);
    uint64_t at_us = now_us(run);
    run->end_us = at_us < run->end_us ? at_us : run->end_us;
    run->phase = LOAD_ENDING;
    result->measured_us = run->end_us - run->begin_us;
    for (uint32_t i = 0; i < run->link_count; i++) {
        count_down_time(run, &run->links[i]);
    }
    count_never_sent(run);
    /* A request has its own timeout, and so has what watches are still to be told. */
    start_timer_in(run, &run->phase_timer, run->plan->timeout_us / US_PER_MS + 2u * SWEEP_MS);
    end_if_all_is_here(run);
}

static void on_phase_timer(struct timer *t)
{
    struct load_run *run = t->context;
    switch (run->phase) {
    case LOAD_WARMING:
        begin_measuring(run);
        break;
    case LOAD_MEASURING:
        end_measuring(run);
        break;
    default:
        finish(run);
    }
}

/* --- asking ----------------------------------------------------------------------------------- */

static struct load_lane *take_idle(struct load_run *run)
{
    struct list *link = list_pop_front(&run->idle);
    return link != NULL ? CONTAINER_OF(link, struct load_lane, idle) : NULL;
}

static void be_idle(struct load_run *run, struct load_lane *lane)
{
    if (lane->link->is_open && !lane->link->is_watching) {
        list_push_back(&run->idle, &lane->idle);
    }
}

static void count_error(struct load_run *run, uint64_t at_us, const char *kind, struct slice text)
{
    if (is_counted(run, at_us) && !run->is_interrupted) {
        load_errors_add(&run->result->errors, kind, text);
    }
}

static void ask(struct load_run *run, struct load_lane *lane, uint64_t at_us)
{
    lane->intended_us = at_us;
    if (load_lane_ask(lane, now_us(run))) {
        run->busy++;
    } else {
        count_error(run, at_us, "connection lost", slice_str("it takes no more requests"));
    }
}

static void on_pace(struct fine_timer *t)
{
    struct load_run *run = t->context;
    run->is_pacing = false;
    pump(run);
}

static void pace(struct load_run *run, uint64_t next_us, uint64_t at_us)
{
    if (run->is_pacing) {
        return;
    }
    run->is_pacing = true;
    run->loop->ops->fine_timer_start(run->loop, &run->pace,
                                     next_us > at_us + PACE_MIN_US ? next_us : at_us + PACE_MIN_US);
}

static void pump_open(struct load_run *run)
{
    uint64_t at_us = now_us(run);
    for (;;) {
        uint64_t next_us = load_arrivals_next_us(&run->arrivals);
        if (next_us >= run->end_us) {
            return;
        }
        if (next_us > at_us) {
            pace(run, next_us, at_us);
            return;
        }
        struct load_lane *lane = take_idle(run);
        if (lane == NULL) {
            return; /* the next answer comes here again */
        }
        load_arrivals_pass(&run->arrivals);
        run->result->late_sends +=
            next_us >= run->begin_us && at_us - next_us > LOAD_LATE_US ? 1 : 0;
        load_make(&run->maker, &lane->request, next_us);
        ask(run, lane, next_us);
    }
}

static void pump_closed(struct load_run *run)
{
    struct load_lane *lane;
    uint64_t at_us = now_us(run);
    while (at_us < run->end_us && (lane = take_idle(run)) != NULL) {
        load_make(&run->maker, &lane->request, at_us);
        ask(run, lane, at_us);
    }
}

/* Whatever may be asked now is asked. */
static void pump(struct load_run *run)
{
    if (run->is_done || run->is_interrupted) {
        return;
    }
    if (run->phase == LOAD_PREPARING) {
        prepare_more(run);
    } else if (run->phase == LOAD_WARMING || run->phase == LOAD_MEASURING) {
        if (run->plan->rate > 0) {
            pump_open(run);
        } else {
            pump_closed(run);
        }
    }
}

/* --- preparing -------------------------------------------------------------------------------- */

static bool make_preparation(struct load_run *run, struct load_request *r)
{
    struct load_maker *m = &run->maker;
    if (run->plan->prefill && load_make_prefill(m, r)) {
        return true;
    }
    if (run->plan->operation == LOAD_KEEPALIVE && m->lease_count + run->busy < run->plan->leases) {
        load_make_grant(r);
        return true;
    }
    return false;
}

static void prepare_more(struct load_run *run)
{
    struct load_lane *lane;
    while ((lane = take_idle(run)) != NULL) {
        if (!make_preparation(run, &lane->request)) {
            list_push_front(&run->idle, &lane->idle);
            break;
        }
        ask(run, lane, now_us(run));
    }
    if (run->busy == 0 && run->prepared == run->to_prepare) {
        begin_load(run);
    }
}

static void ask_for_watches(struct load_run *run, struct load_lane *lane)
{
    while (lane->watches_asked < lane->watches &&
           lane->watches_asked - lane->watches_made < WATCHES_ASKED) {
        if (!load_lane_watch(lane, buf_slice(&run->scratch))) {
            give_up(run, "cannot watch: ", "the connection takes no more");
            return;
        }
        lane->watches_asked++;
    }
}

static void share_watches(struct load_run *run)
{
    uint32_t lanes = load_plan_clients(run->plan);
    uint32_t at = 0;
    load_make_watch(run->plan, &run->scratch);
    for (uint32_t i = 0; i < run->link_count && run->links[i].is_watching; i++) {
        for (uint32_t k = 0; k < run->links[i].lane_count; k++, at++) {
            struct load_lane *lane = &run->links[i].lanes[k];
            lane->watches =
                run->plan->watchers / lanes + (at < run->plan->watchers % lanes ? 1 : 0);
            ask_for_watches(run, lane);
        }
    }
}

static void begin_preparing(struct load_run *run)
{
    const struct load_plan *plan = run->plan;
    run->phase = LOAD_PREPARING;
    run->to_prepare = plan->prefill ? plan->keys : 0;
    if (plan->operation == LOAD_KEEPALIVE) {
        run->to_prepare += plan->leases;
    } else if (plan->operation == LOAD_WATCH) {
        run->to_prepare += plan->watchers;
        share_watches(run);
    }
    pump(run);
}

static void note_prepared(struct load_run *run, const struct load_lane *lane,
                          const struct load_answer *a)
{
    if (lane->request.ask == LOAD_ASK_GRANT) {
        run->maker.leases[run->maker.lease_count++] = a->lease;
        run->prepared++;
    } else {
        run->prepared += lane->request.puts;
    }
}

/* --- what connections tell -------------------------------------------------------------------- */

static void dial_more(struct load_run *run)
{
    while (run->dialled < run->link_count && run->dialled - run->opened < DIALS) {
        load_link_dial(&run->links[run->dialled++]);
    }
}

static void on_open(struct load_link *link)
{
    struct load_run *run = link->context;
    count_down_time(run, link);
    for (uint32_t i = 0; i < link->lane_count; i++) {
        list_remove(&link->lanes[i].idle);
        be_idle(run, &link->lanes[i]);
    }
    if (run->phase == LOAD_CONNECTING) {
        run->opened++;
        if (run->opened == run->link_count) {
            begin_preparing(run);
        } else {
            dial_more(run);
        }
        return;
    }
    pump(run);
}

static void on_answer(struct load_lane *lane, const struct load_answer *a)
{
    struct load_run *run = lane->link->context;
    if (run->is_done) {
        return;
    }
    run->busy--;
    run->answers++;
    if (run->phase == LOAD_PREPARING) {
        note_prepared(run, lane, a);
    } else if (is_counted(run, lane->intended_us)) {
        struct load_result *result = run->result;
        load_histogram_add(&result->latency, now_us(run) - lane->intended_us);
        result->requests++;
        result->misses += a->is_miss ? 1 : 0;
        result->events_expected += run->plan->operation == LOAD_WATCH ? run->plan->watchers : 0;
    }
    be_idle(run, lane);
    pump(run);
    end_if_all_is_here(run);
}

static void on_error(struct load_lane *lane, const char *kind, struct slice text)
{
    struct load_run *run = lane->link->context;
    if (run->is_done) {
        return;
    }
    if (lane->link->is_watching) {
        count_error(run, now_us(run), kind, text);
        if (run->phase == LOAD_PREPARING) {
            give_up(run, "cannot watch: ", kind);
        }
        return;
    }
    run->busy--;
    count_error(run, lane->intended_us, kind, text);
    if (run->phase == LOAD_PREPARING) {
        char why[200];
        snprintf(why, sizeof(why), "%s: %.*s", kind, (int)(text.size < 150 ? text.size : 150),
                 (const char *)text.data);
        give_up(run, "preparing failed: ", why);
        return;
    }
    be_idle(run, lane);
    pump(run);
    end_if_all_is_here(run);
}

static void tell_event(void *context, uint64_t put_us)
{
    struct load_run *run = context;
    if (is_counted(run, put_us)) {
        uint64_t at_us = now_us(run);
        load_histogram_add(&run->result->delivery, at_us > put_us ? at_us - put_us : 0);
        run->result->events++;
    }
}

static void on_watch(struct load_lane *lane, struct slice message)
{
    struct load_run *run = lane->link->context;
    if (run->is_done) {
        return;
    }
    struct load_watch_news news;
    const char *wrong = load_read_watch(message, &news, tell_event, run);
    if (wrong != NULL || news.is_canceled) {
        on_error(lane, wrong != NULL ? "wrong answer" : "watch ended",
                 slice_str(wrong != NULL ? wrong : "the server canceled it"));
        return;
    }
    if (news.is_created && run->phase == LOAD_PREPARING) {
        lane->watches_made++;
        run->prepared++;
        ask_for_watches(run, lane);
        pump(run);
    }
    end_if_all_is_here(run);
}

static void on_down(struct load_link *link, bool was_open, const char *text)
{
    struct load_run *run = link->context;
    if (run->is_done) {
        return;
    }
    for (uint32_t i = 0; i < link->lane_count; i++) {
        list_remove(&link->lanes[i].idle);
    }
    if (run->phase <= LOAD_PREPARING) {
        give_up(run, was_open ? "a connection was lost: " : "cannot connect: ", text);
        return;
    }
    uint64_t at_us = now_us(run);
    link->down_from_us = link->down_from_us != 0 ? link->down_from_us : at_us;
    for (uint32_t i = 0; !was_open && i < link->lane_count; i++) {
        count_error(run, at_us, "cannot connect", slice_str(text));
    }
    end_if_all_is_here(run);
}

static const struct load_link_events link_events = {.on_open = on_open,
                                                    .on_answer = on_answer,
                                                    .on_error = on_error,
                                                    .on_watch = on_watch,
                                                    .on_down = on_down};

/* --- by the clock ----------------------------------------------------------------------------- */

static void on_sweep(struct timer *t)
{
    struct load_run *run = t->context;
    uint64_t at_us = now_us(run);
    for (uint32_t i = 0; i < run->link_count; i++) {
        struct load_link *link = &run->links[i];
        load_link_expire(link, at_us);
        bool is_gone = link->conn == NULL && link->exchange == NULL && !link->is_watching;
        if (is_gone && (run->phase == LOAD_WARMING || run->phase == LOAD_MEASURING)) {
            load_link_dial(link);
        }
    }
    start_timer_in(run, &run->sweep_timer, SWEEP_MS);
}

static void on_tick(struct timer *t)
{
    struct load_run *run = t->context;
    uint64_t at_us = now_us(run);
    bool is_watch = run->plan->operation == LOAD_WATCH;
    uint64_t answers =
        is_watch && run->phase >= LOAD_MEASURING ? run->result->events : run->answers;
    struct load_progress p = {
        .phase = run->phase,
        .whole_us = run->plan->warmup_us + run->plan->measured_us,
        .prepared = run->prepared,
        .to_prepare = run->to_prepare,
        .per_second = answers > run->answers_told ? answers - run->answers_told : 0,
        .errors = run->result->errors.total,
        .p99_us = load_histogram_quantile(is_watch ? &run->result->delivery : &run->result->latency,
                                          0.99),
    };
    if (run->phase >= LOAD_WARMING) {
        uint64_t done_us = at_us - (run->begin_us - run->plan->warmup_us);
        p.done_us = done_us < p.whole_us ? done_us : p.whole_us;
    }
    run->answers_told = answers;
    if (run->events.on_tick != NULL) {
        run->events.on_tick(run->events.context, &p);
    }
    start_timer_in(run, &run->tick_timer, TICK_MS);
}

/* ---------------------------------------------------------------------------------------------- */

static void add_link(struct load_run *run, uint32_t lanes, bool is_watching)
{
    uint32_t i = run->link_count++;
    struct load_link *link = &run->links[i];
    *link = (struct load_link){
        .plan = run->plan,
        .server = &run->plan->endpoints[i % run->plan->endpoint_count],
        .loop = run->loop,
        .grpc = run->grpc,
        .events = &link_events,
        .context = run,
        .is_watching = is_watching,
    };
    load_link_init(link, lanes);
}

static void make_links(struct load_run *run)
{
    const struct load_plan *plan = run->plan;
    bool is_watch = plan->operation == LOAD_WATCH;
    uint32_t count = plan->protocol == LOAD_HTTP ? load_plan_clients(plan) : plan->connections;
    run->links = mem_calloc(count + 1, sizeof(*run->links));
    for (uint32_t i = 0; i < count; i++) {
        add_link(run, plan->protocol == LOAD_HTTP ? 1 : plan->streams, is_watch);
    }
    if (is_watch) {
        add_link(run, plan->rate > 0 ? PUTTERS : 1, false);
    }
    run->result->links = run->link_count;
}

struct load_run *load_run_create(struct loop *loop, const struct load_plan *plan,
                                 const struct load_run_events *events, struct load_result *result)
{
    struct load_run *run = mem_calloc(1, sizeof(*run));
    run->loop = loop;
    run->plan = plan;
    run->events = *events;
    run->result = result;
    run->grpc = plan->protocol == LOAD_GRPC ? grpc_client_create(loop) : NULL;
    list_init(&run->idle);
    load_maker_init(&run->maker, plan);
    run->phase_timer = (struct timer){.fire = on_phase_timer, .context = run};
    run->sweep_timer = (struct timer){.fire = on_sweep, .context = run};
    run->tick_timer = (struct timer){.fire = on_tick, .context = run};
    run->pace = (struct fine_timer){.fire = on_pace, .context = run};
    make_links(run);
    return run;
}

void load_run_begin(struct load_run *run)
{
    start_timer_in(run, &run->sweep_timer, SWEEP_MS);
    start_timer_in(run, &run->tick_timer, TICK_MS);
    dial_more(run);
}

void load_run_turn(struct load_run *run)
{
    if (run->grpc != NULL) {
        grpc_client_turn(run->grpc);
    }
}

void load_run_interrupt(struct load_run *run)
{
    bool is_first = !run->is_interrupted;
    run->is_interrupted = true;
    run->result->is_interrupted = true;
    if (!is_first || run->phase != LOAD_MEASURING) {
        finish(run);
        return;
    }
    end_measuring(run);
    if (!run->is_done) {
        start_timer_in(run, &run->phase_timer, INTERRUPT_MS);
    }
}

void load_run_destroy(struct load_run *run)
{
    for (uint32_t i = 0; i < run->link_count; i++) {
        load_link_deinit(&run->links[i]);
    }
    if (run->grpc != NULL) {
        grpc_client_destroy(run->grpc);
    }
    load_maker_deinit(&run->maker);
    buf_deinit(&run->scratch);
    mem_free(run->links);
    mem_free(run);
}
