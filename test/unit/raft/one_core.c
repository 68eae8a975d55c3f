#include "one_core.h"

#include "base/check.h"

#include <string.h>

void core_start(struct one_core *c, const struct core_setup *setup)
{
    *c = (struct one_core){.now_ms = 1000};
    struct entry_id runs[16];
    struct raft_entry tail[16];
    struct raft_restored restored = {
        .term = setup->term,
        .vote = setup->vote,
        .commit = setup->commit > setup->base.index ? setup->commit : setup->base.index,
        .applied = setup->base.index,
        .snapshot = setup->base,
        .first = setup->base.index + 1,
        .base_term = setup->base.term,
        .lease_promise_ms = setup->lease_promise_ms,
        .recovering = setup->recovering,
        .last = setup->base.index,
        .runs = runs};
    node_id id = 1;
    for (uint32_t i = 0; i < setup->voters; i++) {
        restored.config.voters[restored.config.voter_count++] = id++;
    }
    for (uint32_t i = 0; i < setup->learners; i++) {
        restored.config.learners[restored.config.learner_count++] = id++;
    }
    for (uint32_t i = 0; i < 16 && setup->terms[i] != 0; i++) {
        raft_term term = setup->terms[i];
        tail[i] = (struct raft_entry){.term = term};
        restored.last++;
        if (restored.run_count == 0 || runs[restored.run_count - 1].term != term) {
            runs[restored.run_count++] = (struct entry_id){.term = term, .index = restored.last};
        }
    }
    if (setup->last_config.voter_count > 0) {
        struct raft_entry *entry = &tail[restored.last - restored.first];
        entry->type = RAFT_ENTRY_CONFIG;
        entry->payload = raft_config_encode(&setup->last_config, slice_str("old"));
    }
    restored.tail_first = restored.first;
    restored.tail = tail;
    struct raft_options options = setup->options;
    options.self = setup->self != 0 ? setup->self : 1;
    options.election_timeout_ms = CORE_ELECTION_MS;
    options.heartbeat_ms = CORE_HEARTBEAT_MS;
    options.seed = options.seed != 0 ? options.seed : 1;
    c->self = options.self;
    c->raft = raft_create(&options, &restored, c->now_ms);
    if (setup->last_config.voter_count > 0) {
        blob_unref(tail[restored.last - restored.first].payload);
    }
}

void core_stop(struct one_core *c)
{
    raft_destroy(c->raft);
}

static void end_turn(struct one_core *c)
{
    raft_turn(c->raft, c->now_ms, &c->out);
    raft_check_invariants(c->raft, &c->snapshot);
    CHECK_CMP(c->out.deadline_ms, >, c->now_ms);
    CHECK(!c->writing || !c->out.has_persist);
    c->writing = c->writing || c->out.has_persist;
}

enum status core_step(struct one_core *c, const struct raft_input *input)
{
    struct raft_input timed = *input;
    timed.now_ms = c->now_ms;
    enum status s = raft_step(c->raft, &timed);
    raft_check_invariants(c->raft, &c->snapshot);
    end_turn(c);
    return s;
}

void core_deliver(struct one_core *c, const struct raft_message *m)
{
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_MESSAGE, .message = m});
}

void core_persisted(struct one_core *c)
{
    CHECK(c->writing);
    c->writing = false;
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_PERSISTED});
}

void core_settle(struct one_core *c)
{
    while (c->writing) {
        core_persisted(c);
    }
}

void core_wait(struct one_core *c, uint64_t ms)
{
    c->now_ms += ms;
    (void)!core_step(c, &(struct raft_input){.kind = RAFT_INPUT_TICK});
}

enum status core_propose(struct one_core *c, uint32_t payload_bytes)
{
    struct blob *payload = blob_create(payload_bytes);
    memset(payload->data, 'x', payload_bytes);
    const struct raft_entry entry = {.type = RAFT_ENTRY_COMMAND, .payload = payload};
    enum status s = core_step(
        c, &(struct raft_input){.kind = RAFT_INPUT_PROPOSE, .propose = {&entry, .count = 1}});
    blob_unref(payload);
    return s;
}

enum status core_read(struct one_core *c, uint64_t token)
{
    return core_step(c, &(struct raft_input){.kind = RAFT_INPUT_READ, .token = token});
}

enum status core_change(struct one_core *c, const struct raft_config *config)
{
    return core_step(
        c, &(struct raft_input){.kind = RAFT_INPUT_CHANGE, .change = {config, slice_str("annex")}});
}

struct raft_message core_message(const struct one_core *c, enum raft_message_type type,
                                 node_id from, raft_term term)
{
    return (struct raft_message){.type = type, .from = from, .to = c->self, .term = term};
}

const struct raft_message *core_sent(const struct one_core *c, enum raft_message_type type,
                                     node_id to)
{
    for (uint32_t i = 0; i < c->out.message_count; i++) {
        const struct raft_message *m = &c->out.messages[i];
        if (m->type == type && (to == 0 || m->to == to)) {
            return m;
        }
    }
    return NULL;
}

uint32_t core_sent_count(const struct one_core *c, enum raft_message_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->out.message_count; i++) {
        count += c->out.messages[i].type == type;
    }
    return count;
}

bool core_saw(const struct one_core *c, enum raft_event_kind kind)
{
    for (uint32_t i = 0; i < c->out.event_count; i++) {
        if (c->out.events[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static void vote_of_all(struct one_core *c, enum raft_message_type type, raft_term term)
{
    const struct raft_config config = *raft_active_config(c->raft);
    enum raft_role asking = raft_role(c->raft);
    for (uint32_t i = 0; i < config.voter_count; i++) {
        if (config.voters[i] != c->self && raft_role(c->raft) == asking) {
            struct raft_message m = core_message(c, type, config.voters[i], term);
            core_deliver(c, &m);
        }
    }
}

void core_lead(struct one_core *c)
{
    core_wait(c, 2 * CORE_ELECTION_MS);
    raft_term term = raft_term_now(c->raft);
    if (raft_role(c->raft) == RAFT_PRECANDIDATE) {
        vote_of_all(c, RAFT_MSG_PREVOTE_REPLY, term + 1);
        term++;
    }
    CHECK(raft_role(c->raft) == RAFT_CANDIDATE);
    CHECK(c->out.has_persist);
    core_persisted(c);
    vote_of_all(c, RAFT_MSG_VOTE_REPLY, term);
    CHECK(raft_role(c->raft) == RAFT_LEADER);
}

void core_acknowledge(struct one_core *c, node_id from, raft_index match)
{
    struct raft_message m = core_message(c, RAFT_MSG_APPEND_REPLY, from, raft_term_now(c->raft));
    m.match = match;
    m.sent_ms = c->now_ms;
    core_deliver(c, &m);
}

void core_agree(struct one_core *c)
{
    for (int i = 0; i < 4; i++) {
        core_settle(c);
        raft_index last = raft_last(c->raft).index;
        for (node_id id = 1; id <= 9; id++) {
            struct raft_progress_view progress;
            if (raft_role(c->raft) == RAFT_LEADER && raft_progress_of(c->raft, id, &progress)) {
                core_acknowledge(c, id, last);
            }
        }
    }
}

void core_establish(struct one_core *c, struct core_setup setup)
{
    core_start(c, &setup);
    core_lead(c);
    core_agree(c);
    CHECK(raft_leader_is_established(c->raft));
}

void core_echo(struct one_core *c, node_id from)
{
    const struct raft_message *asked = core_sent(c, RAFT_MSG_HEARTBEAT, from);
    CHECK(asked != NULL);
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT_REPLY, from, raft_term_now(c->raft));
    m.round = asked->round;
    m.sent_ms = asked->sent_ms;
    core_deliver(c, &m);
}
