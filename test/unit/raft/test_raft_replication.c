/* One core as follower and as leader: the rules of consensus.md A2, and the bounds. */
#include "one_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* An append of leader 2 in `term` after {prev_term, prev}, with entries of these terms. */
static void append(struct one_core *c, raft_term term, struct entry_id prev, raft_index commit,
                   uint32_t count, const raft_term *terms)
{
    struct raft_entry entries[8] = {0};
    for (uint32_t i = 0; i < count; i++) {
        entries[i].term = terms[i];
    }
    struct raft_message m = core_message(c, RAFT_MSG_APPEND, 2, term);
    m.last = prev;
    m.commit = commit;
    m.entries = entries;
    m.entry_count = count;
    m.round = 3;
    m.sent_ms = 7;
    core_deliver(c, &m);
}

#define TERMS(...)                                                                                 \
    sizeof((const raft_term[]){__VA_ARGS__}) / sizeof(raft_term), (const raft_term[])              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static struct entry_id at(raft_term term, raft_index index)
{
    return (struct entry_id){.term = term, .index = index};
}

static raft_term term_of(const struct one_core *c, raft_index index)
{
    raft_term term = 0;
    return raft_term_at(c->raft, index, &term) ? term : 0;
}

/* --- a follower ------------------------------------------------------------------------------- */

static void rule_r1_an_old_append_that_comes_late_cuts_nothing(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1, 1, 1, 1}});
    append(&c, 1, at(1, 1), 0, TERMS(1)); /* shorter than the log (M5) */
    append(&c, 1, at(1, 2), 0, 0, NULL);
    assert_int_equal(raft_last(c.raft).index, 4);
    assert_false(core_saw(&c, RAFT_EVENT_TRUNCATED));
    core_stop(&c);
}

static void rule_r1_a_real_conflict_cuts_from_there(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c,
               &(struct core_setup){.voters = 3, .term = 2, .commit = 2, .terms = {1, 1, 2, 2, 2}});
    append(&c, 3, at(1, 2), 2, TERMS(2, 3));
    assert_true(core_saw(&c, RAFT_EVENT_TRUNCATED));
    assert_int_equal(raft_last(c.raft).index, 4);
    assert_int_equal(term_of(&c, 3), 2);
    assert_int_equal(term_of(&c, 4), 3);
    assert_int_equal(term_of(&c, 5), 0);
    assert_int_equal(c.out.persist.truncate_from, 4);
    assert_int_equal(c.out.persist.first, 4);
    core_stop(&c);
}

static void rule_r1_what_is_committed_is_never_cut(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .commit = 3, .terms = {1, 1, 2}});
    append(&c, 3, at(1, 1), 3, TERMS(3)); /* impossible: dropped, not believed, no abort */
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    assert_int_equal(raft_last(c.raft).index, 3);
    append(&c, 3, at(1, 3), 3, 0, NULL);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    core_stop(&c);
}

static void rule_r2_a_follower_commits_only_what_the_message_verified(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .terms = {1, 1, 1}});
    append(&c, 2, at(1, 2), 3, 0, NULL); /* entry 3 here is stale (M6) */
    assert_int_equal(raft_commit(c.raft), 2);
    append(&c, 2, at(1, 2), 9, TERMS(2));
    assert_int_equal(raft_commit(c.raft), 3);
    assert_int_equal(term_of(&c, 3), 2);
    core_stop(&c);
}

static void rule_r5_an_append_is_acknowledged_when_it_is_durable(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1, 1}});
    append(&c, 1, at(1, 2), 0, TERMS(1, 1));
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND_REPLY, 2);
    assert_int_equal(m->match, 2); /* the part that is */
    assert_int_equal(m->round, 3);
    assert_int_equal(m->sent_ms, 7);
    append(&c, 1, at(1, 2), 0, TERMS(1, 1)); /* a duplicate waits like the first (M10) */
    assert_null(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2));
    append(&c, 1, at(1, 4), 0, 0, NULL); /* so does an empty one */
    assert_null(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2));
    core_persisted(&c);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_APPEND_REPLY), 1); /* one for all of them */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 4);
    append(&c, 1, at(1, 4), 0, 0, NULL); /* nothing to wait for */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 4);
    core_stop(&c);
}

static void rule_r5_nothing_beyond_what_was_verified_is_acknowledged(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .terms = {1, 1, 1, 1}});
    append(&c, 2, at(1, 2), 0, 0, NULL); /* M9 */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 2);
    struct raft_message beat = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 2);
    beat.round = 4;
    core_deliver(&c, &beat);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2)->match, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2)->round, 4);
    core_stop(&c);
}

static void rule_r5_no_answer_before_the_term_is_durable(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1, 1}});
    append(&c, 5, at(1, 2), 0, 0, NULL);
    assert_int_equal(c.out.message_count, 0);
    core_persisted(&c);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 2);
    core_stop(&c);
}

static void rule_r6_a_refusal_points_below_the_conflicting_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 5, .terms = {1, 1, 4, 4, 4}});
    append(&c, 5, at(5, 9), 0, 0, NULL); /* the log is shorter */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->hint.index, 5);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->probe, 9);
    append(&c, 5, at(3, 5), 0, 0, NULL); /* all of term 4 is skipped at once */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->hint.index, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->hint.term, 1);
    core_stop(&c);
}

static void rule_r9_a_completion_does_not_speak_for_what_was_overwritten_meanwhile(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}});
    append(&c, 1, at(1, 1), 0, TERMS(1, 1)); /* 2 and 3 are being written */
    append(&c, 2, at(1, 2), 0, TERMS(2));    /* 3 is another entry now (M12) */
    core_persisted(&c);
    assert_int_equal(raft_durable(c.raft), 2);
    assert_int_equal(c.out.persist.truncate_from, 3);
    assert_int_equal(c.out.persist.first, 3);
    assert_int_equal(c.out.persist.entries[0].term, 2);
    assert_null(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2));
    core_persisted(&c);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND_REPLY, 2)->match, 3);
    core_stop(&c);
}

static void rule_r9_what_is_being_written_outlives_its_truncation(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    struct blob *payload = blob_copy(slice_str("held"));
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_COMMAND, .payload = payload};
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND, 2, 1);
    m.entries = &entry;
    m.entry_count = 1;
    core_deliver(&c, &m);
    const struct raft_persist persist = c.out.persist;
    append(&c, 2, at(0, 0), 0, TERMS(2));
    assert_int_equal(payload->refs, 2); /* this test and the write */
    assert_int_equal(persist.entries[0].payload->size, 4);
    core_persisted(&c);
    assert_int_equal(payload->refs, 1);
    blob_unref(payload);
    core_stop(&c);
}

static void rule_r10_only_what_is_committed_and_durable_here_is_applied(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}});
    append(&c, 1, at(1, 1), 3, TERMS(1, 1));
    assert_int_equal(raft_commit(c.raft), 3);
    assert_int_equal(c.out.apply_to, 1);
    core_persisted(&c);
    assert_int_equal(c.out.apply_to, 3);
    core_stop(&c);
}

static void rule_p7_the_floor_told_to_the_disk_is_durable_before_that_write(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}});
    append(&c, 1, at(1, 1), 3, TERMS(1, 1));
    assert_int_equal(c.out.persist.count, 2);
    assert_int_equal(c.out.persist.commit, 1); /* the write may be cut short: 2 and 3 may be lost */
    core_persisted(&c);
    append(&c, 1, at(1, 3), 3, TERMS(1));
    assert_int_equal(c.out.persist.commit, 3);
    core_stop(&c);
}

static void rule_r12_an_absent_entry_has_no_term(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1}});
    raft_term term = 9;
    assert_false(raft_term_at(c.raft, 0, &term));
    assert_false(raft_term_at(c.raft, 2, &term));
    assert_true(raft_term_at(c.raft, 1, &term));
    assert_null(raft_entry_at(c.raft, 2));
    core_stop(&c);
}

static void impossible_messages_are_dropped_and_counted(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .terms = {1, 1}});
    const struct raft_entry falling[] = {{.term = 3}, {.term = 2}};
    const struct raft_entry future[] = {{.term = 4}};
    const struct raft_entry odd[] = {{.term = 3, .type = (enum raft_entry_type)9}};
    struct raft_message base = core_message(&c, RAFT_MSG_APPEND, 2, 3);
    struct raft_message cases[7];
    for (size_t i = 0; i < 7; i++) {
        cases[i] = base;
    }
    cases[0].entries = falling;
    cases[0].entry_count = 2;
    cases[1].entries = future;
    cases[1].entry_count = 1;
    cases[2].entries = odd;
    cases[2].entry_count = 1;
    cases[3].entry_count = 1; /* and no entries */
    cases[4].last = at(0, 1);
    cases[5].last = at(4, 1); /* newer than its sender */
    cases[6].from = 1;        /* from myself */
    for (size_t i = 0; i < 7; i++) {
        core_deliver(&c, &cases[i]);
        assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
        assert_int_equal(c.out.message_count, 0);
        assert_int_equal(raft_last(c.raft).index, 2);
    }
    core_stop(&c);
}

/* A heartbeat tells what this member acknowledged (rule R2): beyond its log means that the disk has
 * forgotten. Neither contact nor an answer; the caller stops the member. */
static void a_member_that_lost_what_it_acknowledged_says_so(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .terms = {1, 1}});
    struct raft_message beat = core_message(&c, RAFT_MSG_HEARTBEAT, 2, 3);
    beat.round = 1;
    beat.commit = 3;
    core_deliver(&c, &beat);
    assert_true(core_saw(&c, RAFT_EVENT_AMNESIA));
    assert_int_equal(c.out.message_count, 0);
    beat.commit = 2;
    core_deliver(&c, &beat);
    assert_false(core_saw(&c, RAFT_EVENT_AMNESIA));
    assert_non_null(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2));
    core_stop(&c);
}

/* --- a leader --------------------------------------------------------------------------------- */

static void
rule_r13_a_new_leader_appends_a_noop_and_is_established_when_it_is_committed(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1, 1}});
    core_lead(&c);
    assert_int_equal(raft_last(c.raft).index, 3);
    assert_int_equal(raft_entry_at(c.raft, 3)->type, RAFT_ENTRY_NOOP);
    assert_false(raft_leader_is_established(c.raft));
    core_persisted(&c);
    core_acknowledge(&c, 2, 3);
    assert_true(raft_leader_is_established(c.raft));
    assert_int_equal(raft_commit(c.raft), 3);
    core_stop(&c);
}

static void rule_r3_entries_of_older_terms_are_not_committed_by_counting(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .terms = {1, 1}});
    core_lead(&c);
    core_persisted(&c);
    core_acknowledge(&c, 2, 2); /* a majority has entry 2, of term 1 (M7) */
    assert_int_equal(raft_commit(c.raft), 0);
    core_acknowledge(&c, 2, 3);
    assert_int_equal(raft_commit(c.raft), 3);
    core_stop(&c);
}

static void rule_r3_learners_do_not_count(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .learners = 2});
    core_lead(&c);
    core_persisted(&c);
    core_acknowledge(&c, 4, 1);
    core_acknowledge(&c, 5, 1); /* M37 */
    assert_int_equal(raft_commit(c.raft), 0);
    core_acknowledge(&c, 3, 1);
    assert_int_equal(raft_commit(c.raft), 1);
    core_stop(&c);
}

static void rule_r8_appends_leave_before_the_own_sync_which_counts_when_it_is_done(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_APPEND), 2); /* the no-op, at once */
    core_acknowledge(&c, 2, 1);
    assert_int_equal(raft_commit(c.raft), 0); /* M11 */
    core_persisted(&c);
    assert_int_equal(raft_commit(c.raft), 1);
    core_stop(&c);
}

static void rule_r8_a_majority_without_the_leader_commits(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_acknowledge(&c, 2, 1);
    core_acknowledge(&c, 3, 1);
    assert_int_equal(raft_commit(c.raft), 1);
    assert_int_equal(c.out.apply_to, 0); /* rule R10 */
    core_stop(&c);
}

static void establish(struct one_core *c, struct core_setup setup)
{
    setup.voters = setup.voters != 0 ? setup.voters : 3;
    core_start(c, &setup);
    core_lead(c);
    core_persisted(c);
    raft_index last = raft_last(c->raft).index;
    for (node_id id = 2; id <= setup.voters; id++) {
        core_acknowledge(c, id, last);
    }
    core_wait(c, 0);
}

static void rule_r2_a_heartbeat_tells_no_more_than_the_receiver_acknowledged(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_persisted(&c);
    core_acknowledge(&c, 2, 1);
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 2)->commit, 1);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)->commit, 0);
    core_stop(&c);
}

static void rule_r4_acks_and_refusals_that_are_old_news_change_nothing(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.terms = {1, 1}, .term = 1});
    struct raft_progress_view before;
    struct raft_progress_view after;
    assert_true(raft_progress_of(c.raft, 2, &before));
    core_acknowledge(&c, 2, 1); /* M8 */
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, 2);
    m.reject = true;
    m.probe = 2;
    core_deliver(&c, &m);
    assert_true(raft_progress_of(c.raft, 2, &after));
    assert_int_equal(after.match, before.match);
    assert_int_equal(after.next, before.next);
    assert_false(after.probing);
    core_acknowledge(&c, 2, 99); /* more than there is */
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    core_stop(&c);
}

static void rule_r6_a_probe_skips_a_whole_term_and_never_goes_below_match(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 3, .terms = {1, 1, 3, 3, 3, 3}});
    core_lead(&c);
    struct raft_message m = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, 4);
    m.reject = true;
    m.probe = 6;
    m.hint = at(2, 5); /* it has term 2 where this log has term 3 */
    core_deliver(&c, &m);
    assert_true(core_saw(&c, RAFT_EVENT_CONFLICT));
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->last.index, 2);
    m.probe = 6; /* the same refusal again is stale (rule R4) */
    m.hint = at(0, 0);
    core_deliver(&c, &m);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    core_acknowledge(&c, 2, 2);
    m.probe = 3; /* a reordered one that points below what is matched */
    m.hint = at(0, 0);
    core_deliver(&c, &m);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->last.index, 2);
    core_stop(&c);
}

static void rule_r7_the_window_is_bounded_in_messages(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.inflight_messages_max = 2}});
    uint32_t sent = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(core_propose(&c, 10), STATUS_OK);
        sent += core_sent(&c, RAFT_MSG_APPEND, 2) != NULL;
    }
    assert_int_equal(sent, 2);
    core_acknowledge(&c, 2, 2); /* one place is free: all that gathered goes in one message */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->entry_count, 3);
    core_stop(&c);
}

static void rule_r7_the_window_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.inflight_bytes_max = 1000}});
    assert_int_equal(core_propose(&c, 900), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    assert_int_equal(core_propose(&c, 900), STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    assert_int_equal(core_propose(&c, 900), STATUS_OK);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    core_stop(&c);
}

static void rule_r7_a_lost_window_is_found_out_by_an_empty_append(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.inflight_messages_max = 1}});
    assert_int_equal(core_propose(&c, 10), STATUS_OK); /* lost */
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 2); /* M33 */
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 2);
    assert_non_null(m);
    assert_int_equal(m->entry_count, 0);
    assert_int_equal(m->last.index, 2);
    struct raft_message refusal = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, 1);
    refusal.reject = true;
    refusal.probe = 2;
    refusal.hint = at(1, 1);
    core_deliver(&c, &refusal);
    m = core_sent(&c, RAFT_MSG_APPEND, 2);
    assert_int_equal(m->last.index, 1);
    assert_int_equal(m->entry_count, 1);
    core_stop(&c);
}

static void rule_r7_a_lost_probe_is_repeated_after_a_heartbeat_is_answered(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c); /* the probes with the no-op are lost */
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 2)); /* one at a time */
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->entry_count, 2);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 3));
    core_stop(&c);
}

static void rule_r7_unreachable_means_probing_from_what_is_certain_once_it_answers(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    struct raft_input gone = {.kind = RAFT_INPUT_UNREACHABLE, .target = 2};
    assert_int_equal(core_step(&c, &gone), STATUS_OK);
    assert_int_equal(c.out.message_count, 0); /* or the host would drop it, and say so, for ever */
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_null(core_sent(&c, RAFT_MSG_APPEND, 2));
    core_echo(&c, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->last.index, 1);
    struct raft_progress_view view;
    assert_true(raft_progress_of(c.raft, 2, &view));
    assert_true(view.probing);
    core_stop(&c);
}

static void rule_r14_proposals_of_a_turn_share_an_append_and_those_of_a_sync_a_persist(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    struct raft_entry entries[3] = {
        {.type = RAFT_ENTRY_COMMAND}, {.type = RAFT_ENTRY_COMMAND}, {.type = RAFT_ENTRY_COMMAND}};
    struct raft_input input = {.kind = RAFT_INPUT_PROPOSE,
                               .now_ms = c.now_ms,
                               .propose = {.entries = entries, .count = 3}};
    assert_int_equal(raft_step(c.raft, &input), STATUS_OK);
    input.propose.count = 1;
    assert_int_equal(core_step(&c, &input), STATUS_OK);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_APPEND), 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->entry_count, 4);
    assert_int_equal(c.out.persist.count, 4); /* the disk was idle: at once */
    assert_int_equal(core_step(&c, &input), STATUS_OK);
    assert_int_equal(core_step(&c, &input), STATUS_OK);
    assert_false(c.out.has_persist); /* one outstanding */
    core_persisted(&c);
    assert_int_equal(c.out.persist.count, 2); /* what gathered meanwhile */
    core_stop(&c);
}

static void rule_r14_a_new_commit_index_is_told_without_waiting_for_a_heartbeat(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    core_persisted(&c);
    core_acknowledge(&c, 2, 2);
    assert_int_equal(raft_commit(c.raft), 2);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_HEARTBEAT, 2);
    assert_int_equal(m->commit, 2);
    assert_int_equal(m->round, 0); /* a notice, not a question */
    assert_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 3));
    core_acknowledge(&c, 3, 2);
    assert_int_equal(core_sent(&c, RAFT_MSG_HEARTBEAT, 3)->commit, 2);
    core_wait(&c, 0);
    assert_int_equal(c.out.message_count, 0); /* once */
    core_stop(&c);
}

static void rule_r14_a_new_commit_index_rides_on_an_append_when_there_is_one(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){0});
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    core_persisted(&c);
    struct raft_message ack = core_message(&c, RAFT_MSG_APPEND_REPLY, 2, 1);
    ack.match = 2;
    assert_int_equal(raft_step(c.raft, &(struct raft_input){.now_ms = c.now_ms,
                                                            .kind = RAFT_INPUT_MESSAGE,
                                                            .message = &ack}),
                     STATUS_OK);
    assert_int_equal(core_propose(&c, 10), STATUS_OK);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 2)->commit, 2);
    assert_null(core_sent(&c, RAFT_MSG_HEARTBEAT, 2));
    core_stop(&c);
}

static void rule_o1_proposals_beyond_the_bounds_are_refused_before_they_are_appended(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){
                      .options = {.uncommitted_bytes_max = 100, .uncommitted_entries_max = 2}});
    assert_int_equal(core_propose(&c, 500), STATUS_OK); /* alone, anything may pass */
    assert_int_equal(core_propose(&c, 1), STATUS_OVERLOADED);
    assert_int_equal(raft_last(c.raft).index, 2);
    core_settle(&c);
    core_acknowledge(&c, 2, 2);
    assert_int_equal(core_propose(&c, 60), STATUS_OK); /* rule O2: committed bytes are given back */
    assert_int_equal(core_propose(&c, 60), STATUS_OVERLOADED);
    assert_int_equal(core_propose(&c, 40), STATUS_OK);
    assert_int_equal(core_propose(&c, 0 + 1), STATUS_OVERLOADED);
    core_stop(&c);
}

static void a_follower_takes_no_proposals(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    assert_int_equal(core_propose(&c, 8), STATUS_NOT_LEADER);
    core_stop(&c);
}

static void rule_r11_persists_are_bounded_and_make_progress(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.persist_bytes_max = 1}});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(core_propose(&c, 50), STATUS_OK);
    }
    for (raft_index i = 2; i <= 4; i++) {
        assert_int_equal(raft_durable(c.raft), i - 1);
        core_persisted(&c);
    }
    assert_int_equal(raft_durable(c.raft), 4);
    assert_false(c.out.has_persist);
    core_stop(&c);
}

static void entries_that_left_memory_are_read_back_for_a_slow_follower(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.tail_bytes_max = 1}});
    for (int i = 0; i < 3; i++) {
        assert_int_equal(core_propose(&c, 8), STATUS_OK);
    }
    core_settle(&c);
    core_acknowledge(&c, 2, 4);
    assert_int_equal(c.out.apply_to, 4);
    struct raft_input applied = {.kind = RAFT_INPUT_APPLIED, .index = 4};
    assert_int_equal(core_step(&c, &applied), STATUS_OK);
    assert_null(raft_entry_at(c.raft, 4));
    /* Member 3 lost everything after 1. */
    struct raft_input gone = {.kind = RAFT_INPUT_UNREACHABLE, .target = 3};
    assert_int_equal(core_step(&c, &gone), STATUS_OK);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 3)->entry_count, 0); /* a probe needs none */
    assert_false(c.out.load.wanted);
    core_acknowledge(&c, 3, 1);
    assert_true(c.out.load.wanted);
    assert_int_equal(c.out.load.first, 2);
    assert_int_equal(c.out.load.last, 4);
    core_wait(&c, 1);
    assert_false(c.out.load.wanted); /* one at a time */
    struct raft_input none = {.kind = RAFT_INPUT_LOADED, .loaded = {.first = 2}};
    assert_int_equal(core_step(&c, &none), STATUS_OK);
    assert_false(c.out.load.wanted); /* not in a busy loop */
    core_wait(&c, CORE_HEARTBEAT_MS);
    assert_true(c.out.load.wanted);
    const struct raft_entry read[] = {{.term = 1, .type = RAFT_ENTRY_COMMAND},
                                      {.term = 1, .type = RAFT_ENTRY_COMMAND}};
    struct raft_input loaded = {.kind = RAFT_INPUT_LOADED,
                                .loaded = {.first = 2, .entries = read, .count = 2}};
    assert_int_equal(core_step(&c, &loaded), STATUS_OK);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_APPEND, 3);
    assert_true(m->bulk);
    assert_int_equal(m->last.index, 1);
    assert_int_equal(m->entry_count, 2);
    assert_true(c.out.load.wanted); /* the rest */
    assert_int_equal(c.out.load.first, 4);
    core_stop(&c);
}

/* Two lanes keep no common order: what overtakes is refused, and sent again at once, and again. */
static void rule_r7_entries_do_not_overtake_those_on_the_slow_lane(void **state)
{
    (void)state;
    struct one_core c;
    establish(&c, (struct core_setup){.options = {.tail_bytes_max = 1}});
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    core_settle(&c);
    core_acknowledge(&c, 2, 2);
    struct raft_input applied = {.kind = RAFT_INPUT_APPLIED, .index = 2};
    assert_int_equal(core_step(&c, &applied), STATUS_OK);
    assert_null(raft_entry_at(c.raft, 2));
    struct raft_input gone = {.kind = RAFT_INPUT_UNREACHABLE, .target = 3};
    assert_int_equal(core_step(&c, &gone), STATUS_OK);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    core_acknowledge(&c, 3, 1);
    assert_true(c.out.load.wanted);
    const struct raft_entry read[] = {{.term = 1, .type = RAFT_ENTRY_COMMAND}};
    struct raft_input loaded = {.kind = RAFT_INPUT_LOADED,
                                .loaded = {.first = 2, .entries = read, .count = 1}};
    assert_int_equal(core_step(&c, &loaded), STATUS_OK);
    assert_true(core_sent(&c, RAFT_MSG_APPEND, 3)->bulk);
    assert_int_equal(core_propose(&c, 8), STATUS_OK); /* this one is in memory */
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 3)->last.index, 2);
    assert_true(core_sent(&c, RAFT_MSG_APPEND, 3)->bulk);
    assert_false(core_sent(&c, RAFT_MSG_APPEND, 2)->bulk);
    /* Nor does the question whether they are lost. */
    core_wait(&c, 2 * CORE_HEARTBEAT_MS);
    core_echo(&c, 3);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 3)->entry_count, 0);
    assert_true(core_sent(&c, RAFT_MSG_APPEND, 3)->bulk);
    core_acknowledge(&c, 3, 3);
    assert_int_equal(core_propose(&c, 8), STATUS_OK);
    assert_int_equal(core_sent(&c, RAFT_MSG_APPEND, 3)->last.index, 3);
    assert_false(core_sent(&c, RAFT_MSG_APPEND, 3)->bulk);
    core_stop(&c);
}

static void a_log_whose_term_is_newer_than_the_recovered_one_is_taken_over(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 2, .vote = 3, .terms = {1, 5}});
    assert_int_equal(raft_term_now(c.raft), 5);
    assert_int_equal(raft_vote(c.raft), 0);
    core_wait(&c, 0);
    assert_true(c.out.persist.hard_state);
    core_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_r1_an_old_append_that_comes_late_cuts_nothing),
        cmocka_unit_test(rule_r1_a_real_conflict_cuts_from_there),
        cmocka_unit_test(rule_r1_what_is_committed_is_never_cut),
        cmocka_unit_test(rule_r2_a_follower_commits_only_what_the_message_verified),
        cmocka_unit_test(rule_r5_an_append_is_acknowledged_when_it_is_durable),
        cmocka_unit_test(rule_r5_nothing_beyond_what_was_verified_is_acknowledged),
        cmocka_unit_test(rule_r5_no_answer_before_the_term_is_durable),
        cmocka_unit_test(rule_r6_a_refusal_points_below_the_conflicting_term),
        cmocka_unit_test(rule_r9_a_completion_does_not_speak_for_what_was_overwritten_meanwhile),
        cmocka_unit_test(rule_r9_what_is_being_written_outlives_its_truncation),
        cmocka_unit_test(rule_r10_only_what_is_committed_and_durable_here_is_applied),
        cmocka_unit_test(rule_p7_the_floor_told_to_the_disk_is_durable_before_that_write),
        cmocka_unit_test(rule_r12_an_absent_entry_has_no_term),
        cmocka_unit_test(impossible_messages_are_dropped_and_counted),
        cmocka_unit_test(a_member_that_lost_what_it_acknowledged_says_so),
        cmocka_unit_test(
            rule_r13_a_new_leader_appends_a_noop_and_is_established_when_it_is_committed),
        cmocka_unit_test(rule_r3_entries_of_older_terms_are_not_committed_by_counting),
        cmocka_unit_test(rule_r3_learners_do_not_count),
        cmocka_unit_test(rule_r8_appends_leave_before_the_own_sync_which_counts_when_it_is_done),
        cmocka_unit_test(rule_r8_a_majority_without_the_leader_commits),
        cmocka_unit_test(rule_r2_a_heartbeat_tells_no_more_than_the_receiver_acknowledged),
        cmocka_unit_test(rule_r4_acks_and_refusals_that_are_old_news_change_nothing),
        cmocka_unit_test(rule_r6_a_probe_skips_a_whole_term_and_never_goes_below_match),
        cmocka_unit_test(rule_r7_the_window_is_bounded_in_messages),
        cmocka_unit_test(rule_r7_the_window_is_bounded_in_bytes),
        cmocka_unit_test(rule_r7_a_lost_window_is_found_out_by_an_empty_append),
        cmocka_unit_test(rule_r7_a_lost_probe_is_repeated_after_a_heartbeat_is_answered),
        cmocka_unit_test(rule_r7_unreachable_means_probing_from_what_is_certain_once_it_answers),
        cmocka_unit_test(
            rule_r14_proposals_of_a_turn_share_an_append_and_those_of_a_sync_a_persist),
        cmocka_unit_test(rule_r14_a_new_commit_index_is_told_without_waiting_for_a_heartbeat),
        cmocka_unit_test(rule_r14_a_new_commit_index_rides_on_an_append_when_there_is_one),
        cmocka_unit_test(rule_o1_proposals_beyond_the_bounds_are_refused_before_they_are_appended),
        cmocka_unit_test(a_follower_takes_no_proposals),
        cmocka_unit_test(rule_r11_persists_are_bounded_and_make_progress),
        cmocka_unit_test(entries_that_left_memory_are_read_back_for_a_slow_follower),
        cmocka_unit_test(rule_r7_entries_do_not_overtake_those_on_the_slow_lane),
        cmocka_unit_test(a_log_whose_term_is_newer_than_the_recovered_one_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
