#include "lease_truth.h"

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "coverage.h"
#include "verdict.h"

#include <inttypes.h>

struct life {
    uint64_t id;
    uint64_t ttl_s;
    uint64_t granted_at; /* in the log */
    uint64_t ended_at;   /* 0 = it lives */
    raft_term term;      /* of its grant */
    bool was_kept;
    struct clock_reading since; /* it was granted, or last kept alive */
    const struct proposal *end; /* that ended it */
};

/* A leader asks for the end of some. */
struct proposal {
    raft_term term;
    uint32_t hash;
    int member;
    uint32_t starts;
    uint64_t started_ms; /* by its own clock, as all here */
    uint64_t local_ms;
    uint64_t moment;
    struct proposal *next;
};

static struct {
    struct life *lives; /* by grant number, which begins at 1 */
    uint64_t count;
    uint64_t capacity;
    uint64_t first_open;
    struct proposal *proposals; /* the newest first; owned */
    uint64_t moment;
} leases;

void lease_truth_begin(void)
{
    leases.count = 0;
    leases.first_open = 0;
    leases.moment = 0;
}

void lease_truth_end(void)
{
    while (leases.proposals != NULL) {
        struct proposal *p = leases.proposals;
        leases.proposals = p->next;
        mem_free(p);
    }
    mem_free(leases.lives);
    leases.lives = NULL;
    leases.capacity = 0;
}

static struct life *newest_life(uint64_t id)
{
    for (uint64_t i = leases.count; i > 0; i--) {
        if (leases.lives[i - 1].id == id) {
            return &leases.lives[i - 1];
        }
    }
    return NULL;
}

/* --- clocks ----------------------------------------------------------------------------------- */

static uint64_t local_now(const struct truth_member *m)
{
    return m->loop->ops->now_ms(m->loop);
}

static void read_clocks(struct clock_reading *r)
{
    *r = (struct clock_reading){.moment = ++leases.moment};
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *m = &truth.members[i];
        if (m->loop != NULL) {
            r->local_ms[i] = local_now(m);
            r->starts[i] = m->starts;
        }
    }
}

/* What the clock of who proposed an end counted from the reading on. Who started since counts from
 * its start: it leads since then at most. */
static uint64_t elapsed_ms(const struct clock_reading *since, const struct proposal *p)
{
    if (since->moment > p->moment) {
        return 0;
    }
    bool is_same = since->starts[p->member] == p->starts;
    return p->local_ms - (is_same ? since->local_ms[p->member] : p->started_ms);
}

/* --- ends ------------------------------------------------------------------------------------- */

static uint32_t hash_of(struct slice payload)
{
    return crc32c(3, payload.data, payload.size);
}

void lease_truth_on_propose(const struct truth_member *m, struct slice payload)
{
    struct kv_command command;
    if (truth.knobs[KNOB_leases] == 0 || kv_command_decode(payload, &command) != STATUS_OK ||
        command.op != KV_LEASE_EXPIRE) {
        return;
    }
    struct proposal *p = mem_alloc(sizeof(*p));
    *p = (struct proposal){.term = raft_term_now(m->raft),
                           .hash = hash_of(payload),
                           .member = truth_index(m),
                           .starts = m->starts,
                           .started_ms = m->started_ms,
                           .local_ms = local_now(m),
                           .moment = ++leases.moment,
                           .next = leases.proposals};
    leases.proposals = p;
}

static const struct proposal *find_proposal(uint64_t index)
{
    const struct known_entry *entry = truth.committed[index].entry;
    uint32_t hash = hash_of(slice_of(entry->payload, entry->size));
    for (const struct proposal *p = leases.proposals; p != NULL; p = p->next) {
        if (p->term == entry->term && p->hash == hash) {
            return p;
        }
    }
    verdict_fail("T3", "entry %" PRIu64 " ends leases, and no leader proposed it", index);
}

/* Rule T1. */
static void check_end(const struct life *l)
{
    uint64_t ms = elapsed_ms(&l->since, l->end);
    if (ms < l->ttl_s * 1000) {
        verdict_fail("T1",
                     "lease %" PRIu64 " of %" PRIu64 " s, granted by entry %" PRIu64
                     ", is ended by entry %" PRIu64 ": member %d proposed that %" PRIu64
                     " ms after it was %s",
                     l->id, l->ttl_s, l->granted_at, l->ended_at, l->end->member, ms,
                     l->was_kept ? "kept alive" : "granted");
    }
}

static void on_end(struct life *l, uint64_t index, const struct kv_command *command)
{
    l->ended_at = index;
    if (command->op == KV_LEASE_REVOKE) {
        coverage_hit(MARK_LEASE_REVOKED);
    } else if (command->op != KV_LEASE_EXPIRE) {
        coverage_hit(MARK_LEASE_WENT_WITH_ITS_KEY);
    } else {
        l->end = find_proposal(index);
        check_end(l);
        coverage_hit(MARK_LEASE_EXPIRED);
        if (l->end->term != l->term) {
            coverage_hit(MARK_LEASE_EXPIRED_IN_ANOTHER_TERM);
        }
        if (l->was_kept) {
            coverage_hit(MARK_LEASE_EXPIRED_AFTER_KEEP_ALIVE);
        }
    }
}

/* Rule T3: it names a grant that is over, of an id that somebody has again. */
static void mark_stale(const struct kv_command *command)
{
    struct reader r = reader_of(command->expiry);
    while (reader_left(&r) > 0) {
        uint64_t id = get_u64(&r);
        uint64_t grant = get_u64(&r);
        const struct model_lease *now = model_lease_of(truth.model, id);
        if (now != NULL && now->grant != grant) {
            coverage_hit(MARK_STALE_EXPIRY);
        }
    }
}

static const struct model_lease *newest_grant(void)
{
    for (uint32_t i = 0;; i++) {
        const struct model_lease *l = model_lease(truth.model, i);
        if (l == NULL || l->grant == leases.count + 1) {
            return l;
        }
    }
}

static void note_grant(uint64_t index)
{
    const struct model_lease *granted = newest_grant();
    if (leases.count == leases.capacity) {
        leases.capacity = leases.capacity * 2 + 16;
        leases.lives = mem_realloc(leases.lives, leases.capacity * sizeof(*leases.lives));
    }
    const struct life *before = newest_life(granted->id);
    if (before != NULL && before->ended_at != 0) {
        coverage_hit(MARK_LEASE_GRANTED_AGAIN);
    }
    struct life *l = &leases.lives[leases.count++];
    *l = (struct life){.id = granted->id,
                       .ttl_s = granted->ttl_s,
                       .granted_at = index,
                       .term = truth.committed[index].entry->term};
    read_clocks(&l->since);
}

void lease_truth_on_commit(uint64_t index, const struct kv_command *command)
{
    for (uint64_t i = leases.first_open; i < leases.count; i++) {
        struct life *l = &leases.lives[i];
        const struct model_lease *now = model_lease_of(truth.model, l->id);
        if (l->ended_at == 0 && (now == NULL || now->grant != i + 1)) {
            on_end(l, index, command);
        }
        leases.first_open += i == leases.first_open && l->ended_at != 0;
    }
    if (model_grants(truth.model) > leases.count) {
        note_grant(index);
    }
    if (command->op == KV_LEASE_EXPIRE) {
        mark_stale(command);
    }
}

/* --- what is said of leases ------------------------------------------------------------------- */

void lease_truth_ask(struct lease_question *q)
{
    q->committed = truth.committed_last;
    read_clocks(&q->reading);
}

/* It leads, and nobody does in a later term, which it would be the last to learn. */
static bool leads_still(const struct raft *r)
{
    if (r == NULL || raft_role(r) != RAFT_LEADER) {
        return false;
    }
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct raft *other = truth.members[i].raft;
        if (other != NULL && raft_role(other) == RAFT_LEADER &&
            raft_term_now(other) > raft_term_now(r)) {
            return false;
        }
    }
    return true;
}

/* From when on the answer counts: of who leads, from now on; else from when it was asked, since a
 * leader that was confirmed may be replaced before it hears of that, and counts from then. */
static void keep(struct life *l, const struct lease_question *q, const struct node_lease_ask *a,
                 int member)
{
    struct clock_reading since = q->reading;
    if (a->forward_number == 0 && leads_still(truth.members[member].raft)) {
        read_clocks(&since);
        coverage_hit(MARK_LEASE_KEPT_ALIVE);
    } else {
        coverage_hit(MARK_LEASE_KEPT_ALIVE_FROM_AFAR);
    }
    if (since.moment < l->since.moment) {
        return;
    }
    l->since = since;
    l->was_kept = true;
    if (l->end != NULL) {
        check_end(l); /* the answer was long under way */
    }
}

/* Rule T2. */
void lease_truth_answer(const struct lease_question *q, const struct node_lease_ask *a, int member)
{
    struct life *l = newest_life(a->id);
    if (truth.has_odd || (l != NULL && l->granted_at > q->committed)) {
        return; /* it may be of what was before */
    }
    if (a->status == STATUS_NO_LEASE) {
        if (l != NULL && l->ended_at == 0) {
            verdict_fail("T2", "member %d says that there is no lease %" PRIu64 ", and there is",
                         member, a->id);
        }
        coverage_hit(MARK_LEASE_NOT_THERE);
        return;
    }
    if (l == NULL || (l->ended_at != 0 && l->ended_at <= q->committed)) {
        verdict_fail("T2", "member %d says that lease %" PRIu64 " is there, and it is not", member,
                     a->id);
    }
    if (a->ttl_s != l->ttl_s || a->remaining_s > a->ttl_s) {
        verdict_fail("T2",
                     "member %d says that lease %" PRIu64 " has %" PRIu64 " of %" PRIu64
                     " s left, its TTL is %" PRIu64,
                     member, a->id, a->remaining_s, a->ttl_s, l->ttl_s);
    }
    if (a->question == NODE_LEASE_KEEP_ALIVE) {
        keep(l, q, a, member);
    }
}

uint32_t lease_truth_pending(uint64_t ttl_max_s)
{
    uint32_t count = 0;
    for (uint64_t i = leases.first_open; i < leases.count; i++) {
        count += leases.lives[i].ended_at == 0 && leases.lives[i].ttl_s <= ttl_max_s;
    }
    return count;
}
