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
    for (uint32_t i = 0; i < LIMIT_CONNECTIONS; i++) {
        assert_int_equal(http_world_connect(&w)->sent.size, 0);
    }
    expect_answers(http_world_connect(&w), "503!");
    http_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_no_request_is_read_behind_too_many_bytes_of_bodies),
        cmocka_unit_test(rule_o1_an_answer_that_waits_for_its_turn_grows_only_so_far),
        cmocka_unit_test(rule_o1_a_connection_without_a_request_is_kept_so_long_by_default),
        cmocka_unit_test(rule_o1_so_many_connections_and_no_more_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
