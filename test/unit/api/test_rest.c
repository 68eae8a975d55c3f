/* The table of paths, the headers of every answer, and everything that is not a key. */
#include "rest_asserts.h"

#include "api/etcd_call.h"

#include <stdio.h>

#define NOT_FOUND "{\"error\":\"Not found\"}"

static void row_a13_unknown_paths_and_methods_are_404(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/key/x", NULL, "1", 404, NOT_FOUND},
        {"PATCH", "/key/x", NULL, "1", 404, NOT_FOUND},
        {"GET", "/key", NULL, NULL, 404, NOT_FOUND},
        {"GET", "//", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/Status", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/status/", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/%73tatus", NULL, NULL, 404, NOT_FOUND},
        {"GET", "", NULL, NULL, 404, NOT_FOUND},
        {"GET", "*", NULL, NULL, 404, NOT_FOUND},
        {"DELETE", "/keys", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/step-down", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/election", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/peer", NULL, NULL, 404, NOT_FOUND},
        {"GET", "/nope?x=1", NULL, NULL, 404, NOT_FOUND},
    };
    CHECK_EACH(rows);
}

static void rows_a14_a15_b5_b6_the_old_paths_between_nodes_are_404(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/internal/heartbeat", NULL, "{\"term\":99}", 404, NOT_FOUND},
        {"POST", "/internal/replicate", NULL, "{\"term\":99}", 404, NOT_FOUND},
        {"POST", "/vote-request", NULL, "{\"term\":99}", 404, NOT_FOUND},
        {"POST", "/heartbeat", NULL, "{\"term\":99}", 404, NOT_FOUND},
        {"POST", "/replicate", NULL, "{\"content\":\"x\"}", 404, NOT_FOUND},
        {"POST", "/new-master", NULL, "{\"id\":1}", 404, NOT_FOUND},
    };
    CHECK_EACH(rows);
}

static void an_unknown_parameter_is_400_everywhere(void **state)
{
    (void)state;
    static const char *const paths[] = {"/status?x",  "/cluster?x", "/leader?x", "/livez?x",
                                        "/readyz?x",  "/health?x",  "/ping?x",   "/version?x",
                                        "/key/a?x=1", "/keys?&x&",  "/?x"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        check((struct expect){"GET", paths[i], NULL, NULL, 400,
                              "{\"error\":\"Bad query parameter\",\"parameter\":\"x\","
                              "\"reason\":\"unknown\"}"});
    }
}

/* --- headers ---------------------------------------------------------------------------------- */

static void assert_common_headers(const char *method, const char *target, const char *headers,
                                  const char *expected)
{
    struct buf got = {0};
    struct asked *a = ask(method, target, headers, slice_of(NULL, 0));
    fake_turn();
    common_headers_of(a, &got);
    assert_string_equal((const char *)got.data, expected);
    buf_deinit(&got);
    forget(a);
}

#define CONCLAVE_HEADERS                                                                           \
    "Conclave-Revision: 2\r\nConclave-Term: 3\r\nConclave-Node: node-1\r\n"                        \
    "Conclave-Session: abababab-abab-abab-abab-abababababab.2\r\n"
#define ALLOW_ORIGIN(origin) "Access-Control-Allow-Origin: " origin "\r\n"
#define ALLOW_REST                                                                                 \
    "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"                            \
    "Access-Control-Allow-Headers: Content-Type\r\n"

static void row_a11_every_answer_carries_the_headers(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    static const char *const targets[] = {"/key/k",   "/key/none", "/keys",   "/status",
                                          "/cluster", "/nope",     "/key/%zz"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        assert_common_headers("GET", targets[i], "Origin: http://evil\n",
                              CONCLAVE_HEADERS ALLOW_ORIGIN("*") ALLOW_REST);
    }
    struct buf got = {0};
    common_headers_of(NULL, &got);
    assert_string_equal((const char *)got.data, CONCLAVE_HEADERS ALLOW_ORIGIN("*") ALLOW_REST);
    buf_deinit(&got);
}

static void row_a12_options_is_200_and_empty_on_any_path(void **state)
{
    (void)state;
    static const char *const targets[] = {"/key/k", "/nope", "*", "/step-down", "/key/%zz?x"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        check((struct expect){"OPTIONS", targets[i], NULL, NULL, 200, ""});
    }
}

#define FOREIGN_WRITE                                                                              \
    "{\"error\":\"Foreign origin\","                                                               \
    "\"reason\":\"--cors-origin does not name the origin of this web page\"}"

static void a_web_page_of_another_origin_may_not_administer(void **state)
{
    (void)state;
    store("k", slice_str("1"));
#define FOREIGN                                                                                    \
    "{\"error\":\"Foreign origin\","                                                               \
    "\"reason\":\"a web page of another origin may not administer\"}"
    static const struct expect rows[] = {
        {"POST", "/step-down", "Host: a:1\nOrigin: http://evil\n", NULL, 403, FOREIGN},
        {"POST", "/election", "Host: a:1\nOrigin: null\n", NULL, 403, FOREIGN},
        {"POST", "/election", "Host: a:1\nOrigin: http://a:11\n", NULL, 403, FOREIGN},
        {"POST", "/election", "Host: a:1\nOrigin: ftp://a:1\n", NULL, 403, FOREIGN},
        {"POST", "/election", "Origin: http://\n", NULL, 403, FOREIGN},
        {"POST", "/election", "Host: a:1\nOrigin: http://A:1\n", NULL, 200, "OK"},
        {"POST", "/election", "Host: a:1\nOrigin: https://a:1\n", NULL, 200, "OK"},
        {"POST", "/election", "Host: a:1\n", NULL, 200, "OK"},
    };
    CHECK_EACH(rows);
    assert_int_equal(fake_node.campaigns, 3);
    assert_null(fake_node.step_down);
    assert_common_headers("POST", "/election", "Origin: http://evil\n",
                          CONCLAVE_HEADERS ALLOW_REST);
    assert_common_headers("OPTIONS", "/step-down", "Origin: http://evil\n",
                          CONCLAVE_HEADERS ALLOW_REST);
}

/* The name of a web page that was made to resolve to this member (DNS rebinding). */
static void a_request_under_the_name_of_another_is_refused(void **state)
{
    (void)state;
#define UNKNOWN                                                                                    \
    "{\"error\":\"Unknown host\","                                                                 \
    "\"reason\":\"Host is not a name of this member: see --allowed-hosts\"}"
    static const struct expect rows[] = {
        {"GET", "/ping", "Host: evil.example\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: evil.example:4001\nOrigin: http://evil.example:4001\n", NULL, 403,
         UNKNOWN},
        {"GET", "/nope", "Host: evil.example.\n", NULL, 403, UNKNOWN},
        {"OPTIONS", "/ping", "Host: 127.0.0.1.evil.example\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: localhost.evil.example\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: xdb.example.org\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: 127.0.0.1:4001\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: [::1]:4001\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: LocalHost\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: a.localhost:1\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: node-1:4001\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: DB.example.org:4000\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: \n", NULL, 200, "pong"},
        {"GET", "/ping", NULL, NULL, 200, "pong"},
    };
    static const struct expect listed[] = {
        {"GET", "/ping", "Host: c.example:1\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: x.example.net\n", NULL, 200, "pong"},
        {"GET", "/ping", "Host: example.net\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: xexample.net\n", NULL, 403, UNKNOWN},
        {"GET", "/ping", "Host: cc.example\n", NULL, 403, UNKNOWN},
    };
    fake_restart_for_hosts(NULL);
    CHECK_EACH(rows);
    fake_restart_for_hosts("b.example, c.example,.example.net,");
    CHECK_EACH(listed);
    fake_restart_for_hosts("*");
    check((struct expect){"GET", "/ping", "Host: evil.example\n", NULL, 200, "pong"});
}

static void the_setting_of_the_origin_is_obeyed(void **state)
{
    (void)state;
    store("k", slice_str("1"));
    fake_restart("none", NODE_ACK_QUORUM);
    assert_common_headers("GET", "/key/k", "Origin: http://app\n", CONCLAVE_HEADERS);
    check((struct expect){"POST", "/election", "Origin: http://app\n", NULL, 403, FOREIGN});
    check((struct expect){"POST", "/write", "Origin: http://app\n", "{\"content\":\"x\"}", 403,
                          FOREIGN_WRITE});
    check((struct expect){"PUT", "/key/k", "Origin: null\n", "1", 403, FOREIGN_WRITE});
    fake_restart("*", NODE_ACK_QUORUM);
    assert_common_headers("GET", "/key/k", NULL, CONCLAVE_HEADERS ALLOW_ORIGIN("*") ALLOW_REST);
    check((struct expect){"POST", "/election", "Origin: http://app\n", NULL, 403, FOREIGN});
    check((struct expect){"POST", "/election", "Origin: *\n", NULL, 403, FOREIGN});
    fake_restart("http://app", NODE_ACK_QUORUM);
    assert_common_headers("GET", "/key/k", NULL,
                          CONCLAVE_HEADERS ALLOW_ORIGIN("http://app") ALLOW_REST);
    check((struct expect){"POST", "/election", "Origin: http://app\n", NULL, 200, "OK"});
    check((struct expect){"POST", "/election", "Origin: http://app2\n", NULL, 403, FOREIGN});
    assert_common_headers("POST", "/election", "Origin: http://app\n",
                          CONCLAVE_HEADERS ALLOW_ORIGIN("http://app") ALLOW_REST);
}

static void what_the_server_refuses_has_the_same_form(void **state)
{
    (void)state;
    const struct http_handler *h = api_handler(fake_api);
    struct buf body = {0};
    h->on_bad(h->context, 413, "the \"body\" is too long", &body);
    assert_same("body", &body,
                "{\"error\":\"Content Too Large\",\"reason\":\"the \\\"body\\\" is too long\"}");
    buf_clear(&body);
    h->on_bad(h->context, 429, "Too many", &body);
    assert_same("body", &body, "{\"error\":\"overloaded\",\"reason\":\"Too many\"}");
    buf_deinit(&body);
    struct http_request put = {.method = HTTP_PUT};
    struct http_request post = {.method = HTTP_POST};
    assert_int_equal(h->body_bytes_max(h->context, &put), LIMIT_VALUE_BYTES_DEFAULT);
    assert_int_equal(h->body_bytes_max(h->context, &post), 64 * 1024);
}

static bool is_vital(enum http_method method, const char *path)
{
    const struct http_handler *h = api_handler(fake_api);
    struct http_request r = {.method = method, .path = slice_str(path)};
    return h->is_vital(h->context, &r);
}

static void probes_are_heard_when_there_are_too_many_connections(void **state)
{
    (void)state;
    static const char *const probes[] = {"/livez",  "/readyz", "/health", "/ping",
                                         "/leader", "/status", "/metrics"};
    for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
        assert_true(is_vital(HTTP_GET, probes[i]));
        assert_true(is_vital(HTTP_HEAD, probes[i]));
        assert_false(is_vital(HTTP_POST, probes[i]));
    }
    assert_false(is_vital(HTTP_GET, "/key/livez"));
    assert_false(is_vital(HTTP_GET, "/keys"));
    assert_false(is_vital(HTTP_GET, "/live"));
    assert_false(is_vital(HTTP_PUT, "/key/k"));
}

static void a_write_that_would_be_refused_is_known_by_its_head(void **state)
{
    (void)state;
    const struct http_handler *h = api_handler(fake_api);
    struct http_request put = {.method = HTTP_PUT};
    struct http_request post = {.method = HTTP_POST};
    fake_node.overload_bytes = 100;
    assert_false(h->is_overloaded(h->context, &put, 99));
    assert_true(h->is_overloaded(h->context, &put, 100));
    assert_false(h->is_overloaded(h->context, &post, 100)); /* it may be a read */
}

static void who_is_overloaded_says_when_to_come_again(void **state)
{
    (void)state;
    fake_node.write_start = STATUS_OVERLOADED;
    struct asked *a = ask("PUT", "/key/k", NULL, slice_str("1"));
    assert_int_equal(a->status, 429);
    assert_same("headers", &a->extra, "Retry-After: 1\r\n");
    forget(a);
}

static void expect_status(const char *path, int http_status)
{
    struct asked *a = ask("GET", path, NULL, slice_of(NULL, 0));
    assert_int_equal(a->status, http_status);
    forget(a);
}

static void rule_o4_no_large_answers_are_made_while_too_many_wait(void **state)
{
    (void)state;
    static uint8_t large[LIMIT_CROWDED_ANSWER_BYTES + 1];
    memset(large, '1', sizeof(large));
    store("large", slice_of(large, sizeof(large)));
    store("small", slice_str("1"));
    fake_unsent.bytes = LIMIT_UNSENT_BYTES;
    expect_status("/key/large", 200);
    expect_status("/keys", 200);
    fake_unsent.bytes++;
    expect_status("/key/large", 429);
    expect_status("/key/small", 200);
    expect_status("/keys?values=true", 429);
    check((struct expect){"GET", "/keys", NULL, NULL, 200,
                          "{\"keys\":[{\"key\":\"large\",\"revision\":2},"
                          "{\"key\":\"small\",\"revision\":3}],\"more\":false,\"next\":null}"});
    check((struct expect){"GET", "/read", NULL, NULL, 200, "[]"});
}

static void members_are_taken_over_on_the_peer_path_only(void **state)
{
    (void)state;
    const struct http_handler *h = api_handler(fake_api);
    struct http_request r = {.method = HTTP_GET, .path = slice_str("/peer")};
    struct conn conn = {0};
    assert_true(h->wants_upgrade(h->context, &r, slice_str("conclave-peer/1")));
    assert_false(h->wants_upgrade(h->context, &r, slice_str("conclave-peer/2")));
    assert_false(h->wants_upgrade(h->context, &r, slice_str("websocket")));
    h->on_upgrade(h->context, &r, slice_str("conclave-peer/1"), &conn, slice_of(NULL, 0));
    assert_ptr_equal(fake_node.peer, &conn);
    r.method = HTTP_POST;
    assert_false(h->wants_upgrade(h->context, &r, slice_str("conclave-peer/1")));
    r = (struct http_request){.method = HTTP_GET, .path = slice_str("/peer/")};
    assert_false(h->wants_upgrade(h->context, &r, slice_str("conclave-peer/1")));
}

/* --- who is who ------------------------------------------------------------------------------- */

#define PEERS                                                                                      \
    "\"peers\":[{\"id\":\"node-2\",\"url\":\"http://127.0.0.1:4002\"},"                            \
    "{\"id\":\"node-3\",\"url\":\"http://127.0.0.1:4003\"}]"

static void row_a4_status_says_who_and_what(void **state)
{
    (void)state;
    store("b", slice_str("1"));
    store("a", slice_str("1"));
    check((struct expect){
        "GET", "/status", NULL, NULL, 200,
        "{\"nodeId\":\"node-1\",\"id\":\"node-1\",\"role\":\"leader\",\"state\":\"LEADER\","
        "\"clusterId\":\"abababab-abab-abab-abab-abababababab\",\"term\":3,"
        "\"leaderId\":\"node-1\",\"leaderUrl\":\"http://127.0.0.1:4001\","
        "\"totalKeys\":2,\"keys\":[\"a\",\"b\"],\"keysTruncated\":false,\"revision\":3,"
        "\"commitIndex\":12,\"appliedIndex\":11,"
        "\"load\":{\"connections\":10,\"requestsPerSecond\":0.000,\"loopUtilisation\":0.250}," PEERS
        ",\"uptimeMs\":5000,\"version\":\"" CONCLAVE_VERSION "\"}"});
}

static void rules_p4_p12_status_says_what_is_wrong_and_only_then(void **state)
{
    (void)state;
    static const char *const words[] = {"\"joining\":true", "\"recovering\":true",
                                        "\"outOfSpace\":true"};
    bool *const flags[] = {&fake_node.status.joining, &fake_node.status.recovering,
                           &fake_node.status.no_space};
    for (size_t i = 0; i < 3; i++) {
        for (int is = 0; is < 2; is++) {
            *flags[i] = is != 0;
            struct asked *a = ask("GET", "/status", NULL, slice_of(NULL, 0));
            buf_append_byte(&a->body, 0);
            assert_int_equal(strstr((const char *)a->body.data, words[i]) != NULL, is);
            forget(a);
        }
    }
}

static void status_answers_while_founding(void **state)
{
    (void)state;
    struct node_status *s = &fake_node.status;
    s->founding = true;
    s->role = NULL;
    s->term = 0;
    s->leader[0] = '\0';
    s->leader_url[0] = '\0';
    s->commit_index = 0;
    s->applied_index = 0;
    memset(&s->cluster, 0, sizeof(s->cluster));
    check((struct expect){
        "GET", "/status", NULL, NULL, 200,
        "{\"nodeId\":\"node-1\",\"id\":\"node-1\",\"role\":null,\"state\":\"FOUNDING\","
        "\"clusterId\":null,\"term\":0,\"leaderId\":null,\"leaderUrl\":null,"
        "\"totalKeys\":0,\"keys\":[],\"keysTruncated\":false,\"revision\":1,"
        "\"commitIndex\":0,\"appliedIndex\":0,"
        "\"load\":{\"connections\":10,\"requestsPerSecond\":0.000,\"loopUtilisation\":0.250}," PEERS
        ",\"uptimeMs\":5000,\"version\":\"" CONCLAVE_VERSION "\","
        "\"founding\":\"waiting for node-3\"}"});
}

static uint32_t count_text(const struct buf *b, const char *text)
{
    uint32_t count = 0;
    const uint8_t *at = b->data;
    const uint8_t *end = b->data + b->size;
    while ((at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        count++;
        at++;
    }
    return count;
}

static void status_shows_the_first_thousand_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 1001; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%04d", i);
        store(key, slice_str("1"));
    }
    struct asked *a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_int_equal(count_text(&a->body, "\"k"), 1000 + 2); /* and "keys", "keysTruncated" */
    assert_int_equal(count_text(&a->body, "\"k0999\"],\"keysTruncated\":true"), 1);
    assert_int_equal(count_text(&a->body, "\"totalKeys\":1001,"), 1);
    forget(a);
}

static void load_counts_requests_per_second(void **state)
{
    (void)state;
    fake_second(150, 100);
    struct asked *a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_int_equal(count_text(&a->body, "\"requestsPerSecond\":250.000,"), 1);
    forget(a);
    fake_second(0, 0);
    a = ask("GET", "/status", NULL, slice_of(NULL, 0));
    assert_int_equal(count_text(&a->body, "\"requestsPerSecond\":0.000,"), 1);
    forget(a);
}

static void add_survey(const char *role, bool online, uint64_t term, uint64_t applied)
{
    uint32_t i = fake_node.survey_count++;
    struct node_survey_item *item = &fake_node.survey_items[i];
    *item = (struct node_survey_item){.member = fake_node.status.members[i],
                                      .online = online,
                                      .role = role,
                                      .term = term,
                                      .applied_index = applied,
                                      .last_contact_ms = i > 0 ? 20 : 0};
    snprintf(item->leader, sizeof(item->leader), "%s", online ? "node-2" : "");
}

#define LEADER_ITEM                                                                                \
    "{\"id\":\"node-2\",\"url\":\"http://127.0.0.1:4002\",\"port\":4002,\"role\":\"leader\","      \
    "\"state\":\"LEADER\",\"term\":5,\"leaderId\":\"node-2\",\"online\":true,\"lagEntries\":0,"    \
    "\"lastContactMs\":20}"

static void row_b3_cluster_lists_every_member_and_the_leader_of_the_highest_term(void **state)
{
    (void)state;
    add_survey("leader", true, 4, 30); /* has not heard of its successor yet */
    add_survey("leader", true, 5, 42);
    add_survey(NULL, false, 0, 0);
    fake_node.survey_items[2].last_contact_ms = UINT64_MAX;
    check((struct expect){
        "GET", "/cluster", NULL, NULL, 200,
        "{\"cluster\":["
        "{\"id\":\"node-1\",\"url\":\"http://127.0.0.1:4001\",\"port\":4001,\"role\":\"leader\","
        "\"state\":\"LEADER\",\"term\":4,\"leaderId\":\"node-2\",\"online\":true,"
        "\"lagEntries\":12,\"lastContactMs\":0}," LEADER_ITEM ","
        "{\"id\":\"node-3\",\"url\":\"http://127.0.0.1:4003\",\"port\":4003,\"role\":null,"
        "\"state\":\"OFFLINE\",\"term\":null,\"leaderId\":null,\"online\":false,"
        "\"lagEntries\":null,\"lastContactMs\":null,\"error\":\"no answer\"}],"
        "\"leader\":" LEADER_ITEM ",\"term\":5}"});
}

static void cluster_without_a_leader_and_while_founding(void **state)
{
    (void)state;
    fake_node.status.members[0].url[0] = '\0';
    add_survey(NULL, true, 0, 0);
    fake_node.survey_items[0].leader[0] = '\0';
    check((struct expect){"GET", "/cluster", NULL, NULL, 200,
                          "{\"cluster\":[{\"id\":\"node-1\",\"url\":\"\",\"port\":null,"
                          "\"role\":null,\"state\":\"FOUNDING\",\"term\":0,\"leaderId\":null,"
                          "\"online\":true,\"lagEntries\":null,\"lastContactMs\":0}],"
                          "\"leader\":null,\"term\":0}"});
}

static void leader_is_200_only_at_the_leader(void **state)
{
    (void)state;
    check((struct expect){
        "GET", "/leader", NULL, NULL, 200,
        "{\"leaderId\":\"node-1\",\"leaderUrl\":\"http://127.0.0.1:4001\",\"term\":3}"});
    fake_become_follower("node-2");
    check((struct expect){
        "GET", "/leader", NULL, NULL, 503,
        "{\"leaderId\":\"node-2\",\"leaderUrl\":\"http://127.0.0.1:4002\",\"term\":3}"});
    fake_become_follower("");
    check((struct expect){"HEAD", "/leader", NULL, NULL, 503,
                          "{\"leaderId\":null,\"leaderUrl\":null,\"term\":3}"});
}

static void row_c2_ping_is_pong_and_version_tells_itself(void **state)
{
    (void)state;
    check((struct expect){"GET", "/ping", NULL, NULL, 200, "pong"});
    check((struct expect){"GET", "/version", NULL, NULL, 200,
                          "{\"name\":\"conclave\",\"version\":\"" CONCLAVE_VERSION "\","
                          "\"etcdserver\":\"" ETCD_SERVER_VERSION "\","
                          "\"etcdcluster\":\"" ETCD_CLUSTER_VERSION "\"}"});
}

/* --- leadership ------------------------------------------------------------------------------- */

static void row_b4_step_down_answers_once_another_leads(void **state)
{
    (void)state;
#define DONE "{\"message\":\"Stepped down successfully\"}"
    struct asked *a = ask("POST", "/step-down", NULL, slice_of(NULL, 0));
    assert_false(a->done);
    assert_string_equal(fake_node.step_down->to, "");
    fake_turn();
    assert_answered(a, 200, DONE);
    forget(a);
    a = ask("POST", "/step-down", NULL, slice_str("{\"to\":\"node-3\"}"));
    assert_string_equal(fake_node.step_down->to, "node-3");
    fake_turn();
    assert_answered(a, 200, DONE);
    forget(a);
    check((struct expect){"POST", "/step-down", NULL, " {} ", 200, DONE});
}

static void a_step_down_that_cannot_be_says_why(void **state)
{
    (void)state;
#define BAD_BODY "{\"error\":\"Bad request\",\"reason\":\"the body is {} or {\\\"to\\\": NAME}\"}"
    static const struct expect rows[] = {
        {"POST", "/step-down", NULL, "{", 400, "{\"error\":\"Invalid JSON\"}"},
        {"POST", "/step-down", NULL, "[]", 400, BAD_BODY},
        {"POST", "/step-down", NULL, "{\"to\":1}", 400, BAD_BODY},
        {"POST", "/step-down", NULL, "null", 400, BAD_BODY},
        {"POST", "/step-down", NULL, "{\"to\":\"node-2\\u0000\"}", 400, BAD_BODY},
        {"POST", "/step-down", NULL, "{\"to\":\"node-2\",\"to\":\"node-3\"}", 400,
         "{\"error\":\"Bad request\",\"reason\":\"a field is there twice; the body is {} or "
         "{\\\"to\\\": NAME}\"}"},
        {"POST", "/step-down", NULL, "{\"too\":\"node-2\"}", 400, BAD_BODY},
        {"POST", "/step-down", NULL,
         "{\"to\":\"n23456789012345678901234567890123456789012345678901234567890123456\"}", 400,
         BAD_BODY},
    };
    CHECK_EACH(rows);
    assert_null(fake_node.step_down);
    fake_node.step_down_outcome = STATUS_TIMEOUT;
    check((struct expect){
        "POST", "/step-down", NULL, NULL, 503,
        "{\"error\":\"Still leading\","
        "\"reason\":\"no other member was caught up within an election timeout\"}"});
    fake_node.step_down_start = STATUS_CONFLICT;
    check((struct expect){"POST", "/step-down", NULL, "{\"to\":\"node-1\"}", 400,
                          "{\"error\":\"Already leading\",\"to\":\"node-1\"}"});
    fake_node.step_down_start = STATUS_NOT_FOUND;
    check((struct expect){"POST", "/step-down", NULL, "{\"to\":\"x\"}", 400,
                          "{\"error\":\"No such voter\",\"to\":\"x\"}"});
    fake_node.step_down_start = STATUS_BUSY;
    check((struct expect){"POST", "/step-down", NULL, NULL, 409,
                          "{\"error\":\"Leadership is being handed over\"}"});
    fake_become_follower("node-2");
    fake_node.step_down_start = STATUS_NOT_LEADER;
    check((struct expect){"POST", "/step-down", NULL, NULL, 400,
                          "{\"error\":\"Not currently leader\",\"currentRole\":\"follower\","
                          "\"leaderId\":\"node-2\",\"leaderUrl\":\"http://127.0.0.1:4002\"}"});
}

/* --- probes and the front page ---------------------------------------------------------------- */

static void probes_say_ok_or_the_reason(void **state)
{
    (void)state;
    fake_node.checks[0] = (struct node_check){.name = "founded", .ok = true};
    fake_node.checks[1] = (struct node_check){.name = "leader", .ok = true};
    fake_node.check_count = 2;
    static const struct expect good[] = {
        {"GET", "/livez", NULL, NULL, 200, "ok"},
        {"GET", "/readyz", NULL, NULL, 200, "ok"},
        {"GET", "/readyz?verbose", NULL, NULL, 200, "[+]founded ok\n[+]leader ok\nready\n"},
        {"GET", "/health", NULL, NULL, 200, "{\"health\":\"true\",\"reason\":\"\"}"},
    };
    CHECK_EACH(good);
    fake_node.live = false;
    fake_node.checks[1].ok = false;
    snprintf(fake_node.checks[1].detail, sizeof(fake_node.checks[1].detail), "none known");
    static const struct expect bad[] = {
        {"GET", "/livez", NULL, NULL, 503, "the loop hangs"},
        {"GET", "/readyz", NULL, NULL, 503, "leader: none known"},
        {"GET", "/readyz?verbose", NULL, NULL, 503,
         "[+]founded ok\n[-]leader failed: none known\nnot ready\n"},
        {"GET", "/health", NULL, NULL, 503, "{\"health\":\"false\",\"reason\":\"none known\"}"},
    };
    CHECK_EACH(bad);
}

static void the_front_page_is_html_for_browsers_and_text_for_curl(void **state)
{
    (void)state;
    struct asked *a =
        ask("GET", "/", "Accept: text/html,application/xml;q=0.9\n", slice_of(NULL, 0));
    assert_int_equal(a->status, 200);
    assert_same("type", &a->type, "text/html; charset=utf-8");
    assert_int_equal(count_text(&a->body, "<a href=\"/status\">"), 1);
    forget(a);
    static const char *const others[] = {"Accept: */*\n", NULL};
    for (size_t i = 0; i < 2; i++) {
        a = ask("GET", "/", others[i], slice_of(NULL, 0));
        assert_same("type", &a->type, "text/plain; charset=utf-8");
        assert_same("vary", &a->extra, "Vary: Accept\r\n");
        assert_int_equal(count_text(&a->body, "PUT /key/{key}"), 1);
        assert_int_equal(count_text(&a->body, "member node-1"), 1);
        forget(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_a13_unknown_paths_and_methods_are_404),
        REST_TEST(rows_a14_a15_b5_b6_the_old_paths_between_nodes_are_404),
        REST_TEST(an_unknown_parameter_is_400_everywhere),
        REST_TEST(row_a11_every_answer_carries_the_headers),
        REST_TEST(row_a12_options_is_200_and_empty_on_any_path),
        REST_TEST(a_web_page_of_another_origin_may_not_administer),
        REST_TEST(the_setting_of_the_origin_is_obeyed),
        REST_TEST(a_request_under_the_name_of_another_is_refused),
        REST_TEST(what_the_server_refuses_has_the_same_form),
        REST_TEST(probes_are_heard_when_there_are_too_many_connections),
        REST_TEST(a_write_that_would_be_refused_is_known_by_its_head),
        REST_TEST(who_is_overloaded_says_when_to_come_again),
        REST_TEST(rule_o4_no_large_answers_are_made_while_too_many_wait),
        REST_TEST(members_are_taken_over_on_the_peer_path_only),
        REST_TEST(row_a4_status_says_who_and_what),
        REST_TEST(rules_p4_p12_status_says_what_is_wrong_and_only_then),
        REST_TEST(status_answers_while_founding),
        REST_TEST(status_shows_the_first_thousand_keys),
        REST_TEST(load_counts_requests_per_second),
        REST_TEST(row_b3_cluster_lists_every_member_and_the_leader_of_the_highest_term),
        REST_TEST(cluster_without_a_leader_and_while_founding),
        REST_TEST(leader_is_200_only_at_the_leader),
        REST_TEST(row_c2_ping_is_pong_and_version_tells_itself),
        REST_TEST(row_b4_step_down_answers_once_another_leads),
        REST_TEST(a_step_down_that_cannot_be_says_why),
        REST_TEST(probes_say_ok_or_the_reason),
        REST_TEST(the_front_page_is_html_for_browsers_and_text_for_curl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
