/* Elections: pre-vote, vote, and the clocks that start them.
 *
 *                    timeout, E6b           pre-votes of a quorum           votes of a quorum
 *        follower --------------> precandidate --------------> candidate --------------> leader
 *            ^   \_____________________________________________/                           |
 *            |       lone voter, or TIMEOUT_NOW: no pre-vote                               |
 *            +------ higher term, a leader's message, a vote granted, quorum lost ---------+
 *
 * The vote belongs to the term (rule E1): only a higher term clears it, never a change of role. */
#include "raft/raft_internal.h"

#define LOST_ROUNDS_MAX      3
#define LOST_SLOT_MIN_MS     5
#define LOST_INTERVAL_MIN_MS 10
/* Longer than a pre-vote and the write of a vote should take. */
#define GATHERED_SLOT_MS     20

static void draw_timeout_since(struct raft *r, uint64_t started_ms)
{
    uint64_t base = r->options.election_timeout_ms;
    struct preference_slot slot = preference_slot(r); /* rule E10; else all of it */
    uint64_t width = slot.count > 1 && base >= slot.count ? base / slot.count : base;
    uint64_t from = width < base ? slot.rank * width : 0;
    r->election.slot = slot;
    r->election.early = false;
    r->election.timeout_ms = base + from + rng_below(&r->rng, width);
    r->election.started_ms = started_ms;
    r->election.deadline_ms = started_ms + r->election.timeout_ms;
}

static void draw_timeout(struct raft *r)
{
    draw_timeout_since(r, r->now_ms);
}

void election_init(struct raft *r)
{
    draw_timeout(r);
    if (raft_is_lone_voter(r)) {
        r->election.deadline_ms = r->now_ms;
    }
}

void election_ranks_changed(struct raft *r)
{
    struct preference_slot slot = preference_slot(r);
    const struct preference_slot *drawn = &r->election.slot;
    bool is_drawn = r->election.lost_leader == 0 && !r->election.early;
    if (r->role == RAFT_FOLLOWER && is_drawn && !raft_is_lone_voter(r) &&
        (slot.rank != drawn->rank || slot.count != drawn->count)) {
        draw_timeout_since(r, r->election.started_ms);
    }
}

bool election_may_campaign(const struct raft *r)
{
    return membership_may_lead(r) && !raft_is_recovering(r) && !snapshot_is_awaited(r);
}

uint64_t election_deadline(const struct raft *r)
{
    const struct election *e = &r->election;
    if (e->deadline_ms >= r->lease.until_ms) {
        return e->deadline_ms;
    }
    /* All promises end at about the same time; by chance, or nobody would win. */
    return r->lease.until_ms + e->timeout_ms - r->options.election_timeout_ms;
}

void become_follower(struct raft *r, raft_term term, node_id leader)
{
    CHECK_CMP(term, >=, r->term);
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
        outbox_drop_held(r);
    }
    reads_fail_all(r);
    transfer_clear(r);
    r->election.lost_leader = 0;
    r->election.by_transfer = false;
    /* Whoever leads has every committed entry, so all that is committed here agrees with it. */
    r->debt = (struct debt){.verified = r->commit};
    raft_set_role(r, RAFT_FOLLOWER);
    raft_set_leader(r, leader);
    draw_timeout(r);
}

static uint64_t vote_granted(const void *context, node_id id)
{
    const struct raft *r = context;
    const struct member *m = member_find(r, id);
    return m != NULL && m->granted;
}

/* Could still be granted; a leader that is known to be gone will not answer. */
static uint64_t vote_possible(const void *context, node_id id)
{
    const struct raft *r = context;
    const struct member *m = member_find(r, id);
    return m != NULL && !m->refused && (m->granted || id != r->election.lost_leader);
}

static bool votes_suffice(const struct raft *r)
{
    return quorum_value(&r->config, r, vote_granted) == 1;
}

static void clear_votes(struct raft *r)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        r->members[i].granted = false;
        r->members[i].refused = false;
    }
}

static void count_own_vote(struct raft *r)
{
    struct member *self = member_find(r, r->options.self);
    if (self != NULL) {
        self->granted = true;
    }
}

/* What a candidate may say of its log: what is durable (rule E3). */
static struct entry_id durable_tail(const struct raft *r)
{
    struct entry_id tail = {.index = durable_index(&r->durable)};
    CHECK(raft_log_term(&r->log, tail.index, &tail.term));
    return tail;
}

static void ask_voters(struct raft *r, enum raft_message_type type, raft_term term)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        node_id id = r->members[i].id;
        if (id == r->options.self || !config_has_voter(&r->config, id)) {
            continue;
        }
        struct raft_message m = message_to(r, type, id);
        m.term = term;
        m.last = durable_tail(r);
        m.transfer = type == RAFT_MSG_VOTE && r->election.by_transfer;
        outbox_send_now(r, &m);
    }
}

static void become_candidate(struct raft *r, bool by_transfer)
{
    CHECK(r->role != RAFT_LEADER);
    raft_set_leader(r, 0);
    r->term++;
    r->vote = r->options.self;
    outbox_drop_held(r);
    reads_fail_all(r);
    clear_votes(r);
    draw_timeout(r);
    r->election.by_transfer = by_transfer;
    r->election.asked = false;
    raft_set_role(r, RAFT_CANDIDATE);
}

static void become_precandidate(struct raft *r)
{
    CHECK(r->role != RAFT_LEADER);
    reads_fail_all(r);
    raft_set_leader(r, 0);
    clear_votes(r);
    draw_timeout(r);
    r->election.by_transfer = false;
    raft_set_role(r, RAFT_PRECANDIDATE);
    count_own_vote(r);
    ask_voters(r, RAFT_MSG_PREVOTE, r->term + 1);
}

void election_start(struct raft *r, bool by_transfer)
{
    CHECK(election_may_campaign(r));
    if (by_transfer || raft_is_lone_voter(r)) {
        become_candidate(r, by_transfer);
    } else {
        become_precandidate(r);
    }
}

/* Term and own vote are durable: now the vote counts, and the others may be asked (M39). */
void election_on_durable(struct raft *r)
{
    if (r->role != RAFT_CANDIDATE || r->election.asked || !raft_hard_state_is_durable(r)) {
        return;
    }
    r->election.asked = true;
    count_own_vote(r);
    if (votes_suffice(r)) {
        become_leader(r);
        return;
    }
    ask_voters(r, RAFT_MSG_VOTE, r->term);
}

static bool log_is_as_new(const struct raft *r, struct entry_id candidate)
{
    struct entry_id own = raft_log_last(&r->log);
    return candidate.term > own.term ||
           (candidate.term == own.term && candidate.index >= own.index);
}

bool election_is_sticky(const struct raft *r)
{
    return r->role == RAFT_LEADER ||
           (r->leader != 0 && r->now_ms < r->election.contact_ms + r->options.election_timeout_ms);
}

void election_on_prevote(struct raft *r, const struct raft_message *m)
{
    struct raft_message reply = message_to(r, RAFT_MSG_PREVOTE_REPLY, m->from);
    bool is_new = log_is_as_new(r, m->last);
    if (m->term > r->term && !election_is_sticky(r) && !lease_forbids(r, m->from) &&
        !raft_is_recovering(r) && is_new) {
        reply.term = m->term;
        outbox_send_now(r, &reply);
        return;
    }
    r->election.wanted |= !is_new && !election_is_sticky(r);
    reply.reject = true;
    outbox_send(r, &reply);
}

static uint32_t rank_without(const struct raft *r, node_id lost)
{
    const struct voter_pair who = {.id = r->options.self, .without = lost};
    return config_voter_rank(&r->config, &r->preference, who);
}

/* In a quick round (rule E6b) one that cannot be won any more is repeated after a slot of chance;
 * otherwise the timeout repeats it. */
static void on_refused(struct raft *r)
{
    struct election *e = &r->election;
    if (e->lost_leader == 0 || quorum_value(&r->config, r, vote_possible) == 1) {
        return;
    }
    if (e->lost_rounds == LOST_ROUNDS_MAX) {
        e->lost_leader = 0;
        return;
    }
    e->lost_rounds++;
    uint32_t rank = rank_without(r, e->lost_leader);
    uint64_t wait_ms = (uint64_t)rank * e->slot_ms + rng_below(&r->rng, e->slot_ms);
    e->deadline_ms = index_min(e->deadline_ms, r->now_ms + wait_ms);
}

static void count_answer(struct raft *r, const struct raft_message *m)
{
    struct member *member = member_find(r, m->from);
    if (member == NULL || member->granted || member->refused) {
        return;
    }
    member->granted = !m->reject;
    member->refused = m->reject;
    if (m->reject) {
        on_refused(r);
    }
}

void election_on_prevote_reply(struct raft *r, const struct raft_message *m)
{
    /* A grant echoes the term that was asked for, a refusal carries the voter's own (rule E4); one
     * that is higher was adopted before this is called (rule E5). */
    if (r->role != RAFT_PRECANDIDATE || (!m->reject && m->term != r->term + 1)) {
        return;
    }
    count_answer(r, m);
    if (votes_suffice(r)) {
        become_candidate(r, false);
    }
}

static void refuse_vote(struct raft *r, node_id candidate)
{
    struct raft_message reply = message_to(r, RAFT_MSG_VOTE_REPLY, candidate);
    reply.reject = true;
    outbox_send(r, &reply);
    outbox_event(r, RAFT_EVENT_VOTE_REFUSED, candidate, r->term);
}

/* Whatever this member is in its own configuration: the candidate decides whose vote counts (rule
 * E13), since its configuration may be the newer one. */
void election_on_vote(struct raft *r, const struct raft_message *m)
{
    CHECK_CMP(m->term, <=, r->term);
    bool is_free = r->vote == m->from || (r->vote == 0 && r->leader == 0);
    bool is_promised = !m->transfer && lease_forbids(r, m->from);
    if (m->term < r->term || !is_free || is_promised || raft_is_recovering(r) ||
        !log_is_as_new(r, m->last)) {
        refuse_vote(r, m->from);
        return;
    }
    CHECK(r->role != RAFT_LEADER && r->role != RAFT_CANDIDATE);
    if (r->role == RAFT_PRECANDIDATE) {
        become_follower(r, r->term, 0);
    }
    r->election.lost_leader = 0;
    r->election.gathered = true;
    r->vote = m->from;
    draw_timeout(r);
    struct raft_message reply = message_to(r, RAFT_MSG_VOTE_REPLY, m->from);
    outbox_send(r, &reply);
    outbox_event(r, RAFT_EVENT_VOTE_GRANTED, m->from, r->term);
}

void election_on_vote_reply(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_CANDIDATE || !r->election.asked) {
        return;
    }
    count_answer(r, m);
    if (votes_suffice(r)) {
        become_leader(r);
    }
}

void election_on_timeout_now(struct raft *r, const struct raft_message *m)
{
    if (r->role != RAFT_FOLLOWER || m->from != r->leader || !election_may_campaign(r) ||
        snapshot_is_restoring(r) || !config_has_voter(&r->config, r->options.self)) {
        return;
    }
    election_start(r, true);
}

bool election_on_contact(struct raft *r, node_id leader)
{
    if (r->role == RAFT_LEADER || (r->leader != 0 && r->leader != leader)) {
        return false; /* two leaders of one term: not a message of this protocol */
    }
    if (r->leader != leader) {
        become_follower(r, r->term, leader);
    }
    CHECK(r->role == RAFT_FOLLOWER);
    r->election.wanted = false;
    r->election.gathered = true;
    r->election.early = false;
    r->election.contact_ms = r->now_ms;
    r->election.started_ms = r->now_ms;
    r->election.deadline_ms = r->now_ms + r->election.timeout_ms;
    return true;
}

void election_on_lost(struct raft *r, const struct raft_input *input)
{
    struct election *e = &r->election;
    if (r->role != RAFT_FOLLOWER || r->leader == 0 || input->lost.leader != r->leader ||
        input->lost.term != r->term) {
        return;
    }
    if (e->was_lost && r->now_ms < e->lost_ms + LOST_INTERVAL_MIN_MS) {
        return;
    }
    e->was_lost = true;
    e->lost_ms = r->now_ms;
    outbox_event(r, RAFT_EVENT_LEADER_LOST, r->leader, r->term);
    node_id lost = r->leader;
    reads_fail_all(r);
    raft_set_leader(r, 0);
    if (!election_may_campaign(r)) {
        return;
    }
    e->lost_leader = lost;
    e->lost_rounds = 0;
    e->slot_ms = LOST_SLOT_MIN_MS;
    if (input->lost.sync_ms > LOST_SLOT_MIN_MS / 2) {
        e->slot_ms = 2 * (uint32_t)index_min(input->lost.sync_ms, r->options.election_timeout_ms);
    }
    uint32_t rank = rank_without(r, lost);
    uint64_t from_ms = index_max(r->now_ms, r->lease.until_ms);
    e->deadline_ms = index_min(election_deadline(r), from_ms + (uint64_t)rank * e->slot_ms);
}

/* Safe at any time, since it only asks. Where nobody can ever have led, it asks at once; else a
 * leader that lives has a heartbeat's time to say so. */
void election_on_gathered(struct raft *r)
{
    struct election *e = &r->election;
    if (e->gathered || r->role != RAFT_FOLLOWER || r->leader != 0 || !election_may_campaign(r)) {
        return;
    }
    e->gathered = true;
    bool is_new = r->term == 0 && raft_log_last(&r->log).index == 0;
    uint64_t from_ms =
        index_max(r->now_ms + (is_new ? 0 : r->options.heartbeat_ms), r->lease.until_ms);
    uint64_t at_ms = from_ms + (uint64_t)rank_without(r, 0) * GATHERED_SLOT_MS;
    if (at_ms < election_deadline(r)) {
        e->deadline_ms = at_ms;
        e->early = true;
    }
}

void election_on_time(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->now_ms < election_deadline(r)) {
        return;
    }
    if (!election_may_campaign(r)) {
        reads_fail_all(r);
        raft_set_leader(r, 0); /* it is gone all the same, and so may be this member's place */
        return;
    }
    if (r->role == RAFT_CANDIDATE && !r->election.asked) {
        draw_timeout(r); /* its disk hangs: nobody was asked, another term would not help */
        return;
    }
    outbox_event(r, RAFT_EVENT_ELECTION_TIMEOUT, r->term, r->now_ms - r->election.started_ms);
    election_start(r, false);
}
