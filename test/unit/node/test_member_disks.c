/* Members that lost their disks, that come back with old ones, or where they do not belong: rules
 * C6, C7 and E11 in one world of virtual time. */
#include "member_moves.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- lost disks, old copies, removed members -------------------------------------------------- */

static void rule_c7_a_wiped_member_is_refused_until_it_is_replaced(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    struct writer *w = writer_create(c);
    writer_run(w, 200);
    int lost = (cluster_find_leader(c) + 1) % 3;
    member_stop(c, lost, false);
    member_wipe(c, lost);
    member_start(c, lost); /* with --peers as before */
    member_wait_for_end(c, lost, 2);
    assert_non_null(strstr(c->members[lost].fatal, "member replace"));
    member_stop(c, lost, false);
    c->members[lost].way = MEMBER_JOINS;
    member_start(c, lost); /* with --join, but nobody has replaced it */
    member_wait_for_end(c, lost, 2);
    assert_non_null(strstr(c->members[lost].fatal, "member replace"));
    member_stop(c, lost, false);
    assert_int_equal(member_change(c, NODE_CHANGE_REPLACE, lost), STATUS_OK);
    assert_int_equal(cluster_voters(c), 3);
    c->members[lost].is_gone = false;
    member_start(c, lost);
    writer_run(w, 1000);
    cluster_wait_for_voters(c, 3);
    cluster_settle(c);
    assert_true(member_votes(c, lost));
    assert_int_equal(member_status(c, 0).member_count, 3);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

/* Its old directory comes back after all. */
static void rule_c6_a_replaced_directory_that_comes_back_is_told_and_ends(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int lost = (cluster_find_leader(c) + 1) % 3;
    member_stop(c, lost, false);
    struct fake_disk *old = member_copy_disk(c, lost);
    member_wipe(c, lost);
    assert_int_equal(member_change(c, NODE_CHANGE_REPLACE, lost), STATUS_OK);
    c->members[lost].way = MEMBER_JOINS;
    member_start(c, lost);
    for (int waited = 0; waited < PATIENCE_MS && !member_votes(c, lost); waited += 10) {
        fake_world_run(c->world, 10);
    }
    fake_world_run(c->world, 20 * ELECTION_MS);
    member_stop(c, lost, false);
    struct fake_disk *successor = member_copy_disk(c, lost);
    member_put_back(c, lost, old);
    uint64_t term = member_status(c, cluster_find_leader(c)).term;
    member_start(c, lost);
    member_wait_for_end(c, lost, 2);
    assert_non_null(strstr(c->members[lost].fatal, "was removed"));
    member_stop(c, lost, false);
    assert_int_equal(member_status(c, cluster_find_leader(c)).term, term);
    c->members[lost].is_gone = false;
    member_put_back(c, lost, successor);
    member_start(c, lost);
    cluster_settle(c);
    cluster_wait_for_voters(c, 3);
    cluster_destroy(c);
}

static void rule_c6_a_removed_member_that_is_started_for_ever_disturbs_nobody(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int gone = (leader + 1) % 3;
    member_stop(c, gone, false); /* away while it is removed: its log does not tell it */
    fake_world_run(c->world, 2 * ELECTION_MS);
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, gone), STATUS_OK);
    c->members[gone].is_gone = true;
    uint64_t term = member_status(c, leader).term;
    member_start(c, gone);
    member_wait_for_end(c, gone, 2);
    assert_non_null(strstr(c->members[gone].fatal, "was removed"));
    member_stop(c, gone, true);
    for (int k = 0; k < 5; k++) {
        assert_int_equal(member_try_open(c, gone, member_names[gone]), STATUS_CONFLICT);
        fake_world_run(c->world, 3 * ELECTION_MS);
    }
    assert_int_equal(cluster_find_leader(c), leader);
    assert_int_equal(member_status(c, leader).term, term);
    cluster_destroy(c);
}

/* `starts`: how often it was started after the copy had been made. */
static void put_back_a_copy(int starts)
{
    struct cluster *c = cluster_settled(5, 3);
    int old = (cluster_find_leader(c) + 1) % 3;
    member_stop(c, old, false);
    struct fake_disk *copy = member_copy_disk(c, old);
    for (int k = 0; k < starts; k++) {
        member_start(c, old);
        cluster_settle(c);
        member_stop(c, old, false);
    }
    member_put_back(c, old, copy);
    member_start(c, old);
    member_wait_for_end(c, old, 1);
    assert_non_null(strstr(c->members[old].fatal, "older copy"));
    assert_non_null(strstr(c->members[old].fatal, "member replace"));
    member_stop(c, old, true);
    /* Also when it was started more often than the others know. */
    for (int k = 0; k < 5; k++) {
        assert_int_equal(member_try_open(c, old, member_names[old]), STATUS_CORRUPT);
    }
    cluster_destroy(c);
}

static void rule_c7_a_directory_that_was_put_back_from_a_copy_is_refused_for_ever(void **state)
{
    (void)state;
    put_back_a_copy(1); /* as many starts as it told: another process */
    put_back_a_copy(3);
}

static void rule_c7_a_directory_that_forgot_a_term_is_refused(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = (cluster_find_leader(c) + 1) % 3;
    member_stop(c, old, false);
    struct fake_disk *copy = member_copy_disk(c, old);
    /* No start more than the copy has: only the term tells. */
    member_start(c, old);
    cluster_settle(c);
    uint64_t before = member_status(c, old).term;
    while (member_status(c, old).term == before) {
        node_campaign(c->members[old].node);
        fake_world_run(c->world, ELECTION_MS);
    }
    cluster_settle(c);
    member_stop(c, old, false);
    /* As if the copy had been made in the run that followed it: it counts one start more. */
    member_put_back(c, old, copy);
    assert_int_equal(member_try_open(c, old, member_names[old]), STATUS_OK);
    member_start(c, old);
    member_wait_for_end(c, old, 1);
    assert_non_null(strstr(c->members[old].fatal, "older copy"));
    cluster_destroy(c);
}

/* Nobody must notice: it is not judged by a count that it could not make. */
static void rule_p12_a_start_that_a_full_disk_cannot_count_goes_on(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int i = (cluster_find_leader(c) + 1) % 3;
    struct fake_disk *disk = c->members[i].disk;
    uint32_t gone_on = 0;
    for (uint64_t call = 1;; call++) {
        member_stop(c, i, false);
        fake_disk_fail_at(disk, (struct fake_fault){.call = fake_disk_calls(disk) + call,
                                                    .status = STATUS_NO_SPACE});
        bool is_open = member_try_open(c, i, member_names[i]) == STATUS_OK;
        bool has_failed = fake_disk_has_failed(disk);
        gone_on += is_open && has_failed;
        fake_disk_fail_at(disk, (struct fake_fault){0});
        member_start(c, i);
        cluster_settle(c);
        if (!has_failed) {
            break;
        }
    }
    /* Every step of saving the identity: file, write, sync, name, sync of the directory. */
    assert_true(gone_on >= 5);
    cluster_destroy(c);
}

/* --- misdirected ------------------------------------------------------------------------------ */

static void a_member_with_another_secret_is_not_let_in(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    c->secret = slice_str("another secret");
    int i = member_join(c);
    fake_world_run(c->world, 5000);
    assert_true(member_status(c, i).joining);
    char text[512];
    node_founding_text(c->members[i].node, text, sizeof(text));
    assert_non_null(strstr(text, "wrong secret"));
    assert_int_equal(cluster_voters(c), 1);
    assert_int_equal(member_list(c, 0)->count, 1);
    cluster_destroy(c);
}

static void rule_e11_members_of_two_clusters_are_not_joined(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    int other = cluster_add(c, MEMBER_ALONE);
    member_start(c, other);
    fake_world_run(c->world, 1000);
    int i = member_join(c);
    member_wait_for_end(c, i, 2);
    assert_non_null(strstr(c->members[i].fatal, "two clusters"));
    cluster_destroy(c);
}

static void a_name_that_is_taken_is_not_joined_under(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int i = cluster_add(c, MEMBER_JOINS);
    c->members[i].alias = member_names[0];
    member_start(c, i);
    member_wait_for_end(c, i, 2);
    assert_non_null(strstr(c->members[i].fatal, "has a member named node-1"));
    fake_world_run(c->world, 1000);
    c->members[0].is_gone = false;
    cluster_expect_no_fatal(c);
    assert_int_equal(cluster_voters(c), 3);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_c7_a_wiped_member_is_refused_until_it_is_replaced),
        cmocka_unit_test(rule_c6_a_replaced_directory_that_comes_back_is_told_and_ends),
        cmocka_unit_test(rule_c6_a_removed_member_that_is_started_for_ever_disturbs_nobody),
        cmocka_unit_test(rule_c7_a_directory_that_was_put_back_from_a_copy_is_refused_for_ever),
        cmocka_unit_test(rule_c7_a_directory_that_forgot_a_term_is_refused),
        cmocka_unit_test(rule_p12_a_start_that_a_full_disk_cannot_count_goes_on),
        cmocka_unit_test(a_member_with_another_secret_is_not_let_in),
        cmocka_unit_test(rule_e11_members_of_two_clusters_are_not_joined),
        cmocka_unit_test(a_name_that_is_taken_is_not_joined_under),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
