/* cmd/ls.c - list keys, a page at a time. */
#include "base/mem.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

#define PAGE_KEYS             "1000"
#define PAGE_KEYS_WITH_VALUES "50"

struct listing {
    const struct options *options;
    struct client *client;
    struct buf after;  /* where the next page begins; empty when there is none */
    uint64_t revision; /* that all pages show; 0 before the first */
    bool is_begun;
    bool has_items;
};

static void make_target(const struct listing *l, struct buf *target)
{
    const struct options *o = l->options;
    buf_append_str(target, "/keys");
    client_verb_query(target, "limit",
                      options_is_on(o, LS_VALUES) ? PAGE_KEYS_WITH_VALUES : PAGE_KEYS);
    if (o->argument_count > 0 && o->arguments[0][0] != '\0') {
        client_verb_query(target, "prefix", o->arguments[0]);
    }
    if (options_is_on(o, LS_VALUES)) {
        client_verb_query(target, "values", "true");
    }
    if (options_is_given(o, LS_DELIMITER)) {
        client_verb_query(target, "delimiter", options_text(o, LS_DELIMITER));
    }
    if (options_is_given(o, LS_CONSISTENCY)) {
        client_verb_query(target, "consistency", options_text(o, LS_CONSISTENCY));
    }
    if (l->after.size > 0) {
        buf_append_str(target, "&after=");
        client_append_encoded(target, buf_slice(&l->after), true);
    }
    if (l->revision > 0) {
        buf_printf(target, "&revision=%" PRIu64, l->revision);
    }
}

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
    struct buf target = {0};
    make_target(l, &target);
    buf_clear(&l->after);
    const struct client_request request = {.method = "GET", .target = client_verb_target(&target)};
    struct client_answer a = {0};
    int code = client_verb_call(l->options, l->client, &request, &a);
    struct slice page = client_answer_text(&a);
    struct slice keys;
    struct slice more;
    if (code == EXIT_DONE && (a.json == NULL || !json_text_member(page, "keys", &keys))) {
        verb_complain(l->options, "%s answered something that is no list of keys", a.url);
        code = EXIT_VERDICT;
    } else if (code == EXIT_DONE) {
        print_page(l, keys);
        if (json_text_member(page, "more", &more) && slice_equal(more, slice_str("true"))) {
            client_verb_append_member(&l->after, page, "next");
            l->revision = l->revision > 0 ? l->revision : a.revision;
        }
    }
    client_answer_deinit(&a);
    buf_deinit(&target);
    return code;
}

static int run_ls(struct options *o)
{
    struct listing l = {.options = o, .client = client_verb_open(o)};
    int code;
    do {
        code = list_page(&l);
    } while (code == EXIT_DONE && l.after.size > 0);
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_JSON) {
        puts("]}");
    }
    buf_deinit(&l.after);
    client_destroy(l.client);
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
    .run = run_ls,
};
