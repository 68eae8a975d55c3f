/* cmd/get.c - read one key. */
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum { GET_CONSISTENCY = CLIENT_ROWS, GET_REVISION, GET_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [GET_CONSISTENCY] = {.name = "consistency",
                         .type = OPTION_CHOICE,
                         .choices = "linearizable|stale",
                         .unit = "HOW",
                         .meaning = "linearizable, or stale: what that member has, also alone",
                         .fallback = "linearizable"},
    [GET_REVISION] = {.name = "revision",
                      .type = OPTION_INTEGER,
                      .unit = "N",
                      .meaning = "the value as it was at this revision of the store",
                      .min = 1},
};

static void print_value(const struct options *o, const struct client_answer *a)
{
    struct slice value;
    if (client_verb_format(o) == OUTPUT_JSON ||
        !json_text_member(client_answer_text(a), "value", &value)) {
        client_verb_print_json(a);
        return;
    }
    fwrite(value.data, 1, value.size, stdout);
    if (client_verb_format(o) == OUTPUT_TABLE) {
        putchar('\n');
    }
}

static int run_get(struct options *o)
{
    struct buf target = {0};
    int code = client_verb_key_target(o, o->arguments[0], &target);
    if (code == EXIT_DONE) {
        if (options_is_given(o, GET_CONSISTENCY)) {
            client_verb_query(&target, "consistency", options_text(o, GET_CONSISTENCY));
        }
        if (options_is_given(o, GET_REVISION)) {
            client_verb_query(&target, "revision", options_text(o, GET_REVISION));
        }
        const struct client_request request = {.method = "GET",
                                               .target = client_verb_target(&target)};
        struct client *c = client_verb_open(o);
        struct client_answer a = {0};
        code = client_verb_call(o, c, &request, &a);
        if (code == EXIT_DONE) {
            print_value(o, &a);
        }
        client_answer_deinit(&a);
        client_destroy(c);
    }
    buf_deinit(&target);
    return code;
}

const struct verb verb_get = {
    .name = "get",
    .arguments = "KEY",
    .summary = "read a key",
    .details = "Prints the value's JSON text as it was stored (a string with its quotes) and a\n"
               "newline; -o raw leaves out the newline, -o json prints the whole answer.\n"
               "A key that is not there: exit code 3, and nothing on stdout.\n",
    .examples = "  conclave get name\n"
                "  conclave get name -o json          # with its revision\n"
                "  conclave get a -o raw | conclave put b -\n"
                "  conclave get name --consistency stale\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_min = 1,
    .arguments_max = 1,
    .prepare = client_verb_prepare,
    .run = run_get,
};
