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

static bool is_quarantined(const struct cluster *c, int i)
{
    return strcmp(member_status(c, i).role, "quarantined") == 0;
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
        if (leader >= 0 && member_status(c, leader).applied_index > next * DIGEST_EVERY + 40) {
            return;
        }
    }
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

/* A read that waits is refused in the moment of the quarantine: what would be answered then? */
struct witness {
    struct cluster *cluster;
    int member;
    bool waits;
    bool has_seen; /* the quarantine */
    struct node_read waiting;
};

static void on_ignored(struct node_read *r)
{
    (void)r;
}

static void on_refused(struct node_read *r)
{
    struct witness *t = r->context;
    t->waits = false;
    if (!is_quarantined(t->cluster, t->member)) {
        return; /* its time was over */
    }
    t->has_seen = true;
    assert_int_equal(r->status, STATUS_BEHIND);
    const enum node_consistency kinds[] = {NODE_LINEARIZABLE, NODE_SESSION, NODE_STALE};
    for (int k = 0; k < 3; k++) {
        struct node_read now = {.consistency = kinds[k], .done = on_ignored};
        node_read_start(t->cluster->members[t->member].node, &now);
        assert_int_equal(now.status, STATUS_BEHIND);
    }
}

static void wait_for_quarantine(struct writer *w, int odd)
{
    struct witness t = {.cluster = w->c, .member = odd};
    for (int waited = 0; waited < PATIENCE_MS && !t.has_seen; waited += 5) {
        if (!t.waits) {
            t.waits = true;
            t.waiting = (struct node_read){.consistency = NODE_SESSION,
                                           .min_revision = UINT64_MAX,
                                           .done = on_refused,
                                           .context = &t};
            node_read_start(w->c->members[odd].node, &t.waiting);
        }
        writer_run(w, 5);
    }
    assert_true(t.has_seen);
}

static void expect_right(const struct cluster *c, int i)
{
    struct kv_item item;
    assert_int_equal(kv_get(node_kv(c->members[i].node), slice_str("key-1"), 0, &item), STATUS_OK);
    assert_true(slice_equal(item.value, slice_str("key-1")));
}

static struct cluster *cluster_with_snapshots(uint64_t entries)
{
    struct cluster *c = cluster_create(5, 3);
    c->segment_bytes = TROUBLE_SEGMENT_BYTES;
    c->snapshot_log_entries = entries;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    return c;
}

static void rule_p15b_one_odd_member_serves_nothing_until_it_is_right(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct cluster *c = cluster_with_snapshots(kind >= 2 ? 140 : 0); /* also from one */
        struct writer *w = writer_create(c);
        writer_run(w, kind >= 2 ? 1100 : 200);
        uint64_t snapshots = trouble_metrics(c, 0).snapshots_taken;
        assert_true((snapshots > 0) == (kind >= 2));
        int leader = cluster_find_leader(c);
        int odd = kind % 2 == 1 ? leader : (leader + 1) % 3;
        go_astray(c, odd);
        assert_false(is_quarantined(c, odd));
        wait_for_quarantine(w, odd);
        for (int waited = 0; waited < PATIENCE_MS && is_quarantined(c, odd); waited++) {
            fake_world_run(c->world, 1);
        }
        assert_false(is_quarantined(c, odd));
        expect_right(c, odd);
        cluster_expect_no_fatal(c);
        run_past_a_digest(w);
        cluster_settle(c);
        assert_false(is_quarantined(c, odd));
        assert_int_equal(trouble_read(c, odd, NODE_LINEARIZABLE, 0), STATUS_OK);
        assert_int_equal(trouble_metrics(c, odd).digest_mismatches, kind % 2 == 1 ? 2 : 1);
        if (kind % 2 == 0) {
            writer_expect(w); /* an odd leader told revisions of its own before it was found */
        }
        writer_end(w);
        cluster_destroy(c);
    }
}

/* Its only snapshot is of the wrong state, and the log before it is gone. */
static void rule_p15b_an_odd_member_that_cannot_be_made_right_stays_quarantined(void **state)
{
    (void)state;
    struct cluster *c = cluster_with_snapshots(70);
    struct writer *w = writer_create(c);
    int odd = (cluster_find_leader(c) + 1) % 3;
    writer_run(w, 1000);
    go_astray(c, odd);
    writer_run(w, 150); /* long enough for a snapshot of it */
    wait_for_quarantine(w, odd);
    fake_world_run(c->world, 100000);
    assert_true(is_quarantined(c, odd));
    assert_int_equal(trouble_read(c, odd, NODE_STALE, 0), STATUS_BEHIND);
    /* It votes and acknowledges as ever. */
    int leader = trouble_wait_for_leader_but(c, odd);
    member_stop(c, trouble_other(c, leader, odd), false);
    assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
    cluster_expect_no_fatal(c);
    cluster_heal(c);
    writer_end(w);
    cluster_destroy(c);
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
        cmocka_unit_test(rule_p15b_one_odd_member_serves_nothing_until_it_is_right),
        cmocka_unit_test(rule_p15b_an_odd_member_that_cannot_be_made_right_stays_quarantined),
        cmocka_unit_test(rule_p15b_a_tie_only_alarms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
