/* Bounds of a member that only very many requests reach (rule O1): explicit, before anything is
 * begun, and given back. */
#include "member_trouble.h"

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t answers;

static void freeze_others(struct cluster *c, int leader, bool frozen)
{
    for (int i = 0; i < c->count; i++) {
        if (i != leader) {
            member_freeze(c, i, frozen);
        }
    }
}

static void on_read(struct node_read *r)
{
    (void)r;
    answers++;
}

static void start_read(struct cluster *c, int i, struct node_read *r)
{
    *r = (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_read};
    node_read_start(c->members[i].node, r);
}

static void rule_o1_reads_beyond_the_bound_are_overloaded_and_the_bound_is_given_back(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct node_read *all = mem_calloc(LIMIT_WAITING_REQUESTS + 1, sizeof(*all));
    answers = 0;
    freeze_others(c, leader, true);
    for (uint32_t i = 0; i < LIMIT_WAITING_REQUESTS; i++) {
        start_read(c, leader, &all[i]);
    }
    fake_world_run(c->world, 1);
    assert_int_equal(answers, 0);
    struct node_read *late = &all[LIMIT_WAITING_REQUESTS];
    start_read(c, leader, late);
    assert_int_equal(answers, 1);
    assert_int_equal(late->status, STATUS_OVERLOADED);
    node_read_cancel(&all[0]);
    start_read(c, leader, late);
    assert_int_equal(answers, 1); /* it waits */
    freeze_others(c, leader, false);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    assert_int_equal(answers, LIMIT_WAITING_REQUESTS + 1);
    mem_free(all);
    cluster_settle(c);
    cluster_destroy(c);
}

static void on_written(struct node_write *w)
{
    (void)w;
    answers++;
}

static enum status start_write(struct cluster *c, int i, struct node_write *w)
{
    *w = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    return node_write_start(c->members[i].node, w, &command);
}

static void rule_o1_writes_beyond_the_bound_are_overloaded_and_the_bound_is_given_back(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct node_write *all = mem_calloc(LIMIT_WAITING_REQUESTS + 1, sizeof(*all));
    answers = 0;
    freeze_others(c, leader, true);
    uint32_t taken = 0;
    enum status s;
    while ((s = start_write(c, leader, &all[taken])) == STATUS_OK) {
        assert_true(++taken <= LIMIT_WAITING_REQUESTS);
    }
    assert_int_equal(s, STATUS_OVERLOADED);
    assert_int_equal(taken, LIMIT_WAITING_REQUESTS);
    freeze_others(c, leader, false);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    assert_int_equal(answers, taken);
    cluster_settle(c);
    assert_int_equal(start_write(c, cluster_find_leader(c), &all[0]), STATUS_OK);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    assert_int_equal(answers, taken + 1);
    mem_free(all);
    cluster_destroy(c);
}

static void slow_others(struct cluster *c, int leader, uint64_t ms)
{
    for (int i = 0; i < c->count; i++) {
        if (i != leader) {
            fake_process_slow_disk(c->members[i].loop, ms);
        }
    }
}

static enum status start_wide_write(struct cluster *c, int i, struct node_write *w, size_t size)
{
    static uint8_t bytes[LIMIT_PATIENT_WRITE_BYTES + 1];
    *w = (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written};
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str("k"), .value = slice_of(bytes, size)};
    return node_write_start(c->members[i].node, w, &command);
}

/* Behind a queue that is slow a large write would not know its outcome in the end; a small one may
 * try. */
static void rule_o1_behind_a_slow_queue_a_large_write_is_overloaded_at_once(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct node *n = c->members[leader].node;
    static struct node_write w[3];
    answers = 0;
    slow_others(c, leader, REQUEST_TIMEOUT_MS / 2);
    assert_int_equal(start_wide_write(c, leader, &w[0], LIMIT_PATIENT_WRITE_BYTES + 1), STATUS_OK);
    assert_false(node_is_overloaded(n, LIMIT_PATIENT_WRITE_BYTES + 1));
    assert_true(node_is_overloaded(n, LIMIT_UNCOMMITTED_BYTES));
    fake_world_run(c->world, REQUEST_TIMEOUT_MS / LIMIT_PATIENT_WRITE_PART);
    assert_true(node_is_overloaded(n, LIMIT_PATIENT_WRITE_BYTES + 1));
    assert_int_equal(start_wide_write(c, leader, &w[1], LIMIT_PATIENT_WRITE_BYTES + 1),
                     STATUS_OVERLOADED);
    assert_int_equal(start_wide_write(c, leader, &w[2], LIMIT_PATIENT_WRITE_BYTES), STATUS_OK);
    assert_false(node_is_overloaded(c->members[(leader + 1) % 3].node, LIMIT_UNCOMMITTED_BYTES));
    slow_others(c, leader, 0);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    cluster_settle(c);
    assert_int_equal(answers, 2);
    assert_false(node_is_overloaded(n, LIMIT_UNCOMMITTED_BYTES + 1));
    cluster_destroy(c);
}

static struct node *ready_node;
static bool was_behind;

static void look_if_ready(struct node_write *w)
{
    struct node_check checks[NODE_CHECKS_MAX];
    uint32_t count = node_ready_checks(ready_node, checks);
    struct node_status status;
    node_status_get(ready_node, &status);
    was_behind |= status.applied_index < status.commit_index;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(checks[i].ok);
    }
    on_written(w);
}

/* In the middle of a turn there is more committed than applied: a probe that comes then must not
 * say that the member is not ready. */
static void a_leader_under_load_is_ready_all_the_time(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    ready_node = c->members[leader].node;
    static struct node_write w[10];
    answers = 0;
    was_behind = false;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(start_write(c, leader, &w[i]), STATUS_OK);
        w[i].done = look_if_ready;
    }
    fake_world_run(c->world, REQUEST_TIMEOUT_MS);
    assert_int_equal(answers, 10);
    assert_true(was_behind);
    cluster_destroy(c);
}

static void on_changed(struct node_change *change)
{
    (void)change;
    answers++;
}

static enum status start_change(struct cluster *c, int i, struct node_change *change, uint32_t n)
{
    *change = (struct node_change){.kind = NODE_CHANGE_ADD, .done = on_changed};
    snprintf(change->name, sizeof(change->name), "new-%u", n);
    snprintf(change->url, sizeof(change->url), "http://127.0.0.1:%u", 5000 + n);
    return node_change_start(c->members[i].node, change);
}

static void
rule_o1_changes_beyond_the_bound_are_overloaded_and_the_bound_is_given_back(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    static struct node_change all[LIMIT_CHANGES + 1];
    answers = 0;
    freeze_others(c, leader, true);
    for (uint32_t i = 0; i < LIMIT_CHANGES; i++) {
        assert_int_equal(start_change(c, leader, &all[i], i), STATUS_OK);
    }
    struct node_change *late = &all[LIMIT_CHANGES];
    assert_int_equal(start_change(c, leader, late, LIMIT_CHANGES), STATUS_OVERLOADED);
    node_change_cancel(&all[LIMIT_CHANGES - 1]);
    assert_int_equal(start_change(c, leader, late, LIMIT_CHANGES), STATUS_OK);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS + 1);
    assert_int_equal(answers, LIMIT_CHANGES);
    freeze_others(c, leader, false);
    cluster_settle(c);
    cluster_destroy(c);
}

/* Not before; and soon after, by chance and because it leads (rule S0). */
static void rule_o1_the_log_grows_so_long_before_a_snapshot_by_default(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 1);
    c->segment_bytes = 8ull * MIB;
    member_start(c, 0);
    cluster_settle(c);
    uint32_t count = LIMIT_SNAPSHOT_LOG_BYTES / MIB;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(trouble_put(c, 0, "k", MIB - 1000), STATUS_OK);
        assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 0);
    }
    for (uint32_t i = 0; i < count && trouble_metrics(c, 0).snapshots_taken == 0; i++) {
        assert_int_equal(trouble_put(c, 0, "k", MIB - 1000), STATUS_OK);
        fake_world_run(c->world, 100);
    }
    assert_int_equal(trouble_metrics(c, 0).snapshots_taken, 1);
    cluster_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_reads_beyond_the_bound_are_overloaded_and_the_bound_is_given_back),
        cmocka_unit_test(
            rule_o1_writes_beyond_the_bound_are_overloaded_and_the_bound_is_given_back),
        cmocka_unit_test(rule_o1_behind_a_slow_queue_a_large_write_is_overloaded_at_once),
        cmocka_unit_test(a_leader_under_load_is_ready_all_the_time),
        cmocka_unit_test(
            rule_o1_changes_beyond_the_bound_are_overloaded_and_the_bound_is_given_back),
        cmocka_unit_test(rule_o1_the_log_grows_so_long_before_a_snapshot_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
