/* Who keeps a lease alive, or asks how long it has, here or at another member: rule T2. */
#include "member_leases.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void rule_t2_without_a_confirmation_there_is_no_answer(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(71, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, 5);
    member_isolate(c, leader, true);
    struct asking t[8];
    bool began[8];
    for (int i = 0; i < 8; i++) {
        began[i] = lease_start_ask(c, leader, &t[i], NODE_LEASE_KEEP_ALIVE, ID) == STATUS_OK;
        fake_world_run(c->world, ELECTION_MS / 3);
    }
    assert_true(began[0]);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(t[i].answers, began[i] ? 1 : 0);
        assert_int_not_equal(began[i] ? t[i].ask.status : STATUS_UNKNOWN, STATUS_OK);
        assert_int_not_equal(t[i].ask.status, STATUS_NO_LEASE);
    }
    cluster_destroy(c);
}

static void rule_t2_a_keep_alive_is_no_entry_in_the_log(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(72, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    struct node_status before;
    node_status_get(c->members[leader].node, &before);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(lease_keep_alive(c, i % 3, ID).ask.status, STATUS_OK);
    }
    struct node_status after;
    node_status_get(c->members[leader].node, &after);
    assert_int_equal(after.last_index, before.last_index);
    cluster_destroy(c);
}

static void a_lease_that_is_not_there_is_said_to_be_gone(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(73, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lease_keep_alive(c, i, ID).ask.status, STATUS_NO_LEASE);
        assert_int_equal(lease_ask(c, i, NODE_LEASE_REMAINING, ID).ask.status, STATUS_NO_LEASE);
    }
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    const struct kv_command revoke = {.op = KV_LEASE_REVOKE, .lease = ID};
    assert_int_equal(lease_write(c, member_other_than(c, leader), &revoke), STATUS_OK);
    assert_int_equal(lease_write(c, member_other_than(c, leader), &revoke), STATUS_NO_LEASE);
    assert_int_equal(lease_keep_alive(c, leader, ID).ask.status, STATUS_NO_LEASE);
    cluster_destroy(c);
}

static void the_time_that_remains_is_told_at_any_member_and_changes_nothing(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(74, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, 100);
    fake_world_run(c->world, 40 * 1000);
    for (int i = 0; i < 6; i++) {
        struct asking t = lease_ask(c, i % 3, NODE_LEASE_REMAINING, ID);
        assert_int_equal(t.ask.status, STATUS_OK);
        assert_int_equal(t.ask.ttl_s, 100);
        assert_in_range(t.ask.remaining_s, 57, 60);
    }
    struct asking t = lease_keep_alive(c, member_other_than(c, leader), ID);
    assert_int_equal(t.ask.status, STATUS_OK);
    assert_int_equal(t.ask.remaining_s, 100);
    assert_in_range(lease_ask(c, leader, NODE_LEASE_REMAINING, ID).ask.remaining_s, 98, 100);
    cluster_destroy(c);
}

static void a_keep_alive_at_a_follower_ends_when_the_leader_dies(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(75, 3);
    int leader = cluster_find_leader(c);
    int follower = member_other_than(c, leader);
    lease_grant(c, leader, ID, TTL_S);
    struct asking t;
    assert_int_equal(lease_start_ask(c, follower, &t, NODE_LEASE_KEEP_ALIVE, ID), STATUS_OK);
    member_stop(c, leader, false);
    lease_wait_for(c, &t);
    assert_int_equal(t.ask.status, STATUS_UNREACHABLE);
    (void)lease_keep_alive_surely(c, follower, ID);
    cluster_destroy(c);
}

static void a_keep_alive_at_a_follower_ends_when_the_leader_is_silent(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(76, 3);
    int leader = cluster_find_leader(c);
    int follower = member_other_than(c, leader);
    lease_grant(c, leader, ID, TTL_S);
    struct asking t;
    assert_int_equal(lease_start_ask(c, follower, &t, NODE_LEASE_KEEP_ALIVE, ID), STATUS_OK);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[follower], true);
    lease_wait_for(c, &t);
    assert_int_equal(t.ask.status, STATUS_UNREACHABLE);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[follower], false);
    cluster_settle(c);
    assert_int_equal(t.answers, 1);
    cluster_destroy(c);
}

static void a_client_that_goes_away_is_not_answered(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(77, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    struct asking t[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lease_start_ask(c, i, &t[i], NODE_LEASE_KEEP_ALIVE, ID), STATUS_OK);
        node_lease_cancel(&t[i].ask);
        node_lease_cancel(&t[i].ask); /* harmless */
    }
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].answers, 0);
    }
    cluster_destroy(c);
}

static void rule_o1_so_many_questions_wait_and_more_are_refused(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(78, 3);
    int leader = cluster_find_leader(c);
    int follower = member_other_than(c, leader);
    lease_grant(c, leader, ID, 60);
    uint32_t count = LIMIT_LEASE_ASKS + 10;
    struct asking *all = mem_calloc(count, sizeof(*all));
    uint32_t refused = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum status s = lease_start_ask(c, follower, &all[i], NODE_LEASE_KEEP_ALIVE, ID);
        refused += s == STATUS_OVERLOADED;
        all[i].answers = s == STATUS_OVERLOADED ? 1 : 0;
        all[i].ask.status = s;
    }
    assert_int_equal(refused, 10);
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    uint32_t fine = 0;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(all[i].answers, 1);
        fine += all[i].ask.status == STATUS_OK;
    }
    assert_true(fine >= LIMIT_LEASE_ASKS_IN);
    mem_free(all);
    cluster_destroy(c);
}

static void on_shut_down(void *context)
{
    struct asking *t = context;
    assert_int_equal(t->answers, 1); /* before it says that it is down */
    t->answers++;
}

static void a_member_that_is_shut_down_answers_who_waits(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(79, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, 60);
    struct asking t[3];
    member_isolate(c, leader, true); /* nothing is confirmed, nothing arrives */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lease_start_ask(c, i, &t[i], NODE_LEASE_KEEP_ALIVE, ID), STATUS_OK);
    }
    for (int i = 0; i < 3; i++) {
        node_shutdown(c->members[i].node, on_shut_down, &t[i]);
    }
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].answers, 2);
        assert_int_not_equal(t[i].ask.status, STATUS_OK);
        struct asking late;
        assert_int_equal(lease_start_ask(c, i, &late, NODE_LEASE_KEEP_ALIVE, ID),
                         STATUS_NOT_LEADER);
    }
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = LOG_ERROR, .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_t2_without_a_confirmation_there_is_no_answer),
        cmocka_unit_test(rule_t2_a_keep_alive_is_no_entry_in_the_log),
        cmocka_unit_test(a_lease_that_is_not_there_is_said_to_be_gone),
        cmocka_unit_test(the_time_that_remains_is_told_at_any_member_and_changes_nothing),
        cmocka_unit_test(a_keep_alive_at_a_follower_ends_when_the_leader_dies),
        cmocka_unit_test(a_keep_alive_at_a_follower_ends_when_the_leader_is_silent),
        cmocka_unit_test(a_client_that_goes_away_is_not_answered),
        cmocka_unit_test(rule_o1_so_many_questions_wait_and_more_are_refused),
        cmocka_unit_test(a_member_that_is_shut_down_answers_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
