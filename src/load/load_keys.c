#include "load/load_keys.h"

#include "base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 20

double load_keys_fraction(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

/* --- zipf: draws below the curve x^-s, by the area to the left of x --------------------------- */

static double curve(double x)
{
    return pow(x, -LOAD_ZIPF_EXPONENT);
}

static double area(double x)
{
    return (pow(x, 1 - LOAD_ZIPF_EXPONENT) - 1) / (1 - LOAD_ZIPF_EXPONENT);
}

static double area_inverse(double a)
{
    return pow(1 + a * (1 - LOAD_ZIPF_EXPONENT), 1 / (1 - LOAD_ZIPF_EXPONENT));
}

static uint64_t draw_zipf(struct load_keys *k)
{
    for (;;) {
        double a = k->area_last + load_keys_fraction(&k->rng) * (k->area_first - k->area_last);
        double x = area_inverse(a);
        double rank = floor(x + 0.5);
        rank = rank < 1 ? 1 : rank > (double)k->plan->keys ? (double)k->plan->keys : rank;
        if (rank - x <= k->near || a >= area(rank + 0.5) - curve(rank)) {
            return (uint64_t)rank - 1;
        }
    }
}

/* ---------------------------------------------------------------------------------------------- */

void load_keys_init(struct load_keys *k, const struct load_plan *plan)
{
    CHECK(plan->keys > 0);
    *k = (struct load_keys){.plan = plan};
    rng_init(&k->rng, plan->seed);
    k->area_first = area(1.5) - 1;
    k->area_last = area((double)plan->keys + 0.5);
    k->near = 2 - area_inverse(area(2.5) - curve(2));
}

uint64_t load_keys_next(struct load_keys *k)
{
    switch (k->plan->distribution) {
    case LOAD_ZIPF:
        return draw_zipf(k);
    case LOAD_SEQUENTIAL:
        return k->next++ % k->plan->keys;
    default:
        return rng_below(&k->rng, k->plan->keys);
    }
}

void load_keys_spell(const struct load_plan *plan, uint64_t key, struct buf *out)
{
    size_t prefix = strlen(plan->prefix);
    uint8_t *at = buf_reserve(out, plan->key_bytes);
    memcpy(at, plan->prefix, prefix);
    for (size_t i = plan->key_bytes; i > prefix; i--, key /= 10) {
        at[i - 1] = (uint8_t)('0' + key % 10);
    }
    out->size += plan->key_bytes;
}

size_t load_keys_bytes_min(const struct load_plan *plan)
{
    char digits[DIGITS_MAX + 1];
    int count = snprintf(digits, sizeof(digits), "%" PRIu64, plan->keys - 1);
    return strlen(plan->prefix) + (size_t)count;
}
