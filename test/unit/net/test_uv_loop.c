/* The production loop against the real kernel, over loopback. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/http.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define GUARD_MS   20000
#define LOG_MAX    64
#define BIG_BYTES  (8u * MIB)
#define IDLE_CONNS 1000

/* What happened, one letter each. */
struct story {
    struct loop *loop;
    char log[LOG_MAX];
    size_t size;
    uint32_t turns;
    uint16_t port;
    struct timer guard;
    struct conn *accepted;
    struct buf received;
    enum status why;
    uint64_t bytes;
};

static void tell(struct story *s, char letter)
{
    assert_true(s->size < LOG_MAX - 1);
    s->log[s->size++] = letter;
}

static void on_guard(struct timer *t)
{
    (void)t;
    CHECK(0 && "the test hangs");
}

static void count_turn(void *context)
{
    ((struct story *)context)->turns++;
}

static void stop(struct story *s)
{
    s->loop->ops->stop(s->loop);
}

static void begin(struct story *s)
{
    memset(s, 0, sizeof(*s));
    s->loop = uv_loop_create();
    s->loop->ops->on_turn(s->loop, count_turn, s);
    s->guard = (struct timer){.fire = on_guard};
    s->loop->ops->timer_start(s->loop, &s->guard, s->loop->ops->now_ms(s->loop) + GUARD_MS);
}

static void run(struct story *s)
{
    uv_loop_run(s->loop);
    uv_loop_destroy(s->loop);
    buf_deinit(&s->received);
}

/* --- timers ------------------------------------------------------------------------------------- */

struct lettered_timer {
    struct timer timer;
    struct story *story;
    char letter;
};

static void tell_letter(struct timer *t)
{
    struct lettered_timer *l = CONTAINER_OF(t, struct lettered_timer, timer);
    tell(l->story, l->letter);
}

static void stop_story(struct timer *t)
{
    stop(t->context);
}

static void timers_fire_by_time_and_then_in_the_order_of_their_start(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
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
    run(&s);
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
        stop(r->story);
    }
}

static void a_timer_that_restarts_itself_for_the_past_fires_once_a_turn(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    struct restless r = {.timer = {.fire = fire_again}, .story = &s};
    s.loop->ops->timer_start(s.loop, &r.timer, 0);
    run(&s);
    assert_int_equal(r.fired, 100);
    assert_true(s.turns >= 100);
}

static void an_idle_loop_sleeps(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    struct timer end = {.fire = stop_story, .context = &s};
    s.loop->ops->timer_start(s.loop, &end, s.loop->ops->now_ms(s.loop) + 300);
    run(&s);
    assert_true(s.turns <= 5);
}

/* --- the log thread ----------------------------------------------------------------------------- */

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
}

static void note_done(struct work *w)
{
    CHECK_CMP(works_done, ==, CONTAINER_OF(w, struct numbered_work, work)->number);
    works_done++;
    if (works_done == WORKS / 2) {
        stop(works_story); /* the rest is still run and done */
    }
}

static void work_runs_in_order_and_all_of_it_is_done_before_the_loop_ends(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    works_run = 0;
    works_done = 0;
    works_story = &s;
    static struct numbered_work works[WORKS];
    for (uint32_t i = 0; i < WORKS; i++) {
        works[i] =
            (struct numbered_work){.work = {.run = run_work, .done = note_done}, .number = i};
        s.loop->ops->submit(s.loop, &works[i].work);
    }
    run(&s);
    assert_int_equal(works_run, WORKS);
    assert_int_equal(works_done, WORKS);
}

/* --- signals ------------------------------------------------------------------------------------ */

static void on_signal(void *context, int signal_number)
{
    assert_int_equal(signal_number, SIGUSR1);
    tell(context, 's');
    stop(context);
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
    begin(&s);
    uv_loop_on_signal(s.loop, SIGUSR1, on_signal, &s);
    struct timer t = {.fire = raise_signal};
    s.loop->ops->timer_start(s.loop, &t, 0);
    run(&s);
    assert_string_equal(s.log, "s");
    raise(SIGUSR1); /* by default it would kill us */
}

/* --- dialling and closing ----------------------------------------------------------------------- */

static void note_close(struct conn *c, enum status why)
{
    struct story *s = c->context;
    tell(s, 'C');
    s->why = why;
    stop(s);
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
        begin(&s);
        s.loop->ops->dial(s.loop, hosts[i], port, &refused_events, &s);
        assert_int_equal(s.size, 0);
        run(&s);
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
        begin(&s);
        struct conn *c = s.loop->ops->dial(s.loop, hosts[i], 9, &refused_events, &s);
        s.loop->ops->conn_write(c, slice_str("never sent"));
        s.loop->ops->conn_close(c, i % 2 == 0);
        assert_int_equal(s.size, 0);
        run(&s);
        assert_string_equal(s.log, "C");
    }
}

static void answer_open(struct conn *c)
{
    struct story *s = c->context;
    tell(s, 'o');
    assert_string_equal(c->local_host, "127.0.0.1");
    c->loop->ops->conn_write(c, slice_str(" and this"));
}

static void gather_data(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    buf_append_slice(&s->received, data);
    if (s->received.size == strlen("before open and this")) {
        stop(s);
    }
}

static void note_quiet_close(struct conn *c, enum status why)
{
    (void)why;
    tell(c->context, 'c');
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
    assert_memory_equal(c->remote, "127.0.0.1:", 10);
    assert_string_equal(c->local_host, "127.0.0.1");
}

static void what_is_written_before_the_connection_stands_is_sent_once_it_does(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost"}; /* maybe ::1 first: refused */
    for (size_t i = 0; i < 2; i++) {
        struct story s;
        begin(&s);
        assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_gather, &s),
                         STATUS_OK);
        struct conn *c = s.loop->ops->dial(s.loop, hosts[i], s.port, &dialler_events, &s);
        s.loop->ops->conn_write(c, slice_str("before open"));
        uv_loop_run(s.loop);
        assert_true(slice_equal(buf_slice(&s.received), slice_str("before open and this")));
        assert_string_equal(s.log, "occ");
        uv_loop_destroy(s.loop);
        buf_deinit(&s.received);
    }
}

/* --- much data ---------------------------------------------------------------------------------- */

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
    begin(&s);
    released = 0;
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_check, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &much_events, &s);
    run(&s);
    assert_int_equal(s.bytes, BIG_BYTES);
    assert_int_equal(released, (BIG_BYTES / 1024 + 2) / 3);
    assert_int_equal(s.why, STATUS_CLOSED);
}

/* A producer that waits for its drain, whether the kernel took everything or not. */
static void produce(struct conn *c)
{
    struct story *s = c->context;
    static const uint8_t block[200000];
    tell(s, 'd');
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
    begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_count, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &producer_events, &s);
    run(&s);
    assert_int_equal(s.bytes, 10 * 200000 + 9 * 10);
}

/* --- resets, pauses ----------------------------------------------------------------------------- */

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
    begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_reset, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &resetter_events, &s);
    run(&s);
    assert_int_equal(s.bytes, 0);
    assert_int_equal(s.why, STATUS_CLOSED);
}

static void go_on_reading(struct timer *t)
{
    struct story *s = t->context;
    tell(s, 'p');
    s->loop->ops->conn_pause(s->accepted, false);
}

static void read_after_pause(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    tell(s, 'r');
    assert_true(slice_equal(data, slice_str("hello")));
    stop(s);
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
    begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_paused, &s),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &hello_events, &s);
    run(&s);
    assert_memory_equal(s.log, "pr", 2);
}

/* --- ports -------------------------------------------------------------------------------------- */

static void row_f8_a_taken_port_is_busy_and_free_again_after_the_stop(void **state)
{
    (void)state;
    struct story s;
    struct story t;
    begin(&s);
    begin(&t);
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

/* --- many connections --------------------------------------------------------------------------- */

static struct http_server *server;

static void answer_hello(void *context, struct http_request *r)
{
    (void)context;
    http_answer(r, 200, "text/plain", NULL, slice_str("hello"));
}

static void say_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    buf_printf(body, "%d %s", http_status, reason);
}

static uint64_t allow_some(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 1000;
}

static void accept_http(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(server, c);
}

static const struct http_handler hello_handler = {
    .on_request = answer_hello, .on_bad = say_bad, .body_bytes_max = allow_some};

static uint32_t opened;

static void ask(struct conn *c)
{
    c->loop->ops->conn_write(c, slice_str("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
}

static void hear_hello(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    assert_true(memmem(data.data, data.size, "hello", 5) != NULL);
    tell(s, 'h');
    assert_int_equal(http_server_connections(server), IDLE_CONNS + 1);
    http_server_destroy(server);
    stop(s);
}

static void close_quietly(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static const struct conn_events asker_events = {
    .on_open = ask, .on_data = hear_hello, .on_close = close_quietly};

static void maybe_ask(struct conn *c)
{
    struct story *s = c->context;
    if (++opened == IDLE_CONNS) {
        s->loop->ops->dial(s->loop, "127.0.0.1", s->port, &asker_events, s);
    }
}

static const struct conn_events idler_events = {.on_open = maybe_ask, .on_close = close_quietly};

static void row_e15_a_thousand_idle_connections_do_not_stop_the_next_request(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    opened = 0;
    server = http_server_create(s.loop, &hello_handler, NULL);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_http, NULL),
                     STATUS_OK);
    for (int i = 0; i < IDLE_CONNS; i++) {
        s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &idler_events, &s);
    }
    run(&s);
    assert_string_equal(s.log, "h");
}

static int connect_raw(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

#define SCARCE_CLIENTS 40

static int scarce_fds[SCARCE_CLIENTS];

static void recover(struct timer *t)
{
    struct story *s = t->context;
    assert_true(s->turns < 1000); /* it does not spin on the connections that it cannot take */
    for (int i = 0; i < SCARCE_CLIENTS; i++) {
        close(scarce_fds[i]);
    }
    int fd = connect_raw(s->port);
    CHECK(write(fd, "x", 1) == 1);
    scarce_fds[0] = fd;
}

static void stop_at_data(struct conn *c, struct slice data)
{
    (void)data;
    struct story *s = c->context;
    tell(s, 'r');
    stop(s);
}

static const struct conn_events scarce_events = {.on_data = stop_at_data,
                                                 .on_close = close_quietly};

static void accept_scarce(void *context, struct conn *c)
{
    c->events = &scarce_events;
    c->context = context;
}

static void out_of_descriptors_it_neither_spins_nor_stays_deaf(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_scarce, &s),
                     STATUS_OK);
    for (int i = 0; i < SCARCE_CLIENTS; i++) {
        scarce_fds[i] = connect_raw(s.port); /* the kernel queues them */
    }
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit scarce = {.rlim_cur = (rlim_t)scarce_fds[SCARCE_CLIENTS - 1] + 10,
                            .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &scarce), 0);
    struct timer t = {.fire = recover, .context = &s};
    s.loop->ops->timer_start(s.loop, &t, s.loop->ops->now_ms(s.loop) + 200);
    run(&s);
    assert_string_equal(s.log, "r");
    close(scarce_fds[0]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* --- row A23: the answer to a body that is refused ---------------------------------------------- */

static void pour(struct conn *c)
{
    static const uint8_t block[64 * KIB];
    struct story *s = c->context;
    if (s->bytes == 0) {
        c->loop->ops->conn_write(
            c, slice_str("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"));
    }
    if (s->bytes < 4u * MIB) {
        c->loop->ops->conn_write(c, slice_of(block, sizeof(block)));
        s->bytes += sizeof(block);
        (void)c->loop->ops->conn_unsent(c); /* so that a drain comes */
    }
}

static void hear_refusal(struct conn *c, struct slice data)
{
    struct story *s = c->context;
    buf_append_slice(&s->received, data);
}

static void end_of_refusal(struct conn *c)
{
    struct story *s = c->context;
    assert_memory_equal(s->received.data, "HTTP/1.1 413 ", 13);
    tell(s, 'e');
    http_server_destroy(server);
    stop(s);
}

static const struct conn_events pourer_events = {.on_open = pour,
                                                 .on_data = hear_refusal,
                                                 .on_drain = pour,
                                                 .on_end = end_of_refusal,
                                                 .on_close = close_quietly};

static void row_a23_a_client_in_the_middle_of_a_body_still_hears_why_it_is_refused(void **state)
{
    (void)state;
    struct story s;
    begin(&s);
    server = http_server_create(s.loop, &hello_handler, NULL);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_http, NULL),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &pourer_events, &s);
    run(&s);
    assert_string_equal(s.log, "e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_by_time_and_then_in_the_order_of_their_start),
        cmocka_unit_test(a_timer_that_restarts_itself_for_the_past_fires_once_a_turn),
        cmocka_unit_test(an_idle_loop_sleeps),
        cmocka_unit_test(work_runs_in_order_and_all_of_it_is_done_before_the_loop_ends),
        cmocka_unit_test(row_f8_a_signal_is_a_call_and_a_second_one_changes_nothing),
        cmocka_unit_test(a_dial_that_fails_says_so_later_and_not_inside_the_call),
        cmocka_unit_test(a_dial_can_be_given_up),
        cmocka_unit_test(what_is_written_before_the_connection_stands_is_sent_once_it_does),
        cmocka_unit_test(closing_with_flush_loses_nothing_and_frees_what_was_lent),
        cmocka_unit_test(a_drain_follows_whenever_something_was_said_to_be_unsent),
        cmocka_unit_test(closing_without_flush_is_a_reset),
        cmocka_unit_test(a_paused_connection_reads_nothing_until_it_goes_on),
        cmocka_unit_test(row_f8_a_taken_port_is_busy_and_free_again_after_the_stop),
        cmocka_unit_test(row_e15_a_thousand_idle_connections_do_not_stop_the_next_request),
        cmocka_unit_test(out_of_descriptors_it_neither_spins_nor_stays_deaf),
        cmocka_unit_test(row_a23_a_client_in_the_middle_of_a_body_still_hears_why_it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
