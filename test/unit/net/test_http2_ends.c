/* How connections of HTTP/2 begin and end: deadlines, leaving, one port with HTTP/1. */
#include "base/limits.h"
#include "grpc_world.h"
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* --- what begins must end --------------------------------------------------------------------- */

static void a_preface_without_settings(void **state)
{
    struct raw *r = *state;
    r->conn = grpc_world_connect(&r->world, slice_str(NGHTTP2_CLIENT_MAGIC));
    grpc_world_pass(&r->world, LIMIT_HTTP_REQUEST_MS - 100, 100);
    assert_false(r->conn->is_closed);
    grpc_world_pass(&r->world, 1500, 100);
    struct slice goaway;
    assert_true(r->conn->is_gone);
    assert_true(frame_find(r->conn, NGHTTP2_GOAWAY, 0, &goaway));
}

static void headers_that_never_end(void **state)
{
    struct raw *r = *state;
    struct buf head = {0};
    headers_append(&head, "/wait/x");
    frame_append(&r->out, NGHTTP2_HEADERS, 0, 1, buf_slice(&head));
    raw_say(r);
    for (int i = 0; i < 5; i++) { /* a little now and then does not help */
        grpc_world_pass(&r->world, LIMIT_HTTP_REQUEST_MS / 5, 500);
        frame_append(&r->out, NGHTTP2_CONTINUATION, 0, 1, slice_of("\0\1a\1b", 5));
        raw_say(r);
    }
    grpc_world_pass(&r->world, 1500, 100);
    raw_expect_goaway(r, NGHTTP2_ENHANCE_YOUR_CALM, "too_slow");
    buf_deinit(&head);
}

/* What was refused is not waited for. */
static void bad_headers_are_no_slow_ones(void **state)
{
    struct raw *r = *state;
    const struct slice bad = slice_of("\0\1A\1b", 5); /* upper case */
    raw_open(r, 1, "/wait/x", 0);
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 3, bad);
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1,
                 bad);
    raw_open(r, 5, "/wait/y", 0);
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 5, slice_of("\0\1a\1b", 5));
    raw_open(r, 7, "/wait/z", 0);
    raw_say(r);
    grpc_world_pass(&r->world, 3 * LIMIT_HTTP_REQUEST_MS, 500);
    assert_false(r->conn->is_closed);
    assert_int_equal(grpc_server_streams(r->world.server), 1);
    assert_int_equal(r->world.gone_count, 2);
}

static void a_message_that_never_ends(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    int32_t slow = client_call(&c, "/wait/x", NULL);
    int32_t quiet = client_call(&c, "/wait/y", NULL); /* begun nothing: may wait */
    client_send_raw(&c, slow, slice_of("\0\0\0\0\x7f", 5));
    for (int i = 0; i < 12; i++) {
        client_send_raw(&c, slow, slice_of("x", 1));
        client_pump(&c);
        grpc_world_pass(&r->world, 1000, 500);
    }
    client_pump(&c);
    expect_end(&c, slow, "4", "request timeout: the message is not whole");
    assert_int_equal(r->world.gone_count, 1);
    assert_false(client_find(&c, quiet)->is_closed);
    client_finish(&c);
}

static void an_idle_connection_is_closed(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    int32_t id = client_call(&c, "/wait/x", NULL);
    client_end(&c, id);
    client_pump(&c);
    for (int i = 0; i < 2 * LIMIT_H2_IDLE_MS / 10000; i++) {
        grpc_world_pass(&r->world, 10000, 1000);
        client_pump(&c); /* answers PINGs */
    }
    assert_false(c.conn->is_closed); /* a call is open, and somebody is there */
    assert_in_range(c.ping_count, 5, 10);
    assert_int_equal(c.goaway_count, 0);
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    client_pump(&c);
    grpc_world_pass(&r->world, LIMIT_H2_IDLE_MS - 2000, 1000);
    assert_false(c.conn->is_closed);
    grpc_world_pass(&r->world, 4000, 1000);
    client_pump(&c);
    assert_int_equal(c.goaway_count, 1);
    assert_int_equal(c.goaway_code, NGHTTP2_NO_ERROR);
    assert_true(c.conn->is_gone);
    assert_true(c.conn->was_flushed);
    client_finish(&c);
}

static void a_silent_client_is_asked_and_then_gone(void **state)
{
    struct raw *r = *state;
    raw_open(r, 1, "/wait/x", 0);
    raw_say(r);
    grpc_world_pass(&r->world, LIMIT_H2_SILENCE_MS + 2000, 500);
    struct slice ping;
    assert_true(frame_find(r->conn, NGHTTP2_PING, 0, &ping));
    assert_false(r->conn->is_closed);
    grpc_world_pass(&r->world, LIMIT_H2_PING_ANSWER_MS + 2000, 500);
    assert_true(r->conn->is_gone);
    assert_int_equal(r->world.gone_count, 1);
}

/* However long others of its deadlines are. */
static void a_silent_client_is_gone_as_soon_when_messages_may_take_long(void **state)
{
    (void)state;
    struct raw slow = {0};
    grpc_world_start(&slow.world,
                     &(struct grpc_options){.idle_ms = 86400000, .request_ms = 3600000});
    preface_append(&slow.out);
    slow.conn = grpc_world_connect(&slow.world, buf_slice(&slow.out));
    buf_clear(&slow.out);
    raw_open(&slow, 1, "/wait/x", 0);
    raw_say(&slow);
    grpc_world_pass(&slow.world, LIMIT_H2_SILENCE_MS + LIMIT_H2_PING_ANSWER_MS + 4000, 500);
    assert_true(slow.conn->is_gone);
    grpc_world_finish(&slow.world);
    buf_deinit(&slow.out);
}

/* --- the end of the server -------------------------------------------------------------------- */

static void leaving_in_two_steps(void **state)
{
    struct raw *r = *state;
    struct client c;
    struct client idle;
    client_start(&c, &r->world);
    client_start(&idle, &r->world);
    int32_t first = client_call(&c, "/wait/a", NULL);
    client_pump(&c);
    grpc_server_announce_end(r->world.server);
    client_pump(&c);
    client_pump(&idle);
    assert_int_equal(c.goaway_count, 1);
    assert_int_equal(c.goaway_last_id, INT32_MAX);
    assert_false(c.conn->is_closed);
    raw_open(r, 1, "/echo/raw", 0); /* calls on their way are still taken */
    raw_say(r);
    assert_int_equal(grpc_server_streams(r->world.server), 2);
    grpc_server_drain(r->world.server);
    grpc_world_pass(&r->world, LIMIT_HTTP_DRAIN_IDLE_MS + 100, 20);
    client_pump(&c);
    client_pump(&idle);
    assert_int_equal(c.goaway_count, 2);
    assert_int_equal(c.goaway_last_id, first);
    assert_true(idle.conn->is_gone);
    assert_false(c.conn->is_closed);
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    client_pump(&c);
    expect_end(&c, first, "0", "");
    client_pump(&c);
    assert_true(c.conn->is_gone);
    assert_int_equal(grpc_server_connections(r->world.server), 1); /* the raw one never ends */
    grpc_world_pass(&r->world, LIMIT_HTTP_DRAIN_REQUEST_MS, 20);
    assert_int_equal(grpc_server_connections(r->world.server), 0);
    assert_int_equal(r->world.gone_count, 1);
    client_finish(&c);
    client_finish(&idle);
}

static void the_client_ends_its_side(void **state)
{
    struct raw *r = *state;
    raw_open(r, 1, "/wait/x", 0);
    raw_say(r);
    fake_conn_end(r->conn);
    grpc_world_turn(&r->world);
    grpc_world_turn(&r->world);
    assert_true(r->conn->is_gone);
    assert_int_equal(r->world.gone_count, 1);
}

/* --- one port --------------------------------------------------------------------------------- */

static void answer_http1(void *context, struct http_request *q)
{
    (void)context;
    http_answer(q, 200, "text/plain", NULL, q->path);
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    (void)http_status;
    buf_append_str(body, reason);
}

static uint64_t allow_body(void *context, const struct http_request *q)
{
    (void)context;
    (void)q;
    return 1000;
}

static void take_http2(void *context, struct conn *c, struct slice first)
{
    struct raw *r = context;
    grpc_server_accept(r->world.server, c, first);
}

static uint32_t count_http2(const void *context)
{
    const struct raw *r = context;
    return grpc_server_connections(r->world.server);
}

static bool make_room_http2(void *context)
{
    struct raw *r = context;
    return grpc_server_make_room(r->world.server);
}

static struct http_server *begin_http1(struct raw *r, const struct http_options *options)
{
    const struct http_handler handler = {
        .on_request = answer_http1, .on_bad = on_bad, .body_bytes_max = allow_body};
    struct http_server *s = http_server_create(&r->world.loop.base, &handler, options);
    http_server_on_http2(s, take_http2, count_http2, make_room_http2, r);
    return s;
}

static void feed_in_pieces(struct raw *r, struct fake_conn *c, struct slice bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.size; at += piece) {
        size_t left = bytes.size - at;
        fake_conn_feed(c, slice_of(bytes.data + at, left < piece ? left : piece));
        grpc_world_turn(&r->world);
    }
}

/* Of either kind, the one that asks for nothing makes room for the next. */
static void connections_of_both_kinds_have_one_limit(void **state)
{
    struct raw *r = *state;
    struct http_server *s = begin_http1(r, &(struct http_options){.connections_max = 2});
    struct fake_conn *second = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &second->base);
    preface_append(&r->out);
    raw_open(r, 1, "/wait/x", 0);
    feed_in_pieces(r, second, buf_slice(&r->out), 100);
    assert_int_equal(grpc_server_connections(r->world.server), 2);
    assert_int_equal(http_server_connections(s), 0);
    struct fake_conn *third = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &third->base);
    assert_true(r->conn->is_closed && !r->conn->was_flushed);
    assert_false(second->is_closed || third->is_closed);
    grpc_world_turn(&r->world);
    struct fake_conn *fourth = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &fourth->base);
    assert_true(third->is_closed);
    assert_false(second->is_closed || fourth->is_closed);
    http_server_destroy(s);
}

static void who_has_not_taken_its_answer_is_not_idle(void **state)
{
    struct raw *r = *state;
    r->conn->is_stuck = true;
    raw_open(r, 1, "/refuse/x", NGHTTP2_FLAG_END_STREAM);
    raw_say(r);
    assert_int_equal(grpc_server_streams(r->world.server), 0);
    grpc_world_pass(&r->world, 10, 1);
    preface_append(&r->out);
    struct fake_conn *idle = grpc_world_connect(&r->world, buf_slice(&r->out));
    grpc_world_turn(&r->world);
    assert_true(grpc_server_make_room(r->world.server));
    assert_true(idle->is_closed);
    assert_false(r->conn->is_closed);
    assert_false(grpc_server_make_room(r->world.server));
    r->conn->is_stuck = false;
    grpc_world_turn(&r->world);
    assert_true(grpc_server_make_room(r->world.server));
    assert_true(r->conn->is_closed);
}

/* Nor does HTTP/2 get in where only what is vital does. */
static void http2_beyond_the_limit_is_reset(void **state)
{
    struct raw *r = *state;
    struct http_server *s = begin_http1(r, &(struct http_options){.connections_max = 1});
    raw_open(r, 1, "/wait/x", 0);
    raw_say(r);
    struct fake_conn *second = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &second->base);
    preface_append(&r->out);
    feed_in_pieces(r, second, buf_slice(&r->out), 100);
    assert_true(second->is_closed && !second->was_flushed);
    assert_int_equal(grpc_server_connections(r->world.server), 1);
    http_server_destroy(s);
}

static void http2_comes_through_the_port_of_http1(void **state)
{
    struct raw *r = *state;
    struct http_server *s = begin_http1(r, NULL);
    for (size_t piece = 1; piece < 100; piece += 7) {
        struct fake_conn *c = fake_loop_connect(&r->world.loop);
        http_server_accept(s, &c->base);
        preface_append(&r->out);
        raw_open(r, 1, "/refuse/x", NGHTTP2_FLAG_END_STREAM);
        feed_in_pieces(r, c, buf_slice(&r->out), piece);
        buf_clear(&r->out);
        struct slice head;
        assert_true(frame_find(c, NGHTTP2_HEADERS, 0, &head));
        assert_int_equal(http_server_connections(s), 0);
        assert_int_equal(grpc_server_connections(r->world.server), 2);
        fake_conn_reset(c);
    }
    http_server_destroy(s);
}

static void other_beginnings_are_http1(void **state)
{
    struct raw *r = *state;
    struct http_server *s = begin_http1(r, NULL);
    static const struct {
        const char *bytes;
        const char *answer;
    } cases[] = {
        {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK"},
        {"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nb", "HTTP/1.1 200 OK"},
        {"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK"},
        {"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "HTTP/1.1 505"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece < 60; piece += 19) {
            struct fake_conn *c = fake_loop_connect(&r->world.loop);
            http_server_accept(s, &c->base);
            feed_in_pieces(r, c, slice_str(cases[i].bytes), piece);
            assert_true(slice_has_prefix(buf_slice(&c->sent), slice_str(cases[i].answer)));
            fake_conn_reset(c);
        }
    }
    http_server_destroy(s);
}

static void half_a_preface_is_waited_for_as_for_a_request(void **state)
{
    struct raw *r = *state;
    struct http_server *s = begin_http1(r, NULL);
    struct fake_conn *c = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &c->base);
    fake_conn_feed(c, slice_str("PRI * HTT"));
    grpc_world_pass(&r->world, LIMIT_HTTP_REQUEST_MS - 100, 100);
    assert_false(c->is_closed);
    grpc_world_pass(&r->world, 2000, 100);
    assert_true(c->is_gone);
    assert_true(slice_has_prefix(buf_slice(&c->sent), slice_str("HTTP/1.1 408")));
    struct fake_conn *d = fake_loop_connect(&r->world.loop);
    http_server_accept(s, &d->base);
    fake_conn_feed(d, slice_str("PRI * HTT"));
    fake_conn_end(d);
    grpc_world_turn(&r->world);
    assert_true(d->is_gone);
    assert_int_equal(http_server_connections(s), 0);
    http_server_destroy(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_preface_without_settings),
        TEST(headers_that_never_end),
        TEST(bad_headers_are_no_slow_ones),
        TEST(a_message_that_never_ends),
        TEST(an_idle_connection_is_closed),
        TEST(a_silent_client_is_asked_and_then_gone),
        TEST(a_silent_client_is_gone_as_soon_when_messages_may_take_long),
        TEST(leaving_in_two_steps),
        TEST(the_client_ends_its_side),
        TEST(connections_of_both_kinds_have_one_limit),
        TEST(who_has_not_taken_its_answer_is_not_idle),
        TEST(http2_beyond_the_limit_is_reset),
        TEST(http2_comes_through_the_port_of_http1),
        TEST(other_beginnings_are_http1),
        TEST(half_a_preface_is_waited_for_as_for_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
