/* The HTTP server over a loop without a kernel: every byte and every millisecond is the test's. */
#include "base/limits.h"
#include "base/mem.h"
#include "http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- the form of answers ---------------------------------------------------------------------- */

static void an_answer_carries_the_common_and_its_own_headers_and_little_else(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    buf_append_byte(&c->sent, '\0');
    assert_string_equal((char *)c->sent.data,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n"
                        "X-Common: request\r\nX-Test: 1\r\n\r\n0 GET /a? ");
    http_world_finish(&w);
}

static void an_error_has_the_handlers_body_and_the_common_headers(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET / HTTP/1.1\r\n\r\n");
    assert_true(contains(&c->sent, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(contains(&c->sent, "X-Common: none\r\n"));
    assert_true(contains(&c->sent, "Connection: close\r\n\r\n{\"error\":\"400 No Host\"}"));
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

static void head_counts_the_body_and_does_not_send_it(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "HEAD /a HTTP/1.1\r\n" HOST "\r\n");
    assert_true(contains(&c->sent, "Content-Length: 11\r\n"));
    assert_false(contains(&c->sent, "HEAD /a"));
    assert_memory_equal(c->sent.data + c->sent.size - 4, "\r\n\r\n", 4);
    http_world_finish(&w);
}

static void headers_are_found_whatever_their_case(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "X-One:  a b \t\r\nX-ONE: c\r\n\r\n");
    assert_int_equal(w.waiting_count, 1);
    struct http_request *r = w.waiting[0];
    assert_int_equal(r->header_count, 3);
    assert_true(slice_equal(http_header_find(r, "x-one"), slice_str("a b")));
    assert_null(http_header_find(r, "x-two").data);
    http_answer(r, 204, NULL, NULL, slice_str(""));
    assert_false(contains(&c->sent, "Content-Length"));
    expect_answers(c, "204");
    http_world_finish(&w);
}

static void row_a22_percent_decoding_is_done_once_and_refuses_broken_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out; /* NULL: refused */
    } table[] = {{"a%20b", "a b"}, {"a+b", "a+b"}, {"%2F%2f", "//"},      {"%2520", "%20"},
                 {"", ""},         {"%", NULL},    {"%4", NULL},          {"a%4", NULL},
                 {"%zz", NULL},    {"%4g", NULL},  {"%c3%bc", "\xc3\xbc"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct buf out = {0};
        enum status status = http_percent_decode(slice_str(table[i].in), &out);
        assert_int_equal(status, table[i].out != NULL ? STATUS_OK : STATUS_INVALID);
        if (table[i].out != NULL) {
            assert_true(slice_equal(buf_slice(&out), slice_str(table[i].out)));
        }
        buf_deinit(&out);
    }
}

/* --- order and pipelining --------------------------------------------------------------------- */

static void answers_leave_in_the_order_of_the_requests(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST
            "\r\nGET /c HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(w.waiting_count, 3);
    http_answer(w.waiting[2], 200, NULL, NULL, slice_str("third"));
    http_answer(w.waiting[1], 200, NULL, NULL, slice_str("second"));
    assert_int_equal(c->sent.size, 0);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("first"));
    expect_answers(c, "200:first|200:second|200:0 GET /c? |200:third");
    http_world_finish(&w);
}

static void rule_k6_a_request_that_waits_for_others_keeps_the_time_of_its_arrival(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    uint64_t came_ms = w.loop.now_ms;
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nPUT /later HTTP/1.1\r\n" HOST
            "Content-Length: 0\r\n\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, 5000, 1000);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str(""));
    assert_int_equal(w.waiting_count, 2); /* the write, which was held back */
    assert_int_equal(w.waiting[1]->arrived_ms, came_ms);
    fake_loop_pass(&w.loop, 5000, 1000);
    http_answer(w.waiting[1], 200, NULL, NULL, slice_str(""));
    fake_loop_turn(&w.loop);
    assert_int_equal(w.waiting_count, 3); /* this one was not even looked at */
    assert_int_equal(w.waiting[2]->arrived_ms, came_ms);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(w.waiting[3]->arrived_ms, w.loop.now_ms);
    http_world_finish(&w);
}

static void only_so_many_requests_are_in_progress_and_the_rest_waits(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    struct buf input = {0};
    for (uint32_t i = 0; i < LIMIT_PIPELINED + 10; i++) {
        buf_append_str(&input, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    }
    fake_conn_feed(c, buf_slice(&input));
    buf_deinit(&input);
    assert_int_equal(w.waiting_count, LIMIT_PIPELINED);
    assert_true(c->is_paused);
    fake_loop_turn(&w.loop);
    assert_int_equal(w.waiting_count, LIMIT_PIPELINED);
    for (uint32_t i = 0; i < 3; i++) {
        http_answer(w.waiting[i], 200, NULL, NULL, slice_str(""));
        assert_int_equal(w.waiting_count, LIMIT_PIPELINED); /* never from inside our call */
    }
    fake_loop_turn(&w.loop);
    assert_int_equal(w.waiting_count, LIMIT_PIPELINED + 3);
    for (uint32_t i = 3; i < LIMIT_PIPELINED + 3; i++) {
        http_answer(w.waiting[i], 200, NULL, NULL, slice_str(""));
    }
    fake_loop_turn(&w.loop);
    assert_int_equal(w.waiting_count, LIMIT_PIPELINED + 10);
    assert_false(c->is_paused);
    http_world_finish(&w);
    assert_int_equal(w.gone_count, 7);
}

static void a_client_that_takes_no_answers_gets_no_more_requests_read(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    c->is_stuck = true;
    struct buf big = {0};
    memset(buf_reserve(&big, LIMIT_CONN_UNSENT_BYTES), 'x', LIMIT_CONN_UNSENT_BYTES);
    big.size = LIMIT_CONN_UNSENT_BYTES;
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer(w.waiting[0], 200, NULL, NULL, buf_slice(&big));
    buf_deinit(&big);
    uint32_t before = w.request_count;
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_turn(&w.loop);
    assert_int_equal(w.request_count, before);
    assert_true(c->is_paused);
    c->is_stuck = false;
    fake_loop_turn(&w.loop);
    assert_int_equal(w.request_count, before + 1);
    assert_false(c->is_paused);
    http_world_finish(&w);
}

/* --- bodies ----------------------------------------------------------------------------------- */

static void expect_100_is_answered_before_the_body_and_after_what_came_before(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "PUT /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(contains(&c->sent, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_int_equal(c->sent.size, 25);
    feed(c, "h");
    feed(c, "i");
    expect_answers(c, "100|200:2 PUT /a? hi");

    struct fake_conn *d = http_world_connect(&w);
    feed(d, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    feed(d, "PUT /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_int_equal(d->sent.size, 0);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("x"));
    expect_answers(d, "200:x|100");
    feed(d, "hi");
    expect_answers(d, "200:x|100|200:2 PUT /a? hi");
    http_world_finish(&w);
}

static void a_body_too_long_is_refused_without_100_and_without_reading_it(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "PUT /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 100000000\r\n\r\n");
    expect_answers(c, "413!");
    assert_true(c->is_closed && c->was_flushed);
    fake_loop_turn(&w.loop);
    assert_int_equal(w.request_count, 0);
    http_world_finish(&w);
}

static void row_a23_a_body_at_the_limit_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    for (int extra = 0; extra <= 1; extra++) {
        for (int chunked = 0; chunked <= 1; chunked++) {
            struct world w;
            http_world_start(&w);
            struct fake_conn *c = http_world_connect(&w);
            struct buf input = {0};
            int size = BODY_MAX + extra;
            buf_append_str(&input, "PUT /a HTTP/1.1\r\n" HOST);
            if (chunked) {
                buf_printf(&input, "Transfer-Encoding: chunked\r\n\r\n%x\r\n", (unsigned)size);
            } else {
                buf_printf(&input, "Content-Length: %d\r\n\r\n", size);
            }
            for (int i = 0; i < size; i++) {
                buf_append_byte(&input, 'b');
            }
            buf_append_str(&input, chunked ? "\r\n0\r\n\r\n" : "");
            fake_conn_feed(c, buf_slice(&input));
            buf_deinit(&input);
            assert_true(contains(&c->sent, extra ? "HTTP/1.1 413 " : "HTTP/1.1 200 "));
            assert_true(c->is_closed == (extra != 0));
            fake_loop_turn(&w.loop);
            http_world_finish(&w);
        }
    }
}

static void chunk_extensions_and_trailers_are_bounded(void **state)
{
    (void)state;
    static const char *const starts[] = {"1;", "0\r\nT: "};
    for (size_t i = 0; i < 2; i++) {
        struct world w;
        http_world_start(&w);
        struct fake_conn *c = http_world_connect(&w);
        feed(c, "PUT /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
        feed(c, starts[i]);
        char block[1025];
        memset(block, 'e', sizeof(block) - 1);
        block[sizeof(block) - 1] = '\0';
        for (size_t sent = 0; sent < 2 * LIMIT_HEADERS_BYTES && !c->is_closed; sent += 1024) {
            feed(c, block);
        }
        expect_answers(c, "413!");
        fake_loop_turn(&w.loop);
        http_world_finish(&w);
    }
}

/* --- limits of the head ----------------------------------------------------------------------- */

static void send_long_url(struct fake_conn *c, size_t size)
{
    struct buf input = {0};
    buf_append_str(&input, "GET /");
    for (size_t i = 1; i < size; i++) {
        buf_append_byte(&input, 'u');
    }
    buf_append_str(&input, " HTTP/1.1\r\n" HOST "\r\n");
    fake_conn_feed(c, buf_slice(&input));
    buf_deinit(&input);
}

static void a_url_at_the_limit_passes_and_beyond_is_414(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        const char *begins;
    } table[] = {{LIMIT_URL_LINE_BYTES, "HTTP/1.1 200"},
                 {LIMIT_URL_LINE_BYTES + 1, "HTTP/1.1 414"},
                 {3 * LIMIT_URL_LINE_BYTES, "HTTP/1.1 414"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct world w;
        http_world_start(&w);
        struct fake_conn *c = http_world_connect(&w);
        send_long_url(c, table[i].size);
        assert_memory_equal(c->sent.data, table[i].begins, strlen(table[i].begins));
        fake_loop_turn(&w.loop);
        http_world_finish(&w);
    }
}

static void an_endless_url_is_cut_off_without_its_line_end(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /");
    for (size_t sent = 0; sent < 2 * LIMIT_URL_LINE_BYTES && !c->is_closed; sent += 16) {
        feed(c, "0123456789abcdef");
    }
    expect_answers(c, "414!");
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

static void too_many_or_too_large_headers_are_431(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        uint32_t size;
        const char *begins;
    } table[] = {{LIMIT_HEADERS_COUNT - 1, 10, "HTTP/1.1 200"},
                 {LIMIT_HEADERS_COUNT, 10, "HTTP/1.1 431"},
                 {1, LIMIT_HEADERS_BYTES - 20, "HTTP/1.1 200"},
                 {1, LIMIT_HEADERS_BYTES + 1, "HTTP/1.1 431"},
                 {90, 500, "HTTP/1.1 431"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct world w;
        http_world_start(&w);
        struct fake_conn *c = http_world_connect(&w);
        struct buf input = {0};
        buf_append_str(&input, "GET / HTTP/1.1\r\n" HOST);
        for (uint32_t n = 0; n < table[i].count; n++) {
            buf_append_str(&input, "X: ");
            for (uint32_t k = 5; k < table[i].size; k++) {
                buf_append_byte(&input, 'v');
            }
            buf_append_str(&input, "\r\n");
        }
        buf_append_str(&input, "\r\n");
        fake_conn_feed(c, buf_slice(&input));
        buf_deinit(&input);
        assert_memory_equal(c->sent.data, table[i].begins, strlen(table[i].begins));
        fake_loop_turn(&w.loop);
        http_world_finish(&w);
    }
}

/* --- slow clients ----------------------------------------------------------------------------- */

static const struct http_options quick = {.idle_ms = 7500, .request_ms = 1000};

static void row_a23_a_request_that_trickles_is_408(void **state)
{
    (void)state;
    static const char *const starts[] = {
        "GET / HT",
        "GET / HTTP/1.1\r\nX: ", "PUT /a HTTP/1.1\r\n" HOST "Content-Length: 900\r\n\r\n",
        "PUT /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n384\r\n"};
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        struct world w;
        http_world_start_with(&w, &quick);
        struct fake_conn *c = http_world_connect(&w);
        feed(c, starts[i]);
        uint64_t from = w.loop.now_ms;
        while (!c->is_closed && w.loop.now_ms < from + 5000) {
            fake_loop_pass(&w.loop, 100, 100);
            if (i > 0) {
                feed(c, "x");
            }
        }
        assert_true(w.loop.now_ms >= from + quick.request_ms);
        assert_true(w.loop.now_ms <= from + quick.request_ms + 300);
        expect_answers(c, "408!");
        assert_true(c->was_flushed);
        fake_loop_turn(&w.loop);
        http_world_finish(&w);
    }
}

static void an_idle_connection_is_closed_without_a_word_and_an_active_one_is_not(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &quick);
    struct fake_conn *idle = http_world_connect(&w);
    struct fake_conn *active = http_world_connect(&w);
    for (int i = 0; i < 20; i++) {
        fake_loop_pass(&w.loop, 500, 100);
        feed(active, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    }
    assert_true(idle->is_gone && idle->sent.size == 0);
    assert_false(active->is_closed);
    assert_int_equal(http_server_connections(w.server), 1);
    http_world_finish(&w);
}

static void a_request_that_waits_for_us_has_no_deadline(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &quick);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, 20000, 100);
    assert_false(c->is_closed);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("late"));
    expect_answers(c, "200:late");
    http_world_finish(&w);
}

static void a_reader_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct world w;
    http_world_start_with(&w, &quick);
    struct fake_conn *c = http_world_connect(&w);
    c->is_stuck = true;
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    fake_loop_pass(&w.loop, LIMIT_HTTP_WRITE_STALL_MS - 100, 100);
    assert_false(c->is_closed);
    c->taken++; /* one byte is a sign of life */
    fake_loop_pass(&w.loop, LIMIT_HTTP_WRITE_STALL_MS - 1000, 100);
    assert_false(c->is_closed);
    fake_loop_pass(&w.loop, 3000, 100);
    assert_true(c->is_gone && !c->was_flushed);
    http_world_finish(&w);
}

static void row_e15_idle_connections_wake_the_loop_rarely_and_none_not_at_all(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    assert_null(timer_heap_first(&w.loop.timers));
    for (int i = 0; i < 1000; i++) {
        w.loop.now_ms += 7; /* so that their deadlines differ */
        feed(http_world_connect(&w), "GET /a HTTP/1.1\r\n" HOST "\r\n");
    }
    uint32_t wakes = 0;
    uint64_t from = w.loop.now_ms;
    while (timer_heap_first(&w.loop.timers) != NULL && w.loop.now_ms < from + 100000) {
        w.loop.now_ms = timer_heap_first(&w.loop.timers)->at_ms;
        fake_loop_turn(&w.loop);
        wakes++;
    }
    assert_int_equal(http_server_connections(w.server), 0);
    assert_true(wakes < 8);
    assert_null(timer_heap_first(&w.loop.timers));
    http_world_finish(&w);
}

/* --- clients that go away --------------------------------------------------------------------- */

static void a_handler_hears_that_its_client_has_gone(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\nGET /part");
    http_answer(w.waiting[1], 200, NULL, NULL, slice_str("never sent"));
    fake_conn_reset(c);
    assert_int_equal(w.gone_count, 1);
    assert_int_equal(http_server_connections(w.server), 0);
    http_world_finish(&w);
}

static void a_handler_that_does_not_listen_may_still_answer(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /stubborn HTTP/1.1\r\n" HOST "\r\nGET /stubborn HTTP/1.1\r\n" HOST "\r\n");
    fake_conn_reset(c);
    assert_null(w.waiting[0]->conn);
    assert_true(slice_equal(w.waiting[0]->path, slice_str("/stubborn")));
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("to nobody"));
    http_answer_begin(w.waiting[1], 200, NULL, NULL);
    http_answer_chunk(w.waiting[1], slice_str("to nobody"));
    http_answer_end(w.waiting[1]);
    http_world_finish(&w);
}

static void a_half_closed_client_still_gets_its_answers(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /a HTTP/1.1\r\n" HOST "\r\nGET /par");
    fake_conn_end(c);
    fake_loop_turn(&w.loop);
    assert_false(c->is_closed);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("x"));
    expect_answers(c, "200:x|200:0 GET /a? ");
    assert_true(c->is_closed && c->was_flushed);
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void a_streamed_answer_is_chunked_and_takes_its_turn(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer_begin(w.waiting[1], 200, "text/plain", NULL);
    http_answer_chunk(w.waiting[1], slice_str("one "));
    assert_int_equal(c->sent.size, 0);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("first"));
    assert_true(contains(&c->sent, "Transfer-Encoding: chunked\r\n"));
    assert_true(contains(&c->sent, "\r\n\r\n4\r\none \r\n"));
    assert_int_equal(w.writable_count, 0);
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 1);
    http_answer_chunk(w.waiting[1], slice_str("")); /* must not look like the end */
    http_answer_chunk(w.waiting[1], slice_str("two"));
    http_answer_end(w.waiting[1]);
    expect_answers(c, "200:first|200:one two");
    feed(c, "GET /a HTTP/1.1\r\n" HOST "\r\n");
    expect_answers(c, "200:first|200:one two|200:0 GET /a? ");
    http_world_finish(&w);
}

static void a_stream_pauses_when_its_reader_does_and_goes_on_with_it(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer_begin(w.waiting[0], 200, NULL, NULL);
    c->is_stuck = true;
    static const char block[4096];
    uint32_t blocks = 0;
    while (http_answer_wants_more(w.waiting[0])) {
        http_answer_chunk(w.waiting[0], slice_of(block, sizeof(block)));
        blocks++;
    }
    assert_in_range(blocks * sizeof(block), LIMIT_STREAM_UNSENT_BYTES - 2 * sizeof(block),
                    LIMIT_STREAM_UNSENT_BYTES + sizeof(block));
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 0);
    c->is_stuck = false;
    fake_loop_turn(&w.loop);
    assert_int_equal(w.writable_count, 1);
    assert_true(http_answer_wants_more(w.waiting[0]));
    http_answer_end(w.waiting[0]);
    http_world_finish(&w);
}

static void a_stream_to_http_1_0_lasts_until_the_close(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    http_answer_begin(w.waiting[0], 200, NULL, NULL);
    http_answer_chunk(w.waiting[0], slice_str("all"));
    http_answer_end(w.waiting[0]);
    assert_true(contains(&c->sent, "Connection: close\r\n\r\nall"));
    assert_true(c->is_closed && c->was_flushed);
    fake_loop_turn(&w.loop);
    http_world_finish(&w);
}

static void a_broken_off_answer_is_a_reset_and_never_an_end(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer_begin(w.waiting[0], 200, NULL, NULL);
    http_answer_chunk(w.waiting[0], slice_str("half"));
    http_answer_abort(w.waiting[0]);
    assert_true(c->is_closed && !c->was_flushed);
    expect_answers(c, "BROKEN");
    fake_loop_turn(&w.loop);
    assert_int_equal(w.gone_count, 1); /* the other one */
    http_world_finish(&w);
}

/* --- upgrades --------------------------------------------------------------------------------- */

static void an_upgrade_hands_the_connection_over_with_what_was_read(void **state)
{
    (void)state;
    size_t size = strlen(UPGRADE) + 4;
    for (size_t cut = 1; cut <= size; cut++) {
        struct world w;
        http_world_start(&w);
        struct fake_conn *c = http_world_connect(&w);
        fake_conn_feed(c, slice_of(UPGRADE "\x00\x01\r\n", cut));
        fake_conn_feed(c, slice_of((UPGRADE "\x00\x01\r\n") + cut, size - cut));
        assert_ptr_equal(w.upgraded, &c->base);
        assert_int_equal(w.upgrade_rest.size + w.upgrade_data.size, 4);
        buf_append_byte(&c->sent, '\0');
        assert_string_equal((char *)c->sent.data,
                            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                            "Upgrade: conclave-peer/1\r\n\r\nhello peer");
        assert_int_equal(http_server_connections(w.server), 0);
        fake_conn_reset(c);
        http_world_finish(&w);
    }
}

static void an_upgrade_behind_an_unanswered_request_is_a_request(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n" UPGRADE);
    assert_null(w.upgraded);
    http_answer(w.waiting[0], 200, NULL, NULL, slice_str("x"));
    expect_answers(c, "200:x|200:0 GET /peer? ");
    http_world_finish(&w);
}

/* --- many connections, and the end ------------------------------------------------------------ */

static void destroying_the_server_tells_those_who_wait(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /stubborn HTTP/1.1\r\n" HOST "\r\nPUT /x");
    http_world_finish(&w);
    assert_int_equal(w.gone_count, 1);
}

/* --- chunks for many -------------------------------------------------------------------------- */

static void row_e9_a_shared_chunk_is_referred_to_until_it_is_taken(void **state)
{
    (void)state;
    struct world w;
    http_world_start(&w);
    struct fake_conn *c = http_world_connect(&w);
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    struct blob *bytes = blob_copy(slice_str("for all"));
    http_answer_begin(w.waiting[0], 200, NULL, NULL);
    assert_true(contains(&c->sent, "\r\nConnection: keep-alive\r\n"));
    http_answer_begin(w.waiting[1], 200, NULL, NULL);
    fake_loop_turn(&w.loop);
    assert_int_equal(http_answer_unsent(w.waiting[0]), 0);

    c->is_stuck = true;
    http_answer_chunk_shared(w.waiting[0], bytes);
    assert_int_equal(bytes->refs, 2);
    assert_int_equal(http_answer_unsent(w.waiting[0]), strlen("7\r\nfor all\r\n"));
    uint64_t kept = http_answer_unsent(w.waiting[1]);
    http_answer_chunk_shared(w.waiting[1], bytes); /* not its turn yet: a copy waits */
    assert_int_equal(bytes->refs, 2);
    assert_int_equal(http_answer_unsent(w.waiting[1]), kept + strlen("7\r\nfor all\r\n"));
    c->is_stuck = false;
    fake_loop_turn(&w.loop);
    assert_int_equal(bytes->refs, 1);
    http_answer_end(w.waiting[0]);
    http_answer_end(w.waiting[1]);
    expect_answers(c, "200:for all|200:for all");

    c->is_stuck = true;
    feed(c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    http_answer_begin(w.waiting[2], 200, NULL, NULL);
    http_answer_chunk_shared(w.waiting[2], bytes);
    fake_conn_reset(c);
    assert_int_equal(bytes->refs, 1);
    blob_unref(bytes);
    http_world_finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_e9_a_shared_chunk_is_referred_to_until_it_is_taken),
        cmocka_unit_test(an_answer_carries_the_common_and_its_own_headers_and_little_else),
        cmocka_unit_test(an_error_has_the_handlers_body_and_the_common_headers),
        cmocka_unit_test(head_counts_the_body_and_does_not_send_it),
        cmocka_unit_test(headers_are_found_whatever_their_case),
        cmocka_unit_test(row_a22_percent_decoding_is_done_once_and_refuses_broken_escapes),
        cmocka_unit_test(answers_leave_in_the_order_of_the_requests),
        cmocka_unit_test(rule_k6_a_request_that_waits_for_others_keeps_the_time_of_its_arrival),
        cmocka_unit_test(only_so_many_requests_are_in_progress_and_the_rest_waits),
        cmocka_unit_test(a_client_that_takes_no_answers_gets_no_more_requests_read),
        cmocka_unit_test(expect_100_is_answered_before_the_body_and_after_what_came_before),
        cmocka_unit_test(a_body_too_long_is_refused_without_100_and_without_reading_it),
        cmocka_unit_test(row_a23_a_body_at_the_limit_passes_and_one_byte_more_does_not),
        cmocka_unit_test(chunk_extensions_and_trailers_are_bounded),
        cmocka_unit_test(a_url_at_the_limit_passes_and_beyond_is_414),
        cmocka_unit_test(an_endless_url_is_cut_off_without_its_line_end),
        cmocka_unit_test(too_many_or_too_large_headers_are_431),
        cmocka_unit_test(row_a23_a_request_that_trickles_is_408),
        cmocka_unit_test(an_idle_connection_is_closed_without_a_word_and_an_active_one_is_not),
        cmocka_unit_test(a_request_that_waits_for_us_has_no_deadline),
        cmocka_unit_test(a_reader_that_takes_nothing_is_cut_off),
        cmocka_unit_test(row_e15_idle_connections_wake_the_loop_rarely_and_none_not_at_all),
        cmocka_unit_test(a_handler_hears_that_its_client_has_gone),
        cmocka_unit_test(a_handler_that_does_not_listen_may_still_answer),
        cmocka_unit_test(a_half_closed_client_still_gets_its_answers),
        cmocka_unit_test(a_streamed_answer_is_chunked_and_takes_its_turn),
        cmocka_unit_test(a_stream_pauses_when_its_reader_does_and_goes_on_with_it),
        cmocka_unit_test(a_stream_to_http_1_0_lasts_until_the_close),
        cmocka_unit_test(a_broken_off_answer_is_a_reset_and_never_an_end),
        cmocka_unit_test(an_upgrade_hands_the_connection_over_with_what_was_read),
        cmocka_unit_test(an_upgrade_behind_an_unanswered_request_is_a_request),
        cmocka_unit_test(destroying_the_server_tells_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
