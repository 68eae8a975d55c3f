/* model_txn.c - the model's transactions: every key is looked at for every question. */
#include "answer_text.h"
#include "model_state.h"

struct run {
    const struct model *m;
    struct model *changed; /* the same, or NULL: it only reads */
    uint64_t before;       /* the revision that it is decided on */
    uint64_t compacted;
    struct buf *text;
};

static uint64_t now(const struct run *run)
{
    return run->changed != NULL ? run->m->revision : run->before;
}

static bool has_key(const struct kv_span *span, uint32_t key)
{
    char name[MODEL_KEY_BYTES];
    model_key(key, name);
    switch (span->kind) {
    case KV_SPAN_KEY:
        return slice_equal(span->key, slice_str(name));
    case KV_SPAN_RANGE:
        return slice_compare(slice_str(name), span->key) >= 0 &&
               slice_compare(slice_str(name), span->end) < 0;
    case KV_SPAN_FROM:
        return slice_compare(slice_str(name), span->key) >= 0;
    }
    return false;
}

/* --- compares --------------------------------------------------------------------------------- */

static bool relates(int order, enum kv_compare_relation relation)
{
    switch (relation) {
    case KV_EQUAL:
        return order == 0;
    case KV_GREATER:
        return order > 0;
    case KV_LESS:
        return order < 0;
    case KV_NOT_EQUAL:
        return order != 0;
    }
    return false;
}

static int64_t number_of(const struct model_item *item, enum kv_compare_target target)
{
    switch (target) {
    case KV_COMPARE_VERSION:
        return (int64_t)item->version;
    case KV_COMPARE_CREATE:
        return (int64_t)item->create_revision;
    case KV_COMPARE_MOD:
        return (int64_t)item->revision;
    default:
        return (int64_t)item->lease;
    }
}

static bool item_relates(const struct kv_compare *c, const struct model_item *item)
{
    if (c->target == KV_COMPARE_VALUE) {
        return relates(slice_compare(item->value, c->value), c->relation);
    }
    int64_t has = number_of(item, c->target);
    return relates(has < c->number ? -1 : has > c->number, c->relation);
}

static bool compare_holds(const struct run *run, const struct kv_compare *c)
{
    static const struct model_item nothing;
    bool any = false;
    bool holds = true;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *item = model_get(run->m, key, run->before);
        if (item != NULL && has_key(&c->span, key)) {
            any = true;
            holds = holds && item_relates(c, item);
        }
    }
    return any ? holds : c->target != KV_COMPARE_VALUE && item_relates(c, &nothing);
}

static bool succeeds(const struct run *run, const struct kv_txn *txn)
{
    for (size_t i = 0; i < txn->compare_count; i++) {
        if (!compare_holds(run, &txn->compares[i])) {
            return false;
        }
    }
    return true;
}

static const struct kv_txn_ops *path_of(const struct run *run, const struct kv_txn *txn)
{
    return succeeds(run, txn) ? &txn->success : &txn->failure;
}

/* --- refusals --------------------------------------------------------------------------------- */

static enum status check_put(const struct run *run, const struct kv_txn_put *put)
{
    bool keeps = put->ignore_value || put->ignore_lease;
    if (keeps && model_get(run->m, model_key_number(put->key), run->before) == NULL) {
        return STATUS_NOT_FOUND;
    }
    bool has_lease = put->lease == 0 || model_lease_of(run->m, put->lease) != NULL;
    return has_lease ? STATUS_OK : STATUS_NO_LEASE;
}

static enum status check_range(const struct run *run, const struct kv_range *range)
{
    if (range->revision > run->before) {
        return STATUS_FUTURE;
    }
    bool is_gone = range->revision != 0 && range->revision < run->compacted;
    return is_gone ? STATUS_COMPACTED : STATUS_OK;
}

/* Of the operations of one kind on the path: the first reason to refuse. */
static enum status check(const struct run *run, const struct kv_txn *txn, enum kv_txn_kind kind)
{
    const struct kv_txn_ops *path = path_of(run, txn);
    enum status s = STATUS_OK;
    for (size_t i = 0; i < path->count && s == STATUS_OK; i++) {
        const struct kv_txn_op *op = &path->at[i];
        if (op->kind == KV_TXN_NESTED) {
            s = check(run, op->nested, kind);
        } else if (op->kind == kind) {
            s = kind == KV_TXN_PUT ? check_put(run, &op->put) : check_range(run, &op->range);
        }
    }
    return s;
}

/* --- what is done ----------------------------------------------------------------------------- */

static void tell(const struct run *run, uint32_t key, const struct model_item *item, bool keys_only)
{
    char name[MODEL_KEY_BYTES];
    model_key(key, name);
    const struct kv_item told = {.key = slice_str(name),
                                 .value = keys_only ? slice_of(NULL, 0) : item->value,
                                 .create_revision = item->create_revision,
                                 .revision = item->revision,
                                 .version = item->version,
                                 .lease = item->lease};
    answer_text_item(run->text, &told);
}

struct found {
    uint32_t key;
    const struct model_item *item;
};

static bool is_told(const struct kv_range *r, const struct model_item *item)
{
    return item->revision >= r->min_mod_revision &&
           (r->max_mod_revision == 0 || item->revision <= r->max_mod_revision) &&
           item->create_revision >= r->min_create_revision &&
           (r->max_create_revision == 0 || item->create_revision <= r->max_create_revision);
}

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int order_of(const struct kv_range *r, const struct found *a, const struct found *b)
{
    int order = 0;
    switch (r->target) {
    case KV_SORT_KEY:
        order = by_number(a->key, b->key);
        break;
    case KV_SORT_VERSION:
        order = by_number(a->item->version, b->item->version);
        break;
    case KV_SORT_CREATE:
        order = by_number(a->item->create_revision, b->item->create_revision);
        break;
    case KV_SORT_MOD:
        order = by_number(a->item->revision, b->item->revision);
        break;
    case KV_SORT_VALUE:
        order = slice_compare(a->item->value, b->item->value);
        break;
    }
    return r->order == KV_SORT_DESCEND ? -order : order;
}

/* Equal ones keep the order of their keys. */
static void insert(const struct kv_range *r, struct found *all, uint32_t count, struct found one)
{
    uint32_t at = count;
    while (at > 0 && order_of(r, &all[at - 1], &one) > 0) {
        all[at] = all[at - 1];
        at--;
    }
    all[at] = one;
}

static void read_range(const struct run *run, const struct kv_range *r)
{
    struct found all[SIM_KEYS_MAX];
    uint64_t revision = r->revision != 0 ? r->revision : now(run);
    uint32_t count = 0;
    uint32_t kept = 0;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        const struct model_item *item = model_get(run->m, key, revision);
        if (item != NULL && has_key(&r->span, key)) {
            count++;
            if (is_told(r, item)) {
                insert(r, all, kept++, (struct found){.key = key, .item = item});
            }
        }
    }
    uint32_t told = r->count_only                      ? 0
                    : r->limit != 0 && r->limit < kept ? (uint32_t)r->limit
                                                       : kept;
    answer_text_op(run->text, KV_TXN_RANGE, now(run), count, !r->count_only && told < kept);
    for (uint32_t i = 0; i < told; i++) {
        tell(run, all[i].key, all[i].item, r->keys_only);
    }
}

static void put(const struct run *run, const struct kv_txn_put *p)
{
    uint32_t key = model_key_number(p->key);
    const struct model_item *now_there = model_now(run->m, key);
    struct model_item old = now_there != NULL ? *now_there : (struct model_item){0};
    model_put(run->changed, key, run->before + 1, p->ignore_value ? old.value : p->value,
              p->ignore_lease ? old.lease : p->lease);
    answer_text_op(run->text, KV_TXN_PUT, now(run), 0, false);
    if (p->previous && old.is_there) {
        tell(run, key, &old, false);
    }
}

static void delete_span(const struct run *run, const struct kv_txn_delete *d)
{
    struct found all[SIM_KEYS_MAX];
    uint32_t count = 0;
    for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
        if (model_now(run->m, key) != NULL && has_key(&d->span, key)) {
            model_delete(run->changed, key, run->before + 1);
            all[count++] = (struct found){.key = key};
        }
    }
    answer_text_op(run->text, KV_TXN_DELETE, now(run), count, false);
    for (uint32_t i = 0; i < count && d->previous; i++) {
        tell(run, all[i].key, model_get(run->m, all[i].key, run->before), false);
    }
}

/* Which way nested ones go was decided before anything was changed: the path is of `before`. */
static void execute(const struct run *run, const struct kv_txn *txn)
{
    const struct kv_txn_ops *path = path_of(run, txn);
    answer_text_begin(run->text, path == &txn->success);
    for (size_t i = 0; i < path->count; i++) {
        const struct kv_txn_op *op = &path->at[i];
        struct run inside = *run;
        struct buf text = {0};
        switch (op->kind) {
        case KV_TXN_RANGE:
            read_range(run, &op->range);
            break;
        case KV_TXN_PUT:
            put(run, &op->put);
            break;
        case KV_TXN_DELETE:
            delete_span(run, &op->deletes);
            break;
        case KV_TXN_NESTED:
            inside.text = &text;
            execute(&inside, op->nested);
            answer_text_op(run->text, KV_TXN_NESTED, now(run), 0, false);
            buf_append_slice(run->text, buf_slice(&text));
            buf_deinit(&text);
            break;
        }
    }
    answer_text_end(run->text);
}

static enum status check_all(const struct run *run, const struct kv_txn *txn)
{
    enum status s = check(run, txn, KV_TXN_PUT);
    return s == STATUS_OK ? check(run, txn, KV_TXN_RANGE) : s;
}

void model_txn(struct model *m, const struct kv_txn *txn, struct kv_result *result,
               struct buf *answer)
{
    const struct run run = {
        .m = m, .changed = m, .before = m->revision, .compacted = m->compacted, .text = answer};
    result->status = check_all(&run, txn);
    if (result->status == STATUS_OK) {
        result->succeeded = succeeds(&run, txn);
        execute(&run, txn);
    }
}

enum status model_read(const struct model *m, const struct kv_txn *txn, uint64_t revision,
                       uint64_t compacted, struct buf *answer)
{
    const struct run run = {.m = m, .before = revision, .compacted = compacted, .text = answer};
    enum status s = check_all(&run, txn);
    if (s == STATUS_OK) {
        execute(&run, txn);
    }
    return s;
}
