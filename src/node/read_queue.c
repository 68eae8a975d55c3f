/* node/read_queue.c - client reads from the question to the answer.
 *
 *   reads_new      gathered in this turn
 *   reads_asked    the core was asked for an index, one token for all of a turn (rules Q1, Q2, Q5)
 *   reads_indexed  the index is known; served once it is applied here (rule Q4)
 *   reads_refused  the core said no; told at the end of the turn
 *   reads_session  waiting for the revision of a session token (rule Q7)
 *
 * A `done` may begin further requests, which step the core. So none is called while an output of
 * the core is still being read. */
#include "base/mem.h"
#include "node/node_internal.h"

/* For so long after a read with a bound on the lag the next one is expected. */
#define BEATS_WANTED_MS 10000

static struct node_read *read_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_read, link);
}

/* What a stale read asks is whether the leader can be heard. */
static void finish(struct node_read *r, enum status status)
{
    bool unheard = r->consistency == NODE_STALE && r->max_lag_ms > 0;
    list_remove(&r->link);
    if (r->node != NULL) {
        r->node->read_count--;
        r->node = NULL;
    }
    r->status =
        unheard && status != STATUS_OK && status != STATUS_OVERLOADED ? STATUS_BEHIND : status;
    r->done(r);
}

static void enqueue(struct node *n, struct list *head, struct node_read *r)
{
    r->node = n;
    r->deadline_ms = node_now(n) + n->options.request_timeout_ms;
    n->read_count++;
    list_push_back(head, &r->link);
}

static uint64_t leader_silence_ms(const struct node *n)
{
    if (node_is_leader(n)) {
        return 0;
    }
    if (raft_is_recovering(n->raft)) {
        return UINT64_MAX; /* it hears the leader, and may have lost what that had said */
    }
    return n->leader_contact_ms == 0 ? UINT64_MAX : node_now(n) - n->leader_contact_ms;
}

/* A leader at rest is heard seldom: a read that needs it to have spoken lately asks it now, and for
 * some time it speaks as often as ever (raft.h, struct raft_wish). One that was not heard for an
 * election timeout is not at rest. */
static void start_stale(struct node *n, struct node_read *r)
{
    uint64_t silence_ms = leader_silence_ms(n);
    if (r->max_lag_ms > 0 && !node_is_leader(n)) {
        n->beats_until_ms = node_now(n) + BEATS_WANTED_MS;
    }
    if (r->max_lag_ms == 0 || silence_ms <= r->max_lag_ms) {
        finish(r, STATUS_OK);
    } else if (silence_ms < n->options.election_timeout_ms) {
        enqueue(n, &n->reads_new, r);
        n->turn_wanted = true;
    } else {
        finish(r, STATUS_BEHIND);
    }
}

static void start_session(struct node *n, struct node_read *r)
{
    struct kv_stats stats;
    kv_stats(n->kv, &stats);
    if (stats.revision >= r->min_revision) {
        finish(r, STATUS_OK);
    } else {
        enqueue(n, &n->reads_session, r);
    }
}

void node_read_start(struct node *n, struct node_read *r)
{
    list_init(&r->link);
    r->node = NULL;
    n->figures.reads++;
    if (n->raft == NULL || n->dead || n->stopped) {
        finish(r,
               r->consistency == NODE_STALE && r->max_lag_ms == 0 ? STATUS_OK : STATUS_NOT_LEADER);
        return;
    }
    if (n->agreement.is_quarantined) {
        finish(r, STATUS_BEHIND);
        return;
    }
    if (n->read_count >= LIMIT_WAITING_REQUESTS) {
        finish(r, STATUS_OVERLOADED);
        return;
    }
    switch (r->consistency) {
    case NODE_STALE:
        start_stale(n, r);
        break;
    case NODE_SESSION:
        start_session(n, r);
        break;
    case NODE_LINEARIZABLE:
        enqueue(n, &n->reads_new, r);
        n->turn_wanted = true;
        break;
    }
}

void node_read_cancel(struct node_read *r)
{
    if (r->node == NULL) {
        return;
    }
    r->node->read_count--;
    r->node = NULL;
    list_remove(&r->link);
}

void node_reads_ask(struct node *n)
{
    if (list_is_empty(&n->reads_new)) {
        return;
    }
    uint64_t token = ++n->read_token;
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_READ};
    input.token = token;
    enum status s = raft_step(n->raft, &input);
    struct list *head = &n->reads_new;
    for (struct list *at = head->next; at != head; at = at->next) {
        read_of(at)->token = token;
    }
    if (s == STATUS_OK) {
        list_splice_back(&n->reads_asked, head);
        return;
    }
    while (!list_is_empty(head)) {
        finish(read_of(head->next), s);
    }
}

void node_reads_on_answer(struct node *n, const struct raft_read *answer)
{
    /* Tokens grow, and so the ones of this answer stand together; those before it may still
     * wait. */
    struct list *head = &n->reads_asked;
    struct list *at = head->next;
    while (at != head && read_of(at)->token <= answer->token) {
        struct list *next = at->next;
        struct node_read *r = read_of(at);
        if (r->token == answer->token) {
            r->index = answer->index;
            r->status = answer->status;
            list_remove(&r->link);
            bool is_ok = answer->status == STATUS_OK;
            list_push_back(is_ok ? &n->reads_indexed : &n->reads_refused, &r->link);
        }
        at = next;
    }
}

void node_reads_on_turn(struct node *n)
{
    while (!list_is_empty(&n->reads_refused)) {
        struct node_read *r = read_of(n->reads_refused.next);
        finish(r, r->status);
    }
    /* Indexes of later answers are never smaller: commit only grows. */
    while (!list_is_empty(&n->reads_indexed) &&
           read_of(n->reads_indexed.next)->index <= n->applied) {
        finish(read_of(n->reads_indexed.next), STATUS_OK);
    }
    if (list_is_empty(&n->reads_session)) {
        return;
    }
    struct kv_stats stats;
    kv_stats(n->kv, &stats);
    struct list ready;
    list_init(&ready);
    struct list *head = &n->reads_session;
    for (struct list *at = head->next, *next; at != head; at = next) {
        next = at->next;
        if (stats.revision >= read_of(at)->min_revision) {
            list_remove(at);
            list_push_back(&ready, at);
        }
    }
    while (!list_is_empty(&ready)) {
        finish(read_of(ready.next), STATUS_OK);
    }
}

bool node_reads_wait(const struct node *n)
{
    return !list_is_empty(&n->reads_asked) || !list_is_empty(&n->reads_indexed) ||
           !list_is_empty(&n->reads_session);
}

static void expire_list(struct list *head, uint64_t now_ms, enum status status)
{
    while (!list_is_empty(head) && read_of(head->next)->deadline_ms <= now_ms) {
        finish(read_of(head->next), status);
    }
}

void node_reads_expire(struct node *n, uint64_t now_ms)
{
    expire_list(&n->reads_new, now_ms, STATUS_NO_QUORUM);
    expire_list(&n->reads_asked, now_ms, STATUS_NO_QUORUM);
    expire_list(&n->reads_indexed, now_ms, STATUS_BEHIND);
    expire_list(&n->reads_session, now_ms, STATUS_BEHIND);
}

void node_reads_fail_all(struct node *n)
{
    node_reads_expire(n, UINT64_MAX);
}

uint64_t node_reads_deadline(const struct node *n)
{
    const struct list *const lists[] = {&n->reads_new, &n->reads_asked, &n->reads_indexed,
                                        &n->reads_session};
    uint64_t earliest = UINT64_MAX;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (!list_is_empty(lists[i])) {
            uint64_t deadline_ms = read_of(lists[i]->next)->deadline_ms;
            earliest = deadline_ms < earliest ? deadline_ms : earliest;
        }
    }
    return earliest;
}
