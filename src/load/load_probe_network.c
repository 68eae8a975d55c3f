/* load/load_probe_network.c - round trips of the shortest request that a member answers. */
#include "load/load_probe.h"

#include "base/check.h"
#include "base/mem.h"
#include "load/load_histogram.h"
#include "net/http_client.h"

#include <time.h>

#define TRIP_TIMEOUT_MS   2000
/* Apart, so that each finds the line idle, as a heartbeat does. */
#define TRIP_PAUSE_MS     5
/* Another server's page for a path that it does not know. */
#define TRIP_ANSWER_BYTES (64u * KIB)

/* Any answer will do: what is measured is the way. */
static enum status trip(struct http_client *client, uint64_t *took_us, bool *is_last)
{
    const struct http_call call = {.method = "GET",
                                   .target = "/ping",
                                   .timeout_ms = TRIP_TIMEOUT_MS,
                                   .answer_bytes_max = TRIP_ANSWER_BYTES};
    struct http_reply reply;
    uint64_t begun_us = load_probe_now_us();
    enum status status = http_client_call(client, &call, &reply);
    *took_us = load_probe_now_us() - begun_us;
    *is_last = status == STATUS_OK && reply.is_last;
    return status;
}

enum status load_probe_network(const char *url, uint32_t run_ms, const volatile sig_atomic_t *ended,
                               struct load_network *network)
{
    struct url server;
    CHECK(url_parse(url, &server, NULL) == STATUS_OK);
    struct http_client *client = http_client_create(&server);
    struct load_histogram *all = mem_calloc(1, sizeof(struct load_histogram));
    const struct timespec pause = {.tv_nsec = TRIP_PAUSE_MS * 1000000L};
    *network = (struct load_network){0};
    uint64_t took_us;
    bool is_last;
    uint64_t end_us = load_probe_now_us() + (uint64_t)run_ms * 1000;
    enum status status = trip(client, &took_us, &is_last); /* connects: not counted */
    while (status == STATUS_OK && load_probe_now_us() < end_us && !*ended) {
        nanosleep(&pause, NULL);
        bool is_connecting = is_last;
        status = trip(client, &took_us, &is_last);
        if (status == STATUS_OK) {
            load_histogram_add(all, took_us);
            network->is_connecting = network->is_connecting || is_connecting;
        }
    }
    network->trips = load_delays_of(all);
    mem_free(all);
    http_client_destroy(client);
    return status;
}
