/* The slab: items do not overlap, memory is reused, and comes back when items go. */
#include "base/mem.h"
#include "base/rng.h"
#include "kv/slab.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 600

struct item {
    uint8_t *at;
    size_t size;
    uint8_t fill;
};

static void assert_intact(const struct item *item)
{
    for (size_t i = 0; i < item->size; i++) {
        assert_int_equal(item->at[i], item->fill);
    }
}

static void release(struct slab *s, struct item *item)
{
    if (item->at != NULL) {
        assert_intact(item);
        slab_free(s, item->at, item->size);
        item->at = NULL;
    }
}

static void run_random(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct slab s;
    slab_init(&s);
    struct item items[ITEMS] = {0};
    uint64_t used = 0;
    for (unsigned i = 0; i < 20000; i++) {
        struct item *item = &items[rng_below(&rng, ITEMS)];
        used -= item->at != NULL ? item->size : 0;
        release(&s, item);
        if (rng_chance(&rng, 2, 3)) {
            item->size = (size_t)rng_between(&rng, 1, rng_chance(&rng, 1, 10) ? 9000 : 300);
            item->fill = (uint8_t)rng_next(&rng);
            item->at = slab_alloc(&s, item->size);
            assert_int_equal((uintptr_t)item->at % (item->size % 8 == 0 ? 8 : 4), 0);
            memset(item->at, item->fill, item->size);
            used += item->size;
        }
        assert_int_equal(s.used_bytes, used);
        assert_true(s.used_bytes <= s.held_bytes);
    }
    for (size_t i = 0; i < ITEMS; i += 2) {
        release(&s, &items[i]);
    }
    slab_deinit(&s); /* frees the other half, large ones too: the leak checker is the judge */
}

static void items_keep_their_bytes_whatever_comes_and_goes(void **state)
{
    (void)state;
    run_seeds("slab", 3, run_random);
}

static void every_size_fits_its_class(void **state)
{
    (void)state;
    struct slab s;
    slab_init(&s);
    for (size_t size = 1; size <= SLAB_ITEM_MAX + 100; size++) {
        uint8_t *a = slab_alloc(&s, size);
        uint8_t *b = slab_alloc(&s, size);
        memset(a, 1, size);
        memset(b, 2, size);
        assert_int_equal(a[size - 1], 1);
        slab_free(&s, a, size);
        slab_free(&s, b, size);
    }
    slab_deinit(&s);
}

static void memory_comes_back_when_items_go(void **state)
{
    (void)state;
    enum { COUNT = 20000, SIZE = 280 };
    struct slab s;
    slab_init(&s);
    void **items = mem_calloc(COUNT, sizeof(*items));
    for (size_t i = 0; i < COUNT; i++) {
        items[i] = slab_alloc(&s, SIZE);
    }
    /* Rounding and heads of chunks cost less than a fiftieth. */
    assert_true(s.held_bytes - s.used_bytes < s.used_bytes / 50 + 65536);
    uint64_t held = s.held_bytes;
    for (size_t i = 0; i < COUNT; i++) {
        slab_free(&s, items[i], SIZE);
    }
    assert_int_equal(s.used_bytes, 0);
    assert_int_equal(s.held_bytes, 65536); /* one empty chunk is kept */
    for (size_t i = 0; i < COUNT; i++) {
        items[i] = slab_alloc(&s, SIZE);
    }
    assert_int_equal(s.held_bytes, held);
    mem_free(items);
    slab_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_keep_their_bytes_whatever_comes_and_goes),
        cmocka_unit_test(every_size_fits_its_class),
        cmocka_unit_test(memory_comes_back_when_items_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
