/* node/leadership.c - handing leadership over: on request, on shutdown, and asking for it. */
#include "base/log.h"
#include "node/node_internal.h"

#include <string.h>

/* Contract: at most one campaign by hand per so many election timeouts. */
#define CAMPAIGN_PAUSE_ELECTION_TIMEOUTS 10
/* How long a stopping member waits for its last requests. */
#define SHUTDOWN_FINISH_MS               3000

static struct node_step_down *step_down_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_step_down, link);
}

static void finish(struct node_step_down *d, enum status status)
{
    list_remove(&d->link);
    d->node = NULL;
    d->status = status;
    d->done(d);
}

static bool find_voter(const struct node *n, const char *name, node_id *id)
{
    if (name[0] == '\0') {
        *id = 0;
        return true;
    }
    for (uint32_t i = 0; i < n->members.count; i++) {
        const struct roster_member *m = &n->members.members[i];
        *id = uuid_short(m->incarnation);
        if (strcmp(m->name, name) == 0 && *id != n->self && membership_votes(&n->config, *id)) {
            return true;
        }
    }
    return false;
}

enum status node_step_down_start(struct node *n, struct node_step_down *d)
{
    if (!node_is_leader(n)) {
        return STATUS_NOT_LEADER;
    }
    if (!list_is_empty(&n->step_downs)) {
        return STATUS_BUSY;
    }
    if (strcmp(d->to, n->name) == 0) {
        return STATUS_CONFLICT;
    }
    struct raft_input input = {.now_ms = node_now(n), .kind = RAFT_INPUT_TRANSFER};
    if (!find_voter(n, d->to, &input.target)) {
        return STATUS_NOT_FOUND;
    }
    d->term = raft_term_now(n->raft);
    enum status s = raft_step(n->raft, &input);
    if (s != STATUS_OK) {
        return s;
    }
    d->node = n;
    /* The core gives up after E; twice that also covers an election by the one who was asked. */
    d->deadline_ms = input.now_ms + 2ull * n->options.election_timeout_ms;
    list_push_back(&n->step_downs, &d->link);
    n->turn_wanted = true;
    return STATUS_OK;
}

void node_step_down_cancel(struct node_step_down *d)
{
    if (d->node != NULL) {
        d->node = NULL;
        list_remove(&d->link);
    }
}

/* Another member leads; a lone one leads a new term. */
static bool is_led_anew(const struct node *n, const struct node_step_down *d)
{
    node_id leader = raft_leader(n->raft);
    bool by_right_one = leader != 0 && (leader != n->self || n->config.voter_count == 1);
    return by_right_one && raft_term_now(n->raft) > d->term;
}

void node_leadership_on_turn(struct node *n, bool transfer_aborted)
{
    while (!list_is_empty(&n->step_downs)) {
        struct node_step_down *d = step_down_of(n->step_downs.next);
        if (is_led_anew(n, d)) {
            finish(d, STATUS_OK);
        } else if (transfer_aborted && node_is_leader(n)) {
            finish(d, STATUS_TIMEOUT);
        } else {
            return;
        }
    }
}

void node_leadership_expire(struct node *n, uint64_t now_ms)
{
    while (!list_is_empty(&n->step_downs) &&
           step_down_of(n->step_downs.next)->deadline_ms <= now_ms) {
        finish(step_down_of(n->step_downs.next),
               node_is_leader(n) ? STATUS_TIMEOUT : STATUS_NO_QUORUM);
    }
}

uint64_t node_leadership_deadline(const struct node *n)
{
    return list_is_empty(&n->step_downs) ? UINT64_MAX
                                         : step_down_of(n->step_downs.next)->deadline_ms;
}

void node_campaign(struct node *n)
{
    uint64_t now_ms = node_now(n);
    if (n->raft == NULL || now_ms < n->campaign_again_ms) {
        return;
    }
    n->campaign_again_ms =
        now_ms + (uint64_t)CAMPAIGN_PAUSE_ELECTION_TIMEOUTS * n->options.election_timeout_ms;
    log_info("asked to campaign");
    node_step(n, &(struct raft_input){.now_ms = now_ms, .kind = RAFT_INPUT_CAMPAIGN});
    n->turn_wanted = true;
}

/* --- shutdown --------------------------------------------------------------------------------- */

static bool is_quiet(const struct node *n)
{
    return n->write_count == 0 && n->read_count == 0 && n->leases.ask_count == 0 &&
           list_is_empty(&n->step_downs);
}

static void finish_shutdown(struct node *n)
{
    n->loop->ops->timer_stop(n->loop, &n->shutdown_timer);
    node_writes_fail_all(n);
    node_reads_fail_all(n);
    node_lease_asks_expire(n, UINT64_MAX);
    peers_close(n->peers);
    n->stopped = true;
    void (*done)(void *) = n->shutdown_done;
    if (done != NULL) {
        n->shutdown_done = NULL;
        done(n->shutdown_context);
    }
}

/* Looks every 20 ms whether the last requests have their answers; bounded. */
static void on_shutdown_timer(struct timer *t)
{
    struct node *n = t->context;
    if (is_quiet(n) || node_now(n) >= n->shutdown_step_down.deadline_ms) {
        finish_shutdown(n);
        return;
    }
    n->loop->ops->timer_start(n->loop, t, node_now(n) + 20);
}

static void wait_for_requests(struct node *n)
{
    n->shutdown_step_down.deadline_ms = node_now(n) + SHUTDOWN_FINISH_MS;
    n->loop->ops->timer_start(n->loop, &n->shutdown_timer, node_now(n));
}

static void on_handed_over(struct node_step_down *d)
{
    struct node *n = d->context;
    log_info(d->status == STATUS_OK ? "handed leadership over" : "nobody took leadership in time");
    wait_for_requests(n);
}

/* Somebody is there to take leadership; waiting for members that are gone would only take time. */
static bool has_successor(const struct node *n)
{
    for (uint32_t i = 0; i < n->members.count; i++) {
        struct uuid peer = n->members.members[i].incarnation;
        if (!uuid_equal(peer, n->identity.incarnation) && peers_is_up(n->peers, peer) &&
            membership_votes(&n->config, uuid_short(peer))) {
            return true;
        }
    }
    return false;
}

void node_shutdown(struct node *n, void (*done)(void *context), void *context)
{
    if (n->shutting_down) {
        return; /* a second signal changes nothing */
    }
    node_watches_close(n);
    n->shutdown_done = done;
    n->shutdown_context = context;
    n->shutdown_timer = (struct timer){.fire = on_shutdown_timer, .context = n};
    n->shutdown_step_down = (struct node_step_down){.done = on_handed_over, .context = n};
    if (has_successor(n) && !n->dead &&
        node_step_down_start(n, &n->shutdown_step_down) == STATUS_OK) {
        n->shutting_down = true;
        return;
    }
    n->shutting_down = true;
    wait_for_requests(n);
}
