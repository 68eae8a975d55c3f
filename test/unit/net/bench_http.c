/* A server that says hello, to measure what a request costs. Not a test: `ninja bench_http`, then
 *
 *   build/test/unit/net/bench_http 8080 & wrk -t1 -c64 -d5 http://127.0.0.1:8080/
 *
 * SIGINT or SIGTERM: prints requests and the processor time of each, and ends. */
#include "base/check.h"
#include "net/http.h"
#include "net/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct http_server *server;
static struct loop *loop;

static void on_request(void *context, struct http_request *r)
{
    (void)context;
    http_answer(r, 200, "text/plain", NULL, slice_str("hello\n"));
}

static void on_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    buf_printf(body, "%d %s\n", http_status, reason);
}

static uint64_t allow_body(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 2u * 1024 * 1024;
}

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(server, c);
}

static double microseconds(struct timeval t)
{
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static void on_signal(void *context, int signal_number)
{
    (void)context;
    (void)signal_number;
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    double requests = (double)http_server_requests(server);
    printf("%.0f requests, each %.2f us of ours and %.2f us of the kernel's, %ld KiB resident at "
           "most\n",
           requests, microseconds(usage.ru_utime) / requests,
           microseconds(usage.ru_stime) / requests, usage.ru_maxrss);
    http_server_destroy(server);
    loop->ops->stop(loop);
}

int main(int argc, char **argv)
{
    uint16_t port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 8080);
    loop = uv_loop_create();
    const struct http_handler handler = {
        .on_request = on_request, .on_bad = on_bad, .body_bytes_max = allow_body};
    server = http_server_create(loop, &handler, NULL);
    if (loop->ops->listen(loop, "127.0.0.1", port, &port, on_accept, NULL) != STATUS_OK) {
        fprintf(stderr, "port %u is taken\n", (unsigned)port);
        return 1;
    }
    uv_loop_on_signal(loop, SIGINT, on_signal, NULL);
    uv_loop_on_signal(loop, SIGTERM, on_signal, NULL);
    uv_loop_run(loop);
    uv_loop_destroy(loop);
    return 0;
}
