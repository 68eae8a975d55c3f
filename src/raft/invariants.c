#include "raft/invariants.h"

#include "raft/raft_internal.h"

#include <string.h>

static void check_log(const struct raft *r)
{
    const struct raft_log *log = &r->log;
    CHECK((log->base.index == 0) == (log->base.term == 0));
    CHECK_CMP(log->base.index, <=, index_min(log->last, r->commit));
    CHECK((log->run_count == 0) == (log->last == log->base.index));
    CHECK(log->run_count == 0 || log->runs[0].index == log->base.index + 1);
    CHECK(log->run_count == 0 || log->runs[0].term >= log->base.term);
    for (uint32_t i = 0; i < log->run_count; i++) {
        CHECK(log->runs[i].term > 0 && log->runs[i].index > 0);
        CHECK_CMP(log->runs[i].index, <=, log->last);
        CHECK(i == 0 || log->runs[i - 1].term < log->runs[i].term);
        CHECK(i == 0 || log->runs[i - 1].index < log->runs[i].index);
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        const struct raft_entry *entry = &log->entries[log->head + i];
        raft_term term = 0;
        CHECK(raft_log_term(log, raft_log_tail_first(log) + i, &term));
        CHECK_CMP(term, ==, entry->term);
        bytes += raft_entry_weight(entry);
    }
    CHECK_CMP(bytes, ==, log->bytes);
    CHECK_CMP(log->head + log->count, <=, log->capacity);
    CHECK_CMP(raft_log_last(log).term, <=, r->term);
    /* Whatever is not applied (or in a snapshot that will be) or not durable is still in memory. */
    CHECK_CMP(raft_log_tail_first(log), <=, index_max(r->applied, log->base.index) + 1);
    CHECK_CMP(raft_log_tail_first(log), <=, r->durable.index + 1);
}

static void check_durable(const struct raft *r)
{
    const struct durable *d = &r->durable;
    CHECK_CMP(r->commit, <=, r->log.last);
    CHECK_CMP(d->index, <=, r->log.last);
    CHECK_CMP(r->applied, <=, index_min(r->commit, durable_index(d))); /* rule R10 */
    CHECK_CMP(durable_index(d), <=, d->index);
    CHECK(!d->discard || d->install.index == r->install.id.index);
    CHECK((d->install.index != 0) == snapshot_is_awaited(r));
    CHECK(r->role == RAFT_FOLLOWER || !snapshot_is_awaited(r)); /* rule S5 */
    CHECK(r->role == RAFT_FOLLOWER || !d->recovering);          /* rule P4 */
    CHECK(!r->recovering.complete || d->recovering);
    CHECK_CMP(d->lease_promise_ms, <=, r->lease.longest_ms); /* rule Q6b */
    CHECK_CMP(d->term, <=, r->term);
    CHECK(d->term < r->term || d->vote == 0 || d->vote == r->vote); /* rule E1 */
    CHECK(!d->outstanding || (d->covers_last >= d->index && d->covers_last <= r->log.last));
    /* Rule R9: a cut takes all that it voids out of what the outstanding persist covers. */
    CHECK(d->truncate_from == 0 ||
          d->truncate_from == (d->outstanding ? d->covers_last : d->index) + 1);
    CHECK(raft_hard_state_is_durable(r) || r->role != RAFT_LEADER);
    for (uint32_t i = 0; i < r->out.held_count; i++) {
        CHECK_CMP(r->out.held[i].term, ==, r->term);
    }
}

static void check_role(const struct raft *r)
{
    CHECK((r->role == RAFT_LEADER) == (r->leader == r->options.self));
    CHECK(!r->barred || r->role == RAFT_FOLLOWER || r->role == RAFT_LEADER); /* rule P15b */
    CHECK(r->leader == 0 || r->role == RAFT_FOLLOWER || r->role == RAFT_LEADER);
    CHECK((r->role != RAFT_LEADER && r->role != RAFT_CANDIDATE) || r->vote == r->options.self);
    CHECK(r->transfer.target == 0 || r->role == RAFT_LEADER);
    if (r->role == RAFT_FOLLOWER && r->leader != 0) {
        CHECK_CMP(r->debt.verified, <=, r->log.last);
        CHECK_CMP(r->debt.told, <=, r->debt.verified); /* rule R5 */
    }
    if (r->election.timeout_ms > 0) { /* rule E2 */
        CHECK_CMP(r->election.timeout_ms, >=, r->options.election_timeout_ms);
        CHECK_CMP(r->election.timeout_ms, <, 2 * (uint64_t)r->options.election_timeout_ms);
    }
}

static bool configs_are_equal(const struct raft_config *a, const struct raft_config *b)
{
    return a->voter_count == b->voter_count && a->outgoing_count == b->outgoing_count &&
           a->learner_count == b->learner_count &&
           memcmp(a->voters, b->voters, sizeof(a->voters)) == 0 &&
           memcmp(a->outgoing, b->outgoing, sizeof(a->outgoing)) == 0 &&
           memcmp(a->learners, b->learners, sizeof(a->learners)) == 0;
}

/* Rules C2 and C3: the newest configuration of the log decides, and every one from the applied
 * state on is known. */
static void check_membership(const struct raft *r)
{
    const struct config_log *log = &r->configs;
    CHECK_CMP(log->items[0].id.index, <=, index_max(r->applied, r->log.base.index));
    raft_index first = raft_log_tail_first(&r->log);
    uint32_t known = 0;
    for (uint32_t i = 0; i < log->count; i++) {
        raft_index index = log->items[i].id.index;
        CHECK(i == 0 || index > log->items[i - 1].id.index);
        CHECK_CMP(index, <=, r->log.last);
        known += i > 0 && index >= first;
    }
    for (raft_index i = index_max(first, log->items[0].id.index + 1); i <= r->log.last; i++) {
        known -= raft_log_span(&r->log, i).entries->type == RAFT_ENTRY_CONFIG;
    }
    CHECK_CMP(known, ==, 0);
    const struct raft_config *newest = &log->items[log->count - 1].config;
    CHECK(configs_are_equal(newest, &r->config));
    for (uint32_t i = 0; i < r->member_count; i++) {
        node_id id = r->members[i].id;
        CHECK(config_has_voter(newest, id) || config_has_learner(newest, id));
    }
    CHECK(r->transfer.target == 0 || config_has_voter(newest, r->transfer.target));
    /* Rule C1. A new leader may not know yet that the older one is committed. */
    CHECK(!leader_is_established(r) || log->count < 2 ||
          log->items[log->count - 2].id.index <= r->commit);
}

static void check_progress(const struct raft *r, const struct progress *p)
{
    CHECK_CMP(p->match, <, p->next); /* rule R4 */
    CHECK_CMP(p->match, <=, r->log.last);
    CHECK_CMP(p->next, <=, r->log.last + 1);
    CHECK_CMP(p->acked_round, <=, r->reads.round);
    CHECK_CMP(p->commit_told, <=, r->commit);
    const struct inflight *w = &p->inflight; /* rule R7 */
    CHECK(w->count == 0 || !p->probing);
    CHECK(!p->snapshot || (p->probing && p->probe_sent)); /* rule S6 */
    CHECK_CMP(w->count, <=, w->capacity);
    uint64_t bytes = 0;
    raft_index last = p->match;
    for (uint32_t i = 0; i < w->count; i++) {
        const struct inflight_slot *slot = &w->slots[(w->head + i) % w->capacity];
        CHECK_CMP(slot->last, >, last);
        last = slot->last;
        bytes += slot->bytes;
    }
    CHECK_CMP(last, <, p->next);
    CHECK_CMP(bytes, ==, w->bytes);
    /* One message may pass the bound, a second may not. */
    uint64_t slack = w->count > 0 ? w->slots[(w->head + w->count - 1) % w->capacity].bytes : 0;
    CHECK(w->count <= 1 || w->bytes - slack < w->bytes_max);
}

static void check_leader(const struct raft *r)
{
    const struct leadership *l = &r->leading;
    CHECK_CMP(l->first, <=, r->log.last);
    uint64_t bytes = 0;
    uint32_t count = 0;
    for (raft_index i = index_max(r->commit, l->first) + 1; i <= r->log.last; i++) {
        bytes += raft_entry_payload_bytes(raft_log_span(&r->log, i).entries);
        count++;
    }
    CHECK_CMP(bytes, ==, l->uncommitted_bytes); /* rule O2 */
    CHECK_CMP(count, ==, l->uncommitted_entries);
    for (uint32_t i = 0; i < r->member_count; i++) {
        if (r->members[i].id != r->options.self) {
            check_progress(r, &r->members[i].progress);
        }
    }
}

static void check_reads(const struct raft *r)
{
    const struct reads *q = &r->reads;
    CHECK(r->leader != 0 || q->question_count + q->waiting.count + q->confirming.count == 0);
    CHECK(r->role == RAFT_LEADER || q->waiting.count + q->confirming.count == 0);
    CHECK(r->role != RAFT_LEADER || q->question_count == 0);
    CHECK((q->confirming.count > 0) == q->round_open);
    CHECK(!q->round_open || leader_is_established(r)); /* rule Q1 */
}

static void check_change(const struct raft *r, const struct raft_snapshot *previous)
{
    CHECK_CMP(r->term, >=, previous->term);
    CHECK_CMP(r->commit, >=, previous->commit);
    CHECK_CMP(r->now_ms, >=, previous->now_ms);
    CHECK_CMP(r->reads.round, >=, previous->round);
    CHECK(raft_apply_limit(r) >= previous->apply_to || snapshot_is_restoring(r));
    if (r->term > previous->term) {
        return;
    }
    CHECK(previous->vote == 0 || r->vote == previous->vote); /* rule E1 */
    if (r->role == RAFT_LEADER && r->commit > previous->commit) {
        raft_term term = 0;
        CHECK(raft_log_term(&r->log, r->commit, &term));
        CHECK_CMP(term, ==, r->term); /* rule R3 */
    }
    if (r->role == RAFT_LEADER && previous->role == RAFT_LEADER) {
        CHECK_CMP(r->log.last, >=, previous->last); /* a leader only appends */
        for (uint32_t i = 0; i < previous->member_count; i++) {
            const struct member *m = member_find(r, previous->members[i]);
            CHECK(m == NULL || m->progress.match >= previous->match[i] ||
                  m->progress.recovering); /* rules R4, P4 */
        }
    }
    /* One term, one leader; once seen it can only be forgotten, not replaced. */
    CHECK(previous->leader == 0 || r->leader == 0 || r->leader == previous->leader);
}

void raft_check_invariants(const struct raft *r, struct raft_snapshot *previous)
{
    check_log(r);
    check_durable(r);
    check_role(r);
    check_membership(r);
    check_reads(r);
    if (r->role == RAFT_LEADER) {
        check_leader(r);
    }
    if (previous->taken) {
        check_change(r, previous);
    }
    *previous = (struct raft_snapshot){.taken = true,
                                       .term = r->term,
                                       .vote = r->vote,
                                       .role = r->role,
                                       .leader = r->leader,
                                       .commit = r->commit,
                                       .last = r->log.last,
                                       .member_count = r->member_count,
                                       .round = r->reads.round,
                                       .now_ms = r->now_ms,
                                       .apply_to = raft_apply_limit(r)};
    for (uint32_t i = 0; i < r->member_count; i++) {
        previous->members[i] = r->members[i].id;
        previous->match[i] = r->members[i].progress.match;
    }
}
