/* cmd/status_verb.c - the members of the cluster, as whoever answers sees them. */
#include "cmd/client_verb.h"
#include "cmd/member_table.h"
#include "cmd/verbs.h"

#include <stdio.h>

static const struct option rows[] = {CLIENT_OPTION_ROWS};

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void print_members(const json_t *answer)
{
    static const char *const heading[] = {"NAME", "URL", "ROLE", "TERM", "LAG", "LAST CONTACT"};
    struct table t = {0};
    table_add(&t, heading, 6);
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(answer, "cluster"), i, member)
    {
        struct member_texts texts;
        member_table_texts(member, &texts);
        const char *const cells[] = {
            json_string_value(json_object_get(member, "id")),
            texts.url,
            texts.role,
            text_or_null(texts.term),
            text_or_null(texts.lag),
            text_or_null(texts.contact),
        };
        table_add(&t, cells, 6);
    }
    table_print(&t, stdout);
}

static int judge(const struct options *o, const char *url, const json_t *answer)
{
    if (json_is_true(json_object_get(answer, "insecure"))) {
        verb_complain(o,
                      "%s is open to other machines without a cluster secret or certificates "
                      "(--insecure): anyone who reaches it can join, forge and delete",
                      url);
    }
    struct member_summary s = member_table_summary(answer);
    if (s.leader == NULL) {
        verb_complain(o, "no member leads: writes wait until a majority of the %zu is back",
                      s.count);
        return EXIT_VERDICT;
    }
    if (s.online < s.count) {
        verb_complain(o, "%zu of %zu members do not answer", s.count - s.online, s.count);
        return EXIT_VERDICT;
    }
    return EXIT_DONE;
}

static int run_status(struct options *o)
{
    const struct client_request request = {.method = "GET", .target = "/cluster"};
    struct client *c = client_verb_open(o);
    struct client_answer a = {0};
    int code = client_verb_call(o, c, &request, &a);
    if (code == EXIT_DONE && json_is_array(json_object_get(a.json, "cluster"))) {
        if (client_verb_format(o) == OUTPUT_TABLE) {
            print_members(a.json);
        } else {
            client_verb_print_json(&a);
        }
        code = judge(o, a.url, a.json);
    } else if (code == EXIT_DONE) {
        verb_complain(o, "%s answered something that is no list of members", a.url);
        code = EXIT_VERDICT;
    }
    client_answer_deinit(&a);
    client_destroy(c);
    return code;
}

const struct verb verb_status = {
    .name = "status",
    .summary = "show the members: who leads, who lags, who is away",
    .details = "Exit code 0: there is a leader and every member answers; 1: not so.\n"
               "LAG counts the log entries that a member has yet to apply.\n",
    .examples = "  conclave status\n"
                "  conclave status -o json --endpoints http://10.0.0.1:4000\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .prepare = client_verb_prepare,
    .run = run_status,
};
