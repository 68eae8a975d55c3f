#include "kv/kv_watch.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_state.h"
#include "kv/watch_index.h"

#define HITS_MIN 64
/* Room for those of one step that may have no more, and of a last revision; by doubling. */
#define HITS_MAX (2 * (LIMIT_WATCH_TOLD + LIMIT_WATCHES))

/* Watches that are told the changes from `number` on, as it moves. What they are told next has at
 * least `revision`, and at least a watch's own next_revision. */
struct watch_front {
    struct watch_index index;
    struct list watches;
    uint64_t number;   /* of the history's first change that was not looked at */
    uint64_t revision; /* the first of which that is true */
};

/* An event and the next one of the same watch. */
struct watch_told {
    struct kv_event *event;
    uint32_t next; /* 0 = none */
};

/* What a step makes of changes until it is told; in the order of the history. */
struct event_node {
    struct list link;
    struct kv_event event;
};

struct kv_watch_hub {
    const struct kv *kv; /* borrowed */
    struct watch_front front;
    struct watch_front sweep;
    struct list waiting;  /* for the next sweep */
    struct list boarding; /* of this sweep, which does not move before they are on it */
    struct list paused;
    bool sweep_may_skip; /* one has left the sweep: what comes next may concern nobody */
    bool closed;
    uint64_t replaced; /* of the store, as it was when this looked last */
    uint64_t watch_count;
    uint64_t front_count;
    uint64_t events_told;

    /* What was collected and is not told yet. */
    struct list due; /* watches */
    struct list events;
    uint32_t event_count;
    uint64_t event_bytes;
    /* One revision of more than LIMIT_WATCH_EVENTS changes, or so many that all watches together
     * may have more than LIMIT_WATCH_TOLD hits: a watch has its first hit only, and its others are
     * looked for when it is told, so that memory does not grow with changes times watches. */
    bool is_large;
    struct watch_told *hits; /* [0] is not used */
    uint32_t hit_count;
    uint32_t hit_capacity;
    struct kv_event **batch; /* what one watch is being told */
    uint32_t batch_capacity;
};

/* What is still to be done in this step. */
struct watch_budget {
    uint64_t changes;
    uint64_t told;
};

/* What is being collected for whom. */
struct collecting {
    struct kv_watch_hub *hub;
    struct kv_event *event; /* NULL: nobody has asked for it yet */
    const struct change *change;
    uint32_t place;
    uint32_t place_count;
};

static void front_init(struct watch_front *f)
{
    watch_index_init(&f->index);
    list_init(&f->watches);
}

struct kv_watch_hub *kv_watch_hub_create(const struct kv *kv)
{
    struct kv_watch_hub *hub = mem_calloc(1, sizeof(*hub));
    hub->kv = kv;
    hub->replaced = kv->replaced;
    front_init(&hub->front);
    front_init(&hub->sweep);
    hub->front.number = kv->history.tail;
    hub->front.revision = kv->revision + 1;
    list_init(&hub->waiting);
    list_init(&hub->boarding);
    list_init(&hub->paused);
    list_init(&hub->due);
    list_init(&hub->events);
    return hub;
}

void kv_watch_hub_destroy(struct kv_watch_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    CHECK_CMP(hub->watch_count, ==, 0);
    CHECK(list_is_empty(&hub->events));
    watch_index_deinit(&hub->front.index);
    watch_index_deinit(&hub->sweep.index);
    mem_free(hub->hits);
    mem_free(hub->batch);
    mem_free(hub);
}

/* --- where a watch is ------------------------------------------------------------------------- */

/* The first revision of which it may not have been told everything. What was collected for it
 * counts as told only when it is (M38). */
static uint64_t position(const struct kv_watch *w)
{
    if (w->first_hit != 0) {
        return w->hub->hits[w->first_hit].event->revision;
    }
    if (w->with != NULL && w->with->revision > w->next_revision) {
        return w->with->revision;
    }
    return w->next_revision;
}

/* Out of where it is, with its position in next_revision. */
static void leave(struct kv_watch *w)
{
    struct kv_watch_hub *hub = w->hub;
    hub->front_count -= w->with == &hub->front;
    hub->sweep_may_skip |= w->with == &hub->sweep;
    w->next_revision = position(w);
    w->first_hit = 0;
    w->last_hit = 0;
    list_remove(&w->due_link);
    list_remove(&w->link);
    if (w->with != NULL) {
        watch_index_remove(&w->with->index, w);
        w->with = NULL;
    }
}

static void go_with(struct kv_watch *w, struct watch_front *f)
{
    w->with = f;
    list_push_back(&f->watches, &w->link);
    watch_index_add(&f->index, w);
    w->hub->front_count += f == &w->hub->front;
}

static bool sweep_is_under_way(const struct kv_watch_hub *hub)
{
    return !list_is_empty(&hub->sweep.watches) || !list_is_empty(&hub->boarding);
}

/* To where its position belongs. */
static void enter(struct kv_watch *w)
{
    struct kv_watch_hub *hub = w->hub;
    if (w->next_revision >= hub->front.revision) {
        go_with(w, &hub->front);
    } else if (sweep_is_under_way(hub) && w->next_revision >= hub->sweep.revision) {
        go_with(w, &hub->sweep);
    } else {
        list_push_back(&hub->waiting, &w->link);
    }
}

static void forget(struct kv_watch *w)
{
    leave(w);
    w->hub->watch_count--;
    w->hub = NULL;
    mem_free(w->span_bytes);
    w->span_bytes = NULL;
}

static void end(struct kv_watch *w, enum status why)
{
    w->compact_revision = w->hub->kv->compact_revision;
    forget(w);
    w->on_end(w, why);
}

/* --- for owners ------------------------------------------------------------------------------- */

static bool is_valid(const struct kv_span *span)
{
    bool is_range = span->kind == KV_SPAN_RANGE;
    return span->key.size <= LIMIT_KEY_BYTES && (!is_range || span->end.size <= LIMIT_KEY_BYTES) &&
           (span->kind != KV_SPAN_KEY || span->key.size > 0);
}

static void copy_span(struct kv_watch *w)
{
    struct kv_span *s = &w->span;
    size_t end_size = s->kind == KV_SPAN_RANGE ? s->end.size : 0;
    w->span_bytes = mem_alloc(s->key.size + end_size + 1);
    if (s->key.size > 0) {
        memcpy(w->span_bytes, s->key.data, s->key.size);
    }
    if (end_size > 0) {
        memcpy(w->span_bytes + s->key.size, s->end.data, end_size);
    }
    s->key = slice_of(w->span_bytes, s->key.size);
    s->end = slice_of(w->span_bytes + s->key.size, end_size);
}

enum status kv_watch_start(struct kv_watch_hub *hub, struct kv_watch *w)
{
    CHECK(w->hub == NULL);
    if (hub->closed) {
        return STATUS_CLOSED;
    }
    if (hub->watch_count == LIMIT_WATCHES) {
        return STATUS_OVERLOADED;
    }
    if (!is_valid(&w->span)) {
        return STATUS_INVALID;
    }
    copy_span(w);
    w->hub = hub;
    w->next_revision = w->start_revision > 0 ? w->start_revision : hub->kv->revision + 1;
    w->is_paused = false;
    w->with = NULL;
    w->first_hit = 0;
    w->last_hit = 0;
    list_init(&w->link);
    list_init(&w->due_link);
    hub->watch_count++;
    enter(w);
    return STATUS_OK;
}

void kv_watch_cancel(struct kv_watch *w)
{
    if (w->hub != NULL) {
        forget(w);
    }
}

void kv_watch_pause(struct kv_watch *w)
{
    if (w->hub != NULL && !w->is_paused) {
        leave(w);
        w->is_paused = true;
        list_push_back(&w->hub->paused, &w->link);
    }
}

void kv_watch_resume(struct kv_watch *w)
{
    if (w->hub != NULL && w->is_paused) {
        leave(w);
        w->is_paused = false;
        enter(w);
    }
}

uint64_t kv_watch_told(const struct kv_watch *w)
{
    uint64_t at = position(w);
    return (at < w->hub->front.revision ? at : w->hub->front.revision) - 1;
}

bool kv_watch_is_in_step(const struct kv_watch *w)
{
    return w->with == &w->hub->front && w->first_hit == 0;
}

uint64_t kv_watch_hub_told(const struct kv_watch_hub *hub)
{
    return hub->front.revision - 1;
}

void kv_watch_hub_stats(const struct kv_watch_hub *hub, struct kv_watch_stats *stats)
{
    *stats = (struct kv_watch_stats){
        .watches = hub->watch_count,
        .slow = hub->watch_count - hub->front_count,
        .events = hub->events_told,
    };
}

/* --- collecting ------------------------------------------------------------------------------- */

static struct kv_item item_of(struct slice key, const struct version *v)
{
    struct version_fields f;
    version_read(v, &f);
    return (struct kv_item){.key = key,
                            .value = f.value,
                            .create_revision = f.create_revision,
                            .revision = f.revision,
                            .version = f.version,
                            .lease = f.lease};
}

static struct kv_event *make_event(struct collecting *c)
{
    struct event_node *n = mem_calloc(1, sizeof(*n));
    struct kv_event *e = &n->event;
    const struct version *v = c->change->version;
    struct slice key = btree_entry_key(c->change->entry);
    e->revision = v->revision;
    e->is_delete = v->is_tombstone;
    e->item =
        v->is_tombstone ? (struct kv_item){.key = key, .revision = v->revision} : item_of(key, v);
    e->has_previous = v->older != NULL && !v->older->is_tombstone;
    if (e->has_previous) {
        e->previous = item_of(key, v->older);
    }
    e->place = c->place;
    e->place_count = c->place_count;
    list_push_back(&c->hub->events, &n->link);
    c->hub->event_count++;
    c->hub->event_bytes += key.size + e->item.value.size + e->previous.value.size;
    return e;
}

static uint32_t add_hit(struct kv_watch_hub *hub, struct kv_event *e)
{
    if (hub->hit_count + 1 >= hub->hit_capacity) {
        hub->hit_capacity = hub->hit_capacity > 0 ? 2 * hub->hit_capacity : HITS_MIN;
        hub->hits = mem_realloc(hub->hits, hub->hit_capacity * sizeof(*hub->hits));
    }
    hub->hits[++hub->hit_count] = (struct watch_told){.event = e};
    return hub->hit_count;
}

static bool is_wanted(const struct kv_watch *w, bool is_delete)
{
    return is_delete ? !w->no_deletes : !w->no_puts;
}

static void on_hit(void *context, struct kv_watch *w)
{
    struct collecting *c = context;
    const struct version *v = c->change->version;
    if (v->revision < w->next_revision || !is_wanted(w, v->is_tombstone)) {
        return;
    }
    if (c->event == NULL) {
        c->event = make_event(c);
    }
    if (c->hub->is_large && w->first_hit != 0) {
        return;
    }
    uint32_t hit = add_hit(c->hub, c->event);
    if (w->first_hit == 0) {
        w->first_hit = hit;
        list_push_back(&c->hub->due, &w->due_link);
    } else {
        c->hub->hits[w->last_hit].next = hit;
    }
    w->last_hit = hit;
}

/* The number of the first change before `to` that is not of the revision of the first, or `to`. */
static uint64_t revision_end(const struct history *h, uint64_t first, uint64_t to)
{
    uint64_t revision = history_at(h, first).version->revision;
    uint64_t next = first + 1;
    while (next < to && history_at(h, next).version->revision == revision) {
        next++;
    }
    return next;
}

/* The changes of a revision: those before number `next`. */
static void collect_revision(struct kv_watch_hub *hub, struct watch_front *f, uint64_t next)
{
    const struct history *h = &hub->kv->history;
    uint64_t first = f->number;
    for (uint64_t n = first; n < next; n++) {
        const struct change change = history_at(h, n);
        struct collecting c = {.hub = hub,
                               .change = &change,
                               .place = (uint32_t)(n - first),
                               .place_count = (uint32_t)(next - first)};
        watch_index_find(&f->index, btree_entry_key(change.entry), on_hit, &c);
    }
    f->number = next;
    f->revision = history_at(h, first).version->revision + 1;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void add_to_batch(struct kv_watch_hub *hub, uint32_t *count, struct kv_event *e)
{
    if (*count == hub->batch_capacity) {
        hub->batch_capacity = *count > 0 ? 2 * *count : HITS_MIN;
        hub->batch = mem_realloc(hub->batch, hub->batch_capacity * sizeof(struct kv_event *));
    }
    hub->batch[(*count)++] = e;
}

static uint32_t batch_of(struct kv_watch_hub *hub, const struct kv_watch *w)
{
    uint32_t count = 0;
    if (!hub->is_large) {
        for (uint32_t at = w->first_hit; at != 0; at = hub->hits[at].next) {
            add_to_batch(hub, &count, hub->hits[at].event);
        }
        return count;
    }
    for (struct list *at = hub->events.next; at != &hub->events; at = at->next) {
        struct kv_event *e = &CONTAINER_OF(at, struct event_node, link)->event;
        if (is_wanted(w, e->is_delete) && kv_span_contains(&w->span, e->item.key)) {
            add_to_batch(hub, &count, e);
        }
    }
    return count;
}

static void tell_one(struct kv_watch_hub *hub, struct kv_watch *w)
{
    uint32_t count = batch_of(hub, w);
    w->first_hit = 0;
    w->last_hit = 0;
    hub->events_told += count;
    w->on_events(w, hub->batch, count); /* it may be gone */
}

static void free_events(struct kv_watch_hub *hub)
{
    struct list *at;
    while ((at = list_pop_front(&hub->events)) != NULL) {
        struct event_node *n = CONTAINER_OF(at, struct event_node, link);
        for (int i = 0; i < KV_EVENT_ENCODINGS; i++) {
            blob_unref(n->event.encoded[i]);
        }
        mem_free(n);
    }
    hub->event_count = 0;
    hub->event_bytes = 0;
    hub->hit_count = 0;
    hub->is_large = false;
}

static void tell_due(struct kv_watch_hub *hub)
{
    struct list *at;
    while ((at = list_pop_front(&hub->due)) != NULL) {
        tell_one(hub, CONTAINER_OF(at, struct kv_watch, due_link));
    }
    free_events(hub);
}

static bool may_collect(const struct kv_watch_hub *hub, const struct watch_budget *b)
{
    return b->changes > 0 && hub->hit_count < b->told && hub->event_count < LIMIT_WATCH_EVENTS &&
           hub->event_bytes < LIMIT_WATCH_BYTES && !hub->is_large;
}

static uint64_t left_of(uint64_t budget, uint64_t used)
{
    return used < budget ? budget - used : 0;
}

static bool is_large_revision(const struct kv_watch_hub *hub, uint64_t count)
{
    return count > LIMIT_WATCH_EVENTS || (count > 1 && count * hub->watch_count > LIMIT_WATCH_TOLD);
}

/* Whole revisions before `to`; one that is large goes alone. */
static void collect(struct kv_watch_hub *hub, struct watch_front *f, uint64_t to,
                    struct watch_budget *b)
{
    while (f->number < to && may_collect(hub, b)) {
        uint64_t next = revision_end(&hub->kv->history, f->number, to);
        uint64_t count = next - f->number;
        bool is_large = is_large_revision(hub, count);
        if (is_large && hub->hit_count > 0) {
            return;
        }
        hub->is_large = is_large;
        collect_revision(hub, f, next);
        b->changes = left_of(b->changes, count);
    }
}

/* Move on to change number `to`, which begins a revision, as far as the budget goes. */
static void advance(struct kv_watch_hub *hub, struct watch_front *f, uint64_t to,
                    struct watch_budget *b)
{
    while (f->number < to && b->changes > 0 && b->told > 0) {
        uint64_t told = hub->events_told;
        collect(hub, f, to, b);
        tell_due(hub);
        b->told = left_of(b->told, hub->events_told - told);
    }
}

/* --- the front -------------------------------------------------------------------------------- */

static void front_reached_tail(struct kv_watch_hub *hub)
{
    hub->front.number = hub->kv->history.tail;
    hub->front.revision = hub->kv->revision + 1;
}

static uint64_t step_front(struct kv_watch_hub *hub)
{
    struct watch_front *f = &hub->front;
    uint64_t tail = hub->kv->history.tail;
    uint64_t from = f->number;
    if (!list_is_empty(&f->watches)) {
        struct watch_budget b = {.changes = LIMIT_WATCH_CHANGES, .told = LIMIT_WATCH_TOLD};
        advance(hub, f, tail, &b);
    } else {
        f->number = tail;
    }
    if (f->number == tail) {
        front_reached_tail(hub);
    }
    return f->number - from;
}

/* --- the sweep -------------------------------------------------------------------------------- */

static void all_wait(struct list *watches)
{
    while (!list_is_empty(watches)) {
        struct kv_watch *w = CONTAINER_OF(watches->next, struct kv_watch, link);
        leave(w);
        list_push_back(&w->hub->waiting, &w->link);
    }
}

/* Another state took the place of the store's, or a compaction went further than the front or the
 * sweep: each watch goes on from its own position, if it can. */
static void start_over(struct kv_watch_hub *hub)
{
    uint64_t floor = hub->kv->history.floor;
    bool is_other = hub->kv->replaced != hub->replaced;
    bool is_front_lost =
        is_other || (hub->front.number < floor && !list_is_empty(&hub->front.watches));
    if (is_front_lost) {
        all_wait(&hub->front.watches);
        front_reached_tail(hub);
    }
    if (is_front_lost || hub->sweep.number < floor) {
        all_wait(&hub->sweep.watches);
        all_wait(&hub->boarding);
    }
    hub->replaced = hub->kv->replaced;
}

static uint64_t lowest_position(const struct list *watches)
{
    uint64_t lowest = UINT64_MAX;
    for (const struct list *at = watches->next; at != watches; at = at->next) {
        const struct kv_watch *w = CONTAINER_OF(at, struct kv_watch, link);
        lowest = w->next_revision < lowest ? w->next_revision : lowest;
    }
    return lowest;
}

/* No further than the front is. */
static void move_sweep(struct kv_watch_hub *hub, uint64_t revision)
{
    uint64_t number = history_find_revision(&hub->kv->history, revision);
    bool is_there = number >= hub->front.number || revision >= hub->front.revision;
    hub->sweep.number = is_there ? hub->front.number : number;
    hub->sweep.revision = is_there ? hub->front.revision : revision;
}

static void begin_sweep(struct kv_watch_hub *hub)
{
    list_splice_back(&hub->boarding, &hub->waiting);
    move_sweep(hub, lowest_position(&hub->boarding));
    hub->sweep_may_skip = false;
}

static void board(struct kv_watch_hub *hub)
{
    for (uint32_t n = 0; n < LIMIT_WATCH_MOVED && !list_is_empty(&hub->boarding); n++) {
        struct kv_watch *w = CONTAINER_OF(hub->boarding.next, struct kv_watch, link);
        leave(w);
        if (w->next_revision < hub->kv->compact_revision) {
            end(w, STATUS_COMPACTED);
        } else {
            go_with(w, &hub->sweep);
        }
    }
}

static void join_front(struct kv_watch_hub *hub)
{
    for (uint32_t n = 0; n < LIMIT_WATCH_MOVED && !list_is_empty(&hub->sweep.watches); n++) {
        struct kv_watch *w = CONTAINER_OF(hub->sweep.watches.next, struct kv_watch, link);
        leave(w);
        go_with(w, &hub->front);
        if (w->on_in_step != NULL) {
            w->on_in_step(w);
        }
    }
}

/* Twice as fast as the front, which has just moved over `moved` changes. */
static void step_sweep(struct kv_watch_hub *hub, uint64_t moved)
{
    struct watch_front *s = &hub->sweep;
    if (!sweep_is_under_way(hub)) {
        if (list_is_empty(&hub->waiting)) {
            return;
        }
        begin_sweep(hub);
    }
    board(hub);
    if (!list_is_empty(&hub->boarding)) {
        return;
    }
    if (hub->sweep_may_skip && !list_is_empty(&s->watches)) {
        uint64_t lowest = lowest_position(&s->watches);
        move_sweep(hub, lowest > s->revision ? lowest : s->revision);
        hub->sweep_may_skip = false;
    }
    struct watch_budget b = {.changes = LIMIT_WATCH_CHANGES + 2 * moved, .told = LIMIT_WATCH_TOLD};
    advance(hub, s, hub->front.number, &b);
    if (s->number == hub->front.number) {
        s->revision = hub->front.revision;
        join_front(hub);
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

static bool has_more(const struct kv_watch_hub *hub)
{
    return hub->front.number < hub->kv->history.tail || sweep_is_under_way(hub) ||
           !list_is_empty(&hub->waiting);
}

bool kv_watch_hub_step(struct kv_watch_hub *hub)
{
    start_over(hub);
    step_sweep(hub, step_front(hub));
    return has_more(hub);
}

void kv_watch_hub_flush(struct kv_watch_hub *hub)
{
    start_over(hub);
    for (unsigned n = 0; n < LIMIT_WATCH_FLUSH && hub->front.number < hub->kv->history.tail; n++) {
        step_front(hub);
    }
}

static void end_all(struct list *watches)
{
    while (!list_is_empty(watches)) {
        end(CONTAINER_OF(watches->next, struct kv_watch, link), STATUS_CLOSED);
    }
}

void kv_watch_hub_close(struct kv_watch_hub *hub)
{
    hub->closed = true;
    end_all(&hub->front.watches);
    end_all(&hub->sweep.watches);
    end_all(&hub->boarding);
    end_all(&hub->waiting);
    end_all(&hub->paused);
}

/* --- checks ----------------------------------------------------------------------------------- */

static uint64_t check_list(const struct kv_watch_hub *hub, const struct list *watches,
                           const struct watch_front *with)
{
    uint64_t count = 0;
    for (const struct list *at = watches->next; at != watches; at = at->next) {
        const struct kv_watch *w = CONTAINER_OF(at, struct kv_watch, link);
        CHECK(w->hub == hub && w->with == with && (w->node != NULL) == (with != NULL));
        CHECK(w->is_paused == (watches == &hub->paused));
        CHECK(w->first_hit == 0);
        count++;
    }
    return count;
}

void kv_watch_hub_check(const struct kv_watch_hub *hub)
{
    watch_index_check(&hub->front.index);
    watch_index_check(&hub->sweep.index);
    uint64_t front = check_list(hub, &hub->front.watches, &hub->front);
    CHECK_CMP(front, ==, hub->front_count);
    uint64_t count = front + check_list(hub, &hub->sweep.watches, &hub->sweep) +
                     check_list(hub, &hub->boarding, NULL) + check_list(hub, &hub->waiting, NULL) +
                     check_list(hub, &hub->paused, NULL);
    CHECK_CMP(count, ==, hub->watch_count);
    CHECK(list_is_empty(&hub->due) && list_is_empty(&hub->events));
    CHECK_CMP(hub->hit_capacity, <=, HITS_MAX);
}
