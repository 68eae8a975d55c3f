/* load/load_keys.h - which key comes next, how it is spelled, and the bytes of values. Seeded: the
 * same plan asks for the same keys in the same order. */
#pragma once

#include "base/buf.h"
#include "base/rng.h"
#include "load/load_plan.h"

/* Of zipf: the key of rank r (from 1) is drawn in proportion to r^-0.99, as in YCSB. */
#define LOAD_ZIPF_EXPONENT 0.99

struct load_keys {
    const struct load_plan *plan;
    struct rng rng;
    uint64_t next; /* sequential */
    /* Of zipf, drawn by rejection from the integral of the curve: no table, whatever `keys` is. */
    double area_first;
    double area_last;
    double near; /* as close to the middle of its step a draw needs no second look */
};

/* `plan` is borrowed. */
void load_keys_init(struct load_keys *k, const struct load_plan *plan);
/* 0 .. keys - 1. Of zipf, 0 is the one that comes most often. */
uint64_t load_keys_next(struct load_keys *k);
/* Append the prefix and the number, filled with zeros to key_bytes. */
void load_keys_spell(const struct load_plan *plan, uint64_t key, struct buf *out);
/* How long a key of this plan is at least. */
size_t load_keys_bytes_min(const struct load_plan *plan);
/* Uniform in [0, 1). */
double load_keys_fraction(struct rng *rng);
