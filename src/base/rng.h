/* base/rng.h - seeded chance (xoshiro256**). Same seed, same numbers, on every machine. Not for
 * secrets: those come from libsodium. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, bound); bound > 0. */
uint64_t rng_below(struct rng *r, uint64_t bound);
/* Uniform in [low, high]; low <= high. */
uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high);
/* True `numerator` times in `denominator`. */
bool rng_chance(struct rng *r, uint64_t numerator, uint64_t denominator);
