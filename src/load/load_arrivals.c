#include "load/load_arrivals.h"

#include "base/check.h"
#include "load/load_keys.h"

#include <math.h>

#define US_PER_S 1e6

/* Not the chance that draws keys: both loops ask for the same keys. */
#define SEED_OFFSET 1

void load_arrivals_begin(struct load_arrivals *a, const struct load_plan *plan, uint64_t begin_us)
{
    CHECK(plan->rate > 0);
    *a = (struct load_arrivals){.plan = plan, .next_us = (double)begin_us};
    rng_init(&a->rng, plan->seed + SEED_OFFSET);
    load_arrivals_pass(a);
}

uint64_t load_arrivals_next_us(const struct load_arrivals *a)
{
    return (uint64_t)a->next_us;
}

void load_arrivals_pass(struct load_arrivals *a)
{
    double gap_us = US_PER_S / (double)a->plan->rate;
    if (a->plan->arrivals == LOAD_POISSON) {
        gap_us *= -log1p(-load_keys_fraction(&a->rng));
    }
    a->next_us += gap_us;
}
