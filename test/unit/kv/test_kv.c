/* The store's behaviours, one by one. The model test (test_kv_model.c) tries them together. */
#include "kv_fixture.h"

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct slice nothing(void)
{
    return slice_of(NULL, 0);
}

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

static struct kv_result put_at(struct kv *kv, const char *key, uint64_t time_ms)
{
    return apply(kv, (struct kv_command){.op = KV_PUT,
                                         .key = slice_str(key),
                                         .value = slice_str("0123456789"),
                                         .time_ms = time_ms});
}

static struct kv_result erase(struct kv *kv, const char *key)
{
    return apply(kv, (struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}

static struct kv_result compact(struct kv *kv, uint64_t revision)
{
    return apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = revision});
}

static enum status get(const struct kv *kv, const char *key, uint64_t revision,
                       struct kv_item *item)
{
    return kv_get(kv, slice_str(key), revision, item);
}

static void assert_value(const struct kv *kv, const char *key, uint64_t revision, const char *value)
{
    struct kv_item item;
    assert_int_equal(get(kv, key, revision, &item), STATUS_OK);
    assert_true(slice_equal(item.value, slice_str(value)));
}

static void assert_absent(const struct kv *kv, const char *key, uint64_t revision)
{
    struct kv_item item;
    assert_int_equal(get(kv, key, revision, &item), STATUS_NOT_FOUND);
}

static struct kv_stats stats_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s;
}

static void free_all(struct kv *kv)
{
    while (kv_compact_step(kv, 100)) {
    }
    kv_check(kv);
}

/* --- revisions and versions ------------------------------------------------------------------- */

static void the_empty_store_is_at_1_and_the_first_write_makes_2(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(stats_of(kv).revision, 1);
    struct kv_result r = put(kv, "k", "v");
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.revision, 2);
    assert_int_equal(r.create_revision, 2);
    assert_int_equal(r.version, 1);
}

static void a_put_of_the_same_value_makes_a_revision_and_a_version(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "v");
    struct kv_result r = put(kv, "k", "v");
    assert_int_equal(r.revision, 3);
    assert_int_equal(r.create_revision, 2);
    assert_int_equal(r.version, 2);
}

static void what_changes_nothing_takes_no_revision(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "v");
    assert_int_equal(erase(kv, "other").status, STATUS_NOT_FOUND);
    assert_int_equal(compact(kv, 2).status, STATUS_OK);
    struct kv_result r = apply(kv, (struct kv_command){.op = KV_PUT,
                                                       .condition = KV_IF_ABSENT,
                                                       .key = slice_str("k"),
                                                       .value = slice_str("w")});
    assert_int_equal(r.status, STATUS_CONFLICT);
    assert_int_equal(r.revision, 2);
    assert_value(kv, "k", 0, "v");
}

static void row_a10_a_deleted_key_is_gone_now_and_there_in_the_past(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "v");
    struct kv_result r = erase(kv, "k");
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.revision, 3);
    assert_absent(kv, "k", 0);
    assert_absent(kv, "k", 3);
    assert_value(kv, "k", 2, "v");
    assert_absent(kv, "k", 1);
    assert_int_equal(erase(kv, "k").status, STATUS_NOT_FOUND);
    assert_int_equal(stats_of(kv).keys, 0);
}

static void a_key_put_again_after_its_deletion_begins_anew(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "1");
    put(kv, "k", "2");
    erase(kv, "k");
    struct kv_result r = put(kv, "k", "3");
    assert_int_equal(r.create_revision, 5);
    assert_int_equal(r.version, 1);
    assert_value(kv, "k", 2, "1");
    assert_value(kv, "k", 3, "2");
    assert_absent(kv, "k", 4);
    assert_value(kv, "k", 5, "3");
}

static void a_put_without_a_lease_detaches_the_key(void **state)
{
    struct kv *kv = *state;
    struct kv_item item;
    apply(kv, (struct kv_command){.op = KV_LEASE_GRANT, .lease = 77, .ttl_s = 10});
    apply(kv, (struct kv_command){
                  .op = KV_PUT, .key = slice_str("k"), .value = slice_str("v"), .lease = 77});
    assert_int_equal(get(kv, "k", 0, &item), STATUS_OK);
    assert_int_equal(item.lease, 77);
    assert_true(slice_equal(item.value, slice_str("v")));
    put(kv, "k", "w");
    assert_int_equal(get(kv, "k", 0, &item), STATUS_OK);
    assert_int_equal(item.lease, 0);
    assert_int_equal(get(kv, "k", 2, &item), STATUS_OK);
    assert_int_equal(item.lease, 77);
}

static void reads_of_the_future_are_refused(void **state)
{
    struct kv *kv = *state;
    struct kv_item item;
    struct kv_cursor c;
    put(kv, "k", "v");
    assert_int_equal(get(kv, "k", 3, &item), STATUS_FUTURE);
    assert_int_equal(kv_cursor_init(&c, kv, nothing(), nothing(), 3), STATUS_FUTURE);
    kv_cursor_deinit(&c);
}

/* --- conditions ------------------------------------------------------------------------------- */

static enum status put_if(struct kv *kv, enum kv_condition condition, uint64_t revision)
{
    return apply(kv, (struct kv_command){.op = KV_PUT,
                                         .condition = condition,
                                         .condition_revision = revision,
                                         .key = slice_str("k"),
                                         .value = slice_str("v")})
        .status;
}

static enum status erase_if(struct kv *kv, enum kv_condition condition, uint64_t revision)
{
    return apply(kv, (struct kv_command){.op = KV_DELETE,
                                         .condition = condition,
                                         .condition_revision = revision,
                                         .key = slice_str("k")})
        .status;
}

static void conditions_hold_or_conflict(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(put_if(kv, KV_IF_EXISTS, 0), STATUS_CONFLICT);
    assert_int_equal(put_if(kv, KV_IF_REVISION, 0), STATUS_CONFLICT);
    assert_int_equal(put_if(kv, KV_IF_ABSENT, 0), STATUS_OK); /* 2 */
    assert_int_equal(put_if(kv, KV_IF_ABSENT, 0), STATUS_CONFLICT);
    assert_int_equal(put_if(kv, KV_IF_EXISTS, 0), STATUS_OK);   /* 3 */
    assert_int_equal(put_if(kv, KV_IF_REVISION, 3), STATUS_OK); /* 4 */
    assert_int_equal(put_if(kv, KV_IF_REVISION, 3), STATUS_CONFLICT);
    assert_int_equal(erase_if(kv, KV_IF_REVISION, 3), STATUS_CONFLICT);
    assert_int_equal(erase_if(kv, KV_IF_ABSENT, 0), STATUS_CONFLICT);
    assert_int_equal(erase_if(kv, KV_IF_REVISION, 4), STATUS_OK); /* 5 */
    assert_int_equal(erase_if(kv, KV_IF_EXISTS, 0), STATUS_CONFLICT);
    assert_int_equal(erase_if(kv, KV_IF_ABSENT, 0), STATUS_NOT_FOUND);
    assert_int_equal(put_if(kv, KV_IF_REVISION, 5), STATUS_CONFLICT);
    assert_int_equal(put_if(kv, KV_IF_ABSENT, 0), STATUS_OK); /* 6 */
    assert_int_equal(stats_of(kv).revision, 6);
}

static struct kv_result put_result(struct kv *kv, enum kv_condition condition, uint64_t revision)
{
    return apply(kv, (struct kv_command){.op = KV_PUT,
                                         .condition = condition,
                                         .condition_revision = revision,
                                         .key = slice_str("k"),
                                         .value = slice_str("1")});
}

static void a_conflict_tells_the_revision_of_the_key(void **state)
{
    struct kv *kv = *state;
    assert_true(put_result(kv, KV_IF_EXISTS, 0).key_revision == KV_NO_KEY);
    assert_int_equal(put_result(kv, KV_ALWAYS, 0).key_revision, 0);
    apply(kv,
          (struct kv_command){.op = KV_PUT, .key = slice_str("other"), .value = slice_str("1")});
    assert_int_equal(put_result(kv, KV_IF_ABSENT, 0).key_revision, 2);
    struct kv_command erase = {.op = KV_DELETE, .condition = KV_IF_REVISION, .key = slice_str("k")};
    erase.condition_revision = 9;
    assert_int_equal(apply(kv, erase).key_revision, 2);
    erase.condition_revision = 2;
    assert_int_equal(apply(kv, erase).key_revision, 0);
    assert_true(apply(kv, erase).key_revision == KV_NO_KEY);
}

/* --- compaction ------------------------------------------------------------------------------- */

static void rule_p18_compaction_keeps_what_was_current_at_its_revision(void **state)
{
    struct kv *kv = *state;
    struct kv_item item;
    put(kv, "a", "1"); /* 2 */
    put(kv, "b", "1"); /* 3 */
    put(kv, "a", "2"); /* 4 */
    erase(kv, "b");    /* 5 */
    put(kv, "a", "3"); /* 6 */
    assert_int_equal(compact(kv, 4).status, STATUS_OK);
    for (unsigned freed = 0; freed < 2; freed++) {
        assert_int_equal(get(kv, "a", 3, &item), STATUS_COMPACTED);
        assert_value(kv, "a", 4, "2");
        assert_value(kv, "b", 4, "1");
        assert_absent(kv, "b", 5);
        assert_value(kv, "a", 0, "3");
        free_all(kv);
    }
    assert_int_equal(stats_of(kv).compact_revision, 4);
}

static void rule_p18_compaction_at_or_below_the_last_or_in_the_future_is_refused(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(compact(kv, 0).status, STATUS_COMPACTED);
    put(kv, "a", "1");
    put(kv, "a", "2");
    assert_int_equal(compact(kv, 4).status, STATUS_FUTURE);
    assert_int_equal(compact(kv, 3).status, STATUS_OK);
    assert_int_equal(compact(kv, 3).status, STATUS_COMPACTED);
    assert_int_equal(compact(kv, 2).status, STATUS_COMPACTED);
    assert_int_equal(stats_of(kv).compact_revision, 3);
    assert_int_equal(stats_of(kv).revision, 3);
}

static void rule_p18_a_deleted_key_leaves_nothing_behind(void **state)
{
    struct kv *kv = *state;
    put(kv, "before", "v");
    uint64_t live = stats_of(kv).live_bytes;
    char key[32];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        put(kv, key, "some value");
        erase(kv, key);
    }
    put(kv, "before", "w");
    compact(kv, stats_of(kv).revision);
    free_all(kv); /* its check counts every byte in the slab */
    assert_int_equal(stats_of(kv).live_bytes, live);
    assert_int_equal(stats_of(kv).keys, 1);
    put(kv, "before", "x");
    compact(kv, stats_of(kv).revision);
    free_all(kv);
    assert_value(kv, "before", 0, "x");
}

static void rule_p16_what_is_freed_when_shows_nowhere_but_in_memory(void **state)
{
    struct kv *eager = *state;
    struct kv *lazy = kv_create();
    struct kv *both[] = {eager, lazy};
    char key[32];
    for (unsigned k = 0; k < 2; k++) {
        for (unsigned i = 0; i < 2000; i++) {
            snprintf(key, sizeof(key), "key-%u", i % 300);
            i % 7 == 3 ? erase(both[k], key) : put(both[k], key, "value");
        }
        compact(both[k], stats_of(both[k]).revision);
    }
    free_all(eager);
    kv_check(lazy);
    assert_true(kv_compact_step(lazy, 1)); /* it has more to do */
    struct kv_stats a = stats_of(eager);
    struct kv_stats b = stats_of(lazy);
    assert_int_equal(a.keys, b.keys);
    assert_int_equal(a.live_bytes, b.live_bytes);
    assert_int_equal(a.history_bytes, b.history_bytes);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key-%u", i);
        struct kv_result ra = put(eager, key, "new");
        struct kv_result rb = put(lazy, key, "new");
        assert_int_equal(ra.version, rb.version);
        assert_int_equal(ra.create_revision, rb.create_revision);
    }
    assert_int_equal(stats_of(eager).history_bytes, stats_of(lazy).history_bytes);
    kv_check(lazy);
    kv_destroy(lazy);
}

static void condemned_history_goes_away_under_load_by_itself(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 1000; i++) {
        put(kv, "k", "v");
    }
    compact(kv, stats_of(kv).revision);
    for (unsigned i = 0; i < 400; i++) {
        put(kv, "k", "v");
    }
    assert_false(kv_compact_step(kv, 0));
}

static void history_counts_what_compaction_would_free(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "0123456789");
    uint64_t one = stats_of(kv).history_bytes;
    put(kv, "k", "0");
    uint64_t two = stats_of(kv).history_bytes;
    assert_true(two >= 2 * one + 10);
    erase(kv, "k");
    uint64_t live = stats_of(kv).live_bytes;
    assert_int_equal(live, 0);
    assert_true(stats_of(kv).history_bytes > two + one);
    put(kv, "j", "v");
    compact(kv, 5);
    assert_int_equal(stats_of(kv).history_bytes, one); /* the change at 5 itself is kept */
}

/* --- when compaction is due ------------------------------------------------------------------- */

static void nothing_is_due_while_history_is_young_and_small(void **state)
{
    struct kv *kv = *state;
    assert_int_equal(kv_compaction_due(kv, 1000000, 1000, 0), 0);
    put_at(kv, "k", 1000);
    put_at(kv, "k", 2000);
    assert_int_equal(kv_compaction_due(kv, 2000, 1000, 10000), 0);
    assert_int_equal(kv_compaction_due(kv, 500, 1000, 10000), 0);
}

static void compaction_by_age_keeps_the_whole_window(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 10; i++) {
        put_at(kv, "k", 1000 + 100 * i); /* revision 2 + i */
    }
    /* At 2000, a window of 800 ms: what was current at 1200 (revision 4) and later is kept. */
    assert_int_equal(kv_compaction_due(kv, 2000, 800, UINT64_MAX), 4);
    assert_int_equal(compact(kv, 4).status, STATUS_OK);
    assert_int_equal(kv_compaction_due(kv, 2000, 800, UINT64_MAX), 0);
    /* Not for every change that grows too old, but when an eighth of the window has. */
    assert_int_equal(kv_compaction_due(kv, 2199, 800, UINT64_MAX), 0);
    assert_int_equal(kv_compaction_due(kv, 2200, 800, UINT64_MAX), 6);
    /* Long idle: only the present is left, and then nothing is due any more. */
    assert_int_equal(kv_compaction_due(kv, 99999, 800, UINT64_MAX), 11);
    compact(kv, 11);
    assert_int_equal(kv_compaction_due(kv, 999999, 800, 0), 0);
}

static void compaction_by_bytes_leaves_at_most_the_limit(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 5000; i++) {
        put_at(kv, "k", 1000);
    }
    uint64_t limit = 40000;
    assert_true(stats_of(kv).history_bytes > limit);
    uint64_t due = kv_compaction_due(kv, 1000, 1000000, limit);
    assert_true(due > 0);
    compact(kv, due);
    assert_true(stats_of(kv).history_bytes <= limit - limit / 8);
    assert_true(stats_of(kv).history_bytes > limit / 2);
    assert_int_equal(kv_compaction_due(kv, 1000, 1000000, limit), 0);
}

static void one_change_above_the_limit_asks_once_and_rests(void **state)
{
    struct kv *kv = *state;
    put_at(kv, "k", 1000);
    put_at(kv, "k", 1000);
    assert_int_equal(kv_compaction_due(kv, 1000, 1000000, 1), 3);
    compact(kv, 3);
    assert_int_equal(kv_compaction_due(kv, 1000, 1000000, 1), 0);
}

static void a_clock_that_went_back_does_not_disorder_history(void **state)
{
    struct kv *kv = *state;
    put_at(kv, "k", 5000);
    put_at(kv, "k", 1000); /* counts as made at 5000 */
    put_at(kv, "k", 5500);
    assert_int_equal(kv_compaction_due(kv, 5400, 1000, UINT64_MAX), 0);
    assert_int_equal(kv_compaction_due(kv, 6200, 1000, UINT64_MAX), 3);
    kv_check(kv);
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void assert_walk(const struct kv *kv, struct slice from, struct slice end, const char *want)
{
    struct kv_cursor c;
    struct kv_item item;
    struct buf got = {0};
    assert_int_equal(kv_cursor_init(&c, kv, from, end, 0), STATUS_OK);
    while (kv_cursor_next(&c, &item) == STATUS_OK) {
        buf_append_slice(&got, item.key);
        buf_append_byte(&got, ' ');
    }
    assert_int_equal(kv_cursor_next(&c, &item), STATUS_NOT_FOUND);
    assert_true(slice_equal(buf_slice(&got), slice_str(want)));
    kv_cursor_deinit(&c);
    buf_deinit(&got);
}

static void a_walk_takes_the_keys_from_one_up_to_another(void **state)
{
    struct kv *kv = *state;
    const char *keys[] = {"d", "a", "b/1", "b/2", "b", "c"};
    for (size_t i = 0; i < 6; i++) {
        put(kv, keys[i], "v");
    }
    erase(kv, "c");
    assert_walk(kv, nothing(), nothing(), "a b b/1 b/2 d ");
    assert_walk(kv, slice_str("b"), slice_str("b/2"), "b b/1 ");
    assert_walk(kv, slice_str("b/"), slice_str("b0"), "b/1 b/2 ");
    assert_walk(kv, slice_str("bb"), nothing(), "d ");
    assert_walk(kv, slice_str("d"), slice_str("b"), "");
    assert_walk(kv, slice_str("e"), nothing(), "");
}

static void a_walk_goes_on_while_the_store_changes(void **state)
{
    struct kv *kv = *state;
    char key[32];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%04u", i);
        put(kv, key, "old");
    }
    struct kv_cursor c;
    struct kv_item item;
    assert_int_equal(kv_cursor_init(&c, kv, nothing(), nothing(), 0), STATUS_OK);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(kv_cursor_next(&c, &item), STATUS_OK);
        snprintf(key, sizeof(key), "%04u", i);
        assert_true(slice_equal(item.key, slice_str(key)));
        assert_true(slice_equal(item.value, slice_str("old")));
        erase(kv, key);
        snprintf(key, sizeof(key), "%04u-new", i);
        put(kv, key, "new");
        snprintf(key, sizeof(key), "%04u", i + 1);
        put(kv, key, "changed");
    }
    assert_int_equal(kv_cursor_next(&c, &item), STATUS_NOT_FOUND);
    kv_cursor_deinit(&c);
}

static void a_walk_of_a_revision_ends_when_it_is_compacted(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "1");
    put(kv, "b", "1");
    struct kv_cursor past;
    struct kv_cursor present;
    struct kv_item item;
    assert_int_equal(kv_cursor_init(&past, kv, nothing(), nothing(), 2), STATUS_OK);
    assert_int_equal(kv_cursor_init(&present, kv, nothing(), nothing(), 3), STATUS_OK);
    compact(kv, 3);
    assert_int_equal(kv_cursor_next(&past, &item), STATUS_COMPACTED);
    assert_int_equal(kv_cursor_next(&present, &item), STATUS_OK);
    kv_cursor_deinit(&past);
    assert_int_equal(kv_cursor_init(&past, kv, nothing(), nothing(), 2), STATUS_COMPACTED);
    kv_cursor_deinit(&past);
    kv_cursor_deinit(&present);
}

static void a_walk_can_skip_ahead(void **state)
{
    struct kv *kv = *state;
    const char *keys[] = {"a/1", "a/2", "b/1", "b/2", "c"};
    for (size_t i = 0; i < 5; i++) {
        put(kv, keys[i], "v");
    }
    struct kv_cursor c;
    struct kv_item item;
    assert_int_equal(kv_cursor_init(&c, kv, nothing(), slice_str("c"), 0), STATUS_OK);
    assert_int_equal(kv_cursor_next(&c, &item), STATUS_OK);
    kv_cursor_seek(&c, slice_str("a0"));
    assert_int_equal(kv_cursor_next(&c, &item), STATUS_OK);
    assert_true(slice_equal(item.key, slice_str("b/1")));
    kv_cursor_seek(&c, slice_str("c"));
    assert_int_equal(kv_cursor_next(&c, &item), STATUS_NOT_FOUND);
    kv_cursor_deinit(&c);
}

static void assert_prefix_end(struct slice prefix, struct slice want)
{
    struct buf end = {0};
    buf_append_str(&end, "what was here before");
    kv_prefix_end(prefix, &end);
    assert_true(slice_equal(buf_slice(&end), want));
    buf_deinit(&end);
}

static void the_end_of_a_prefix_is_its_last_byte_raised(void **state)
{
    (void)state;
    assert_prefix_end(slice_str("a/"), slice_str("a0"));
    assert_prefix_end(slice_of("a\xff\xff", 3), slice_str("b"));
    assert_prefix_end(slice_of("\xff\xff", 2), nothing());
    assert_prefix_end(slice_of("\x00", 1), slice_of("\x01", 1));
    assert_prefix_end(nothing(), nothing());
}

/* --- odd keys and values ---------------------------------------------------------------------- */

static void row_a22_any_bytes_are_a_key(void **state)
{
    struct kv *kv = *state;
    uint8_t longest[LIMIT_KEY_BYTES];
    memset(longest, 0xff, sizeof(longest));
    const struct slice keys[] = {
        slice_of("\0", 1),
        slice_of("\0\0", 2),
        slice_str("//"),
        slice_str("__proto__"),
        slice_str("a b"),
        slice_str("k\xc3\xa4se"),
        slice_of("\xff", 1),
        slice_of(longest, sizeof(longest) - 1),
        slice_of(longest, sizeof(longest)),
    };
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    for (size_t i = 0; i < count; i++) {
        apply(kv, (struct kv_command){.op = KV_PUT, .key = keys[i], .value = keys[i]});
    }
    for (size_t i = 0; i < count; i++) {
        struct kv_item item;
        assert_int_equal(kv_get(kv, keys[i], 0, &item), STATUS_OK);
        assert_true(slice_equal(item.value, keys[i]));
        assert_int_equal(item.version, 1);
    }
    assert_int_equal(stats_of(kv).keys, count);
}

static void values_of_any_size_come_back(void **state)
{
    struct kv *kv = *state;
    const size_t sizes[] = {0, 1, 4075, 4076, 4077, 5000, 3u * MIB, LIMIT_VALUE_BYTES_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *bytes = mem_alloc(sizes[i] + 1);
        memset(bytes, (int)i, sizes[i]);
        struct slice value = slice_of(bytes, sizes[i]);
        apply(kv, (struct kv_command){.op = KV_PUT, .key = slice_str("k"), .value = value});
        struct kv_item item;
        assert_int_equal(get(kv, "k", 0, &item), STATUS_OK);
        assert_true(slice_equal(item.value, value));
        mem_free(bytes);
    }
    compact(kv, stats_of(kv).revision);
    free_all(kv);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(the_empty_store_is_at_1_and_the_first_write_makes_2),
        KV_TEST(a_put_of_the_same_value_makes_a_revision_and_a_version),
        KV_TEST(what_changes_nothing_takes_no_revision),
        KV_TEST(row_a10_a_deleted_key_is_gone_now_and_there_in_the_past),
        KV_TEST(a_key_put_again_after_its_deletion_begins_anew),
        KV_TEST(a_put_without_a_lease_detaches_the_key),
        KV_TEST(reads_of_the_future_are_refused),
        KV_TEST(conditions_hold_or_conflict),
        KV_TEST(a_conflict_tells_the_revision_of_the_key),
        KV_TEST(rule_p18_compaction_keeps_what_was_current_at_its_revision),
        KV_TEST(rule_p18_compaction_at_or_below_the_last_or_in_the_future_is_refused),
        KV_TEST(rule_p18_a_deleted_key_leaves_nothing_behind),
        KV_TEST(rule_p16_what_is_freed_when_shows_nowhere_but_in_memory),
        KV_TEST(condemned_history_goes_away_under_load_by_itself),
        KV_TEST(history_counts_what_compaction_would_free),
        KV_TEST(nothing_is_due_while_history_is_young_and_small),
        KV_TEST(compaction_by_age_keeps_the_whole_window),
        KV_TEST(compaction_by_bytes_leaves_at_most_the_limit),
        KV_TEST(one_change_above_the_limit_asks_once_and_rests),
        KV_TEST(a_clock_that_went_back_does_not_disorder_history),
        KV_TEST(a_walk_takes_the_keys_from_one_up_to_another),
        KV_TEST(a_walk_goes_on_while_the_store_changes),
        KV_TEST(a_walk_of_a_revision_ends_when_it_is_compacted),
        KV_TEST(a_walk_can_skip_ahead),
        KV_TEST(the_end_of_a_prefix_is_its_last_byte_raised),
        KV_TEST(row_a22_any_bytes_are_a_key),
        KV_TEST(values_of_any_size_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
