/* What a member does by itself, and what it finds when it starts: whole members in virtual time. */
#include "member_world.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct writing {
    struct node_write write;
    uint32_t answers;
};

static struct node_status status_of(const struct cluster *c, int i)
{
    struct node_status status;
    node_status_get(c->members[i].node, &status);
    return status;
}

static void on_written(struct node_write *w)
{
    struct writing *t = w->context;
    t->answers++;
}

static enum status put(struct cluster *c, int i, struct writing *t, const char *key)
{
    *t = (struct writing){.write = {.ack = NODE_ACK_QUORUM, .done = on_written, .context = t}};
    struct kv_command command = {.op = KV_PUT, .key = slice_str(key), .value = slice_str("1")};
    return node_write_start(c->members[i].node, &t->write, &command);
}

static void put_and_wait(struct cluster *c, int i, const char *key)
{
    struct writing t;
    assert_int_equal(put(c, i, &t, key), STATUS_OK);
    fake_world_run(c->world, 50);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.write.status, STATUS_OK);
}

static enum status get(const struct cluster *c, int i, const char *key, uint64_t revision)
{
    struct kv_item item;
    return kv_get(node_kv(c->members[i].node), slice_str(key), revision, &item);
}

/* --- the data directory ----------------------------------------------------------------------- */

static void rule_q4_a_restarted_member_has_what_it_knew_to_be_committed_and_no_more(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    put_and_wait(c, leader, "old");
    put_and_wait(c, leader, "new"); /* its batch says that the one before is committed */
    for (int i = 0; i < 3; i++) {
        if (i != leader) {
            member_freeze(c, i, true);
        }
    }
    struct writing t;
    assert_int_equal(put(c, leader, &t, "never"), STATUS_OK);
    fake_world_run(c->world, 50);
    for (int i = 0; i < 3; i++) {
        member_stop(c, i, true);
    }
    member_start(c, leader);
    assert_int_equal(get(c, leader, "old", 0), STATUS_OK);
    assert_int_equal(get(c, leader, "never", 0), STATUS_NOT_FOUND);
    cluster_destroy(c);
}

static void a_data_directory_of_another_member_is_refused(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    member_stop(c, 0, false);
    assert_int_equal(member_try_open(c, 0, "node-9"), STATUS_CONFLICT);
    assert_int_equal(member_try_open(c, 0, member_names[0]), STATUS_OK);
    cluster_destroy(c);
}

static void rule_c7_a_log_without_its_identity_is_not_begun_anew(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    member_stop(c, 0, false);
    struct disk *disk = fake_disk_as_disk(c->members[0].disk);
    assert_int_equal(disk->ops->unlink(disk, "identity"), STATUS_OK);
    assert_int_equal(member_try_open(c, 0, member_names[0]), STATUS_CORRUPT);
    cluster_destroy(c);
}

/* --- the disk --------------------------------------------------------------------------------- */

/* The leader is gone and the others were started anew: how long nobody leads, although one of them
 * is asked to campaign at once. */
static int leaderless_ms(bool lease_reads)
{
    struct cluster *c = cluster_create(7, 3);
    c->lease_reads = lease_reads;
    cluster_heal(c);
    cluster_settle(c);
    int leader = cluster_find_leader(c);
    for (int i = 0; i < 3; i++) {
        member_stop(c, i, true);
    }
    member_start(c, (leader + 1) % 3);
    member_start(c, (leader + 2) % 3);
    int waited = 0;
    for (; cluster_find_leader(c) < 0; waited++) {
        assert_true(waited < 10 * ELECTION_MS);
        if (waited == ELECTION_MS / 4) {
            node_campaign(c->members[(leader + 1) % 3].node);
        }
        fake_world_run(c->world, 1);
    }
    cluster_destroy(c);
    return waited;
}

static void rule_q6b_a_promise_to_a_leader_outlives_the_process(void **state)
{
    (void)state;
    assert_true(leaderless_ms(false) < ELECTION_MS); /* shows that it is the promise */
    assert_true(leaderless_ms(true) >= ELECTION_MS);
}

static void rule_e8_a_leader_whose_disk_hangs_gives_leadership_away(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    fake_process_stall(c->members[old].loop, true);
    struct writing hung;
    assert_int_equal(put(c, old, &hung, "hung"), STATUS_OK);
    uint64_t begun_ms = fake_world_now(c->world);
    while (cluster_find_leader(c) == old) {
        fake_world_run(c->world, 10);
        assert_true(fake_world_now(c->world) - begun_ms < 4 * ELECTION_MS);
    }
    fake_world_run(c->world, 2 * ELECTION_MS);
    assert_int_not_equal(cluster_find_leader(c), old);
    put_and_wait(c, cluster_find_leader(c), "k");
    fake_process_stall(c->members[old].loop, false);
    cluster_settle(c);
    assert_int_equal(get(c, old, "k", 0), STATUS_OK);
    cluster_destroy(c);
}

static void rule_p3_a_log_at_rest_is_sealed_once_and_then_left_alone(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    put_and_wait(c, 0, "k");
    uint64_t written = fake_disk_calls(c->members[0].disk);
    fake_world_run(c->world, 5000);
    uint64_t sealed = fake_disk_calls(c->members[0].disk);
    assert_true(sealed > written);
    fake_world_run(c->world, 60000);
    assert_int_equal(fake_disk_calls(c->members[0].disk), sealed);
    cluster_destroy(c);
}

/* --- the leader's own work -------------------------------------------------------------------- */

static void rule_p18_history_is_compacted_by_the_leader_on_all_alike(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    c->history_ms = 1000;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    int leader = cluster_find_leader(c);
    put_and_wait(c, leader, "k");
    put_and_wait(c, leader, "k");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(get(c, i, "k", 2), STATUS_OK);
    }
    fake_world_run(c->world, 4000);
    cluster_settle(c);
    for (int i = 0; i < 3; i++) {
        struct kv_stats first;
        struct kv_stats stats;
        kv_stats(node_kv(c->members[0].node), &first);
        kv_stats(node_kv(c->members[i].node), &stats);
        assert_int_equal(stats.compact_revision, first.compact_revision);
        assert_int_equal(get(c, i, "k", 2), STATUS_COMPACTED);
        assert_int_equal(get(c, i, "k", 0), STATUS_OK);
    }
    uint64_t last = status_of(c, leader).last_index;
    fake_world_run(c->world, 10000); /* nothing is left to compact: no entry more */
    assert_int_equal(status_of(c, leader).last_index, last);
    cluster_destroy(c);
}

static void what_a_compaction_condemned_is_freed_also_when_nothing_is_written(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    c->history_ms = 1000;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    int leader = cluster_find_leader(c);
    for (int i = 0; i < 50; i++) {
        put_and_wait(c, leader, "k");
    }
    fake_world_run(c->world, 4000);
    for (int i = 0; i < 3; i++) {
        /* One turn is enough for so little; nothing is left to free. */
        struct kv *kv = (struct kv *)(uintptr_t)node_kv(c->members[i].node);
        assert_false(kv_compact_step(kv, 0));
    }
    cluster_destroy(c);
}

static void a_member_is_told_to_campaign_at_most_once_per_ten_timeouts(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int first = cluster_find_leader(c);
    int second = first == 0 ? 1 : 0;
    node_campaign(c->members[second].node);
    fake_world_run(c->world, ELECTION_MS);
    assert_int_equal(cluster_find_leader(c), second);
    node_campaign(c->members[first].node);
    fake_world_run(c->world, ELECTION_MS);
    assert_int_equal(cluster_find_leader(c), first);
    node_campaign(c->members[second].node);
    fake_world_run(c->world, ELECTION_MS);
    assert_int_equal(cluster_find_leader(c), first);
    fake_world_run(c->world, 8 * ELECTION_MS);
    node_campaign(c->members[second].node);
    fake_world_run(c->world, ELECTION_MS);
    assert_int_equal(cluster_find_leader(c), second);
    cluster_destroy(c);
}

/* --- the first leader ------------------------------------------------------------------------- */

static void start_all(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        member_start(c, i);
    }
}

static void rule_e10_members_that_start_together_lead_before_a_timeout_is_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_create(seed, 3);
        for (int boot = 0; boot < 2; boot++) {
            start_all(c);
            fake_world_run(c->world, ELECTION_MS - 1);
            int leader = cluster_find_leader(c);
            assert_int_not_equal(leader, -1);
            put_and_wait(c, leader, "key");
            for (int i = 0; i < c->count; i++) {
                member_stop(c, i, true);
            }
        }
        cluster_destroy(c);
    }
}

static void a_founder_that_dies_when_all_have_met_costs_a_timeout_and_no_more(void **state)
{
    (void)state;
    for (int dies = 0; dies < 3; dies++) {
        struct cluster *c = cluster_create(7, 3);
        start_all(c);
        while (status_of(c, 0).term == 0) {
            fake_world_run(c->world, 1);
        }
        member_stop(c, dies, true);
        fake_world_run(c->world, 4 * ELECTION_MS);
        assert_int_not_equal(cluster_find_leader(c), -1);
        put_and_wait(c, cluster_find_leader(c), "key");
        cluster_destroy(c);
    }
}

/* They wait one heartbeat for a leader that lives to say so; it was at rest, and must say it. */
static void rule_e6b_followers_started_anew_together_depose_no_leader_at_rest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct cluster *c = cluster_settled(seed, 3);
        int leader = cluster_find_leader(c);
        fake_world_run(c->world, 3000 + seed * 7);
        uint64_t term = status_of(c, leader).term;
        for (int i = 0; i < 3; i++) {
            if (i != leader) {
                member_stop(c, i, false);
            }
        }
        for (int i = 0; i < 3; i++) {
            if (i != leader) {
                member_start(c, i);
            }
        }
        fake_world_run(c->world, 3000);
        assert_int_equal(cluster_find_leader(c), leader);
        assert_int_equal(status_of(c, leader).term, term);
        cluster_destroy(c);
    }
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_q4_a_restarted_member_has_what_it_knew_to_be_committed_and_no_more),
        cmocka_unit_test(a_data_directory_of_another_member_is_refused),
        cmocka_unit_test(rule_c7_a_log_without_its_identity_is_not_begun_anew),
        cmocka_unit_test(rule_q6b_a_promise_to_a_leader_outlives_the_process),
        cmocka_unit_test(rule_e8_a_leader_whose_disk_hangs_gives_leadership_away),
        cmocka_unit_test(rule_p3_a_log_at_rest_is_sealed_once_and_then_left_alone),
        cmocka_unit_test(rule_p18_history_is_compacted_by_the_leader_on_all_alike),
        cmocka_unit_test(what_a_compaction_condemned_is_freed_also_when_nothing_is_written),
        cmocka_unit_test(a_member_is_told_to_campaign_at_most_once_per_ten_timeouts),
        cmocka_unit_test(rule_e10_members_that_start_together_lead_before_a_timeout_is_over),
        cmocka_unit_test(a_founder_that_dies_when_all_have_met_costs_a_timeout_and_no_more),
        cmocka_unit_test(rule_e6b_followers_started_anew_together_depose_no_leader_at_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
