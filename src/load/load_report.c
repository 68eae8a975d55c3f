#include "load/load_report.h"

#include "base/buf.h"
#include "load/load_cpu.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>

#define US_PER_S       1e6
#define WARNINGS_MAX   16
#define P99_SAMPLES    20000u
#define CHART_COLUMNS  40
#define LATE_SHARE_MAX 0.01
/* An open loop that sent less than this of what was asked did not hold its rate. */
#define RATE_SHARE_MIN 0.98

/* --- figures ---------------------------------------------------------------------------------- */

static double per_second(uint64_t count, const struct load_result *r)
{
    return r->measured_us > 0 ? (double)count * US_PER_S / (double)r->measured_us : 0;
}

/* What the processors' time is divided by. */
static uint64_t operations(const struct load_plan *plan, const struct load_result *r)
{
    return plan->operation == LOAD_WATCH ? r->events : r->requests;
}

static double cpu_per_operation(const struct load_plan *plan, const struct load_result *r,
                                const struct load_cpu *cpu)
{
    uint64_t count = operations(plan, r);
    return count > 0 ? (double)cpu->us / (double)count : 0;
}

/* Of all processors of the machine. */
static double cpu_share(const struct load_result *r, const struct load_cpu *cpu)
{
    double all_us = (double)r->measured_us * load_cpu_processors();
    return all_us > 0 ? (double)cpu->us / all_us : 0;
}

static double down_share(const struct load_result *r)
{
    double all_us = (double)r->measured_us * r->links;
    return all_us > 0 ? (double)r->down_us / all_us : 0;
}

static double error_share(const struct load_result *r)
{
    uint64_t all = r->requests + r->errors.total;
    return all > 0 ? (double)r->errors.total / (double)all : 0;
}

bool load_report_is_sound(const struct load_result *r)
{
    return r->requests > 0 && error_share(r) <= LOAD_ERROR_SHARE_MAX &&
           down_share(r) <= LOAD_ERROR_SHARE_MAX;
}

/* --- warnings --------------------------------------------------------------------------------- */

struct warnings {
    char texts[WARNINGS_MAX][200];
    size_t count;
};

static void warn(struct warnings *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warn(struct warnings *w, const char *format, ...)
{
    if (w->count < WARNINGS_MAX) {
        va_list args;
        va_start(args, format);
        vsnprintf(w->texts[w->count++], sizeof(w->texts[0]), format, args);
        va_end(args);
    }
}

static void warn_of_arrivals(struct warnings *w, const struct load_plan *plan,
                             const struct load_result *r)
{
    double asked = (double)plan->rate * (double)r->measured_us / US_PER_S;
    double sent = (double)(r->requests + r->errors.total);
    if (r->never_sent > 0 && sent < asked * RATE_SHARE_MIN) {
        warn(w,
             "%.0f a second were asked for and %.0f were sent: the servers, or the clients, are "
             "too few",
             (double)plan->rate, per_second((uint64_t)sent, r));
    } else if ((double)r->late_sends > asked * LATE_SHARE_MAX) {
        warn(w, "%" PRIu64 " requests were sent more than 1 ms late; their wait is in the latency",
             r->late_sends);
    }
}

static void warn_of_processors(struct warnings *w, const struct load_result *r,
                               const struct load_plan *plan)
{
    double share = cpu_share(r, &r->generator);
    if (share > LOAD_GENERATOR_SHARE_MAX) {
        warn(w, "the generator used %.0f %% of the CPU: what was measured is partly the generator",
             share * 100);
    }
    for (uint32_t i = 0; i < plan->process_count; i++) {
        if (!r->servers[i].is_known) {
            warn(w, "the CPU of process %" PRId64 " is not known: it did not live all the time",
                 r->servers[i].process);
        }
    }
}

static void find_warnings(struct warnings *w, const struct load_plan *plan,
                          const struct load_result *r)
{
    w->count = 0;
    if (r->is_interrupted) {
        warn(w, "it was ended early, after %.1f s", (double)r->measured_us / US_PER_S);
    }
    if (r->trouble[0] != '\0') {
        warn(w, "%s", r->trouble);
        return;
    }
    warn_of_processors(w, r, plan);
    if (r->errors.total > 0) {
        warn(w, "%" PRIu64 " requests failed, %.1f %% of all; no latency counts them",
             r->errors.total, error_share(r) * 100);
    }
    if (r->down_us > 0) {
        warn(w, "connections were gone for %.1f %% of the time", down_share(r) * 100);
    }
    if (plan->rate > 0) {
        warn_of_arrivals(w, plan, r);
    }
    if (r->misses > 0) {
        warn(w,
             "%" PRIu64 " reads found no key, which is cheaper; --prefill puts all of them first",
             r->misses);
    }
    if (plan->operation == LOAD_WATCH && r->events < r->events_expected) {
        warn(w, "%" PRIu64 " of %" PRIu64 " events did not come", r->events_expected - r->events,
             r->events_expected);
    }
    uint64_t samples = operations(plan, r);
    if (samples > 0 && samples < P99_SAMPLES) {
        warn(w, "p99 and beyond rest on few requests: %" PRIu64 " of at least %u", samples,
             P99_SAMPLES);
    }
}

/* --- for people ------------------------------------------------------------------------------- */

/* "837 us", "1.24 ms", "3.0 s". */
static const char *time_text(uint64_t us, char text[24])
{
    if (us < 1000) {
        snprintf(text, 24, "%" PRIu64 " us", us);
    } else if (us < 1000000) {
        snprintf(text, 24, us < 10000 ? "%.2f ms" : "%.1f ms", (double)us / 1e3);
    } else {
        snprintf(text, 24, "%.2f s", (double)us / US_PER_S);
    }
    return text;
}

static void print_head(const struct load_plan *plan, const struct load_result *r, FILE *out)
{
    fprintf(out, "%s over %s: %" PRIu32 " connection%s x %" PRIu32 " client%s, ",
            load_operation_name(plan->operation), plan->protocol == LOAD_HTTP ? "HTTP" : "gRPC",
            plan->connections, plan->connections > 1 ? "s" : "", plan->streams,
            plan->streams > 1 ? "s" : "");
    if (plan->rate > 0) {
        fprintf(out, "open loop at %" PRIu64 " a second (%s)", plan->rate,
                plan->arrivals == LOAD_POISSON ? "by chance" : "constant");
    } else {
        fputs("closed loop", out);
    }
    fprintf(out, ", %.1f s\n", (double)r->measured_us / US_PER_S);
    if (plan->operation == LOAD_KEEPALIVE) {
        fprintf(out, "%" PRIu32 " leases\n\n", plan->leases);
        return;
    }
    fprintf(out, "keys %" PRIu64 " of %" PRIu32 " bytes, values of %" PRIu32 " bytes", plan->keys,
            plan->key_bytes, plan->value_bytes);
    if (plan->operation == LOAD_WATCH) {
        fprintf(out, ", %" PRIu32 " watches", plan->watchers);
    }
    fputs("\n\n", out);
}

static void print_latency(const char *name, const struct load_histogram *h, FILE *out)
{
    static const struct {
        const char *name;
        double quantile;
    } columns[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};
    char text[24];
    fprintf(out, "%-10s", name);
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
        fprintf(out, "  %s %s", columns[i].name,
                time_text(load_histogram_quantile(h, columns[i].quantile), text));
    }
    fprintf(out, "  mean %s\n", time_text((uint64_t)load_histogram_mean(h), text));
}

static void print_bar(double share, FILE *out)
{
    int full = (int)(share * CHART_COLUMNS + 0.5);
    for (int i = 0; i < CHART_COLUMNS; i++) {
        fputs(i < full ? "█" : " ", out);
    }
    fprintf(out, " %5.1f %%\n", share * 100);
}

/* A line for each of 1, 2, 5, 10 ... between the shortest and the longest. */
static void print_chart(const struct load_histogram *h, FILE *out)
{
    static const uint64_t steps[] = {1, 2, 5};
    uint64_t before = 0;
    uint64_t unit = 1;
    for (size_t i = 0; before < h->count; i++) {
        unit *= i > 0 && i % 3 == 0 ? 10 : 1;
        bool is_last = unit * steps[i % 3] >= LOAD_LATENCY_MAX_US;
        uint64_t to = is_last ? h->count : load_histogram_count_to(h, unit * steps[i % 3]);
        char text[24];
        if (to > 0) {
            fprintf(out, "  up to %-9s ", time_text(unit * steps[i % 3], text));
            print_bar((double)(to - before) / (double)h->count, out);
        }
        before = to;
    }
}

static void print_cpu(const struct load_plan *plan, const struct load_result *r, FILE *out)
{
    const char *of = plan->operation == LOAD_WATCH ? "event" : "request";
    fprintf(out, "\nCPU        generator %.1f us a%s %s, %.0f %% of all\n",
            cpu_per_operation(plan, r, &r->generator), of[0] == 'e' ? "n" : "", of,
            cpu_share(r, &r->generator) * 100);
    for (uint32_t i = 0; i < plan->process_count; i++) {
        const struct load_cpu *cpu = &r->servers[i];
        if (cpu->is_known) {
            fprintf(out, "           process %" PRId64 " %.1f us, %.0f %% of all\n", cpu->process,
                    cpu_per_operation(plan, r, cpu), cpu_share(r, cpu) * 100);
        }
    }
}

static void print_figures(const struct load_plan *plan, const struct load_result *r, FILE *out)
{
    print_head(plan, r, out);
    fprintf(out, "requests   %" PRIu64 ", %.0f a second\n", r->requests,
            per_second(r->requests, r));
    print_latency("latency", &r->latency, out);
    const struct load_histogram *h = &r->latency;
    if (plan->operation == LOAD_WATCH) {
        fprintf(out, "events     %" PRIu64 ", %.0f a second\n", r->events,
                per_second(r->events, r));
        print_latency("delivery", &r->delivery, out);
        h = &r->delivery;
    }
    fputc('\n', out);
    print_chart(h, out);
    print_cpu(plan, r, out);
    for (uint32_t i = 0; i < r->errors.kind_count; i++) {
        const struct load_error *e = &r->errors.kinds[i];
        fprintf(out, "error      %" PRIu64 " x %s%s%s\n", e->count, e->kind,
                e->text[0] != '\0' ? ": " : "", e->text);
    }
}

void load_report_print(const struct load_plan *plan, const struct load_result *r, FILE *out)
{
    struct warnings w;
    find_warnings(&w, plan, r);
    if (r->measured_us > 0) {
        print_figures(plan, r, out);
    } else {
        fputs("nothing was measured\n", out);
    }
    for (size_t i = 0; i < w.count; i++) {
        fprintf(out, "%swarning: %s\n", i == 0 ? "\n" : "", w.texts[i]);
    }
}

/* --- for programs ----------------------------------------------------------------------------- */

/* Three digits behind the point say all there is. */
static json_t *rounded(double number)
{
    return json_real(round(number * 1000) / 1000);
}

static json_t *quantiles(const struct load_histogram *h)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "p50",
                     (json_int_t)load_histogram_quantile(h, 0.5), "p90",
                     (json_int_t)load_histogram_quantile(h, 0.9), "p99",
                     (json_int_t)load_histogram_quantile(h, 0.99), "p99.9",
                     (json_int_t)load_histogram_quantile(h, 0.999), "max", (json_int_t)h->max_us,
                     "mean", rounded(load_histogram_mean(h)));
}

static json_t *buckets(const struct load_histogram *h)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        if (h->counts[i] > 0) {
            json_array_append_new(list, json_pack("[I, I]", (json_int_t)load_histogram_upper_us(i),
                                                  (json_int_t)h->counts[i]));
        }
    }
    return list;
}

static json_t *errors_by_kind(const struct load_errors *e)
{
    json_t *object = json_object();
    for (uint32_t i = 0; i < e->kind_count; i++) {
        char text[sizeof(e->kinds[i].kind) + sizeof(e->kinds[i].text) + 2];
        snprintf(text, sizeof(text), "%s%s%s", e->kinds[i].kind,
                 e->kinds[i].text[0] != '\0' ? ": " : "", e->kinds[i].text);
        json_object_set_new(object, text, json_integer((json_int_t)e->kinds[i].count));
    }
    return object;
}

static json_t *cpu_json(const struct load_plan *plan, const struct load_result *r,
                        const struct load_cpu *cpu)
{
    if (!cpu->is_known) {
        return json_pack("{s:n, s:n}", "cpu_us_per_operation", "cpu_share");
    }
    return json_pack("{s:o, s:o}", "cpu_us_per_operation", rounded(cpu_per_operation(plan, r, cpu)),
                     "cpu_share", rounded(cpu_share(r, cpu)));
}

static void add_plan(json_t *o, const struct load_plan *plan)
{
    static const char *const distributions[] = {
        [LOAD_UNIFORM] = "uniform", [LOAD_ZIPF] = "zipf", [LOAD_SEQUENTIAL] = "sequential"};
    json_t *endpoints = json_array();
    for (uint32_t i = 0; i < plan->endpoint_count; i++) {
        char text[URL_TEXT_BYTES];
        url_format(&plan->endpoints[i], text, sizeof(text));
        json_array_append_new(endpoints, json_string(text));
    }
    json_t *part =
        json_pack("{s:s, s:s, s:o, s:i, s:i, s:i, s:s, s:o, s:i, s:i, s:I, s:s}", "operation",
                  load_operation_name(plan->operation), "protocol",
                  plan->protocol == LOAD_HTTP ? "http" : "grpc", "endpoints", endpoints,
                  "connections", (int)plan->connections, "streams", (int)plan->streams, "clients",
                  (int)load_plan_clients(plan), "mode", plan->rate > 0 ? "open" : "closed",
                  "rate_asked", plan->rate > 0 ? json_integer((json_int_t)plan->rate) : json_null(),
                  "value_bytes", (int)plan->value_bytes, "key_bytes", (int)plan->key_bytes, "keys",
                  (json_int_t)plan->keys, "distribution", distributions[plan->distribution]);
    json_object_update(o, part);
    json_decref(part);
}

static void add_figures(json_t *o, const struct load_plan *plan, const struct load_result *r)
{
    json_t *part =
        json_pack("{s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I}", "seconds",
                  rounded((double)r->measured_us / US_PER_S), "requests", (json_int_t)r->requests,
                  "errors", (json_int_t)r->errors.total, "errors_by_kind",
                  errors_by_kind(&r->errors), "per_second", rounded(per_second(r->requests, r)),
                  "latency_us", quantiles(&r->latency), "latency_histogram", buckets(&r->latency),
                  "late_sends", (json_int_t)r->late_sends, "misses", (json_int_t)r->misses);
    json_object_update(o, part);
    json_decref(part);
    if (plan->operation == LOAD_WATCH) {
        json_object_set_new(o, "watchers", json_integer(plan->watchers));
        json_object_set_new(o, "events", json_integer((json_int_t)r->events));
        json_object_set_new(o, "events_per_second", rounded(per_second(r->events, r)));
        json_object_set_new(o, "delivery_us", quantiles(&r->delivery));
        json_object_set_new(o, "delivery_histogram", buckets(&r->delivery));
    }
}

void load_report_print_json(const struct load_plan *plan, const struct load_result *r, FILE *out)
{
    json_t *o = json_object();
    add_plan(o, plan);
    add_figures(o, plan, r);
    json_object_set_new(o, "generator", cpu_json(plan, r, &r->generator));
    json_t *servers = json_array();
    for (uint32_t i = 0; i < plan->process_count; i++) {
        json_t *server = cpu_json(plan, r, &r->servers[i]);
        json_object_set_new(server, "pid", json_integer(plan->processes[i]));
        json_array_append_new(servers, server);
    }
    json_object_set_new(o, "servers", servers);
    struct warnings w;
    find_warnings(&w, plan, r);
    json_t *warnings = json_array();
    for (size_t i = 0; i < w.count; i++) {
        json_array_append_new(warnings, json_string(w.texts[i]));
    }
    json_object_set_new(o, "warnings", warnings);
    json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(12));
    fputc('\n', out);
    json_decref(o);
}
