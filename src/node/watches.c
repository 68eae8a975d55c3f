/* node/watches.c - watches in the turns of a member, and who waits for its having no leader. */
#include "node/node_internal.h"

void node_watches_begin(struct node *n)
{
    n->watches = kv_watch_hub_create(n->kv);
    list_init(&n->leader_guards);
    n->leaderless_since_ms = node_now(n);
}

void node_watches_destroy(struct node *n)
{
    if (n->watches != NULL) { /* it came to life */
        kv_watch_hub_close(n->watches);
        kv_watch_hub_destroy(n->watches);
    }
}

enum status node_watch_start(struct node *n, struct kv_watch *w)
{
    return n->shutting_down || n->dead ? STATUS_CLOSED : kv_watch_start(n->watches, w);
}

const struct kv_watch_hub *node_watch_hub(const struct node *n)
{
    return n->watches;
}

/* 0 = there is a leader. */
static uint64_t patience_ends_ms(const struct node *n)
{
    uint64_t patience_ms = (uint64_t)n->options.election_timeout_ms * LIMIT_NO_LEADER_TIMEOUTS;
    return n->leaderless_since_ms > 0 ? n->leaderless_since_ms + patience_ms : 0;
}

static void note_leader(struct node *n)
{
    if (raft_leader(n->raft) != 0) {
        n->leaderless_since_ms = 0;
    } else if (n->leaderless_since_ms == 0) {
        n->leaderless_since_ms = node_now(n);
    }
}

void node_watches_on_turn(struct node *n)
{
    note_leader(n);
    n->turn_wanted |= kv_watch_hub_step(n->watches);
}

void node_watches_before_compaction(struct node *n)
{
    kv_watch_hub_flush(n->watches);
}

void node_watches_close(struct node *n)
{
    kv_watch_hub_close(n->watches);
}

bool node_leader_guard_start(struct node *n, struct node_leader_guard *g)
{
    uint64_t ends_ms = patience_ends_ms(n);
    list_init(&g->link);
    if (ends_ms > 0 && node_now(n) >= ends_ms) {
        return false;
    }
    list_push_back(&n->leader_guards, &g->link);
    return true;
}

void node_leader_guard_cancel(struct node_leader_guard *g)
{
    list_remove(&g->link);
}

uint64_t node_leader_guards_deadline(const struct node *n)
{
    uint64_t ends_ms = patience_ends_ms(n);
    return ends_ms > 0 && !list_is_empty(&n->leader_guards) ? ends_ms : UINT64_MAX;
}

void node_leader_guards_expire(struct node *n, uint64_t now_ms)
{
    if (node_leader_guards_deadline(n) > now_ms) {
        return;
    }
    struct list *at;
    while ((at = list_pop_front(&n->leader_guards)) != NULL) {
        struct node_leader_guard *g = CONTAINER_OF(at, struct node_leader_guard, link);
        g->lost(g);
    }
}
