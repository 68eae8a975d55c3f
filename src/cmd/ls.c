/* cmd/ls.c - list keys, a page at a time. */
#include "client/json_text.h"
#include "client/key_pages.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <stdio.h>

enum { LS_VALUES = CLIENT_ROWS, LS_DELIMITER, LS_CONSISTENCY, LS_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [LS_VALUES] = {.name = "values", .type = OPTION_BOOL, .meaning = "print values too"},
    [LS_DELIMITER] = {.name = "delimiter",
                      .type = OPTION_CHOICE,
                      .choices = "/",
                      .unit = "/",
                      .meaning = "fold keys below the next / into one line, as folders"},
    [LS_CONSISTENCY] = {.name = "consistency",
                        .type = OPTION_CHOICE,
                        .choices = "linearizable|stale",
                        .unit = "HOW",
                        .meaning = "linearizable, or stale: what that member has, also alone",
                        .fallback = "linearizable"},
};

struct listing {
    const struct options *options;
    struct key_pages pages;
    bool is_begun;
    bool has_items;
};

/* One key of a page: {key, revision, value?}, or for a folder {prefix}. */
static void print_item(const struct options *o, struct slice item)
{
    struct buf line = {0};
    client_verb_append_member(&line, item, "key");
    if (line.size == 0) {
        client_verb_append_member(&line, item, "prefix");
    }
    if (client_verb_format(o) == OUTPUT_TABLE) {
        struct buf safe = {0};
        output_append_safe(&safe, buf_slice(&line));
        buf_deinit(&line);
        line = safe;
    }
    struct slice value;
    if (json_text_member(item, "value", &value)) {
        buf_append_byte(&line, '\t');
        buf_append_slice(&line, value);
    }
    buf_append_byte(&line, '\n');
    fwrite(line.data, 1, line.size, stdout);
    buf_deinit(&line);
}

/* Pages are joined: one JSON document, whatever the number of requests. */
static void print_page(struct listing *l, struct slice keys)
{
    bool is_json = client_verb_format(l->options) == OUTPUT_JSON;
    if (is_json && !l->is_begun) {
        fputs("{\"keys\":[", stdout);
    }
    l->is_begun = true;
    struct slice item;
    while (json_text_next(&keys, &item)) {
        if (!is_json) {
            print_item(l->options, item);
            continue;
        }
        fputs(l->has_items ? "," : "", stdout);
        fwrite(item.data, 1, item.size, stdout);
        l->has_items = true;
    }
}

static int list_page(struct listing *l)
{
    struct client_request request;
    struct client_answer a = {0};
    struct slice items;
    enum status status = key_pages_fetch(&l->pages, &request, &a, &items);
    int code = EXIT_DONE;
    if (status == STATUS_CORRUPT) {
        verb_complain(l->options, "%s answered something that is no list of keys", a.url);
        code = EXIT_VERDICT;
    } else {
        code = client_verb_judge(l->options, status, &request, &a);
    }
    if (code == EXIT_DONE) {
        print_page(l, items);
    }
    client_answer_deinit(&a);
    return code;
}

static int run_ls(struct options *o)
{
    const struct key_pages_options pages = {
        .prefix = o->argument_count > 0 ? o->arguments[0] : "",
        .values = options_is_on(o, LS_VALUES),
        .delimiter = options_text(o, LS_DELIMITER),
        .consistency = options_is_given(o, LS_CONSISTENCY) ? options_text(o, LS_CONSISTENCY) : NULL,
    };
    struct client *c = client_verb_open(o);
    struct listing l = {.options = o};
    key_pages_init(&l.pages, c, &pages);
    int code = EXIT_DONE;
    while (code == EXIT_DONE && key_pages_has_more(&l.pages)) {
        code = list_page(&l);
    }
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_JSON) {
        puts("]}");
    }
    key_pages_deinit(&l.pages);
    client_destroy(c);
    return code;
}

const struct verb verb_ls = {
    .name = "ls",
    .arguments = "[PREFIX]",
    .summary = "list keys in byte order",
    .details =
        "One key a line; with --values, a tab and the value's JSON text after it. However long "
        "the\n"
        "list, it shows one revision of the store. Control characters in keys are shown as \\xNN,\n"
        "but for -o raw.\n",
    .examples = "  conclave ls\n"
                "  conclave ls user/ --values\n"
                "  conclave ls --delimiter /\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_max = 1,
    .prepare = client_verb_prepare,
    .run = run_ls,
};
