/* The B+tree against a sorted array, with keys that are made to confuse it. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/btree.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TWIN_MAX 8192

/* The twin: entries in key order. */
struct fixture {
    struct rng rng;
    struct slab slab;
    struct btree tree;
    struct btree_entry *sorted[TWIN_MAX];
    size_t count;
};

static void start(struct fixture *f, uint64_t seed)
{
    rng_init(&f->rng, seed);
    slab_init(&f->slab);
    btree_init(&f->tree, &f->slab);
    f->count = 0;
}

static void finish(struct fixture *f)
{
    btree_check(&f->tree);
    btree_deinit(&f->tree);
    slab_deinit(&f->slab);
}

static size_t twin_lower_bound(const struct fixture *f, struct slice key)
{
    size_t low = 0;
    size_t high = f->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(btree_entry_key(f->sorted[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool twin_has(const struct fixture *f, size_t i, struct slice key)
{
    return i < f->count && slice_equal(btree_entry_key(f->sorted[i]), key);
}

static void insert(struct fixture *f, struct slice key)
{
    size_t i = twin_lower_bound(f, key);
    struct btree_entry *e = f->count % 2 == 0 ? btree_append(&f->tree, key) : NULL;
    assert_int_equal(e != NULL, f->count % 2 == 0 && i == f->count);
    e = e != NULL ? e : btree_insert(&f->tree, key);
    assert_true(slice_equal(btree_entry_key(e), key));
    if (twin_has(f, i, key)) {
        assert_ptr_equal(e, f->sorted[i]);
        return;
    }
    assert_null(e->payload);
    e->payload = e;
    assert_true(f->count < TWIN_MAX);
    memmove(&f->sorted[i + 1], &f->sorted[i], (f->count - i) * sizeof(f->sorted[0]));
    f->sorted[i] = e;
    f->count++;
    assert_null(btree_append(&f->tree, btree_entry_key(f->sorted[f->count - 1])));
}

static void erase_at(struct fixture *f, size_t i)
{
    btree_remove(&f->tree, f->sorted[i]);
    f->count--;
    memmove(&f->sorted[i], &f->sorted[i + 1], (f->count - i) * sizeof(f->sorted[0]));
}

static void look_up(struct fixture *f, struct slice key)
{
    size_t i = twin_lower_bound(f, key);
    struct btree_entry *want = twin_has(f, i, key) ? f->sorted[i] : NULL;
    assert_ptr_equal(btree_find(&f->tree, key), want);
    struct btree_place at = btree_seek(&f->tree, key);
    assert_ptr_equal(btree_at(at), i < f->count ? f->sorted[i] : NULL);
    if (i < f->count) {
        assert_ptr_equal(btree_at(btree_next(at)), i + 1 < f->count ? f->sorted[i + 1] : NULL);
        assert_ptr_equal(btree_at(btree_prev(at)), i > 0 ? f->sorted[i - 1] : NULL);
    }
}

static void walk_both_ways(struct fixture *f)
{
    struct btree_place at = btree_seek(&f->tree, slice_of(NULL, 0));
    for (size_t i = 0; i < f->count; i++, at = btree_next(at)) {
        assert_ptr_equal(btree_at(at), f->sorted[i]);
        assert_ptr_equal(f->sorted[i]->payload, f->sorted[i]);
    }
    assert_null(btree_at(at));
    at = btree_last(&f->tree);
    for (size_t i = f->count; i-- > 0; at = btree_prev(at)) {
        assert_ptr_equal(btree_at(at), f->sorted[i]);
    }
    assert_null(btree_at(at));
    assert_int_equal(f->tree.count, f->count);
    btree_check(&f->tree);
}

/* A key of up to 4096 bytes out of few letters, often behind a long beginning that others share. */
static void make_key(struct fixture *f, struct buf *key)
{
    static const uint8_t letters[] = {0x00, 0x00, 0x01, 'a', 'b', 0xfe, 0xff, 0xff};
    static const size_t shared[] = {0, 0, 3, 8, 39, 40, 41, 64, 300, 4080};
    buf_clear(key);
    size_t prefix = shared[rng_below(&f->rng, sizeof(shared) / sizeof(shared[0]))];
    memset(buf_reserve(key, prefix), 'p', prefix);
    key->size += prefix;
    size_t size = (size_t)rng_below(&f->rng, 17);
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(key, letters[rng_below(&f->rng, sizeof(letters))]);
    }
}

/* Grows, shrinks, grows again: nodes split, merge and share, and the root comes and goes. */
static void run_random(uint64_t seed)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, seed);
    struct buf key = {0};
    uint64_t inserts_percent = 90;
    for (unsigned i = 0; i < 6000; i++) {
        if (i % 1500 == 0) {
            walk_both_ways(f);
            inserts_percent = i % 3000 == 0 ? 85 : 10;
        }
        make_key(f, &key);
        if (rng_chance(&f->rng, inserts_percent, 100)) {
            insert(f, buf_slice(&key));
        } else if (f->count > 0) {
            erase_at(f, (size_t)rng_below(&f->rng, f->count));
        }
        make_key(f, &key);
        look_up(f, buf_slice(&key));
        if (i % 100 == 0) {
            btree_check(&f->tree);
        }
    }
    while (f->count > 0) {
        erase_at(f, (size_t)rng_below(&f->rng, f->count));
        if (f->count % 64 == 0) {
            btree_check(&f->tree);
        }
    }
    walk_both_ways(f);
    buf_deinit(&key);
    finish(f);
    mem_free(f);
}

static void tree_and_sorted_array_agree_on_row_a22_odd_keys(void **state)
{
    (void)state;
    run_seeds("btree", 6, run_random);
}

static struct slice ordered_key(unsigned i, char key[32])
{
    return slice_of(key, (size_t)snprintf(key, 32, "/ordered/%08u", i));
}

static void keys_in_order_fill_leaves(void **state)
{
    (void)state;
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, 1);
    char key[32];
    for (unsigned i = 0; i < TWIN_MAX; i++) {
        f->sorted[f->count] = btree_insert(&f->tree, ordered_key(i, key));
        f->sorted[f->count]->payload = f->sorted[f->count];
        f->count++;
        if (i < 1000) {
            btree_check(&f->tree);
            assert_ptr_equal(btree_find(&f->tree, ordered_key(i, key)), f->sorted[i]);
            assert_null(btree_find(&f->tree, ordered_key(i + 1, key)));
        }
    }
    walk_both_ways(f);
    if (BTREE_SLOTS == 64) {
        assert_true(f->tree.node_bytes < 18 * TWIN_MAX); /* a full leaf costs 17 bytes a key */
    }
    finish(f);
    mem_free(f);
}

/* The last leaf comes from a split and knows a long beginning; the next key opens a leaf after it
 * when `more` keys have just filled it. */
static void begin_a_leaf_after(unsigned more)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, 1);
    char key[32];
    for (unsigned i = 200; i-- > 0;) {
        insert(f, ordered_key(i, key));
    }
    for (unsigned i = 200; i < 200 + more; i++) {
        insert(f, ordered_key(i, key));
    }
    insert(f, slice_str("/z, as long as the others"));
    look_up(f, slice_str("/z, as long as the others"));
    look_up(f, ordered_key(300, key));
    finish(f);
    mem_free(f);
}

static void a_key_that_begins_a_leaf_need_not_begin_as_its_neighbours(void **state)
{
    (void)state;
    for (unsigned more = 0; more < BTREE_SLOTS; more++) {
        begin_a_leaf_after(more);
    }
}

static void an_emptied_tree_is_as_new(void **state)
{
    (void)state;
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, 1);
    uint8_t bytes[100];
    memset(bytes, 'x', sizeof(bytes));
    insert(f, slice_of(bytes, 100));
    erase_at(f, 0);
    look_up(f, slice_of(bytes, 90));
    insert(f, slice_of(bytes, 90));
    look_up(f, slice_of(bytes, 100));
    walk_both_ways(f);
    finish(f);
    mem_free(f);
}

/* Take away from one end, in order: the neighbour that mends a node is always on the same side. */
static void erase_from_an_end(bool from_front)
{
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, 2);
    char key[32];
    for (unsigned i = 0; i < 3000; i++) {
        int size = snprintf(key, sizeof(key), "%llx", (unsigned long long)rng_next(&f->rng));
        insert(f, slice_of(key, (size_t)size));
    }
    while (f->count > 0) {
        erase_at(f, from_front ? 0 : f->count - 1);
        if (f->count % 50 == 0) {
            walk_both_ways(f);
        }
    }
    finish(f);
    mem_free(f);
}

static void a_tree_can_be_emptied_from_either_end(void **state)
{
    (void)state;
    erase_from_an_end(true);
    erase_from_an_end(false);
}

static void row_a22_keys_that_share_heads_are_told_apart(void **state)
{
    (void)state;
    struct fixture *f = mem_calloc(1, sizeof(*f));
    start(f, 3);
    /* All heads are zero: "", "\0", "\0\0" ...; then all equal: 200 keys of 'a's. */
    uint8_t bytes[300];
    memset(bytes, 0, sizeof(bytes));
    for (size_t size = 0; size < 200; size++) {
        insert(f, slice_of(bytes, size));
    }
    memset(bytes, 'a', sizeof(bytes));
    for (size_t size = 200; size-- > 0;) {
        insert(f, slice_of(bytes, size));
    }
    for (size_t size = 0; size < 220; size++) {
        look_up(f, slice_of(bytes, size));
    }
    assert_int_equal(f->count, 399);
    walk_both_ways(f);
    finish(f);
    mem_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_and_sorted_array_agree_on_row_a22_odd_keys),
        cmocka_unit_test(keys_in_order_fill_leaves),
        cmocka_unit_test(a_key_that_begins_a_leaf_need_not_begin_as_its_neighbours),
        cmocka_unit_test(an_emptied_tree_is_as_new),
        cmocka_unit_test(a_tree_can_be_emptied_from_either_end),
        cmocka_unit_test(row_a22_keys_that_share_heads_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
