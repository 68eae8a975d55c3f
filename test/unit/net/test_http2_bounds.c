/* HTTP/2 under attack, and at its limits: frames by hand, and a client that is nghttp2's own. */
#include "base/limits.h"
#include "base/mem.h"
#include "grpc_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Calls of the raw connection are still served. */
static void expect_alive(struct raw *r, uint32_t id)
{
    uint32_t before = r->world.waiting_count;
    raw_open(r, id, "/wait/alive", 0);
    raw_say(r);
    assert_false(r->conn->is_closed);
    assert_int_equal(r->world.waiting_count, before + 1);
}

/* --- floods ----------------------------------------------------------------------------------- */

static void rapid_resets_end_the_connection(void **state)
{
    struct raw *r = *state;
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    uint32_t id = 1;
    for (; id < 2 * WAITING_MAX && !r->conn->is_closed; id += 2) {
        raw_open(r, id, "/wait/x", 0);
        frame_append(&r->out, NGHTTP2_RST_STREAM, 0, id, slice_of(cancel, 4));
        raw_say(r);
    }
    assert_in_range(r->world.gone_count, LIMIT_H2_RESETS, LIMIT_H2_RESETS + 2);
    raw_expect_goaway(r, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_resets");
}

static void resets_now_and_then_are_fine(void **state)
{
    struct raw *r = *state;
    const uint8_t cancel[4] = {0, 0, 0, NGHTTP2_CANCEL};
    for (uint32_t id = 1; id < 3000; id += 2) {
        raw_open(r, id, "/wait/x", 0);
        frame_append(&r->out, NGHTTP2_RST_STREAM, 0, id, slice_of(cancel, 4));
        raw_say(r);
        grpc_world_pass(&r->world, 10, 10);
    }
    expect_alive(r, 3001);
}

/* The server is made to reset: a window update of 0 is an error of the stream. */
static void provoked_resets_count_too(void **state)
{
    struct raw *r = *state;
    const uint8_t zero[4] = {0, 0, 0, 0};
    for (uint32_t id = 1; id < 2 * WAITING_MAX && !r->conn->is_closed; id += 2) {
        raw_open(r, id, "/wait/x", 0);
        frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, id, slice_of(zero, 4));
        raw_say(r);
    }
    struct slice goaway;
    assert_true(r->conn->is_closed);
    assert_true(frame_find(r->conn, NGHTTP2_GOAWAY, 0, &goaway));
    assert_int_equal(grpc_server_streams(r->world.server), 0);
}

static void pings_are_answered_and_a_flood_is_not(void **state)
{
    struct raw *r = *state;
    const struct slice nothing = {(const uint8_t *)"12345678", 8};
    raw_open(r, 1, "/wait/x", 0);
    for (int i = 0; i < 600; i++) { /* one a second, for ten minutes */
        frame_append(&r->out, NGHTTP2_PING, 0, 0, nothing);
        raw_say(r);
        grpc_world_pass(&r->world, 1000, 1000);
    }
    struct slice pong;
    assert_true(frame_find(r->conn, NGHTTP2_PING, 599, &pong));
    assert_true(slice_equal(pong, nothing));
    assert_false(r->conn->is_closed);
    for (int i = 0; i <= LIMIT_H2_EMPTY_FRAMES; i++) {
        frame_append(&r->out, NGHTTP2_PING, 0, 0, nothing);
    }
    raw_say(r);
    raw_expect_goaway(r, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
    assert_int_equal(r->world.gone_count, 1);
}

/* Some clients measure with a PING how fast answers come: as often as there are answers. */
static void pings_between_answers_are_no_flood(void **state)
{
    struct raw *r = *state;
    raw_open(r, 1, "/wait/x", 0);
    raw_say(r);
    for (int i = 0; i < 5 * LIMIT_H2_EMPTY_FRAMES; i++) {
        grpc_send(r->world.waiting[0], slice_str("x"));
        frame_append(&r->out, NGHTTP2_PING, 0, 0, slice_str("12345678"));
        raw_say(r);
    }
    expect_alive(r, 3);
}

static void empty_frames_are_a_flood(void **state)
{
    struct raw *r = *state;
    static const uint8_t priority[5] = {0, 0, 0, 0, 7};
    const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        struct slice payload;
    } cases[] = {{NGHTTP2_SETTINGS, 0, 0, {NULL, 0}},
                 {NGHTTP2_PRIORITY, 0, 1, {priority, 5}},
                 {NGHTTP2_DATA, 0, 1, {NULL, 0}},
                 {NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, {(const uint8_t *)"\x02\0\0", 3}},
                 {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, {(const uint8_t *)"12345678", 8}},
                 {NGHTTP2_WINDOW_UPDATE, 0, 0, {(const uint8_t *)"\0\0\0\1", 4}},
                 {NGHTTP2_WINDOW_UPDATE, 0, 1, {(const uint8_t *)"\0\0\0\1", 4}},
                 {0xbb, 0, 0, {priority, 5}}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (i > 0) {
            preface_append(&r->out);
            r->conn = grpc_world_connect(&r->world, buf_slice(&r->out));
            buf_clear(&r->out);
        }
        raw_open(r, 1, "/wait/x", 0);
        for (int k = 0; k <= LIMIT_H2_EMPTY_FRAMES + 4; k++) {
            frame_append(&r->out, cases[i].type, cases[i].flags, cases[i].id, cases[i].payload);
        }
        raw_say(r);
        raw_expect_goaway(r, NGHTTP2_ENHANCE_YOUR_CALM, NULL);
    }
}

/* A thousand answers leave at once, and the client gives their windows back at once. */
static void window_updates_for_what_was_sent_are_no_flood(void **state)
{
    struct raw *r = *state;
    const uint8_t window[4] = {0, 0, 0, 100};
    uint32_t last = 2 * LIMIT_H2_EMPTY_FRAMES + 1;
    for (uint32_t id = 1; id <= last; id += 2) {
        raw_open(r, id, "/wait/x", 0);
    }
    raw_say(r);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < r->world.waiting_count; i++) {
            grpc_send(r->world.waiting[i], slice_str("an answer"));
        }
        grpc_world_turn(&r->world);
        for (uint32_t id = 1; id <= last; id += 2) {
            frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, id, slice_of(window, 4));
            frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 0, slice_of(window, 4));
        }
        raw_say(r);
    }
    expect_alive(r, last + 2);
}

/* Each byte of an answer is asked for by a frame of its own. */
static void windows_of_one_byte_are_a_flood(void **state)
{
    struct raw *r = *state;
    const uint8_t zero[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0, 0, 0, 0};
    const uint8_t one[4] = {0, 0, 0, 1};
    frame_append(&r->out, NGHTTP2_SETTINGS, 0, 0, slice_of(zero, 6));
    raw_open(r, 1, "/wait/x", 0);
    raw_say(r);
    grpc_send(r->world.waiting[0],
              slice_str("a long answer ....................................."
                        "..................................................."
                        "..................................................."
                        "..................................................."
                        "..................................................."
                        "..................................................."));
    for (int k = 0; k <= LIMIT_H2_EMPTY_FRAMES + 4; k++) {
        frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 1, slice_of(one, 4));
        raw_say(r);
    }
    raw_expect_goaway(r, NGHTTP2_ENHANCE_YOUR_CALM, NULL);
}

/* Let the connection be full: what is said from here on waits. */
static struct blob *fill_stuck_connection(struct raw *r)
{
    const uint8_t window[4] = {0x3f, 0xff, 0, 0};
    r->conn->is_stuck = true;
    raw_open(r, 1, "/wait/x", 0);
    frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 0, slice_of(window, 4));
    frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 1, slice_of(window, 4));
    raw_say(r);
    struct blob *big = blob_create(2 * LIMIT_H2_CONN_BYTES);
    memset(big->data, 0, big->size);
    grpc_send_shared(r->world.waiting[0], slice_str(""), big);
    raw_say(r);
    return big;
}

/* Who asks for acknowledgements and does not read them. */
static void acknowledgements_do_not_pile_up(void **state)
{
    struct raw *r = *state;
    struct blob *big = fill_stuck_connection(r);
    for (int i = 0; i < 2000 && !r->conn->is_closed; i++) {
        frame_append(&r->out, NGHTTP2_PING, 0, 0, slice_str("12345678"));
        raw_say(r);
        r->world.loop.now_ms += 10;
    }
    assert_true(r->conn->is_closed);
    assert_in_range(r->conn->sent.size, LIMIT_H2_CONN_BYTES, LIMIT_H2_CONN_BYTES + 64 * KIB);
    blob_unref(big);
}

/* The same with calls beyond the limit, by one that has not agreed to it. */
static void refusals_do_not_pile_up(void **state)
{
    struct raw *r = *state;
    struct blob *big = fill_stuck_connection(r);
    uint32_t id = 3;
    for (; id < 8 * LIMIT_H2_STREAMS && !r->conn->is_closed; id += 2) {
        raw_open(r, id, "/wait/x", 0);
        raw_say(r);
    }
    assert_true(r->conn->is_closed);
    assert_in_range(id, 2 * (LIMIT_H2_STREAMS + LIMIT_H2_RESETS),
                    2 * (LIMIT_H2_STREAMS + LIMIT_H2_RESETS) + 10);
    blob_unref(big);
}

/* A client on a slow line: part of an answer is under way for longer than answers wait for one that
 * takes nothing. */
static void a_slow_line_is_no_dead_one(void **state)
{
    struct raw *r = *state;
    struct blob *big = fill_stuck_connection(r);
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    raw_say(r);
    for (uint32_t passed = 0; passed < 2 * LIMIT_HTTP_WRITE_STALL_MS; passed += 1000) {
        r->conn->taken++;
        grpc_world_pass(&r->world, 1000, 500);
    }
    assert_false(r->conn->is_closed);
    r->conn->is_stuck = false;
    raw_say(r);
    raw_say(r);
    struct slice reset;
    assert_true(frame_find(r->conn, NGHTTP2_RST_STREAM, 0, &reset)); /* it need not say more */
    assert_int_equal(read_u32(reset.data), NGHTTP2_NO_ERROR);
    assert_true(r->conn->sent.size > big->size);
    blob_unref(big);
}

static void endless_headers_end_the_connection(void **state)
{
    struct raw *r = *state;
    struct buf head = {0};
    headers_append(&head, "/wait/x");
    frame_append(&r->out, NGHTTP2_HEADERS, 0, 1, buf_slice(&head));
    uint8_t piece[1000];
    memset(piece, 'x', sizeof(piece));
    memcpy(piece, "\0\1a\x7f\xe8\6", 6); /* the value goes on in the next frame */
    for (int i = 0; i < 2 * LIMIT_H2_CONTINUATIONS && !r->conn->is_closed; i++) {
        frame_append(&r->out, NGHTTP2_CONTINUATION, 0, 1, slice_of(piece, i == 0 ? 1000 : 0));
        raw_say(r);
    }
    assert_true(r->conn->is_closed);
    assert_int_equal(r->world.waiting_count, 0);
    buf_deinit(&head);
}

/* --- headers ---------------------------------------------------------------------------------- */

static void headers_beyond_the_limits_are_refused(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    char value[8001];
    memset(value, 'v', 8000);
    value[8000] = '\0';
    const char *const long_ones[] = {"a", value, "b", value, "c", value,
                                     "d", value, "e", value, NULL};
    int32_t id = client_call(&c, "/wait/x", long_ones);
    client_end(&c, id);
    client_pump(&c);
    expect_end(&c, id, "8", "grpc: metadata is too large");
    const char *many[2 * LIMIT_HEADERS_COUNT + 1] = {0};
    for (int i = 0; i < LIMIT_HEADERS_COUNT; i++) {
        many[2 * i] = "x";
        many[2 * i + 1] = "y";
    }
    id = client_call(&c, "/wait/x", many);
    client_end(&c, id);
    client_pump(&c);
    expect_end(&c, id, "8", "grpc: metadata is too large");
    assert_int_equal(r->world.waiting_count, 0);
    id = client_call(&c, "/echo/x", NULL);
    client_end(&c, id);
    client_pump(&c);
    expect_end(&c, id, "0", "");
    client_finish(&c);
}

static void a_small_table_does_not_blow_up(void **state)
{
    struct raw *r = *state;
    struct buf head = {0};
    headers_append(&head, "/wait/x");
    buf_append(&head, "\x40\1a\x7f\xa1\x1e", 6); /* remembered: a value of 4000 */
    for (int i = 0; i < 4000; i++) {
        buf_append_byte(&head, 'v');
    }
    for (int i = 0; i < 12000; i++) {
        buf_append_byte(&head, 0x80 | 62); /* the same again: 48 MB if it were all kept */
    }
    frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, slice_of(head.data, 16000));
    raw_say(r);
    assert_int_equal(r->world.waiting_count, 0);
    assert_int_equal(grpc_server_streams(r->world.server), 0);
    buf_deinit(&head);
}

static void malformed_requests_do_not_reach_the_handler(void **state)
{
    struct raw *r = *state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\0\7:method\4POST", 13},               /* no path */
        {"\x80", 1},                             /* index 0 */
        {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, /* an index without end */
        {"\0\5:path\1x\0\7:method\4POST", 21},   /* no scheme, no slash */
        {"\0\1A\1b", 5},                         /* upper case */
        {"\0\6:other\1b", 10},                   /* no such pseudo-header */
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        preface_append(&r->out);
        struct fake_conn *conn = grpc_world_connect(&r->world, buf_slice(&r->out));
        buf_clear(&r->out);
        frame_append(&r->out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
                     1, slice_of(cases[i].bytes, cases[i].size));
        fake_conn_feed(conn, buf_slice(&r->out));
        buf_clear(&r->out);
        grpc_world_turn(&r->world);
        struct slice frame;
        assert_true(frame_find(conn, NGHTTP2_RST_STREAM, 0, &frame) ||
                    frame_find(conn, NGHTTP2_GOAWAY, 0, &frame));
        fake_conn_reset(conn);
    }
    assert_int_equal(r->world.waiting_count, 0);
    assert_int_equal(grpc_server_streams(r->world.server), 0);
}

static void malformed_frames_end_the_connection(void **state)
{
    struct raw *r = *state;
    static uint8_t huge[20000];
    static const struct {
        uint8_t type;
        uint8_t flags;
        uint32_t id;
        struct slice payload;
    } cases[] = {
        {NGHTTP2_DATA, 0, 0, {huge, 4}},     /* of no stream */
        {NGHTTP2_DATA, 0, 7, {huge, 4}},     /* of a stream that is not open */
        {NGHTTP2_DATA, 0, 1, {huge, 17000}}, /* longer than agreed */
        {NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 2, {huge, 0}}, /* a stream of ours */
        {NGHTTP2_SETTINGS, 0, 0, {huge, 5}},                       /* no whole entries */
        {NGHTTP2_SETTINGS, 1, 0, {huge, 6}}, /* an acknowledgement with contents */
        {NGHTTP2_PING, 0, 0, {huge, 7}},
        {NGHTTP2_RST_STREAM, 0, 1, {huge, 3}},
        {NGHTTP2_WINDOW_UPDATE, 0, 0, {huge, 4}}, /* of 0 */
        {NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, {huge, 4}},
        {NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, {huge, 4}},
        {NGHTTP2_GOAWAY, 0, 0, {huge, 4}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t gone = r->world.gone_count;
        preface_append(&r->out);
        r->conn = grpc_world_connect(&r->world, buf_slice(&r->out));
        buf_clear(&r->out);
        raw_open(r, 1, "/wait/x", 0);
        frame_append(&r->out, cases[i].type, cases[i].flags, cases[i].id, cases[i].payload);
        raw_say(r);
        struct slice goaway;
        assert_true(frame_find(r->conn, NGHTTP2_GOAWAY, 0, &goaway));
        assert_true(r->conn->is_closed);
        grpc_world_turn(&r->world);
        assert_int_equal(r->world.gone_count, gone + 1);
    }
}

/* --- windows and counts ----------------------------------------------------------------------- */

static void a_window_that_overflows_ends_the_call(void **state)
{
    struct raw *r = *state;
    const uint8_t most[4] = {0x7f, 0xff, 0xff, 0xff};
    raw_open(r, 1, "/wait/x", 0);
    frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 1, slice_of(most, 4));
    raw_say(r);
    assert_int_equal(r->world.gone_count, 1);
    expect_alive(r, 3);
    frame_append(&r->out, NGHTTP2_WINDOW_UPDATE, 0, 0, slice_of(most, 4));
    raw_say(r);
    raw_expect_goaway(r, NGHTTP2_FLOW_CONTROL_ERROR, NULL);
}

/* Who sends more than the window of a paused call allows. */
static void more_than_the_window_is_an_error(void **state)
{
    struct raw *r = *state;
    static const uint8_t bytes[16384] = {0};
    raw_open(r, 1, "/wait/x", 0);
    frame_append(&r->out, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, slice_of(NULL, 0));
    raw_say(r);
    grpc_pause(r->world.waiting[0], true);
    for (int i = 0; i < 20 && !r->conn->is_closed && r->world.gone_count == 0; i++) {
        frame_append(&r->out, NGHTTP2_DATA, 0, 1, slice_of(bytes, sizeof(bytes)));
        raw_say(r);
    }
    assert_int_equal(r->world.gone_count, 1);
    assert_int_equal(r->world.message_count, 0);
}

static void calls_beyond_the_limit(void **state)
{
    struct raw *r = *state;
    uint32_t id = 1;
    for (uint32_t i = 0; i < LIMIT_H2_STREAMS; i++, id += 2) {
        raw_open(r, id, "/wait/x", 0);
    }
    raw_say(r);
    assert_int_equal(grpc_server_streams(r->world.server), LIMIT_H2_STREAMS);
    /* Before the client has agreed: refused, so that it may try again. */
    raw_open(r, id, "/wait/x", 0);
    raw_say(r);
    struct slice reset;
    assert_true(frame_find(r->conn, NGHTTP2_RST_STREAM, 0, &reset));
    assert_int_equal(read_u32(reset.data), NGHTTP2_REFUSED_STREAM);
    assert_false(r->conn->is_closed);
    /* Afterwards it is a breach. */
    frame_append(&r->out, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, slice_of(NULL, 0));
    raw_open(r, id + 2, "/wait/x", 0);
    raw_say(r);
    assert_int_equal(r->world.gone_count, LIMIT_H2_STREAMS);
    raw_expect_goaway(r, NGHTTP2_PROTOCOL_ERROR, NULL);
}

static void a_client_that_counts_waits_for_its_turn(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    for (uint32_t i = 0; i < LIMIT_H2_STREAMS + 10; i++) {
        client_call(&c, "/wait/x", NULL);
    }
    client_pump(&c);
    assert_int_equal(r->world.waiting_count, LIMIT_H2_STREAMS);
    for (uint32_t i = 0; i < 10; i++) {
        grpc_finish(r->world.waiting[i], GRPC_OK, NULL);
    }
    client_pump(&c);
    assert_int_equal(r->world.waiting_count, LIMIT_H2_STREAMS + 10);
    client_finish(&c);
}

/* Many messages that are never whole: what is kept stays within the limit, and the calls' own
 * windows; the oldest goes on to its end, and then the next. */
static void unfinished_messages_are_bounded(void **state)
{
    struct raw *r = *state;
    struct client c;
    static uint8_t bytes[1500000];
    client_start(&c, &r->world);
    int32_t ids[40];
    for (int i = 0; i < 40; i++) {
        const uint8_t prefix[5] = {0, 0, 0x16, 0xe3, 0x60}; /* 1500000 */
        ids[i] = client_call(&c, "/wait/big", NULL);
        client_send_raw(&c, ids[i], slice_of(prefix, 5));
        client_send_raw(&c, ids[i], slice_of(bytes, sizeof(bytes) - 1));
        client_pump(&c);
    }
    size_t left = 0;
    for (int i = 0; i < 40; i++) {
        left += client_find(&c, ids[i])->out.size;
    }
    size_t taken = 40 * (sizeof(bytes) + 4) - left;
    assert_in_range(taken, LIMIT_H2_UNTOLD_BYTES,
                    LIMIT_H2_UNTOLD_BYTES + 41 * LIMIT_H2_STREAM_WINDOW);
    assert_int_equal(r->world.message_count, 0);
    for (int i = 0; i < 40; i++) {
        client_send_raw(&c, ids[i], slice_of(bytes, 1));
        client_pump(&c);
    }
    assert_int_equal(r->world.message_count, 40);
    client_finish(&c);
}

/* A stream of a connection that reads nothing waits, and goes on when the client reads again. */
static void open_greedy_stream(struct raw *r, struct client *c)
{
    uint32_t before = r->world.waiting_count;
    int32_t id = client_call(c, "/wait/x", NULL);
    client_pump(c);
    assert_int_equal(r->world.waiting_count, before + 1);
    assert_false(grpc_wants_more(r->world.waiting[before]));
    c->is_greedy = false;
    for (int32_t other = 1; other < id; other += 2) {
        nghttp2_session_consume(c->session, other, client_find(c, other)->body.size);
    }
    client_pump(c);
    assert_int_equal(r->world.writable_count, 1);
    assert_true(grpc_wants_more(r->world.waiting[before]));
    assert_int_equal(grpc_server_requests(r->world.server), 600);
}

/* Answers to many calls, none of them read: no more messages of the connection are told. */
static void unread_answers_are_bounded(void **state)
{
    struct raw *r = *state;
    struct client c;
    static uint8_t bytes[90000];
    client_start(&c, &r->world);
    c.is_greedy = true;
    for (int i = 0; i < 200; i++) {
        int32_t id = client_call(&c, "/echo/x", NULL);
        client_send_bytes(&c, id, slice_of(bytes, sizeof(bytes)));
        client_send_bytes(&c, id, slice_of(bytes, sizeof(bytes)));
        client_send_bytes(&c, id, slice_of(bytes, sizeof(bytes)));
        client_pump(&c);
    }
    uint64_t told = grpc_server_requests(r->world.server) * sizeof(bytes);
    assert_in_range(told, LIMIT_H2_UNSENT_BYTES, LIMIT_H2_UNSENT_BYTES + 2 * sizeof(bytes));
    assert_false(c.conn->is_closed);
    open_greedy_stream(r, &c);
    client_finish(&c);
}

static void a_connection_that_takes_nothing_gets_little(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    client_call(&c, "/wait/x", NULL);
    client_pump(&c);
    nghttp2_session_set_local_window_size(c.session, 0, 0, 1 << 30);
    nghttp2_session_set_local_window_size(c.session, 0, 1, 1 << 30);
    client_pump(&c);
    c.conn->is_stuck = true;
    size_t before = c.conn->sent.size;
    struct blob *big = blob_create(8 * MIB);
    memset(big->data, 0, big->size);
    grpc_send_shared(r->world.waiting[0], slice_str(""), big);
    client_pump(&c);
    assert_in_range(c.conn->sent.size - before, LIMIT_H2_CONN_BYTES,
                    LIMIT_H2_CONN_BYTES + 128 * KIB);
    grpc_world_pass(&r->world, LIMIT_HTTP_WRITE_STALL_MS + 3000, 500);
    assert_true(c.conn->is_gone);
    assert_false(c.conn->was_flushed);
    assert_int_equal(r->world.gone_count, 1);
    assert_int_equal(big->refs, 1);
    blob_unref(big);
    client_finish(&c);
}

static void rule_o4_when_too_much_waits_it_goes_sooner(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    client_call(&c, "/wait/x", NULL);
    client_pump(&c);
    nghttp2_session_set_local_window_size(c.session, 0, 0, 1 << 30);
    nghttp2_session_set_local_window_size(c.session, 0, 1, 1 << 30);
    client_pump(&c);
    c.conn->is_stuck = true;
    struct loop_unsent unsent = {.bytes = 1000, .bytes_max = 1000}; /* of others */
    r->world.loop.base.unsent = &unsent;
    size_t before = c.conn->sent.size;
    struct blob *big = blob_create(8 * MIB);
    memset(big->data, 0, big->size);
    grpc_send_shared(r->world.waiting[0], slice_str(""), big);
    client_pump(&c);
    assert_in_range(c.conn->sent.size - before, LIMIT_H2_CONN_BYTES,
                    LIMIT_H2_CONN_BYTES + 128 * KIB);
    grpc_world_pass(&r->world, 4 * LIMIT_CROWDED_STALL_MS, 500);
    assert_true(c.conn->is_gone);
    assert_false(c.conn->was_flushed);
    assert_int_equal(r->world.gone_count, 1);
    assert_int_equal(big->refs, 1);
    assert_int_equal(unsent.bytes, 1000);
    blob_unref(big);
    client_finish(&c);
}

/* TCP takes everything, but the client gives no window for an answer that is whole. */
static void an_answer_that_nobody_takes_is_dropped(void **state)
{
    struct raw *r = *state;
    struct client c;
    client_start(&c, &r->world);
    c.is_greedy = true;
    int32_t id = client_call(&c, "/wait/x", NULL);
    client_end(&c, id);
    client_pump(&c);
    struct blob *big = blob_create(1 * MIB);
    memset(big->data, 0, big->size);
    grpc_send_shared(r->world.waiting[0], slice_str(""), big);
    grpc_finish(r->world.waiting[0], GRPC_OK, NULL);
    for (int i = 0; i < 2 * LIMIT_HTTP_WRITE_STALL_MS / 1000; i++) {
        client_pump(&c);
        grpc_world_pass(&r->world, 1000, 1000);
    }
    client_pump(&c);
    assert_true(client_find(&c, id)->is_closed);
    assert_int_equal(client_find(&c, id)->reset_code, NGHTTP2_CANCEL);
    assert_int_equal(big->refs, 1);
    assert_false(c.conn->is_closed);
    blob_unref(big);
    client_finish(&c);
}

/* --- turns ------------------------------------------------------------------------------------ */

#define READERS 10

/* It has a call that waits, and takes what it gets. */
static struct fake_conn *connect_reader(struct grpc_world *w)
{
    struct buf out = {0};
    struct buf head = {0};
    preface_append(&out);
    headers_append(&head, "/wait/x");
    frame_append(&out, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, buf_slice(&head));
    struct fake_conn *c = grpc_world_connect(w, buf_slice(&out));
    buf_deinit(&head);
    buf_deinit(&out);
    return c;
}

static void open_window(struct fake_conn *c)
{
    static const uint8_t more[] = {0, 0x0f, 0, 0};
    struct buf out = {0};
    frame_append(&out, NGHTTP2_WINDOW_UPDATE, 0, 0, slice_of(more, sizeof(more)));
    frame_append(&out, NGHTTP2_WINDOW_UPDATE, 0, 1, slice_of(more, sizeof(more)));
    fake_conn_feed(c, buf_slice(&out));
    buf_deinit(&out);
}

static void rule_o3_handlers_do_not_all_go_on_in_a_turn_that_is_long(void **state)
{
    (void)state;
    static const uint8_t much[2 * LIMIT_STREAM_UNSENT_BYTES];
    struct grpc_world w;
    struct fake_conn *readers[READERS];
    grpc_world_start(&w, NULL);
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i] = connect_reader(&w);
        grpc_send(w.waiting[i], slice_of(much, sizeof(much)));
        assert_false(grpc_wants_more(w.waiting[i]));
    }
    grpc_world_turn(&w);
    grpc_world_turn(&w);
    assert_int_equal(w.writable_count, 0);
    for (uint32_t i = 0; i < READERS; i++) {
        open_window(readers[i]);
    }
    grpc_world_turn(&w); /* the answers go out */
    w.loop.spent_us = 1000 * LIMIT_TURN_CLIENTS_MS;
    grpc_world_turn(&w);
    assert_int_equal(w.writable_count, 4);
    grpc_world_turn(&w);
    assert_int_equal(w.writable_count, 8);
    w.loop.spent_us = 0;
    grpc_world_turn(&w);
    assert_int_equal(w.writable_count, READERS);
    grpc_world_finish(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, raw_setup, raw_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o3_handlers_do_not_all_go_on_in_a_turn_that_is_long),
        TEST(rapid_resets_end_the_connection),
        TEST(resets_now_and_then_are_fine),
        TEST(provoked_resets_count_too),
        TEST(pings_are_answered_and_a_flood_is_not),
        TEST(pings_between_answers_are_no_flood),
        TEST(empty_frames_are_a_flood),
        TEST(window_updates_for_what_was_sent_are_no_flood),
        TEST(windows_of_one_byte_are_a_flood),
        TEST(acknowledgements_do_not_pile_up),
        TEST(refusals_do_not_pile_up),
        TEST(a_slow_line_is_no_dead_one),
        TEST(endless_headers_end_the_connection),
        TEST(headers_beyond_the_limits_are_refused),
        TEST(a_small_table_does_not_blow_up),
        TEST(malformed_requests_do_not_reach_the_handler),
        TEST(malformed_frames_end_the_connection),
        TEST(a_window_that_overflows_ends_the_call),
        TEST(more_than_the_window_is_an_error),
        TEST(calls_beyond_the_limit),
        TEST(a_client_that_counts_waits_for_its_turn),
        TEST(unfinished_messages_are_bounded),
        TEST(unread_answers_are_bounded),
        TEST(a_connection_that_takes_nothing_gets_little),
        TEST(rule_o4_when_too_much_waits_it_goes_sooner),
        TEST(an_answer_that_nobody_takes_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
