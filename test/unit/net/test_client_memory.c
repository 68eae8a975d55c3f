/* What the connections of clients make a member keep, all together (rule O1): each of them is
 * within its own bounds, and the largest are reset all the same. */
#include "base/limits.h"
#include "grpc_world.h"

#undef WAITING_MAX /* each world has its own */
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define CROWD     16
#define BYTES_MAX MIB
#define ANSWER    (128u * KIB) /* of each: together they are twice of what may be */

static const uint8_t bytes[BYTES_MAX];

struct crowd {
    struct client_memory memory;
    struct fake_conn *conns[CROWD];
    struct fake_conn *small;
};

static uint32_t count_closed(const struct crowd *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        count += c->conns[i]->is_closed ? 1 : 0;
        assert_false(c->conns[i]->is_closed && c->conns[i]->was_flushed);
    }
    return count;
}

/* Of CROWD connections with as much as ANSWER, those are left that keep three quarters. */
static void expect_three_quarters_left(const struct crowd *c)
{
    assert_in_range(count_closed(c), CROWD - BYTES_MAX / ANSWER * 3 / 4, CROWD - 4);
    assert_int_equal(c->memory.dropped, count_closed(c));
    assert_false(c->small->is_closed);
}

static void start_http(struct crowd *c, struct world *w)
{
    client_memory_init(&c->memory, &w->loop.base, BYTES_MAX);
    http_world_start_with(w, &(struct http_options){.memory = &c->memory});
    for (uint32_t i = 0; i < CROWD; i++) {
        c->conns[i] = http_world_connect(w);
        c->conns[i]->is_stuck = true;
    }
    c->small = http_world_connect(w);
    c->small->is_stuck = true;
}

static void finish_http(struct crowd *c, struct world *w)
{
    client_memory_deinit(&c->memory);
    http_world_finish(w);
}

static void rule_o1_answers_that_nobody_takes_are_bounded_together(void **state)
{
    (void)state;
    struct world w;
    struct crowd c;
    start_http(&c, &w);
    for (uint32_t i = 0; i < CROWD; i++) {
        feed(c.conns[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    feed(c.small, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    for (uint32_t i = 0; i < CROWD; i++) {
        http_answer(w.waiting[i], 200, NULL, NULL, slice_of(bytes, ANSWER));
    }
    http_answer(w.waiting[CROWD], 200, NULL, NULL, slice_of(bytes, LIMIT_CLIENT_SMALL_BYTES / 2));
    fake_loop_pass(&w.loop, 2 * LIMIT_CLIENT_LOOK_MS, 1);
    expect_three_quarters_left(&c);
    finish_http(&c, &w);
}

/* The first answer of each is not made yet, and what is made waits for it. */
static void rule_o1_answers_before_their_turn_are_bounded_together(void **state)
{
    (void)state;
    struct world w;
    struct crowd c;
    struct loop_unsent unsent = {.bytes_max = BYTES_MAX};
    start_http(&c, &w);
    w.loop.base.unsent = &unsent;
    for (uint32_t i = 0; i < CROWD; i++) {
        feed(c.conns[i], "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    for (uint32_t i = 0; i < CROWD; i++) {
        http_answer(w.waiting[2 * i + 1], 200, NULL, NULL, slice_of(bytes, ANSWER));
    }
    assert_true(loop_is_crowded(&w.loop.base));
    fake_loop_pass(&w.loop, 2 * LIMIT_CLIENT_LOOK_MS, 1);
    expect_three_quarters_left(&c);
    assert_in_range(unsent.bytes, (CROWD - count_closed(&c)) * ANSWER, BYTES_MAX);
    uint32_t left = 0;
    for (uint32_t i = 0; i < CROWD; i++) {
        if (!c.conns[i]->is_closed && left++ > 0) { /* one is still waiting in the end */
            http_answer(w.waiting[2 * i], 200, NULL, NULL, slice_str(""));
            assert_true(c.conns[i]->sent.size > ANSWER);
        }
    }
    assert_in_range(unsent.bytes, ANSWER, 2 * ANSWER - 1);
    finish_http(&c, &w);
    assert_int_equal(unsent.bytes, 0);
}

static void rule_o1_bodies_that_are_not_whole_are_bounded_together(void **state)
{
    (void)state;
    struct world w;
    struct crowd c;
    start_http(&c, &w);
    for (uint32_t i = 0; i < CROWD; i++) {
        feed(c.conns[i], "PUT /big HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
        fake_conn_feed(c.conns[i], slice_of(bytes, ANSWER));
    }
    fake_loop_pass(&w.loop, 2 * LIMIT_CLIENT_LOOK_MS, 1);
    expect_three_quarters_left(&c);
    finish_http(&c, &w);
}

/* Also when the server has ended it, and only waits for its last answer to be taken. */
static void rule_o1_who_is_being_closed_counts_too(void **state)
{
    (void)state;
    struct world w;
    struct crowd c;
    start_http(&c, &w);
    feed(c.conns[0], "GET /later HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    feed(c.conns[1], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer(w.waiting[0], 200, NULL, NULL, slice_of(bytes, sizeof(bytes)));
    http_answer(w.waiting[1], 200, NULL, NULL, slice_of(bytes, ANSWER));
    assert_true(c.conns[0]->is_closed && c.conns[0]->was_flushed);
    fake_loop_turn(&w.loop);
    assert_int_equal(c.memory.dropped, 1);
    assert_false(c.conns[1]->is_closed);
    finish_http(&c, &w);
}

/* A thousand requests may come in one turn, and each ask for much. */
static void rule_o1_so_much_in_one_turn_and_the_rest_in_the_next(void **state)
{
    (void)state;
    struct world w;
    struct crowd c;
    start_http(&c, &w);
    feed(c.conns[0], "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer(w.waiting[0], 200, NULL, NULL, slice_of(bytes, BYTES_MAX / 4));
    uint32_t before = w.request_count;
    feed(c.small, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(w.request_count, before);
    fake_loop_turn(&w.loop);
    fake_loop_turn(&w.loop);
    assert_int_equal(w.request_count, before + 1);
    assert_false(c.conns[0]->is_closed);
    finish_http(&c, &w);
}

/* --- HTTP/2 ----------------------------------------------------------------------------------- */

static void start_grpc(struct crowd *c, struct grpc_world *w)
{
    struct buf first = {0};
    client_memory_init(&c->memory, &w->loop.base, BYTES_MAX);
    grpc_world_start(w, &(struct grpc_options){.memory = &c->memory});
    preface_append(&first);
    for (uint32_t i = 0; i < CROWD; i++) {
        c->conns[i] = grpc_world_connect(w, buf_slice(&first));
    }
    c->small = grpc_world_connect(w, buf_slice(&first));
    buf_deinit(&first);
}

static void finish_grpc(struct crowd *c, struct grpc_world *w)
{
    client_memory_deinit(&c->memory);
    grpc_world_finish(w);
}

/* Headers of a call to /wait/x; `more` of them are a byte each, of the table. */
static void say_call(struct fake_conn *conn, uint32_t id, uint32_t more)
{
    struct buf block = {0};
    struct buf out = {0};
    headers_append(&block, "/wait/x");
    buf_append_str(&block, id == 1 ? "\x40\x01y\x01z" : "");
    for (uint32_t i = 0; i < more; i++) {
        buf_append_byte(&block, 0xbe);
    }
    frame_append(&out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, buf_slice(&block));
    fake_conn_feed(conn, buf_slice(&out));
    buf_deinit(&block);
    buf_deinit(&out);
}

/* A few bytes each, no two next to each other alike. */
static void rule_o1_calls_that_only_begin_are_bounded_together(void **state)
{
    (void)state;
    struct grpc_world w;
    struct crowd c;
    start_grpc(&c, &w);
    for (uint32_t i = 0; i < CROWD; i++) {
        for (uint32_t k = 0; k < 24; k++) {
            say_call(c.conns[i], 2 * k + 1, 80 - k % 2);
        }
        grpc_world_pass(&w, 2 * LIMIT_CLIENT_LOOK_MS, 10);
    }
    say_call(c.small, 1, 1);
    grpc_world_pass(&w, 2 * LIMIT_CLIENT_LOOK_MS, 10);
    assert_true(c.memory.dropped > 0);
    assert_int_equal(c.memory.dropped, count_closed(&c));
    assert_false(c.small->is_closed);
    assert_true(grpc_server_streams(w.server) < CROWD * 24 * 3 / 4);
    finish_grpc(&c, &w);
}

/* The answers of a turn have taken what there is: calls are refused until all were looked at. */
static void rule_o1_a_call_in_a_turn_with_too_much_is_refused(void **state)
{
    (void)state;
    struct grpc_world w;
    struct crowd c;
    start_grpc(&c, &w);
    say_call(c.conns[0], 1, 1);
    grpc_send(w.waiting[0], slice_of(bytes, BYTES_MAX / 4));
    say_call(c.small, 1, 1);
    grpc_world_turn(&w);
    assert_int_equal(w.waiting_count, 1);
    say_call(c.small, 3, 1);
    assert_int_equal(w.waiting_count, 2);
    finish_grpc(&c, &w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_answers_that_nobody_takes_are_bounded_together),
        cmocka_unit_test(rule_o1_answers_before_their_turn_are_bounded_together),
        cmocka_unit_test(rule_o1_bodies_that_are_not_whole_are_bounded_together),
        cmocka_unit_test(rule_o1_who_is_being_closed_counts_too),
        cmocka_unit_test(rule_o1_so_much_in_one_turn_and_the_rest_in_the_next),
        cmocka_unit_test(rule_o1_calls_that_only_begin_are_bounded_together),
        cmocka_unit_test(rule_o1_a_call_in_a_turn_with_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
