/* How a membership begins and ends when something comes between: what a removed leader owes its
 * clients, what cannot be written down, who is refused too early. Whole members in virtual time. */
#include "member_trouble.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- the clients of a leader that is removed (rule C5) ---------------------------------------- */

struct asking {
    struct node_write write;
    struct node_read read;
    uint32_t written;
    uint32_t has_read;
    struct node *node;
    enum status written_again; /* what was asked for inside an answer */
};

static void on_written(struct node_write *w)
{
    struct asking *a = w->context;
    struct kv_command command = {.op = KV_DELETE, .key = slice_str("k")};
    struct node_write again = {.ack = NODE_ACK_QUORUM, .forward = true, .done = on_written};
    a->written++;
    a->written_again = node_write_start(a->node, &again, &command);
}

static void on_read(struct node_read *r)
{
    struct asking *a = r->context;
    a->has_read++;
}

/* What waits long: a write for one that is stopped, and a read of what is still to come. */
static void ask(struct cluster *c, int leader, struct asking *a)
{
    *a = (struct asking){.node = c->members[leader].node, .written_again = STATUS_OK};
    a->write = (struct node_write){.ack = NODE_ACK_ALL, .done = on_written, .context = a};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(a->node, &a->write, &command), STATUS_OK);
    a->read = (struct node_read){
        .consistency = NODE_SESSION, .min_revision = 1000000, .done = on_read, .context = a};
    node_read_start(a->node, &a->read);
}

static void rule_c5_a_removed_leader_answers_who_waits_before_it_ends(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 5);
    int leader = cluster_find_leader(c);
    int stopped = (leader + 1) % 5;
    member_freeze(c, stopped, true);
    struct asking a;
    ask(c, leader, &a);
    fake_world_run(c->world, 20);
    uint64_t begun_ms = fake_world_now(c->world);
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, leader), STATUS_OK);
    assert_int_equal(a.written + a.has_read, 0);
    member_wait_for_end(c, leader, 2);
    assert_true(fake_world_now(c->world) - begun_ms < REQUEST_TIMEOUT_MS);
    assert_int_equal(a.written, 1);
    assert_int_equal(a.write.status, STATUS_NOT_CONFIRMED);
    assert_true(a.write.missing_count > 0);
    assert_int_equal(a.has_read, 1);
    assert_int_equal(a.read.status, STATUS_BEHIND);
    assert_int_equal(a.written_again, STATUS_NOT_LEADER);
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    assert_int_equal(a.written + a.has_read, 2);
    cluster_destroy(c);
}

/* --- what cannot be written down -------------------------------------------------------------- */

/* Removed while it was away; it is told so when it is back. */
static struct cluster *remove_one(int *victim)
{
    struct cluster *c = cluster_settled(5, 4);
    *victim = (cluster_find_leader(c) + 1) % 4;
    member_stop(c, *victim, false);
    c->members[*victim].is_gone = true;
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, *victim), STATUS_OK);
    member_start(c, *victim);
    return c;
}

static void rule_p11_a_removal_that_cannot_be_written_ends_as_a_fault_of_the_disk(void **state)
{
    (void)state;
    int victim;
    struct cluster *c = remove_one(&victim);
    struct fake_disk *disk = c->members[victim].disk;
    fake_disk_halt_at(disk, fake_disk_calls(disk) + 1);
    member_wait_for_end(c, victim, 1);
    assert_non_null(strstr(c->members[victim].fatal, "cannot write the data directory"));
    assert_non_null(strstr(c->members[victim].fatal, "was removed"));
    /* Told again, and this time it stays. */
    member_stop(c, victim, true);
    member_start(c, victim);
    member_wait_for_end(c, victim, 2);
    member_stop(c, victim, true);
    assert_int_equal(member_try_open(c, victim, member_names[victim]), STATUS_CONFLICT);
    cluster_destroy(c);
}

static void rule_p12_a_full_disk_does_not_hide_that_a_member_was_removed(void **state)
{
    (void)state;
    int victim;
    struct cluster *c = remove_one(&victim);
    struct fake_disk *disk = c->members[victim].disk;
    fake_disk_set_capacity(disk, fake_disk_used_bytes(disk));
    member_wait_for_end(c, victim, 2);
    assert_non_null(strstr(c->members[victim].fatal, "was removed"));
    member_stop(c, victim, false);
    member_start(c, victim); /* it was not written down */
    member_wait_for_end(c, victim, 2);
    cluster_destroy(c);
}

static void rule_c4_one_that_is_let_in_while_it_stops_begins_with_its_next_start(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    int i = member_join(c);
    fake_process_stall(c->members[i].loop, true);
    fake_world_run(c->world, 1000); /* accepted, and on the way to its disk */
    assert_true(member_status(c, i).joining);
    node_shutdown(c->members[i].node, NULL, NULL);
    fake_world_run(c->world, 100);
    fake_process_stall(c->members[i].loop, false);
    fake_world_run(c->world, 5 * ELECTION_MS);
    assert_null(member_status(c, i).role);
    assert_int_equal(cluster_voters(c), 1);
    member_stop(c, i, true);
    member_start(c, i);
    assert_string_equal(member_status(c, i).role, "learner");
    cluster_wait_for_voters(c, 2);
    cluster_destroy(c);
}

/* --- who is refused --------------------------------------------------------------------------- */

/* Wait until the leader has proposed who joins. */
static void wait_for_places(struct cluster *c, uint32_t count)
{
    int leader = cluster_find_leader(c);
    for (int waited = 0; waited < PATIENCE_MS && member_list(c, leader)->count != count; waited++) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(member_list(c, leader)->count, count);
    assert_false(member_list(c, leader)->committed);
}

/* Its first disk was let in by nobody yet when it was lost, and what proposed that is undone. */
static void rule_c4_nobody_is_refused_for_what_is_not_committed(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    for (int k = 0; k < 3; k++) {
        fake_process_stall(c->members[k].loop, k != leader); /* they follow, and take nothing */
    }
    int i = member_join(c);
    wait_for_places(c, 4);
    member_stop(c, i, true);
    member_wipe(c, i);
    member_start(c, i);
    fake_world_run(c->world, 3000);
    assert_int_equal(cluster_find_leader(c), leader);
    assert_false(member_list(c, leader)->committed);
    assert_null(c->members[i].fatal);
    assert_true(member_status(c, i).joining);
    for (int k = 0; k < 3; k++) {
        member_stop(c, k, true);
    }
    for (int k = 0; k < 3; k++) {
        if (k != leader) {
            member_start(c, k);
        }
    }
    cluster_wait_for_voters(c, 4);
    member_start(c, leader);
    cluster_settle(c);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_c5_a_removed_leader_answers_who_waits_before_it_ends),
        cmocka_unit_test(rule_p11_a_removal_that_cannot_be_written_ends_as_a_fault_of_the_disk),
        cmocka_unit_test(rule_p12_a_full_disk_does_not_hide_that_a_member_was_removed),
        cmocka_unit_test(rule_c4_one_that_is_let_in_while_it_stops_begins_with_its_next_start),
        cmocka_unit_test(rule_c4_nobody_is_refused_for_what_is_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
