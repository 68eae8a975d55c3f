#include "watch_queues.h"

#include "base/limits.h"
#include "verdict.h"

#include <inttypes.h>

/* Beside what was proposed there may be the entry that leaves a joint configuration (rule C9). */
#define ENTRIES_BEYOND 1u

static void check(int member, const char *what, uint64_t is, uint64_t most)
{
    if (is > most) {
        verdict_fail("I19", "member %d: %s are %" PRIu64 ", at most %" PRIu64, member, what, is,
                     most);
    }
}

static uint64_t bound(enum knob knob, uint64_t production)
{
    return truth.knobs[knob] != 0 ? truth.knobs[knob] : production;
}

void watch_queues_of_core(const struct truth_member *m)
{
    int member = truth_index(m);
    struct raft_figures f = raft_figures(m->raft);
    check(member, "uncommitted entries", f.uncommitted_entries,
          bound(KNOB_uncommitted_entries, LIMIT_UNCOMMITTED_ENTRIES) + ENTRIES_BEYOND);
    check(member, "uncommitted bytes", f.uncommitted_bytes, LIMIT_UNCOMMITTED_BYTES);
    for (uint32_t i = 0; i < truth.member_count; i++) {
        struct raft_progress_view view;
        if (truth.members[i].id != 0 && raft_role(m->raft) == RAFT_LEADER &&
            raft_progress_of(m->raft, truth.members[i].id, &view)) {
            check(member, "messages under way", view.inflight,
                  bound(KNOB_inflight_messages, LIMIT_INFLIGHT_MESSAGES));
        }
    }
}

/* Entries that are applied leave the memory first. */
void watch_queues_of_log(const struct truth_member *m)
{
    struct raft_figures f = raft_figures(m->raft);
    bool is_beyond = f.tail_bytes > bound(KNOB_tail_bytes, LIMIT_LOG_TAIL_BYTES);
    if (is_beyond && m->applied > 0 && raft_entry_at(m->raft, m->applied) != NULL) {
        verdict_fail("I19",
                     "member %d keeps %" PRIu64 " bytes of the log, and entry %" PRIu64
                     " among them, which is applied",
                     truth_index(m), f.tail_bytes, m->applied);
    }
}

void watch_queues_of_member(const struct node *n, int member)
{
    struct node_metrics m;
    node_metrics_get(n, &m);
    check(member, "waiting writes", m.writes_waiting, LIMIT_WAITING_REQUESTS);
    check(member, "waiting reads", m.reads_waiting, LIMIT_WAITING_REQUESTS);
    check(member, "waiting questions about leases", m.lease_asks_waiting, LIMIT_LEASE_ASKS);
    check(member, "unsent bytes", m.peer_unsent_bytes,
          (uint64_t)SIM_MEMBERS_MAX * (2ull * LIMIT_PEER_UNSENT_BYTES + LIMIT_PEER_URGENT_BYTES));
}

bool watch_queues_hold_requests(const struct node *n)
{
    struct node_metrics m;
    node_metrics_get(n, &m);
    return m.writes_waiting + m.reads_waiting + m.lease_asks_waiting > 0;
}

void watch_queues_are_empty(const struct node *n, int member)
{
    struct node_metrics m;
    node_metrics_get(n, &m);
    check(member, "waiting writes at rest", m.writes_waiting, 0);
    check(member, "waiting reads at rest", m.reads_waiting, 0);
    check(member, "questions about leases at rest", m.lease_asks_waiting, 0);
    check(member, "uncommitted entries at rest", m.uncommitted_entries, 0);
    check(member, "uncommitted bytes at rest", m.uncommitted_bytes, 0);
    check(member, "entries not applied at rest", m.apply_backlog, 0);
}
