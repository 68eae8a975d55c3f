/* crash_points.h - every crash point of one schedule: the power of a member fails at each of its
 * calls to the disk in turn, and of what was not synced nothing is left, or all, or all but one
 * write. It starts again, the cluster goes on, and everything that holds for a story must hold. */
#pragma once

#include "schedule.h"
#include "verdict.h"

#include <stdbool.h>
#include <stdint.h>

/* KNOB_crash_loss. */
#define CRASH_LOSES_ALL  0u
#define CRASH_LOSES_NONE 1u
#define CRASH_LOSES_ONE  2u /* and from here on: all but number 0, 1, 2 ... arrives */

struct crash_points_result {
    uint32_t member; /* whose they are; of the one that failed */
    uint64_t calls;
    uint64_t states;
    struct verdict failure; /* .failed = false: none. Its schedule: with the knobs below */
    uint32_t call;
    uint32_t loss;
};

/* All crash points of one member, on `jobs` cores. */
void crash_points_run(const struct schedule *s, uint32_t member, uint32_t jobs, bool quiet,
                      struct crash_points_result *result);
/* The same schedule with a crash. */
void crash_points_set(struct schedule *s, uint32_t member, uint32_t call, uint32_t loss);
