/* node/member_info.c - what this member tells of itself: status, probes. */
#include "base/mem.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LAG_FORGIVEN_MS 1000

const struct kv *node_kv(const struct node *n)
{
    return n->kv;
}

const char *node_name(const struct node *n)
{
    return n->name;
}

uint64_t node_own_id(const struct node *n)
{
    return n->self;
}

struct uuid node_cluster(const struct node *n)
{
    return n->raft != NULL ? n->identity.roster.cluster : (struct uuid){0};
}

uint64_t node_term(const struct node *n)
{
    return n->raft != NULL ? raft_term_now(n->raft) : 0;
}

static const struct roster_member *find_leader(const struct node *n)
{
    return n->raft != NULL ? node_member_by_id(n, raft_leader(n->raft)) : NULL;
}

bool node_knows_leader(const struct node *n)
{
    return find_leader(n) != NULL;
}

const char *node_role(const struct node *n)
{
    if (n->raft == NULL) {
        return NULL;
    }
    if (n->agreement.is_quarantined) {
        return "quarantined";
    }
    if (!membership_votes(&n->config, n->self) && raft_role(n->raft) != RAFT_LEADER) {
        return "learner"; /* also when it is not named: it has no vote */
    }
    switch (raft_role(n->raft)) {
    case RAFT_LEADER:
        return "leader";
    case RAFT_FOLLOWER:
        return "follower";
    case RAFT_PRECANDIDATE:
    case RAFT_CANDIDATE:
        return "candidate";
    }
    return NULL;
}

void node_own_url(const struct node *n, char url[LIMIT_URL_BYTES])
{
    if (n->own_url[0] != '\0') {
        snprintf(url, LIMIT_URL_BYTES, "%s", n->own_url);
        return;
    }
    char host[256];
    if (gethostname(host, sizeof(host)) != 0) {
        snprintf(host, sizeof(host), "localhost");
    }
    host[sizeof(host) - 1] = '\0';
    snprintf(url, LIMIT_URL_BYTES, "%s://%s:%u", n->options.speaks_tls ? "https" : "http", host,
             n->options.listen_port);
}

static void add_member(struct node_status *status, const char *name, const char *url,
                       struct uuid incarnation)
{
    if (status->member_count == LIMIT_MEMBERS) {
        return;
    }
    struct node_member *m = &status->members[status->member_count++];
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->url, sizeof(m->url), "%s", url);
    m->id = uuid_short(incarnation);
    m->incarnation = incarnation;
    m->self = status->member_count == 1;
}

/* Self first, then the roster (sorted by name), or while founding whoever was reached. */
static void list_members(const struct node *n, struct node_status *status)
{
    add_member(status, n->name, status->url, n->identity.incarnation);
    if (n->raft != NULL) {
        for (uint32_t i = 0; i < n->members.count; i++) {
            const struct roster_member *m = &n->members.members[i];
            if (!uuid_equal(m->incarnation, n->identity.incarnation)) {
                add_member(status, m->name, m->url, m->incarnation);
            }
        }
        return;
    }
    struct peer_view views[LIMIT_MEMBERS];
    uint32_t count = peers_view(n->peers, views, LIMIT_MEMBERS);
    for (uint32_t i = 0; i < count; i++) {
        if (views[i].hello.name[0] != '\0') {
            add_member(status, views[i].hello.name, views[i].url, views[i].hello.incarnation);
        }
    }
}

static void describe_leader(const struct node *n, struct node_status *status)
{
    const struct roster_member *m = find_leader(n);
    if (m == NULL) {
        return;
    }
    snprintf(status->leader, sizeof(status->leader), "%s", m->name);
    if (raft_leader(n->raft) == n->self) {
        snprintf(status->leader_url, sizeof(status->leader_url), "%s", status->url);
    } else {
        snprintf(status->leader_url, sizeof(status->leader_url), "%s", m->url);
    }
}

void node_status_get(const struct node *n, struct node_status *status)
{
    memset(status, 0, offsetof(struct node_status, members));
    status->name = n->name;
    status->id = n->self;
    status->founding = n->founding != NULL;
    status->joining = n->joining.active;
    status->faults = n->faults != NULL;
    status->role = node_role(n);
    status->uptime_ms = node_now(n) - n->started_ms;
    status->shutting_down = n->shutting_down;
    status->leader_contact_ms = UINT64_MAX;
    node_own_url(n, status->url);
    status->member_count = 0;
    list_members(n, status);
    if (n->raft == NULL) {
        return;
    }
    status->cluster = node_cluster(n);
    status->term = node_term(n);
    status->commit_index = raft_commit(n->raft);
    status->applied_index = n->applied;
    status->last_index = raft_last(n->raft).index;
    status->no_quorum = node_lacks_quorum(n);
    status->recovering = raft_is_recovering(n->raft);
    status->no_space = n->no_space;
    if (node_is_leader(n)) {
        status->leader_contact_ms = 0;
    } else if (n->leader_contact_ms != 0) {
        status->leader_contact_ms = node_now(n) - n->leader_contact_ms;
    }
    describe_leader(n, status);
}

void node_founding_text(const struct node *n, char *text, size_t size)
{
    text[0] = '\0';
    if (n->joining.active) {
        node_joining_text(n, text, size);
    } else if (n->founding != NULL) {
        founding_text(n->founding, text, size);
    } else {
        return;
    }
    struct peer_view views[LIMIT_MEMBERS];
    uint32_t count = peers_view(n->peers, views, LIMIT_MEMBERS);
    for (uint32_t i = 0; i < count; i++) {
        size_t used = strlen(text);
        if (!views[i].up) {
            snprintf(text + used, size - used, "; no answer from %s (%s)", views[i].url,
                     views[i].trouble[0] != '\0' ? views[i].trouble : "not tried yet");
        }
    }
}

bool node_is_live(const struct node *n, char *why, size_t size)
{
    if (n->dead) {
        snprintf(why, size, "stopping after a fault");
        return false;
    }
    snprintf(why, size, "ok");
    return true;
}

static void add_check(struct node_check *checks, uint32_t *count, const char *name, bool ok,
                      const char *detail)
{
    struct node_check *c = &checks[(*count)++];
    c->name = name;
    c->ok = ok;
    snprintf(c->detail, sizeof(c->detail), "%s", ok ? "ok" : detail);
}

/* Within a turn there may be more committed than applied, and under load there mostly is: no reason
 * to take a member away from its clients. */
static bool has_just_lagged(const struct node *n)
{
    return n->caught_up_ms != 0 && node_now(n) < n->caught_up_ms + LAG_FORGIVEN_MS;
}

uint32_t node_ready_checks(const struct node *n, struct node_check checks[NODE_CHECKS_MAX])
{
    uint32_t count = 0;
    char text[256];
    add_check(checks, &count, "live", !n->dead, "stopping after a fault");
    add_check(checks, &count, "running", !n->shutting_down, "shutting down");
    node_founding_text(n, text, sizeof(text));
    add_check(checks, &count, n->joining.active ? "joined" : "founded", n->raft != NULL, text);
    bool led = n->raft != NULL && raft_leader(n->raft) != 0;
    add_check(checks, &count, "leader", led, "no leader known");
    add_check(checks, &count, "quorum", led && !node_lacks_quorum(n),
              led ? "a majority of the members cannot be reached" : "no leader known");
    bool caught_up = n->raft != NULL && (n->applied >= raft_commit(n->raft) || has_just_lagged(n));
    snprintf(text, sizeof(text), "%" PRIu64 " committed entries are not applied yet",
             n->raft != NULL ? raft_commit(n->raft) - n->applied : 0);
    add_check(checks, &count, "caught-up", caught_up, text);
    add_check(checks, &count, "disk-space", !n->no_space,
              "no space for the log: writes are refused, deletes pass");
    add_check(checks, &count, "recovered", n->raft == NULL || !raft_is_recovering(n->raft),
              "the log was damaged: what was lost comes from the others");
    add_check(checks, &count, "agreement", !n->agreement.is_quarantined,
              "quarantined: its state differs from that of the others");
    bool disk_ok = !n->write.stall_told || !n->write.in_flight || n->write.waits_for_space;
    add_check(checks, &count, "disk", disk_ok, "the disk does not answer");
    return count;
}
