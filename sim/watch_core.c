/* watch_core.c - the calls of raft.h and kv_apply, watched: I1, I1b, I4 to I8, I16, I18.
 *
 * Checked when a turn of a core ends: before any message of it can leave. */
#include "base/check.h"
#include "configs.h"
#include "coverage.h"
#include "lease_truth.h"
#include "truth.h"
#include "verdict.h"
#include "watch_queues.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct raft *__real_raft_create(const struct raft_options *options,
                                const struct raft_restored *restored, uint64_t now_ms);
struct raft *__wrap_raft_create(const struct raft_options *options,
                                const struct raft_restored *restored, uint64_t now_ms);
enum status __real_raft_step(struct raft *r, const struct raft_input *input);
enum status __wrap_raft_step(struct raft *r, const struct raft_input *input);
void __real_raft_turn(struct raft *r, uint64_t now_ms, struct raft_output *out);
void __wrap_raft_turn(struct raft *r, uint64_t now_ms, struct raft_output *out);
void __real_kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result);
void __wrap_kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result);
void __real_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer);
void __wrap_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer);
_Noreturn void __wrap_check_failed(const char *file, int line, const char *expr);
_Noreturn void __wrap_check_failed_values(const char *file, int line, const char *expr,
                                          uint64_t left, uint64_t right);

/* --- what the store is told ------------------------------------------------------------------- */

static void note_command(const struct kv *kv, const struct kv_command *c,
                         const struct kv_result *result)
{
    struct truth_member *m = &truth.members[truth.current];
    if (m->kv != NULL && kv != m->kv) {
        return; /* a store that it makes anew */
    }
    if (m->command_count == m->command_capacity) {
        m->command_capacity = m->command_capacity * 2 + 64;
        m->commands = mem_realloc(m->commands, m->command_capacity * sizeof(*m->commands));
    }
    m->commands[m->command_count++] =
        (struct applied_command){.hash = truth_hash_command(c),
                                 .result = *result,
                                 .digest = kv_digest(kv),
                                 .lease_hash = model_lease_hash_of(kv)};
}

void __wrap_kv_apply(struct kv *kv, const struct kv_command *c, struct kv_result *result)
{
    __real_kv_apply(kv, c, result);
    note_command(kv, c, result);
}

void __wrap_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer)
{
    __real_kv_apply_answered(kv, c, result, answer);
    note_command(kv, c, result);
}

/* The store of `m` is that of a snapshot at `index`. */
static void take_import(struct truth_member *m, raft_index index)
{
    const struct imported_store *i = &truth.imported;
    const struct committed_entry *c = &truth.committed[index];
    if (index > truth.committed_last || i->revision != c->revision ||
        i->compacted != c->compacted || !c->has_digest ||
        memcmp(&i->digest, &c->digest, sizeof(i->digest)) != 0) {
        verdict_fail("I16",
                     "member %d takes a snapshot of entry %" PRIu64 " with revision "
                     "%" PRIu64 ", which is %" PRIu64 " there (or their digests differ)",
                     truth_index(m), index, i->revision, c->revision);
    }
    m->applied = index;
    m->digest = i->digest;
}

static void check_result(const struct truth_member *m, uint64_t index,
                         const struct applied_command *done)
{
    const struct committed_entry *c = &truth.committed[index];
    const struct kv_result *must = &c->result;
    if (done->hash != c->command_hash) {
        verdict_fail("I6", "member %d applies another command at %" PRIu64, truth_index(m), index);
    }
    if (m->is_odd) {
        return;
    }
    if (done->result.status != must->status || done->result.revision != must->revision ||
        done->result.create_revision != must->create_revision ||
        done->result.version != must->version || done->result.time_ms != must->time_ms ||
        done->result.replayed != must->replayed || done->result.lease != must->lease ||
        done->result.succeeded != must->succeeded) {
        verdict_fail("I16",
                     "member %d applies entry %" PRIu64 " to revision %" PRIu64 " (%s), it is "
                     "%" PRIu64 " (%s)",
                     truth_index(m), index, done->result.revision, status_name(done->result.status),
                     must->revision, status_name(must->status));
    }
    if (done->lease_hash != c->lease_hash) {
        verdict_fail(c->is_expiry ? "T3" : "I16",
                     "member %d applies entry %" PRIu64 ", and has other leases than there are",
                     truth_index(m), index);
    }
}

/* I16: who has applied the same has the same. */
static void check_digest(struct truth_member *m, raft_index index)
{
    struct committed_entry *c = &truth.committed[index];
    if (m->is_odd) {
        return;
    }
    if (!c->has_digest) {
        c->has_digest = true;
        c->digest = m->digest;
    } else if (memcmp(&c->digest, &m->digest, sizeof(m->digest)) != 0) {
        verdict_fail("I16", "member %d has another state after entry %" PRIu64 " than others",
                     truth_index(m), index);
    }
}

/* I6: what was applied since is what is committed there, in order, once, and durable here. */
static void check_applied(struct truth_member *m, raft_index to)
{
    if (to > truth.committed_last || to > m->last) {
        verdict_fail("I6",
                     "member %d applies up to %" PRIu64 "; committed is %" PRIu64
                     ", durable here %" PRIu64,
                     truth_index(m), to, truth.committed_last, m->last);
    }
    uint32_t next = 0;
    for (raft_index i = m->applied + 1; i <= to; i++) {
        const struct known_entry *entry = truth.committed[i].entry;
        if (m->log[i] != entry) {
            verdict_fail("I6",
                         "member %d applies entry %" PRIu64 " of term %" PRIu64
                         ", committed is one of term %" PRIu64,
                         truth_index(m), i, m->log[i]->term, entry->term);
        }
        if (entry->type == RAFT_ENTRY_COMMAND) {
            if (next == m->command_count) {
                verdict_fail("I6", "member %d leaves out entry %" PRIu64, truth_index(m), i);
            }
            m->digest = m->commands[next].digest;
            check_result(m, i, &m->commands[next++]);
        }
        check_digest(m, i);
    }
    if (next != m->command_count) {
        verdict_fail("I6", "member %d applies more than there is up to %" PRIu64, truth_index(m),
                     to);
    }
    m->command_count = 0;
    m->applied = to;
}

/* --- birth and inputs ------------------------------------------------------------------------- */

struct raft *__wrap_raft_create(const struct raft_options *options,
                                const struct raft_restored *restored, uint64_t now_ms)
{
    struct truth_member *m = &truth.members[truth.current];
    m->id = options->self;
    m->applied = 0;
    m->digest = truth.empty_digest;
    m->commit = restored->commit;
    m->role = RAFT_FOLLOWER;
    if (restored->snapshot.index != 0) {
        coverage_hit(MARK_RESTARTED_FROM_SNAPSHOT);
        take_import(m, restored->snapshot.index);
    }
    check_applied(m, restored->applied);
    struct raft_options small = *options;
    small.append_bytes_max = truth.knobs[KNOB_append_bytes];
    small.persist_bytes_max = truth.knobs[KNOB_persist_bytes];
    small.inflight_messages_max = truth.knobs[KNOB_inflight_messages];
    small.tail_bytes_max = truth.knobs[KNOB_tail_bytes];
    small.uncommitted_entries_max = truth.knobs[KNOB_uncommitted_entries];
    m->raft = __real_raft_create(&small, restored, now_ms);
    m->config = *raft_active_config(m->raft);
    if (restored->config_index == 0 && restored->config.voter_count > 0) {
        configs_found(&restored->config);
    }
    m->was_counted |= truth.has_config; /* it was let in, perhaps long ago */
    if (truth_index(m) >= (int)truth.knobs[KNOB_members] || m->is_stranger) {
        coverage_hit(MARK_MEMBER_JOINED);
    }
    m->is_stranger = false;
    return m->raft;
}

static void note_arrival(const struct raft_message *msg)
{
    struct truth_member *from = truth_by_id(msg->from);
    if (msg->type == RAFT_MSG_TIMEOUT_NOW && from != NULL && from->asked_to_lead == msg->to) {
        from->asked_to_lead = 0;
    }
}

/* Rule S3: a snapshot of what is committed already would take the state back. */
static void check_taken_in(const struct raft *r, raft_index commit, struct entry_id id)
{
    if (id.index <= commit) {
        verdict_fail("I6",
                     "member %d takes in a snapshot of entry %" PRIu64 ", and knows that %" PRIu64
                     " is committed",
                     truth_index(truth_by_raft(r)), id.index, commit);
    }
}

static void note_proposal(const struct truth_member *m, const struct raft_entry *entry)
{
    if (entry->type == RAFT_ENTRY_COMMAND && entry->payload != NULL) {
        lease_truth_on_propose(m, blob_slice(entry->payload));
    }
}

enum status __wrap_raft_step(struct raft *r, const struct raft_input *input)
{
    raft_index commit = raft_commit(r);
    if (input->kind == RAFT_INPUT_APPLIED) {
        struct truth_member *m = truth_by_raft(r);
        if (m->restoring != 0) {
            take_import(m, m->restoring);
            m->restoring = 0;
        }
        check_applied(m, input->index);
    } else if (input->kind == RAFT_INPUT_LOADED) {
        coverage_hit(MARK_LOADED_FROM_DISK);
    } else if (input->kind == RAFT_INPUT_PROPOSE) {
        for (uint32_t i = 0; i < input->propose.count; i++) {
            note_proposal(truth_by_raft(r), &input->propose.entries[i]);
        }
    } else if (input->kind == RAFT_INPUT_STALLED) {
        coverage_hit(MARK_STALL_TOLD);
    } else if (input->kind == RAFT_INPUT_MESSAGE) {
        note_arrival(input->message);
    }
    enum status s = __real_raft_step(r, input);
    if (input->kind == RAFT_INPUT_APPLIED) {
        watch_queues_of_log(truth_by_raft(r));
    }
    if (input->kind == RAFT_INPUT_INSTALL && s == STATUS_OK) {
        check_taken_in(r, commit, input->install.id);
    }
    return s;
}

/* --- a turn's end ----------------------------------------------------------------------------- */

static bool majority_holds(const node_id *ids, uint32_t count, struct entry_id entry)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < count; i++) {
        holders += truth_had(ids[i], entry);
    }
    return 2 * holders > count;
}

static bool quorum_holds(const struct raft_config *config, struct entry_id entry)
{
    return majority_holds(config->voters, config->voter_count, entry) &&
           (config->outgoing_count == 0 ||
            majority_holds(config->outgoing, config->outgoing_count, entry));
}

static const struct truth_member *any_holder(const struct raft_config *config,
                                             struct entry_id entry)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *m = &truth.members[i];
        if (m->id != 0 && configs_counts(config, m->id) && truth_disk_has(m, entry)) {
            return m;
        }
    }
    return NULL;
}

/* I7: when somebody first believes that an entry is committed, a quorum has it on disk. */
static void check_commit(struct truth_member *m, bool has_led)
{
    struct entry_id entry = {.index = raft_commit(m->raft)};
    if (entry.index < m->commit) {
        verdict_fail("I7", "member %d takes its commit index back from %" PRIu64 " to %" PRIu64,
                     truth_index(m), m->commit, entry.index);
    }
    bool is_further = entry.index > m->commit;
    m->commit = entry.index;
    if (entry.index > raft_last(m->raft).index) {
        verdict_fail("I7", "member %d commits %" PRIu64 " beyond its log", truth_index(m),
                     entry.index);
    }
    if (entry.index == 0 || !raft_term_at(m->raft, entry.index, &entry.term)) {
        return;
    }
    /* Rule R3, by itself: what figure 8 of the paper makes of it is rare. */
    if (has_led && is_further && raft_role(m->raft) == RAFT_LEADER &&
        entry.term != raft_term_now(m->raft)) {
        verdict_fail("R3",
                     "member %d leads term %" PRIu64 " and commits %" PRIu64 " of term %" PRIu64,
                     truth_index(m), raft_term_now(m->raft), entry.index, entry.term);
    }
    if (entry.index <= truth.committed_last) {
        if (truth.committed[entry.index].entry->term != entry.term) {
            verdict_fail("I6",
                         "member %d commits %" PRIu64 " of term %" PRIu64
                         ", committed is one of term %" PRIu64,
                         truth_index(m), entry.index, entry.term,
                         truth.committed[entry.index].entry->term);
        }
        return;
    }
    /* In force may be what came into the log after that: then the one before it decided. */
    const struct raft_config *config = raft_active_config(m->raft);
    if (!quorum_holds(config, entry) && !quorum_holds(&m->config, entry)) {
        verdict_fail("I7",
                     "member %d commits %" PRIu64 " of term %" PRIu64 " without a durable quorum",
                     truth_index(m), entry.index, entry.term);
    }
    const struct truth_member *holder = any_holder(config, entry);
    if (holder == NULL) {
        verdict_fail("I7", "member %d commits %" PRIu64 ", and no disk has it any more",
                     truth_index(m), entry.index);
    }
    if (truth.committed_last + 1 <= entry.index &&
        holder->log[truth.committed_last + 1]->term < entry.term) {
        coverage_hit(MARK_OLD_TERM_COMMITTED);
    }
    truth_commit(holder, entry.index, raft_term_now(m->raft));
}

static void check_new_leader(struct truth_member *m, raft_term term)
{
    struct term_truth *t = truth_term(term);
    if (t->leader != 0 && t->leader != m->id) {
        verdict_fail("I1", "members %" PRIx64 " and %" PRIx64 " (%d) lead term %" PRIu64, t->leader,
                     m->id, truth_index(m), term);
    }
    t->leader = m->id;
    raft_term own = 0;
    raft_index last = truth.committed_last;
    while (last > 0 && truth.committed[last].by >= term) {
        last--; /* by a newer leader, of which this one need not know */
    }
    if (last > 0 && last >= raft_first(m->raft) - 1 &&
        (!raft_term_at(m->raft, last, &own) || own != truth.committed[last].entry->term)) {
        verdict_fail("I5", "member %d leads term %" PRIu64 " without committed entry %" PRIu64,
                     truth_index(m), term, last);
    }
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *other = &truth.members[i];
        if (other != m && other->raft != NULL && raft_role(other->raft) == RAFT_LEADER) {
            coverage_hit(MARK_TWO_LEADERS_AT_ONCE);
        }
    }
}

/* Also of an entry that only its snapshot has. */
static bool own_term_at(const struct truth_member *m, raft_index index, raft_term *term)
{
    if (index < raft_first(m->raft) && index <= truth.committed_last) {
        *term = truth.committed[index].entry->term;
        return true;
    }
    return raft_term_at(m->raft, index, term);
}

/* I8: what a leader believes of a follower is on that one's disk, unless a newer leader has
 * overwritten it since. */
static void check_matches(struct truth_member *m, raft_term term)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *other = &truth.members[i];
        struct raft_progress_view view;
        if (other == m || other->id == 0 || !raft_progress_of(m->raft, other->id, &view)) {
            continue;
        }
        if (view.match >= view.next) {
            verdict_fail("I8", "member %d: match %" PRIu64 " of member %d, next %" PRIu64,
                         truth_index(m), view.match, truth_index(other), view.next);
        }
        if (view.match < m->matches[i] && !view.recovering) {
            verdict_fail("I8", "member %d takes back that member %" PRIu32 " holds %" PRIu64,
                         truth_index(m), i, m->matches[i]);
        }
        m->matches[i] = view.match;
        uint32_t window = truth.knobs[KNOB_inflight_messages];
        if (view.inflight >= (window != 0 ? window : LIMIT_INFLIGHT_MESSAGES)) {
            coverage_hit(MARK_WINDOW_FULL);
        }
        bool is_newer =
            other->term > term || (other->raft != NULL && raft_term_now(other->raft) > term);
        struct entry_id match = {.index = view.match};
        if (!is_newer && !other->is_damaged && match.index > 0 &&
            (!own_term_at(m, match.index, &match.term) || !truth_disk_has(other, match))) {
            verdict_fail("I8", "member %d believes that member %d holds %" PRIu64, truth_index(m),
                         truth_index(other), match.index);
        }
    }
}

/* I1, I4, I5: what a role says. */
static void check_role(struct truth_member *m, const struct raft_output *out)
{
    enum raft_role role = raft_role(m->raft);
    raft_term term = raft_term_now(m->raft);
    if (m->recovers && role == RAFT_LEADER) {
        verdict_fail("P4", "member %d leads with a log that lost entries", truth_index(m));
    }
    if (role == RAFT_LEADER && (m->role != RAFT_LEADER || m->role_term != term)) {
        check_new_leader(m, term);
        memset(m->matches, 0, sizeof(m->matches));
    } else if (role == RAFT_LEADER) {
        bool dropped = raft_last(m->raft).index < m->role_last;
        for (uint32_t i = 0; i < out->event_count; i++) {
            dropped |= out->events[i].kind == RAFT_EVENT_TRUNCATED;
        }
        if (dropped) {
            verdict_fail("I4", "member %d drops entries of its own log, leading term %" PRIu64,
                         truth_index(m), term);
        }
    }
    if (role == RAFT_LEADER) {
        check_matches(m, term);
        if (raft_leader_is_established(m->raft)) {
            coverage_hit(MARK_ESTABLISHED_LEADER);
        }
    }
    if (m->asked_to_lead != 0 && role == RAFT_LEADER && !raft_is_transferring(m->raft)) {
        coverage_hit(MARK_TIMEOUT_NOW_LOST); /* it gave up waiting, and leads on */
    }
    if (role != RAFT_LEADER || !raft_is_transferring(m->raft)) {
        m->asked_to_lead = 0;
    }
    m->role = role;
    m->role_term = term;
    m->role_last = raft_last(m->raft).index;
}

/* --- messages --------------------------------------------------------------------------------- */

static void check_vote(const struct truth_member *m, raft_term term, node_id candidate)
{
    node_id *vote = &truth_term(term)->votes[truth_index(m)];
    if (*vote != 0 && *vote != candidate) {
        verdict_fail("I1b", "member %d votes for two in term %" PRIu64, truth_index(m), term);
    }
    *vote = candidate;
    if (m->vote != candidate || m->term != term) {
        verdict_fail("I18", "member %d tells of a vote of term %" PRIu64 " that is not durable",
                     truth_index(m), term);
    }
}

static void check_acknowledgement(const struct truth_member *m, const struct raft_message *msg)
{
    if (msg->match > m->last) {
        verdict_fail("I18", "member %d acknowledges %" PRIu64 ", durable is %" PRIu64,
                     truth_index(m), msg->match, m->last);
    }
    const struct truth_member *to = truth_by_id(msg->to);
    raft_term term = 0;
    if (msg->match == 0 || to == NULL || to->raft == NULL || raft_role(to->raft) != RAFT_LEADER ||
        raft_term_now(to->raft) != msg->term) {
        return;
    }
    if (!own_term_at(to, msg->match, &term) || term != m->log[msg->match]->term) {
        verdict_fail("I18", "member %d acknowledges %" PRIu64 ", where its log is not the leader's",
                     truth_index(m), msg->match);
    }
}

/* I18: nothing is said that is not durable. */
static void check_message(struct truth_member *m, const struct raft_message *msg)
{
    bool is_grant = msg->type == RAFT_MSG_PREVOTE_REPLY && !msg->reject;
    if (msg->type != RAFT_MSG_PREVOTE && !is_grant && msg->type != RAFT_MSG_SNAPSHOT) {
        if (m->term != msg->term) {
            verdict_fail("I18", "member %d sends %s of term %" PRIu64 ", durable is %" PRIu64,
                         truth_index(m), raft_message_name(msg->type), msg->term, m->term);
        }
        m->highest_sent = msg->term;
    }
    switch (msg->type) {
    case RAFT_MSG_VOTE:
        if (msg->transfer) {
            coverage_hit(MARK_VOTE_BY_TRANSFER);
        }
        check_vote(m, msg->term, msg->from);
        /* fall through */
    case RAFT_MSG_PREVOTE:
        if (!truth_disk_has(m, msg->last)) {
            verdict_fail("I18", "member %d advertises a tail that is not durable", truth_index(m));
        }
        break;
    case RAFT_MSG_VOTE_REPLY:
        if (!msg->reject) {
            if (m->recovers) {
                verdict_fail("P4", "member %d votes with a log that lost entries", truth_index(m));
            }
            check_vote(m, msg->term, msg->to);
        }
        break;
    case RAFT_MSG_APPEND_REPLY:
    case RAFT_MSG_HEARTBEAT_REPLY:
        check_acknowledgement(m, msg);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        coverage_hit(MARK_TIMEOUT_NOW_SENT);
        m->asked_to_lead = msg->to;
        break;
    default:
        break;
    }
}

static void trace_turn(const struct truth_member *m, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->event_count; i++) {
        verdict_trace("member %d: %s %" PRIu64 " %" PRIu64, truth_index(m),
                      raft_event_name(out->events[i].kind), out->events[i].a, out->events[i].b);
    }
    for (uint32_t i = 0; i < out->message_count; i++) {
        const struct raft_message *msg = &out->messages[i];
        const struct truth_member *to = truth_by_id(msg->to);
        verdict_trace("member %d -> %d %s%s term %" PRIu64 " last %" PRIu64 "/%" PRIu64 " +%" PRIu32
                      " commit %" PRIu64 " match %" PRIu64,
                      truth_index(m), to != NULL ? truth_index(to) : -1,
                      raft_message_name(msg->type), msg->reject ? " no" : "", msg->term,
                      msg->last.term, msg->last.index, msg->entry_count, msg->commit, msg->match);
    }
}

/* I9: the newest configuration of the log is in force (rule C2). */
static void check_config(const struct truth_member *m)
{
    struct raft_config_view view;
    raft_config_view(m->raft, &view);
    const struct raft_config *a = raft_active_config(m->raft);
    const struct raft_config *b = view.config;
    if (a->voter_count != b->voter_count || a->outgoing_count != b->outgoing_count ||
        a->learner_count != b->learner_count ||
        memcmp(a->voters, b->voters, a->voter_count * sizeof(a->voters[0])) != 0 ||
        memcmp(a->outgoing, b->outgoing, a->outgoing_count * sizeof(a->outgoing[0])) != 0) {
        verdict_fail("I9", "member %d acts by another configuration than that of entry %" PRIu64,
                     truth_index(m), view.id.index);
    }
}

static void note_event(struct truth_member *m, const struct raft_event *e)
{
    coverage_hit_event(e->kind);
    if (e->kind == RAFT_EVENT_LEADER && e->a != 0) {
        m->led_in = e->b;
    } else if (e->kind == RAFT_EVENT_TRUNCATED) {
        truth_core_drops(m, e->a, e->b);
    }
}

void __wrap_raft_turn(struct raft *r, uint64_t now_ms, struct raft_output *out)
{
    __real_raft_turn(r, now_ms, out);
    struct truth_member *m = truth_by_raft(r);
    if (verdict_is_traced()) {
        trace_turn(m, out);
    }
    for (uint32_t i = 0; i < out->event_count; i++) {
        note_event(m, &out->events[i]);
    }
    if (out->restore.index != 0) {
        m->restoring = out->restore.index;
    }
    bool has_led = m->role == RAFT_LEADER && m->role_term == raft_term_now(r);
    check_config(m);
    check_role(m, out);
    check_commit(m, has_led);
    watch_queues_of_core(m);
    for (uint32_t i = 0; i < out->event_count; i++) {
        if (out->events[i].kind == RAFT_EVENT_CONFIG) {
            configs_check_log(m);
        }
    }
    m->config = *raft_active_config(r);
    for (uint32_t i = 0; i < out->message_count; i++) {
        check_message(m, &out->messages[i]);
    }
}

/* --- the code's own checks -------------------------------------------------------------------- */

static _Noreturn void fail_check(const char *file, int line, const char *words)
{
    char id[96];
    const char *base = file;
    for (const char *at = file; *at != '\0'; at++) {
        base = *at == '/' ? at + 1 : base;
    }
    snprintf(id, sizeof(id), "CHECK %s:%d", base, line);
    verdict_fail(id, "%s", words);
}

void __wrap_check_failed(const char *file, int line, const char *expr)
{
    fail_check(file, line, expr);
}

void __wrap_check_failed_values(const char *file, int line, const char *expr, uint64_t left,
                                uint64_t right)
{
    char words[256];
    snprintf(words, sizeof(words), "%s: %" PRIu64 " and %" PRIu64, expr, left, right);
    fail_check(file, line, words);
}
