/* One core and who is preferred (E10) or barred (P15b). */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void rule_e10_preferred_members_time_out_first_and_within_the_interval(void **state)
{
    (void)state;
    for (node_id self = 1; self <= 3; self++) {
        for (uint64_t seed = 1; seed <= 50; seed++) {
            struct one_core c;
            core_start(&c, &(struct core_setup){.voters = 3, .options = {.seed = seed}});
            raft_set_preference(
                c.raft, &(struct raft_preference){
                            .count = 3,
                            .order = {self == 1 ? 1 : 3, self == 2 ? 1 : 2, self == 3 ? 1 : 3}});
            struct raft_message m = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 1);
            core_deliver(&c, &m); /* a new term: drawn anew */
            uint64_t wait_ms = c.out.deadline_ms - c.now_ms;
            assert_in_range(wait_ms, CORE_ELECTION_MS + (self - 1) * (CORE_ELECTION_MS / 3),
                            CORE_ELECTION_MS + self * (CORE_ELECTION_MS / 3));
            core_stop(&c);
        }
    }
}

/* The ranks are told once the core is there: its first timeout must be of its part already. */
static void rule_e10_who_learns_its_rank_late_times_out_in_its_part_of_the_interval(void **state)
{
    (void)state;
    for (node_id self = 1; self <= 3; self++) {
        for (uint64_t seed = 1; seed <= 50; seed++) {
            struct one_core c;
            core_start(&c, &(struct core_setup){.voters = 3, .options = {.seed = seed}});
            uint64_t begin = c.now_ms;
            core_wait(&c, CORE_ELECTION_MS / 2); /* silence that counts */
            raft_set_preference(
                c.raft, &(struct raft_preference){
                            .count = 3,
                            .order = {self == 1 ? 1 : 3, self == 2 ? 1 : 2, self == 3 ? 1 : 3}});
            core_wait(&c, 0);
            uint64_t deadline_ms = c.out.deadline_ms;
            assert_in_range(deadline_ms - begin,
                            CORE_ELECTION_MS + (self - 1) * (CORE_ELECTION_MS / 3),
                            CORE_ELECTION_MS + self * (CORE_ELECTION_MS / 3));
            raft_set_preference(
                c.raft, &(struct raft_preference){
                            .count = 3,
                            .order = {self == 1 ? 1 : 2, self == 2 ? 1 : 3, self == 3 ? 1 : 2}});
            core_wait(&c, 0);
            assert_true(self == 2 || c.out.deadline_ms == deadline_ms); /* its rank is the same */
            core_stop(&c);
        }
    }
}

static void gather(struct one_core *c)
{
    assert_int_equal(core_step(c, &(struct raft_input){.kind = RAFT_INPUT_GATHERED}), STATUS_OK);
}

static void rule_e10_founders_that_have_gathered_campaign_in_the_order_of_their_ranks(void **state)
{
    (void)state;
    for (node_id self = 1; self <= 3; self++) {
        struct one_core c;
        core_start(&c, &(struct core_setup){.self = self, .voters = 3});
        raft_set_preference(c.raft, &(struct raft_preference){.count = 3, .order = {2, 3, 1}});
        gather(&c);
        uint64_t rank = (self + 1) % 3;
        if (rank > 0) {
            assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
            assert_int_equal(c.out.deadline_ms - c.now_ms, rank * 20);
            core_wait(&c, rank * 20);
        }
        assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
        assert_in_range(c.out.deadline_ms - c.now_ms, CORE_ELECTION_MS, 2 * CORE_ELECTION_MS);
        core_stop(&c);
    }
}

/* It might be asleep; and votes that were promised to it stay so (rule Q6b). */
static void rule_e10_a_former_leader_may_speak_before_those_who_gathered_again(void **state)
{
    (void)state;
    for (uint32_t promise_ms = 0; promise_ms <= 60; promise_ms += 60) {
        struct one_core c;
        core_start(&c, &(struct core_setup){
                           .voters = 3, .term = 4, .terms = {4}, .lease_promise_ms = promise_ms});
        gather(&c);
        assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
        uint64_t wait_ms = promise_ms > 0 ? promise_ms : CORE_HEARTBEAT_MS;
        assert_int_equal(c.out.deadline_ms - c.now_ms, wait_ms);
        struct raft_message beat = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 4);
        core_deliver(&c, &beat);
        assert_in_range(c.out.deadline_ms - c.now_ms, CORE_ELECTION_MS, 2 * CORE_ELECTION_MS);
        core_stop(&c);
    }
}

static void rule_e10_members_gather_once_and_not_after_a_vote_or_a_leader(void **state)
{
    (void)state;
    const enum raft_message_type heard[] = {RAFT_MSG_VOTE, RAFT_MSG_HEARTBEAT};
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++) {
        struct one_core c;
        core_start(&c, &(struct core_setup){.voters = 3});
        struct raft_message m = core_message(&c, heard[i], 2, 1);
        core_deliver(&c, &m);
        core_settle(&c);
        gather(&c);
        assert_true(c.out.deadline_ms - c.now_ms >= CORE_ELECTION_MS);
        core_stop(&c);
    }
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    gather(&c);
    struct raft_message refusal = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 2, 1);
    refusal.reject = true; /* its term is higher */
    core_deliver(&c, &refusal);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    gather(&c);
    assert_true(c.out.deadline_ms - c.now_ms >= CORE_ELECTION_MS);
    core_stop(&c);
}

static void rule_e10_no_vote_is_refused_for_preference(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    raft_set_preference(c.raft, &(struct raft_preference){.count = 2, .order = {1, 2}});
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 3, 1);
    core_deliver(&c, &m);
    assert_false(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->reject);
    m.type = RAFT_MSG_VOTE;
    core_deliver(&c, &m);
    core_settle(&c);
    assert_false(core_sent(&c, RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_stop(&c);
}

/* Whom the last output offers leadership. */
static node_id offered_to(const struct one_core *c)
{
    for (uint32_t i = 0; i < c->out.event_count; i++) {
        if (c->out.events[i].kind == RAFT_EVENT_PREFERRED) {
            return c->out.events[i].a;
        }
    }
    return 0;
}

/* Heartbeats for `ms`, answered by those members, until leadership is offered to one of them: to
 * whom, or 0. */
static node_id beat(struct one_core *c, const char *members, uint64_t ms)
{
    node_id offered = 0;
    for (uint64_t passed = 0; passed < ms && offered == 0; passed += CORE_HEARTBEAT_MS) {
        core_wait(c, CORE_HEARTBEAT_MS);
        offered = offered_to(c);
        for (const char *at = members; *at != '\0' && raft_role(c->raft) == RAFT_LEADER; at++) {
            core_acknowledge(c, (node_id)(*at - '0'), raft_last(c->raft).index);
            offered = offered == 0 ? offered_to(c) : offered;
        }
    }
    return offered;
}

static const struct raft_preference three_first = {.count = 1, .order = {3}, .hand_back = true};

static void rule_e10_leadership_goes_to_a_favourite_that_was_there_for_ten_timeouts(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft, &three_first);
    uint64_t begin = c.now_ms;
    assert_true(beat(&c, "23", 20 * CORE_ELECTION_MS));
    assert_in_range(c.now_ms - begin, 10 * CORE_ELECTION_MS,
                    10 * CORE_ELECTION_MS + 2 * CORE_HEARTBEAT_MS);
    assert_true(raft_is_transferring(c.raft));
    core_stop(&c);
}

/* Leadership moves to the best one at once, not over those that were there a moment sooner. */
static void rule_e10_a_lesser_favourite_is_not_offered_what_a_better_one_soon_gets(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft,
                        &(struct raft_preference){.count = 2, .order = {3, 2}, .hand_back = true});
    assert_false(beat(&c, "2", 5 * CORE_ELECTION_MS));
    uint64_t begin = c.now_ms;
    assert_int_equal(beat(&c, "23", 20 * CORE_ELECTION_MS), 3);
    assert_in_range(c.now_ms - begin, 10 * CORE_ELECTION_MS,
                    10 * CORE_ELECTION_MS + 2 * CORE_HEARTBEAT_MS);
    core_stop(&c);
}

/* But a favourite that was offered it in vain, or that is gone, holds nobody up. */
static void rule_e10_a_favourite_that_did_not_take_it_holds_no_lesser_one_up(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft,
                        &(struct raft_preference){.count = 2, .order = {3, 2}, .hand_back = true});
    assert_int_equal(beat(&c, "23", 20 * CORE_ELECTION_MS), 3);
    /* The next time 3 would be asked after twenty. */
    assert_int_equal(beat(&c, "23", 13 * CORE_ELECTION_MS), 2);
    core_stop(&c);
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft,
                        &(struct raft_preference){.count = 2, .order = {3, 2}, .hand_back = true});
    assert_int_equal(beat(&c, "2", 12 * CORE_ELECTION_MS), 2);
    core_stop(&c);
}

static void rule_e10_a_favourite_with_gaps_is_not_offered_leadership(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft, &three_first);
    for (int i = 0; i < 10; i++) {
        assert_false(beat(&c, "23", 8 * CORE_ELECTION_MS));
        assert_false(beat(&c, "2", 2 * CORE_ELECTION_MS));
    }
    core_stop(&c);
}

static void rule_e10_offers_in_vain_become_rare(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft, &three_first);
    for (uint64_t timeouts = 10; timeouts <= 640; timeouts *= 2) {
        uint64_t begin = c.now_ms;
        assert_true(beat(&c, "23", 1000 * CORE_ELECTION_MS));
        assert_in_range(c.now_ms - begin, timeouts * CORE_ELECTION_MS,
                        (timeouts + 2) * CORE_ELECTION_MS);
    }
    assert_true(beat(&c, "23", 642 * CORE_ELECTION_MS)); /* but never never */
    core_stop(&c);
}

static void rule_e10_without_hand_back_a_leader_stays(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    raft_set_preference(c.raft, &(struct raft_preference){.count = 1, .order = {3}});
    assert_false(beat(&c, "23", 30 * CORE_ELECTION_MS));
    raft_set_preference(c.raft,
                        &(struct raft_preference){.count = 2, .order = {1, 3}, .hand_back = true});
    assert_false(beat(&c, "23", 30 * CORE_ELECTION_MS)); /* it is the favourite itself */
    core_stop(&c);
}

static enum status bar(struct one_core *c, bool barred)
{
    return core_step(c, &(struct raft_input){.kind = RAFT_INPUT_BARRED, .barred = barred});
}

static void rule_p15b_a_barred_member_neither_campaigns_nor_takes_leadership(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    assert_int_equal(bar(&c, true), STATUS_OK);
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    struct raft_message m = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 1);
    core_deliver(&c, &m);
    core_settle(&c);
    m.type = RAFT_MSG_TIMEOUT_NOW;
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(bar(&c, false), STATUS_OK);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    assert_int_equal(bar(&c, true), STATUS_OK);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_p15b_a_barred_leader_hands_over_and_stops_in_any_case(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(bar(&c, true), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 0));
    (void)beat(&c, "23", CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
    core_establish(&c, (struct core_setup){.voters = 1});
    assert_int_equal(bar(&c, true), STATUS_OK);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e10_preferred_members_time_out_first_and_within_the_interval),
        cmocka_unit_test(rule_e10_who_learns_its_rank_late_times_out_in_its_part_of_the_interval),
        cmocka_unit_test(rule_e10_a_lesser_favourite_is_not_offered_what_a_better_one_soon_gets),
        cmocka_unit_test(rule_e10_a_favourite_that_did_not_take_it_holds_no_lesser_one_up),
        cmocka_unit_test(rule_e10_founders_that_have_gathered_campaign_in_the_order_of_their_ranks),
        cmocka_unit_test(rule_e10_a_former_leader_may_speak_before_those_who_gathered_again),
        cmocka_unit_test(rule_e10_members_gather_once_and_not_after_a_vote_or_a_leader),
        cmocka_unit_test(rule_e10_no_vote_is_refused_for_preference),
        cmocka_unit_test(rule_e10_leadership_goes_to_a_favourite_that_was_there_for_ten_timeouts),
        cmocka_unit_test(rule_e10_a_favourite_with_gaps_is_not_offered_leadership),
        cmocka_unit_test(rule_e10_offers_in_vain_become_rare),
        cmocka_unit_test(rule_e10_without_hand_back_a_leader_stays),
        cmocka_unit_test(rule_p15b_a_barred_member_neither_campaigns_nor_takes_leadership),
        cmocka_unit_test(rule_p15b_a_barred_leader_hands_over_and_stops_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
