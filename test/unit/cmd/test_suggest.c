/* "Did you mean": near words are offered, far ones are not. */
#include "cmd/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *nearest(const char *typed)
{
    static const char *const known[] = {"server", "cluster", "put",       "get",    "del",
                                        "ls",     "status",  "step-down", "version"};
    struct suggestion s = suggestion_of(typed);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        suggestion_offer(&s, known[i]);
    }
    return s.best;
}

static void one_wrong_missing_added_or_swapped_letter_is_one_step(void **state)
{
    (void)state;
    assert_int_equal(suggest_distance("status", "status"), 0);
    assert_int_equal(suggest_distance("ststus", "status"), 1);
    assert_int_equal(suggest_distance("statu", "status"), 1);
    assert_int_equal(suggest_distance("statuss", "status"), 1);
    assert_int_equal(suggest_distance("sttaus", "status"), 1);
    assert_int_equal(suggest_distance("", "get"), 3);
}

static void the_nearest_verb_is_meant(void **state)
{
    (void)state;
    assert_string_equal(nearest("sevrer"), "server");
    assert_string_equal(nearest("pit"), "put");
    assert_string_equal(nearest("step-dwon"), "step-down");
    assert_string_equal(nearest("clutser"), "cluster");
}

static void a_word_like_none_suggests_nothing(void **state)
{
    (void)state;
    assert_null(nearest("frobnicate"));
    assert_null(nearest("x"));
    char huge[1000];
    memset(huge, 'a', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    assert_null(nearest(huge));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_wrong_missing_added_or_swapped_letter_is_one_step),
        cmocka_unit_test(the_nearest_verb_is_meant),
        cmocka_unit_test(a_word_like_none_suggests_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
