/* What a member does with the registry, from its thread (row B8, rule A0). Nobody answers here: the
 * listed ports are those of nobody. */
#include "scratch.h"

#include "cluster/registry_watch.h"

#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"

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

#define PATIENCE_MS 30000

static char dir[SCRATCH_PATH_SIZE];
static char *path;
static char *detail;
static struct registry_watch *watch;
static struct registry_verdict verdict;
static struct registry list;

static struct uuid id(uint8_t n)
{
    const uint8_t bytes[16] = {n, n};
    return uuid_from_random(bytes);
}

static int begin(void **state)
{
    (void)state;
    log_init(&(struct log_options){.name = "node-1", .level = LOG_ERROR});
    path = scratch_make(dir, "registry") ? mem_printf("%s/cluster.json", dir) : NULL;
    const struct registry_watch_options options = {.path = path,
                                                   .name = "node-1",
                                                   .attempts = 1,
                                                   .started_wall_ms = 1700000000000,
                                                   .cluster_candidate = id(50)};
    watch = registry_watch_start(&options);
    return path != NULL ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    registry_watch_stop(watch);
    scratch_remove(dir);
    mem_free(path);
    mem_free(detail);
    detail = NULL;
    return 0;
}

static struct registry_self fresh(void)
{
    return (struct registry_self){.incarnation = id(1), .url = "http://127.0.0.1:9", .port = 9};
}

static struct registry_claim claim_of(const char *name, uint8_t incarnation)
{
    struct registry_claim c = {.cluster = id(7), .incarnation = id(incarnation)};
    snprintf(c.name, sizeof(c.name), "%s", name);
    return c;
}

static void make_claim(const char *name, uint8_t incarnation)
{
    const struct registry_claim c = claim_of(name, incarnation);
    assert_int_equal(registry_claim_make(path, &c, id(99), &detail), STATUS_OK);
}

static bool await_verdict(uint32_t patience_ms)
{
    uint64_t deadline_ms = client_now_ms() + patience_ms;
    while (!registry_watch_ask(watch, &verdict)) {
        if (client_now_ms() > deadline_ms) {
            return false;
        }
        client_sleep_ms(5);
    }
    return true;
}

static void tell(const struct registry_self *self)
{
    registry_watch_tell(watch, self);
}

static void rule_a0_nothing_is_decided_before_the_member_is_known(void **state)
{
    (void)state;
    make_claim("node-1", 1);
    assert_false(await_verdict(100));
    const struct registry_self self = fresh();
    tell(&self);
    assert_true(await_verdict(PATIENCE_MS));
    assert_int_equal(verdict.kind, REGISTRY_FOUND);
    assert_true(uuid_equal(verdict.cluster, id(7)));
    assert_false(await_verdict(50));
}

static void rule_a0_an_old_copy_of_the_founder_does_not_found_twice(void **state)
{
    (void)state;
    make_claim("node-1", 1);
    const struct registry_entry e = {
        .id = "node-1", .url = "http://127.0.0.1:9", .port = 9, .cluster = id(7)};
    assert_int_equal(registry_put(path, &e, 0, &detail), STATUS_OK);
    const struct registry_self self = fresh();
    tell(&self);
    assert_true(await_verdict(PATIENCE_MS));
    assert_int_equal(verdict.kind, REGISTRY_REFUSE);
    assert_non_null(strstr(verdict.text, "old copy"));
}

static void rule_a0_without_a_claim_it_is_patient_and_then_claims(void **state)
{
    (void)state;
    const struct registry_self self = fresh();
    uint64_t begun_ms = client_now_ms();
    tell(&self);
    assert_true(await_verdict(PATIENCE_MS));
    assert_true(client_now_ms() - begun_ms >= 3000);
    assert_int_equal(verdict.kind, REGISTRY_FOUND);
    assert_true(uuid_equal(verdict.cluster, id(50)));
    struct registry_claim made;
    assert_int_equal(registry_claim_read(path, &made, &detail), STATUS_OK);
    assert_true(uuid_equal(made.incarnation, id(1)));
}

static void rule_a0_its_own_name_with_another_directory_is_refused(void **state)
{
    (void)state;
    make_claim("node-1", 2);
    const struct registry_self self = fresh();
    tell(&self);
    assert_true(await_verdict(PATIENCE_MS));
    assert_int_equal(verdict.kind, REGISTRY_REFUSE);
    assert_non_null(strstr(verdict.text, "member replace node-1"));
}

static void rule_a0_a_claim_that_comes_while_it_waits_is_followed(void **state)
{
    (void)state;
    const struct registry_self self = fresh();
    tell(&self);
    assert_false(await_verdict(200));
    make_claim("node-2", 2);
    assert_false(await_verdict(4500));
}

static void row_b8_a_directory_is_refused(void **state)
{
    (void)state;
    mkdir(path, 0700);
    const struct registry_self self = fresh();
    tell(&self);
    assert_true(await_verdict(PATIENCE_MS));
    assert_int_equal(verdict.kind, REGISTRY_REFUSE);
    assert_non_null(strstr(verdict.text, "is a directory"));
}

static bool is_listed(void)
{
    return registry_read(path, &list, &detail) == STATUS_OK && list.count == 1 &&
           strcmp(list.entries[0].id, "node-1") == 0 && list.entries[0].port == 9 &&
           strcmp(list.entries[0].joined_at, "2023-11-14T22:13:20Z") == 0;
}

static void row_b8_a_member_keeps_its_entry_and_the_claim(void **state)
{
    (void)state;
    struct registry_self self = fresh();
    self.is_member = true;
    self.founder = claim_of("node-2", 2);
    tell(&self);
    struct registry_claim found;
    for (int i = 0; i < 2; i++) {
        uint64_t deadline_ms = client_now_ms() + PATIENCE_MS;
        while (!is_listed() || registry_claim_read(path, &found, &detail) != STATUS_OK) {
            assert_true(client_now_ms() < deadline_ms);
            client_sleep_ms(5);
        }
        assert_string_equal(found.name, "node-2");
        char *founder = mem_printf("%s.founder", path);
        unlink(founder);
        unlink(path);
        mem_free(founder);
    }
    assert_false(registry_watch_ask(watch, &verdict));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(rule_a0_nothing_is_decided_before_the_member_is_known),
        TEST(rule_a0_an_old_copy_of_the_founder_does_not_found_twice),
        TEST(rule_a0_without_a_claim_it_is_patient_and_then_claims),
        TEST(rule_a0_its_own_name_with_another_directory_is_refused),
        TEST(rule_a0_a_claim_that_comes_while_it_waits_is_followed),
        TEST(row_b8_a_directory_is_refused),
        TEST(row_b8_a_member_keeps_its_entry_and_the_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
