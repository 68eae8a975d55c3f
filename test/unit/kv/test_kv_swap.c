/* Two stores change places: what a member does when a snapshot takes the place of its state. */
#include "kv/kv_image.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LARGE_BYTES 200000

static void put(struct kv *kv, const char *key, struct slice value)
{
    static uint64_t number;
    char retry[16];
    snprintf(retry, sizeof(retry), "retry-%u", (unsigned)++number);
    struct kv_command c = {.op = KV_PUT,
                           .time_ms = number,
                           .key = slice_str(key),
                           .value = value,
                           .retry_key = slice_str(retry)};
    struct kv_result result;
    kv_apply(kv, &c, &result);
    assert_int_equal(result.status, STATUS_OK);
}

/* Keys of `letter`, one of them large. */
static void fill(struct kv *kv, char letter, int count)
{
    static uint8_t large[LARGE_BYTES];
    memset(large, letter, sizeof(large));
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%c-%05d", letter, i);
        put(kv, key, i == count / 2 ? slice_of(large, sizeof(large)) : slice_str(key));
    }
}

static void expect_digest(const struct kv *kv, struct kv_digest expected)
{
    struct kv_digest digest = kv_digest(kv);
    assert_memory_equal(&digest, &expected, sizeof(digest));
    kv_check(kv);
}

/* Two stores that equally many commands made are not the same one. */
static void rule_p13_a_scan_does_not_go_on_in_another_store(void **state)
{
    (void)state;
    struct kv *a = kv_create();
    struct kv *b = kv_create();
    fill(a, 'a', 3);
    fill(b, 'b', 3);
    struct kv_digest_scan scan = {0};
    struct kv_digest digest = {{0}};
    assert_false(kv_digest_step(a, &scan, 1, &digest));
    kv_swap(a, b);
    kv_destroy(b);
    assert_true(kv_digest_step(a, &scan, 1, &digest));
    assert_true(scan.stale);
    kv_digest_scan_deinit(&scan);
    kv_destroy(a);
}

static void rule_s3_stores_change_places_and_live_on(void **state)
{
    (void)state;
    struct kv *a = kv_create();
    struct kv *b = kv_create();
    fill(a, 'a', 3000);
    fill(b, 'b', 700);
    struct kv_digest was_a = kv_digest(a);
    struct kv_digest was_b = kv_digest(b);
    kv_swap(a, b);
    expect_digest(a, was_b);
    expect_digest(b, was_a);
    fill(a, 'c', 500);
    fill(b, 'd', 500);
    kv_check(a);
    kv_check(b);
    struct kv_item item;
    assert_int_equal(kv_get(a, slice_str("b-00001"), 0, &item), STATUS_OK);
    assert_int_equal(kv_get(a, slice_str("a-00001"), 0, &item), STATUS_NOT_FOUND);
    kv_destroy(b);
    kv_check(a);
    fill(a, 'b', 3000);
    kv_check(a);
    kv_destroy(a);
}

static void rule_s3_an_empty_store_changes_places_too(void **state)
{
    (void)state;
    struct kv *a = kv_create();
    struct kv *b = kv_create();
    fill(b, 'b', 100);
    struct kv_digest empty = kv_digest(a);
    struct kv_digest full = kv_digest(b);
    kv_swap(a, b);
    expect_digest(a, full);
    expect_digest(b, empty);
    kv_swap(a, b);
    expect_digest(a, empty);
    expect_digest(b, full);
    fill(a, 'x', 10);
    kv_destroy(a);
    kv_destroy(b);
}

static void rule_s3_a_walk_goes_on_in_the_new_content(void **state)
{
    (void)state;
    /* As many changes in both: only the swap tells that the cursor's place is stale. */
    struct kv *a = kv_create();
    struct kv *b = kv_create();
    fill(a, 'k', 1000);
    fill(b, 'm', 1000);
    struct kv_cursor cursor;
    struct kv_item item;
    struct slice all = slice_of(NULL, 0);
    assert_int_equal(kv_cursor_init(&cursor, a, all, all, 0), STATUS_OK);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(kv_cursor_next(&cursor, &item), STATUS_OK);
    }
    kv_swap(a, b);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "m-%05d", i);
        assert_int_equal(kv_cursor_next(&cursor, &item), STATUS_OK);
        assert_true(slice_equal(item.key, slice_str(key)));
    }
    assert_int_equal(kv_cursor_next(&cursor, &item), STATUS_NOT_FOUND);
    kv_cursor_deinit(&cursor);
    kv_destroy(a);
    kv_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p13_a_scan_does_not_go_on_in_another_store),
        cmocka_unit_test(rule_s3_stores_change_places_and_live_on),
        cmocka_unit_test(rule_s3_an_empty_store_changes_places_too),
        cmocka_unit_test(rule_s3_a_walk_goes_on_in_the_new_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
