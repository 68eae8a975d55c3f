/* POST /txn, and PUT /key/{key}?ttl=. */
#include "rest_asserts.h"

#include <stdio.h>

#define BAD(reason) "{\"error\":\"Bad request\",\"reason\":\"" reason "\"}"
#define FORM_BODY                                                                                  \
    BAD("the body is {\\\"compare\\\":[...], \\\"then\\\":[...], "                                 \
        "\\\"else\\\":[...]}")
#define FORM_COMPARE                                                                               \
    "is {\\\"key\\\":KEY, \\\"revision\\\"|\\\"version\\\"|\\\"createRevision\\\"|"                \
    "\\\"value\\\":V, \\\"is\\\":\\\"=\\\"|\\\"!=\\\"|\\\"<\\\"|\\\">\\\"}"
#define FORM_OP                                                                                    \
    "is {\\\"put\\\":KEY, \\\"value\\\":V}, {\\\"delete\\\":KEY} or {\\\"get\\\":KEY}; for KEY "   \
    "also {\\\"key\\\":KEY} or, not for a put, {\\\"prefix\\\":PREFIX}"
#define PUT_A "{\"type\":\"put\",\"key\":\"a\",\"revision\":2}"

static void check_txn(const char *body, int status, const char *answer)
{
    check((struct expect){"POST", "/txn", NULL, body, status, answer});
}

static void all_changes_are_of_one_revision_and_reads_see_them(void **state)
{
    (void)state;
    check_txn("{\"then\":[{\"put\":\"a\",\"value\":{\"x\": 1.10}},{\"put\":{\"key\":\"b\","
              "\"value\":[ ]}},{\"get\":\"a\"},{\"get\":{\"prefix\":\"b\"}},{\"get\":\"c\"}]}",
              200,
              "{\"succeeded\":true,\"results\":[" PUT_A
              ",{\"type\":\"put\",\"key\":\"b\",\"revision\":2},"
              "{\"type\":\"get\",\"key\":\"a\",\"value\":{\"x\": 1.10},\"revision\":2,"
              "\"createRevision\":2,\"version\":1},"
              "{\"type\":\"get\",\"prefix\":\"b\",\"keys\":[{\"key\":\"b\",\"value\":[ ],"
              "\"revision\":2,\"createRevision\":2,\"version\":1}]},"
              "{\"type\":\"get\",\"key\":\"c\",\"value\":null,\"revision\":0}],\"revision\":2}");
    check_txn("{\"then\":[{\"delete\":{\"prefix\":\"a\"}},{\"delete\":{\"key\":\"b\"}},"
              "{\"delete\":\"c\"}]}",
              200,
              "{\"succeeded\":true,\"results\":[{\"type\":\"delete\",\"prefix\":\"a\","
              "\"deleted\":1},{\"type\":\"delete\",\"key\":\"b\",\"deleted\":1},"
              "{\"type\":\"delete\",\"key\":\"c\",\"deleted\":0}],\"revision\":3}");
}

static void compares_choose_the_branch(void **state)
{
    (void)state;
    static const struct {
        const char *compare;
        bool holds;
    } rows[] = {
        {"", true},
        {"{\"key\":\"a\",\"revision\":2}", true},
        {"{\"key\":\"a\",\"revision\":2,\"is\":\"=\"}", true},
        {"{\"key\":\"a\",\"revision\":1,\"is\":\">\"}", true},
        {"{\"key\":\"a\",\"revision\":2,\"is\":\">\"}", false},
        {"{\"key\":\"a\",\"version\":2,\"is\":\"<\"}", true},
        {"{\"key\":\"a\",\"createRevision\":2,\"is\":\"!=\"}", false},
        {"{\"key\":\"a\",\"value\":{\"n\":1}}", true},
        {"{\"key\":\"a\",\"value\":{\"n\": 1}}", false}, /* bytes, not numbers */
        {"{\"key\":\"none\",\"revision\":0}", true},
        {"{\"key\":\"none\",\"value\":null}", false},
        {"{\"key\":\"a\",\"revision\":2},{\"key\":\"none\",\"version\":1}", false},
    };
    check((struct expect){"PUT", "/key/a", NULL, "{\"n\":1}", 200,
                          "{\"success\":true,\"key\":\"a\",\"value\":{\"n\":1},"
                          "\"leaderId\":\"node-1\",\"revision\":2}"});
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        char answer[256];
        snprintf(body, sizeof(body),
                 "{\"compare\":[%s],\"then\":[{\"get\":\"t\"}],\"else\":[{\"get\":\"e\"}]}",
                 rows[i].compare);
        snprintf(answer, sizeof(answer),
                 "{\"succeeded\":%s,\"results\":[{\"type\":\"get\",\"key\":\"%s\",\"value\":null,"
                 "\"revision\":0}],\"revision\":2}",
                 rows[i].holds ? "true" : "false", rows[i].holds ? "t" : "e");
        check_txn(body, 200, answer);
    }
}

static void keys_are_decoded_and_values_stay_as_they_came(void **state)
{
    (void)state;
    check_txn("{\"then\":[{\"put\":\"\\u00e9\\u0000\",\"value\":\"\\u00e9\"}]}", 200,
              "{\"succeeded\":true,\"results\":[{\"type\":\"put\",\"key\":\"\xc3\xa9\\u0000\","
              "\"revision\":2}],\"revision\":2}");
    check((struct expect){"GET", "/key/%C3%A9%00", NULL, NULL, 200,
                          "{\"key\":\"\xc3\xa9\\u0000\",\"value\":\"\\u00e9\","
                          "\"nodeRole\":\"leader\",\"revision\":2}"});
}

static void what_is_no_transaction_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{", "{\"error\":\"Invalid JSON\"}"},
        {"", "{\"error\":\"Invalid JSON\"}"},
        {"[]", FORM_BODY},
        {"{\"if\":[]}", FORM_BODY},
        {"{\"then\":{}}", FORM_BODY},
        {"{\"then\":[],\"then\":[]}", FORM_BODY},
        {"{\"compare\":[1]}", BAD("compare[0] " FORM_COMPARE)},
        {"{\"compare\":[{\"key\":\"a\"}]}", BAD("compare[0] " FORM_COMPARE)},
        {"{\"compare\":[{\"key\":\"a\",\"version\":1,\"revision\":1}]}",
         BAD("compare[0] " FORM_COMPARE)},
        {"{\"compare\":[{\"key\":\"a\",\"version\":-1}]}", BAD("compare[0] " FORM_COMPARE)},
        {"{\"compare\":[{\"key\":\"a\",\"version\":1,\"is\":\"~\"}]}",
         BAD("compare[0] " FORM_COMPARE)},
        {"{\"compare\":[{\"key\":\"a\",\"version\":1},{\"version\":1}]}",
         BAD("compare[1] " FORM_COMPARE)},
        {"{\"then\":[{\"put\":\"a\"}]}", BAD("then[0] " FORM_OP)},
        {"{\"then\":[{\"put\":\"\",\"value\":1}]}", BAD("then[0] " FORM_OP)},
        {"{\"then\":[{\"put\":{\"prefix\":\"a\"},\"value\":1}]}", BAD("then[0] " FORM_OP)},
        {"{\"then\":[{\"put\":{\"key\":\"a\",\"value\":1},\"value\":1}]}", BAD("then[0] " FORM_OP)},
        {"{\"then\":[{\"get\":\"a\",\"value\":1}]}", BAD("then[0] " FORM_OP)},
        {"{\"then\":[{\"get\":\"a\",\"delete\":\"a\"}]}", BAD("then[0] " FORM_OP)},
        {"{\"else\":[{\"get\":\"a\"},{}]}", BAD("else[1] " FORM_OP)},
        {"{\"then\":[{\"put\":\"a\",\"value\":1},{\"put\":\"a\",\"value\":2}]}",
         BAD("a key is put twice, or put and deleted")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_txn(rows[i].body, 400, rows[i].answer);
    }
    check((struct expect){"POST", "/txn?ack=leader", NULL, "{}", 400,
                          BAD("a transaction needs ack=quorum or ack=all")});
    check((struct expect){"POST", "/txn", "Idempotency-Key: x\n", "{}", 400,
                          BAD("Idempotency-Key is not for transactions: let a compare say it")});
}

static void a_list_has_128_entries(void **state)
{
    (void)state;
    struct buf body = {0};
    buf_append_str(&body, "{\"then\":[");
    for (int i = 0; i < 128; i++) {
        buf_append_str(&body, "{\"get\":\"a\"},");
    }
    buf_append_str(&body, "{\"get\":\"a\"}]}");
    buf_append_byte(&body, 0);
    check_txn((const char *)body.data, 400,
              BAD("then[128] is one too many: a list has at most 128"));
    buf_deinit(&body);
}

static void what_is_too_long_to_tell_was_done_all_the_same(void **state)
{
    (void)state;
    struct buf value = {0};
    memset(buf_reserve(&value, MIB), '7', MIB);
    store("a", slice_of(value.data, MIB));
    struct buf body = {0};
    buf_append_str(&body, "{\"then\":[{\"put\":\"b\",\"value\":1}");
    for (int i = 0; i < 70; i++) {
        buf_append_str(&body, ",{\"get\":\"a\"}");
    }
    buf_append_str(&body, "]}");
    buf_append_byte(&body, 0);
    check_txn(
        (const char *)body.data, 200,
        "{\"succeeded\":true,\"results\":null,\"reason\":\"it was done, and what it read is too "
        "long to tell\",\"revision\":3}");
    buf_deinit(&body);
    buf_deinit(&value);
}

static void row_a9_a_follower_says_who_leads(void **state)
{
    (void)state;
    fake_node.write_start = STATUS_NOT_LEADER;
    fake_node.status.role = "follower";
    check_txn("{\"then\":[{\"put\":\"a\",\"value\":1}]}", 503,
              "{\"error\":\"Not the leader\",\"currentRole\":\"follower\",\"leaderId\":\"node-1\","
              "\"leaderUrl\":\"http://127.0.0.1:4001\"}");
    fake_node.write_start = STATUS_OK;
    fake_node.write_outcome = STATUS_UNKNOWN;
    check_txn("{\"then\":[{\"put\":\"a\",\"value\":1}]}", 504, "{\"error\":\"Outcome unknown\"}");
}

/* --- ?ttl= ------------------------------------------------------------------------------------ */

static void a_put_with_a_ttl_has_a_lease_of_its_own(void **state)
{
    (void)state;
    struct kv_item item;
    check((struct expect){"PUT", "/key/a?ttl=2m", NULL, "1", 200,
                          "{\"success\":true,\"key\":\"a\",\"value\":1,\"ttl\":120,"
                          "\"leaderId\":\"node-1\",\"revision\":2}"});
    assert_int_equal(kv_get(fake_node.kv, slice_str("a"), 0, &item), STATUS_OK);
    assert_true(item.lease != 0);
    check((struct expect){"PUT", "/key/a", NULL, "1", 200,
                          "{\"success\":true,\"key\":\"a\",\"value\":1,"
                          "\"leaderId\":\"node-1\",\"revision\":3}"});
    assert_int_equal(kv_get(fake_node.kv, slice_str("a"), 0, &item), STATUS_OK);
    assert_int_equal(item.lease, 0);
}

static void a_ttl_shorter_than_a_failover_takes_is_raised(void **state)
{
    (void)state;
    fake_node.lease_ttl_min = 5;
    check((struct expect){"PUT", "/key/a?ttl=1s", NULL, "1", 200,
                          "{\"success\":true,\"key\":\"a\",\"value\":1,\"ttl\":5,"
                          "\"leaderId\":\"node-1\",\"revision\":2}"});
}

static void what_is_no_ttl_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *why;
    } rows[] = {
        {"/key/a?ttl=30", "must be a time such as 30s, 10m, 2h or 1d"},
        {"/key/a?ttl=s", "must be a time such as 30s, 10m, 2h or 1d"},
        {"/key/a?ttl=", "must be a time such as 30s, 10m, 2h or 1d"},
        {"/key/a?ttl=-1s", "must be a time such as 30s, 10m, 2h or 1d"},
        {"/key/a?ttl=500ms", "must be a time such as 30s, 10m, 2h or 1d"},
        {"/key/a?ttl=0s", "too short"},
        {"/key/a?ttl=9000000001s", "too long"},
        {"/key/a?ttl=9999999999999999d", "too long"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char answer[256];
        snprintf(answer, sizeof(answer),
                 "{\"error\":\"Bad query parameter\",\"parameter\":\"ttl\",\"reason\":\"%s\"}",
                 rows[i].why);
        check((struct expect){"PUT", rows[i].target, NULL, "1", 400, answer});
    }
}

static void rule_k2b_a_retry_with_another_ttl_is_another_request(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"PUT", "/key/a?ttl=1m", "Idempotency-Key: r\n", "1", 200,
         "{\"success\":true,\"key\":\"a\",\"value\":1,\"ttl\":60,\"leaderId\":\"node-1\","
         "\"revision\":2}"},
        {"PUT", "/key/a?ttl=1m", "Idempotency-Key: r\n", "1", 200,
         "{\"success\":true,\"key\":\"a\",\"value\":1,\"ttl\":60,\"leaderId\":\"node-1\","
         "\"revision\":2}"},
        {"PUT", "/key/a?ttl=2m", "Idempotency-Key: r\n", "1", 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
    };
    CHECK_EACH(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(all_changes_are_of_one_revision_and_reads_see_them),
        REST_TEST(compares_choose_the_branch),
        REST_TEST(keys_are_decoded_and_values_stay_as_they_came),
        REST_TEST(what_is_no_transaction_is_refused_with_its_place),
        REST_TEST(a_list_has_128_entries),
        REST_TEST(what_is_too_long_to_tell_was_done_all_the_same),
        REST_TEST(row_a9_a_follower_says_who_leads),
        REST_TEST(a_put_with_a_ttl_has_a_lease_of_its_own),
        REST_TEST(a_ttl_shorter_than_a_failover_takes_is_raised),
        REST_TEST(what_is_no_ttl_is_refused),
        REST_TEST(rule_k2b_a_retry_with_another_ttl_is_another_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
