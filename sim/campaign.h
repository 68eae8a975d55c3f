/* campaign.h - many seeds on all cores: workers, progress, marks, and the first failure. */
#pragma once

#include "coverage.h"
#include "schedule.h"
#include "verdict.h"

#include <stdbool.h>
#include <stdint.h>

struct campaign_options {
    uint64_t first_seed;
    uint64_t seeds;
    uint32_t jobs;
    bool quiet; /* no progress */
    bool twice; /* every seed, and not one of a hundred */
    /* What is done for a number instead of playing the schedule of this seed: returns a hash of it,
     * and adds the stories that it played. */
    uint64_t (*play)(const void *context, uint64_t number, struct verdict *v, uint64_t *stories);
    const void *context;
};

struct campaign_result {
    uint64_t seeds_done;
    uint64_t stories;
    uint64_t events;
    uint64_t ms;
    uint64_t hash;          /* over the hashes of all schedules, whoever ran them */
    struct verdict failure; /* of the lowest seed that failed; .failed = false: none */
    struct coverage coverage;
};

void campaign_run(const struct campaign_options *options, struct campaign_result *result);
/* For `play`: one story in the worker's own process; a failure is of this number. */
uint64_t campaign_play(const struct schedule *s, uint64_t number, struct verdict *v);
/* One schedule in a process of its own. */
void campaign_run_one(const struct schedule *s, bool trace, struct verdict *v);
