/* /key/{key}: keys, values, reads, writes, conditions and what each outcome of the node says. */
#include "rest_asserts.h"

#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#define NOT_LEADER                                                                                 \
    "{\"error\":\"Not the leader\",\"currentRole\":\"follower\",\"leaderId\":\"node-2\","          \
    "\"leaderUrl\":\"http://127.0.0.1:4002\"}"
#define BAD_QUERY(name, why)                                                                       \
    "{\"error\":\"Bad query parameter\",\"parameter\":\"" name "\",\"reason\":\"" why "\"}"

static void row_a5_a7_what_was_put_is_read_as_it_came(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"PUT", "/key/age", NULL, "30", 200,
         "{\"success\":true,\"key\":\"age\",\"value\":30,\"leaderId\":\"node-1\",\"revision\":2}"},
        {"PUT", "/key/name", NULL, "  \"Alice\"\n", 200,
         "{\"success\":true,\"key\":\"name\",\"value\":\"Alice\",\"leaderId\":\"node-1\","
         "\"revision\":3}"},
        {"PUT", "/key/none", NULL, "null", 200,
         "{\"success\":true,\"key\":\"none\",\"value\":null,\"leaderId\":\"node-1\","
         "\"revision\":4}"},
        {"GET", "/key/age", NULL, NULL, 200,
         "{\"key\":\"age\",\"value\":30,\"nodeRole\":\"leader\",\"revision\":2}"},
        {"GET", "/key/name", NULL, NULL, 200,
         "{\"key\":\"name\",\"value\":\"Alice\",\"nodeRole\":\"leader\",\"revision\":3}"},
        {"GET", "/key/none", NULL, NULL, 200,
         "{\"key\":\"none\",\"value\":null,\"nodeRole\":\"leader\",\"revision\":4}"},
        {"PUT", "/key/x", NULL, "{ \"a\": 1.10, \"a\":2 }", 200,
         "{\"success\":true,\"key\":\"x\",\"value\":{ \"a\": 1.10, \"a\":2 },"
         "\"leaderId\":\"node-1\",\"revision\":5}"},
    };
    CHECK_EACH(rows);
    fake_become_follower("node-2");
    check(
        (struct expect){"GET", "/key/age", NULL, NULL, 200,
                        "{\"key\":\"age\",\"value\":30,\"nodeRole\":\"follower\",\"revision\":2}"});
}

static void row_a6_bad_json_changes_nothing(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{bad", "", "1 2", "\"\\ud800\"", "1e999"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        check(
            (struct expect){"PUT", "/key/k", NULL, bodies[i], 400, "{\"error\":\"Invalid JSON\"}"});
    }
    check((struct expect){"GET", "/key/k", NULL, NULL, 404,
                          "{\"error\":\"Key not found\",\"key\":\"k\"}"});
}

static void row_a8_a10_missing_and_deleted_keys_are_404(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    static const struct expect rows[] = {
        {"DELETE", "/key/k", NULL, NULL, 200,
         "{\"success\":true,\"key\":\"k\",\"leaderId\":\"node-1\",\"revision\":3}"},
        {"DELETE", "/key/k", NULL, NULL, 404, "{\"error\":\"Key not found\",\"key\":\"k\"}"},
        {"GET", "/key/k", NULL, NULL, 404, "{\"error\":\"Key not found\",\"key\":\"k\"}"},
        {"GET", "/key/a%20%22b", NULL, NULL, 404,
         "{\"error\":\"Key not found\",\"key\":\"a \\\"b\"}"},
    };
    CHECK_EACH(rows);
}

static void row_a9_a_write_at_a_follower_is_503_and_names_the_leader(void **state)
{
    (void)state;
    fake_become_follower("node-2");
    check((struct expect){"PUT", "/key/k", NULL, "1", 503, NOT_LEADER});
    check((struct expect){"DELETE", "/key/k", NULL, NULL, 503, NOT_LEADER});
    fake_become_follower("");
    check((struct expect){"PUT", "/key/k", NULL, "1", 503,
                          "{\"error\":\"Not the leader\",\"currentRole\":\"follower\","
                          "\"leaderId\":\"Unknown\"}"});
}

static void row_a22_a_key_is_what_follows_the_path_decoded_once(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *key;   /* as stored */
        const char *shown; /* in JSON */
    } rows[] = {
        {"/key/a%20b", "a b", "a b"},
        {"/key/a/b//c", "a/b//c", "a/b//c"},
        {"/key/a%2Fb", "a/b", "a/b"},
        {"/key/../x/./y", "../x/./y", "../x/./y"},
        {"/key/%2541", "%41", "%41"},
        {"/key/a+b", "a+b", "a+b"},
        {"/key/__proto__", "__proto__", "__proto__"},
        {"/key//", "/", "/"},
        {"/key/%3Fx", "?x", "?x"},
        {"/key/%c3%a9", "\xc3\xa9", "\xc3\xa9"},
        {"/key/%22%0a", "\"\n", "\\\"\\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[256];
        store(rows[i].key, slice_str("7"));
        struct kv_stats stats;
        kv_stats(fake_node.kv, &stats);
        snprintf(body, sizeof(body),
                 "{\"key\":\"%s\",\"value\":7,\"nodeRole\":\"leader\",\"revision\":%d}",
                 rows[i].shown, (int)stats.revision);
        check((struct expect){"GET", rows[i].target, NULL, NULL, 200, body});
    }
}

static void row_a22_odd_keys_are_refused_with_a_reason(void **state)
{
    (void)state;
#define INVALID_KEY(why) "{\"error\":\"Invalid key\",\"reason\":\"" why "\"}"
    static const struct expect rows[] = {
        {"GET", "/key/", NULL, NULL, 400, INVALID_KEY("a key has 1 to 4096 bytes")},
        {"PUT", "/key/", NULL, "1", 400, INVALID_KEY("a key has 1 to 4096 bytes")},
        {"GET", "/key/%zz", NULL, NULL, 400, INVALID_KEY("broken percent-encoding")},
        {"GET", "/key/a%2", NULL, NULL, 400, INVALID_KEY("broken percent-encoding")},
        {"GET", "/key/%ff", NULL, NULL, 400, INVALID_KEY("a key is UTF-8")},
        {"DELETE", "/key/%ed%a0%80", NULL, NULL, 400, INVALID_KEY("a key is UTF-8")},
    };
    CHECK_EACH(rows);
    struct buf target = {0};
    buf_append_str(&target, "/key/");
    memset(buf_reserve(&target, LIMIT_KEY_BYTES + 2), 'k', LIMIT_KEY_BYTES + 1);
    target.size += LIMIT_KEY_BYTES;
    target.data[target.size] = '\0';
    struct asked *a = ask("PUT", (char *)target.data, NULL, slice_str("1"));
    fake_turn();
    assert_int_equal(a->status, 200);
    forget(a);
    target.data[target.size] = 'k';
    buf_append_byte(&target, 'k');
    buf_append_byte(&target, 0);
    check((struct expect){"PUT", (char *)target.data, NULL, "1", 400,
                          INVALID_KEY("a key has 1 to 4096 bytes")});
    buf_deinit(&target);
}

static void a_value_that_is_not_json_reads_as_text_or_base64(void **state)
{
    (void)state;
    store("t", slice_str("hello"));
    store("b", slice_str("\xff"));
    store("e", slice_of(NULL, 0));
    static const struct expect rows[] = {
        {"GET", "/key/t", NULL, NULL, 200,
         "{\"key\":\"t\",\"value\":\"hello\",\"encoding\":\"text\",\"nodeRole\":\"leader\","
         "\"revision\":2}"},
        {"GET", "/key/b", NULL, NULL, 200,
         "{\"key\":\"b\",\"value\":\"/w==\",\"encoding\":\"base64\",\"nodeRole\":\"leader\","
         "\"revision\":3}"},
        {"GET", "/key/e", NULL, NULL, 200,
         "{\"key\":\"e\",\"value\":\"\",\"encoding\":\"text\",\"nodeRole\":\"leader\","
         "\"revision\":4}"},
    };
    CHECK_EACH(rows);
}

/* --- conditions ------------------------------------------------------------------------------- */

static void conditions_hold_or_answer_412_with_the_current_revision(void **state)
{
    (void)state;
    store("k", slice_str("1"));
#define FAILED_AT(revision)                                                                        \
    "{\"error\":\"Precondition failed\",\"key\":\"k\",\"revision\":" revision "}"
    static const struct expect rows[] = {
        {"PUT", "/key/k", "If-Match: \"9\"\n", "2", 412, FAILED_AT("2")},
        {"PUT", "/key/k", "if-none-match: *\n", "2", 412, FAILED_AT("2")},
        {"DELETE", "/key/k", "If-Match: \"1\"\n", NULL, 412, FAILED_AT("2")},
        {"PUT", "/key/k", "If-Match: \"2\"\n", "2", 200,
         "{\"success\":true,\"key\":\"k\",\"value\":2,\"leaderId\":\"node-1\",\"revision\":3}"},
        {"PUT", "/key/k", "If-Match: *\n", "3", 200,
         "{\"success\":true,\"key\":\"k\",\"value\":3,\"leaderId\":\"node-1\",\"revision\":4}"},
        {"DELETE", "/key/k", "If-Match: \"4\"\n", NULL, 200,
         "{\"success\":true,\"key\":\"k\",\"leaderId\":\"node-1\",\"revision\":5}"},
        {"PUT", "/key/k", "If-Match: *\n", "3", 412, FAILED_AT("null")},
        {"PUT", "/key/k", "If-Match: \"4\"\n", "3", 412, FAILED_AT("null")},
        {"PUT", "/key/k", "If-None-Match: *\n", "3", 200,
         "{\"success\":true,\"key\":\"k\",\"value\":3,\"leaderId\":\"node-1\",\"revision\":6}"},
    };
    CHECK_EACH(rows);
}

/* Not as it is here when the answer is written: that may be behind the leader, or ahead of it. */
static void a_412_tells_the_revision_that_the_condition_was_held_against(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    struct asked *a = ask("PUT", "/key/k", "If-Match: \"9\"\n", slice_str("2"));
    store("k", slice_str("3"));
    fake_turn();
    assert_int_equal(a->status, 412);
    assert_true(slice_equal(buf_slice(&a->body), slice_str(FAILED_AT("2"))));
    forget(a);
    /* A leader of an older version does not tell: then as it is here. */
    fake_node.write_outcome = STATUS_CONFLICT;
    check((struct expect){"PUT", "/key/k", NULL, "4", 412, FAILED_AT("4")});
}

static void a_condition_that_cannot_be_kept_is_400(void **state)
{
    (void)state;
#define BAD_CONDITION(why) "{\"error\":\"Bad condition\",\"reason\":\"" why "\"}"
#define BAD_MATCH          BAD_CONDITION("If-Match takes * or one \\\"N\\\" as ETag gave it")
    static const struct expect rows[] = {
        {"PUT", "/key/k", "If-Match: 2\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-Match: W/\"2\"\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-Match: \"2\", \"3\"\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-Match: \"\"\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-Match: \"02\"\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-Match: \"99999999999999999999\"\n", "2", 400, BAD_MATCH},
        {"PUT", "/key/k", "If-None-Match: \"2\"\n", "2", 400,
         BAD_CONDITION("If-None-Match of a write takes * only")},
        {"PUT", "/key/k", "If-Match: *\nIf-None-Match: *\n", "2", 400,
         BAD_CONDITION("give If-Match or If-None-Match, not both")},
        {"PUT", "/key/k?ack=leader", "If-Match: *\n", "2", 400,
         BAD_CONDITION("a condition needs ack=quorum or ack=all")},
        {"DELETE", "/key/k?ack=leader", "If-Match: *\n", NULL, 400,
         BAD_CONDITION("a condition needs ack=quorum or ack=all")},
    };
    CHECK_EACH(rows);
    fake_restart(NULL, NODE_ACK_LEADER);
    check((struct expect){"PUT", "/key/k", "If-Match: *\n", "2", 400,
                          BAD_CONDITION("a condition needs ack=quorum or ack=all")});
}

static void get_carries_an_etag_and_honours_if_none_match(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    struct asked *a = ask("GET", "/key/k", NULL, slice_of(NULL, 0));
    assert_same("headers", &a->extra, "ETag: \"2\"\r\n");
    assert_same("type", &a->type, "application/json");
    forget(a);
    a = ask("PUT", "/key/k", NULL, slice_str("5"));
    fake_turn();
    assert_same("headers", &a->extra, "ETag: \"3\"\r\n");
    forget(a);
    static const char *const known[] = {"If-None-Match: \"3\"\n", "If-None-Match: W/\"3\"\n",
                                        "If-None-Match: \"1\", \"3\"\n", "If-None-Match: *\n"};
    for (size_t i = 0; i < 4; i++) {
        a = ask("GET", "/key/k", known[i], slice_of(NULL, 0));
        assert_answered(a, 304, "");
        assert_same("headers", &a->extra, "ETag: \"3\"\r\n");
        forget(a);
    }
    static const char *const unknown[] = {"If-None-Match: \"2\"\n", "If-None-Match: 3\n",
                                          "If-None-Match: \"33\",\"\"\n"};
    for (size_t i = 0; i < 3; i++) {
        a = ask("GET", "/key/k", unknown[i], slice_of(NULL, 0));
        assert_int_equal(a->status, 200);
        forget(a);
    }
}

/* --- what a write answers --------------------------------------------------------------------- */

static void ack_says_how_far_and_the_answer_what_is_true(void **state)
{
    (void)state;
    static const struct expect leader_rows[] = {
        {"PUT", "/key/k?ack=leader", NULL, "1", 200,
         "{\"success\":true,\"key\":\"k\",\"value\":1,\"leaderId\":\"node-1\","
         "\"durability\":\"leader\",\"index\":41,\"term\":3}"},
        {"DELETE", "/key/k?ack=leader", NULL, NULL, 200,
         "{\"success\":true,\"key\":\"k\",\"leaderId\":\"node-1\",\"durability\":\"leader\","
         "\"index\":41,\"term\":3}"},
    };
    CHECK_EACH(leader_rows);
    assert_int_equal(fake_node.last_ack, NODE_ACK_LEADER);
    check((struct expect){"PUT", "/key/k?ack=all", NULL, "1", 200,
                          "{\"success\":true,\"key\":\"k\",\"value\":1,\"leaderId\":\"node-1\","
                          "\"revision\":4}"});
    assert_int_equal(fake_node.last_ack, NODE_ACK_ALL);
    check((struct expect){"DELETE", "/key/none", NULL, NULL, 404,
                          "{\"error\":\"Key not found\",\"key\":\"none\"}"});
    assert_int_equal(fake_node.last_ack, NODE_ACK_QUORUM);
    check((struct expect){"PUT", "/key/k?ack=some", NULL, "1", 400,
                          BAD_QUERY("ack", "must be leader, quorum or all")});
    fake_node.write_outcome = STATUS_NOT_CONFIRMED;
    fake_node.missing_count = 2;
    fake_node.missing[0] = "node-2";
    fake_node.missing[1] = "node-3";
    check((struct expect){"PUT", "/key/k?ack=all", NULL, "1", 504,
                          "{\"error\":\"Not confirmed by all\",\"durability\":\"quorum\","
                          "\"missing\":[\"node-2\",\"node-3\"],\"revision\":5}"});
}

static void every_failure_of_a_write_has_its_status(void **state)
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
        {STATUS_BUSY, 503,
         "{\"error\":\"Leadership is being handed over\",\"currentRole\":\"leader\","
         "\"leaderId\":\"node-1\",\"leaderUrl\":\"http://127.0.0.1:4001\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.write_start = rows[i].status;
        check((struct expect){"PUT", "/key/k", NULL, "1", rows[i].http, rows[i].body});
    }
    fake_node.write_start = STATUS_OK;
    fake_node.write_outcome = STATUS_UNKNOWN;
    check((struct expect){"PUT", "/key/k", NULL, "1", 504, "{\"error\":\"Outcome unknown\"}"});
    /* Another entry was committed in its place: nothing was written. */
    fake_node.write_outcome = STATUS_NOT_LEADER;
    fake_node.status.role = "follower";
    snprintf(fake_node.status.leader, sizeof(fake_node.status.leader), "node-2");
    snprintf(fake_node.status.leader_url, sizeof(fake_node.status.leader_url),
             "http://127.0.0.1:4002");
    check((struct expect){"PUT", "/key/k", NULL, "1", 503, NOT_LEADER});
}

static void parameters_that_are_not_known_are_refused(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"PUT", "/key/k?akc=all", NULL, "1", 400, BAD_QUERY("akc", "unknown")},
        {"PUT", "/key/k?ack=all&ack=all", NULL, "1", 400, BAD_QUERY("ack", "given twice")},
        {"PUT", "/key/k?ack=%g", NULL, "1", 400, BAD_QUERY("ack", "broken percent-encoding")},
        {"PUT", "/key/k?%22", NULL, "1", 400, BAD_QUERY("%22", "unknown")},
    };
    CHECK_EACH(rows);
    struct kv_stats stats;
    kv_stats(fake_node.kv, &stats);
    assert_int_equal(stats.revision, 1);
}

static void a_client_that_goes_away_is_forgotten(void **state)
{
    (void)state;
    struct asked *a = ask("PUT", "/key/k", NULL, slice_str("1"));
    assert_false(a->done);
    hang_up(a);
    forget(a);
    fake_node.reads_wait = true;
    a = ask("GET", "/key/k", NULL, slice_of(NULL, 0));
    assert_false(a->done);
    hang_up(a);
    forget(a);
    a = ask("GET", "/keys", NULL, slice_of(NULL, 0));
    hang_up(a);
    forget(a);
    a = ask("GET", "/cluster", NULL, slice_of(NULL, 0));
    hang_up(a);
    forget(a);
    a = ask("POST", "/step-down", NULL, slice_of(NULL, 0));
    hang_up(a);
    forget(a);
    assert_int_equal(fake_node.cancels, 5);
    fake_turn();
}

static void a_stopping_api_forgets_what_waits(void **state)
{
    (void)state;
    fake_node.reads_wait = true;
    struct asked *read = ask("GET", "/key/k", NULL, slice_of(NULL, 0));
    struct asked *write = ask("PUT", "/key/k", NULL, slice_str("1"));
    fake_restart(NULL, NODE_ACK_QUORUM);
    assert_int_equal(fake_node.cancels, 2);
    forget(read);
    forget(write);
}

/* --- consistency ------------------------------------------------------------------------------ */

#define CLUSTER "abababab-abab-abab-abab-abababababab"

static void consistency_reaches_the_node_as_asked(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    const char *answer = "{\"key\":\"k\",\"value\":1,\"nodeRole\":\"leader\",\"revision\":2}";
    check((struct expect){"GET", "/key/k", NULL, NULL, 200, answer});
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    check((struct expect){"GET", "/key/k?consistency=linearizable", NULL, NULL, 200, answer});
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    check((struct expect){"GET", "/key/k?consistency=session&token=" CLUSTER ".17", NULL, NULL, 200,
                          answer});
    assert_int_equal(fake_node.last_read.consistency, NODE_SESSION);
    assert_int_equal(fake_node.last_read.min_revision, 17);
    check((struct expect){"GET", "/key/k?max-lag=250&consistency=stale", NULL, NULL, 200, answer});
    assert_int_equal(fake_node.last_read.consistency, NODE_STALE);
    assert_int_equal(fake_node.last_read.max_lag_ms, 250);
    check((struct expect){"GET", "/key/k?consistency=stale", NULL, NULL, 200, answer});
    assert_int_equal(fake_node.last_read.max_lag_ms, 0);
}

static void odd_read_parameters_are_400_and_a_foreign_token_409(void **state)
{
    (void)state;
#define BAD_TOKEN BAD_QUERY("token", "not a Conclave-Session")
#define NO_TOKEN  BAD_QUERY("token", "belongs to consistency=session, which needs it")
    static const struct expect rows[] = {
        {"GET", "/key/k?consistency=strong", NULL, NULL, 400,
         BAD_QUERY("consistency", "must be linearizable, session or stale")},
        {"GET", "/key/k?consistency=session", NULL, NULL, 400, NO_TOKEN},
        {"GET", "/key/k?token=" CLUSTER ".17", NULL, NULL, 400, NO_TOKEN},
        {"GET", "/key/k?consistency=session&token=17", NULL, NULL, 400, BAD_TOKEN},
        {"GET", "/key/k?consistency=session&token=" CLUSTER ".", NULL, NULL, 400, BAD_TOKEN},
        {"GET", "/key/k?consistency=session&token=" CLUSTER ".1x", NULL, NULL, 400, BAD_TOKEN},
        {"GET", "/key/k?consistency=session&token=" CLUSTER ":17", NULL, NULL, 400, BAD_TOKEN},
        {"GET", "/key/k?consistency=session&token=00000000-0000-0000-0000-000000000000.17", NULL,
         NULL, 409,
         "{\"error\":\"Foreign session token\",\"reason\":\"the token is of another cluster\"}"},
        {"GET", "/key/k?max-lag=10", NULL, NULL, 400,
         BAD_QUERY("max-lag", "belongs to consistency=stale")},
        {"GET", "/key/k?consistency=stale&max-lag=soon", NULL, NULL, 400,
         BAD_QUERY("max-lag", "must be a decimal number")},
        {"GET", "/key/k?consistency=stale&max-lag=0", NULL, NULL, 400,
         BAD_QUERY("max-lag", "too small")},
        {"GET", "/key/k?revision=0", NULL, NULL, 400, BAD_QUERY("revision", "too small")},
        {"GET", "/key/k?revision=-1", NULL, NULL, 400,
         BAD_QUERY("revision", "must be a decimal number")},
        {"GET", "/key/k?revision=18446744073709551616", NULL, NULL, 400,
         BAD_QUERY("revision", "must be a decimal number")},
        {"GET", "/key/k?ack=all", NULL, NULL, 400, BAD_QUERY("ack", "unknown")},
    };
    CHECK_EACH(rows);
}

static void a_read_that_fails_says_why(void **state)
{
    (void)state;
    fake_node.read_outcome = STATUS_BEHIND;
    check((struct expect){"GET", "/key/k", NULL, NULL, 503, "{\"error\":\"Behind\"}"});
    fake_node.read_outcome = STATUS_NO_QUORUM;
    check((struct expect){"GET", "/key/k", NULL, NULL, 503, "{\"error\":\"No quorum\"}"});
    fake_become_follower("");
    fake_node.read_outcome = STATUS_NOT_LEADER;
    check((struct expect){"GET", "/key/k", NULL, NULL, 503,
                          "{\"error\":\"No leader\",\"currentRole\":\"follower\","
                          "\"leaderId\":\"Unknown\","
                          "\"hint\":\"consistency=stale reads this member's own copy\"}"});
}

static void the_past_is_read_until_it_is_compacted(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    store("k", slice_str("2"));
    static const struct expect rows[] = {
        {"GET", "/key/k?revision=2", NULL, NULL, 200,
         "{\"key\":\"k\",\"value\":1,\"nodeRole\":\"leader\",\"revision\":2}"},
        {"GET", "/key/k?revision=1", NULL, NULL, 404,
         "{\"error\":\"Key not found\",\"key\":\"k\"}"},
        {"GET", "/key/k?revision=4", NULL, NULL, 400,
         "{\"error\":\"revision is in the future\",\"newest\":3}"},
    };
    CHECK_EACH(rows);
    struct kv_command compact = {.op = KV_COMPACT, .revision = 3};
    struct kv_result result;
    kv_apply(fake_node.kv, &compact, &result);
    assert_int_equal(result.status, STATUS_OK);
    check((struct expect){"GET", "/key/k?revision=2", NULL, NULL, 410,
                          "{\"error\":\"Compacted\",\"oldest\":3}"});
    check((struct expect){"GET", "/keys?revision=2", NULL, NULL, 410,
                          "{\"error\":\"Compacted\",\"oldest\":3}"});
}

/* --- the log ---------------------------------------------------------------------------------- */

static void row_a16_requests_are_logged_at_debug_only(void **state)
{
    (void)state;
    FILE *log = tmpfile();
    assert_non_null(log);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(log), STDERR_FILENO);
    static const struct expect rows[] = {
        {"PUT", "/key/k", NULL, "{\"a\":1}", 200,
         "{\"success\":true,\"key\":\"k\",\"value\":{\"a\":1},\"leaderId\":\"node-1\","
         "\"revision\":2}"},
        {"GET", "/key/k", NULL, NULL, 200,
         "{\"key\":\"k\",\"value\":{\"a\":1},\"nodeRole\":\"leader\",\"revision\":2}"},
        {"GET", "/key/none", NULL, NULL, 404, "{\"error\":\"Key not found\",\"key\":\"none\"}"},
        {"DELETE", "/key/k", NULL, NULL, 200,
         "{\"success\":true,\"key\":\"k\",\"leaderId\":\"node-1\",\"revision\":3}"},
        {"DELETE", "/key/k", NULL, NULL, 404, "{\"error\":\"Key not found\",\"key\":\"k\"}"},
    };
    check(rows[4]);
    log_init(&(struct log_options){.level = LOG_DEBUG});
    CHECK_EACH(rows);
    log_init(&(struct log_options){.level = LOG_INFO});
    dup2(saved, STDERR_FILENO);
    close(saved);
    char text[1024];
    rewind(log);
    text[fread(text, 1, sizeof(text) - 1, log)] = '\0';
    fclose(log);
    assert_string_equal(text, "SET k = {\"a\":1}\nGET k => {\"a\":1}\nGET none => null\n"
                              "DELETE k => success\nDELETE k => not found\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_a5_a7_what_was_put_is_read_as_it_came),
        REST_TEST(row_a6_bad_json_changes_nothing),
        REST_TEST(row_a8_a10_missing_and_deleted_keys_are_404),
        REST_TEST(row_a9_a_write_at_a_follower_is_503_and_names_the_leader),
        REST_TEST(row_a22_a_key_is_what_follows_the_path_decoded_once),
        REST_TEST(row_a22_odd_keys_are_refused_with_a_reason),
        REST_TEST(a_value_that_is_not_json_reads_as_text_or_base64),
        REST_TEST(conditions_hold_or_answer_412_with_the_current_revision),
        REST_TEST(a_412_tells_the_revision_that_the_condition_was_held_against),
        REST_TEST(a_condition_that_cannot_be_kept_is_400),
        REST_TEST(get_carries_an_etag_and_honours_if_none_match),
        REST_TEST(ack_says_how_far_and_the_answer_what_is_true),
        REST_TEST(every_failure_of_a_write_has_its_status),
        REST_TEST(parameters_that_are_not_known_are_refused),
        REST_TEST(a_client_that_goes_away_is_forgotten),
        REST_TEST(a_stopping_api_forgets_what_waits),
        REST_TEST(consistency_reaches_the_node_as_asked),
        REST_TEST(odd_read_parameters_are_400_and_a_foreign_token_409),
        REST_TEST(a_read_that_fails_says_why),
        REST_TEST(the_past_is_read_until_it_is_compacted),
        REST_TEST(row_a16_requests_are_logged_at_debug_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
