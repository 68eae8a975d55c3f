/* cmd/put.c - write one key. */
#include "base/limits.h"
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <string.h>

enum { PUT_IF_MATCH = CLIENT_ROWS, PUT_IF_NONE_MATCH, PUT_ACK, PUT_ROWS };

static const struct option rows[] = {
    CLIENT_OPTION_ROWS,
    [PUT_IF_MATCH] = {.name = "if-match",
                      .type = OPTION_TEXT,
                      .unit = "REVISION",
                      .meaning =
                          "write only if the key is at this revision; * = only if it exists"},
    [PUT_IF_NONE_MATCH] = {.name = "if-none-match",
                           .type = OPTION_CHOICE,
                           .choices = "*",
                           .unit = "'*'",
                           .meaning = "write only if the key does not exist"},
    [PUT_ACK] = {.name = "ack",
                 .type = OPTION_CHOICE,
                 .choices = "leader|quorum|all",
                 .unit = "WHO",
                 .meaning = "wait for leader, quorum or all; if not given, as the member is set"},
};

/* The value from the argument or, for "-", from stdin, whole and unchanged. */
static int read_value(const struct options *o, const char *argument, struct buf *value)
{
    if (strcmp(argument, "-") != 0) {
        buf_append_str(value, argument);
        return EXIT_DONE;
    }
    size_t got;
    do {
        got = fread(buf_reserve(value, 64 * KIB), 1, 64 * KIB, stdin);
        value->size += got;
    } while (got > 0 && value->size <= LIMIT_VALUE_BYTES_MAX);
    if (value->size > LIMIT_VALUE_BYTES_MAX) {
        return verb_refuse(o, "the value on stdin is larger than %u MiB",
                           LIMIT_VALUE_BYTES_MAX / MIB);
    }
    return EXIT_DONE;
}

static int send_value(struct options *o, const char *target, const char *headers, struct slice body)
{
    const struct client_request request = {
        .method = "PUT", .target = target, .headers = headers, .body = body, .is_write = true};
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    int code = client_verb_call(o, c, &request, &a);
    if (code == EXIT_DONE) {
        client_verb_print_change(o, &a);
    }
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

static int run_put(struct options *o)
{
    struct buf target = {0};
    struct buf headers = {0};
    struct buf value = {0};
    struct buf body = {0};
    int code = client_verb_key_target(o, o->arguments[0], &target);
    if (code == EXIT_DONE) {
        code = client_verb_conditions(o, options_text(o, PUT_IF_MATCH),
                                      options_text(o, PUT_IF_NONE_MATCH), &headers);
    }
    if (code == EXIT_DONE) {
        code = read_value(o, o->arguments[1], &value);
    }
    if (code == EXIT_DONE && json_text_from_user(buf_slice(&value), &body) != STATUS_OK) {
        code = verb_refuse(o, "the value is neither JSON nor UTF-8 text");
    }
    if (code == EXIT_DONE) {
        if (options_text(o, PUT_ACK) != NULL) {
            client_verb_query(&target, "ack", options_text(o, PUT_ACK));
        }
        buf_append_str(&headers, "Content-Type: application/json\r\n");
        buf_append_byte(&headers, 0);
        code = send_value(o, client_verb_target(&target), (const char *)headers.data,
                          buf_slice(&body));
    }
    buf_deinit(&target);
    buf_deinit(&headers);
    buf_deinit(&value);
    buf_deinit(&body);
    return code;
}

const struct verb verb_put = {
    .name = "put",
    .arguments = "KEY VALUE",
    .summary = "write a key",
    .details =
        "A VALUE that is JSON is stored as it is; anything else is stored as a JSON string.\n"
        "- reads the value from stdin, to its last byte. Prints the revision of the write.\n",
    .examples = "  conclave put name Alice            # stored as \"Alice\"\n"
                "  conclave put age 30                # stored as the number\n"
                "  conclave put user/1 '{\"name\":\"Alice\"}'\n"
                "  conclave put config - < config.json\n"
                "  conclave put name Bob --if-match 7 # only if nobody changed it since\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .arguments_min = 2,
    .arguments_max = 2,
    .prepare = client_verb_prepare,
    .run = run_put,
};
