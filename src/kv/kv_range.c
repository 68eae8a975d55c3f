#include "kv/kv_range.h"

#include "base/check.h"
#include "base/mem.h"
#include "kv/kv_state.h"

#define CANDIDATES_MIN 16

struct kv_span kv_span_of(struct slice key, struct slice range_end)
{
    if (range_end.size == 0) {
        return (struct kv_span){.kind = KV_SPAN_KEY, .key = key};
    }
    if (range_end.size == 1 && range_end.data[0] == 0) {
        return (struct kv_span){.kind = KV_SPAN_FROM, .key = key};
    }
    return (struct kv_span){.kind = KV_SPAN_RANGE, .key = key, .end = range_end};
}

bool kv_span_contains(const struct kv_span *span, struct slice key)
{
    switch (span->kind) {
    case KV_SPAN_KEY:
        return slice_equal(key, span->key);
    case KV_SPAN_RANGE:
        return slice_compare(key, span->key) >= 0 && slice_compare(key, span->end) < 0;
    case KV_SPAN_FROM:
        return slice_compare(key, span->key) >= 0;
    }
    return false;
}

/* Before any key or at the smallest there can be, and without an end. */
static bool is_everything(const struct kv_span *span)
{
    return span->kind == KV_SPAN_FROM &&
           (span->key.size == 0 || (span->key.size == 1 && span->key.data[0] == 0));
}

/* --- sorting ---------------------------------------------------------------------------------- */

/* What a sort may tell. */
struct candidate {
    const struct btree_entry *entry;
    const struct version *version;
    uint64_t place;  /* in key order */
    uint64_t number; /* of the target; of a key its place, of a value how it begins */
};

struct reading {
    const struct kv_range *range;
    kv_item_sink *sink;
    void *context;
    struct kv_range_result *result;
    bool is_sorted;
    bool is_descending;
    /* A heap of those to tell, the last one to tell at its root: so that of many only the first
     * `limit` are ever kept. */
    struct candidate *candidates;
    size_t count;
    size_t capacity;
};

static struct slice value_of(const struct version *v)
{
    struct version_fields f;
    version_read(v, &f);
    return f.value;
}

/* Its first bytes as a number that sorts like them, so that most values need not be fetched to be
 * compared. */
static uint64_t beginning_of(struct slice value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(number); i++) {
        number = number << 8 | (i < value.size ? value.data[i] : 0);
    }
    return number;
}

/* Is `a` told after `b`? Equal ones stand in key order, also when they descend. */
static bool is_after(const struct reading *r, const struct candidate *a, const struct candidate *b)
{
    int order = (a->number > b->number) - (a->number < b->number);
    if (order == 0 && r->range->target == KV_SORT_VALUE) {
        order = slice_compare(value_of(a->version), value_of(b->version));
    }
    order = r->is_descending ? -order : order;
    return order != 0 ? order > 0 : a->place > b->place;
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate other = *a;
    *a = *b;
    *b = other;
}

static void sift_down(struct reading *r)
{
    size_t at = 0;
    while (2 * at + 1 < r->count) {
        size_t child = 2 * at + 1;
        if (child + 1 < r->count && is_after(r, &r->candidates[child + 1], &r->candidates[child])) {
            child++;
        }
        if (!is_after(r, &r->candidates[child], &r->candidates[at])) {
            return;
        }
        swap(&r->candidates[child], &r->candidates[at]);
        at = child;
    }
}

static void sift_up(struct reading *r)
{
    for (size_t at = r->count - 1; at > 0; at = (at - 1) / 2) {
        size_t parent = (at - 1) / 2;
        if (!is_after(r, &r->candidates[at], &r->candidates[parent])) {
            return;
        }
        swap(&r->candidates[at], &r->candidates[parent]);
    }
}

static uint64_t number_of(const struct reading *r, const struct kv_item *item)
{
    switch (r->range->target) {
    case KV_SORT_VERSION:
        return item->version;
    case KV_SORT_CREATE:
        return item->create_revision;
    case KV_SORT_MOD:
        return item->revision;
    case KV_SORT_VALUE:
        return beginning_of(item->value);
    case KV_SORT_KEY:
        break;
    }
    return r->result->count;
}

static void consider(struct reading *r, const struct btree_entry *e, const struct version *v,
                     const struct kv_item *item)
{
    const struct candidate c = {
        .entry = e, .version = v, .place = r->result->count, .number = number_of(r, item)};
    if (r->range->limit > 0 && r->count == r->range->limit) {
        r->result->more = true;
        if (is_after(r, &r->candidates[0], &c)) {
            r->candidates[0] = c;
            sift_down(r);
        }
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity > 0 ? 2 * r->capacity : CANDIDATES_MIN;
        r->candidates = mem_realloc(r->candidates, r->capacity * sizeof(*r->candidates));
    }
    r->candidates[r->count++] = c;
    sift_up(r);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void tell(struct reading *r, struct kv_item *item)
{
    if (r->range->keys_only) {
        item->value = slice_of(NULL, 0);
    }
    if (r->sink(r->context, item)) {
        r->result->told++;
    } else {
        r->result->cut = true;
    }
}

static bool passes(const struct kv_range *range, const struct kv_item *item)
{
    return item->revision >= range->min_mod_revision &&
           (range->max_mod_revision == 0 || item->revision <= range->max_mod_revision) &&
           item->create_revision >= range->min_create_revision &&
           (range->max_create_revision == 0 || item->create_revision <= range->max_create_revision);
}

/* Nothing of what is left of the walk will be told. */
static bool has_told_all(const struct reading *r)
{
    return r->range->count_only || (!r->is_sorted && r->result->more);
}

static void visit(struct reading *r, const struct btree_entry *e, const struct version *v)
{
    struct kv_item item;
    r->result->count++;
    if (has_told_all(r)) {
        return;
    }
    kv_fill_item(e, v, &item);
    if (!passes(r->range, &item)) {
        return;
    }
    if (r->is_sorted) {
        consider(r, e, v, &item);
    } else if (r->range->limit > 0 && r->result->told == r->range->limit) {
        r->result->more = true;
    } else {
        tell(r, &item);
    }
}

/* The heap gives the last one first, so it is emptied from its end to its beginning. */
static void tell_sorted(struct reading *r)
{
    size_t count = r->count;
    while (r->count > 1) {
        r->count--;
        swap(&r->candidates[0], &r->candidates[r->count]);
        sift_down(r);
    }
    for (size_t i = 0; i < count && !r->result->cut; i++) {
        struct kv_item item;
        kv_fill_item(r->candidates[i].entry, r->candidates[i].version, &item);
        tell(r, &item);
    }
    mem_free(r->candidates);
}

static void walk(struct reading *r, const struct kv *kv, uint64_t revision)
{
    const struct kv_span *span = &r->range->span;
    bool is_counted = is_everything(span) && revision == kv->revision;
    struct btree_place place = btree_seek(&kv->tree, span->key);
    for (const struct btree_entry *e; !r->result->cut && (e = btree_at(place)) != NULL;) {
        if (!kv_span_contains(span, btree_entry_key(e)) || (is_counted && has_told_all(r))) {
            break;
        }
        const struct version *v = version_at(e->payload, revision);
        place = btree_next(place);
        kv_prefetch_ahead(place);
        if (v != NULL) {
            visit(r, e, v);
        }
    }
    r->result->count = is_counted ? kv->keys : r->result->count;
}

enum status kv_range_read(const struct kv *kv, const struct kv_range *range, kv_item_sink *sink,
                          void *context, struct kv_range_result *result)
{
    *result = (struct kv_range_result){0};
    uint64_t revision = range->revision;
    enum status status = kv_resolve_revision(kv, &revision);
    if (status != STATUS_OK) {
        return status;
    }
    bool by_key = range->target == KV_SORT_KEY && range->order != KV_SORT_DESCEND;
    struct reading r = {.range = range,
                        .sink = sink,
                        .context = context,
                        .result = result,
                        .is_sorted = !by_key && !range->count_only,
                        .is_descending = range->order == KV_SORT_DESCEND};
    walk(&r, kv, revision);
    tell_sorted(&r);
    return STATUS_OK;
}
