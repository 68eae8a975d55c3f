/* One core and linearizable reads: rules Q1, Q2, Q3 and Q5. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void establish(struct one_core *c, struct core_setup setup)
{
    setup.voters = setup.voters != 0 ? setup.voters : 3;
    core_start(c, &setup);
    core_lead(c);
    core_persisted(c);
    for (node_id id = 2; id <= setup.voters; id++) {
        core_acknowledge(c, id, 1);
    }
    core_wait(c, 0);
}

static void rule_q1_a_leader_answers_no_read_before_it_committed_in_its_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .commit = 1, .terms = {1, 1}});
    core_lead(&c);
    assert_int_equal(core_read(&c, 7), STATUS_OK);
    core_persisted(&c);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 2); /* a quorum confirms it, but it knows no current commit index (M14) */
    assert_int_equal(c.out.read_count, 0);
    core_acknowledge(&c, 2, 3);
    assert_non_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 2));
    core_echo(&c, 2);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].token, 7);
    assert_int_equal(c.out.reads[0].status, STATUS_OK);
    assert_int_equal(c.out.reads[0].index, 3);
    core_stop(&c);
}

static void rule_q1_a_read_fails_when_leadership_ends(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_read(&c, 1), STATUS_OK); /* in a round */
    assert_int_equal(core_read(&c, 2), STATUS_OK); /* for the next */
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, 9);
    m.reject = true;
    core_deliver(&c, &m);
    assert_int_equal(c.out.read_count, 2);
    assert_int_equal(c.out.reads[0].status, STATUS_NOT_LEADER);
    assert_int_equal(c.out.reads[1].status, STATUS_NOT_LEADER);
    core_stop(&c);
}

static void rule_q2_an_answer_confirms_only_what_came_before_its_round_was_sent(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    struct raft_message first = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    first.round = core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->round;
    first.sent_ms = c.now_ms;
    assert_int_equal(core_read(&c, 2), STATUS_OK);
    assert_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)); /* waits for the round in flight */
    core_deliver(&c, &first);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].token, 1);
    const struct raft_message *second = core_sent(&c, RAFT_MSG_HEARTBEAT, 2);
    assert_int_equal(second->round, first.round + 1); /* the next one begins at once */
    core_deliver(&c, &first);                         /* a duplicate confirms nothing (M15) */
    assert_int_equal(c.out.read_count, 0);
    first.round++;
    core_deliver(&c, &first);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].token, 2);
    core_stop(&c);
}

static void rule_q2_an_append_carries_no_round_that_has_not_begun(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    uint64_t round = core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->round;
    assert_int_equal(core_read(&c, 2), STATUS_OK); /* waits for the next round */
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    /* Its answer would confirm the second read, which may have come after the append had left. */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->round, round);
    core_stop(&c);
}

static void rule_q2_the_same_token_twice_is_two_reads(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_read(&c, 5), STATUS_OK);
    struct raft_message first = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    first.round = core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->round;
    assert_int_equal(core_read(&c, 5), STATUS_OK); /* the caller tries again */
    core_deliver(&c, &first);
    assert_int_equal(c.out.read_count,
                     1); /* the retry is not confirmed by the first one's answer */
    core_stop(&c);
}

static void rule_q2_a_lost_round_is_repeated_with_the_heartbeat(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    assert_int_equal(c.out.read_count, 1);
    core_stop(&c);
}

static void rule_q3_learners_and_strangers_confirm_nothing(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.voters = 5, .learners = 2});
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    struct raft_message echo = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    echo.round = core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->round;
    const node_id answerers[] = {6, 7, 99, 2, 2};
    for (size_t i = 0; i < 5; i++) {
        echo.from = answerers[i];
        core_deliver(&c, &echo);
        assert_int_equal(c.out.read_count, 0);
    }
    echo.from = 3;
    core_deliver(&c, &echo);
    assert_int_equal(c.out.read_count, 1);
    core_stop(&c);
}

static void a_lone_voter_answers_with_the_turn(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 1});
    core_wait(&c, 0);
    core_persisted(&c);
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    assert_int_equal(c.out.read_count, 0); /* rule Q1: its no-op is not durable yet */
    core_persisted(&c);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(core_read(&c, 2), STATUS_OK);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].index, 1);
    core_stop(&c);
}

/* --- a follower ------------------------------------------------------------------------------- */

static void follow(struct one_core *c, uint64_t seed)
{
    core_start(c, &(struct core_setup){.voters = 3, .term = 1, .options = {.seed = seed}});
    struct raft_message beat = core_message(c, RAFT_MSG_HEARTBEAT, 2, 1);
    beat.round = 1;
    core_deliver(c, &beat);
}

static struct raft_message answer_to(const struct one_core *c, raft_index index)
{
    struct raft_message m = core_message(c, RAFT_MSG_READ_REPLY, 2, 1);
    m.round = core_sent(c, RAFT_MSG_READ, 2)->round;
    m.match = index;
    return m;
}

static void rule_q5_a_follower_asks_once_a_turn_and_takes_the_leaders_index(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, 1);
    struct raft_input input = {.kind = RAFT_INPUT_READ, .now_ms = c.now_ms, .token = 1};
    assert_int_equal(raft_step(c.raft, &input), STATUS_OK);
    assert_int_equal(core_read(&c, 2), STATUS_OK);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_READ), 1);
    struct raft_message m = answer_to(&c, 44);
    core_deliver(&c, &m);
    assert_int_equal(c.out.read_count, 2);
    assert_int_equal(c.out.reads[1].index, 44);
    core_deliver(&c, &m); /* a duplicate */
    assert_int_equal(c.out.read_count, 0);
    core_stop(&c);
}

static void rule_q5_a_read_fails_fast_without_a_leader_and_when_it_changes(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    assert_int_equal(core_read(&c, 1), STATUS_NOT_LEADER);
    core_stop(&c);
    follow(&c, 1);
    assert_int_equal(core_read(&c, 2), STATUS_OK);
    struct raft_message beat = core_message(&c, RAFT_MSG_HEARTBEAT, 3, 2);
    core_deliver(&c, &beat);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].status, STATUS_NOT_LEADER);
    core_stop(&c);
}

static void rule_q5_a_lost_question_is_given_up_after_e(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, 1);
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    core_wait(&c, CORE_ELECTION_MS - 1);
    assert_int_equal(c.out.read_count, 0);
    core_wait(&c, 1);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].status, STATUS_NOT_LEADER);
    core_stop(&c);
}

static void rule_q5_a_question_is_given_up_when_the_leader_is_unreachable(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, 1);
    assert_int_equal(core_read(&c, 1), STATUS_OK);
    struct raft_input input = {.kind = RAFT_INPUT_UNREACHABLE, .target = 3};
    assert_int_equal(core_step(&c, &input), STATUS_OK);
    assert_int_equal(c.out.read_count, 0);
    input.target = 2;
    assert_int_equal(core_step(&c, &input), STATUS_OK);
    assert_int_equal(c.out.read_count, 1);
    core_stop(&c);
}

static void rule_q2_an_answer_from_before_a_restart_answers_nothing(void **state)
{
    (void)state;
    struct one_core before;
    struct one_core after;
    follow(&before, 1);
    follow(&after, 2); /* each start of a process has another seed */
    assert_int_equal(core_read(&before, 1), STATUS_OK);
    struct raft_message stale = answer_to(&before, 3);
    assert_int_equal(core_read(&after, 1), STATUS_OK);
    core_deliver(&after, &stale);
    assert_int_equal(after.out.read_count, 0);
    struct raft_message m = answer_to(&before, 3);
    m.round = stale.round + (1ull << 61); /* beyond all that was asked */
    core_deliver(&after, &m);
    assert_int_equal(after.out.read_count, 0);
    core_stop(&before);
    core_stop(&after);
}

static void
a_leader_answers_the_question_of_a_member_and_refuses_when_it_does_not_lead(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    struct raft_message m = core_message(&c, RAFT_MSG_READ, 3, 1);
    m.round = 123;
    core_deliver(&c, &m);
    assert_null(core_sent(&c, RAFT_MSG_READ_REPLY, 3));
    core_echo(&c, 2);
    const struct raft_message *reply = core_sent(&c, RAFT_MSG_READ_REPLY, 3);
    assert_int_equal(reply->round, 123);
    assert_int_equal(reply->match, 1);
    assert_false(reply->reject);
    core_stop(&c);
    follow(&c, 1);
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_READ_REPLY, 3)->reject);
    core_stop(&c);
}

static void rule_o1_reads_beyond_the_bound_are_refused(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    struct raft_input input = {.kind = RAFT_INPUT_READ, .now_ms = c.now_ms};
    for (uint32_t i = 0; i < LIMIT_RAFT_READS; i++) {
        assert_int_equal(raft_step(c.raft, &input), STATUS_OK);
    }
    assert_int_equal(raft_step(c.raft, &input), STATUS_OVERLOADED);
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_q1_a_leader_answers_no_read_before_it_committed_in_its_term),
        cmocka_unit_test(rule_q1_a_read_fails_when_leadership_ends),
        cmocka_unit_test(rule_q2_an_answer_confirms_only_what_came_before_its_round_was_sent),
        cmocka_unit_test(rule_q2_an_append_carries_no_round_that_has_not_begun),
        cmocka_unit_test(rule_q2_the_same_token_twice_is_two_reads),
        cmocka_unit_test(rule_q2_a_lost_round_is_repeated_with_the_heartbeat),
        cmocka_unit_test(rule_q3_learners_and_strangers_confirm_nothing),
        cmocka_unit_test(a_lone_voter_answers_with_the_turn),
        cmocka_unit_test(rule_q5_a_follower_asks_once_a_turn_and_takes_the_leaders_index),
        cmocka_unit_test(rule_q5_a_read_fails_fast_without_a_leader_and_when_it_changes),
        cmocka_unit_test(rule_q5_a_lost_question_is_given_up_after_e),
        cmocka_unit_test(rule_q5_a_question_is_given_up_when_the_leader_is_unreachable),
        cmocka_unit_test(rule_q2_an_answer_from_before_a_restart_answers_nothing),
        cmocka_unit_test(
            a_leader_answers_the_question_of_a_member_and_refuses_when_it_does_not_lead),
        cmocka_unit_test(rule_o1_reads_beyond_the_bound_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
