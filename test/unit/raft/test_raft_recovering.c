/* A member whose disk lost a part of its log (rule P4), and the leader that it tells so. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A member of three that recovers, of term 3, with entries 1 to 3 left. */
static void lose(struct one_core *c)
{
    core_start(c, &(struct core_setup){
                      .voters = 3, .term = 3, .commit = 2, .terms = {1, 1, 2}, .recovering = true});
}

static void append(struct one_core *c, raft_term term, struct entry_id last, uint32_t count)
{
    struct raft_entry entries[8] = {0};
    for (uint32_t i = 0; i < count; i++) {
        entries[i].term = term;
    }
    struct raft_message m = core_message(c, RAFT_MSG_APPEND, 2, term);
    m.last = last;
    m.entries = entries;
    m.entry_count = count;
    m.round = 1;
    core_deliver(c, &m);
}

/* A heartbeat; `last` != 0: of a leader that knows of the loss. */
static void heartbeat(struct one_core *c, raft_term term, raft_index last)
{
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT, 2, term);
    m.round = 1;
    if (last != 0) {
        m.recovering = true;
        m.last = (struct entry_id){.term = term, .index = last};
    }
    core_deliver(c, &m);
}

static void rule_p4_it_grants_nothing_and_does_not_campaign(void **state)
{
    (void)state;
    struct one_core c;
    lose(&c);
    assert_true(raft_is_recovering(c.raft));
    struct raft_message m = core_message(&c, RAFT_MSG_PREVOTE, 2, 4);
    m.last = (struct entry_id){.term = 3, .index = 9};
    core_deliver(&c, &m);
    assert_true(core_sent(&c, RAFT_MSG_PREVOTE_REPLY, 2)->reject);
    m.type = RAFT_MSG_VOTE;
    core_deliver(&c, &m);
    core_settle(&c);
    assert_true(core_sent(&c, RAFT_MSG_VOTE_REPLY, 2)->reject);
    assert_int_equal(raft_vote(c.raft), 0);
    assert_int_equal(raft_term_now(c.raft), 4); /* terms spread all the same */
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN}),
                     STATUS_NOT_FOUND);
    heartbeat(&c, 4, 0);
    struct raft_message now = core_message(&c, RAFT_MSG_TIMEOUT_NOW, 2, 4);
    core_deliver(&c, &now);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_p4_alone_it_is_silent_for_ever(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){
                       .voters = 1, .term = 3, .commit = 2, .terms = {1, 1}, .recovering = true});
    for (int i = 0; i < 20; i++) {
        core_wait(&c, CORE_ELECTION_MS);
        assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    }
    assert_int_equal(c.out.deadline_ms, UINT64_MAX);
    core_stop(&c);
}

static void rule_p4_every_answer_says_so_until_all_is_here_and_on_disk(void **state)
{
    (void)state;
    struct one_core c;
    lose(&c);
    heartbeat(&c, 3, 0);
    const struct raft_message *reply = core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2);
    assert_true(reply->recovering);
    assert_int_equal(reply->match, 2); /* what is committed; the rest is not verified */
    heartbeat(&c, 3, 5);               /* the leader knows: 5 is what must be here */
    append(&c, 3, (struct entry_id){.term = 1, .index = 2}, 2);
    core_settle(&c);
    assert_true(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->recovering);
    assert_true(raft_is_recovering(c.raft));
    heartbeat(&c, 3, 9); /* what came later does not count */
    append(&c, 3, (struct entry_id){.term = 3, .index = 4}, 1);
    assert_false(c.out.persist.recovered); /* 5 is not durable yet */
    core_persisted(&c);
    assert_true(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->recovering);
    assert_true(c.out.persist.recovered);
    assert_true(raft_is_recovering(c.raft));
    core_persisted(&c);
    assert_true(core_saw(&c, RAFT_EVENT_RECOVERED));
    assert_false(raft_is_recovering(c.raft));
    reply = core_sent(&c, RAFT_MSG_APPEND_REPLY, 2);
    assert_non_null(reply);
    assert_false(reply->recovering);
    assert_int_equal(reply->match, 5);
    core_stop(&c);
}

static void rule_p4_what_must_be_here_is_the_word_of_this_terms_leader(void **state)
{
    (void)state;
    struct one_core c;
    lose(&c);
    heartbeat(&c, 3, 4);
    append(&c, 4, (struct entry_id){.term = 1, .index = 2}, 2); /* 3 and 4, of another leader */
    core_settle(&c);
    heartbeat(&c, 4, 0);
    core_settle(&c);
    assert_true(raft_is_recovering(c.raft));
    heartbeat(&c, 4, 4);
    core_settle(&c);
    assert_false(raft_is_recovering(c.raft));
    core_stop(&c);
}

static void rule_p4_a_heartbeat_of_before_the_loss_commits_nothing(void **state)
{
    (void)state;
    struct one_core c;
    lose(&c);
    struct raft_message m = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 3);
    m.commit = 7; /* acknowledged once */
    m.round = 1;
    core_deliver(&c, &m);
    assert_false(core_saw(&c, RAFT_EVENT_AMNESIA));
    assert_int_equal(raft_commit(c.raft), 2);
    assert_true(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2)->recovering);
    core_stop(&c);
}

static void rule_p4_a_snapshot_makes_it_whole_as_well(void **state)
{
    (void)state;
    struct one_core c;
    lose(&c);
    heartbeat(&c, 3, 8);
    const struct raft_config config = {.voter_count = 3, .voters = {1, 2, 3}};
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_INSTALL,
                                                        .install = {.id = {.term = 3, .index = 8},
                                                                    .config = &config}}),
                     STATUS_OK);
    core_settle(&c);
    assert_false(raft_is_recovering(c.raft));
    core_stop(&c);
}

/* --- the leader ------------------------------------------------------------------------------- */

static void flagged(struct one_core *c, node_id from, raft_index match)
{
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT_REPLY, from, raft_term_now(c->raft));
    m.match = match;
    m.sent_ms = c->now_ms;
    m.recovering = true;
    core_deliver(c, &m);
}

static void rule_p4_the_leader_takes_its_word_and_does_not_count_it(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_settle(&c);
    core_acknowledge(&c, 2, 1);
    assert_int_equal(raft_commit(c.raft), 1);
    assert_int_equal(core_propose(&c, 8), STATUS_OK); /* 2, not on the leader's own disk yet */
    core_acknowledge(&c, 2, 2);
    assert_int_equal(raft_commit(c.raft), 1);
    flagged(&c, 2, 0);
    struct raft_progress_view view;
    assert_true(raft_progress_of(c.raft, 2, &view));
    assert_true(view.recovering);
    assert_int_equal(view.match, 0);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 2);
    assert_non_null(m); /* looked for anew, from what it says */
    assert_int_equal(m->last.index, 0);
    core_settle(&c);
    assert_int_equal(raft_commit(c.raft), 1); /* only the leader has it */
    core_wait(&c, CORE_HEARTBEAT_MS);
    m = core_sent(&c, RAFT_MSG_HEARTBEAT, 2);
    assert_true(m->recovering);
    assert_int_equal(m->last.index, 2);
    assert_false(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)->recovering);
    flagged(&c, 2, 2);
    assert_int_equal(raft_commit(c.raft), 1);
    core_acknowledge(&c, 2, 2); /* whole again */
    assert_int_equal(raft_commit(c.raft), 2);
    core_stop(&c);
}

static void rule_p4_a_leader_of_two_goes_on_and_commits_when_the_other_is_whole(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 2});
    core_lead(&c);
    core_settle(&c);
    core_acknowledge(&c, 2, 1);
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    core_settle(&c);
    for (int i = 0; i < 20; i++) {
        flagged(&c, 2, i < 10 ? 0 : 2);
        core_wait(&c, CORE_HEARTBEAT_MS); /* its answers keep check-quorum: its term is sound */
        assert_int_equal(raft_role(c.raft), RAFT_LEADER);
        assert_int_equal(raft_commit(c.raft), 1);
    }
    core_acknowledge(&c, 2, 2);
    assert_int_equal(raft_commit(c.raft), 2);
    core_stop(&c);
}

static void rule_p4_leadership_is_not_handed_to_it(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_settle(&c);
    core_acknowledge(&c, 3, 1);
    flagged(&c, 2, 1);
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER, .target = 2}),
                     STATUS_OK);
    assert_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 0));
    for (int i = 0; i < 6; i++) {
        core_acknowledge(&c, 3, 1);
        core_wait(&c, CORE_HEARTBEAT_MS);
        assert_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 0));
    }
    assert_false(raft_is_transferring(c.raft));
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER}), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 3));
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p4_it_grants_nothing_and_does_not_campaign),
        cmocka_unit_test(rule_p4_alone_it_is_silent_for_ever),
        cmocka_unit_test(rule_p4_every_answer_says_so_until_all_is_here_and_on_disk),
        cmocka_unit_test(rule_p4_what_must_be_here_is_the_word_of_this_terms_leader),
        cmocka_unit_test(rule_p4_a_heartbeat_of_before_the_loss_commits_nothing),
        cmocka_unit_test(rule_p4_a_snapshot_makes_it_whole_as_well),
        cmocka_unit_test(rule_p4_the_leader_takes_its_word_and_does_not_count_it),
        cmocka_unit_test(rule_p4_a_leader_of_two_goes_on_and_commits_when_the_other_is_whole),
        cmocka_unit_test(rule_p4_leadership_is_not_handed_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
