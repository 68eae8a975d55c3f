/* Latencies counted in buckets: quantiles are those of the sorted values, to three digits. */
#include "base/mem.h"
#include "base/rng.h"
#include "load/load_histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define VALUES 20000

static struct load_histogram *make(void)
{
    return mem_calloc(1, sizeof(struct load_histogram));
}

static int by_size(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Values of every size: as many between 1 and 10 us as between 10 and 60 s. */
static uint64_t draw(struct rng *rng)
{
    uint64_t top = 1;
    for (uint64_t digits = rng_below(rng, 8); digits > 0; digits--) {
        top *= 10;
    }
    uint64_t us = rng_between(rng, top, top * 10 - 1);
    return us < LOAD_LATENCY_MAX_US ? us : LOAD_LATENCY_MAX_US;
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    static const double quantiles[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static uint64_t values[VALUES];
    struct load_histogram *h = make();
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = draw(&rng);
        load_histogram_add(h, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), by_size);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        double exact = quantiles[i] * VALUES;
        size_t rank = (size_t)exact + ((double)(size_t)exact < exact || exact < 1 ? 1 : 0);
        uint64_t right = values[rank - 1];
        uint64_t seen = load_histogram_quantile(h, quantiles[i]);
        assert_in_range(seen, right, right + right / 1000);
    }
    assert_int_equal(load_histogram_quantile(h, 1), values[VALUES - 1]);
    mem_free(h);
}

static void every_bucket_ends_before_the_next_begins(void **state)
{
    (void)state;
    struct load_histogram *h = make();
    for (size_t i = 1; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        assert_true(load_histogram_upper_us(i) > load_histogram_upper_us(i - 1));
    }
    uint64_t edge = load_histogram_upper_us(5000);
    load_histogram_add(h, edge);
    load_histogram_add(h, edge + 1);
    assert_int_equal(h->counts[5000], 1);
    assert_int_equal(h->counts[5001], 1);
    assert_int_equal(load_histogram_count_to(h, edge), 1);
    assert_int_equal(load_histogram_count_to(h, edge + 1), 2);
    mem_free(h);
}

static void what_is_too_long_counts_and_its_length_is_kept(void **state)
{
    (void)state;
    struct load_histogram *h = make();
    load_histogram_add(h, 3600000000u);
    assert_int_equal(h->count, 1);
    assert_int_equal(h->max_us, 3600000000u);
    assert_int_equal(load_histogram_quantile(h, 0.5), 3600000000u);
    mem_free(h);
}

static void nothing_counted_is_zero(void **state)
{
    (void)state;
    struct load_histogram *h = make();
    assert_int_equal(load_histogram_quantile(h, 0.99), 0);
    assert_true(load_histogram_mean(h) == 0);
    mem_free(h);
}

static void merged_is_as_if_counted_together(void **state)
{
    (void)state;
    struct load_histogram *fast = make();
    struct load_histogram *slow = make();
    for (uint64_t i = 0; i < 99; i++) {
        load_histogram_add(fast, 100);
    }
    load_histogram_add(slow, 50000);
    load_histogram_merge(fast, slow);
    assert_int_equal(fast->count, 100);
    assert_int_equal(load_histogram_quantile(fast, 0.99), 100);
    assert_int_equal(load_histogram_quantile(fast, 1), 50000);
    assert_true(load_histogram_mean(fast) == (99 * 100 + 50000) / 100.0);
    mem_free(fast);
    mem_free(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_those_of_the_sorted_values),
        cmocka_unit_test(every_bucket_ends_before_the_next_begins),
        cmocka_unit_test(what_is_too_long_counts_and_its_length_is_kept),
        cmocka_unit_test(nothing_counted_is_zero),
        cmocka_unit_test(merged_is_as_if_counted_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
