/* When leases end: rules T1 and T3, on whole members in virtual time. */
#include "member_leases.h"

#include "base/log.h"
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "kv/kv_txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* --- T1 --------------------------------------------------------------------------------------- */

static void rule_t1_a_lease_ends_after_its_ttl_and_its_keys_with_it(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(51, 3);
    int leader = cluster_find_leader(c);
    uint64_t before = fake_world_now(c->world);
    lease_grant(c, leader, ID, TTL_S);
    uint64_t after = fake_world_now(c->world);
    lease_attach(c, leader, "a", ID);
    lease_attach(c, leader, "b", ID);
    lease_attach(c, leader, "c", 0);
    uint64_t end = lease_wait_for_end(c, ID);
    assert_true(end >= before + TTL);
    assert_true(end <= after + TTL + SLACK);
    fake_world_run(c->world, SLACK);
    for (int i = 0; i < 3; i++) {
        assert_false(member_has_lease(c, i, ID));
        assert_false(member_has_key(c, i, "a"));
        assert_false(member_has_key(c, i, "b"));
        assert_true(member_has_key(c, i, "c"));
    }
    cluster_destroy(c);
}

static void rule_t1_a_lease_that_is_kept_alive_lives_on(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(52, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++) {
        fake_world_run(c->world, TTL * 9 / 10);
        struct asking t = lease_keep_alive(c, i % 3, ID); /* at any member */
        assert_int_equal(t.ask.status, STATUS_OK);
        assert_int_equal(t.ask.ttl_s, TTL_S);
        last = t.answered_ms;
    }
    uint64_t end = lease_wait_for_end(c, ID);
    assert_true(end + SLACK >= last + TTL); /* the last one was answered over a link */
    assert_true(end <= last + TTL + SLACK);
    cluster_destroy(c);
}

static void rule_t1_a_put_with_a_ttl_ends_too(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(53, 3);
    const struct kv_command command = {.op = KV_PUT_TTL,
                                       .key = slice_str("k"),
                                       .value = slice_str("1"),
                                       .lease = ID,
                                       .ttl_s = TTL_S};
    int leader = cluster_find_leader(c);
    assert_int_equal(lease_write(c, member_other_than(c, leader), &command), STATUS_OK);
    fake_world_run(c->world, TTL - SLACK);
    assert_true(member_has_key(c, leader, "k"));
    fake_world_run(c->world, 2 * SLACK);
    for (int i = 0; i < 3; i++) {
        assert_false(member_has_key(c, i, "k"));
    }
    cluster_destroy(c);
}

static void rule_t1_a_change_of_leader_may_lengthen_and_never_shortens(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 66; seed++) {
        struct cluster *c = cluster_settled(seed, 3);
        int leader = cluster_find_leader(c);
        lease_grant(c, leader, ID, TTL_S);
        fake_world_run(c->world, rng_below(fake_world_rng(c->world), TTL));
        struct asking t = lease_keep_alive(c, leader, ID);
        assert_int_equal(t.ask.status, STATUS_OK);
        fake_world_run(c->world, rng_below(fake_world_rng(c->world), TTL * 9 / 10));
        uint64_t killed = fake_world_now(c->world);
        member_stop(c, leader, false);
        uint64_t end = lease_wait_for_end(c, ID);
        assert_true(end >= t.answered_ms + TTL);
        assert_true(end <= killed + FAILOVER + TTL + SLACK);
        member_start(c, leader);
        cluster_settle(c);
        assert_false(member_has_lease(c, leader, ID));
        cluster_destroy(c);
    }
}

/* The leader is stopped for longer than the lease, another one leads meanwhile and keeps it. */
static void rule_t1_a_leader_that_wakes_up_ends_nothing(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(67, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    lease_attach(c, leader, "k", ID);
    member_freeze(c, leader, true);
    int second = member_new_leader(c, leader);
    for (int i = 0; i < 6; i++) {
        (void)lease_keep_alive_surely(c, second, ID);
        fake_world_run(c->world, TTL / 2);
    }
    member_freeze(c, leader, false);
    fake_world_run(c->world, TTL / 4);
    (void)lease_keep_alive_surely(c, second, ID);
    cluster_settle(c);
    for (int i = 0; i < 3; i++) {
        assert_true(member_has_key(c, i, "k"));
    }
    cluster_destroy(c);
}

static void rule_t1_steps_of_the_wall_clock_change_nothing(void **state)
{
    (void)state;
    const int64_t hour = 3600 * 1000;
    for (int way = -1; way <= 1; way += 2) {
        struct cluster *c = cluster_settled(68, 3);
        int leader = cluster_find_leader(c);
        lease_grant(c, leader, ID, TTL_S);
        uint64_t granted = fake_world_now(c->world);
        for (int i = 0; i < 3; i++) {
            fake_process_wall(c->members[i].loop, way * hour);
        }
        lease_attach(c, leader, "k", ID);
        uint64_t end = lease_wait_for_end(c, ID);
        assert_true(end + SLACK >= granted + TTL);
        assert_true(end <= granted + TTL + SLACK);
        cluster_destroy(c);
    }
}

/* Rule T3: the clock of leases counts the time that the machine slept. */
static void rule_t3_suspended_time_counts(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(69, 1);
    lease_grant(c, 0, ID, 1000);
    fake_process_clock(c->members[0].loop, 1000, 999 * 1000);
    fake_world_run(c->world, 500);
    assert_true(member_has_lease(c, 0, ID));
    fake_world_run(c->world, 1000);
    assert_false(member_has_lease(c, 0, ID));
    cluster_destroy(c);
}

/* --- T3 --------------------------------------------------------------------------------------- */

static void stall_followers(struct cluster *c, int leader, bool stalled)
{
    for (int i = 0; i < c->count; i++) {
        if (i != leader) {
            fake_process_stall(c->members[i].loop, stalled);
        }
    }
}

/* In the log: grant, revoke, grant, expiry of the first. */
static void rule_t3_an_expiry_of_an_older_grant_is_stale(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(81, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    uint64_t granted = fake_world_now(c->world);
    fake_world_run(c->world, TTL - 40);
    stall_followers(c, leader, true); /* nothing is committed */
    struct writing revoked;
    struct writing again;
    const struct kv_command revoke = {.op = KV_LEASE_REVOKE, .lease = ID};
    const struct kv_command regrant = {.op = KV_LEASE_GRANT, .lease = ID, .ttl_s = TTL_S};
    assert_int_equal(lease_start_write(c, leader, &revoked, &revoke), STATUS_OK);
    assert_int_equal(lease_start_write(c, leader, &again, &regrant), STATUS_OK);
    struct node_status before;
    node_status_get(c->members[leader].node, &before);
    fake_world_run(c->world, 80); /* the first one is due */
    struct node_status after;
    node_status_get(c->members[leader].node, &after);
    assert_true(fake_world_now(c->world) > granted + TTL);
    assert_int_equal(after.last_index, before.last_index + 1); /* its expiry */
    assert_int_equal(again.answers, 0);
    stall_followers(c, leader, false);
    fake_world_run(c->world, SLACK);
    assert_int_equal(revoked.write.status, STATUS_OK);
    assert_int_equal(again.write.status, STATUS_OK);
    node_status_get(c->members[leader].node, &after);
    assert_true(after.applied_index >= before.last_index + 1);
    for (int i = 0; i < 3; i++) {
        assert_true(member_has_lease(c, i, ID));
    }
    uint64_t end = lease_wait_for_end(c, ID);
    assert_true(end >= granted + 2 * TTL - 40);
    cluster_destroy(c);
}

static void rule_t3_a_keep_alive_waits_for_the_outcome_of_an_expiry(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(82, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    lease_attach(c, leader, "k", ID);
    fake_world_run(c->world, TTL - 100);
    stall_followers(c, leader, true);
    fake_world_run(c->world, 150); /* proposed, not committed */
    struct asking t[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lease_start_ask(c, i, &t[i], NODE_LEASE_KEEP_ALIVE, ID), STATUS_OK);
    }
    fake_world_run(c->world, 60);
    assert_true(member_has_lease(c, leader, ID));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].answers, 0);
    }
    stall_followers(c, leader, false);
    for (int i = 0; i < 3; i++) {
        lease_wait_for(c, &t[i]);
        assert_int_equal(t[i].ask.status, STATUS_NO_LEASE);
    }
    assert_false(member_has_key(c, leader, "k"));
    cluster_destroy(c);
}

/* It leads in name when the lease is due, and writes the expiry where nobody reads it. */
static void rule_t3_an_expiry_of_an_old_term_ends_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 83; seed < 87; seed++) {
        struct cluster *c = cluster_settled(seed, 3);
        int leader = cluster_find_leader(c);
        lease_grant(c, leader, ID, TTL_S);
        fake_world_run(c->world, TTL - 10 * (seed - 82));
        member_isolate(c, leader, true);
        int second = member_new_leader(c, leader);
        uint64_t last = lease_keep_alive_surely(c, second, ID);
        member_isolate(c, leader, false);
        fake_world_run(c->world, TTL / 4);
        last = lease_keep_alive_surely(c, second, ID);
        cluster_settle(c);
        uint64_t end = lease_wait_for_end(c, ID);
        assert_true(end >= last + TTL);
        cluster_destroy(c);
    }
}

/* The expiry is in the log of who leads next: nothing is kept alive before it is applied. */
static void rule_t3_an_expiry_that_the_next_leader_commits_comes_before_its_answers(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(88, 3);
    int leader = cluster_find_leader(c);
    lease_grant(c, leader, ID, TTL_S);
    fake_world_run(c->world, TTL - 60);
    stall_followers(c, leader, true);
    fake_world_run(c->world, 100); /* the others have it, not durable */
    member_stop(c, leader, false);
    stall_followers(c, leader, false);
    int second = member_new_leader(c, leader);
    struct asking t = lease_keep_alive(c, second, ID);
    for (int tries = 0; tries < 100 && t.ask.status == STATUS_NOT_LEADER; tries++) {
        fake_world_run(c->world, 10);
        t = lease_keep_alive(c, second, ID);
    }
    assert_int_equal(t.ask.status, STATUS_NO_LEASE);
    cluster_destroy(c);
}

/* --- many ------------------------------------------------------------------------------------- */

#define STORM 10000

static void rule_t3_a_storm_of_expiries_is_batched_and_lets_writes_through(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(91, 3);
    int leader = cluster_find_leader(c);
    struct writing *all = mem_calloc(STORM, sizeof(*all));
    for (uint32_t i = 0; i < STORM; i++) {
        const struct kv_command command = {.op = KV_LEASE_GRANT, .lease = i + 1, .ttl_s = 30};
        assert_int_equal(lease_start_write(c, leader, &all[i], &command), STATUS_OK);
        if (i % 100 == 0) {
            fake_world_run(c->world, 1);
        }
    }
    fake_world_run(c->world, 1000);
    for (uint32_t i = 0; i < STORM; i++) {
        assert_int_equal(all[i].write.status, STATUS_OK);
    }
    mem_free(all);
    fake_world_run(c->world, 28 * 1000);
    assert_int_equal(kv_lease_count(node_kv(c->members[leader].node)), STORM);
    struct node_status before;
    node_status_get(c->members[leader].node, &before);
    uint32_t writes = 0;
    for (; kv_lease_count(node_kv(c->members[leader].node)) > 0; writes++) {
        uint64_t began = fake_world_now(c->world);
        lease_attach(c, leader, "k", 0);
        assert_true(fake_world_now(c->world) - began < ELECTION_MS);
        assert_true(writes < 1000);
        fake_world_run(c->world, 5);
    }
    struct node_status after;
    node_status_get(c->members[leader].node, &after);
    assert_int_equal(after.term, before.term);
    assert_true(after.last_index - before.last_index - writes < 200);
    cluster_settle(c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_lease_count(node_kv(c->members[i].node)), 0);
    }
    cluster_destroy(c);
}

/* Leases that come and go by revoke leave nothing behind, and those that stay keep their time. */
static void leases_that_come_and_go_leave_the_others_their_deadlines(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(92, 1);
    for (uint32_t i = 0; i < 300; i++) {
        lease_grant(c, 0, 1000 + i, 1000);
        const struct kv_command revoke = {.op = KV_LEASE_REVOKE, .lease = 1000 + i};
        if (i % 10 != 0) {
            assert_int_equal(lease_write(c, 0, &revoke), STATUS_OK);
        }
    }
    assert_int_equal(kv_lease_count(node_kv(c->members[0].node)), 30);
    for (uint32_t i = 0; i < 300; i += 10) {
        struct asking t = lease_ask(c, 0, NODE_LEASE_REMAINING, 1000 + i);
        assert_int_equal(t.ask.status, STATUS_OK);
        assert_in_range(t.ask.remaining_s, 900, 1000);
    }
    fake_process_clock(c->members[0].loop, 1000, 1000 * 1000);
    fake_world_run(c->world, SLACK);
    assert_int_equal(kv_lease_count(node_kv(c->members[0].node)), 0);
    cluster_destroy(c);
}

static enum status change_k(struct cluster *c, bool puts)
{
    struct kv_txn *txn = kv_txn_create();
    struct kv_txn_op *nested = kv_txn_add_op(&txn->success, KV_TXN_NESTED);
    nested->nested = kv_txn_create();
    struct kv_txn_ops *ops = &nested->nested->failure;
    if (puts) {
        kv_txn_add_op(ops, KV_TXN_PUT)->put =
            (struct kv_txn_put){.key = slice_str("k"), .value = slice_str("12345678")};
    } else {
        kv_txn_add_op(ops, KV_TXN_DELETE)->deletes.span =
            kv_span_of(slice_str("k"), (struct slice){0});
    }
    struct buf bytes = {0};
    kv_txn_encode(txn, &bytes);
    kv_txn_destroy(txn);
    const struct kv_command command = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    enum status s = lease_write(c, 0, &command);
    buf_deinit(&bytes);
    return s;
}

static void rule_p12_beyond_the_quota_leases_end_and_none_begins(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(94, 1);
    c->quota_bytes = 250;
    member_start(c, 0);
    cluster_settle(c);
    lease_grant(c, 0, ID, TTL_S);
    lease_attach(c, 0, "a", ID);
    enum status filled = STATUS_OK;
    for (int i = 0; i < 10 && filled == STATUS_OK; i++) {
        char key[16];
        snprintf(key, sizeof(key), "filler-%d", i);
        const struct kv_command filler = {.op = KV_PUT, .key = slice_str(key)};
        filled = lease_write(c, 0, &filler);
    }
    assert_int_equal(filled, STATUS_NO_SPACE);
    const struct kv_command another = {.op = KV_LEASE_GRANT, .lease = 2, .ttl_s = 5};
    const struct kv_command put_ttl = {.op = KV_PUT_TTL,
                                       .key = slice_str("k"),
                                       .value = slice_str("1"),
                                       .lease = 3,
                                       .ttl_s = TTL_S};
    assert_int_equal(change_k(c, true), STATUS_NO_SPACE);
    assert_int_equal(change_k(c, false), STATUS_OK);
    assert_int_equal(lease_write(c, 0, &put_ttl), STATUS_NO_SPACE);
    assert_int_equal(lease_write(c, 0, &another), STATUS_NO_SPACE);
    assert_int_equal(lease_keep_alive(c, 0, ID).ask.status, STATUS_OK);
    fake_world_run(c->world, TTL + SLACK);
    assert_false(member_has_lease(c, 0, ID));
    assert_false(member_has_key(c, 0, "a"));
    assert_int_equal(change_k(c, true), STATUS_OK);
    cluster_destroy(c);
}

static void the_shortest_ttl_leaves_time_for_a_failover(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(93, 1);
    assert_int_equal(ELECTION_MS, 200);
    assert_int_equal(node_lease_ttl_min(c->members[0].node), 1);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = LOG_ERROR, .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_t1_a_lease_ends_after_its_ttl_and_its_keys_with_it),
        cmocka_unit_test(rule_t1_a_lease_that_is_kept_alive_lives_on),
        cmocka_unit_test(rule_t1_a_put_with_a_ttl_ends_too),
        cmocka_unit_test(rule_t1_a_change_of_leader_may_lengthen_and_never_shortens),
        cmocka_unit_test(rule_t1_a_leader_that_wakes_up_ends_nothing),
        cmocka_unit_test(rule_t1_steps_of_the_wall_clock_change_nothing),
        cmocka_unit_test(rule_t3_suspended_time_counts),
        cmocka_unit_test(rule_t3_an_expiry_of_an_older_grant_is_stale),
        cmocka_unit_test(rule_t3_a_keep_alive_waits_for_the_outcome_of_an_expiry),
        cmocka_unit_test(rule_t3_an_expiry_of_an_old_term_ends_nothing),
        cmocka_unit_test(rule_t3_an_expiry_that_the_next_leader_commits_comes_before_its_answers),
        cmocka_unit_test(rule_t3_a_storm_of_expiries_is_batched_and_lets_writes_through),
        cmocka_unit_test(leases_that_come_and_go_leave_the_others_their_deadlines),
        cmocka_unit_test(rule_p12_beyond_the_quota_leases_end_and_none_begins),
        cmocka_unit_test(the_shortest_ttl_leaves_time_for_a_failover),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
