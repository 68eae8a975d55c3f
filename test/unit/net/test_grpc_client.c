/* The client of gRPC on the production loop: against our own server, and against servers by hand
 * that are hostile, broken or on their way out. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "grpc_client_world.h"
#include "grpc_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect_told(const struct told_call *t, enum grpc_code code, const char *text,
                        bool is_answer)
{
    if (t->end_count != 1 || t->code != code || strcmp(t->text, text) != 0 ||
        t->is_answer != is_answer) {
        fail_msg("ended %u times, code %d, text '%s', %s", (unsigned)t->end_count, (int)t->code,
                 t->text, t->is_answer ? "an answer" : "no answer");
    }
}

static void expect_last(const struct told_call *t, const char *message)
{
    assert_int_equal(t->last.size, strlen(message));
    assert_memory_equal(t->last.data, message, t->last.size);
}

/* --- calls that go well ----------------------------------------------------------------------- */

static void ask_once(struct client_story *s)
{
    client_story_call(s, "/echo/x", "hello");
}

static void a_unary_call_gets_its_message_and_its_code(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_once;
    s.stop_after = 1;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_OK, "", true);
    assert_int_equal(s.calls[0].message_count, 1);
    expect_last(&s.calls[0], "hello");
    assert_int_equal(s.opened, 1);
    assert_int_equal(s.why, STATUS_CLOSED);
    assert_string_equal(s.why_text, "closed here");
    client_story_free(&s);
}

static void ask_again(struct told_call *t)
{
    if (t->end_count < 50) {
        char message[16];
        snprintf(message, sizeof(message), "turn %u", (unsigned)t->end_count);
        assert_int_equal(grpc_client_begin(t->story->conn, &t->call, "/echo/x", slice_str(message)),
                         STATUS_OK);
    }
}

static void a_call_begins_anew_out_of_its_own_end(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_once;
    s.on_end = ask_again;
    s.stop_after = 50;
    client_story_run(&s);
    assert_int_equal(s.calls[0].end_count, 50);
    assert_int_equal(s.calls[0].message_count, 50);
    expect_last(&s.calls[0], "turn 49");
    client_story_free(&s);
}

static void ask_for_token(struct client_story *s)
{
    char token[] = "one";
    s->calls[0].call.token = token;
    client_story_call(s, "/token/x", "");
    token[0] = '\0'; /* it was copied */
}

static void ask_as_another(struct told_call *t)
{
    static const char *const tokens[] = {"two", NULL};
    static const char *const told[] = {"one", "two", ""};
    expect_last(t, told[t->end_count - 1]);
    if (t->end_count <= 2) {
        t->call.token = tokens[t->end_count - 1];
        assert_int_equal(grpc_client_begin(t->story->conn, &t->call, "/token/x", slice_str("")),
                         STATUS_OK);
    }
}

static void a_call_shows_the_token_that_it_began_with(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_for_token;
    s.on_end = ask_as_another;
    s.stop_after = 3;
    client_story_run(&s);
    assert_int_equal(s.calls[0].end_count, 3);
    client_story_free(&s);
}

static void ask_many(struct client_story *s)
{
    for (uint32_t i = 0; i < s->stop_after; i++) {
        char message[16];
        snprintf(message, sizeof(message), "number %u", (unsigned)i);
        client_story_call(s, "/echo/x", message);
    }
    assert_int_equal(grpc_client_calls(s->conn), s->stop_after);
}

static void ask_so_many(uint32_t count)
{
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_many;
    s.stop_after = count;
    client_story_run(&s);
    for (uint32_t i = 0; i < count; i++) {
        char message[16];
        snprintf(message, sizeof(message), "number %u", (unsigned)i);
        expect_told(&s.calls[i], GRPC_OK, "", true);
        expect_last(&s.calls[i], message);
    }
    client_story_free(&s);
}

static void a_hundred_calls_at_a_time_each_get_their_own_answer(void **state)
{
    (void)state;
    ask_so_many(100);
}

static void calls_beyond_what_the_server_takes_wait_for_their_turn(void **state)
{
    (void)state;
    ask_so_many(LIMIT_H2_STREAMS + 500);
}

static void what_is_begun_in_a_turn_leaves_in_one_write(void **state)
{
    (void)state;
    static struct client_story s;
    struct buf answer = {0};
    frame_append(&answer, NGHTTP2_SETTINGS, 0, 0, slice_of(NULL, 0));
    client_story_begin_by_hand(&s,
                               &(struct hand_server){.answer = buf_slice(&answer), .closes = true});
    s.on_open = ask_many;
    s.stop_after = 80;
    client_story_run(&s);
    assert_int_equal(s.hand.call_count, 80); /* in the first bytes that came */
    buf_deinit(&answer);
    client_story_free(&s);
}

static void ask_for_much(struct client_story *s)
{
    size_t size = LIMIT_GRPC_MESSAGE_BYTES;
    char *message = mem_alloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        message[i] = (char)('a' + i % 23);
    }
    message[size] = '\0';
    client_story_call(s, "/echo/x", message);
    client_story_call(s, "/echo/x", message);
    mem_free(message);
}

static void a_large_message_comes_and_goes_whole(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_for_much;
    s.stop_after = 2;
    client_story_run(&s);
    for (int i = 0; i < 2; i++) {
        expect_told(&s.calls[i], GRPC_OK, "", true);
        assert_int_equal(s.calls[i].last.size, LIMIT_GRPC_MESSAGE_BYTES);
        for (size_t at = 0; at < LIMIT_GRPC_MESSAGE_BYTES; at++) {
            CHECK(s.calls[i].last.data[at] == 'a' + at % 23);
        }
    }
    client_story_free(&s);
}

static void ask_nothing(struct client_story *s)
{
    client_story_call(s, "/echo/x", "");
}

static void an_empty_message_is_one(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_nothing;
    s.stop_after = 1;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_OK, "", true);
    assert_int_equal(s.calls[0].message_count, 1);
    assert_int_equal(s.calls[0].last.size, 0);
    client_story_free(&s);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void open_stream(struct client_story *s)
{
    struct told_call *t = client_story_stream(s, "/echo/x");
    assert_int_equal(grpc_client_send(&t->call, slice_str("one")), STATUS_OK);
    assert_int_equal(grpc_client_send(&t->call, slice_str("two")), STATUS_OK);
}

static void go_on_with_stream(struct told_call *t, struct slice message)
{
    (void)message;
    if (t->message_count == 2) {
        assert_int_equal(grpc_client_send(&t->call, slice_str("three")), STATUS_OK);
    } else if (t->message_count == 3) {
        grpc_client_half_close(&t->call);
        assert_int_equal(grpc_client_send(&t->call, slice_str("late")), STATUS_CLOSED);
    }
}

static void send_too_late(struct told_call *t)
{
    assert_int_equal(grpc_client_send(&t->call, slice_str("later")), STATUS_CLOSED);
    grpc_client_half_close(&t->call); /* neither does anything */
    grpc_client_cancel(&t->call);
}

static void a_stream_goes_both_ways_until_it_is_half_closed(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = open_stream;
    s.on_message = go_on_with_stream;
    s.on_end = send_too_late;
    s.stop_after = 1;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_OK, "", true);
    assert_int_equal(s.calls[0].message_count, 3);
    expect_last(&s.calls[0], "three");
    client_story_free(&s);
}

static void open_early(struct client_story *s)
{
    struct told_call *t = client_story_stream(s, "/early/x");
    assert_int_equal(grpc_client_send(&t->call, slice_str("only")), STATUS_OK);
}

static void a_stream_that_the_server_ends_is_over_for_both(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = open_early;
    s.stop_after = 1;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_OK, "", true);
    expect_last(&s.calls[0], "only");
    client_story_free(&s);
}

static void send_until_refused(struct client_story *s)
{
    static const uint8_t block[64 * KIB];
    struct told_call *t = client_story_stream(s, "/wait/x");
    size_t sent = 0;
    enum status status;
    while ((status = grpc_client_send(&t->call, slice_of(block, sizeof(block)))) == STATUS_OK) {
        sent += sizeof(block);
        assert_true(sent <= LIMIT_GRPC_CLIENT_UNSENT_BYTES);
    }
    assert_int_equal(status, STATUS_OVERLOADED);
    assert_true(sent > LIMIT_GRPC_CLIENT_UNSENT_BYTES / 2);
    grpc_client_cancel(&t->call);
}

static void a_stream_that_nobody_reads_takes_no_more_messages(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = send_until_refused;
    s.stop_after = 1;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_CANCELED, "cancelled here", false);
    client_story_free(&s);
}

/* --- calls that the caller ends --------------------------------------------------------------- */

static void leave_one(struct told_call *t, struct slice message)
{
    (void)message;
    if (t == &t->story->calls[0]) {
        grpc_client_cancel(&t->call);
        grpc_client_cancel(&t->call);
        assert_int_equal(grpc_client_send(&t->call, slice_str("late")), STATUS_CLOSED);
        client_story_call(t->story, "/echo/x", "another");
    }
}

static void a_cancelled_call_is_told_no_more_and_others_go_on(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = open_stream;
    s.on_message = leave_one;
    s.stop_after = 2;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_CANCELED, "cancelled here", false);
    assert_int_equal(s.calls[0].message_count, 1);
    expect_told(&s.calls[1], GRPC_OK, "", true);
    expect_last(&s.calls[1], "another");
    client_story_free(&s);
}

static void cancel_before_it_leaves(struct client_story *s)
{
    for (uint32_t i = 0; i < 3; i++) {
        client_story_call(s, "/echo/x", "never seen");
    }
    for (uint32_t i = 0; i < 3; i++) {
        grpc_client_cancel(&s->calls[i].call);
    }
    client_story_call(s, "/echo/x", "seen");
}

static void a_call_that_has_not_left_is_cancelled_like_any_other(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = cancel_before_it_leaves;
    s.stop_after = 4;
    client_story_run(&s);
    for (uint32_t i = 0; i < 3; i++) {
        expect_told(&s.calls[i], GRPC_CANCELED, "cancelled here", false);
    }
    expect_told(&s.calls[3], GRPC_OK, "", true);
    client_story_free(&s);
}

static void wait_and_ask(struct client_story *s)
{
    for (uint32_t i = 0; i < 5; i++) {
        client_story_call(s, "/wait/x", "hello");
    }
    client_story_call(s, "/echo/x", "hello");
}

static void close_under_way(struct told_call *t, struct slice message)
{
    (void)message;
    struct client_story *s = t->story;
    assert_int_equal(grpc_client_calls(s->conn), 6);
    grpc_client_close(s->conn);
    grpc_client_close(s->conn);
    assert_int_equal(s->ended, 0); /* not out of the call */
    struct grpc_client_call refused = {.on_end = t->call.on_end};
    assert_int_equal(grpc_client_begin(s->conn, &refused, "/echo/x", slice_str("")), STATUS_CLOSED);
}

static void calls_under_way_end_when_the_connection_is_closed(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = wait_and_ask;
    s.on_message = close_under_way;
    client_story_run(&s);
    for (uint32_t i = 0; i < 6; i++) {
        expect_told(&s.calls[i], GRPC_CANCELED, "closed here", false);
    }
    assert_int_equal(s.why, STATUS_CLOSED);
    client_story_free(&s);
}

/* --- servers that say no, or go --------------------------------------------------------------- */

static void ask_for_refusals(struct client_story *s)
{
    client_story_call(s, "/refuse/x", "hello");
    client_story_call(s, "/nothing/x", "hello");
    client_story_stream(s, "/refuse/x");
}

static void a_refusal_without_a_message_comes_with_its_text(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_for_refusals;
    s.stop_after = 3;
    client_story_run(&s);
    expect_told(&s.calls[0], GRPC_NOT_FOUND, REFUSAL_TEXT, true);
    assert_int_equal(s.calls[0].message_count, 0);
    expect_told(&s.calls[1], GRPC_UNIMPLEMENTED, "unknown service nothing", true);
    expect_told(&s.calls[2], GRPC_NOT_FOUND, REFUSAL_TEXT, true);
    client_story_free(&s);
}

static void nobody_listens(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.story.loop->ops->listen_stop(s.story.loop);
    client_story_run(&s);
    assert_int_equal(s.opened, 0);
    assert_int_equal(s.why, STATUS_UNREACHABLE);
    assert_string_equal(s.why_text, "cannot connect");
    client_story_free(&s);
}

static void expect_cut(const struct hand_server *hand)
{
    static struct client_story s;
    client_story_begin_by_hand(&s, hand);
    s.on_open = ask_for_refusals;
    client_story_run(&s);
    for (uint32_t i = 0; i < 3; i++) {
        expect_told(&s.calls[i], GRPC_UNAVAILABLE, "cut off", false);
    }
    assert_int_equal(s.why, STATUS_CLOSED);
    client_story_free(&s);
}

static void a_connection_that_is_cut_ends_its_calls(void **state)
{
    (void)state;
    expect_cut(&(struct hand_server){.resets = true});
    expect_cut(&(struct hand_server){.closes = true});
}

static void let_it_leave(struct told_call *t, struct slice message)
{
    (void)message;
    client_story_drain(t->story);
}

static void refused_from_now_on(struct told_call *t)
{
    if (t->story->ended == 1) {
        return; /* the GOAWAY may not be here yet */
    }
    struct grpc_client_call refused = {.on_end = t->call.on_end};
    assert_int_equal(grpc_client_begin(t->story->conn, &refused, "/echo/x", slice_str("")),
                     STATUS_CLOSED);
}

static void ask_and_wait(struct client_story *s)
{
    client_story_call(s, "/wait/x", "hello");
    client_story_call(s, "/echo/x", "hello");
}

static void a_server_that_leaves_sends_its_clients_away(void **state)
{
    (void)state;
    static struct client_story s;
    client_story_begin(&s);
    s.on_open = ask_and_wait;
    s.on_message = let_it_leave;
    s.on_end = refused_from_now_on;
    client_story_run(&s);
    assert_int_equal(s.calls[0].code, GRPC_UNAVAILABLE);
    assert_true(s.calls[0].is_answer);
    expect_told(&s.calls[1], GRPC_OK, "", true);
    assert_int_equal(s.why, STATUS_CLOSED);
    assert_memory_equal(s.why_text, "GOAWAY NO_ERROR", 15);
    client_story_free(&s);
}

/* --- servers by hand -------------------------------------------------------------------------- */

#define STATUS_200 "\x88"
#define STATUS_404 "\x8d"
#define GRPC_STATUS(length, code)                                                                  \
    "\x00\x0b"                                                                                     \
    "grpc-status" length code
#define GRPC_MESSAGE(length, text)                                                                 \
    "\x00\x0c"                                                                                     \
    "grpc-message" length text
#define HEADERS(text)   frame(&script, NGHTTP2_HEADERS, END_HEADERS, text, sizeof(text) - 1)
#define LAST(text)      frame(&script, NGHTTP2_HEADERS, END_HEADERS | END, text, sizeof(text) - 1)
#define DATA(text)      frame(&script, NGHTTP2_DATA, 0, text, sizeof(text) - 1)
#define LAST_DATA(text) frame(&script, NGHTTP2_DATA, END, text, sizeof(text) - 1)
#define RESET(code)     frame(&script, NGHTTP2_RST_STREAM, 0, "\0\0\0" code, 4)
#define END_HEADERS     4
#define END             1

static struct buf script;
static uint32_t script_stream;

static void frame(struct buf *out, uint8_t type, uint8_t flags, const char *text, size_t size)
{
    frame_append(out, type, flags, script_stream, slice_of(text, size));
}

static void begin_script(void)
{
    buf_deinit(&script);
    script_stream = 1;
    frame_append(&script, NGHTTP2_SETTINGS, 0, 0, slice_of(NULL, 0));
    frame_append(&script, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, slice_of(NULL, 0));
}

/* Play the script at `count` calls; the connection is closed by the client when they have ended,
 * or, with `count_to_stop` 0, by the server or whatever happens. */
static void play(struct client_story *s, uint32_t count_to_stop,
                 void (*on_open)(struct client_story *s))
{
    client_story_begin_by_hand(s, &(struct hand_server){.answer = buf_slice(&script)});
    s->on_open = on_open;
    s->stop_after = count_to_stop;
    client_story_run(s);
}

static void expect_script(enum grpc_code code, const char *text, bool is_answer,
                          uint32_t message_count)
{
    static struct client_story s;
    play(&s, 1, ask_once);
    expect_told(&s.calls[0], code, text, is_answer);
    assert_int_equal(s.calls[0].message_count, message_count);
    client_story_free(&s);
    begin_script();
}

static void what_a_server_says_is_taken_for_what_it_is(void **state)
{
    (void)state;
    begin_script();
    HEADERS(STATUS_200);
    DATA("\0\0\0\0\2hi");
    LAST(GRPC_STATUS("\1", "0"));
    expect_script(GRPC_OK, "", true, 1);
    /* The same in the smallest pieces, and two messages in one. */
    HEADERS(STATUS_200);
    DATA("\0\0");
    DATA("\0\0\2h");
    DATA("");
    DATA("i\0\0\0\0\0\0\0\0\0\3ab");
    DATA("c");
    LAST(GRPC_STATUS("\1", "0"));
    expect_script(GRPC_OK, "", true, 3);
    LAST(STATUS_200 GRPC_STATUS("\1", "5") GRPC_MESSAGE("\x0f", "no%20such%25%0A"));
    expect_script(GRPC_NOT_FOUND, "no such%\n", true, 0);
    LAST(STATUS_200 GRPC_STATUS("\1", "5") GRPC_MESSAGE("\x04", "50%x"));
    expect_script(GRPC_NOT_FOUND, "50%x", true, 0);
    LAST(STATUS_200 GRPC_STATUS("\2", "99"));
    expect_script(GRPC_UNKNOWN, "", true, 0);
    LAST(STATUS_200 GRPC_STATUS("\2", "-1"));
    expect_script(GRPC_UNKNOWN, "", true, 0);
    LAST(STATUS_404);
    expect_script(GRPC_UNIMPLEMENTED, "HTTP status 404", false, 0);
    HEADERS(STATUS_404);
    LAST_DATA("\0\0\0\0\1x, a page");
    expect_script(GRPC_UNIMPLEMENTED, "HTTP status 404", false, 0);
    HEADERS(STATUS_200);
    LAST_DATA("\0\0\0\0\2hi");
    expect_script(GRPC_INTERNAL, "the stream ended without a status", false, 1);
    HEADERS(STATUS_200);
    DATA("\0\0\0\0\7short");
    LAST(GRPC_STATUS("\1", "0"));
    expect_script(GRPC_INTERNAL, "the last message is cut off", false, 0);
    HEADERS(STATUS_200);
    DATA("\0\0\0");
    LAST(GRPC_STATUS("\1", "3"));
    expect_script(GRPC_INVALID_ARGUMENT, "", true, 0);
    HEADERS(STATUS_200);
    DATA("\1\0\0\0\2hi");
    expect_script(GRPC_INTERNAL, "a message is compressed, which was not asked for", false, 0);
    HEADERS(STATUS_200);
    DATA("\0\xff\xff\xff\xff");
    DATA("much");
    expect_script(GRPC_RESOURCE_EXHAUSTED, "a message is too large", false, 0);
    DATA("\0\0\0\0\2hi"); /* before any headers */
    expect_script(GRPC_INTERNAL, "the server broke the rules of HTTP/2", false, 0);
    buf_deinit(&script);
}

static void a_reset_says_what_it_means(void **state)
{
    (void)state;
    begin_script();
    RESET("\7");
    expect_script(GRPC_UNAVAILABLE, "the stream was reset: REFUSED_STREAM", false, 0);
    RESET("\x8");
    expect_script(GRPC_CANCELED, "the stream was reset: CANCEL", false, 0);
    RESET("\xb");
    expect_script(GRPC_RESOURCE_EXHAUSTED, "the stream was reset: ENHANCE_YOUR_CALM", false, 0);
    HEADERS(STATUS_200);
    DATA("\0\0\0\0\2hi");
    RESET("\2");
    expect_script(GRPC_INTERNAL, "the stream was reset: INTERNAL_ERROR", false, 1);
    buf_deinit(&script);
}

static void ask_twice(struct client_story *s)
{
    client_story_call(s, "/echo/x", "hello");
    client_story_call(s, "/echo/x", "hello");
}

static void a_goaway_refuses_the_calls_behind_it_and_says_why(void **state)
{
    (void)state;
    static struct client_story s;
    static const char goaway[] = "\0\0\0\1\0\0\0\x0btoo_many\npings";
    begin_script();
    frame_append(&script, NGHTTP2_GOAWAY, 0, 0, slice_of(goaway, sizeof(goaway) - 1));
    LAST(STATUS_200 GRPC_STATUS("\1", "0")); /* the first call is still answered */
    play(&s, 0, ask_twice);
    expect_told(&s.calls[0], GRPC_OK, "", true);
    expect_told(&s.calls[1], GRPC_UNAVAILABLE, "the stream was reset: REFUSED_STREAM", false);
    assert_int_equal(s.why, STATUS_CLOSED);
    assert_string_equal(s.why_text, "GOAWAY ENHANCE_YOUR_CALM: too_many?pings");
    client_story_free(&s);
    buf_deinit(&script);
}

static void expect_broken(const char *text, size_t size)
{
    static struct client_story s;
    buf_append(&script, text, size);
    play(&s, 0, ask_twice);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(s.calls[i].code, GRPC_INTERNAL);
        assert_false(s.calls[i].is_answer);
    }
    assert_int_equal(s.why, STATUS_CORRUPT);
    client_story_free(&s);
    buf_deinit(&script);
}

static void a_server_that_is_none_of_http2_is_left(void **state)
{
    (void)state;
    static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    static const char zeros[64 * KIB];
    static const char push[] = "\0\0\4\5\4\0\0\0\1\0\0\0\2";
    expect_broken(http1, sizeof(http1) - 1);
    expect_broken(zeros, sizeof(zeros));
    begin_script();
    expect_broken(push, sizeof(push) - 1); /* a promise, which was refused in advance */
    begin_script();
    expect_broken(http1, sizeof(http1) - 1);
}

static void a_server_that_asks_without_reading_is_left(void **state)
{
    (void)state;
    begin_script();
    for (uint32_t i = 0; i <= LIMIT_H2_ACKS; i++) {
        frame_append(&script, NGHTTP2_PING, 0, 0, slice_of("12345678", 8));
    }
    expect_broken("", 0);
}

#define HALVES     3
#define HALF_BYTES (LIMIT_GRPC_CLIENT_PARTIAL_BYTES / HALVES + MIB)

static void ask_for_halves(struct client_story *s)
{
    for (uint32_t i = 0; i < HALVES; i++) {
        client_story_call(s, "/echo/x", "hello");
    }
}

/* Each is within what a message may have; together they are too much. */
static void messages_that_never_end_are_bounded_together(void **state)
{
    (void)state;
    static const uint8_t block[16 * KIB];
    static struct client_story s;
    begin_script();
    for (script_stream = 1; script_stream < 2 * HALVES; script_stream += 2) {
        HEADERS(STATUS_200);
        DATA("\0\4\0\0\0"); /* 64 MiB */
        for (size_t sent = 0; sent < HALF_BYTES; sent += sizeof(block)) {
            frame_append(&script, NGHTTP2_DATA, 0, script_stream, slice_of(block, sizeof(block)));
        }
    }
    for (script_stream = 1; script_stream < 2 * HALVES - 2; script_stream += 2) {
        RESET("\x8");
    }
    play(&s, HALVES, ask_for_halves);
    expect_told(&s.calls[0], GRPC_CANCELED, "the stream was reset: CANCEL", false);
    expect_told(&s.calls[1], GRPC_CANCELED, "the stream was reset: CANCEL", false);
    expect_told(&s.calls[2], GRPC_RESOURCE_EXHAUSTED, "too much waits for the rest of its message",
                false);
    client_story_free(&s);
    buf_deinit(&script);
}

static void expect_little_kept(struct told_call *t, struct slice message)
{
    if (message.size == 0) { /* the one after the large one */
        assert_in_range(t->call.in.capacity, 0, LIMIT_GRPC_MESSAGE_BYTES / 4);
    }
}

/* A stream lives long: what one message took is not kept for as long. */
static void a_stream_gives_back_what_a_large_message_took(void **state)
{
    (void)state;
    static const uint8_t block[16 * KIB];
    static struct client_story s;
    begin_script();
    HEADERS(STATUS_200);
    DATA("\0\0\x20\0\0"); /* 2 MiB */
    for (size_t sent = 0; sent < LIMIT_GRPC_MESSAGE_BYTES; sent += sizeof(block)) {
        frame_append(&script, NGHTTP2_DATA, 0, script_stream, slice_of(block, sizeof(block)));
    }
    DATA("\0\0\0\0\0");
    RESET("\x8");
    client_story_begin_by_hand(&s, &(struct hand_server){.answer = buf_slice(&script)});
    s.on_open = ask_once;
    s.on_message = expect_little_kept;
    s.stop_after = 1;
    client_story_run(&s);
    assert_int_equal(s.calls[0].message_count, 2);
    client_story_free(&s);
    buf_deinit(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unary_call_gets_its_message_and_its_code),
        cmocka_unit_test(a_call_begins_anew_out_of_its_own_end),
        cmocka_unit_test(a_call_shows_the_token_that_it_began_with),
        cmocka_unit_test(a_hundred_calls_at_a_time_each_get_their_own_answer),
        cmocka_unit_test(calls_beyond_what_the_server_takes_wait_for_their_turn),
        cmocka_unit_test(what_is_begun_in_a_turn_leaves_in_one_write),
        cmocka_unit_test(a_large_message_comes_and_goes_whole),
        cmocka_unit_test(an_empty_message_is_one),
        cmocka_unit_test(a_stream_goes_both_ways_until_it_is_half_closed),
        cmocka_unit_test(a_stream_that_the_server_ends_is_over_for_both),
        cmocka_unit_test(a_stream_that_nobody_reads_takes_no_more_messages),
        cmocka_unit_test(a_cancelled_call_is_told_no_more_and_others_go_on),
        cmocka_unit_test(a_call_that_has_not_left_is_cancelled_like_any_other),
        cmocka_unit_test(calls_under_way_end_when_the_connection_is_closed),
        cmocka_unit_test(a_refusal_without_a_message_comes_with_its_text),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_connection_that_is_cut_ends_its_calls),
        cmocka_unit_test(a_server_that_leaves_sends_its_clients_away),
        cmocka_unit_test(what_a_server_says_is_taken_for_what_it_is),
        cmocka_unit_test(a_reset_says_what_it_means),
        cmocka_unit_test(a_goaway_refuses_the_calls_behind_it_and_says_why),
        cmocka_unit_test(a_server_that_is_none_of_http2_is_left),
        cmocka_unit_test(a_server_that_asks_without_reading_is_left),
        cmocka_unit_test(messages_that_never_end_are_bounded_together),
        cmocka_unit_test(a_stream_gives_back_what_a_large_message_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
