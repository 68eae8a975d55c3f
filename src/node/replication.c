/* node/replication.c - what a member wants of its leader; and the retry queue as a view (row C10):
 * how far each member is, as its leader knows it. Nothing is ever dropped from it: what a member
 * lacks is in the log, or in a snapshot. */
#include "node/node_internal.h"

#include <stdio.h>

static const char *state_of(const struct raft_progress_view *view)
{
    if (view->needs_snapshot) {
        return "snapshot";
    }
    if (view->recovering) {
        return "recovering";
    }
    return view->probing ? "probe" : "replicate";
}

enum status node_replication_get(const struct node *n, struct node_replication *r)
{
    if (!node_is_leader(n)) {
        return STATUS_NOT_LEADER;
    }
    r->term = raft_term_now(n->raft);
    r->commit_index = raft_commit(n->raft);
    r->last_index = raft_last(n->raft).index;
    r->count = 0;
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        struct raft_progress_view view;
        node_id id = uuid_short(m->incarnation);
        if (id == n->self || !raft_progress_of(n->raft, id, &view)) {
            continue;
        }
        struct node_replica *replica = &r->replicas[r->count++];
        snprintf(replica->name, sizeof(replica->name), "%s", m->name);
        replica->state = state_of(&view);
        replica->match = view.match;
        replica->next = view.next;
        replica->backlog = r->last_index > view.match ? r->last_index - view.match : 0;
        struct peer_trouble trouble;
        peers_trouble(n->peers, m->incarnation, m->url, &trouble);
        replica->attempts = trouble.attempts;
        snprintf(replica->last_error, sizeof(replica->last_error), "%s", trouble.text);
    }
    return STATUS_OK;
}

/* Somebody here waits for what the leader has committed; or, of a leader, somebody who was promised
 * that all members have it might look there. */
static bool waits_for_commits(const struct node *n)
{
    if (node_is_leader(n)) {
        return n->ack_all_index > n->applied || !list_is_empty(&n->writes_all);
    }
    struct kv_watch_stats watches;
    kv_watch_hub_stats(n->watches, &watches);
    return watches.watches > 0 || node_reads_wait(n) || !list_is_empty(&n->forwards_out);
}

/* Who is here may be content with hearing less of the leader. */
void node_tell_wish(struct node *n)
{
    bool beats = n->beats_until_ms > 0 && node_now(n) < n->beats_until_ms;
    raft_set_wish(n->raft, (struct raft_wish){.waits = waits_for_commits(n), .beats = beats});
}
