#include "client/cluster_view.h"

#include "client/client.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The given endpoints, and the members. */
#define PROBES_MAX (2 * LIMIT_MEMBERS)

/* One address being asked, in a thread of its own. */
struct probe {
    char url[LIMIT_URL_BYTES];
    uint32_t timeout_ms;
    pthread_t thread;
    bool has_thread;
    enum status status; /* of /status */
    struct client_answer self;
    struct client_answer cluster; /* http_status 0 when it was not got */
};

/* --- asking ----------------------------------------------------------------------------------- */

static void *ask(void *context)
{
    struct probe *p = context;
    const struct client_request self = {.method = "GET", .target = "/status"};
    const struct client_request cluster = {.method = "GET", .target = "/cluster"};
    p->status = client_ask(p->url, &self, p->timeout_ms, &p->self);
    if (p->status == STATUS_OK &&
        client_ask(p->url, &cluster, p->timeout_ms, &p->cluster) != STATUS_OK) {
        client_answer_deinit(&p->cluster);
    }
    return NULL;
}

static void add_probe(struct probe *probes, uint32_t *count, const char *url, uint32_t timeout_ms)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (strcmp(probes[i].url, url) == 0) {
            return;
        }
    }
    if (*count < PROBES_MAX && url[0] != '\0') {
        struct probe *p = &probes[(*count)++];
        *p = (struct probe){.timeout_ms = timeout_ms};
        snprintf(p->url, sizeof(p->url), "%s", url);
    }
}

static void add_members(struct probe *probes, uint32_t *count, const struct cluster_view *v,
                        uint32_t timeout_ms)
{
    for (uint32_t i = 0; i < v->count; i++) {
        add_probe(probes, count, v->members[i].url, timeout_ms);
    }
}

/* All at the same time. Where the system has no thread left, one after another. */
static void ask_all(struct probe *probes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        probes[i].has_thread = pthread_create(&probes[i].thread, NULL, ask, &probes[i]) == 0;
        if (!probes[i].has_thread) {
            ask(&probes[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (probes[i].has_thread) {
            pthread_join(probes[i].thread, NULL);
        }
    }
}

/* --- reading answers -------------------------------------------------------------------------- */

static uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    return number >= 0 && number < 1e18 ? (uint64_t)number : MEMBER_VIEW_UNKNOWN;
}

static void copy_text(char *to, size_t size, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(to, size, "%s", text != NULL ? text : "");
}

static void read_role(struct member_view *m, const json_t *object)
{
    copy_text(m->role, sizeof(m->role), object, "role");
    if (m->role[0] == '\0') {
        snprintf(m->role, sizeof(m->role), "founding");
    }
    copy_text(m->leader, sizeof(m->leader), object, "leaderId");
    m->term = number_of(object, "term");
}

/* As another member sees it. */
static void read_entry(struct member_view *m, const json_t *entry)
{
    *m = (struct member_view){.term = MEMBER_VIEW_UNKNOWN,
                              .is_online = json_is_true(json_object_get(entry, "online"))};
    copy_text(m->name, sizeof(m->name), entry, "id");
    copy_text(m->url, sizeof(m->url), entry, "url");
    m->lag_entries = number_of(entry, "lagEntries");
    if (m->is_online) {
        read_role(m, entry);
    } else {
        copy_text(m->reason, sizeof(m->reason), entry, "error");
    }
}

/* As it says itself, which needs no third one. */
static void read_self(struct member_view *m, const json_t *status)
{
    const json_t *load = json_object_get(status, "load");
    m->is_online = true;
    m->reason[0] = '\0';
    read_role(m, status);
    m->has_load = json_is_object(load);
    m->connections = number_of(load, "connections");
    m->requests_per_second = json_number_value(json_object_get(load, "requestsPerSecond"));
    m->loop_utilisation = json_number_value(json_object_get(load, "loopUtilisation"));
}

static void read_members(struct cluster_view *v, const json_t *answer)
{
    size_t i;
    json_t *entry;
    v->count = 0;
    json_array_foreach(json_object_get(answer, "cluster"), i, entry)
    {
        if (v->count < LIMIT_MEMBERS) {
            read_entry(&v->members[v->count++], entry);
        }
    }
}

/* Whose list of members counts: that of who sees the leader of the highest term; of several, the
 * first. A cut-off minority sees the others as offline. */
static const json_t *choose_list(const struct probe *probes, uint32_t count)
{
    const json_t *chosen = NULL;
    double best = -1;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *answer = probes[i].cluster.json;
        const json_t *leader = json_object_get(answer, "leader");
        double rank =
            json_is_object(leader) ? 1 + json_number_value(json_object_get(leader, "term")) : 0;
        if (json_array_size(json_object_get(answer, "cluster")) > 0 && rank > best) {
            chosen = answer;
            best = rank;
        }
    }
    return chosen;
}

/* --- putting together ------------------------------------------------------------------------- */

static void explain_silence(struct member_view *m, const struct probe *p)
{
    if (p->status == STATUS_UNREACHABLE) {
        snprintf(m->reason, sizeof(m->reason), "takes no connections");
    } else if (p->status == STATUS_TIMEOUT) {
        snprintf(m->reason, sizeof(m->reason), "no answer within %u ms", p->timeout_ms);
    } else {
        snprintf(m->reason, sizeof(m->reason), "the connection was cut");
    }
}

static void merge(struct member_view *m, const struct probe *probes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *name = client_answer_string(&probes[i].self, "nodeId");
        if (probes[i].status == STATUS_OK && name != NULL && strcmp(name, m->name) == 0) {
            read_self(m, probes[i].self.json);
            return;
        }
    }
    for (uint32_t i = 0; i < count && !m->is_online; i++) {
        if (probes[i].status != STATUS_OK && strcmp(probes[i].url, m->url) == 0) {
            explain_silence(m, &probes[i]);
        }
    }
}

static void become_offline(struct member_view *m)
{
    m->is_online = false;
    m->role[0] = '\0';
    m->leader[0] = '\0';
    m->term = MEMBER_VIEW_UNKNOWN;
    m->lag_entries = MEMBER_VIEW_UNKNOWN;
    m->has_load = false;
}

static void put_together(struct cluster_view *v, const struct probe *probes, uint32_t count)
{
    const json_t *list = choose_list(probes, count);
    if (list != NULL) {
        read_members(v, list);
    }
    for (uint32_t i = 0; i < v->count; i++) {
        if (list == NULL) {
            become_offline(&v->members[i]);
        }
        merge(&v->members[i], probes, count);
    }
    v->answered = 0;
    v->revision = MEMBER_VIEW_UNKNOWN;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t revision = number_of(probes[i].self.json, "revision");
        if (probes[i].status == STATUS_OK && revision != MEMBER_VIEW_UNKNOWN) {
            v->answered++;
            v->revision = v->revision == MEMBER_VIEW_UNKNOWN || revision > v->revision
                              ? revision
                              : v->revision;
        }
    }
}

void cluster_view_refresh(struct cluster_view *v, const char *const *endpoints,
                          uint32_t endpoint_count, uint32_t timeout_ms)
{
    struct probe probes[PROBES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < endpoint_count; i++) {
        add_probe(probes, &count, endpoints[i], timeout_ms);
    }
    add_members(probes, &count, v, timeout_ms);
    ask_all(probes, count);
    const json_t *list = choose_list(probes, count);
    if (list != NULL) {
        /* Members that nobody named before: asked now, so that the first look is a whole one. */
        uint32_t asked = count;
        read_members(v, list);
        add_members(probes, &count, v, timeout_ms);
        ask_all(probes + asked, count - asked);
    }
    put_together(v, probes, count);
    for (uint32_t i = 0; i < count; i++) {
        client_answer_deinit(&probes[i].self);
        client_answer_deinit(&probes[i].cluster);
    }
}

/* --- asking the view -------------------------------------------------------------------------- */

const struct member_view *cluster_view_leader(const struct cluster_view *v)
{
    const struct member_view *leader = NULL;
    for (uint32_t i = 0; i < v->count; i++) {
        const struct member_view *m = &v->members[i];
        if (m->is_online && strcmp(m->role, "leader") == 0 &&
            (leader == NULL || m->term > leader->term)) {
            leader = m;
        }
    }
    return leader;
}

const struct member_view *cluster_view_find(const struct cluster_view *v, const char *name)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (strcmp(v->members[i].name, name) == 0) {
            return &v->members[i];
        }
    }
    return NULL;
}

uint32_t cluster_view_in_role(const struct cluster_view *v, const char *role)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        count += v->members[i].is_online && strcmp(v->members[i].role, role) == 0 ? 1 : 0;
    }
    return count;
}

uint32_t cluster_view_online(const struct cluster_view *v)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        count += v->members[i].is_online ? 1 : 0;
    }
    return count;
}
