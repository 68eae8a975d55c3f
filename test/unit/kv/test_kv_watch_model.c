/* I15: watches against a list of all changes ever. Random puts, deletes, transactions, compactions
 * and other states in the store's place; watches that begin in the past, now or in the future,
 * pause, and do things to one another while they are told. Each knows what it must be told next. */
#include "kv/kv_watch.h"

#include "base/mem.h"
#include "base/rng.h"
#include "kv/kv_txn.h"
#include "kv_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WATCHES     40
#define STEPS       3000
#define OPS_MAX     6
#define CHANGES_MAX (STEPS * 12 * OPS_MAX)

struct entry {
    uint64_t revision;
    bool is_delete;
    char key[4];
    char value[16];
    bool has_previous;
    char previous[16];
};

struct model;

struct mirror {
    struct kv_watch watch;
    struct model *model;
    char key[4];
    char end[4];
    struct kv_span span; /* of these */
    size_t next;         /* in the list */
    bool is_started;
};

struct model {
    struct rng rng;
    struct kv *kv;
    struct kv_watch_hub *hub;
    struct entry *entries;
    size_t count;
    struct mirror mirrors[WATCHES];
    uint64_t told;
    uint64_t compacted;
};

static bool has_key(const struct kv_span *s, const char *text)
{
    struct slice key = slice_str(text);
    switch (s->kind) {
    case KV_SPAN_KEY:
        return slice_equal(s->key, key);
    case KV_SPAN_RANGE:
        return slice_compare(s->key, key) <= 0 && slice_compare(key, s->end) < 0;
    case KV_SPAN_FROM:
        return slice_compare(s->key, key) <= 0;
    }
    return false;
}

/* The next that it must be told, or NULL. */
static const struct entry *next_of(struct mirror *m)
{
    const struct kv_watch *w = &m->watch;
    for (; m->next < m->model->count; m->next++) {
        const struct entry *e = &m->model->entries[m->next];
        bool is_filtered = e->is_delete ? w->no_deletes : w->no_puts;
        if (e->revision >= w->start_revision && has_key(&m->span, e->key) && !is_filtered) {
            return e;
        }
    }
    return NULL;
}

static void start(struct model *model, struct mirror *m);

static struct mirror *any_mirror(struct model *m)
{
    return &m->mirrors[rng_below(&m->rng, WATCHES)];
}

/* What an owner may do at any time. */
static void meddle(struct model *model, struct mirror *m)
{
    switch (rng_below(&model->rng, 4)) {
    case 0:
        if (m->is_started && rng_chance(&model->rng, 1, 4)) {
            kv_watch_cancel(&m->watch);
            m->is_started = false;
        }
        break;
    case 1:
        kv_watch_pause(&m->watch);
        break;
    case 2:
        kv_watch_resume(&m->watch);
        break;
    default:
        if (!m->is_started) {
            start(model, m);
        }
        break;
    }
}

/* Its place among the changes of its revision, and how many these are. */
static void expect_place(const struct kv_event *e, const struct model *m, size_t at)
{
    size_t first = at;
    size_t end = at + 1;
    while (first > 0 && m->entries[first - 1].revision == e->revision) {
        first--;
    }
    while (end < m->count && m->entries[end].revision == e->revision) {
        end++;
    }
    assert_int_equal(e->place, at - first);
    assert_int_equal(e->place_count, end - first);
}

static void expect_event(const struct kv_event *e, const struct entry *want)
{
    assert_non_null(want);
    assert_int_equal(e->revision, want->revision);
    assert_int_equal(e->is_delete, want->is_delete);
    assert_true(slice_equal(e->item.key, slice_str(want->key)));
    assert_true(slice_equal(e->item.value, slice_str(want->value)));
    assert_int_equal(e->item.revision, want->revision);
    assert_int_equal(e->has_previous, want->has_previous);
    assert_true(slice_equal(e->previous.value, slice_str(want->previous)));
}

static void on_events(struct kv_watch *w, struct kv_event *const *events, uint32_t count)
{
    struct mirror *m = w->context;
    struct model *model = m->model;
    assert_true(m->is_started && !w->is_paused);
    for (uint32_t i = 0; i < count; i++) {
        expect_event(events[i], next_of(m));
        expect_place(events[i], model, m->next);
        m->next++;
        model->told++;
    }
    const struct entry *rest = next_of(m);
    assert_true(rest == NULL || rest->revision > events[count - 1]->revision);
    if (rng_chance(&model->rng, 1, 4)) {
        meddle(model, rng_chance(&model->rng, 1, 2) ? m : any_mirror(model));
    }
}

static void on_end(struct kv_watch *w, enum status why)
{
    struct mirror *m = w->context;
    m->is_started = false;
    if (why == STATUS_COMPACTED) {
        m->model->compacted++;
        struct kv_stats stats;
        kv_stats(m->model->kv, &stats);
        assert_int_equal(w->compact_revision, stats.compact_revision);
        assert_true(w->next_revision < stats.compact_revision);
        const struct entry *next = next_of(m);
        assert_true(next == NULL || next->revision >= w->next_revision);
    }
}

static void on_in_step(struct kv_watch *w)
{
    assert_true(kv_watch_is_in_step(w));
}

static void any_key(struct model *m, char key[4])
{
    snprintf(key, 4, "%c%c", 'a' + (char)rng_below(&m->rng, 5), 'a' + (char)rng_below(&m->rng, 3));
}

static void start(struct model *model, struct mirror *m)
{
    any_key(model, m->key);
    any_key(model, m->end);
    uint64_t revision = kv_watch_hub_told(model->hub);
    uint64_t first = 0;
    if (rng_chance(&model->rng, 1, 2)) {
        first = revision + 5 - rng_below(&model->rng, 60 < revision ? 60 : revision);
    }
    m->model = model;
    m->span = (struct kv_span){.kind = (enum kv_span_kind)rng_below(&model->rng, 3),
                               .key = slice_str(m->key),
                               .end = slice_str(m->end)};
    m->watch = (struct kv_watch){
        .span = m->span,
        .start_revision = first,
        .no_puts = rng_chance(&model->rng, 1, 10),
        .no_deletes = rng_chance(&model->rng, 1, 10),
        .on_events = on_events,
        .on_in_step = on_in_step,
        .on_end = on_end,
        .context = m,
    };
    assert_int_equal(kv_watch_start(model->hub, &m->watch), STATUS_OK);
    m->is_started = true;
    m->next = 0;
    struct kv_stats stats;
    kv_stats(model->kv, &stats);
    m->watch.start_revision = first > 0 ? first : stats.revision + 1;
}

/* The next entry of the list, but for its revision: what is done to `key`. */
static struct entry *next_entry(struct model *m, const struct kv *kv)
{
    assert_true(m->count < CHANGES_MAX);
    struct entry *e = &m->entries[m->count];
    *e = (struct entry){.is_delete = rng_chance(&m->rng, 1, 4)};
    any_key(m, e->key);
    struct kv_item old;
    e->has_previous = kv_get(kv, slice_str(e->key), 0, &old) == STATUS_OK;
    if (e->has_previous) {
        memcpy(e->previous, old.value.data, old.value.size);
    }
    if (!e->is_delete) {
        snprintf(e->value, sizeof(e->value), "v%zu", m->count);
    }
    return e;
}

static void change(struct model *m, struct kv *kv)
{
    struct entry *e = next_entry(m, kv);
    const struct kv_command c = {.op = e->is_delete ? KV_DELETE : KV_PUT,
                                 .key = slice_str(e->key),
                                 .value = slice_str(e->value)};
    struct kv_result result;
    kv_apply(kv, &c, &result);
    e->revision = result.revision;
    m->count += result.status == STATUS_OK;
}

static bool is_taken(const struct model *m, size_t first, const struct entry *e)
{
    for (size_t i = first; i < m->count; i++) {
        if (strcmp(m->entries[i].key, e->key) == 0) {
            return true;
        }
    }
    return false;
}

/* Several changes of one revision. */
static void change_together(struct model *m, struct kv *kv)
{
    struct kv_txn *txn = kv_txn_create();
    size_t first = m->count;
    for (uint64_t n = rng_between(&m->rng, 1, OPS_MAX); n > 0; n--) {
        const struct entry *e = next_entry(m, kv);
        if (is_taken(m, first, e) || (e->is_delete && !e->has_previous)) {
            continue;
        }
        enum kv_txn_kind kind = e->is_delete ? KV_TXN_DELETE : KV_TXN_PUT;
        struct kv_txn_op *op = kv_txn_add_op(&txn->success, kind);
        if (e->is_delete) {
            op->deletes.span.key = slice_str(e->key);
        } else {
            op->put.key = slice_str(e->key);
            op->put.value = slice_str(e->value);
        }
        m->count++;
    }
    struct buf bytes = {0};
    kv_txn_encode(txn, &bytes);
    const struct kv_command c = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    struct kv_result result;
    kv_apply(kv, &c, &result);
    assert_int_equal(result.status, STATUS_OK);
    for (size_t i = first; i < m->count; i++) {
        m->entries[i].revision = result.revision;
    }
    buf_deinit(&bytes);
    kv_txn_destroy(txn);
}

static void change_some(struct model *m, struct kv *kv)
{
    for (uint64_t n = rng_below(&m->rng, 12); n > 0; n--) {
        if (rng_chance(&m->rng, 1, 3)) {
            change_together(m, kv);
        } else {
            change(m, kv);
        }
    }
}

static void compact(struct model *m, struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    uint64_t back = rng_below(&m->rng, 40);
    if (stats.revision > back) {
        const struct kv_command c = {.op = KV_COMPACT, .revision = stats.revision - back};
        struct kv_result result;
        kv_apply(kv, &c, &result);
        kv_compact_step(kv, (unsigned)rng_below(&m->rng, 50));
    }
}

/* A snapshot of another member, which is ahead. */
static void swap(struct model *m)
{
    struct buf image = {0};
    export_all(m->kv, &image);
    struct kv *other = import_all(buf_slice(&image), &m->rng);
    buf_deinit(&image);
    change_some(m, other);
    if (rng_chance(&m->rng, 1, 3)) {
        compact(m, other);
    }
    kv_swap(m->kv, other);
    kv_destroy(other);
}

static void act(struct model *m)
{
    uint64_t dice = rng_below(&m->rng, 100);
    if (dice < 45) {
        change_some(m, m->kv);
    } else if (dice < 70) {
        meddle(m, any_mirror(m));
    } else if (dice < 73) {
        if (rng_chance(&m->rng, 1, 2)) {
            kv_watch_hub_flush(m->hub);
        }
        compact(m, m->kv);
    } else if (dice < 74) {
        swap(m);
    } else {
        kv_watch_hub_step(m->hub);
        kv_watch_hub_check(m->hub);
    }
}

/* Those that have not ended were told everything there is, and know it. */
static void expect_all_told(struct model *m)
{
    for (int i = 0; i < WATCHES; i++) {
        kv_watch_resume(&m->mirrors[i].watch);
    }
    struct kv_stats stats;
    kv_stats(m->kv, &stats);
    do {
        while (kv_watch_hub_step(m->hub)) {
        }
        for (int i = 0; i < WATCHES; i++) { /* paused by another one */
            kv_watch_resume(&m->mirrors[i].watch);
        }
    } while (kv_watch_hub_step(m->hub));
    for (int i = 0; i < WATCHES; i++) {
        struct mirror *w = &m->mirrors[i];
        if (w->is_started && !w->watch.is_paused) {
            assert_null(next_of(w));
            assert_int_equal(kv_watch_told(&w->watch), stats.revision);
            assert_true(kv_watch_is_in_step(&w->watch));
        }
    }
}

static void play(uint64_t seed)
{
    struct model *m = mem_calloc(1, sizeof(*m));
    m->entries = mem_calloc(CHANGES_MAX, sizeof(*m->entries));
    rng_init(&m->rng, seed);
    m->kv = kv_create();
    m->hub = kv_watch_hub_create(m->kv);
    for (int step = 0; step < STEPS; step++) {
        act(m);
        if (step % 500 == 499) {
            expect_all_told(m);
        }
    }
    assert_true(m->told > 1000 && m->compacted > 5);
    kv_watch_hub_close(m->hub);
    kv_watch_hub_destroy(m->hub);
    kv_destroy(m->kv);
    mem_free(m->entries);
    mem_free(m);
}

static void rule_i15_ordered_unique_atomic_bookmarkable_resumable_reliable(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        play(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_i15_ordered_unique_atomic_bookmarkable_resumable_reliable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
