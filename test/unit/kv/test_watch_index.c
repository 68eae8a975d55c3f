/* The index of watches against a list that is searched from end to end. */
#include "kv/watch_index.h"

#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WATCHES 300
#define STEPS   20000

struct pool {
    struct watch_index index;
    struct rng rng;
    struct kv_watch watches[WATCHES];
    uint8_t keys[WATCHES][2][3];
    bool is_in[WATCHES];
    unsigned found[WATCHES];
    unsigned found_count;
};

static struct slice any_key(struct pool *p, uint8_t bytes[3], size_t least)
{
    size_t size = (size_t)rng_between(&p->rng, least, 3);
    for (size_t i = 0; i < size; i++) {
        static const uint8_t letters[] = {0x00, 'a', 'b', 0xff};
        bytes[i] = letters[rng_below(&p->rng, sizeof(letters))];
    }
    return slice_of(bytes, size);
}

static void add(struct pool *p, size_t i)
{
    struct kv_watch *w = &p->watches[i];
    enum kv_span_kind kind = (enum kv_span_kind)rng_below(&p->rng, 3);
    w->span = (struct kv_span){.kind = kind,
                               .key = any_key(p, p->keys[i][0], kind == KV_SPAN_KEY ? 1 : 0),
                               .end = any_key(p, p->keys[i][1], 0)};
    watch_index_add(&p->index, w);
    p->is_in[i] = true;
}

static bool has_key(const struct kv_span *s, struct slice key)
{
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

static void on_found(void *context, struct kv_watch *w)
{
    struct pool *p = context;
    p->found[w - p->watches]++;
    p->found_count++;
}

static void expect_found(struct pool *p)
{
    uint8_t bytes[3];
    struct slice key = any_key(p, bytes, 1);
    memset(p->found, 0, sizeof(p->found));
    watch_index_find(&p->index, key, on_found, p);
    for (size_t i = 0; i < WATCHES; i++) {
        bool is_due = p->is_in[i] && has_key(&p->watches[i].span, key);
        assert_int_equal(p->found[i], is_due ? 1 : 0);
    }
}

static void finds_those_that_have_the_key_and_no_others(void **state)
{
    (void)state;
    struct pool *p = mem_calloc(1, sizeof(*p));
    watch_index_init(&p->index);
    rng_init(&p->rng, 1);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = (size_t)rng_below(&p->rng, WATCHES);
        if (p->is_in[i]) {
            watch_index_remove(&p->index, &p->watches[i]);
            p->is_in[i] = false;
        } else {
            add(p, i);
        }
        expect_found(p);
        if (step % 500 == 0) {
            watch_index_check(&p->index);
        }
    }
    for (size_t i = 0; i < WATCHES; i++) {
        if (p->is_in[i]) {
            watch_index_remove(&p->index, &p->watches[i]);
        }
    }
    watch_index_deinit(&p->index);
    mem_free(p);
}

static void watches_of_one_span_are_all_found(void **state)
{
    (void)state;
    struct pool *p = mem_calloc(1, sizeof(*p));
    watch_index_init(&p->index);
    for (size_t i = 0; i < WATCHES; i++) {
        p->watches[i].span =
            (struct kv_span){.kind = KV_SPAN_RANGE, .key = slice_str("a"), .end = slice_str("b")};
        watch_index_add(&p->index, &p->watches[i]);
    }
    watch_index_find(&p->index, slice_str("aa"), on_found, p);
    assert_int_equal(p->found_count, WATCHES);
    watch_index_find(&p->index, slice_str("b"), on_found, p);
    assert_int_equal(p->found_count, WATCHES);
    for (size_t i = 0; i < WATCHES; i++) {
        watch_index_remove(&p->index, &p->watches[i]);
    }
    watch_index_deinit(&p->index);
    mem_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_those_that_have_the_key_and_no_others),
        cmocka_unit_test(watches_of_one_span_are_all_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
