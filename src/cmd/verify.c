/* cmd/verify.c - `conclave verify`: the verdict, in words and as JSON. */
#include "cmd/verify.h"

#include "base/mem.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { VERIFY_SETTLE = CLIENT_ROWS, VERIFY_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS_WITH("how long one answer of a member may take", "5s"),
    [VERIFY_SETTLE] = {.name = "settle",
                       .type = OPTION_BOOL,
                       .meaning = "wait up to a minute for members that lag"},
};

/* How long a member may be behind the others. A second is a long time for one that is not. */
#define SETTLE_MS         60000
#define SETTLE_DEFAULT_MS 2000
#define PROGRESS_MS       500
#define CLEAR_LINE        "\r\033[K"

static const char *const difference_names[VERIFY_DIFFERENCES] = {"missing", "extra", "different"};
static const char *const table_words[VERIFY_TABLES] = {"", "documents "};

/* --- the verdict ------------------------------------------------------------------------------ */

static bool differs(const struct verify_member *m)
{
    uint64_t sum = m->state == VERIFY_ODD ? 1 : 0;
    for (size_t kind = 0; kind < VERIFY_DIFFERENCES; kind++) {
        sum += m->differences[VERIFY_KEYS][kind].count;
        sum += m->differences[VERIFY_DOCUMENTS][kind].count;
    }
    return sum > 0;
}

static bool is_inconsistent(const struct verification *v)
{
    bool any = false;
    for (uint32_t i = 0; i < v->count; i++) {
        any = any || differs(&v->members[i]);
    }
    return any;
}

static uint32_t count_state(const struct verification *v, enum verify_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        count += v->members[i].state == state ? 1 : 0;
    }
    return count;
}

static const char *verdict_of(const struct verification *v)
{
    if (is_inconsistent(v)) {
        return "inconsistent";
    }
    if (count_state(v, VERIFY_UNREACHABLE) > 0) {
        return "unreachable";
    }
    return count_state(v, VERIFY_BEHIND) > 0 ? "behind" : "consistent";
}

/* --- in words --------------------------------------------------------------------------------- */

/* `missing 12 ["a", "b", ... and 10 more]`; of documents, their contents */
static void append_difference(struct buf *line, const struct verify_keys *d, const char *name)
{
    buf_printf(line, "%s %" PRIu64 " [", name, d->count);
    uint64_t told = d->count < VERIFY_KEYS_TOLD ? d->count : VERIFY_KEYS_TOLD;
    for (uint64_t i = 0; i < told; i++) {
        buf_append_str(line, i > 0 ? ", " : "");
        if (json_text_quote(buf_slice(&d->told[i]), line) != STATUS_OK) {
            buf_append_slice(line, buf_slice(&d->told[i]));
        }
    }
    if (d->count > told) {
        buf_printf(line, ", ... and %" PRIu64 " more", d->count - told);
    }
    buf_append_byte(line, ']');
}

static void tell_differences(const struct verify_member *m)
{
    struct buf line = {0};
    for (size_t n = 0; n < (size_t)VERIFY_TABLES * VERIFY_DIFFERENCES; n++) {
        size_t table = n / VERIFY_DIFFERENCES;
        size_t kind = n % VERIFY_DIFFERENCES;
        if (m->differences[table][kind].count > 0) {
            buf_append_str(&line, line.size > 0 ? ", " : "");
            buf_append_str(&line, table_words[table]);
            append_difference(&line, &m->differences[table][kind], difference_names[kind]);
        }
    }
    if (m->state != VERIFY_COMPARED) {
        buf_append_str(&line, line.size > 0 ? ", then not compared: " : "not compared: ");
        buf_append_str(&line, m->why);
    } else if (line.size == 0) {
        buf_append_str(&line, "as most members have it");
    }
    struct buf safe = {0};
    output_append_safe(&safe, buf_slice(&line));
    printf("%s: %.*s\n", m->name, (int)safe.size, (const char *)safe.data);
    buf_deinit(&safe);
    buf_deinit(&line);
}

static void tell_state(const struct verification *v, enum verify_state state, const char *heading)
{
    if (count_state(v, state) == 0) {
        return;
    }
    puts(heading);
    for (uint32_t i = 0; i < v->count; i++) {
        const struct verify_member *m = &v->members[i];
        if (m->state == state) {
            struct buf safe = {0};
            output_append_safe(&safe, slice_str(m->why));
            printf("%s (%s): %.*s\n", m->name, m->url, (int)safe.size, (const char *)safe.data);
            buf_deinit(&safe);
        }
    }
}

static void tell(const struct verification *v)
{
    if (is_inconsistent(v)) {
        puts("❌ Inconsistency detected:");
        for (uint32_t i = 0; i < v->count; i++) {
            tell_differences(&v->members[i]);
        }
    }
    tell_state(v, VERIFY_UNREACHABLE, "❌ One or more nodes are unreachable");
    tell_state(v, VERIFY_BEHIND, "❌ One or more nodes are behind (--settle waits for them)");
    if (!is_inconsistent(v) && count_state(v, VERIFY_COMPARED) == v->count) {
        puts("✅ All nodes are consistent!");
    }
}

/* --- as JSON ---------------------------------------------------------------------------------- */

static json_t *json_of_difference(const struct verify_keys *d, const char *what)
{
    json_t *told = json_array();
    for (uint64_t i = 0; i < d->count && i < VERIFY_KEYS_TOLD; i++) {
        json_array_append_new(told, json_stringn((const char *)d->told[i].data, d->told[i].size));
    }
    return json_pack("{s:I,s:o}", "count", (json_int_t)d->count, what, told);
}

static json_t *json_of_member(const struct verify_member *m)
{
    static const char *const states[] = {"compared", "unreachable", "behind", "odd"};
    json_t *out =
        json_pack("{s:s,s:s,s:s}", "id", m->name, "url", m->url, "state", states[m->state]);
    if (m->state != VERIFY_COMPARED) {
        json_object_set_new(out, "reason", json_string(m->why));
    }
    json_t *documents = json_object();
    for (size_t kind = 0; kind < VERIFY_DIFFERENCES; kind++) {
        const char *name = difference_names[kind];
        json_object_set_new(out, name,
                            json_of_difference(&m->differences[VERIFY_KEYS][kind], "keys"));
        json_object_set_new(
            documents, name,
            json_of_difference(&m->differences[VERIFY_DOCUMENTS][kind], "contents"));
    }
    json_object_set_new(out, "documents", documents);
    return out;
}

static void tell_json(const struct verification *v)
{
    json_t *members = json_array();
    for (uint32_t i = 0; i < v->count; i++) {
        json_array_append_new(members, json_of_member(&v->members[i]));
    }
    json_t *out =
        json_pack("{s:s,s:I,s:I,s:I,s:o}", "verdict", verdict_of(v), "revision",
                  (json_int_t)v->revision, "keys", (json_int_t)v->compared[VERIFY_KEYS],
                  "documents", (json_int_t)v->compared[VERIFY_DOCUMENTS], "members", members);
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(out);
}

/* --- the verb --------------------------------------------------------------------------------- */

static void show_progress(struct verification *v)
{
    uint64_t now_ms = client_now_ms();
    if (v->shown_ms == 0 || now_ms - v->shown_ms < PROGRESS_MS) {
        v->shown_ms = v->shown_ms == 0 ? now_ms : v->shown_ms;
        return;
    }
    v->shown_ms = now_ms;
    v->is_shown = true;
    if (v->table == VERIFY_KEYS) {
        fprintf(stderr, CLEAR_LINE "%" PRIu64 " of about %" PRIu64 " keys compared",
                v->compared[VERIFY_KEYS], v->keys_expected);
    } else {
        fprintf(stderr, CLEAR_LINE "%" PRIu64 " documents compared", v->compared[VERIFY_DOCUMENTS]);
    }
}

static int compare_members(const struct options *o, struct verification *v)
{
    v->timeout_ms = (uint32_t)options_number(o, CLIENT_TIMEOUT);
    v->settle_ms = options_is_on(o, VERIFY_SETTLE) ? SETTLE_MS : SETTLE_DEFAULT_MS;
    v->progress = isatty(STDERR_FILENO) ? show_progress : NULL;
    enum status status = verify_run(v);
    if (v->is_shown) {
        fputs(CLEAR_LINE, stderr);
    }
    if (status != STATUS_OK && !is_inconsistent(v)) {
        verb_complain(o, "history is compacted faster than it can be compared; a longer "
                         "--history of the members would keep it");
        return status_exit_code(STATUS_TIMEOUT);
    }
    if (client_verb_format(o) == OUTPUT_JSON) {
        tell_json(v);
    } else {
        tell(v);
    }
    bool all = !is_inconsistent(v) && count_state(v, VERIFY_COMPARED) == v->count;
    return all ? EXIT_DONE : EXIT_VERDICT;
}

static int run_verify(struct options *o)
{
    const struct client_request request = {.method = "GET", .target = "/cluster"};
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    struct verification *v = mem_calloc(1, sizeof(*v));
    int code = client_verb_call(o, c, &request, &a);
    if (code == EXIT_DONE && verify_take_members(v, a.json)) {
        code = compare_members(o, v);
    } else if (code == EXIT_DONE) {
        verb_complain(o, "%s answered something that is no list of members", a.url);
        code = EXIT_VERDICT;
    }
    verify_deinit(v);
    mem_free(v);
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

const struct verb verb_verify = {
    .name = "verify",
    .summary = "compare what all members hold",
    .details =
        "Every key, its revision and its value, and every document, of each member as of one\n"
        "revision: one that only lags is no inconsistency, but is named when it has not caught up\n"
        "in two seconds.\n"
        "Exit code 0: all the same; 1: not so, or a member was not there to be compared; 6: the\n"
        "history of the members was too short for the comparison.\n",
    .examples = "  conclave verify\n"
                "  conclave verify --settle -o json\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_verify,
};
