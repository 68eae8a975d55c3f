/* Whole members come and go: rules C1 to C5 and E10 in one world of virtual time. */
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

/* --- growing and shrinking -------------------------------------------------------------------- */

static void rule_c4_a_cluster_grows_from_one_to_five_by_joins_under_writes(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    struct writer *w = writer_create(c);
    writer_run(w, 500);
    for (int i = 1; i < 5; i++) {
        assert_int_equal(member_join(c), i);
        writer_run(w, 1000);
        cluster_wait_for_voters(c, (uint32_t)i + 1);
    }
    cluster_settle(c);
    writer_expect(w);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(member_status(c, i).member_count, 5);
        assert_string_not_equal(member_status(c, i).role, "learner");
    }
    /* All of it survives a power loss of all. */
    for (int i = 0; i < 5; i++) {
        member_stop(c, i, true);
    }
    cluster_heal(c);
    cluster_settle(c);
    writer_expect(w);
    cluster_wait_for_voters(c, 5);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_c4b_two_that_join_at_once_make_three_voters_in_one_change(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    member_join(c);
    member_join(c);
    uint32_t seen = 0;
    for (int waited = 0; waited < PATIENCE_MS && seen != 3; waited++) {
        fake_world_run(c->world, 1);
        seen = cluster_voters(c);
        assert_int_not_equal(seen, 2);
    }
    cluster_wait_for_voters(c, 3);
    cluster_settle(c);
    cluster_destroy(c);
}

static uint32_t learners(const struct cluster *c)
{
    const struct node_membership *m = member_list(c, 0);
    uint32_t count = 0;
    for (uint32_t k = 0; k < m->count; k++) {
        count += m->items[k].learner;
    }
    return count;
}

/* Two join one voter, and the second hangs once both are learners. */
static struct cluster *join_two(uint64_t seed, uint32_t voters, int *late)
{
    struct cluster *c = cluster_settled(seed, (int)voters);
    member_join(c);
    *late = member_join(c);
    while (learners(c) < 2 && cluster_voters(c) == voters) {
        fake_world_run(c->world, 1);
    }
    member_freeze(c, *late, true);
    return c;
}

static void rule_c4b_the_first_of_two_waits_for_the_second(void **state)
{
    (void)state;
    int late;
    struct cluster *c = join_two(5, 1, &late);
    fake_world_run(c->world, 5 * ELECTION_MS);
    assert_int_equal(cluster_voters(c), 1);
    member_freeze(c, late, false);
    for (int waited = 0; waited < PATIENCE_MS && cluster_voters(c) != 3; waited++) {
        fake_world_run(c->world, 1);
        assert_int_not_equal(cluster_voters(c), 2);
    }
    assert_int_equal(cluster_voters(c), 3);
    cluster_destroy(c);
}

static void rule_c4b_the_first_of_two_does_not_wait_for_ever(void **state)
{
    (void)state;
    int tried = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        int late;
        struct cluster *c = join_two(seed, 3, &late);
        if (cluster_voters(c) == 3) { /* else both came in between two looks */
            cluster_wait_for_voters(c, 4);
            tried++;
        }
        cluster_destroy(c);
    }
    assert_true(tried > 0);
}

static void rule_c6_a_cluster_shrinks_from_five_to_one_under_writes(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 5);
    struct writer *w = writer_create(c);
    writer_run(w, 200);
    for (uint32_t left = 4; left >= 1; left--) {
        int leader = cluster_find_leader(c);
        int victim = 0;
        while (victim == leader || c->members[victim].is_gone) {
            victim++;
        }
        c->members[victim].is_gone = true;
        assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, victim), STATUS_OK);
        writer_run(w, 300);
        cluster_wait_for_voters(c, left);
        member_wait_for_end(c, victim, 2);
        member_stop(c, victim, false);
        assert_int_equal(member_try_open(c, victim, member_names[victim]), STATUS_CONFLICT);
    }
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, cluster_find_leader(c)), STATUS_INVALID);
    uint32_t before = w->acknowledged;
    writer_run(w, 200);
    assert_true(w->acknowledged > before);
    cluster_settle(c);
    writer_expect(w);
    writer_end(w);
    cluster_destroy(c);
}

static void remove_leader(uint64_t seed)
{
    struct cluster *c = cluster_settled(seed, 3);
    struct writer *w = writer_create(c);
    writer_run(w, 100);
    int old = cluster_find_leader(c);
    c->members[old].is_gone = true;
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, old), STATUS_OK);
    uint64_t begun_ms = fake_world_now(c->world);
    while (c->members[old].fatal == NULL) {
        fake_world_run(c->world, 1);
        /* As soon as another one leads; if its successor's word is lost, after E. */
        assert_true(fake_world_now(c->world) - begun_ms < 2 * ELECTION_MS);
    }
    assert_int_equal(c->members[old].fatal_code, 2);
    assert_non_null(strstr(c->members[old].fatal, "was removed"));
    /* It was there until another one stood for election. */
    assert_string_not_equal(member_status(c, old).role, "leader");
    writer_forget(w, c->members[old].node);
    member_stop(c, old, false);
    fake_world_run(c->world, 30);
    assert_true(cluster_find_leader(c) >= 0);
    writer_run(w, 200);
    cluster_settle(c);
    writer_expect(w);
    assert_int_equal(cluster_voters(c), 2);
    writer_end(w);
    cluster_destroy(c);
}

static void rule_c5_a_leader_that_is_removed_hands_over_and_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        remove_leader(seed);
    }
}

static void rule_c4_one_joins_while_the_leader_dies(void **state)
{
    (void)state;
    for (int ms = 0; ms < 400; ms += 40) {
        struct cluster *c = cluster_settled(5, 3);
        member_join(c);
        fake_world_run(c->world, (uint64_t)ms);
        int old = cluster_find_leader(c);
        member_stop(c, old, true);
        fake_world_run(c->world, 4 * ELECTION_MS);
        member_start(c, old);
        cluster_wait_for_voters(c, 4);
        cluster_settle(c);
        cluster_destroy(c);
    }
}

static void rule_c4_a_crash_of_the_joiner_at_any_step_is_made_up_for(void **state)
{
    (void)state;
    for (int ms = 0; ms < 600; ms += 7) {
        struct cluster *c = cluster_settled((uint64_t)ms, 1);
        int i = member_join(c);
        fake_world_run(c->world, (uint64_t)ms);
        member_stop(c, i, true);
        fake_world_run(c->world, 20);
        member_start(c, i);
        cluster_wait_for_voters(c, 2);
        cluster_settle(c);
        cluster_destroy(c);
    }
}

/* What is not committed may be undone: whoever was let in by that would belong to nobody. */
static void rule_c4_one_that_joins_is_not_let_in_before_that_is_committed(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    for (int k = 0; k < 3; k++) {
        fake_process_stall(c->members[k].loop, k != leader); /* they follow, and take nothing */
    }
    int i = member_join(c);
    bool is_proposed = false;
    for (int waited = 0; waited < 3000; waited += 10) {
        fake_world_run(c->world, 10);
        assert_true(member_status(c, i).joining);
        is_proposed = is_proposed || member_list(c, leader)->count == 4;
    }
    assert_true(is_proposed);
    assert_int_equal(cluster_find_leader(c), leader);
    for (int k = 0; k < 3; k++) {
        fake_process_stall(c->members[k].loop, false);
    }
    cluster_wait_for_voters(c, 4);
    cluster_settle(c);
    cluster_destroy(c);
}

static void rule_c4_any_member_shows_the_way_to_the_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    c->join_only = cluster_find_leader(c) == 0 ? 1 : 0;
    int i = member_join(c);
    cluster_wait_for_voters(c, 4);
    cluster_settle(c);
    /* Once a member, --join is not looked at. */
    member_stop(c, i, false);
    c->join_only = i;
    member_start(c, i);
    cluster_settle(c);
    cluster_destroy(c);
}

static void one_that_joins_says_so(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 1);
    member_stop(c, 0, false);
    int i = member_join(c);
    fake_world_run(c->world, 1000);
    struct node_status status = member_status(c, i);
    assert_true(status.joining);
    assert_false(status.founding);
    assert_null(status.role);
    char text[512];
    node_founding_text(c->members[i].node, text, sizeof(text));
    assert_non_null(strstr(text, "joining a cluster"));
    assert_non_null(strstr(text, "no answer from http://a:4000"));
    member_start(c, 0);
    cluster_wait_for_voters(c, 2);
    assert_false(member_status(c, i).joining);
    /* Before its log tells it of the others, those that let it in have. */
    i = member_join(c);
    while (member_status(c, i).role == NULL) {
        fake_world_run(c->world, 1);
    }
    assert_string_equal(member_status(c, i).role, "learner");
    assert_int_equal(member_list(c, i)->index, 0);
    assert_int_equal(member_status(c, i).member_count, 3);
    cluster_destroy(c);
}

/* --- by hand ---------------------------------------------------------------------------------- */

static void an_invited_learner_stays_one_until_it_is_promoted(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    struct moved t;
    int i = cluster_add(c, MEMBER_JOINS);
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, i), STATUS_OK);
    t.change.learner = true;
    fake_world_run(c->world, 200);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.change.status, STATUS_OK);
    const struct node_membership_item *item =
        member_item(member_list(c, cluster_find_leader(c)), i);
    assert_true(item->stays_learner && !item->learner && uuid_is_zero(item->member.incarnation));
    assert_int_equal(member_change(c, NODE_CHANGE_ADD, i), STATUS_CONFLICT);
    assert_int_equal(member_change(c, NODE_CHANGE_PROMOTE, i), STATUS_BEHIND);
    member_start(c, i);
    fake_world_run(c->world, 20 * ELECTION_MS);
    assert_int_equal(cluster_voters(c), 3);
    assert_string_equal(member_status(c, i).role, "learner");
    assert_int_equal(member_status(c, 0).member_count, 4);
    assert_int_equal(member_change(c, NODE_CHANGE_PROMOTE, i), STATUS_OK);
    assert_int_equal(cluster_voters(c), 4);
    assert_int_equal(member_change(c, NODE_CHANGE_PROMOTE, i), STATUS_CONFLICT);
    cluster_destroy(c);
}

static void on_write(struct node_write *w)
{
    (void)w;
}

/* Ask for all, and wait for the answer. */
static struct node_write write_to_all(struct cluster *c, int leader)
{
    struct node_write w = {.ack = NODE_ACK_ALL, .done = on_write};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(c->members[leader].node, &w, &command), STATUS_OK);
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    assert_null(w.node);
    return w;
}

static void all_are_the_voters(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    struct moved t;
    int learner = cluster_add(c, MEMBER_JOINS);
    int leader = cluster_find_leader(c);
    int voter = (leader + 1) % 3;
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, learner), STATUS_OK);
    t.change.learner = true;
    fake_world_run(c->world, 200);
    member_start(c, learner);
    cluster_settle(c);
    member_stop(c, learner, false);
    struct node_write w = write_to_all(c, leader);
    assert_int_equal(w.status, STATUS_OK);
    member_stop(c, voter, false);
    w = write_to_all(c, leader);
    assert_int_equal(w.status, STATUS_NOT_CONFIRMED);
    assert_int_equal(w.missing_count, 1);
    assert_string_equal(w.missing[0], member_names[voter]);
    cluster_destroy(c);
}

/* The removal may be undone, and then it is a voter that lacks what all were said to have. */
static void row_f10_all_are_those_that_are_being_removed_too(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int other = (leader + 1) % 3;
    int gone = (leader + 2) % 3;
    member_stop(c, gone, false);
    struct node_write w = {.ack = NODE_ACK_ALL, .done = on_write};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    assert_int_equal(node_write_start(c->members[leader].node, &w, &command), STATUS_OK);
    fake_world_run(c->world, 200);
    fake_process_stall(c->members[other].loop, true); /* nothing more is committed */
    struct moved t;
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_REMOVE, gone), STATUS_OK);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS - 100);
    assert_int_equal(t.answers, 0);
    assert_null(w.node);
    assert_int_equal(w.status, STATUS_NOT_CONFIRMED);
    assert_int_equal(w.missing_count, 1);
    assert_string_equal(w.missing[0], member_names[gone]);
    fake_process_stall(c->members[other].loop, false);
    cluster_wait_for_voters(c, 2);
    w = write_to_all(c, cluster_find_leader(c));
    assert_int_equal(w.status, STATUS_OK);
    cluster_destroy(c);
}

static void rule_c4_a_learner_that_is_not_there_is_not_promoted(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int i = member_join(c);
    for (int waited = 0; waited < 5000 && member_status(c, i).role == NULL; waited++) {
        fake_world_run(c->world, 1);
    }
    member_stop(c, i, false);
    fake_world_run(c->world, 10 * ELECTION_MS);
    if (!member_votes(c, i)) {
        assert_int_equal(member_change(c, NODE_CHANGE_PROMOTE, i), STATUS_BEHIND);
    }
    fake_world_run(c->world, 20 * ELECTION_MS);
    assert_int_equal(cluster_voters(c), 3);
    member_start(c, i);
    cluster_wait_for_voters(c, 4);
    cluster_destroy(c);
}

static void rule_c4_a_removal_after_which_nobody_could_decide_is_refused(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int away = (leader + 1) % 3;
    int other = (leader + 2) % 3;
    member_stop(c, away, false);
    fake_world_run(c->world, 2 * ELECTION_MS);
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, other), STATUS_NO_QUORUM);
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, away), STATUS_OK);
    assert_int_equal(cluster_voters(c), 2);
    cluster_destroy(c);
}

static void rule_c1_changes_wait_for_each_other(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 5);
    int leader = cluster_find_leader(c);
    struct moved t[2];
    int victims[2] = {(leader + 1) % 5, (leader + 2) % 5};
    for (int k = 0; k < 2; k++) {
        c->members[victims[k]].is_gone = true;
        assert_int_equal(member_start_change(c, &t[k], NODE_CHANGE_REMOVE, victims[k]), STATUS_OK);
    }
    fake_world_run(c->world, 500);
    assert_int_equal(t[0].change.status, STATUS_OK);
    assert_int_equal(t[1].change.status, STATUS_OK);
    assert_int_equal(t[0].answers + t[1].answers, 2);
    assert_int_equal(cluster_voters(c), 3);
    cluster_destroy(c);
}

static void a_change_that_is_cancelled_is_not_answered(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    struct moved t;
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, 4), STATUS_OK);
    node_change_cancel(&t.change);
    node_change_cancel(&t.change);
    fake_world_run(c->world, 3000);
    assert_int_equal(t.answers, 0);
    cluster_destroy(c);
}

static void a_change_is_refused_at_a_follower_and_for_what_is_no_name(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct node_change t = {.kind = NODE_CHANGE_REMOVE, .name = "node-1"};
    assert_int_equal(node_change_start(c->members[(leader + 1) % 3].node, &t), STATUS_NOT_LEADER);
    snprintf(t.name, sizeof(t.name), "no name");
    assert_int_equal(node_change_start(c->members[leader].node, &t), STATUS_INVALID);
    snprintf(t.name, sizeof(t.name), "node-9");
    snprintf(t.url, sizeof(t.url), "nonsense");
    t.kind = NODE_CHANGE_ADD;
    assert_int_equal(node_change_start(c->members[leader].node, &t), STATUS_INVALID);
    assert_int_equal(member_change(c, NODE_CHANGE_REMOVE, 6), STATUS_NOT_FOUND);
    assert_int_equal(member_change(c, NODE_CHANGE_REPLACE, 6), STATUS_NOT_FOUND);
    cluster_destroy(c);
}

static enum status change_url(struct cluster *c, struct moved *t, enum node_change_kind kind, int i,
                              const char *url)
{
    assert_int_equal(member_start_change(c, t, kind, i), STATUS_OK);
    snprintf(t->change.url, sizeof(t->change.url), "%s", url);
    fake_world_run(c->world, 300);
    assert_int_equal(t->answers, 1);
    return t->change.status;
}

static void one_url_is_of_one_member(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    int other = (leader + 1) % 3;
    char url[64];
    struct moved t;
    snprintf(url, sizeof(url), "http://%s:4000", member_hosts[leader]);
    assert_int_equal(change_url(c, &t, NODE_CHANGE_ADD, 5, url), STATUS_CONFLICT);
    assert_string_equal(t.change.why, "another member has that URL");
    snprintf(url, sizeof(url), "http://%c:4000/", member_hosts[other][0] - 'a' + 'A');
    assert_int_equal(change_url(c, &t, NODE_CHANGE_ADD, 5, url), STATUS_CONFLICT);
    assert_int_equal(change_url(c, &t, NODE_CHANGE_REPLACE, leader, url), STATUS_CONFLICT);
    assert_string_equal(t.change.why, "another member has that URL");
    assert_int_equal(change_url(c, &t, NODE_CHANGE_REPLACE, 6, url), STATUS_NOT_FOUND);
    /* Its own it may keep, and one that is invited has one too. */
    assert_int_equal(change_url(c, &t, NODE_CHANGE_REPLACE, other, url), STATUS_OK);
    assert_int_equal(change_url(c, &t, NODE_CHANGE_ADD, 5, "http://f:4000"), STATUS_OK);
    assert_int_equal(change_url(c, &t, NODE_CHANGE_ADD, 6, "http://f:4000"), STATUS_CONFLICT);
    assert_int_equal(change_url(c, &t, NODE_CHANGE_ADD, 6, "http://f:4001"), STATUS_OK);
    cluster_destroy(c);
}

static void a_change_without_a_quorum_is_not_known_to_be_made(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int leader = cluster_find_leader(c);
    struct moved t;
    for (int k = 0; k < 3; k++) {
        if (k != leader) {
            member_freeze(c, k, true);
        }
    }
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, 4), STATUS_OK);
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.change.status, STATUS_UNKNOWN);
    cluster_destroy(c);
}

static void a_change_that_another_leader_came_before_was_not_made(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(5, 3);
    int old = cluster_find_leader(c);
    struct moved t;
    for (int k = 0; k < 3; k++) {
        if (k != old) {
            fake_world_cut(c->world, member_hosts[old], member_hosts[k], true);
        }
    }
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, 4), STATUS_OK);
    fake_world_run(c->world, 4 * ELECTION_MS);
    assert_int_not_equal(cluster_find_leader(c), old);
    assert_int_equal(t.answers, 0);
    cluster_heal(c);
    cluster_settle(c);
    assert_int_equal(t.answers, 1);
    assert_int_equal(t.change.status, STATUS_NOT_LEADER);
    assert_int_equal(member_list(c, old)->count, 3); /* rolled back (rule C3) */
    cluster_destroy(c);
}

/* --- who leads (rule E10) --------------------------------------------------------------------- */

static void wait_for_leader(struct cluster *c, int i)
{
    for (int waited = 0; waited < PATIENCE_MS && cluster_find_leader(c) != i; waited += 10) {
        fake_world_run(c->world, 10);
    }
    assert_int_equal(cluster_find_leader(c), i);
    fake_world_run(c->world, 30 * ELECTION_MS);
    assert_int_equal(cluster_find_leader(c), i);
}

static void rule_e10_leadership_goes_back_to_who_is_preferred(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    c->policy = NODE_POLICY_HIGHEST_ID;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    wait_for_leader(c, 2);
    member_join(c); /* a higher name comes */
    cluster_wait_for_voters(c, 4);
    wait_for_leader(c, 3);
    cluster_destroy(c);
}

static void rule_e10_priorities_are_told_by_each_member(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(5, 3);
    c->policy = NODE_POLICY_PRIORITY;
    c->members[1].priority = 7;
    c->members[2].priority = 3;
    for (int i = 0; i < 3; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    wait_for_leader(c, 1);
    member_stop(c, 1, false);
    wait_for_leader(c, 2);
    c->members[1].priority = 1; /* started anew with another one */
    member_start(c, 1);
    wait_for_leader(c, 2);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_c4_a_cluster_grows_from_one_to_five_by_joins_under_writes),
        cmocka_unit_test(rule_c4b_two_that_join_at_once_make_three_voters_in_one_change),
        cmocka_unit_test(rule_c4b_the_first_of_two_waits_for_the_second),
        cmocka_unit_test(rule_c4b_the_first_of_two_does_not_wait_for_ever),
        cmocka_unit_test(a_change_that_another_leader_came_before_was_not_made),
        cmocka_unit_test(rule_c6_a_cluster_shrinks_from_five_to_one_under_writes),
        cmocka_unit_test(rule_c5_a_leader_that_is_removed_hands_over_and_ends),
        cmocka_unit_test(rule_c4_one_joins_while_the_leader_dies),
        cmocka_unit_test(rule_c4_a_crash_of_the_joiner_at_any_step_is_made_up_for),
        cmocka_unit_test(rule_c4_one_that_joins_is_not_let_in_before_that_is_committed),
        cmocka_unit_test(rule_c4_any_member_shows_the_way_to_the_leader),
        cmocka_unit_test(one_that_joins_says_so),
        cmocka_unit_test(an_invited_learner_stays_one_until_it_is_promoted),
        cmocka_unit_test(all_are_the_voters),
        cmocka_unit_test(row_f10_all_are_those_that_are_being_removed_too),
        cmocka_unit_test(rule_c4_a_learner_that_is_not_there_is_not_promoted),
        cmocka_unit_test(rule_c4_a_removal_after_which_nobody_could_decide_is_refused),
        cmocka_unit_test(rule_c1_changes_wait_for_each_other),
        cmocka_unit_test(a_change_that_is_cancelled_is_not_answered),
        cmocka_unit_test(a_change_is_refused_at_a_follower_and_for_what_is_no_name),
        cmocka_unit_test(one_url_is_of_one_member),
        cmocka_unit_test(a_change_without_a_quorum_is_not_known_to_be_made),
        cmocka_unit_test(rule_e10_leadership_goes_back_to_who_is_preferred),
        cmocka_unit_test(rule_e10_priorities_are_told_by_each_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
