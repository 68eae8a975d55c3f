/* The HTTP server over a loop without a kernel: whatever arrives, in whatever pieces and with
 * whatever delays, each connection gets well-formed answers in order or a clean end.
 *
 * The first byte of the input is the size of the pieces; the second seeds what the handler does. */
#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/rng.h"
#include "fake_loop.h"
#include "net/http.h"
#include "net/http_parser.h"

#define WAITING_MAX  (2 * LIMIT_PIPELINED)
#define TURN_MS      500
#define TURNS_AT_END 400 /* long enough for every deadline */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fake_loop loop;
    struct http_server *server;
    struct rng rng;
    struct http_request *waiting[WAITING_MAX];
    uint32_t waiting_count;
    bool was_aborted;
    bool was_upgraded;
    bool was_head;
};

static void forget(struct http_request *r)
{
    struct world *w = r->user;
    for (uint32_t i = 0; i < w->waiting_count; i++) {
        if (w->waiting[i] == r) {
            w->waiting[i] = w->waiting[--w->waiting_count];
            return;
        }
    }
    CHECK(0 && "a request that nobody waits for went away");
}

static void stream(struct http_request *r, uint32_t chunks)
{
    http_answer_begin(r, 200, "text/plain", NULL);
    for (uint32_t i = 0; i < chunks && http_answer_wants_more(r); i++) {
        http_answer_chunk(r, r->path);
    }
    http_answer_end(r);
}

static void answer(struct world *w, struct http_request *r)
{
    uint64_t choice = rng_next(&w->rng) % 16;
    if (choice == 0) {
        w->was_aborted = true;
        http_answer_abort(r);
    } else if (choice < 5) {
        stream(r, (uint32_t)choice);
    } else {
        http_answer(r, choice == 5 ? 204 : 200, "text/plain", NULL, r->body);
    }
}

static void on_request(void *context, struct http_request *r)
{
    struct world *w = context;
    r->user = w;
    w->was_head |= r->method == HTTP_HEAD;
    if (rng_next(&w->rng) % 2 == 0 && w->waiting_count < WAITING_MAX) {
        r->on_gone = forget;
        w->waiting[w->waiting_count++] = r;
        return;
    }
    answer(w, r);
}

static void answer_one_that_waits(void *context)
{
    struct world *w = context;
    if (w->waiting_count > 0) {
        struct http_request *r = w->waiting[rng_next(&w->rng) % w->waiting_count];
        forget(r);
        answer(w, r);
    }
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    CHECK(http_status >= 400 && http_status < 600);
    buf_append_str(body, reason);
}

static uint64_t allow_body(void *context, const struct http_request *r)
{
    (void)context;
    return r->method == HTTP_DELETE ? 0 : 4096;
}

static void ignore_data(struct conn *c, struct slice data)
{
    (void)c;
    (void)data;
}

static void ignore_event(struct conn *c)
{
    (void)c;
}

static void ignore_close(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static bool wants_upgrade(void *context, const struct http_request *r, struct slice protocol)
{
    (void)context;
    (void)r;
    return protocol.size % 2 == 1;
}

static void on_upgrade(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest)
{
    static const struct conn_events events = {.on_data = ignore_data,
                                              .on_drain = ignore_event,
                                              .on_end = ignore_event,
                                              .on_close = ignore_close};
    struct world *w = context;
    CHECK(slice_equal(http_header_find(r, "upgrade"), protocol));
    (void)rest;
    conn->events = &events;
    w->was_upgraded = true;
}

/* Everything that was sent is whole answers; only a connection that was broken off may end
 * inside. */
static void check_answers(struct world *w, const struct fake_conn *c)
{
    struct slice sent = buf_slice(&c->sent);
    struct http_parser *p = http_parser_create(HTTP_KIND_RESPONSE);
    /* An answer to HEAD looks as if it had a body: what follows it would be misread. */
    while (sent.size > 0 && !w->was_upgraded && !w->was_aborted && !w->was_head) {
        size_t used;
        http_parser_reset(p);
        http_parser_limit_body(p, UINT32_MAX);
        enum http_parsed parsed = http_parser_feed(p, sent, &used);
        CHECK(parsed == HTTP_PARSED_HEAD);
        sent = slice_of(sent.data + used, sent.size - used);
        /* An answer to HTTP/1.0 may last to the end. */
        parsed = http_parser_feed(p, sent, &used);
        if (parsed != HTTP_PARSED_WHOLE) {
            break;
        }
        sent = slice_of(sent.data + used, sent.size - used);
    }
    http_parser_destroy(p);
}

static void turn(void *context)
{
    struct world *w = context;
    fake_loop_turn(&w->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct world w = {0};
    fake_loop_init(&w.loop);
    rng_init(&w.rng, data[1]);
    const struct http_handler handler = {.on_request = on_request,
                                         .on_bad = on_bad,
                                         .wants_upgrade = wants_upgrade,
                                         .on_upgrade = on_upgrade,
                                         .body_bytes_max = allow_body,
                                         .context = &w};
    w.server = http_server_create(&w.loop.base, &handler, NULL);
    struct fake_conn *c = fake_loop_connect(&w.loop);
    http_server_accept(w.server, &c->base);
    const struct fake_feed feed = {
        .rng = &w.rng, .act = answer_one_that_waits, .turn = turn, .context = &w};
    fake_conn_feed_pieces(c, slice_of(data + 2, size - 2), (size_t)data[0] + 1, &feed);
    if (data[1] % 4 == 0) {
        fake_conn_end(c);
    } else if (data[1] % 4 == 1) {
        http_server_drain(w.server);
    }
    c->is_stuck = c->is_stuck && data[1] % 3 == 0;
    for (int i = 0; i < TURNS_AT_END && !c->is_gone; i++) {
        answer_one_that_waits(&w);
        fake_loop_pass(&w.loop, TURN_MS, TURN_MS);
    }
    CHECK(c->is_gone || w.was_upgraded);
    CHECK(w.waiting_count == 0);
    CHECK_CMP(http_server_connections(w.server), ==, 0);
    check_answers(&w, c);
    http_server_destroy(w.server);
    CHECK(timer_heap_first(&w.loop.timers) == NULL);
    fake_conn_reset(c);
    fake_loop_deinit(&w.loop);
    return 0;
}
