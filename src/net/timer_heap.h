/* net/timer_heap.h - timers in the order in which they are due: a binary heap of struct timer.
 *
 * Ties fire in the order in which they were started, so that a run can be repeated. Knows no clock;
 * the loop that embeds it says what time it is. Owns the array, not the timers. */
#pragma once

#include "net/loop.h"

#include <stdint.h>

struct timer_heap {
    struct timer **timers;
    uint32_t count;
    uint32_t capacity;
    uint64_t next_order;
};

void timer_heap_deinit(struct timer_heap *h);
/* Start `t`, or move it when it runs. */
void timer_heap_start(struct timer_heap *h, struct timer *t, uint64_t at_ms);
/* Harmless when it is stopped. */
void timer_heap_stop(struct timer_heap *h, struct timer *t);
/* The timer that is due first, or NULL. */
struct timer *timer_heap_first(const struct timer_heap *h);
/* Call `fire` of every timer that is due at `now_ms`. One that is started meanwhile waits for the
 * next call, even when it is due already, so that a timer that restarts itself cannot hold the
 * loop. */
void timer_heap_fire(struct timer_heap *h, uint64_t now_ms);
