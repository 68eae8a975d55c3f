/* Rot in snapshot files (rules P4, P13, S2): found at the start, by the scrub, or by who gets one.
 * Whole members in virtual time. */
#include "member_trouble.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SNAPSHOT_ENTRIES 40
#define ROUND_MS         1800000 /* a rest, and a round over small files */
#define MANY             1000

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    size_t end = strlen(suffix);
    return size >= end && strcmp(name + size - end, suffix) == 0;
}

static void note_snapshot(void *context, const char *name)
{
    struct trouble_files *files = context;
    if (ends_with(name, ".snap") && files->count < TROUBLE_FILES_MAX) {
        snprintf(files->names[files->count++], sizeof(files->names[0]), "%s", name);
    }
}

static void note_damaged(void *context, const char *name)
{
    uint32_t *count = context;
    *count += ends_with(name, ".snap.damaged");
}

/* By name, which is by age as long as all have the same number of digits. */
static struct trouble_files list_snapshots(struct cluster *c, int i)
{
    struct trouble_files files = {0};
    struct disk *disk = fake_disk_as_disk(c->members[i].disk);
    assert_int_equal(disk->ops->list(disk, note_snapshot, &files), STATUS_OK);
    return files;
}

static uint32_t count_damaged(struct cluster *c, int i)
{
    uint32_t count = 0;
    struct disk *disk = fake_disk_as_disk(c->members[i].disk);
    assert_int_equal(disk->ops->list(disk, note_damaged, &count), STATUS_OK);
    return count;
}

/* In the state of it: header, description and footer are right. */
static void rot(struct cluster *c, int i, const char *name)
{
    struct fake_disk *disk = c->members[i].disk;
    fake_disk_flip(disk, name, fake_disk_file_size(disk, name) * 2 / 3, 0x10);
}

/* With small segments, logs that begin shortly before a snapshot. */
static struct cluster *create(uint64_t seed, int count, uint64_t segment_bytes, struct writer **w)
{
    struct cluster *c = cluster_create(seed, count);
    c->segment_bytes = segment_bytes;
    c->snapshot_log_entries = SNAPSHOT_ENTRIES;
    for (int i = 0; i < count; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    *w = writer_create(c);
    writer_run(*w, MANY);
    cluster_settle(c);
    fake_world_run(c->world, 2000);
    return c;
}

static void end(struct cluster *c, struct writer *w)
{
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

static void wait_until_whole(struct cluster *c, int i)
{
    for (int waited = 0; waited < PATIENCE_MS && member_status(c, i).recovering; waited += 10) {
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
    assert_false(member_status(c, i).recovering);
}

/* --- at the start ----------------------------------------------------------------------------- */

static void rule_p4_a_member_without_a_readable_snapshot_gets_one_from_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct writer *w = NULL;
        struct cluster *c = create(seed, 3, TROUBLE_SEGMENT_BYTES, &w);
        int hurt = (cluster_find_leader(c) + (int)(seed % 2)) % 3;
        trouble_stop(c, hurt);
        struct trouble_files files = list_snapshots(c, hurt);
        assert_int_equal(files.count, 2);
        for (uint32_t i = 0; i < files.count; i++) {
            rot(c, hurt, files.names[i]);
        }
        member_start(c, hurt);
        assert_true(member_status(c, hurt).recovering);
        assert_int_equal(trouble_metrics(c, hurt).damage_found, 3); /* and a log without them */
        assert_int_equal(count_damaged(c, hurt), 2);
        assert_int_equal(list_snapshots(c, hurt).count, 0);
        writer_run(w, 200);
        wait_until_whole(c, hurt);
        cluster_settle(c);
        writer_expect(w);
        trouble_stop(c, hurt);
        member_start(c, hurt);
        assert_false(member_status(c, hurt).recovering);
        assert_int_equal(trouble_metrics(c, hurt).damage_found, 0);
        end(c, w);
    }
}

static void rule_p4_alone_without_a_readable_snapshot_is_refused(void **state)
{
    (void)state;
    struct writer *w = NULL;
    struct cluster *c = create(5, 1, TROUBLE_SEGMENT_BYTES, &w);
    trouble_stop(c, 0);
    struct trouble_files files = list_snapshots(c, 0);
    assert_int_equal(files.count, 2);
    for (uint32_t i = 0; i < files.count; i++) {
        rot(c, 0, files.names[i]);
    }
    for (int tries = 0; tries < 2; tries++) {
        char *why = NULL;
        assert_int_equal(member_refusal(c, 0, &why), STATUS_CORRUPT);
        assert_non_null(why);
        assert_non_null(strstr(why, "only member that votes"));
        assert_non_null(strstr(why, files.names[1]));
        assert_non_null(strstr(why, "offset"));
        mem_free(why);
    }
    /* Everything is as it was: where the rot can be undone, nothing is lost. */
    assert_int_equal(count_damaged(c, 0), 0);
    rot(c, 0, files.names[1]);
    member_start(c, 0);
    assert_int_equal(trouble_metrics(c, 0).damage_found, 0);
    end(c, w);
}

/* Whatever it can be made of: no fault of the log's, and nothing is lost. */
static void rule_s2_rot_in_snapshots_costs_nothing_while_the_log_reaches_back(void **state)
{
    (void)state;
    for (uint32_t rotten = 1; rotten <= 2; rotten++) {
        struct writer *w = NULL;
        struct cluster *c = create(5, 1, 0, &w);
        trouble_stop(c, 0);
        struct trouble_files files = list_snapshots(c, 0);
        for (uint32_t i = 0; i < rotten; i++) {
            rot(c, 0, files.names[1 - i]);
        }
        member_start(c, 0);
        assert_false(member_status(c, 0).recovering);
        assert_int_equal(trouble_metrics(c, 0).damage_found, rotten);
        assert_int_equal(count_damaged(c, 0), rotten);
        cluster_settle(c);
        writer_expect(w);
        /* Two sound ones again, and few damaged ones are kept. */
        writer_run(w, MANY);
        assert_int_equal(list_snapshots(c, 0).count, 2);
        trouble_stop(c, 0);
        member_start(c, 0);
        assert_int_equal(trouble_metrics(c, 0).damage_found, 0);
        end(c, w);
    }
}

static void rule_p4_few_damaged_snapshots_are_kept(void **state)
{
    (void)state;
    struct writer *w = NULL;
    struct cluster *c = create(5, 1, 0, &w);
    for (int round = 0; round < 4; round++) {
        trouble_stop(c, 0);
        struct trouble_files files = list_snapshots(c, 0);
        rot(c, 0, files.names[files.count - 1]);
        member_start(c, 0);
        cluster_settle(c);
        writer_run(w, MANY);
    }
    assert_int_equal(count_damaged(c, 0), LIMIT_DAMAGED_SNAPSHOTS);
    end(c, w);
}

/* --- while it runs ---------------------------------------------------------------------------- */

static void wait_for_round(struct cluster *c, int i)
{
    uint64_t rounds = trouble_metrics(c, i).scrub_rounds;
    for (int waited = 0; waited < ROUND_MS && trouble_metrics(c, i).scrub_rounds == rounds;
         waited += 1000) {
        fake_world_run(c->world, 1000);
        cluster_expect_no_fatal(c);
    }
}

static void rule_p13_rot_in_a_snapshot_is_found_and_another_one_is_taken(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 3; which++) { /* the older one, the newest, both */
        struct writer *w = NULL;
        struct cluster *c = create(5, 1, TROUBLE_SEGMENT_BYTES, &w);
        struct trouble_files files = list_snapshots(c, 0);
        assert_int_equal(files.count, 2);
        uint64_t newest = trouble_metrics(c, 0).snapshot_index;
        for (uint32_t i = 0; i < files.count; i++) {
            if (which == i || which == 2) {
                rot(c, 0, files.names[i]);
            }
        }
        wait_for_round(c, 0);
        assert_int_equal(trouble_metrics(c, 0).damage_found, which == 2 ? 2 : 1);
        assert_int_equal(count_damaged(c, 0), which == 2 ? 2 : 1);
        assert_true(trouble_metrics(c, 0).snapshot_index > newest);
        /* Also the newest of a member that is at rest, and so of the same index, perhaps. */
        files = list_snapshots(c, 0);
        newest = trouble_metrics(c, 0).snapshot_index;
        rot(c, 0, files.names[files.count - 1]);
        wait_for_round(c, 0);
        assert_true(trouble_metrics(c, 0).snapshot_index >= newest);
        uint64_t found = trouble_metrics(c, 0).damage_found;
        wait_for_round(c, 0);
        assert_int_equal(trouble_metrics(c, 0).damage_found, found);
        trouble_stop(c, 0);
        member_start(c, 0);
        assert_int_equal(trouble_metrics(c, 0).damage_found, 0);
        end(c, w);
    }
}

/* How long until one is installed; 30 s at the most. */
static uint64_t await_snapshot(struct cluster *c, int i)
{
    uint64_t waited = 0;
    for (; waited < 30000 && trouble_metrics(c, i).snapshots_installed == 0; waited += 10) {
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
    return waited;
}

/* Who gets a damaged one does not take it in, and the sender makes another one at once. */
static void rule_s4_a_follower_does_not_wait_for_the_scrub_of_its_leader(void **state)
{
    (void)state;
    for (int part = 0; part < 2; part++) {
        struct writer *w = NULL;
        struct cluster *c = create(5, 3, TROUBLE_SEGMENT_BYTES, &w);
        int leader = cluster_find_leader(c);
        int away = (leader + 1) % 3;
        trouble_stop(c, away);
        writer_run(w, MANY);
        fake_world_run(c->world, 2000);
        assert_int_equal(cluster_find_leader(c), leader);
        struct trouble_files files = list_snapshots(c, leader);
        const char *newest = files.names[files.count - 1];
        if (part == 0) {
            rot(c, leader, newest);
        } else {
            fake_disk_flip(c->members[leader].disk, newest, 9, 1);
        }
        member_start(c, away);
        assert_true(await_snapshot(c, away) < 30000);
        assert_int_equal(trouble_metrics(c, leader).damage_found, 1);
        end(c, w);
    }
}

/* Writes while it is away, and rot in the leader's newest snapshot; how long it waits for a sound
 * one when it is back. */
static uint64_t come_back_to_rot(struct cluster *c, struct writer *w, int leader, int away)
{
    trouble_stop(c, away);
    writer_run(w, MANY);
    fake_world_run(c->world, 2000);
    assert_int_equal(cluster_find_leader(c), leader);
    struct trouble_files files = list_snapshots(c, leader);
    rot(c, leader, files.names[files.count - 1]);
    member_start(c, away);
    return await_snapshot(c, away);
}

/* One suspicion that was right does not make the sender deaf to the next one. */
static void rule_s4_rot_that_comes_again_is_found_as_fast(void **state)
{
    (void)state;
    struct writer *w = NULL;
    struct cluster *c = create(5, 3, TROUBLE_SEGMENT_BYTES, &w);
    int leader = cluster_find_leader(c);
    int away = (leader + 1) % 3;
    for (uint64_t times = 1; times <= 3; times++) {
        assert_true(come_back_to_rot(c, w, leader, away) < 4000);
        assert_int_equal(trouble_metrics(c, leader).damage_found, times);
    }
    end(c, w);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p4_a_member_without_a_readable_snapshot_gets_one_from_the_leader),
        cmocka_unit_test(rule_p4_alone_without_a_readable_snapshot_is_refused),
        cmocka_unit_test(rule_s2_rot_in_snapshots_costs_nothing_while_the_log_reaches_back),
        cmocka_unit_test(rule_p4_few_damaged_snapshots_are_kept),
        cmocka_unit_test(rule_p13_rot_in_a_snapshot_is_found_and_another_one_is_taken),
        cmocka_unit_test(rule_s4_a_follower_does_not_wait_for_the_scrub_of_its_leader),
        cmocka_unit_test(rule_s4_rot_that_comes_again_is_found_as_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
