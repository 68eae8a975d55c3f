/* verdict.h - how a schedule ends: well, or at the first broken invariant.
 *
 * A schedule runs in a process that may die at any point (a CHECK of the code under test, a crash),
 * so the verdict lies in memory that is shared with the process that waits for it. */
#pragma once

#include "schedule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verdict {
    bool failed;
    char id[96];    /* of the invariant, "I7"; or "CHECK file:line" */
    char text[640]; /* for a person */
    uint64_t at_ms; /* simulated */
    uint64_t seed;
    uint64_t hash; /* of everything that happened; of a schedule that ended well */
    uint64_t events;
    uint32_t
        leaks; /* kills that lose memory by their nature: of work that had run and was not told */
    uint64_t disk_calls[SIM_MEMBERS_MAX]; /* of each member, until it was healed */
    bool has_crashed;                     /* at the crash point of the schedule */
    size_t unsynced;                      /* what that could lose */
};

#define SIM_EXIT_FAILED 3

/* Whose verdict it is from now on, and which clock tells `at_ms`; the trace is shown if wanted. */
void verdict_begin(struct verdict *v, uint64_t seed, bool trace);
void verdict_clock(uint64_t now_ms);
/* The invariant `id` is broken: the process ends. */
_Noreturn void verdict_fail(const char *id, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A line of the trace; costs nothing when nobody wants it. */
bool verdict_is_traced(void);
void verdict_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
