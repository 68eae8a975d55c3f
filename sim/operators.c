#include "operators.h"

#include "base/mem.h"
#include "configs.h"
#include "coverage.h"
#include "truth.h"
#include "verdict.h"

#include <stdio.h>
#include <string.h>

#define ORDERS_MAX  1024
#define CHANGES_MAX 4

/* Something asked of a member. */
struct order {
    struct operators *operators;
    const struct item *item;
    int member;
    int other;
};

struct change {
    struct operators *operators;
    struct node_change change;
    int subject;
    int leader; /* asked */
    uint32_t leader_starts;
    bool is_asked;
    bool is_busy;
};

struct operators {
    struct sim_members *members;
    struct order orders[ORDERS_MAX];
    uint32_t order_count;
    struct node_step_down step_downs[SIM_MEMBERS_MAX];
    uint32_t stepping[SIM_MEMBERS_MAX]; /* since this start of it; 0 = not */
    struct change changes[CHANGES_MAX];
    bool is_over;
};

/* --- leadership ------------------------------------------------------------------------------- */

static void on_stepped_down(struct node_step_down *d)
{
    struct operators *o = d->context;
    o->stepping[d - o->step_downs] = 0;
    if (d->status == STATUS_OK) {
        coverage_hit(MARK_STEPPED_DOWN);
    }
}

static void step_down(struct operators *o, const struct order *order)
{
    struct sim_member *m = &o->members->items[order->member];
    struct node_step_down *d = &o->step_downs[order->member];
    if (o->stepping[order->member] == m->starts) {
        return;
    }
    *d = (struct node_step_down){.done = on_stepped_down, .context = o};
    if (order->item->d == 0) {
        snprintf(d->to, sizeof(d->to), "node-%d", order->other + 1);
    }
    bool is_started = node_step_down_start(m->node, d) == STATUS_OK;
    o->stepping[order->member] = is_started ? m->starts : 0;
}

static void carry_out(void *context)
{
    struct order *order = context;
    struct sim_member *m = &order->operators->members->items[order->member];
    switch (order->item->kind) {
    case ITEM_shut_down:
        coverage_hit(MARK_SHUT_DOWN);
        node_shutdown(m->node, NULL, NULL);
        break;
    case ITEM_campaign:
        node_campaign(m->node);
        break;
    default:
        step_down(order->operators, order);
        break;
    }
}

void operators_order(struct operators *o, const struct item *item, int a, int b)
{
    struct sim_member *m = &o->members->items[a];
    if (o->order_count == ORDERS_MAX || m->is_fatal) {
        return;
    }
    struct order *order = &o->orders[o->order_count++];
    *order = (struct order){.operators = o, .item = item, .member = a, .other = b};
    fake_process_post(m->loop, carry_out, order);
    if (item->kind == ITEM_shut_down && !m->shutting_down) {
        m->shutting_down = true;
        m->back_ms = fake_world_now(o->members->world) + item->c;
    }
}

/* --- membership ------------------------------------------------------------------------------- */

/* Never used, or of one who was removed. */
static bool is_free(const struct operators *o, int slot)
{
    const struct truth_member *t = &truth.members[slot];
    bool waits = t->is_stranger && o->members->items[slot].joins;
    return !members_is_born(o->members, slot) || configs_is_removed(t) || waits;
}

/* Also when nobody knows: who was not invited is told so, and tries again. But by then somebody may
 * have come to that place another way, and is a member: that disk is not to be lost. */
static void settle(struct change *c, bool is_done, bool may_be_done)
{
    struct operators *o = c->operators;
    c->is_busy = false;
    bool is_invited = (c->change.kind == NODE_CHANGE_REPLACE && is_done) ||
                      (c->change.kind == NODE_CHANGE_ADD && may_be_done && is_free(o, c->subject));
    if (is_invited && !o->is_over) {
        members_admit(o->members, c->subject);
    }
}

static void on_changed(struct node_change *change)
{
    struct change *c = CONTAINER_OF(change, struct change, change);
    verdict_trace("operator: change %d of %s: %s %s", (int)change->kind, change->name,
                  status_name(change->status), change->why);
    bool is_done = change->status == STATUS_OK;
    if (!is_done && change->status != STATUS_UNKNOWN) {
        coverage_hit(MARK_CHANGE_REFUSED);
    }
    if (is_done && change->kind == NODE_CHANGE_REMOVE && c->subject == c->leader) {
        coverage_hit(MARK_LEADER_REMOVED);
    }
    settle(c, is_done, is_done || change->status == STATUS_UNKNOWN);
}

/* Not of one that was frozen until all was healed: who must live is decided by the configurations
 * that there were then. */
static void ask(void *context)
{
    struct change *c = context;
    struct node *n = c->operators->members->items[c->leader].node;
    if (c->operators->is_over) {
        settle(c, false, false);
        return;
    }
    c->is_asked = true;
    if (node_change_start(n, &c->change) != STATUS_OK) {
        settle(c, false, false);
    }
}

/* A slot for one who comes: never used, or of one who was removed. -1: none. */
static int find_newcomer(const struct operators *o, int from)
{
    int count = (int)o->members->count;
    for (int i = 0; i < count; i++) {
        int slot = (from + i) % count;
        if (is_free(o, slot)) {
            return slot;
        }
    }
    return -1;
}

static uint32_t asked_to_go(const struct operators *o)
{
    uint32_t members = 0;
    for (int i = 0; i < CHANGES_MAX; i++) {
        const struct change *c = &o->changes[i];
        members |= c->is_busy && c->change.kind == NODE_CHANGE_REMOVE ? 1u << c->subject : 0;
    }
    return members;
}

/* Those that would be left can decide without the disks that are lost, also when of the removals
 * that were asked for before only those succeed that take a sound one away: rule C4 refuses the
 * last one only while the leader's clock is right. */
static bool may_remove(const struct operators *o, int leader, int subject, uint32_t intact)
{
    const struct raft_config *c = raft_active_config(truth.members[leader].raft);
    uint32_t staying = intact & ~asked_to_go(o);
    uint32_t voters = 0;
    uint32_t sound = 0;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        const struct truth_member *m = truth_by_id(c->voters[i]);
        uint32_t bit = m != NULL ? 1u << truth_index(m) : 0;
        if (bit != 1u << subject && (bit & intact & ~staying) == 0) {
            voters++;
            sound += (bit & staying) != 0;
        }
    }
    return 2 * sound > voters;
}

void operators_change(struct operators *o, const struct item *item, int a, uint32_t intact)
{
    static const enum node_change_kind kinds[] = {NODE_CHANGE_ADD, NODE_CHANGE_REMOVE,
                                                  NODE_CHANGE_PROMOTE, NODE_CHANGE_REPLACE};
    int leader = members_leader(o->members);
    enum node_change_kind kind = kinds[item->kind - ITEM_add];
    int subject = kind == NODE_CHANGE_ADD ? find_newcomer(o, a) : a;
    struct change *c = o->changes;
    while (c < o->changes + CHANGES_MAX && c->is_busy) {
        c++;
    }
    if (leader < 0 || subject < 0 || c == o->changes + CHANGES_MAX ||
        o->members->items[leader].node == NULL || o->members->items[leader].is_fatal ||
        (kind == NODE_CHANGE_REMOVE && !may_remove(o, leader, subject, intact))) {
        return;
    }
    *c = (struct change){.operators = o,
                         .subject = subject,
                         .leader = leader,
                         .leader_starts = o->members->items[leader].starts,
                         .is_busy = true};
    c->change.kind = kind;
    c->change.done = on_changed;
    c->change.learner = kind == NODE_CHANGE_ADD && item->d != 0;
    snprintf(c->change.name, sizeof(c->change.name), "node-%d", subject + 1);
    if (kind == NODE_CHANGE_ADD) {
        snprintf(c->change.url, sizeof(c->change.url), "http://%s:4000", sim_hosts[subject]);
    }
    fake_process_post(o->members->items[leader].loop, ask, c);
}

/* Nothing is changed any more but what is in a log: by that it is decided who may be lost. */
void operators_end(struct operators *o)
{
    o->is_over = true;
    for (int i = 0; i < CHANGES_MAX; i++) {
        struct change *c = &o->changes[i];
        const struct sim_member *m = &o->members->items[c->leader];
        if (c->is_busy && c->is_asked && m->node != NULL && m->starts == c->leader_starts) {
            node_change_cancel(&c->change);
        }
        c->is_busy = false;
    }
}

bool operators_are_busy(const struct operators *o)
{
    for (int i = 0; i < CHANGES_MAX; i++) {
        if (o->changes[i].is_busy) {
            return true;
        }
    }
    return false;
}

void operators_tend(struct operators *o)
{
    for (int i = 0; i < CHANGES_MAX; i++) {
        struct change *c = &o->changes[i];
        const struct sim_member *m = &o->members->items[c->leader];
        if (c->is_busy && (m->node == NULL || m->starts != c->leader_starts)) {
            settle(c, false, c->is_asked);
        }
    }
}

struct operators *operators_create(struct sim_members *members)
{
    struct operators *o = mem_calloc(1, sizeof(*o));
    o->members = members;
    return o;
}

void operators_destroy(struct operators *o)
{
    mem_free(o);
}
