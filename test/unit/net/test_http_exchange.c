/* The client of HTTP/1.1 on the production loop: against our own server, and against servers of one
 * canned answer. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "canned_answers.h"
#include "net/http.h"
#include "net/http_exchange.h"
#include "uv_story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LONG_MS 15000

/* What is asked, what came, and servers to ask. */
struct exchange_story {
    struct story story; /* first */
    struct http_exchange *exchange;
    struct http_call first; /* asked at once; method NULL: nothing is */
    uint32_t opened;
    uint32_t replies;
    int http_status; /* of the last reply */
    char body[64];
    enum status why;
    char why_text[128];
    bool is_deaf; /* the canned server answers nothing */
    const char *answer;
    struct http_server *server;
    const void *first_conn; /* of our server */
    uint32_t asked;         /* our server */
    void (*on_open)(struct exchange_story *s);
    void (*on_reply)(struct exchange_story *s);
};

static struct http_call get(const char *target)
{
    return (struct http_call){
        .method = "GET", .target = target, .timeout_ms = LONG_MS, .answer_bytes_max = 1000};
}

static void ask(struct exchange_story *s, const struct http_call *call)
{
    assert_int_equal(http_exchange_ask(s->exchange, call), STATUS_OK);
}

/* --- servers ---------------------------------------------------------------------------------- */

static void on_request(void *context, struct http_request *r)
{
    struct exchange_story *s = context;
    s->asked++;
    assert_true(s->first_conn == NULL || s->first_conn == r->conn);
    s->first_conn = r->conn;
    if (slice_equal(r->path, slice_str("/last"))) {
        http_request_end_connection(r);
    }
    bool is_host = slice_has_prefix(http_header_find(r, "host"), slice_str("127.0.0.1:"));
    http_answer(r, is_host ? 200 : 500, "text/plain", NULL, r->body.size > 0 ? r->body : r->target);
}

static uint64_t allow_body(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 500;
}

static void accept_http(void *context, struct conn *c)
{
    http_server_accept(((struct exchange_story *)context)->server, c);
}

static void say_answer(struct conn *c, struct slice data)
{
    (void)data;
    const struct exchange_story *s = c->context;
    if (!s->is_deaf) {
        c->loop->ops->conn_write(c, slice_str(s->answer));
        c->loop->ops->conn_close(c, true);
    }
}

static void ignore_close(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static const struct conn_events canned_events = {.on_data = say_answer, .on_close = ignore_close};

static void accept_canned(void *context, struct conn *c)
{
    c->events = &canned_events;
    c->context = context;
}

/* --- the client ------------------------------------------------------------------------------- */

static void note_open(struct http_exchange *x)
{
    struct exchange_story *s = http_exchange_context(x);
    s->opened++;
    if (s->on_open != NULL) {
        s->on_open(s);
    }
}

static void note_reply(struct http_exchange *x, const struct http_reply *reply)
{
    struct exchange_story *s = http_exchange_context(x);
    s->replies++;
    s->http_status = reply->http_status;
    snprintf(s->body, sizeof(s->body), "%.*s", (int)reply->body.size,
             (const char *)reply->body.data);
    assert_false(http_exchange_is_busy(x));
    if (s->on_reply != NULL) {
        s->on_reply(s);
    }
}

static void note_close(struct http_exchange *x, enum status why, const char *text)
{
    struct exchange_story *s = http_exchange_context(x);
    s->why = why;
    snprintf(s->why_text, sizeof(s->why_text), "%s", text);
    http_server_destroy(s->server);
    story_stop(&s->story);
}

static void begin(struct exchange_story *s, void (*accept)(void *context, struct conn *c))
{
    *s = (struct exchange_story){0};
    story_begin(&s->story);
    const struct http_handler handler = {
        .on_request = on_request, .body_bytes_max = allow_body, .context = s};
    s->server = http_server_create(s->story.loop, &handler, NULL);
    assert_int_equal(
        s->story.loop->ops->listen(s->story.loop, "127.0.0.1", 0, &s->story.port, accept, s),
        STATUS_OK);
}

static void run(struct exchange_story *s)
{
    static const struct http_exchange_events events = {
        .on_open = note_open, .on_reply = note_reply, .on_close = note_close};
    struct url server = {.host = "127.0.0.1", .port = s->story.port};
    s->exchange = http_exchange_open(s->story.loop, &server, &events, s);
    if (s->first.method != NULL) {
        ask(s, &s->first);
    }
    story_run(&s->story);
}

static void expect_close(const struct exchange_story *s, uint32_t replies, enum status why,
                         const char *text)
{
    if (s->replies != replies || s->why != why || strcmp(s->why_text, text) != 0) {
        fail_msg("%u replies, then %s '%s'", (unsigned)s->replies, status_name(s->why),
                 s->why_text);
    }
}

/* --- what a server says ----------------------------------------------------------------------- */

static void what_the_server_says_comes_back_or_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(canned_cases) / sizeof(canned_cases[0]); i++) {
        const struct canned_case *t = &canned_cases[i];
        struct exchange_story s;
        begin(&s, accept_canned);
        s.answer = t->answer;
        s.first = get("/");
        s.first.method = t->method;
        run(&s);
        enum status status = s.replies > 0 ? STATUS_OK : s.why;
        if (status != t->expected || s.http_status != t->http_status ||
            (t->body != NULL && strcmp(s.body, t->body) != 0)) {
            fail_msg("%s: %s '%s', http status %d", t->name, status_name(status), s.why_text,
                     s.http_status);
        }
    }
}

static void go_on(struct exchange_story *s)
{
    static const char *const targets[] = {"/b", "/c", "/last"};
    if (s->replies <= 3) {
        struct http_call call = get(targets[s->replies - 1]);
        ask(s, &call);
        assert_int_equal(http_exchange_ask(s->exchange, &call), STATUS_BUSY);
        assert_true(http_exchange_is_busy(s->exchange));
    } else {
        struct http_call call = get("/late");
        assert_int_equal(http_exchange_ask(s->exchange, &call), STATUS_CLOSED);
    }
}

static void one_connection_carries_request_after_request(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_http);
    s.first = get("/a");
    s.on_reply = go_on;
    run(&s);
    expect_close(&s, 4, STATUS_CLOSED, "the server wants no more requests");
    assert_int_equal(s.asked, 4);
    assert_int_equal(s.opened, 1);
    assert_int_equal(s.http_status, 200);
    assert_string_equal(s.body, "/last");
}

static void put_it(struct exchange_story *s)
{
    char body[] = "hello";
    struct http_call call = get("/x");
    call.method = "PUT";
    call.headers = "X-Some: thing\r\n";
    call.body = slice_str(body);
    ask(s, &call);
    memset(body, 'x', sizeof(body)); /* it was copied */
}

static void close_now(struct exchange_story *s)
{
    http_exchange_close(s->exchange);
    http_exchange_close(s->exchange);
}

static void a_body_goes_with_its_request(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_http);
    s.on_open = put_it;
    s.on_reply = close_now;
    run(&s);
    expect_close(&s, 1, STATUS_CLOSED, "closed here");
    assert_string_equal(s.body, "hello");
}

static void an_answer_followed_by_more_is_the_last(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_canned);
    s.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n";
    s.first = get("/");
    run(&s);
    expect_close(&s, 1, STATUS_CLOSED, "the server wants no more requests");
    assert_string_equal(s.body, "ok");
}

struct counted {
    size_t bytes;
    bool wants_more;
    struct exchange_story *closes; /* at the first piece; NULL = nobody */
};

static bool count_bytes(void *context, struct slice piece)
{
    struct counted *c = context;
    c->bytes += piece.size;
    if (c->closes != NULL) {
        http_exchange_close(c->closes->exchange);
    }
    return c->wants_more;
}

static void run_with_sink(struct exchange_story *s, struct counted *counted, const char *answer)
{
    static struct http_sink sink;
    sink = (struct http_sink){.take = count_bytes, .context = counted};
    begin(s, accept_canned);
    s->answer = answer;
    s->first = get("/");
    s->first.answer_bytes_max = 1;
    s->first.sink = &sink;
    run(s);
}

static void a_sink_takes_the_body_of_a_good_answer(void **state)
{
    (void)state;
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
                               "hello";
    struct exchange_story s;
    struct counted c = {.wants_more = true};
    run_with_sink(&s, &c, good);
    assert_int_equal(s.replies, 1);
    assert_string_equal(s.body, "");
    assert_int_equal(c.bytes, 5);
    c = (struct counted){.wants_more = false};
    run_with_sink(&s, &c, good);
    expect_close(&s, 0, STATUS_IO, "no more of the answer was wanted");
    c = (struct counted){.wants_more = true, .closes = &s};
    run_with_sink(&s, &c, good);
    expect_close(&s, 0, STATUS_CLOSED, "closed here");
}

/* --- no answer -------------------------------------------------------------------------------- */

static void nobody_listens(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_canned);
    s.story.loop->ops->listen_stop(s.story.loop);
    s.first = get("/");
    run(&s);
    expect_close(&s, 0, STATUS_UNREACHABLE, "cannot connect");
    assert_int_equal(s.opened, 0);
}

static void a_server_that_says_nothing_is_left_in_time(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_canned);
    s.is_deaf = true;
    s.first = get("/");
    s.first.timeout_ms = 50;
    run(&s);
    expect_close(&s, 0, STATUS_TIMEOUT, "no answer in time");
}

static void close_under_way(struct exchange_story *s)
{
    struct http_call call = get("/");
    ask(s, &call);
    close_now(s);
    assert_int_equal(http_exchange_ask(s->exchange, &call), STATUS_CLOSED);
}

static void a_request_under_way_ends_with_the_connection(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, accept_canned);
    s.is_deaf = true;
    s.on_open = close_under_way;
    run(&s);
    expect_close(&s, 0, STATUS_CLOSED, "closed here");
}

static void speak_first(void *context, struct conn *c)
{
    struct exchange_story *s = context;
    accept_canned(context, c);
    c->loop->ops->conn_write(c, slice_str(s->answer));
    c->loop->ops->conn_close(c, true);
}

static void a_connection_that_nobody_uses_ends_when_the_server_speaks_or_goes(void **state)
{
    (void)state;
    struct exchange_story s;
    begin(&s, speak_first);
    s.answer = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    run(&s);
    expect_close(&s, 0, STATUS_CLOSED, "the server spoke without being asked");
    begin(&s, speak_first);
    s.answer = "";
    run(&s);
    expect_close(&s, 0, STATUS_CLOSED, "closed by the server");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_server_says_comes_back_or_why_not),
        cmocka_unit_test(one_connection_carries_request_after_request),
        cmocka_unit_test(a_body_goes_with_its_request),
        cmocka_unit_test(an_answer_followed_by_more_is_the_last),
        cmocka_unit_test(a_sink_takes_the_body_of_a_good_answer),
        cmocka_unit_test(nobody_listens),
        cmocka_unit_test(a_server_that_says_nothing_is_left_in_time),
        cmocka_unit_test(a_request_under_way_ends_with_the_connection),
        cmocka_unit_test(a_connection_that_nobody_uses_ends_when_the_server_speaks_or_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
