/* cmd/bench.c - `conclave bench`: load on servers and what they make of it (docs/PERFORMANCE.md),
 * and `--check`: is this machine a good home for a member. */
#include "base/mem.h"
#include "cmd/bench_check.h"
#include "cmd/bench_user.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"
#include "load/load_keys.h"
#include "load/load_plan.h"
#include "load/load_report.h"
#include "load/load_run.h"
#include "net/tls_client.h"
#include "net/tls_loop.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BENCH_PROTOCOL = CLIENT_OUTPUT,
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
    CLIENT_CALL_ROWS("a request without an answer for so long is an error", "5s"),
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

#define US_PER_S    1000000.0
#define US_PER_MS   1000u
#define SECONDS_MAX 86400

/* EXIT_USAGE: it is none, and that was said. */
static int take_seconds(const struct options *o, size_t row, double least_s, uint64_t *us)
{
    const char *text = options_text(o, row);
    char *end;
    double seconds = strtod(text, &end);
    if (text[strspn(text, "0123456789.")] != '\0' || *end != '\0' || !(seconds >= least_s) ||
        seconds > SECONDS_MAX) {
        return verb_refuse(o, "--%s: \"%.40s\" is no time in seconds; use %g to %d, such as 2.5",
                           rows[row].name, text, least_s, SECONDS_MAX);
    }
    *us = (uint64_t)(seconds * US_PER_S + 0.5);
    return EXIT_DONE;
}

static int run_check(const struct options *o)
{
    const struct option_value *endpoints = &o->values[CLIENT_ENDPOINTS];
    uint64_t run_us = 0;
    int code = take_seconds(o, BENCH_SECONDS, 0.1, &run_us);
    if (code != EXIT_DONE) {
        return code;
    }
    return bench_check_run(
        o, &(struct bench_check_options){.directory = options_text(o, BENCH_DATA),
                                         .endpoints = (const char *const *)endpoints->items,
                                         .endpoint_count = endpoints->item_count,
                                         .run_ms = (uint32_t)(run_us / US_PER_MS),
                                         .is_json = options_is_on(o, BENCH_JSON),
                                         .is_quiet = options_is_on(o, BENCH_QUIET)});
}

/* --- the plan --------------------------------------------------------------------------------- */

static int take_processes(const struct options *o, struct load_plan *plan)
{
    const char *text = options_text(o, BENCH_PID);
    for (const char *at = text; at != NULL && *at != '\0'; at += *at == ',' ? 1 : 0) {
        char *end;
        uint64_t process = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || (*end != ',' && *end != '\0') || process == 0 ||
            process > INT32_MAX || plan->process_count == LOAD_PROCESSES) {
            return verb_refuse(o,
                               "--pid: \"%.60s\" is no list of at most %d process ids; write it "
                               "as 4711,4712",
                               text, LOAD_PROCESSES);
        }
        plan->processes[plan->process_count++] = (int64_t)process;
        at = end;
    }
    return EXIT_DONE;
}

static int take_operation(const struct options *o, struct load_plan *plan)
{
    if (!load_operation_find(o->arguments[0], &plan->operation)) {
        return verb_refuse(o,
                           "\"%.40s\" is no operation; use put, range, serializable, txn, watch, "
                           "keepalive or mix",
                           o->arguments[0]);
    }
    bool is_stream = plan->operation == LOAD_WATCH || plan->operation == LOAD_KEEPALIVE;
    if (is_stream && plan->protocol == LOAD_HTTP) {
        return verb_refuse(o, "%s needs --protocol grpc", o->arguments[0]);
    }
    if (plan->operation == LOAD_MIX) {
        const char *wrong = load_mix_parse(options_text(o, BENCH_MIX), plan->mix);
        return wrong == NULL ? EXIT_DONE : verb_refuse(o, "--mix %s", wrong);
    }
    if (plan->operation == LOAD_WATCH) {
        plan->mix[LOAD_PUT] = 1;
    } else if (plan->operation < LOAD_SIMPLE) {
        plan->mix[plan->operation] = 1;
    }
    return EXIT_DONE;
}

/* Numbers that are right by themselves and do not fit together. */
static int check_plan(const struct options *o, const struct load_plan *plan)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "/_.-";
    if (plan->prefix[strspn(plan->prefix, letters)] != '\0') {
        return verb_refuse(o, "--prefix: use letters, digits, and / _ . -");
    }
    if (plan->key_bytes < load_keys_bytes_min(plan)) {
        return verb_refuse(o, "--key-size: %" PRIu64 " keys below %s need %zu bytes or more",
                           plan->keys, plan->prefix, load_keys_bytes_min(plan));
    }
    if (plan->operation == LOAD_WATCH && plan->value_bytes < LOAD_WATCH_BYTES_MIN) {
        return verb_refuse(o, "--value-size: a watched value has the time in it and needs %d bytes",
                           LOAD_WATCH_BYTES_MIN);
    }
    if (load_plan_clients(plan) > LOAD_CLIENTS_MAX) {
        return verb_refuse(o, "--connections times --streams is more than %d", LOAD_CLIENTS_MAX);
    }
    if (plan->mix[LOAD_TXN] > 0 && plan->txn_ops > plan->keys) {
        return verb_refuse(o, "--txn-ops: a transaction puts no key twice; use at most --keys");
    }
    if (plan->mix[LOAD_TXN] > 0 && (uint64_t)plan->txn_ops * plan->value_bytes > MIB) {
        return verb_refuse(o, "--txn-ops times --value-size is more than 1 MiB");
    }
    return EXIT_DONE;
}

static void take_numbers(const struct options *o, struct load_plan *plan)
{
    plan->protocol = (enum load_protocol)options_number(o, BENCH_PROTOCOL);
    plan->connections = (uint32_t)options_number(o, BENCH_CONNECTIONS);
    plan->streams = (uint32_t)options_number(o, BENCH_STREAMS);
    plan->rate = options_is_given(o, BENCH_RATE) ? options_number(o, BENCH_RATE) : 0;
    plan->arrivals = options_number(o, BENCH_ARRIVALS) == 0 ? LOAD_CONSTANT : LOAD_POISSON;
    plan->keys = options_number(o, BENCH_KEYS);
    plan->key_bytes = (uint32_t)options_number(o, BENCH_KEY_SIZE);
    plan->value_bytes = (uint32_t)options_number(o, BENCH_VALUE_SIZE);
    plan->prefix = options_text(o, BENCH_PREFIX);
    plan->distribution = (enum load_distribution)options_number(o, BENCH_DISTRIBUTION);
    plan->prefill = options_is_on(o, BENCH_PREFILL);
    plan->watchers = (uint32_t)options_number(o, BENCH_WATCHERS);
    plan->leases = (uint32_t)options_number(o, BENCH_LEASES);
    plan->txn_ops = (uint32_t)options_number(o, BENCH_TXN_OPS);
    plan->seed = options_number(o, BENCH_SEED);
    plan->timeout_us = options_number(o, CLIENT_TIMEOUT) * US_PER_MS;
}

static int take_plan(const struct options *o, struct load_plan *plan)
{
    take_numbers(o, plan);
    int code = take_operation(o, plan);
    code = code == EXIT_DONE ? take_seconds(o, BENCH_SECONDS, 0.01, &plan->measured_us) : code;
    code = code == EXIT_DONE ? take_seconds(o, BENCH_WARMUP, 0, &plan->warmup_us) : code;
    code = code == EXIT_DONE ? take_processes(o, plan) : code;
    return code == EXIT_DONE ? check_plan(o, plan) : code;
}

/* --- endpoints -------------------------------------------------------------------------------- */

/* Over HTTP, writes are for the leader alone: is it this one? */
static bool is_wanted(const struct load_plan *plan, const char *url, enum status *status)
{
    bool is_for_leader = plan->protocol == LOAD_HTTP && load_plan_writes(plan);
    const struct client_request request = {.method = "GET",
                                           .target = is_for_leader ? "/leader" : "/version"};
    struct client_answer a = {0};
    uint32_t timeout_ms = (uint32_t)(plan->timeout_us / US_PER_MS);
    *status = client_ask(url, &request, timeout_ms, &a);
    bool is_leader = a.http_status == 200;
    client_answer_deinit(&a);
    return *status != STATUS_UNREACHABLE && (!is_for_leader || is_leader);
}

/* Those given must answer; of the others, those that do are taken. */
static int take_endpoints(const struct options *o, struct load_plan *plan)
{
    uint32_t count;
    const char *const *urls = client_verb_endpoints(o, &count);
    bool is_one_there = false;
    for (uint32_t i = 0; i < count; i++) {
        enum status status;
        if (is_wanted(plan, urls[i], &status) &&
            url_parse(urls[i], &plan->endpoints[plan->endpoint_count], NULL) == STATUS_OK) {
            plan->endpoint_count++;
        } else if (status == STATUS_UNREACHABLE && options_is_given(o, CLIENT_ENDPOINTS)) {
            verb_complain(o, "cannot connect to %s", urls[i]);
            return status_exit_code(status);
        }
        is_one_there = is_one_there || status != STATUS_UNREACHABLE;
    }
    if (!is_one_there) {
        return client_verb_unreachable(o);
    }
    if (plan->endpoint_count == 0) {
        verb_complain(o, "none of the endpoints is the leader, which alone takes writes over HTTP; "
                         "name all members, or use --protocol grpc");
        return status_exit_code(STATUS_NOT_LEADER);
    }
    return EXIT_DONE;
}

/* --- the run ---------------------------------------------------------------------------------- */

struct bench {
    const struct options *options;
    struct load_plan plan;
    struct load_result result;
    struct loop *loop;
    struct load_run *run;
    struct bench_user user;
    bool has_progress; /* a line on stderr that is written over */
};

static void on_tick(void *context, const struct load_progress *p)
{
    struct bench *b = context;
    bench_user_tick(&b->user, b->loop, p->errors);
    if (!b->has_progress) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (p->phase < LOAD_PREPARING) {
        fputs("connecting", stderr);
    } else if (p->phase == LOAD_PREPARING) {
        fprintf(stderr, "preparing: %" PRIu64 " of %" PRIu64, p->prepared, p->to_prepare);
    } else {
        fprintf(stderr,
                "%s %.0f of %.0f s: %" PRIu64 " a second, p99 %.2f ms so far, %" PRIu64 " errors",
                p->phase == LOAD_WARMING ? "warming up" : "measuring",
                (double)p->done_us / US_PER_S, (double)p->whole_us / US_PER_S, p->per_second,
                (double)p->p99_us / US_PER_MS, p->errors);
    }
    fflush(stderr);
}

static void on_done(void *context)
{
    struct bench *b = context;
    b->loop->ops->stop(b->loop);
}

static void on_signal(void *context, int signal_number)
{
    struct bench *b = context;
    (void)signal_number;
    load_run_interrupt(b->run);
}

static void on_turn(void *context)
{
    struct bench *b = context;
    load_run_turn(b->run);
}

static bool plan_is_encrypted(const struct load_plan *plan)
{
    bool is_encrypted = false;
    for (uint32_t i = 0; i < plan->endpoint_count; i++) {
        is_encrypted = is_encrypted || plan->endpoints[i].is_tls;
    }
    return is_encrypted;
}

static void put_load(struct bench *b)
{
    const struct load_run_events events = {.on_tick = on_tick, .on_done = on_done, .context = b};
    b->has_progress = isatty(STDERR_FILENO) && !options_is_on(b->options, BENCH_QUIET);
    struct loop *real = uv_loop_create();
    b->loop = plan_is_encrypted(&b->plan) ? tls_loop_create(real, tls_client()) : real;
    b->run = load_run_create(b->loop, &b->plan, &events, &b->result);
    b->loop->ops->on_turn(b->loop, on_turn, b);
    uv_loop_on_signal(real, SIGINT, on_signal, b);
    uv_loop_on_signal(real, SIGTERM, on_signal, b);
    load_run_begin(b->run);
    uv_loop_run(real);
    load_run_destroy(b->run);
    uv_loop_destroy(real);
    if (b->loop != real) {
        tls_loop_destroy(b->loop);
    }
    if (b->has_progress) {
        fputs("\r\033[K", stderr);
    }
}

static int run_load(const struct options *o)
{
    struct bench *b = mem_calloc(1, sizeof(*b));
    b->options = o;
    int code = take_plan(o, &b->plan);
    code = code == EXIT_DONE ? take_endpoints(o, &b->plan) : code;
    code = code == EXIT_DONE ? bench_user_begin(&b->user, o, &b->plan) : code;
    if (code == EXIT_DONE) {
        put_load(b);
        if (options_is_on(o, BENCH_JSON)) {
            load_report_print_json(&b->plan, &b->result, stdout);
        } else {
            load_report_print(&b->plan, &b->result, stdout);
        }
        code = load_report_is_sound(&b->result) ? EXIT_DONE : EXIT_VERDICT;
    }
    bench_user_end(&b->user);
    mem_free(b);
    return code;
}

/* --- the verb --------------------------------------------------------------------------------- */

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
        "OP is put, range (linearizable), serializable, txn, watch, keepalive or mix. Without\n"
        "--rate each of connections x streams clients asks again when it has its answer (a closed\n"
        "loop); with it, requests have times of their own, and latency counts from those.\n"
        "Every answer is checked. Servers may be ours or etcd's. Keys below --prefix are written,\n"
        "and stay. A user (--user) logs in first. Ctrl-C ends it early, with what was seen.\n"
        "Exit code 0: measured; 1: more than 1 % errors or of the time without a connection, or\n"
        "nothing was measured.\n\n"
        "--check measures what a member would meet here: the disk of --data (64 MiB are\n"
        "written there, and removed again), timers and clocks, limits, and the way to\n"
        "--endpoints when there are any; and says of each whether it is good, acceptable or\n"
        "poor, why, what to do, and which timeouts fit. Exit code 1: something is poor.\n",
    .examples = "  conclave bench put --connections 8 --streams 8 --pid $(pgrep -d, conclave)\n"
                "  conclave bench range --prefill --rate 5000 --streams 64\n"
                "  conclave bench mix --mix put=1,range=9 --distribution zipf --prefill --json\n"
                "  conclave bench --check --data /var/lib/conclave\n"
                "  conclave bench --check --endpoints http://10.0.0.2:4000,http://10.0.0.3:4000\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_max = 1,
    .prepare = client_verb_prepare,
    .run = run_bench,
};
