/* Disks that hang (rules E8, P17, row F9): a leader hands over, a follower harms nobody, and at
 * last the process ends. Whole members in virtual time. */
#include "member_trouble.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void stall(struct cluster *c, int i, bool stalled)
{
    fake_process_stall(c->members[i].loop, stalled);
}

static void fault_f9_a_leader_whose_disk_hangs_hands_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        int stalled = cluster_find_leader(c);
        stall(c, stalled, true);
        writer_run(w, 4 * ELECTION_MS);
        int leader = cluster_find_leader(c);
        assert_int_not_equal(leader, stalled);
        assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
        assert_int_equal(trouble_metrics(c, stalled).stalls, 1);
        writer_run(w, 3000);
        stall(c, stalled, false);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void fault_f9_a_follower_whose_disk_hangs_harms_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        int leader = cluster_find_leader(c);
        int stalled = (leader + 1) % 3;
        uint64_t term = member_status(c, leader).term;
        stall(c, stalled, true);
        writer_run(w, 3000);
        assert_int_equal(cluster_find_leader(c), leader);
        assert_int_equal(member_status(c, leader).term, term);
        assert_true(w->acknowledged > 550);
        stall(c, stalled, false);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void rule_p17_a_disk_that_hangs_for_ever_ends_the_process(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    struct writer *w = writer_create(c);
    int stalled = cluster_find_leader(c);
    stall(c, stalled, true);
    writer_run(w, 5000);
    cluster_expect_no_fatal(c);
    fake_world_run(c->world, 56000);
    assert_non_null(c->members[stalled].fatal);
    assert_int_equal(c->members[stalled].fatal_code, 1);
    assert_non_null(strstr(c->members[stalled].fatal, "has not answered"));
    member_stop(c, stalled, true);
    member_start(c, stalled);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

static void note_written(struct node_write *w)
{
    (*(uint32_t *)w->context)++;
}

/* Two entries in one batch: there is company. */
static void put_two(struct cluster *c)
{
    uint32_t answers = 0;
    struct node_write writes[2];
    const struct kv_command command = {
        .op = KV_PUT, .key = slice_str("k"), .value = slice_str("v")};
    for (int i = 0; i < 2; i++) {
        writes[i] =
            (struct node_write){.ack = NODE_ACK_QUORUM, .done = note_written, .context = &answers};
        assert_int_equal(node_write_start(c->members[0].node, &writes[i], &command), STATUS_OK);
    }
    while (answers < 2) {
        fake_world_run(c->world, 1);
    }
}

/* How many of so many writes, one after the other, the loop might have done itself. */
static uint32_t count_short(struct cluster *c, int writes, size_t value_bytes)
{
    uint32_t before = fake_process_short_works(c->members[0].loop);
    for (int i = 0; i < writes; i++) {
        assert_int_equal(trouble_put(c, 0, "k", value_bytes), STATUS_OK);
    }
    return fake_process_short_works(c->members[0].loop) - before;
}

static void only_lone_small_writes_may_keep_the_loop(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(6, 1);
    assert_true(count_short(c, 40, 10) > 0);
    put_two(c);
    assert_int_equal(count_short(c, 15, 10), 0);
    assert_true(count_short(c, 20, 10) > 0);
    assert_int_equal(count_short(c, 5, 20000), 0);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_f9_a_leader_whose_disk_hangs_hands_over),
        cmocka_unit_test(fault_f9_a_follower_whose_disk_hangs_harms_nobody),
        cmocka_unit_test(rule_p17_a_disk_that_hangs_for_ever_ends_the_process),
        cmocka_unit_test(only_lone_small_writes_may_keep_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
