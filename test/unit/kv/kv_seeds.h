/* Seeded runs of the store's tests. KV_SEED=n replays one seed, KV_SEEDS=n runs that many; each
 * says its seed before it starts, so that a failure, an abort too, names the seed to replay. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t seed_from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static inline void run_seeds(const char *what, uint64_t count, void (*run)(uint64_t seed))
{
    uint64_t first = seed_from_env("KV_SEED", 0);
    count = first > 0 ? 1 : seed_from_env("KV_SEEDS", count);
    first = first > 0 ? first : 1;
    for (uint64_t seed = first; seed < first + count; seed++) {
        fprintf(stderr, "%s KV_SEED=%llu\n", what, (unsigned long long)seed);
        run(seed);
    }
}
