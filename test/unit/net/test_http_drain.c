/* The end of connections, and of an HTTP server, over a loop without a kernel: whoever asks is
 * answered, and told. */
#include "base/limits.h"
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void row_f8_answers_announce_the_end_and_requests_are_still_taken(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *idle = http_world_connect(&w);
    struct fake_conn *busy = http_world_connect(&w);
    struct fake_conn *pipelined = http_world_connect(&w);
    feed(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    feed(pipelined, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /b HT");
    http_server_announce_end(w.server);
    fake_loop_pass(&w.loop, 1000, 100);
    assert_false(idle->is_closed || busy->is_closed || pipelined->is_closed);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("x"));
    expect_answers(busy, "200:x!");
    assert_true(busy->is_closed && busy->was_flushed);
    http_answer(w.waiting[1], 200, NULL, NULL, slice_str("y"));
    expect_answers(pipelined, "200:y");
    feed(pipelined, "TP/1.1\r\n" HOST "\r\n");
    expect_answers(pipelined, "200:y|200:0 GET /b? !");
    feed(idle, "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(idle, "200:0 GET /a? |200:0 GET /b? !");
    struct fake_conn *late = http_world_connect(&w);
    feed(late, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(late, "200:0 GET /a? !");
    http_world_finish(&w);
}

static void row_f8_draining_gives_idle_connections_a_grace_and_busy_ones_their_answer(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *idle = http_world_connect(&w);
    struct fake_conn *crossing = http_world_connect(&w);
    struct fake_conn *busy = http_world_connect(&w);
    feed(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, 60000, 10000);
    http_server_drain(w.server);
    fake_loop_pass(&w.loop, LIMIT_HTTP_DRAIN_IDLE_MS - 1, 1);
    assert_false(idle->is_closed || crossing->is_closed);
    feed(crossing, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(crossing, "200:0 GET /a? !");
    fake_loop_pass(&w.loop, 20, 1);
    assert_true(idle->is_closed && idle->was_flushed && idle->sent.size == 0);
    fake_loop_pass(&w.loop, 5000, 10);
    assert_false(busy->is_closed);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("x"));
    expect_answers(busy, "200:x!");
    fake_loop_turn(&w.loop);
    assert_int_equal(http_server_connections(w.server), 0);
    http_world_finish(&w);
}

static void row_f8_a_request_that_the_kernel_holds_is_read_before_the_close(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    http_server_drain(w.server);
    fake_loop_turn(&w.loop);
    fake_loop_turn(&w.loop);
    /* The process slept through the grace: timers come before what has arrived meanwhile. */
    w.loop.now_ms += 10u * LIMIT_HTTP_DRAIN_IDLE_MS;
    c->is_paused = true;
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    c->is_paused = false;
    fake_loop_turn(&w.loop);
    expect_answers(c, "200:0 GET /a? !");
    http_world_finish(&w);
}

static void row_f8_a_request_that_has_begun_has_little_time_when_draining(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *partial = http_world_connect(&w);
    struct fake_conn *stopped = http_world_connect(&w);
    feed(partial, "GET /a HTTP");
    feed(stopped, "GET /a HTTP");
    http_server_drain(w.server);
    fake_loop_pass(&w.loop, LIMIT_HTTP_DRAIN_REQUEST_MS - 100, 10);
    assert_false(partial->is_closed || stopped->is_closed);
    feed(partial, "/1.1\r\n" HOST "\r\n");
    expect_answers(partial, "200:0 GET /a? !");
    fake_loop_pass(&w.loop, 150, 10);
    expect_answers(stopped, "408!");
    assert_true(stopped->is_gone);
    http_world_finish(&w);
}

static void row_f8_draining_ends_for_a_client_that_never_lets_its_pipeline_run_dry(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    http_server_drain(w.server);
    for (uint64_t end = w.loop.now_ms + 1000; w.loop.now_ms < end && !c->is_closed;) {
        feed(c, w.request_count == 0 ? "GET /a HT" : "TP/1.1\r\n" HOST "\r\nGET /a HT");
        w.request_count += w.request_count == 0;
        fake_loop_pass(&w.loop, 10, 10);
    }
    assert_true(c->is_closed && c->was_flushed);
    assert_true(contains(&c->sent, "Connection: close\r\n"));
    http_world_finish(&w);
}

static void row_f8_draining_bounds_a_reader_that_takes_nothing(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *slow = http_world_connect(&w);
    slow->is_stuck = true;
    feed(slow, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    http_server_drain(w.server);
    fake_loop_pass(&w.loop, LIMIT_HTTP_DRAIN_IDLE_MS + 20, 10);
    assert_true(slow->is_closed && slow->was_flushed); /* the loop bounds what follows */
    http_world_finish(&w);
}

/* --- who is a client -------------------------------------------------------------------------- */

static void row_e7_a_client_is_who_has_asked_and_stays(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *idle = http_world_connect(&w);
    struct fake_conn *stays = http_world_connect(&w);
    struct fake_conn *waits = http_world_connect(&w);
    struct fake_conn *goes = http_world_connect(&w);
    feed(idle, "GET /a HTTP/1.1\r\n");
    assert_int_equal(http_server_clients(w.server), 0);
    feed(stays, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    feed(stays, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    feed(waits, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    feed(goes, "GET /a HTTP/1.1\r\nConnection: close\r\n" HOST "\r\n");
    assert_int_equal(http_server_clients(w.server), 2);
    assert_int_equal(http_server_connections(w.server), 4);
    fake_conn_reset(waits);
    fake_conn_reset(idle);
    assert_int_equal(http_server_clients(w.server), 1);
    http_world_finish(&w);
}

static void row_e6_an_answer_ends_its_connection_when_the_handler_says_so(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_request_end_connection(w.waiting[0]);
    http_answer(w.waiting[0], 307, NULL, NULL, slice_of(NULL, 0));
    assert_true(contains(&c->sent, "\r\nConnection: close\r\n"));
    assert_true(c->is_closed && c->was_flushed);

    /* More was asked: that is answered, too. */
    c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    http_request_end_connection(w.waiting[1]);
    http_answer(w.waiting[1], 307, NULL, NULL, slice_of(NULL, 0));
    http_answer(w.waiting[2], 200, NULL, NULL, slice_str("b"));
    expect_answers(c, "307|200:b");
    assert_false(c->is_closed);
    http_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_f8_answers_announce_the_end_and_requests_are_still_taken),
        cmocka_unit_test(row_f8_draining_gives_idle_connections_a_grace_and_busy_ones_their_answer),
        cmocka_unit_test(row_f8_a_request_that_the_kernel_holds_is_read_before_the_close),
        cmocka_unit_test(row_f8_a_request_that_has_begun_has_little_time_when_draining),
        cmocka_unit_test(row_f8_draining_ends_for_a_client_that_never_lets_its_pipeline_run_dry),
        cmocka_unit_test(row_f8_draining_bounds_a_reader_that_takes_nothing),
        cmocka_unit_test(row_e7_a_client_is_who_has_asked_and_stays),
        cmocka_unit_test(row_e6_an_answer_ends_its_connection_when_the_handler_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
