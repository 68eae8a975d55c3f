#include "raft/raft_internal.h"

#define CLOCK_RATE_ERROR_PERCENT 1 /* quartz is a hundred times better */

/* --- life ------------------------------------------------------------------------------------- */

static void apply_defaults(struct raft_options *o)
{
    CHECK(o->self != 0 && o->election_timeout_ms > 0 && o->heartbeat_ms > 0);
    const struct {
        uint32_t *value;
        uint32_t standard;
    } bounds[] = {
        {&o->append_bytes_max, LIMIT_APPEND_BYTES},
        {&o->persist_bytes_max, LIMIT_PERSIST_BATCH_BYTES},
        {&o->inflight_messages_max, LIMIT_INFLIGHT_MESSAGES},
        {&o->inflight_bytes_max, LIMIT_INFLIGHT_BYTES},
        {&o->uncommitted_bytes_max, LIMIT_UNCOMMITTED_BYTES},
        {&o->uncommitted_entries_max, LIMIT_UNCOMMITTED_ENTRIES},
        {&o->tail_bytes_max, LIMIT_LOG_TAIL_BYTES},
        {&o->clock_rate_error_percent, CLOCK_RATE_ERROR_PERCENT},
    };
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        if (*bounds[i].value == 0) {
            *bounds[i].value = bounds[i].standard;
        }
    }
    CHECK_CMP(o->clock_rate_error_percent, <, 100);
    CHECK(!o->lease_reads || o->election_timeout_ms <= LIMIT_RAFT_LEASE_MS);
}

/* A crash may have left the entries of a persist and not its term. Nobody was told of that term, so
 * no vote of it can have been given; the next persist writes it. */
static void adopt_term_of_log(struct raft *r)
{
    raft_term term = raft_log_last(&r->log).term;
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
    }
}

struct raft *raft_create(const struct raft_options *options, const struct raft_restored *restored,
                         uint64_t now_ms)
{
    CHECK(restored->commit <= restored->last && restored->applied <= restored->commit);
    CHECK_CMP(restored->tail_first, <=, restored->applied + 1);
    struct raft *r = mem_calloc(1, sizeof(*r));
    r->options = *options;
    apply_defaults(&r->options);
    rng_init(&r->rng, options->seed);
    r->now_ms = now_ms;
    r->term = restored->term;
    r->vote = restored->vote;
    r->role = RAFT_FOLLOWER;
    raft_log_init(&r->log, restored);
    adopt_term_of_log(r);
    durable_init(&r->durable, restored);
    r->commit = restored->commit;
    r->applied = restored->applied;
    r->snapshot = restored->snapshot;
    CHECK_CMP(r->log.base.index, <=, index_min(r->snapshot.index, r->applied));
    lease_init(r, restored->lease_promise_ms);
    membership_init(r, restored);
    reads_init(r);
    election_init(r);
    return r;
}

void raft_destroy(struct raft *r)
{
    if (r == NULL) {
        return;
    }
    leader_release_loaded(r);
    mem_free(r->loading.entries);
    outbox_deinit(&r->out);
    reads_deinit(&r->reads);
    durable_deinit(&r->durable);
    membership_deinit(r);
    raft_log_deinit(&r->log);
    mem_free(r);
}

/* --- what the files of this room share -------------------------------------------------------- */

struct member *member_find(const struct raft *r, node_id id)
{
    for (uint32_t i = 0; i < r->member_count; i++) {
        if (r->members[i].id == id) {
            return (struct member *)&r->members[i];
        }
    }
    return NULL;
}

uint32_t raft_rest_ms(const struct raft *r)
{
    uint64_t rest_ms = (uint64_t)r->options.election_timeout_ms * 2 / 5;
    return (uint32_t)index_min(rest_ms, LIMIT_RAFT_LEASE_MS);
}

bool raft_is_lone_voter(const struct raft *r)
{
    return config_is_lone_voter(&r->config, r->options.self);
}

bool raft_hard_state_is_durable(const struct raft *r)
{
    return r->durable.term == r->term && r->durable.vote == r->vote &&
           r->durable.lease_promise_ms == r->lease.longest_ms;
}

void raft_set_role(struct raft *r, enum raft_role role)
{
    if (r->role != role) {
        r->role = role;
        outbox_event(r, RAFT_EVENT_ROLE, role, r->term);
    }
}

void raft_set_leader(struct raft *r, node_id leader)
{
    if (r->leader != leader) {
        r->leader = leader;
        outbox_event(r, RAFT_EVENT_LEADER, leader, r->term);
    }
}

void raft_append(struct raft *r, const struct raft_entry *entry)
{
    raft_log_append(&r->log, entry);
    if (entry->type == RAFT_ENTRY_CONFIG) {
        membership_on_append(r, entry);
    }
}

void raft_advance_commit(struct raft *r, raft_index index)
{
    if (index > r->commit) {
        raft_index from = r->commit + 1;
        r->commit = index;
        membership_on_commit(r, from, index);
    }
}

void raft_truncate(struct raft *r, raft_index from)
{
    CHECK_CMP(from, >, r->commit);
    CHECK(r->role == RAFT_FOLLOWER);
    outbox_event(r, RAFT_EVENT_TRUNCATED, from, r->log.last);
    raft_log_truncate(&r->log, from);
    durable_on_truncate(&r->durable, from);
    membership_on_truncate(r, from);
}

raft_index raft_apply_limit(const struct raft *r)
{
    if (snapshot_is_restoring(r) && (!r->install.durable || r->install.announce)) {
        return r->applied; /* what was to be applied may be void; the snapshot has it */
    }
    return index_min(r->commit, durable_index(&r->durable));
}

void raft_trim_tail(struct raft *r)
{
    CHECK_CMP(r->applied, <=, durable_index(&r->durable)); /* rule R10 */
    raft_log_trim(&r->log, r->applied, r->options.tail_bytes_max);
}

/* --- messages --------------------------------------------------------------------------------- */

static bool is_possible_config(const struct raft_entry *entry)
{
    struct raft_config config;
    struct slice annex;
    return entry->type != RAFT_ENTRY_CONFIG ||
           raft_config_decode(blob_slice(entry->payload), &config, &annex) == STATUS_OK;
}

static bool entries_are_possible(const struct raft_message *m)
{
    if (m->entry_count > 0 &&
        (m->entries == NULL || m->last.index > UINT64_MAX - m->entry_count - 1)) {
        return false;
    }
    raft_term term = m->last.term;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        if (entry->term < term || entry->term == 0 || entry->term > m->term ||
            (uint32_t)entry->type > RAFT_ENTRY_CONFIG || !is_possible_config(entry)) {
            return false;
        }
        term = entry->term;
    }
    return true;
}

/* Could a member that keeps the protocol have sent this to me? */
static bool is_possible(const struct raft *r, const struct raft_message *m)
{
    if (m->to != r->options.self || m->from == 0 || m->from == m->to || m->term == 0) {
        return false;
    }
    if ((m->last.index == 0) != (m->last.term == 0) || m->last.term > m->term ||
        m->last.index == UINT64_MAX || m->lease_ms > LIMIT_RAFT_LEASE_MS) {
        return false;
    }
    if (m->type != RAFT_MSG_APPEND) {
        return m->entry_count == 0;
    }
    return entries_are_possible(m);
}

static bool comes_from_leader(const struct raft_message *m)
{
    return m->type == RAFT_MSG_APPEND || m->type == RAFT_MSG_HEARTBEAT;
}

/* Does the message's term bind me? A pre-vote speaks of a term that nobody has begun, and so does
 * the grant of one; a refusal carries a real term, and must be heard (rules E4, E5). */
static bool has_real_term(const struct raft_message *m)
{
    return m->type != RAFT_MSG_PREVOTE && (m->type != RAFT_MSG_PREVOTE_REPLY || m->reject);
}

static void on_lower_term(struct raft *r, const struct raft_message *m)
{
    if (comes_from_leader(m)) {
        follower_refuse_old_leader(r, m);
    } else if (m->type == RAFT_MSG_VOTE) {
        election_on_vote(r, m);
    } else if (m->type == RAFT_MSG_READ) {
        reads_on_question(r, m);
    }
}

static void dispatch(struct raft *r, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PREVOTE:
        election_on_prevote(r, m);
        break;
    case RAFT_MSG_PREVOTE_REPLY:
        election_on_prevote_reply(r, m);
        break;
    case RAFT_MSG_VOTE:
        election_on_vote(r, m);
        break;
    case RAFT_MSG_VOTE_REPLY:
        election_on_vote_reply(r, m);
        break;
    case RAFT_MSG_APPEND:
        follower_on_append(r, m);
        break;
    case RAFT_MSG_APPEND_REPLY:
        leader_on_append_reply(r, m);
        break;
    case RAFT_MSG_HEARTBEAT:
        follower_on_heartbeat(r, m);
        break;
    case RAFT_MSG_HEARTBEAT_REPLY:
        leader_on_heartbeat_reply(r, m);
        break;
    case RAFT_MSG_READ:
        reads_on_question(r, m);
        break;
    case RAFT_MSG_READ_REPLY:
        reads_on_answer(r, m);
        break;
    case RAFT_MSG_TIMEOUT_NOW:
        election_on_timeout_now(r, m);
        break;
    case RAFT_MSG_TRANSFER_REQUEST:
        (void)!transfer_start(r, m->from);
        break;
    case RAFT_MSG_SNAPSHOT:
    default:
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        break;
    }
}

static void on_message(struct raft *r, const struct raft_message *m)
{
    if (!is_possible(r, m)) {
        outbox_event(r, RAFT_EVENT_DROPPED, m->type, m->from);
        return;
    }
    if (has_real_term(m)) {
        if (m->term < r->term) {
            on_lower_term(r, m);
            return;
        }
        if (m->type == RAFT_MSG_VOTE && m->term > r->term && !m->transfer &&
            (election_is_sticky(r) || lease_forbids(r, m->from))) {
            return;
        }
        if (m->term > r->term) {
            become_follower(r, m->term, comes_from_leader(m) ? m->from : 0);
        }
    }
    dispatch(r, m);
}

/* --- inputs ----------------------------------------------------------------------------------- */

static enum status on_campaign(struct raft *r)
{
    if (r->role != RAFT_FOLLOWER) {
        return STATUS_OK;
    }
    if (!election_may_campaign(r)) {
        return STATUS_NOT_FOUND;
    }
    if (r->leader == 0 && r->now_ms < r->lease.until_ms) {
        r->election.deadline_ms = r->lease.until_ms; /* when the promise ends */
        return STATUS_OK;
    }
    if (r->leader == 0) {
        election_start(r, false);
        return STATUS_OK;
    }
    struct raft_message m = message_to(r, RAFT_MSG_TRANSFER_REQUEST, r->leader);
    outbox_send(r, &m);
    return STATUS_OK;
}

static void on_persisted(struct raft *r)
{
    bool was_recovering = raft_is_recovering(r);
    durable_complete(&r->durable);
    snapshot_on_durable(r);
    recovering_on_durable(r, was_recovering);
    raft_trim_tail(r);
    election_on_durable(r);
}

static void on_applied(struct raft *r, raft_index index)
{
    CHECK_CMP(index, <=, index_min(r->commit, durable_index(&r->durable)));
    r->applied = index_max(r->applied, index);
    snapshot_on_applied(r);
    config_log_prune(&r->configs, r->applied);
    raft_trim_tail(r);
}

enum status raft_step(struct raft *r, const struct raft_input *input)
{
    outbox_begin(r);
    r->now_ms = index_max(r->now_ms, input->now_ms);
    switch (input->kind) {
    case RAFT_INPUT_TICK:
        break;
    case RAFT_INPUT_MESSAGE:
        on_message(r, input->message);
        break;
    case RAFT_INPUT_PROPOSE:
        return leader_propose(r, input->propose.entries, input->propose.count);
    case RAFT_INPUT_PERSISTED:
        on_persisted(r);
        break;
    case RAFT_INPUT_APPLIED:
        on_applied(r, input->index);
        break;
    case RAFT_INPUT_LOADED:
        leader_on_loaded(r, input);
        break;
    case RAFT_INPUT_READ:
        return reads_add(r, input->token);
    case RAFT_INPUT_TRANSFER:
        return transfer_start(r, input->target);
    case RAFT_INPUT_CAMPAIGN:
        return on_campaign(r);
    case RAFT_INPUT_LEADER_LOST:
        election_on_lost(r, input);
        break;
    case RAFT_INPUT_GATHERED:
        election_on_gathered(r);
        break;
    case RAFT_INPUT_UNREACHABLE:
        leader_on_unreachable(r, input->target);
        reads_on_unreachable(r, input->target);
        break;
    case RAFT_INPUT_STALLED:
        transfer_on_stalled(r);
        break;
    case RAFT_INPUT_COMPACTED:
        snapshot_on_compacted(r, input);
        break;
    case RAFT_INPUT_INSTALL:
        return snapshot_on_install(r, input);
    case RAFT_INPUT_SNAPSHOT_SENT:
        snapshot_on_sent(r, input);
        break;
    case RAFT_INPUT_CHANGE:
        return membership_change(r, input->change.config, input->change.annex);
    case RAFT_INPUT_BARRED:
        membership_bar(r, input->barred);
        break;
    default:
        CHECK(false); /* no such input */
    }
    return STATUS_OK;
}

/* --- the turn --------------------------------------------------------------------------------- */

static void on_time(struct raft *r)
{
    reads_on_time(r);
    if (r->role == RAFT_LEADER) {
        leader_on_time(r);
    }
    election_on_time(r); /* at once when the only voter stepped down */
}

static uint64_t next_deadline(const struct raft *r)
{
    if (r->role == RAFT_LEADER) {
        return leader_deadline(r);
    }
    uint64_t deadline = reads_deadline(r);
    bool waits = r->leader != 0 || election_may_campaign(r);
    return waits ? index_min(deadline, election_deadline(r)) : deadline;
}

static void collect(struct raft *r, struct raft_output *out)
{
    struct outbox *box = &r->out;
    struct loading *l = &r->loading;
    out->messages = box->messages;
    out->message_count = box->message_count;
    out->reads = box->reads;
    out->read_count = box->read_count;
    out->events = box->events;
    out->event_count = box->event_count;
    out->restore = snapshot_take_restore(r);
    out->apply_to = raft_apply_limit(r);
    if (l->announce) {
        l->announce = false;
        out->load.wanted = true;
        out->load.first = l->first;
        out->load.last = l->last;
        out->load.bytes_max = l->bytes_max;
    }
    out->deadline_ms = next_deadline(r);
    box->taken = true;
}

void raft_turn(struct raft *r, uint64_t now_ms, struct raft_output *out)
{
    outbox_begin(r);
    r->now_ms = index_max(r->now_ms, now_ms);
    *out = (struct raft_output){0};
    if (raft_hard_state_is_durable(r)) {
        outbox_release_held(r); /* older than what this turn adds */
    }
    on_time(r);
    if (r->role == RAFT_LEADER) {
        leader_turn(r);
    } else {
        follower_turn(r);
        reads_follower_turn(r);
    }
    recovering_turn(r);
    const struct durable_source source = {.log = &r->log,
                                          .term = r->term,
                                          .vote = r->vote,
                                          .lease_promise_ms = r->lease.longest_ms,
                                          .recovered = r->recovering.complete,
                                          .commit = r->commit,
                                          .bytes_max = r->options.persist_bytes_max};
    out->has_persist = durable_begin(&r->durable, &source, &out->persist);
    collect(r, out);
}

void raft_set_wish(struct raft *r, struct raft_wish wish)
{
    r->wish = wish;
}

/* --- views ------------------------------------------------------------------------------------ */

enum raft_role raft_role(const struct raft *r)
{
    return r->role;
}

raft_term raft_term_now(const struct raft *r)
{
    return r->term;
}

node_id raft_leader(const struct raft *r)
{
    return r->leader;
}

node_id raft_vote(const struct raft *r)
{
    return r->vote;
}

raft_index raft_commit(const struct raft *r)
{
    return r->commit;
}

struct entry_id raft_last(const struct raft *r)
{
    return raft_log_last(&r->log);
}

raft_index raft_durable(const struct raft *r)
{
    return durable_index(&r->durable);
}

raft_index raft_first(const struct raft *r)
{
    return raft_log_first(&r->log);
}

bool raft_leader_is_established(const struct raft *r)
{
    return leader_is_established(r);
}

bool raft_is_transferring(const struct raft *r)
{
    return r->transfer.target != 0;
}

struct raft_figures raft_figures(const struct raft *r)
{
    bool leads = r->role == RAFT_LEADER;
    return (struct raft_figures){
        .uncommitted_bytes = leads ? r->leading.uncommitted_bytes : 0,
        .uncommitted_entries = leads ? r->leading.uncommitted_entries : 0,
        .tail_bytes = r->log.bytes,
    };
}

const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index)
{
    return raft_log_span(&r->log, index).entries;
}

bool raft_term_at(const struct raft *r, raft_index index, raft_term *term)
{
    return index != 0 && raft_log_term(&r->log, index, term);
}

bool raft_progress_of(const struct raft *r, node_id member, struct raft_progress_view *view)
{
    const struct member *m = member_find(r, member);
    if (r->role != RAFT_LEADER || m == NULL || member == r->options.self) {
        return false;
    }
    const struct progress *p = &m->progress;
    *view = (struct raft_progress_view){.match = p->match,
                                        .next = p->next,
                                        .last_ack_ms = p->last_ack_ms,
                                        .inflight = p->inflight.count,
                                        .probing = p->probing,
                                        .needs_snapshot = p->next < raft_log_first(&r->log),
                                        .recovering = p->recovering};
    return true;
}

const char *raft_role_name(enum raft_role role)
{
    static const char *const names[] = {"follower", "precandidate", "candidate", "leader"};
    CHECK_CMP(role, <, sizeof(names) / sizeof(names[0]));
    return names[role];
}

const char *raft_message_name(enum raft_message_type type)
{
    static const char *const names[] = {"?",
                                        "PREVOTE",
                                        "PREVOTE_REPLY",
                                        "VOTE",
                                        "VOTE_REPLY",
                                        "APPEND",
                                        "APPEND_REPLY",
                                        "HEARTBEAT",
                                        "HEARTBEAT_REPLY",
                                        "READ",
                                        "READ_REPLY",
                                        "TIMEOUT_NOW",
                                        "TRANSFER_REQUEST",
                                        "SNAPSHOT",
                                        "SNAPSHOT_REPLY"};
    return (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : names[0];
}

const char *raft_event_name(enum raft_event_kind kind)
{
    static const char *const names[] = {
#define RAFT_EVENT_NAME(name, a, b) #name,
        RAFT_EVENT_TABLE(RAFT_EVENT_NAME)
#undef RAFT_EVENT_NAME
    };
    CHECK_CMP(kind, <, sizeof(names) / sizeof(names[0]));
    return names[kind];
}
