/* The registry's files: a list that is replaced whole, and a claim that is made once (row B8). */
#include "scratch.h"

#include "cluster/registry.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SCRATCH_PATH_SIZE];
static char *path;
static char *detail;
static struct registry list;

static int begin(void **state)
{
    (void)state;
    path = scratch_make(dir, "registry") ? mem_printf("%s/cluster.json", dir) : NULL;
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

static struct uuid id(uint8_t n)
{
    const uint8_t bytes[16] = {n, n};
    return uuid_from_random(bytes);
}

static struct registry_entry entry(uint32_t n)
{
    struct registry_entry e = {
        .port = (uint16_t)(3000 + n), .joined_at = "2024-05-04T03:02:01Z", .cluster = id(7)};
    snprintf(e.id, sizeof(e.id), "node-%u", n);
    snprintf(e.url, sizeof(e.url), "http://127.0.0.1:%u", 3000 + n);
    return e;
}

static struct registry_claim claim(uint8_t n)
{
    struct registry_claim c = {.cluster = id(n), .incarnation = id((uint8_t)(n + 100))};
    snprintf(c.name, sizeof(c.name), "node-%u", n);
    return c;
}

static void put(uint32_t n)
{
    const struct registry_entry e = entry(n);
    assert_int_equal(registry_put(path, &e, 5000, &detail), STATUS_OK);
}

static void write_text(const char *suffix, const char *text)
{
    char *name = mem_printf("%s%s", path, suffix);
    FILE *file = fopen(name, "w");
    fputs(text, file);
    fclose(file);
    mem_free(name);
}

static uint32_t files_left(void)
{
    char *command = mem_printf("ls %s | wc -l", dir);
    FILE *pipe = popen(command, "r");
    unsigned count = 0;
    assert_int_equal(fscanf(pipe, "%u", &count), 1);
    pclose(pipe);
    mem_free(command);
    return count;
}

static void row_b8_an_entry_comes_back_as_it_was_put(void **state)
{
    (void)state;
    assert_int_equal(registry_read(path, &list, &detail), STATUS_NOT_FOUND);
    put(1);
    put(2);
    put(1);
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, 2);
    struct registry_entry e = entry(1);
    assert_true(registry_has(&list, &e));
    e.port++;
    assert_false(registry_has(&list, &e));
    assert_int_equal(registry_put(path, &e, 0, &detail), STATUS_OK);
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, 2);
    assert_true(registry_has(&list, &e));
}

static void row_b8_many_writers_lose_nothing(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 20; n++) {
        if (fork() == 0) {
            const struct registry_entry e = entry(n);
            _exit(registry_put(path, &e, 20000, &detail) == STATUS_OK ? 0 : 1);
        }
    }
    int status;
    while (wait(&status) > 0) {
        assert_int_equal(status, 0);
    }
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, 20);
}

static void row_b8_a_full_list_lets_the_oldest_go(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= LIMIT_REGISTRY_ENTRIES + 1; n++) {
        put(n);
    }
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, LIMIT_REGISTRY_ENTRIES);
    assert_string_equal(list.entries[0].id, "node-2");
}

static void row_b8_a_bad_list_is_told_and_mended(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"a\":1}", "[{\"id\":\"node-1\",\"po", "null", "\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_text("", bad[i]);
        assert_int_equal(registry_read(path, &list, &detail), STATUS_CORRUPT);
        assert_non_null(strstr(detail, "cluster.json"));
        put(1);
        assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
        assert_int_equal(list.count, 1);
    }
    write_text("", " \n");
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, 0);
}

static void row_b8_what_makes_no_sense_in_a_list_is_passed_over(void **state)
{
    (void)state;
    write_text("", "[1, null, {}, {\"id\": true, \"port\": 1}, {\"id\": \"x\", \"port\": 70000},"
                   " {\"id\": 3, \"port\": 3003, \"joinedAt\": 5, \"clusterId\": \"no\"}]");
    assert_int_equal(registry_read(path, &list, &detail), STATUS_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.entries[0].id, "node-3");
    assert_string_equal(list.entries[0].url, "http://127.0.0.1:3003");
    assert_true(uuid_is_zero(list.entries[0].cluster));
}

static void row_b8_what_is_no_file_is_refused_and_left(void **state)
{
    (void)state;
    const struct registry_entry e = entry(1);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(registry_read(path, &list, &detail), STATUS_IO);
    assert_non_null(strstr(detail, "is a directory"));
    assert_int_equal(registry_put(path, &e, 0, &detail), STATUS_IO);
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(registry_read(path, &list, &detail), STATUS_IO);
}

static void row_b8_a_lock_is_waited_for_but_not_for_ever(void **state)
{
    (void)state;
    char *name = mem_printf("%s.lock", path);
    int fd = open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    const struct registry_entry e = entry(1);
    assert_int_equal(registry_put(path, &e, 30, &detail), STATUS_BUSY);
    assert_non_null(strstr(detail, "locked"));
    close(fd);
    put(1);
    mem_free(name);
}

static void rule_a0_a_claim_is_made_once(void **state)
{
    (void)state;
    const struct registry_claim first = claim(1);
    const struct registry_claim second = claim(2);
    struct registry_claim found;
    assert_int_equal(registry_claim_read(path, &found, &detail), STATUS_NOT_FOUND);
    assert_int_equal(registry_claim_make(path, &first, id(1), &detail), STATUS_OK);
    assert_int_equal(registry_claim_make(path, &second, id(2), &detail), STATUS_CONFLICT);
    assert_int_equal(registry_claim_make(path, &first, id(3), &detail), STATUS_OK);
    assert_int_equal(registry_claim_read(path, &found, &detail), STATUS_OK);
    assert_string_equal(found.name, "node-1");
    assert_true(uuid_equal(found.cluster, first.cluster));
    assert_true(uuid_equal(found.incarnation, first.incarnation));
    assert_int_equal(files_left(), 1);
}

static void rule_a0_of_many_claims_at_once_one_is_made(void **state)
{
    (void)state;
    for (uint8_t n = 1; n <= 20; n++) {
        if (fork() == 0) {
            const struct registry_claim c = claim(n);
            enum status s = registry_claim_make(path, &c, c.incarnation, &detail);
            _exit(s == STATUS_OK ? 1 : s == STATUS_CONFLICT ? 0 : 2);
        }
    }
    int made = 0;
    int status;
    while (wait(&status) > 0) {
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        made += WEXITSTATUS(status);
    }
    assert_int_equal(made, 1);
    assert_int_equal(files_left(), 1);
}

static void rule_a0_a_torn_claim_is_no_claim_of_anybody(void **state)
{
    (void)state;
    const struct registry_claim c = claim(1);
    struct registry_claim found;
    static const char *const bad[] = {"", "{\"name\": \"no", "[]", "{\"name\":\"a\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_text(".founder", bad[i]);
        assert_int_equal(registry_claim_read(path, &found, &detail), STATUS_CORRUPT);
        assert_int_equal(registry_claim_make(path, &c, id(1), &detail), STATUS_CORRUPT);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(row_b8_an_entry_comes_back_as_it_was_put),
        TEST(row_b8_many_writers_lose_nothing),
        TEST(row_b8_a_full_list_lets_the_oldest_go),
        TEST(row_b8_a_bad_list_is_told_and_mended),
        TEST(row_b8_what_makes_no_sense_in_a_list_is_passed_over),
        TEST(row_b8_what_is_no_file_is_refused_and_left),
        TEST(row_b8_a_lock_is_waited_for_but_not_for_ever),
        TEST(rule_a0_a_claim_is_made_once),
        TEST(rule_a0_of_many_claims_at_once_one_is_made),
        TEST(rule_a0_a_torn_claim_is_no_claim_of_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
