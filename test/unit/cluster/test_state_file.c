/* The file of --state-file: row E5. */
#include "scratch.h"

#include "cluster/state_file.h"

#include "base/mem.h"
#include "client/client.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SCRATCH_PATH_SIZE];
static char *path;
static char *detail;
static struct state_file *file;

static int begin(void **state)
{
    (void)state;
    path = scratch_make(dir, "state") ? mem_printf("%s/config.json", dir) : NULL;
    return path != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    scratch_remove(dir);
    mem_free(path);
    mem_free(detail);
    detail = NULL;
    return 0;
}

static struct node_view view_of(uint64_t term, uint64_t number)
{
    struct node_view v = {.term = term, .number = number, .count = 2};
    for (uint32_t i = 0; i < v.count; i++) {
        struct node_view_item *item = &v.items[i];
        snprintf(item->name, sizeof(item->name), "node-%u", i + 1);
        snprintf(item->address.host, sizeof(item->address.host), "127.0.0.1");
        item->address.port = (uint16_t)(4001 + i);
        item->presence = i == 0 ? NODE_LEADS : NODE_OFFLINE;
        item->connections = i == 0 ? 5 : 0;
    }
    return v;
}

static json_int_t version_now(void)
{
    json_t *json = json_load_file(path, 0, NULL);
    json_int_t version =
        json_integer_value(json_object_get(json_object_get(json, "cluster_info"), "last_version"));
    json_decref(json);
    return version;
}

static void wait_for_version(json_int_t version)
{
    for (int waited = 0; version_now() != version; waited++) {
        assert_true(waited < 10000);
        client_sleep_ms(1);
    }
}

static void row_e5_the_file_has_the_shape_of_the_row(void **state)
{
    (void)state;
    assert_int_equal(state_file_open(path, "node-1", &file, &detail), STATUS_OK);
    struct node_view v = view_of(4, 17);
    state_file_keep(file, &v);
    state_file_close(file); /* writes what is not written yet */
    json_t *json = json_load_file(path, 0, NULL);
    json_t *expected = json_pack(
        "{s:{s:s,s:I,s:i},s:{s:{s:s,s:s,s:i,s:i,s:s,s:i},s:{s:s,s:s,s:i,s:i,s:s,s:i}}}",
        "cluster_info", "leader", "node-1", "last_version", (json_int_t)4000000017, "node number",
        2, "nodes", "node-1", "id", "node-1", "ip", "127.0.0.1", "port", 4001, "service port", 4001,
        "status", "LEADER", "load", 5, "node-2", "id", "node-2", "ip", "127.0.0.1", "port", 4002,
        "service port", 4002, "status", "OFFLINE", "load", 0);
    assert_non_null(expected);
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
}

static void row_e5_only_the_newest_view_counts_and_nothing_else_is_left(void **state)
{
    (void)state;
    assert_int_equal(state_file_open(path, "node-1", &file, &detail), STATUS_OK);
    struct node_view none = {0};
    state_file_keep(file, &none);
    state_file_keep(NULL, &none);
    for (uint64_t number = 1; number <= 300; number++) {
        struct node_view v = view_of(1, number);
        state_file_keep(file, &v);
        state_file_keep(file, &v);
    }
    state_file_close(file);
    assert_int_equal(version_now(), 1000000300);
    char *temporary = mem_printf("%s.node-1.tmp", path);
    assert_int_not_equal(access(temporary, F_OK), 0);
    mem_free(temporary);
}

static void row_e5_a_reader_never_sees_half_a_file(void **state)
{
    (void)state;
    assert_int_equal(state_file_open(path, "node-1", &file, &detail), STATUS_OK);
    struct node_view v = view_of(1, 1);
    state_file_keep(file, &v);
    wait_for_version(1000000001);
    for (uint64_t number = 2; number <= 300; number++) {
        v = view_of(1, number);
        state_file_keep(file, &v);
        json_t *json = json_load_file(path, 0, NULL);
        assert_non_null(json);
        json_decref(json);
    }
    state_file_close(file);
}

static void row_e5_what_can_be_no_file_is_said_at_once(void **state)
{
    (void)state;
    assert_int_equal(state_file_open(dir, "node-1", &file, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "is a directory"));
    assert_int_equal(state_file_open("/dev/null", "node-1", &file, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "is no plain file"));
    char *nowhere = mem_printf("%s/nowhere/config.json", dir);
    assert_int_equal(state_file_open(nowhere, "node-1", &file, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "No such file or directory"));
    mem_free(nowhere);
}

static void row_e5_a_file_that_cannot_be_written_is_tried_again(void **state)
{
    (void)state;
    assert_int_equal(state_file_open(path, "node-1", &file, &detail), STATUS_OK);
    char *elsewhere = mem_printf("%s-elsewhere", dir);
    assert_int_equal(rename(dir, elsewhere), 0);
    struct node_view v = view_of(1, 1);
    state_file_keep(file, &v);
    client_sleep_ms(100);
    assert_int_equal(rename(elsewhere, dir), 0);
    wait_for_version(1000000001);
    state_file_close(file);
    mem_free(elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_e5_the_file_has_the_shape_of_the_row, begin, end),
        cmocka_unit_test_setup_teardown(row_e5_only_the_newest_view_counts_and_nothing_else_is_left,
                                        begin, end),
        cmocka_unit_test_setup_teardown(row_e5_a_reader_never_sees_half_a_file, begin, end),
        cmocka_unit_test_setup_teardown(row_e5_what_can_be_no_file_is_said_at_once, begin, end),
        cmocka_unit_test_setup_teardown(row_e5_a_file_that_cannot_be_written_is_tried_again, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
