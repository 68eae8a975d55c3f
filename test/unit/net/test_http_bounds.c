/* Bounds of the HTTP server that only many or large requests reach (rule O1). */
#include "base/limits.h"
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void feed_put(struct fake_conn *c, const char *path, size_t body_size)
{
    struct buf input = {0};
    buf_printf(&input, "PUT %s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", path, body_size);
    for (size_t i = 0; i < body_size; i++) {
        buf_append_byte(&input, 'x');
    }
    fake_conn_feed(c, buf_slice(&input));
    buf_deinit(&input);
}

static void rule_o1_no_request_is_read_behind_too_many_bytes_of_bodies(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed_put(c, "/later", 0); /* the answers of the others wait for this one */
    feed_put(c, "/big", LIMIT_PIPELINED_BODY_BYTES - 1);
    feed_put(c, "/a", 1);
    assert_int_equal(w.request_count, 3);
    feed_put(c, "/b", 1);
    assert_int_equal(w.request_count, 3);
    assert_true(c->is_paused);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str(""));
    fake_loop_turn(&w.loop);
    assert_int_equal(w.request_count, 4);
    http_world_finish(&w);
}

static void rule_o1_an_answer_that_waits_for_its_turn_grows_only_so_far(void **state)
{
    (void)state;
    static const uint8_t bytes[LIMIT_PIPELINED_OUT_BYTES];
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    struct http_request *second = w.waiting[1];
    http_answer_begin(second, 200, "text/plain", NULL);
    http_answer_chunk(second, slice_of(bytes, sizeof(bytes) / 2));
    assert_true(http_answer_wants_more(second));
    http_answer_chunk(second, slice_of(bytes, sizeof(bytes) / 2));
    assert_false(http_answer_wants_more(second));
    assert_int_equal(w.writable_count, 0);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str(""));
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 1);
    assert_true(http_answer_wants_more(second));
    http_answer_end(second);
    http_world_finish(&w);
}

/* Looked at now and then, so that it may live a little longer; never shorter. */
static void rule_o1_a_connection_without_a_request_is_kept_so_long_by_default(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    fake_loop_pass(&w.loop, LIMIT_HTTP_IDLE_MS / 2, 500);
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, LIMIT_HTTP_IDLE_MS - 1, 1);
    assert_false(c->is_closed);
    fake_loop_pass(&w.loop, LIMIT_HTTP_IDLE_MS / 15 + 2, 1);
    assert_true(c->is_closed);
    expect_answers(c, "200:0 GET /a? ");
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

static void rule_o1_so_many_connections_and_no_more_by_default(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *first = http_world_connect(&w);
    for (uint32_t i = 1; i < LIMIT_CONNECTIONS; i++) {
        assert_false(http_world_connect(&w)->is_closed);
    }
    assert_false(first->is_closed);
    http_world_connect(&w);
    assert_true(first->is_closed);
    http_world_finish(&w);
}

/* All places are taken, by those who wait for an answer. */
static void start_busy(struct world *w, uint32_t connections_max)
{
    http_world_start_with(w, &(struct http_options){.connections_max = connections_max});
    for (uint32_t i = 0; i < connections_max; i++) {
        feed(http_world_connect(w), "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
}

static void connections_beyond_the_limit_are_told_so(void **state)
{
    (void)state;
    struct world w;
    start_busy(&w, 16);
    struct fake_conn *one = http_world_connect(&w);
    struct fake_conn *two = http_world_connect(&w);
    struct fake_conn *three = http_world_connect(&w);
    feed(one, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(one, "503!");
    feed(two, UPGRADE);
    assert_ptr_equal(w.upgraded, &two->base);
    feed(three, "GET /alive HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(three, "200:0 GET /alive? !");
    fake_loop_turn(&w.loop);
    assert_true(one->is_gone && three->is_gone);
    assert_int_equal(http_server_connections(w.server), 16);
    fake_conn_reset(two);
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

/* Those beyond the limit that do not say what they want make room as well; of those that do, an
 * eighth of the limit is heard at a time. */
static void who_says_nothing_beyond_the_limit_makes_room(void **state)
{
    (void)state;
    struct world w;
    start_busy(&w, 16);
    struct fake_conn *mute = http_world_connect(&w);
    struct fake_conn *rude[3] = {http_world_connect(&w), http_world_connect(&w)};
    assert_false(mute->is_closed);
    rude[2] = http_world_connect(&w);
    assert_true(mute->is_closed && !mute->was_flushed);
    for (uint32_t i = 0; i < 3; i++) {
        feed(rude[i], "GET /later HTTP/1.1\r\n" HOST "\r\n");
        expect_answers(rude[i], "503!");
    }
    struct fake_conn *more = http_world_connect(&w);
    assert_true(more->is_closed && !more->was_flushed && more->sent.size == 0);
    http_world_finish(&w);
}

/* Thousands of connections that ask for nothing keep nobody out. */
static void a_newcomer_gets_the_place_of_who_was_idle_for_longest(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.connections_max = 4});
    struct fake_conn *busy = http_world_connect(&w);
    feed(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    struct fake_conn *slow = http_world_connect(&w);
    feed(slow, "GET /a HTTP/1.1\r\n");
    fake_loop_pass(&w.loop, 10, 1);
    struct fake_conn *idle = http_world_connect(&w);
    struct fake_conn *later = http_world_connect(&w);
    fake_loop_pass(&w.loop, 10, 1);
    feed(idle, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    struct fake_conn *newcomer = http_world_connect(&w);
    assert_true(slow->is_closed && !slow->was_flushed);
    struct fake_conn *second = http_world_connect(&w);
    assert_true(later->is_closed);
    assert_false(busy->is_closed || idle->is_closed || newcomer->is_closed);
    assert_int_equal(http_server_closed_for_room(w.server), 2);
    fake_loop_turn(&w.loop);
    assert_int_equal(http_server_connections(w.server), 4);
    feed(newcomer, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(newcomer, "200:0 GET /a? ");
    http_world_connect(&w); /* who has asked before is no stranger */
    assert_true(second->is_closed);
    assert_false(idle->is_closed || newcomer->is_closed);
    http_world_finish(&w);
}

static void who_has_not_taken_its_answer_is_not_idle(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.connections_max = 2});
    struct fake_conn *takes = http_world_connect(&w);
    takes->is_stuck = true;
    feed(takes, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, 10, 1);
    struct fake_conn *idle = http_world_connect(&w);
    feed(idle, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, 10, 1);
    http_world_connect(&w);
    assert_true(idle->is_closed);
    assert_false(takes->is_closed);
    takes->is_stuck = false;
    fake_loop_pass(&w.loop, 10, 1);
    feed(takes, "GET /b HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(takes, "200:0 GET /a? |200:0 GET /b? ");
    http_world_finish(&w);
}

/* However long others of its deadlines are. */
static void rule_o1_a_reader_that_takes_nothing_has_half_a_minute(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &(struct http_options){.idle_ms = 86400000, .request_ms = 3600000});
    struct fake_conn *c = http_world_connect(&w);
    c->is_stuck = true;
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, LIMIT_HTTP_WRITE_STALL_MS - 1, 1000);
    assert_false(c->is_closed);
    fake_loop_pass(&w.loop, 3 * LIMIT_HTTP_IDLE_LOOK_MS, 1000);
    assert_true(c->is_closed && !c->was_flushed);
    http_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_no_request_is_read_behind_too_many_bytes_of_bodies),
        cmocka_unit_test(rule_o1_an_answer_that_waits_for_its_turn_grows_only_so_far),
        cmocka_unit_test(rule_o1_a_connection_without_a_request_is_kept_so_long_by_default),
        cmocka_unit_test(rule_o1_so_many_connections_and_no_more_by_default),
        cmocka_unit_test(connections_beyond_the_limit_are_told_so),
        cmocka_unit_test(who_says_nothing_beyond_the_limit_makes_room),
        cmocka_unit_test(a_newcomer_gets_the_place_of_who_was_idle_for_longest),
        cmocka_unit_test(who_has_not_taken_its_answer_is_not_idle),
        cmocka_unit_test(rule_o1_a_reader_that_takes_nothing_has_half_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
