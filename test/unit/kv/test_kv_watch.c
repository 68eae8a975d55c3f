/* Watches one at a time: what is told, when, and what ends one. */
#include "kv/kv_watch.h"

#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_image.h"
#include "kv/kv_txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What one watch was told, as text: "3+a=x" for a put, "4-a" for a delete, calls divided by "|". */
struct story {
    struct kv_watch watch;
    struct buf text;
    enum status ended;
    unsigned in_step;
    bool pauses; /* in every call */
    struct story *cancels;
    struct story *starts;
    struct blob *seen;
};

struct world {
    struct kv *kv;
    struct kv_watch_hub *hub;
};

static void append_item(struct buf *b, const struct kv_item *item)
{
    buf_append_slice(b, item->key);
    buf_append_byte(b, '=');
    buf_append_slice(b, item->value);
}

static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct story *s = w->context;
    for (uint32_t i = 0; i < count; i++) {
        struct kv_event *e = events[i];
        buf_append_u64(&s->text, e->revision);
        buf_append_byte(&s->text, e->is_delete ? '-' : '+');
        if (e->is_delete) {
            buf_append_slice(&s->text, e->item.key);
        } else {
            append_item(&s->text, &e->item);
        }
        if (w->wants_previous && e->has_previous) {
            buf_append_str(&s->text, "<");
            append_item(&s->text, &e->previous);
        }
        buf_append_byte(&s->text, ' ');
        if (e->encoded[0] == NULL) {
            e->encoded[0] = blob_copy(slice_str("text"));
        }
        s->seen = e->encoded[0];
    }
    buf_append_byte(&s->text, '|');
    if (s->cancels != NULL) {
        kv_watch_cancel(&s->cancels->watch);
        return;
    }
    if (s->pauses) {
        kv_watch_pause(w);
    }
    if (s->starts != NULL) {
        assert_int_equal(kv_watch_start(w->hub, &s->starts->watch), STATUS_OK);
        s->starts = NULL;
    }
}

static void on_in_step(struct kv_watch *w)
{
    struct story *s = w->context;
    assert_true(kv_watch_is_in_step(w));
    s->in_step++;
}

static void on_end(struct kv_watch *w, enum status why)
{
    struct story *s = w->context;
    s->ended = why;
}

static struct story *story_of(struct kv_span span, uint64_t start)
{
    struct story *s = mem_calloc(1, sizeof(*s));
    s->watch = (struct kv_watch){.span = span,
                                 .start_revision = start,
                                 .on_events = on_events,
                                 .on_in_step = on_in_step,
                                 .on_end = on_end,
                                 .context = s};
    return s;
}

static void story_free(struct story *s)
{
    kv_watch_cancel(&s->watch);
    buf_deinit(&s->text);
    mem_free(s);
}

static const struct kv_span all = {.kind = KV_SPAN_FROM};

static struct story *watch(struct world *w, struct kv_span span, uint64_t start)
{
    struct story *s = story_of(span, start);
    assert_int_equal(kv_watch_start(w->hub, &s->watch), STATUS_OK);
    return s;
}

static struct kv_span key_span(const char *key)
{
    return (struct kv_span){.kind = KV_SPAN_KEY, .key = slice_str(key)};
}

static void apply(struct kv *kv, struct kv_command c)
{
    struct kv_result result;
    kv_apply(kv, &c, &result);
    assert_int_equal(result.status, STATUS_OK);
}

static void put(struct kv *kv, const char *key, const char *value)
{
    apply(kv, (struct kv_command){.op = KV_PUT, .key = slice_str(key), .value = slice_str(value)});
}

static void delete (struct kv *kv, const char *key)
{
    apply(kv, (struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}

static void compact(struct kv *kv, uint64_t revision)
{
    apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = revision});
    while (kv_compact_step(kv, 1000)) {
    }
}

static void step(struct world *w)
{
    for (unsigned n = 0; kv_watch_hub_step(w->hub); n++) {
        assert_true(n < 100000);
    }
    kv_watch_hub_check(w->hub);
}

static void expect(struct story *s, const char *text)
{
    buf_append_byte(&s->text, '\0');
    assert_string_equal((const char *)s->text.data, text);
    buf_clear(&s->text);
}

static int set_up(void **state)
{
    struct world *w = mem_calloc(1, sizeof(*w));
    w->kv = kv_create();
    w->hub = kv_watch_hub_create(w->kv);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    kv_watch_hub_close(w->hub);
    kv_watch_hub_destroy(w->hub);
    kv_destroy(w->kv);
    mem_free(w);
    return 0;
}

static void rule_i15_tells_what_is_new_of_its_span_in_order(void **state)
{
    struct world *w = *state;
    put(w->kv, "a", "0");
    struct story *one = watch(w, key_span("a"), 0);
    struct story *range = watch(
        w, (struct kv_span){.kind = KV_SPAN_RANGE, .key = slice_str("a"), .end = slice_str("b")},
        0);
    struct story *everything = watch(w, all, 0);
    put(w->kv, "a", "1");
    put(w->kv, "aa", "2");
    put(w->kv, "b", "3");
    delete (w->kv, "a");
    step(w);
    expect(one, "3+a=1 6-a |");
    expect(range, "3+a=1 4+aa=2 6-a |");
    expect(everything, "3+a=1 4+aa=2 5+b=3 6-a |");
    step(w);
    expect(one, "");
    assert_int_equal(kv_watch_told(&one->watch), 6);
    story_free(one);
    story_free(range);
    story_free(everything);
}

static void rule_i15_tells_the_past_and_then_goes_on(void **state)
{
    struct world *w = *state;
    put(w->kv, "a", "1");
    put(w->kv, "b", "2");
    put(w->kv, "a", "3");
    step(w);
    struct story *s = watch(w, key_span("a"), 3);
    assert_int_equal(kv_watch_told(&s->watch), 2);
    assert_false(kv_watch_is_in_step(&s->watch));
    step(w);
    expect(s, "4+a=3 |");
    assert_int_equal(s->in_step, 1);
    put(w->kv, "a", "4");
    step(w);
    expect(s, "5+a=4 |");
    story_free(s);
}

static void rule_i15_a_start_in_the_future_waits(void **state)
{
    struct world *w = *state;
    struct story *s = watch(w, all, 4);
    put(w->kv, "a", "2");
    put(w->kv, "a", "3");
    step(w);
    expect(s, "");
    assert_int_equal(kv_watch_told(&s->watch), 3);
    put(w->kv, "a", "4");
    step(w);
    expect(s, "4+a=4 |");
    story_free(s);
    s = watch(w, all, 100);
    assert_int_equal(kv_watch_told(&s->watch), 4);
    story_free(s);
}

static void filters_leave_out_puts_or_deletes(void **state)
{
    struct world *w = *state;
    struct story *puts = story_of(all, 0);
    puts->watch.no_deletes = true;
    struct story *deletes = story_of(all, 0);
    deletes->watch.no_puts = true;
    deletes->watch.wants_previous = true;
    assert_int_equal(kv_watch_start(w->hub, &puts->watch), STATUS_OK);
    assert_int_equal(kv_watch_start(w->hub, &deletes->watch), STATUS_OK);
    put(w->kv, "a", "1");
    put(w->kv, "a", "2");
    delete (w->kv, "a");
    step(w);
    expect(puts, "2+a=1 3+a=2 |");
    expect(deletes, "4-a<a=2 |");
    story_free(puts);
    story_free(deletes);
}

static void an_event_is_encoded_once_for_all(void **state)
{
    struct world *w = *state;
    struct story *a = watch(w, all, 0);
    struct story *b = watch(w, key_span("k"), 0);
    struct story *late = watch(w, key_span("k"), 2);
    put(w->kv, "k", "1");
    kv_watch_hub_step(w->hub);
    assert_non_null(a->seen);
    assert_ptr_equal(a->seen, b->seen);
    assert_ptr_equal(a->seen, late->seen);
    story_free(a);
    story_free(b);
    story_free(late);
}

static void rule_i15_a_paused_one_goes_on_where_it_was(void **state)
{
    struct world *w = *state;
    struct story *s = watch(w, all, 0);
    s->pauses = true;
    put(w->kv, "a", "1");
    step(w);
    put(w->kv, "a", "2");
    put(w->kv, "a", "3");
    step(w);
    expect(s, "2+a=1 |");
    assert_int_equal(kv_watch_told(&s->watch), 2);
    struct kv_watch_stats stats;
    kv_watch_hub_stats(w->hub, &stats);
    assert_int_equal(stats.watches, 1);
    assert_int_equal(stats.slow, 1);
    assert_int_equal(stats.events, 1);
    s->pauses = false;
    kv_watch_resume(&s->watch);
    step(w);
    expect(s, "3+a=2 4+a=3 |");
    kv_watch_hub_stats(w->hub, &stats);
    assert_int_equal(stats.slow, 0);
    story_free(s);
}

/* Which was to be told the same. */
static void one_cancelled_by_another_is_told_nothing(void **state)
{
    struct world *w = *state;
    struct story *first = watch(w, all, 0);
    struct story *second = watch(w, all, 0);
    put(w->kv, "a", "1");
    first->pauses = true;
    first->cancels = second;
    step(w);
    expect(first, "2+a=1 |");
    expect(second, "");
    assert_null(second->watch.hub);
    story_free(first);
    story_free(second);
}

static void a_watch_started_in_a_call_is_told_what_comes_after(void **state)
{
    struct world *w = *state;
    struct story *s = watch(w, all, 0);
    s->starts = story_of(all, 0);
    struct story *started = s->starts;
    put(w->kv, "a", "1");
    step(w);
    put(w->kv, "a", "2");
    step(w);
    expect(s, "2+a=1 |3+a=2 |");
    expect(started, "3+a=2 |");
    story_free(s);
    story_free(started);
}

static void rule_i15_below_the_history_it_ends_with_compacted(void **state)
{
    struct world *w = *state;
    struct story *paused = watch(w, all, 0);
    struct story *in_step = watch(w, all, 0);
    kv_watch_pause(&paused->watch);
    put(w->kv, "a", "1");
    put(w->kv, "a", "2");
    put(w->kv, "a", "3");
    step(w);
    compact(w->kv, 3);
    step(w);
    assert_int_equal(paused->ended, STATUS_OK);
    kv_watch_resume(&paused->watch);
    struct story *early = watch(w, all, 2);
    struct story *kept = watch(w, all, 3);
    step(w);
    assert_int_equal(paused->ended, STATUS_COMPACTED);
    assert_int_equal(paused->watch.compact_revision, 3);
    assert_int_equal(early->ended, STATUS_COMPACTED);
    expect(kept, "3+a=2 4+a=3 |");
    assert_int_equal(in_step->ended, STATUS_OK);
    story_free(paused);
    story_free(in_step);
    story_free(early);
    story_free(kept);
}

static void rule_i15_a_flush_tells_before_the_compaction(void **state)
{
    struct world *w = *state;
    struct story *told = watch(w, all, 0);
    put(w->kv, "a", "1");
    put(w->kv, "a", "2");
    kv_watch_hub_flush(w->hub);
    compact(w->kv, 3);
    put(w->kv, "a", "3");
    put(w->kv, "a", "4");
    step(w);
    expect(told, "2+a=1 3+a=2 |4+a=3 5+a=4 |");
    put(w->kv, "a", "5");
    put(w->kv, "a", "6");
    compact(w->kv, 7);
    step(w);
    assert_int_equal(told->ended, STATUS_COMPACTED);
    story_free(told);
}

static void rule_m38_another_state_is_caught_up_with_and_skips_nothing(void **state)
{
    struct world *w = *state;
    struct kv *snapshot = kv_create();
    struct story *s = watch(w, all, 0);
    struct story *paused = watch(w, all, 0);
    put(w->kv, "a", "1");
    step(w);
    kv_watch_pause(&paused->watch);
    put(w->kv, "a", "2");
    put(snapshot, "a", "1");
    put(snapshot, "a", "2");
    put(snapshot, "a", "3");
    put(snapshot, "a", "4");
    kv_swap(w->kv, snapshot);
    kv_destroy(snapshot);
    step(w);
    expect(s, "2+a=1 |3+a=2 4+a=3 5+a=4 |");
    expect(paused, "2+a=1 |");
    kv_watch_resume(&paused->watch);
    step(w);
    expect(paused, "3+a=2 4+a=3 5+a=4 |");
    kv_raise_revision(w->kv, 100);
    put(w->kv, "a", "5");
    step(w);
    assert_int_equal(s->ended, STATUS_COMPACTED);
    story_free(s);
    story_free(paused);
}

static void a_step_is_bounded_and_says_that_more_is_to_do(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3 * LIMIT_WATCH_CHANGES; i++) {
        put(w->kv, "a", "x");
    }
    step(w);
    struct story *s = watch(w, all, 2);
    unsigned steps = 1;
    while (kv_watch_hub_step(w->hub)) {
        steps++;
    }
    assert_in_range(steps, 3, 6);
    struct kv_watch_stats stats;
    kv_watch_hub_stats(w->hub, &stats);
    assert_int_equal(stats.events, 3 * LIMIT_WATCH_CHANGES);
    story_free(s);
}

static void delete_all(struct kv *kv)
{
    struct kv_txn *txn = kv_txn_create();
    kv_txn_add_op(&txn->success, KV_TXN_DELETE)->deletes.span.kind = KV_SPAN_FROM;
    struct buf bytes = {0};
    kv_txn_encode(txn, &bytes);
    apply(kv, (struct kv_command){.op = KV_TXN, .txn = buf_slice(&bytes)});
    buf_deinit(&bytes);
    kv_txn_destroy(txn);
}

/* Of the last call. */
static uint32_t told_count;
static bool told_all_places;

static void count_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    (void)w;
    told_count = count;
    told_all_places = true;
    for (uint32_t i = 0; i < count; i++) {
        told_all_places &= events[i]->revision == events[0]->revision && events[i]->place == i &&
                           events[i]->place_count == count;
    }
}

#define MANY (LIMIT_WATCH_EVENTS + 100)

static uint64_t told_in_all;

static void count_all(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    count_events(w, events, count);
    assert_int_equal(count, events[0]->place_count);
    told_in_all += count;
}

static void rule_o4_changes_times_watches_take_bounded_memory(void **state)
{
    enum { WATCHES = 1500, CHANGES = LIMIT_WATCH_EVENTS };
    struct world *w = *state;
    struct story **stories = mem_calloc(WATCHES, sizeof(*stories));
    for (unsigned i = 0; i < CHANGES; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%04u", i);
        put(w->kv, key, "1");
    }
    step(w);
    for (unsigned i = 0; i < WATCHES; i++) {
        stories[i] = story_of(all, 0);
        stories[i]->watch.on_events = count_all;
        assert_int_equal(kv_watch_start(w->hub, &stories[i]->watch), STATUS_OK);
    }
    delete_all(w->kv);
    told_in_all = 0;
    step(w);
    kv_watch_hub_check(w->hub); /* has an eye on it */
    assert_int_equal(told_in_all, WATCHES * CHANGES);
    for (unsigned i = 0; i < WATCHES; i++) {
        story_free(stories[i]);
    }
    mem_free(stories);
}

static void rule_i15_a_revision_of_any_size_is_told_in_one_call(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%04u", i);
        put(w->kv, key, "1");
    }
    step(w);
    struct story *everything = story_of(all, 0);
    everything->watch.on_events = count_events;
    assert_int_equal(kv_watch_start(w->hub, &everything->watch), STATUS_OK);
    struct story *one = watch(w, key_span("k0007"), 0);
    struct story *puts = story_of(key_span("k0007"), 0);
    puts->watch.no_deletes = true;
    assert_int_equal(kv_watch_start(w->hub, &puts->watch), STATUS_OK);
    put(w->kv, "k0007", "2");
    delete_all(w->kv);
    put(w->kv, "k0007", "3");
    step(w);
    expect(one, "614+k0007=2 |615-k0007 |616+k0007=3 |");
    expect(puts, "614+k0007=2 |616+k0007=3 |");
    assert_int_equal(told_count, 1);
    delete_all(w->kv);
    for (unsigned i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%04u", i);
        put(w->kv, key, "1");
    }
    step(w);
    delete_all(w->kv);
    step(w);
    assert_int_equal(told_count, MANY);
    assert_true(told_all_places);
    story_free(everything);
    story_free(one);
    story_free(puts);
}

static void a_closed_hub_ends_all_and_takes_none(void **state)
{
    struct world *w = *state;
    struct story *s = watch(w, all, 0);
    struct story *paused = watch(w, all, 0);
    kv_watch_pause(&paused->watch);
    kv_watch_hub_close(w->hub);
    assert_int_equal(s->ended, STATUS_CLOSED);
    assert_int_equal(paused->ended, STATUS_CLOSED);
    struct story *late = story_of(all, 0);
    assert_int_equal(kv_watch_start(w->hub, &late->watch), STATUS_CLOSED);
    story_free(s);
    story_free(paused);
    story_free(late);
}

static void a_span_beyond_its_bounds_is_refused(void **state)
{
    struct world *w = *state;
    static uint8_t long_key[LIMIT_KEY_BYTES + 1];
    struct story *s = story_of(key_span(""), 0);
    assert_int_equal(kv_watch_start(w->hub, &s->watch), STATUS_INVALID);
    s->watch.span =
        (struct kv_span){.kind = KV_SPAN_KEY, .key = slice_of(long_key, sizeof(long_key))};
    assert_int_equal(kv_watch_start(w->hub, &s->watch), STATUS_INVALID);
    story_free(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_i15_tells_what_is_new_of_its_span_in_order),
        TEST(rule_i15_tells_the_past_and_then_goes_on),
        TEST(rule_i15_a_start_in_the_future_waits),
        TEST(filters_leave_out_puts_or_deletes),
        TEST(an_event_is_encoded_once_for_all),
        TEST(rule_i15_a_paused_one_goes_on_where_it_was),
        TEST(one_cancelled_by_another_is_told_nothing),
        TEST(a_watch_started_in_a_call_is_told_what_comes_after),
        TEST(rule_i15_below_the_history_it_ends_with_compacted),
        TEST(rule_i15_a_flush_tells_before_the_compaction),
        TEST(rule_m38_another_state_is_caught_up_with_and_skips_nothing),
        TEST(a_step_is_bounded_and_says_that_more_is_to_do),
        TEST(rule_i15_a_revision_of_any_size_is_told_in_one_call),
        TEST(rule_o4_changes_times_watches_take_bounded_memory),
        TEST(a_closed_hub_ends_all_and_takes_none),
        TEST(a_span_beyond_its_bounds_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
