/* Leadership handed over (rule E9) and given up because of a hanging disk (rule E8).
 *
 * Proposals are refused meanwhile, so the target can catch up with a log that stands still. When
 * its log is complete it is told to campaign at once; when that leads to nothing within E, the
 * leader goes on leading, or steps down if its disk was the reason. */
#include "raft/raft_internal.h"

void transfer_clear(struct raft *r)
{
    if (r->transfer.target != 0 && !r->transfer.told) {
        outbox_event(r, RAFT_EVENT_TRANSFER_ABORTED, r->transfer.target, r->term);
    }
    r->transfer = (struct transfer){0};
}

/* The voter that answered within E and holds the most; without a live one, any. One that is about
 * to lose its vote only when there is no other. 0 = nobody. */
static node_id best_voter(const struct raft *r)
{
    const struct member *best = NULL;
    int best_class = 0;
    for (uint32_t i = 0; i < r->member_count; i++) {
        const struct member *m = &r->members[i];
        if (m->id == r->options.self || !config_has_voter(&r->config, m->id) ||
            m->progress.recovering) {
            continue;
        }
        bool is_live = r->now_ms < m->progress.acked_sent_ms + r->options.election_timeout_ms;
        bool stays = ids_contain(r->config.voters, r->config.voter_count, m->id);
        int class = 2 * is_live + stays;
        if (best == NULL || class > best_class ||
            (class == best_class && m->progress.match > best->progress.match)) {
            best = m;
            best_class = class;
        }
    }
    return best != NULL ? best->id : 0;
}

/* Nobody else can lead: a new term of its own, at once. */
static enum status renew_alone(struct raft *r)
{
    become_follower(r, r->term, 0);
    r->election.deadline_ms = r->now_ms;
    return STATUS_OK;
}

enum status transfer_start(struct raft *r, node_id target)
{
    if (r->role != RAFT_LEADER) {
        return STATUS_NOT_LEADER;
    }
    if (raft_is_lone_voter(r) && (target == 0 || target == r->options.self)) {
        return renew_alone(r);
    }
    if (target == 0) {
        target = r->transfer.target != 0 ? r->transfer.target : best_voter(r);
    }
    if (target == 0 || target == r->options.self || !config_has_voter(&r->config, target)) {
        return STATUS_NOT_FOUND;
    }
    if (r->transfer.target != 0) {
        return r->transfer.target == target ? STATUS_OK : STATUS_BUSY;
    }
    r->transfer = (struct transfer){.target = target,
                                    .deadline_ms = r->now_ms + r->options.election_timeout_ms};
    outbox_event(r, RAFT_EVENT_TRANSFER_STARTED, target, r->term);
    return STATUS_OK;
}

void transfer_on_stalled(struct raft *r)
{
    if (r->role != RAFT_LEADER || raft_is_lone_voter(r)) {
        return;
    }
    if (transfer_start(r, 0) != STATUS_OK) {
        become_follower(r, r->term, 0);
        return;
    }
    r->transfer.final = true;
    r->transfer.stalled = true;
}

void transfer_away(struct raft *r)
{
    CHECK(r->role == RAFT_LEADER);
    if (raft_is_lone_voter(r) || transfer_start(r, 0) != STATUS_OK) {
        become_follower(r, r->term, 0);
        return;
    }
    r->transfer.final = true;
}

void transfer_on_time(struct raft *r)
{
    if (r->transfer.target == 0 || r->now_ms < r->transfer.deadline_ms) {
        return;
    }
    bool final = r->transfer.final;
    r->transfer.told = false; /* it was, in vain */
    transfer_clear(r);
    if (final) {
        become_follower(r, r->term, 0);
    }
}

void transfer_turn(struct raft *r)
{
    struct transfer *t = &r->transfer;
    if (t->target == 0 || t->told) {
        return;
    }
    const struct member *m = member_find(r, t->target);
    if (m->progress.match == r->log.last && !m->progress.recovering) {
        struct raft_message now = message_to(r, RAFT_MSG_TIMEOUT_NOW, t->target);
        outbox_send(r, &now);
        t->told = true;
        lease_end(r); /* votes asked for by that word pass every promise */
    }
}
