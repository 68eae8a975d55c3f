/* Whole members whose logs are cut behind snapshots: taken, restarted from, sent, taken in, handed
 * out (rules S0 to S8). Thresholds and segments are tiny. */
#include "member_snapshots.h"

#include "base/limits.h"
#include "base/log.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- taking ----------------------------------------------------------------------------------- */

static void rule_s0_a_long_log_is_cut_behind_a_snapshot(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(1, 1, 50);
    snapshots_put_numbered(c, 0, 40, 10);
    fake_world_run(c->world, 2000);
    assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 0);
    snapshots_put_numbered(c, 40, 400, 10);
    fake_world_run(c->world, 2000);
    struct node_metrics m = trouble_metrics(c, 0);
    assert_true(m.snapshots_taken >= 4 && m.snapshots_taken <= 8);
    assert_true(m.snapshot_index > 300);
    assert_true(snapshots_tally(c, 0).snapshots <= 2);
    member_stop(c, 0, false);
    member_start(c, 0);
    cluster_settle(c);
    snapshots_expect_stored(c, 0, "key-9", "value-399");
    cluster_destroy(c);
}

/* Each batch takes blocks of its own: sixteen bytes are 4096 in the log. */
static void rule_s0_a_log_of_small_batches_is_cut_by_what_it_takes_on_the_disk(void **state)
{
    (void)state;
    struct cluster *c = snapshots_create(1, 1, UINT32_MAX);
    c->snapshot_log_bytes = 256u * 1024u;
    member_start(c, 0);
    cluster_settle(c);
    uint64_t batches = c->snapshot_log_bytes * LIMIT_SNAPSHOT_LOG_TIMES / 4096;
    for (uint64_t i = 0; i < 3 * batches; i++) {
        snapshots_put(c, "key", slice_str("a value"));
        if (i == batches / 2) {
            assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 0);
        }
    }
    fake_world_run(c->world, 2000);
    assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 2);
    cluster_destroy(c);
}

static void rule_s0_the_disk_stays_bounded_under_endless_overwrites(void **state)
{
    (void)state;
    struct cluster *c = snapshots_create(2, 3, UINT32_MAX);
    c->snapshot_log_bytes = 64u * 1024u;
    c->history_bytes = 16u * 1024u;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    char value[512];
    memset(value, 'v', sizeof(value));
    uint64_t highest = 0;
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i % 7);
        snapshots_put(c, key, slice_of((uint8_t *)value, sizeof(value)));
        uint64_t bytes = snapshots_tally(c, i % 3).bytes;
        highest = i > 500 && bytes > highest ? bytes : highest;
    }
    /* A million and a half bytes were written to each. */
    assert_true(highest < 24 * SNAPSHOTS_SEGMENT_BYTES);
    cluster_settle(c);
    fake_world_run(c->world, 2000);
    for (int i = 0; i < 3; i++) {
        assert_true(trouble_metrics(c, i).snapshots_taken > 10);
        assert_true(snapshots_tally(c, i).snapshots <= 2);
    }
    snapshots_expect_equal(c);
    cluster_destroy(c);
}

static void rule_s0_writes_go_on_while_a_snapshot_is_taken(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(3, 3, 100);
    snapshots_put_large(c, 8, 300000); /* many chunks: a walk of many turns */
    snapshots_put_numbered(c, 0, 300, 50);
    cluster_settle(c);
    fake_world_run(c->world, 3000);
    for (int i = 0; i < 3; i++) {
        assert_true(trouble_metrics(c, i).snapshots_taken >= 2);
    }
    snapshots_put_numbered(c, 300, 330, 50);
    for (int i = 0; i < 3; i++) {
        member_stop(c, i, true);
    }
    cluster_heal(c);
    cluster_settle(c);
    snapshots_expect_equal(c);
    snapshots_expect_stored(c, 1, "key-29", "value-329");
    cluster_destroy(c);
}

static void rule_s1_a_member_restarts_from_its_snapshot_and_the_log_behind_it(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 20; seed++) {
        struct cluster *c = snapshots_settled(seed, 3, 20);
        for (int round = 0; round < 6; round++) {
            snapshots_put_numbered(c, 17 * round, 17 * (round + 1), 5);
            member_stop(c, round % 3, round % 2 == 0);
            member_start(c, round % 3);
        }
        cluster_settle(c);
        fake_world_run(c->world, 1000);
        cluster_settle(c);
        snapshots_expect_equal(c);
        snapshots_expect_stored(c, 2, "key-1", "value-101");
        cluster_destroy(c);
    }
}

static void rule_s2_rot_in_the_newest_snapshot_is_no_loss_while_the_log_reaches_back(void **state)
{
    (void)state;
    struct cluster *c = snapshots_create(21, 1, 30);
    c->segment_bytes = 1u << 20; /* one holds all of it */
    member_start(c, 0);
    cluster_settle(c);
    snapshots_put_numbered(c, 0, 43, 50);
    fake_world_run(c->world, 1500);
    assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 1);
    uint64_t index = trouble_metrics(c, 0).snapshot_index;
    snapshots_put_numbered(c, 43, 50, 50);
    member_stop(c, 0, false);
    char name[64];
    snprintf(name, sizeof(name), "snapshot-%" PRIu64 ".snap", index);
    if (!fake_disk_has_file(c->members[0].disk, name)) {
        snprintf(name, sizeof(name), "snapshot-%020" PRIu64 ".snap", index);
    }
    uint64_t size = fake_disk_file_size(c->members[0].disk, name);
    fake_disk_flip(c->members[0].disk, name, size / 2, 0x10);
    member_start(c, 0);
    cluster_settle(c);
    snapshots_expect_stored(c, 0, "key-0", "value-0");
    snapshots_expect_stored(c, 0, "key-49", "value-49");
    cluster_destroy(c);
}

/* --- sending and taking in -------------------------------------------------------------------- */

/* Member `away` misses so much that the others' logs have it no more. Returns it; it is stopped. */
static int leave_behind(struct cluster *c)
{
    int away = (cluster_find_leader(c) + 1) % c->count;
    member_stop(c, away, false);
    snapshots_put_numbered(c, 0, 300, 20);
    fake_world_run(c->world, 2000);
    return away;
}

static void await_installed(struct cluster *c, int i)
{
    for (int waited = 0; trouble_metrics(c, i).snapshots_installed == 0; waited += 10) {
        assert_true(waited < 30000);
        fake_world_run(c->world, 10);
        cluster_expect_no_fatal(c);
    }
}

static void rule_s6_a_member_that_was_away_too_long_catches_up_by_a_snapshot(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 40; seed++) {
        struct cluster *c = snapshots_settled(seed, 3, 40);
        int away = leave_behind(c);
        member_start(c, away);
        cluster_settle(c);
        assert_int_equal(trouble_metrics(c, away).snapshots_installed, 1);
        snapshots_put_numbered(c, 300, 310, 20);
        cluster_settle(c);
        snapshots_expect_equal(c);
        member_stop(c, away, true);
        member_start(c, away);
        cluster_settle(c);
        snapshots_expect_equal(c);
        snapshots_expect_stored(c, away, "key-9", "value-309");
        cluster_destroy(c);
    }
}

static void count_bytes(void *context, struct loop *from, struct buf *piece)
{
    (void)from;
    *(uint64_t *)context += piece->size;
}

/* A transfer of half a MB for each value is under way, and so much of it was sent. */
static struct cluster *streaming_of(uint64_t seed, int values, uint64_t until, int *away,
                                    uint64_t *sent_bytes)
{
    struct cluster *c =
        snapshots_settled(seed * 3 + 1, 3, 40); /* in a world in which a hop takes time */
    snapshots_put_large(c, values, 500000);
    *away = leave_behind(c);
    *sent_bytes = 0;
    fake_world_tamper(c->world, count_bytes, sent_bytes);
    member_start(c, *away);
    while (*sent_bytes < until) {
        fake_world_run(c->world, 1);
        assert_int_equal(trouble_metrics(c, *away).snapshots_installed, 0);
    }
    return c;
}

static struct cluster *streaming(uint64_t seed, int *away, uint64_t *sent_bytes)
{
    return streaming_of(seed, 8, 1500000, away, sent_bytes);
}

static void rule_s6_a_broken_transfer_goes_on_where_it_ended(void **state)
{
    (void)state;
    for (uint64_t seed = 40; seed < 44; seed++) {
        int away;
        uint64_t sent_bytes;
        struct cluster *c = streaming(seed, &away, &sent_bytes);
        int leader = cluster_find_leader(c);
        fake_world_reset(c->world, member_hosts[leader], member_hosts[away]);
        await_installed(c, away);
        cluster_settle(c);
        assert_true(sent_bytes < 5300000); /* not twice */
        snapshots_expect_equal(c);
        cluster_destroy(c);
    }
}

static void rule_s6_a_transfer_goes_on_after_a_restart_of_the_receiver(void **state)
{
    (void)state;
    for (uint64_t seed = 44; seed < 48; seed++) {
        int away;
        uint64_t sent_bytes;
        /* What was received is made durable every 8 MiB. */
        struct cluster *c = streaming_of(seed, 24, 10500000, &away, &sent_bytes);
        member_stop(c, away, seed % 2 == 0);
        member_start(c, away);
        await_installed(c, away);
        cluster_settle(c);
        assert_true(sent_bytes < 17000000);
        snapshots_expect_equal(c);
        cluster_destroy(c);
    }
}

static void rule_s6_a_new_leader_sends_its_own(void **state)
{
    (void)state;
    for (uint64_t seed = 52; seed < 58; seed++) {
        int away;
        uint64_t sent_bytes;
        struct cluster *c = streaming(seed, &away, &sent_bytes);
        int leader = cluster_find_leader(c);
        member_stop(c, leader, seed % 2 == 0);
        await_installed(c, away);
        member_start(c, leader);
        cluster_settle(c);
        snapshots_expect_equal(c);
        cluster_destroy(c);
    }
}

static void rule_s6_heartbeats_never_wait_for_a_snapshot(void **state)
{
    (void)state;
    int away;
    uint64_t sent_bytes;
    struct cluster *c = streaming(58, &away, &sent_bytes);
    cluster_find_leader(c);
    uint64_t term = member_status(c, away).term;
    await_installed(c, away);
    cluster_settle(c);
    assert_int_equal(member_status(c, away).term, term);
    cluster_destroy(c);
}

/* --- bounds ----------------------------------------------------------------------------------- */

/* Sent, and not yet on the disk there: the window, its frames, and heartbeats meanwhile. */
#define UNDER_WAY_MAX (LIMIT_SNAPSHOT_WINDOW_BYTES + 64u * KIB)

static void rule_o1_a_receiver_whose_disk_hangs_is_sent_no_more_than_the_window(void **state)
{
    (void)state;
    for (uint64_t seed = 60; seed < 64; seed++) {
        int away;
        uint64_t sent_bytes;
        struct cluster *c = streaming(seed, &away, &sent_bytes);
        uint64_t before = sent_bytes;
        fake_process_stall(c->members[away].loop, true);
        fake_world_run(c->world, 4000);
        assert_true(sent_bytes > before);
        assert_true(sent_bytes - before <= UNDER_WAY_MAX);
        fake_process_stall(c->members[away].loop, false);
        await_installed(c, away);
        cluster_settle(c);
        assert_true(sent_bytes < 5300000); /* none of it twice */
        snapshots_expect_equal(c);
        cluster_destroy(c);
    }
}

static void rule_o1_more_followers_than_transfers_wait_for_their_turn(void **state)
{
    (void)state;
    enum { AWAY = LIMIT_SNAPSHOT_TRANSFERS + 1 };
    struct cluster *c = snapshots_settled(65, 2 * AWAY + 1, 40);
    snapshots_put_large(c, 8, 500000);
    int leader = cluster_find_leader(c);
    for (int k = 1; k <= AWAY; k++) {
        member_stop(c, (leader + k) % c->count, false);
    }
    snapshots_put_numbered(c, 0, 300, 20);
    for (int k = 1; k <= AWAY; k++) {
        int i = (leader + k) % c->count;
        member_start(c, i);
        fake_process_slow_disk(c->members[i].loop, 100);
    }
    uint32_t most = 0;
    int installed = 0;
    for (int waited = 0; installed < AWAY; waited += 10) {
        assert_true(waited < 60000);
        fake_world_run(c->world, 10);
        uint32_t parts = 0;
        installed = 0;
        for (int k = 1; k <= AWAY; k++) {
            parts += snapshots_tally(c, (leader + k) % c->count).parts;
            installed += trouble_metrics(c, (leader + k) % c->count).snapshots_installed > 0;
        }
        assert_true(parts <= LIMIT_SNAPSHOT_TRANSFERS);
        most = parts > most ? parts : most;
    }
    assert_int_equal(most, LIMIT_SNAPSHOT_TRANSFERS);
    cluster_settle(c);
    snapshots_expect_equal(c);
    cluster_destroy(c);
}

static void rule_s7_the_file_that_is_sent_stays_while_newer_ones_are_taken(void **state)
{
    (void)state;
    int away;
    uint64_t sent_bytes;
    struct cluster *c = streaming(60, &away, &sent_bytes);
    int leader = cluster_find_leader(c);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[away], true);
    snapshots_put_numbered(c, 300, 500, 20);
    fake_world_run(c->world, 500);
    fake_world_cut(c->world, member_hosts[leader], member_hosts[away], false);
    await_installed(c, away);
    cluster_settle(c);
    fake_world_run(c->world, 2000);
    snapshots_expect_equal(c);
    assert_true(snapshots_tally(c, leader).snapshots <= 3);
    cluster_destroy(c);
}

static void rule_k1_a_write_that_a_snapshot_covers_has_an_unknown_outcome(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(61, 3, 8); /* 80 is more than is kept for one that lags */
    int old = cluster_find_leader(c);
    for (int i = 0; i < 3; i++) {
        if (i != old) {
            fake_world_cut(c->world, member_hosts[old], member_hosts[i], true);
        }
    }
    /* The place of the first is seen to be taken, for the next leader's first entry may be under
     * way. */
    bool done[2] = {false, false};
    struct node_write w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = (struct node_write){
            .ack = NODE_ACK_QUORUM, .done = snapshots_on_written, .context = &done[i]};
        struct kv_command command = {
            .op = KV_PUT, .key = slice_str("lost"), .value = slice_str("or not")};
        assert_int_equal(node_write_start(c->members[old].node, &w[i], &command), STATUS_OK);
    }
    uint64_t before_ms = fake_world_now(c->world);
    while (cluster_find_leader(c) == old) {
        fake_world_run(c->world, 10);
    }
    snapshots_put_numbered(c, 0, 80, 10);
    fake_world_run(c->world, 100);
    cluster_heal(c);
    await_installed(c, old);
    assert_true(done[0] && done[1]);
    assert_true(fake_world_now(c->world) - before_ms < REQUEST_TIMEOUT_MS);
    assert_int_equal(w[1].status, STATUS_UNKNOWN);
    cluster_settle(c);
    snapshots_expect_equal(c);
    cluster_destroy(c);
}

static void on_changed(struct node_change *change)
{
    *(bool *)change->context = true;
}

static struct node_change invite(const char *name, bool *done)
{
    struct node_change change = {.kind = NODE_CHANGE_ADD, .done = on_changed, .context = done};
    snprintf(change.name, sizeof(change.name), "%s", name);
    snprintf(change.url, sizeof(change.url), "http://%s:4000", name);
    return change;
}

/* The members did change at that place of the log or after it, but not as was asked. */
static void rule_k1_a_change_that_a_snapshot_covers_has_an_unknown_outcome(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(62, 3, 8);
    int old = cluster_find_leader(c);
    for (int i = 0; i < 3; i++) {
        if (i != old) {
            fake_world_cut(c->world, member_hosts[old], member_hosts[i], true);
        }
    }
    bool first_done = false; /* as above, its place is seen to be taken */
    bool lost_done = false;
    bool other_done = false;
    struct node_write first = {
        .ack = NODE_ACK_QUORUM, .done = snapshots_on_written, .context = &first_done};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(c->members[old].node, &first, &command), STATUS_OK);
    struct node_change lost = invite("lost", &lost_done);
    struct node_change other = invite("other", &other_done);
    assert_int_equal(node_change_start(c->members[old].node, &lost), STATUS_OK);
    uint64_t before_ms = fake_world_now(c->world);
    while (cluster_find_leader(c) == old) {
        fake_world_run(c->world, 10);
    }
    snapshots_put_numbered(c, 0, 1, 10);
    assert_int_equal(node_change_start(c->members[cluster_find_leader(c)].node, &other), STATUS_OK);
    snapshots_put_numbered(c, 1, 80, 10);
    assert_true(other_done && other.status == STATUS_OK);
    fake_world_run(c->world, 100);
    assert_false(lost_done);
    cluster_heal(c);
    await_installed(c, old);
    assert_true(fake_world_now(c->world) - before_ms < REQUEST_TIMEOUT_MS);
    assert_true(first_done && lost_done);
    assert_int_equal(lost.status, STATUS_UNKNOWN);
    cluster_settle(c);
    cluster_destroy(c);
}

/* --- a disk that fails ------------------------------------------------------------------------ */

/* Rule S8: whatever call fails, what was acknowledged is there after a restart. */
static void fail_call(uint64_t seed, uint64_t after, enum status why)
{
    struct cluster *c = snapshots_settled(seed, 1, 25);
    snapshots_put_numbered(c, 0, 24, 5);
    struct member *m = &c->members[0];
    fake_disk_fail_at(m->disk,
                      (struct fake_fault){.call = fake_disk_calls(m->disk) + after, .status = why});
    int written = 24;
    for (; written < 80 && m->fatal == NULL; written++) {
        bool done = false;
        char key[16];
        snprintf(key, sizeof(key), "k%d", written);
        struct node_write w = {
            .ack = NODE_ACK_QUORUM, .done = snapshots_on_written, .context = &done};
        struct kv_command command = {.op = KV_PUT, .key = slice_str(key), .value = slice_str(key)};
        if (node_write_start(m->node, &w, &command) != STATUS_OK) {
            break;
        }
        for (int waited = 0; !done && m->fatal == NULL && waited < 5000; waited++) {
            fake_world_run(c->world, 1);
        }
        if (!done) {
            node_write_cancel(&w);
            break;
        }
        assert_int_equal(w.status, STATUS_OK);
    }
    if (m->fatal == NULL) {
        fake_world_run(c->world, 15000);
    }
    member_stop(c, 0, seed % 2 == 0);
    member_start(c, 0);
    cluster_settle(c);
    for (int i = 24; i < written; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        snapshots_expect_stored(c, 0, key, key);
    }
    cluster_destroy(c);
}

static void rule_s8_a_snapshot_that_cannot_be_written_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t after = 1; after < 90; after++) {
        fail_call(70 + after, after, after % 2 == 0 ? STATUS_IO : STATUS_NO_SPACE);
    }
}

static void rule_s8_the_next_snapshot_is_tried_after_a_pause(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(200, 1, 25);
    struct member *m = &c->members[0];
    snapshots_put_numbered(c, 0, 20, 5);
    /* The first call of the first snapshot that fails without the log. */
    for (int i = 20; trouble_metrics(c, 0).snapshots_taken == 0 && i < 200; i++) {
        snapshots_put_numbered(c, i, i + 1, 5);
        fake_world_run(c->world, 20);
    }
    assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 1);
    assert_null(m->fatal);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_s0_a_long_log_is_cut_behind_a_snapshot),
        cmocka_unit_test(rule_s0_a_log_of_small_batches_is_cut_by_what_it_takes_on_the_disk),
        cmocka_unit_test(rule_s0_the_disk_stays_bounded_under_endless_overwrites),
        cmocka_unit_test(rule_s0_writes_go_on_while_a_snapshot_is_taken),
        cmocka_unit_test(rule_s1_a_member_restarts_from_its_snapshot_and_the_log_behind_it),
        cmocka_unit_test(rule_s2_rot_in_the_newest_snapshot_is_no_loss_while_the_log_reaches_back),
        cmocka_unit_test(rule_s6_a_member_that_was_away_too_long_catches_up_by_a_snapshot),
        cmocka_unit_test(rule_s6_a_broken_transfer_goes_on_where_it_ended),
        cmocka_unit_test(rule_s6_a_transfer_goes_on_after_a_restart_of_the_receiver),
        cmocka_unit_test(rule_s6_a_new_leader_sends_its_own),
        cmocka_unit_test(rule_s6_heartbeats_never_wait_for_a_snapshot),
        cmocka_unit_test(rule_o1_a_receiver_whose_disk_hangs_is_sent_no_more_than_the_window),
        cmocka_unit_test(rule_o1_more_followers_than_transfers_wait_for_their_turn),
        cmocka_unit_test(rule_s7_the_file_that_is_sent_stays_while_newer_ones_are_taken),
        cmocka_unit_test(rule_k1_a_write_that_a_snapshot_covers_has_an_unknown_outcome),
        cmocka_unit_test(rule_k1_a_change_that_a_snapshot_covers_has_an_unknown_outcome),
        cmocka_unit_test(rule_s8_a_snapshot_that_cannot_be_written_loses_nothing),
        cmocka_unit_test(rule_s8_the_next_snapshot_is_tried_after_a_pause),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
