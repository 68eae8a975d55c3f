/* node/catch_up.c - what is told of a member that comes back (rows C10, D9): its leader says how
 * much it is sent, and when it has everything; the member itself says how much came. Only words;
 * what is sent is the core's business. */
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

/* A member that has heard its leader so often has what it lacked, or it is long and still comes. */
#define BEATS_MAX 20

static struct catch_up *find(struct node *n, struct uuid peer)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        if (uuid_equal(n->members.members[i].incarnation, peer)) {
            return &n->catch_ups[i];
        }
    }
    return NULL;
}

/* --- at the leader ---------------------------------------------------------------------------- */

static void tell_sending(struct catch_up *c, const char *name)
{
    if (c->is_known && !c->is_told && c->holds < c->target) {
        c->is_told = true;
        log_info("%s is back: sending %" PRIu64 " entries after index=%" PRIu64, name,
                 c->target - c->holds, c->holds);
    }
}

static void begin_sending(struct node *n, struct catch_up *c, node_id id)
{
    struct raft_progress_view view;
    raft_index last = raft_last(n->raft).index;
    if (!raft_progress_of(n->raft, id, &view) || view.match >= last) {
        return;
    }
    c->target = last;
    /* 0: this leader has not heard yet what it holds, and tries what it had itself when it began
     * to lead. */
    c->is_known = view.match > 0;
    c->holds = c->is_known ? view.match : view.next - 1;
    tell_sending(c, node_member_by_id(n, id)->name);
}

static void tell_sent(const struct catch_up *c, const char *name, raft_index match)
{
    if (c->holds >= c->target) {
        log_info("%s has everything index=%" PRIu64, name, match);
    } else if (c->by_snapshot) {
        log_info("Replicated a snapshot to %s: it has everything index=%" PRIu64, name, match);
    } else {
        log_info("Replicated %" PRIu64 " entries to %s: it has everything index=%" PRIu64,
                 match - c->holds, name, match);
    }
}

void node_catch_up_on_turn(struct node *n)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct catch_up *c = &n->catch_ups[i];
        const char *name = n->members.members[i].name;
        struct raft_progress_view view;
        if (c->target == 0) {
            continue;
        }
        if (!raft_progress_of(n->raft, uuid_short(n->members.members[i].incarnation), &view)) {
            c->target = 0; /* another leads now */
            continue;
        }
        c->by_snapshot |= view.needs_snapshot;
        if (view.probing && view.next <= c->holds) {
            c->holds = view.next - 1; /* it refused what follows later entries */
            c->is_known = true;
        }
        if (!c->by_snapshot) {
            tell_sending(c, name);
        }
        if (view.match >= c->target) {
            tell_sent(c, name, view.match);
            c->target = 0;
        }
    }
}

/* --- at the member ---------------------------------------------------------------------------- */

void node_catch_up_on_heartbeat(struct node *n)
{
    struct catching_up *own = &n->catching_up;
    if (own->beats_left == 0) {
        return;
    }
    raft_index last = raft_last(n->raft).index;
    own->from = last < own->from ? last : own->from; /* what nobody else had was dropped */
    own->beats_left--;
    if (last > own->from && (last == own->seen || own->beats_left == 0)) {
        const struct roster_member *leader = node_member_by_id(n, raft_leader(n->raft));
        own->beats_left = 0;
        log_info("Replicated %" PRIu64 " entries from %s index=%" PRIu64, last - own->from,
                 leader != NULL ? leader->name : "the leader", last);
    }
    own->seen = last;
}

/* --- links ------------------------------------------------------------------------------------ */

void node_catch_up_on_link(struct node *n, struct uuid peer, bool is_up, bool leads)
{
    struct catch_up *c = find(n, peer);
    if (c == NULL || c->is_up == is_up) {
        return; /* a second link, or a new hello on the old one */
    }
    *c = (struct catch_up){.is_up = is_up};
    if (is_up && leads) {
        n->catching_up =
            (struct catching_up){.from = raft_last(n->raft).index, .beats_left = BEATS_MAX};
    } else if (is_up) {
        begin_sending(n, c, uuid_short(peer));
    }
}
