/* node/changes.c - changes of the membership: asked for (node_change), and made by the leader
 * itself when a learner has caught up (rule C4).
 *
 * One change is in flight at a time (rule C1), and the core says so; those that were asked for wait
 * here until it is their turn, or their time is over. */
#include "base/log.h"
#include "node/node_internal.h"

#include "net/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Promotions are tried so often per election timeout. */
#define PROMOTIONS_PER_ELECTION_TIMEOUT  2
/* How long a promotion that makes an even number of voters waits for a learner that could come
 * along (rule C4b). */
#define PROMOTION_HOLD_ELECTION_TIMEOUTS 10

enum status node_propose_members(struct node *n, const struct membership_edit *e)
{
    buf_clear(&n->scratch);
    membership_encode(&e->members, &n->scratch);
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_CHANGE};
    input.change.config = &e->config;
    input.change.annex = buf_slice(&n->scratch);
    enum status s = raft_step(n->raft, &input);
    buf_clear(&n->scratch);
    n->turn_wanted |= s == STATUS_OK;
    return s;
}

/* --- changes that were asked for -------------------------------------------------------------- */

static struct node_change *change_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_change, link);
}

static void finish(struct node_change *c)
{
    list_remove(&c->link);
    c->node->change_count--;
    c->node = NULL;
    c->done(c);
}

/* Two members at one address: one of them would never be met, and what is meant for it is heard by
 * the other. As they are known now, not only as they were let in. */
bool node_is_taken_url(const struct node *n, const char *name, const char *url)
{
    struct url wanted;
    if (url_parse(url, &wanted, NULL) != STATUS_OK) {
        return false;
    }
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        const struct roster_member *known = roster_find(&n->members, p->incarnation);
        struct url theirs;
        if (strcmp(p->name, name) != 0 &&
            url_parse(known != NULL ? known->url : p->url, &theirs, NULL) == STATUS_OK &&
            strcasecmp(theirs.host, wanted.host) == 0 && theirs.port == wanted.port) {
            return true;
        }
    }
    return false;
}

static const char *explain_conflict(const struct node *n, const struct node_change *c)
{
    switch (c->kind) {
    case NODE_CHANGE_ADD:
    case NODE_CHANGE_REPLACE:
        if (node_is_taken_url(n, c->name, c->url)) {
            return "another member has that URL";
        }
        return c->kind == NODE_CHANGE_ADD ? "a member of that name is there already"
                                          : "nobody has come under that name yet";
    case NODE_CHANGE_PROMOTE:
    case NODE_CHANGE_REMOVE:
        break;
    }
    return "it votes already";
}

static void explain(const struct node *n, struct node_change *c)
{
    const char *why = status_text(c->status);
    switch (c->status) {
    case STATUS_NOT_FOUND:
        why = "no member has that name";
        break;
    case STATUS_CONFLICT:
        why = explain_conflict(n, c);
        break;
    case STATUS_INVALID:
        why = c->kind == NODE_CHANGE_REMOVE ? "it is the last voter"
                                            : "the cluster has as many members as it can have";
        break;
    case STATUS_BUSY:
        why = "another change of the members is under way";
        break;
    case STATUS_BEHIND:
        why = "it has not caught up with the leader";
        break;
    case STATUS_NO_QUORUM:
        why = "a majority of the members that would vote does not answer";
        break;
    case STATUS_UNKNOWN:
        why = "it was proposed, and is not known to be committed";
        break;
    case STATUS_NOT_LEADER:
        why = node_is_leader(n) ? "another leader came between" : "this member does not lead";
        break;
    default:
        break;
    }
    snprintf(c->why, sizeof(c->why), "%s", c->status == STATUS_OK ? "" : why);
}

static void settle(struct node *n, struct node_change *c, enum status s, struct list *settled)
{
    c->status = s;
    explain(n, c);
    list_remove(&c->link);
    list_push_back(settled, &c->link);
}

/* What nobody can do, whatever the members are; NULL when it can be asked. */
static const char *what_is_wrong(const struct node_change *c)
{
    struct url parsed;
    bool url_wanted = c->kind == NODE_CHANGE_ADD;
    bool url_allowed = url_wanted || c->kind == NODE_CHANGE_REPLACE;
    if (!member_name_is_valid(c->name)) {
        return "a name is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot";
    }
    if (c->url[0] == '\0') {
        return url_wanted ? "the URL is missing" : NULL;
    }
    if (!url_allowed || url_parse(c->url, &parsed, NULL) != STATUS_OK) {
        return "the URL is none like http://127.0.0.1:4001";
    }
    return NULL;
}

enum status node_change_start(struct node *n, struct node_change *c)
{
    if (!node_is_leader(n) || n->shutting_down) {
        return STATUS_NOT_LEADER;
    }
    const char *wrong = what_is_wrong(c);
    if (wrong != NULL) {
        snprintf(c->why, sizeof(c->why), "%s", wrong);
        return STATUS_INVALID;
    }
    if (n->change_count >= LIMIT_CHANGES) {
        return STATUS_OVERLOADED;
    }
    c->node = n;
    c->index = 0;
    c->is_committed = false;
    c->deadline_ms = node_now(n) + n->options.request_timeout_ms;
    n->change_count++;
    list_push_back(&n->changes, &c->link);
    n->turn_wanted = true;
    return STATUS_OK;
}

void node_change_cancel(struct node_change *c)
{
    if (c->node != NULL) {
        c->node->change_count--;
        c->node = NULL;
        list_remove(&c->link);
    }
}

static enum status edit(struct membership_edit *e, const struct node_change *c)
{
    switch (c->kind) {
    case NODE_CHANGE_ADD:
        return membership_invite(e, c->name, c->url, c->learner);
    case NODE_CHANGE_REMOVE:
        return membership_remove(e, c->name);
    case NODE_CHANGE_PROMOTE:
        return membership_promote(e, c->name);
    case NODE_CHANGE_REPLACE:
        return membership_replace(e, c->name, c->url);
    }
    return STATUS_INVALID;
}

/* BUSY: its turn has not come. */
static enum status propose(struct node *n, struct node_change *c)
{
    struct membership_edit e;
    if (!node_is_leader(n)) {
        return STATUS_NOT_LEADER;
    }
    if (!n->config_is_committed || membership_is_joint(&n->config)) {
        return STATUS_BUSY;
    }
    membership_edit_begin(&e, &n->membership, &n->config);
    enum status s = edit(&e, c);
    if (s == STATUS_OK && node_is_taken_url(n, c->name, c->url)) {
        s = STATUS_CONFLICT;
    }
    if (s == STATUS_OK) {
        s = node_propose_members(n, &e);
    }
    if (s == STATUS_OK) {
        struct entry_id id = raft_last(n->raft);
        c->index = id.index;
        c->term = id.term;
        n->config_is_committed = false; /* the one in force now is not */
    }
    return s;
}

/* BUSY: not known yet. */
static enum status outcome(const struct node *n, struct node_change *c)
{
    if (raft_commit(n->raft) < c->index) {
        return STATUS_BUSY;
    }
    if (!c->is_committed) {
        raft_term term;
        if (!raft_term_at(n->raft, c->index, &term)) {
            return STATUS_UNKNOWN; /* a snapshot covers it, of whichever entry there */
        }
        if (term != c->term) {
            return STATUS_NOT_LEADER; /* another entry was committed in its place */
        }
        c->is_committed = true;
    }
    bool left_joint = n->config_is_committed && n->config_id.index >= c->index &&
                      !membership_is_joint(&n->config);
    return left_joint ? STATUS_OK : STATUS_BUSY;
}

void node_changes_on_turn(struct node *n)
{
    struct list settled;
    list_init(&settled);
    for (struct list *at = n->changes.next, *next; at != &n->changes; at = next) {
        next = at->next;
        struct node_change *c = change_of(at);
        enum status s = c->index == 0 ? propose(n, c) : outcome(n, c);
        bool proposed = s == STATUS_OK && c->index > raft_commit(n->raft);
        if (s != STATUS_BUSY && !proposed) {
            settle(n, c, s, &settled);
        }
    }
    while (!list_is_empty(&settled)) {
        finish(change_of(settled.next));
    }
}

void node_changes_expire(struct node *n, uint64_t now_ms)
{
    struct list settled;
    list_init(&settled);
    for (struct list *at = n->changes.next, *next; at != &n->changes; at = next) {
        next = at->next;
        struct node_change *c = change_of(at);
        if (c->deadline_ms <= now_ms) {
            settle(n, c, c->index == 0 ? STATUS_BUSY : STATUS_UNKNOWN, &settled);
        }
    }
    while (!list_is_empty(&settled)) {
        finish(change_of(settled.next));
    }
}

uint64_t node_changes_deadline(const struct node *n)
{
    uint64_t earliest = UINT64_MAX;
    for (struct list *at = n->changes.next; at != &n->changes; at = at->next) {
        uint64_t deadline_ms = change_of(at)->deadline_ms;
        earliest = deadline_ms < earliest ? deadline_ms : earliest;
    }
    return earliest;
}

/* --- promotion (rule C4) ---------------------------------------------------------------------- */

static bool is_candidate(const struct node *n, const struct membership_place *p)
{
    return !uuid_is_zero(p->incarnation) && !p->stays_learner &&
           membership_learns(&n->config, uuid_short(p->incarnation)) &&
           peers_is_up(n->peers, p->incarnation);
}

/* Worth to ask the core, which judges. */
static bool is_near(const struct node *n, const struct membership_place *p)
{
    struct raft_progress_view view;
    return raft_progress_of(n->raft, uuid_short(p->incarnation), &view) && view.match > 0 &&
           view.match >= n->config_id.index && !view.needs_snapshot && !view.recovering;
}

/* Rule C4b: from one voter to three is one change when two come at once. */
static bool waits_for_company(struct node *n, const struct membership_edit *e, uint32_t others)
{
    if (others == 0 || e->config.voter_count % 2 == 1) {
        n->promote_held_ms = 0;
        return false;
    }
    if (n->promote_held_ms == 0) {
        n->promote_held_ms = node_now(n);
    }
    return node_now(n) - n->promote_held_ms <
           (uint64_t)PROMOTION_HOLD_ELECTION_TIMEOUTS * n->options.election_timeout_ms;
}

static void tell_promoted(const struct membership_edit *e, const struct node *n)
{
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        node_id id = uuid_short(p->incarnation);
        if (membership_learns(&n->config, id) && membership_votes(&e->config, id)) {
            log_info("%s has caught up and becomes a voter", p->name);
        }
    }
}

/* All that are near in one change; if the core finds one of them behind, each alone. */
static enum status promote(struct node *n, const char *only, uint32_t *promoted)
{
    struct membership_edit e;
    uint32_t others = 0;
    *promoted = 0;
    membership_edit_begin(&e, &n->membership, &n->config);
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        if (!is_candidate(n, p) || (only != NULL && strcmp(only, p->name) != 0)) {
            continue;
        }
        if (!is_near(n, p)) {
            others++;
        } else if (membership_promote(&e, p->name) == STATUS_OK) {
            (*promoted)++;
        }
    }
    if (*promoted == 0 || (only == NULL && waits_for_company(n, &e, others))) {
        *promoted = 0;
        return STATUS_BEHIND;
    }
    enum status s = node_propose_members(n, &e);
    if (s == STATUS_OK) {
        n->promote_held_ms = 0;
        tell_promoted(&e, n);
    }
    return s;
}

static void promote_who_is_ready(struct node *n)
{
    uint32_t count;
    if (promote(n, NULL, &count) != STATUS_BEHIND || count < 2) {
        return;
    }
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        if (is_candidate(n, p) && promote(n, p->name, &count) == STATUS_OK) {
            return;
        }
    }
}

void node_promote_on_turn(struct node *n)
{
    if (!node_is_leader(n) || n->shutting_down || n->config.learner_count == 0 ||
        !n->config_is_committed || membership_is_joint(&n->config)) {
        return;
    }
    uint64_t now_ms = node_now(n);
    if (now_ms < n->promote_again_ms) {
        return;
    }
    n->promote_again_ms = now_ms + n->options.election_timeout_ms / PROMOTIONS_PER_ELECTION_TIMEOUT;
    promote_who_is_ready(n);
}

/* --- the list --------------------------------------------------------------------------------- */

static void fill_item(const struct node *n, const struct membership_place *p,
                      struct node_membership_item *item)
{
    node_id id = uuid_short(p->incarnation);
    bool invited = uuid_is_zero(p->incarnation);
    const struct roster_member *known = roster_find(&n->members, p->incarnation);
    *item = (struct node_membership_item){
        .member = {.id = invited ? 0 : id,
                   .incarnation = p->incarnation,
                   .self = uuid_equal(p->incarnation, n->identity.incarnation)},
        .voter = !invited && membership_votes(&n->config, id),
        .learner = !invited && membership_learns(&n->config, id),
        .stays_learner = p->stays_learner,
        .replaced = p->replaced,
        .priority = p->priority,
    };
    snprintf(item->member.name, sizeof(item->member.name), "%s", p->name);
    snprintf(item->member.url, sizeof(item->member.url), "%s", known != NULL ? known->url : p->url);
}

void node_membership_get(const struct node *n, struct node_membership *m)
{
    m->index = n->config_id.index;
    m->joint = membership_is_joint(&n->config);
    m->committed = n->config_is_committed;
    m->count = 0;
    for (uint32_t i = 0; i < n->membership.count; i++) {
        const struct membership_place *p = &n->membership.places[i];
        if (!p->leaves || m->joint) {
            fill_item(n, p, &m->items[m->count++]);
        }
    }
}
