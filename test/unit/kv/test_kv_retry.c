/* Commands with an `Idempotency-Key`: applied once, answered alike (rule K2b). */
#include "kv_fixture.h"

#include "base/limits.h"
#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kv_command put_with(const char *retry_key, uint64_t time_ms)
{
    return (struct kv_command){.op = KV_PUT,
                               .time_ms = time_ms,
                               .key = slice_str("k"),
                               .value = slice_str("v"),
                               .retry_key = slice_str(retry_key),
                               .retry_hash = {1, 2},
                               .retry_origin = 7};
}

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result result;
    kv_apply(kv, &c, &result);
    return result;
}

static uint64_t revision_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s.revision;
}

static uint64_t retries_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s.retry_keys;
}

static void rule_k2b_a_retry_changes_nothing_and_gets_the_first_answer(void **state)
{
    struct kv *kv = *state;
    struct kv_result first = apply(kv, put_with("a", 1000));
    assert_int_equal(first.status, STATUS_OK);
    assert_false(first.replayed);
    assert_int_equal(first.retry_origin, 7);
    apply(kv, put_with("", 1000)); /* revision 3 */
    struct kv_command retry = put_with("a", 2000);
    retry.retry_origin = 8;
    struct kv_result again = apply(kv, retry);
    assert_true(again.replayed);
    assert_int_equal(again.status, STATUS_OK);
    assert_int_equal(again.revision, first.revision);
    assert_int_equal(again.create_revision, first.create_revision);
    assert_int_equal(again.version, first.version);
    assert_int_equal(again.retry_origin, 7);
    assert_int_equal(revision_of(kv), 3);
}

static void rule_k2b_what_changed_nothing_is_remembered_too(void **state)
{
    struct kv *kv = *state;
    struct kv_command conflict = put_with("a", 1000);
    conflict.condition = KV_IF_EXISTS;
    struct kv_command missing = put_with("b", 1000);
    missing.op = KV_DELETE;
    missing.value = slice_of(NULL, 0);
    assert_true(apply(kv, conflict).key_revision == KV_NO_KEY);
    assert_int_equal(apply(kv, missing).status, STATUS_NOT_FOUND);
    apply(kv, put_with("", 1000)); /* both would succeed now */
    struct kv_result again = apply(kv, conflict);
    assert_int_equal(again.status, STATUS_CONFLICT);
    assert_true(again.replayed);
    assert_int_equal(again.revision, 1);
    assert_int_equal(again.key_revision, 2); /* as it is now */
    again = apply(kv, missing);
    assert_int_equal(again.status, STATUS_NOT_FOUND);
    assert_true(again.replayed);
    assert_int_equal(revision_of(kv), 2);
}

static void rule_k2b_the_key_of_another_request_is_a_mismatch(void **state)
{
    struct kv *kv = *state;
    apply(kv, put_with("a", 1000));
    for (unsigned half = 0; half < 2; half++) {
        struct kv_command other = put_with("a", 1000);
        other.retry_hash[half]++;
        struct kv_result r = apply(kv, other);
        assert_int_equal(r.status, STATUS_MISMATCH);
        assert_false(r.replayed);
        assert_int_equal(r.revision, 2);
    }
    assert_true(apply(kv, put_with("a", 1000)).replayed); /* the first answer is still there */
    assert_int_equal(revision_of(kv), 2);
}

static void rule_k2b_an_answer_expires_by_log_time_which_never_goes_back(void **state)
{
    struct kv *kv = *state;
    apply(kv, put_with("a", 5000));
    assert_true(apply(kv, put_with("a", 5000 + RETRY_KEPT_MS)).replayed);
    struct kv_command tick = put_with("", 5001 + RETRY_KEPT_MS);
    tick.condition = KV_IF_ABSENT; /* a command that does nothing moves log time too */
    assert_int_equal(apply(kv, tick).status, STATUS_CONFLICT);
    struct kv_result r = apply(kv, put_with("a", 5000));
    assert_false(r.replayed);
    assert_int_equal(r.revision, 3);
    assert_int_equal(retries_of(kv), 1);
    /* It counts as answered at the log's time, not at the 5000 of a clock that was behind. */
    assert_true(apply(kv, put_with("a", 5001 + 2 * RETRY_KEPT_MS)).replayed);
    assert_false(apply(kv, put_with("a", 5002 + 2 * RETRY_KEPT_MS)).replayed);
}

static void add_many(struct kv *kv, unsigned from, unsigned count, uint64_t time_ms)
{
    for (unsigned i = from; i < from + count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(apply(kv, put_with(key, time_ms)).status, STATUS_OK);
    }
}

static void rule_k2b_a_full_table_refuses_and_evicts_nothing(void **state)
{
    struct kv *kv = *state;
    add_many(kv, 0, LIMIT_RETRY_KEYS, 1000);
    uint64_t before = revision_of(kv);
    struct kv_result r = apply(kv, put_with("new", 1000 + RETRY_KEPT_MS));
    assert_int_equal(r.status, STATUS_OVERLOADED);
    assert_int_equal(r.revision, before);
    assert_true(apply(kv, put_with("0", 1000 + RETRY_KEPT_MS)).replayed);
    assert_int_equal(apply(kv, put_with("", 1000)).status,
                     STATUS_OK); /* without a key all is well */
    assert_int_equal(revision_of(kv), before + 1);
    assert_int_equal(retries_of(kv), LIMIT_RETRY_KEYS);
    /* As soon as they expire there is room, and what is forgotten at once is bounded. */
    assert_int_equal(apply(kv, put_with("new", 1001 + RETRY_KEPT_MS)).status, STATUS_OK);
    assert_in_range(retries_of(kv), LIMIT_RETRY_KEYS - 10, LIMIT_RETRY_KEYS - 1);
    kv_check(kv);
    /* One that has expired and was not forgotten yet is not found. */
    char last[32];
    snprintf(last, sizeof(last), "%u", LIMIT_RETRY_KEYS - 1);
    assert_false(apply(kv, put_with(last, 0)).replayed);
    assert_true(apply(kv, put_with(last, 0)).replayed);
    for (unsigned i = 0; i < LIMIT_RETRY_KEYS / 4 + 1; i++) {
        apply(kv, put_with("", 0));
    }
    assert_int_equal(retries_of(kv), 2);
    assert_true(apply(kv, put_with(last, 0)).replayed);
}

static void rule_k2b_long_keys_fill_the_table_by_bytes(void **state)
{
    struct kv *kv = *state;
    char key[LIMIT_RETRY_KEY_BYTES + 1];
    unsigned count = 0;
    do {
        snprintf(key, sizeof(key), "%0*u", LIMIT_RETRY_KEY_BYTES, count++);
    } while (apply(kv, put_with(key, 1000)).status == STATUS_OK);
    assert_in_range(count, LIMIT_RETRY_KEYS / 2, LIMIT_RETRY_KEYS);
    assert_int_equal(apply(kv, put_with(key, 1000)).status, STATUS_OVERLOADED);
    assert_int_equal(apply(kv, put_with(key, 1001 + RETRY_KEPT_MS)).status, STATUS_OK);
}

static void rule_k2b_forgotten_answers_leave_no_memory_behind(void **state)
{
    struct kv *kv = *state;
    for (unsigned round = 0; round < 50; round++) {
        add_many(kv, 0, 100, round * (RETRY_KEPT_MS + 1ull));
        assert_in_range(retries_of(kv), 100, 200);
    }
    while (kv_compact_step(kv, 100)) {
    }
    kv_check(kv); /* counts every byte in the slab */
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(rule_k2b_a_retry_changes_nothing_and_gets_the_first_answer),
        KV_TEST(rule_k2b_what_changed_nothing_is_remembered_too),
        KV_TEST(rule_k2b_the_key_of_another_request_is_a_mismatch),
        KV_TEST(rule_k2b_an_answer_expires_by_log_time_which_never_goes_back),
        KV_TEST(rule_k2b_a_full_table_refuses_and_evicts_nothing),
        KV_TEST(rule_k2b_long_keys_fill_the_table_by_bytes),
        KV_TEST(rule_k2b_forgotten_answers_leave_no_memory_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
