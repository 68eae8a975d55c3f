#include "cmd/monitor_frame.h"

#include <inttypes.h>
#include <string.h>

#define EVENTS_SHOWN_MIN 1
#define EVENTS_SHOWN_MAX 10
#define RATES_SHOWN_MAX  60
#define NODE_INDENT      2

/* --- overview --------------------------------------------------------------------------------- */

static void put_title(struct canvas *c, const struct monitor_look *look)
{
    struct tm local;
    char text[32] = "";
    if (localtime_r(&look->wall, &local) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local);
    }
    canvas_line(c, 0);
    canvas_put(c, CANVAS_TITLE, "Conclave monitor");
    canvas_put(c, CANVAS_DIM, "%s", text);
}

static unsigned port_of(const struct member_view *m)
{
    const char *colon = strrchr(m->url, ':');
    unsigned port = 0;
    return colon != NULL && sscanf(colon, ":%5u", &port) == 1 ? port : 0;
}

static void put_overview(struct canvas *c, const struct cluster_view *v)
{
    const struct member_view *leader = cluster_view_leader(v);
    canvas_line(c, 2);
    if (leader != NULL) {
        canvas_put(c, CANVAS_GOOD, "Leader: %s", leader->name);
        canvas_put_close(c, CANVAS_GOOD, "(Port %u, Term %" PRIu64 ")", port_of(leader),
                         leader->term);
    } else {
        canvas_put(c, CANVAS_BAD, "Leader: None");
    }
    uint32_t offline = v->count - cluster_view_online(v);
    canvas_line(c, 2);
    canvas_put(c, CANVAS_PLAIN, "Followers: %u", cluster_view_in_role(v, "follower"));
    canvas_put(c, CANVAS_PLAIN, "Candidates: %u", cluster_view_in_role(v, "candidate"));
    canvas_put(c, CANVAS_PLAIN, "Learners: %u", cluster_view_in_role(v, "learner"));
    canvas_put(c, offline > 0 ? CANVAS_BAD : CANVAS_PLAIN, "Offline: %u", offline);
    canvas_put(c, CANVAS_PLAIN, "Total: %u", v->count);
}

/* Voters that could elect one: learners have no vote. Who is offline may have been either, and is
 * taken for a voter. */
static bool has_majority(const struct cluster_view *v)
{
    uint32_t learners = cluster_view_in_role(v, "learner");
    return (cluster_view_online(v) - learners) * 2 > v->count - learners;
}

static void put_health(struct canvas *c, const struct cluster_view *v)
{
    uint32_t online = cluster_view_online(v);
    uint32_t percent = v->count > 0 ? online * 100 / v->count : 0;
    canvas_line(c, 2);
    canvas_put(c,
               percent == 100 ? CANVAS_GOOD
               : percent > 50 ? CANVAS_WARN
                              : CANVAS_BAD,
               "Health: %u%% online", percent);
    if (cluster_view_leader(v) != NULL) {
        canvas_put(c, CANVAS_GOOD, "Leadership: Stable");
    } else if (has_majority(v)) {
        canvas_put(c, CANVAS_WARN, "Leadership: Election in progress");
    } else {
        canvas_put(c, CANVAS_BAD, "Leadership: None");
    }
    uint64_t low;
    uint64_t high;
    if (!monitor_terms(v, &low, &high)) {
        canvas_put(c, CANVAS_BAD, "Term: unknown");
    } else if (low == high) {
        canvas_put(c, CANVAS_GOOD, "Term: consistent (%" PRIu64 ")", low);
    } else {
        canvas_put(c, CANVAS_WARN, "Term: %" PRIu64 "-%" PRIu64, low, high);
    }
}

/* --- nodes ------------------------------------------------------------------------------------ */

static enum canvas_style style_of(const struct member_view *m)
{
    if (!m->is_online) {
        return CANVAS_BAD;
    }
    if (strcmp(m->role, "leader") == 0) {
        return CANVAS_GOOD;
    }
    return strcmp(m->role, "follower") == 0 ? CANVAS_PLAIN : CANVAS_WARN;
}

static void capitals(const char *role, char text[16])
{
    size_t i = 0;
    for (; i < 15 && role[i] != '\0'; i++) {
        text[i] = role[i] >= 'a' && role[i] <= 'z' ? (char)(role[i] - 'a' + 'A') : role[i];
    }
    text[i] = '\0';
}

static void put_load(struct canvas *c, const struct member_view *m)
{
    if (m->has_load) {
        canvas_put(c, CANVAS_DIM, "%3" PRIu64 " conn", m->connections);
        canvas_put(c, CANVAS_DIM, "%4.0f req/s", m->requests_per_second);
        canvas_put(c, CANVAS_DIM, "load %2.0f%%", m->loop_utilisation * 100);
    }
}

static void put_node(struct canvas *c, const struct member_view *m, int name_width)
{
    char role[16] = "OFFLINE";
    if (m->is_online) {
        capitals(m->role, role);
    }
    canvas_line(c, NODE_INDENT);
    canvas_put(c, CANVAS_TITLE, "%-*s", name_width, m->name);
    canvas_put(c, style_of(m), "%-9s", role);
    if (!m->is_online) {
        canvas_put(c, CANVAS_BAD, "%s", m->reason[0] != '\0' ? m->reason : "no answer");
        return;
    }
    if (m->term != MEMBER_VIEW_UNKNOWN) {
        canvas_put(c, CANVAS_PLAIN, "term %-3" PRIu64, m->term);
    }
    if (m->lag_entries != MEMBER_VIEW_UNKNOWN) {
        canvas_put(c, m->lag_entries > 0 ? CANVAS_WARN : CANVAS_PLAIN, "lag %-4" PRIu64,
                   m->lag_entries);
    }
    put_load(c, m);
    if (m->leader[0] != '\0' && strcmp(m->leader, m->name) != 0) {
        canvas_put(c, CANVAS_PLAIN, "Following: %s", m->leader);
    }
}

static void put_nodes(struct canvas *c, const struct cluster_view *v, const char *asked)
{
    int width = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        int size = (int)strlen(v->members[i].name);
        width = size > width ? size : width;
    }
    canvas_line(c, 0);
    canvas_line(c, 0);
    canvas_put(c, CANVAS_TITLE, "Nodes");
    for (uint32_t i = 0; i < v->count; i++) {
        put_node(c, &v->members[i], width);
    }
    if (v->count == 0) {
        canvas_line(c, NODE_INDENT);
        canvas_put(c, CANVAS_BAD, "no member answers at %s", asked);
    }
}

/* --- throughput and events -------------------------------------------------------------------- */

static void put_rates(struct canvas *c, const struct monitor_log *log, bool is_utf8)
{
    static const char *const bars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
    canvas_line(c, 0);
    canvas_line(c, 2);
    canvas_put(c, CANVAS_TITLE, "Throughput:");
    if (log->rate_count == 0) {
        canvas_put(c, CANVAS_DIM, "known from the second look on");
        return;
    }
    uint32_t shown = log->rate_count < RATES_SHOWN_MAX ? log->rate_count : RATES_SHOWN_MAX;
    shown = shown < c->columns - c->indent ? shown : c->columns - c->indent;
    double highest = 0;
    for (uint32_t i = 0; i < shown; i++) {
        double rate = monitor_log_rate(log, i);
        highest = rate > highest ? rate : highest;
    }
    char line[RATES_SHOWN_MAX * 4 + 1] = "";
    size_t size = 0;
    for (uint32_t i = shown; i > 0; i--) {
        double share = highest > 0 ? monitor_log_rate(log, i - 1) / highest : 0;
        const char *bar = (is_utf8 ? bars : plain)[(int)(share * 7.0 + 0.5)];
        size += (size_t)snprintf(line + size, sizeof(line) - size, "%s", bar);
    }
    canvas_put(c, CANVAS_PLAIN, "%.0f changes/s", monitor_log_rate(log, 0));
    canvas_put(c, CANVAS_GOOD, "%s", line);
}

/* As many as the terminal has room for; the newest first. */
static uint32_t events_shown(const struct canvas *c, const struct monitor_log *log,
                             const struct monitor_look *look)
{
    uint32_t taken = c->rows + (look->footer != NULL ? 1 : 0);
    uint32_t room = look->rows > taken ? look->rows - taken : EVENTS_SHOWN_MIN;
    room = look->rows == 0 || room > EVENTS_SHOWN_MAX ? EVENTS_SHOWN_MAX : room;
    return room < log->event_count ? room : log->event_count;
}

static void put_events(struct canvas *c, const struct monitor_log *log,
                       const struct monitor_look *look)
{
    canvas_line(c, 0);
    canvas_line(c, 2);
    canvas_put(c, CANVAS_TITLE, "Events");
    if (log->event_count == 0) {
        canvas_put(c, CANVAS_DIM, "none seen yet");
    }
    uint32_t shown = events_shown(c, log, look);
    for (uint32_t i = 0; i < shown; i++) {
        const struct monitor_event *e = monitor_log_event(log, i);
        struct tm local;
        char when[16] = "";
        if (localtime_r(&e->when, &local) != NULL) {
            strftime(when, sizeof(when), "%H:%M:%S", &local);
        }
        canvas_line(c, NODE_INDENT);
        canvas_put(c, CANVAS_DIM, "%s", when);
        canvas_put(c, CANVAS_PLAIN, "%s", e->text);
    }
}

void monitor_frame_make(struct canvas *c, const struct monitor_log *log,
                        const struct monitor_look *look)
{
    put_title(c, look);
    put_overview(c, &log->last);
    put_health(c, &log->last);
    put_nodes(c, &log->last, look->asked);
    put_rates(c, log, look->is_utf8);
    put_events(c, log, look);
    if (look->footer != NULL) {
        canvas_line(c, 0);
        canvas_put(c, CANVAS_DIM, "%s", look->footer);
    }
}
