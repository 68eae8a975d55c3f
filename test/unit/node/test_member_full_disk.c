/* Full disks (rule P12, row F11): writes are refused, all else goes on, and so does the member when
 * there is room again. Whole members in virtual time. */
#include "member_trouble.h"

#include "base/log.h"
#include "kv/kv_lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void fill_disk(struct cluster *c, int i)
{
    struct fake_disk *disk = c->members[i].disk;
    fake_disk_set_capacity(disk, fake_disk_used_bytes(disk));
}

static void empty_disk(struct cluster *c, int i)
{
    fake_disk_set_capacity(c->members[i].disk, 0);
}

static void wait_for_room(struct cluster *c, int i)
{
    for (int waited = 0; waited < PATIENCE_MS && member_status(c, i).no_space; waited += 10) {
        fake_world_run(c->world, 10);
    }
    assert_false(member_status(c, i).no_space);
}

static void fault_f11_a_follower_with_a_full_disk_harms_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        int leader = cluster_find_leader(c);
        int full = (leader + 1) % 3;
        fill_disk(c, full);
        writer_run(w, 1000);
        assert_true(member_status(c, full).no_space);
        assert_false(member_status(c, leader).no_space);
        assert_int_equal(cluster_find_leader(c), leader);
        assert_true(w->acknowledged > 150); /* one every 5 ms, but for the last ones */
        assert_true(member_status(c, full).applied_index < member_status(c, leader).applied_index);
        assert_int_equal(trouble_read(c, full, NODE_STALE, 0), STATUS_OK);
        cluster_expect_no_fatal(c);
        empty_disk(c, full);
        cluster_settle(c);
        wait_for_room(c, full);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

static void fault_f11_a_leader_with_a_full_disk_hands_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        int full = cluster_find_leader(c);
        fill_disk(c, full);
        writer_run(w, 1000);
        int leader = cluster_find_leader(c);
        assert_int_not_equal(leader, full);
        assert_true(member_status(c, full).no_space);
        assert_false(member_status(c, leader).no_space);
        assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
        assert_true(w->acknowledged > 100);
        cluster_expect_no_fatal(c);
        empty_disk(c, full);
        cluster_settle(c);
        wait_for_room(c, full);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

/* Until whoever leads says so. */
static int fill_all(struct cluster *c, struct writer *w)
{
    for (int i = 0; i < c->count; i++) {
        fill_disk(c, i);
    }
    int full = 0;
    for (int waited = 0; waited < PATIENCE_MS && full < c->count; waited += 10) {
        writer_run(w, 10);
        full = 0;
        for (int i = 0; i < c->count; i++) {
            full += member_status(c, i).no_space;
        }
    }
    assert_int_equal(full, c->count);
    fake_world_run(c->world, 5000); /* whoever wants to hand over has done so */
    return trouble_wait_for_leader_but(c, -1);
}

static void fault_f11_with_all_disks_full_reads_and_deletes_go_on(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = trouble_cluster(seed, 3);
        struct writer *w = writer_create(c);
        assert_int_equal(trouble_put(c, cluster_find_leader(c), "old", 10), STATUS_OK);
        int leader = fill_all(c, w);
        assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_NO_SPACE);
        assert_int_equal(trouble_delete(c, leader, "old"), STATUS_OK);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(trouble_read(c, i, NODE_LINEARIZABLE, 0), STATUS_OK);
        }
        uint64_t term = member_status(c, leader).term;
        fake_world_run(c->world, 150000);
        assert_int_equal(member_status(c, leader).term, term); /* each takes of the room */
        cluster_expect_no_fatal(c);
        for (int i = 0; i < 3; i++) {
            empty_disk(c, i);
        }
        for (int i = 0; i < 3; i++) {
            wait_for_room(c, i);
        }
        cluster_settle(c);
        assert_int_equal(trouble_put(c, cluster_find_leader(c), "k", 10), STATUS_OK);
        cluster_settle(c);
        writer_expect(w);
        writer_end(w);
        cluster_destroy(c);
    }
}

/* What ends leases makes room. */
static void rule_p12_rule_t1_with_all_disks_full_leases_end(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(1, 3);
    struct writer *w = writer_create(c);
    struct kv_command grant = {.op = KV_LEASE_GRANT, .lease = 1, .ttl_s = 60};
    assert_int_equal(trouble_write(c, cluster_find_leader(c), &grant), STATUS_OK);
    grant.lease = 2;
    assert_int_equal(trouble_write(c, cluster_find_leader(c), &grant), STATUS_OK);
    int leader = fill_all(c, w);
    grant.lease = 3;
    assert_int_equal(trouble_write(c, leader, &grant), STATUS_NO_SPACE);
    const struct kv_command revoke = {.op = KV_LEASE_REVOKE, .lease = 2};
    assert_int_equal(trouble_write(c, leader, &revoke), STATUS_OK);
    assert_int_equal(kv_lease_count(node_kv(c->members[leader].node)), 1);
    fake_world_run(c->world, 120 * 1000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_lease_count(node_kv(c->members[i].node)), 0);
    }
    cluster_expect_no_fatal(c);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_p12_a_batch_without_room_waits_and_leadership_goes(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(2, 3);
    int full = cluster_find_leader(c);
    fill_disk(c, full);
    /* More than any segment that is there can take, and nothing was short before. */
    enum status s = trouble_put(c, full, "large", 2 * TROUBLE_SEGMENT_BYTES);
    assert_true(s == STATUS_OK || s == STATUS_UNKNOWN);
    int leader = trouble_wait_for_leader_but(c, full);
    assert_true(member_status(c, full).no_space);
    assert_int_equal(trouble_put(c, leader, "k", 10), STATUS_OK);
    fake_world_run(c->world, 100000); /* longer than any hanging disk is waited for */
    cluster_expect_no_fatal(c);
    struct node_check checks[NODE_CHECKS_MAX];
    uint32_t count = node_ready_checks(c->members[full].node, checks);
    for (uint32_t k = 0; k < count; k++) {
        bool is_space = strcmp(checks[k].name, "disk-space") == 0;
        assert_true(checks[k].ok || is_space || strcmp(checks[k].name, "caught-up") == 0);
        assert_false(checks[k].ok && is_space);
    }
    empty_disk(c, full);
    cluster_settle(c);
    wait_for_room(c, full);
    struct kv_item item;
    for (int i = 0; i < 3; i++) {
        enum status found = kv_get(node_kv(c->members[i].node), slice_str("large"), 0, &item);
        assert_true(found == STATUS_OK || s != STATUS_OK);
        assert_int_equal(kv_get(node_kv(c->members[i].node), slice_str("k"), 0, &item), STATUS_OK);
    }
    cluster_destroy(c);
}

/* How long there is no room says nothing of the disk; that it does not answer does. */
static void rule_p17_a_full_disk_that_hangs_ends_the_process_too(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(2, 3);
    int full = cluster_find_leader(c);
    fill_disk(c, full);
    (void)trouble_put(c, full, "large", 2 * TROUBLE_SEGMENT_BYTES);
    (void)trouble_wait_for_leader_but(c, full);
    assert_true(member_status(c, full).no_space);
    fake_process_stall(c->members[full].loop, true); /* the next try to write never comes back */
    fake_world_run(c->world, 55000);
    cluster_expect_no_fatal(c);
    fake_world_run(c->world, 10000);
    assert_non_null(c->members[full].fatal);
    assert_int_equal(c->members[full].fatal_code, 1);
    assert_non_null(strstr(c->members[full].fatal, "has not answered"));
    cluster_destroy(c);
}

static void rule_p12_members_start_with_full_disks(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(3, 3);
    struct writer *w = writer_create(c);
    (void)fill_all(c, w);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            member_stop(c, i, round == 1);
        }
        for (int i = 0; i < 3; i++) {
            member_start(c, i);
        }
        int leader = trouble_wait_for_leader_but(c, -1);
        assert_int_equal(trouble_read(c, leader, NODE_LINEARIZABLE, 0), STATUS_OK);
        cluster_expect_no_fatal(c);
    }
    for (int i = 0; i < 3; i++) {
        empty_disk(c, i);
    }
    cluster_settle(c);
    writer_run(w, 200);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

/* With segments that are larger than the reserve. */
static void rule_o1_writes_are_refused_while_the_reserve_is_still_there(void **state)
{
    (void)state;
    const size_t value_bytes = 16 * 1024;
    struct cluster *c = cluster_create(6, 1);
    c->segment_bytes = 2ull * LIMIT_LOG_RESERVE_BYTES;
    member_start(c, 0);
    cluster_settle(c);
    assert_int_equal(trouble_put(c, 0, "old", 10), STATUS_OK);
    fill_disk(c, 0);
    uint64_t room_bytes = 0;
    enum status s = STATUS_OK;
    for (int i = 0; i < 1000 && s == STATUS_OK; i++) {
        room_bytes = trouble_metrics(c, 0).log_room_bytes;
        s = trouble_put(c, 0, "k", value_bytes);
    }
    assert_int_equal(s, STATUS_NO_SPACE);
    assert_in_range(room_bytes, LIMIT_LOG_RESERVE_BYTES - 2 * value_bytes,
                    LIMIT_LOG_RESERVE_BYTES - 1);
    assert_int_equal(trouble_delete(c, 0, "old"), STATUS_OK);
    cluster_expect_no_fatal(c);
    cluster_destroy(c);
}

static void rule_p12_alone_with_a_full_disk(void **state)
{
    (void)state;
    struct cluster *c = trouble_cluster(4, 1);
    struct writer *w = writer_create(c);
    assert_int_equal(trouble_put(c, 0, "old", 10), STATUS_OK);
    (void)fill_all(c, w);
    assert_int_equal(trouble_put(c, 0, "k", 10), STATUS_NO_SPACE);
    assert_int_equal(trouble_read(c, 0, NODE_LINEARIZABLE, 0), STATUS_OK);
    assert_int_equal(trouble_delete(c, 0, "old"), STATUS_OK);
    empty_disk(c, 0);
    wait_for_room(c, 0);
    assert_int_equal(trouble_put(c, 0, "k", 10), STATUS_OK);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

/* Its identity must be durable before anybody hears of it; a later start is only counted. */
static void rule_g0_a_new_member_does_not_start_with_a_full_disk(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(1, 3);
    struct fake_disk *disk = c->members[0].disk;
    fake_disk_set_capacity(disk, 1);
    assert_int_equal(member_try_open(c, 0, member_names[0]), STATUS_NO_SPACE);
    assert_false(fake_disk_has_file(disk, "identity"));
    fake_disk_set_capacity(disk, 0);
    assert_int_equal(member_try_open(c, 0, member_names[0]), STATUS_OK);
    assert_true(fake_disk_has_file(disk, "identity"));
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fault_f11_a_follower_with_a_full_disk_harms_nobody),
        cmocka_unit_test(fault_f11_a_leader_with_a_full_disk_hands_over),
        cmocka_unit_test(fault_f11_with_all_disks_full_reads_and_deletes_go_on),
        cmocka_unit_test(rule_p12_rule_t1_with_all_disks_full_leases_end),
        cmocka_unit_test(rule_p12_a_batch_without_room_waits_and_leadership_goes),
        cmocka_unit_test(rule_p17_a_full_disk_that_hangs_ends_the_process_too),
        cmocka_unit_test(rule_p12_members_start_with_full_disks),
        cmocka_unit_test(rule_o1_writes_are_refused_while_the_reserve_is_still_there),
        cmocka_unit_test(rule_p12_alone_with_a_full_disk),
        cmocka_unit_test(rule_g0_a_new_member_does_not_start_with_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
