/* Which keys are asked for, and when: the shapes that the plan asks for. */
#include "base/mem.h"
#include "load/load_arrivals.h"
#include "load/load_keys.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEYS  1000
#define DRAWS 200000

static struct load_plan make_plan(enum load_distribution distribution)
{
    return (struct load_plan){
        .keys = KEYS, .key_bytes = 16, .prefix = "bench/", .distribution = distribution, .seed = 5};
}

static void draw_all(const struct load_plan *plan, uint64_t counts[KEYS])
{
    struct load_keys k;
    load_keys_init(&k, plan);
    memset(counts, 0, KEYS * sizeof(counts[0]));
    for (int i = 0; i < DRAWS; i++) {
        uint64_t key = load_keys_next(&k);
        assert_in_range(key, 0, KEYS - 1);
        counts[key]++;
    }
}

static void uniform_asks_for_every_key_as_often(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_UNIFORM);
    uint64_t counts[KEYS];
    draw_all(&plan, counts);
    double chi = 0;
    double mean = (double)DRAWS / KEYS;
    for (int i = 0; i < KEYS; i++) {
        chi += ((double)counts[i] - mean) * ((double)counts[i] - mean) / mean;
    }
    assert_true(chi > 800 && chi < 1200); /* 999 degrees: 45 is one deviation */
}

static void zipf_asks_for_a_key_in_proportion_to_its_rank(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_ZIPF);
    uint64_t counts[KEYS];
    draw_all(&plan, counts);
    double sum = 0;
    for (int i = 1; i <= KEYS; i++) {
        sum += pow(i, -LOAD_ZIPF_EXPONENT);
    }
    static const int ranks[] = {1, 2, 3, 10, 100};
    for (size_t i = 0; i < sizeof(ranks) / sizeof(ranks[0]); i++) {
        double right = DRAWS * pow(ranks[i], -LOAD_ZIPF_EXPONENT) / sum;
        double seen = (double)counts[ranks[i] - 1];
        assert_true(fabs(seen - right) < 5 * sqrt(right));
    }
    plan.keys = 1;
    struct load_keys k;
    load_keys_init(&k, &plan);
    assert_int_equal(load_keys_next(&k), 0);
}

static void sequential_goes_round(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_SEQUENTIAL);
    plan.keys = 3;
    struct load_keys k;
    load_keys_init(&k, &plan);
    for (uint64_t i = 0; i < 7; i++) {
        assert_int_equal(load_keys_next(&k), i % 3);
    }
}

static void the_same_seed_asks_for_the_same_keys(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_UNIFORM);
    struct load_plan other = plan;
    other.seed = 6;
    struct load_keys a;
    struct load_keys b;
    struct load_keys c;
    load_keys_init(&a, &plan);
    load_keys_init(&b, &plan);
    load_keys_init(&c, &other);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t key = load_keys_next(&a);
        assert_int_equal(key, load_keys_next(&b));
        same += key == load_keys_next(&c) ? 1 : 0;
    }
    assert_true(same < 10);
}

static void a_key_is_spelled_in_its_size(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_UNIFORM);
    struct buf out = {0};
    load_keys_spell(&plan, 42, &out);
    assert_true(slice_equal(buf_slice(&out), slice_str("bench/0000000042")));
    assert_int_equal(load_keys_bytes_min(&plan), 9); /* bench/999 */
    buf_deinit(&out);
}

/* Gaps of `count` arrivals: their mean, and their deviation from it. */
static void measure_gaps(const struct load_plan *plan, int count, double *mean, double *deviation)
{
    struct load_arrivals a;
    load_arrivals_begin(&a, plan, 1000000);
    double sum = 0;
    double squares = 0;
    double last = 1000000;
    for (int i = 0; i < count; i++) {
        double gap = a.next_us - last;
        last = a.next_us;
        assert_true(gap >= 0 && load_arrivals_next_us(&a) >= 1000000);
        sum += gap;
        squares += gap * gap;
        load_arrivals_pass(&a);
    }
    *mean = sum / count;
    *deviation = sqrt(squares / count - *mean * *mean);
}

static void poisson_arrivals_come_by_chance_and_on_average_in_time(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_UNIFORM);
    plan.rate = 4000;
    plan.arrivals = LOAD_POISSON;
    double mean;
    double deviation;
    measure_gaps(&plan, 100000, &mean, &deviation);
    assert_true(fabs(mean - 250) < 5);
    assert_true(fabs(deviation - 250) < 10);
}

static void constant_arrivals_do_not_drift(void **state)
{
    (void)state;
    struct load_plan plan = make_plan(LOAD_UNIFORM);
    plan.rate = 3;
    plan.arrivals = LOAD_CONSTANT;
    struct load_arrivals a;
    load_arrivals_begin(&a, &plan, 0);
    for (int i = 1; i < 3000; i++) {
        load_arrivals_pass(&a);
    }
    assert_in_range(load_arrivals_next_us(&a), 999999999, 1000000001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_asks_for_every_key_as_often),
        cmocka_unit_test(zipf_asks_for_a_key_in_proportion_to_its_rank),
        cmocka_unit_test(sequential_goes_round),
        cmocka_unit_test(the_same_seed_asks_for_the_same_keys),
        cmocka_unit_test(a_key_is_spelled_in_its_size),
        cmocka_unit_test(poisson_arrivals_come_by_chance_and_on_average_in_time),
        cmocka_unit_test(constant_arrivals_do_not_drift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
