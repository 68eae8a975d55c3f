/* load/load_run.h - the load itself: connects, prepares (keys, leases, watches), warms up, measures
 * for as long as the plan says, and waits for what is under way.
 *
 * A request counts when it was meant to be sent while it was measured, whenever its answer comes. A
 * closed loop's client asks again when it has its answer. An open loop's requests have their times
 * from load_arrivals.h; one whose time has come and finds every client waiting is sent late, and
 * its latency is from its time on. Those that never found a client count in the latency with what
 * they had waited at the end, and nowhere else. */
#pragma once

#include "load/load_errors.h"
#include "load/load_histogram.h"
#include "load/load_plan.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct load_run;

/* Later than this behind its time, a request of an open loop was sent late. */
#define LOAD_LATE_US 1000

struct load_cpu {
    int64_t process; /* 0 = this one */
    uint64_t us;     /* spent while it was measured */
    bool is_known;   /* it lived all the time, and the system tells */
};

/* Heap or static: it is large. Zero-initialised at first. */
struct load_result {
    struct load_histogram latency;  /* of requests that were answered rightly */
    struct load_histogram delivery; /* of watched events: from the time of the put to here */
    struct load_errors errors;
    uint64_t requests; /* answered rightly */
    uint64_t events;
    uint64_t events_expected; /* acknowledged puts, for every watch */
    uint64_t misses;          /* reads that found no key */
    uint64_t late_sends;      /* those that were never sent, too */
    uint64_t never_sent;
    uint64_t measured_us; /* 0: it came to an end before that */
    uint64_t down_us;     /* of all connections together: not connected while it was measured */
    uint32_t links;
    struct load_cpu generator;
    struct load_cpu servers[LOAD_PROCESSES];
    bool is_interrupted;
    char trouble[256]; /* why nothing was measured; empty = it was */
};

enum load_phase { LOAD_CONNECTING, LOAD_PREPARING, LOAD_WARMING, LOAD_MEASURING, LOAD_ENDING };

struct load_progress {
    enum load_phase phase;
    uint64_t done_us, whole_us; /* of warming up and measuring */
    uint64_t prepared, to_prepare;
    uint64_t per_second; /* answers of the last second, of all phases; events of a watch */
    uint64_t errors;
    uint64_t p99_us; /* so far */
};

struct load_run_events {
    void (*on_tick)(void *context, const struct load_progress *p); /* once a second; may be NULL */
    void (*on_done)(void *context); /* once; the host stops the loop */
    void *context;
};

/* `plan` and `result` are borrowed until the end, `events` is copied. */
struct load_run *load_run_create(struct loop *loop, const struct load_plan *plan,
                                 const struct load_run_events *events, struct load_result *result);
/* Before the loop runs, or on it. */
void load_run_begin(struct load_run *run);
/* At the end of every turn of the loop. */
void load_run_turn(struct load_run *run);
/* Enough: the result is what was seen so far. on_done follows soon, the second time at once. */
void load_run_interrupt(struct load_run *run);
/* After the loop has ended. */
void load_run_destroy(struct load_run *run);
