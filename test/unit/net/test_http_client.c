/* The waiting client, against servers of one canned answer and against our own server. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "canned_answers.h"
#include "net/http.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/url.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 20000

/* --- a server that says one thing, whatever it is asked --------------------------------------- */

struct canned {
    int listener;
    uint16_t port;
    pthread_t thread;
    const char *answer; /* NULL: says nothing and waits for the client to go */
};

static void *serve_once(void *context)
{
    struct canned *s = context;
    int fd = accept(s->listener, NULL, NULL);
    CHECK(fd >= 0);
    char request[4096];
    CHECK(recv(fd, request, sizeof(request), 0) > 0);
    if (s->answer != NULL) {
        size_t size = strlen(s->answer);
        CHECK(send(fd, s->answer, size, MSG_NOSIGNAL) == (ssize_t)size);
    } else {
        while (recv(fd, request, sizeof(request), 0) > 0) {
        }
    }
    close(fd);
    return NULL;
}

static struct url listen_here(int *fd)
{
    struct url u = {.host = "127.0.0.1"};
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    CHECK(bind(*fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(*fd, 10) == 0);
    CHECK(getsockname(*fd, (struct sockaddr *)&a, &size) == 0);
    u.port = ntohs(a.sin_port);
    return u;
}

static enum status call_once(struct http_client *c, const char *method, const char *target,
                             uint32_t timeout_ms, struct http_reply *reply)
{
    const struct http_call call = {
        .method = method, .target = target, .timeout_ms = timeout_ms, .answer_bytes_max = 1000};
    return http_client_call(c, &call, reply);
}

static void what_the_server_says_comes_back_or_why_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(canned_cases) / sizeof(canned_cases[0]); i++) {
        const struct canned_case *t = &canned_cases[i];
        struct canned s = {.answer = t->answer};
        struct url u = listen_here(&s.listener);
        assert_int_equal(pthread_create(&s.thread, NULL, serve_once, &s), 0);
        struct http_client *c = http_client_create(&u);
        struct http_reply reply;
        enum status status = call_once(c, t->method, "/", LONG_MS, &reply);
        if (status != t->expected || reply.http_status != t->http_status ||
            (t->body != NULL && !slice_equal(reply.body, slice_str(t->body)))) {
            fail_msg("%s: %s, http status %d", t->name, status_name(status), reply.http_status);
        }
        http_client_destroy(c);
        pthread_join(s.thread, NULL);
        close(s.listener);
    }
}

static void nothing_sent_and_no_answer_are_told_apart(void **state)
{
    (void)state;
    struct http_reply reply;
    /* Nobody listens: nothing was sent. */
    int fd;
    struct url u = listen_here(&fd);
    close(fd);
    struct http_client *c = http_client_create(&u);
    assert_int_equal(call_once(c, "PUT", "/", LONG_MS, &reply), STATUS_UNREACHABLE);
    http_client_destroy(c);
    /* No such host. */
    struct url nowhere = {.host = "no-such-host.invalid", .port = 1};
    c = http_client_create(&nowhere);
    assert_int_equal(call_once(c, "PUT", "/", LONG_MS, &reply), STATUS_UNREACHABLE);
    http_client_destroy(c);
    /* It was sent, and there is no answer. */
    struct canned silent = {.answer = NULL};
    u = listen_here(&silent.listener);
    assert_int_equal(pthread_create(&silent.thread, NULL, serve_once, &silent), 0);
    c = http_client_create(&u);
    assert_int_equal(call_once(c, "PUT", "/", 100, &reply), STATUS_TIMEOUT);
    http_client_destroy(c);
    pthread_join(silent.thread, NULL);
    close(silent.listener);
}

/* A server that takes connections and says nothing is left as soon as the caller wants no more. */
static void a_call_that_is_cancelled_ends_at_once(void **state)
{
    (void)state;
    int ends[2];
    int listener;
    assert_int_equal(pipe(ends), 0);
    struct url u = listen_here(&listener);
    struct http_call call = {.method = "GET",
                             .target = "/",
                             .timeout_ms = 100,
                             .answer_bytes_max = 100,
                             .cancel_fd = ends[0]};
    struct http_reply reply;
    struct http_client *c = http_client_create(&u);
    assert_int_equal(http_client_call(c, &call, &reply), STATUS_TIMEOUT);
    assert_int_equal(write(ends[1], "x", 1), 1);
    call.timeout_ms = LONG_MS;
    enum status status = http_client_call(c, &call, &reply);
    assert_true(status == STATUS_IO || status == STATUS_UNREACHABLE);
    http_client_destroy(c);
    close(listener);
    close(ends[0]);
    close(ends[1]);
}

/* --- bodies that go to a sink ----------------------------------------------------------------- */

struct gathered {
    size_t bytes;
    size_t pieces;
    size_t bytes_max; /* wants no more then; 0 = takes all */
    bool is_right;
};

/* Byte i of the long body is 'a' + i % 23. */
static bool gather(void *context, struct slice piece)
{
    struct gathered *g = context;
    for (size_t i = 0; i < piece.size; i++) {
        g->is_right = g->is_right && piece.data[i] == 'a' + (g->bytes + i) % 23;
    }
    g->bytes += piece.size;
    g->pieces++;
    return g->bytes_max == 0 || g->bytes < g->bytes_max;
}

static char *long_answer(const char *head, size_t body_bytes)
{
    size_t head_size = strlen(head);
    char *text = mem_alloc(head_size + body_bytes + 1);
    memcpy(text, head, head_size);
    for (size_t i = 0; i < body_bytes; i++) {
        text[head_size + i] = (char)('a' + i % 23);
    }
    text[head_size + body_bytes] = 0;
    return text;
}

static enum status call_with_sink(char *answer, struct gathered *g, struct http_reply *reply)
{
    struct canned s = {.answer = answer};
    struct url u = listen_here(&s.listener);
    assert_int_equal(pthread_create(&s.thread, NULL, serve_once, &s), 0);
    struct http_client *c = http_client_create(&u);
    const struct http_sink sink = {.take = gather, .context = g};
    const struct http_call call = {.method = "GET",
                                   .target = "/",
                                   .timeout_ms = LONG_MS,
                                   .answer_bytes_max = 1000,
                                   .sink = &sink};
    g->is_right = true;
    enum status status = http_client_call(c, &call, reply);
    reply->body.size = status == STATUS_OK ? reply->body.size : 0;
    http_client_destroy(c);
    pthread_join(s.thread, NULL);
    close(s.listener);
    mem_free(answer);
    return status;
}

static void a_sink_takes_a_body_beyond_every_bound_in_pieces(void **state)
{
    (void)state;
    struct http_reply reply;
    struct gathered g = {0};
    assert_int_equal(
        call_with_sink(long_answer("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n", 300000), &g,
                       &reply),
        STATUS_OK);
    assert_int_equal(g.bytes, 300000);
    assert_true(g.is_right && g.pieces > 1);
    assert_int_equal(reply.body.size, 0);
    /* What is no success goes where it always goes. */
    g = (struct gathered){0};
    assert_int_equal(
        call_with_sink(long_answer("HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\n", 10), &g,
                       &reply),
        STATUS_OK);
    assert_int_equal(reply.http_status, 503);
    assert_int_equal(reply.body.size, 10);
    assert_int_equal(g.pieces, 0);
}

static void a_sink_that_was_cut_off_or_has_enough_is_told_apart(void **state)
{
    (void)state;
    struct http_reply reply;
    struct gathered g = {0};
    assert_int_equal(
        call_with_sink(long_answer("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n", 20000), &g,
                       &reply),
        STATUS_CLOSED);
    assert_int_equal(g.bytes, 20000);
    g = (struct gathered){.bytes_max = 1};
    assert_int_equal(
        call_with_sink(long_answer("HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n", 3000), &g,
                       &reply),
        STATUS_IO);
    assert_int_equal(g.pieces, 1);
}

/* --- our own server --------------------------------------------------------------------------- */

static struct loop *loop;
static struct http_server *server;
static uint16_t port;

static void on_request(void *context, struct http_request *r)
{
    (void)context;
    if (slice_equal(r->path, slice_str("/stop"))) {
        http_answer(r, 200, NULL, NULL, slice_str("bye"));
        loop->ops->stop(loop);
        return;
    }
    if (slice_equal(r->path, slice_str("/close"))) {
        http_answer_abort(r);
        return;
    }
    http_answer(r, 200, "text/plain", "X-Port: 1\r\n",
                r->body.size > 0 ? r->body : slice_str(r->conn->remote));
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    buf_printf(body, "%d %s", http_status, reason);
}

static uint64_t allow_body(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 500;
}

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(server, c);
}

static void *run_server(void *context)
{
    uv_loop_run(context);
    return NULL;
}

static void start_server(pthread_t *thread)
{
    loop = uv_loop_create();
    const struct http_handler handler = {
        .on_request = on_request, .on_bad = on_bad, .body_bytes_max = allow_body};
    server = http_server_create(loop, &handler, NULL);
    assert_int_equal(loop->ops->listen(loop, "127.0.0.1", 0, &port, on_accept, NULL), STATUS_OK);
    assert_int_equal(pthread_create(thread, NULL, run_server, loop), 0);
}

static void a_connection_is_kept_and_renewed_when_it_was_lost(void **state)
{
    (void)state;
    pthread_t thread;
    start_server(&thread);
    struct url u = {.host = "127.0.0.1", .port = port};
    struct http_client *c = http_client_create(&u);
    struct http_reply reply;
    char first[64] = "";
    assert_int_equal(call_once(c, "GET", "/", LONG_MS, &reply), STATUS_OK);
    memcpy(first, reply.body.data, reply.body.size);
    assert_int_equal(call_once(c, "GET", "/", LONG_MS, &reply), STATUS_OK);
    assert_true(slice_equal(reply.body, slice_str(first))); /* the same connection */
    struct slice x = http_headers_find(reply.headers, reply.header_count, "x-port");
    assert_true(slice_equal(x, slice_str("1")));

    assert_int_equal(call_once(c, "PUT", "/close", LONG_MS, &reply), STATUS_CLOSED);
    assert_int_equal(call_once(c, "GET", "/", LONG_MS, &reply), STATUS_OK);
    assert_false(slice_equal(reply.body, slice_str(first)));

    struct http_call put = {.method = "PUT",
                            .target = "/",
                            .headers = "X: y\r\n",
                            .body = slice_str("value"),
                            .timeout_ms = LONG_MS,
                            .answer_bytes_max = 1000};
    assert_int_equal(http_client_call(c, &put, &reply), STATUS_OK);
    assert_true(slice_equal(reply.body, slice_str("value")));

    assert_int_equal(call_once(c, "GET", "/stop", LONG_MS, &reply), STATUS_OK);
    assert_int_equal(reply.http_status, 200);
    pthread_join(thread, NULL);
    http_server_destroy(server);
    uv_loop_destroy(loop);
    assert_int_equal(call_once(c, "GET", "/", LONG_MS, &reply), STATUS_UNREACHABLE);
    http_client_destroy(c);
}

static void row_a23_a_refused_body_is_an_answer_and_not_a_broken_connection(void **state)
{
    (void)state;
    pthread_t thread;
    start_server(&thread);
    struct url u = {.host = "127.0.0.1", .port = port};
    struct http_client *c = http_client_create(&u);
    struct http_reply reply;
    static uint8_t big[8 * MIB];
    struct http_call put = {.method = "PUT",
                            .target = "/",
                            .body = slice_of(big, sizeof(big)),
                            .timeout_ms = LONG_MS,
                            .answer_bytes_max = 1000};
    assert_int_equal(http_client_call(c, &put, &reply), STATUS_OK);
    assert_int_equal(reply.http_status, 413);
    assert_int_equal(call_once(c, "GET", "/stop", LONG_MS, &reply), STATUS_OK);
    pthread_join(thread, NULL);
    http_client_destroy(c);
    http_server_destroy(server);
    uv_loop_destroy(loop);
}

/* --- addresses -------------------------------------------------------------------------------- */

static void addresses_are_read_as_people_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *again; /* NULL: refused */
    } table[] = {
        {"http://127.0.0.1:4001", "http://127.0.0.1:4001"},
        {"http://127.0.0.1:4001/", "http://127.0.0.1:4001"},
        {"HTTP://node-1.example:65535", "http://node-1.example:65535"},
        {"localhost:4000", "http://localhost:4000"},
        {"http://a", "http://a:80"},
        {"http://[::1]:4000", "http://[::1]:4000"},
        {"[fe80::1%eth0]:1", "http://[fe80::1%eth0]:1"},
        {"http://[::1]", "http://[::1]:80"},
        {"", NULL},
        {"http://", NULL},
        {"localhost", NULL},
        {":4000", NULL},
        {"a:", NULL},
        {"a:0", NULL},
        {"a:65536", NULL},
        {"a:99999999999", NULL},
        {"a:-1", NULL},
        {"a:4x", NULL},
        {"::1", NULL},
        {"::1:4000", NULL},
        {"[::1", NULL},
        {"[::1]x:1", NULL},
        {"[]:1", NULL},
        {"[2%t]:1", NULL},
        {"http://a:1/path", NULL},
        {"http://a:1?q", NULL},
        {"http://u@a:1", NULL},
        {"https://a:1", "https://a:1"},
        {"HTTPS://[::1]/", "https://[::1]:443"},
        {"https://", NULL},
        {"a b:1", NULL},
        {"http://a:1//", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct url u;
        const char *why = NULL;
        char again[URL_TEXT_BYTES] = "";
        enum status status = url_parse(table[i].text, &u, &why);
        if (status == STATUS_OK) {
            url_format(&u, again, sizeof(again));
        }
        if ((table[i].again == NULL) != (status == STATUS_INVALID) ||
            (status == STATUS_INVALID) != (why != NULL) ||
            strcmp(again, table[i].again != NULL ? table[i].again : "") != 0) {
            fail_msg("\"%s\": %s \"%s\"", table[i].text, status_name(status), again);
        }
    }
    char long_host[400];
    memset(long_host, 'h', sizeof(long_host));
    memcpy(long_host + 390, ":1", 3);
    struct url u;
    assert_int_equal(url_parse(long_host, &u, NULL), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_server_says_comes_back_or_why_not),
        cmocka_unit_test(nothing_sent_and_no_answer_are_told_apart),
        cmocka_unit_test(a_call_that_is_cancelled_ends_at_once),
        cmocka_unit_test(a_sink_takes_a_body_beyond_every_bound_in_pieces),
        cmocka_unit_test(a_sink_that_was_cut_off_or_has_enough_is_told_apart),
        cmocka_unit_test(a_connection_is_kept_and_renewed_when_it_was_lost),
        cmocka_unit_test(row_a23_a_refused_body_is_an_answer_and_not_a_broken_connection),
        cmocka_unit_test(addresses_are_read_as_people_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
