/* node/catch_up.c - what a leader tells of a member that comes back (row D9): how much it is sent,
 * and when it has everything. Only words; what is sent is the core's business. */
#include "base/log.h"
#include "node/node_internal.h"

#include <inttypes.h>

static struct catch_up *find(struct node *n, struct uuid peer, node_id *id)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        if (uuid_equal(n->members.members[i].incarnation, peer)) {
            *id = uuid_short(peer);
            return &n->catch_ups[i];
        }
    }
    return NULL;
}

void node_catch_up_on_link(struct node *n, struct uuid peer, bool is_up)
{
    node_id id;
    struct catch_up *c = find(n, peer, &id);
    struct raft_progress_view view;
    if (c == NULL || c->is_up == is_up) {
        return; /* a second link, or a new hello on the old one */
    }
    *c = (struct catch_up){.is_up = is_up};
    if (!is_up || !raft_progress_of(n->raft, id, &view)) {
        return;
    }
    raft_index last = raft_last(n->raft).index;
    const char *name = node_member_by_id(n, id)->name;
    if (view.match == 0) {
        c->target = last; /* this leader has not heard yet what it holds */
    } else if (view.match < last) {
        c->target = last;
        log_info("%s is back: sending %" PRIu64 " entries after index=%" PRIu64, name,
                 last - view.match, view.match);
    }
}

void node_catch_up_on_turn(struct node *n)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct catch_up *c = &n->catch_ups[i];
        struct raft_progress_view view;
        node_id id = uuid_short(n->members.members[i].incarnation);
        if (c->target == 0) {
            continue;
        }
        if (!raft_progress_of(n->raft, id, &view)) {
            c->target = 0; /* another leads now */
        } else if (view.match >= c->target) {
            c->target = 0;
            log_info("%s has everything index=%" PRIu64, n->members.members[i].name, view.match);
        }
    }
}
