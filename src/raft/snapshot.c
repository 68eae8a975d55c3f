/* Snapshots, as far as the core has to do with them: the log loses its beginning, a follower that
 * needs it gets a snapshot instead, and takes it in.
 *
 *   COMPACTED   the log begins later; what was before is in a snapshot, and committed
 *   SNAPSHOT    to the own host: stream the newest one to that follower (rules S6, S7)
 *   INSTALL     a whole one has come (rule S3)
 *
 * An installation, on the follower:
 *
 *     INSTALL --> log and commit index are set --> persist.install --> output.restore --> APPLIED
 *     |------- not durable: no campaign, nothing new is acknowledged -----| |------- another one is
 *     BUSY, TIMEOUT_NOW is ignored (rules S5, E9) -------------------------|
 *
 * When the log has the snapshot's last entry, all before it is equal and what follows it stays:
 * entries that were acknowledged must not be thrown away. Else the whole log is void, since it
 * either ends before the snapshot or parts from it at or before its last entry: what follows there
 * can never be committed. Until the disk agrees, only so much is acknowledged and applied as both
 * the old log and the new one hold.
 *
 * Why the snapshot may be believed: its last entry was committed by a leader of a term <= the own
 * one (a higher one is adopted first), so whoever leads now has it, and the log before it. */
#include "raft/raft_internal.h"

void snapshot_on_compacted(struct raft *r, const struct raft_input *input)
{
    struct entry_id id = input->compact.id;
    CHECK_CMP(input->compact.first, <=, id.index + 1);
    CHECK_CMP(id.index, <=, r->applied);
    raft_term term = 0;
    CHECK(!raft_log_term(&r->log, id.index, &term) || term == id.term);
    if (id.index > r->snapshot.index) {
        r->snapshot = id;
    }
    raft_log_compact(&r->log, input->compact.first);
}

/* --- the leader ------------------------------------------------------------------------------- */

/* Not before the member is known to be there: an answer ends the wait for a probe's. */
void snapshot_offer(struct raft *r, struct member *member)
{
    struct progress *p = &member->progress;
    CHECK_CMP(p->next, <, raft_log_first(&r->log));
    CHECK_CMP(raft_log_first(&r->log), <=, r->snapshot.index + 1);
    if (p->snapshot || (p->probing && p->probe_sent) || r->now_ms < p->snapshot_retry_ms) {
        return;
    }
    outbox_event(r, RAFT_EVENT_SNAPSHOT_NEEDED, member->id, p->next);
    progress_on_snapshot(p, r->snapshot.index);
    struct raft_message m = message_to(r, RAFT_MSG_SNAPSHOT, member->id);
    m.last = r->snapshot;
    outbox_send(r, &m);
}

void snapshot_on_sent(struct raft *r, const struct raft_input *input)
{
    struct member *member = member_find(r, input->sent.member);
    if (r->role == RAFT_LEADER && member != NULL && member->id != r->options.self) {
        progress_on_snapshot_sent(&member->progress, input->sent.ok, r->now_ms);
    }
}

/* --- the follower ----------------------------------------------------------------------------- */

static void discard_log(struct raft *r, const struct raft_input *input)
{
    const struct entry_id id = r->install.id;
    raft_log_reset(&r->log, id);
    durable_on_discard(&r->durable, id, r->install.until);
    CHECK_CMP(input->install.config_index, <=, id.index);
    const struct raft_config_view base = {.id = {.index = input->install.config_index},
                                          .committed = true,
                                          .config = input->install.config,
                                          .annex = input->install.annex};
    membership_on_discard(r, &base);
}

enum status snapshot_on_install(struct raft *r, const struct raft_input *input)
{
    const struct entry_id id = input->install.id;
    CHECK(id.index > 0 && id.term > 0);
    if (r->install.id.index != 0) {
        return STATUS_BUSY;
    }
    /* A leader's log has everything that is committed, unless it is no leader any more. It will
     * hear of that, and can take a snapshot then. */
    if (r->role == RAFT_LEADER || id.index <= r->commit) {
        return STATUS_CONFLICT;
    }
    raft_term term = index_max(input->install.term, id.term);
    if (term > r->term || r->role != RAFT_FOLLOWER) {
        become_follower(r, index_max(term, r->term), 0);
    }
    r->install = (struct install){.id = id,
                                  .until = index_min(r->commit, durable_index(&r->durable)),
                                  .discards = !raft_log_has(&r->log, id)};
    if (r->install.discards) {
        discard_log(r, input);
    } else {
        durable_on_install(&r->durable, id);
    }
    raft_advance_commit(r, id.index);
    r->debt.verified = r->install.discards ? id.index : index_max(r->debt.verified, id.index);
    r->debt.told = index_min(r->debt.told, r->debt.verified);
    r->debt.owed = r->leader != 0;
    return STATUS_OK;
}

void snapshot_on_durable(struct raft *r)
{
    struct install *in = &r->install;
    if (in->id.index == 0 || in->durable || r->durable.install.index != 0) {
        return;
    }
    in->durable = true;
    in->announce = true;
    r->snapshot = in->id;
    outbox_event(r, RAFT_EVENT_INSTALLED, in->id.index, in->discards);
}

struct entry_id snapshot_take_restore(struct raft *r)
{
    if (!r->install.announce) {
        return (struct entry_id){0};
    }
    r->install.announce = false;
    return r->install.id;
}

void snapshot_on_applied(struct raft *r)
{
    const struct install *in = &r->install;
    if (in->durable && !in->announce && r->applied >= in->id.index) {
        r->install = (struct install){0};
    }
}

bool snapshot_is_awaited(const struct raft *r)
{
    return r->install.id.index != 0 && !r->install.durable;
}

bool snapshot_is_restoring(const struct raft *r)
{
    return r->install.id.index != 0;
}
