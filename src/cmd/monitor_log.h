/* cmd/monitor_log.h - what the monitor has seen so far: events, and how fast the store changes.
 *
 * Pure: one look at the cluster after another goes in, with its time. What happened between two
 * looks and was over again is not seen. */
#pragma once

#include "base/limits.h"
#include "client/cluster_view.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct monitor_event {
    time_t when;
    char text[200];
};

struct monitor_log {
    struct cluster_view last;
    bool has_last;
    char leader[LIMIT_NAME_BYTES + 1]; /* "" = none */
    uint64_t term;                     /* the last one known */
    /* Rings: the newest is at (begun + count - 1). */
    struct monitor_event events[LIMIT_MONITOR_EVENTS];
    uint32_t event_begin, event_count;
    double rates[LIMIT_MONITOR_RATES]; /* changes of the store a second */
    uint32_t rate_begin, rate_count;
    uint64_t revision; /* MEMBER_VIEW_UNKNOWN: nobody told it the last time */
    uint64_t revision_ms;
};

/* `now_ms` is monotonic and may not go back; `wall` is for people. A log is zeroed before the first
 * look. */
void monitor_log_note(struct monitor_log *l, const struct cluster_view *view, uint64_t now_ms,
                      time_t wall);
/* 0 is the newest; i < event_count, i < rate_count. */
const struct monitor_event *monitor_log_event(const struct monitor_log *l, uint32_t i);
double monitor_log_rate(const struct monitor_log *l, uint32_t i);
/* The lowest and the highest term of who is online; false when nobody is. */
bool monitor_terms(const struct cluster_view *view, uint64_t *low, uint64_t *high);
