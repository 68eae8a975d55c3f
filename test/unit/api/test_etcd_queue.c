/* Locks and elections: standing in a queue under a name. In base64 n is bg==, n/7 is bi83, n/8 is
 * bi84, v is dg==, w is dw==. */
#include "etcd_streams.h"

#include "api/proto/etcd_election.pb-c.h"
#include "api/proto/etcd_lock.pb-c.h"

#define LOCK       "/v3lockpb.Lock/Lock"
#define LOCK_ASKED &v3lockpb__lock_request__descriptor
#define LOCKED     &v3lockpb__lock_response__descriptor
#define CAMPAIGN   "/v3electionpb.Election/Campaign"
#define OBSERVE    "/v3electionpb.Election/Observe"
#define SEEN       &v3electionpb__leader_response__descriptor
#define LEADER_7   "\"leader\":{\"name\":\"bg==\",\"key\":\"bi83\",\"rev\":\"2\",\"lease\":\"7\"}"

static int setup(void **state)
{
    int result = etcd_setup(state);
    for (uint64_t id = 7; id <= 9; id++) {
        apply(&(struct kv_command){.op = KV_LEASE_GRANT, .lease = id, .ttl_s = 60});
    }
    return result;
}

static bool exists(const char *key)
{
    struct kv_item item;
    return kv_get(fake_node.kv, slice_str(key), 0, &item) == STATUS_OK;
}

/* The node answers what waits, and what that leads to. */
static void turns(void)
{
    for (int i = 0; i < 4; i++) {
        fake_turn();
        tell_watches();
    }
}

static struct called *lock(const char *lease)
{
    char json[64];
    snprintf(json, sizeof(json), "{\"name\":\"bg==\",\"lease\":%s}", lease);
    struct called *c = call_json(LOCK, LOCK_ASKED, json);
    turns();
    return c;
}

static void assert_locked(struct called *c, const char *answer)
{
    assert_ended(c, GRPC_OK, "");
    assert_message(c, 0, LOCKED, answer);
    call_forget(c);
}

static void a_lock_is_had_in_the_order_of_coming(void **state)
{
    (void)state;
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
    struct called *second = lock("8");
    struct called *third = lock("9");
    assert_false(second->done || third->done);
    assert_true(exists("n/8") && exists("n/9"));
    post("/lock/unlock", "{\"key\":\"bi83\"}", 200, "{" HEADER_AT("5") "}");
    turns();
    assert_false(third->done);
    assert_locked(second, AT("5", ",\"key\":\"bi84\""));
    apply(&(struct kv_command){.op = KV_LEASE_REVOKE, .lease = 8});
    turns();
    assert_locked(third, AT("6", ",\"key\":\"bi85\""));
}

static void who_has_the_lock_already_is_told_so_again(void **state)
{
    (void)state;
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
}

static void a_lease_that_is_not_there_gets_no_lock(void **state)
{
    (void)state;
    struct called *c = lock("99");
    assert_ended(c, GRPC_NOT_FOUND, "etcdserver: requested lease not found");
    call_forget(c);
}

static void without_a_lease_one_of_a_minute_is_granted(void **state)
{
    (void)state;
    struct called *c = call_json(LOCK, LOCK_ASKED, "{\"name\":\"bg==\"}");
    turns();
    assert_ended(c, GRPC_OK, "");
    call_forget(c);
    struct kv_stats stats;
    kv_stats(fake_node.kv, &stats);
    assert_int_equal(stats.leases, 4);
}

static void who_gives_up_leaves_the_queue(void **state)
{
    (void)state;
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
    struct called *second = lock("8");
    struct called *third = lock("9");
    call_reset(second);
    call_forget(second);
    turns();
    assert_false(exists("n/8"));
    assert_false(third->done);
    drop("n/7");
    turns();
    assert_locked(third, AT("6", ",\"key\":\"bi85\""));
}

static void who_gives_up_while_the_key_is_written_leaves_no_key(void **state)
{
    (void)state;
    struct called *c = call_json(LOCK, LOCK_ASKED, "{\"name\":\"bg==\",\"lease\":7}");
    assert_true(exists("n/7")); /* the fake writes at once, and answers later */
    call_reset(c);
    call_forget(c);
    turns();
    assert_false(exists("n/7"));
}

static void rule_t1_whose_lease_went_while_it_waited_has_no_lock(void **state)
{
    (void)state;
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
    struct called *second = lock("8");
    apply(&(struct kv_command){.op = KV_LEASE_REVOKE, .lease = 8});
    drop("n/7");
    turns();
    assert_ended(second, GRPC_UNKNOWN, "mutex: session is expired");
    call_forget(second);
}

static void a_write_that_fails_is_told(void **state)
{
    (void)state;
    fake_node.write_start = STATUS_NOT_LEADER;
    struct called *c = lock("7");
    fake_pass(1);
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: no leader");
    call_forget(c);
    fake_node.write_start = STATUS_OK;
    fake_node.write_outcome = STATUS_UNKNOWN;
    c = lock("7");
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: request timed out");
    call_forget(c);
}

static void the_end_of_the_api_leaves_no_waiters(void **state)
{
    (void)state;
    assert_locked(lock("7"), AT("2", ",\"key\":\"bi83\""));
    struct called *second = lock("8");
    fake_restart(NULL, NODE_ACK_QUORUM);
    turns();
    assert_false(exists("n/8"));
    second->done = true;
    call_forget(second);
}

/* --- elections -------------------------------------------------------------------------------- */

static void who_campaigns_leads_proclaims_and_resigns(void **state)
{
    (void)state;
    post("/election/campaign", "{\"name\":\"bg==\",\"lease\":7,\"value\":\"dg==\"}", 200,
         "{" HEADER_AT("2") "," LEADER_7 "}");
    post("/election/leader", "{\"name\":\"bg==\"}", 200,
         "{" HEADER_AT("2") ",\"kv\":{\"key\":\"bi83\",\"create_revision\":\"2\","
                            "\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"dg==\","
                            "\"lease\":\"7\"}}");
    post("/election/proclaim", "{" LEADER_7 ",\"value\":\"dw==\"}", 200, "{" HEADER_AT("3") "}");
    post("/election/resign", "{" LEADER_7 "}", 200, "{" HEADER_AT("4") "}");
    assert_false(exists("n/7"));
    post("/election/proclaim", "{" LEADER_7 ",\"value\":\"dw==\"}", 500,
         ETCD_ERROR_TEXT("2", "election: not leader"));
    post("/election/resign", "{" LEADER_7 "}", 200, "{" HEADER_AT("4") "}");
    post("/election/leader", "{\"name\":\"bg==\"}", 500,
         ETCD_ERROR_TEXT("2", "election: no leader"));
    post("/election/resign", "{}", 500,
         ETCD_ERROR_TEXT("2", "\\\"leader\\\" field must be provided"));
}

static void an_observer_sees_each_proclamation_and_the_next_leader(void **state)
{
    (void)state;
    struct called *o =
        call_json(OBSERVE, &v3electionpb__leader_request__descriptor, "{\"name\":\"bg==\"}");
    turns();
    assert_int_equal(o->message_count, 0);
    post("/election/campaign", "{\"name\":\"bg==\",\"lease\":7,\"value\":\"dg==\"}", 200,
         "{" HEADER_AT("2") "," LEADER_7 "}");
    turns();
    assert_int_equal(o->message_count, 1);
    struct called *next = call_json(CAMPAIGN, &v3electionpb__campaign_request__descriptor,
                                    "{\"name\":\"bg==\",\"lease\":8,\"value\":\"dg==\"}");
    turns();
    assert_int_equal(o->message_count, 1);
    post("/election/proclaim", "{" LEADER_7 ",\"value\":\"dw==\"}", 200, "{" HEADER_AT("4") "}");
    turns();
    assert_int_equal(o->message_count, 2);
    assert_message(o, 1, SEEN,
                   AT("4", ",\"kv\":{\"key\":\"bi83\",\"create_revision\":\"2\","
                           "\"mod_revision\":\"4\",\"version\":\"2\",\"value\":\"dw==\","
                           "\"lease\":\"7\"}"));
    drop("n/7");
    turns();
    assert_ended(next, GRPC_OK, "");
    call_forget(next);
    assert_int_equal(o->message_count, 3);
    assert_message(o, 2, SEEN,
                   AT("5", ",\"kv\":{\"key\":\"bi84\",\"create_revision\":\"3\","
                           "\"mod_revision\":\"3\",\"version\":\"1\",\"value\":\"dg==\","
                           "\"lease\":\"8\"}"));
    call_reset(o);
    call_forget(o);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_lock_is_had_in_the_order_of_coming),
        CASE(who_has_the_lock_already_is_told_so_again),
        CASE(a_lease_that_is_not_there_gets_no_lock),
        CASE(without_a_lease_one_of_a_minute_is_granted),
        CASE(who_gives_up_leaves_the_queue),
        CASE(who_gives_up_while_the_key_is_written_leaves_no_key),
        CASE(rule_t1_whose_lease_went_while_it_waited_has_no_lock),
        CASE(a_write_that_fails_is_told),
        CASE(the_end_of_the_api_leaves_no_waiters),
        CASE(who_campaigns_leads_proclaims_and_resigns),
        CASE(an_observer_sees_each_proclamation_and_the_next_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
