/* The KV service: every option and refusal, over a real store behind a fake node. */
#include "etcd_asserts.h"

#include "base/mem.h"

/* "a" and "b" are put, "a" again, and "c": revisions 2 to 5. */
static int setup(void **state)
{
    etcd_setup(state);
    store("a", slice_str("1"));
    store("b", slice_str("9"));
    store("a", slice_str("2"));
    store("c", slice_str("5"));
    return 0;
}

#define A                                                                                          \
    "{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"4\",\"version\":\"2\","        \
    "\"value\":\"Mg==\"}"
#define A_BEFORE                                                                                   \
    "{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\","        \
    "\"value\":\"MQ==\"}"
#define B                                                                                          \
    "{\"key\":\"Yg==\",\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\","        \
    "\"value\":\"OQ==\"}"
#define C                                                                                          \
    "{\"key\":\"Yw==\",\"create_revision\":\"5\",\"mod_revision\":\"5\",\"version\":\"1\","        \
    "\"value\":\"NQ==\"}"
#define H HEADER_AT("5")

static void ranges_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{\"key\":\"YQ==\"}", "{" H ",\"kvs\":[" A "],\"count\":\"1\"}"},
        {"{\"key\":\"eg==\"}", "{" H "}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"Yw==\"}",
         "{" H ",\"kvs\":[" A "," B "],\"count\":\"2\"}"},
        {"{\"key\":\"Yg==\",\"range_end\":\"AA==\"}",
         "{" H ",\"kvs\":[" B "," C "],\"count\":\"2\"}"},
        {"{\"key\":\"AA==\",\"range_end\":\"AA==\"}",
         "{" H ",\"kvs\":[" A "," B "," C "],\"count\":\"3\"}"},
        {"{\"key\":\"Yw==\",\"range_end\":\"YQ==\"}", "{" H "}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"YQ==\"}", "{" H "}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"limit\":\"1\"}",
         "{" H ",\"kvs\":[" A "],\"more\":true,\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"limit\":\"-1\",\"revision\":\"-1\"}",
         "{" H ",\"kvs\":[" A "," B "," C "],\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"count_only\":true}",
         "{" H ",\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"keys_only\":true}",
         "{" H ",\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"4\","
         "\"version\":\"2\"}],\"count\":\"1\"}"},
        {"{\"key\":\"YQ==\",\"revision\":\"3\"}", "{" H ",\"kvs\":[" A_BEFORE "],\"count\":\"1\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"sort_order\":\"DESCEND\"}",
         "{" H ",\"kvs\":[" C "," B "," A "],\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"sort_target\":\"VALUE\"}",
         "{" H ",\"kvs\":[" A "," C "," B "],\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"sort_target\":\"MOD\","
         "\"sort_order\":\"DESCEND\",\"limit\":\"2\"}",
         "{" H ",\"kvs\":[" C "," A "],\"more\":true,\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"min_mod_revision\":\"4\","
         "\"max_mod_revision\":\"4\"}",
         "{" H ",\"kvs\":[" A "],\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"min_create_revision\":\"3\","
         "\"max_create_revision\":\"4\"}",
         "{" H ",\"kvs\":[" B "],\"count\":\"3\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"max_create_revision\":\"-1\"}",
         "{" H ",\"count\":\"3\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        post("/kv/range", rows[i].body, 200, rows[i].answer);
    }
}

static void reads_are_linearizable_unless_asked_otherwise(void **state)
{
    (void)state;
    fake_node.read_outcome = STATUS_NO_QUORUM;
    post("/kv/range", "{\"key\":\"YQ==\"}", 503, ETCD_ERROR_TEXT("14", "etcdserver: no leader"));
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    fake_node.read_outcome = STATUS_OK;
    post("/kv/range", "{\"key\":\"YQ==\",\"serializable\":true}", 200,
         "{" H ",\"kvs\":[" A "],\"count\":\"1\"}");
    assert_int_equal(fake_node.last_read.consistency, NODE_STALE);
    assert_true(fake_node.last_read.max_lag_ms == 0);
}

static void puts_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{\"key\":\"eg==\",\"value\":\"MQ==\"}", "{" HEADER_AT("6") "}"},
        {"{\"key\":\"eg==\",\"value\":\"MQ==\"}", "{" HEADER_AT("7") "}"},
        {"{\"key\":\"YQ==\",\"value\":\"Mw==\",\"prev_kv\":true}",
         "{" HEADER_AT("8") ",\"prev_kv\":" A "}"},
        {"{\"key\":\"bmV3\",\"prev_kv\":true}", "{" HEADER_AT("9") "}"},
        {"{\"key\":\"Yg==\",\"ignore_value\":true,\"prev_kv\":true}",
         "{" HEADER_AT("10") ",\"prev_kv\":" B "}"},
        {"{\"key\":\"Yw==\",\"value\":\"MQ==\",\"ignore_lease\":true}", "{" HEADER_AT("11") "}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        post("/kv/put", rows[i].body, 200, rows[i].answer);
        assert_true(fake_node.last_forward); /* any member takes it */
        assert_int_equal(fake_node.last_ack, NODE_ACK_QUORUM);
    }
    post("/kv/range", "{\"key\":\"Yg==\"}", 200,
         "{" HEADER_AT("11") ",\"kvs\":[{\"key\":\"Yg==\",\"create_revision\":\"3\","
                             "\"mod_revision\":\"10\",\"version\":\"2\",\"value\":\"OQ==\"}],"
                             "\"count\":\"1\"}");
}

static void deletes_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *answer;
    } rows[] = {
        {"{\"key\":\"eg==\"}", "{" H "}"},
        {"{\"key\":\"eg==\",\"range_end\":\"YQ==\"}", "{" H "}"},
        {"{\"key\":\"Yw==\"}", "{" HEADER_AT("6") ",\"deleted\":\"1\"}"},
        {"{\"key\":\"YQ==\",\"range_end\":\"AA==\",\"prev_kv\":true}",
         "{" HEADER_AT("7") ",\"deleted\":\"2\",\"prev_kvs\":[" A "," B "]}"},
        {"{\"key\":\"YQ==\",\"prev_kv\":true}", "{" HEADER_AT("7") "}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        post("/kv/deleterange", rows[i].body, 200, rows[i].answer);
        assert_true(fake_node.last_forward);
    }
}

static void transactions_take_the_branch_that_holds(void **state)
{
    (void)state;
    post("/kv/txn",
         "{\"compare\":[{\"target\":\"VALUE\",\"key\":\"YQ==\",\"value\":\"Mg==\"},"
         "{\"target\":\"MOD\",\"result\":\"LESS\",\"key\":\"YQ==\",\"range_end\":\"AA==\","
         "\"mod_revision\":\"6\"},"
         "{\"target\":\"CREATE\",\"key\":\"eg==\",\"create_revision\":\"0\"}],"
         "\"success\":[{\"requestPut\":{\"key\":\"YQ==\",\"value\":\"Mw==\",\"prev_kv\":true}},"
         "{\"requestTxn\":{\"success\":[{\"requestRange\":{\"key\":\"YQ==\"}},"
         "{\"requestDeleteRange\":{\"key\":\"Yg==\",\"prev_kv\":true}}]}}]}",
         200,
         "{" HEADER_AT(
             "6") ",\"succeeded\":true,\"responses\":["
                  "{\"response_put\":{\"header\":{\"revision\":\"6\"},\"prev_kv\":" A "}},"
                  "{\"response_txn\":{\"header\":{},\"succeeded\":true,\"responses\":["
                  "{\"response_range\":{\"header\":{\"revision\":\"6\"},\"kvs\":["
                  "{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"6\",\"version\":"
                  "\"3\","
                  "\"value\":\"Mw==\"}],\"count\":\"1\"}},"
                  "{\"response_delete_range\":{\"header\":{\"revision\":\"6\"},\"deleted\":\"1\","
                  "\"prev_kvs\":[" B "]}}]}}]}");
    assert_true(fake_node.last_forward);
    post("/kv/txn",
         "{\"compare\":[{\"target\":\"VERSION\",\"key\":\"YQ==\",\"value\":\"Mg==\"}],"
         "\"success\":[{\"requestPut\":{\"key\":\"YQ==\"}}],"
         "\"failure\":[{\"requestDeleteRange\":{\"key\":\"eg==\"}}]}",
         200,
         "{" HEADER_AT("6") ",\"responses\":[{\"response_delete_range\":"
                            "{\"header\":{\"revision\":\"6\"}}}]}");
    post("/kv/txn", "{}", 200, "{" HEADER_AT("6") ",\"succeeded\":true}");
}

static void transactions_that_only_read_are_reads(void **state)
{
    (void)state;
    static const char answer[] =
        "{" H ",\"succeeded\":true,\"responses\":[{\"response_range\":"
        "{\"header\":{\"revision\":\"5\"},\"kvs\":[" A "],\"count\":\"1\"}}]}";
    fake_node.write_start = STATUS_NO_SPACE; /* no write is asked for */
    post("/kv/txn", "{\"success\":[{\"requestRange\":{\"key\":\"YQ==\"}}]}", 200, answer);
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    post("/kv/txn", "{\"success\":[{\"requestRange\":{\"key\":\"YQ==\",\"serializable\":true}}]}",
         200, answer);
    assert_int_equal(fake_node.last_read.consistency, NODE_STALE);
    post("/kv/txn", "{\"success\":[{\"requestRange\":{\"key\":\"YQ==\",\"revision\":\"9\"}}]}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision is a future revision"));
    fake_node.read_outcome = STATUS_NOT_LEADER;
    post("/kv/txn", "{\"success\":[{\"requestRange\":{\"key\":\"YQ==\"}}]}", 503,
         ETCD_ERROR_TEXT("14", "etcdserver: no leader"));
}

static void compactions(void **state)
{
    (void)state;
    static const char gone[] =
        ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision has been compacted");
    post("/kv/compaction", "{\"revision\":\"4\",\"physical\":true}", 200, "{" H "}");
    post("/kv/compaction", "{\"revision\":\"4\"}", 400, gone);
    post("/kv/compaction", "{\"revision\":\"-1\"}", 400, gone);
    post("/kv/compaction", "{\"revision\":\"6\"}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision is a future revision"));
    post("/kv/range", "{\"key\":\"YQ==\",\"revision\":\"3\"}", 400, gone);
    post("/kv/range", "{\"key\":\"YQ==\",\"revision\":\"4\"}", 200,
         "{" H ",\"kvs\":[" A "],\"count\":\"1\"}");
}

static void refusals_have_etcd_s_codes_and_texts(void **state)
{
    (void)state;
    static const char empty[] = ETCD_ERROR_TEXT("3", "etcdserver: key is not provided");
    static const char sort[] = ETCD_ERROR_TEXT("3", "etcdserver: invalid sort option");
    static const char absent[] = ETCD_ERROR_TEXT("3", "etcdserver: key not found");
    static const char value[] = ETCD_ERROR_TEXT("3", "etcdserver: value is provided");
    static const char lease[] = ETCD_ERROR_TEXT("3", "etcdserver: lease is provided");
    static const char twice[] =
        ETCD_ERROR_TEXT("3", "etcdserver: duplicate key given in txn request");
    static const char no_lease[] = ETCD_ERROR_TEXT("5", "etcdserver: requested lease not found");
    static const struct {
        const char *route;
        const char *body;
        int status;
        const char *answer;
    } rows[] = {
        {"/kv/range", "{}", 400, empty},
        {"/kv/range", "{\"range_end\":\"AA==\"}", 400, empty},
        {"/kv/range", "{\"key\":\"YQ==\",\"sort_order\":3}", 400, sort},
        {"/kv/range", "{\"key\":\"YQ==\",\"sort_target\":-1}", 400, sort},
        {"/kv/range", "{\"key\":\"YQ==\",\"revision\":\"6\"}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision is a future revision")},
        {"/kv/put", "{\"value\":\"MQ==\"}", 400, empty},
        {"/kv/put", "{\"prev_kv\":true}", 400, empty},
        {"/kv/put", "{\"key\":\"eg==\",\"ignore_value\":true}", 400, absent},
        {"/kv/put", "{\"key\":\"eg==\",\"ignore_lease\":true}", 400, absent},
        {"/kv/put", "{\"key\":\"YQ==\",\"value\":\"MQ==\",\"ignore_value\":true}", 400, value},
        {"/kv/put", "{\"key\":\"YQ==\",\"lease\":1,\"ignore_lease\":true}", 400, lease},
        {"/kv/put", "{\"key\":\"YQ==\",\"lease\":77}", 404, no_lease},
        {"/kv/put", "{\"key\":\"YQ==\",\"lease\":77,\"prev_kv\":true}", 404, no_lease},
        {"/kv/put", "{\"key\":\"eg==\",\"lease\":77,\"ignore_value\":true}", 404, no_lease},
        {"/kv/deleterange", "{}", 400, empty},
        {"/kv/deleterange", "{\"prev_kv\":true}", 400, empty},
        {"/kv/txn", "{\"success\":[{}]}", 400, absent},
        {"/kv/txn", "{\"failure\":[{\"request_txn\":{\"success\":[{}]}}]}", 400, absent},
        {"/kv/txn", "{\"success\":[{\"request_put\":{}}]}", 400, empty},
        {"/kv/txn", "{\"success\":[{\"request_range\":{}}]}", 400, empty},
        {"/kv/txn", "{\"compare\":[{}]}", 400, empty},
        {"/kv/txn",
         "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}},{\"request_put\":{\"key\":\"YQ==\"}}]"
         "}",
         400, twice},
        {"/kv/txn",
         "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}},"
         "{\"request_delete_range\":{\"key\":\"YQ==\",\"range_end\":\"AA==\"}}]}",
         400, twice},
        {"/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"YQ==\",\"lease\":7}}]}", 404,
         no_lease},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        post(rows[i].route, rows[i].body, rows[i].status, rows[i].answer);
    }
    post("/kv/range", "{\"key\":\"AA==\",\"range_end\":\"AA==\",\"count_only\":true}", 200,
         "{" H ",\"count\":\"3\"}"); /* nothing was changed */
}

static void rule_o1_more_than_128_operations_are_refused(void **state)
{
    (void)state;
    struct buf body = {0};
    for (int count = 128; count <= 129; count++) {
        buf_clear(&body);
        buf_append_str(&body, "{\"success\":[");
        for (int i = 0; i < count; i++) {
            buf_printf(&body, "%s{\"request_delete_range\":{\"key\":\"enp6\"}}", i > 0 ? "," : "");
        }
        buf_append_str(&body, "]}");
        struct asked *a = ask("POST", "/v3/kv/txn", NULL, buf_slice(&body));
        fake_turn();
        if (count == 128) {
            assert_int_equal(a->status, 200);
        } else {
            assert_answered(a, 400,
                            ETCD_ERROR_TEXT("3", "etcdserver: too many operations in txn request"));
        }
        forget(a);
    }
    buf_deinit(&body);
}

static void rule_o1_a_request_beyond_its_limit_is_refused(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key.data = (uint8_t *)(uintptr_t) "a";
    put.key.len = 1;
    put.value.len = LIMIT_ETCD_REQUEST_BYTES;
    put.value.data = mem_calloc(1, put.value.len);
    struct called *c = call_rpc("/etcdserverpb.KV/Put", &put.base);
    assert_ended(c, GRPC_INVALID_ARGUMENT, "etcdserver: request is too large");
    call_forget(c);
    mem_free(put.value.data);
    struct buf body = {0};
    buf_append_str(&body, "{\"key\":\"");
    for (int i = 0; i < LIMIT_KEY_BYTES; i++) {
        buf_append_str(&body, "YWFh");
    }
    buf_append_str(&body, "\"}");
    static const char *const targets[] = {"/v3/kv/range", "/v3/kv/put", "/v3/kv/deleterange"};
    for (size_t i = 0; i < 3; i++) {
        struct asked *a = ask("POST", targets[i], NULL, buf_slice(&body));
        fake_turn();
        assert_answered(a, 400, ETCD_ERROR_TEXT("3", "etcdserver: request is too large"));
        forget(a);
    }
    buf_deinit(&body);
}

static void what_the_node_refuses_is_said_as_etcd_does(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_NOT_LEADER, 503, ETCD_ERROR_TEXT("14", "etcdserver: no leader")},
        {STATUS_NO_QUORUM, 503, ETCD_ERROR_TEXT("14", "etcdserver: no leader")},
        {STATUS_OVERLOADED, 429, ETCD_ERROR_TEXT("8", "etcdserver: too many requests")},
        {STATUS_NO_SPACE, 429, ETCD_ERROR_TEXT("8", "etcdserver: mvcc: database space exceeded")},
        {STATUS_TOO_LARGE, 400, ETCD_ERROR_TEXT("3", "etcdserver: request is too large")},
        {STATUS_BUSY, 503, ETCD_ERROR_TEXT("14", "etcdserver: leader changed")},
        {STATUS_UNSUPPORTED, 503, ETCD_ERROR_TEXT("14", "etcdserver: not capable")},
        {STATUS_UNKNOWN, 503, ETCD_ERROR_TEXT("14", "etcdserver: request timed out")},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.write_start = rows[i].status;
        fake_node.write_outcome = STATUS_OK;
        post("/kv/put", "{\"key\":\"YQ==\"}", rows[i].http_status, rows[i].answer);
        post("/kv/txn", "{\"success\":[{\"request_put\":{\"key\":\"YQ==\"}}]}", rows[i].http_status,
             rows[i].answer);
        fake_node.write_start = STATUS_OK;
        fake_node.write_outcome = rows[i].status;
        post("/kv/deleterange", "{\"key\":\"YQ==\",\"range_end\":\"AA==\"}", rows[i].http_status,
             rows[i].answer);
    }
}

static void post_range(const char *target, const char *body, int http_status)
{
    struct asked *a = ask("POST", target, NULL, slice_str(body));
    fake_turn();
    assert_int_equal(a->status, http_status);
    forget(a);
}

static void rule_o4_no_large_range_is_made_while_too_many_answers_wait(void **state)
{
    (void)state;
    static uint8_t large[LIMIT_CROWDED_ANSWER_BYTES + 1];
    static const char txn[] = "{\"success\":[{\"request_range\":{\"key\":\"bGFyZ2U=\"}}]}";
    store("large", slice_of(large, sizeof(large)));
    store("small", slice_str("1"));
    fake_unsent.bytes = LIMIT_UNSENT_BYTES;
    post_range("/v3/kv/range", "{\"key\":\"bGFyZ2U=\"}", 200);
    post_range("/v3/kv/txn", txn, 200);
    fake_unsent.bytes++;
    post_range("/v3/kv/range", "{\"key\":\"bGFyZ2U=\"}", 429);
    post_range("/v3/kv/txn", txn, 429);
    post_range("/v3/kv/range", "{\"key\":\"c21hbGw=\"}", 200);
}

/* A client reads its own writes at the member that it asked, also when that is a follower and the
 * read serializable. */
static void a_write_is_answered_when_this_member_has_it(void **state)
{
    (void)state;
    fake_node.write_ahead = 1;
    fake_node.reads_wait = true;
    struct asked *a = ask("POST", "/v3/kv/put", NULL, slice_str("{\"key\":\"eg==\"}"));
    struct node_write *w = CONTAINER_OF(fake_node.writes.next, struct node_write, link);
    list_remove(&w->link);
    w->done(w);
    assert_false(a->done);
    assert_int_equal(fake_node.last_read.consistency, NODE_SESSION);
    assert_int_equal(fake_node.last_read.min_revision, 7);
    fake_node.read->status = STATUS_BEHIND; /* it was written all the same */
    fake_turn();
    assert_answered(a, 200, "{" HEADER_AT("7") "}");
    forget(a);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key.data = (uint8_t *)(uintptr_t) "a";
    put.key.len = 1;
    struct called *c = call_rpc("/etcdserverpb.KV/Put", &put.base);
    fake_turn();
    assert_non_null(fake_node.read);
    call_reset(c);
    assert_null(fake_node.read);
    call_forget(c);
}

static void a_client_that_goes_away_is_not_waited_for(void **state)
{
    (void)state;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key.data = (uint8_t *)(uintptr_t) "a";
    put.key.len = 1;
    put.prev_kv = true;
    struct called *c = call_rpc("/etcdserverpb.KV/Put", &put.base);
    call_reset(c);
    call_forget(c);
    assert_int_equal(fake_node.cancels, 1);
    fake_node.reads_wait = true;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = put.key;
    c = call_rpc("/etcdserverpb.KV/Range", &range.base);
    call_reset(c);
    call_forget(c);
    assert_int_equal(fake_node.cancels, 2);
}

static const Etcdserverpb__RangeRequest *range_of(const char *key)
{
    static Etcdserverpb__RangeRequest range;
    etcdserverpb__range_request__init(&range);
    range.key = (ProtobufCBinaryData){.len = strlen(key), .data = (uint8_t *)(uintptr_t)key};
    return &range;
}

static void store_long(void)
{
    struct buf value = {0};
    memset(buf_reserve(&value, 2u * MIB), 'v', 2u * MIB);
    store("long", slice_of(value.data, 2u * MIB));
    buf_deinit(&value);
}

static void rule_o4_a_read_waits_for_a_client_that_takes_no_more(void **state)
{
    (void)state;
    struct called *c = call_begin_rpc("/etcdserverpb.KV/Range", NULL, NULL);
    c->full = true;
    call_send(c, &range_of("a")->base);
    assert_false(c->done);
    assert_int_equal(c->message_count, 0);
    call_writable(c);
    assert_ended(c, GRPC_OK, "");
    assert_int_equal(c->message_count, 1);
    call_forget(c);
}

static void rule_o4_long_answers_are_made_one_a_turn(void **state)
{
    (void)state;
    store_long();
    struct called *c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = call_rpc("/etcdserverpb.KV/Range", &range_of(i == 3 ? "a" : "long")->base);
        assert_int_equal(c[i]->done, i == 0);
    }
    call_reset(c[1]); /* it goes while it waits */
    fake_pass(0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(c[i]->message_count, i != 1);
        call_forget(c[i]);
    }
    struct called *short_one = call_rpc("/etcdserverpb.KV/Range", &range_of("a")->base);
    assert_ended(short_one, GRPC_OK, "");
    call_forget(short_one);
}

static struct called *ask_for_many(void)
{
    Etcdserverpb__RangeRequest range = *range_of("l");
    range.range_end = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)(uintptr_t) "m"};
    return call_rpc("/etcdserverpb.KV/Range", &range.base);
}

static struct called *ask_for(const char *key)
{
    return call_rpc("/etcdserverpb.KV/Range", &range_of(key)->base);
}

static void rule_o4_a_key_does_not_wait_for_all_who_ask_for_many(void **state)
{
    (void)state;
    store_long();
    fake_spent_ms = 10; /* each turn: the next one is so much later, and that again */
    struct called *c[] = {ask_for_many(), ask_for_many(), ask_for_many(), ask_for("a")};
    assert_true(c[0]->done && !c[1]->done && !c[3]->done);
    fake_pass(20);
    assert_true(c[3]->done && c[1]->done && !c[2]->done);
    fake_pass(20);
    assert_true(c[2]->done);
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        call_forget(c[i]);
    }
}

static void rule_o4_who_asks_for_many_has_a_turn_among_long_values(void **state)
{
    (void)state;
    store_long();
    fake_spent_ms = 10;
    struct called *c[] = {ask_for("long"), ask_for("long"), ask_for("long"), ask_for_many()};
    assert_true(c[0]->done && !c[1]->done && !c[3]->done);
    fake_pass(20);
    assert_true(c[1]->done && !c[2]->done && !c[3]->done);
    fake_pass(20);
    assert_true(c[3]->done && !c[2]->done);
    fake_pass(20);
    assert_true(c[2]->done);
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        call_forget(c[i]);
    }
}

/* The turn of a long one ends so much later: the next comes after as much again. */
static void rule_o3_long_answers_leave_as_much_time_as_they_take(void **state)
{
    (void)state;
    store_long();
    fake_spent_ms = 10;
    struct called *first = call_rpc("/etcdserverpb.KV/Range", &range_of("long")->base);
    struct called *second = call_rpc("/etcdserverpb.KV/Range", &range_of("long")->base);
    assert_true(first->done);
    fake_pass(19);
    assert_false(second->done);
    fake_pass(1);
    assert_true(second->done);
    call_forget(first);
    call_forget(second);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(ranges_of_every_kind),
        CASE(reads_are_linearizable_unless_asked_otherwise),
        CASE(puts_of_every_kind),
        CASE(deletes_of_every_kind),
        CASE(transactions_take_the_branch_that_holds),
        CASE(transactions_that_only_read_are_reads),
        CASE(compactions),
        CASE(refusals_have_etcd_s_codes_and_texts),
        CASE(rule_o1_more_than_128_operations_are_refused),
        CASE(rule_o1_a_request_beyond_its_limit_is_refused),
        CASE(what_the_node_refuses_is_said_as_etcd_does),
        CASE(rule_o4_no_large_range_is_made_while_too_many_answers_wait),
        CASE(a_write_is_answered_when_this_member_has_it),
        CASE(a_client_that_goes_away_is_not_waited_for),
        CASE(rule_o4_a_read_waits_for_a_client_that_takes_no_more),
        CASE(rule_o4_long_answers_are_made_one_a_turn),
        CASE(rule_o4_a_key_does_not_wait_for_all_who_ask_for_many),
        CASE(rule_o4_who_asks_for_many_has_a_turn_among_long_values),
        CASE(rule_o3_long_answers_leave_as_much_time_as_they_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
