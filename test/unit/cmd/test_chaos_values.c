/* Which values a key may have under chaos (row D13): every wrong one is found, and nothing that may
 * be is called wrong. */
#include "cmd/chaos_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct chaos_values values;

static int begin(void **state)
{
    (void)state;
    values = (struct chaos_values){0};
    return 0;
}

static int end(void **state)
{
    (void)state;
    chaos_values_deinit(&values);
    return 0;
}

/* The next value of key 1. */
static uint32_t issue(enum chaos_outcome outcome)
{
    uint32_t value;
    do {
        value = chaos_values_issue(&values);
    } while (chaos_values_key(value) != 1);
    chaos_values_tell(&values, value, outcome);
    return value;
}

static bool is_right(uint64_t value)
{
    char why[128];
    return chaos_values_judge(&values, 1, value, false, why, sizeof(why)) == NULL;
}

static bool is_right_stale(uint64_t value)
{
    char why[128];
    return chaos_values_judge(&values, 1, value, true, why, sizeof(why)) == NULL;
}

static void row_d13_what_was_acknowledged_is_read_and_nothing_older(void **state)
{
    (void)state;
    assert_true(is_right(0));
    uint32_t old = issue(CHAOS_WRITTEN);
    uint32_t now = issue(CHAOS_WRITTEN);
    assert_true(is_right(now));
    assert_false(is_right(old));
    assert_false(is_right(0));
    assert_true(is_right_stale(old) && is_right_stale(now) && is_right_stale(0));
}

static void row_d13_what_was_refused_or_never_written_is_wrong_also_when_stale(void **state)
{
    (void)state;
    uint32_t now = issue(CHAOS_WRITTEN);
    uint32_t refused = issue(CHAOS_REFUSED);
    const uint64_t wrong[] = {refused, now + 1 /* of another key */, refused + CHAOS_KEYS,
                              UINT64_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(is_right(wrong[i]));
        assert_false(is_right_stale(wrong[i]));
    }
}

static void row_d13_an_unknown_write_may_take_effect_once_at_any_time(void **state)
{
    (void)state;
    uint32_t first = issue(CHAOS_WRITTEN);
    uint32_t lost = issue(CHAOS_UNKNOWN);
    uint32_t open = issue(CHAOS_UNKNOWN);
    assert_true(is_right_stale(open)); /* which says nothing of the order */
    assert_true(is_right(first));
    assert_true(is_right(open));
    assert_false(is_right(first)); /* overwritten by what was seen */
    uint32_t last = issue(CHAOS_WRITTEN);
    assert_true(is_right(last));
    assert_false(is_right(open)); /* it had its time */
    assert_true(is_right(lost));  /* this one had none yet */
    assert_false(is_right(last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_d13_what_was_acknowledged_is_read_and_nothing_older,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            row_d13_what_was_refused_or_never_written_is_wrong_also_when_stale, begin, end),
        cmocka_unit_test_setup_teardown(row_d13_an_unknown_write_may_take_effect_once_at_any_time,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
