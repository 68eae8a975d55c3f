/* The REST door over a store without a cluster, to try it with curl and to measure what it costs
 * beside net/'s bench_http. Not a test: `ninja bench_api`, then
 *
 * build/test/unit/api/bench_api 8080 & wrk -t1 -c64 -d5 http://127.0.0.1:8080/key/k
 *
 * SIGINT or SIGTERM: prints requests and the processor time of each, and ends. */
#include "api/api.h"
#include "base/check.h"
#include "fake_node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct http_server *server;
static struct api *api;
static struct loop *loop;

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(server, c);
}

static void on_turn(void *context)
{
    (void)context;
    fake_turn();
}

static void on_signal(void *context, int signal_number)
{
    (void)context;
    (void)signal_number;
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    double us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    double requests = (double)http_server_requests(server);
    printf("%.0f requests, %.2f us each, %ld KiB resident at most\n", requests,
           requests > 0 ? us / requests : 0.0, usage.ru_maxrss);
    http_server_destroy(server);
    api_destroy(api);
    loop->ops->stop(loop);
}

int main(int argc, char **argv)
{
    uint16_t port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 8080);
    fake_node_init();
    loop = uv_loop_create();
    api = api_create(&(struct api_options){.loop = loop,
                                           .node = &fake_node,
                                           .ack = NODE_ACK_QUORUM,
                                           .value_bytes_max = LIMIT_VALUE_BYTES_DEFAULT,
                                           .loop_utilisation = uv_loop_utilisation});
    server = http_server_create(loop, api_handler(api), NULL);
    api_set_servers(api, server, NULL);
    if (loop->ops->listen(loop, "127.0.0.1", port, &port, on_accept, NULL) != STATUS_OK) {
        fprintf(stderr, "port %u is taken\n", (unsigned)port);
        return 1;
    }
    loop->ops->on_turn(loop, on_turn, NULL);
    uv_loop_on_signal(loop, SIGINT, on_signal, NULL);
    uv_loop_on_signal(loop, SIGTERM, on_signal, NULL);
    uv_loop_run(loop);
    uv_loop_destroy(loop);
    fake_node_deinit();
    return 0;
}
