#include "cmd/monitor_log.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- rings ------------------------------------------------------------------------------------ */

static void tell(struct monitor_log *l, time_t wall, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(struct monitor_log *l, time_t wall, const char *format, ...)
{
    uint32_t at = (l->event_begin + l->event_count) % LIMIT_MONITOR_EVENTS;
    if (l->event_count == LIMIT_MONITOR_EVENTS) {
        l->event_begin = (l->event_begin + 1) % LIMIT_MONITOR_EVENTS;
    } else {
        l->event_count++;
    }
    va_list args;
    va_start(args, format);
    l->events[at].when = wall;
    vsnprintf(l->events[at].text, sizeof(l->events[at].text), format, args);
    va_end(args);
}

const struct monitor_event *monitor_log_event(const struct monitor_log *l, uint32_t i)
{
    CHECK_CMP(i, <, l->event_count);
    return &l->events[(l->event_begin + l->event_count - 1 - i) % LIMIT_MONITOR_EVENTS];
}

static void add_rate(struct monitor_log *l, double rate)
{
    l->rates[(l->rate_begin + l->rate_count) % LIMIT_MONITOR_RATES] = rate;
    if (l->rate_count == LIMIT_MONITOR_RATES) {
        l->rate_begin = (l->rate_begin + 1) % LIMIT_MONITOR_RATES;
    } else {
        l->rate_count++;
    }
}

double monitor_log_rate(const struct monitor_log *l, uint32_t i)
{
    CHECK_CMP(i, <, l->rate_count);
    return l->rates[(l->rate_begin + l->rate_count - 1 - i) % LIMIT_MONITOR_RATES];
}

/* --- noting ----------------------------------------------------------------------------------- */

static void note_members(struct monitor_log *l, const struct cluster_view *now, time_t wall)
{
    for (uint32_t i = 0; i < now->count; i++) {
        const struct member_view *m = &now->members[i];
        const struct member_view *before = cluster_view_find(&l->last, m->name);
        if (before == NULL) {
            tell(l, wall, "%s is a member now", m->name);
        } else if (before->is_online && !m->is_online) {
            tell(l, wall, "%s went offline: %s", m->name, m->reason);
        } else if (!before->is_online && m->is_online) {
            tell(l, wall, "%s came back", m->name);
        }
    }
    for (uint32_t i = 0; i < l->last.count; i++) {
        if (cluster_view_find(now, l->last.members[i].name) == NULL) {
            tell(l, wall, "%s is no member any more", l->last.members[i].name);
        }
    }
}

static void note_leader(struct monitor_log *l, const struct cluster_view *now, time_t wall)
{
    const struct member_view *leader = cluster_view_leader(now);
    const char *name = leader != NULL ? leader->name : "";
    if (l->has_last && strcmp(name, l->leader) != 0) {
        if (leader == NULL) {
            tell(l, wall, "%s leads no more, and nobody else does", l->leader);
        } else if (l->leader[0] == '\0') {
            tell(l, wall, "%s leads now", name);
        } else {
            tell(l, wall, "%s leads now, not %s", name, l->leader);
        }
    }
    snprintf(l->leader, sizeof(l->leader), "%s", name);
}

static void note_term(struct monitor_log *l, const struct cluster_view *now, time_t wall)
{
    uint64_t low;
    uint64_t high;
    if (!monitor_terms(now, &low, &high)) {
        return;
    }
    if (l->term != 0 && high != l->term) {
        tell(l, wall, "term %" PRIu64 " after %" PRIu64, high, l->term);
    }
    l->term = high;
}

/* Members are asked at different moments, and one that lags may be all that answers: a revision
 * that goes back counts as no change. */
static void note_rate(struct monitor_log *l, const struct cluster_view *now, uint64_t now_ms)
{
    bool has_both = l->has_last && l->revision != MEMBER_VIEW_UNKNOWN &&
                    now->revision != MEMBER_VIEW_UNKNOWN && now_ms > l->revision_ms;
    if (has_both && now->revision > l->revision) {
        add_rate(l, (double)(now->revision - l->revision) * 1000.0 /
                        (double)(now_ms - l->revision_ms));
    } else if (l->has_last) {
        add_rate(l, 0);
    }
    bool went_back = has_both && now->revision < l->revision;
    l->revision = went_back ? l->revision : now->revision;
    l->revision_ms = now_ms;
}

void monitor_log_note(struct monitor_log *l, const struct cluster_view *view, uint64_t now_ms,
                      time_t wall)
{
    if (l->has_last && l->last.count > 0) {
        note_members(l, view, wall);
    }
    note_leader(l, view, wall);
    note_term(l, view, wall);
    note_rate(l, view, now_ms);
    l->last = *view;
    l->has_last = true;
}

bool monitor_terms(const struct cluster_view *view, uint64_t *low, uint64_t *high)
{
    *low = UINT64_MAX;
    *high = 0;
    for (uint32_t i = 0; i < view->count; i++) {
        const struct member_view *m = &view->members[i];
        if (m->is_online && m->term != MEMBER_VIEW_UNKNOWN) {
            *low = m->term < *low ? m->term : *low;
            *high = m->term > *high ? m->term : *high;
        }
    }
    return *low <= *high;
}
