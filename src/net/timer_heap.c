#include "net/timer_heap.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

#define HEAP_CAPACITY_MIN 16

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void place(struct timer_heap *h, struct timer *t, uint32_t index)
{
    h->timers[index] = t;
    t->slot = index + 1;
}

static void sift_up(struct timer_heap *h, struct timer *t)
{
    uint32_t index = t->slot - 1;
    while (index > 0) {
        uint32_t parent = (index - 1) / 2;
        if (!is_before(t, h->timers[parent])) {
            break;
        }
        place(h, h->timers[parent], index);
        index = parent;
    }
    place(h, t, index);
}

static void sift_down(struct timer_heap *h, struct timer *t)
{
    uint32_t index = t->slot - 1;
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && is_before(h->timers[child + 1], h->timers[child])) {
            child++;
        }
        if (!is_before(h->timers[child], t)) {
            break;
        }
        place(h, h->timers[child], index);
        index = child;
    }
    place(h, t, index);
}

void timer_heap_deinit(struct timer_heap *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        h->timers[i]->slot = 0;
    }
    mem_free(h->timers);
    *h = (struct timer_heap){0};
}

void timer_heap_start(struct timer_heap *h, struct timer *t, uint64_t at_ms)
{
    CHECK(t->fire != NULL);
    timer_heap_stop(h, t);
    if (h->count == h->capacity) {
        h->capacity = h->capacity > 0 ? 2 * h->capacity : HEAP_CAPACITY_MIN;
        h->timers = mem_realloc(h->timers, h->capacity * sizeof(struct timer *));
    }
    t->at_ms = at_ms;
    t->order = h->next_order++;
    t->slot = ++h->count;
    sift_up(h, t);
}

void timer_heap_stop(struct timer_heap *h, struct timer *t)
{
    if (t->slot == 0) {
        return;
    }
    CHECK_CMP(t->slot, <=, h->count);
    CHECK(h->timers[t->slot - 1] == t);
    struct timer *last = h->timers[--h->count];
    uint32_t hole = t->slot;
    t->slot = 0;
    if (last == t) {
        return;
    }
    last->slot = hole;
    sift_up(h, last);
    sift_down(h, last);
}

struct timer *timer_heap_first(const struct timer_heap *h)
{
    return h->count > 0 ? h->timers[0] : NULL;
}

void timer_heap_fire(struct timer_heap *h, uint64_t now_ms)
{
    /* A timer that is started meanwhile for the past would stand before older ones that are due and
     * hide them; it is moved to now, where its order puts it behind them. */
    uint64_t order_end = h->next_order;
    for (;;) {
        struct timer *t = timer_heap_first(h);
        if (t == NULL || t->at_ms > now_ms) {
            return;
        }
        if (t->order >= order_end) {
            if (t->at_ms == now_ms) {
                return;
            }
            timer_heap_start(h, t, now_ms);
            continue;
        }
        timer_heap_stop(h, t);
        t->fire(t);
    }
}
