/* Calls of the etcd v3 API, whatever they ask for: how they come, how they are answered and
 * refused. */
#include "etcd_asserts.h"

#define LIST "/etcdserverpb.Cluster/MemberList"

/* --- the gateway ------------------------------------------------------------------------------ */

static void a_route_answers_under_each_of_its_prefixes(void **state)
{
    (void)state;
    static const struct expect rows[] = {
        {"POST", "/v3/cluster/member/list", NULL, "{}", 200, "{" HEADER_AT("1") "}"},
        {"POST", "/v3beta/cluster/member/list", NULL, "{}", 200, "{" HEADER_AT("1") "}"},
        {"POST", "/v3alpha/cluster/member/list", NULL, NULL, 200, "{" HEADER_AT("1") "}"},
        {"POST", "/v3/cluster/member/list?x=1", NULL, " ", 200, "{" HEADER_AT("1") "}"},
        {"POST", "/v3/cluster/member/list", NULL, "null", 200, "{" HEADER_AT("1") "}"},
        {"POST", "/v3/cluster/member/lis", NULL, "{}", 404, ETCD_ERROR_TEXT("5", "Not Found")},
        {"POST", "/v3/", NULL, "{}", 404, ETCD_ERROR_TEXT("5", "Not Found")},
        {"GET", "/v3/cluster/member/list", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"POST", "/v3", NULL, "{}", 404, "{\"error\":\"Not found\"}"},
    };
    CHECK_EACH(rows);
}

static void bad_json_is_refused_with_code_3(void **state)
{
    (void)state;
    post(
        "/cluster/member/list", "{\"linearizable\":1}", 400,
        ETCD_ERROR_TEXT("3", "json: cannot unmarshal number into field linearizable of type bool"));
    post("/cluster/member/list", "{\"linearizable\"", 400, ETCD_ERROR_TEXT("3", "unexpected EOF"));
}

static void web_pages_of_other_origins_may_not(void **state)
{
    (void)state;
    static const char refusal[] =
        "{\"error\":\"Foreign origin\",\"reason\":\"a web page of another "
        "origin may not administer\"}";
    static const struct expect rows[] = {
        {"POST", "/v3/kv/put", "Origin: http://evil\nHost: a:1\n", "{}", 403, refusal},
        {"POST", "/v3beta/kv/put", "Origin: http://evil\nHost: a:1\n", "{}", 403, refusal},
        {"POST", "/v3/cluster/member/list", "Origin: http://a:1\nHost: a:1\n", "{}", 200,
         "{" HEADER_AT("1") "}"},
    };
    CHECK_EACH(rows);
}

static void a_body_may_be_as_long_as_a_request_and_base64_make_it(void **state)
{
    (void)state;
    struct http_request r = {.method = HTTP_POST, .path = slice_str("/v3/kv/put")};
    const struct http_handler *handler = api_handler(fake_api);
    assert_int_equal(handler->body_bytes_max(handler->context, &r), LIMIT_ETCD_JSON_BYTES);
}

static void clients_find_their_versions_and_health(void **state)
{
    (void)state;
    struct asked *a = ask("GET", "/version", NULL, slice_of(NULL, 0));
    buf_append_byte(&a->body, 0);
    assert_non_null(strstr((char *)a->body.data, "\"etcdserver\":\"3.5."));
    assert_non_null(strstr((char *)a->body.data, "\"etcdcluster\":\"3.5.0\""));
    forget(a);
    fake_node.check_count = 0;
    check((struct expect){"GET", "/health", NULL, NULL, 200,
                          "{\"health\":\"true\",\"reason\":\"\"}"});
}

static void metadata_comes_as_headers_of_the_gateway(void **state)
{
    (void)state;
    fake_node.status.leader[0] = '\0';
    check((struct expect){"POST", "/v3/cluster/member/list", "Grpc-Metadata-hasleader: true\n",
                          "{}", 503, ETCD_ERROR_TEXT("14", "etcdserver: no leader")});
    post("/cluster/member/list", "{}", 200, "{" HEADER_AT("1") "}");
}

/* --- gRPC ------------------------------------------------------------------------------------- */

static void a_call_is_answered_with_one_message(void **state)
{
    (void)state;
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    struct called *c = call_rpc(LIST, &request.base);
    assert_ended(c, GRPC_OK, "");
    assert_int_equal(c->message_count, 1);
    Etcdserverpb__MemberListResponse *r =
        message_of(c, 0, &etcdserverpb__member_list_response__descriptor);
    assert_true(r->header->cluster_id == 12370169555311111083u);
    assert_true(r->header->member_id == 1);
    assert_int_equal(r->header->revision, 1);
    assert_int_equal(r->header->raft_term, 3);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    call_forget(c);
}

static void unknown_methods_are_told_from_unknown_services(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *text;
    } rows[] = {
        {"/etcdserverpb.Cluster/Nothing", "method"},
        {"/etcdserverpb.Nothing/MemberList", "service"},
        {"/", "service"},
        {"", "service"},
        {"/etcdserverpb.Cluster/MemberList/", "service"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct called *c = call_begin_rpc(rows[i].path, NULL, NULL);
        assert_true(c->is_unknown);
        assert_ended(c, GRPC_UNIMPLEMENTED, rows[i].text);
        call_forget(c);
    }
}

static void bad_protobuf_is_refused_as_etcd_does(void **state)
{
    (void)state;
    struct called *c = call_begin_rpc(LIST, NULL, NULL);
    call_send_bytes(c, slice_str("\x0b"));
    assert_ended(c, GRPC_INTERNAL, "grpc: error unmarshalling request");
    call_forget(c);
    c = call_begin_rpc(LIST, NULL, NULL);
    call_half_close(c);
    assert_ended(c, GRPC_INTERNAL, "grpc: the request has no message");
    call_forget(c);
}

static void rule_o1_a_request_of_too_many_fields_is_refused(void **state)
{
    (void)state;
    struct buf bytes = {0};
    for (unsigned i = 0; i <= LIMIT_PROTOBUF_FIELDS; i++) {
        buf_append(&bytes, "\x08", 2);
    }
    struct called *c = call_begin_rpc(LIST, NULL, NULL);
    call_send_bytes(c, buf_slice(&bytes));
    assert_ended(c, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large");
    call_forget(c);
    buf_deinit(&bytes);
}

static void a_call_that_asks_for_a_leader_needs_one(void **state)
{
    (void)state;
    fake_node.status.leader[0] = '\0';
    struct called *c = call_begin_rpc(LIST, "hasleader", "true");
    call_send_bytes(c, slice_of(NULL, 0));
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: no leader");
    call_forget(c);
}

static void what_a_client_that_is_gone_waited_for_is_given_up(void **state)
{
    (void)state;
    fake_node.reads_wait = true;
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    struct called *c = call_rpc(LIST, &request.base);
    assert_false(c->done);
    call_reset(c);
    assert_int_equal(fake_node.cancels, 1);
    call_forget(c);
    struct asked *a =
        ask("POST", "/v3/cluster/member/list", NULL, slice_str("{\"linearizable\":true}"));
    hang_up(a);
    assert_int_equal(fake_node.cancels, 2);
    a->done = true;
    a->http.user = NULL;
    a->http.on_gone = NULL;
    forget(a);
}

static void the_end_of_the_api_ends_its_calls(void **state)
{
    (void)state;
    fake_node.reads_wait = true;
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    struct called *c = call_rpc(LIST, &request.base);
    fake_restart(NULL, NODE_ACK_QUORUM);
    assert_int_equal(fake_node.cancels, 1);
    assert_null(c->stream.on_gone);
    c->done = true;
    call_forget(c);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void every_error_has_a_code_a_text_and_a_status(void **state)
{
    (void)state;
    for (enum etcd_error e = 0; e <= ETCD_BAD_TOKEN; e++) {
        enum grpc_code code = etcd_error_code(e);
        assert_true(code > GRPC_OK && code <= GRPC_UNAUTHENTICATED);
        assert_true(etcd_error_text(e)[0] != '\0');
        assert_in_range(etcd_code_http(code), 400, 599);
    }
    assert_int_equal(etcd_code_http(etcd_error_code(ETCD_EMPTY_KEY)), 400);
    assert_int_equal(etcd_code_http(etcd_error_code(ETCD_LEASE_NOT_FOUND)), 404);
    assert_int_equal(etcd_code_http(etcd_error_code(ETCD_BAD_TOKEN)), 401);
    assert_int_equal(etcd_code_http(etcd_error_code(ETCD_NO_LEADER)), 503);
    assert_int_equal(etcd_code_http(etcd_error_code(ETCD_NO_SPACE)), 429);
    assert_string_equal(etcd_error_text(etcd_error_of(STATUS_UNKNOWN)),
                        "etcdserver: request timed out");
    assert_string_equal(etcd_error_text(etcd_error_of(STATUS_NO_SPACE)),
                        "etcdserver: mvcc: database space exceeded");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, etcd_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_route_answers_under_each_of_its_prefixes),
        CASE(bad_json_is_refused_with_code_3),
        CASE(web_pages_of_other_origins_may_not),
        CASE(a_body_may_be_as_long_as_a_request_and_base64_make_it),
        CASE(clients_find_their_versions_and_health),
        CASE(metadata_comes_as_headers_of_the_gateway),
        CASE(a_call_is_answered_with_one_message),
        CASE(unknown_methods_are_told_from_unknown_services),
        CASE(bad_protobuf_is_refused_as_etcd_does),
        CASE(rule_o1_a_request_of_too_many_fields_is_refused),
        CASE(a_call_that_asks_for_a_leader_needs_one),
        CASE(what_a_client_that_is_gone_waited_for_is_given_up),
        CASE(the_end_of_the_api_ends_its_calls),
        CASE(every_error_has_a_code_a_text_and_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
