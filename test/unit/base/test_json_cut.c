/* Stepping through a JSON object; arrays and single members are in client/test_json_text.c. */
#include "base/json_cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect_next(struct slice *rest, const char *name, const char *value)
{
    struct slice found_name;
    struct slice found;
    assert_true(json_text_next_member(rest, &found_name, &found));
    assert_true(slice_equal(found_name, slice_str(name)));
    assert_true(slice_equal(found, slice_str(value)));
}

static void expect_end(struct slice rest)
{
    struct slice name;
    struct slice value;
    assert_false(json_text_next_member(&rest, &name, &value));
}

static void members_come_in_order_as_they_are_written(void **state)
{
    (void)state;
    struct slice rest =
        slice_str(" { \"a\" : 1.0 ,\"b\\\"\":{\"a\":[1,\"}\"]},\"\":\"x,\\\"y\",\"a\":null } ");
    expect_next(&rest, "a", "1.0");
    expect_next(&rest, "b\\\"", "{\"a\":[1,\"}\"]}");
    expect_next(&rest, "", "\"x,\\\"y\"");
    expect_next(&rest, "a", "null");
    expect_end(rest);
}

static void what_is_empty_or_no_object_has_none(void **state)
{
    (void)state;
    expect_end(slice_str("{}"));
    expect_end(slice_str(" { } "));
    expect_end(slice_str(""));
    expect_end(slice_str("[1]"));
}

/* The last one keeps what it was asked to fill. */
static void a_member_that_is_missing_leaves_the_value_alone(void **state)
{
    (void)state;
    struct slice value = slice_str("before");
    assert_false(json_text_member(slice_str("{\"a\":1}"), "b", &value));
    assert_true(slice_equal(value, slice_str("before")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_order_as_they_are_written),
        cmocka_unit_test(what_is_empty_or_no_object_has_none),
        cmocka_unit_test(a_member_that_is_missing_leaves_the_value_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
