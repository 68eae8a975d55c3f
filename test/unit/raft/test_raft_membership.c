/* One core and its configurations: the C rules. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* "v123 l4": voters and learners by their digits. */
static struct raft_config config(const char *text)
{
    struct raft_config c = {0};
    bool voters = true;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == 'v' || *at == 'l') {
            voters = *at == 'v';
        } else if (*at != ' ' && voters) {
            c.voters[c.voter_count++] = (node_id)(*at - '0');
        } else if (*at != ' ') {
            c.learners[c.learner_count++] = (node_id)(*at - '0');
        }
    }
    return c;
}

static enum status change(struct one_core *c, const char *text)
{
    struct raft_config next = config(text);
    return core_change(c, &next);
}

static bool is_joint(const struct one_core *c)
{
    return raft_active_config(c->raft)->outgoing_count > 0;
}

static struct raft_config_view view(const struct one_core *c)
{
    struct raft_config_view v;
    raft_config_view(c->raft, &v);
    return v;
}

static void answer(struct one_core *c, const char *members)
{
    for (const char *at = members; *at != '\0'; at++) {
        core_acknowledge(c, (node_id)(*at - '0'), 0);
    }
}

/* --- C1 --------------------------------------------------------------------------------------- */

static void rule_c1_a_change_waits_for_an_entry_of_the_own_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}, .commit = 1});
    core_lead(&c);
    answer(&c, "23");
    assert_int_equal(change(&c, "v123 l4"), STATUS_BUSY);
    core_agree(&c);
    assert_int_equal(change(&c, "v123 l4"), STATUS_OK);
    core_stop(&c);
}

static void rule_c1_one_change_at_a_time(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    assert_int_equal(change(&c, "v124 l3"), STATUS_OK);
    assert_true(is_joint(&c));
    assert_int_equal(change(&c, "v123"), STATUS_BUSY);
    core_settle(&c);
    core_acknowledge(&c, 2, 2); /* 1 and 2 are a majority of both halves: C_new follows */
    assert_false(is_joint(&c));
    assert_int_equal(view(&c).id.index, 3);
    assert_int_equal(change(&c, "v123"), STATUS_BUSY);
    core_agree(&c);
    assert_int_equal(change(&c, "v12"), STATUS_OK);
    core_stop(&c);
}

static void rule_c1_no_change_while_leadership_is_handed_over(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER, .target = 2}),
                     STATUS_OK);
    assert_int_equal(change(&c, "v123 l4"), STATUS_BUSY);
    core_stop(&c);
}

static void rule_c1_only_a_leader_changes_members(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    assert_int_equal(change(&c, "v123 l4"), STATUS_NOT_LEADER);
    core_stop(&c);
}

/* --- C2 --------------------------------------------------------------------------------------- */

static void rule_c2_a_change_of_voters_is_joint_and_in_force_at_once(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    assert_int_equal(change(&c, "v1234"), STATUS_OK);
    assert_true(core_saw(&c, RAFT_EVENT_CONFIG));
    const struct raft_config *now = raft_active_config(c.raft);
    assert_int_equal(now->voter_count, 4);
    assert_int_equal(now->outgoing_count, 3);
    assert_int_equal(now->learner_count, 0);
    assert_false(view(&c).committed);
    assert_true(slice_equal(view(&c).annex, slice_str("annex")));
    core_agree(&c);
    assert_false(is_joint(&c));
    assert_true(view(&c).committed);
    assert_true(slice_equal(view(&c).annex, slice_str("annex")));
    core_stop(&c);
}

static void rule_c2_both_majorities_commit_the_joint_configuration(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 2});
    assert_int_equal(change(&c, "v145"), STATUS_OK);
    core_settle(&c);
    core_acknowledge(&c, 4, 2);
    core_acknowledge(&c, 5, 2); /* all of the new half, one of the old */
    assert_int_equal(raft_commit(c.raft), 1);
    core_acknowledge(&c, 3, 2);
    assert_int_equal(raft_commit(c.raft), 2);
    core_stop(&c);
}

static void rule_c2_a_change_of_learners_or_annex_is_one_entry(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(change(&c, "v321 l4"), STATUS_OK);
    assert_false(is_joint(&c));
    assert_non_null(core_sent(&c, RAFT_MSG_APPEND, 4)); /* at once, to the new one */
    core_agree(&c);
    assert_int_equal(raft_last(c.raft).index, 2);
    assert_int_equal(change(&c, "v123 l4"), STATUS_OK);
    assert_false(is_joint(&c));
    core_stop(&c);
}

static void rule_c2_a_follower_decides_by_what_it_has_appended(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    const struct raft_config next = config("v1");
    struct blob *payload = raft_config_encode(&next, (struct slice){0});
    const struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_CONFIG, .payload = payload};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.entries = &entry;
    m.entry_count = 1;
    core_deliver(&c, &m);
    blob_unref(payload);
    assert_int_equal(raft_active_config(c.raft)->voter_count, 1);
    assert_false(view(&c).committed);
    assert_true(core_saw(&c, RAFT_EVENT_CONFIG));
    m = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 1);
    m.commit = 1;
    core_settle(&c);
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_CONFIG_COMMITTED));
    assert_true(view(&c).committed);
    core_stop(&c);
}

/* --- C3 --------------------------------------------------------------------------------------- */

static void rule_c3_a_cut_entry_takes_its_configuration_along(void **state)
{
    (void)state;
    struct one_core c;
    core_start(
        &c,
        &(struct core_setup){
            .voters = 3, .term = 1, .terms = {1, 1}, .commit = 1, .last_config = config("v12 l3")});
    assert_int_equal(raft_active_config(c.raft)->voter_count, 2); /* survived the restart */
    assert_true(slice_equal(view(&c).annex, slice_str("old")));
    const struct raft_entry other = {.term = 2};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 2);
    m.last = (struct entry_id){.term = 1, .index = 1};
    m.entries = &other;
    m.entry_count = 1;
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_CONFIG_ROLLED_BACK));
    assert_int_equal(raft_active_config(c.raft)->voter_count, 3);
    assert_int_equal(view(&c).id.index, 0);
    assert_int_equal(view(&c).annex.size, 0);
    core_stop(&c);
}

static void rule_c3_the_first_one_behind_a_snapshot_is_rolled_back_to_the_snapshots(void **state)
{
    (void)state;
    const struct raft_config next = config("v1234");
    struct raft_entry entry = {.term = 2, .type = RAFT_ENTRY_CONFIG};
    entry.payload = raft_config_encode(&next, (struct slice){0});
    const struct entry_id run = {.term = 2, .index = 6};
    const struct raft_restored restored = {.term = 2,
                                           .config = config("v123 l4"),
                                           .config_index = 4,
                                           .annex = slice_str("in the snapshot"),
                                           .snapshot = {.term = 1, .index = 5},
                                           .first = 6,
                                           .base_term = 1,
                                           .commit = 5,
                                           .applied = 5,
                                           .last = 6,
                                           .runs = &run,
                                           .run_count = 1,
                                           .tail_first = 6,
                                           .tail = &entry};
    const struct raft_options options = {
        .self = 1, .election_timeout_ms = CORE_ELECTION_MS, .heartbeat_ms = CORE_HEARTBEAT_MS};
    struct one_core c = {.self = 1, .now_ms = 1000};
    c.raft = raft_create(&options, &restored, c.now_ms);
    blob_unref(entry.payload);
    assert_int_equal(raft_active_config(c.raft)->voter_count, 4);
    const struct raft_entry other = {.term = 3};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 3);
    m.last = (struct entry_id){.term = 1, .index = 5};
    m.entries = &other;
    m.entry_count = 1;
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_CONFIG_ROLLED_BACK));
    assert_int_equal(raft_active_config(c.raft)->voter_count, 3);
    assert_int_equal(view(&c).id.index, 4);
    assert_true(slice_equal(view(&c).annex, slice_str("in the snapshot")));
    core_stop(&c);
}

static void rule_c3_the_configuration_at_the_applied_index_stays_known(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(change(&c, "v123 l4"), STATUS_OK);
    core_agree(&c);
    assert_int_equal(change(&c, "v123 l45"), STATUS_OK);
    core_agree(&c);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_APPLIED, .index = 2});
    struct raft_config_view at;
    assert_true(raft_config_at(c.raft, 2, &at));
    assert_int_equal(at.id.index, 2);
    assert_int_equal(at.config->learner_count, 1);
    assert_true(raft_config_at(c.raft, 3, &at));
    assert_int_equal(at.config->learner_count, 2);
    assert_false(raft_config_at(c.raft, 1, &at));
    core_stop(&c);
}

static void rule_c3_a_malformed_configuration_is_dropped(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    struct blob *payload = blob_copy(slice_str("\x01\x00\x00\x00")); /* no voter */
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_CONFIG, .payload = payload};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.entries = &entry;
    m.entry_count = 1;
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    entry.payload = NULL;
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    assert_int_equal(raft_last(c.raft).index, 0);
    blob_unref(payload);
    core_stop(&c);
}

static void rule_c3_more_configurations_than_the_bound_wait_until_some_are_applied(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    const struct raft_config next = config("v123");
    struct blob *payload = raft_config_encode(&next, (struct slice){0});
    static struct raft_entry entries[LIMIT_RAFT_CONFIGS + 5];
    for (uint32_t i = 0; i < LIMIT_RAFT_CONFIGS + 5; i++) {
        entries[i] = (struct raft_entry){.term = 1, .type = RAFT_ENTRY_CONFIG, .payload = payload};
    }
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.entries = entries;
    m.entry_count = LIMIT_RAFT_CONFIGS + 5;
    m.commit = m.entry_count;
    core_deliver(&c, &m);
    core_settle(&c);
    assert_int_equal(raft_last(c.raft).index, LIMIT_RAFT_CONFIGS);
    assert_int_equal(c.out.apply_to, LIMIT_RAFT_CONFIGS);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_APPLIED, .index = 3});
    core_deliver(&c, &m);
    assert_int_equal(raft_last(c.raft).index, LIMIT_RAFT_CONFIGS + 3);
    blob_unref(payload);
    core_stop(&c);
}

/* --- C4 --------------------------------------------------------------------------------------- */

static void rule_c4_only_a_learner_that_is_there_and_up_to_date_may_vote(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    assert_int_equal(change(&c, "v1235 l4"), STATUS_BEHIND); /* nobody knows 5 */
    for (int i = 0; i < CORE_ELECTION_MS / CORE_HEARTBEAT_MS; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        answer(&c, "23");
    }
    assert_int_equal(change(&c, "v1234"), STATUS_BEHIND); /* 4 is silent */
    answer(&c, "4");
    assert_int_equal(change(&c, "v1234"), STATUS_OK);
    core_stop(&c);
}

static void rule_c4_a_learner_far_behind_is_refused(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    static struct raft_entry entries[LIMIT_PROMOTE_LAG_ENTRIES + 1];
    for (uint32_t i = 0; i < LIMIT_PROMOTE_LAG_ENTRIES + 1; i++) {
        entries[i].type = RAFT_ENTRY_COMMAND;
    }
    assert_int_equal(
        core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_PROPOSE,
                                           .propose = {entries, LIMIT_PROMOTE_LAG_ENTRIES + 1}}),
        STATUS_OK);
    answer(&c, "234");
    assert_int_equal(change(&c, "v1234"), STATUS_BEHIND);
    core_acknowledge(&c, 4, 2);
    assert_int_equal(change(&c, "v1234"), STATUS_OK);
    core_stop(&c);
}

static void rule_c4_a_change_that_could_not_decide_is_refused(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 5});
    for (int i = 0; i < CORE_ELECTION_MS / CORE_HEARTBEAT_MS; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        answer(&c, "23");
    }
    assert_int_equal(change(&c, "v145"), STATUS_NO_QUORUM);
    assert_int_equal(change(&c, "v45"), STATUS_NO_QUORUM);
    assert_int_equal(change(&c, "v124"), STATUS_OK);
    core_stop(&c);
}

static void rule_c4b_one_to_three_voters_is_one_change(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 1, .learners = 2});
    assert_int_equal(change(&c, "v123"), STATUS_OK);
    core_settle(&c);
    assert_int_equal(raft_commit(c.raft), 1); /* one of three is not enough */
    core_acknowledge(&c, 3, 2);
    assert_int_equal(raft_commit(c.raft), 2);
    assert_false(is_joint(&c));
    assert_int_equal(raft_active_config(c.raft)->voter_count, 3);
    core_stop(&c);
}

/* --- C5 --------------------------------------------------------------------------------------- */

static void rule_c5_a_removed_leader_does_not_count_itself_hands_over_and_stops(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 4});
    assert_int_equal(change(&c, "v234"), STATUS_OK);
    core_settle(&c);
    core_acknowledge(&c, 2, 2);
    core_acknowledge(&c, 3, 2);
    assert_int_equal(view(&c).id.index, 3); /* C_new; the disk of 1 has it, and does not count */
    core_settle(&c);
    core_acknowledge(&c, 4, 3);
    assert_int_equal(raft_commit(c.raft), 2);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_acknowledge(&c, 2, 3);
    assert_int_equal(raft_commit(c.raft), 3);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 0));
    for (int i = 0; i < CORE_ELECTION_MS / CORE_HEARTBEAT_MS; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        if (raft_role(c.raft) == RAFT_LEADER) {
            answer(&c, "234");
        }
    }
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER); /* and if nobody took it */
    core_wait(&c, 10 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_stop(&c);
}

static void rule_c5_commit_is_looked_at_again_when_the_quorum_shrinks(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    assert_int_equal(change(&c, "v1"), STATUS_OK);
    core_settle(&c);
    core_acknowledge(&c, 2, 2); /* the joint one is committed: alone from now on */
    assert_int_equal(raft_active_config(c.raft)->voter_count, 1);
    core_settle(&c);
    assert_int_equal(raft_commit(c.raft), 3);
    assert_true(view(&c).committed);
    core_stop(&c);
}

static void rule_q3_a_read_counts_by_the_configuration_at_its_confirmation(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(change(&c, "v1"), STATUS_OK);
    assert_int_equal(core_read(&c, 7), STATUS_OK);
    assert_int_equal(c.out.read_count, 0);
    core_settle(&c);
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, raft_term_now(c.raft));
    m.match = 2; /* of before the round: the joint configuration commits, the round waits */
    core_deliver(&c, &m);
    assert_int_equal(raft_active_config(c.raft)->voter_count, 1);
    assert_int_equal(c.out.read_count, 1); /* it decides alone now */
    core_stop(&c);
}

/* --- C8, C9 ----------------------------------------------------------------------------------- */

static void rule_c8_nonsense_is_invalid_and_what_is_there_already_is_fine(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3});
    assert_int_equal(change(&c, ""), STATUS_INVALID);
    assert_int_equal(change(&c, "l123"), STATUS_INVALID);
    assert_int_equal(change(&c, "v1223"), STATUS_INVALID);
    assert_int_equal(change(&c, "v123 l3"), STATUS_INVALID);
    assert_int_equal(change(&c, "v0"), STATUS_INVALID);
    struct raft_config joint = config("v123");
    joint.outgoing_count = 1;
    joint.outgoing[0] = 1;
    assert_int_equal(core_change(&c, &joint), STATUS_INVALID);
    struct raft_config many = {.voter_count = LIMIT_MEMBERS + 1};
    assert_int_equal(core_change(&c, &many), STATUS_INVALID);
    assert_int_equal(change(&c, "v123"), STATUS_OK);
    core_agree(&c);
    assert_int_equal(change(&c, "v123"), STATUS_OK);
    core_stop(&c);
}

static void rule_c9_a_new_leader_leaves_the_joint_configuration_of_another(void **state)
{
    (void)state;
    struct one_core c;
    struct raft_config joint = config("v124");
    joint.outgoing_count = 3;
    memcpy(joint.outgoing, (node_id[]){1, 2, 3}, 3 * sizeof(node_id));
    core_start(&c, &(struct core_setup){
                       .voters = 3, .term = 1, .terms = {1, 1}, .commit = 1, .last_config = joint});
    core_lead(&c);
    assert_true(is_joint(&c));
    assert_int_equal(raft_last(c.raft).index, 3); /* only its no-op: not established */
    core_settle(&c);
    core_acknowledge(&c, 2, 3);
    assert_false(is_joint(&c));
    assert_int_equal(view(&c).id.index, 4);
    assert_true(slice_equal(view(&c).annex, slice_str("old")));
    core_stop(&c);
}

static void rule_c9_a_joint_configuration_is_left_when_a_transfer_came_to_nothing(void **state)
{
    (void)state;
    struct one_core c;
    core_establish(&c, (struct core_setup){.voters = 3, .learners = 1});
    assert_int_equal(change(&c, "v1234"), STATUS_OK);
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER, .target = 4}),
                     STATUS_OK);
    core_settle(&c);
    core_acknowledge(&c, 2, 2);
    core_acknowledge(&c, 3, 2);
    assert_int_equal(raft_commit(c.raft), 2);
    assert_true(is_joint(&c)); /* the log stands still for the target */
    for (int i = 0; i < CORE_ELECTION_MS / CORE_HEARTBEAT_MS; i++) {
        core_wait(&c, CORE_HEARTBEAT_MS);
        answer(&c, "23");
    }
    assert_false(raft_is_transferring(c.raft));
    assert_false(is_joint(&c));
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_c1_a_change_waits_for_an_entry_of_the_own_term),
        cmocka_unit_test(rule_c1_one_change_at_a_time),
        cmocka_unit_test(rule_c1_no_change_while_leadership_is_handed_over),
        cmocka_unit_test(rule_c1_only_a_leader_changes_members),
        cmocka_unit_test(rule_c2_a_change_of_voters_is_joint_and_in_force_at_once),
        cmocka_unit_test(rule_c2_both_majorities_commit_the_joint_configuration),
        cmocka_unit_test(rule_c2_a_change_of_learners_or_annex_is_one_entry),
        cmocka_unit_test(rule_c2_a_follower_decides_by_what_it_has_appended),
        cmocka_unit_test(rule_c3_a_cut_entry_takes_its_configuration_along),
        cmocka_unit_test(rule_c3_the_first_one_behind_a_snapshot_is_rolled_back_to_the_snapshots),
        cmocka_unit_test(rule_c3_the_configuration_at_the_applied_index_stays_known),
        cmocka_unit_test(rule_c3_a_malformed_configuration_is_dropped),
        cmocka_unit_test(rule_c3_more_configurations_than_the_bound_wait_until_some_are_applied),
        cmocka_unit_test(rule_c4_only_a_learner_that_is_there_and_up_to_date_may_vote),
        cmocka_unit_test(rule_c4_a_learner_far_behind_is_refused),
        cmocka_unit_test(rule_c4_a_change_that_could_not_decide_is_refused),
        cmocka_unit_test(rule_c4b_one_to_three_voters_is_one_change),
        cmocka_unit_test(rule_c5_a_removed_leader_does_not_count_itself_hands_over_and_stops),
        cmocka_unit_test(rule_c5_commit_is_looked_at_again_when_the_quorum_shrinks),
        cmocka_unit_test(rule_q3_a_read_counts_by_the_configuration_at_its_confirmation),
        cmocka_unit_test(rule_c8_nonsense_is_invalid_and_what_is_there_already_is_fine),
        cmocka_unit_test(rule_c9_a_new_leader_leaves_the_joint_configuration_of_another),
        cmocka_unit_test(rule_c9_a_joint_configuration_is_left_when_a_transfer_came_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
