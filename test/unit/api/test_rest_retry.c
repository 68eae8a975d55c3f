/* Retries (rule K2b), changes that come too late (rule K6), and writes at a follower (rule R15):
 * Idempotency-Key, --on-follower. */
#include "rest_asserts.h"

#define WRITTEN(key, value, revision)                                                              \
    "{\"success\":true,\"key\":\"" key "\",\"value\":" value                                       \
    ",\"leaderId\":\"node-1\",\"revision\":" revision "}"
#define BAD_HEADER(why) "{\"error\":\"Bad header\",\"reason\":\"" why "\"}"
#define FORM            "Idempotency-Key is 1 to 128 visible ASCII characters"
#define LONG_KEY        "0123456789012345678901234567890123456789012345678901234567890123"

static void rule_k2b_a_retry_gets_the_first_answer_and_changes_nothing(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"PUT", "/key/a", "Idempotency-Key: r1\n", "1", 200, WRITTEN("a", "1", "2")},
        {"PUT", "/key/b", NULL, "2", 200, WRITTEN("b", "2", "3")},
        {"PUT", "/key/a", "Idempotency-Key: r1\n", "1", 200, WRITTEN("a", "1", "2")},
        {"PUT", "/key/b", NULL, "2", 200, WRITTEN("b", "2", "4")},
    };
    CHECK_EACH(rows);
}

static void rule_k2b_the_same_key_with_another_request_is_422(void **state)
{
    (void)state;
    check((struct expect){"PUT", "/key/a", "Idempotency-Key: r1\n", "1", 200,
                          WRITTEN("a", "1", "2")});
    static const struct expect rows[] = {
        {"PUT", "/key/a", "Idempotency-Key: r1\n", "2", 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
        {"PUT", "/key/b", "Idempotency-Key: r1\n", "1", 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
        {"DELETE", "/key/a", "Idempotency-Key: r1\n", NULL, 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
        {"PUT", "/key/a", "Idempotency-Key: r1\nIf-Match: *\n", "1", 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
    };
    CHECK_EACH(rows);
}

static void rule_k2b_what_is_no_key_is_refused(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"PUT", "/key/a", "Idempotency-Key: \n", "1", 400, BAD_HEADER(FORM)},
        {"PUT", "/key/a", "Idempotency-Key: a b\n", "1", 400, BAD_HEADER(FORM)},
        {"PUT", "/key/a", "Idempotency-Key: \xc3\xa4\n", "1", 400, BAD_HEADER(FORM)},
        {"PUT", "/key/a", "Idempotency-Key: " LONG_KEY LONG_KEY "x\n", "1", 400, BAD_HEADER(FORM)},
        {"PUT", "/key/a?ack=leader", "Idempotency-Key: x\n", "1", 400,
         BAD_HEADER("Idempotency-Key needs ack=quorum or ack=all")},
        {"PUT", "/key/a", "Idempotency-Key: " LONG_KEY LONG_KEY "\n", "1", 200,
         WRITTEN("a", "1", "2")},
    };
    CHECK_EACH(rows);
}

#define TOO_LATE                                                                                   \
    "{\"error\":\"Waited too long\",\"reason\":\"requests before it on its connection took all "   \
    "of "                                                                                          \
    "its time\"}"

static void
rule_k6_a_change_that_waited_past_its_deadline_is_refused_before_it_is_begun(void **state)
{
    (void)state;
    fake_waited_ms = FAKE_TIMEOUT_MS - 1;
    check((struct expect){"PUT", "/key/a", NULL, "1", 200, WRITTEN("a", "1", "2")});
    fake_waited_ms = FAKE_TIMEOUT_MS;
    static const struct expect rows[] = {
        {"PUT", "/key/a", NULL, "2", 503, TOO_LATE},
        {"DELETE", "/key/a", NULL, NULL, 503, TOO_LATE},
        {"POST", "/step-down", NULL, NULL, 503, TOO_LATE},
        {"DELETE", "/members/node-2", NULL, NULL, 503, TOO_LATE},
    };
    CHECK_EACH(rows);
    check((struct expect){"GET", "/key/a", NULL, NULL, 200,
                          "{\"key\":\"a\",\"value\":1,\"nodeRole\":\"leader\",\"revision\":2}"});
}

static void rule_r15_a_follower_refuses_by_default(void **state)
{
    (void)state;
    fake_become_follower("node-2");
    check((struct expect){"PUT", "/key/a", NULL, "1", 503,
                          "{\"error\":\"Not the leader\",\"currentRole\":\"follower\","
                          "\"leaderId\":\"node-2\",\"leaderUrl\":\"http://127.0.0.1:4002\"}"});
}

static void rule_r15_a_follower_redirects_where_the_leader_is_known(void **state)
{
    (void)state;
    fake_restart_on_follower(API_REDIRECT);
    fake_become_follower("node-2");
    struct asked *a = ask("PUT", "/key/a%20b?ack=all", NULL, slice_str("1"));
    assert_answered(a, 307,
                    "{\"error\":\"Not the leader\",\"currentRole\":\"follower\","
                    "\"leaderId\":\"node-2\",\"leaderUrl\":\"http://127.0.0.1:4002\"}");
    assert_same("headers", &a->extra, "Location: http://127.0.0.1:4002/key/a%20b?ack=all\r\n");
    forget(a);
    fake_become_follower("");
    check((struct expect){
        "PUT", "/key/a", NULL, "1", 503,
        "{\"error\":\"Not the leader\",\"currentRole\":\"follower\",\"leaderId\":\"Unknown\"}"});
}

static void rule_r15_a_follower_forwards_when_told_to(void **state)
{
    (void)state;
    for (int forwards = 0; forwards < 2; forwards++) {
        fake_restart_on_follower(forwards != 0 ? API_FORWARD : API_REJECT);
        struct asked *a = ask("PUT", "/key/a", NULL, slice_str("1"));
        assert_int_equal(fake_node.last_forward, forwards);
        fake_turn();
        forget(a);
    }
    fake_node.forwarded_to = "node-2";
    check((struct expect){"PUT", "/key/a", NULL, "1", 200,
                          "{\"success\":true,\"key\":\"a\",\"value\":1,\"leaderId\":\"node-2\","
                          "\"revision\":4}"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(rule_k2b_a_retry_gets_the_first_answer_and_changes_nothing),
        REST_TEST(rule_k2b_the_same_key_with_another_request_is_422),
        REST_TEST(rule_k2b_what_is_no_key_is_refused),
        REST_TEST(rule_k6_a_change_that_waited_past_its_deadline_is_refused_before_it_is_begun),
        REST_TEST(rule_r15_a_follower_refuses_by_default),
        REST_TEST(rule_r15_a_follower_redirects_where_the_leader_is_known),
        REST_TEST(rule_r15_a_follower_forwards_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
