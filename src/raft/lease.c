/* Lease reads (rules Q6, Q6b): a leader that a quorum has just answered cannot have been replaced
 * yet, when the voters promised so.
 *
 *     leader  |--send------------------------- L ---------------->|
 *     voter            |--arrival------------ E ------------------------->|   no vote, no pre-vote
 *
 * With option lease_reads the leader's appends and heartbeats say `lease_ms` = its E. A voter then
 * grants nothing to anybody else for so long, counted from the arrival, and does not campaign. The
 * leader counts from sending, and a shorter time: L <= E * (1 - r) / (1 + r), so that even its
 * clock at 1 - r and a voter's at 1 + r leave no gap; two milliseconds less, since both clocks have
 * that grain. The voters keep the leader's number whatever their own E is.
 *
 * The promise outlives the voter's process: the longest one ever made is in the hard state, durable
 * before the answer by which the leader counts it, and kept after boot, to nobody in particular.
 *
 * What makes the lease void:
 *   - TIMEOUT_NOW, for the rest of the term: votes asked for by the leader's word pass all
 *     promises, and the word may be on its way for long;
 *   - step-down, since it belongs to the leadership;
 *   - a new configuration: only answers to what is sent from then on count.
 *
 * A leader's clock that jumps ahead ends its lease by itself, for the lease is a point in time.
 *
 * A promise to a leader that was replaced is moot: its lease had ended, or its successor would not
 * have been elected. */
#include "raft/raft_internal.h"

#define GRAIN_MS 2

/* --- the voter -------------------------------------------------------------------------------- */

void lease_init(struct raft *r, uint32_t promise_ms)
{
    r->lease = (struct lease){.longest_ms = promise_ms, .until_ms = r->now_ms + promise_ms};
}

void lease_promise(struct raft *r, const struct raft_message *m)
{
    struct lease *l = &r->lease;
    uint64_t until_ms = r->now_ms + m->lease_ms;
    l->until_ms = l->holder == m->from ? index_max(l->until_ms, until_ms) : until_ms;
    l->holder = m->from;
    if (m->lease_ms > l->longest_ms) {
        l->longest_ms = m->lease_ms;
    }
}

bool lease_forbids(const struct raft *r, node_id candidate)
{
    return r->now_ms < r->lease.until_ms && candidate != r->lease.holder;
}

/* --- the leader ------------------------------------------------------------------------------- */

uint32_t lease_asked_ms(const struct raft *r)
{
    return r->options.lease_reads ? r->options.election_timeout_ms : 0;
}

static uint64_t length_ms(const struct raft *r)
{
    uint64_t error = r->options.clock_rate_error_percent;
    uint64_t length = (uint64_t)r->options.election_timeout_ms * (100 - error) / (100 + error);
    return length > GRAIN_MS ? length - GRAIN_MS : 0;
}

void lease_begin(struct raft *r)
{
    r->leading.lease_from_ms = r->now_ms + 1;
}

void lease_end(struct raft *r)
{
    r->leading.lease_from_ms = UINT64_MAX;
}

void lease_void(struct raft *r)
{
    if (r->leading.lease_from_ms != UINT64_MAX) {
        lease_begin(r);
    }
}

bool lease_is_valid(const struct raft *r, uint64_t now_ms)
{
    if (!r->options.lease_reads || !leader_is_established(r)) {
        return false;
    }
    uint64_t sent_ms = leader_quorum_contact_ms(r);
    return sent_ms >= r->leading.lease_from_ms && now_ms < sent_ms + length_ms(r);
}

bool raft_lease_read(struct raft *r, uint64_t now_ms, raft_index *index)
{
    if (!lease_is_valid(r, index_max(now_ms, r->now_ms))) {
        return false;
    }
    *index = r->commit;
    return true;
}
