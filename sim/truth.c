#include "truth.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "configs.h"
#include "coverage.h"
#include "lease_truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct truth truth;

/* --- life ------------------------------------------------------------------------------------- */

void truth_begin(const struct schedule *s)
{
    truth = (struct truth){.member_count = s->knobs[KNOB_members] + s->knobs[KNOB_spares],
                           .knobs = s->knobs,
                           .model = model_create()};
    lease_truth_begin();
    struct kv *empty = kv_create();
    truth.empty_digest = kv_digest(empty);
    kv_destroy(empty);
}

void truth_end(void)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        mem_free(truth.members[i].log);
        mem_free(truth.members[i].dropped_for);
        mem_free(truth.members[i].unsure.entries);
        mem_free(truth.members[i].commands);
    }
    for (uint32_t i = 0; i < truth.lost_count; i++) {
        mem_free(truth.lost[i].log);
    }
    for (uint64_t i = 1; i <= truth.committed_last; i++) {
        mem_free(truth.committed[i].answer);
    }
    for (uint32_t i = 0; i < truth.attempt_count; i++) {
        if (truth.attempts[i].plan != NULL) {
            plan_deinit(truth.attempts[i].plan);
            mem_free(truth.attempts[i].plan);
        }
    }
    lease_truth_end();
    for (uint64_t i = 0; i < truth.entry_capacity; i++) {
        for (struct known_entry *e = truth.entries[i], *next; e != NULL; e = next) {
            next = e->next;
            mem_free(e);
        }
    }
    mem_free(truth.entries);
    mem_free(truth.committed);
    mem_free(truth.attempts);
    mem_free(truth.terms);
    model_destroy(truth.model);
    truth = (struct truth){0};
}

void truth_enter(int member)
{
    truth.current = member;
}

int truth_index(const struct truth_member *m)
{
    return (int)(m - truth.members);
}

struct truth_member *truth_by_id(node_id id)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        if (truth.members[i].id == id) {
            return &truth.members[i];
        }
    }
    return NULL;
}

struct truth_member *truth_by_raft(const struct raft *r)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        if (truth.members[i].raft == r) {
            return &truth.members[i];
        }
    }
    verdict_fail("SIM", "a core of nobody");
}

struct truth_member *truth_by_wal(const struct wal *w)
{
    for (uint32_t i = 0; i < truth.member_count; i++) {
        if (truth.members[i].wal == w) {
            return &truth.members[i];
        }
    }
    return NULL;
}

void truth_on_start(int member, struct loop *loop)
{
    struct truth_member *m = &truth.members[member];
    m->loop = loop;
    m->starts++;
    m->started_ms = loop->ops->now_ms(loop);
}

void truth_on_stop(int member)
{
    struct truth_member *m = &truth.members[member];
    m->loop = NULL;
    m->raft = NULL;
    m->wal = NULL;
    m->may_fail = false;
    m->command_count = 0;
    m->role = RAFT_FOLLOWER;
    m->asked_to_lead = 0;
    m->kv = NULL;
    m->is_odd = false; /* it makes its state from its log again */
    m->is_quarantined = false;
    m->commit = 0;
    m->applied = 0;
    m->restoring = 0;
    m->led_in = 0;
    truth_drops_done(m, 0);
}

void truth_on_wipe(int member)
{
    struct truth_member *m = &truth.members[member];
    CHECK_CMP(truth.lost_count, <, LOST_DISKS_MAX);
    if (m->id != 0) {
        truth.lost[truth.lost_count++] =
            (struct lost_disk){.id = m->id, .log = m->log, .last = m->last};
    } else {
        mem_free(m->log);
    }
    m->log = NULL;
    m->log_capacity = 0;
    m->id = 0;
    m->term = 0;
    m->vote = 0;
    m->last = 0;
    m->highest_sent = 0;
    m->unsure.is_there = false;
    m->log_first = 0;
    m->is_stranger = true;
    m->is_damaged = false;
    m->may_refuse = false;
    m->is_repaired = false;
    m->recovers = false;
    m->was_counted = false;
    for (uint32_t i = 0; i < truth.term_capacity; i++) { /* it is another voter */
        truth.terms[i].votes[member] = 0;
    }
    for (uint32_t i = 0; i < truth.member_count; i++) {
        truth.members[i].matches[member] = 0;
    }
}

void truth_on_salvage(struct truth_member *m)
{
    struct known_entry **copy = mem_calloc(m->last + 1, sizeof(struct known_entry *));
    if (m->last > 0) {
        memcpy(copy, m->log, (m->last + 1) * sizeof(struct known_entry *));
    }
    CHECK_CMP(truth.lost_count, <, LOST_DISKS_MAX);
    truth.lost[truth.lost_count++] = (struct lost_disk){.id = m->id, .log = copy, .last = m->last};
}

bool truth_is_intact(const struct truth_member *m)
{
    return m->id != 0 && !m->is_stranger && !m->recovers && (!m->is_damaged || m->is_repaired);
}

/* --- entries ---------------------------------------------------------------------------------- */

static void grow(void *array, uint64_t *capacity, uint64_t index, size_t item_size)
{
    if (index < *capacity) {
        return;
    }
    uint64_t larger = *capacity == 0 ? 256 : *capacity * 2;
    while (larger <= index) {
        larger *= 2;
    }
    void **items = array;
    *items = mem_realloc(*items, larger * item_size);
    memset((uint8_t *)*items + *capacity * item_size, 0, (larger - *capacity) * item_size);
    *capacity = larger;
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    return h ^ (h >> 29);
}

static uint64_t hash_bytes(struct slice bytes)
{
    uint32_t crc = bytes.size > 0 ? crc32c(7, bytes.data, bytes.size) : 0;
    return (uint64_t)crc << 32 | bytes.size;
}

struct known_entry *truth_entry(uint64_t index, const struct known_entry *previous, raft_term term,
                                enum raft_entry_type type, struct slice payload)
{
    uint64_t chain = mix(mix(previous != NULL ? previous->chain : 1, hash_bytes(payload)),
                         term << 8 | (uint64_t)type);
    grow(&truth.entries, &truth.entry_capacity, index, sizeof(*truth.entries));
    struct known_entry *e = truth.entries[index];
    while (e != NULL && e->term != term) {
        e = e->next;
    }
    if (e != NULL) {
        if (e->chain != chain) {
            verdict_fail("I3", "member %d has another entry %" PRIu64 " of term %" PRIu64,
                         truth.current, index, term);
        }
        return e;
    }
    e = mem_alloc(sizeof(*e) + payload.size);
    *e = (struct known_entry){.term = term,
                              .chain = chain,
                              .type = type,
                              .size = (uint32_t)payload.size,
                              .previous = previous,
                              .next = truth.entries[index]};
    if (payload.size > 0) {
        memcpy(e->payload, payload.data, payload.size);
    }
    truth.entries[index] = e;
    if (e->next != NULL) {
        coverage_hit(MARK_SEVERAL_TERMS_IN_LOG);
    }
    return e;
}

bool truth_disk_has(const struct truth_member *m, struct entry_id id)
{
    if (id.index == 0) {
        return id.term == 0;
    }
    return id.index <= m->last && m->log[id.index]->term == id.term;
}

bool truth_had(node_id id, struct entry_id entry)
{
    const struct truth_member *m = truth_by_id(id);
    if (m != NULL && truth_disk_has(m, entry)) {
        return true;
    }
    for (uint32_t i = 0; i < truth.lost_count; i++) {
        const struct lost_disk *d = &truth.lost[i];
        if (d->id == id && entry.index <= d->last && d->log[entry.index]->term == entry.term) {
            return true;
        }
    }
    return false;
}

void truth_log_set(struct truth_member *m, uint64_t index, struct known_entry *entry)
{
    grow(&m->log, &m->log_capacity, index, sizeof(struct known_entry *));
    m->log[index] = entry;
    m->last = index;
}

void truth_log_restore(struct truth_member *m, uint64_t index)
{
    for (uint64_t i = 1; i <= index; i++) {
        truth_log_set(m, i, (struct known_entry *)truth.committed[i].entry);
    }
    m->last = index;
}

void truth_core_drops(struct truth_member *m, uint64_t from, uint64_t last)
{
    grow(&m->dropped_for, &m->dropped_capacity, last, sizeof(raft_term));
    for (uint64_t i = from; i <= last; i++) {
        m->dropped_for[i] = m->dropped_for[i] != 0 ? m->dropped_for[i] : m->led_in;
    }
}

void truth_drops_done(struct truth_member *m, uint64_t from)
{
    for (uint64_t i = from; i < m->dropped_capacity; i++) {
        m->dropped_for[i] = 0;
    }
}

struct term_truth *truth_term(raft_term term)
{
    if (term >= TRUTH_TERMS_MAX) {
        verdict_fail("I20", "term %" PRIu64 " was reached", term);
    }
    uint64_t capacity = truth.term_capacity;
    grow(&truth.terms, &capacity, term, sizeof(*truth.terms));
    truth.term_capacity = (uint32_t)capacity;
    return &truth.terms[term];
}

/* --- what is committed ------------------------------------------------------------------------ */

uint64_t truth_hash_command(const struct kv_command *command)
{
    static struct buf scratch;
    buf_clear(&scratch);
    kv_command_encode(command, &scratch);
    return hash_bytes(buf_slice(&scratch));
}

void truth_retry_key(uint32_t attempt, char key[TRUTH_KEY_BYTES])
{
    snprintf(key, TRUTH_KEY_BYTES, "r%" PRIu32, attempt);
}

/* As the bytes of a transaction say. */
static uint64_t attempt_of_txn(struct slice bytes)
{
    struct kv_txn *txn;
    uint64_t number = UINT64_MAX;
    if (kv_txn_decode(bytes, &txn) == STATUS_OK) {
        number = plan_attempt_of(txn);
        kv_txn_destroy(txn);
    }
    return number;
}

/* NULL: of no attempt that must be told from others (a delete without a key, a lease). */
static struct attempt *attempt_of(uint64_t index, const struct kv_command *command)
{
    uint64_t number;
    if (command->retry_key.size > 0) {
        char text[TRUTH_KEY_BYTES] = {0};
        memcpy(text, command->retry_key.data + 1, command->retry_key.size - 1);
        number = strtoull(text, NULL, 10);
    } else if (command->op == KV_PUT || command->op == KV_PUT_TTL || command->op == KV_DOCUMENT) {
        memcpy(&number, command->value.data, TRUTH_VALUE_MIN);
    } else if (command->op == KV_TXN) {
        number = attempt_of_txn(command->txn);
    } else {
        return NULL;
    }
    if (number >= truth.attempt_count) {
        verdict_fail("I6", "entry %" PRIu64 " holds a value that nobody wrote", index);
    }
    return &truth.attempts[number];
}

static void commit_attempt(uint64_t index, struct attempt *a)
{
    if (a->committed_at != 0) {
        verdict_fail("I11", "one write is committed at %" PRIu64 " and %" PRIu64, a->committed_at,
                     index);
    }
    if (a->state == ATTEMPT_REFUSED) {
        verdict_fail("K1",
                     "entry %" PRIu64 " is committed, and its client was told that nothing "
                     "was written",
                     index);
    }
    a->committed_at = index;
}

/* The transaction in the log is what its client asked for. */
static void check_txn(uint64_t index, const struct kv_command *command, const struct attempt *a)
{
    struct buf bytes = {0};
    if (a->plan != NULL) {
        kv_txn_encode(a->plan->txn, &bytes);
    }
    if (!slice_equal(buf_slice(&bytes), command->txn)) {
        verdict_fail("I6", "entry %" PRIu64 " is not the transaction that was asked for", index);
    }
    buf_deinit(&bytes);
}

static void mark_txn(const struct committed_entry *c, uint32_t changes)
{
    if (c->result.status == STATUS_OK && !c->result.succeeded) {
        coverage_hit(MARK_TXN_FAILED_COMPARE);
    }
    if (c->result.status == STATUS_OK && strstr(c->answer, "nested") != NULL) {
        coverage_hit(MARK_TXN_NESTED);
    }
    if (changes > 1) {
        coverage_hit(MARK_TXN_OF_SEVERAL_CHANGES);
    }
}

static void apply_to_model(uint64_t index, struct committed_entry *c,
                           const struct kv_command *command, const struct attempt *a)
{
    uint32_t changes = model_change_count(truth.model);
    if (command->op != KV_TXN) {
        model_apply(truth.model, command, NULL, &c->result, NULL);
    } else {
        struct buf answer = {0};
        check_txn(index, command, a);
        model_apply(truth.model, command, a->plan->txn, &c->result, &answer);
        buf_append_byte(&answer, '\0');
        c->answer = (char *)answer.data;
        mark_txn(c, model_change_count(truth.model) - changes);
    }
    c->is_expiry = command->op == KV_LEASE_EXPIRE;
    if (c->is_expiry && model_change_count(truth.model) > changes) {
        coverage_hit(MARK_LEASE_EXPIRED_WITH_KEYS);
    }
    lease_truth_on_commit(index, command);
}

static void commit_command(uint64_t index, struct committed_entry *c)
{
    struct kv_command command;
    struct slice payload = slice_of(c->entry->payload, c->entry->size);
    if (kv_command_decode(payload, &command) != STATUS_OK) {
        verdict_fail("I6", "entry %" PRIu64 " is committed and is no command", index);
    }
    c->command_hash = hash_bytes(payload);
    model_see_time(truth.model, command.time_ms);
    if (command.op == KV_COMPACT) {
        coverage_hit(MARK_COMPACTED);
    }
    struct attempt *a = attempt_of(index, &command);
    if (a != NULL && a->is_keyed && a->committed_at != 0) {
        coverage_hit(MARK_COMMITTED_AGAIN);
        c->result = a->result; /* I11: not applied again */
        c->result.replayed = true;
        c->result.lease = 0;
        return;
    }
    if (a != NULL) {
        commit_attempt(index, a);
    }
    apply_to_model(index, c, &command, a);
    if (a != NULL) {
        a->result = c->result;
    }
}

void truth_commit(const struct truth_member *m, uint64_t index, raft_term by)
{
    for (uint64_t i = truth.committed_last + 1; i <= index; i++) {
        grow(&truth.committed, &truth.committed_capacity, i, sizeof(*truth.committed));
        struct committed_entry *c = &truth.committed[i];
        *c = (struct committed_entry){.entry = m->log[i], .by = by};
        if (c->entry->type == RAFT_ENTRY_COMMAND) {
            commit_command(i, c);
        } else if (c->entry->type == RAFT_ENTRY_CONFIG) {
            configs_on_commit(i, slice_of(c->entry->payload, c->entry->size));
        }
        c->revision = model_revision(truth.model);
        c->compacted = model_compacted(truth.model);
        c->lease_hash = model_lease_hash(truth.model);
        truth.committed_last = i;
        verdict_trace("committed %" PRIu64 " of term %" PRIu64, i, c->entry->term);
    }
}

/* --- attempts --------------------------------------------------------------------------------- */

uint32_t truth_attempt(void)
{
    uint64_t capacity = truth.attempt_capacity;
    grow(&truth.attempts, &capacity, truth.attempt_count, sizeof(*truth.attempts));
    truth.attempt_capacity = (uint32_t)capacity;
    return truth.attempt_count++;
}

void truth_attempt_ended(uint32_t attempt, enum attempt_state state)
{
    struct attempt *a = &truth.attempts[attempt];
    if (a->is_keyed) {
        return; /* what one try came to says nothing of the others */
    }
    a->state = state;
    if (state == ATTEMPT_REFUSED && a->committed_at != 0) {
        verdict_fail("K1", "a client is told that nothing was written; it is entry %" PRIu64,
                     a->committed_at);
    }
}
