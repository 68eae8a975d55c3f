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

/* --- being ended ------------------------------------------------------------------------------ */

static volatile sig_atomic_t is_told_to_end;

static void on_end_signal(int number)
{
    (void)number;
    is_told_to_end = 1;
}

/* So that the file goes, too. A reader that has left and a limit on the size of files are errors of
 * a write, then. */
static void catch_end_signals(void)
{
    const struct sigaction action = {.sa_handler = on_end_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) { /* nohup */
        sigaction(SIGHUP, &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* --- printing --------------------------------------------------------------------------------- */

/* A text with a path or an address in it, with nothing that steers a terminal; owned. */
static struct buf safe_text(struct slice text)
{
    struct buf safe = {0};
    output_append_safe(&safe, text);
    buf_append_byte(&safe, 0);
    return safe;
}

static void announce(void *context, const char *path, uint64_t bytes)
{
    const struct bench_check_options *options = context;
    if (options->is_quiet) {
        return;
    }
    struct buf safe = safe_text(slice_str(path));
    fprintf(stderr, "Writing %llu MiB to %s, which is removed again; about %u s.\n",
            (unsigned long long)(bytes / MIB), (const char *)safe.data,
            (options->run_ms + options->endpoint_count * options->run_ms / 5 + 999) / 1000);
    buf_deinit(&safe);
}

static void print_table(const struct load_check *check)
{
    struct table table = {0};
    table_add(&table, (const char *const[]){"VERDICT", "WHAT", "MEASURED"}, 3);
    for (uint32_t i = 0; i < check->count; i++) {
        const struct load_finding *f = &check->findings[i];
        struct buf safe = safe_text(slice_str(f->measured));
        table_add(
            &table,
            (const char *const[]){load_verdict_name(f->verdict), f->what, (const char *)safe.data},
            3);
        buf_deinit(&safe);
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
    struct buf safe = safe_text(slice_str(f->measured));
    json_t *text = json_string((const char *)safe.data);
    for (size_t k = 0; text == NULL && k < safe.size; k++) { /* a path need not be UTF-8 */
        safe.data[k] = safe.data[k] < 0x80 ? safe.data[k] : '?';
    }
    text = text != NULL ? text : json_string((const char *)safe.data);
    buf_deinit(&safe);
    return json_pack("{s:s, s:s, s:o, s:s, s:o}", "what", f->what, "verdict",
                     load_verdict_name(f->verdict), "measured", text, "advice", f->advice,
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
    struct buf safe = safe_text(buf_slice(why));
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

int bench_check_run(const struct options *o, const struct bench_check_options *options)
{
    catch_end_signals();
    const struct load_check_options run = {
        .directory = options->directory,
        .endpoints = options->endpoints,
        .endpoint_count = options->endpoint_count,
        .run_ms = options->run_ms,
        .memory_bytes = memory_limit_bytes(),
        .quota_bytes = memory_quota_default(),
        .ended = &is_told_to_end,
        .announce = announce,
        .context = (void *)options,
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
