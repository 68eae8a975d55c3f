/* Faults that were asked for, on whole members in virtual time: rows B15, F5, the slow disk. What
 * was acknowledged is there in the end, whatever was lost on the way. */
#include "member_trouble.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void play(struct cluster *c, int i, struct fault_set set)
{
    node_faults_set(c->members[i].node, &set);
    assert_int_equal(member_status(c, i).faults, !fault_set_is_empty(&set));
}

static void heal(struct cluster *c)
{
    for (int i = 0; i < c->count; i++) {
        play(c, i, (struct fault_set){0});
    }
}

static struct fault_set cut_from_all(const struct cluster *c, int i)
{
    struct fault_set set = {0};
    for (int k = 0; k < c->count; k++) {
        if (k != i) {
            snprintf(set.cut[set.cut_count++], sizeof(set.cut[0]), "%s", member_names[k]);
        }
    }
    return set;
}

static struct fault_set lose_to(int i)
{
    struct fault_set set = {.link_count = 1};
    snprintf(set.links[0].name, sizeof(set.links[0].name), "%s", member_names[i]);
    set.links[0].has_drop = true;
    set.links[0].fault.drop = FAULT_DROP_ALL;
    return set;
}

static void row_b15_a_leader_cut_off_steps_down_and_its_tail_goes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = cluster_settled(seed, 3);
        struct writer *w = writer_create(c);
        writer_run(w, 200);
        int old = cluster_find_leader(c);
        uint64_t term = member_status(c, old).term;
        play(c, old, cut_from_all(c, old));
        assert_int_equal(trouble_put(c, old, "tail", 10), STATUS_UNKNOWN);
        assert_string_not_equal(member_status(c, old).role, "leader");
        int leader = trouble_wait_for_leader_but(c, old);
        assert_int_not_equal(leader, old);
        writer_run(w, 1000);
        assert_int_equal(trouble_put(c, old, "k", 10), STATUS_NOT_LEADER);
        assert_int_equal(trouble_read(c, old, NODE_LINEARIZABLE, 0), STATUS_NOT_LEADER);
        assert_int_equal(trouble_read(c, old, NODE_STALE, 0), STATUS_OK);
        /* Pre-vote: however long it was alone, it comes back in the term of the others. */
        uint64_t new_term = member_status(c, leader).term;
        assert_true(new_term > term && member_status(c, old).term <= new_term);
        play(c, old, (struct fault_set){0});
        cluster_settle(c);
        assert_int_equal(cluster_find_leader(c), leader);
        assert_int_equal(member_status(c, leader).term, new_term);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void row_b15_one_link_cut_and_one_way_lost_cost_no_acknowledged_write(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = cluster_settled(seed, 3);
        struct writer *w = writer_create(c);
        int leader = cluster_find_leader(c);
        int follower = (leader + 1) % 3;
        /* The leader is heard, and does not hear: its other follower confirms what it writes. */
        play(c, follower, lose_to(leader));
        uint32_t before = w->acknowledged;
        writer_run(w, 2000);
        assert_true(w->acknowledged > before + 100);
        assert_int_equal(cluster_find_leader(c), leader);
        /* The leader is not heard: whoever leads then, a majority works. */
        heal(c);
        play(c, leader, lose_to(follower));
        writer_run(w, 3000);
        before = w->acknowledged;
        writer_run(w, 2000);
        assert_true(w->acknowledged > before + 100);
        heal(c);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

/* Everything is lost now and then, and late: entries, votes, pieces of snapshots, surveys. */
static void losses_and_delays_everywhere_cost_no_acknowledged_write(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = cluster_create(seed, 3);
        c->snapshot_log_entries = 100;
        for (int i = 0; i < 3; i++) {
            member_start(c, i);
        }
        cluster_settle(c);
        struct writer *w = writer_create(c);
        member_stop(c, 2, false);
        writer_run(w, 3000); /* what it lacks then is only in a snapshot */
        member_start(c, 2);
        for (int i = 0; i < 3; i++) {
            play(c, i, (struct fault_set){.drop = FAULT_DROP_ALL / 5, .delay_ms = 5});
        }
        writer_run(w, 8000);
        uint64_t lost = 0;
        for (int i = 0; i < 3; i++) {
            lost += trouble_metrics(c, i).fault_drops;
        }
        assert_true(lost > 500);
        assert_true(trouble_metrics(c, 2).snapshots_installed > 0);
        heal(c);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void a_slow_disk_delays_what_waits_for_it_until_the_fault_ends(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(1, 3);
    int leader = cluster_find_leader(c);
    for (int i = 0; i < 3; i++) {
        play(c, i, (struct fault_set){.disk_delay_ms = 100});
    }
    uint64_t begun_ms = fake_world_now(c->world);
    assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
    uint64_t took_ms = fake_world_now(c->world) - begun_ms;
    assert_in_range(took_ms, 100, 250);
    struct node_metrics m = trouble_metrics(c, leader);
    assert_true(m.log_sync.sum_us >= 100000); /* as the metrics tell of a disk that is slow */
    /* One that is held back when the fault ends, goes at once. */
    for (int i = 0; i < 3; i++) {
        play(c, i, (struct fault_set){.disk_delay_ms = 60000});
    }
    assert_int_equal(trouble_put(c, cluster_find_leader(c), "k", 10), STATUS_UNKNOWN);
    heal(c);
    cluster_settle(c);
    assert_int_equal(trouble_put(c, cluster_find_leader(c), "k", 10), STATUS_OK);
    cluster_expect_no_fatal(c);
    cluster_destroy(c);
}

static void a_member_that_is_killed_with_faults_has_none_when_it_returns(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(3, 3);
    struct writer *w = writer_create(c);
    int old = cluster_find_leader(c);
    struct fault_set all = cut_from_all(c, old);
    all.delay_ms = 300;
    all.disk_delay_ms = 50;
    play(c, old, all);
    writer_run(w, 1000);
    member_stop(c, old, true);
    member_start(c, old);
    assert_false(member_status(c, old).faults);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_b15_a_leader_cut_off_steps_down_and_its_tail_goes),
        cmocka_unit_test(row_b15_one_link_cut_and_one_way_lost_cost_no_acknowledged_write),
        cmocka_unit_test(losses_and_delays_everywhere_cost_no_acknowledged_write),
        cmocka_unit_test(a_slow_disk_delays_what_waits_for_it_until_the_fault_ends),
        cmocka_unit_test(a_member_that_is_killed_with_faults_has_none_when_it_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
