/* cmd/bench.c - `conclave bench`: load on servers and what they make of it (docs/PERFORMANCE.md),
 * and `--check`: is this machine a good home for a member. */
#include "base/mem.h"
#include "cmd/bench_check.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"
#include "load/load_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BENCH_PROTOCOL = CLIENT_USER,
    BENCH_CONNECTIONS,
    BENCH_STREAMS,
    BENCH_SECONDS,
    BENCH_WARMUP,
    BENCH_RATE,
    BENCH_ARRIVALS,
    BENCH_KEYS,
    BENCH_KEY_SIZE,
    BENCH_VALUE_SIZE,
    BENCH_DISTRIBUTION,
    BENCH_PREFILL,
    BENCH_WATCHERS,
    BENCH_LEASES,
    BENCH_MIX,
    BENCH_TXN_OPS,
    BENCH_SEED,
    BENCH_PID,
    BENCH_PREFIX,
    BENCH_JSON,
    BENCH_QUIET,
    BENCH_CHECK,
    BENCH_DATA,
};

static const struct option rows[] = {
    CLIENT_ADDRESS_ROWS("a request without an answer for so long is an error", "5s"),
    [BENCH_PROTOCOL] = {.name = "protocol",
                        .type = OPTION_CHOICE,
                        .unit = "P",
                        .meaning = "grpc (the etcd v3 API) or http (ours)",
                        .choices = LOAD_PROTOCOL_CHOICES,
                        .fallback = "grpc"},
    [BENCH_CONNECTIONS] = {.name = "connections",
                           .type = OPTION_INTEGER,
                           .unit = "N",
                           .meaning = "spread over the endpoints",
                           .min = 1,
                           .max = LOAD_CONNECTIONS_MAX,
                           .fallback = "1"},
    [BENCH_STREAMS] = {.name = "streams",
                       .type = OPTION_INTEGER,
                       .unit = "N",
                       .meaning = "clients of each connection, a request under way each",
                       .min = 1,
                       .max = LOAD_STREAMS_MAX,
                       .fallback = "1"},
    [BENCH_SECONDS] = {.name = "seconds",
                       .type = OPTION_TEXT,
                       .unit = "S",
                       .meaning = "measured for so long; 0.5 is half of one",
                       .fallback = "5"},
    [BENCH_WARMUP] = {.name = "warmup",
                      .type = OPTION_TEXT,
                      .unit = "S",
                      .meaning = "before that, and not counted",
                      .fallback = "1"},
    [BENCH_RATE] = {.name = "rate",
                    .type = OPTION_INTEGER,
                    .unit = "N",
                    .meaning = "an open loop: so many a second, whether answers come or not",
                    .min = 1,
                    .max = LOAD_RATE_MAX},
    [BENCH_ARRIVALS] = {.name = "arrivals",
                        .type = OPTION_CHOICE,
                        .unit = "A",
                        .meaning = "of --rate: poisson (by chance) or constant",
                        .choices = LOAD_ARRIVAL_CHOICES,
                        .fallback = "poisson"},
    [BENCH_KEYS] = {.name = "keys",
                    .type = OPTION_INTEGER,
                    .unit = "N",
                    .meaning = "how many different ones",
                    .min = 1,
                    .max = LOAD_KEYS_MAX,
                    .fallback = "10000"},
    [BENCH_KEY_SIZE] = {.name = "key-size",
                        .type = OPTION_INTEGER,
                        .unit = "BYTES",
                        .meaning = "of each, with the prefix",
                        .min = 1,
                        .max = LIMIT_KEY_BYTES,
                        .fallback = "16"},
    [BENCH_VALUE_SIZE] = {.name = "value-size",
                          .type = OPTION_BYTES,
                          .unit = "BYTES",
                          .meaning = "of each",
                          .min = LOAD_VALUE_BYTES_MIN,
                          .max = MIB,
                          .fallback = "256"},
    [BENCH_DISTRIBUTION] = {.name = "distribution",
                            .type = OPTION_CHOICE,
                            .unit = "D",
                            .meaning = "which key is next: uniform, zipf or sequential",
                            .choices = LOAD_DISTRIBUTION_CHOICES,
                            .fallback = "uniform"},
    [BENCH_PREFILL] = {.name = "prefill",
                       .type = OPTION_BOOL,
                       .meaning = "put all keys first; then a read that finds none is an error",
                       .fallback = "false"},
    [BENCH_WATCHERS] = {.name = "watchers",
                        .type = OPTION_INTEGER,
                        .unit = "N",
                        .meaning = "of watch: each is told every put",
                        .min = 1,
                        .max = LOAD_WATCHERS_MAX,
                        .fallback = "100"},
    [BENCH_LEASES] = {.name = "leases",
                      .type = OPTION_INTEGER,
                      .unit = "N",
                      .meaning = "of keepalive: granted first",
                      .min = 1,
                      .max = LOAD_LEASES_MAX,
                      .fallback = "100"},
    [BENCH_MIX] = {.name = "mix",
                   .type = OPTION_TEXT,
                   .unit = "WEIGHTS",
                   .meaning = "of mix: put, range, serializable, txn and how often",
                   .fallback = "put=1,range=9"},
    [BENCH_TXN_OPS] = {.name = "txn-ops",
                       .type = OPTION_INTEGER,
                       .unit = "N",
                       .meaning = "puts of one transaction",
                       .min = 1,
                       .max = LIMIT_TXN_OPS,
                       .fallback = "2"},
    [BENCH_SEED] = {.name = "seed",
                    .type = OPTION_INTEGER,
                    .unit = "N",
                    .meaning = "the same keys in the same order again",
                    .fallback = "1"},
    [BENCH_PID] = {.name = "pid",
                   .type = OPTION_TEXT,
                   .unit = "PID,PID",
                   .meaning = "servers on this machine whose CPU is told"},
    [BENCH_PREFIX] = {.name = "prefix",
                      .type = OPTION_TEXT,
                      .unit = "P",
                      .meaning = "of all keys that are written; they stay",
                      .fallback = "bench/"},
    [BENCH_JSON] = {.name = "json",
                    .type = OPTION_BOOL,
                    .meaning = "one object instead of the report",
                    .fallback = "false"},
    [BENCH_QUIET] = {.name = "quiet",
                     .type = OPTION_BOOL,
                     .meaning = "no progress on stderr, which only a terminal gets anyway",
                     .fallback = "false"},
    [BENCH_CHECK] = {.name = "check",
                     .type = OPTION_BOOL,
                     .meaning = "no load: is this machine a good home for a member",
                     .fallback = "false"},
    [BENCH_DATA] = {.name = "data",
                    .type = OPTION_TEXT,
                    .unit = "DIR",
                    .meaning = "of --check: where the member would have its data",
                    .fallback = "."},
};

static int run_check(const struct options *o)
{
    const struct option_value *endpoints = &o->values[CLIENT_ENDPOINTS];
    return bench_check_run(
        o, &(struct bench_check_options){.directory = options_text(o, BENCH_DATA),
                                         .endpoints = (const char *const *)endpoints->items,
                                         .endpoint_count = endpoints->item_count,
                                         .seconds = options_text(o, BENCH_SECONDS),
                                         .is_json = options_is_on(o, BENCH_JSON),
                                         .is_quiet = options_is_on(o, BENCH_QUIET)});
}

static int run_load(const struct options *o)
{
    enum load_operation operation;
    if (!load_operation_find(o->arguments[0], &operation)) {
        return verb_refuse(o,
                           "\"%.40s\" is no operation; use put, range, serializable, txn, watch, "
                           "keepalive or mix",
                           o->arguments[0]);
    }
    return EXIT_DONE;
}

static int run_bench(struct options *o)
{
    bool is_check = options_is_on(o, BENCH_CHECK);
    if (is_check && o->argument_count > 0) {
        return verb_refuse(o, "--check takes no operation");
    }
    if (!is_check && o->argument_count == 0) {
        return verb_refuse(o, "say what to do: put, range, serializable, txn, watch, keepalive or "
                              "mix; or --check");
    }
    return is_check ? run_check(o) : run_load(o);
}

const struct verb verb_bench = {
    .name = "bench",
    .arguments = "OP",
    .summary = "put servers under load and measure them, or check a machine",
    .details =
        "--check measures what a member would meet here: the disk of --data (64 MiB are\n"
        "written there, and removed again), timers and clocks, limits, and the way to\n"
        "--endpoints when there are any; and says of each whether it is good, acceptable or\n"
        "poor, why, what to do, and which timeouts fit. Exit code 1: something is poor.\n",
    .examples = "  conclave bench --check --data /var/lib/conclave\n"
                "  conclave bench --check --endpoints http://10.0.0.2:4000,http://10.0.0.3:4000\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_max = 1,
    .run = run_bench,
};
