#include "watchers.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "configs.h"
#include "coverage.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FUTURE_MOST 6

enum watch_state {
    WATCH_IDLE,   /* it has not begun */
    WATCH_WANTS,  /* somebody is to be asked at again_ms */
    WATCH_POSTED, /* on its way to that member's loop */
    WATCH_STARTED
};

struct watcher {
    struct watchers *all;
    uint32_t number;
    enum watch_state state;
    int member;
    int last_member; /* that told it something; -1 = none */
    bool is_started; /* the hub knows it */
    bool is_paused;
    uint64_t again_ms;
    uint64_t resume_ms; /* 0 = it is not paused, or is about to go on */
    uint64_t next;      /* nothing below is told any more */
    bool saw_swap;      /* since it was told something */
    uint64_t swap_revision;
    struct rng r;
    char from[MODEL_KEY_BYTES];
    char to[MODEL_KEY_BYTES];
    struct kv_span span;
    bool no_puts;
    bool no_deletes;
    struct kv_watch watch;
    bool has_mirror;
    uint64_t mirror[SIM_KEYS_MAX]; /* last change of the keys that are there; 0 = it is not */
};

struct watchers {
    const struct schedule *schedule;
    struct sim_members *members;
    uint32_t count;
    uint32_t core; /* bits of members that may be asked */
    bool is_finishing;
    struct watcher items[SIM_WATCHERS_MAX];
};

static struct watchers *current;

/* --- what it must be told --------------------------------------------------------------------- */

static bool is_in_span(const struct watcher *w, uint32_t key)
{
    char name[MODEL_KEY_BYTES];
    model_key(key, name);
    return kv_span_contains(&w->span, slice_str(name));
}

static bool concerns(const struct watcher *w, const struct model_change *c)
{
    bool is_wanted = c->item.is_there ? !w->no_puts : !w->no_deletes;
    return is_wanted && is_in_span(w, c->key);
}

/* Nothing that it wants was changed from where it stands to before `revision`. */
static void check_nothing_left_out(const struct watcher *w, uint64_t revision)
{
    const struct model *m = truth.model;
    for (uint32_t i = model_changes_from(m, w->next); i < model_change_count(m); i++) {
        const struct model_change *c = model_change(m, i);
        if (c->item.revision >= revision) {
            return;
        }
        if (concerns(w, c)) {
            verdict_fail("I15",
                         "watch %" PRIu32 " at member %d goes on to revision %" PRIu64
                         " and was not told of %" PRIu64,
                         w->number, w->member, revision, c->item.revision);
        }
    }
}

static bool is_item(const struct model_change *c, const struct kv_event *e)
{
    const struct model_item *must = &c->item;
    char name[MODEL_KEY_BYTES];
    model_key(c->key, name);
    if (e->revision != must->revision || e->is_delete == must->is_there ||
        !slice_equal(e->item.key, slice_str(name))) {
        return false;
    }
    return !must->is_there ||
           (e->item.revision == must->revision &&
            e->item.create_revision == must->create_revision && e->item.version == must->version &&
            e->item.lease == must->lease && slice_equal(e->item.value, must->value));
}

/* What was before it: only a compaction may have taken it. */
static void check_previous(const struct watcher *w, const struct model_change *c,
                           const struct kv_event *e)
{
    uint64_t before = e->revision - 1;
    char name[MODEL_KEY_BYTES];
    model_key(c->key, name);
    bool is_good = e->has_previous
                       ? model_agrees(truth.model, slice_str(name), before, &e->previous)
                       : model_get(truth.model, c->key, before) == NULL ||
                             model_compacted(truth.model) > before;
    if (!is_good) {
        verdict_fail("I15",
                     "watch %" PRIu32 " at member %d: what %s was before %" PRIu64 " is not so",
                     w->number, w->member, name, e->revision);
    }
}

static void note_change(struct watcher *w, const struct model_change *c)
{
    w->mirror[c->key] = c->item.is_there ? c->item.revision : 0;
}

/* As it stands where the watch stands, which may be in the future. */
static void fill_mirror(struct watcher *w)
{
    w->has_mirror = true;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *item = model_get(truth.model, key, w->next - 1);
        w->mirror[key] = item != NULL ? item->revision : 0;
    }
}

/* All events of one revision, which begin at *at. */
static void take_revision(struct watcher *w, struct kv_event *const *events, uint32_t count,
                          uint32_t *at)
{
    const struct model *m = truth.model;
    uint64_t revision = events[*at]->revision;
    uint32_t first = model_changes_from(m, revision);
    uint32_t last = model_changes_from(m, revision + 1);
    uint32_t told = 0;
    if (revision < w->next || revision > model_revision(m)) {
        verdict_fail("I15",
                     "watch %" PRIu32 " at member %d is told of revision %" PRIu64
                     ", next is %" PRIu64 ", committed %" PRIu64,
                     w->number, w->member, revision, w->next, model_revision(m));
    }
    check_nothing_left_out(w, revision);
    if (!w->has_mirror) {
        fill_mirror(w);
    }
    for (uint32_t i = first; i < last; i++) {
        const struct model_change *c = model_change(m, i);
        if (!concerns(w, c)) {
            continue;
        }
        const struct kv_event *e = *at < count ? events[*at] : NULL;
        if (e == NULL || !is_item(c, e) || e->place != i - first ||
            e->place_count != last - first) {
            verdict_fail("I15",
                         "watch %" PRIu32 " at member %d is not told as it was of change %" PRIu32
                         " of revision %" PRIu64,
                         w->number, w->member, i - first, revision);
        }
        check_previous(w, c, e);
        note_change(w, c);
        (*at)++;
        told++;
    }
    if (told == 0) {
        verdict_fail("I15",
                     "watch %" PRIu32 " at member %d is told of revision %" PRIu64
                     ", where nothing is for it",
                     w->number, w->member, revision);
    }
    if (told > 1) {
        coverage_hit(MARK_WATCH_TOLD_SEVERAL_AT_ONCE);
    }
    w->next = revision + 1;
}

/* --- callbacks -------------------------------------------------------------------------------- */

static void leave(struct watcher *w, uint64_t wait_ms)
{
    if (w->is_started) {
        kv_watch_cancel(&w->watch);
    }
    w->is_started = false;
    w->is_paused = false;
    w->resume_ms = 0;
    w->state = WATCH_WANTS;
    w->again_ms = fake_world_now(w->all->members->world) + wait_ms;
}

static void pause_for(struct watcher *w, uint64_t ms)
{
    kv_watch_pause(&w->watch);
    w->is_paused = true;
    w->resume_ms = fake_world_now(w->all->members->world) + ms;
    coverage_hit(MARK_WATCH_PAUSED);
}

static uint64_t store_revision(const struct watcher *w)
{
    struct kv_stats stats;
    kv_stats(node_kv(w->all->members->items[w->member].node), &stats);
    return stats.revision;
}

static void mark_events(struct watcher *w, uint64_t first)
{
    if (first < store_revision(w)) {
        coverage_hit(MARK_WATCH_CAUGHT_UP);
    }
    if (w->saw_swap && first <= w->swap_revision) {
        coverage_hit(MARK_WATCH_OVER_INSTALL);
    }
    w->saw_swap = false;
    if (w->last_member >= 0 && w->last_member != w->member) {
        coverage_hit(MARK_WATCH_WENT_ELSEWHERE);
    }
    w->last_member = w->member;
}

static void resume(void *context)
{
    struct watcher *w = context;
    if (w->state == WATCH_STARTED && w->is_paused) {
        w->is_paused = false;
        kv_watch_resume(&w->watch);
    }
}

/* In the middle of a step of the hub, which has perhaps something for the other one already. */
static void meddle(struct watcher *w)
{
    struct watcher *other = &w->all->items[rng_below(&w->r, w->all->count)];
    uint64_t ms = rng_below(&w->r, w->all->schedule->knobs[KNOB_election_ms]);
    if (other->state != WATCH_STARTED || other->member != w->member) {
        return;
    }
    coverage_hit(MARK_WATCH_CHANGED_BY_ANOTHER);
    if (other->is_paused) {
        resume(other);
    } else if (rng_chance(&w->r, 1, 2)) {
        pause_for(other, ms);
    } else {
        leave(other, ms);
    }
}

static void on_events(struct kv_watch *watch, struct kv_event *const *events, uint32_t count)
{
    struct watcher *w = CONTAINER_OF(watch, struct watcher, watch);
    uint64_t election_ms = w->all->schedule->knobs[KNOB_election_ms];
    if (truth.members[w->member].is_odd) {
        leave(w, 1); /* what it says is wrong */
        return;
    }
    if (w->is_paused) {
        verdict_fail("I15", "watch %" PRIu32 " at member %d is told while it pauses", w->number,
                     w->member);
    }
    mark_events(w, events[0]->revision);
    for (uint32_t at = 0; at < count;) {
        take_revision(w, events, count, &at);
    }
    verdict_trace("watch %" PRIu32 " at member %d: up to revision %" PRIu64, w->number, w->member,
                  w->next - 1);
    if (w->all->is_finishing) {
        return;
    }
    if (rng_chance(&w->r, 1, 12)) {
        pause_for(w, rng_below(&w->r, 2 * election_ms));
    } else if (rng_chance(&w->r, 1, 40)) {
        leave(w, rng_below(&w->r, election_ms));
    } else if (rng_chance(&w->r, 1, 12)) {
        meddle(w);
    }
}

/* It reads all anew, and goes on from there. */
static void on_compacted(struct watcher *w)
{
    uint64_t floor = w->watch.compact_revision;
    struct kv_stats stats;
    kv_stats(node_kv(w->all->members->items[w->member].node), &stats);
    if (floor <= w->next || floor > model_compacted(truth.model) ||
        floor > stats.compact_revision) {
        verdict_fail("I15",
                     "watch %" PRIu32 " at member %d ends as compacted at %" PRIu64
                     ", and stands at %" PRIu64 "; compacted is %" PRIu64,
                     w->number, w->member, floor, w->next, stats.compact_revision);
    }
    coverage_hit(MARK_WATCH_COMPACTED);
    w->next = stats.revision + 1;
    w->has_mirror = false;
}

static void on_end(struct kv_watch *watch, enum status why)
{
    struct watcher *w = CONTAINER_OF(watch, struct watcher, watch);
    const struct sim_member *m = &w->all->members->items[w->member];
    w->is_started = false;
    if (truth.members[w->member].is_odd) {
        leave(w, 1);
        return;
    }
    struct node_status status;
    node_status_get(m->node, &status);
    if (why == STATUS_COMPACTED) {
        on_compacted(w);
    } else if (why != STATUS_CLOSED || !(m->shutting_down || status.shutting_down)) {
        verdict_fail("I15", "watch %" PRIu32 " at member %d ends: %s", w->number, w->member,
                     status_name(why));
    }
    leave(w, w->all->schedule->knobs[KNOB_election_ms] / 10 + 1);
}

/* --- from member to member -------------------------------------------------------------------- */

static void choose_span(struct watcher *w)
{
    uint32_t keys = w->all->schedule->knobs[KNOB_keys];
    uint32_t a = (uint32_t)rng_below(&w->r, keys);
    uint32_t b = (uint32_t)rng_below(&w->r, keys);
    model_key(a < b ? a : b, w->from);
    model_key((a < b ? b : a) + 1, w->to);
    w->span.kind = (enum kv_span_kind)rng_below(&w->r, 3);
    w->span.key = slice_str(w->from);
    if (w->span.kind == KV_SPAN_RANGE) {
        w->span.end = slice_str(w->to);
    } else if (w->span.kind == KV_SPAN_FROM && rng_chance(&w->r, 1, 2)) {
        model_key(0, w->from);
    }
    w->no_puts = rng_chance(&w->r, 1, 8);
    w->no_deletes = !w->no_puts && rng_chance(&w->r, 1, 8);
}

/* Where a watch begins that has none behind it: now, in the past, in the future. */
static uint64_t choose_start(struct watcher *w, uint64_t revision)
{
    switch (rng_below(&w->r, 4)) {
    case 0:
        return 1 + rng_below(&w->r, revision);
    case 1:
        return 2;
    case 2:
        coverage_hit(MARK_WATCH_OF_THE_FUTURE);
        return revision + 1 + rng_below(&w->r, FUTURE_MOST);
    default:
        return 0;
    }
}

/* On the loop of the member. */
static void start(void *context)
{
    struct watcher *w = context;
    if (w->state != WATCH_POSTED) {
        return;
    }
    struct node *n = w->all->members->items[w->member].node;
    uint64_t revision = store_revision(w);
    uint64_t from = w->next;
    if (w->next == 0) {
        choose_span(w);
        from = choose_start(w, revision);
        w->next = from != 0 ? from : revision + 1;
        w->has_mirror = false;
    }
    w->watch = (struct kv_watch){.span = w->span,
                                 .start_revision = from,
                                 .no_puts = w->no_puts,
                                 .no_deletes = w->no_deletes,
                                 .on_events = on_events,
                                 .on_end = on_end};
    w->saw_swap = false;
    enum status s = node_watch_start(n, &w->watch);
    verdict_trace("watch %" PRIu32 " at member %d from revision %" PRIu64 ": %s", w->number,
                  w->member, w->next, status_name(s));
    if (s != STATUS_OK) {
        leave(w, w->all->schedule->knobs[KNOB_election_ms] / 4 + 1);
        return;
    }
    w->is_started = true;
    w->state = WATCH_STARTED;
}

static bool is_fit(const struct watchers *all, int member)
{
    const struct truth_member *t = &truth.members[member];
    return (all->core >> member & 1) != 0 && all->members->items[member].node != NULL &&
           t->raft != NULL && !t->is_odd;
}

static void ask_somebody(struct watcher *w)
{
    struct watchers *all = w->all;
    int count = (int)all->members->count;
    int first = (int)rng_below(&w->r, (uint64_t)count);
    for (int i = 0; i < count; i++) {
        int member = (first + i) % count;
        if (is_fit(all, member)) {
            w->member = member;
            w->state = WATCH_POSTED;
            fake_process_post(all->members->items[member].loop, start, w);
            return;
        }
    }
    w->again_ms += all->schedule->knobs[KNOB_election_ms] / 4 + 1;
}

void watchers_take(struct watchers *all, const struct item *item)
{
    struct watcher *w = &all->items[item->a % SIM_WATCHERS_MAX];
    bool is_told = w->state == WATCH_STARTED && w->is_started;
    if (item->kind == ITEM_watch && w->state == WATCH_IDLE) {
        leave(w, 0);
    } else if (item->kind == ITEM_watch && is_told) {
        leave(w, item->c);
        w->next = item->d != 0 ? 0 : w->next; /* another one altogether */
    } else if (item->kind == ITEM_watch_pause && is_told && !w->is_paused) {
        pause_for(w, item->c);
    }
}

/* What it may take for granted: as a progress notification says. */
static void see_progress(struct watcher *w)
{
    if (!w->is_started || w->is_paused || truth.members[w->member].is_odd) {
        return;
    }
    uint64_t told = kv_watch_told(&w->watch);
    if (told + 1 <= w->next) {
        return;
    }
    if (told > model_revision(truth.model)) {
        verdict_fail("I15",
                     "watch %" PRIu32 " at member %d was told everything up to %" PRIu64
                     ", committed is %" PRIu64,
                     w->number, w->member, told, model_revision(truth.model));
    }
    check_nothing_left_out(w, told + 1);
    w->next = told + 1;
}

void watchers_tend(struct watchers *all)
{
    uint64_t now_ms = fake_world_now(all->members->world);
    for (uint32_t i = 0; i < all->count; i++) {
        struct watcher *w = &all->items[i];
        if (w->state == WATCH_WANTS && w->again_ms <= now_ms) {
            ask_somebody(w);
        } else if (w->state == WATCH_STARTED && w->resume_ms != 0 && w->resume_ms <= now_ms) {
            w->resume_ms = 0;
            fake_process_post(all->members->items[w->member].loop, resume, w);
        }
        see_progress(w);
    }
}

void watchers_on_stop(struct watchers *all, int member)
{
    for (uint32_t i = 0; i < all->count; i++) {
        struct watcher *w = &all->items[i];
        if (w->member == member && (w->state == WATCH_POSTED || w->state == WATCH_STARTED)) {
            leave(w, rng_below(&w->r, all->schedule->knobs[KNOB_election_ms] / 2 + 1));
        }
    }
}

void watchers_on_swap(void)
{
    for (uint32_t i = 0; current != NULL && i < current->count; i++) {
        struct watcher *w = &current->items[i];
        if (w->state == WATCH_STARTED && w->member == truth.current) {
            w->saw_swap = true;
            w->swap_revision = store_revision(w);
        }
    }
}

void watchers_finish(struct watchers *all, uint32_t core)
{
    all->core = core;
    all->is_finishing = true;
    for (uint32_t i = 0; i < all->count; i++) {
        struct watcher *w = &all->items[i];
        bool is_there = w->state == WATCH_POSTED || w->state == WATCH_STARTED;
        if (is_there && !is_fit(all, w->member)) {
            leave(w, 0);
        } else if (w->is_paused) {
            w->resume_ms = 1;
        }
    }
}

static void check_mirror(const struct watcher *w)
{
    if (!w->has_mirror || w->no_puts || w->no_deletes) {
        return;
    }
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *item = model_get(truth.model, key, w->next - 1);
        uint64_t revision = item != NULL ? item->revision : 0;
        if (is_in_span(w, key) && w->mirror[key] != revision) {
            verdict_fail("I15",
                         "the mirror of watch %" PRIu32 " has key %" PRIu32 " of revision %" PRIu64
                         "; it is of %" PRIu64,
                         w->number, key, w->mirror[key], revision);
        }
    }
}

/* Of a member that is no more in the cluster nobody expects anything. */
static bool is_done(const struct watcher *w)
{
    if (w->state == WATCH_IDLE) {
        return true;
    }
    if (w->state != WATCH_STARTED || w->is_paused) {
        return false;
    }
    return w->next > model_revision(truth.model) || configs_is_removed(&truth.members[w->member]);
}

bool watchers_are_done(const struct watchers *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const struct watcher *w = &all->items[i];
        if (!is_done(w)) {
            return false;
        }
        if (w->state == WATCH_STARTED && w->next == model_revision(truth.model) + 1) {
            check_mirror(w);
        }
    }
    return true;
}

void watchers_explain(const struct watchers *all, char *text, size_t size)
{
    text[0] = '\0';
    for (uint32_t i = 0; i < all->count; i++) {
        const struct watcher *w = &all->items[i];
        if (!is_done(w)) {
            snprintf(text, size,
                     "watch %" PRIu32 " (state %d%s) at member %d stands at %" PRIu64
                     " of %" PRIu64,
                     i, (int)w->state, w->is_paused ? ", paused" : "", w->member, w->next,
                     model_revision(truth.model));
            return;
        }
    }
}

struct watchers *watchers_create(const struct schedule *s, struct sim_members *members)
{
    struct watchers *all = mem_calloc(1, sizeof(*all));
    all->schedule = s;
    all->members = members;
    all->core = UINT32_MAX;
    all->count = s->knobs[KNOB_watches] != 0 ? SIM_WATCHERS_MAX : 0;
    for (uint32_t i = 0; i < all->count; i++) {
        struct watcher *w = &all->items[i];
        w->all = all;
        w->number = i;
        w->last_member = -1;
        rng_init(&w->r, (s->seed ^ 0x7761746368) + 7919 * (i + 1));
    }
    current = all;
    return all;
}

void watchers_destroy(struct watchers *all)
{
    current = NULL;
    mem_free(all);
}
