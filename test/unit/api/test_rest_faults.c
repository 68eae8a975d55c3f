/* /faults: who may, what is read, and every body that is refused. Rows F4, B15. */
#include "rest_asserts.h"

#include <stdio.h>
#include <string.h>

#define NONE "{\"delayMs\":0,\"drop\":0,\"partition\":[],\"links\":{},\"diskDelayMs\":0}"
#define ALL                                                                                        \
    "{\"delayMs\":100,\"drop\":0.1,\"partition\":[\"node-3\"],\"links\":{\"node-2\":"              \
    "{\"delayMs\":0,\"drop\":1,\"partition\":true},\"node-3\":{\"partition\":false}},"             \
    "\"diskDelayMs\":20}"
#define FORM                                                                                       \
    "the body is {\\\"delayMs\\\": MS, \\\"drop\\\": 0 to 1, \\\"partition\\\": [NAME], "          \
    "\\\"links\\\": {NAME: {\\\"delayMs\\\", \\\"drop\\\", \\\"partition\\\": true}}, "            \
    "\\\"diskDelayMs\\\": MS}, each of them optional"
#define BAD(reason) "{\"error\":\"Bad request\",\"reason\":\"" reason "\"}"
#define CLOSED                                                                                     \
    "{\"error\":\"Faults are not enabled\",\"reason\":\"start this member with --enable-faults\"}"

static void check_faults(const char *method, const char *body, int status, const char *answer)
{
    check((struct expect){method, "/faults", NULL, body, status, answer});
}

static void row_f4_without_the_flag_faults_are_403(void **state)
{
    (void)state;
    check_faults("GET", NULL, 403, CLOSED);
    check_faults("POST", "{\"delayMs\":100}", 403, CLOSED);
    check_faults("POST", "nonsense", 403, CLOSED);
    check_faults("DELETE", NULL, 403, CLOSED);
    assert_true(fault_set_is_empty(&fake_node.faults));
}

static void row_f4_a_set_is_replaced_shown_and_cleared(void **state)
{
    (void)state;
    fake_restart_with_faults();
    check_faults("GET", NULL, 200, NONE);
    check_faults("POST", ALL, 200, ALL);
    check_faults("GET", NULL, 200, ALL);
    const struct fault_set *s = &fake_node.faults;
    assert_int_equal(s->delay_ms, 100);
    assert_int_equal(s->drop, FAULT_DROP_ALL / 10);
    assert_int_equal(s->disk_delay_ms, 20);
    assert_true(fault_set_of(s, "node-2").is_cut);
    assert_false(fault_set_of(s, "node-3").is_cut);
    check_faults("POST", "{\"drop\":0.000001}", 200,
                 "{\"delayMs\":0,\"drop\":1e-06,\"partition\":[],\"links\":{},\"diskDelayMs\":0}");
    check_faults("DELETE", NULL, 200, NONE);
    check_faults("POST", ALL, 200, ALL);
    check_faults("POST", "{}", 200, NONE);
}

static void each_bad_body_is_400_names_its_field_and_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *answer;
    } cases[] = {
        {"", BAD(FORM)},
        {"[]", BAD(FORM)},
        {"{\"delayMs\":1,\"delayMs\":2}", BAD("a field is there twice; " FORM)},
        {"{bad", "{\"error\":\"Invalid JSON\"}"},
        {"{\"delay\":1}", BAD("there is no \\\"delay\\\"; " FORM)},
        {"{\"delayMs\":-1}", BAD("delayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"delayMs\":60001}", BAD("delayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"delayMs\":1.5}", BAD("delayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"delayMs\":\"1\"}", BAD("delayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"diskDelayMs\":60001}",
         BAD("diskDelayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"drop\":1.01}", BAD("drop is a number from 0 to 1")},
        {"{\"drop\":-0.1}", BAD("drop is a number from 0 to 1")},
        {"{\"drop\":true}", BAD("drop is a number from 0 to 1")},
        {"{\"partition\":\"node-3\"}", BAD("partition is a list of members' names")},
        {"{\"partition\":[3]}", BAD("partition is a list of members' names")},
        {"{\"partition\":[\"node-9\"]}", BAD("partition: \\\"node-9\\\" is no other member")},
        {"{\"partition\":[\"node-1\"]}", BAD("partition: \\\"node-1\\\" is no other member")},
        {"{\"partition\":[\"node-3\\u0000\"]}",
         BAD("partition: \\\"node-3\\\" is no other member")},
        {"{\"partition\":[\"node-3\",\"node-3\"]}", BAD("partition names node-3 twice")},
        {"{\"links\":[]}", BAD("links is an object with a member's name for each field")},
        {"{\"links\":{\"node-9\":{}}}", BAD("links: \\\"node-9\\\" is no other member")},
        {"{\"links\":{\"node-3\":1}}",
         BAD("links: node-3 is an object with delayMs, drop, partition")},
        {"{\"links\":{\"node-3\":{\"partition\":[]}}}",
         BAD("partition of a link is true or false")},
        {"{\"links\":{\"node-3\":{\"drop\":2}}}", BAD("drop is a number from 0 to 1")},
        {"{\"links\":{\"node-3\":{\"delayMs\":-1}}}",
         BAD("delayMs is a whole number of milliseconds from 0 to 60000")},
        {"{\"links\":{\"node-3\":{\"diskDelayMs\":1}}}",
         BAD("a link has no field \\\"diskDelayMs\\\"; it has delayMs, drop and partition")},
        {"{\"delayMs\":5,\"links\":{\"node-3\":{},\"node-3\":{}}}",
         BAD("a field is there twice; " FORM)},
    };
    fake_restart_with_faults();
    check_faults("POST", ALL, 200, ALL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_faults("POST", cases[i].body, 400, cases[i].answer);
    }
    check_faults("GET", NULL, 200, ALL);
}

static void a_page_of_another_origin_sets_no_faults(void **state)
{
    (void)state;
    fake_restart_with_faults();
    struct asked *a =
        ask("POST", "/faults", "Origin: http://evil.example\n", slice_str("{\"drop\":1}"));
    assert_int_equal(a->status, 403);
    forget(a);
    assert_true(fault_set_is_empty(&fake_node.faults));
}

static void set_faults_are_told_in_status_and_metrics(void **state)
{
    (void)state;
    struct asked *a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_null(memmem(a->body.data, a->body.size, "\"faults\"", 8));
    forget(a);
    fake_node.status.faults = true;
    fake_node.metrics.fault_drops = 7;
    a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_non_null(memmem(a->body.data, a->body.size, ",\"faults\":true}", 15));
    forget(a);
    a = ask("GET", "/metrics", NULL, slice_of(NULL, 0));
    static const char set[] = "\nconclave_faults_set 1\n";
    static const char drops[] = "\nconclave_fault_drops_total 7\n";
    assert_non_null(memmem(a->body.data, a->body.size, set, strlen(set)));
    assert_non_null(memmem(a->body.data, a->body.size, drops, strlen(drops)));
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_f4_without_the_flag_faults_are_403),
        REST_TEST(row_f4_a_set_is_replaced_shown_and_cleared),
        REST_TEST(each_bad_body_is_400_names_its_field_and_changes_nothing),
        REST_TEST(a_page_of_another_origin_sets_no_faults),
        REST_TEST(set_faults_are_told_in_status_and_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
