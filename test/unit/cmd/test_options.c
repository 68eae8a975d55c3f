/* Flags, environment, defaults: what wins, what is refused, and what the refusal says. */
#include "cmd/options.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NAME, SIZE, WAIT, COUNT, HOW, PEERS, ASKED, LOUD, ROWS };

static const struct option table[ROWS] = {
    [NAME] = {.name = "name",
              .letter = 'n',
              .type = OPTION_TEXT,
              .unit = "NAME",
              .fallback = "node-1",
              .env = "NODE_ID"},
    [SIZE] = {.name = "max-bytes", .type = OPTION_BYTES, .unit = "SIZE", .max = 1ull << 40},
    [WAIT] = {.name = "wait", .type = OPTION_DURATION, .unit = "TIME", .fallback = "2s"},
    [COUNT] = {.name = "count", .type = OPTION_INTEGER, .unit = "N", .min = 1, .max = 9},
    [HOW] = {.name = "how", .type = OPTION_CHOICE, .unit = "HOW", .choices = "leader|quorum|all"},
    [PEERS] = {.name = "peers", .type = OPTION_URLS, .unit = "URLS", .env = "PEERS"},
    [ASKED] = {.name = "asked", .type = OPTION_URLS, .unit = "URLS", .min = 1},
    [LOUD] = {.name = "loud", .type = OPTION_BOOL, .fallback = "false"},
};

static struct options o;

static int begin(void **state)
{
    (void)state;
    options_init(&o, "conclave test", table, ROWS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    options_deinit(&o);
    unsetenv("NODE_ID");
    unsetenv("PEERS");
    unsetenv("CONCLAVE_NAME");
    unsetenv("CONCLAVE_LOUD");
    unsetenv("CONCLAVE_COUNT");
    return 0;
}

#define READ(...)                                                                                  \
    options_read_arguments(&o, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *),                   \
                           (char *[]){__VA_ARGS__})

static void a_value_may_be_the_next_word_or_follow_an_equals_sign(void **state)
{
    (void)state;
    assert_int_equal(READ("key", "--name", "a", "--count=3", "value", "--loud"), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "a");
    assert_int_equal(options_number(&o, COUNT), 3);
    assert_true(options_is_on(&o, LOUD));
    assert_int_equal(o.argument_count, 2);
    assert_string_equal(o.arguments[1], "value");
}

static void a_letter_is_short_for_its_flag(void **state)
{
    (void)state;
    assert_int_equal(READ("-n", "a"), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "a");
}

static void a_dash_a_negative_number_and_what_follows_two_dashes_are_no_flags(void **state)
{
    (void)state;
    assert_int_equal(READ("-", "-5", "--", "--name"), STATUS_OK);
    assert_int_equal(o.argument_count, 3);
    assert_string_equal(o.arguments[2], "--name");
    assert_null(options_text(&o, NAME));
}

static void an_unknown_flag_is_refused_with_the_one_that_was_meant(void **state)
{
    (void)state;
    assert_int_equal(READ("--naem", "x"), STATUS_INVALID);
    assert_string_equal(options_error(&o), "unknown flag --naem; did you mean --name?");
}

static void a_flag_given_twice_or_without_its_value_is_refused(void **state)
{
    (void)state;
    assert_int_equal(READ("--name", "a", "--name", "b"), STATUS_INVALID);
    assert_string_equal(options_error(&o), "--name is given twice");
    options_deinit(&o);
    begin(NULL);
    assert_int_equal(READ("--count"), STATUS_INVALID);
    assert_string_equal(options_error(&o), "--count needs a value: --count N");
}

static void flag_wins_over_prefixed_variable_over_seed_variable_over_default(void **state)
{
    (void)state;
    setenv("NODE_ID", "seed", 1);
    setenv("CONCLAVE_NAME", "prefixed", 1);
    assert_int_equal(READ("--name", "flag"), STATUS_OK);
    assert_int_equal(options_read_environment(&o, true), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "flag");

    options_deinit(&o);
    begin(NULL);
    assert_int_equal(options_read_environment(&o, true), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "prefixed");
    assert_int_equal(o.values[NAME].origin, OPTION_FROM_ENVIRONMENT);

    options_deinit(&o);
    begin(NULL);
    unsetenv("CONCLAVE_NAME");
    assert_int_equal(options_read_environment(&o, true), STATUS_OK);
    assert_int_equal(options_apply_defaults(&o), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "seed");
    assert_true(options_is_given(&o, NAME));

    options_deinit(&o);
    begin(NULL);
    setenv("NODE_ID", "", 1); /* empty counts as absent */
    assert_int_equal(options_read_environment(&o, true), STATUS_OK);
    assert_int_equal(options_apply_defaults(&o), STATUS_OK);
    assert_string_equal(options_text(&o, NAME), "node-1");
    assert_false(options_is_given(&o, NAME));
}

static void a_verb_without_settings_ignores_prefixed_variables(void **state)
{
    (void)state;
    setenv("CONCLAVE_NAME", "prefixed", 1);
    assert_int_equal(options_read_environment(&o, false), STATUS_OK);
    assert_null(options_text(&o, NAME));
}

static void an_error_names_the_variable_it_came_from(void **state)
{
    (void)state;
    setenv("CONCLAVE_COUNT", "many", 1);
    assert_int_equal(options_read_environment(&o, true), STATUS_INVALID);
    assert_non_null(strstr(options_error(&o), "CONCLAVE_COUNT: \"many\" is not a whole number"));
}

struct number_case {
    size_t row;
    const char *text;
    int64_t expected; /* -1 = refused */
};

static void numbers_are_read_with_their_units_and_nothing_else(void **state)
{
    (void)state;
    static const struct number_case cases[] = {
        {WAIT, "500ms", 500},
        {WAIT, "2s", 2000},
        {WAIT, "10m", 600000},
        {WAIT, "1m30s", 90000},
        {WAIT, "1h", 3600000},
        {WAIT, "5", -1},
        {WAIT, "5 s", -1},
        {WAIT, "-5s", -1},
        {WAIT, "s", -1},
        {WAIT, "", -1},
        {WAIT, "99999999999999999999s", -1},
        {SIZE, "4096", 4096},
        {SIZE, "64KiB", 65536},
        {SIZE, "1.5MiB", 1572864},
        {SIZE, "2GB", 2000000000},
        {SIZE, "1.2345MiB", -1},
        {SIZE, "64kib", -1},
        {SIZE, "2TiB", -1}, /* beyond max */
        {SIZE, "18446744073709551615TiB", -1},
        {COUNT, "9", 9},
        {COUNT, "10", -1},
        {COUNT, "0", -1},
        {COUNT, "3x", -1},
        {COUNT, "0x3", -1},
        {HOW, "all", 2},
        {HOW, "al", -1},
        {HOW, "leader|quorum", -1},
        {LOUD, "true", 1},
        {LOUD, "0", 0},
        {LOUD, "yes", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct number_case *c = &cases[i];
        enum status status = options_set(&o, c->row, OPTION_FROM_FLAG, "--x", c->text);
        if (status != (c->expected < 0 ? STATUS_INVALID : STATUS_OK)) {
            fail_msg("%s: %s", c->text, status_name(status));
        }
        if (c->expected >= 0 && options_number(&o, c->row) != (uint64_t)c->expected) {
            fail_msg("%s", c->text);
        }
        options_deinit(&o);
        begin(NULL);
    }
}

static void lists_drop_empty_items_and_put_addresses_in_one_form(void **state)
{
    (void)state;
    assert_int_equal(READ("--peers", ",http://a:1/, b:2,,"), STATUS_OK);
    assert_int_equal(o.values[PEERS].item_count, 2);
    assert_string_equal(o.values[PEERS].items[0], "http://a:1");
    assert_string_equal(o.values[PEERS].items[1], "http://b:2");
}

static void a_list_that_names_nobody_is_refused_where_somebody_is_needed(void **state)
{
    (void)state;
    assert_int_equal(READ("--peers", "", "--asked", "a:1"), STATUS_OK);
    assert_int_equal(o.values[PEERS].item_count, 0);
    for (int i = 0; i < 2; i++) {
        options_deinit(&o);
        begin(NULL);
        assert_int_equal(READ("--asked", i == 0 ? "" : " ,"), STATUS_INVALID);
        assert_non_null(strstr(options_error(&o), "names no address"));
    }
}

static void a_bad_address_in_a_list_is_named(void **state)
{
    (void)state;
    assert_int_equal(READ("--peers", "http://a:1,ftp://b:2"), STATUS_INVALID);
    assert_non_null(strstr(options_error(&o), "\"ftp://b:2\""));
}

static void variables_are_named_after_flags(void **state)
{
    (void)state;
    char *name = options_env_name("heartbeat-ms");
    assert_string_equal(name, "CONCLAVE_HEARTBEAT_MS");
    mem_free(name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_may_be_the_next_word_or_follow_an_equals_sign),
        TEST(a_letter_is_short_for_its_flag),
        TEST(a_dash_a_negative_number_and_what_follows_two_dashes_are_no_flags),
        TEST(an_unknown_flag_is_refused_with_the_one_that_was_meant),
        TEST(a_flag_given_twice_or_without_its_value_is_refused),
        TEST(flag_wins_over_prefixed_variable_over_seed_variable_over_default),
        TEST(a_verb_without_settings_ignores_prefixed_variables),
        TEST(an_error_names_the_variable_it_came_from),
        TEST(numbers_are_read_with_their_units_and_nothing_else),
        TEST(lists_drop_empty_items_and_put_addresses_in_one_form),
        TEST(a_list_that_names_nobody_is_refused_where_somebody_is_needed),
        TEST(a_bad_address_in_a_list_is_named),
        TEST(variables_are_named_after_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
