/* Random transactions, leases, puts, deletes and compactions, against a twin that is an array of
 * cells for each revision. Every field of every answer is compared; a second store gets the same
 * commands without asking for answers, goes through images, and must not be told apart (P16). */
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "kv/kv_txn.h"
#include "kv_copy.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define KEYS   10
#define LEASES 24
#define STEPS  1200
#define VALUE  3

static const char names[KEYS][3] = {"a", "aa", "ab", "b", "b0", "b1", "c", "d", "da", "e"};

struct cell {
    bool live;
    uint64_t create;
    uint64_t mod;
    uint64_t version;
    uint64_t lease;
    size_t size;
    uint8_t value[VALUE];
};

struct moment {
    struct cell cells[KEYS];
};

struct twin_lease {
    bool live;
    bool is_private;
    uint64_t ttl_s;
    uint64_t grant;
};

struct model {
    struct rng rng;
    struct kv *kv;
    struct kv *other;
    struct moment *moments; /* by revision */
    struct moment now;      /* with what the command has changed so far */
    bool changed;
    uint64_t revision;
    uint64_t compact_revision;
    struct twin_lease leases[LEASES]; /* by id */
    uint64_t grants;
};

/* How many there were, of all seeds, by status. */
static uint64_t transactions[STATUS_CLOSED + 1];

static struct slice name_of(unsigned k)
{
    return slice_str(names[k]);
}

static bool one_in(struct model *m, uint64_t n)
{
    return rng_chance(&m->rng, 1, n);
}

/* --- the twin --------------------------------------------------------------------------------- */

static uint64_t revision_so_far(const struct model *m)
{
    return m->revision + m->changed;
}

static void twin_put(struct model *m, unsigned k, struct slice value, uint64_t lease)
{
    struct cell *c = &m->now.cells[k];
    m->changed = true;
    c->create = c->live ? c->create : m->revision + 1;
    c->version = c->live ? c->version + 1 : 1;
    c->mod = m->revision + 1;
    c->live = true;
    c->lease = lease;
    c->size = value.size;
    memmove(c->value, value.data != NULL ? value.data : c->value, value.size);
}

static void twin_delete(struct model *m, unsigned k)
{
    m->now.cells[k] = (struct cell){0};
    m->changed = true;
}

static uint64_t keys_of(const struct moment *at, uint64_t lease)
{
    uint64_t count = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        count += at->cells[k].live && at->cells[k].lease == lease;
    }
    return count;
}

static void twin_commit(struct model *m)
{
    for (uint64_t id = 1; id < LEASES; id++) {
        if (m->leases[id].is_private && keys_of(&m->now, id) == 0) {
            m->leases[id] = (struct twin_lease){0};
        }
    }
    if (m->changed) {
        m->revision++;
        m->moments = mem_realloc(m->moments, (m->revision + 1) * sizeof(*m->moments));
        m->moments[m->revision] = m->now;
    }
    m->changed = false;
}

static void twin_end_lease(struct model *m, uint64_t id)
{
    for (unsigned k = 0; k < KEYS; k++) {
        if (m->now.cells[k].live && m->now.cells[k].lease == id) {
            twin_delete(m, k);
        }
    }
    m->leases[id] = (struct twin_lease){0};
    twin_commit(m);
}

static bool in_span(const struct kv_span *span, unsigned k)
{
    int from = slice_compare(name_of(k), span->key);
    if (span->kind == KV_SPAN_KEY) {
        return from == 0;
    }
    return from >= 0 && (span->kind == KV_SPAN_FROM || slice_compare(name_of(k), span->end) < 0);
}

static int order_of(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_cells(const struct kv_range *r, const struct cell *a, const struct cell *b)
{
    switch (r->target) {
    case KV_SORT_VERSION:
        return order_of(a->version, b->version);
    case KV_SORT_CREATE:
        return order_of(a->create, b->create);
    case KV_SORT_MOD:
        return order_of(a->mod, b->mod);
    case KV_SORT_VALUE:
        return slice_compare(slice_of(a->value, a->size), slice_of(b->value, b->size));
    case KV_SORT_KEY:
        break;
    }
    return a < b ? -1 : a > b; /* they stand in key order */
}

/* The keys that a range tells, in order. */
static unsigned twin_range(const struct moment *at, const struct kv_range *r, unsigned *keys,
                           struct kv_range_result *want)
{
    unsigned n = 0;
    *want = (struct kv_range_result){0};
    for (unsigned k = 0; k < KEYS; k++) {
        const struct cell *c = &at->cells[k];
        if (!c->live || !in_span(&r->span, k)) {
            continue;
        }
        want->count++;
        if (r->count_only || c->mod < r->min_mod_revision || c->create < r->min_create_revision ||
            (r->max_mod_revision != 0 && c->mod > r->max_mod_revision) ||
            (r->max_create_revision != 0 && c->create > r->max_create_revision)) {
            continue;
        }
        unsigned place = n++;
        for (; place > 0; place--) {
            int order = compare_cells(r, c, &at->cells[keys[place - 1]]);
            if (r->order == KV_SORT_DESCEND ? order <= 0 : order >= 0) {
                break;
            }
            keys[place] = keys[place - 1];
        }
        keys[place] = k;
    }
    want->more = r->limit > 0 && n > r->limit;
    return want->more ? (unsigned)r->limit : n;
}

static bool cell_holds(const struct kv_compare *c, const struct cell *cell)
{
    const uint64_t numbers[] = {cell->version, cell->create, cell->mod, 0, cell->lease};
    int64_t has = (int64_t)numbers[c->target];
    int order = has < c->number ? -1 : has > c->number;
    if (c->target == KV_COMPARE_VALUE) {
        order = slice_compare(slice_of(cell->value, cell->size), c->value);
    }
    const bool holds[] = {order == 0, order > 0, order < 0, order != 0};
    return holds[c->relation];
}

static bool twin_decide(const struct moment *before, const struct kv_txn *txn)
{
    for (size_t i = 0; i < txn->compare_count; i++) {
        const struct kv_compare *c = &txn->compares[i];
        unsigned found = 0;
        for (unsigned k = 0; k < KEYS; k++) {
            if (before->cells[k].live && in_span(&c->span, k)) {
                found++;
                if (!cell_holds(c, &before->cells[k])) {
                    return false;
                }
            }
        }
        if (found == 0 && (c->target == KV_COMPARE_VALUE || !cell_holds(c, &(struct cell){0}))) {
            return false;
        }
    }
    return true;
}

#define PATH_OF(txn, holds) ((holds) ? &(txn)->success : &(txn)->failure)

/* It is one of them. */
static unsigned index_of(struct slice key)
{
    unsigned k = 0;
    while (k < KEYS - 1 && !slice_equal(name_of(k), key)) {
        k++;
    }
    return k;
}

static enum status check_one(struct model *m, const struct kv_txn_op *op, enum kv_txn_kind kind)
{
    if (op->kind != kind) {
        return STATUS_OK;
    }
    if (kind == KV_TXN_RANGE && op->range.revision != 0) {
        if (op->range.revision > m->revision) {
            return STATUS_FUTURE;
        }
        return op->range.revision < m->compact_revision ? STATUS_COMPACTED : STATUS_OK;
    }
    if (kind == KV_TXN_PUT) {
        const struct cell *c = &m->now.cells[index_of(op->put.key)];
        if ((op->put.ignore_value || op->put.ignore_lease) && !c->live) {
            return STATUS_NOT_FOUND;
        }
        bool has_lease = op->put.lease == 0 || m->leases[op->put.lease].live;
        return has_lease ? STATUS_OK : STATUS_NO_LEASE;
    }
    return STATUS_OK;
}

static enum status twin_check(struct model *m, const struct kv_txn *txn, enum kv_txn_kind kind)
{
    const struct kv_txn_ops *path = PATH_OF(txn, twin_decide(&m->now, txn));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < path->count && status == STATUS_OK; i++) {
        status = path->at[i].kind == KV_TXN_NESTED ? twin_check(m, path->at[i].nested, kind)
                                                   : check_one(m, &path->at[i], kind);
    }
    return status;
}

/* Sets of keys, one bit each. False: touched twice. */
static bool twin_touch(const struct kv_txn_ops *ops, unsigned *puts, unsigned *deletes)
{
    for (size_t i = 0; i < ops->count; i++) {
        const struct kv_txn_op *op = &ops->at[i];
        unsigned p[2] = {0};
        unsigned d[2] = {0};
        if (op->kind == KV_TXN_PUT) {
            p[0] = 1u << index_of(op->put.key);
        } else if (op->kind == KV_TXN_DELETE) {
            for (unsigned k = 0; k < KEYS; k++) {
                d[0] |= in_span(&op->deletes.span, k) ? 1u << k : 0;
            }
        } else if (op->kind == KV_TXN_NESTED && (!twin_touch(&op->nested->success, &p[0], &d[0]) ||
                                                 !twin_touch(&op->nested->failure, &p[1], &d[1]))) {
            return false;
        }
        if (((p[0] | p[1]) & (*puts | *deletes)) != 0 || ((d[0] | d[1]) & *puts) != 0) {
            return false;
        }
        *puts |= p[0] | p[1];
        *deletes |= d[0] | d[1];
    }
    return true;
}

/* --- holding answers against it --------------------------------------------------------------- */

static void assert_item(const struct kv_item *item, unsigned k, const struct cell *c, bool value)
{
    assert_true(slice_equal(item->key, name_of(k)));
    assert_int_equal(item->create_revision, c->create);
    assert_int_equal(item->revision, c->mod);
    assert_int_equal(item->version, c->version);
    assert_int_equal(item->lease, c->lease);
    assert_true(slice_equal(item->value, slice_of(c->value, value ? c->size : 0)));
}

static void assert_next_item(struct kv_answer_op *op, unsigned k, const struct cell *c, bool value)
{
    struct kv_item item;
    assert_true(kv_answer_item(&op->items, &item));
    assert_item(&item, k, c, value);
}

static void run_range(struct model *m, const struct kv_range *r, struct kv_answer_op *op)
{
    unsigned keys[KEYS];
    struct kv_range_result want;
    const struct moment *at = r->revision != 0 ? &m->moments[r->revision] : &m->now;
    unsigned n = twin_range(at, r, keys, &want);
    assert_int_equal(op->count, want.count);
    assert_int_equal(op->more, want.more);
    for (unsigned i = 0; i < n; i++) {
        assert_next_item(op, keys[i], &at->cells[keys[i]], !r->keys_only);
    }
}

static void run_put(struct model *m, const struct kv_txn_put *p, struct kv_answer_op *op)
{
    unsigned k = index_of(p->key);
    const struct cell before = m->now.cells[k];
    if (p->previous && before.live) {
        assert_next_item(op, k, &before, true);
    }
    twin_put(m, k, p->ignore_value ? slice_of(before.value, before.size) : p->value,
             p->ignore_lease ? before.lease : p->lease);
}

static void run_delete(struct model *m, const struct kv_txn_delete *d, struct kv_answer_op *op)
{
    uint64_t deleted = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        if (m->now.cells[k].live && in_span(&d->span, k)) {
            if (d->previous) {
                assert_next_item(op, k, &m->now.cells[k], true);
            }
            twin_delete(m, k);
            deleted++;
        }
    }
    assert_int_equal(op->count, deleted);
}

static void run_txn(struct model *m, const struct moment *before, const struct kv_txn *txn,
                    struct kv_answer *answer)
{
    bool holds = twin_decide(before, txn);
    const struct kv_txn_ops *path = PATH_OF(txn, holds);
    struct kv_answer_op op;
    assert_int_equal(answer->succeeded, holds);
    for (size_t i = 0; i < path->count; i++) {
        assert_true(kv_answer_next(answer, &op));
        assert_int_equal(op.kind, path->at[i].kind);
        if (op.kind == KV_TXN_RANGE) {
            run_range(m, &path->at[i].range, &op);
        } else if (op.kind == KV_TXN_PUT) {
            run_put(m, &path->at[i].put, &op);
        } else if (op.kind == KV_TXN_DELETE) {
            run_delete(m, &path->at[i].deletes, &op);
        } else {
            run_txn(m, before, path->at[i].nested, &op.nested);
        }
        assert_int_equal(op.revision, revision_so_far(m));
        assert_int_equal(op.items.left, 0);
    }
    assert_false(kv_answer_next(answer, &op));
    assert_false(answer->bad);
}

/* --- random commands -------------------------------------------------------------------------- */

static struct kv_result apply_everywhere(struct model *m, const struct kv_command *c,
                                         struct buf *answer)
{
    struct buf bytes = {0};
    struct kv_command decoded;
    struct kv_result r;
    struct kv_result other;
    kv_command_encode(c, &bytes);
    assert_int_equal(kv_command_decode(buf_slice(&bytes), &decoded), STATUS_OK);
    kv_apply_answered(m->kv, &decoded, &r, answer);
    kv_apply(m->other, &decoded, &other);
    buf_deinit(&bytes);
    assert_int_equal(r.status, other.status);
    assert_int_equal(r.revision, other.revision);
    assert_int_equal(r.lease, other.lease);
    assert_int_equal(r.succeeded, other.succeeded);
    return r;
}

static struct slice any_key(struct model *m)
{
    return name_of((unsigned)rng_below(&m->rng, KEYS));
}

/* With swapped ends, too. */
static struct kv_span any_span(struct model *m)
{
    return (struct kv_span){
        .kind = (enum kv_span_kind)rng_below(&m->rng, 3), .key = any_key(m), .end = any_key(m)};
}

static struct slice any_value(struct model *m)
{
    static const char values[] = "abcabdabe";
    return slice_of(values + rng_below(&m->rng, 6), (size_t)rng_below(&m->rng, VALUE + 1));
}

static uint64_t any_lease(struct model *m)
{
    return one_in(m, 2) ? rng_between(&m->rng, 1, 6) : 0;
}

static uint64_t any_revision(struct model *m)
{
    uint64_t back = rng_below(&m->rng, 12);
    return m->revision + 1 > back ? m->revision + 1 - back : 0;
}

static struct kv_range any_range(struct model *m)
{
    return (struct kv_range){
        .span = any_span(m),
        .revision = one_in(m, 4) ? any_revision(m) : 0,
        .limit = rng_below(&m->rng, 5),
        .order = (enum kv_sort_order)rng_below(&m->rng, 3),
        .target = (enum kv_sort_target)rng_below(&m->rng, 5),
        .keys_only = one_in(m, 4),
        .count_only = one_in(m, 6),
        .min_mod_revision = one_in(m, 5) ? any_revision(m) : 0,
        .max_mod_revision = one_in(m, 5) ? any_revision(m) : 0,
        .min_create_revision = one_in(m, 5) ? any_revision(m) : 0,
        .max_create_revision = one_in(m, 5) ? any_revision(m) : 0,
    };
}

static void fill_put(struct model *m, struct kv_txn_put *p)
{
    p->key = any_key(m);
    p->previous = one_in(m, 2);
    p->ignore_value = one_in(m, 8);
    p->ignore_lease = one_in(m, 8);
    p->value = p->ignore_value ? slice_of(NULL, 0) : any_value(m);
    p->lease = p->ignore_lease ? 0 : any_lease(m);
}

static struct kv_txn *any_txn(struct model *m, unsigned depth);

static void fill_ops(struct model *m, struct kv_txn_ops *ops, unsigned depth)
{
    for (uint64_t n = rng_below(&m->rng, 4); n > 0; n--) {
        enum kv_txn_kind kind = (enum kv_txn_kind)rng_between(
            &m->rng, KV_TXN_RANGE, depth < 3 ? KV_TXN_NESTED : KV_TXN_DELETE);
        struct kv_txn_op *op = kv_txn_add_op(ops, kind);
        if (kind == KV_TXN_RANGE) {
            op->range = any_range(m);
        } else if (kind == KV_TXN_PUT) {
            fill_put(m, &op->put);
        } else if (kind == KV_TXN_DELETE) {
            op->deletes.span = one_in(m, 3) ? any_span(m) : (struct kv_span){.key = any_key(m)};
            op->deletes.previous = one_in(m, 2);
        } else {
            op->nested = any_txn(m, depth + 1);
        }
    }
}

static struct kv_txn *any_txn(struct model *m, unsigned depth)
{
    struct kv_txn *txn = kv_txn_create();
    for (uint64_t n = rng_below(&m->rng, 3); n > 0; n--) {
        struct kv_compare *c = kv_txn_add_compare(txn);
        c->span = any_span(m);
        c->target = (enum kv_compare_target)rng_below(&m->rng, 5);
        c->relation = (enum kv_compare_relation)rng_below(&m->rng, 4);
        c->number = one_in(m, 2) ? (int64_t)rng_below(&m->rng, 5) - 1 : (int64_t)any_revision(m);
        c->value = any_value(m);
    }
    fill_ops(m, &txn->success, depth);
    fill_ops(m, &txn->failure, depth);
    return txn;
}

static enum status want_of_txn(struct model *m, const struct kv_txn *txn)
{
    unsigned sets[4] = {0};
    bool is_fine = twin_touch(&txn->success, &sets[0], &sets[1]) &&
                   twin_touch(&txn->failure, &sets[2], &sets[3]);
    assert_int_equal(kv_txn_check(txn), is_fine ? KV_TXN_SOUND : KV_TXN_DUPLICATE_KEY);
    if (!is_fine) {
        return STATUS_INVALID;
    }
    enum status status = twin_check(m, txn, KV_TXN_PUT);
    return status != STATUS_OK ? status : twin_check(m, txn, KV_TXN_RANGE);
}

static void do_txn(struct model *m)
{
    struct buf bytes = {0};
    struct buf answer = {0};
    struct buf read_answer = {0};
    struct kv_answer a;
    struct kv_txn *txn = any_txn(m, 1);
    enum status want = want_of_txn(m, txn);
    kv_txn_encode(txn, &bytes);
    if (!kv_txn_writes(txn)) {
        assert_int_equal(kv_txn_read(m->kv, txn, &read_answer), want);
    }
    const struct kv_command c = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    struct kv_result r = apply_everywhere(m, &c, &answer);
    assert_int_equal(r.status, want);
    transactions[want]++;
    if (want == STATUS_OK) {
        const struct moment before = m->now;
        assert_true(kv_answer_begin(buf_slice(&answer), &a));
        assert_int_equal(r.succeeded, a.succeeded);
        run_txn(m, &before, txn, &a);
        assert_true(kv_txn_writes(txn) || slice_equal(buf_slice(&answer), buf_slice(&read_answer)));
    } else {
        assert_int_equal(answer.size, 0);
    }
    twin_commit(m);
    assert_int_equal(r.revision, m->revision);
    kv_txn_destroy(txn);
    buf_deinit(&bytes);
    buf_deinit(&answer);
    buf_deinit(&read_answer);
}

static void do_put(struct model *m)
{
    const struct kv_command c = {
        .op = KV_PUT, .key = any_key(m), .value = any_value(m), .lease = any_lease(m)};
    struct kv_result r = apply_everywhere(m, &c, NULL);
    bool has_lease = c.lease == 0 || m->leases[c.lease].live;
    assert_int_equal(r.status, has_lease ? STATUS_OK : STATUS_NO_LEASE);
    if (has_lease) {
        twin_put(m, index_of(c.key), c.value, c.lease);
    }
    twin_commit(m);
    assert_int_equal(r.revision, m->revision);
}

static void do_put_ttl(struct model *m)
{
    const struct kv_command c = {.op = KV_PUT_TTL,
                                 .condition = one_in(m, 2) ? KV_ALWAYS : KV_IF_EXISTS,
                                 .key = any_key(m),
                                 .value = any_value(m),
                                 .lease = rng_between(&m->rng, 1, 6),
                                 .ttl_s = rng_between(&m->rng, 1, 100)};
    struct kv_result r = apply_everywhere(m, &c, NULL);
    unsigned k = index_of(c.key);
    if (c.condition == KV_IF_EXISTS && !m->now.cells[k].live) {
        assert_int_equal(r.status, STATUS_CONFLICT);
        return;
    }
    uint64_t id = c.lease;
    while (m->leases[id].live) {
        id++;
    }
    assert_true(id < LEASES);
    assert_int_equal(r.status, STATUS_OK);
    assert_int_equal(r.lease, id);
    m->leases[id] = (struct twin_lease){
        .live = true, .is_private = true, .ttl_s = c.ttl_s, .grant = ++m->grants};
    twin_put(m, k, c.value, id);
    twin_commit(m);
    assert_int_equal(r.revision, m->revision);
}

static void do_delete(struct model *m)
{
    const struct kv_command c = {.op = KV_DELETE, .key = any_key(m)};
    unsigned k = index_of(c.key);
    enum status want = m->now.cells[k].live ? STATUS_OK : STATUS_NOT_FOUND;
    assert_int_equal(apply_everywhere(m, &c, NULL).status, want);
    if (want == STATUS_OK) {
        twin_delete(m, k);
    }
    twin_commit(m);
}

static void do_grant(struct model *m)
{
    const struct kv_command c = {.op = KV_LEASE_GRANT,
                                 .lease = rng_between(&m->rng, 1, 6),
                                 .ttl_s = rng_between(&m->rng, 1, 100)};
    struct kv_result r = apply_everywhere(m, &c, NULL);
    assert_int_equal(r.status, m->leases[c.lease].live ? STATUS_CONFLICT : STATUS_OK);
    if (r.status == STATUS_OK) {
        assert_int_equal(r.lease, c.lease);
        m->leases[c.lease] =
            (struct twin_lease){.live = true, .ttl_s = c.ttl_s, .grant = ++m->grants};
    }
}

static void do_revoke(struct model *m)
{
    const struct kv_command c = {.op = KV_LEASE_REVOKE, .lease = rng_between(&m->rng, 1, 8)};
    struct kv_result r = apply_everywhere(m, &c, NULL);
    assert_int_equal(r.status, m->leases[c.lease].live ? STATUS_OK : STATUS_NO_LEASE);
    twin_end_lease(m, c.lease);
    assert_int_equal(r.revision, m->revision);
}

static void do_expire(struct model *m)
{
    struct buf expiry = {0};
    uint64_t ids[4];
    uint64_t grants[4];
    size_t count = (size_t)rng_between(&m->rng, 1, 4);
    for (size_t i = 0; i < count; i++) {
        ids[i] = rng_between(&m->rng, 1, 8);
        grants[i] = m->leases[ids[i]].grant + (one_in(m, 3) ? 1 : 0);
        kv_expiry_add(&expiry, ids[i], grants[i]);
    }
    const struct kv_command c = {.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)};
    struct kv_result r = apply_everywhere(m, &c, NULL);
    assert_int_equal(r.status, STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        if (m->leases[ids[i]].live && m->leases[ids[i]].grant == grants[i]) {
            twin_end_lease(m, ids[i]);
        }
    }
    assert_int_equal(r.revision, m->revision);
    buf_deinit(&expiry);
}

static void do_compact(struct model *m)
{
    const struct kv_command c = {.op = KV_COMPACT, .revision = any_revision(m)};
    enum status want = c.revision > m->revision ? STATUS_FUTURE : STATUS_OK;
    want = c.revision <= m->compact_revision ? STATUS_COMPACTED : want;
    assert_int_equal(apply_everywhere(m, &c, NULL).status, want);
    m->compact_revision = want == STATUS_OK ? c.revision : m->compact_revision;
}

/* --- the whole state -------------------------------------------------------------------------- */

static void assert_keys(struct model *m)
{
    uint64_t first = m->compact_revision > 1 ? m->compact_revision : 1;
    for (uint64_t revision = first; revision <= m->revision; revision++) {
        for (unsigned k = 0; k < KEYS; k++) {
            const struct cell *c = &m->moments[revision].cells[k];
            struct kv_item item;
            assert_int_equal(kv_get(m->other, name_of(k), revision, &item) == STATUS_OK, c->live);
            if (c->live) {
                assert_item(&item, k, c, true);
            }
        }
    }
}

static void assert_lease(struct model *m, const struct kv *kv, const struct kv_lease *got)
{
    const struct twin_lease *want = &m->leases[got->id];
    assert_true(want->live);
    assert_int_equal(got->ttl_s, want->ttl_s);
    assert_int_equal(got->grant, want->grant);
    assert_int_equal(got->is_private, want->is_private);
    assert_int_equal(got->keys, keys_of(&m->now, got->id));
    struct slice key = {0};
    for (unsigned k = 0; k < KEYS; k++) {
        if (m->now.cells[k].live && m->now.cells[k].lease == got->id) {
            assert_true(kv_lease_next_key(kv, got->id, key, &key));
            assert_true(slice_equal(key, name_of(k)));
        }
    }
    assert_false(kv_lease_next_key(kv, got->id, key, &key));
}

static void assert_leases(struct model *m, const struct kv *kv)
{
    struct kv_lease lease = {0};
    uint64_t count = 0;
    for (uint64_t id = 1; id < LEASES; id++) {
        assert_int_equal(kv_lease_get(kv, id, &lease), m->leases[id].live);
        count += m->leases[id].live;
    }
    assert_int_equal(kv_lease_count(kv), count);
    uint64_t found = 0;
    for (lease.id = 0; kv_lease_next(kv, lease.id, &lease); found++) {
        assert_lease(m, kv, &lease);
    }
    assert_int_equal(found, count);
    lease.grant = 0;
    for (uint64_t last = 0; kv_lease_next_grant(kv, last, &lease); found--) {
        assert_true(lease.grant > last && lease.grant <= m->grants);
        last = lease.grant;
    }
    assert_int_equal(found, 0);
}

/* The other store goes on from an image, which was perhaps taken while commands went on. */
static void replace_other(struct model *m)
{
    struct buf image = {0};
    export_all(m->kv, &image);
    kv_destroy(m->other);
    m->other = import_all(buf_slice(&image), &m->rng);
    buf_deinit(&image);
}

static void assert_state(struct model *m)
{
    struct kv_digest d = kv_digest(m->kv);
    assert_true(is_same_digest(d, kv_digest(m->other)));
    assert_true(is_same_digest(d, digest_anew_of(m->kv, (unsigned)rng_between(&m->rng, 1, 50))));
    kv_check(m->kv);
    kv_check(m->other);
    assert_leases(m, m->kv);
    assert_leases(m, m->other);
    assert_keys(m);
}

static void do_something(struct model *m)
{
    static void (*const doings[])(struct model *) = {
        do_txn, do_txn,     do_txn,   do_txn,   do_txn,    do_txn,    do_put,    do_put,
        do_put, do_put_ttl, do_grant, do_grant, do_revoke, do_expire, do_delete,
    };
    if (one_in(m, 15)) {
        do_compact(m);
    } else {
        doings[rng_below(&m->rng, sizeof(doings) / sizeof(doings[0]))](m);
    }
}

/* Rule S1: an image is of the moment when it was begun, whatever comes and goes meanwhile. */
static void export_while_it_goes_on(struct model *m)
{
    struct buf want = {0};
    struct buf got = {0};
    export_all(m->other, &want);
    struct kv_export *e = kv_export_begin(m->kv);
    while (kv_export_step(e, &got, 30)) {
        do_something(m);
    }
    kv_export_end(e);
    assert_true(slice_equal(buf_slice(&got), buf_slice(&want)));
    buf_deinit(&want);
    buf_deinit(&got);
}

static void run_model(uint64_t seed)
{
    struct model m = {.revision = 1, .kv = kv_create(), .other = kv_create()};
    rng_init(&m.rng, seed);
    m.moments = mem_calloc(2, sizeof(*m.moments));
    for (unsigned step = 0; step < STEPS; step++) {
        do_something(&m);
        kv_compact_step(m.kv, (unsigned)rng_below(&m.rng, 3));
        if (step % 25 == 0) {
            assert_state(&m);
        }
        if (one_in(&m, 40)) {
            replace_other(&m);
        }
        if (one_in(&m, 200)) {
            export_while_it_goes_on(&m);
        }
    }
    assert_state(&m);
    mem_free(m.moments);
    kv_destroy(m.kv);
    kv_destroy(m.other);
}

static void rule_p16_s1_transactions_and_leases_agree_with_their_twin(void **state)
{
    (void)state;
    static const enum status wanted[] = {STATUS_OK,        STATUS_INVALID,   STATUS_NO_LEASE,
                                         STATUS_NOT_FOUND, STATUS_COMPACTED, STATUS_FUTURE};
    run_seeds("transactions", 6, run_model);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && !getenv("KV_SEED"); i++) {
        assert_true(transactions[wanted[i]] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_p16_s1_transactions_and_leases_agree_with_their_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
