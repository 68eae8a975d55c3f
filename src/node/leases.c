/* node/leases.c - see leases.h: deadlines, and the expiries that follow from them.
 *
 * A lease that is gone from the store keeps its deadline until that is due, or until it is swept:
 * every new lease looks at a few old ones, so that there are never many more deadlines than
 * leases. */
#include "node/leases.h"

#include "base/log.h"
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "node/node_internal.h"

#include <inttypes.h>
#include <string.h>

/* Leases that get a deadline in one turn; a leader begins with those of the whole store. */
#define NEW_LEASES_STEP 2048
/* Buckets that a new lease sweeps: the whole table, while it grows by half. */
#define SWEEP_STEP      2
#define BUCKETS_MIN     64u

struct lease_clock {
    struct timer timer; /* `at_ms` is the deadline */
    struct lease_clock *next;
    uint64_t id;
    uint64_t grant;
    struct list link;
    bool is_expiring; /* proposed: `timer` is stopped */
};

/* What there is to do is seen in the turn that it brings. */
static void on_timer(struct timer *t)
{
    (void)t;
}

static struct lease_clock *clock_of_timer(struct timer *t)
{
    return CONTAINER_OF(t, struct lease_clock, timer);
}

/* --- the table -------------------------------------------------------------------------------- */

/* Clients choose ids: any bit may be the only one that differs. */
static uint32_t bucket_of(const struct leases *l, uint64_t id)
{
    uint64_t mixed = (id ^ (id >> 32)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> 32) & (l->bucket_count - 1);
}

static struct lease_clock *find(const struct leases *l, uint64_t id)
{
    struct lease_clock *c = l->count > 0 ? l->buckets[bucket_of(l, id)] : NULL;
    while (c != NULL && c->id != id) {
        c = c->next;
    }
    return c;
}

static void grow(struct leases *l)
{
    struct lease_clock **old = l->buckets;
    uint32_t old_count = l->bucket_count;
    l->bucket_count = old_count > 0 ? 2 * old_count : BUCKETS_MIN;
    l->buckets = mem_calloc(l->bucket_count, sizeof(*l->buckets));
    l->swept = 0;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct lease_clock *c = old[i], *next; c != NULL; c = next) {
            next = c->next;
            struct lease_clock **bucket = &l->buckets[bucket_of(l, c->id)];
            c->next = *bucket;
            *bucket = c;
        }
    }
    mem_free(old);
}

static void drop(struct leases *l, struct lease_clock *c)
{
    struct lease_clock **at = &l->buckets[bucket_of(l, c->id)];
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    l->count--;
    timer_heap_stop(&l->deadlines, &c->timer);
    list_remove(&c->link);
    mem_free(c);
}

static bool is_there(const struct node *n, const struct lease_clock *c)
{
    struct kv_lease lease;
    return kv_lease_get(n->kv, c->id, &lease) && lease.grant == c->grant;
}

static void sweep(struct node *n)
{
    struct leases *l = &n->leases;
    for (uint32_t i = 0; i < SWEEP_STEP; i++) {
        l->swept = (l->swept + 1) & (l->bucket_count - 1);
        for (struct lease_clock *c = l->buckets[l->swept], *next; c != NULL; c = next) {
            next = c->next;
            if (!c->is_expiring && !is_there(n, c)) {
                drop(l, c);
            }
        }
    }
}

static void set_deadline(struct node *n, struct lease_clock *c, uint64_t ttl_s)
{
    timer_heap_start(&n->leases.deadlines, &c->timer, node_now(n) + ttl_s * 1000);
}

/* With its whole TTL, if it is new. */
static struct lease_clock *clock_of(struct node *n, const struct kv_lease *lease)
{
    struct leases *l = &n->leases;
    struct lease_clock *c = find(l, lease->id);
    if (c != NULL && c->grant == lease->grant) {
        return c;
    }
    if (c == NULL) {
        if (l->count == l->bucket_count) {
            grow(l);
        }
        sweep(n);
        c = mem_calloc(1, sizeof(*c));
        c->id = lease->id;
        c->timer.fire = on_timer; /* never called: those that are due are taken out */
        list_init(&c->link);
        struct lease_clock **bucket = &l->buckets[bucket_of(l, c->id)];
        c->next = *bucket;
        *bucket = c;
        l->count++;
    }
    c->grant = lease->grant; /* of the same id, and another lease: an expiry under way is stale */
    c->is_expiring = false;
    list_remove(&c->link);
    set_deadline(n, c, lease->ttl_s);
    return c;
}

/* --- running ---------------------------------------------------------------------------------- */

static void finish_undecided(struct node *n, enum status status)
{
    struct list *head = &n->leases.undecided;
    while (!list_is_empty(head)) {
        node_lease_finish(CONTAINER_OF(head->next, struct node_lease_ask, link), status);
    }
}

static void forget_all(struct leases *l)
{
    timer_heap_deinit(&l->deadlines);
    for (uint32_t i = 0; i < l->bucket_count; i++) {
        for (struct lease_clock *c = l->buckets[i], *next; c != NULL; c = next) {
            next = c->next;
            mem_free(c);
        }
    }
    mem_free(l->buckets);
    l->buckets = NULL;
    l->bucket_count = 0;
    l->count = 0;
    list_init(&l->expiring);
}

void node_leases_stop(struct node *n)
{
    struct leases *l = &n->leases;
    if (l->term == 0) {
        return;
    }
    forget_all(l);
    l->term = 0;
    l->seen = 0;
    l->expiry_index = 0;
    n->loop->ops->timer_stop(n->loop, &l->timer);
    finish_undecided(n, STATUS_NOT_LEADER);
}

/* Rule T1: before an entry of this term is committed, the store may not have all that was granted
 * or ended before. */
static bool update_running(struct node *n)
{
    bool runs = node_is_leader(n) && raft_leader_is_established(n->raft);
    uint64_t term = runs ? raft_term_now(n->raft) : 0;
    if (term != n->leases.term) {
        node_leases_stop(n);
        n->leases.term = term;
    }
    return runs;
}

static void take_new(struct node *n)
{
    struct kv_lease lease;
    uint32_t taken = 0;
    while (taken < NEW_LEASES_STEP && kv_lease_next_grant(n->kv, n->leases.seen, &lease)) {
        n->leases.seen = lease.grant;
        (void)clock_of(n, &lease);
        taken++;
    }
    n->turn_wanted |= taken == NEW_LEASES_STEP;
}

/* --- expiry ----------------------------------------------------------------------------------- */

/* The entry that was under way is applied: nobody but this leader writes entries of its term. */
static void decide(struct node *n)
{
    struct leases *l = &n->leases;
    l->expiry_index = 0;
    while (!list_is_empty(&l->expiring)) {
        drop(l, CONTAINER_OF(l->expiring.next, struct lease_clock, link));
    }
    struct list decided; /* apart, since a `done` may ask again */
    list_init(&decided);
    list_splice_back(&decided, &l->undecided);
    while (!list_is_empty(&decided)) {
        struct list *first = list_pop_front(&decided);
        node_lease_answer(n, CONTAINER_OF(first, struct node_lease_ask, link));
    }
}

/* The entry is bounded by leases and by what it takes to apply it. */
static void gather_due(struct node *n, uint64_t now_ms)
{
    struct leases *l = &n->leases;
    uint64_t keys = 0;
    buf_clear(&l->expiry);
    for (uint32_t i = 0; i < LIMIT_LEASE_EXPIRY && keys < LIMIT_LEASE_EXPIRY_KEYS; i++) {
        struct timer *first = timer_heap_first(&l->deadlines);
        if (first == NULL || first->at_ms > now_ms) {
            return;
        }
        struct lease_clock *c = clock_of_timer(first);
        struct kv_lease lease;
        if (!kv_lease_get(n->kv, c->id, &lease)) {
            drop(l, c);
        } else if (lease.grant != c->grant) {
            (void)clock_of(n, &lease);
        } else {
            timer_heap_stop(&l->deadlines, &c->timer);
            c->is_expiring = true;
            list_push_back(&l->expiring, &c->link);
            kv_expiry_add(&l->expiry, c->id, c->grant);
            keys += lease.keys;
        }
    }
}

static void put_off(struct node *n, uint64_t until_ms)
{
    struct leases *l = &n->leases;
    while (!list_is_empty(&l->expiring)) {
        struct list *first = list_pop_front(&l->expiring);
        struct lease_clock *c = CONTAINER_OF(first, struct lease_clock, link);
        c->is_expiring = false;
        timer_heap_start(&l->deadlines, &c->timer, until_ms);
    }
}

static void propose_expiry(struct node *n, uint64_t now_ms)
{
    struct leases *l = &n->leases;
    gather_due(n, now_ms);
    if (list_is_empty(&l->expiring)) {
        return;
    }
    const struct kv_command command = {
        .op = KV_LEASE_EXPIRE,
        .time_ms = n->loop->ops->wall_ms(n->loop),
        .expiry = buf_slice(&l->expiry),
    };
    struct entry_id id;
    enum status s = node_propose(n, &command, &id);
    if (s != STATUS_OK) {
        put_off(n, now_ms + n->options.heartbeat_ms);
        return;
    }
    l->expiry_index = id.index;
}

/* Who leads in name only ends nothing: it would be for the next leader to commit. */
static bool may_expire(const struct node *n)
{
    return n->leases.expiry_index == 0 && !n->shutting_down && !raft_is_transferring(n->raft) &&
           !n->agreement.is_quarantined && !node_lacks_quorum(n);
}

static void set_timer(struct node *n, uint64_t now_ms)
{
    struct leases *l = &n->leases;
    const struct timer *first = timer_heap_first(&l->deadlines);
    if (first == NULL || l->expiry_index != 0) { /* what is applied brings a turn */
        n->loop->ops->timer_stop(n->loop, &l->timer);
        return;
    }
    uint64_t not_before = may_expire(n) ? now_ms : now_ms + n->options.heartbeat_ms;
    uint64_t at_ms = first->at_ms > not_before ? first->at_ms : not_before;
    if (l->timer.slot == 0 || l->timer.at_ms != at_ms) {
        n->loop->ops->timer_start(n->loop, &l->timer, at_ms);
    }
}

void node_leases_on_turn(struct node *n)
{
    if (!update_running(n)) {
        return;
    }
    struct leases *l = &n->leases;
    uint64_t now_ms = node_now(n);
    take_new(n);
    if (l->expiry_index != 0 && n->applied >= l->expiry_index) {
        decide(n);
    }
    const struct timer *first = timer_heap_first(&l->deadlines);
    if (first != NULL && first->at_ms <= now_ms && may_expire(n)) {
        propose_expiry(n, now_ms);
    }
    set_timer(n, now_ms);
}

/* --- who asks --------------------------------------------------------------------------------- */

void node_lease_answer(struct node *n, struct node_lease_ask *a)
{
    struct kv_lease lease;
    if (!update_running(n)) {
        node_lease_finish(a, STATUS_NOT_LEADER);
        return;
    }
    if (!kv_lease_get(n->kv, a->id, &lease)) {
        node_lease_finish(a, STATUS_NO_LEASE);
        return;
    }
    struct lease_clock *c = clock_of(n, &lease);
    if (a->question == NODE_LEASE_KEEP_ALIVE) {
        if (c->is_expiring) {
            list_push_back(&n->leases.undecided, &a->link);
            return;
        }
        set_deadline(n, c, lease.ttl_s);
    }
    uint64_t now_ms = node_now(n);
    bool is_due = c->is_expiring || c->timer.at_ms <= now_ms;
    a->ttl_s = lease.ttl_s;
    a->remaining_s = is_due ? 0 : (c->timer.at_ms - now_ms) / 1000;
    node_lease_finish(a, STATUS_OK);
}

uint64_t node_lease_ttl_min(const struct node *n)
{
    return (3 * (uint64_t)n->options.election_timeout_ms + 1999) / 2000;
}

/* --- birth and end ---------------------------------------------------------------------------- */

void node_leases_init(struct node *n)
{
    struct leases *l = &n->leases;
    struct list *const lists[] = {&l->expiring, &l->undecided, &l->asks_out, &l->asks_in};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        list_init(lists[i]);
    }
    l->timer = (struct timer){.fire = on_timer, .context = n};
}

void node_leases_destroy(struct node *n)
{
    struct leases *l = &n->leases;
    node_lease_asks_destroy(n);
    n->loop->ops->timer_stop(n->loop, &l->timer);
    forget_all(l);
    buf_deinit(&l->expiry);
}
