/* Transactions, each rule by name. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_txn.h"
#include "kv_copy.h"
#include "kv_fixture.h"
#include "txn_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result r;
    kv_apply(kv, &c, &r);
    return r;
}

static struct kv_result put(struct kv *kv, const char *key, const char *value)
{
    return apply(
        kv, (struct kv_command){.op = KV_PUT, .key = slice_str(key), .value = slice_str(value)});
}

static void grant(struct kv *kv, uint64_t id)
{
    const struct kv_command c = {.op = KV_LEASE_GRANT, .lease = id, .ttl_s = 60};
    assert_int_equal(apply(kv, c).status, STATUS_OK);
}

static uint64_t revision_of(const struct kv *kv)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    return s.revision;
}

/* --- running ---------------------------------------------------------------------------------- */

struct outcome {
    struct kv_result result;
    struct buf bytes;
    struct kv_answer answer;
};

/* Through the bytes of a command; a second time, on a copy that asks for no answer: it does the
 * same (rule P16). `txn` is consumed. */
static struct outcome run(struct kv *kv, struct kv_txn *txn)
{
    struct buf encoded = {0};
    struct buf bytes = {0};
    struct outcome o = {0};
    struct kv_result other;
    struct rng rng;
    struct buf image = {0};
    rng_init(&rng, 1);
    export_all(kv, &image);
    struct kv *copy = import_all(buf_slice(&image), &rng);
    kv_txn_encode(txn, &encoded);
    kv_command_encode(&(struct kv_command){.op = KV_TXN, .txn = buf_slice(&encoded)}, &bytes);
    struct kv_command c;
    assert_int_equal(kv_command_decode(buf_slice(&bytes), &c), STATUS_OK);
    kv_apply_answered(kv, &c, &o.result, &o.bytes);
    kv_apply(copy, &c, &other);
    assert_int_equal(o.result.status, other.status);
    assert_int_equal(o.result.revision, other.revision);
    assert_int_equal(o.result.succeeded, other.succeeded);
    assert_true(is_same_digest(kv_digest(kv), kv_digest(copy)));
    assert_true(is_same_digest(kv_digest(kv), digest_anew_of(kv, 3)));
    kv_check(kv);
    kv_check(copy);
    kv_destroy(copy);
    buf_deinit(&image);
    buf_deinit(&encoded);
    buf_deinit(&bytes);
    kv_txn_destroy(txn);
    if (o.result.status == STATUS_OK) {
        assert_true(kv_answer_begin(buf_slice(&o.bytes), &o.answer));
        assert_int_equal(o.answer.succeeded, o.result.succeeded);
    } else {
        assert_int_equal(o.bytes.size, 0);
    }
    return o;
}

static struct kv_answer_op next_op(struct outcome *o)
{
    struct kv_answer_op op;
    assert_true(kv_answer_next(&o->answer, &op));
    return op;
}

static void end(struct outcome *o)
{
    struct kv_answer_op op;
    assert_false(kv_answer_next(&o->answer, &op));
    assert_false(o->answer.bad);
    buf_deinit(&o->bytes);
}

/* The items as "key=value " each. */
static void expect_items(struct kv_answer_op *op, const char *want)
{
    struct buf got = {0};
    struct kv_item item;
    while (kv_answer_item(&op->items, &item)) {
        buf_append_slice(&got, item.key);
        buf_append_str(&got, "=");
        buf_append_slice(&got, item.value);
        buf_append_str(&got, " ");
    }
    buf_append_byte(&got, 0);
    assert_string_equal((const char *)got.data, want);
    buf_deinit(&got);
}

static enum status status_of(struct kv *kv, struct kv_txn *txn)
{
    struct kv_digest before = kv_digest(kv);
    struct outcome o = run(kv, txn);
    if (o.result.status != STATUS_OK) {
        assert_true(is_same_digest(before, kv_digest(kv)));
    }
    buf_deinit(&o.bytes);
    return o.result.status;
}

static void expect(const struct kv *kv, const char *key, const char *value)
{
    struct kv_item item;
    enum status status = kv_get(kv, slice_str(key), 0, &item);
    if (value == NULL) {
        assert_int_equal(status, STATUS_NOT_FOUND);
        return;
    }
    assert_int_equal(status, STATUS_OK);
    assert_true(slice_equal(item.value, slice_str(value)));
}

/* --- effects ---------------------------------------------------------------------------------- */

static void all_changes_of_a_transaction_share_one_revision(void **state)
{
    struct kv *kv = *state;
    put(kv, "b", "old");
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->success, "a", "1");
    add_put(&txn->success, "b", "2")->previous = true;
    add_put(&txn->success, "c", "3")->previous = true;
    struct outcome o = run(kv, txn);
    assert_int_equal(o.result.revision, 3);
    assert_true(o.result.succeeded);
    struct kv_answer_op op = next_op(&o);
    assert_int_equal(op.kind, KV_TXN_PUT);
    assert_int_equal(op.revision, 3);
    expect_items(&op, "");
    op = next_op(&o);
    expect_items(&op, "b=old ");
    op = next_op(&o);
    expect_items(&op, "");
    end(&o);
    const char *const keys[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        struct kv_item item;
        assert_int_equal(kv_get(kv, slice_str(keys[i]), 0, &item), STATUS_OK);
        assert_int_equal(item.revision, 3);
        assert_int_equal(item.version, i == 1 ? 2 : 1);
    }
}

static void what_changes_nothing_makes_no_revision(void **state)
{
    struct kv *kv = *state;
    struct kv_txn *txn = kv_txn_create();
    add_delete(&txn->success, all());
    add_range(&txn->success, all());
    struct outcome o = run(kv, txn);
    assert_int_equal(o.result.revision, 1);
    struct kv_answer_op op = next_op(&o);
    assert_int_equal(op.kind, KV_TXN_DELETE);
    assert_int_equal(op.revision, 1);
    assert_int_equal(op.count, 0);
    op = next_op(&o);
    assert_int_equal(op.revision, 1);
    end(&o);
}

static void reads_see_the_changes_before_them_and_tell_the_revision_so_far(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "1");
    put(kv, "b", "2");
    struct kv_txn *txn = kv_txn_create();
    add_range(&txn->success, all());
    add_delete(&txn->success, one("a"))->previous = true;
    add_range(&txn->success, all());
    add_put(&txn->success, "c", "3");
    add_range(&txn->success, all());
    add_range(&txn->success, all())->revision = 2;
    struct outcome o = run(kv, txn);
    const char *const want[] = {"a=1 b=2 ", "a=1 ", "b=2 ", "", "b=2 c=3 ", "a=1 "};
    const uint64_t counts[] = {2, 1, 1, 0, 2, 1};
    for (size_t i = 0; i < 6; i++) {
        struct kv_answer_op op = next_op(&o);
        assert_int_equal(op.revision, i == 0 ? 3 : 4);
        assert_int_equal(op.count, counts[i]);
        expect_items(&op, want[i]);
    }
    end(&o);
}

static void nested_transactions_are_decided_by_the_state_before(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "1");
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->success, "a", "2");
    struct kv_txn *nested = add_nested(&txn->success);
    add_compare_value(nested, one("a"), KV_EQUAL, "1");
    add_put(&nested->success, "b", "then");
    add_put(&nested->failure, "b", "else");
    struct kv_txn *second = add_nested(&nested->success);
    add_compare_value(second, one("a"), KV_EQUAL, "2");
    add_put(&second->success, "c", "then");
    add_put(&second->failure, "c", "else");
    struct outcome o = run(kv, txn);
    assert_int_equal(o.result.revision, 3);
    struct kv_answer_op op = next_op(&o);
    op = next_op(&o);
    assert_int_equal(op.kind, KV_TXN_NESTED);
    assert_true(op.nested.succeeded);
    assert_int_equal(op.nested.left, 2);
    struct kv_answer_op inner;
    assert_true(kv_answer_next(&op.nested, &inner));
    assert_true(kv_answer_next(&op.nested, &inner));
    assert_false(inner.nested.succeeded);
    end(&o);
    expect(kv, "a", "2");
    expect(kv, "b", "then");
    expect(kv, "c", "else");
}

static void a_delete_tells_what_was_and_a_put_may_keep_value_or_lease(void **state)
{
    struct kv *kv = *state;
    grant(kv, 7);
    apply(kv, (struct kv_command){
                  .op = KV_PUT, .key = slice_str("k"), .value = slice_str("v"), .lease = 7});
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->success, "k", "w")->ignore_lease = true;
    assert_int_equal(status_of(kv, txn), STATUS_OK);
    struct kv_item item;
    assert_int_equal(kv_get(kv, slice_str("k"), 0, &item), STATUS_OK);
    assert_int_equal(item.lease, 7);
    assert_true(slice_equal(item.value, slice_str("w")));
    txn = kv_txn_create();
    add_put(&txn->success, "k", "")->ignore_value = true;
    assert_int_equal(status_of(kv, txn), STATUS_OK);
    assert_int_equal(kv_get(kv, slice_str("k"), 0, &item), STATUS_OK);
    assert_int_equal(item.lease, 0);
    assert_int_equal(item.version, 3);
    assert_true(slice_equal(item.value, slice_str("w")));
}

/* --- compares --------------------------------------------------------------------------------- */

static bool holds(struct kv *kv, struct kv_span span, enum kv_compare_target target,
                  enum kv_compare_relation relation, int64_t number, const char *value)
{
    struct kv_txn *txn = kv_txn_create();
    add_compare(txn, span, target, relation, number);
    txn->compares[0].value = slice_str(value != NULL ? value : "");
    struct outcome o = run(kv, txn);
    buf_deinit(&o.bytes);
    assert_int_equal(o.result.status, STATUS_OK);
    return o.result.succeeded;
}

/* All four relations, of what the key has to what is given. */
static void expect_order(struct kv *kv, struct kv_span span, enum kv_compare_target target,
                         int64_t number, int order)
{
    assert_int_equal(holds(kv, span, target, KV_EQUAL, number, NULL), order == 0);
    assert_int_equal(holds(kv, span, target, KV_NOT_EQUAL, number, NULL), order != 0);
    assert_int_equal(holds(kv, span, target, KV_GREATER, number, NULL), order > 0);
    assert_int_equal(holds(kv, span, target, KV_LESS, number, NULL), order < 0);
}

static void all_compares_of_all_targets(void **state)
{
    struct kv *kv = *state;
    grant(kv, 50);
    put(kv, "x", "");
    put(kv, "k", "a");
    apply(kv, (struct kv_command){
                  .op = KV_PUT, .key = slice_str("k"), .value = slice_str("m"), .lease = 50});
    const int64_t have[] = {
        [KV_COMPARE_VERSION] = 2,
        [KV_COMPARE_CREATE] = 3,
        [KV_COMPARE_MOD] = 4,
        [KV_COMPARE_LEASE] = 50,
    };
    for (enum kv_compare_target t = KV_COMPARE_VERSION; t <= KV_COMPARE_LEASE; t++) {
        if (t != KV_COMPARE_VALUE) {
            expect_order(kv, one("k"), t, have[t], 0);
            expect_order(kv, one("k"), t, have[t] - 1, 1);
            expect_order(kv, one("k"), t, have[t] + 1, -1);
            expect_order(kv, one("k"), t, -1, 1);
            expect_order(kv, one("none"), t, 0, 0);
            expect_order(kv, one("none"), t, 1, -1);
        }
    }
    assert_true(holds(kv, one("k"), KV_COMPARE_VALUE, KV_EQUAL, 0, "m"));
    assert_true(holds(kv, one("k"), KV_COMPARE_VALUE, KV_GREATER, 0, "lz"));
    assert_true(holds(kv, one("k"), KV_COMPARE_VALUE, KV_LESS, 0, "ma"));
    assert_false(holds(kv, one("k"), KV_COMPARE_VALUE, KV_NOT_EQUAL, 0, "m"));
}

static void a_value_compare_on_an_absent_key_never_holds(void **state)
{
    for (enum kv_compare_relation r = KV_EQUAL; r <= KV_NOT_EQUAL; r++) {
        assert_false(holds(*state, one("none"), KV_COMPARE_VALUE, r, 0, ""));
        assert_false(holds(*state, between("a", "b"), KV_COMPARE_VALUE, r, 0, "x"));
    }
}

static void a_compare_with_a_range_must_hold_for_each_key(void **state)
{
    struct kv *kv = *state;
    put(kv, "a1", "x");
    put(kv, "a2", "x");
    put(kv, "b", "y");
    assert_true(holds(kv, between("a", "b"), KV_COMPARE_VALUE, KV_EQUAL, 0, "x"));
    assert_false(holds(kv, between("a", "c"), KV_COMPARE_VALUE, KV_EQUAL, 0, "x"));
    assert_false(holds(kv, all(), KV_COMPARE_MOD, KV_LESS, 4, NULL));
    assert_true(holds(kv, all(), KV_COMPARE_MOD, KV_LESS, 5, NULL));
    /* swapped ends: no key */
    assert_true(holds(kv, between("b", "a"), KV_COMPARE_VERSION, KV_EQUAL, 0, NULL));
}

static void a_transaction_without_compares_succeeds(void **state)
{
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->failure, "k", "v");
    struct outcome o = run(*state, txn);
    assert_true(o.result.succeeded);
    assert_int_equal(o.result.revision, 1);
    end(&o);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void a_refused_transaction_changes_nothing(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "1");
    put(kv, "k", "2");
    put(kv, "k", "3");
    apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = 3});
    for (unsigned i = 0; i < 5; i++) {
        static const enum status want[] = {STATUS_NO_LEASE, STATUS_NOT_FOUND, STATUS_NOT_FOUND,
                                           STATUS_COMPACTED, STATUS_FUTURE};
        struct kv_txn *txn = kv_txn_create();
        add_put(&txn->success, "new", "x");
        struct kv_txn *nested = add_nested(&txn->success);
        if (i < 3) {
            struct kv_txn_put *p = add_put(&nested->success, "absent", "");
            p->lease = i == 0 ? 99 : 0;
            p->ignore_value = i == 1;
            p->ignore_lease = i == 2;
        } else {
            add_range(&nested->success, all())->revision = i == 3 ? 2 : 5;
        }
        assert_int_equal(status_of(kv, txn), want[i]);
        expect(kv, "new", NULL);
    }
    assert_int_equal(revision_of(kv), 4);
}

/* What is wrong on a path that is not taken does not matter. */
static void only_the_path_that_is_taken_is_checked(void **state)
{
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->failure, "k", "v")->lease = 99;
    add_put(&txn->success, "k", "v");
    assert_int_equal(status_of(*state, txn), STATUS_OK);
}

static void a_key_may_be_put_once_on_each_path(void **state)
{
    struct kv_txn *txn = kv_txn_create();
    add_put(&txn->success, "k", "1");
    add_put(&txn->failure, "k", "2");
    struct kv_txn *nested = add_nested(&txn->success);
    add_put(&nested->success, "n", "3");
    add_put(&nested->failure, "n", "4");
    add_delete(&txn->success, between("x", "z"));
    add_delete(&txn->success, between("y", "z"));
    assert_int_equal(kv_txn_check(txn), KV_TXN_SOUND);
    assert_int_equal(status_of(*state, txn), STATUS_OK);
}

static void a_key_that_is_put_twice_is_refused_also_when_applied(void **state)
{
    for (unsigned i = 0; i < 8; i++) {
        struct kv_txn *txn = kv_txn_create();
        struct kv_txn_ops *ops = i % 2 == 0 ? &txn->success : &txn->failure;
        struct kv_txn *nested = i >= 2 ? add_nested(ops) : NULL;
        add_put(ops, "k", "1");
        if (i < 2) {
            add_put(ops, "k", "2");
        } else if (i < 4) {
            add_put(&nested->failure, "k", "2");
        } else if (i < 6) {
            add_delete(&nested->success, between("j", "l"));
        } else {
            struct kv_txn *later = add_nested(ops);
            add_put(&nested->success, "n", "3");
            add_delete(&add_nested(&later->failure)->success, all());
        }
        assert_int_equal(kv_txn_check(txn), KV_TXN_DUPLICATE_KEY);
        assert_int_equal(status_of(*state, txn), STATUS_INVALID);
    }
}

/* Keys in their order are not compared with each other; the same key is found wherever it is. */
static void a_key_that_is_put_twice_is_found_among_keys_in_order(void **state)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    const unsigned count = sizeof(keys) / sizeof(keys[0]);
    for (unsigned i = 0; i < 4 * count * (count + 1); i++) {
        unsigned again = i % count;
        unsigned place = i / count % (count + 1);
        unsigned extra = i / count / (count + 1);
        struct kv_txn *txn = kv_txn_create();
        for (unsigned k = 0; k <= count; k++) {
            if (k == place) {
                add_put(&txn->success, keys[again], "2");
            }
            if (k == 2 && extra == 1) {
                add_range(&txn->success, one("c"));
            } else if (k == 2 && extra == 2) {
                add_delete(&txn->success, between("x", "z"));
            } else if (k == 2 && extra == 3) {
                add_put(&add_nested(&txn->success)->failure, "n", "3");
            }
            if (k < count) {
                add_put(&txn->success, keys[k], "1");
            }
        }
        assert_int_equal(kv_txn_check(txn), KV_TXN_DUPLICATE_KEY);
        assert_int_equal(status_of(*state, txn), STATUS_INVALID);
    }
}

/* --- bounds ----------------------------------------------------------------------------------- */

static enum kv_txn_fault fault_of(struct kv_txn *txn)
{
    enum kv_txn_fault fault = kv_txn_check(txn);
    kv_txn_destroy(txn);
    return fault;
}

static struct kv_txn *with_gets(size_t compares, size_t success, size_t failure)
{
    struct kv_txn *txn = kv_txn_create();
    for (size_t i = 0; i < compares; i++) {
        add_compare(txn, one("k"), KV_COMPARE_MOD, KV_EQUAL, 0);
    }
    for (size_t i = 0; i < success; i++) {
        add_range(&txn->success, one("k"));
    }
    for (size_t i = 0; i < failure; i++) {
        add_range(&txn->failure, one("k"));
    }
    return txn;
}

static void more_than_128_operations_or_compares_are_too_many(void **state)
{
    (void)state;
    assert_int_equal(fault_of(with_gets(128, 128, 128)), KV_TXN_SOUND);
    assert_int_equal(fault_of(with_gets(129, 0, 0)), KV_TXN_TOO_MANY);
    assert_int_equal(fault_of(with_gets(0, 129, 0)), KV_TXN_TOO_MANY);
    assert_int_equal(fault_of(with_gets(0, 0, 129)), KV_TXN_TOO_MANY);
    for (size_t inner = 27; inner <= 28; inner++) {
        struct kv_txn *txn = with_gets(100, 1, 0);
        struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_NESTED);
        op->nested = with_gets(0, inner + 1, 0);
        assert_int_equal(fault_of(txn), inner == 27 ? KV_TXN_SOUND : KV_TXN_TOO_MANY);
    }
}

static void nesting_and_all_paths_together_are_bounded(void **state)
{
    (void)state;
    for (unsigned depth = LIMIT_TXN_DEPTH; depth <= LIMIT_TXN_DEPTH + 1; depth++) {
        struct kv_txn *txn = kv_txn_create();
        struct kv_txn *at = txn;
        for (unsigned i = 1; i < depth; i++) {
            at = add_nested(i % 2 == 0 ? &at->success : &at->failure);
        }
        assert_int_equal(fault_of(txn), depth == LIMIT_TXN_DEPTH ? KV_TXN_SOUND : KV_TXN_TOO_MANY);
    }
    struct kv_txn *wide = kv_txn_create();
    for (unsigned i = 0; i < 8; i++) {
        kv_txn_add_op(&wide->success, KV_TXN_NESTED)->nested = with_gets(120, 120, 15);
    }
    assert_int_equal(fault_of(wide), KV_TXN_TOO_MANY);
}

static void other_faults_by_name(void **state)
{
    (void)state;
    uint8_t *bytes = mem_calloc(1, LIMIT_KEY_BYTES + 1);
    struct kv_txn *txn[10];
    for (size_t i = 0; i < 10; i++) {
        txn[i] = kv_txn_create();
    }
    add_put(&txn[0]->success, "", "v");
    add_range(&txn[1]->failure, one(""));
    add_compare(txn[2], one(""), KV_COMPARE_MOD, KV_EQUAL, 0);
    add_put(&txn[3]->success, "k", "v")->ignore_value = true;
    struct kv_txn_put *p = add_put(&txn[4]->success, "k", "v");
    p->ignore_lease = true;
    p->lease = 1;
    add_put(&txn[5]->success, "k", "v")->key = slice_of(bytes, LIMIT_KEY_BYTES + 1);
    add_range(&txn[6]->success, all())->target = (enum kv_sort_target)5;
    add_range(&txn[7]->success, all())->order = (enum kv_sort_order)3;
    add_compare(txn[8], one("k"), KV_COMPARE_MOD, (enum kv_compare_relation)4, 0);
    add_compare(txn[9], one("k"), (enum kv_compare_target)5, KV_EQUAL, 0);
    static const enum kv_txn_fault want[] = {
        KV_TXN_NO_KEY,    KV_TXN_NO_KEY,   KV_TXN_NO_KEY,   KV_TXN_VALUE_GIVEN, KV_TXN_LEASE_GIVEN,
        KV_TXN_TOO_LARGE, KV_TXN_BAD_ENUM, KV_TXN_BAD_ENUM, KV_TXN_BAD_ENUM,    KV_TXN_BAD_ENUM};
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(fault_of(txn[i]), want[i]);
    }
    mem_free(bytes);
}

static void an_answer_that_is_too_large_is_not_told_and_the_rest_is_done(void **state)
{
    struct kv *kv = *state;
    uint8_t *bytes = mem_calloc(1, 8u * MIB);
    apply(kv, (struct kv_command){
                  .op = KV_PUT, .key = slice_str("big"), .value = slice_of(bytes, 8u * MIB)});
    mem_free(bytes);
    struct kv_txn *txn = kv_txn_create();
    for (unsigned i = 0; i < 9; i++) {
        add_range(&txn->success, one("big"));
    }
    struct buf answer = {0};
    buf_append_str(&answer, "before");
    assert_int_equal(kv_txn_read(kv, txn, &answer), STATUS_TOO_LARGE);
    assert_int_equal(answer.size, 6);
    add_put(&txn->success, "k", "v");
    struct buf encoded = {0};
    kv_txn_encode(txn, &encoded);
    struct kv_result r;
    kv_apply_answered(kv, &(struct kv_command){.op = KV_TXN, .txn = buf_slice(&encoded)}, &r,
                      &answer);
    assert_int_equal(r.status, STATUS_OK);
    assert_true(r.answer_cut);
    assert_int_equal(answer.size, 6);
    expect(kv, "k", "v");
    buf_deinit(&encoded);
    buf_deinit(&answer);
    kv_txn_destroy(txn);
}

static void a_transaction_that_only_reads_needs_no_command(void **state)
{
    struct kv *kv = *state;
    put(kv, "k", "v");
    struct kv_txn *txn = kv_txn_create();
    add_compare(txn, one("k"), KV_COMPARE_VERSION, KV_GREATER, 0);
    add_range(&add_nested(&txn->success)->success, one("k"));
    assert_false(kv_txn_writes(txn));
    struct outcome o = {0};
    assert_int_equal(kv_txn_read(kv, txn, &o.bytes), STATUS_OK);
    assert_true(kv_answer_begin(buf_slice(&o.bytes), &o.answer));
    assert_true(o.answer.succeeded);
    struct kv_answer_op op = next_op(&o);
    struct kv_answer_op inner;
    assert_true(kv_answer_next(&op.nested, &inner));
    expect_items(&inner, "k=v ");
    end(&o);
    txn->success.at[0].nested->success.at[0].range.revision = 9;
    assert_int_equal(kv_txn_read(kv, txn, &o.bytes), STATUS_FUTURE);
    add_delete(&add_nested(&txn->failure)->failure, one("k"));
    assert_true(kv_txn_writes(txn));
    kv_txn_destroy(txn);
    buf_deinit(&o.bytes);
}

static void read_whole(struct kv_answer *a, unsigned depth)
{
    struct kv_answer_op op;
    struct kv_item item;
    while (depth < 4 && kv_answer_next(a, &op)) {
        while (kv_answer_item(&op.items, &item)) {
            assert_true(item.key.size + item.value.size < 100);
        }
        if (op.kind == KV_TXN_NESTED) {
            read_whole(&op.nested, depth + 1);
        }
    }
}

static void damaged_answers_are_read_without_harm(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "1");
    struct kv_txn *txn = kv_txn_create();
    add_range(&txn->success, all());
    add_put(&add_nested(&txn->success)->success, "a", "2")->previous = true;
    struct outcome o = run(kv, txn);
    struct kv_answer a;
    for (size_t at = 0; at < o.bytes.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            o.bytes.data[at] ^= (uint8_t)(1u << bit);
            if (kv_answer_begin(buf_slice(&o.bytes), &a)) {
                read_whole(&a, 0);
            }
            o.bytes.data[at] ^= (uint8_t)(1u << bit);
        }
        if (kv_answer_begin(slice_of(o.bytes.data, at), &a)) {
            read_whole(&a, 0);
            assert_true(a.bad);
        }
    }
    buf_deinit(&o.bytes);
}

/* --- compaction ------------------------------------------------------------------------------- */

static void compaction_by_bytes_never_keeps_a_part_of_a_revision(void **state)
{
    struct kv *kv = *state;
    for (unsigned i = 0; i < 50; i++) {
        struct kv_txn *txn = kv_txn_create();
        for (unsigned k = 0; k < 20; k++) {
            static const char *const keys[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9",
                                               "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
            add_put(&txn->success, keys[k], "value");
        }
        struct outcome o = run(kv, txn);
        buf_deinit(&o.bytes);
    }
    struct kv_stats s;
    kv_stats(kv, &s);
    uint64_t bytes = s.history_bytes / 2;
    uint64_t due = kv_compaction_due(kv, 0, UINT64_MAX, bytes);
    assert_int_equal(apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = due}).status,
                     STATUS_OK);
    kv_stats(kv, &s);
    assert_true(s.history_bytes <= bytes);
    assert_int_equal(kv_compaction_due(kv, 0, UINT64_MAX, bytes), 0);
    kv_check(kv);
}

/* A span of so many keys that all compares, or reads, of a transaction are too much. */
static struct kv_span many_keys(struct kv *kv)
{
    char key[16];
    for (unsigned i = 0; i < 9000; i++) {
        snprintf(key, sizeof(key), "m%04u", i);
        put(kv, key, "1");
    }
    return between("m", "n");
}

static void rule_o1_compares_look_at_so_many_keys_and_no_more(void **state)
{
    struct kv *kv = *state;
    struct kv_span span = many_keys(kv);
    for (unsigned count = LIMIT_TXN_OPS / 2; count <= LIMIT_TXN_OPS; count *= 2) {
        struct kv_txn *txn = kv_txn_create();
        for (unsigned i = 0; i < count; i++) {
            add_compare(txn, span, KV_COMPARE_VERSION, KV_GREATER, 0);
        }
        add_put(&txn->success, "then", "1");
        add_put(&txn->failure, "else", "1");
        bool is_fine = count < LIMIT_TXN_OPS;
        assert_int_equal(status_of(kv, txn), is_fine ? STATUS_OK : STATUS_TOO_LARGE);
    }
    expect(kv, "then", "1");
    expect(kv, "else", NULL);
}

static void rule_o1_reads_tell_of_so_many_keys_and_no_more(void **state)
{
    struct kv *kv = *state;
    struct kv_span span = many_keys(kv);
    struct kv_txn *txn = kv_txn_create();
    struct buf answer = {0};
    for (unsigned i = 0; i < LIMIT_TXN_OPS - 1; i++) {
        add_range(&txn->success, span)->count_only = true;
    }
    assert_int_equal(kv_txn_read(kv, txn, &answer), STATUS_TOO_LARGE);
    assert_int_equal(answer.size, 0);
    add_put(&txn->success, "k", "1");
    struct buf encoded = {0};
    kv_txn_encode(txn, &encoded);
    const struct kv_command c = {.op = KV_TXN, .txn = buf_slice(&encoded)};
    struct kv_result r;
    kv_apply_answered(kv, &c, &r, &answer);
    assert_int_equal(r.status, STATUS_OK);
    assert_true(r.answer_cut);
    assert_int_equal(answer.size, 0);
    expect(kv, "k", "1");
    buf_deinit(&answer);
    buf_deinit(&encoded);
    kv_txn_destroy(txn);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(all_changes_of_a_transaction_share_one_revision),
        KV_TEST(what_changes_nothing_makes_no_revision),
        KV_TEST(reads_see_the_changes_before_them_and_tell_the_revision_so_far),
        KV_TEST(nested_transactions_are_decided_by_the_state_before),
        KV_TEST(a_delete_tells_what_was_and_a_put_may_keep_value_or_lease),
        KV_TEST(all_compares_of_all_targets),
        KV_TEST(a_value_compare_on_an_absent_key_never_holds),
        KV_TEST(a_compare_with_a_range_must_hold_for_each_key),
        KV_TEST(a_transaction_without_compares_succeeds),
        KV_TEST(a_refused_transaction_changes_nothing),
        KV_TEST(only_the_path_that_is_taken_is_checked),
        KV_TEST(a_key_may_be_put_once_on_each_path),
        KV_TEST(a_key_that_is_put_twice_is_refused_also_when_applied),
        KV_TEST(a_key_that_is_put_twice_is_found_among_keys_in_order),
        KV_TEST(more_than_128_operations_or_compares_are_too_many),
        KV_TEST(nesting_and_all_paths_together_are_bounded),
        KV_TEST(other_faults_by_name),
        KV_TEST(an_answer_that_is_too_large_is_not_told_and_the_rest_is_done),
        KV_TEST(a_transaction_that_only_reads_needs_no_command),
        KV_TEST(damaged_answers_are_read_without_harm),
        KV_TEST(compaction_by_bytes_never_keeps_a_part_of_a_revision),
        KV_TEST(rule_o1_compares_look_at_so_many_keys_and_no_more),
        KV_TEST(rule_o1_reads_tell_of_so_many_keys_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
