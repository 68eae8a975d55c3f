#include "http_world.h"

#include "base/limits.h"
#include "base/mem.h"
#include "net/http_parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void note_gone(struct http_request *r)
{
    ((struct world *)r->user)->gone_count++;
}

static void note_writable(struct http_request *r)
{
    ((struct world *)r->user)->writable_count++;
}

static bool path_is(const struct http_request *r, const char *path)
{
    return slice_equal(r->path, slice_str(path));
}

static void on_request(void *context, struct http_request *r)
{
    struct world *w = context;
    w->request_count++;
    r->user = w;
    if (path_is(r, "/later") || path_is(r, "/stubborn")) {
        r->on_gone = path_is(r, "/later") ? note_gone : NULL;
        r->on_writable = note_writable;
        assert_true(w->waiting_count < WAITING_MAX);
        w->waiting[w->waiting_count++] = r;
        return;
    }
    struct buf body = {0};
    buf_printf(&body, "%d %.*s %.*s?%.*s %.*s", (int)r->method, (int)r->method_name.size,
               (const char *)r->method_name.data, (int)r->path.size, (const char *)r->path.data,
               (int)r->query.size, r->query.size > 0 ? (const char *)r->query.data : "",
               (int)r->body.size, r->body.size > 0 ? (const char *)r->body.data : "");
    http_answer(r, 200, "text/plain", "X-Test: 1\r\n", buf_slice(&body));
    buf_deinit(&body);
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    buf_printf(body, "{\"error\":\"%d %s\"}", http_status, reason);
}

static void common_headers(void *context, const struct http_request *r, struct buf *headers)
{
    (void)context;
    buf_append_str(headers, r != NULL ? "X-Common: request\r\n" : "X-Common: none\r\n");
}

static uint64_t allow_body(void *context, const struct http_request *r)
{
    (void)context;
    return path_is(r, "/none")                         ? 0
           : path_is(r, "/big") || path_is(r, "/busy") ? BIG_BODY_MAX
                                                       : BODY_MAX;
}

static void on_upgraded_data(struct conn *c, struct slice data)
{
    buf_append_slice(&((struct world *)c->context)->upgrade_data, data);
}

static void on_upgraded_close(struct conn *c, enum status why)
{
    (void)why;
    ((struct world *)c->context)->upgraded = NULL;
}

static bool wants_upgrade(void *context, const struct http_request *r, struct slice protocol)
{
    (void)context;
    return path_is(r, "/peer") && http_text_equal(protocol, "conclave-peer/1");
}

static void on_upgrade(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest)
{
    static const struct conn_events events = {.on_data = on_upgraded_data,
                                              .on_close = on_upgraded_close};
    struct world *w = context;
    assert_true(path_is(r, "/peer") && http_text_equal(protocol, "conclave-peer/1"));
    conn->events = &events;
    conn->context = w;
    w->upgraded = conn;
    buf_append_slice(&w->upgrade_rest, rest);
    conn->loop->ops->conn_write(conn, slice_str("hello peer"));
}

static bool is_vital(void *context, const struct http_request *r)
{
    (void)context;
    return path_is(r, "/alive");
}

static bool is_overloaded(void *context, const struct http_request *r, uint64_t body_bytes)
{
    (void)context;
    assert_true(body_bytes > LIMIT_BODY_SMALL_BYTES);
    return path_is(r, "/busy");
}

void http_world_start_with(struct world *w, const struct http_options *options)
{
    memset(w, 0, sizeof(*w));
    fake_loop_init(&w->loop);
    const struct http_handler handler = {
        .on_request = on_request,
        .on_bad = on_bad,
        .common_headers = common_headers,
        .wants_upgrade = wants_upgrade,
        .on_upgrade = on_upgrade,
        .is_vital = is_vital,
        .body_bytes_max = allow_body,
        .is_overloaded = is_overloaded,
        .context = w,
    };
    w->server = http_server_create(&w->loop.base, &handler, options);
}

void http_world_start(struct world *w)
{
    http_world_start_with(w, NULL);
}

void http_world_finish(struct world *w)
{
    http_server_destroy(w->server);
    assert_null(timer_heap_first(&w->loop.timers));
    fake_loop_turn(&w->loop);
    fake_loop_deinit(&w->loop);
    buf_deinit(&w->upgrade_rest);
    buf_deinit(&w->upgrade_data);
}

struct fake_conn *http_world_connect(struct world *w)
{
    struct fake_conn *c = fake_loop_connect(&w->loop);
    http_server_accept(w->server, &c->base);
    return c;
}

void feed(struct fake_conn *c, const char *text)
{
    fake_conn_feed(c, slice_str(text));
}

char *read_answers(struct slice sent)
{
    struct buf out = {0};
    struct http_parser *p = http_parser_create(HTTP_KIND_RESPONSE);
    while (sent.size > 0) {
        http_parser_reset(p);
        http_parser_limit_body(p, UINT32_MAX);
        size_t used;
        enum http_parsed parsed = http_parser_feed(p, sent, &used);
        sent = slice_of(sent.data + used, sent.size - used);
        if (parsed == HTTP_PARSED_HEAD) {
            parsed = http_parser_feed(p, sent, &used);
            sent = slice_of(sent.data + used, sent.size - used);
        }
        if (parsed != HTTP_PARSED_WHOLE) {
            buf_append_str(&out, "BROKEN");
            break;
        }
        struct slice body = http_parser_body(p);
        buf_printf(&out, "%s%d", out.size > 0 ? "|" : "", http_parser_head(p)->http_status);
        if (http_parser_head(p)->http_status == 200) {
            buf_append_str(&out, ":");
            buf_append_slice(&out, body);
        }
        if (!http_parser_head(p)->keep_alive) {
            buf_append_str(&out, "!");
        }
    }
    http_parser_destroy(p);
    buf_append_byte(&out, '\0');
    return (char *)out.data;
}

bool contains(const struct buf *b, const char *text)
{
    return b->size > 0 && memmem(b->data, b->size, text, strlen(text)) != NULL;
}

void expect_answers(struct fake_conn *c, const char *expected)
{
    char *answers = read_answers(buf_slice(&c->sent));
    assert_string_equal(answers, expected);
    mem_free(answers);
}
