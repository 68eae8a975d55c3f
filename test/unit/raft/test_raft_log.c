/* The log and the progress of a member against dumb twins that keep everything in plain arrays. */
#include "raft/progress.h"
#include "raft/raft_log.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ENTRIES_MAX 400

struct twin {
    raft_term terms[ENTRIES_MAX + 1]; /* by index */
    raft_index last;
    raft_index base; /* what is below is gone */
};

static struct entry_id twin_find_below(const struct twin *t, struct entry_id at)
{
    raft_index index = at.index < t->last ? at.index : t->last;
    while (index > t->base && t->terms[index] > at.term) {
        index--;
    }
    if (index < t->base || t->terms[index] > at.term) {
        return (struct entry_id){0};
    }
    return (struct entry_id){.term = t->terms[index], .index = index};
}

static void compare(const struct raft_log *log, const struct twin *t, struct rng *r)
{
    assert_int_equal(log->last, t->last);
    assert_int_equal(raft_log_first(log), t->base + 1);
    assert_int_equal(raft_log_last(log).term, t->terms[t->last]);
    for (int i = 0; i < 5; i++) {
        raft_index index = rng_below(r, t->last + 3);
        raft_term term = 0;
        bool known = index >= t->base && index <= t->last;
        assert_int_equal(raft_log_term(log, index, &term), known);
        assert_true(!known || term == t->terms[index]);
        struct entry_id at = {.term = rng_below(r, 30), .index = index};
        struct entry_id found = raft_log_find_below(log, at);
        struct entry_id expected = twin_find_below(t, at);
        assert_int_equal(found.index, expected.index);
        assert_int_equal(found.term, expected.term);
        struct raft_span span = raft_log_span(log, index);
        if (index >= raft_log_tail_first(log) && index <= t->last) {
            assert_int_equal(span.entries->term, t->terms[index]);
            assert_int_equal(span.count, t->last - index + 1);
        } else {
            assert_null(span.entries);
        }
    }
}

static void rule_r12_the_log_agrees_with_a_plain_array(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r;
        rng_init(&r, seed);
        struct raft_log log;
        struct twin twin = {0};
        raft_log_init(&log, &(struct raft_restored){.tail_first = 1});
        raft_term term = 1;
        for (int i = 0; i < 600; i++) {
            uint64_t what = rng_below(&r, 11);
            if (what < 7 && twin.last < ENTRIES_MAX) {
                term += rng_below(&r, 6) == 0;
                struct blob *payload = blob_create(rng_below(&r, 20));
                raft_log_append(&log, &(struct raft_entry){.term = term, .payload = payload});
                blob_unref(payload);
                twin.terms[++twin.last] = term;
            } else if (what == 7 && log.count > 0) {
                raft_index from = rng_between(&r, raft_log_tail_first(&log), twin.last);
                raft_log_truncate(&log, from);
                twin.last = from - 1;
            } else if (what == 10 && rng_below(&r, 8) == 0) {
                raft_index first = rng_between(&r, 1, twin.last + 1);
                raft_log_compact(&log, first);
                twin.base = first - 1 > twin.base ? first - 1 : twin.base;
            } else if (what == 8) {
                raft_log_trim(&log, rng_below(&r, twin.last + 1), rng_below(&r, 600));
            }
            compare(&log, &twin, &r);
        }
        raft_log_deinit(&log);
    }
}

static void a_trimmed_log_keeps_what_may_not_go_and_stops_at_the_bound(void **state)
{
    (void)state;
    struct raft_log log;
    raft_log_init(&log, &(struct raft_restored){.tail_first = 1});
    const struct raft_entry entry = {.term = 1};
    for (int i = 0; i < 10; i++) {
        raft_log_append(&log, &entry);
    }
    raft_log_trim(&log, 10, 5 * RAFT_ENTRY_OVERHEAD);
    assert_int_equal(raft_log_tail_first(&log), 6);
    raft_log_trim(&log, 7, 0);
    assert_int_equal(raft_log_tail_first(&log), 8);
    raft_log_trim(&log, 10, 0);
    assert_int_equal(log.count, 0);
    assert_int_equal(raft_log_last(&log).index, 10);
    raft_log_append(&log, &entry);
    assert_int_equal(raft_log_tail_first(&log), 11);
    raft_log_deinit(&log);
}

static void rule_r6_a_long_divergence_takes_one_probe_a_term(void **state)
{
    (void)state;
    /* Leader: terms 1, then odd ones; follower: the same prefix, then even ones. 100 000 entries,
     * 50 terms each: the probes are bounded by the terms, not by the entries. */
    struct raft_log leader;
    struct raft_log follower;
    raft_log_init(&leader, &(struct raft_restored){.tail_first = 1});
    raft_log_init(&follower, &(struct raft_restored){.tail_first = 1});
    for (int i = 0; i < 10; i++) {
        raft_log_append(&leader, &(struct raft_entry){.term = 1});
        raft_log_append(&follower, &(struct raft_entry){.term = 1});
    }
    for (raft_term term = 2; term <= 101; term++) {
        for (int i = 0; i < 2000; i++) {
            raft_log_append(term % 2 == 1 ? &leader : &follower,
                            &(struct raft_entry){.term = term});
        }
    }
    struct entry_id probe = raft_log_last(&leader);
    int probes = 1;
    while (!raft_log_has(&follower, probe)) {
        struct entry_id hint = raft_log_find_below(&follower, probe);
        struct entry_id next = raft_log_find_below(&leader, hint);
        assert_true(next.index < probe.index);
        probe = next;
        probes++;
    }
    assert_int_equal(probe.index, 10); /* exactly where they part */
    assert_true(probes <= 102);
    raft_log_deinit(&leader);
    raft_log_deinit(&follower);
}

/* --- progress --------------------------------------------------------------------------------- */

static const struct progress_bounds bounds = {
    .messages_max = 3, .bytes_max = 100, .patience_ms = 20};

static void sent(struct progress *p, struct inflight_slot slot)
{
    progress_on_sent(p, &slot);
}

static bool refused(struct progress *p, struct progress_refusal refusal)
{
    return progress_on_refusal(p, &refusal);
}

static void rule_r7_a_probe_waits_and_acceptance_opens_the_window(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, bounds);
    progress_reset(&p, 5, 0);
    assert_false(progress_is_paused(&p));
    sent(&p, (struct inflight_slot){7, 30, 1});
    assert_true(progress_is_paused(&p));
    assert_int_equal(p.next, 5);
    progress_on_match(&p, 4);
    progress_on_accept(&p);
    assert_false(p.probing);
    assert_int_equal(p.next, 8); /* 5..7 are on their way */
    assert_int_equal(p.inflight.count, 1);
    progress_on_match(&p, 7);
    assert_int_equal(p.inflight.bytes, 0);
    progress_deinit(&p);
}

static void rule_r7_the_window_counts_messages_and_bytes_and_gives_both_back(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, bounds);
    progress_reset(&p, 1, 0);
    progress_on_accept(&p);
    sent(&p, (struct inflight_slot){1, 10, 1});
    sent(&p, (struct inflight_slot){2, 10, 2});
    assert_false(progress_is_paused(&p));
    sent(&p, (struct inflight_slot){3, 10, 3});
    assert_true(progress_is_paused(&p)); /* three messages */
    progress_on_match(&p, 2);
    sent(&p, (struct inflight_slot){4, 95, 4});
    assert_true(progress_is_paused(&p)); /* 105 bytes */
    progress_on_match(&p, 3);
    assert_false(progress_is_paused(&p));
    assert_int_equal(p.inflight.bytes, 95);
    progress_on_unreachable(&p, 50);
    assert_int_equal(p.inflight.bytes, 0);
    assert_int_equal(p.next, 4);
    assert_true(progress_is_paused(&p));
    assert_false(progress_retry_probe(&p, 49)); /* the answer to an older heartbeat */
    assert_true(progress_retry_probe(&p, 50));
    assert_false(progress_is_paused(&p));
    progress_deinit(&p);
}

static void rule_r4_match_never_falls_and_old_refusals_are_ignored(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, bounds);
    progress_reset(&p, 10, 0);
    assert_true(progress_on_match(&p, 5));
    assert_false(progress_on_match(&p, 3));
    assert_int_equal(p.match, 5);
    assert_false(refused(&p, (struct progress_refusal){5, 1})); /* it has 5: an old one */
    assert_false(
        refused(&p, (struct progress_refusal){7, 6})); /* not the probe that is out, which is 9 */
    assert_true(refused(&p, (struct progress_refusal){9, 2}));
    assert_int_equal(p.next, 6); /* not at or below match (M8) */
    progress_deinit(&p);
}

static void rule_r7_a_nudge_comes_once_a_patience_and_only_for_what_is_late(void **state)
{
    (void)state;
    struct progress p;
    progress_init(&p, bounds);
    progress_reset(&p, 1, 0);
    progress_on_accept(&p);
    assert_false(progress_take_nudge(&p, 100));
    sent(&p, (struct inflight_slot){1, 10, 100});
    assert_false(progress_take_nudge(&p, 119));
    assert_true(progress_take_nudge(&p, 120));
    assert_false(progress_take_nudge(&p, 121));
    assert_true(progress_take_nudge(&p, 140));
    progress_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_r12_the_log_agrees_with_a_plain_array),
        cmocka_unit_test(a_trimmed_log_keeps_what_may_not_go_and_stops_at_the_bound),
        cmocka_unit_test(rule_r6_a_long_divergence_takes_one_probe_a_term),
        cmocka_unit_test(rule_r7_a_probe_waits_and_acceptance_opens_the_window),
        cmocka_unit_test(rule_r7_the_window_counts_messages_and_bytes_and_gives_both_back),
        cmocka_unit_test(rule_r4_match_never_falls_and_old_refusals_are_ignored),
        cmocka_unit_test(rule_r7_a_nudge_comes_once_a_patience_and_only_for_what_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
