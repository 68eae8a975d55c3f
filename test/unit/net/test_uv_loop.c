/* The production loop against the real kernel, over loopback. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "uv_story.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BIG_BYTES (8u * MIB)

/* --- timers ----------------------------------------------------------------------------------- */

struct lettered_timer {
    struct timer timer;
    struct story *story;
    char letter;
};

static void tell_letter(struct timer *t)
{
    struct lettered_timer *l = CONTAINER_OF(t, struct lettered_timer, timer);
    story_tell(l->story, l->letter);
}

static void stop_story(struct timer *t)
{
    story_stop(t->context);
}

static void timers_fire_by_time_and_then_in_the_order_of_their_start(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    static const struct {
        char letter;
        uint64_t after_ms;
    } plan[] = {{'d', 20}, {'a', 5}, {'e', 20}, {'x', 10}, {'b', 5}, {'c', 10}, {'f', 20}};
    struct lettered_timer timers[7];
    uint64_t now = s.loop->ops->now_ms(s.loop);
    for (int i = 0; i < 7; i++) {
        timers[i] = (struct lettered_timer){
            .timer = {.fire = tell_letter}, .story = &s, .letter = plan[i].letter};
        s.loop->ops->timer_start(s.loop, &timers[i].timer, now + plan[i].after_ms);
    }
    s.loop->ops->timer_stop(s.loop, &timers[3].timer);
    s.loop->ops->timer_stop(s.loop, &timers[3].timer);
    struct timer end = {.fire = stop_story, .context = &s};
    s.loop->ops->timer_start(s.loop, &end, now + 30);
    s.loop->ops->timer_start(s.loop, &timers[4].timer, now + 5); /* moves behind a, as it was */
    story_run(&s);
    assert_string_equal(s.log, "abcdef");
}

struct restless {
    struct timer timer;
    struct story *story;
    uint32_t fired;
};

static void fire_again(struct timer *t)
{
    struct restless *r = CONTAINER_OF(t, struct restless, timer);
    r->story->loop->ops->timer_start(r->story->loop, t, 0);
    if (++r->fired == 100) {
        story_stop(r->story);
    }
}

static void a_timer_that_restarts_itself_for_the_past_fires_once_a_turn(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    struct restless r = {.timer = {.fire = fire_again}, .story = &s};
    s.loop->ops->timer_start(s.loop, &r.timer, 0);
    story_run(&s);
    assert_int_equal(r.fired, 100);
    assert_true(s.turns >= 100);
}

struct fine_story {
    struct fine_timer first, second; /* the second takes the place of the first */
    struct timer late;
    struct story *story;
    uint64_t at_us;
    uint32_t fired;
};

static void never_fires(struct fine_timer *t)
{
    (void)t;
    fail_msg("it was replaced");
}

static void fire_fine(struct fine_timer *t)
{
    struct fine_story *f = t->context;
    struct loop *l = f->story->loop;
    assert_true(l->ops->now_us(l) >= f->at_us);
    if (++f->fired == 20) {
        return; /* and no turn comes of it any more */
    }
    f->at_us = f->fired % 4 == 0 ? 0 : l->ops->now_us(l) + 100u * f->fired;
    l->ops->fine_timer_start(l, t, f->at_us);
}

static void a_fine_timer_fires_once_and_not_too_early(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    struct loop *l = s.loop;
    struct fine_story f = {.first = {.fire = never_fires}, .story = &s};
    f.second = (struct fine_timer){.fire = fire_fine, .context = &f};
    f.late = (struct timer){.fire = stop_story, .context = &s};
    uint64_t now_us = l->ops->now_us(l);
    l->ops->fine_timer_start(l, &f.first, now_us + 500);
    f.at_us = now_us + 3000;
    l->ops->fine_timer_start(l, &f.second, f.at_us);
    l->ops->timer_start(l, &f.late, l->ops->now_ms(l) + 300);
    story_run(&s);
    assert_int_equal(f.fired, 20);
    assert_true(s.turns <= 30);
}

/* A due one that is moved in the turn that would have told of it: both were ready at a time. */
static void move_fine(struct timer *t)
{
    struct fine_story *f = CONTAINER_OF(t, struct fine_story, late);
    struct loop *l = f->story->loop;
    uint64_t begun_us = l->ops->now_us(l);
    while (l->ops->now_us(l) < begun_us + 5000) {
    }
    f->at_us = l->ops->now_us(l) + 20000;
    f->fired = 19;
    l->ops->fine_timer_start(l, &f->second, f->at_us);
}

static void a_fine_timer_that_is_moved_when_due_waits_for_its_new_time(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    struct loop *l = s.loop;
    struct fine_story f = {.story = &s, .late = {.fire = move_fine}};
    f.second = (struct fine_timer){.fire = fire_fine, .context = &f};
    struct timer end = {.fire = stop_story, .context = &s};
    uint64_t now_ms = l->ops->now_ms(l);
    l->ops->timer_start(l, &f.late, now_ms + 5);
    l->ops->fine_timer_start(l, &f.second, (now_ms + 6) * 1000);
    l->ops->timer_start(l, &end, now_ms + 200);
    story_run(&s);
    assert_int_equal(f.fired, 20);
}

static void an_idle_loop_sleeps(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    struct timer end = {.fire = stop_story, .context = &s};
    s.loop->ops->timer_start(s.loop, &end, s.loop->ops->now_ms(s.loop) + 300);
    story_run(&s);
    assert_true(s.turns <= 5);
}

/* --- the log thread --------------------------------------------------------------------------- */

#define WORKS 200

struct numbered_work {
    struct work work;
    uint32_t number;
};

static uint32_t works_run;  /* the log thread's */
static uint32_t works_done; /* the loop's */
static struct story *works_story;

static void run_work(struct work *w)
{
    CHECK_CMP(works_run, ==, CONTAINER_OF(w, struct numbered_work, work)->number);
    works_run++;
    usleep(50); /* so that the stop finds some of it still to run */
}

static void note_done(struct work *w)
{
    CHECK_CMP(works_done, ==, CONTAINER_OF(w, struct numbered_work, work)->number);
    works_done++;
    if (works_done == WORKS / 2) {
        story_stop(works_story); /* the rest is still run and done */
    }
}

static void work_runs_in_order_and_all_of_it_is_done_before_the_loop_ends(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    works_run = 0;
    works_done = 0;
    works_story = &s;
    static struct numbered_work works[WORKS];
    for (uint32_t i = 0; i < WORKS; i++) {
        works[i] =
            (struct numbered_work){.work = {.run = run_work, .done = note_done}, .number = i};
        s.loop->ops->submit(s.loop, &works[i].work);
    }
    story_run(&s);
    assert_int_equal(works_run, WORKS);
    assert_int_equal(works_done, WORKS);
}

static uint32_t slow_done;

static void run_long(struct work *w)
{
    (void)w;
    while (__atomic_load_n(&slow_done, __ATOMIC_SEQ_CST) == 0) {
        usleep(50); /* until the log thread's work is done, which waits for nothing of this */
    }
}

static void note_quick_done(struct work *w)
{
    (void)w;
    __atomic_store_n(&slow_done, 1, __ATOMIC_SEQ_CST);
}

static void note_long_done(struct work *w)
{
    (void)w;
    assert_int_equal(slow_done, 1);
    slow_done++;
    story_stop(works_story);
}

static void run_nothing(struct work *w)
{
    (void)w;
}

static void slow_work_does_not_keep_the_log_thread(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    slow_done = 0;
    works_story = &s;
    struct work slow = {.run = run_long, .done = note_long_done};
    struct work quick = {.run = run_nothing, .done = note_quick_done};
    s.loop->ops->submit_slow(s.loop, &slow);
    s.loop->ops->submit(s.loop, &quick);
    story_run(&s);
    assert_int_equal(slow_done, 2);
}

struct short_story {
    struct work alone;
    struct work first;  /* with company: */
    struct work second; /* may not overtake the first */
    uint32_t run;
    uint32_t lates;
    bool is_quick; /* late() is not waited for */
    pthread_t loop_thread;
    pthread_t ran_on[3];
};

static void run_short(struct work *w)
{
    struct short_story *s = w->context;
    CHECK(s->run < 3);
    s->ran_on[s->run++] = pthread_self();
    while (!s->is_quick && __atomic_load_n(&s->lates, __ATOMIC_SEQ_CST) < 2) {
        usleep(1000);
    }
}

static void note_late(struct work *w, uint64_t age_ms)
{
    struct short_story *s = w->context;
    CHECK(!pthread_equal(pthread_self(), s->loop_thread));
    CHECK(age_ms >= 1000 * (s->lates + UINT64_C(1)) && age_ms < 10000);
    __atomic_fetch_add(&s->lates, 1, __ATOMIC_SEQ_CST);
}

static void note_second_done(struct work *w)
{
    struct short_story *s = w->context;
    assert_int_equal(s->run, 3);
    story_stop(works_story);
}

static void note_alone_done(struct work *w)
{
    struct short_story *s = w->context;
    story_tell(works_story, 'd');
    works_story->loop->ops->submit(works_story->loop, &s->first);
    works_story->loop->ops->submit(works_story->loop, &s->second);
}

static void submit_alone(struct timer *t)
{
    struct short_story *s = t->context;
    works_story->loop->ops->submit(works_story->loop, &s->alone);
    story_tell(works_story, 's'); /* it is not done inside the call */
}

static void tell_short_story(struct short_story *s)
{
    struct story story;
    story_begin(&story);
    works_story = &story;
    s->loop_thread = pthread_self();
    s->alone =
        (struct work){.run = run_short, .done = note_alone_done, .late = note_late, .context = s};
    s->first = (struct work){.run = run_short, .done = run_nothing, .context = s};
    s->second =
        (struct work){.run = run_short, .done = note_second_done, .late = note_late, .context = s};
    struct timer begin = {.fire = submit_alone, .context = s};
    story.loop->ops->timer_start(story.loop, &begin, story.loop->ops->now_ms(story.loop));
    story_run(&story);
    assert_int_equal(story.size, 2);
    assert_memory_equal(story.log, "sd", 2);
    assert_true(pthread_equal(s->ran_on[0], s->loop_thread));
    assert_false(pthread_equal(s->ran_on[1], s->loop_thread));
    assert_false(pthread_equal(s->ran_on[2], s->loop_thread));
}

static void short_work_runs_on_the_loop_when_there_is_no_other(void **state)
{
    (void)state;
    struct short_story s = {.is_quick = true};
    tell_short_story(&s);
    assert_int_equal(s.lates, 0);
}

static void rule_p17_another_thread_tells_of_a_loop_that_hangs_in_short_work(void **state)
{
    (void)state;
    struct short_story s = {.is_quick = false};
    tell_short_story(&s);
    assert_true(s.lates >= 2);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(void *context, int signal_number)
{
    assert_int_equal(signal_number, SIGUSR1);
    story_tell(context, 's');
    story_stop(context);
}

static void raise_signal(struct timer *t)
{
    (void)t;
    raise(SIGUSR1);
}

static void row_f8_a_signal_is_a_call_and_a_second_one_changes_nothing(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    uv_loop_on_signal(s.loop, SIGUSR1, on_signal, &s);
    struct timer t = {.fire = raise_signal};
    s.loop->ops->timer_start(s.loop, &t, 0);
    story_run(&s);
    assert_string_equal(s.log, "s");
    raise(SIGUSR1); /* by default it would kill us */
}

/* --- dialling and closing --------------------------------------------------------------------- */

static void note_close(struct conn *c, enum status why)
{
    struct story *s = c->context;
    story_tell(s, 'C');
    s->why = why;
    story_stop(s);
}

static void never_open(struct conn *c)
{
    (void)c;
    CHECK(0 && "opened");
}

static const struct conn_events refused_events = {.on_open = never_open, .on_close = note_close};

/* A port that nobody listens on: bound, and not listening. */
static uint16_t reserve_port(int *fd)
{
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &size), 0);
    return ntohs(a.sin_port);
}

static void a_dial_that_fails_says_so_later_and_not_inside_the_call(void **state)
{
    (void)state;
    int fd;
    uint16_t port = reserve_port(&fd);
    static const char *const hosts[] = {"127.0.0.1", "localhost", "no-such-host.invalid",
                                        "not a host"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct story s;
        story_begin(&s);
        s.loop->ops->dial(s.loop, hosts[i], port, &refused_events, &s);
        assert_int_equal(s.size, 0);
        story_run(&s);
        assert_string_equal(s.log, "C");
        assert_int_equal(s.why, STATUS_UNREACHABLE);
    }
    close(fd);
}

static void a_dial_can_be_given_up(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "10.255.255.1"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct story s;
        story_begin(&s);
        struct conn *c = s.loop->ops->dial(s.loop, hosts[i], 9, &refused_events, &s);
        s.loop->ops->conn_write(c, slice_str("never sent"));
        s.loop->ops->conn_close(c, i % 2 == 0);
        assert_int_equal(s.size, 0);
        story_run(&s);
        assert_string_equal(s.log, "C");
    }
}

static void answer_open(struct conn *c)
{
    struct story *s = c->context;
    story_tell(s, 'o');
    assert_non_null(strpbrk(c->local_host, ".:"));
    c->loop->ops->conn_write(c, slice_str(" and this"));
}

static void gather_data(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    buf_append_slice(&s->received, data);
    if (s->received.size == strlen("before open and this")) {
        story_stop(s);
    }
}

static void note_quiet_close(struct conn *c, enum status why)
{
    (void)why;
    story_tell(c->context, 'c');
}

static const struct conn_events dialler_events = {.on_open = answer_open,
                                                  .on_close = note_quiet_close};
static const struct conn_events gather_events = {.on_data = gather_data,
                                                 .on_close = note_quiet_close};

static void accept_gather(void *context, struct conn *c)
{
    struct story *s = context;
    c->events = &gather_events;
    c->context = s;
    s->accepted = c;
    if (strcmp(c->local_host, "::1") == 0) {
        assert_memory_equal(c->remote, "[::1]:", 6);
    } else {
        assert_string_equal(c->local_host, "127.0.0.1");
        assert_memory_equal(c->remote, "127.0.0.1:", 10);
    }
}

static void say_two_things(const char *listen_host, const char *dial_host)
{
    struct story s;
    story_begin(&s);
    enum status status = s.loop->ops->listen(s.loop, listen_host, 0, &s.port, accept_gather, &s);
    if (status != STATUS_OK) {
        assert_string_equal(listen_host, "::1"); /* a machine without IPv6 */
        uv_loop_destroy(s.loop);
        return;
    }
    struct conn *c = s.loop->ops->dial(s.loop, dial_host, s.port, &dialler_events, &s);
    s.loop->ops->conn_write(c, slice_str("before open"));
    uv_loop_run(s.loop);
    assert_true(slice_equal(buf_slice(&s.received), slice_str("before open and this")));
    assert_string_equal(s.log, "occ");
    uv_loop_destroy(s.loop);
    buf_deinit(&s.received);
}

static void what_is_written_before_the_connection_stands_is_sent_once_it_does(void **state)
{
    (void)state;
    say_two_things("127.0.0.1", "127.0.0.1");
    say_two_things("::1", "::1");
}

#ifdef __linux__
/* Stands before the C library's: one name has two addresses, and nobody listens at the first. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **addresses)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node == NULL || strcmp(node, "two-addresses.test") != 0) {
        return real(node, service, hints, addresses);
    }
    CHECK(real("127.0.0.2", service, hints, addresses) == 0);
    return real("127.0.0.1", service, hints, &(*addresses)->ai_next);
}

static void a_dial_tries_every_address_of_a_name(void **state)
{
    (void)state;
    say_two_things("127.0.0.1", "two-addresses.test");
}
#endif

/* --- much data -------------------------------------------------------------------------------- */

static uint32_t released;

static void note_release(void *owner)
{
    assert_ptr_equal(owner, &released);
    released++;
}

static void send_much(struct conn *c)
{
    static uint8_t big[BIG_BYTES];
    for (uint32_t i = 0; i < BIG_BYTES; i++) {
        big[i] = (uint8_t)(i * 7 + (i >> 12));
    }
    struct story *s = c->context;
    for (uint32_t at = 0; at < BIG_BYTES; at += 1024) {
        if (at % 3072 == 0) {
            s->loop->ops->conn_write_owned(c, slice_of(big + at, 1024), note_release, &released);
        } else {
            s->loop->ops->conn_write(c, slice_of(big + at, 1024));
        }
    }
    assert_int_equal(s->loop->ops->conn_unsent(c), BIG_BYTES);
    s->loop->ops->conn_close(c, true);
    assert_int_equal(s->loop->ops->conn_unsent(c), 0);
    s->loop->ops->conn_write(c, slice_str("ignored"));
}

static void check_data(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    CHECK_CMP(data.size, <=, LIMIT_READ_BYTES);
    for (size_t i = 0; i < data.size; i++) {
        uint64_t at = s->bytes + i;
        CHECK_CMP(data.data[i], ==, (uint8_t)(at * 7 + (at >> 12)));
    }
    s->bytes += data.size;
}

static const struct conn_events much_events = {.on_open = send_much, .on_close = note_quiet_close};
static const struct conn_events check_events = {.on_data = check_data, .on_close = note_close};

static void accept_check(void *context, struct conn *c)
{
    c->events = &check_events;
    c->context = context;
}

static void closing_with_flush_loses_nothing_and_frees_what_was_lent(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    released = 0;
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_check, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &much_events, &s);
    story_run(&s);
    assert_int_equal(s.bytes, BIG_BYTES);
    assert_int_equal(released, (BIG_BYTES / 1024 + 2) / 3);
    assert_int_equal(s.why, STATUS_CLOSED);
}

/* A producer that waits for its drain, whether the kernel took everything or not. */
static void produce(struct conn *c)
{
    struct story *s = c->context;
    static const uint8_t block[200000];
    story_tell(s, 'd');
    if (s->size == 20) {
        s->loop->ops->conn_close(c, true);
        return;
    }
    size_t size = s->size % 2 == 0 ? 10 : sizeof(block);
    s->loop->ops->conn_write(c, slice_of(block, size));
    assert_true(s->loop->ops->conn_unsent(c) >= size);
}

static void count_data(struct conn *c, struct slice data)
{
    ((struct story *)c->context)->bytes += data.size;
}

static const struct conn_events producer_events = {
    .on_open = produce, .on_drain = produce, .on_close = note_quiet_close};
static const struct conn_events counter_events = {.on_data = count_data, .on_close = note_close};

static void accept_count(void *context, struct conn *c)
{
    c->events = &counter_events;
    c->context = context;
}

static void a_drain_follows_whenever_something_was_said_to_be_unsent(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_count, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &producer_events, &s);
    story_run(&s);
    assert_int_equal(s.bytes, 10 * 200000 + 9 * 10);
}

/* --- resets, pauses --------------------------------------------------------------------------- */

static void reset_at_once(struct conn *c)
{
    c->loop->ops->conn_write(c, slice_str("lost"));
    c->loop->ops->conn_close(c, false);
}

static void no_end(struct conn *c)
{
    (void)c;
    CHECK(0 && "a reset looked like an end");
}

static const struct conn_events resetter_events = {.on_open = reset_at_once,
                                                   .on_close = note_quiet_close};
static const struct conn_events reset_events = {
    .on_data = count_data, .on_end = no_end, .on_close = note_close};

static void accept_reset(void *context, struct conn *c)
{
    c->events = &reset_events;
    c->context = context;
}

static void closing_without_flush_is_a_reset(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_reset, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &resetter_events, &s);
    story_run(&s);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.why, STATUS_CLOSED);
}

static void go_on_reading(struct timer *t)
{
    struct story *s = t->context;
    story_tell(s, 'p');
    s->loop->ops->conn_pause(s->accepted, false);
}

static void read_after_pause(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    story_tell(s, 'r');
    assert_true(slice_equal(data, slice_str("hello")));
    story_stop(s);
}

static void say_hello(struct conn *c)
{
    c->loop->ops->conn_write(c, slice_str("hello"));
}

static const struct conn_events hello_events = {.on_open = say_hello, .on_close = note_quiet_close};
static const struct conn_events paused_events = {.on_data = read_after_pause,
                                                 .on_close = note_quiet_close};

static void accept_paused(void *context, struct conn *c)
{
    static struct timer later;
    struct story *s = context;
    c->events = &paused_events;
    c->context = s;
    s->accepted = c;
    s->loop->ops->conn_pause(c, true);
    later = (struct timer){.fire = go_on_reading, .context = s};
    s->loop->ops->timer_start(s->loop, &later, s->loop->ops->now_ms(s->loop) + 30);
}

static void a_paused_connection_reads_nothing_until_it_goes_on(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_paused, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &hello_events, &s);
    story_run(&s);
    assert_memory_equal(s.log, "pr", 2);
}

/* --- ports ------------------------------------------------------------------------------------ */

static void row_f8_a_taken_port_is_busy_and_free_again_after_the_stop(void **state)
{
    (void)state;
    struct story s;
    struct story t;
    story_begin(&s);
    story_begin(&t);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_count, &s),
                     STATUS_OK);
    assert_true(s.port > 0);
    assert_int_equal(t.loop->ops->listen(t.loop, "127.0.0.1", s.port, NULL, accept_count, &t),
                     STATUS_BUSY);
    assert_int_equal(t.loop->ops->listen(t.loop, "192.0.2.1", 0, NULL, accept_count, &t),
                     STATUS_UNREACHABLE);
    s.loop->ops->listen_stop(s.loop);
    assert_int_equal(t.loop->ops->listen(t.loop, "localhost", s.port, NULL, accept_count, &t),
                     STATUS_OK);
    uv_loop_destroy(s.loop);
    uv_loop_destroy(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_by_time_and_then_in_the_order_of_their_start),
        cmocka_unit_test(a_timer_that_restarts_itself_for_the_past_fires_once_a_turn),
        cmocka_unit_test(a_fine_timer_fires_once_and_not_too_early),
        cmocka_unit_test(a_fine_timer_that_is_moved_when_due_waits_for_its_new_time),
        cmocka_unit_test(an_idle_loop_sleeps),
        cmocka_unit_test(work_runs_in_order_and_all_of_it_is_done_before_the_loop_ends),
        cmocka_unit_test(slow_work_does_not_keep_the_log_thread),
        cmocka_unit_test(short_work_runs_on_the_loop_when_there_is_no_other),
        cmocka_unit_test(rule_p17_another_thread_tells_of_a_loop_that_hangs_in_short_work),
        cmocka_unit_test(row_f8_a_signal_is_a_call_and_a_second_one_changes_nothing),
        cmocka_unit_test(a_dial_that_fails_says_so_later_and_not_inside_the_call),
        cmocka_unit_test(a_dial_can_be_given_up),
        cmocka_unit_test(what_is_written_before_the_connection_stands_is_sent_once_it_does),
#ifdef __linux__
        cmocka_unit_test(a_dial_tries_every_address_of_a_name),
#endif
        cmocka_unit_test(closing_with_flush_loses_nothing_and_frees_what_was_lent),
        cmocka_unit_test(a_drain_follows_whenever_something_was_said_to_be_unsent),
        cmocka_unit_test(closing_without_flush_is_a_reset),
        cmocka_unit_test(a_paused_connection_reads_nothing_until_it_goes_on),
        cmocka_unit_test(row_f8_a_taken_port_is_busy_and_free_again_after_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
