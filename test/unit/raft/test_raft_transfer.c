/* One core and leadership handed over: rules E8 and E9. */
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

static enum status transfer(struct one_core *c, node_id target)
{
    return core_step(c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER, .target = target});
}

static void rule_e9_the_target_is_told_when_its_log_is_complete_and_proposals_wait(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    assert_int_equal(transfer(&c, 3), STATUS_OK);
    assert_true(raft_is_transferring(c.raft));
    assert_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 3));
    assert_int_equal(core_propose(&c, 8), STATUS_BUSY);
    assert_int_equal(transfer(&c, 3), STATUS_OK);
    assert_int_equal(transfer(&c, 2), STATUS_BUSY);
    core_acknowledge(&c, 3, 2);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 3));
    core_stop(&c);
}

static void rule_e9_a_transfer_that_leads_to_nothing_is_given_up_after_e(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(transfer(&c, 3), STATUS_OK);
    for (int i = 0; i < 5; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        core_acknowledge(&c, 2, 1); /* keeps the quorum */
    }
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    assert_false(raft_is_transferring(c.raft));
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    core_stop(&c);
}

static void rule_e9_the_best_voter_is_the_live_one_that_holds_the_most(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.voters = 4, .learners = 1});
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    core_acknowledge(&c, 5, 2); /* a learner cannot lead */
    core_acknowledge(&c, 3, 2);
    assert_int_equal(transfer(&c, 0), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 3));
    core_stop(&c);
}

static void rule_e9_only_another_voter_is_a_target(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.learners = 1});
    assert_int_equal(transfer(&c, 4), STATUS_NOT_FOUND);
    assert_int_equal(transfer(&c, 9), STATUS_NOT_FOUND);
    assert_int_equal(transfer(&c, 1), STATUS_NOT_FOUND);
    core_stop(&c);
    core_start(&c, &(struct core_setup){.voters = 3});
    assert_int_equal(transfer(&c, 2), STATUS_NOT_LEADER);
    core_stop(&c);
}

static void rule_e9_a_lone_voter_begins_a_new_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 1});
    core_wait(&c, 0);
    core_settle(&c);
    raft_term term = raft_term_now(c.raft);
    assert_int_equal(transfer(&c, 0), STATUS_OK);
    core_settle(&c);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    assert_int_equal(raft_term_now(c.raft), term + 1);
    core_stop(&c);
}

static void follow(struct one_core *c, struct core_setup setup)
{
    setup.voters = 3;
    setup.term = 1;
    core_start(c, &setup);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT,
                                .from = 2,
                                .to = setup.self != 0 ? setup.self : 1,
                                .term = 1,
                                .round = 1};
    core_deliver(c, &beat);
}

static void rule_e9_timeout_now_campaigns_at_once_with_the_flag(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){0});
    struct raft_message m = core_message(&c, RAFT_MSG_TIMEOUT_NOW, 2, 1);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_persisted(&c);
    assert_true(core_sent(&c, RAFT_MSG_VOTE, 3)->transfer);
    core_wait(&c, 2 * CORE_ELECTION_MS); /* its own later tries are ordinary */
    struct raft_message grant = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 3, 3);
    core_deliver(&c, &grant);
    core_persisted(&c);
    assert_false(core_sent(&c, RAFT_MSG_VOTE, 3)->transfer);
    core_stop(&c);
}

static void rule_e9_timeout_now_from_another_or_to_a_learner_is_ignored(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){0});
    struct raft_message m = core_message(&c, RAFT_MSG_TIMEOUT_NOW, 3, 1);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
    follow(&c, (struct core_setup){.self = 4, .learners = 1});
    m.from = 2;
    m.to = 4;
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void a_member_asks_the_leader_for_leadership(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){0});
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN}), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_TRANSFER_REQUEST, 2));
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
    core_start(&c, &(struct core_setup){.voters = 3});
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN}), STATUS_OK);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    core_stop(&c);
    establish(&c, (struct core_setup){0});
    struct raft_message m = core_message(&c, RAFT_MSG_TRANSFER_REQUEST, 3, 1);
    core_deliver(&c, &m);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 3));
    core_stop(&c);
}

static void rule_e8_a_leader_whose_disk_hangs_hands_over_and_is_silent(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_STALLED}), STATUS_OK);
    assert_true(raft_is_transferring(c.raft));
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 0));
    core_acknowledge(&c, 2, 2); /* the followers' disks do not hang */
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 2));
    core_stop(&c);
}

static void rule_e8_and_steps_down_when_nobody_takes_over(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    core_wait(&c, CORE_ELECTION_MS / 2);
    core_acknowledge(&c, 3, 1); /* it has answered until now */
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_STALLED}), STATUS_OK);
    c.now_ms += CORE_ELECTION_MS - 1;
    core_acknowledge(&c, 3, 1);
    core_acknowledge(&c, 2, 1);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_wait(&c, 1);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(c.out.message_count, 0);
    core_stop(&c);
}

static void rule_e8_a_candidate_whose_disk_hangs_raises_no_terms(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){0});
    struct raft_message m = core_message(&c, RAFT_MSG_TIMEOUT_NOW, 2, 1);
    core_deliver(&c, &m);
    for (int i = 0; i < 5; i++) {
        core_wait(&c, 2 * CORE_ELECTION_MS);
        assert_int_equal(raft_term_now(c.raft), 2);
        assert_int_equal(c.out.message_count, 0);
    }
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e9_the_target_is_told_when_its_log_is_complete_and_proposals_wait),
        cmocka_unit_test(rule_e9_a_transfer_that_leads_to_nothing_is_given_up_after_e),
        cmocka_unit_test(rule_e9_the_best_voter_is_the_live_one_that_holds_the_most),
        cmocka_unit_test(rule_e9_only_another_voter_is_a_target),
        cmocka_unit_test(rule_e9_a_lone_voter_begins_a_new_term),
        cmocka_unit_test(rule_e9_timeout_now_campaigns_at_once_with_the_flag),
        cmocka_unit_test(rule_e9_timeout_now_from_another_or_to_a_learner_is_ignored),
        cmocka_unit_test(a_member_asks_the_leader_for_leadership),
        cmocka_unit_test(rule_e8_a_leader_whose_disk_hangs_hands_over_and_is_silent),
        cmocka_unit_test(rule_e8_and_steps_down_when_nobody_takes_over),
        cmocka_unit_test(rule_e8_a_candidate_whose_disk_hangs_raises_no_terms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
