/* The HTTP server on the production loop: many connections, few descriptors, refused bodies. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/http.h"
#include "uv_story.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define IDLE_CONNS 1000

/* --- many connections ------------------------------------------------------------------------- */

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
    story_tell(s, 'h');
    assert_int_equal(http_server_connections(server), IDLE_CONNS + 1);
    http_server_destroy(server);
    story_stop(s);
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
    story_begin(&s);
    opened = 0;
    server = http_server_create(s.loop, &hello_handler, NULL);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_http, NULL),
                     STATUS_OK);
    for (int i = 0; i < IDLE_CONNS; i++) {
        s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &idler_events, &s);
    }
    story_run(&s);
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
    story_tell(s, 'r');
    story_stop(s);
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
    story_begin(&s);
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
    story_run(&s);
    assert_string_equal(s.log, "r");
    close(scarce_fds[0]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* --- row A23: the answer to a body that is refused -------------------------------------------- */

static void pour(struct conn *c)
{
    static const uint8_t block[64 * KIB];
    struct story *s = c->context;
    if (s->bytes == 0) {
        c->loop->ops->conn_pause(c, true); /* it looks at the answer only after it has sent a lot */
        c->loop->ops->conn_write(
            c, slice_str("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"));
    }
    if (s->bytes < 4u * MIB) {
        c->loop->ops->conn_write(c, slice_of(block, sizeof(block)));
        s->bytes += sizeof(block);
        (void)c->loop->ops->conn_unsent(c); /* so that a drain comes */
    } else {
        c->loop->ops->conn_pause(c, false);
    }
}

static void no_close(struct conn *c, enum status why)
{
    (void)why;
    CHECK(((struct story *)c->context)->size > 0); /* not before the answer */
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
    story_tell(s, 'e');
    http_server_destroy(server);
    story_stop(s);
}

static const struct conn_events pourer_events = {.on_open = pour,
                                                 .on_data = hear_refusal,
                                                 .on_drain = pour,
                                                 .on_end = end_of_refusal,
                                                 .on_close = no_close};

static void row_a23_a_client_in_the_middle_of_a_body_still_hears_why_it_is_refused(void **state)
{
    (void)state;
    struct story s;
    story_begin(&s);
    server = http_server_create(s.loop, &hello_handler, NULL);
    assert_int_equal(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, accept_http, NULL),
                     STATUS_OK);
    s.loop->ops->dial(s.loop, "127.0.0.1", s.port, &pourer_events, &s);
    story_run(&s);
    assert_string_equal(s.log, "e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_e15_a_thousand_idle_connections_do_not_stop_the_next_request),
        cmocka_unit_test(out_of_descriptors_it_neither_spins_nor_stays_deaf),
        cmocka_unit_test(row_a23_a_client_in_the_middle_of_a_body_still_hears_why_it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
