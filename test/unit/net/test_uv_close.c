/* How the production loop ends connections and ports: what was sent arrives, and nobody is waited
 * for longer than something can be lost. The clients are plain sockets. */
#include "base/check.h"
#include "base/limits.h"
#include "uv_story.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SOON_MS 250 /* more than a busy machine takes, less than any of the bounds */

static int client_fd;
static uint64_t closed_from_ms;
static uint64_t closed_after_ms;

static int connect_raw(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void ignore_data(struct conn *c, struct slice data)
{
    (void)c;
    (void)data;
}

static void note_time(struct conn *c, enum status why)
{
    struct story *s = c->context;
    s->why = why;
    closed_after_ms = c->loop->ops->now_ms(c->loop) - closed_from_ms;
    story_stop(s);
}

static const struct conn_events server_events = {.on_data = ignore_data, .on_close = note_time};

static void close_politely(struct conn *c)
{
    closed_from_ms = c->loop->ops->now_ms(c->loop);
    c->loop->ops->conn_close(c, true);
}

static void take(void *context, struct conn *c)
{
    struct story *s = context;
    c->events = &server_events;
    c->context = s;
    s->accepted = c;
}

static void answer_and_close(void *context, struct conn *c)
{
    take(context, c);
    c->loop->ops->conn_write(c, slice_str("hello"));
    close_politely(c);
}

/* Listen, and connect one client that does nothing by itself. */
static void begin(struct story *s, void (*on_accept)(void *context, struct conn *c))
{
    story_begin(s);
    assert_int_equal(s->loop->ops->listen(s->loop, "127.0.0.1", 0, &s->port, on_accept, s),
                     STATUS_OK);
    client_fd = connect_raw(s->port);
    assert_true(client_fd >= 0);
}

static void expect_in_the_end(const char *text)
{
    char got[64];
    size_t size = strlen(text);
    assert_int_equal(recv(client_fd, got, sizeof(got), MSG_WAITALL), size);
    assert_memory_equal(got, text, size);
    assert_int_equal(recv(client_fd, got, 1, 0), 0); /* an end, no reset */
    close(client_fd);
}

static void a_client_that_does_not_look_is_waited_for_while_its_answer_is_news(void **state)
{
    (void)state;
    struct story s;
    begin(&s, answer_and_close);
    story_run(&s);
    assert_in_range(closed_after_ms, LIMIT_CONN_SETTLED_MS, LIMIT_CONN_SETTLED_MS + SOON_MS);
    expect_in_the_end("hello");
}

static void close_later(struct timer *t)
{
    close_politely(((struct story *)t->context)->accepted);
}

static void row_f8_a_quiet_connection_is_closed_without_waiting_for_its_client(void **state)
{
    (void)state;
    struct story s;
    begin(&s, take);
    struct timer t = {.fire = close_later, .context = &s};
    s.loop->ops->timer_start(s.loop, &t, s.loop->ops->now_ms(s.loop) + LIMIT_CONN_SETTLED_MS + 50);
    story_run(&s);
    assert_true(closed_after_ms < SOON_MS);
    expect_in_the_end("");
}

static void send_on(struct timer *t)
{
    (void)t;
    CHECK(send(client_fd, "more", 4, MSG_NOSIGNAL) == 4);
}

static void look_at_answer(struct timer *t)
{
    struct story *s = t->context;
    story_tell(s, 'l');
    expect_in_the_end("hello");
}

static void a_client_that_sends_on_is_waited_for_so_that_no_reset_overtakes_its_answer(void **state)
{
    (void)state;
    struct story s;
    begin(&s, answer_and_close);
    struct timer sends = {.fire = send_on};
    struct timer looks = {.fire = look_at_answer, .context = &s};
    uint64_t now = s.loop->ops->now_ms(s.loop);
    s.loop->ops->timer_start(s.loop, &sends, now + 100);
    s.loop->ops->timer_start(s.loop, &looks, now + 3 * LIMIT_CONN_SETTLED_MS);
    story_run(&s);
    assert_string_equal(s.log, "l");
    assert_in_range(closed_after_ms, 3 * LIMIT_CONN_SETTLED_MS - SOON_MS,
                    3 * LIMIT_CONN_SETTLED_MS + SOON_MS);
}

static void pour_and_close(void *context, struct conn *c)
{
    static const uint8_t block[MIB];
    take(context, c);
    for (int i = 0; i < 16; i++) {
        c->loop->ops->conn_write(c, slice_of(block, sizeof(block)));
    }
    close_politely(c);
}

static void row_f8_a_client_that_reads_nothing_is_waited_for_so_long_and_no_longer(void **state)
{
    (void)state;
    struct story s;
    begin(&s, pour_and_close);
    story_run(&s);
    assert_in_range(closed_after_ms, LIMIT_CONN_LINGER_MS, LIMIT_CONN_LINGER_MS + SOON_MS);
    close(client_fd);
}

static struct timer pours;
static uint64_t poured;

/* Everything that the kernel takes, again and again, until the connection is reset. */
static void pour_on(struct timer *t)
{
    static const uint8_t block[256 * KIB];
    struct story *s = t->context;
    ssize_t sent;
    while ((sent = send(client_fd, block, sizeof(block), MSG_NOSIGNAL | MSG_DONTWAIT)) > 0) {
        poured += (uint64_t)sent;
    }
    if (errno == EAGAIN) {
        s->loop->ops->timer_start(s->loop, t, s->loop->ops->now_ms(s->loop) + 5);
    }
}

static void rule_o1_a_client_that_sends_on_and_on_is_not_read_for_ever(void **state)
{
    (void)state;
    struct story s;
    begin(&s, answer_and_close);
    poured = 0;
    pours = (struct timer){.fire = pour_on, .context = &s};
    s.loop->ops->timer_start(s.loop, &pours, s.loop->ops->now_ms(s.loop) + 20);
    story_run(&s);
    /* Beyond the bound comes only what the two kernels hold. */
    assert_in_range(poured, LIMIT_CONN_LINGER_BYTES, 2 * LIMIT_CONN_LINGER_BYTES);
    assert_in_range(closed_after_ms, LIMIT_CONN_LINGER_MS, LIMIT_CONN_LINGER_MS + SOON_MS);
    close(client_fd);
}

static void row_f8_who_has_connected_is_served_although_the_port_is_closed(void **state)
{
    (void)state;
    struct story s;
    begin(&s, answer_and_close);
    CHECK(send(client_fd, "ask", 3, MSG_NOSIGNAL) == 3);
    s.loop->ops->listen_stop(s.loop); /* libuv has not taken it yet */
    assert_non_null(s.accepted);
    assert_int_equal(connect_raw(s.port), -1);
    assert_int_equal(errno, ECONNREFUSED);
    struct timer looks = {.fire = look_at_answer, .context = &s};
    s.loop->ops->timer_start(s.loop, &looks, s.loop->ops->now_ms(s.loop) + 50);
    story_run(&s);
    assert_string_equal(s.log, "l");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_does_not_look_is_waited_for_while_its_answer_is_news),
        cmocka_unit_test(row_f8_a_quiet_connection_is_closed_without_waiting_for_its_client),
        cmocka_unit_test(
            a_client_that_sends_on_is_waited_for_so_that_no_reset_overtakes_its_answer),
        cmocka_unit_test(row_f8_a_client_that_reads_nothing_is_waited_for_so_long_and_no_longer),
        cmocka_unit_test(rule_o1_a_client_that_sends_on_and_on_is_not_read_for_ever),
        cmocka_unit_test(row_f8_who_has_connected_is_served_although_the_port_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
