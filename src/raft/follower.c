/* The follower's half of replication: take what the leader sends, answer for what is durable. */
#include "raft/raft_internal.h"

/* An answer to a leader, without what it says of entries. */
static struct raft_message make_reply(const struct raft *r, enum raft_message_type type,
                                      node_id leader)
{
    struct raft_message reply = message_to(r, type, leader);
    reply.round = r->debt.round;
    reply.sent_ms = r->debt.sent_ms;
    reply.recovering = raft_is_recovering(r);
    reply.waits = r->wish.waits;
    reply.rest_ms = r->wish.beats ? 0 : raft_rest_ms(r);
    return reply;
}

static void send_reply(struct raft *r, enum raft_message_type type, raft_index match)
{
    struct raft_message reply = make_reply(r, type, r->leader);
    reply.match = match;
    outbox_send(r, &reply);
}

raft_index follower_acknowledgeable(const struct raft *r)
{
    return index_min(r->debt.verified, durable_index(&r->durable));
}

static void note_round(struct raft *r, const struct raft_message *m)
{
    r->debt.round = index_max(r->debt.round, m->round);
    r->debt.sent_ms = index_max(r->debt.sent_ms, m->sent_ms);
}

/* The log does not hold m->last. Say where to look: the highest entry here that is no newer than
 * what the leader tried, so that it can skip all terms above (rule R6). */
static void refuse(struct raft *r, const struct raft_message *m)
{
    struct entry_id hint = raft_log_find_below(&r->log, m->last);
    if (hint.index < r->commit) { /* up to there all logs are equal */
        hint.index = r->commit;
        CHECK(raft_log_term(&r->log, hint.index, &hint.term));
    }
    struct raft_message reply = make_reply(r, RAFT_MSG_APPEND_REPLY, m->from);
    reply.reject = true;
    reply.probe = m->last.index;
    reply.hint = hint;
    reply.match = follower_acknowledgeable(r);
    outbox_send(r, &reply);
    outbox_event(r, RAFT_EVENT_CONFLICT, m->from, hint.index);
}

/* How many of the entries are in the log already, equal in index and term. */
static uint32_t count_known(const struct raft *r, const struct raft_message *m)
{
    uint32_t known = 0;
    while (known < m->entry_count) {
        struct entry_id id = {.term = m->entries[known].term, .index = m->last.index + 1 + known};
        if (!raft_log_has(&r->log, id)) {
            break;
        }
        known++;
    }
    return known;
}

/* Only a real conflict with an entry that the message carries cuts the log; never that the message
 * is shorter: an old append that comes late must change nothing (rule R1). False: impossible. */
static bool take_entries(struct raft *r, const struct raft_message *m, raft_index *verified)
{
    uint32_t known = count_known(r, m);
    raft_index from = m->last.index + 1 + known;
    if (known < m->entry_count && from <= r->log.last) {
        if (from <= r->commit) {
            return false;
        }
        raft_truncate(r, from);
    }
    *verified = m->last.index + known;
    for (uint32_t i = known; i < m->entry_count; i++) {
        if (m->entries[i].type == RAFT_ENTRY_CONFIG && config_log_is_full(&r->configs)) {
            break; /* the rest comes again when more is applied */
        }
        raft_append(r, &m->entries[i]);
        *verified = r->log.last;
    }
    return true;
}

/* A late append that reaches below the log: there everything is committed, and equal. Leave that
 * out; nothing is left when the message ends there. False when it cannot be one of the leader. */
static bool leave_out_compacted(const struct raft *r, struct raft_message *m)
{
    struct entry_id base = r->log.base;
    if (m->last.index >= base.index) {
        return true;
    }
    raft_index below = base.index - m->last.index;
    if (m->entry_count < below) {
        m->last = base;
        m->entry_count = 0;
        return true;
    }
    m->last = (struct entry_id){.term = m->entries[below - 1].term, .index = base.index};
    m->entries += below;
    m->entry_count -= (uint32_t)below;
    return m->last.term == base.term;
}

void follower_on_append(struct raft *r, const struct raft_message *message)
{
    struct raft_message kept = *message;
    const struct raft_message *m = &kept;
    if (!leave_out_compacted(r, &kept) || !election_on_contact(r, m->from)) {
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        return;
    }
    lease_promise(r, m);
    note_round(r, m);
    if (!raft_log_has(&r->log, m->last)) {
        if (m->last.index <= r->commit) {
            outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
            return;
        }
        refuse(r, m);
        return;
    }
    raft_index verified = 0;
    if (!take_entries(r, m, &verified)) {
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        return;
    }
    r->debt.verified = index_max(r->debt.verified, verified);
    r->debt.owed = true;
    /* Beyond what this message verified, the log here may be another one (rule R2). */
    raft_advance_commit(r, index_min(m->commit, verified));
}

/* The leader says only what this member has acknowledged to it, as durable (rule R2). When that is
 * beyond the log here, the disk went back in time: a copy of the data directory was put back, or it
 * lied about a sync. The vote of such a member could elect a leader without committed entries. */
static bool has_amnesia(const struct raft *r, const struct raft_message *heartbeat)
{
    return heartbeat->commit > r->log.last && !raft_is_recovering(r);
}

void follower_on_heartbeat(struct raft *r, const struct raft_message *m)
{
    if (has_amnesia(r, m)) {
        outbox_event(r, RAFT_EVENT_AMNESIA, m->commit, r->log.last);
        return;
    }
    if (!election_on_contact(r, m->from)) {
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        return;
    }
    lease_promise(r, m);
    recovering_on_heartbeat(r, m);
    /* What a recovering member acknowledged before its loss says nothing of its log now. */
    raft_index known = raft_is_recovering(r) ? r->debt.verified : r->log.last;
    raft_advance_commit(r, index_min(m->commit, known));
    if (m->round == 0) {
        return; /* a notice of the commit index, no question */
    }
    note_round(r, m);
    send_reply(r, RAFT_MSG_HEARTBEAT_REPLY, follower_acknowledgeable(r));
}

void follower_refuse_old_leader(struct raft *r, const struct raft_message *m)
{
    bool append = m->type == RAFT_MSG_APPEND;
    struct raft_message reply =
        message_to(r, append ? RAFT_MSG_APPEND_REPLY : RAFT_MSG_HEARTBEAT_REPLY, m->from);
    reply.reject = true;
    reply.probe = append ? m->last.index : 0;
    outbox_send(r, &reply);
}

/* One answer for all appends so far: when it is owed and complete, or when the disk got further. It
 * carries the term, and waits for that as well. */
void follower_turn(struct raft *r)
{
    struct debt *debt = &r->debt;
    if (r->role != RAFT_FOLLOWER || r->leader == 0 || !debt->owed ||
        !raft_hard_state_is_durable(r)) {
        return;
    }
    raft_index match = follower_acknowledgeable(r);
    bool complete = match == debt->verified;
    if (!complete && match <= debt->told) {
        return;
    }
    send_reply(r, RAFT_MSG_APPEND_REPLY, match);
    debt->told = index_max(debt->told, match);
    debt->owed = !complete;
}
