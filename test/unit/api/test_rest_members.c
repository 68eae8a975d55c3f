/* /members and what it changes: bodies, refusals, and what each outcome of the node says. */
#include "rest_asserts.h"

#include <stdio.h>

#define JOINT_FIELDS "\"joint\":false,\"committed\":true,\"index\":9}"
#define ONE_MEMBER                                                                                 \
    "{\"name\":\"node-1\",\"id\":\"0000000000000001\",\"url\":\"http://127.0.0.1:4001\","          \
    "\"role\":\"leader\",\"voter\":true,"                                                          \
    "\"incarnation\":\"abababab-abab-abab-abab-abababababab\"}"
#define ADD_FORM       "the body is {\\\"name\\\": NAME, \\\"url\\\": URL, \\\"learner\\\": false}"
#define BAD_BODY(form) "{\"error\":\"Bad request\",\"reason\":\"" form "\"}"

static struct node_membership_item *add(const char *name, const char *url, uint64_t id)
{
    struct node_membership *m = &fake_node.membership;
    struct node_membership_item *item = &m->items[m->count++];
    *item = (struct node_membership_item){.member.id = id, .voter = true};
    snprintf(item->member.name, sizeof(item->member.name), "%s", name);
    snprintf(item->member.url, sizeof(item->member.url), "%s", url);
    memset(item->member.incarnation.bytes, 0xab, sizeof(item->member.incarnation.bytes));
    return item;
}

static void set_one_member(void)
{
    fake_node.membership.index = 9;
    fake_node.membership.committed = true;
    (void)add("node-1", "http://127.0.0.1:4001", 1);
}

static void the_list_names_every_member_and_what_it_is(void **state)
{
    (void)state;
    set_one_member();
    struct node_membership_item *learner = add("node-2", "http://127.0.0.1:4002", 2);
    learner->voter = false;
    learner->learner = true;
    learner->stays_learner = true;
    struct node_membership_item *invited = add("node-3", "http://127.0.0.1:4003", 0);
    invited->voter = false;
    memset(invited->member.incarnation.bytes, 0, sizeof(invited->member.incarnation.bytes));
    struct node_membership_item *lost = add("node-4", "http://127.0.0.1:4004", 4);
    lost->replaced = true;
    lost->priority = 7;
    check((struct expect){
        "GET", "/members", NULL, NULL, 200,
        "{\"members\":[" ONE_MEMBER
        ",{\"name\":\"node-2\",\"id\":\"0000000000000002\",\"url\":\"http://127.0.0.1:4002\","
        "\"role\":\"learner\",\"voter\":false,"
        "\"incarnation\":\"abababab-abab-abab-abab-abababababab\",\"staysLearner\":true},"
        "{\"name\":\"node-3\",\"id\":\"0000000000000000\",\"url\":\"http://127.0.0.1:4003\","
        "\"role\":\"invited\",\"voter\":false,"
        "\"incarnation\":\"00000000-0000-0000-0000-000000000000\"},"
        "{\"name\":\"node-4\",\"id\":\"0000000000000004\",\"url\":\"http://127.0.0.1:4004\","
        "\"role\":\"follower\",\"voter\":true,"
        "\"incarnation\":\"abababab-abab-abab-abab-abababababab\",\"replaced\":true,"
        "\"priority\":7}]," JOINT_FIELDS});
}

static void rule_c8_a_change_answers_once_it_is_committed(void **state)
{
    (void)state;
    set_one_member();
    struct asked *a = ask("POST", "/members", NULL,
                          slice_str("{\"name\":\"n4\",\"url\":\"http://h:1\",\"learner\":true}"));
    assert_false(a->done);
    const struct node_change *c = fake_node.change;
    assert_int_equal(c->kind, NODE_CHANGE_ADD);
    assert_string_equal(c->name, "n4");
    assert_string_equal(c->url, "http://h:1");
    assert_true(c->learner);
    fake_turn();
    assert_answered(a, 200,
                    "{\"success\":true,\"name\":\"n4\",\"members\":[" ONE_MEMBER "]," JOINT_FIELDS);
    forget(a);
}

static void each_path_asks_for_its_own_change(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *target;
        const char *body;
        enum node_change_kind kind;
        const char *url;
    } rows[] = {
        {"DELETE", "/members/n2", NULL, NODE_CHANGE_REMOVE, ""},
        {"POST", "/members/n2/promote", NULL, NODE_CHANGE_PROMOTE, ""},
        {"POST", "/members/n2/replace", NULL, NODE_CHANGE_REPLACE, ""},
        {"POST", "/members/n2/replace", "{\"url\":\"http://h:2\"}", NODE_CHANGE_REPLACE,
         "http://h:2"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct asked *a = ask(rows[i].method, rows[i].target, NULL, body_of(rows[i].body));
        assert_non_null(fake_node.change);
        assert_int_equal(fake_node.change->kind, rows[i].kind);
        assert_string_equal(fake_node.change->name, "n2");
        assert_string_equal(fake_node.change->url, rows[i].url);
        hang_up(a); /* and the change is given up */
        assert_null(fake_node.change);
        forget(a);
    }
    assert_int_equal(fake_node.cancels, 4);
}

static void what_is_wrong_with_a_body_is_said(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/members", NULL, "{", 400, "{\"error\":\"Invalid JSON\"}"},
        {"POST", "/members", NULL, NULL, 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "[]", 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":\"x\"}", 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":1,\"url\":\"http://h:1\"}", 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"nme\":\"x\",\"url\":\"http://h:1\"}", 400,
         BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":\"x\",\"url\":\"http://h:1\",\"learner\":\"yes\"}",
         400, BAD_BODY(ADD_FORM)},
        {"POST", "/members/x/replace", NULL, "{\"name\":\"y\"}", 400,
         BAD_BODY("the body is {\\\"url\\\": URL} or empty")},
        {"DELETE", "/members/", NULL, NULL, 404,
         "{\"error\":\"No such member\",\"reason\":\"a name has 1 to 64 characters\"}"},
        {"POST", "/members//promote", NULL, NULL, 404,
         "{\"error\":\"No such member\",\"reason\":\"a name has 1 to 64 characters\"}"},
        {"POST", "/members/x/demote", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"POST", "/members/promote", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
    };
    CHECK_EACH(rows);
}

static void what_is_json_is_not_called_invalid_json(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/members", NULL, "null", 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "7", 400, BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":\"x\\u0000y\",\"url\":\"http://h:1\"}", 400,
         BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"na\\u0000me\":\"x\",\"url\":\"http://h:1\"}", 400,
         BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":99999999999999999999,\"url\":\"http://h:1\"}", 400,
         BAD_BODY(ADD_FORM)},
        {"POST", "/members", NULL, "{\"name\":\"\\ud800\"}", 400, "{\"error\":\"Invalid JSON\"}"},
    };
    CHECK_EACH(rows);
    assert_null(fake_node.change);
}

static void a_field_that_is_there_twice_is_refused(void **state)
{
    (void)state;
    check((struct expect){"POST", "/members", NULL,
                          "{\"name\":\"x\",\"url\":\"http://h:1\",\"url\":\"http://g:1\"}", 400,
                          BAD_BODY("a field is there twice; " ADD_FORM)});
    check((struct expect){
        "POST", "/members/x/replace", NULL, "{\"url\":\"http://h:1\",\"url\":\"http://h:1\"}", 400,
        BAD_BODY("a field is there twice; the body is {\\\"url\\\": URL} or empty")});
    assert_null(fake_node.change);
}

static void rule_c4_refusals_say_why(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_NOT_FOUND, 404, "{\"error\":\"No such member\",\"reason\":\"because\"}"},
        {STATUS_CONFLICT, 409, "{\"error\":\"Conflict\",\"reason\":\"because\"}"},
        {STATUS_INVALID, 400, "{\"error\":\"Bad request\",\"reason\":\"because\"}"},
        {STATUS_BUSY, 409, "{\"error\":\"Another change is under way\",\"reason\":\"because\"}"},
        {STATUS_BEHIND, 409, "{\"error\":\"Not caught up\",\"reason\":\"because\"}"},
        {STATUS_NO_QUORUM, 503, "{\"error\":\"No quorum\",\"reason\":\"because\"}"},
        {STATUS_UNKNOWN, 504, "{\"error\":\"Outcome unknown\"}"},
        {STATUS_OVERLOADED, 429, "{\"error\":\"overloaded\"}"},
    };
    fake_node.change_why = "because";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.change_start = STATUS_OK;
        fake_node.change_outcome = rows[i].status;
        check((struct expect){"POST", "/members/n/promote", NULL, NULL, rows[i].http_status,
                              rows[i].answer});
        fake_node.change_start = rows[i].status; /* the same, at once */
        check((struct expect){"POST", "/members/n/promote", NULL, NULL, rows[i].http_status,
                              rows[i].answer});
    }
}

static void a_follower_names_the_leader(void **state)
{
    (void)state;
    fake_become_follower("node-2");
    fake_node.change_start = STATUS_NOT_LEADER;
    check((struct expect){"DELETE", "/members/n", NULL, NULL, 503,
                          "{\"error\":\"Not the leader\",\"currentRole\":\"follower\","
                          "\"leaderId\":\"node-2\",\"leaderUrl\":\"http://127.0.0.1:4002\"}"});
}

static void pages_of_other_origins_may_not_administer(void **state)
{
    (void)state;
    static const char *const asks[][2] = {{"GET", "/members"},
                                          {"POST", "/members"},
                                          {"DELETE", "/members/x"},
                                          {"POST", "/members/x/promote"},
                                          {"GET", "/snapshot"}};
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        check((struct expect){asks[i][0], asks[i][1], "Origin: http://evil.example\n", NULL, 403,
                              "{\"error\":\"Foreign origin\",\"reason\":\"a web page of another "
                              "origin may not administer\"}"});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(the_list_names_every_member_and_what_it_is),
        REST_TEST(rule_c8_a_change_answers_once_it_is_committed),
        REST_TEST(each_path_asks_for_its_own_change),
        REST_TEST(what_is_wrong_with_a_body_is_said),
        REST_TEST(what_is_json_is_not_called_invalid_json),
        REST_TEST(a_field_that_is_there_twice_is_refused),
        REST_TEST(rule_c4_refusals_say_why),
        REST_TEST(a_follower_names_the_leader),
        REST_TEST(pages_of_other_origins_may_not_administer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
