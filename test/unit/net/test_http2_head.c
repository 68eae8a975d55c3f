/* Blocks of headers as clients may make them, by hand: what is taken, and what ends the stream. */
#include "base/limits.h"
#include "grpc_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define FIELDS_MAX 24

/* Names and values, NULL after the last. */
struct block {
    const char *fields[FIELDS_MAX];
};

#define REQUEST ":method", "POST", ":scheme", "http", ":path", "/wait/x", ":authority", "a"
#define GRPC    "content-type", "application/grpc"

static void say_block(struct raw *r, uint32_t id, uint8_t flags, const struct block *b)
{
    struct buf head = {0};
    for (size_t i = 0; b->fields[i] != NULL; i++) {
        if (i % 2 == 0) {
            buf_append_byte(&head, 0); /* literal, not to be remembered */
        }
        buf_append_byte(&head, (uint8_t)strlen(b->fields[i]));
        buf_append_str(&head, b->fields[i]);
    }
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, id, buf_slice(&head));
    buf_deinit(&head);
    raw_say(r);
}

/* The nth reset is of that stream, for a breach of the protocol. */
static void expect_reset(struct raw *r, uint32_t nth)
{
    struct slice reset;
    assert_true(frame_find(r->conn, NGHTTP2_RST_STREAM, nth, &reset));
    assert_int_equal(read_u32(reset.data), NGHTTP2_PROTOCOL_ERROR);
    assert_false(frame_find(r->conn, NGHTTP2_RST_STREAM, nth + 1, &reset));
    assert_false(r->conn->is_closed);
}

static void sound_requests_are_taken(void **state)
{
    struct raw *r = *state;
    static const struct block blocks[] = {
        {{REQUEST, GRPC}},
        {{REQUEST, GRPC, "te", "trailers", "x-empty", "", "x-text", "\xc3\xa9\t \"'"}},
        /* An endpoint with its scheme, as the clients in Go of etcd 3.4 have it. */
        {{":method", "POST", ":scheme", "http", ":path", "/wait/x", ":authority",
          "http://127.0.0.1:7502", GRPC}},
        {{":authority", "", ":path", "/wait/x", ":scheme", "https", ":method", "POST", GRPC}},
        {{":method", "POST", ":scheme", "http", ":path", "/wait/x", GRPC, "host", "a"}},
        {{REQUEST, GRPC, "content-length", "7"}}, /* a call's messages have their own lengths */
    };
    const uint32_t count = sizeof(blocks) / sizeof(blocks[0]);
    for (uint32_t i = 0; i < count; i++) {
        say_block(r, 1 + 2 * i, 0, &blocks[i]);
        assert_int_equal(r->world.waiting_count, i + 1);
    }
    frame_append(&r->out, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 2 * count - 1,
                 slice_of("\0\0\0\0\1x", 6));
    raw_say(r);
    assert_int_equal(r->world.message_count, 1);
    assert_int_equal(r->world.half_close_count, 1);
    struct slice authority = grpc_header_find(r->world.waiting[2], ":authority");
    assert_true(slice_equal(authority, slice_str("http://127.0.0.1:7502")));
}

static void malformed_requests_are_reset(void **state)
{
    struct raw *r = *state;
    static const struct block blocks[] = {
        {{":scheme", "http", ":path", "/wait/x", GRPC}},
        {{":method", "POST", ":path", "/wait/x", GRPC}},
        {{":method", "POST", ":scheme", "http", GRPC}},
        {{":method", "POST", ":scheme", "http", ":path", "", GRPC}},
        {{":method", "POST", ":scheme", "other", ":path", "wait/x", GRPC}},
        {{":method", "POST", ":scheme", "http", ":path", "/wait/x y", GRPC}},
        {{":method", "", ":scheme", "http", ":path", "/wait/x", GRPC}},
        {{":method", "PO ST", ":scheme", "http", ":path", "/wait/x", GRPC}},
        {{":method", "POST", ":scheme", "", ":path", "/wait/x", GRPC}},
        {{REQUEST, ":method", "POST", GRPC}},
        {{REQUEST, ":scheme", "http", GRPC}},
        {{REQUEST, ":path", "/wait/x", GRPC}},
        {{REQUEST, ":authority", "a", GRPC}},
        {{REQUEST, ":protocol", "websocket", GRPC}},
        {{REQUEST, ":status", "200", GRPC}},
        {{REQUEST, ":", "x", GRPC}},
        {{":method", "POST", ":scheme", "http", GRPC, ":path", "/wait/x"}},
        {{":method", "POST", ":scheme", "http", ":path", "/wait/x", ":authority", "a\nb", GRPC}},
        {{REQUEST, "Content-Type", "application/grpc"}},
        {{REQUEST, GRPC, "", "x"}},
        {{REQUEST, GRPC, "a b", "x"}},
        {{REQUEST, GRPC, "a", "x\r\ny"}},
        {{REQUEST, GRPC, "connection", "close"}},
        {{REQUEST, GRPC, "keep-alive", "5"}},
        {{REQUEST, GRPC, "proxy-connection", "close"}},
        {{REQUEST, GRPC, "transfer-encoding", "chunked"}},
        {{REQUEST, GRPC, "upgrade", "h2c"}},
        {{REQUEST, GRPC, "te", "gzip"}},
    };
    const uint32_t count = sizeof(blocks) / sizeof(blocks[0]);
    for (uint32_t i = 0; i < count; i++) {
        say_block(r, 1 + 2 * i, i % 2 == 0 ? NGHTTP2_FLAG_END_STREAM : 0, &blocks[i]);
        expect_reset(r, i);
        assert_int_equal(r->world.waiting_count, 0);
    }
    static const struct block sound = {{REQUEST, GRPC}};
    say_block(r, 1 + 2 * count, 0, &sound);
    assert_int_equal(r->world.waiting_count, 1);
    grpc_world_pass(&r->world, 2 * LIMIT_HTTP_REQUEST_MS, 1000); /* none counts as being read */
    assert_false(r->conn->is_closed);
}

/* What follows a malformed block in the same read is nobody's. */
static void messages_of_a_malformed_request_are_dropped(void **state)
{
    struct raw *r = *state;
    struct buf head = {0};
    headers_append(&head, "/wait/x");
    buf_append(&head, "\0\1A\1b", 5);
    headers_append(&head, "/wait/y");
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, buf_slice(&head));
    frame_append(&r->out, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, slice_of("\0\0\0\0\1x", 6));
    buf_deinit(&head);
    raw_say(r);
    expect_reset(r, 0);
    assert_int_equal(r->world.waiting_count, 0);
    assert_int_equal(grpc_server_streams(r->world.server), 0);
}

static void trailers_end_what_a_client_sends(void **state)
{
    struct raw *r = *state;
    static const struct block request = {{REQUEST, GRPC}};
    static const struct block trailers = {{"x-sum", "7"}};
    say_block(r, 1, 0, &request);
    say_block(r, 1, NGHTTP2_FLAG_END_STREAM, &trailers);
    assert_int_equal(r->world.half_close_count, 1);
    assert_int_equal(r->world.waiting[0]->header_count, 2); /* they are no metadata */
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    raw_say(r);
    struct slice reset;
    assert_false(frame_find(r->conn, NGHTTP2_RST_STREAM, 0, &reset));
}

static void malformed_trailers_end_the_call(void **state)
{
    struct raw *r = *state;
    static const struct block request = {{REQUEST, GRPC}};
    static const struct {
        struct block block;
        uint8_t flags;
    } cases[] = {
        {{{":path", "/wait/y"}}, NGHTTP2_FLAG_END_STREAM},
        {{{"x-sum", "7", ":status", "200"}}, NGHTTP2_FLAG_END_STREAM},
        {{{"X-Sum", "7"}}, NGHTTP2_FLAG_END_STREAM},
        {{{"connection", "close"}}, NGHTTP2_FLAG_END_STREAM},
        {{{"x-sum", "7"}}, 0}, /* they are no trailers */
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        say_block(r, 1 + 2 * i, 0, &request);
        say_block(r, 1 + 2 * i, cases[i].flags, &cases[i].block);
        expect_reset(r, i);
        assert_int_equal(r->world.gone_count, i + 1);
        assert_int_equal(r->world.half_close_count, 0);
    }
}

/* --- requests of one connection that are alike ------------------------------------------------ */

/* ":path", ":authority", "content-type" and "token: one", as entries of the table. */
#define KNOWN_PATH      "\xc1"
#define KNOWN_AUTHORITY "\xc0"
#define KNOWN_TYPE      "\xbf"
#define KNOWN_TOKEN     "\xbe"
#define KNOWN_REQUEST   "\x83\x86" KNOWN_PATH KNOWN_AUTHORITY
#define OTHER_TOKEN     "\x10\x05token\x03two"

/* A block as bytes of HPACK. */
#define SAY(r, id, bytes) say_bytes(r, id, slice_of(bytes, sizeof(bytes) - 1))

static void say_bytes(struct raw *r, uint32_t id, struct slice bytes)
{
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, bytes);
    raw_say(r);
}

/* Stream 1 is in waiting[0], and what it said is in the table. */
static void say_first(struct raw *r)
{
    SAY(r, 1,
        "\x83\x86\x44\x07/wait/x\x41\x01"
        "a\x5f\x10"
        "application/grpc\x40\x05token\x03one");
    assert_int_equal(r->world.waiting_count, 1);
}

static void expect_token(struct raw *r, uint32_t nth, const char *token)
{
    struct grpc_stream *s = r->world.waiting[nth];
    struct slice seen = grpc_header_find(s, "token");
    assert_true(slice_equal(s->path, slice_str("/wait/x")));
    assert_true(slice_equal(grpc_header_find(s, ":authority"), slice_str("a")));
    if (token == NULL) {
        assert_null(seen.data);
    } else {
        assert_true(slice_equal(seen, slice_str(token)));
    }
}

static void the_same_headers_are_kept_once(void **state)
{
    struct raw *r = *state;
    say_first(r);
    SAY(r, 3, KNOWN_REQUEST KNOWN_TYPE KNOWN_TOKEN);
    assert_int_equal(r->world.waiting_count, 2);
    assert_ptr_equal(r->world.waiting[1]->headers, r->world.waiting[0]->headers);
    SAY(r, 5, "\x83\x86\x04\x07/wait/x" KNOWN_AUTHORITY KNOWN_TYPE "\x10\x05token\x03one");
    assert_int_equal(r->world.waiting_count, 3); /* word for word */
    assert_ptr_equal(r->world.waiting[2]->headers, r->world.waiting[0]->headers);
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    frame_append(&r->out, NGHTTP2_RST_STREAM, 0, 1, slice_of("\0\0\0\x8", 4));
    raw_say(r);
    expect_token(r, 1, "one"); /* it lives as long as any of them */
}

static void headers_that_differ_are_those_of_their_call(void **state)
{
    struct raw *r = *state;
    say_first(r);
    SAY(r, 3, KNOWN_REQUEST KNOWN_TYPE OTHER_TOKEN);
    SAY(r, 5, KNOWN_REQUEST KNOWN_TYPE);             /* the beginning of those before */
    SAY(r, 7, KNOWN_REQUEST KNOWN_TYPE KNOWN_TOKEN); /* and more */
    SAY(r, 9, KNOWN_REQUEST KNOWN_TOKEN KNOWN_TYPE); /* in another order */
    assert_int_equal(r->world.waiting_count, 5);
    expect_token(r, 0, "one");
    expect_token(r, 1, "two");
    expect_token(r, 2, NULL);
    expect_token(r, 3, "one");
    expect_token(r, 4, "one");
}

/* What is known to be sound is so in its place only. */
static void known_headers_in_the_wrong_place_are_malformed(void **state)
{
    struct raw *r = *state;
    say_first(r);
    SAY(r, 3, OTHER_TOKEN "\x86" KNOWN_PATH "\x83" KNOWN_AUTHORITY KNOWN_TYPE);
    expect_reset(r, 0);
    SAY(r, 5, "\x86\x86" KNOWN_PATH KNOWN_AUTHORITY KNOWN_TYPE "\x83");
    expect_reset(r, 1);
    SAY(r, 7, "\x83" KNOWN_PATH KNOWN_AUTHORITY KNOWN_TYPE); /* no scheme */
    expect_reset(r, 2);
    assert_int_equal(r->world.waiting_count, 1);
    SAY(r, 9, KNOWN_REQUEST KNOWN_TYPE KNOWN_TOKEN);
    assert_int_equal(r->world.waiting_count, 2);
    expect_token(r, 1, "one");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)
    const struct CMUnitTest tests[] = {
        TEST(sound_requests_are_taken),
        TEST(malformed_requests_are_reset),
        TEST(messages_of_a_malformed_request_are_dropped),
        TEST(trailers_end_what_a_client_sends),
        TEST(the_same_headers_are_kept_once),
        TEST(headers_that_differ_are_those_of_their_call),
        TEST(known_headers_in_the_wrong_place_are_malformed),
        TEST(malformed_trailers_end_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
