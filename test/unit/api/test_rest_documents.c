/* POST /write and GET /read: rows C3 and C4. */
#include "rest_asserts.h"

#include <stdio.h>

#define DOCUMENT(id, content, time)                                                                \
    "{\"id\":\"00000000000000" id "\",\"content\":" content ",\"createdAt\":" time "}"
#define WRITTEN(id, content, revision)                                                             \
    "{\"success\":true,\"id\":\"00000000000000" id "\",\"content\":" content                       \
    ",\"createdAt\":0,\"leaderId\":\"node-1\",\"revision\":" revision "}"
#define BAD_REQUEST                                                                                \
    "{\"error\":\"Bad request\",\"reason\":\"the body is {\\\"content\\\": STRING}\"}"
#define BAD_QUERY(name, why)                                                                       \
    "{\"error\":\"Bad query parameter\",\"parameter\":\"" name "\",\"reason\":\"" why "\"}"
#define NOT_MASTER                                                                                 \
    "{\"error\":\"Only master can write\",\"currentRole\":\"follower\",\"leaderId\":\"node-2\","   \
    "\"leaderUrl\":\"http://127.0.0.1:4002\"}"

static void store_document(uint64_t time_ms, struct slice content)
{
    struct kv_command c = {.op = KV_DOCUMENT, .time_ms = time_ms, .value = content};
    struct kv_result result;
    kv_apply(fake_node.kv, &c, &result);
    assert_int_equal(result.status, STATUS_OK);
}

static void row_c3_a_document_is_written_as_it_was_sent(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/write", NULL, "{\"content\":\"a\"}", 200, WRITTEN("02", "\"a\"", "2")},
        {"POST", "/write", NULL, " { \"content\" : \"\\u00e9\\n\" } ", 200,
         WRITTEN("03", "\"\\u00e9\\n\"", "3")},
        {"POST", "/write", NULL, "{\"content\":\"\"}", 200, WRITTEN("04", "\"\"", "4")},
        {"GET", "/read", NULL, NULL, 200,
         "[" DOCUMENT("04", "\"\"", "0") "," DOCUMENT("03", "\"\\u00e9\\n\"",
                                                      "0") "," DOCUMENT("02", "\"a\"", "0") "]"},
        {"GET", "/keys", NULL, NULL, 200, "{\"keys\":[],\"more\":false,\"next\":null}"},
    };
    CHECK_EACH(rows);
}

static void row_c3_content_that_is_missing_or_no_string_is_400(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/write", NULL, "", 400, "{\"error\":\"Invalid JSON\"}"},
        {"POST", "/write", NULL, "{\"content\":\"a\"", 400, "{\"error\":\"Invalid JSON\"}"},
        {"POST", "/write", NULL, "{\"content\":\"\xff\"}", 400, "{\"error\":\"Invalid JSON\"}"},
        {"POST", "/write", NULL, "{}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "\"a\"", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "[\"content\"]", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"content\":1}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"content\":null}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"content\":{\"content\":\"a\"}}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"Content\":\"a\"}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"content\":\"a\",\"id\":7}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"id\":7,\"content\":\"a\"}", 400, BAD_REQUEST},
        {"POST", "/write", NULL, "{\"content\":\"a\",\"content\":\"a\"}", 400, BAD_REQUEST},
        {"POST", "/write?ttl=3s", NULL, "{\"content\":\"a\"}", 400, BAD_QUERY("ttl", "unknown")},
        {"POST", "/write", "If-None-Match: *\n", "{\"content\":\"a\"}", 400,
         "{\"error\":\"Bad condition\",\"reason\":\"a document has none: each one is new\"}"},
        {"GET", "/write", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"PUT", "/write", NULL, "{\"content\":\"a\"}", 404, "{\"error\":\"Not found\"}"},
    };
    CHECK_EACH(rows);
    check((struct expect){"GET", "/read", NULL, NULL, 200, "[]"});
}

static void row_c3_a_follower_says_who_the_master_is(void **state)
{
    (void)state;
    fake_become_follower("node-2");
    check((struct expect){"POST", "/write", NULL, "{\"content\":\"a\"}", 403, NOT_MASTER});
    fake_restart_on_follower(API_REDIRECT);
    check((struct expect){"POST", "/write?ack=all", NULL, "{\"content\":\"a\"}", 307, NOT_MASTER});
    fake_restart_on_follower(API_FORWARD);
    fake_node.write_start = STATUS_OK;
    fake_node.forwarded_to = "node-2";
    check((struct expect){"POST", "/write", NULL, "{\"content\":\"a\"}", 200,
                          "{\"success\":true,\"id\":\"0000000000000002\",\"content\":\"a\","
                          "\"createdAt\":0,\"leaderId\":\"node-2\",\"revision\":2}"});
    assert_true(fake_node.last_forward);
}

static void row_c3_every_failure_has_its_status(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int http;
        const char *body;
    } rows[] = {
        {STATUS_NO_QUORUM, 503, "{\"error\":\"No quorum\"}"},
        {STATUS_OVERLOADED, 429, "{\"error\":\"overloaded\"}"},
        {STATUS_NO_SPACE, 507, "{\"error\":\"Out of space\"}"},
        {STATUS_TOO_LARGE, 413, "{\"error\":\"too large\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.write_start = rows[i].status;
        check((struct expect){"POST", "/write", NULL, "{\"content\":\"a\"}", rows[i].http,
                              rows[i].body});
    }
    fake_node.write_start = STATUS_OK;
    fake_node.write_outcome = STATUS_UNKNOWN;
    check((struct expect){"POST", "/write", NULL, "{\"content\":\"a\"}", 504,
                          "{\"error\":\"Outcome unknown\"}"});
}

static void row_f10_by_ack_leader_a_document_has_no_id_yet(void **state)
{
    (void)state;
    check((struct expect){"POST", "/write?ack=leader", NULL, "{\"content\":\"a\"}", 200,
                          "{\"success\":true,\"content\":\"a\",\"leaderId\":\"node-1\","
                          "\"durability\":\"leader\",\"index\":41,\"term\":3}"});
    assert_int_equal(fake_node.last_ack, NODE_ACK_LEADER);
}

static void rule_k2b_a_repeated_document_is_answered_with_the_first_ones_id(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/write", "Idempotency-Key: r1\n", "{\"content\":\"a\"}", 200,
         WRITTEN("02", "\"a\"", "2")},
        {"POST", "/write", NULL, "{\"content\":\"a\"}", 200, WRITTEN("03", "\"a\"", "3")},
        {"POST", "/write", "Idempotency-Key: r1\n", "{\"content\":\"a\"}", 200,
         WRITTEN("02", "\"a\"", "2")},
        {"POST", "/write", "Idempotency-Key: r1\n", "{\"content\":\"b\"}", 422,
         "{\"error\":\"Idempotency-Key reused\",\"reason\":\"this key was used for another request "
         "within the last ten minutes\"}"},
        {"GET", "/read", NULL, NULL, 200,
         "[" DOCUMENT("03", "\"a\"", "0") "," DOCUMENT("02", "\"a\"", "0") "]"},
    };
    CHECK_EACH(rows);
}

static void expect_next(const char *target, const char *next)
{
    struct asked *a = ask("GET", target, NULL, slice_of(NULL, 0));
    assert_int_equal(a->status, 200);
    buf_append_byte(&a->extra, 0);
    char header[64];
    snprintf(header, sizeof(header), "Conclave-Next: 00000000000000%s\r\n", next);
    assert_string_equal((const char *)a->extra.data, next[0] != '\0' ? header : "");
    forget(a);
}

static void row_c4_pages_go_back_in_time_and_say_where_to_go_on(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        store("k", slice_str("1"));
        store_document(10 * i, slice_str("\"d\""));
    }
    static const struct expect rows[] = {
        {"GET", "/read?limit=2", NULL, NULL, 200,
         "[" DOCUMENT("07", "\"d\"", "20") "," DOCUMENT("05", "\"d\"", "10") "]"},
        {"GET", "/read?limit=2&before=0000000000000005", NULL, NULL, 200,
         "[" DOCUMENT("03", "\"d\"", "0") "]"},
        {"GET", "/read?before=0000000000000003", NULL, NULL, 200, "[]"},
        {"GET", "/read?before=0000000000000002", NULL, NULL, 200, "[]"},
        /* One that is no document, and one of the future. */
        {"GET", "/read?limit=1&before=0000000000000006", NULL, NULL, 200,
         "[" DOCUMENT("05", "\"d\"", "10") "]"},
        {"GET", "/read?limit=1&before=ffffffffffffffff", NULL, NULL, 200,
         "[" DOCUMENT("07", "\"d\"", "20") "]"},
        {"GET", "/read?limit=1&revision=6", NULL, NULL, 200, "[" DOCUMENT("05", "\"d\"", "10") "]"},
        {"GET", "/read?revision=1", NULL, NULL, 200, "[]"},
        {"GET", "/read?limit=1&revision=3&before=0000000000000007", NULL, NULL, 200,
         "[" DOCUMENT("03", "\"d\"", "0") "]"},
    };
    CHECK_EACH(rows);
    expect_next("/read?limit=2", "05");
    expect_next("/read?limit=3", "");
    expect_next("/read?limit=1&before=0000000000000007", "05");
    expect_next("/read?limit=1&before=0000000000000005", "");
}

static void a_read_below_a_compaction_is_possible_and_one_of_the_future_is_not(void **state)
{
    (void)state;
    store_document(0, slice_str("\"d\""));
    store("k", slice_str("1"));
    struct kv_command compact = {.op = KV_COMPACT, .revision = 3};
    struct kv_result result;
    kv_apply(fake_node.kv, &compact, &result);
    assert_int_equal(result.status, STATUS_OK);
    static const struct expect rows[] = {
        {"GET", "/read?revision=2", NULL, NULL, 200, "[" DOCUMENT("02", "\"d\"", "0") "]"},
        {"GET", "/read?revision=4", NULL, NULL, 400,
         "{\"error\":\"revision is in the future\",\"newest\":3}"},
    };
    CHECK_EACH(rows);
}

static void odd_parameters_of_read_are_400(void **state)
{
    (void)state;
#define BAD_ID BAD_QUERY("before", "must be the id of a document")
    static const struct expect rows[] = {
        {"GET", "/read?limit=100001", NULL, NULL, 400,
         BAD_QUERY("limit", "must be at most 100000")},
        {"GET", "/read?after=1", NULL, NULL, 400, BAD_QUERY("after", "unknown")},
        {"GET", "/read?before=7", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?before=", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?before=000000000000000G", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?before=000000000000000A", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?before=0000000000000000", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?before=10000000000000002", NULL, NULL, 400, BAD_ID},
        {"GET", "/read?consistency=strong", NULL, NULL, 400,
         BAD_QUERY("consistency", "must be linearizable, session or stale")},
    };
    CHECK_EACH(rows);
    check((struct expect){"GET", "/read?consistency=stale&max-lag=250", NULL, NULL, 200, "[]"});
    assert_int_equal(fake_node.last_read.consistency, NODE_STALE);
    check((struct expect){"GET", "/read", NULL, NULL, 200, "[]"});
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
}

/* Nothing but POST /write makes documents; what is answered is JSON whatever is in the store. */
static void content_that_is_no_json_is_answered_as_a_string(void **state)
{
    (void)state;
    store_document(0, slice_str("not \"JSON"));
    check((struct expect){"GET", "/read", NULL, NULL, 200,
                          "[" DOCUMENT("02", "\"not \\\"JSON\"", "0") "]"});
}

static void a_long_answer_stops_when_the_client_does_and_stays_of_one_revision(void **state)
{
    (void)state;
    char content[64];
    for (int i = 0; i < 3000; i++) {
        snprintf(content, sizeof(content), "\"some content that is not very short %d\"", i);
        store_document(0, slice_str(content));
    }
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/read?limit=5000", NULL, slice_of(NULL, 0));
    assert_false(a->done);
    assert_int_equal(a->chunks, 1);
    assert_true(a->body.size < 64 * 1024);
    store_document(0, slice_str("\"later\""));
    while (!a->done) {
        fake_writable(a);
    }
    struct buf answer = {0};
    for (int i = 2999; i >= 0; i--) {
        buf_printf(&answer,
                   "%s{\"id\":\"%016x\",\"content\":\"some content that is not very short %d\","
                   "\"createdAt\":0}",
                   i == 2999 ? "[" : ",", i + 2, i);
    }
    buf_append(&answer, "]", 2);
    assert_answered(a, 200, (const char *)answer.data);
    assert_true(a->chunks > 3);
    buf_deinit(&answer);
    forget(a);
}

static void an_answer_whose_state_is_replaced_by_a_smaller_one_breaks_off(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        store_document(0, slice_str("\"some content that is not very short\""));
    }
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/read?limit=5000", NULL, slice_of(NULL, 0));
    kv_destroy(fake_node.kv);
    fake_node.kv = kv_create();
    fake_writable(a);
    assert_true(a->done && a->aborted);
    forget(a);
}

static void a_client_that_leaves_is_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        store_document(0, slice_str("\"some content that is not very short\""));
    }
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/read?limit=5000", NULL, slice_of(NULL, 0));
    assert_false(a->done);
    hang_up(a);
    forget(a);
    fake_node.reads_wait = true;
    a = ask("GET", "/read", NULL, slice_of(NULL, 0));
    hang_up(a);
    forget(a);
    a = ask("POST", "/write", NULL, slice_str("{\"content\":\"a\"}"));
    hang_up(a);
    forget(a);
    assert_int_equal(fake_node.cancels, 2);
    fake_node.reads_wait = false;
    fake_chunks_room = 0;
    a = ask("HEAD", "/read", NULL, slice_of(NULL, 0));
    assert_answered(a, 200, "");
    forget(a);
}

static void row_c3_a_body_may_be_longer_than_a_value_by_what_is_around_it(void **state)
{
    (void)state;
    const struct http_handler *handler = api_handler(fake_api);
    struct asked *put = ask("PUT", "/key/k", NULL, slice_str("1"));
    struct asked *written = ask("POST", "/write", NULL, slice_str("{\"content\":\"a\"}"));
    struct asked *other = ask("POST", "/step-down", NULL, slice_of(NULL, 0));
    uint64_t value = handler->body_bytes_max(handler->context, &put->http);
    uint64_t small = handler->body_bytes_max(handler->context, &other->http);
    assert_int_equal(handler->body_bytes_max(handler->context, &written->http), value + small);
    hang_up(other);
    fake_turn();
    forget(put);
    forget(written);
    forget(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_c3_a_document_is_written_as_it_was_sent),
        REST_TEST(row_c3_content_that_is_missing_or_no_string_is_400),
        REST_TEST(row_c3_a_follower_says_who_the_master_is),
        REST_TEST(row_c3_every_failure_has_its_status),
        REST_TEST(row_f10_by_ack_leader_a_document_has_no_id_yet),
        REST_TEST(rule_k2b_a_repeated_document_is_answered_with_the_first_ones_id),
        REST_TEST(row_c4_pages_go_back_in_time_and_say_where_to_go_on),
        REST_TEST(a_read_below_a_compaction_is_possible_and_one_of_the_future_is_not),
        REST_TEST(odd_parameters_of_read_are_400),
        REST_TEST(content_that_is_no_json_is_answered_as_a_string),
        REST_TEST(a_long_answer_stops_when_the_client_does_and_stays_of_one_revision),
        REST_TEST(an_answer_whose_state_is_replaced_by_a_smaller_one_breaks_off),
        REST_TEST(a_client_that_leaves_is_forgotten),
        REST_TEST(row_c3_a_body_may_be_longer_than_a_value_by_what_is_around_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
