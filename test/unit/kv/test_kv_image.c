/* Images of the store (rule S1) and its digest (rules P15, P15b), one behaviour each. The model
 * test (test_kv_model.c) tries them together with everything else. */
#include "kv_fixture.h"

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_image.h"
#include "kv/kv_state.h"
#include "kv_copy.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS 300

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result result;
    kv_apply(kv, &c, &result);
    return result;
}

static struct kv_result put(struct kv *kv, const char *key, const char *value)
{
    return apply(
        kv, (struct kv_command){.op = KV_PUT, .key = slice_str(key), .value = slice_str(value)});
}

static struct kv_result put_number(struct kv *kv, unsigned number, const char *value)
{
    char key[32];
    snprintf(key, sizeof(key), "key-%u", number);
    return put(kv, key, value);
}

static struct kv_result erase(struct kv *kv, const char *key)
{
    return apply(kv, (struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}

static struct kv_result add_document(struct kv *kv, uint64_t time_ms, const char *content)
{
    return apply(kv, (struct kv_command){
                         .op = KV_DOCUMENT, .time_ms = time_ms, .value = slice_str(content)});
}

static struct kv_result compact(struct kv *kv, uint64_t revision)
{
    return apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = revision});
}

static struct kv_command keyed(uint64_t time_ms)
{
    return (struct kv_command){.op = KV_PUT,
                               .time_ms = time_ms,
                               .key = slice_str("k"),
                               .value = slice_str("v"),
                               .retry_key = slice_str("retry"),
                               .retry_origin = 7};
}

static uint64_t revision_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s.revision;
}

static void free_all(struct kv *kv)
{
    while (kv_compact_step(kv, 100)) {
    }
    kv_check(kv);
}

static struct kv *copy_of(struct kv *kv)
{
    struct rng rng;
    rng_init(&rng, 1);
    struct buf image = {0};
    export_all(kv, &image);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    buf_deinit(&image);
    return copy;
}

/* --- images ----------------------------------------------------------------------------------- */

static void rule_s1_the_empty_store_comes_back(void **state)
{
    struct kv *copy = copy_of(*state);
    assert_int_equal(revision_of(copy), 1);
    assert_int_equal(put(copy, "k", "v").revision, 2);
    kv_check(copy);
    kv_destroy(copy);
}

static void rule_s1_old_revisions_history_and_its_age_come_back(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 20; i++) {
        apply(kv, (struct kv_command){.op = i % 5 == 4 ? KV_DELETE : KV_PUT,
                                      .time_ms = 1000 * i,
                                      .key = slice_str(i % 2 == 0 ? "a" : "b"),
                                      .value = slice_str(i % 5 == 4 ? "" : "value")});
    }
    compact(kv, 5);
    struct kv *copy = copy_of(kv);
    for (uint64_t revision = 1; revision <= revision_of(kv) + 1; revision++) {
        struct kv_item want;
        struct kv_item got;
        enum status status = kv_get(kv, slice_str("a"), revision, &want);
        assert_int_equal(kv_get(copy, slice_str("a"), revision, &got), status);
        if (status == STATUS_OK) {
            assert_true(slice_equal(got.value, want.value));
            assert_int_equal(got.version, want.version);
            assert_int_equal(got.create_revision, want.create_revision);
        }
    }
    for (uint64_t age_ms = 0; age_ms < 20000; age_ms += 700) {
        assert_int_equal(kv_compaction_due(copy, 20000, age_ms, UINT64_MAX),
                         kv_compaction_due(kv, 20000, age_ms, UINT64_MAX));
    }
    for (uint64_t bytes = 0; bytes < 2000; bytes += 30) {
        assert_int_equal(kv_compaction_due(copy, 0, UINT64_MAX, bytes),
                         kv_compaction_due(kv, 0, UINT64_MAX, bytes));
    }
    kv_destroy(copy);
}

static void rule_k2b_s1_retries_are_known_after_a_restore(void **state)
{
    struct kv *kv = *state;
    struct kv_result first = apply(kv, keyed(1000));
    struct kv *copy = copy_of(kv);
    struct kv_result again = apply(copy, keyed(1000 + RETRY_KEPT_MS));
    assert_true(again.replayed);
    assert_int_equal(again.revision, first.revision);
    assert_int_equal(again.retry_origin, 7);
    assert_false(apply(copy, keyed(1001 + RETRY_KEPT_MS)).replayed);
    kv_destroy(copy);
}

/* Whatever happens between the steps, the image is that of the beginning. */
static void rule_s1_an_image_is_of_its_first_moment(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 3 * KEYS; i++) {
        put_number(kv, i % KEYS, "old");
    }
    compact(kv, revision_of(kv) - KEYS / 2);
    struct buf want = {0};
    struct buf got = {0};
    export_all(kv, &want);
    struct kv_export *e = kv_export_begin(kv);
    unsigned steps = 0;
    char key[32];
    while (kv_export_step(e, &got, 100)) {
        snprintf(key, sizeof(key), "key-%u", steps % KEYS);
        erase(kv, key);
        snprintf(key, sizeof(key), "key-%u-new", steps);
        put(kv, key, "new");
        put_number(kv, (steps * 7) % KEYS, "new");
        if (steps % 10 == 0) {
            compact(kv, revision_of(kv));
        }
        kv_compact_step(kv, 1000);
        steps++;
    }
    assert_true(steps > KEYS / 10);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
    assert_false(kv_compact_step(kv, 1000)); /* no work that cannot be done is announced */
    kv_export_end(e);
    assert_true(kv_compact_step(kv, 1));
    free_all(kv);
    buf_deinit(&want);
    buf_deinit(&got);
}

static void rule_s1_one_key_with_a_long_past_is_walked_in_steps(void **state)
{
    struct kv *kv = *state;
    put(kv, "hot", "first");
    put(kv, "later", "v");
    compact(kv, 3);
    for (unsigned i = 0; i < 5000; i++) {
        put(kv, "hot", "v");
    }
    struct buf image = {0};
    struct kv_export *e = kv_export_begin(kv);
    unsigned empty_steps = 0;
    for (size_t before = 0; kv_export_step(e, &image, 1u << 20); before = image.size) {
        empty_steps += image.size == before;
        put(kv, "hot", "v");
        erase(kv, "later");
        put(kv, "later", "v");
    }
    assert_true(empty_steps >= 5);
    kv_export_end(e);
    struct rng rng;
    rng_init(&rng, 1);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    assert_int_equal(revision_of(copy), 5003);
    kv_destroy(copy);
    buf_deinit(&image);
}

static void rule_s1_an_abandoned_export_lets_go(void **state)
{
    struct kv *kv = *state;
    put_number(kv, 1, "v");
    struct kv_export *e = kv_export_begin(kv);
    assert_null(kv_export_begin(kv));
    for (unsigned i = 0; i < KEYS; i++) {
        put_number(kv, 1, "v");
    }
    compact(kv, revision_of(kv));
    kv_export_end(e);
    free_all(kv);
    e = kv_export_begin(kv);
    assert_non_null(e);
    kv_export_end(e);
    kv_export_end(NULL);
}

static void rule_s1_values_and_keys_of_any_size_come_back(void **state)
{
    struct kv *kv = *state;
    const size_t sizes[] = {0, 1, 127, 128, 4095, 4096, 300000, 5u * MIB};
    uint8_t *bytes = mem_alloc(5u * MIB);
    memset(bytes, 0xff, 5u * MIB);
    apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = UINT64_MAX, .ttl_s = 10});
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t key_size = sizes[i] < 1 ? 1 : sizes[i];
            key_size = key_size < LIMIT_KEY_BYTES ? key_size : LIMIT_KEY_BYTES - i;
            apply(kv, (struct kv_command){.op = KV_PUT,
                                          .key = slice_of(bytes, key_size),
                                          .value = slice_of(bytes, sizes[i]),
                                          .lease = round * UINT64_MAX});
        }
        compact(kv, revision_of(kv));
    }
    struct kv *copy = copy_of(kv);
    assert_true(is_same_digest(kv_digest(kv), kv_digest(copy)));
    kv_destroy(copy);
    mem_free(bytes);
}

static void rule_s1_after_a_raise_no_old_revision_comes_again(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < KEYS; i++) {
        put_number(kv, i % 10, "v");
    }
    erase(kv, "key-3");
    apply(kv, keyed(1000));
    uint64_t before = revision_of(kv);
    kv_raise_revision(kv, 1000000);
    struct kv *copy = copy_of(kv);
    struct kv *both[] = {kv, copy};
    for (unsigned i = 0; i < 2; i++) {
        struct kv_item item;
        assert_int_equal(revision_of(both[i]), before + 1000000);
        assert_int_equal(kv_get(both[i], slice_str("key-1"), before, &item), STATUS_COMPACTED);
        assert_int_equal(kv_get(both[i], slice_str("key-1"), 0, &item), STATUS_OK);
        assert_int_equal(item.version, KEYS / 10);
        assert_true(item.revision <= before);
        assert_int_equal(kv_get(both[i], slice_str("key-3"), 0, &item), STATUS_NOT_FOUND);
        assert_int_equal(kv_compaction_due(both[i], 99999, 0, 0), 0);
        assert_false(apply(both[i], keyed(1000)).replayed);
        assert_int_equal(revision_of(both[i]), before + 1000001);
        assert_int_equal(compact(both[i], before + 1000000).status, STATUS_COMPACTED);
        assert_int_equal(compact(both[i], before + 1000001).status, STATUS_OK);
        free_all(both[i]);
    }
    assert_true(is_same_digest(kv_digest(kv), kv_digest(copy)));
    assert_true(is_same_digest(kv_digest(kv), digest_anew_of(kv, 7)));
    kv_destroy(copy);
}

/* --- images that are none --------------------------------------------------------------------- */

static void fill(struct kv *kv)
{
    for (unsigned i = 0; i < 40; i++) {
        put_number(kv, i % 10, "value");
        if (i % 9 == 0) {
            add_document(kv, 10 * i, "\"content\"");
        }
    }
    compact(kv, 20);
    erase(kv, "key-4");
    add_document(kv, 600, "");
    add_document(kv, 601, "\"last\"");
    apply(kv, keyed(1000));
    apply(kv, (struct kv_command){.op = KV_DELETE,
                                  .time_ms = 2000,
                                  .key = slice_str("none"),
                                  .retry_key = slice_str("2")});
}

/* True when `bytes` are an image. */
static bool is_image(struct slice bytes)
{
    struct kv_import *i = kv_import_begin();
    enum status added = kv_import_add(i, bytes);
    struct kv *kv = NULL;
    enum status finished = kv_import_finish(i, &kv);
    assert_true(added == STATUS_OK || finished != STATUS_OK);
    if (kv != NULL) {
        kv_check(kv);
    }
    kv_destroy(kv);
    return finished == STATUS_OK;
}

static void rule_s1_every_cut_and_every_extra_byte_is_corrupt(void **state)
{
    struct buf image = {0};
    fill(*state);
    export_all(*state, &image);
    for (size_t size = 0; size < image.size; size++) {
        assert_false(is_image(slice_of(image.data, size)));
    }
    assert_true(is_image(buf_slice(&image)));
    buf_append_byte(&image, 0);
    assert_false(is_image(buf_slice(&image)));
    buf_deinit(&image);
}

static void rule_s1_every_changed_bit_is_refused(void **state)
{
    struct buf image = {0};
    fill(*state);
    export_all(*state, &image);
    for (size_t bit = 0; bit < 8 * image.size; bit++) {
        image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(is_image(buf_slice(&image)));
        image.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_deinit(&image);
}

static void rule_s1_an_image_of_a_newer_version_says_so(void **state)
{
    struct buf image = {0};
    export_all(*state, &image);
    image.data[8] = 5;
    struct kv_import *i = kv_import_begin();
    assert_int_equal(kv_import_add(i, buf_slice(&image)), STATUS_UNSUPPORTED);
    assert_int_equal(kv_import_add(i, buf_slice(&image)), STATUS_UNSUPPORTED);
    kv_import_abort(i);
    kv_import_abort(NULL);
    buf_deinit(&image);
}

static void rule_s1_what_an_image_promises_takes_no_memory(void **state)
{
    (void)state;
    /* A value beyond its bound is refused at its length, not when all of it has come. */
    const uint8_t bytes[] = {'C', 'N', 'C', 'L', 'V', 'I', 'M', 'G', 1,    0,    0,    0,   9,
                             0,   0,   2,   1,   'k', 2,   0,   0,   0x81, 0x80, 0x80, 0x20};
    struct kv_import *i = kv_import_begin();
    assert_int_equal(kv_import_add(i, slice_of(bytes, sizeof(bytes) - 1)), STATUS_OK);
    assert_int_equal(kv_import_add(i, slice_of(bytes + sizeof(bytes) - 1, 1)), STATUS_CORRUPT);
    kv_import_abort(i);
}

static void run_damage(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct buf image = {0};
    struct buf damaged = {0};
    struct kv *kv = kv_create();
    fill(kv);
    export_all(kv, &image);
    for (unsigned n = 0; n < 20000; n++) {
        buf_clear(&damaged);
        buf_append_slice(&damaged, buf_slice(&image));
        for (uint64_t i = rng_between(&rng, 1, 4); i > 0; i--) {
            damaged.data[rng_below(&rng, damaged.size)] = (uint8_t)rng_next(&rng);
        }
        is_image(buf_slice(&damaged));
    }
    kv_destroy(kv);
    buf_deinit(&image);
    buf_deinit(&damaged);
}

static void rule_s1_damaged_images_break_nothing(void **state)
{
    (void)state;
    run_seeds("damage", 1, run_damage);
}

/* --- digests ---------------------------------------------------------------------------------- */

static void assert_told_apart(struct kv *a, struct kv *b)
{
    assert_false(is_same_digest(kv_digest(a), kv_digest(b)));
    assert_true(is_same_digest(kv_digest(a), digest_anew_of(a, 5)));
    assert_true(is_same_digest(kv_digest(b), digest_anew_of(b, 1000)));
    kv_check(a);
    kv_check(b);
    kv_destroy(a);
    kv_destroy(b);
}

static struct kv *kv_of(const struct kv_command *commands, size_t count)
{
    struct kv *kv = kv_create();
    apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = 1, .ttl_s = 10});
    for (size_t i = 0; i < count; i++) {
        apply(kv, commands[i]);
    }
    return kv;
}

static void rule_p15b_states_that_differ_have_other_digests(void **state)
{
    (void)state;
    const struct kv_command base[] = {
        {.op = KV_PUT, .key = slice_str("a"), .value = slice_str("1")},
        {.op = KV_PUT, .key = slice_str("b"), .value = slice_str("2")},
        {.op = KV_PUT, .key = slice_str("a"), .value = slice_str("3")},
        {.op = KV_DELETE, .key = slice_str("b")},
        {.op = KV_PUT, .key = slice_str("c"), .value = slice_str("4"), .time_ms = 9},
    };
    struct kv_command other[5][9];
    for (size_t i = 0; i < 9; i++) {
        for (size_t c = 0; c < 5; c++) {
            other[c][i] = base[c];
        }
    }
    other[4][0].value = slice_str("5");     /* a live value */
    other[0][1].value = slice_str("5");     /* one in the history */
    other[1][2].value = slice_str("5");     /* one that was deleted */
    other[2][3].lease = 1;                  /* a field */
    other[1][4].time_ms = 1;                /* the time of a change */
    other[4][5].retry_key = slice_str("r"); /* a kept answer */
    other[4][6].key = slice_str("d");       /* a key */
    other[4][7].time_ms = 10;               /* log time */
    other[4][8].op = KV_DOCUMENT;           /* a document in place of a key */
    for (size_t i = 0; i < 9; i++) {
        struct kv_command commands[5];
        for (size_t c = 0; c < 5; c++) {
            commands[c] = other[c][i];
        }
        assert_told_apart(kv_of(base, 5), kv_of(commands, 5));
    }
    struct kv *compacted = kv_of(base, 5);
    compact(compacted, 2);
    assert_told_apart(kv_of(base, 5), compacted);
}

static void rule_p15b_values_that_were_swapped_are_noticed(void **state)
{
    (void)state;
    const struct kv_command one[] = {
        {.op = KV_PUT, .key = slice_str("a"), .value = slice_str("1")},
        {.op = KV_PUT, .key = slice_str("b"), .value = slice_str("2")},
    };
    const struct kv_command two[] = {
        {.op = KV_PUT, .key = slice_str("a"), .value = slice_str("2")},
        {.op = KV_PUT, .key = slice_str("b"), .value = slice_str("1")},
    };
    assert_told_apart(kv_of(one, 2), kv_of(two, 2));
}

static void rule_p15b_what_compaction_forgot_is_in_no_digest(void **state)
{
    struct kv *kv = *state;
    struct kv *other = kv_create();
    put(kv, "a", "1");
    put(other, "a", "another past");
    put(kv, "a", "2");
    put(other, "a", "2");
    put(kv, "b", "3");
    put(other, "b", "3");
    assert_false(is_same_digest(kv_digest(kv), kv_digest(other)));
    for (uint64_t revision = 3; revision <= 4; revision++) {
        compact(kv, revision);
        compact(other, revision);
    }
    assert_true(is_same_digest(kv_digest(kv), kv_digest(other)));
    kv_destroy(other);
}

static void rule_p15b_a_flipped_bit_in_memory_is_found(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < KEYS; i++) {
        put_number(kv, i % 100, "some value");
    }
    struct kv_digest kept = kv_digest(kv);
    for (uint64_t revision = 2; revision <= KEYS + 1; revision += 97) { /* history, and live */
        struct kv_item item;
        char key[32];
        snprintf(key, sizeof(key), "key-%u", (unsigned)(revision - 2) % 100);
        assert_int_equal(kv_get(kv, slice_str(key), revision, &item), STATUS_OK);
        uint8_t *byte = (uint8_t *)(uintptr_t)item.value.data;
        *byte ^= 0x10;
        assert_false(is_same_digest(kept, digest_anew_of(kv, 50)));
        assert_true(is_same_digest(kept, kv_digest(kv)));
        *byte ^= 0x10;
        assert_true(is_same_digest(kept, digest_anew_of(kv, 50)));
    }
}

static void rule_p15b_a_scan_of_a_store_that_changed_says_nothing(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "1");
    put(kv, "b", "1");
    struct kv_digest_scan scan = {0};
    struct kv_digest digest = {{0}};
    assert_false(kv_digest_step(kv, &scan, 1, &digest));
    put(kv, "a", "2");
    assert_true(kv_digest_step(kv, &scan, 1, &digest));
    assert_true(scan.stale);
    assert_int_equal(digest.half[0], 0);
    kv_digest_scan_deinit(&scan);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(rule_s1_the_empty_store_comes_back),
        KV_TEST(rule_s1_old_revisions_history_and_its_age_come_back),
        KV_TEST(rule_k2b_s1_retries_are_known_after_a_restore),
        KV_TEST(rule_s1_an_image_is_of_its_first_moment),
        KV_TEST(rule_s1_one_key_with_a_long_past_is_walked_in_steps),
        KV_TEST(rule_s1_an_abandoned_export_lets_go),
        KV_TEST(rule_s1_values_and_keys_of_any_size_come_back),
        KV_TEST(rule_s1_after_a_raise_no_old_revision_comes_again),
        KV_TEST(rule_s1_every_cut_and_every_extra_byte_is_corrupt),
        KV_TEST(rule_s1_every_changed_bit_is_refused),
        KV_TEST(rule_s1_an_image_of_a_newer_version_says_so),
        KV_TEST(rule_s1_what_an_image_promises_takes_no_memory),
        KV_TEST(rule_s1_damaged_images_break_nothing),
        KV_TEST(rule_p15b_states_that_differ_have_other_digests),
        KV_TEST(rule_p15b_values_that_were_swapped_are_noticed),
        KV_TEST(rule_p15b_what_compaction_forgot_is_in_no_digest),
        KV_TEST(rule_p15b_a_flipped_bit_in_memory_is_found),
        KV_TEST(rule_p15b_a_scan_of_a_store_that_changed_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
