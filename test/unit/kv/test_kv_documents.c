/* Documents (rows C4, C5, C14): a table beside the keys that only grows, the same everywhere. */
#include "kv_fixture.h"

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_documents.h"
#include "kv/kv_image.h"
#include "kv_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result result;
    kv_apply(kv, &c, &result);
    return result;
}

static struct kv_result add(struct kv *kv, uint64_t time_ms, const char *content)
{
    return apply(kv, (struct kv_command){
                         .op = KV_DOCUMENT, .time_ms = time_ms, .value = slice_str(content)});
}

static struct kv_result put(struct kv *kv, const char *key)
{
    return apply(
        kv, (struct kv_command){.op = KV_PUT, .key = slice_str(key), .value = slice_str("value")});
}

static struct kv_result add_keyed(struct kv *kv, uint64_t time_ms, uint64_t hash)
{
    return apply(kv, (struct kv_command){.op = KV_DOCUMENT,
                                         .time_ms = time_ms,
                                         .value = slice_str("once"),
                                         .retry_key = slice_str("retry"),
                                         .retry_hash = {hash, 0}});
}

static struct kv_stats stats_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s;
}

static void expect_document(const struct kv *kv, uint64_t number, uint64_t revision,
                            uint64_t time_ms, const char *content)
{
    struct kv_document d;
    assert_true(kv_document_at(kv, number, &d));
    assert_int_equal(d.revision, revision);
    assert_int_equal(d.time_ms, time_ms);
    assert_true(slice_equal(d.content, slice_str(content)));
}

static uint64_t count_at(const struct kv *kv, uint64_t revision)
{
    uint64_t count;
    assert_int_equal(kv_document_count(kv, revision, &count), STATUS_OK);
    return count;
}

static struct kv *copy_of(struct kv *kv)
{
    struct rng rng;
    rng_init(&rng, 1);
    struct buf image = {0};
    export_all(kv, &image);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    assert_true(is_same_digest(kv_digest(kv), kv_digest(copy)));
    assert_true(is_same_digest(kv_digest(kv), digest_anew_of(copy, 3)));
    buf_deinit(&image);
    return copy;
}

static uint8_t image_format(struct kv *kv)
{
    struct buf image = {0};
    export_all(kv, &image);
    uint8_t format = image.data[8];
    buf_deinit(&image);
    return format;
}

/* --- what they are ---------------------------------------------------------------------------- */

static void row_c4_documents_stand_in_the_order_of_their_revisions(void **state)
{
    struct kv *kv = *state;
    struct kv_result first = add(kv, 1000, "a");
    assert_int_equal(first.status, STATUS_OK);
    assert_int_equal(first.revision, 2);
    assert_int_equal(first.time_ms, 1000);
    put(kv, "k");
    assert_int_equal(add(kv, 2000, "b").revision, 4);
    expect_document(kv, 0, 2, 1000, "a");
    expect_document(kv, 1, 4, 2000, "b");
    struct kv_document none;
    assert_false(kv_document_at(kv, 2, &none));
    assert_int_equal(stats_of(kv).documents, 2);
    assert_int_equal(stats_of(kv).keys, 1);
}

static void row_c4_times_never_go_back(void **state)
{
    struct kv *kv = *state;
    add(kv, 5000, "by a leader whose clock is ahead");
    assert_int_equal(add(kv, 1000, "by the next one").time_ms, 5000);
    expect_document(kv, 1, 3, 5000, "by the next one");
}

static void documents_of_a_past_revision_are_counted_also_below_a_compaction(void **state)
{
    struct kv *kv = *state;
    for (int i = 0; i < 2 * DOCUMENTS_CHUNK + 10; i++) {
        add(kv, 0, "x");
        put(kv, "k");
    }
    uint64_t newest = stats_of(kv).revision;
    apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = newest});
    for (uint64_t revision = 1; revision <= newest; revision++) {
        assert_int_equal(count_at(kv, revision), revision / 2);
    }
    assert_int_equal(count_at(kv, 0), 2 * DOCUMENTS_CHUNK + 10);
    uint64_t count;
    assert_int_equal(kv_document_count(kv, newest + 1, &count), STATUS_FUTURE);
}

static void documents_count_for_the_quota(void **state)
{
    struct kv *kv = *state;
    put(kv, "k");
    uint64_t before = stats_of(kv).live_bytes;
    add(kv, 0, "0123456789");
    assert_int_equal(stats_of(kv).live_bytes, before + DOCUMENTS_OVERHEAD + 10);
    assert_int_equal(stats_of(kv).history_bytes, 24);
}

static void a_document_of_the_greatest_size_is_kept(void **state)
{
    struct kv *kv = *state;
    uint8_t *bytes = mem_calloc(1, LIMIT_VALUE_BYTES_MAX);
    struct slice content = slice_of(bytes, LIMIT_VALUE_BYTES_MAX);
    apply(kv, (struct kv_command){.op = KV_DOCUMENT, .value = content});
    struct kv *copy = copy_of(kv);
    struct kv_document d;
    assert_true(kv_document_at(copy, 0, &d));
    assert_true(slice_equal(d.content, content));
    kv_destroy(copy);
    mem_free(bytes);
}

/* --- retries ---------------------------------------------------------------------------------- */

static void row_c5_rule_k2b_a_repeated_document_is_made_once(void **state)
{
    struct kv *kv = *state;
    put(kv, "k");
    struct kv_result first = add_keyed(kv, 1000, 1);
    add(kv, 1500, "another");
    struct kv *copy = copy_of(kv);
    struct kv *both[] = {kv, copy};
    for (int i = 0; i < 2; i++) {
        struct kv_result again = add_keyed(both[i], 2000, 1);
        assert_true(again.replayed);
        assert_int_equal(again.status, STATUS_OK);
        assert_int_equal(again.revision, first.revision);
        assert_int_equal(again.time_ms, 1000);
        assert_int_equal(add_keyed(both[i], 2000, 2).status, STATUS_MISMATCH);
        assert_int_equal(stats_of(both[i]).documents, 2);
        struct kv_result later = add_keyed(both[i], 1001 + RETRY_KEPT_MS, 1);
        assert_false(later.replayed);
        assert_int_equal(later.revision, 5);
    }
    kv_destroy(copy);
}

/* The hash is the client's word; one that lies must not break anything. */
static void rule_k2b_a_retry_that_was_no_document_is_answered_without_a_time(void **state)
{
    struct kv *kv = *state;
    apply(kv, (struct kv_command){.op = KV_PUT,
                                  .time_ms = 1,
                                  .key = slice_str("k"),
                                  .retry_key = slice_str("retry"),
                                  .retry_hash = {1, 0}});
    struct kv_result again = add_keyed(kv, 2, 1);
    assert_true(again.replayed);
    assert_int_equal(again.time_ms, 0);
    assert_int_equal(stats_of(kv).documents, 0);
}

/* --- images and digests ----------------------------------------------------------------------- */

static void row_c14_documents_come_back_wherever_compaction_was(void **state)
{
    (void)state;
    static const char pattern[] = "dkddkkdkkkddd"; /* documents and keys; revision 2 and on */
    for (uint64_t floor = 1; floor <= sizeof(pattern); floor++) {
        struct kv *kv = kv_create();
        for (size_t i = 0; pattern[i] != '\0'; i++) {
            if (pattern[i] == 'd') {
                add(kv, 10 * i, "content");
            } else {
                put(kv, i % 2 == 0 ? "even" : "odd");
            }
        }
        apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = floor});
        struct kv *copy = copy_of(kv);
        assert_int_equal(stats_of(copy).documents, 7);
        assert_int_equal(stats_of(copy).revision, sizeof(pattern));
        expect_document(copy, 6, sizeof(pattern), 120, "content");
        assert_int_equal(add(copy, 500, "next").revision, sizeof(pattern) + 1);
        kv_check(copy);
        kv_destroy(copy);
        kv_destroy(kv);
    }
}

static void an_image_without_documents_is_what_an_older_version_reads(void **state)
{
    struct kv *kv = *state;
    put(kv, "k");
    assert_int_equal(image_format(kv), 1);
    add(kv, 0, "");
    assert_int_equal(image_format(kv), 2);
}

static void rule_s1_documents_made_during_an_export_are_not_in_it(void **state)
{
    struct kv *kv = *state;
    for (int i = 0; i < 50; i++) {
        add(kv, 0, "before");
    }
    struct buf want = {0};
    struct buf got = {0};
    export_all(kv, &want);
    struct kv_export *e = kv_export_begin(kv);
    while (kv_export_step(e, &got, 20)) {
        add(kv, 0, "meanwhile");
    }
    kv_export_end(e);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
    buf_deinit(&want);
    buf_deinit(&got);
}

static void raised_revisions_are_not_those_of_documents_before(void **state)
{
    struct kv *kv = *state;
    add(kv, 1, "old");
    kv_raise_revision(kv, 1000);
    struct kv *copy = copy_of(kv);
    struct kv *both[] = {kv, copy};
    for (int i = 0; i < 2; i++) {
        expect_document(both[i], 0, 2, 1, "old");
        assert_int_equal(add(both[i], 2, "new").revision, 1003);
        assert_int_equal(count_at(both[i], 1002), 1);
        kv_check(both[i]);
    }
    kv_destroy(copy_of(kv));
    kv_destroy(copy);
}

static struct kv *kv_with(uint64_t time_ms, const char *first, const char *second)
{
    struct kv *kv = kv_create();
    add(kv, time_ms, first);
    add(kv, 100, second);
    return kv;
}

static void rule_p15b_documents_that_differ_are_told_by_the_digest(void **state)
{
    (void)state;
    struct kv *base = kv_with(1, "a", "b");
    struct kv *others[] = {kv_with(1, "a", "c"), kv_with(2, "a", "b"), kv_with(1, "b", "a"),
                           kv_with(1, "", "ab")};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(is_same_digest(kv_digest(base), kv_digest(others[i])));
        assert_true(is_same_digest(kv_digest(others[i]), digest_anew_of(others[i], 1)));
        kv_destroy(others[i]);
    }
    kv_destroy(base);
}

static void rule_p15b_a_flipped_bit_of_a_document_is_found(void **state)
{
    struct kv *kv = *state;
    for (int i = 0; i < 100; i++) {
        add(kv, 0, "content");
    }
    struct kv_digest kept = kv_digest(kv);
    for (uint64_t i = 0; i < 100; i += 33) {
        struct kv_document d;
        assert_true(kv_document_at(kv, i, &d));
        uint8_t *byte = (uint8_t *)(uintptr_t)d.content.data;
        *byte ^= 0x10;
        assert_false(is_same_digest(kept, digest_anew_of(kv, 7)));
        *byte ^= 0x10;
        assert_true(is_same_digest(kept, digest_anew_of(kv, 7)));
    }
}

static void two_stores_change_their_documents(void **state)
{
    struct kv *kv = *state;
    struct kv *other = kv_create();
    add(kv, 1, "one");
    add(other, 2, "other");
    kv_swap(kv, other);
    expect_document(kv, 0, 2, 2, "other");
    expect_document(other, 0, 2, 1, "one");
    kv_destroy(other);
    for (int i = 0; i < 1000; i++) {
        add(kv, 3, "after");
    }
}

/* --- images that are none --------------------------------------------------------------------- */

/* `items` between the head of a store at revision 9, time 100, and an end. */
static enum status import_items(uint8_t format, const char *items, size_t size)
{
    struct buf image = {0};
    buf_append_str(&image, "CNCLVIMG");
    buf_append(&image, (const uint8_t[]){format, 0, 0, 0, 9, 0, 100}, 7);
    buf_append(&image, items, size);
    struct kv_import *i = kv_import_begin();
    enum status status = kv_import_add(i, buf_slice(&image));
    kv_import_abort(i);
    buf_deinit(&image);
    return status;
}

/* kind 6, revision and time since the one before, content of one byte */
#define DOCUMENT(revision, time) "\x06" revision time "\x01x"

static void an_image_whose_documents_are_out_of_order_is_corrupt(void **state)
{
    (void)state;
    static const struct {
        const char *items;
        size_t size;
        enum status status;
    } cases[] = {
#define CASE(items, status) {items, sizeof(items) - 1, status}
        CASE(DOCUMENT("\x02", "\x05") DOCUMENT("\x01", "\x00"), STATUS_OK),
        CASE(DOCUMENT("\x01", "\x00"), STATUS_CORRUPT), /* revision 1 is that of the empty store */
        CASE(DOCUMENT("\x00", "\x00"), STATUS_CORRUPT),
        CASE(DOCUMENT("\x0a", "\x00"), STATUS_CORRUPT), /* beyond the store's revision */
        CASE(DOCUMENT("\x02", "\x65"), STATUS_CORRUPT), /* and time */
        CASE(DOCUMENT("\x02", "\x05") DOCUMENT("\x00", "\x00"), STATUS_CORRUPT),
        CASE(DOCUMENT("\x02", "\x05") DOCUMENT("\x08", "\x00"), STATUS_CORRUPT),
        CASE(DOCUMENT("\x02", "\x64") DOCUMENT("\x01", "\x01"), STATUS_CORRUPT),
        CASE("\x06\x02\x00\x81\x80\x80\x20", STATUS_CORRUPT), /* longer than content may be */
        /* a change at a document's revision, and the one behind it */
        CASE(DOCUMENT("\x02", "\x05") "\x02\x01k\x02\x00\x00\x01v", STATUS_CORRUPT),
        CASE(DOCUMENT("\x02", "\x05") "\x02\x01k\x03\x00\x00\x01v", STATUS_OK),
        /* behind a change */
        CASE("\x02\x01k\x02\x00\x00\x01v" DOCUMENT("\x03", "\x00"), STATUS_CORRUPT),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum status status = import_items(2, cases[i].items, cases[i].size);
        if (status != cases[i].status) {
            fail_msg("case %zu: %s", i, status_name(status));
        }
    }
}

static void an_image_says_truly_whether_it_has_documents(void **state)
{
    struct kv *kv = *state;
    put(kv, "k");
    for (uint8_t format = 1; format <= 2; format++) {
        struct buf image = {0};
        export_all(kv, &image);
        assert_int_equal(image.data[8], format);
        image.data[8] ^= 3;
        struct kv_import *i = kv_import_begin();
        (void)!kv_import_add(i, buf_slice(&image));
        struct kv *none;
        assert_int_equal(kv_import_finish(i, &none), STATUS_CORRUPT);
        assert_null(none);
        buf_deinit(&image);
        add(kv, 0, "d");
    }
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(row_c4_documents_stand_in_the_order_of_their_revisions),
        KV_TEST(row_c4_times_never_go_back),
        KV_TEST(documents_of_a_past_revision_are_counted_also_below_a_compaction),
        KV_TEST(documents_count_for_the_quota),
        KV_TEST(a_document_of_the_greatest_size_is_kept),
        KV_TEST(row_c5_rule_k2b_a_repeated_document_is_made_once),
        KV_TEST(rule_k2b_a_retry_that_was_no_document_is_answered_without_a_time),
        KV_TEST(row_c14_documents_come_back_wherever_compaction_was),
        KV_TEST(an_image_without_documents_is_what_an_older_version_reads),
        KV_TEST(rule_s1_documents_made_during_an_export_are_not_in_it),
        KV_TEST(raised_revisions_are_not_those_of_documents_before),
        KV_TEST(rule_p15b_documents_that_differ_are_told_by_the_digest),
        KV_TEST(rule_p15b_a_flipped_bit_of_a_document_is_found),
        KV_TEST(two_stores_change_their_documents),
        KV_TEST(an_image_whose_documents_are_out_of_order_is_corrupt),
        KV_TEST(an_image_says_truly_whether_it_has_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
