/* Rot that nobody asks for, and states that differ (rules P13, P15, P15b). Whole members in virtual
 * time. */
#include "member_trouble.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK_BYTES  4096u
#define ROUND_MS     900000 /* a rest, and a round over a small log */
#define DIGEST_EVERY 256

static void wait_for_round(struct cluster *c, int i)
{
    uint64_t rounds = trouble_metrics(c, i).scrub_rounds;
    for (int waited = 0; waited < ROUND_MS && c->members[i].fatal == NULL &&
                         trouble_metrics(c, i).scrub_rounds == rounds;
         waited += 1000) {
        fake_world_run(c->world, 1000);
    }
}

/* --- scrubbing -------------------------------------------------------------------------------- */

static void rule_p13_rot_that_nobody_reads_is_found_and_repaired(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct cluster *c = trouble_cluster(5, 3);
        struct writer *w = writer_create(c);
        writer_run(w, 400);
        fake_world_run(c->world, 5000); /* at rest, all is synced */
        int leader = cluster_find_leader(c);
        int hurt = leads == 1 ? leader : (leader + 1) % 3;
        struct trouble_files files;
        trouble_list_log(c, hurt, &files);
        fake_disk_flip(c->members[hurt].disk, files.names[1], BLOCK_BYTES + 20, 0x10);
        wait_for_round(c, hurt);
        assert_non_null(c->members[hurt].fatal);
        assert_int_equal(c->members[hurt].fatal_code, 1);
        assert_non_null(strstr(c->members[hurt].fatal, files.names[1]));
        assert_non_null(strstr(c->members[hurt].fatal, "offset"));
        trouble_stop(c, hurt);
        assert_true(trouble_wait_for_leader_but(c, hurt) >= 0);
        member_start(c, hurt);
        assert_true(member_status(c, hurt).recovering);
        cluster_settle(c);
        assert_false(member_status(c, hurt).recovering);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void rule_p13_a_sound_member_is_read_again_and_again(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 1);
    struct writer *w = writer_create(c);
    writer_run(w, 400);
    wait_for_round(c, 0);
    writer_run(w, 100);
    wait_for_round(c, 0);
    cluster_expect_no_fatal(c);
    assert_int_equal(trouble_metrics(c, 0).scrub_rounds, 2);
    assert_int_equal(trouble_metrics(c, 0).damage_found, 0);
    /* At rest it does next to nothing; history is compacted once. */
    uint64_t calls = fake_disk_calls(c->members[0].disk);
    fake_world_run(c->world, 300000);
    assert_true(fake_disk_calls(c->members[0].disk) <= calls + 20);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_p13_a_bit_that_changes_in_memory_is_found(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 3);
    struct writer *w = writer_create(c);
    writer_run(w, 400);
    int hurt = cluster_find_leader(c);
    struct kv_item item;
    assert_int_equal(kv_get(node_kv(c->members[hurt].node), slice_str("key-7"), 0, &item),
                     STATUS_OK);
    ((uint8_t *)(uintptr_t)item.value.data)[2] ^= 4;
    wait_for_round(c, hurt);
    assert_non_null(c->members[hurt].fatal);
    assert_non_null(strstr(c->members[hurt].fatal, "memory"));
    member_stop(c, hurt, false);
    member_start(c, hurt);
    assert_false(member_status(c, hurt).recovering); /* its disk is as it was */
    cluster_settle(c);
    writer_expect(w);
    assert_int_equal(kv_get(node_kv(c->members[hurt].node), slice_str("key-7"), 0, &item),
                     STATUS_OK);
    assert_true(slice_equal(item.value, slice_str("key-7")));
    writer_end(w);
    cluster_destroy(c);
}

/* --- agreement -------------------------------------------------------------------------------- */

/* What only this member has. */
static void go_astray(struct cluster *c, int i)
{
    struct kv *kv = (struct kv *)(uintptr_t)node_kv(c->members[i].node);
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str("key-1"), .value = slice_str("wrong")};
    struct kv_result result;
    kv_apply(kv, &command, &result);
}

/* Until the next multiple was applied and compared. */
static void run_past_a_digest(struct writer *w)
{
    struct cluster *c = w->c;
    int leader = trouble_wait_for_leader_but(c, -1);
    uint64_t next = member_status(c, leader).applied_index / DIGEST_EVERY + 1;
    for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
        writer_run(w, 5);
        leader = cluster_find_leader(c);
        if (leader >= 0 && member_status(c, leader).applied_index > next * DIGEST_EVERY) {
            break;
        }
    }
    fake_world_run(c->world, 200);
}

static bool is_quarantined(const struct cluster *c, int i)
{
    return strcmp(member_status(c, i).role, "quarantined") == 0;
}

static void rule_p15_members_agree_whatever_happens(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(6, 3);
    struct writer *w = writer_create(c);
    for (int round = 0; round < 4; round++) {
        run_past_a_digest(w);
        int stopped = round % 3;
        member_stop(c, stopped, true);
        writer_run(w, 100);
        member_start(c, stopped);
        cluster_settle(c);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(trouble_metrics(c, i).digest_mismatches, 0);
    }
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_p15b_one_odd_member_serves_nothing(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct cluster *c = trouble_cluster(5, 3);
        struct writer *w = writer_create(c);
        writer_run(w, 200);
        int leader = cluster_find_leader(c);
        int odd = leads == 1 ? leader : (leader + 1) % 3;
        go_astray(c, odd);
        assert_false(is_quarantined(c, odd));
        run_past_a_digest(w);
        assert_true(is_quarantined(c, odd));
        assert_int_equal(trouble_read(c, odd, NODE_LINEARIZABLE, 0), STATUS_BEHIND);
        assert_int_equal(trouble_read(c, odd, NODE_STALE, 0), STATUS_BEHIND);
        assert_int_equal(trouble_read(c, odd, NODE_SESSION, 0), STATUS_BEHIND);
        /* It votes and acknowledges as ever, and leads no more. */
        leader = trouble_wait_for_leader_but(c, odd);
        member_stop(c, trouble_other(c, leader, odd), false);
        assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
        assert_int_equal(trouble_read(c, leader, NODE_LINEARIZABLE, 0), STATUS_OK);
        struct node_metrics m = trouble_metrics(c, leader);
        assert_true(m.digest_mismatches + trouble_metrics(c, odd).digest_mismatches > 0);
        cluster_heal(c);
        cluster_settle(c);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void rule_p15b_a_tie_only_alarms(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(5, 2);
    struct writer *w = writer_create(c);
    int leader = cluster_find_leader(c);
    writer_run(w, 200);
    go_astray(c, 1 - leader);
    run_past_a_digest(w);
    assert_int_equal(trouble_metrics(c, leader).digest_mismatches, 1);
    assert_false(is_quarantined(c, 0));
    assert_false(is_quarantined(c, 1));
    writer_end(w);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p13_rot_that_nobody_reads_is_found_and_repaired),
        cmocka_unit_test(rule_p13_a_sound_member_is_read_again_and_again),
        cmocka_unit_test(rule_p13_a_bit_that_changes_in_memory_is_found),
        cmocka_unit_test(rule_p15_members_agree_whatever_happens),
        cmocka_unit_test(rule_p15b_one_odd_member_serves_nothing),
        cmocka_unit_test(rule_p15b_a_tie_only_alarms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
