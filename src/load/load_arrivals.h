/* load/load_arrivals.h - when the requests of an open loop are meant to be sent: at constant
 * distances, or by chance, as independent clients come. Nobody's answer moves these times.
 *
 * Latency counts from them: what a stalled server kept from being sent waited, too ("coordinated
 * omission"). */
#pragma once

#include "base/rng.h"
#include "load/load_plan.h"

struct load_arrivals {
    const struct load_plan *plan;
    struct rng rng;
    double next_us;
};

/* The first one comes after `begin_us`. plan->rate > 0; borrowed. */
void load_arrivals_begin(struct load_arrivals *a, const struct load_plan *plan, uint64_t begin_us);
/* The next one, by the clock of begin_us. */
uint64_t load_arrivals_next_us(const struct load_arrivals *a);
/* That one has been dealt with. */
void load_arrivals_pass(struct load_arrivals *a);
