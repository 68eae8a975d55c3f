/* cmd/del.c - delete one key. */
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

enum { DEL_IF_MATCH = CLIENT_ROWS, DEL_ACK, DEL_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [DEL_IF_MATCH] = {.name = "if-match",
                      .type = OPTION_TEXT,
                      .unit = "REVISION",
                      .meaning = "delete only if the key is at this revision"},
    [DEL_ACK] = {.name = "ack",
                 .type = OPTION_CHOICE,
                 .choices = "leader|quorum|all",
                 .unit = "WHO",
                 .meaning = "wait for leader, quorum or all; if not given, as the member is set"},
};

static int run_del(struct options *o)
{
    struct buf target = {0};
    struct buf headers = {0};
    int code = client_verb_key_target(o, o->arguments[0], &target);
    if (code == EXIT_DONE) {
        code = client_verb_conditions(o, options_text(o, DEL_IF_MATCH), NULL, &headers);
    }
    if (code == EXIT_DONE) {
        if (options_text(o, DEL_ACK) != NULL) {
            client_verb_query(&target, "ack", options_text(o, DEL_ACK));
        }
        buf_append_byte(&headers, 0);
        const struct client_request request = {.method = "DELETE",
                                               .target = client_verb_target(&target),
                                               .headers = (const char *)headers.data,
                                               .is_write = true};
        struct client *c = client_verb_open(o);
        struct client_answer a = {0};
        code = client_verb_call(o, c, &request, &a);
        if (code == EXIT_DONE) {
            client_verb_print_change(o, &a);
        }
        client_answer_deinit(&a);
        client_destroy(c);
    }
    buf_deinit(&target);
    buf_deinit(&headers);
    return code;
}

const struct verb verb_del = {
    .name = "del",
    .arguments = "KEY",
    .summary = "delete a key",
    .details = "Prints the revision of the deletion. A key that is not there: exit code 3.\n",
    .examples = "  conclave del name\n"
                "  conclave del name --if-match 7\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_min = 1,
    .arguments_max = 1,
    .prepare = client_verb_prepare,
    .run = run_del,
};
