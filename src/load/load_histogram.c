#include "load/load_histogram.h"

#include "base/check.h"

/* A value has 11 significant bits: as it is up to 2047, shifted until it fits beyond. */
#define EXACT_BITS  11
#define EXACT       (1u << EXACT_BITS)
#define HALF        (EXACT / 2)
/* A bucket is as wide as 2^shift; so much of an index is told by its shift. */
#define STEPS_SHIFT (EXACT_BITS - 1)

static size_t bucket_of(uint64_t us)
{
    us = us < LOAD_LATENCY_MAX_US ? us : LOAD_LATENCY_MAX_US;
    if (us < EXACT) {
        return (size_t)us;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(us) - STEPS_SHIFT;
    return shift * HALF + (size_t)(us >> shift);
}

uint64_t load_histogram_upper_us(size_t bucket)
{
    CHECK_CMP(bucket, <, LOAD_HISTOGRAM_BUCKETS);
    if (bucket < EXACT) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / HALF) - 1;
    return ((uint64_t)(bucket - shift * HALF + 1) << shift) - 1;
}

void load_histogram_add(struct load_histogram *h, uint64_t us)
{
    h->counts[bucket_of(us)]++;
    h->count++;
    h->sum_us += us;
    h->max_us = us > h->max_us ? us : h->max_us;
}

void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from)
{
    for (size_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        into->counts[i] += from->counts[i];
    }
    into->count += from->count;
    into->sum_us += from->sum_us;
    into->max_us = from->max_us > into->max_us ? from->max_us : into->max_us;
}

uint64_t load_histogram_quantile(const struct load_histogram *h, double quantile)
{
    double exact = quantile * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact || rank == 0 ? 1 : 0;
    uint64_t seen = 0;
    for (size_t i = 0; i < LOAD_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            uint64_t upper = load_histogram_upper_us(i);
            return upper < h->max_us && i < bucket_of(LOAD_LATENCY_MAX_US) ? upper : h->max_us;
        }
    }
    return h->max_us;
}

uint64_t load_histogram_count_to(const struct load_histogram *h, uint64_t us)
{
    uint64_t seen = 0;
    for (size_t i = 0; i <= bucket_of(us); i++) {
        seen += h->counts[i];
    }
    return seen;
}

double load_histogram_mean(const struct load_histogram *h)
{
    return h->count > 0 ? (double)h->sum_us / (double)h->count : 0;
}
