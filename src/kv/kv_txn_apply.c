/* kv/kv_txn_apply.c - a transaction against a store: decide, check, then act (kv_txn.h). */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_answer.h"
#include "kv/kv_state.h"

/* An item beside its key and value, at most. */
#define ITEM_HEAD_BYTES 60u

struct run {
    const struct kv *kv;
    struct kv *changed; /* the same, or NULL for one that only reads */
    uint64_t revision;  /* of its changes */
    struct buf *answer; /* NULL: nobody wants it */
    size_t answer_begin;
    bool is_cut;
    /* Whether the compares hold: of the transaction and of those on its path, in the order in which
     * they are come to. */
    bool decided[LIMIT_TXN_OPS_ALL + 1];
    size_t decided_count;
    size_t next;       /* of them, for who walks the path */
    uint64_t compared; /* keys */
    uint64_t read;     /* likewise */
    bool is_too_much;  /* a compare was not looked at */
};

/* --- deciding --------------------------------------------------------------------------------- */

static int compare_numbers(uint64_t has, int64_t given)
{
    if (given < 0 || has > (uint64_t)given) {
        return 1;
    }
    return has < (uint64_t)given ? -1 : 0;
}

/* Leases alone may have numbers that etcd's clients see as negative. */
static int compare_leases(uint64_t has, int64_t given)
{
    int64_t signed_id = (int64_t)has;
    return signed_id < given ? -1 : signed_id > given;
}

static bool item_holds(const struct kv_compare *c, const struct kv_item *item)
{
    int order = 0;
    switch (c->target) {
    case KV_COMPARE_VERSION:
        order = compare_numbers(item->version, c->number);
        break;
    case KV_COMPARE_CREATE:
        order = compare_numbers(item->create_revision, c->number);
        break;
    case KV_COMPARE_MOD:
        order = compare_numbers(item->revision, c->number);
        break;
    case KV_COMPARE_LEASE:
        order = compare_leases(item->lease, c->number);
        break;
    case KV_COMPARE_VALUE:
        order = slice_compare(item->value, c->value);
        break;
    }
    switch (c->relation) {
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

struct comparing {
    const struct kv_compare *compare;
    bool holds;
};

static bool compare_item(void *context, const struct kv_item *item)
{
    struct comparing *c = context;
    c->holds = item_holds(c->compare, item);
    return c->holds;
}

static bool compare_holds(struct run *run, const struct kv_compare *compare)
{
    struct comparing c = {.compare = compare, .holds = true};
    const struct kv_range range = {.span = compare->span};
    struct kv_range_result result;
    enum status status = kv_range_read(run->kv, &range, compare_item, &c, &result);
    CHECK(status == STATUS_OK);
    run->compared += result.count;
    if (result.count == 0) {
        return compare->target != KV_COMPARE_VALUE && item_holds(compare, &(struct kv_item){0});
    }
    return c.holds;
}

static const struct kv_txn_ops *path_of(const struct kv_txn *txn, bool succeeded)
{
    return succeeded ? &txn->success : &txn->failure;
}

static void decide(struct run *run, const struct kv_txn *txn)
{
    bool holds = true;
    for (size_t i = 0; i < txn->compare_count && holds; i++) {
        run->is_too_much = run->is_too_much || run->compared > LIMIT_TXN_KEYS;
        holds = !run->is_too_much && compare_holds(run, &txn->compares[i]);
    }
    run->decided[run->decided_count++] = holds;
    const struct kv_txn_ops *path = path_of(txn, holds);
    for (size_t i = 0; i < path->count; i++) {
        if (path->at[i].kind == KV_TXN_NESTED) {
            decide(run, path->at[i].nested);
        }
    }
}

/* The path of the transaction that is come to next. */
static const struct kv_txn_ops *next_path(struct run *run, const struct kv_txn *txn)
{
    return path_of(txn, run->decided[run->next++]);
}

/* --- checking --------------------------------------------------------------------------------- */

static enum status check_put(const struct kv *kv, const struct kv_txn_put *put)
{
    if ((put->ignore_value || put->ignore_lease) &&
        kv_current_of(btree_find(&kv->tree, put->key)) == NULL) {
        return STATUS_NOT_FOUND;
    }
    bool has_lease = put->lease == 0 || leases_find(&kv->leases, put->lease) != NULL;
    return has_lease ? STATUS_OK : STATUS_NO_LEASE;
}

static enum status check_range(const struct kv *kv, const struct kv_range *range)
{
    uint64_t revision = range->revision;
    return kv_resolve_revision(kv, &revision);
}

/* All operations of a kind, on the path. */
static enum status check_path(struct run *run, const struct kv_txn *txn, enum kv_txn_kind kind)
{
    const struct kv_txn_ops *path = next_path(run, txn);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < path->count && status == STATUS_OK; i++) {
        const struct kv_txn_op *op = &path->at[i];
        if (op->kind == KV_TXN_NESTED) {
            status = check_path(run, op->nested, kind);
        } else if (op->kind == kind && kind == KV_TXN_PUT) {
            status = check_put(run->kv, &op->put);
        } else if (op->kind == kind && kind == KV_TXN_RANGE) {
            status = check_range(run->kv, &op->range);
        }
    }
    return status;
}

/* Puts before reads, as etcd has it. */
static enum status decide_and_check(struct run *run, const struct kv_txn *txn)
{
    decide(run, txn);
    if (run->is_too_much) {
        return STATUS_TOO_LARGE;
    }
    enum status status = check_path(run, txn, KV_TXN_PUT);
    if (status == STATUS_OK) {
        run->next = 0;
        status = check_path(run, txn, KV_TXN_RANGE);
    }
    run->next = 0;
    return status;
}

/* --- the answer ------------------------------------------------------------------------------- */

static bool is_answered(const struct run *run)
{
    return run->answer != NULL && !run->is_cut;
}

/* None of it is told. */
static void cut_answer(struct run *run)
{
    run->answer->size = run->answer_begin;
    run->is_cut = true;
}

/* False: there was none. */
static bool make_room(struct run *run, size_t bytes)
{
    if (is_answered(run) &&
        run->answer->size - run->answer_begin + bytes > LIMIT_TXN_ANSWER_BYTES) {
        cut_answer(run);
    }
    return is_answered(run);
}

static void begin_answer(struct run *run, bool succeeded, size_t ops)
{
    if (make_room(run, ANSWER_HEAD_BYTES)) {
        put_u8(run->answer, succeeded);
        put_u32(run->answer, (uint32_t)ops);
    }
}

/* Returns where it begins. */
static size_t begin_op(struct run *run, enum kv_txn_kind kind)
{
    if (!make_room(run, ANSWER_OP_BYTES)) {
        return 0;
    }
    size_t at = run->answer->size;
    memset(buf_reserve(run->answer, ANSWER_OP_BYTES), 0, ANSWER_OP_BYTES);
    run->answer->size += ANSWER_OP_BYTES;
    run->answer->data[at] = (uint8_t)kind;
    return at;
}

static void end_op(struct run *run, size_t at, uint64_t count, bool more)
{
    if (is_answered(run)) {
        uint8_t *op = run->answer->data + at;
        store_u32(op + ANSWER_SIZE_AT, (uint32_t)(run->answer->size - at - ANSWER_BODY_AT));
        store_u64(op + ANSWER_BODY_AT, run->kv->revision);
        store_u64(op + ANSWER_COUNT_AT, count);
        op[ANSWER_MORE_AT] = more;
    }
}

struct item_sink {
    struct run *run;
    size_t op; /* where it begins */
};

static bool add_item(void *context, const struct kv_item *item)
{
    const struct item_sink *sink = context;
    struct run *run = sink->run;
    if (!make_room(run, ITEM_HEAD_BYTES + item->key.size + item->value.size)) {
        return false;
    }
    put_bytes(run->answer, item->key);
    put_bytes(run->answer, item->value);
    put_varint(run->answer, item->create_revision);
    put_varint(run->answer, item->revision);
    put_varint(run->answer, item->version);
    put_varint(run->answer, item->lease);
    uint8_t *items = run->answer->data + sink->op + ANSWER_ITEMS_AT;
    store_u32(items, load_u32(items) + 1);
    return true;
}

static void add_previous(struct run *run, size_t op, const struct btree_entry *e)
{
    struct item_sink sink = {.run = run, .op = op};
    if (is_answered(run) && kv_current_of(e) != NULL) {
        struct kv_item item;
        kv_fill_item(e, kv_current_of(e), &item);
        (void)add_item(&sink, &item);
    }
}

/* --- acting ----------------------------------------------------------------------------------- */

/* What was checked before, holds: nothing on a path touches a key that is touched elsewhere on it
 * by a put, and what was compacted or ahead is so still. */
static void run_range(struct run *run, const struct kv_range *range)
{
    size_t at = begin_op(run, KV_TXN_RANGE);
    struct item_sink sink = {.run = run, .op = at};
    struct kv_range_result result = {0};
    if (is_answered(run) && run->read > LIMIT_TXN_KEYS) {
        cut_answer(run);
    }
    if (is_answered(run)) {
        enum status status = kv_range_read(run->kv, range, add_item, &sink, &result);
        CHECK(status == STATUS_OK);
        run->read += result.count;
    }
    end_op(run, at, result.count, result.more);
}

static void run_put(struct run *run, const struct kv_txn_put *put)
{
    size_t at = begin_op(run, KV_TXN_PUT);
    struct btree_entry *e = btree_insert(&run->changed->tree, put->key);
    struct version_fields made = {.value = put->value, .lease = put->lease};
    if (put->ignore_value || put->ignore_lease) {
        struct version_fields old;
        version_read(kv_current_of(e), &old);
        made.value = put->ignore_value ? old.value : put->value;
        made.lease = put->ignore_lease ? old.lease : put->lease;
    }
    if (put->previous) {
        add_previous(run, at, e);
    }
    struct version_fields f;
    kv_change_put(run->changed, e, run->revision, made.lease, made.value, &f);
    end_op(run, at, 0, false);
}

static void run_delete(struct run *run, const struct kv_txn_delete *deletes)
{
    size_t at = begin_op(run, KV_TXN_DELETE);
    uint64_t count = 0;
    /* A delete leaves the tree of keys as it is. */
    struct btree_place place = btree_seek(&run->kv->tree, deletes->span.key);
    for (struct btree_entry *e; (e = btree_at(place)) != NULL; place = btree_next(place)) {
        if (!kv_span_contains(&deletes->span, btree_entry_key(e))) {
            break;
        }
        if (kv_current_of(e) == NULL) {
            continue;
        }
        if (deletes->previous) {
            add_previous(run, at, e);
        }
        kv_change_delete(run->changed, e, run->revision);
        count++;
    }
    end_op(run, at, count, false);
}

static bool run_txn(struct run *run, const struct kv_txn *txn)
{
    bool succeeded = run->decided[run->next];
    const struct kv_txn_ops *path = next_path(run, txn);
    begin_answer(run, succeeded, path->count);
    for (size_t i = 0; i < path->count; i++) {
        const struct kv_txn_op *op = &path->at[i];
        size_t at;
        switch (op->kind) {
        case KV_TXN_RANGE:
            run_range(run, &op->range);
            break;
        case KV_TXN_PUT:
            run_put(run, &op->put);
            break;
        case KV_TXN_DELETE:
            run_delete(run, &op->deletes);
            break;
        case KV_TXN_NESTED:
            at = begin_op(run, KV_TXN_NESTED);
            (void)run_txn(run, op->nested);
            end_op(run, at, 0, false);
            break;
        }
    }
    return succeeded;
}

void kv_txn_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                  struct buf *answer)
{
    struct kv_txn *txn;
    enum status status = kv_txn_decode(c->txn, &txn);
    CHECK(status == STATUS_OK);
    struct run run = {.kv = kv,
                      .changed = kv,
                      .revision = kv->revision + 1,
                      .answer = answer,
                      .answer_begin = answer != NULL ? answer->size : 0};
    result->status = kv_txn_touches_twice(txn) ? STATUS_INVALID : decide_and_check(&run, txn);
    if (result->status == STATUS_OK) {
        result->succeeded = run_txn(&run, txn);
        result->answer_cut = run.is_cut;
    }
    kv_txn_destroy(txn);
}

enum status kv_txn_read(const struct kv *kv, const struct kv_txn *txn, struct buf *answer)
{
    CHECK(!kv_txn_writes(txn));
    struct run run = {.kv = kv, .answer = answer, .answer_begin = answer->size};
    enum status status = decide_and_check(&run, txn);
    if (status == STATUS_OK) {
        (void)run_txn(&run, txn);
        status = run.is_cut ? STATUS_TOO_LARGE : STATUS_OK;
    }
    return status;
}
