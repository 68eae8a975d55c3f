/* The Lease service. The key a is YQ== in base64. */
#include "etcd_streams.h"

#define GRANT_PATH      "/etcdserverpb.Lease/LeaseGrant"
#define KEEP_ALIVE_PATH "/etcdserverpb.Lease/LeaseKeepAlive"
#define KEEP_ALIVE      &etcdserverpb__lease_keep_alive_request__descriptor
#define KEPT_ALIVE      &etcdserverpb__lease_keep_alive_response__descriptor

static void grant(uint64_t id, uint64_t ttl_s)
{
    apply(&(struct kv_command){.op = KV_LEASE_GRANT, .lease = id, .ttl_s = ttl_s});
}

static void a_lease_is_granted_raised_and_revoked_with_its_keys(void **state)
{
    (void)state;
    struct kv_item item;
    fake_node.lease_ttl_min = 2;
    post("/lease/grant", "{\"ID\":7,\"TTL\":60}", 200,
         "{" HEADER_AT("1") ",\"ID\":\"7\",\"TTL\":\"60\"}");
    assert_true(fake_node.last_forward);
    post("/lease/grant", "{\"ID\":7,\"TTL\":60}", 400,
         ETCD_ERROR_TEXT("9", "etcdserver: lease already exists"));
    post("/lease/grant", "{\"ID\":8,\"TTL\":-5}", 200,
         "{" HEADER_AT("1") ",\"ID\":\"8\",\"TTL\":\"2\"}");
    post("/lease/grant", "{\"ID\":9,\"TTL\":9000000001}", 400,
         ETCD_ERROR_TEXT("11", "etcdserver: too large lease TTL"));
    apply(&(struct kv_command){.op = KV_PUT, .key = slice_str("a"), .lease = 7});
    post("/lease/revoke", "{\"ID\":7}", 200, "{" HEADER_AT("3") "}");
    assert_int_equal(kv_get(fake_node.kv, slice_str("a"), 0, &item), STATUS_NOT_FOUND);
    post("/kv/lease/revoke", "{\"ID\":7}", 404,
         ETCD_ERROR_TEXT("5", "etcdserver: requested lease not found"));
    post("/lease/revoke", "{}", 404, ETCD_ERROR_TEXT("5", "etcdserver: requested lease not found"));
}

/* Whoever asks a follower for a lease finds it there afterwards. */
static void a_grant_is_answered_when_this_member_has_it(void **state)
{
    (void)state;
    fake_node.reads_wait = true;
    struct asked *a = ask("POST", "/v3/lease/grant", NULL, slice_str("{\"ID\":7,\"TTL\":60}"));
    struct node_write *w = CONTAINER_OF(fake_node.writes.next, struct node_write, link);
    list_remove(&w->link);
    apply(&(struct kv_command){.op = KV_LEASE_REVOKE, .lease = 7}); /* as if it were not here yet */
    w->done(w);
    assert_false(a->done);
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    fake_node.read->status = STATUS_NO_QUORUM; /* it was granted all the same */
    fake_turn();
    assert_answered(a, 200, "{" HEADER_AT("1") ",\"ID\":\"7\",\"TTL\":\"60\"}");
    forget(a);
}

static void an_id_is_chosen_when_none_is_given(void **state)
{
    (void)state;
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = 5;
    struct called *c = call_rpc(GRANT_PATH, &request.base);
    fake_turn();
    Etcdserverpb__LeaseGrantResponse *r =
        message_of(c, 0, &etcdserverpb__lease_grant_response__descriptor);
    assert_true(r->id > 0 && r->ttl == 5);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    call_forget(c);
}

static void rule_t2_keep_alives_are_answered_in_order_one_after_the_other(void **state)
{
    (void)state;
    grant(7, 60);
    struct called *c = call_begin_rpc(KEEP_ALIVE_PATH, NULL, NULL);
    say(c, KEEP_ALIVE, "{\"ID\":7}");
    assert_int_equal(c->message_count, 0);
    assert_true(c->paused);
    fake_turn();
    assert_false(c->paused);
    assert_message(c, 0, KEPT_ALIVE, AT("1", ",\"ID\":\"7\",\"TTL\":\"60\""));
    say(c, KEEP_ALIVE, "{\"ID\":8}");
    fake_turn();
    assert_message(c, 1, KEPT_ALIVE, AT("1", ",\"ID\":\"8\"")); /* gone */
    call_half_close(c);
    assert_ended(c, GRPC_OK, "");
    call_forget(c);
}

static void rule_t2_what_is_not_known_is_not_answered_as_alive(void **state)
{
    (void)state;
    grant(7, 60);
    struct called *c = call_begin_rpc(KEEP_ALIVE_PATH, NULL, NULL);
    fake_node.lease_outcome = STATUS_NO_QUORUM;
    say(c, KEEP_ALIVE, "{\"ID\":7}");
    fake_turn();
    assert_int_equal(c->message_count, 0);
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: no leader");
    call_forget(c);
    fake_node.lease_start = STATUS_OVERLOADED;
    c = call_begin_rpc(KEEP_ALIVE_PATH, NULL, NULL);
    say(c, KEEP_ALIVE, "{\"ID\":7}");
    assert_ended(c, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    call_forget(c);
}

static void time_to_live_tells_what_is_left_and_the_keys(void **state)
{
    (void)state;
    grant(7, 60);
    apply(&(struct kv_command){.op = KV_PUT, .key = slice_str("a"), .lease = 7});
    post("/lease/timetolive", "{\"ID\":7}", 200,
         "{" HEADER_AT("2") ",\"ID\":\"7\",\"TTL\":\"59\",\"grantedTTL\":\"60\"}");
    post("/kv/lease/timetolive", "{\"ID\":7,\"keys\":true}", 200,
         "{" HEADER_AT("2") ",\"ID\":\"7\",\"TTL\":\"59\",\"grantedTTL\":\"60\","
                            "\"keys\":[\"YQ==\"]}");
    post("/lease/timetolive", "{\"ID\":8,\"keys\":true}", 200,
         "{" HEADER_AT("2") ",\"ID\":\"8\",\"TTL\":\"-1\"}");
    fake_node.lease_outcome = STATUS_UNREACHABLE;
    post("/lease/timetolive", "{\"ID\":7}", 503,
         ETCD_ERROR_TEXT("14", "etcdserver: request timed out"));
}

static void leases_are_listed(void **state)
{
    (void)state;
    post("/lease/leases", "{}", 200, "{" HEADER_AT("1") "}");
    grant(9, 60);
    grant(7, 60);
    post("/kv/lease/leases", "{}", 200,
         "{" HEADER_AT("1") ",\"leases\":[{\"ID\":\"7\"},{\"ID\":\"9\"}]}");
}

static void what_a_client_that_is_gone_waited_for_is_given_up(void **state)
{
    (void)state;
    grant(7, 60);
    struct called *c = call_begin_rpc(KEEP_ALIVE_PATH, NULL, NULL);
    say(c, KEEP_ALIVE, "{\"ID\":7}");
    call_reset(c);
    assert_int_equal(fake_node.cancels, 1);
    call_forget(c);
    c = call_json(GRANT_PATH, &etcdserverpb__lease_grant_request__descriptor, "{\"TTL\":5}");
    call_reset(c);
    assert_int_equal(fake_node.cancels, 2);
    call_forget(c);
}

static void rule_o1_keys_of_a_lease_that_are_too_long_are_not_told(void **state)
{
    (void)state;
    char key[LIMIT_KEY_BYTES + 1];
    memset(key, 'k', sizeof(key));
    apply(&(struct kv_command){.op = KV_LEASE_GRANT, .lease = 5, .ttl_s = 60});
    for (unsigned i = 0; i < LIMIT_TXN_ANSWER_BYTES / LIMIT_KEY_BYTES; i++) {
        snprintf(key, 9, "%08u", i);
        key[8] = '-';
        apply(&(struct kv_command){
            .op = KV_PUT, .key = slice_of((uint8_t *)key, LIMIT_KEY_BYTES), .lease = 5});
    }
    post("/lease/timetolive", "{\"ID\":5,\"keys\":true}", 429,
         ETCD_ERROR_TEXT("8", "the answer is too long"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, etcd_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_lease_is_granted_raised_and_revoked_with_its_keys),
        CASE(a_grant_is_answered_when_this_member_has_it),
        CASE(an_id_is_chosen_when_none_is_given),
        CASE(rule_t2_keep_alives_are_answered_in_order_one_after_the_other),
        CASE(rule_t2_what_is_not_known_is_not_answered_as_alive),
        CASE(time_to_live_tells_what_is_left_and_the_keys),
        CASE(leases_are_listed),
        CASE(what_a_client_that_is_gone_waited_for_is_given_up),
        CASE(rule_o1_keys_of_a_lease_that_are_too_long_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
