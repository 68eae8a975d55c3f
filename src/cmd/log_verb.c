/* cmd/log_verb.c - entries of the replicated log, the newest last. */
#include "cmd/client_verb.h"
#include "client/json_text.h"
#include "client/log_pages.h"
#include "cmd/log_entry.h"
#include "cmd/verbs.h"

#include <stdio.h>

enum { LOG_FROM = CLIENT_ROWS, LOG_LIMIT, LOG_CONSISTENCY, LOG_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [LOG_FROM] = {.name = "from",
                  .type = OPTION_INTEGER,
                  .unit = "N",
                  .meaning = "the first entry; without it the last ones are shown",
                  .min = 1},
    [LOG_LIMIT] = {.name = "limit",
                   .type = OPTION_INTEGER,
                   .unit = "N",
                   .meaning = "how many entries at most",
                   .min = 1,
                   .fallback = "20"},
    [LOG_CONSISTENCY] = {.name = "consistency",
                         .type = OPTION_CHOICE,
                         .choices = "linearizable|stale",
                         .unit = "HOW",
                         .meaning = "linearizable, or stale: what that member has, also alone",
                         .fallback = "linearizable"},
};

struct log_listing {
    const struct options *options;
    struct log_pages pages;
    bool is_begun;
    bool has_entries;
};

static const char *text_of(struct buf *b)
{
    buf_append_byte(b, 0);
    return (const char *)b->data;
}

/* Key and value, or what else there is to say. */
static void append_what(struct buf *line, const struct log_entry *e)
{
    output_append_safe(line, buf_slice(&e->key));
    if (e->value.size > 0) {
        buf_append_str(line, e->key.size > 0 ? " = " : "");
        output_append_safe(line, e->value);
    }
    if (e->revision.size > 0) {
        buf_append_str(line, "below revision ");
        output_append_safe(line, buf_slice(&e->revision));
    }
}

static void print_row(struct log_entry *e)
{
    struct buf line = {0};
    struct buf type = {0};
    output_append_safe(&type, buf_slice(&e->type));
    buf_printf(&line, "%-8s %-5s %-19s  %-8s ", text_of(&e->id), text_of(&e->term), e->time,
               text_of(&type));
    append_what(&line, e);
    while (line.size > 0 && line.data[line.size - 1] == ' ') {
        line.size--;
    }
    buf_append_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    buf_deinit(&type);
    buf_deinit(&line);
}

static void print_raw(const struct log_entry *e)
{
    const struct slice cells[] = {buf_slice(&e->id),   buf_slice(&e->term), buf_slice(&e->time_ms),
                                  buf_slice(&e->type), buf_slice(&e->key),  e->value};
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        fputs(i > 0 ? "\t" : "", stdout);
        fwrite(cells[i].size > 0 ? cells[i].data : (const uint8_t *)"", 1, cells[i].size, stdout);
    }
    putchar('\n');
}

static void print_entry(struct log_listing *l, struct slice json)
{
    enum output_format format = client_verb_format(l->options);
    if (format == OUTPUT_JSON) {
        fputs(l->has_entries ? "," : "", stdout);
        fwrite(json.data, 1, json.size, stdout);
    } else {
        struct log_entry e;
        log_entry_read(&e, json);
        if (format == OUTPUT_RAW) {
            print_raw(&e);
        } else {
            print_row(&e);
        }
        log_entry_deinit(&e);
    }
    l->has_entries = true;
}

/* Pages are joined: one JSON document, one heading, whatever the number of requests. */
static void print_page(struct log_listing *l, struct slice entries)
{
    if (!l->is_begun && client_verb_format(l->options) == OUTPUT_JSON) {
        fputs("{\"entries\":[", stdout);
    } else if (!l->is_begun && client_verb_format(l->options) == OUTPUT_TABLE) {
        printf("%-8s %-5s %-19s  %-8s %s\n", "ID", "TERM", "TIME", "TYPE", "KEY = VALUE");
    }
    l->is_begun = true;
    struct slice entry;
    while (json_text_next(&entries, &entry)) {
        print_entry(l, entry);
    }
}

/* Where the log is, when it is not where it was asked for. */
static bool complain_of_range(const struct log_listing *l, const struct client_answer *a)
{
    json_t *oldest = json_object_get(a->json, "oldest");
    json_t *newest = json_object_get(a->json, "newest");
    if (json_is_number(oldest)) {
        verb_complain(l->options,
                      "--from: the log begins at entry %.0f, a snapshot has taken the place of "
                      "those before (%s)",
                      json_number_value(oldest), a->url);
    } else if (json_is_number(newest)) {
        verb_complain(l->options, "--from: the log ends at entry %.0f (%s)",
                      json_number_value(newest), a->url);
    }
    return json_is_number(oldest) || json_is_number(newest);
}

static int list_page(struct log_listing *l)
{
    struct client_request request;
    struct client_answer a = {0};
    struct slice entries;
    enum status status = log_pages_fetch(&l->pages, &request, &a, &entries);
    int code = EXIT_DONE;
    if (status == STATUS_CORRUPT) {
        verb_complain(l->options, "%s answered something that is no log", a.url);
        code = EXIT_VERDICT;
    } else if ((status == STATUS_COMPACTED || status == STATUS_INVALID) &&
               complain_of_range(l, &a)) {
        code = status_exit_code(status);
    } else {
        code = client_verb_judge(l->options, status, &request, &a);
    }
    if (code == EXIT_DONE) {
        print_page(l, entries);
    }
    client_answer_deinit(&a);
    return code;
}

static int run_log(struct options *o)
{
    const struct log_pages_options pages = {
        .from = options_is_given(o, LOG_FROM) ? options_number(o, LOG_FROM) : 0,
        .limit = options_number(o, LOG_LIMIT),
        .consistency =
            options_is_given(o, LOG_CONSISTENCY) ? options_text(o, LOG_CONSISTENCY) : NULL,
    };
    struct client *c = client_verb_open(o);
    struct log_listing l = {.options = o};
    log_pages_init(&l.pages, c, &pages);
    int code = EXIT_DONE;
    while (code == EXIT_DONE && log_pages_has_more(&l.pages)) {
        code = list_page(&l);
    }
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_JSON) {
        puts("]}");
    }
    client_destroy(c);
    return code;
}

const struct verb verb_log = {
    .name = "log",
    .summary = "show entries of the replicated log",
    .details =
        "One entry a line, as every member has it: writes, deletes and what the members say among\n"
        "themselves; times are this machine's. An entry says what was asked for: a write whose\n"
        "condition did not hold is in the log, too. What a snapshot has taken the place of is\n"
        "gone; the message says where the log begins. -o raw: id, term, time in ms, type, key and\n"
        "value, with tabs between them.\n",
    .examples = "  conclave log                       # the last 20 entries\n"
                "  conclave log --from 1 --limit 1000\n"
                "  conclave log -o json | jq .entries\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_log,
};
