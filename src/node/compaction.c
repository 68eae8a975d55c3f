/* node/compaction.c - rule P18: what of the history is too old is decided by the leader, in the
 * log; one decision at a time. */
#include "node/node_internal.h"

void node_maybe_compact(struct node *n)
{
    if (!node_is_leader(n) || !raft_leader_is_established(n->raft) || n->shutting_down ||
        n->applied < n->compaction_index) {
        return;
    }
    uint64_t wall_ms = n->loop->ops->wall_ms(n->loop);
    uint64_t due =
        kv_compaction_due(n->kv, wall_ms, n->options.history_ms, n->options.history_bytes);
    if (due == 0) {
        return;
    }
    const struct kv_command command = {.op = KV_COMPACT, .revision = due, .time_ms = wall_ms};
    struct entry_id id;
    if (node_propose(n, &command, &id) == STATUS_OK) {
        n->compaction_index = id.index;
    } /* refused: asked again with the next turn */
}

/* For the age of history; its size is looked at whenever something was applied. */
void node_on_compaction_timer(struct timer *t)
{
    struct node *n = t->context;
    node_maybe_compact(n);
    n->loop->ops->timer_start(n->loop, t, loop_about(n->loop, NODE_COMPACTION_CHECK_MS));
}
