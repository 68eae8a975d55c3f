/* The leader's half of replication.
 *
 * Appends leave with the turn that proposed them, in parallel with the leader's own sync; the
 * leader counts itself like anybody else, by what is durable (rule R8). */
#include "raft/raft_internal.h"

static uint64_t match_of(const void *context, node_id id)
{
    const struct raft *r = context;
    if (id == r->options.self) {
        return durable_index(&r->durable);
    }
    const struct member *m = member_find(r, id);
    return m != NULL && !m->progress.recovering ? m->progress.match : 0;
}

static uint64_t contact_of(const void *context, node_id id)
{
    const struct raft *r = context;
    if (id == r->options.self) {
        return r->now_ms;
    }
    const struct member *m = member_find(r, id);
    return m != NULL ? m->progress.acked_sent_ms : 0;
}

uint64_t leader_quorum_contact_ms(const struct raft *r)
{
    return quorum_value(&r->config, r, contact_of);
}

bool leader_is_established(const struct raft *r)
{
    return r->role == RAFT_LEADER && r->commit >= r->leading.first;
}

void become_leader(struct raft *r)
{
    CHECK(r->role == RAFT_CANDIDATE);
    CHECK_CMP(r->vote, ==, r->options.self);
    CHECK(raft_hard_state_is_durable(r));
    r->election.lost_leader = 0;
    r->election.by_transfer = false;
    raft_set_role(r, RAFT_LEADER);
    raft_set_leader(r, r->options.self);
    raft_index first = r->log.last + 1;
    r->leading = (struct leadership){.first = first, .beat_ms = r->now_ms};
    lease_begin(r);
    r->reads.round++;
    for (uint32_t i = 0; i < r->member_count; i++) {
        progress_reset(&r->members[i].progress, first, r->now_ms);
    }
    preference_begin(r);
    const struct raft_entry noop = {.term = r->term, .type = RAFT_ENTRY_NOOP};
    raft_append(r, &noop);
}

/* Rule O1. When nothing is uncommitted, even an entry beyond the bound may pass, alone. */
static bool has_room(const struct raft *r, uint64_t bytes, uint32_t count)
{
    const struct leadership *l = &r->leading;
    return l->uncommitted_entries == 0 ||
           (l->uncommitted_bytes + bytes <= r->options.uncommitted_bytes_max &&
            l->uncommitted_entries + count <= r->options.uncommitted_entries_max);
}

static void append_own(struct raft *r, struct raft_entry entry)
{
    r->leading.uncommitted_bytes += raft_entry_payload_bytes(&entry);
    r->leading.uncommitted_entries++;
    entry.term = r->term;
    raft_append(r, &entry);
}

enum status leader_propose(struct raft *r, const struct raft_entry *entries, uint32_t count)
{
    CHECK_CMP(count, >, 0);
    if (r->role != RAFT_LEADER) {
        return STATUS_NOT_LEADER;
    }
    if (r->transfer.target != 0) {
        return STATUS_BUSY;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        CHECK(entries[i].type == RAFT_ENTRY_COMMAND);
        bytes += raft_entry_payload_bytes(&entries[i]);
    }
    if (!has_room(r, bytes, count)) {
        return STATUS_OVERLOADED;
    }
    for (uint32_t i = 0; i < count; i++) {
        append_own(r, entries[i]);
    }
    return STATUS_OK;
}

enum status leader_append_config(struct raft *r, struct blob *payload, bool must)
{
    CHECK(r->role == RAFT_LEADER);
    const struct raft_entry entry = {.type = RAFT_ENTRY_CONFIG, .payload = payload};
    if (!must &&
        (!has_room(r, raft_entry_payload_bytes(&entry), 1) || config_log_is_full(&r->configs))) {
        return STATUS_OVERLOADED;
    }
    append_own(r, entry);
    return STATUS_OK;
}

/* Proposals of this term that are committed now no longer count against the bounds (rule O2). */
static void forget_committed(struct raft *r, raft_index from, raft_index to)
{
    struct leadership *l = &r->leading;
    for (raft_index index = index_max(from, l->first + 1); index <= to; index++) {
        struct raft_span span = raft_log_span(&r->log, index);
        CHECK(span.count > 0);
        uint32_t bytes = raft_entry_payload_bytes(span.entries);
        CHECK_CMP(l->uncommitted_bytes, >=, bytes);
        CHECK_CMP(l->uncommitted_entries, >, 0);
        l->uncommitted_bytes -= bytes;
        l->uncommitted_entries--;
    }
}

/* Only an entry of the own term is committed by counting; what is below it follows (rule R3: else
 * an entry that a majority holds can still be overwritten, figure 8 of the paper). */
static void maybe_commit(struct raft *r)
{
    raft_index index = quorum_value(&r->config, r, match_of);
    raft_term term = 0;
    if (index <= r->commit || !raft_log_term(&r->log, index, &term) || term != r->term) {
        return;
    }
    forget_committed(r, r->commit + 1, index);
    raft_advance_commit(r, index);
}

static void note_answer(struct raft *r, struct progress *p, const struct raft_message *m)
{
    p->last_ack_ms = r->now_ms;
    p->waits = m->waits;
    p->rest_ms = m->rest_ms;
    p->acked_round = index_max(p->acked_round, m->round);
    p->acked_sent_ms = index_max(p->acked_sent_ms, m->sent_ms);
}

/* The member that an answer of this leadership came from, or NULL when it is to be ignored. */
static struct progress *answerer(struct raft *r, const struct raft_message *m)
{
    struct member *member = member_find(r, m->from);
    if (r->role != RAFT_LEADER || member == NULL) {
        return NULL;
    }
    if (m->match > r->log.last || m->round > r->reads.round || m->sent_ms > r->now_ms) {
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        return NULL;
    }
    note_answer(r, &member->progress, m);
    recovering_note_answer(&member->progress, m);
    progress_on_match(&member->progress, m->match);
    progress_on_log_first(&member->progress, raft_log_first(&r->log));
    return &member->progress;
}

/* Where to go on when a follower's newest entry that may agree is `hint`. Below the log's base the
 * terms are not known any more, and need not be: it takes a snapshot. */
static raft_index next_after(const struct raft *r, struct entry_id hint)
{
    struct entry_id agree = raft_log_find_below(&r->log, hint);
    return agree.index >= r->log.base.index ? agree.index + 1
                                            : index_min(hint.index + 1, r->log.base.index);
}

void leader_on_append_reply(struct raft *r, const struct raft_message *m)
{
    struct progress *p = answerer(r, m);
    if (p == NULL) {
        return;
    }
    if (!m->reject) {
        progress_on_accept(p);
        return;
    }
    const struct progress_refusal refusal = {.probe = m->probe, .next = next_after(r, m->hint)};
    if (progress_on_refusal(p, &refusal)) {
        outbox_event(r, RAFT_EVENT_CONFLICT, m->from, m->hint.index);
    }
}

static void send_append(struct raft *r, struct member *member, struct raft_span span,
                        uint32_t count, bool bulk)
{
    struct progress *p = &member->progress;
    struct raft_message m = message_to(r, RAFT_MSG_APPEND, member->id);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes += raft_entry_weight(&span.entries[i]);
    }
    m.last.index = p->next - 1;
    CHECK(raft_log_term(&r->log, m.last.index, &m.last.term));
    m.entries = count > 0 ? span.entries : NULL;
    m.entry_count = count;
    m.commit = r->commit;
    m.round = r->reads.round;
    m.sent_ms = r->now_ms;
    m.lease_ms = lease_asked_ms(r);
    m.bulk = bulk;
    raft_index end = m.last.index + count;
    p->commit_told = index_max(p->commit_told, index_min(r->commit, end));
    progress_on_sent(p, &(struct inflight_slot){
                            .last = end, .bytes = bytes, .sent_ms = r->now_ms, .bulk = bulk});
    outbox_send(r, &m);
}

static void send_heartbeat(struct raft *r, struct member *member, uint64_t round)
{
    struct progress *p = &member->progress;
    struct raft_message m = message_to(r, RAFT_MSG_HEARTBEAT, member->id);
    m.commit = index_min(r->commit, p->match);
    m.round = round;
    m.sent_ms = round != 0 ? r->now_ms : 0;
    m.lease_ms = lease_asked_ms(r);
    if (p->recovering) {
        m.recovering = true;
        m.last = raft_log_last(&r->log);
    }
    p->commit_told = index_max(p->commit_told, m.commit);
    outbox_send(r, &m);
}

void leader_broadcast_heartbeat(struct raft *r)
{
    r->leading.beat_ms = r->now_ms;
    for (uint32_t i = 0; i < r->member_count; i++) {
        if (r->members[i].id != r->options.self) {
            send_heartbeat(r, &r->members[i], r->reads.round);
        }
    }
}

/* An answer to a heartbeat shows that the member is there. When a probe or a window seems lost, ask
 * again with an append: it is refused, and that tells where to go on (rule R7, M33). */
void leader_on_heartbeat_reply(struct raft *r, const struct raft_message *m)
{
    struct progress *p = answerer(r, m);
    if (p == NULL) {
        return;
    }
    if (!progress_retry_probe(p, m->sent_ms) && p->next >= raft_log_first(&r->log) &&
        progress_take_nudge(p, r->now_ms)) {
        /* Behind what it asks about: ahead of it, the answer would always be that it is lost. */
        send_append(r, member_find(r, m->from), (struct raft_span){0}, 0, progress_is_bulk(p));
    }
}

void leader_on_unreachable(struct raft *r, node_id id)
{
    struct member *member = member_find(r, id);
    if (r->role == RAFT_LEADER && member != NULL && id != r->options.self) {
        progress_on_unreachable(&member->progress, r->now_ms);
    }
}

/* --- entries that are no longer in memory ----------------------------------------------------- */

void leader_release_loaded(struct raft *r)
{
    struct loading *l = &r->loading;
    for (uint32_t i = 0; i < l->count; i++) {
        blob_unref(l->entries[i].payload);
    }
    l->count = 0;
}

/* They are used by the turn that they came in, and only if they are still what the log says. */
void leader_on_loaded(struct raft *r, const struct raft_input *input)
{
    struct loading *l = &r->loading;
    CHECK(l->outstanding);
    l->outstanding = false;
    uint32_t count = input->loaded.count;
    if (count == 0) {
        l->retry_ms = r->now_ms + r->options.heartbeat_ms;
    }
    if (count == 0 || r->role != RAFT_LEADER) {
        return;
    }
    l->entries = array_reserve(l->entries, &l->capacity, count, sizeof(*l->entries));
    l->entries_first = input->loaded.first;
    for (uint32_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &input->loaded.entries[i];
        struct entry_id id = {.term = entry->term, .index = l->entries_first + i};
        if (!raft_log_has(&r->log, id)) {
            break;
        }
        l->entries[l->count] = *entry;
        if (entry->payload != NULL) {
            blob_ref(entry->payload);
        }
        l->count++;
    }
}

static struct raft_span loaded_span(const struct raft *r, raft_index index)
{
    const struct loading *l = &r->loading;
    if (index < l->entries_first || index >= l->entries_first + l->count) {
        return (struct raft_span){0};
    }
    uint32_t offset = (uint32_t)(index - l->entries_first);
    return (struct raft_span){.entries = &l->entries[offset], .count = l->count - offset};
}

static void want_load(struct raft *r, raft_index first)
{
    struct loading *l = &r->loading;
    if (l->outstanding || r->now_ms < l->retry_ms) {
        return;
    }
    l->outstanding = true;
    l->announce = true;
    l->first = first;
    l->last = raft_log_tail_first(&r->log) - 1;
    l->bytes_max = LIMIT_LOAD_BYTES;
    CHECK_CMP(l->first, <=, l->last);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Send one append that starts at `next`; false when its entries must come from disk first. A probe
 * only asks whether the logs agree and needs none. */
static bool send_next(struct raft *r, struct member *member)
{
    struct progress *p = &member->progress;
    struct raft_span span = raft_log_span(&r->log, p->next);
    bool bulk = false;
    if (span.entries == NULL) {
        span = loaded_span(r, p->next);
        bulk = span.entries != NULL;
    }
    if (span.entries == NULL && !p->probing) {
        want_load(r, p->next);
        return false;
    }
    uint64_t bytes = 0;
    uint32_t count = raft_span_fit(span, r->options.append_bytes_max, &bytes);
    send_append(r, member, span, count, count > 0 && (bulk || progress_is_bulk(p)));
    return true;
}

/* After a snapshot that ends with the log there is nothing to send, and yet to ask whether it has
 * arrived. */
static bool wants_append(const struct raft *r, const struct progress *p)
{
    bool asks = p->probing && p->match + 1 < p->next;
    return p->next >= raft_log_first(&r->log) && (p->next <= r->log.last || asks);
}

/* --- when there is nothing to do -------------------------------------------------------------- */

static bool member_rests(const struct raft *r, const struct progress *p)
{
    return p->rest_ms > 0 && !p->recovering && !p->probe_sent && p->match == r->log.last &&
           p->commit_told == r->commit && p->acked_sent_ms >= r->leading.beat_ms;
}

/* How far the next heartbeat is from the last one. Further apart only while all have answered that
 * one and nothing is under way: an answer that does not come, or anything new, makes the next one
 * due one heartbeat after the last, as ever, so that a loss is made good as fast (rules E6, E7). */
static uint64_t beat_interval_ms(const struct raft *r)
{
    uint64_t interval = r->options.heartbeat_ms;
    if (r->commit != r->log.last || r->reads.round_open || r->transfer.target != 0) {
        return interval;
    }
    uint64_t rest = raft_rest_ms(r);
    for (uint32_t i = 0; i < r->member_count; i++) {
        const struct member *m = &r->members[i];
        if (m->id == r->options.self) {
            continue;
        }
        if (!member_rests(r, &m->progress)) {
            return interval;
        }
        rest = index_min(rest, m->progress.rest_ms);
    }
    return index_max(interval, rest);
}

static uint64_t next_beat_ms(const struct raft *r)
{
    return r->leading.beat_ms + beat_interval_ms(r);
}

/* --- the commit index by itself --------------------------------------------------------------- */

/* Under load the next append comes within this; much less than a heartbeat (rule R14). */
#define COMMIT_WAIT_MS 2

void leader_hurry_commit(struct raft *r, node_id id)
{
    struct member *member = member_find(r, id);
    if (member != NULL) {
        member->progress.commit_due_ms = r->now_ms;
    }
}

/* The commit index rides on appends. When none follows soon it goes by itself; at once when
 * somebody there waits for it. Each notice costs both sides a wake-up. */
static void tell_commit(struct raft *r, struct member *member)
{
    struct progress *p = &member->progress;
    if (index_min(r->commit, p->match) <= p->commit_told) {
        p->commit_due_ms = 0;
        return;
    }
    bool may_wait = p->rest_ms > 0 && !p->waits && !r->wish.waits && r->transfer.target == 0;
    if (may_wait && p->commit_due_ms == 0) {
        p->commit_due_ms = r->now_ms + index_min(COMMIT_WAIT_MS, r->options.heartbeat_ms / 2);
    }
    if (!may_wait || r->now_ms >= p->commit_due_ms) {
        p->commit_due_ms = 0;
        send_heartbeat(r, member, 0);
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

/* Everything that is new to the member and fits its window. */
static void replicate_to(struct raft *r, struct member *member)
{
    struct progress *p = &member->progress;
    if (p->next < raft_log_first(&r->log)) {
        snapshot_offer(r, member);
    }
    while (wants_append(r, p) && !progress_is_paused(p)) {
        if (!send_next(r, member)) {
            break;
        }
    }
    tell_commit(r, member);
}

void leader_turn(struct raft *r)
{
    do { /* a smaller quorum may hold more already (rule C5) */
        maybe_commit(r);
    } while (membership_turn(r));
    if (r->role != RAFT_LEADER) {
        return;
    }
    reads_leader_turn(r);
    preference_turn(r);
    if (!r->transfer.stalled && r->now_ms >= next_beat_ms(r)) {
        leader_broadcast_heartbeat(r);
    }
    transfer_turn(r);
    for (uint32_t i = 0; i < r->member_count; i++) {
        if (r->members[i].id != r->options.self) {
            replicate_to(r, &r->members[i]);
        }
    }
}

/* Rule E7: a leader that a quorum has not answered for E says nothing more and steps down. Counted
 * from when the answered messages left, not from when the answers came. */
static bool lost_quorum(struct raft *r)
{
    uint64_t contact_ms = leader_quorum_contact_ms(r);
    if (r->now_ms < contact_ms + r->options.election_timeout_ms) {
        return false;
    }
    outbox_event(r, RAFT_EVENT_QUORUM_LOST, r->term, r->now_ms - contact_ms);
    become_follower(r, r->term, 0);
    return true;
}

void leader_on_time(struct raft *r)
{
    if (lost_quorum(r)) {
        return;
    }
    transfer_on_time(r);
}

static bool has_peers(const struct raft *r)
{
    return r->member_count > (member_find(r, r->options.self) != NULL ? 1u : 0u);
}

static uint64_t next_notice_ms(const struct raft *r)
{
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; i < r->member_count; i++) {
        uint64_t due = r->members[i].progress.commit_due_ms;
        earliest = due != 0 ? index_min(earliest, due) : earliest;
    }
    return earliest;
}

uint64_t leader_deadline(const struct raft *r)
{
    uint64_t deadline = UINT64_MAX;
    if (!has_peers(r)) {
        return deadline;
    }
    if (!r->transfer.stalled) {
        deadline = next_beat_ms(r);
    }
    deadline = index_min(deadline, next_notice_ms(r));
    if (!raft_is_lone_voter(r)) {
        deadline =
            index_min(deadline, leader_quorum_contact_ms(r) + r->options.election_timeout_ms);
    }
    if (r->transfer.target != 0) {
        deadline = index_min(deadline, r->transfer.deadline_ms);
    }
    return deadline;
}
