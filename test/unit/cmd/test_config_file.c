/* The settings file: YAML or JSON, one for all members, every mistake with its line. */
#include "cmd/config_file.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NAME, LISTEN, PEERS, BEAT, CONFIG, ROWS };

static const struct option table[ROWS] = {
    [NAME] = {.name = "name", .type = OPTION_TEXT, .fallback = "node-1"},
    [LISTEN] = {.name = "listen", .type = OPTION_TEXT},
    [PEERS] = {.name = "peers", .type = OPTION_URLS},
    [BEAT] = {.name = "heartbeat-ms", .type = OPTION_INTEGER, .min = 1, .max = 1000},
    [CONFIG] = {.name = "config", .type = OPTION_TEXT, .command_line_only = true},
};

static struct options o;

static int begin(void **state)
{
    (void)state;
    options_init(&o, "conclave server", table, ROWS);
    return 0;
}

static int end(void **state)
{
    (void)state;
    options_deinit(&o);
    return 0;
}

static enum status read_text(const char *text)
{
    char path[] = "/tmp/conclave-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    enum status status = config_file_read(&o, path, NAME);
    unlink(path);
    return status;
}

/* The text is refused, and the message has `words` in it. */
static void assert_refused(const char *text, const char *words)
{
    options_deinit(&o);
    begin(NULL);
    assert_int_equal(read_text(text), STATUS_INVALID);
    if (strstr(options_error(&o), words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", options_error(&o), words);
    }
}

static void yaml_sets_what_flags_left_open(void **state)
{
    (void)state;
    assert_int_equal(options_set(&o, LISTEN, OPTION_FROM_FLAG, "--listen", "127.0.0.1:1"),
                     STATUS_OK);
    assert_int_equal(read_text("# all members\nlisten: 127.0.0.1:2\nheartbeat-ms: 70\n"
                               "peers:\n  - http://a:1\n  - http://b:2\n"),
                     STATUS_OK);
    assert_string_equal(options_text(&o, LISTEN), "127.0.0.1:1");
    assert_int_equal(options_number(&o, BEAT), 70);
    assert_int_equal(o.values[PEERS].item_count, 2);
    assert_int_equal(o.values[BEAT].origin, OPTION_FROM_FILE);
}

static void json_is_read_as_well(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\n\t\"listen\": \"127.0.0.1:2\",\n\t\"peers\": [\"http://a:1\"],\n"
                               "\t\"members\": {\"node-1\": {\"heartbeat-ms\": 9}}\n}\n"),
                     STATUS_OK);
    assert_string_equal(options_text(&o, LISTEN), "127.0.0.1:2");
    assert_int_equal(options_number(&o, BEAT), 9);
}

static const char shared_file[] = "heartbeat-ms: 50\nmembers:\n  node-1: {heartbeat-ms: 1}\n"
                                  "  node-2: {heartbeat-ms: 2, listen: \"127.0.0.1:2\"}\n";

static void a_member_takes_its_own_part_over_the_common_one(void **state)
{
    (void)state;
    assert_int_equal(options_set(&o, NAME, OPTION_FROM_FLAG, "--name", "node-2"), STATUS_OK);
    assert_int_equal(read_text(shared_file), STATUS_OK);
    assert_int_equal(options_number(&o, BEAT), 2);
    assert_string_equal(options_text(&o, LISTEN), "127.0.0.1:2");
}

static void a_member_that_is_not_named_takes_the_common_part(void **state)
{
    (void)state;
    assert_int_equal(options_set(&o, NAME, OPTION_FROM_FLAG, "--name", "node-3"), STATUS_OK);
    assert_int_equal(read_text(shared_file), STATUS_OK);
    assert_int_equal(options_number(&o, BEAT), 50);
    assert_null(options_text(&o, LISTEN));
}

static void without_a_name_the_files_own_or_the_default_counts(void **state)
{
    (void)state;
    assert_int_equal(read_text(shared_file), STATUS_OK);
    assert_int_equal(options_number(&o, BEAT), 1);
    options_deinit(&o);
    begin(NULL);
    assert_int_equal(read_text("name: b\nmembers: {b: {heartbeat-ms: 7}}\n"), STATUS_OK);
    assert_int_equal(options_number(&o, BEAT), 7);
}

static void unknown_keys_are_refused_with_their_line(void **state)
{
    (void)state;
    assert_refused("listen: a:1\n\nhartbeat-ms: 5\n",
                   ":3: unknown key \"hartbeat-ms\"; did you mean heartbeat-ms?");
    assert_refused("members:\n  node-9:\n    listne: x\n", ":3: unknown key \"listne\"");
    assert_refused("config: x\n", ":1: unknown key \"config\"");
}

static void keys_given_twice_are_refused(void **state)
{
    (void)state;
    assert_refused("listen: a:1\nlisten: a:2\n", ":2: listen: given twice, first on line 1");
    assert_refused("members: {a: {}}\nmembers: {b: {}}\n", ":2: members: given twice");
    assert_refused("members:\n  a: {}\n  a: {}\n", ":3: members: \"a\" is given twice");
}

static void anchors_aliases_and_tags_are_refused(void **state)
{
    (void)state;
    assert_refused("listen: &x a:1\n", ":1: anchors (&) and aliases (*)");
    assert_refused("listen: a:1\npeers: *x\n", ":2: ");
    assert_refused("listen: !!str a:1\n", ":1: tags (!)");
    assert_refused("members: &all {}\n", ":1: anchors");
}

static void bad_values_name_file_line_and_key(void **state)
{
    (void)state;
    assert_refused("listen: a:1\nheartbeat-ms: soon\n",
                   ":2: heartbeat-ms: \"soon\" is not a whole");
    /* Also in the part of another member: one file serves all. */
    assert_refused("members: {node-7: {heartbeat-ms: 0}}\n",
                   ":1: heartbeat-ms: \"0\" is out of range");
    assert_refused("listen:\n", ":1: listen: needs a value");
    assert_refused("listen: ~\n", ":1: listen: needs a value");
    assert_refused("listen: [a, b]\n", ":1: listen: needs a single value");
    assert_refused("listen: {a: b}\n", ":1: listen: needs a single value");
    assert_refused("peers: [[a]]\n", ":1: peers: a list of single values");
    assert_refused("members: {node-1: {name: x}}\n", ":1: name: cannot be set inside members");
}

static void what_is_no_map_of_settings_is_refused(void **state)
{
    (void)state;
    assert_refused("- a\n- b\n", ":1: a settings file is a map");
    assert_refused("just text\n", ":1: a settings file is a map");
    assert_refused("members: [a]\n", ":1: members: needs keys and values");
    assert_refused("listen: a:1\n---\nlisten: b:1\n", "more than one document");
    assert_refused("listen: \"a\nb: {\n", "not readable as YAML or JSON");
    assert_refused("{\"listen\": \"a:1\",\n \"peers\": }}\n", ":2: ");
    assert_refused("? [a]\n: b\n", ":1: a key must be a single word");
    assert_refused("\x01\n", "not readable");
}

static void an_empty_file_sets_nothing_and_a_missing_one_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(read_text("# nothing\n"), STATUS_OK);
    assert_int_equal(config_file_read(&o, "/nonexistent/conclave.yaml", NAME), STATUS_INVALID);
    assert_non_null(strstr(options_error(&o), "/nonexistent/conclave.yaml: No such file"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(yaml_sets_what_flags_left_open),
        TEST(json_is_read_as_well),
        TEST(a_member_takes_its_own_part_over_the_common_one),
        TEST(a_member_that_is_not_named_takes_the_common_part),
        TEST(without_a_name_the_files_own_or_the_default_counts),
        TEST(unknown_keys_are_refused_with_their_line),
        TEST(keys_given_twice_are_refused),
        TEST(anchors_aliases_and_tags_are_refused),
        TEST(bad_values_name_file_line_and_key),
        TEST(what_is_no_map_of_settings_is_refused),
        TEST(an_empty_file_sets_nothing_and_a_missing_one_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
