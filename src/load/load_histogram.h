/* load/load_histogram.h - latencies, counted so finely that any quantile is right to three digits
 * (the idea of HDR histograms): 1 us to 60 s, in a fixed amount of memory.
 *
 * Histograms are merged, quantiles never are. Zero-initialised is empty and valid; it is large
 * (140 KB), so heap or static. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LOAD_LATENCY_MAX_US    60000000u
/* 2048 exact values, then 1024 steps for each doubling up to 2^26 us. */
#define LOAD_HISTOGRAM_BUCKETS (2048u + 15u * 1024u)

struct load_histogram {
    uint64_t counts[LOAD_HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us; /* as it was, also beyond LOAD_LATENCY_MAX_US */
};

/* One beyond LOAD_LATENCY_MAX_US counts in the last bucket. */
void load_histogram_add(struct load_histogram *h, uint64_t us);
/* All of `from` into `into`. */
void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from);
/* The least value, rounded up by at most 0.1 %, that a share of `quantile` (0..1) of all does not
 * exceed; 0 when nothing was counted. */
uint64_t load_histogram_quantile(const struct load_histogram *h, double quantile);
/* How many were at most `us`, as finely as it counts. */
uint64_t load_histogram_count_to(const struct load_histogram *h, uint64_t us);
double load_histogram_mean(const struct load_histogram *h);
/* The highest value that counts in that bucket. */
uint64_t load_histogram_upper_us(size_t bucket);
