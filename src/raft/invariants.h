/* raft/invariants.h - everything that must hold between two steps, in one place.
 *
 * Two kinds: what one state must satisfy by itself, and what may never change from one state to the
 * next. Tests and the simulator call this after each step; a violation is a bug of ours and aborts.
 * O(members + tail), so not for production turns. */
#pragma once

#include "raft/raft.h"

/* What the second kind compares with. Zero-initialised: nothing seen yet. */
struct raft_snapshot {
    bool taken;
    raft_term term;
    node_id vote;
    enum raft_role role;
    node_id leader;
    raft_index commit;
    raft_index last;
    node_id members[3 * LIMIT_MEMBERS];
    raft_index match[3 * LIMIT_MEMBERS];
    uint32_t member_count;
    uint64_t round;
    uint64_t now_ms;
    raft_index apply_to;
};

/* Check r by itself and against the previous snapshot, and take the next one. */
void raft_check_invariants(const struct raft *r, struct raft_snapshot *previous);
