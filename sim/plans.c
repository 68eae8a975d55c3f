#include "plans.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model.h"
#include "truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAWS_MAX       8
#define TXN_VALUE_BYTES 120u /* most of what a value may have beside its number */

struct draw {
    struct plan *plan;
    const uint32_t *knobs;
    const struct plan_numbers *numbers;
    struct rng r;
};

static char names[SIM_KEYS_MAX + 1][MODEL_KEY_BYTES];

static struct slice name_of(uint64_t key)
{
    model_key((uint32_t)key, names[key]);
    return slice_str(names[key]);
}

void plan_value(uint64_t attempt, size_t size, uint8_t *bytes)
{
    uint64_t number = attempt;
    CHECK(size >= TRUTH_VALUE_MIN);
    memcpy(bytes, &number, TRUTH_VALUE_MIN);
    for (size_t at = TRUTH_VALUE_MIN; at < size;) {
        number = number * 0x5851f42d4c957f2d + 0x14057b7ef767814f; /* nothing to compress */
        size_t piece = size - at < 4 ? size - at : 4;
        memcpy(bytes + at, (const uint8_t *)&number + 4, piece);
        at += piece;
    }
}

static struct slice some_value(struct draw *d, uint64_t attempt, size_t size)
{
    CHECK_CMP(d->plan->value_count, <, PLAN_VALUES_MAX);
    uint8_t *bytes = mem_alloc(size);
    plan_value(attempt, size, bytes);
    d->plan->values[d->plan->value_count++] = bytes;
    return slice_of(bytes, size);
}

static bool chance(struct draw *d, uint64_t one_of)
{
    return rng_below(&d->r, one_of) == 0;
}

static struct kv_span some_span(struct draw *d, bool single)
{
    uint32_t keys = d->knobs[KNOB_keys];
    uint64_t from = rng_below(&d->r, keys);
    uint64_t to = rng_below(&d->r, keys + 1); /* also before it */
    if (single || chance(d, 2)) {
        return (struct kv_span){.kind = KV_SPAN_KEY, .key = name_of(from)};
    }
    if (chance(d, 4)) {
        return (struct kv_span){.kind = KV_SPAN_FROM, .key = name_of(from)};
    }
    if (chance(d, 4)) {
        return (struct kv_span){
            .kind = KV_SPAN_RANGE, .key = slice_of(NULL, 0), .end = name_of(to)};
    }
    return (struct kv_span){.kind = KV_SPAN_RANGE, .key = name_of(from), .end = name_of(to)};
}

static uint64_t some_revision(struct draw *d)
{
    return 1 + rng_below(&d->r, d->numbers->revision + 1);
}

static void draw_compare(struct draw *d, struct kv_compare *c)
{
    static const int64_t small[] = {0, 0, 0, 1, 1, 2, 5};
    c->span = some_span(d, !chance(d, 4));
    c->target = (enum kv_compare_target)rng_below(&d->r, 5);
    c->relation = (enum kv_compare_relation)rng_below(&d->r, 4);
    c->number = small[rng_below(&d->r, sizeof(small) / sizeof(small[0]))];
    bool is_revision = c->target == KV_COMPARE_CREATE || c->target == KV_COMPARE_MOD;
    if (is_revision && chance(d, 2)) {
        c->number = (int64_t)some_revision(d);
    } else if (c->target == KV_COMPARE_VALUE) {
        c->number = 0;
        uint64_t back = rng_below(&d->r, 4);
        uint64_t other = d->numbers->attempt > back ? d->numbers->attempt - back : 0;
        c->value = some_value(d, other, d->knobs[KNOB_value_bytes]); /* as a put writes it */
    }
}

static void draw_range(struct draw *d, struct kv_range *range)
{
    static const uint64_t limits[] = {0, 0, 1, 2, 5};
    range->span = some_span(d, false);
    range->revision = chance(d, 5) ? some_revision(d) : 0;
    range->limit = limits[rng_below(&d->r, sizeof(limits) / sizeof(limits[0]))];
    range->order = (enum kv_sort_order)rng_below(&d->r, 3);
    range->target = (enum kv_sort_target)rng_below(&d->r, 5);
    range->keys_only = chance(d, 6);
    range->count_only = chance(d, 8);
    if (chance(d, 6)) {
        range->min_mod_revision = some_revision(d);
        range->max_create_revision = chance(d, 2) ? some_revision(d) : 0;
    }
    if (chance(d, 6)) {
        range->max_mod_revision = some_revision(d);
        range->min_create_revision = chance(d, 2) ? some_revision(d) : 0;
    }
}

static void draw_put(struct draw *d, struct kv_txn_put *put)
{
    put->key = name_of(rng_below(&d->r, d->knobs[KNOB_keys]));
    put->previous = chance(d, 3);
    put->ignore_value = chance(d, 8);
    put->ignore_lease = chance(d, 8);
    if (!put->ignore_value) {
        size_t more = d->knobs[KNOB_value_bytes] < TXN_VALUE_BYTES ? d->knobs[KNOB_value_bytes]
                                                                   : TXN_VALUE_BYTES;
        put->value = some_value(d, d->numbers->attempt, TRUTH_VALUE_MIN + more);
    }
    if (d->knobs[KNOB_leases] != 0 && !put->ignore_lease && chance(d, 3)) {
        put->lease = 1 + rng_below(&d->r, SIM_LEASES);
    }
}

/* A read of a key that is never there tells whose transaction it is. */
static void draw_mark(struct draw *d, struct kv_txn_ops *ops)
{
    struct kv_txn_op *op = kv_txn_add_op(ops, KV_TXN_RANGE);
    op->range.span = (struct kv_span){.kind = KV_SPAN_KEY, .key = slice_str(d->plan->mark)};
}

static void draw_txn(struct draw *d, struct kv_txn *txn, uint32_t depth);

static void draw_ops(struct draw *d, struct kv_txn_ops *ops, uint32_t depth)
{
    uint64_t count = rng_below(&d->r, depth == 0 ? 5 : 3);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t what = rng_below(&d->r, 10);
        struct kv_txn_op *op;
        if (what == 0 && depth < 2) {
            op = kv_txn_add_op(ops, KV_TXN_NESTED);
            op->nested = kv_txn_create();
            draw_txn(d, op->nested, depth + 1);
        } else if (what < 4 || d->numbers->only_reads) {
            op = kv_txn_add_op(ops, KV_TXN_RANGE);
            draw_range(d, &op->range);
        } else if (what < 8 && d->plan->value_count < PLAN_VALUES_MAX / 2) {
            op = kv_txn_add_op(ops, KV_TXN_PUT);
            draw_put(d, &op->put);
        } else {
            op = kv_txn_add_op(ops, KV_TXN_DELETE);
            op->deletes.span = some_span(d, chance(d, 2));
            op->deletes.previous = chance(d, 2);
        }
    }
}

static void draw_txn(struct draw *d, struct kv_txn *txn, uint32_t depth)
{
    uint64_t compares = rng_below(&d->r, 3);
    for (uint64_t i = 0; i < compares && d->plan->value_count < PLAN_VALUES_MAX / 2; i++) {
        draw_compare(d, kv_txn_add_compare(txn));
    }
    if (depth == 0) {
        draw_mark(d, &txn->success);
        draw_mark(d, &txn->failure);
    }
    draw_ops(d, &txn->success, depth);
    draw_ops(d, &txn->failure, depth);
}

static void forget(struct plan *p)
{
    for (uint32_t i = 0; i < p->value_count; i++) {
        mem_free(p->values[i]);
    }
    p->value_count = 0;
    kv_txn_destroy(p->txn);
    p->txn = NULL;
}

/* What cannot be asked (a key put twice, say) is drawn again; in the end, as little as can be. */
void plan_make(struct plan *p, const uint32_t *knobs, const struct plan_numbers *numbers)
{
    struct draw d = {.plan = p, .knobs = knobs, .numbers = numbers};
    forget(p);
    snprintf(p->mark, sizeof(p->mark), "t%" PRIu32, numbers->attempt);
    rng_init(&d.r, numbers->seed);
    for (int i = 0; i < DRAWS_MAX; i++) {
        p->txn = kv_txn_create();
        if (numbers->one_range) {
            draw_range(&d, &kv_txn_add_op(&p->txn->success, KV_TXN_RANGE)->range);
        } else {
            draw_txn(&d, p->txn, 0);
        }
        if (kv_txn_check(p->txn) == KV_TXN_SOUND &&
            (numbers->only_reads || kv_txn_writes(p->txn))) {
            return;
        }
        forget(p);
    }
    p->txn = kv_txn_create();
    draw_mark(&d, &p->txn->success);
    draw_mark(&d, &p->txn->failure);
    if (!numbers->only_reads) {
        draw_put(&d, &kv_txn_add_op(&p->txn->success, KV_TXN_PUT)->put);
    }
}

void plan_deinit(struct plan *p)
{
    forget(p);
}

static bool ops_have_put(const struct kv_txn_ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        if (ops->at[i].kind == KV_TXN_PUT ||
            (ops->at[i].kind == KV_TXN_NESTED && plan_has_put(ops->at[i].nested))) {
            return true;
        }
    }
    return false;
}

bool plan_has_put(const struct kv_txn *txn)
{
    return ops_have_put(&txn->success) || ops_have_put(&txn->failure);
}

uint64_t plan_attempt_of(const struct kv_txn *txn)
{
    if (txn->success.count == 0 || txn->success.at[0].kind != KV_TXN_RANGE) {
        return UINT64_MAX;
    }
    struct slice key = txn->success.at[0].range.span.key;
    char text[16] = {0};
    if (key.size < 2 || key.size >= sizeof(text) || key.data[0] != 't') {
        return UINT64_MAX;
    }
    memcpy(text, key.data + 1, key.size - 1);
    return strtoull(text, NULL, 10);
}
