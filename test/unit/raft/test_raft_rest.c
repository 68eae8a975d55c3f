/* A leader that has nothing to say: heartbeats far apart (rules E6, E7), and the commit index that
 * waits for an append to ride on (rule R14). */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* 2/5 of CORE_ELECTION_MS */
#define REST_MS 40

static void answer_as(struct one_core *c, enum raft_message_type type, node_id from,
                      uint32_t rest_ms, bool waits)
{
    struct raft_message m = core_message(c, type, from, raft_term_now(c->raft));
    m.match = raft_last(c->raft).index;
    m.sent_ms = c->now_ms;
    m.rest_ms = rest_ms;
    m.waits = waits;
    core_deliver(c, &m);
}

/* `from` answers what left last, now, and says these. */
static void answer(struct one_core *c, node_id from, uint32_t rest_ms, bool waits)
{
    answer_as(c, RAFT_MSG_APPEND_REPLY, from, rest_ms, waits);
}

static void everybody_answers(struct one_core *c, uint32_t rest_ms)
{
    answer(c, 2, rest_ms, false);
    answer(c, 3, rest_ms, false);
}

/* A leader of three that has just beaten; both others have answered that before. */
static void start(struct one_core *c)
{
    core_establish(c, (struct core_setup){.voters = 3});
    core_wait(c, CORE_HEARTBEAT_MS);
    assert_int_equal(core_sent_count(c, RAFT_MSG_HEARTBEAT), 2);
    everybody_answers(c, REST_MS);
}

static uint64_t next_ms(const struct one_core *c)
{
    return c->out.deadline_ms - c->now_ms;
}

static void a_leader_whom_all_have_answered_beats_seldom(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    assert_int_equal(next_ms(&c), REST_MS);
    core_wait(&c, REST_MS - 1);
    assert_int_equal(c.out.message_count, 0);
    core_wait(&c, 1);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_HEARTBEAT), 2);
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS); /* until they have answered this one */
    core_stop(&c);
}

static void rule_e7_a_beat_that_is_not_answered_is_followed_by_the_next_as_ever(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    core_wait(&c, REST_MS);
    answer(&c, 2, REST_MS, false);
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    for (int i = 0; i < 3; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        assert_int_equal(core_sent_count(&c, RAFT_MSG_HEARTBEAT), 2);
        answer(&c, 2, REST_MS, false);
    }
    answer(&c, 3, REST_MS, false);
    assert_int_equal(next_ms(&c), REST_MS);
    core_stop(&c);
}

static void rule_e7_a_leader_at_rest_that_is_cut_off_steps_down_as_soon(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    uint64_t answered_ms = c.now_ms;
    while (raft_role(c.raft) == RAFT_LEADER) {
        core_wait(&c, c.out.deadline_ms - c.now_ms);
    }
    assert_int_equal(c.now_ms - answered_ms, CORE_ELECTION_MS);
    core_stop(&c);
}

/* Members may have been started with unequal times, and those of an older version say nothing. */
static void the_member_that_is_content_with_the_least_decides(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    answer(&c, 2, 10 * REST_MS, false);
    assert_int_equal(next_ms(&c), REST_MS);
    answer(&c, 2, 27, false);
    assert_int_equal(next_ms(&c), 27);
    answer(&c, 2, 1, false);
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    answer(&c, 2, 0, false);
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    core_stop(&c);
}

static void nothing_rests_while_something_is_under_way(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    assert_int_equal(core_read(&c, 1), STATUS_OK); /* its round may be lost */
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    core_echo(&c, 2);
    everybody_answers(&c, REST_MS);
    assert_int_equal(next_ms(&c), REST_MS);
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    core_settle(&c);
    answer(&c, 2, REST_MS, false);
    core_wait(&c, 2);
    assert_int_equal(raft_commit(c.raft), raft_last(c.raft).index);
    assert_true(next_ms(&c) < CORE_HEARTBEAT_MS); /* 3 has it not yet */
    core_stop(&c);
}

static void a_follower_says_how_seldom_it_needs_to_hear_of_its_leader(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    struct raft_message beat = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 1);
    beat.round = 1;
    core_deliver(&c, &beat);
    core_settle(&c);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2);
    assert_int_equal(m->rest_ms, REST_MS);
    assert_false(m->waits);
    raft_set_wish(c.raft, (struct raft_wish){.waits = true, .beats = true});
    core_deliver(&c, &beat);
    m = core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2);
    assert_int_equal(m->rest_ms, 0);
    assert_true(m->waits);
    core_stop(&c);
}

/* --- the commit index ------------------------------------------------------------------------- */

static void propose_and_sync(struct one_core *c)
{
    assert_int_equal(core_propose(c, 10), STATUS_OK);
    core_settle(c);
}

static void rule_r14_the_commit_index_waits_two_milliseconds_for_an_append(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    propose_and_sync(&c);
    answer(&c, 2, REST_MS, false);
    raft_index commit = raft_commit(c.raft);
    assert_int_equal(commit, raft_last(c.raft).index);
    assert_int_equal(c.out.message_count, 0);
    assert_int_equal(next_ms(&c), 2);
    core_wait(&c, 1);
    assert_int_equal(c.out.message_count, 0);
    core_wait(&c, 1);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, commit);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->round, 0);
    assert_int_equal(c.out.message_count, 1);
    core_wait(&c, 5);
    assert_int_equal(c.out.message_count, 0); /* once */
    core_stop(&c);
}

static void rule_r14_the_append_that_comes_meanwhile_takes_it_along(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    propose_and_sync(&c);
    everybody_answers(&c, REST_MS);
    raft_index commit = raft_commit(c.raft);
    core_wait(&c, 1);
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->commit, commit);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 3)->commit, commit);
    core_wait(&c, 5);
    assert_int_equal(c.out.message_count, 0);
    core_stop(&c);
}

static void rule_r14_who_waits_is_told_at_once(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    propose_and_sync(&c);
    answer(&c, 2, REST_MS, true);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, raft_commit(c.raft));
    answer(&c, 3, 0, false); /* of a version that says neither */
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)->commit, raft_commit(c.raft));
    core_stop(&c);
}

static void rule_r14_all_are_told_at_once_when_somebody_here_waits_for_all(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    propose_and_sync(&c);
    answer(&c, 2, REST_MS, false);
    assert_int_equal(c.out.message_count, 0);
    raft_set_wish(c.raft, (struct raft_wish){.waits = true});
    answer(&c, 3, REST_MS, false);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, raft_commit(c.raft));
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)->commit, raft_commit(c.raft));
    core_stop(&c);
}

/* The read index is of use to it only with the commit index. */
static void rule_q5_who_asks_for_a_read_index_is_told_the_commit_index(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    propose_and_sync(&c);
    answer(&c, 2, REST_MS, false);
    assert_int_equal(c.out.message_count, 0);
    struct raft_message read = core_message(&c, RAFT_MSG_READ, 2, raft_term_now(c.raft));
    read.round = 9;
    core_deliver(&c, &read);
    /* The round that confirms it tells everybody what it can; the answer follows it. */
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, raft_commit(c.raft));
    core_echo(&c, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_READ_REPLY, 2)->match, raft_commit(c.raft));
    core_stop(&c);
}

static void rule_q5_nor_does_it_wait_behind_an_answer_by_lease(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .options = {.lease_reads = true}});
    core_wait(&c, CORE_HEARTBEAT_MS);
    everybody_answers(&c, REST_MS);
    propose_and_sync(&c);
    answer(&c, 2, REST_MS, false);
    assert_int_equal(c.out.message_count, 0);
    struct raft_message read = core_message(&c, RAFT_MSG_READ, 2, raft_term_now(c.raft));
    read.round = 9;
    core_deliver(&c, &read);
    assert_int_equal(core_sent(&c, RAFT_MSG_READ_REPLY, 2)->match, raft_commit(c.raft));
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, raft_commit(c.raft));
    core_stop(&c);
}

/* Its link ended: what was under way may be lost, and it may have been started anew. */
static void
rule_e6b_who_went_away_hears_of_the_leader_within_a_heartbeat_and_then_it_rests(void **state)
{
    (void)state;
    struct one_core c;
    start(&c);
    core_step(
        &c, &(struct raft_input){.kind = RAFT_INPUT_UNREACHABLE, .target = 3, .now_ms = c.now_ms});
    assert_int_equal(next_ms(&c), CORE_HEARTBEAT_MS);
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_HEARTBEAT), 2);
    answer_as(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, REST_MS, false);
    answer_as(&c, RAFT_MSG_HEARTBEAT_REPLY, 3, REST_MS, false);
    assert_int_equal(next_ms(&c), REST_MS);
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_whom_all_have_answered_beats_seldom),
        cmocka_unit_test(rule_e7_a_beat_that_is_not_answered_is_followed_by_the_next_as_ever),
        cmocka_unit_test(rule_e7_a_leader_at_rest_that_is_cut_off_steps_down_as_soon),
        cmocka_unit_test(the_member_that_is_content_with_the_least_decides),
        cmocka_unit_test(nothing_rests_while_something_is_under_way),
        cmocka_unit_test(
            rule_e6b_who_went_away_hears_of_the_leader_within_a_heartbeat_and_then_it_rests),
        cmocka_unit_test(a_follower_says_how_seldom_it_needs_to_hear_of_its_leader),
        cmocka_unit_test(rule_r14_the_commit_index_waits_two_milliseconds_for_an_append),
        cmocka_unit_test(rule_r14_the_append_that_comes_meanwhile_takes_it_along),
        cmocka_unit_test(rule_r14_who_waits_is_told_at_once),
        cmocka_unit_test(rule_r14_all_are_told_at_once_when_somebody_here_waits_for_all),
        cmocka_unit_test(rule_q5_who_asks_for_a_read_index_is_told_the_commit_index),
        cmocka_unit_test(rule_q5_nor_does_it_wait_behind_an_answer_by_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
