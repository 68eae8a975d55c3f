/* Rule E10: who leads rather than another. Preference orders who campaigns first, and makes a
 * leader hand over; no vote is ever granted or refused for it, so the cluster never waits for a
 * favourite.
 *
 * The interval [E, 2E) of the timeouts (rule E2) is cut into one slot for each rank:
 *
 *     E            E + E/3         E + 2E/3           2E
 *     | first choice | second choice | everybody else  |
 *
 * A favourite that comes and goes must not take leadership along each time: it has to be there and
 * up to date for ten election timeouts without a break, and leadership moves for the sake of
 * preference at most once in so long. Proposals wait while leadership is offered, so one that does
 * not take it (it may not lead, say) is offered it ever more rarely. */
#include "raft/raft_internal.h"

#define HAND_BACK_TIMEOUTS    10
#define HAND_BACK_DOUBLED_MAX 6

void raft_set_preference(struct raft *r, const struct raft_preference *preference)
{
    CHECK_CMP(preference->count, <=, LIMIT_MEMBERS);
    r->preference = *preference;
    election_ranks_changed(r);
}

struct preference_slot preference_slot(const struct raft *r)
{
    struct preference_slot slot = {0};
    uint32_t own = preference_place(&r->preference, r->options.self);
    for (uint32_t i = 0; i < r->preference.count; i++) {
        if (config_has_voter(&r->config, r->preference.order[i])) {
            slot.count++;
            slot.rank += i < own;
        }
    }
    if (slot.count < r->config.voter_count) {
        slot.count++; /* of those who are not named */
    }
    if (slot.rank >= slot.count) { /* no voter itself */
        slot.rank = slot.count - 1;
    }
    return slot;
}

static void note_current(struct raft *r)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        struct member *m = &r->members[i];
        if (!member_is_current(r, m)) {
            m->current_ms = UINT64_MAX;
        } else if (m->current_ms == UINT64_MAX) {
            m->current_ms = r->now_ms;
        }
    }
}

static bool is_ready(const struct raft *r, node_id id)
{
    const struct member *m = member_find(r, id);
    if (m == NULL) {
        return false;
    }
    uint64_t patience_ms = (uint64_t)HAND_BACK_TIMEOUTS * r->options.election_timeout_ms;
    patience_ms <<= index_min(m->offers, HAND_BACK_DOUBLED_MAX);
    return config_has_voter(&r->config, id) && m->current_ms != UINT64_MAX &&
           r->now_ms >= m->current_ms + patience_ms;
}

/* Soon ready, and not offered leadership in vain before: worth waiting for, since a leader that
 * hands over to a lesser one meanwhile would see leadership climb in steps. */
static bool is_almost_ready(const struct raft *r, node_id id)
{
    const struct member *m = member_find(r, id);
    return m != NULL && config_has_voter(&r->config, id) && m->current_ms != UINT64_MAX &&
           m->offers == 0;
}

static void forget_current(struct raft *r)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        r->members[i].current_ms = UINT64_MAX;
    }
}

void preference_begin(struct raft *r)
{
    forget_current(r);
    for (uint32_t i = 0; i < r->member_count; i++) {
        r->members[i].offers = 0;
    }
}

void preference_turn(struct raft *r)
{
    if (!r->preference.hand_back) {
        return;
    }
    note_current(r);
    if (!leader_is_established(r) || !membership_is_settled(r) || r->transfer.target != 0) {
        return;
    }
    uint32_t own = preference_place(&r->preference, r->options.self);
    for (uint32_t i = 0; i < own; i++) {
        node_id target = r->preference.order[i];
        if (!is_ready(r, target)) {
            if (is_almost_ready(r, target)) {
                return;
            }
        } else if (transfer_start(r, target) == STATUS_OK) {
            outbox_event(r, RAFT_EVENT_PREFERRED, target, r->term);
            member_find(r, target)->offers++;
            forget_current(r); /* whatever comes of it, the next one has to wait as long */
            return;
        }
    }
}
