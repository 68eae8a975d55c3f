/* load/load_plan.h - what a load is: which operations, on which keys, by how many clients, for how
 * long. Made by the verb, read by everybody in this room. */
#pragma once

#include "base/limits.h"
#include "net/url.h"

#include <stdbool.h>
#include <stdint.h>

/* The first LOAD_SIMPLE are one request and one answer, and may be mixed. */
enum load_operation {
    LOAD_PUT,
    LOAD_RANGE,        /* linearizable */
    LOAD_SERIALIZABLE, /* one member's own copy */
    LOAD_TXN,
    LOAD_SIMPLE,
    LOAD_WATCH = LOAD_SIMPLE,
    LOAD_KEEPALIVE,
    LOAD_MIX,
    LOAD_OPERATIONS,
};

enum load_protocol { LOAD_GRPC, LOAD_HTTP };
#define LOAD_PROTOCOL_CHOICES "grpc|http"

enum load_distribution { LOAD_UNIFORM, LOAD_ZIPF, LOAD_SEQUENTIAL };
#define LOAD_DISTRIBUTION_CHOICES "uniform|zipf|sequential"

enum load_arrival { LOAD_CONSTANT, LOAD_POISSON };
#define LOAD_ARRIVAL_CHOICES "constant|poisson"

/* Bounds of the flags, which the verb's table and nobody else checks. */
#define LOAD_CONNECTIONS_MAX 10000
#define LOAD_STREAMS_MAX     1000
#define LOAD_CLIENTS_MAX     100000 /* connections x streams */
#define LOAD_RATE_MAX        10000000
#define LOAD_KEYS_MAX        100000000
#define LOAD_WATCHERS_MAX    LIMIT_WATCHES
#define LOAD_LEASES_MAX      100000
#define LOAD_PROCESSES       32
#define LOAD_WEIGHT_MAX      1000000
/* A put's value is a JSON text, and that of a watch has the time in it. */
#define LOAD_VALUE_BYTES_MIN 2
#define LOAD_WATCH_BYTES_MIN 22

struct load_plan {
    enum load_operation operation;
    uint32_t mix[LOAD_SIMPLE]; /* weights; of one operation alone it has the only one */
    enum load_protocol protocol;
    struct url endpoints[LIMIT_MEMBERS]; /* connections are spread over them in turn */
    uint32_t endpoint_count;
    uint32_t connections;
    uint32_t streams;     /* of each connection; with HTTP, each is a connection of its own */
    uint64_t warmup_us;   /* not counted */
    uint64_t measured_us; /* > 0 */
    uint64_t timeout_us;  /* a request without an answer for so long is an error */
    uint64_t rate;        /* an open loop of so many a second; 0 = a closed loop */
    enum load_arrival arrivals;
    uint64_t keys;
    uint32_t key_bytes; /* with the prefix */
    uint32_t value_bytes;
    const char *prefix; /* of all keys; borrowed */
    enum load_distribution distribution;
    bool prefill; /* all keys first */
    uint32_t watchers;
    uint32_t leases;
    uint32_t txn_ops; /* puts of one transaction, at most `keys` */
    uint64_t seed;
    int64_t processes[LOAD_PROCESSES]; /* whose CPU is told */
    uint32_t process_count;
    /* What each request shows of who asks, NULL: nothing. Borrowed; who made the plan may give
     * another one between two turns of the loop. */
    const char *token;
};

/* "put", "range" ... */
const char *load_operation_name(enum load_operation operation);
/* False: no operation has that name. */
bool load_operation_find(const char *name, enum load_operation *operation);
/* "put=1,range=9". NULL: it was right; otherwise what is wrong with it, as the end of a sentence
 * ("names ..."), valid until the next call. */
const char *load_mix_parse(const char *text, uint32_t mix[LOAD_SIMPLE]);
/* It changes something: over HTTP only the leader takes that. */
bool load_plan_writes(const struct load_plan *plan);
uint32_t load_plan_clients(const struct load_plan *plan);
