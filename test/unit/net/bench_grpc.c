/* A server of two calls, to measure what they cost. Not a test: `ninja bench_grpc`, then
 *
 *   build/test/unit/net/bench_grpc 8080 & h2load -n 500000 -c 64 -m 1 -d FRAME \
 *       -H content-type:application/grpc -H te:trailers http://127.0.0.1:8080/echo/x
 *
 * where FRAME is a file with one message and its prefix. /wait/x never answers: what an idle call
 * and its connection keep is the difference in resident memory.
 *
 * SIGINT or SIGTERM: prints calls and the processor time of each, and ends. */
#include "base/check.h"
#include "net/grpc.h"
#include "net/http.h"
#include "net/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct http_server *http;
static struct grpc_server *grpc;
static struct loop *loop;

static void echo(struct grpc_stream *s, struct slice message)
{
    grpc_send(s, message);
    grpc_finish(s, GRPC_OK, NULL);
}

static void on_stream(void *context, struct grpc_stream *s)
{
    (void)context;
    if (slice_has_prefix(s->path, slice_str("/echo/"))) {
        s->on_message = echo;
    } else if (!slice_has_prefix(s->path, slice_str("/wait/"))) {
        grpc_finish_unknown(s, false);
    }
}

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(http, c);
}

static void on_http2(void *context, struct conn *c, struct slice first)
{
    (void)context;
    grpc_server_accept(grpc, c, first);
}

static void on_turn(void *context)
{
    (void)context;
    grpc_server_turn(grpc);
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
    double requests = (double)grpc_server_requests(grpc);
    printf("%.0f calls, each %.2f us of ours and %.2f us of the kernel's, %ld KiB resident at "
           "most\n",
           requests, microseconds(usage.ru_utime) / requests,
           microseconds(usage.ru_stime) / requests, usage.ru_maxrss);
    loop->ops->on_turn(loop, NULL, NULL);
    http_server_destroy(http);
    grpc_server_destroy(grpc);
    loop->ops->stop(loop);
}

int main(int argc, char **argv)
{
    uint16_t port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 8080);
    loop = uv_loop_create();
    http = http_server_create(loop, &(struct http_handler){0}, NULL);
    grpc = grpc_server_create(loop, &(struct grpc_handler){.on_stream = on_stream}, NULL);
    http_server_on_http2(http, on_http2, NULL, NULL, NULL);
    loop->ops->on_turn(loop, on_turn, NULL);
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
