/* The Maintenance service. */
#include "etcd_asserts.h"

#include "base/crc32c.h"

#include <sodium.h>

static void the_status_is_that_of_the_member(void **state)
{
    (void)state;
    fake_node.status.members[1].id = 2;
    snprintf(fake_node.status.leader, sizeof(fake_node.status.leader), "node-2");
    struct kv_stats stats;
    kv_stats(fake_node.kv, &stats);
    char expected[512];
    snprintf(expected, sizeof(expected),
             "{" HEADER_AT("1") ",\"version\":\"" ETCD_SERVER_VERSION "\",\"dbSize\":\"%llu\","
                                "\"leader\":\"2\",\"raftIndex\":\"12\",\"raftTerm\":\"3\","
                                "\"raftAppliedIndex\":\"11\"}",
             (unsigned long long)stats.memory_bytes);
    post("/maintenance/status", "{}", 200, expected);
    fake_node.status.leader[0] = '\0';
    fake_node.status.role = "learner";
    fake_node.status.no_space = true;
    store("a", slice_str("b"));
    kv_stats(fake_node.kv, &stats);
    snprintf(
        expected, sizeof(expected),
        "{" HEADER_AT("2") ",\"version\":\"" ETCD_SERVER_VERSION "\",\"dbSize\":\"%llu\","
                           "\"raftIndex\":\"12\",\"raftTerm\":\"3\",\"raftAppliedIndex\":\"11\","
                           "\"errors\":[\"etcdserver: no leader\",\"memberID:1 alarm:NOSPACE \"],"
                           "\"dbSizeInUse\":\"%llu\",\"isLearner\":true}",
        (unsigned long long)stats.memory_bytes,
        (unsigned long long)(stats.live_bytes + stats.history_bytes));
    post("/maintenance/status", "{}", 200, expected);
}

static void rule_p12_the_alarm_is_what_the_member_sees(void **state)
{
    (void)state;
    static const char none[] = "{" HEADER_AT("1") "}";
    static const char raised[] =
        "{" HEADER_AT("1") ",\"alarms\":[{\"memberID\":\"1\",\"alarm\":\"NOSPACE\"}]}";
    post("/maintenance/alarm", "{}", 200, none);
    fake_node.status.no_space = true;
    post("/maintenance/alarm", "{}", 200, raised);
    post("/maintenance/alarm", "{\"memberID\":\"1\",\"alarm\":\"NOSPACE\"}", 200, raised);
    post("/maintenance/alarm", "{\"memberID\":\"2\"}", 200, none);
    post("/maintenance/alarm", "{\"alarm\":\"CORRUPT\"}", 200, none);
    post("/maintenance/alarm", "{\"action\":\"DEACTIVATE\",\"alarm\":\"NOSPACE\"}", 200, none);
    post("/maintenance/alarm", "{\"action\":\"ACTIVATE\",\"alarm\":\"NOSPACE\"}", 501,
         ETCD_ERROR_TEXT("12", "alarms come and go by themselves"));
}

static void there_is_nothing_to_defragment_nor_to_downgrade(void **state)
{
    (void)state;
    post("/maintenance/defragment", "{}", 200, "{" HEADER_AT("1") "}");
    post("/maintenance/downgrade", "{\"version\":\"3.4\"}", 400,
         ETCD_ERROR_TEXT("3", "etcdserver: invalid downgrade target version"));
    post("/maintenance/downgrade", "{\"action\":\"CANCEL\"}", 400,
         ETCD_ERROR_TEXT("9", "etcdserver: no inflight downgrade job"));
}

/* --- hashes ----------------------------------------------------------------------------------- */

static Etcdserverpb__HashKVResponse *hash_kv(int64_t revision)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    request.revision = revision;
    struct called *c = call_rpc("/etcdserverpb.Maintenance/HashKV", &request.base);
    fake_pass(1);
    assert_ended(c, GRPC_OK, "");
    Etcdserverpb__HashKVResponse *r = message_of(c, 0, &etcdserverpb__hash_kvresponse__descriptor);
    call_forget(c);
    return r;
}

static uint32_t hash_at(int64_t revision)
{
    Etcdserverpb__HashKVResponse *r = hash_kv(revision);
    uint32_t hash = r->hash;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return hash;
}

static void rule_p15_a_hash_is_of_the_keys_at_a_revision(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    uint32_t first = hash_at(0);
    assert_int_equal(hash_at(2), first);
    store("a", slice_str("2"));
    assert_int_not_equal(hash_at(0), first);
    assert_int_equal(hash_at(2), first);
    assert_int_equal(hash_at(3), hash_at(0));
    post("/maintenance/hashkv", "{\"revision\":\"9\"}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision is a future revision"));
    struct kv_command compact = {.op = KV_COMPACT, .revision = 3};
    struct kv_result result;
    kv_apply(fake_node.kv, &compact, &result);
    post("/maintenance/hashkv", "{\"revision\":\"2\"}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: mvcc: required revision has been compacted"));
    Etcdserverpb__HashKVResponse *r = hash_kv(0);
    assert_int_equal(r->compact_revision, 3);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void rule_o1_a_hash_of_many_keys_takes_turns(void **state)
{
    (void)state;
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key-%d", i);
        store(key, slice_str("v"));
    }
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    struct called *c = call_rpc("/etcdserverpb.Maintenance/HashKV", &request.base);
    assert_false(c->done);
    store("key-1", slice_str("other")); /* the answer is that of the revision before */
    fake_pass(0);
    assert_true(c->done);
    Etcdserverpb__HashKVResponse *r = message_of(c, 0, &etcdserverpb__hash_kvresponse__descriptor);
    assert_int_equal(r->header->revision, 5001);
    assert_int_equal(r->hash, hash_at(5001));
    protobuf_c_message_free_unpacked(&r->base, NULL);
    call_forget(c);
    c = call_rpc("/etcdserverpb.Maintenance/HashKV", &request.base);
    call_reset(c); /* the walk is given up: fake_teardown finds no timer */
    call_forget(c);
}

static void rule_p15_the_hash_of_all_is_the_digest_folded(void **state)
{
    (void)state;
    struct kv_digest digest = kv_digest(fake_node.kv);
    uint32_t hash = crc32c(0, &digest, sizeof(digest));
    char expected[256];
    snprintf(expected, sizeof(expected), "{" HEADER_AT("1") ",\"hash\":%u}", hash);
    post("/maintenance/hash", "{}", 200, expected);
}

/* --- snapshots -------------------------------------------------------------------------------- */

#define SNAPSHOT "/etcdserverpb.Maintenance/Snapshot"
#define CONTENT  "0123456789abcdefghijKLMNO"

static struct called *begin_snapshot(void)
{
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    fake_node.backup_bytes = slice_str(CONTENT);
    struct called *c = call_rpc(SNAPSHOT, &request.base);
    fake_turn();
    return c;
}

static void a_snapshot_ends_with_the_sum_of_all_its_pages(void **state)
{
    (void)state;
    struct called *c = begin_snapshot();
    for (int i = 0; i < 4; i++) {
        fake_turn();
    }
    assert_ended(c, GRPC_OK, "");
    struct buf whole = {0};
    uint64_t left = 0;
    for (uint32_t i = 0; i < c->message_count; i++) {
        Etcdserverpb__SnapshotResponse *r =
            message_of(c, i, &etcdserverpb__snapshot_response__descriptor);
        left = i == 0 ? r->blob.len + r->remaining_bytes : left;
        if (i + 1 < c->message_count) {
            left -= r->blob.len;
            assert_true(r->remaining_bytes == left);
        }
        assert_int_equal(r->header->revision, 5);
        buf_append(&whole, r->blob.data, r->blob.len);
        protobuf_c_message_free_unpacked(&r->base, NULL);
    }
    assert_true(left == 0);
    assert_int_equal(whole.size, 512 + crypto_hash_sha256_BYTES);
    assert_memory_equal(whole.data, CONTENT, strlen(CONTENT));
    uint8_t sum[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(sum, whole.data, 512);
    assert_memory_equal(whole.data + 512, sum, sizeof(sum));
    assert_null(fake_node.backup);
    buf_deinit(&whole);
    call_forget(c);
}

static void rule_o1_a_slow_reader_of_a_snapshot_is_waited_for(void **state)
{
    (void)state;
    struct called *c = begin_snapshot();
    c->full = true;
    fake_turn();
    assert_int_equal(c->message_count, 1);
    assert_false(fake_node.backup_wanted);
    call_writable(c);
    assert_true(fake_node.backup_wanted);
    call_reset(c);
    assert_null(fake_node.backup);
    call_forget(c);
}

static void a_snapshot_that_cannot_be_read_on_fails(void **state)
{
    (void)state;
    fake_node.backup_fails_at = 15;
    struct called *c = begin_snapshot();
    fake_turn();
    fake_turn();
    assert_ended(c, GRPC_INTERNAL, "the snapshot cannot be read");
    assert_null(fake_node.backup);
    call_forget(c);
    fake_node.backup_start = STATUS_BUSY;
    post("/maintenance/snapshot", "{}", 429, ETCD_ERROR_TEXT("8", "etcdserver: too many requests"));
}

static void the_gateway_streams_a_line_a_piece(void **state)
{
    (void)state;
    fake_node.backup_bytes = slice_str("abc");
    fake_node.backup_fails_at = 15;
    struct asked *a = ask("POST", "/v3/maintenance/snapshot", NULL, slice_str("{}"));
    for (int i = 0; i < 3; i++) {
        fake_turn();
    }
    assert_true(a->done && !a->aborted);
    static const char first[] = "{\"result\":{" HEADER_AT("5") ",\"remaining_bytes\":\"509\","
                                                               "\"blob\":\"YWJj\"}}\n";
    assert_memory_equal(a->body.data, first, strlen(first));
    assert_int_equal(a->body.data[a->body.size - 1], '\n');
    forget(a);
    fake_node.backup_bytes = slice_str(CONTENT);
    a = ask("POST", "/v3/maintenance/snapshot", NULL, slice_str("{}"));
    for (int i = 0; i < 3; i++) {
        fake_turn();
    }
    assert_true(a->done);
    static const char last[] =
        "{\"error\":{\"grpc_code\":13,\"http_code\":500,"
        "\"message\":\"the snapshot cannot be read\",\"http_status\":\"Status\"}}\n";
    assert_memory_equal(a->body.data + a->body.size - strlen(last), last, strlen(last));
    forget(a);
}

/* --- leadership ------------------------------------------------------------------------------- */

static void leadership_moves_to_a_voter(void **state)
{
    (void)state;
    struct asked *a =
        ask("POST", "/v3/maintenance/transfer-leadership", NULL, slice_str("{\"targetID\":\"2\"}"));
    assert_non_null(fake_node.step_down);
    assert_string_equal(fake_node.step_down->to, "node-2");
    fake_turn();
    assert_answered(a, 200, "{" HEADER_AT("1") "}");
    forget(a);
    static const struct {
        enum status status;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_NOT_FOUND, 400, ETCD_ERROR_TEXT("9", "etcdserver: bad leader transferee")},
        {STATUS_NOT_LEADER, 400, ETCD_ERROR_TEXT("9", "etcdserver: not leader")},
        {STATUS_TIMEOUT, 503, ETCD_ERROR_TEXT("14", "etcdserver: request timed out")},
        {STATUS_CONFLICT, 200, "{" HEADER_AT("1") "}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.step_down_start = rows[i].status;
        post("/maintenance/transfer-leadership", "{\"targetID\":\"2\"}", rows[i].http_status,
             rows[i].answer);
    }
    post("/maintenance/transfer-leadership", "{\"targetID\":\"9\"}", 400, rows[0].answer);
    fake_become_follower("node-2");
    post("/maintenance/transfer-leadership", "{\"targetID\":\"3\"}", 400, rows[1].answer);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, etcd_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_status_is_that_of_the_member),
        CASE(rule_p12_the_alarm_is_what_the_member_sees),
        CASE(there_is_nothing_to_defragment_nor_to_downgrade),
        CASE(rule_p15_a_hash_is_of_the_keys_at_a_revision),
        CASE(rule_o1_a_hash_of_many_keys_takes_turns),
        CASE(rule_p15_the_hash_of_all_is_the_digest_folded),
        CASE(a_snapshot_ends_with_the_sum_of_all_its_pages),
        CASE(rule_o1_a_slow_reader_of_a_snapshot_is_waited_for),
        CASE(a_snapshot_that_cannot_be_read_on_fails),
        CASE(the_gateway_streams_a_line_a_piece),
        CASE(leadership_moves_to_a_voter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
