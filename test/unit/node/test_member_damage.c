/* Damaged disks (rules P4, P5, P6, row F13): what was lost comes from the others, or the member
 * does not start. Whole members in virtual time. */
#include "member_trouble.h"

#include "base/log.h"
#include "base/mem.h"
#include "wal/wal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK_BYTES 4096u

/* In the first record of the oldest segment: all of the log is in doubt. */
static void rot(struct cluster *c, int i)
{
    struct trouble_files files;
    trouble_list_log(c, i, &files);
    fake_disk_flip(c->members[i].disk, files.names[0], BLOCK_BYTES + 20, 0x10);
}

static bool is_recovering(const struct cluster *c, int i)
{
    return member_status(c, i).recovering;
}

static void wait_until_whole(struct cluster *c, int i)
{
    for (int waited = 0; waited < PATIENCE_MS && is_recovering(c, i); waited += 10) {
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
    assert_false(is_recovering(c, i));
}

/* --- repaired by the others ------------------------------------------------------------------- */

static void rule_p4_what_a_damaged_log_lost_comes_from_the_others(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        writer_run(w, 500);
        int hurt = (cluster_find_leader(c) + (seed % 2 == 0 ? 0 : 1)) % 3;
        trouble_stop(c, hurt);
        rot(c, hurt);
        member_start(c, hurt);
        assert_true(is_recovering(c, hurt));
        assert_int_equal(trouble_metrics(c, hurt).damage_found, 1);
        writer_run(w, 200);
        wait_until_whole(c, hurt);
        cluster_settle(c);
        writer_expect(w);
        member_stop(c, hurt, true);
        member_start(c, hurt);
        assert_false(is_recovering(c, hurt));
        assert_int_equal(trouble_metrics(c, hurt).damage_found, 0);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

/* Rule P4: neither its vote nor its acknowledgement counts before it has again what it had. */
static void rule_p4_a_recovering_member_decides_nothing(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    struct writer *w = writer_create(c);
    writer_run(w, 300);
    for (int i = 0; i < 3; i++) {
        trouble_stop(c, i);
    }
    rot(c, 0);
    member_start(c, 0);
    member_start(c, 1);
    fake_world_run(c->world, 5000);
    assert_int_equal(cluster_find_leader(c), -1);
    assert_true(is_recovering(c, 0));
    /* Also when it is started again. */
    member_stop(c, 0, true);
    member_start(c, 0);
    assert_true(is_recovering(c, 0));
    fake_world_run(c->world, 5000);
    assert_int_equal(cluster_find_leader(c), -1);
    member_start(c, 2);
    wait_until_whole(c, 0);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_p4_a_recovering_member_does_not_say_how_old_its_state_is(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    struct writer *w = writer_create(c);
    writer_run(w, 300);
    int leader = cluster_find_leader(c);
    int hurt = (leader + 1) % 3;
    trouble_stop(c, hurt);
    trouble_stop(c, trouble_other(c, leader, hurt));
    rot(c, hurt);
    member_start(c, hurt);
    /* It hears the leader, which has no majority without it: nothing more is committed. */
    fake_world_run(c->world, ELECTION_MS / 2);
    if (is_recovering(c, hurt)) {
        assert_int_equal(trouble_read(c, hurt, NODE_STALE, 10000), STATUS_BEHIND);
        assert_int_equal(trouble_read(c, hurt, NODE_STALE, 0), STATUS_OK);
    }
    cluster_heal(c);
    wait_until_whole(c, hurt);
    cluster_settle(c);
    assert_int_equal(trouble_read(c, hurt, NODE_STALE, 10000), STATUS_OK);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

/* Mischief of any kind at any place of the log. */
static void mischief(struct cluster *c, int i, unsigned kind)
{
    struct rng *rng = fake_world_rng(c->world);
    struct fake_disk *disk = c->members[i].disk;
    struct trouble_files files;
    trouble_list_log(c, i, &files);
    const char *name = files.names[rng_below(rng, files.count)];
    uint64_t size = fake_disk_file_size(disk, name);
    uint64_t page = rng_below(rng, size / BLOCK_BYTES) * BLOCK_BYTES;
    switch (kind) {
    case 0:
        fake_disk_flip(disk, name, page + rng_below(rng, BLOCK_BYTES), 0x40);
        break;
    case 1:
        fake_disk_fill(disk, name, page, BLOCK_BYTES, 0);
        break;
    case 2:
        fake_disk_resize(disk, name, page);
        break;
    case 3:
        fake_disk_remove(disk, name);
        break;
    default:
        fake_disk_swap(disk, name, files.names[rng_below(rng, files.count)]);
        break;
    }
}

static void fault_f13_whatever_happens_to_one_log_nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        struct cluster *c = trouble_cluster(kind + 1, 3);
        struct writer *w = writer_create(c);
        writer_run(w, 300);
        for (int round = 0; round < 6; round++) {
            int hurt = round % 3;
            trouble_stop(c, hurt);
            mischief(c, hurt, kind);
            member_start(c, hurt);
            writer_run(w, 60);
            wait_until_whole(c, hurt);
            cluster_settle(c);
            writer_expect(w);
        }
        writer_end(w);
        cluster_destroy(c);
    }
}

/* Rule P5: torn tails are no damage, or all would wait for each other. */
static void rule_p5_after_a_power_loss_of_all_nobody_recovers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        for (int round = 0; round < 4; round++) {
            writer_run(w, 200);
            for (int i = 0; i < 3; i++) {
                member_stop(c, i, true);
            }
            for (int i = 0; i < 3; i++) {
                member_start(c, i);
                assert_false(is_recovering(c, i));
                assert_int_equal(trouble_metrics(c, i).damage_found, 0);
            }
            cluster_settle(c);
            writer_expect(w);
        }
        writer_end(w);
        cluster_destroy(c);
    }
}

/* --- found while running ---------------------------------------------------------------------- */

static void fault_f13_a_leader_that_meets_rot_in_its_log_hands_over_and_ends(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    struct writer *w = writer_create(c);
    int away = (cluster_find_leader(c) + 1) % 3;
    trouble_stop(c, away);
    writer_run(w, 500);
    /* Old entries are in memory no more after a restart. */
    for (int i = 0; i < 3; i++) {
        if (i != away) {
            trouble_stop(c, i);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (i != away) {
            member_start(c, i);
        }
    }
    int leader = trouble_wait_for_leader_but(c, -1);
    fake_world_run(c->world, 5000); /* at rest, all is synced */
    struct trouble_files files;
    trouble_list_log(c, leader, &files);
    fake_disk_flip(c->members[leader].disk, files.names[1], BLOCK_BYTES + 20, 0x10);
    member_start(c, away);
    member_wait_for_end(c, leader, 1);
    assert_non_null(strstr(c->members[leader].fatal, "damage was found"));
    trouble_stop(c, leader);
    int next = trouble_wait_for_leader_but(c, leader);
    assert_int_equal(trouble_put(c, next, "k", 10), STATUS_OK);
    c->members[leader].is_gone = false;
    member_start(c, leader);
    assert_true(is_recovering(c, leader));
    wait_until_whole(c, leader);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

/* --- not to be repaired ----------------------------------------------------------------------- */

static void expect_refusal(struct cluster *c, int i, const char *word, const char *other_word)
{
    char *why = NULL;
    assert_int_equal(member_refusal(c, i, &why), STATUS_CORRUPT);
    assert_non_null(why);
    assert_non_null(strstr(why, word));
    assert_non_null(strstr(why, other_word));
    mem_free(why);
}

static void rule_p4_alone_a_damaged_log_is_refused(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 1);
    struct writer *w = writer_create(c);
    writer_run(w, 300);
    trouble_stop(c, 0);
    rot(c, 0);
    struct trouble_files before;
    struct trouble_files after;
    trouble_list_log(c, 0, &before);
    expect_refusal(c, 0, "only member that votes", "offset");
    expect_refusal(c, 0, "only member that votes", "offset");
    /* Nothing was set aside: where the damage can be undone, nothing is lost. */
    trouble_list_log(c, 0, &after);
    assert_int_equal(after.count, before.count);
    rot(c, 0);
    member_start(c, 0);
    assert_int_equal(trouble_metrics(c, 0).damage_found, 0);
    cluster_settle(c);
    writer_expect(w);
    /* A log that was cut stays refused, also when the damage is to be seen no more. */
    trouble_stop(c, 0);
    struct disk *disk = fake_disk_as_disk(c->members[0].disk);
    assert_int_equal(record_save(disk, "recovering", slice_str("damage")), STATUS_OK);
    expect_refusal(c, 0, "only member that votes", "earlier start");
    writer_end(w);
    cluster_destroy(c);
}

static void rule_p6_term_and_vote_are_never_guessed(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    int hurt = cluster_find_leader(c);
    trouble_stop(c, hurt);
    struct fake_disk *disk = c->members[hurt].disk;
    fake_disk_fill(disk, "hardstate", 0, fake_disk_file_size(disk, "hardstate"), 0xaa);
    expect_refusal(c, hurt, "member replace", "hardstate");
    expect_refusal(c, hurt, "member replace", "hardstate");
    cluster_destroy(c);
}

static void rule_p6_a_member_does_not_guess_who_it_is(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    trouble_stop(c, 1);
    fake_disk_flip(c->members[1].disk, "identity", 30, 0x01);
    expect_refusal(c, 1, "member replace", "identity");
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p4_what_a_damaged_log_lost_comes_from_the_others),
        cmocka_unit_test(rule_p4_a_recovering_member_decides_nothing),
        cmocka_unit_test(rule_p4_a_recovering_member_does_not_say_how_old_its_state_is),
        cmocka_unit_test(fault_f13_whatever_happens_to_one_log_nothing_acknowledged_is_lost),
        cmocka_unit_test(rule_p5_after_a_power_loss_of_all_nobody_recovers),
        cmocka_unit_test(fault_f13_a_leader_that_meets_rot_in_its_log_hands_over_and_ends),
        cmocka_unit_test(rule_p4_alone_a_damaged_log_is_refused),
        cmocka_unit_test(rule_p6_term_and_vote_are_never_guessed),
        cmocka_unit_test(rule_p6_a_member_does_not_guess_who_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
