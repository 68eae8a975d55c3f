/* A log with a beginning, followers that need a snapshot, and how one is taken in: rules R12 and S3
 * to S7. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void compact(struct one_core *c, struct entry_id id, raft_index first)
{
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_COMPACTED,
                                             .compact = {.id = id, .first = first}});
}

static void applied(struct one_core *c, raft_index index)
{
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_APPLIED, .index = index});
}

static enum status install_of(struct one_core *c, struct entry_id id, raft_term term)
{
    static const struct raft_config config = {.voter_count = 3, .voters = {1, 2, 3}};
    return core_step(
        c, &(struct raft_input){
               .kind = RAFT_INPUT_INSTALL,
               .install = {.id = id, .term = term, .config_index = 0, .config = &config}});
}

static enum status install(struct one_core *c, raft_term term, raft_index index)
{
    return install_of(c, (struct entry_id){.term = term, .index = index}, 0);
}

static void heartbeat(struct one_core *c, raft_term term, uint64_t round)
{
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT, 2, term);
    m.round = round;
    m.sent_ms = c->now_ms;
    core_deliver(c, &m);
}

/* An append of `count` entries, all of the sender's term, behind `last`. */
static void append(struct one_core *c, raft_term term, struct entry_id last, uint32_t count)
{
    struct raft_entry entries[16] = {0};
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

/* A leader of three with entries 1 to 10 committed and applied; `3` is far behind. */
static void lead_with_ten(struct one_core *c)
{
    core_start(c, &(struct core_setup){.voters = 3});
    core_lead(c);
    core_settle(c);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(core_propose(c, 8), STATUS_OK);
        core_settle(c);
    }
    core_acknowledge(c, 2, 10);
    applied(c, 10);
}

static void refuse_from_3(struct one_core *c, raft_index probe, struct entry_id hint)
{
    struct raft_message m = core_message(c, RAFT_MSG_APPEND_REPLY, 3, raft_term_now(c->raft));
    m.reject = true;
    m.probe = probe;
    m.hint = hint;
    m.sent_ms = c->now_ms;
    core_deliver(c, &m);
}

static void sent(struct one_core *c, bool ok)
{
    (void)!core_step(
        c, &(struct raft_input){.kind = RAFT_INPUT_SNAPSHOT_SENT, .sent = {.member = 3, .ok = ok}});
}

/* --- the log's beginning ---------------------------------------------------------------------- */

static void rule_r12_below_the_base_nothing_has_a_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){
                       .voters = 3, .term = 3, .base = {.term = 2, .index = 5}, .terms = {2, 3}});
    raft_term term = 0;
    assert_int_equal(raft_first(c.raft), 6);
    assert_true(raft_term_at(c.raft, 5, &term));
    assert_int_equal(term, 2);
    assert_false(raft_term_at(c.raft, 4, &term));
    assert_true(raft_term_at(c.raft, 7, &term));
    assert_int_equal(term, 3);
    assert_null(raft_entry_at(c.raft, 5));
    core_stop(&c);
}

static void rule_r12_an_empty_log_ends_with_its_base(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .base = {.term = 2, .index = 5}});
    assert_int_equal(raft_last(c.raft).index, 5);
    assert_int_equal(raft_last(c.raft).term, 2);
    append(&c, 3, (struct entry_id){.term = 2, .index = 5}, 1);
    assert_int_equal(raft_last(c.raft).index, 6);
    core_stop(&c);
}

static void an_append_that_reaches_below_the_base_brings_what_is_above(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){
                       .voters = 3, .term = 3, .base = {.term = 3, .index = 5}, .terms = {3}});
    append(&c, 3, (struct entry_id){.term = 3, .index = 2}, 6); /* 3 to 8 */
    assert_int_equal(raft_last(c.raft).index, 8);
    core_settle(&c);
    const struct raft_message *reply = core_sent(&c, RAFT_MSG_APPEND_REPLY, 2);
    assert_non_null(reply);
    assert_int_equal(reply->match, 8);
    /* one that ends below it changes nothing and is answered with what is committed */
    append(&c, 3, (struct entry_id){.term = 3, .index = 1}, 2);
    assert_int_equal(raft_last(c.raft).index, 8);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 8);
    /* one that has another entry there is of no leader */
    append(&c, 4, (struct entry_id){.term = 3, .index = 3}, 4);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    core_stop(&c);
}

static void rule_r6_no_hint_points_below_what_is_committed(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c,
               &(struct core_setup){
                   .voters = 3, .term = 4, .base = {.term = 2, .index = 5}, .terms = {4, 4, 4}});
    append(&c, 5, (struct entry_id){.term = 3, .index = 7}, 1);
    core_settle(&c);
    const struct raft_message *reply = core_sent(&c, RAFT_MSG_APPEND_REPLY, 2);
    assert_non_null(reply);
    assert_true(reply->reject);
    assert_int_equal(reply->hint.index, 5);
    assert_int_equal(reply->hint.term, 2);
    core_stop(&c);
}

/* --- the leader ------------------------------------------------------------------------------- */

static void rule_s7_a_member_below_the_log_gets_one_snapshot_and_only_heartbeats(void **state)
{
    (void)state;
    struct one_core c;
    lead_with_ten(&c);
    compact(&c, (struct entry_id){.term = 1, .index = 9}, 8);
    refuse_from_3(&c, 0, (struct entry_id){0}); /* an old one: it means nothing */
    assert_int_equal(core_sent_count(&c, RAFT_MSG_SNAPSHOT), 0);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_UNREACHABLE, .target = 3});
    assert_int_equal(core_sent_count(&c, RAFT_MSG_SNAPSHOT), 0); /* it may be dead */
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_SNAPSHOT, 3);
    assert_non_null(m);
    assert_int_equal(m->last.index, 9);
    assert_int_equal(m->last.term, 1);
    struct raft_progress_view view;
    assert_true(raft_progress_of(c.raft, 3, &view));
    assert_true(view.needs_snapshot);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(core_propose(&c, 8), STATUS_OK);
        core_settle(&c);
        core_wait(&c, CORE_HEARTBEAT_MS);
        assert_non_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)); /* rule S6 */
        core_echo(&c, 3);
        assert_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 0));
        assert_null(core_sent(&c, RAFT_MSG_APPEND, 3));
        assert_false(c.out.load.wanted);
        struct raft_message alive = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
        alive.sent_ms = c.now_ms;
        core_deliver(&c, &alive);
    }
    core_stop(&c);
}

/* Until the need for a snapshot is told. */
static void need_snapshot(struct one_core *c)
{
    lead_with_ten(c);
    compact(c, (struct entry_id){.term = 1, .index = 9}, 8);
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_UNREACHABLE, .target = 3});
    core_wait(c, CORE_HEARTBEAT_MS);
    core_echo(c, 3);
    assert_non_null(core_sent(c, RAFT_MSG_SNAPSHOT, 3));
}

static void rule_s7_any_progress_that_reaches_the_log_ends_the_need(void **state)
{
    (void)state;
    struct one_core c;
    need_snapshot(&c);
    core_acknowledge(&c, 3, 6);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 3));
    core_acknowledge(&c, 3, 7); /* first - 1, of whatever snapshot */
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 3);
    assert_non_null(m);
    assert_int_equal(m->last.index, 7);
    struct raft_progress_view view;
    assert_true(raft_progress_of(c.raft, 3, &view));
    assert_false(view.needs_snapshot);
    assert_false(view.probing);
    core_stop(&c);
}

static void rule_s7_what_was_sent_is_asked_for_and_what_was_not_is_sent_again(void **state)
{
    (void)state;
    struct one_core c;
    need_snapshot(&c);
    sent(&c, false);
    assert_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3)); /* not at once */
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_non_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3));
    sent(&c, true);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 3));
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 3);
    assert_non_null(m);
    assert_int_equal(m->last.index, 9);
    refuse_from_3(&c, 9, (struct entry_id){.term = 1, .index = 2}); /* it did not arrive */
    assert_non_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3));
    core_stop(&c);
}

static void rule_s7_a_snapshot_that_ends_with_the_log_is_asked_for_too(void **state)
{
    (void)state;
    struct one_core c;
    lead_with_ten(&c);
    compact(&c, (struct entry_id){.term = 1, .index = 10}, 11);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_UNREACHABLE, .target = 3});
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    assert_non_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3));
    sent(&c, true);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 3);
    assert_non_null(m);
    assert_int_equal(m->last.index, 10);
    assert_int_equal(m->entry_count, 0);
    core_stop(&c);
}

static void rule_s7_an_unreachable_member_gets_another_try(void **state)
{
    (void)state;
    struct one_core c;
    need_snapshot(&c);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_UNREACHABLE, .target = 3});
    assert_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3));
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    assert_non_null(core_sent(&c, RAFT_MSG_SNAPSHOT, 3));
    core_stop(&c);
}

/* --- taken in --------------------------------------------------------------------------------- */

static void rule_s3_a_log_without_the_snapshots_end_is_void(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c,
               &(struct core_setup){.voters = 3, .term = 3, .commit = 2, .terms = {1, 1, 2, 2}});
    heartbeat(&c, 3, 1);
    assert_int_equal(install(&c, 3, 9), STATUS_OK);
    assert_int_equal(raft_first(c.raft), 10);
    assert_int_equal(raft_commit(c.raft), 9);
    assert_true(c.out.has_persist);
    assert_int_equal(c.out.persist.install.index, 9);
    assert_true(c.out.persist.discard);
    assert_int_equal(c.out.persist.first, 10);
    assert_int_equal(c.out.persist.commit, 2); /* either log holds so much */
    assert_int_equal(c.out.restore.index, 0);
    assert_int_equal(c.out.apply_to, 0); /* nothing of the old log any more */
    assert_int_equal(raft_durable(c.raft), 2);
    core_persisted(&c);
    assert_int_equal(c.out.restore.index, 9);
    assert_int_equal(c.out.restore.term, 3);
    assert_int_equal(c.out.apply_to, 9);
    assert_true(core_saw(&c, RAFT_EVENT_INSTALLED));
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 9);
    applied(&c, 9);
    assert_int_equal(c.out.restore.index, 0); /* once */
    core_stop(&c);
}

static void rule_s3_a_log_that_has_the_snapshots_end_goes_on(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c,
               &(struct core_setup){.voters = 3, .term = 2, .commit = 1, .terms = {1, 1, 2, 2, 2}});
    heartbeat(&c, 2, 1);
    assert_int_equal(install(&c, 2, 3), STATUS_OK);
    assert_int_equal(raft_last(c.raft).index, 5);
    assert_int_equal(raft_commit(c.raft), 3);
    assert_int_equal(c.out.persist.install.index, 3);
    assert_false(c.out.persist.discard);
    core_persisted(&c);
    assert_int_equal(c.out.restore.index, 3);
    assert_int_equal(raft_durable(c.raft), 5);
    core_stop(&c);
}

static void rule_s3_a_log_that_is_kept_reaches_the_snapshot_on_disk_first(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){
                       .voters = 3, .term = 2, .terms = {1}, .options = {.persist_bytes_max = 1}});
    append(&c, 2, (struct entry_id){.term = 1, .index = 1}, 3); /* 2 to 4, a persist each */
    assert_int_equal(install(&c, 2, 3), STATUS_OK);
    core_persisted(&c);
    assert_int_equal(c.out.persist.first, 3);
    assert_int_equal(c.out.persist.count, 1);
    assert_int_equal(c.out.persist.install.index, 3);
    assert_int_equal(c.out.restore.index, 0);
    core_persisted(&c);
    assert_int_equal(c.out.restore.index, 3);
    core_settle(&c);
    core_stop(&c);
}

static void rule_s3_what_is_committed_here_needs_no_snapshot(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c,
               &(struct core_setup){.voters = 3, .term = 2, .commit = 3, .terms = {1, 1, 2, 2}});
    assert_int_equal(install(&c, 2, 3), STATUS_CONFLICT);
    assert_int_equal(install(&c, 1, 1), STATUS_CONFLICT);
    assert_false(c.out.has_persist);
    core_stop(&c);
}

static void rule_s3_a_leader_needs_no_snapshot_and_a_candidate_stands_back(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_settle(&c);
    assert_int_equal(install(&c, 5, 50), STATUS_CONFLICT);
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    core_stop(&c);

    core_start(&c, &(struct core_setup){.voters = 3});
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    assert_int_equal(install_of(&c, (struct entry_id){.term = 4, .index = 50}, 7), STATUS_OK);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(raft_term_now(c.raft), 7); /* of the leader that sent it */
    core_settle(&c);
    assert_int_equal(raft_last(c.raft).index, 50);
    core_stop(&c);
}

static void rule_s3_a_persist_of_the_void_log_says_nothing_of_the_new_one(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .terms = {1}});
    append(&c, 2, (struct entry_id){.term = 1, .index = 1}, 4); /* 2 to 5: being written */
    assert_true(c.writing);
    assert_int_equal(install(&c, 2, 9), STATUS_OK);
    assert_false(c.out.has_persist); /* one at a time */
    core_persisted(&c);              /* of the old entries */
    assert_int_equal(raft_durable(c.raft), 0);
    assert_int_equal(c.out.restore.index, 0);
    assert_true(c.out.has_persist);
    assert_int_equal(c.out.persist.install.index, 9);
    append(&c, 2, (struct entry_id){.term = 2, .index = 9}, 2);
    core_persisted(&c);
    assert_int_equal(c.out.restore.index, 9);
    assert_int_equal(raft_durable(c.raft), 9);
    assert_int_equal(c.out.persist.first, 10);
    core_settle(&c);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 11);
    core_stop(&c);
}

static void rule_s5_until_it_is_durable_there_is_no_campaign_and_no_second_one(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .terms = {1}});
    heartbeat(&c, 2, 1);
    assert_int_equal(install(&c, 2, 9), STATUS_OK);
    assert_int_equal(install(&c, 2, 12), STATUS_BUSY);
    struct raft_message now = core_message(&c, RAFT_MSG_TIMEOUT_NOW, 2, 2);
    core_deliver(&c, &now);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_wait(&c, 5 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_persisted(&c);
    assert_int_equal(c.out.restore.index, 9);
    heartbeat(&c, 2, 2);
    core_deliver(&c, &now); /* rule E9: it is not applied yet */
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_int_equal(install(&c, 2, 12), STATUS_BUSY);
    applied(&c, 9);
    assert_int_equal(install(&c, 2, 12), STATUS_OK);
    core_settle(&c);
    assert_int_equal(c.out.restore.index, 12);
    applied(&c, 12);
    heartbeat(&c, 2, 3);
    core_deliver(&c, &now);
    assert_int_equal(raft_role(c.raft), RAFT_CANDIDATE);
    core_stop(&c);
}

static void rule_s1_the_snapshots_configuration_is_in_force(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .terms = {1}});
    const struct raft_config config = {
        .voter_count = 2, .voters = {1, 4}, .outgoing_count = 3, .outgoing = {1, 2, 3}};
    enum status s = core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_INSTALL,
                                                       .install = {.id = {.term = 2, .index = 9},
                                                                   .config_index = 8,
                                                                   .config = &config,
                                                                   .annex = slice_str("names")}});
    assert_int_equal(s, STATUS_OK);
    core_settle(&c);
    struct raft_config_view view;
    raft_config_view(c.raft, &view);
    assert_int_equal(view.id.index, 8);
    assert_true(view.committed);
    assert_int_equal(view.config->outgoing_count, 3);
    assert_true(slice_equal(view.annex, slice_str("names")));
    assert_true(raft_config_at(c.raft, 9, &view));
    assert_false(raft_config_at(c.raft, 7, &view));
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_r12_below_the_base_nothing_has_a_term),
        cmocka_unit_test(rule_r12_an_empty_log_ends_with_its_base),
        cmocka_unit_test(an_append_that_reaches_below_the_base_brings_what_is_above),
        cmocka_unit_test(rule_r6_no_hint_points_below_what_is_committed),
        cmocka_unit_test(rule_s7_a_member_below_the_log_gets_one_snapshot_and_only_heartbeats),
        cmocka_unit_test(rule_s7_any_progress_that_reaches_the_log_ends_the_need),
        cmocka_unit_test(rule_s7_what_was_sent_is_asked_for_and_what_was_not_is_sent_again),
        cmocka_unit_test(rule_s7_a_snapshot_that_ends_with_the_log_is_asked_for_too),
        cmocka_unit_test(rule_s7_an_unreachable_member_gets_another_try),
        cmocka_unit_test(rule_s3_a_log_without_the_snapshots_end_is_void),
        cmocka_unit_test(rule_s3_a_log_that_has_the_snapshots_end_goes_on),
        cmocka_unit_test(rule_s3_a_log_that_is_kept_reaches_the_snapshot_on_disk_first),
        cmocka_unit_test(rule_s3_what_is_committed_here_needs_no_snapshot),
        cmocka_unit_test(rule_s3_a_leader_needs_no_snapshot_and_a_candidate_stands_back),
        cmocka_unit_test(rule_s3_a_persist_of_the_void_log_says_nothing_of_the_new_one),
        cmocka_unit_test(rule_s5_until_it_is_durable_there_is_no_campaign_and_no_second_one),
        cmocka_unit_test(rule_s1_the_snapshots_configuration_is_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
