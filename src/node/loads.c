/* node/loads.c - telling and hearing loads, and who may be given clients (rows E4 to E7). */
#include "node/loads.h"

#include "node/node_internal.h"

#include <stdio.h>
#include <string.h>

/* Between two that beat, silence is judged by the election timeout; others say something every
 * LIMIT_PEER_PING_MS to somewhat more than twice that, so one may be late. */
#define QUIET_LINK_MS (3 * LIMIT_PEER_PING_MS)

static bool is_self(const struct node *n, struct uuid member)
{
    return uuid_equal(member, n->identity.incarnation);
}

static const struct load_heard *heard_of(const struct node *n, struct uuid member)
{
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (uuid_equal(n->loads.heard[i].member, member)) {
            return &n->loads.heard[i];
        }
    }
    return NULL;
}

/* A place of nobody, or of somebody who is no member any more. */
static struct load_heard *free_place(struct node *n)
{
    for (uint32_t i = LIMIT_MEMBERS; i-- > 0;) {
        if (roster_find(&n->members, n->loads.heard[i].member) == NULL) {
            return &n->loads.heard[i];
        }
    }
    return NULL;
}

/* Its own, or a free one; every beat asks, so that the search for that is not a part of it. */
static struct load_heard *place_of(struct node *n, struct uuid member)
{
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (uuid_equal(n->loads.heard[i].member, member)) {
            return &n->loads.heard[i];
        }
    }
    struct load_heard *free_one = free_place(n);
    if (free_one != NULL) {
        *free_one = (struct load_heard){.member = member};
    }
    return free_one;
}

/* --- who may be given clients ----------------------------------------------------------------- */

/* Row E4: the last view counts as long as its leader does. */
static bool is_offline_in_view(const struct node *n, const char *name)
{
    const struct node_view *v = &n->loads.view;
    if (v->term != raft_term_now(n->raft) || raft_leader(n->raft) == 0) {
        return false;
    }
    for (uint32_t i = 0; i < v->count; i++) {
        if (strcmp(v->items[i].name, name) == 0) {
            return v->items[i].presence == NODE_OFFLINE;
        }
    }
    return false;
}

/* Who leads only now was not answered before. */
static bool beats_with(const struct node *n, struct uuid member)
{
    if (!node_is_leader(n)) {
        return raft_leader(n->raft) == uuid_short(member);
    }
    return n->loads.view.term == raft_term_now(n->raft) &&
           node_now(n) - n->loads.leads_since_ms > n->options.election_timeout_ms;
}

/* Pings still come from a member that plays a cut (fault_set.h), but nothing that it tells. One of
 * a version before this never told anything. */
static bool tells_no_more(const struct node *n, struct uuid member)
{
    const struct load_heard *h = heard_of(n, member);
    uint64_t age_ms = h != NULL && h->has_told ? node_now(n) - h->told_ms : 0;
    return age_ms > QUIET_LINK_MS && age_ms > n->options.election_timeout_ms;
}

static bool is_heard(const struct node *n, struct uuid member)
{
    uint64_t bound_ms =
        beats_with(n, member) ? n->options.election_timeout_ms : (uint64_t)QUIET_LINK_MS;
    return peers_is_up(n->peers, member) && peers_silence_ms(n->peers, member) <= bound_ms &&
           !tells_no_more(n, member);
}

static bool serves_here(const struct node *n)
{
    return n->raft != NULL && !n->dead && !n->shutting_down && n->damage[0] == '\0' &&
           membership_votes(&n->config, n->self) && !raft_is_recovering(n->raft) &&
           !n->agreement.is_quarantined;
}

/* How far the member that is furthest was before this one. One that is not heard any more counts no
 * longer: this one was elsewhere then. */
static int64_t furthest_ahead(const struct node *n)
{
    int64_t furthest = 0;
    for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
        const struct load_heard *h = &n->loads.heard[i];
        if (h->has_told && h->ahead > furthest && roster_find(&n->members, h->member) != NULL &&
            is_heard(n, h->member)) {
            furthest = h->ahead;
        }
    }
    return furthest;
}

static void describe(const struct node *n, const struct roster_member *m, int64_t furthest,
                     struct node_load_item *item)
{
    *item = (struct node_load_item){.age_ms = UINT64_MAX};
    snprintf(item->member.name, sizeof(item->member.name), "%s", m->name);
    snprintf(item->member.url, sizeof(item->member.url), "%s", m->url);
    item->member.id = uuid_short(m->incarnation);
    item->member.incarnation = m->incarnation;
    if (is_self(n, m->incarnation)) {
        item->member.self = true;
        node_own_url(n, item->member.url);
        item->serves = serves_here(n) && furthest <= LIMIT_PROMOTE_LAG_ENTRIES;
        item->age_ms = 0;
        item->load = n->loads.own;
        return;
    }
    const struct load_heard *h = heard_of(n, m->incarnation);
    if (h != NULL && h->has_told) {
        item->serves = h->note.serves && membership_votes(&n->config, item->member.id) &&
                       is_heard(n, m->incarnation) && !is_offline_in_view(n, m->name) &&
                       furthest - h->ahead <= LIMIT_PROMOTE_LAG_ENTRIES;
        item->age_ms = node_now(n) - h->told_ms;
        item->load = h->note.load;
    }
}

uint32_t node_loads_get(const struct node *n, struct node_load_item items[LIMIT_MEMBERS])
{
    if (n->raft == NULL) {
        return 0;
    }
    int64_t furthest = furthest_ahead(n);
    uint32_t count = n->members.count;
    uint32_t self = 0;
    while (self < count && !is_self(n, n->members.members[self].incarnation)) {
        self++;
    }
    for (uint32_t i = 0; i < count; i++) {
        describe(n, &n->members.members[(self + 1 + i) % count], furthest, &items[i]);
    }
    return count;
}

bool node_loads_knows_leases(const struct node *n, struct uuid member)
{
    const struct load_heard *h = heard_of(n, member);
    return h == NULL || !h->has_told || h->note.knows_leases;
}

/* When how many clients there are is to be told: a leader at rest does not give a turn for it. */
uint64_t node_loads_deadline(const struct node *n)
{
    const struct loads *l = &n->loads;
    bool is_told = l->own.connections == l->told.load.connections;
    return n->raft == NULL || n->stopped || is_told ? UINT64_MAX : l->look_ms;
}

void node_set_load(struct node *n, const struct node_load *load)
{
    n->loads.own = *load;
    uint64_t at_ms = node_loads_deadline(n);
    bool is_sooner = n->request_timer.slot == 0 || at_ms < n->request_timer.at_ms;
    if (at_ms != UINT64_MAX && is_sooner) {
        n->loop->ops->timer_start(n->loop, &n->request_timer, at_ms);
    }
}

/* --- the leader's view ------------------------------------------------------------------------ */

const struct node_view *node_view(const struct node *n)
{
    return &n->loads.view;
}

static enum node_presence presence_of(const struct node *n, const struct roster_member *m)
{
    if (is_self(n, m->incarnation)) {
        return NODE_LEADS;
    }
    return is_heard(n, m->incarnation) ? NODE_ONLINE : NODE_OFFLINE;
}

static void look_around(const struct node *n, struct node_view *v)
{
    v->term = raft_term_now(n->raft);
    v->count = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        struct node_view_item *item = &v->items[v->count];
        char own[LIMIT_URL_BYTES] = "";
        if (is_self(n, m->incarnation)) {
            node_own_url(n, own);
        }
        if (url_parse(own[0] != '\0' ? own : m->url, &item->address, NULL) != STATUS_OK) {
            continue; /* told by a member that dials others by another one */
        }
        v->count++;
        snprintf(item->name, sizeof(item->name), "%s", m->name);
        item->presence = presence_of(n, m);
        const struct load_heard *h = heard_of(n, m->incarnation);
        item->connections = item->presence == NODE_LEADS                 ? n->loads.own.connections
                            : item->presence == NODE_ONLINE && h != NULL ? h->note.load.connections
                                                                         : 0;
    }
}

static bool is_same_but_load(const struct node_view *a, const struct node_view *b)
{
    if (a->term != b->term || a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        const struct node_view_item *x = &a->items[i];
        const struct node_view_item *y = &b->items[i];
        if (strcmp(x->name, y->name) != 0 || strcmp(x->address.host, y->address.host) != 0 ||
            x->address.port != y->address.port || x->presence != y->presence) {
            return false;
        }
    }
    return true;
}

/* Requires: is_same_but_load. */
static bool is_same_load(const struct node_view *a, const struct node_view *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->items[i].connections != b->items[i].connections) {
            return false;
        }
    }
    return true;
}

/* True: there is a new one. Its number begins anew with the term, which grows over restarts. */
static bool renew_view(struct node *n, uint64_t now_ms)
{
    struct loads *l = &n->loads;
    struct node_view now;
    if (l->view.term != raft_term_now(n->raft)) {
        l->leads_since_ms = now_ms;
    }
    look_around(n, &now);
    if (is_same_but_load(&now, &l->view) &&
        (now_ms - l->view_changed_ms < VIEW_LOAD_MS || is_same_load(&now, &l->view))) {
        return false;
    }
    now.number = now.term == l->view.term ? l->view.number + 1 : 1;
    l->view = now;
    l->view_changed_ms = now_ms;
    return true;
}

static void tell(struct node *n, struct uuid member, bool load, bool view)
{
    struct buf *out = &n->scratch;
    if (load) {
        n->loads.told.applied_index = n->applied; /* what is told to one that has just come, too */
        buf_clear(out);
        load_note_encode(&n->loads.told, out);
        peers_send_note(n->peers, member, PEER_NOTE_LOAD, buf_slice(out));
    }
    if (view) {
        buf_clear(out);
        view_encode(&n->loads.view, out);
        peers_send_note(n->peers, member, PEER_NOTE_VIEW, buf_slice(out));
    }
}

/* --- telling and hearing ---------------------------------------------------------------------- */

static bool is_news(const struct load_note *a, const struct load_note *b)
{
    return a->serves != b->serves || a->load.connections != b->load.connections ||
           a->load.requests_per_second != b->load.requests_per_second ||
           a->load.loop_permille != b->load.loop_permille;
}

/* True: what is told is to be told to all. */
static bool renew_load(struct node *n, uint64_t now_ms)
{
    struct loads *l = &n->loads;
    struct load_note note = {.serves = serves_here(n),
                             .knows_leases = true,
                             .load = l->own,
                             .applied_index = n->applied};
    if (!is_news(&note, &l->told) && now_ms - l->told_ms < LOAD_REFRESH_MS) {
        return false;
    }
    l->told = note;
    l->told_ms = now_ms;
    return true;
}

void node_loads_on_turn(struct node *n)
{
    struct loads *l = &n->loads;
    uint64_t now_ms = node_now(n);
    bool stops = n->shutting_down && l->told.serves; /* is not put off: it may be gone by then */
    if (now_ms < l->look_ms && !stops) {
        return;
    }
    uint32_t beat_ms = n->options.heartbeat_ms;
    l->look_ms = now_ms + (beat_ms < LOAD_REFRESH_MS ? beat_ms : LOAD_REFRESH_MS);
    bool load = renew_load(n, now_ms);
    bool leads = node_is_leader(n);
    bool view = leads && renew_view(n, now_ms);
    if (view || now_ms - l->view_told_ms >= LOAD_REFRESH_MS) {
        view = leads;
        l->view_told_ms = now_ms;
    }
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct uuid member = n->members.members[i].incarnation;
        struct load_heard *h = is_self(n, member) ? NULL : place_of(n, member);
        if (h == NULL) {
            continue;
        }
        bool was_linked = h->is_linked;
        h->is_linked = peers_is_up(n->peers, member);
        if (h->is_linked) {
            tell(n, member, load || !was_linked, view || (leads && !was_linked));
        }
    }
}

void node_loads_on_load(struct node *n, struct uuid from, struct slice body)
{
    struct load_note note;
    if (n->raft == NULL || roster_find(&n->members, from) == NULL ||
        load_note_decode(body, &note) != STATUS_OK) {
        return;
    }
    struct load_heard *h = place_of(n, from);
    if (h == NULL) {
        return;
    }
    h->has_told = true;
    h->told_ms = node_now(n);
    h->note = note;
    bool is_ahead = note.applied_index > n->applied;
    uint64_t entries = is_ahead ? note.applied_index - n->applied : n->applied - note.applied_index;
    int64_t most = entries < INT32_MAX ? (int64_t)entries : INT32_MAX; /* it is far, either way */
    h->ahead = is_ahead ? most : -most;
}

void node_loads_on_view(struct node *n, struct uuid from, struct slice body)
{
    struct node_view view;
    if (n->raft == NULL || roster_find(&n->members, from) == NULL ||
        view_decode(body, &view) != STATUS_OK || view.term < raft_term_now(n->raft)) {
        return;
    }
    const struct node_view *known = &n->loads.view;
    if (view.term > known->term || (view.term == known->term && view.number > known->number)) {
        n->loads.view = view;
    }
}

void node_loads_on_down(struct node *n, struct uuid member)
{
    struct load_heard *h = place_of(n, member);
    if (h != NULL) {
        *h = (struct load_heard){.member = member};
    }
}
