/* cmd/member_verbs.c - who takes part: `members` lists them, `member add|remove|promote|replace`
 * changes them (rules C1 to C9). */
#include "client/json_text.h"
#include "cmd/client_verb.h"
#include "cmd/verbs.h"

#include <stdio.h>
#include <string.h>

/* --- the list --------------------------------------------------------------------------------- */

static const char *yes_or_no(const json_t *member, const char *name)
{
    return json_is_true(json_object_get(member, name)) ? "yes" : "no";
}

static const char *note_of(const json_t *member)
{
    if (json_is_true(json_object_get(member, "replaced"))) {
        return "replaced";
    }
    return json_is_true(json_object_get(member, "staysLearner")) ? "stays learner" : NULL;
}

static void print_members(const json_t *answer)
{
    static const char *const heading[] = {"NAME", "ID", "URL", "ROLE", "VOTER", "NOTE"};
    struct table t = {0};
    table_add(&t, heading, 6);
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(answer, "members"), i, member)
    {
        const char *const cells[] = {
            json_string_value(json_object_get(member, "name")),
            json_string_value(json_object_get(member, "id")),
            json_string_value(json_object_get(member, "url")),
            json_string_value(json_object_get(member, "role")),
            yes_or_no(member, "voter"),
            note_of(member),
        };
        table_add(&t, cells, 6);
    }
    table_print(&t, stdout);
}

/* Ask, and show the members that the answer lists. */
static int call_and_show(const struct options *o, const struct client_request *request)
{
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    int code = client_verb_call(o, c, request, &a);
    if (code == EXIT_DONE && client_verb_format(o) != OUTPUT_TABLE) {
        client_verb_print_json(&a);
    } else if (code == EXIT_DONE) {
        print_members(a.json);
    }
    if (code == EXIT_DONE && json_is_true(json_object_get(a.json, "joint"))) {
        verb_complain(o, "a change is under way: decisions need a majority of the old voters and "
                         "one of the new");
    }
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

static int run_members(struct options *o)
{
    return call_and_show(o, &(struct client_request){.method = "GET", .target = "/members"});
}

/* --- changes ---------------------------------------------------------------------------------- */

enum { ADD_LEARNER = CLIENT_ROWS, ADD_ROWS };

static int change(const struct options *o, const char *method, const char *target,
                  const struct buf *body)
{
    const struct client_request request = {.method = method,
                                           .target = target,
                                           .headers = "Content-Type: application/json\r\n",
                                           .body = buf_slice(body),
                                           .is_write = true};
    return call_and_show(o, &request);
}

/* `,"name":"text"`; false when it is not UTF-8. */
static bool append_field(struct buf *body, const char *name, const char *text)
{
    buf_append_str(body, body->size == 0 ? "{\"" : ",\"");
    buf_append_str(body, name);
    buf_append_str(body, "\":");
    return json_text_quote(slice_str(text), body) == STATUS_OK;
}

static int run_add(struct options *o)
{
    struct buf body = {0};
    int code;
    if (append_field(&body, "name", o->arguments[0]) &&
        append_field(&body, "url", o->arguments[1])) {
        buf_append_str(&body, options_is_on(o, ADD_LEARNER) ? ",\"learner\":true}"
                                                            : ",\"learner\":false}");
        code = change(o, "POST", "/members", &body);
    } else {
        code = verb_refuse(o, "NAME and URL are text in UTF-8");
    }
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_TABLE) {
        fprintf(stderr,
                "%s may join. Start it there: %s server --name %s --listen HOST:PORT --join URL "
                "of any member\n",
                o->arguments[0], verb_program(), o->arguments[0]);
    }
    buf_deinit(&body);
    return code;
}

/* A change of the member in the first argument; `tail` follows its name in the path. */
static int change_named(struct options *o, const char *method, const char *tail,
                        const struct buf *body)
{
    struct buf target = {0};
    buf_append_str(&target, "/members/");
    client_append_encoded(&target, slice_str(o->arguments[0]), false);
    buf_append_str(&target, tail);
    int code = change(o, method, client_verb_target(&target), body);
    buf_deinit(&target);
    return code;
}

static int run_remove(struct options *o)
{
    return change_named(o, "DELETE", "", &(struct buf){0});
}

static int run_promote(struct options *o)
{
    return change_named(o, "POST", "/promote", &(struct buf){0});
}

static int run_replace(struct options *o)
{
    struct buf body = {0};
    int code = EXIT_DONE;
    if (o->argument_count > 1) {
        if (append_field(&body, "url", o->arguments[1])) {
            buf_append_str(&body, "}");
        } else {
            code = verb_refuse(o, "URL is text in UTF-8");
        }
    }
    if (code == EXIT_DONE) {
        code = change_named(o, "POST", "/replace", &body);
    }
    if (code == EXIT_DONE && client_verb_format(o) == OUTPUT_TABLE) {
        fprintf(stderr,
                "%s may come back with an empty directory: %s server --name %s --data NEW_DIR "
                "--join URL of any member\n",
                o->arguments[0], verb_program(), o->arguments[0]);
    }
    buf_deinit(&body);
    return code;
}

/* --- the tables ------------------------------------------------------------------------------- */

static const struct option rows[] = {CLIENT_OPTION_ROWS};
static const struct option add_rows[] = {
    CLIENT_OPTION_ROWS,
    [ADD_LEARNER] = {.name = "learner",
                     .type = OPTION_BOOL,
                     .meaning = "it stays a learner until `member promote`",
                     .fallback = "false"},
};

#define CLIENT_OPTIONS .options = rows, .option_count = sizeof(rows) / sizeof(rows[0])
#define NAME_ARGUMENT  .arguments = "NAME", .arguments_min = 1, .arguments_max = 1

static const struct verb verbs[] = {
    {.name = "add",
     .summary = "let a new member join",
     .arguments = "NAME URL",
     .arguments_min = 2,
     .arguments_max = 2,
     .details = "It receives everything as a learner first, and votes once it has caught up.\n"
                "`server --join` alone does the same; `add` reserves the place, or keeps it a\n"
                "learner.\n",
     .examples = "  conclave member add node-4 http://10.0.0.4:4000\n",
     .options = add_rows,
     .option_count = sizeof(add_rows) / sizeof(add_rows[0]),
     .prepare = client_verb_prepare,
     .run = run_add},
    {.name = "remove",
     NAME_ARGUMENT,
     .summary = "take a member out of the cluster for good",
     .details =
         "It stops by itself once it hears of it. Its data directory cannot be used again.\n",
     .examples = "  conclave member remove node-4\n",
     CLIENT_OPTIONS,
     .prepare = client_verb_prepare,
     .run = run_remove},
    {.name = "promote",
     NAME_ARGUMENT,
     .summary = "make a learner a voter",
     .details = "Refused as long as it has not caught up.\n",
     .examples = "  conclave member promote node-4\n",
     CLIENT_OPTIONS,
     .prepare = client_verb_prepare,
     .run = run_promote},
    {.name = "replace",
     .arguments = "NAME [URL]",
     .arguments_min = 1,
     .arguments_max = 2,
     .summary = "let a member come back whose disk was lost",
     .details =
         "An empty directory may then join under the old name. It takes the old one's place\n"
         "once it has caught up; until then the old one counts as a voter that is away.\n",
     .examples = "  conclave member replace node-2\n",
     CLIENT_OPTIONS,
     .prepare = client_verb_prepare,
     .run = run_replace},
};

const struct verb verb_members = {
    .name = "members",
    .summary = "list who takes part: voters, learners, invited ones",
    .details = "As the log has it, whether they are up or not; `status` asks them how they are.\n",
    .examples = "  conclave members\n",
    CLIENT_OPTIONS,
    .prepare = client_verb_prepare,
    .run = run_members,
};

const struct verb verb_member = {
    .name = "member",
    .summary = "add, remove, promote or replace a member",
    .children = verbs,
    .child_count = sizeof(verbs) / sizeof(verbs[0]),
};
