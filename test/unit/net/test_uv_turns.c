/* Clients share a turn of the production loop with members (rule O3). */
#include "base/check.h"
#include "base/limits.h"
#include "uv_story.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENTS     20
#define A_LOOK      4 /* reads between two looks at the clock */
#define OWED_BYTES  (8u * MIB)
#define TAKEN_BYTES (256u * KIB)

static struct story s;
static int fds[CLIENTS];
static struct conn *conns[CLIENTS];
static uint32_t accepted;
static uint32_t heard;      /* of clients */
static uint32_t heard_turn; /* of these, in this turn */
static uint32_t heard_most; /* in any */
static uint32_t member_after;
static uint32_t turn;

static void connect_all(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons(s.port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fds[i] >= 0 && connect(fds[i], (struct sockaddr *)&a, sizeof(a)) == 0);
        CHECK(write(fds[i], "x", 1) == 1);
    }
}

static void close_all(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
}

/* As long as clients may take in one turn. */
static void spend(struct loop *l)
{
    uint64_t from_us = l->ops->now_us(l);
    while (l->ops->now_us(l) < from_us + 1000 * LIMIT_TURN_CLIENTS_MS) {
    }
}

static void count_client(struct conn *c)
{
    spend(c->loop);
    heard_turn = turn == s.turns ? heard_turn + 1 : 1;
    turn = s.turns;
    heard_most = heard_turn > heard_most ? heard_turn : heard_most;
    if (++heard == CLIENTS - 1) {
        story_stop(&s);
    }
}

static void on_data(struct conn *c, struct slice data)
{
    (void)data;
    if (c->is_favoured) {
        member_after = heard;
    } else {
        count_client(c);
    }
}

static void on_close(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static const struct conn_events reader = {.on_data = on_data, .on_close = on_close};

static void accept_reader(void *context, struct conn *c)
{
    (void)context;
    c->events = &reader;
    if (++accepted == CLIENTS) {
        conn_favour(c); /* the last one */
    }
}

static void begin(void (*on_accept)(void *context, struct conn *c))
{
    story_begin(&s);
    accepted = heard = heard_turn = heard_most = member_after = turn = 0;
    CHECK(s.loop->ops->listen(s.loop, "127.0.0.1", 0, &s.port, on_accept, NULL) == STATUS_OK);
    connect_all();
}

static void rule_o3_a_member_is_read_while_clients_wait_for_later_turns(void **state)
{
    (void)state;
    begin(accept_reader);
    story_run(&s);
    close_all();
    assert_int_equal(heard, CLIENTS - 1);
    assert_true(heard_most <= A_LOOK);
    assert_true(member_after <= A_LOOK);
}

/* --- who gets answers ------------------------------------------------------------------------- */

static void on_drain(struct conn *c)
{
    assert_true(s.loop->unsent->bytes <= (CLIENTS - 1) * OWED_BYTES);
    count_client(c);
}

static const struct conn_events writer = {
    .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static void accept_writer(void *context, struct conn *c)
{
    (void)context;
    conn_favour(c); /* what it says is not what is counted */
    c->events = &writer;
    conns[accepted++] = c;
    static uint8_t bytes[OWED_BYTES];
    c->loop->ops->conn_write_owned(c, slice_of(bytes, sizeof(bytes)), NULL, NULL);
    assert_true(c->loop->ops->conn_unsent(c) > 0);
    assert_true(s.loop->unsent->bytes >= OWED_BYTES);
}

static void take(struct timer *t)
{
    static uint8_t bytes[TAKEN_BYTES];
    for (int i = 0; i < CLIENTS; i++) {
        while (recv(fds[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
    }
    s.loop->ops->timer_start(s.loop, t, s.loop->ops->now_ms(s.loop) + 1);
}

static void rule_o3_who_has_taken_all_goes_on_in_its_turn(void **state)
{
    (void)state;
    begin(accept_writer);
    struct timer t = {.fire = take};
    s.loop->ops->timer_start(s.loop, &t, 0);
    story_run(&s);
    close_all();
    assert_true(heard >= CLIENTS - 1); /* the last turn may have had more */
    assert_true(heard_most <= A_LOOK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o3_a_member_is_read_while_clients_wait_for_later_turns),
        cmocka_unit_test(rule_o3_who_has_taken_all_goes_on_in_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
