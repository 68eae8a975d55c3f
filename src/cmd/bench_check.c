#include "cmd/bench_check.h"

#include "base/buf.h"
#include "cmd/memory_limit.h"
#include "cmd/output.h"
#include "load/load_check.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK_SECONDS_MAX 3600

/* --- being ended ------------------------------------------------------------------------------ */

static volatile sig_atomic_t is_told_to_end;

static void on_end_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

/* So that the file goes, too. */
static void catch_end_signals(void)
{
    const struct sigaction action = {.sa_handler = on_end_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* --- printing --------------------------------------------------------------------------------- */

struct run {
    const struct bench_check_options *options;
    uint32_t ms;
};

/* A path or an address, with nothing that steers a terminal. */
static void print_safe(FILE *out, const char *text)
{
    struct buf safe = {0};
    output_append_safe(&safe, slice_str(text));
    fwrite(safe.data, 1, safe.size, out);
    buf_deinit(&safe);
}

static void announce(void *context, const char *path, uint64_t bytes)
{
    const struct run *run = context;
    if (run->options->is_quiet) {
        return;
    }
    fprintf(stderr, "Writing %llu MiB to ", (unsigned long long)(bytes / MIB));
    print_safe(stderr, path);
    fprintf(stderr, ", which is removed again; about %u s.\n",
            (run->ms + run->options->endpoint_count * run->ms / 5 + 999) / 1000);
}

static void print_table(const struct load_check *check)
{
    struct table table = {0};
    table_add(&table, (const char *const[]){"VERDICT", "WHAT", "MEASURED"}, 3);
    for (uint32_t i = 0; i < check->count; i++) {
        const struct load_finding *f = &check->findings[i];
        table_add(&table,
                  (const char *const[]){load_verdict_name(f->verdict), f->what, f->measured}, 3);
    }
    table_print(&table, stdout);
    for (uint32_t i = 0; i < check->count; i++) {
        const struct load_finding *f = &check->findings[i];
        if (f->advice[0] != '\0') {
            printf("\n%s is %s: %s\n", f->what, load_verdict_name(f->verdict), f->advice);
        }
    }
    static const char *const verdicts[] = {
        [VERDICT_UNKNOWN] = "Nothing could be measured.",
        [VERDICT_GOOD] = "A good home for a member.",
        [VERDICT_ACCEPTABLE] = "An acceptable home for a member.",
        [VERDICT_POOR] = "A poor home for a member.",
    };
    printf("\n%s\n", verdicts[check->verdict]);
}

static json_t *json_of_number(double value)
{
    return value == floor(value) && fabs(value) < 9e15 ? json_integer((json_int_t)value)
                                                       : json_real(value);
}

static json_t *json_of_finding(const struct load_finding *f)
{
    json_t *figures = json_object();
    for (uint32_t i = 0; i < f->figure_count; i++) {
        json_object_set_new(figures, f->figures[i].name, json_of_number(f->figures[i].value));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "what", f->what, "verdict",
                     load_verdict_name(f->verdict), "measured", f->measured, "advice", f->advice,
                     "figures", figures);
}

static void print_json(const struct load_check *check)
{
    json_t *findings = json_array();
    for (uint32_t i = 0; i < check->count; i++) {
        json_array_append_new(findings, json_of_finding(&check->findings[i]));
    }
    bool is_fitting = check->timeouts.heartbeat_ms > 0;
    json_t *all = json_pack(
        "{s:s, s:o, s:o, s:o}", "verdict", load_verdict_name(check->verdict), "findings", findings,
        "heartbeat_ms", is_fitting ? json_integer(check->timeouts.heartbeat_ms) : json_null(),
        "election_timeout_ms",
        is_fitting ? json_integer(check->timeouts.election_timeout_ms) : json_null());
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

/* --- the verb's part -------------------------------------------------------------------------- */

static int tell_why_not(const struct options *o, enum status status, const struct buf *why)
{
    if (status == STATUS_CLOSED) {
        verb_complain(o, "ended before there was a verdict; nothing is left behind");
        return EXIT_VERDICT;
    }
    struct buf safe = {0};
    output_append_safe(&safe, buf_slice(why));
    buf_append_byte(&safe, 0);
    int code = EXIT_VERDICT;
    if (status == STATUS_INVALID) {
        code = verb_refuse(o, "%s; --data names the directory where a member would keep its data",
                           (const char *)safe.data);
    } else {
        verb_complain(o, "%s", (const char *)safe.data);
    }
    buf_deinit(&safe);
    return code;
}

static bool read_seconds(const char *text, uint32_t *ms)
{
    char *end;
    double seconds = strtod(text, &end);
    bool is_good = end != text && *end == '\0' && seconds >= 0.1 && seconds <= CHECK_SECONDS_MAX;
    *ms = is_good ? (uint32_t)(seconds * 1000) : 0;
    return is_good;
}

int bench_check_run(const struct options *o, const struct bench_check_options *options)
{
    struct run told = {.options = options};
    if (!read_seconds(options->seconds, &told.ms)) {
        return verb_refuse(o, "--seconds: \"%.40s\" is no time from 0.1 to %d seconds",
                           options->seconds, CHECK_SECONDS_MAX);
    }
    catch_end_signals();
    const struct load_check_options run = {
        .directory = options->directory,
        .endpoints = options->endpoints,
        .endpoint_count = options->endpoint_count,
        .run_ms = told.ms,
        .memory_bytes = memory_limit_bytes(),
        .quota_bytes = memory_quota_default(),
        .ended = &is_told_to_end,
        .announce = announce,
        .context = &told,
    };
    struct load_check check;
    struct buf why = {0};
    enum status status = load_check_run(&run, &check, &why);
    int code = EXIT_DONE;
    if (status != STATUS_OK) {
        code = tell_why_not(o, status, &why);
    } else {
        options->is_json ? print_json(&check) : print_table(&check);
        code = check.verdict == VERDICT_POOR ? EXIT_VERDICT : EXIT_DONE;
    }
    buf_deinit(&why);
    return code;
}
