/* One core and its votes: every rule of consensus.md A1 that a single member can keep or break. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct raft_message vote_from(const struct one_core *c, node_id from, raft_term term,
                                     struct entry_id last)
{
    struct raft_message m = core_message(c, RAFT_MSG_VOTE, from, term);
    m.last = last;
    return m;
}

static struct raft_message heartbeat_from(const struct one_core *c, node_id from, raft_term term)
{
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT, from, term);
    m.round = 1;
    m.sent_ms = 5;
    return m;
}

static void rule_e1_a_grant_leaves_only_when_the_vote_is_durable(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    struct raft_message m = vote_from(&c, 2, 1, (struct entry_id){0});
    core_deliver(&c, &m);
    assert_null(core_sent(&c, RAFT_MSG_VOTE_REPLY, 0));
    assert_true(c.out.has_persist && c.out.persist.hard_state);
    assert_int_equal(c.out.persist.term, 1); /* M36: together */
    assert_int_equal(c.out.persist.vote, 2);
    core_persisted(&c);
    assert_non_null(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2));
    assert_false(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2)->reject);
    core_stop(&c);
}

static void
rule_e1_a_second_candidate_of_the_term_is_refused_whatever_happened_between(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    struct raft_message m = vote_from(&c, 2, 1, (struct entry_id){0});
    core_deliver(&c, &m);
    core_persisted(&c);
    core_wait(&c, 2 * CORE_ELECTION_MS); /* pre-vote begins (M2) */
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    m = vote_from(&c, 3, 1, (struct entry_id){.term = 1, .index = 9});
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_VOTE_REPLY, 3)->reject);
    m = heartbeat_from(&c, 2, 1); /* follows again, in the same term (M1) */
    core_deliver(&c, &m);
    core_wait(&c, CORE_ELECTION_MS);
    m = vote_from(&c, 3, 1, (struct entry_id){.term = 1, .index = 9});
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_VOTE_REPLY, 3)->reject);
    assert_int_equal(raft_vote(c.raft), 2);
    core_stop(&c);
}

static void rule_e1_a_grant_of_a_term_that_passed_before_it_was_durable_is_never_sent(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    struct raft_message m = vote_from(&c, 2, 1, (struct entry_id){0});
    core_deliver(&c, &m); /* its write is slow */
    m = vote_from(&c, 3, 2, (struct entry_id){0});
    core_deliver(&c, &m);
    core_persisted(&c); /* term 1 is durable, and nobody may hear of it */
    assert_int_equal(c.out.message_count, 0);
    core_persisted(&c);
    assert_null(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2));
    assert_int_equal(core_sent(&c, RAFT_MSG_VOTE_REPLY, 3)->term, 2);
    core_stop(&c);
}

static void rule_e2_timeouts_lie_between_one_and_two_times_e_and_are_redrawn(void **state)
{
    (void)state;
    uint64_t lowest = UINT64_MAX;
    uint64_t highest = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct one_core c;
        core_start(&c, &(struct core_setup){.voters = 3, .options = {.seed = seed}});
        core_wait(&c, 0);
        uint64_t timeout = c.out.deadline_ms - c.now_ms;
        lowest = timeout < lowest ? timeout : lowest;
        highest = timeout > highest ? timeout : highest;
        core_stop(&c);
    }
    assert_in_range(lowest, CORE_ELECTION_MS, CORE_ELECTION_MS + 5);
    assert_in_range(highest, 2 * CORE_ELECTION_MS - 5, 2 * CORE_ELECTION_MS - 1);
}

static void rule_e3_an_older_log_is_refused(void **state)
{
    (void)state;
    const struct {
        struct entry_id last;
        bool granted;
    } cases[] = {
        {{.term = 2, .index = 9}, false}, /* longer, but of an older term (M3) */
        {{.term = 3, .index = 2}, false}, /* same term, shorter */
        {{.term = 3, .index = 3}, true},
        {{.term = 4, .index = 1}, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct one_core c;
        core_start(&c, &(struct core_setup){.voters = 3, .term = 4, .terms = {1, 3, 3}});
        struct raft_message m = vote_from(&c, 2, 5, cases[i].last);
        core_deliver(&c, &m);
        core_settle(&c);
        assert_int_equal(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2)->reject, !cases[i].granted);
        core_stop(&c);
    }
}

static void rule_e3_a_voter_compares_entries_that_are_not_durable_yet(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    const struct raft_entry entry = {.term = 1};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.entries = &entry;
    m.entry_count = 1;
    core_deliver(&c, &m);
    assert_int_equal(raft_durable(c.raft), 0);
    core_wait(&c, CORE_ELECTION_MS);
    m = vote_from(&c, 3, 2, (struct entry_id){0});
    core_deliver(&c, &m);
    core_settle(&c);
    assert_true(core_sent(&c, RAFT_MSG_VOTE_REPLY, 3)->reject);
    core_stop(&c);
}

static void
rule_e3_a_candidate_advertises_its_durable_tail_only_after_its_vote_is_durable(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}});
    const struct raft_entry entry = {.term = 1};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.last = (struct entry_id){.term = 1, .index = 1};
    m.entries = &entry;
    m.entry_count = 1;
    core_deliver(&c, &m); /* entry 2 is being written */
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(core_sent(&c, RAFT_MSG_PREVOTE, 3)->last.index, 1);
    m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 3, 2);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    assert_null(core_sent(&c, RAFT_MSG_VOTE, 0)); /* M39 */
    core_persisted(&c);                           /* the entry */
    assert_null(core_sent(&c, RAFT_MSG_VOTE, 0));
    /* A vote that comes before the own one counts is of no use. */
    m = core_message(&c, RAFT_MSG_VOTE_REPLY, 3, 2);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_persisted(&c); /* term and vote */
    assert_int_equal(core_sent(&c, RAFT_MSG_VOTE, 3)->last.index, 2);
    core_stop(&c);
}

static void
rule_e4_a_prevote_changes_nothing_at_the_voter_and_its_grant_echoes_the_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .vote = 2});
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 3, 9);
    core_deliver(&c, &m);
    const struct raft_message *reply = core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3);
    assert_false(reply->reject);
    assert_int_equal(reply->term, 9); /* M31 */
    assert_int_equal(raft_term_now(c.raft), 3);
    assert_int_equal(raft_vote(c.raft), 2);
    assert_false(c.out.has_persist);
    core_stop(&c);
}

static void rule_e4_a_prevote_is_refused_with_the_own_term_while_a_leader_is_heard(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3});
    struct raft_message beat = heartbeat_from(&c, 2, 3);
    core_deliver(&c, &beat);
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 3, 4);
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->reject);
    assert_int_equal(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->term, 3);
    c.now_ms += CORE_ELECTION_MS; /* silent for E */
    core_deliver(&c, &m);
    assert_false(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->reject);
    core_stop(&c);
}

static void rule_e4_a_prevote_of_an_older_log_or_a_current_term_is_refused(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .terms = {1, 3}});
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 3, 4);
    m.last = (struct entry_id){.term = 1, .index = 5};
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->reject);
    m.term = 3;
    m.last = (struct entry_id){.term = 3, .index = 5};
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 3)->reject);
    core_stop(&c);
}

static void rule_e5_a_leader_of_a_lower_term_is_told_the_higher_one(void **state)
{
    (void)state;
    static const enum raft_message_type types[] = {RAFT_MSG_APPEND, RAFT_MSG_HEARTBEAT,
                                                   RAFT_MSG_PREVOTE};
    static const enum raft_message_type replies[] = {
        RAFT_MSG_APPEND_REPLY, RAFT_MSG_HEARTBEAT_REPLY, RAFT_MSG_PREVOTE_REPLY};
    for (size_t i = 0; i < 3; i++) {
        struct one_core c;
        core_start(&c, &(struct core_setup){.voters = 3, .term = 7});
        struct raft_message m = core_message(&c, types[i], 2, 3);
        core_deliver(&c, &m); /* M32 */
        const struct raft_message *reply = core_sent(&c, replies[i], 2);
        assert_non_null(reply);
        assert_true(reply->reject);
        assert_int_equal(reply->term, 7);
        assert_int_equal(raft_leader(c.raft), 0);
        core_stop(&c);
    }
}

static void rule_e5_a_higher_term_in_a_refused_prevote_is_adopted(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    core_wait(&c, 2 * CORE_ELECTION_MS);
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 2, 8);
    m.reject = true;
    core_deliver(&c, &m);
    assert_int_equal(raft_term_now(c.raft), 8);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_e6_a_vote_is_not_looked_at_within_e_of_leader_contact(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3});
    struct raft_message beat = heartbeat_from(&c, 2, 3);
    core_deliver(&c, &beat);
    struct raft_message m = vote_from(&c, 3, 9, (struct entry_id){0});
    core_deliver(&c, &m);
    assert_int_equal(raft_term_now(c.raft), 3);
    assert_int_equal(c.out.message_count, 0);
    m.transfer = true; /* the leader itself asked for it (rule E9) */
    core_deliver(&c, &m);
    assert_int_equal(raft_term_now(c.raft), 9);
    assert_int_equal(raft_vote(c.raft), 3);
    core_stop(&c);
}

static void rule_e6_a_leader_does_not_look_at_votes_either(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    struct raft_message m = vote_from(&c, 3, 9, (struct entry_id){.term = 8, .index = 9});
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_stop(&c);
}

static enum status lose(struct one_core *c, node_id leader, raft_term term, uint32_t sync_ms)
{
    return core_step(
        c, &(struct raft_input){.kind = RAFT_INPUT_LEADER_LOST,
                                .lost = {.leader = leader, .term = term, .sync_ms = sync_ms}});
}

static void follow(struct one_core *c, struct core_setup setup)
{
    setup.voters = 5;
    setup.term = 3;
    core_start(c, &setup);
    struct raft_message beat = {
        .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = setup.self, .term = 3, .round = 1};
    core_deliver(c, &beat);
}

static void rule_e6b_the_first_voter_goes_at_once_and_the_others_wait_their_rank(void **state)
{
    (void)state;
    /* Leader 2 is gone. Ranks: 1 -> 0, 3 -> 1, 4 -> 2, 5 -> 3; a slot is two syncs of 4 ms. */
    const node_id selves[] = {1, 3, 4, 5};
    for (uint64_t rank = 0; rank < 4; rank++) {
        struct one_core c;
        follow(&c, (struct core_setup){.self = selves[rank]});
        assert_int_equal(lose(&c, 2, 3, 4), STATUS_OK);
        assert_true(core_saw(&c, RAFT_EVENT_LEADER_LOST));
        assert_int_equal(raft_leader(c.raft), 0);
        if (rank > 0) {
            assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
            assert_int_equal(c.out.deadline_ms - c.now_ms, rank * 8);
            core_wait(&c, rank * 8);
        }
        assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
        core_stop(&c);
    }
}

static void rule_e6b_a_slot_is_at_least_five_ms(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){.self = 3});
    assert_int_equal(lose(&c, 2, 3, 0), STATUS_OK);
    assert_int_equal(c.out.deadline_ms - c.now_ms, 5);
    core_stop(&c);
}

static void rule_e6b_the_loss_of_another_leader_or_term_means_nothing(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){.self = 1});
    assert_int_equal(lose(&c, 4, 3, 1), STATUS_OK);
    assert_int_equal(lose(&c, 2, 2, 1), STATUS_OK);
    assert_int_equal(raft_leader(c.raft), 2);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_e6b_contact_that_ended_lets_prevotes_pass(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){.self = 5});
    assert_int_equal(lose(&c, 2, 3, 1), STATUS_OK);
    struct raft_message m = {.type = RAFT_MSG_PREVOTE, .from = 1, .to = 5, .term = 4};
    core_deliver(&c, &m);
    assert_false(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 1)->reject);
    core_stop(&c);
}

static void
rule_e6b_a_lost_round_is_repeated_after_a_slot_three_times_and_then_waits_for_e2(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){.self = 1});
    assert_int_equal(lose(&c, 2, 3, 1), STATUS_OK);
    for (uint32_t round = 0; round < 4; round++) {
        assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
        /* Two of the four others refuse: with the lost leader out, no majority is left. */
        for (node_id from = 3; from <= 4; from++) {
            struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, from, 3);
            m.reject = true;
            core_deliver(&c, &m);
        }
        uint64_t wait = c.out.deadline_ms - c.now_ms;
        if (round == 3) {
            assert_true(wait >= CORE_ELECTION_MS / 2);
            break;
        }
        assert_true(wait <= 5);
        core_wait(&c, wait);
    }
    core_stop(&c);
}

static void rule_e6b_one_round_each_ten_ms(void **state)
{
    (void)state;
    struct one_core c;
    follow(&c, (struct core_setup){.self = 5});
    assert_int_equal(lose(&c, 2, 3, 1), STATUS_OK);
    struct raft_message beat = {
        .type = RAFT_MSG_HEARTBEAT, .from = 2, .to = 5, .term = 3, .round = 1};
    core_deliver(&c, &beat);
    c.now_ms += 9;
    assert_int_equal(lose(&c, 2, 3, 1), STATUS_OK);
    assert_int_equal(raft_leader(c.raft), 2);
    c.now_ms += 1;
    assert_int_equal(lose(&c, 2, 3, 1), STATUS_OK);
    assert_int_equal(raft_leader(c.raft), 0);
    core_stop(&c);
}

static void rule_e7_a_leader_without_a_quorum_for_e_steps_down_and_keeps_its_vote(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    raft_term term = raft_term_now(c.raft);
    core_wait(&c, CORE_ELECTION_MS - 1);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_wait(&c, 1);
    assert_true(core_saw(&c, RAFT_EVENT_QUORUM_LOST));
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(c.out.message_count, 0); /* not one word more */
    assert_int_equal(raft_term_now(c.raft), term);
    assert_int_equal(raft_vote(c.raft), 1);
    core_stop(&c);
}

static void rule_e7_the_silence_is_counted_from_when_the_answered_message_left(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_wait(&c, CORE_HEARTBEAT_MS);
    struct raft_message late = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    late.sent_ms = core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->sent_ms;
    uint64_t left_ms = c.now_ms;
    c.now_ms += CORE_ELECTION_MS - CORE_HEARTBEAT_MS - 1; /* its answer was long on the way */
    core_deliver(&c, &late);
    c.now_ms = left_ms + CORE_ELECTION_MS - 1;
    core_wait(&c, 0);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_wait(&c, 1);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_e11_a_message_for_somebody_else_changes_nothing(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    struct raft_message m = vote_from(&c, 2, 9, (struct entry_id){0});
    m.to = 3;
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    assert_int_equal(raft_term_now(c.raft), 1);
    core_stop(&c);
}

static void rule_e11_a_candidate_that_the_own_configuration_does_not_name_is_heard(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    struct raft_message m = vote_from(&c, 77, 2, (struct entry_id){0});
    core_deliver(&c, &m);
    core_persisted(&c);
    assert_false(core_sent(&c, RAFT_MSG_VOTE_REPLY, 77)->reject);
    core_stop(&c);
}

static void rule_e12_votes_count_once_and_only_those_of_voters(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 5, .learners = 2});
    core_wait(&c, 2 * CORE_ELECTION_MS);
    const node_id granters[] = {2, 2, 2, 6, 7, 99};
    for (size_t i = 0; i < sizeof(granters) / sizeof(granters[0]); i++) {
        struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, granters[i], 1);
        core_deliver(&c, &m);
        assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    }
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 4, 1);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_stop(&c);
}

static void rule_e13_a_learner_answers_votes_and_never_campaigns(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.self = 4, .voters = 3, .learners = 1});
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_true(c.out.deadline_ms == UINT64_MAX);
    struct raft_message m = {.type = RAFT_MSG_PREVOTE, .from = 2, .to = 4, .term = 1};
    core_deliver(&c, &m);
    assert_false(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 2)->reject);
    m.type = RAFT_MSG_VOTE;
    core_deliver(&c, &m);
    core_persisted(&c);
    assert_false(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2)->reject);
    core_stop(&c);
}

static void rule_q5_a_learner_forgets_a_leader_that_fell_silent(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.self = 4, .voters = 3, .learners = 1});
    struct raft_message m = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 1);
    core_deliver(&c, &m);
    core_settle(&c);
    assert_int_equal(raft_leader(c.raft), 2);
    core_wait(&c, c.out.deadline_ms - c.now_ms);
    assert_int_equal(raft_leader(c.raft), 0);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_true(c.out.deadline_ms == UINT64_MAX);
    assert_int_equal(core_read(&c, 1), STATUS_NOT_LEADER);
    core_stop(&c);
}

static void
rule_e14_one_that_an_uncommitted_configuration_leaves_out_campaigns_without_itself(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.self = 3,
                                        .voters = 3,
                                        .terms = {1, 1},
                                        .commit = 1,
                                        .last_config = {.voter_count = 2, .voters = {1, 2}}});
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, 1, 2);
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE); /* 1 of 2, not 2 of 3 */
    m.from = 2;
    core_deliver(&c, &m);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_stop(&c);
}

static void rule_e14_one_that_a_committed_configuration_leaves_out_is_quiet(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.self = 3,
                                        .voters = 3,
                                        .terms = {1, 1},
                                        .commit = 2,
                                        .last_config = {.voter_count = 2, .voters = {1, 2}}});
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_true(c.out.deadline_ms == UINT64_MAX);
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN}),
                     STATUS_NOT_FOUND);
    core_stop(&c);
}

static void rule_e14_one_that_is_to_become_a_learner_campaigns_until_that_is_committed(void **state)
{
    (void)state;
    struct core_setup setup = {
        .self = 3,
        .voters = 3,
        .terms = {1, 1},
        .commit = 1,
        .last_config = {.voter_count = 2, .voters = {1, 2}, .learner_count = 1, .learners = {3}}};
    struct one_core c;
    core_start(&c, &setup);
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    core_stop(&c);
    setup.commit = 2;
    core_start(&c, &setup);
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void
rule_e14_a_learner_campaigns_when_a_candidate_needs_it_and_its_log_is_newer(void **state)
{
    (void)state;
    struct core_setup setup = {
        .self = 3,
        .voters = 3,
        .terms = {1, 2},
        .commit = 2,
        .last_config = {.voter_count = 2, .voters = {1, 2}, .learner_count = 1, .learners = {3}}};
    struct one_core c;
    core_start(&c, &setup);
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 1, 3);
    m.last = (struct entry_id){.term = 2, .index = 2};
    core_deliver(&c, &m); /* as new: granted, and nothing is in its way */
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    m.last = (struct entry_id){.term = 1, .index = 9};
    core_deliver(&c, &m);
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_PREVOTE), 2); /* those who vote */
    core_stop(&c);
    /* A leader that is heard takes the need away. */
    core_start(&c, &setup);
    core_deliver(&c, &m);
    struct raft_message heartbeat = core_message(&c, RAFT_MSG_HEARTBEAT, 1, 3);
    core_deliver(&c, &heartbeat);
    core_wait(&c, 3 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

/* Before anybody has answered, whom to hand over to would be a guess. */
static void rule_e14_a_learner_that_leads_hands_over_once_it_is_established(void **state)
{
    (void)state;
    struct core_setup setup = {
        .self = 4,
        .voters = 3,
        .terms = {1, 2},
        .commit = 2,
        .last_config = {
            .voter_count = 3, .voters = {1, 2, 3}, .learner_count = 1, .learners = {4}}};
    struct one_core c;
    core_start(&c, &setup);
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 2, 3);
    m.last = (struct entry_id){.term = 1, .index = 9};
    core_deliver(&c, &m);
    core_wait(&c, 2 * CORE_ELECTION_MS);
    for (node_id from = 2; from <= 3; from++) {
        m = core_message(&c, RAFT_MSG_PREVOTE_REPLY, from, 3);
        core_deliver(&c, &m);
    }
    core_settle(&c);
    for (node_id from = 2; from <= 3; from++) {
        m = core_message(&c, RAFT_MSG_VOTE_REPLY, from, 3);
        core_deliver(&c, &m);
    }
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    assert_false(core_saw(&c, RAFT_EVENT_TRANSFER_STARTED));
    core_settle(&c);
    core_acknowledge(&c, 2, 3);
    core_acknowledge(&c, 3, 3);
    assert_true(core_saw(&c, RAFT_EVENT_TRANSFER_STARTED));
    assert_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 1)); /* that one never answered */
    core_stop(&c);
}

static void a_lone_voter_leads_at_once_and_needs_nobody(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 1});
    core_wait(&c, 0);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_persisted(&c);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    assert_int_equal(c.out.apply_to, 0); /* rule R10: not before its own disk has it (M13) */
    core_persisted(&c);
    assert_int_equal(c.out.apply_to, 1);
    assert_true(c.out.deadline_ms == UINT64_MAX);
    core_wait(&c, 100 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e1_a_grant_leaves_only_when_the_vote_is_durable),
        cmocka_unit_test(
            rule_e1_a_second_candidate_of_the_term_is_refused_whatever_happened_between),
        cmocka_unit_test(rule_e1_a_grant_of_a_term_that_passed_before_it_was_durable_is_never_sent),
        cmocka_unit_test(rule_e2_timeouts_lie_between_one_and_two_times_e_and_are_redrawn),
        cmocka_unit_test(rule_e3_an_older_log_is_refused),
        cmocka_unit_test(rule_e3_a_voter_compares_entries_that_are_not_durable_yet),
        cmocka_unit_test(
            rule_e3_a_candidate_advertises_its_durable_tail_only_after_its_vote_is_durable),
        cmocka_unit_test(
            rule_e4_a_prevote_changes_nothing_at_the_voter_and_its_grant_echoes_the_term),
        cmocka_unit_test(rule_e4_a_prevote_is_refused_with_the_own_term_while_a_leader_is_heard),
        cmocka_unit_test(rule_e4_a_prevote_of_an_older_log_or_a_current_term_is_refused),
        cmocka_unit_test(rule_e5_a_leader_of_a_lower_term_is_told_the_higher_one),
        cmocka_unit_test(rule_e5_a_higher_term_in_a_refused_prevote_is_adopted),
        cmocka_unit_test(rule_e6_a_vote_is_not_looked_at_within_e_of_leader_contact),
        cmocka_unit_test(rule_e6_a_leader_does_not_look_at_votes_either),
        cmocka_unit_test(rule_e6b_the_first_voter_goes_at_once_and_the_others_wait_their_rank),
        cmocka_unit_test(rule_e6b_a_slot_is_at_least_five_ms),
        cmocka_unit_test(rule_e6b_the_loss_of_another_leader_or_term_means_nothing),
        cmocka_unit_test(rule_e6b_contact_that_ended_lets_prevotes_pass),
        cmocka_unit_test(
            rule_e6b_a_lost_round_is_repeated_after_a_slot_three_times_and_then_waits_for_e2),
        cmocka_unit_test(rule_e6b_one_round_each_ten_ms),
        cmocka_unit_test(rule_e7_a_leader_without_a_quorum_for_e_steps_down_and_keeps_its_vote),
        cmocka_unit_test(rule_e7_the_silence_is_counted_from_when_the_answered_message_left),
        cmocka_unit_test(rule_e11_a_message_for_somebody_else_changes_nothing),
        cmocka_unit_test(rule_e11_a_candidate_that_the_own_configuration_does_not_name_is_heard),
        cmocka_unit_test(rule_e12_votes_count_once_and_only_those_of_voters),
        cmocka_unit_test(rule_e13_a_learner_answers_votes_and_never_campaigns),
        cmocka_unit_test(
            rule_e14_one_that_an_uncommitted_configuration_leaves_out_campaigns_without_itself),
        cmocka_unit_test(rule_q5_a_learner_forgets_a_leader_that_fell_silent),
        cmocka_unit_test(rule_e14_one_that_a_committed_configuration_leaves_out_is_quiet),
        cmocka_unit_test(
            rule_e14_one_that_is_to_become_a_learner_campaigns_until_that_is_committed),
        cmocka_unit_test(
            rule_e14_a_learner_campaigns_when_a_candidate_needs_it_and_its_log_is_newer),
        cmocka_unit_test(rule_e14_a_learner_that_leads_hands_over_once_it_is_established),
        cmocka_unit_test(a_lone_voter_leads_at_once_and_needs_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
