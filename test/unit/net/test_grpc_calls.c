/* net/grpc.h: calls and messages, with a client that is nghttp2's own. */
#include "base/limits.h"
#include "base/mem.h"
#include "grpc_world.h"
#include "net/grpc_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

struct pair {
    struct grpc_world world;
    struct client client;
};

static int setup(void **state)
{
    struct pair *p = mem_alloc(sizeof(*p));
    grpc_world_start(&p->world, NULL);
    client_start(&p->client, &p->world);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    client_finish(&p->client);
    grpc_world_finish(&p->world);
    mem_free(p);
    return 0;
}

static void expect_body(struct client *c, int32_t id, const char *bytes, size_t size)
{
    struct buf *body = &client_find(c, id)->body;
    assert_int_equal(body->size, size);
    assert_memory_equal(body->data, bytes, size);
}

static void a_unary_call(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call(c, "/echo/Unary", NULL);
    client_send(c, id, "hello");
    client_end(c, id);
    client_pump(c);
    expect_end(c, id, "0", "");
    expect_body(c, id, "\0\0\0\0\5hello", 10);
    assert_int_equal(client_find(c, id)->header_blocks, 2);
    assert_int_equal(grpc_server_streams(p->world.server), 0);
    assert_int_equal(grpc_server_requests(p->world.server), 1);
}

static void a_call_without_an_answer_is_only_its_status(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call(c, "/refuse/x", NULL);
    client_end(c, id);
    client_pump(c);
    expect_end(c, id, "5", REFUSAL_ESCAPED);
    assert_int_equal(client_find(c, id)->header_blocks, 1);
    assert_int_equal(client_find(c, id)->body.size, 0);
}

static void unknown_paths_are_unimplemented(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const char *const cases[][2] = {
        {"/etcdserverpb.KV/Range", "unknown service etcdserverpb.KV"},
        {"/known.S/Fly", "unknown method Fly for service known.S"},
        {"/a/b/c", "unknown service a/b"},
        {"/nothing", "malformed method name: \"/nothing\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t id = client_call(c, cases[i][0], NULL);
        client_end(c, id);
        client_pump(c);
        expect_end(c, id, "12", cases[i][1]);
    }
}

static void messages_may_come_in_pieces_and_together(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call(c, "/echo/Stream", NULL);
    static const char bytes[] = "\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\5three";
    for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
        client_send_raw(c, id, slice_of(bytes + i, 1));
        client_pump(c);
    }
    client_send_raw(c, id, slice_of(bytes, sizeof(bytes) - 1));
    client_end(c, id);
    client_pump(c);
    expect_end(c, id, "0", "");
    struct buf *body = &client_find(c, id)->body;
    assert_int_equal(body->size, 2 * (sizeof(bytes) - 1));
    assert_memory_equal(body->data, bytes, sizeof(bytes) - 1);
    assert_memory_equal(body->data + sizeof(bytes) - 1, bytes, sizeof(bytes) - 1);
    assert_int_equal(grpc_server_requests(p->world.server), 6);
}

static void the_handler_sees_path_and_metadata(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const char *const more[] = {"token", "secret", "hasleader", "true", "x-empty", "", NULL};
    client_call(c, "/wait/here", more);
    client_pump(c);
    assert_int_equal(p->world.waiting_count, 1);
    struct grpc_stream *s = p->world.waiting[0];
    assert_true(slice_equal(s->path, slice_str("/wait/here")));
    assert_true(slice_equal(grpc_header_find(s, "token"), slice_str("secret")));
    assert_true(slice_equal(grpc_header_find(s, "hasleader"), slice_str("true")));
    assert_true(slice_equal(grpc_header_find(s, ":authority"), slice_str("somewhere")));
    assert_non_null(grpc_header_find(s, "x-empty").data);
    assert_null(grpc_header_find(s, "x-none").data);
    assert_null(grpc_header_find(s, ":method").data);
    assert_true(s->deadline_ms == UINT64_MAX);
    assert_ptr_equal(s->conn, &c->conn->base);
}

static void what_is_no_grpc_is_refused_as_http(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const struct {
        const char *method;
        const char *type;
        const char *http_status;
    } cases[] = {
        {"GET", "application/grpc", "405"},
        {"POST", "text/plain", "415"},
        {"POST", NULL, "415"},
        {"POST", "application/grpc-web", "415"},
        {"POST", "application/grpc+proto", "200"},
        {"POST", "application/grpc;x=1", "200"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t id = client_call_as(c, cases[i].method, cases[i].type, "/echo/x", NULL);
        client_send(c, id, "body");
        client_end(c, id);
        client_pump(c);
        assert_string_equal(client_find(c, id)->http_status, cases[i].http_status);
        assert_true(client_find(c, id)->is_closed);
    }
}

/* Not reset: that would be an error to who speaks no gRPC; nor answered before, which some wait for
 * in vain. */
static void what_is_no_grpc_is_heard_to_its_end(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call_as(c, "POST", "text/plain", "/wait/x", NULL);
    for (int i = 0; i < 30; i++) {
        client_send_bytes(c, id, slice_str("a body that nobody wants"));
        client_pump(c);
        assert_int_equal(client_find(c, id)->out.size, 0);
    }
    assert_string_equal(client_find(c, id)->http_status, "");
    client_end(c, id);
    client_pump(c);
    assert_string_equal(client_find(c, id)->http_status, "415");
    assert_true(client_find(c, id)->is_closed);
    assert_int_equal(client_find(c, id)->reset_code, NGHTTP2_NO_ERROR);
}

static void a_deadline_ends_the_call(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const char *const soon[] = {"grpc-timeout", "100m", NULL};
    static const char *const later[] = {"grpc-timeout", "2S", NULL};
    int32_t a = client_call(c, "/wait/a", soon);
    int32_t b = client_call(c, "/stubborn/b", soon);
    int32_t d = client_call(c, "/wait/d", later);
    client_pump(c);
    assert_true(p->world.waiting[0]->deadline_ms == p->world.loop.now_ms + 100);
    assert_true(p->world.waiting[2]->deadline_ms == p->world.loop.now_ms + 2000);
    grpc_world_pass(&p->world, 99, 33);
    assert_int_equal(p->world.gone_count, 0);
    grpc_world_pass(&p->world, 10, 10);
    client_pump(c);
    expect_end(c, a, "4", "context deadline exceeded");
    expect_end(c, b, "4", "context deadline exceeded");
    assert_string_equal(client_find(c, d)->code, "");
    assert_int_equal(p->world.gone_count, 1);
    assert_int_equal(grpc_server_streams(p->world.server), 2);
    grpc_send(p->world.waiting[1], slice_str("to nobody"));
    grpc_finish(p->world.waiting[1], GRPC_OK, NULL);
    assert_int_equal(grpc_server_streams(p->world.server), 1);
}

static void a_deadline_that_makes_no_sense(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const char *const bad[] = {"S", "1", "1s", "-1S", "123456789S", "1 S", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *const more[] = {"grpc-timeout", bad[i], NULL};
        int32_t id = client_call(c, "/echo/x", more);
        client_end(c, id);
        client_pump(c);
        expect_end(c, id, "13", "malformed grpc-timeout");
    }
}

static void timeouts_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {{"1H", 3600000}, {"2M", 120000}, {"3S", 3000},
                 {"4m", 4},       {"5u", 1},      {"1500u", 2},
                 {"6n", 1},       {"0S", 0},      {"99999999H", 359999996400000},
                 {"1000000n", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ms;
        assert_true(grpc_timeout_parse(slice_str(cases[i].text), &ms));
        assert_true(ms == cases[i].ms);
    }
}

static void a_cancelled_call_is_gone(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t a = client_call(c, "/wait/a", NULL);
    int32_t b = client_call(c, "/stubborn/b", NULL);
    client_pump(c);
    nghttp2_submit_rst_stream(c->session, 0, a, NGHTTP2_CANCEL);
    nghttp2_submit_rst_stream(c->session, 0, b, NGHTTP2_CANCEL);
    client_pump(c);
    assert_int_equal(p->world.gone_count, 1);
    assert_int_equal(grpc_server_streams(p->world.server), 1);
    assert_null(p->world.waiting[1]->conn);
    grpc_send(p->world.waiting[1], slice_str("to nobody"));
    grpc_finish(p->world.waiting[1], GRPC_OK, NULL);
    assert_int_equal(grpc_server_streams(p->world.server), 0);
}

static void a_lost_connection_ends_its_calls(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    client_call(c, "/wait/a", NULL);
    client_call(c, "/wait/b", NULL);
    client_call(c, "/stubborn/c", NULL);
    client_pump(c);
    fake_conn_reset(c->conn);
    assert_int_equal(p->world.gone_count, 2);
    assert_int_equal(grpc_server_connections(p->world.server), 0);
    assert_int_equal(grpc_server_streams(p->world.server),
                     1); /* the stubborn one: destroy frees it */
}

static void the_client_ends_and_the_handler_hears(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call(c, "/wait/a", NULL);
    client_send(c, id, "x");
    client_end(c, id);
    client_pump(c);
    assert_int_equal(p->world.message_count, 1);
    assert_int_equal(p->world.half_close_count, 1);
    grpc_send(p->world.waiting[0], slice_str("later"));
    grpc_world_turn(&p->world);
    client_pump(c);
    expect_body(c, id, "\0\0\0\0\5later", 10);
    assert_false(client_find(c, id)->is_closed);
    grpc_finish(p->world.waiting[0], GRPC_UNAVAILABLE, "enough");
    client_pump(c);
    expect_end(c, id, "14", "enough");
}

static void who_is_answered_while_it_sends_is_told_to_stop(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    int32_t id = client_call(c, "/first/x", NULL);
    client_send(c, id, "one");
    client_pump(c);
    expect_end(c, id, "0", ""); /* RST_STREAM with NO_ERROR */
    expect_body(c, id, "\0\0\0\0\3one", 8);
    assert_int_equal(c->goaway_count, 0);
}

static void broken_messages_are_internal_errors(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    static const struct {
        struct slice bytes;
        const char *code;
        const char *message;
    } cases[] = {
        {{(const uint8_t *)"\0\0\0\0\5abc", 8}, "13", "unexpected EOF"},
        {{(const uint8_t *)"\0\0\0", 3}, "13", "unexpected EOF"},
        {{(const uint8_t *)"\0\0\0\0\1ajunk!", 11},
         "13",
         "grpc: received unexpected payload format 106"},
        {{(const uint8_t *)"\7\0\0\0\1a", 6}, "13", "grpc: received unexpected payload format 7"},
        {{(const uint8_t *)"\0\0\1\x86\xa1", 5},
         "8",
         "grpc: received message larger than max (100001 vs. 100000)"},
        {{(const uint8_t *)"\1\0\0\0\1a", 6},
         "13",
         "grpc: compressed flag set with identity or empty encoding"},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int32_t id = client_call(c, "/wait/x", NULL);
        client_send_raw(c, id, cases[i].bytes);
        client_end(c, id);
        client_pump(c);
        expect_end(c, id, cases[i].code, cases[i].message);
        assert_int_equal(p->world.gone_count, i + 1);
    }
    assert_int_equal(p->world.half_close_count, 0);
}

/* --- compression ------------------------------------------------------------------------------ */

static void gzip_append(struct buf *out, struct slice in)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)in.data;
    z.avail_in = (unsigned)in.size;
    z.avail_out = (unsigned)deflateBound(&z, in.size);
    z.next_out = buf_reserve(out, z.avail_out);
    size_t room = z.avail_out;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->size += room - z.avail_out;
    deflateEnd(&z);
}

/* A call with one message, flagged as compressed. */
static int32_t call_compressed(struct client *c, const char *encoding, struct slice message)
{
    const char *const more[] = {"grpc-encoding", encoding, NULL};
    const uint8_t prefix[5] = {1, (uint8_t)(message.size >> 24), (uint8_t)(message.size >> 16),
                               (uint8_t)(message.size >> 8), (uint8_t)message.size};
    int32_t id = client_call(c, "/echo/x", more);
    client_send_raw(c, id, slice_of(prefix, sizeof(prefix)));
    client_send_raw(c, id, message);
    client_end(c, id);
    client_pump(c);
    return id;
}

static void compressed_messages_are_inflated(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf in = {0};
    gzip_append(&in, slice_str("hello hello hello"));
    int32_t id = call_compressed(c, "gzip", buf_slice(&in));
    expect_end(c, id, "0", "");
    expect_body(c, id, "\0\0\0\0\x11hello hello hello", 22);
    expect_end(c, call_compressed(c, "snappy", buf_slice(&in)), "12",
               "grpc: Decompressor is not installed for grpc-encoding \"snappy\"");
    expect_end(c, call_compressed(c, "gzip", slice_of(in.data, in.size - 1)), "13", NULL);
    expect_end(c, call_compressed(c, "gzip", slice_str("no gzip")), "13", NULL);
    buf_append_byte(&in, 'x');
    expect_end(c, call_compressed(c, "gzip", buf_slice(&in)), "13", NULL);
    buf_deinit(&in);
}

static void a_bomb_is_not_inflated(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf zeros = {0};
    struct buf in = {0};
    memset(buf_reserve(&zeros, 8u << 20), 0, 8u << 20);
    gzip_append(&in, slice_of(zeros.data, 8u << 20));
    expect_end(c, call_compressed(c, "gzip", buf_slice(&in)), "8",
               "grpc: received message after decompression larger than max (100001 vs. 100000)");
    buf_clear(&in);
    gzip_append(&in, slice_of(zeros.data, MESSAGE_MAX));
    expect_end(c, call_compressed(c, "gzip", buf_slice(&in)), "0", "");
    buf_deinit(&in);
    buf_deinit(&zeros);
}

/* --- flow control ----------------------------------------------------------------------------- */

static void fill(struct buf *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(b, (uint8_t)(i * 31 + (i >> 8)));
    }
}

static void a_long_answer_passes_small_windows(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf big = {0};
    fill(&big, 3000000);
    struct blob *shared = blob_copy(buf_slice(&big));
    int32_t id = client_call(c, "/wait/x", NULL);
    client_pump(c);
    struct grpc_stream *s = p->world.waiting[0];
    grpc_send_shared(s, slice_str("head"), shared);
    grpc_send(s, slice_str("between"));
    grpc_send_shared(s, slice_str(""), shared);
    assert_int_equal(grpc_unsent(s), 2 * big.size + 3 * 5 + 4 + 7);
    assert_int_equal(shared->refs, 3);
    grpc_finish(s, GRPC_OK, NULL);
    client_pump(c);
    expect_end(c, id, "0", "");
    struct buf *body = &client_find(c, id)->body;
    assert_int_equal(body->size, 2 * big.size + 3 * 5 + 4 + 7);
    assert_memory_equal(body->data + 5, "head", 4);
    assert_memory_equal(body->data + 9, big.data, big.size);
    assert_memory_equal(body->data + 9 + big.size + 5, "between", 7);
    assert_memory_equal(body->data + 9 + big.size + 5 + 7 + 5, big.data, big.size);
    assert_int_equal(shared->refs, 1);
    blob_unref(shared);
    buf_deinit(&big);
}

static void who_does_not_read_stops_the_handler(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf some = {0};
    fill(&some, 10000);
    c->is_greedy = true;
    int32_t id = client_call(c, "/wait/x", NULL);
    client_pump(c);
    struct grpc_stream *s = p->world.waiting[0];
    uint32_t sent = 0;
    while (grpc_wants_more(s) && sent < 1000) {
        grpc_send(s, buf_slice(&some));
        client_pump(c);
        sent++;
    }
    assert_in_range(sent * some.size, LIMIT_STREAM_UNSENT_BYTES, 300000);
    assert_in_range(grpc_unsent(s), LIMIT_STREAM_UNSENT_BYTES, LIMIT_STREAM_UNSENT_BYTES + 10005);
    assert_int_equal(p->world.writable_count, 0);
    int32_t other = client_call(c, "/refuse/x", NULL); /* the others are not held up */
    client_pump(c);
    expect_end(c, other, "5", NULL);
    c->is_greedy = false;
    nghttp2_session_consume(c->session, id, client_find(c, id)->body.size);
    client_pump(c);
    assert_int_equal(p->world.writable_count, 1);
    assert_true(grpc_wants_more(s));
    grpc_finish(s, GRPC_OK, NULL);
    client_pump(c);
    expect_end(c, id, "0", "");
    assert_int_equal(client_find(c, id)->body.size, sent * (some.size + 5));
    buf_deinit(&some);
}

/* Answers to messages pile up to the limit only: then no more messages are told, and the client's
 * window is not given back. */
static void who_sends_and_does_not_read_is_stopped(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf some = {0};
    fill(&some, 10000);
    c->is_greedy = true;
    int32_t id = client_call(c, "/echo/x", NULL);
    for (int i = 0; i < 200; i++) {
        client_send_bytes(c, id, buf_slice(&some));
        client_pump(c);
    }
    uint64_t told = grpc_server_requests(p->world.server);
    assert_in_range(told, 13, 25);
    size_t waits = client_find(c, id)->out.size; /* the client could not even send it all */
    assert_in_range(waits, 200 * 10005 - told * 10005 - 2 * LIMIT_H2_STREAM_WINDOW, 200 * 10005);
    c->is_greedy = false;
    nghttp2_session_consume(c->session, id, client_find(c, id)->body.size);
    client_end(c, id);
    client_pump(c);
    expect_end(c, id, "0", "");
    assert_int_equal(client_find(c, id)->body.size, 200 * 10005);
    buf_deinit(&some);
}

static void a_paused_call_hears_nothing(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf some = {0};
    fill(&some, 50000);
    int32_t id = client_call(c, "/wait/x", NULL);
    client_pump(c);
    grpc_pause(p->world.waiting[0], true);
    for (int i = 0; i < 10; i++) {
        client_send_bytes(c, id, buf_slice(&some));
    }
    client_end(c, id);
    client_pump(c);
    assert_int_equal(p->world.message_count, 0);
    assert_in_range(client_find(c, id)->out.size, 500050 - LIMIT_H2_STREAM_WINDOW,
                    500050 - LIMIT_H2_STREAM_WINDOW);
    grpc_pause(p->world.waiting[0], false);
    assert_int_equal(p->world.message_count, 0); /* not out of a call of ours */
    client_pump(c);
    assert_int_equal(p->world.message_count, 10);
    assert_int_equal(p->world.half_close_count, 1);
    assert_int_equal(p->world.last_message.size, 50000);
    assert_memory_equal(p->world.last_message.data, some.data, 50000);
    buf_deinit(&some);
}

static void note_and_pause(struct grpc_stream *s, struct slice message)
{
    struct grpc_world *w = s->user;
    assert_int_equal(message.size, 1 + w->message_count % 100);
    w->message_count++;
    grpc_pause(s, true);
}

/* A handler that takes one message at a time. */
static void one_message_at_a_time(void **state)
{
    struct pair *p = *state;
    struct client *c = &p->client;
    struct buf some = {0};
    fill(&some, 100);
    int32_t id = client_call(c, "/wait/x", NULL);
    client_pump(c);
    p->world.waiting[0]->on_message = note_and_pause;
    for (size_t i = 0; i < 5000; i++) {
        client_send_bytes(c, id, slice_of(some.data, 1 + i % 100));
    }
    client_end(c, id);
    for (uint32_t i = 1; i <= 5000; i++) {
        client_pump(c);
        assert_int_equal(p->world.message_count, i);
        assert_int_equal(p->world.half_close_count, 0);
        grpc_pause(p->world.waiting[0], false);
    }
    client_pump(c);
    assert_int_equal(p->world.half_close_count, 1);
    buf_deinit(&some);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_unary_call),
        TEST(a_call_without_an_answer_is_only_its_status),
        TEST(unknown_paths_are_unimplemented),
        TEST(messages_may_come_in_pieces_and_together),
        TEST(the_handler_sees_path_and_metadata),
        TEST(what_is_no_grpc_is_refused_as_http),
        TEST(what_is_no_grpc_is_heard_to_its_end),
        TEST(a_deadline_ends_the_call),
        TEST(a_deadline_that_makes_no_sense),
        TEST(timeouts_have_units),
        TEST(a_cancelled_call_is_gone),
        TEST(a_lost_connection_ends_its_calls),
        TEST(the_client_ends_and_the_handler_hears),
        TEST(who_is_answered_while_it_sends_is_told_to_stop),
        TEST(broken_messages_are_internal_errors),
        TEST(compressed_messages_are_inflated),
        TEST(a_bomb_is_not_inflated),
        TEST(a_long_answer_passes_small_windows),
        TEST(who_does_not_read_stops_the_handler),
        TEST(who_sends_and_does_not_read_is_stopped),
        TEST(a_paused_call_hears_nothing),
        TEST(one_message_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
