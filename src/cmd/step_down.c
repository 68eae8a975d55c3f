/* cmd/step_down.c - make the leader hand leadership over. */
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <stdio.h>

enum { STEP_DOWN_TO = CLIENT_ROWS, STEP_DOWN_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [STEP_DOWN_TO] = {.name = "to",
                      .type = OPTION_TEXT,
                      .unit = "NODE",
                      .meaning = "who shall lead; if not given, whoever is best caught up"},
};

static int run_step_down(struct options *o)
{
    struct buf body = {0};
    const char *to = options_text(o, STEP_DOWN_TO);
    buf_append_str(&body, "{");
    if (to != NULL) {
        buf_append_str(&body, "\"to\":");
        if (json_text_quote(slice_str(to), &body) != STATUS_OK) {
            buf_deinit(&body);
            return verb_refuse(o, "--to: not a member's name");
        }
    }
    buf_append_str(&body, "}");
    const struct client_request request = {.method = "POST",
                                           .target = "/step-down",
                                           .headers = "Content-Type: application/json\r\n",
                                           .body = buf_slice(&body),
                                           .is_write = true};
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    int code = client_verb_call(o, c, &request, &a);
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_JSON) {
        client_verb_print_json(&a);
    } else if (code == EXIT_DONE) {
        const char *message = client_answer_string(&a, "message");
        puts(message != NULL ? message : "ok");
    }
    client_answer_deinit(&a);
    client_destroy(c);
    buf_deinit(&body);
    return code;
}

const struct verb verb_step_down = {
    .name = "step-down",
    .summary = "make the leader hand leadership over",
    .details = "Returns once another member leads. If nobody is caught up, nothing changes.\n",
    .examples = "  conclave step-down\n"
                "  conclave step-down --to node-2\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_step_down,
};
