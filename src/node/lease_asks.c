/* node/lease_asks.c - keeping leases alive, and asking how long they have: at the leader behind a
 * read that a majority confirms (rule T2), elsewhere by a note to the leader.
 *
 * One hop: who is asked and does not lead refuses. A question that is lost is not repeated here: to
 * keep a lease alive twice is no harm, so its client may. */
#include "base/codec.h"
#include "base/mem.h"
#include "node/leases.h"
#include "node/node_internal.h"

#include <string.h>

/* What another member asked of us. */
struct lease_asked {
    struct node_lease_ask ask;
    struct list link;
    struct node *node;
    struct uuid from;
    uint64_t number; /* the asker's */
};

static struct node_lease_ask *ask_of(struct list *link)
{
    return CONTAINER_OF(link, struct node_lease_ask, link);
}

static void detach(struct node_lease_ask *a)
{
    list_remove(&a->link);
    a->node->leases.ask_count--;
    a->node = NULL;
}

void node_lease_finish(struct node_lease_ask *a, enum status status)
{
    detach(a);
    a->status = status;
    a->done(a);
}

/* --- at the leader ---------------------------------------------------------------------------- */

/* Confirmed as of when it was asked, by who leads the same term still: a member that follows gets
 * its reads confirmed, too. */
static void on_confirmed(struct node_read *r)
{
    struct node_lease_ask *a = r->context;
    struct node *n = a->node;
    bool leads = node_is_leader(n) && raft_term_now(n->raft) == a->term;
    if (r->status == STATUS_OK && leads) {
        node_lease_answer(n, a);
    } else if (!leads) {
        node_lease_finish(a, STATUS_NOT_LEADER);
    } else {
        node_lease_finish(a, r->status == STATUS_BEHIND ? STATUS_NO_QUORUM : r->status);
    }
}

static void begin(struct node *n, struct node_lease_ask *a)
{
    list_init(&a->link);
    a->node = n;
    a->deadline_ms = node_now(n) + n->options.request_timeout_ms;
    a->ttl_s = 0;
    a->remaining_s = 0;
    n->leases.ask_count++;
    n->turn_wanted = true;
}

static enum status start_here(struct node *n, struct node_lease_ask *a)
{
    if (n->agreement.is_quarantined) {
        return STATUS_BUSY;
    }
    if (n->read_count >= LIMIT_WAITING_REQUESTS) {
        return STATUS_OVERLOADED;
    }
    begin(n, a);
    a->forward_number = 0;
    a->term = raft_term_now(n->raft);
    a->read =
        (struct node_read){.consistency = NODE_LINEARIZABLE, .done = on_confirmed, .context = a};
    node_read_start(n, &a->read);
    return STATUS_OK;
}

/* --- elsewhere -------------------------------------------------------------------------------- */

static enum status forward(struct node *n, struct node_lease_ask *a)
{
    const struct roster_member *leader = node_member_by_id(n, raft_leader(n->raft));
    if (leader == NULL || !peers_is_up(n->peers, leader->incarnation)) {
        return STATUS_NOT_LEADER;
    }
    if (!node_loads_knows_leases(n, leader->incarnation)) {
        return STATUS_UNSUPPORTED;
    }
    begin(n, a);
    a->forward_number = ++n->leases.ask_number;
    a->forwarded_to = leader->incarnation;
    list_push_back(&n->leases.asks_out, &a->link);
    buf_clear(&n->scratch);
    put_u64(&n->scratch, a->forward_number);
    put_u8(&n->scratch, (uint8_t)a->question);
    put_u64(&n->scratch, a->id);
    peers_send_note(n->peers, leader->incarnation, PEER_NOTE_LEASE_ASK, buf_slice(&n->scratch));
    return STATUS_OK;
}

enum status node_lease_start(struct node *n, struct node_lease_ask *a)
{
    if (n->raft == NULL || n->dead || n->stopped || n->shutting_down) {
        return STATUS_NOT_LEADER;
    }
    if (n->leases.ask_count >= LIMIT_LEASE_ASKS) {
        return STATUS_OVERLOADED;
    }
    return node_is_leader(n) ? start_here(n, a) : forward(n, a);
}

void node_lease_cancel(struct node_lease_ask *a)
{
    if (a->node != NULL) {
        node_read_cancel(&a->read);
        detach(a);
    }
}

void node_lease_on_reply(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    enum status status = node_status_of_wire(get_u8(&in));
    uint64_t ttl_s = get_u64(&in);
    uint64_t remaining_s = get_u64(&in);
    if (!reader_done(&in) || status == STATUS_UNKNOWN) {
        return;
    }
    struct list *head = &n->leases.asks_out;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct node_lease_ask *a = ask_of(at);
        if (a->forward_number == number && uuid_equal(a->forwarded_to, from)) {
            a->ttl_s = ttl_s;
            a->remaining_s = remaining_s;
            node_lease_finish(a, status);
            return;
        }
    }
}

/* --- asked by others -------------------------------------------------------------------------- */

static void reply(struct node *n, struct uuid to, uint64_t number, const struct node_lease_ask *a)
{
    buf_clear(&n->scratch);
    put_u64(&n->scratch, number);
    put_u8(&n->scratch, node_wire_status(a->status));
    put_u64(&n->scratch, a->ttl_s);
    put_u64(&n->scratch, a->remaining_s);
    peers_send_note(n->peers, to, PEER_NOTE_LEASE_REPLY, buf_slice(&n->scratch));
}

static void forget(struct lease_asked *f)
{
    list_remove(&f->link);
    f->node->leases.asks_in_count--;
    mem_free(f);
}

static void on_answered(struct node_lease_ask *a)
{
    struct lease_asked *f = a->context;
    reply(f->node, f->from, f->number, a);
    forget(f);
}

static enum status start_asked(struct node *n, struct node_lease_ask *a)
{
    if (!node_is_leader(n)) {
        return STATUS_NOT_LEADER;
    }
    return n->leases.asks_in_count > LIMIT_LEASE_ASKS_IN ? STATUS_OVERLOADED
                                                         : node_lease_start(n, a);
}

void node_lease_on_ask(struct node *n, struct uuid from, struct slice body)
{
    struct reader in = reader_of(body);
    uint64_t number = get_u64(&in);
    uint8_t question = get_u8(&in);
    uint64_t id = get_u64(&in);
    if (!reader_done(&in) || question > NODE_LEASE_REMAINING) {
        return; /* of a newer version: the asker's deadline tells its client */
    }
    struct lease_asked *f = mem_calloc(1, sizeof(*f));
    *f = (struct lease_asked){.node = n, .from = from, .number = number};
    f->ask = (struct node_lease_ask){.question = (enum node_lease_question)question,
                                     .id = id,
                                     .done = on_answered,
                                     .context = f};
    list_push_back(&n->leases.asks_in, &f->link);
    n->leases.asks_in_count++;
    f->ask.status = start_asked(n, &f->ask);
    if (f->ask.status != STATUS_OK) {
        reply(n, from, number, &f->ask);
        forget(f);
    }
}

/* --- ends ------------------------------------------------------------------------------------- */

static void forget_asked(struct lease_asked *f)
{
    node_lease_cancel(&f->ask);
    forget(f);
}

void node_lease_on_down(struct node *n, struct uuid peer)
{
    /* Its process may be gone, and the next one counts anew. */
    struct list *head = &n->leases.asks_in;
    for (struct list *at = head->next, *next; at != head; at = next) {
        next = at->next;
        struct lease_asked *f = CONTAINER_OF(at, struct lease_asked, link);
        if (uuid_equal(f->from, peer)) {
            forget_asked(f);
        }
    }
    struct list lost; /* apart, since a `done` may begin or cancel others */
    list_init(&lost);
    head = &n->leases.asks_out;
    for (struct list *at = head->next, *next; at != head; at = next) {
        next = at->next;
        if (uuid_equal(ask_of(at)->forwarded_to, peer)) {
            list_remove(at);
            list_push_back(&lost, at);
        }
    }
    while (!list_is_empty(&lost)) {
        node_lease_finish(ask_of(lost.next), STATUS_UNREACHABLE);
    }
}

static void expire_list(struct list *head, uint64_t now_ms, enum status status)
{
    while (!list_is_empty(head) && ask_of(head->next)->deadline_ms <= now_ms) {
        node_lease_finish(ask_of(head->next), status);
    }
}

void node_lease_asks_expire(struct node *n, uint64_t now_ms)
{
    expire_list(&n->leases.undecided, now_ms, STATUS_NO_QUORUM);
    expire_list(&n->leases.asks_out, now_ms, STATUS_UNREACHABLE);
}

/* Those that wait to be confirmed are among the reads. */
uint64_t node_lease_asks_deadline(const struct node *n)
{
    struct list *const lists[] = {n->leases.undecided.next, n->leases.asks_out.next};
    uint64_t earliest = UINT64_MAX;
    if (lists[0] != &n->leases.undecided) {
        earliest = ask_of(lists[0])->deadline_ms;
    }
    if (lists[1] != &n->leases.asks_out && ask_of(lists[1])->deadline_ms < earliest) {
        earliest = ask_of(lists[1])->deadline_ms;
    }
    return earliest;
}

void node_lease_asks_destroy(struct node *n)
{
    struct list *head = &n->leases.asks_in;
    while (!list_is_empty(head)) {
        forget_asked(CONTAINER_OF(head->next, struct lease_asked, link));
    }
}
