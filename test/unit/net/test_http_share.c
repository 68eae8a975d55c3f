/* What connections share, and who is refused when it is used up (rule O1). */
#include "base/limits.h"
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FULL (LIMIT_BODIES_BYTES / BIG_BODY_MAX) /* bodies that fit */

/* --- bodies ----------------------------------------------------------------------------------- */

static struct fake_conn *announce(struct world *w, const char *path, size_t body_size)
{
    char head[128];
    struct fake_conn *c = http_world_connect(w);
    snprintf(head, sizeof(head), "PUT %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", path,
             body_size);
    feed(c, head);
    return c;
}

/* Announced, and so much of it comes. */
static struct fake_conn *begin(struct world *w, size_t body_size, size_t come)
{
    static const uint8_t bytes[BIG_BODY_MAX];
    struct fake_conn *c = announce(w, "/big", body_size);
    fake_conn_feed(c, slice_of(bytes, come));
    return c;
}

static struct fake_conn *begin_large(struct world *w)
{
    return begin(w, BIG_BODY_MAX, BIG_BODY_MAX - 1);
}

static void rule_o1_bodies_of_all_connections_have_one_bound(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *first = begin_large(&w);
    for (uint32_t i = 1; i < FULL; i++) {
        assert_int_equal(begin_large(&w)->sent.size, 0);
    }
    struct fake_conn *beyond = begin(&w, BIG_BODY_MAX, LIMIT_BODY_SMALL_BYTES);
    assert_int_equal(beyond->sent.size, 0);
    feed(beyond, "1");
    expect_answers(beyond, "429!");
    assert_true(contains(&beyond->sent, "Too many large requests"));
    assert_true(contains(&beyond->sent, "Retry-After: 1\r\n"));
    assert_true(beyond->is_closed && beyond->was_flushed); /* the rest is not read */
    expect_answers(begin(&w, LIMIT_BODY_SMALL_BYTES + 1, LIMIT_BODY_SMALL_BYTES + 1), "429!");
    assert_int_equal(w.request_count, 0);
    assert_int_equal(http_server_refusals(w.server).bodies, 2);
    assert_int_equal(begin(&w, BIG_BODY_MAX, LIMIT_BODY_SMALL_BYTES)->sent.size, 0);
    fake_conn_reset(first);
    assert_int_equal(begin_large(&w)->sent.size, 0);
    http_world_finish(&w);
}

/* Who announces much and sends nothing keeps nobody out. */
static void rule_o1_a_body_that_is_only_announced_takes_no_room(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.bodies_max = 2 * BIG_BODY_MAX});
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(announce(&w, "/big", BIG_BODY_MAX)->sent.size, 0);
    }
    assert_true(contains(&begin(&w, BIG_BODY_MAX, BIG_BODY_MAX)->sent, "HTTP/1.1 200 OK\r\n"));
    assert_int_equal(http_server_refusals(w.server).bodies, 0);
    http_world_finish(&w);
}

static void with_little_memory_bodies_have_less(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.bodies_max = BIG_BODY_MAX});
    assert_int_equal(begin_large(&w)->sent.size, 0);
    expect_answers(begin(&w, BIG_BODY_MAX, LIMIT_BODY_SMALL_BYTES + 1), "429!");
    http_world_finish(&w);
}

static void rule_o1_a_body_in_chunks_counts_as_it_comes(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.bodies_max = BIG_BODY_MAX});
    struct fake_conn *c = http_world_connect(&w);
    struct buf chunk = {0};
    buf_printf(&chunk, "%x\r\n", LIMIT_BODY_SMALL_BYTES + 1);
    for (uint32_t i = 0; i < LIMIT_BODY_SMALL_BYTES + 1; i++) {
        buf_append_byte(&chunk, 'x');
    }
    feed(c, "PUT /big HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    begin_large(&w);
    assert_int_equal(c->sent.size, 0);
    fake_conn_feed(c, buf_slice(&chunk));
    expect_answers(c, "429!");
    buf_deinit(&chunk);
    http_world_finish(&w);
}

static void a_body_that_would_be_refused_is_not_read(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *busy = announce(&w, "/busy", LIMIT_BODY_SMALL_BYTES + 1);
    expect_answers(busy, "429!");
    assert_true(contains(&busy->sent, "Too many writes are waiting"));
    assert_int_equal(announce(&w, "/busy", LIMIT_BODY_SMALL_BYTES)->sent.size, 0);
    assert_int_equal(announce(&w, "/big", LIMIT_BODY_SMALL_BYTES + 1)->sent.size, 0);
    http_world_finish(&w);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Its answer is more than LIMIT_CROWDED_ANSWER_BYTES. */
static struct fake_conn *ask_much_and_take_nothing(struct world *w)
{
    struct buf body = {0};
    struct fake_conn *c = announce(w, "/big", 2 * LIMIT_CROWDED_ANSWER_BYTES);
    c->is_stuck = true;
    for (uint32_t i = 0; i < 2 * LIMIT_CROWDED_ANSWER_BYTES; i++) {
        buf_append_byte(&body, 'x');
    }
    fake_conn_feed(c, buf_slice(&body));
    buf_deinit(&body);
    return c;
}

static void rule_o4_a_reader_that_takes_nothing_goes_sooner_when_too_much_waits(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct loop_unsent unsent = {.bytes = 1000, .bytes_max = 1000};
    w.loop.base.unsent = &unsent;
    struct fake_conn *patient = ask_much_and_take_nothing(&w);
    fake_loop_pass(&w.loop, 3ull * LIMIT_CROWDED_STALL_MS, 100);
    assert_false(patient->is_closed);
    unsent.bytes++;
    ask_much_and_take_nothing(&w);
    fake_loop_pass(&w.loop, 3ull * LIMIT_CROWDED_STALL_MS, 100);
    assert_true(patient->is_gone && !patient->was_flushed);
    assert_int_equal(http_server_connections(w.server), 0);
    http_world_finish(&w);
}

/* --- turns ------------------------------------------------------------------------------------ */

#define STREAMS 10

/* Each has a second answer whose turn it is now. */
static void rule_o3_streams_do_not_all_go_on_in_a_turn_that_is_long(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    for (uint32_t i = 0; i < STREAMS; i++) {
        feed(http_world_connect(&w),
             "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    for (uint32_t i = 0; i < STREAMS; i++) {
        http_answer_begin(w.waiting[2 * i + 1], 200, "text/plain", NULL);
        http_answer(w.waiting[2 * i], 200, NULL, NULL, slice_str(""));
    }
    w.loop.spent_us = 1000 * LIMIT_TURN_CLIENTS_MS;
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 4);
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 8);
    w.loop.spent_us = 0;
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, STREAMS);
    for (uint32_t i = 0; i < STREAMS; i++) {
        http_answer_end(w.waiting[2 * i + 1]);
    }
    http_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_bodies_of_all_connections_have_one_bound),
        cmocka_unit_test(rule_o1_a_body_that_is_only_announced_takes_no_room),
        cmocka_unit_test(with_little_memory_bodies_have_less),
        cmocka_unit_test(rule_o1_a_body_in_chunks_counts_as_it_comes),
        cmocka_unit_test(a_body_that_would_be_refused_is_not_read),
        cmocka_unit_test(rule_o4_a_reader_that_takes_nothing_goes_sooner_when_too_much_waits),
        cmocka_unit_test(rule_o3_streams_do_not_all_go_on_in_a_turn_that_is_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
