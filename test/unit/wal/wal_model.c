#include "wal_model.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define STEP_ENTRIES_MAX 64
#define ENTRY_TYPE(salt) ((uint8_t)((salt) % 7))

static char message[256];

struct wal_options wal_model_options(struct fake_disk *f)
{
    struct wal_options options = {
        .disk = fake_disk_as_disk(f), .first_segment_bytes = 32768, .segment_bytes = 40960};
    memset(options.log_id.bytes, 0x5a, sizeof options.log_id.bytes);
    return options;
}

static void fill_payload(uint8_t *bytes, const struct model_entry *e)
{
    for (uint32_t i = 0; i < e->size; i++) {
        bytes[i] = (uint8_t)(e->salt * 37 + i * 11 + (i >> 8));
    }
}

/* The log after the step. */
static void apply(struct model_log *log, const struct step *step, uint64_t *salt)
{
    if (step->term > 0) {
        log->term = step->term;
        log->vote = step->vote;
    }
    if (step->truncate_from > 0) {
        log->last = step->truncate_from - 1;
    }
    for (uint32_t i = 0; i < step->count; i++) {
        CHECK_CMP(log->last, <, MODEL_ENTRIES_MAX);
        log->entries[log->last++] =
            (struct model_entry){.term = log->term, .salt = ++*salt, .size = step->size};
    }
    log->commit = step->commit > log->commit ? step->commit : log->commit;
}

static enum status append(struct wal_model *m, struct wal *w, const struct step *step)
{
    CHECK_CMP(step->count, <=, STEP_ENTRIES_MAX);
    m->maybe = m->acked;
    apply(&m->maybe, step, &m->salt);
    struct wal_entry entries[STEP_ENTRIES_MAX];
    uint8_t *bytes = mem_alloc((size_t)step->count * step->size + 1);
    uint64_t first = m->maybe.last - step->count + 1;
    for (uint32_t i = 0; i < step->count; i++) {
        const struct model_entry *e = &m->maybe.entries[first + i - 1];
        fill_payload(bytes + (size_t)i * e->size, e);
        entries[i] = (struct wal_entry){.index = first + i,
                                        .term = e->term,
                                        .type = ENTRY_TYPE(e->salt),
                                        .payload = slice_of(bytes + (size_t)i * e->size, e->size)};
    }
    struct wal_batch batch = {.hard_state = step->term > 0,
                              .term = step->term,
                              .vote = step->vote,
                              .truncate_from = step->truncate_from,
                              .entries = entries,
                              .count = step->count,
                              .commit = m->maybe.commit};
    enum status status = wal_append(w, &batch);
    mem_free(bytes);
    if (status == STATUS_OK) {
        m->acked = m->maybe;
    }
    m->has_maybe = status != STATUS_OK;
    return status;
}

enum status wal_model_step(struct wal_model *m, struct wal **w, struct fake_disk *f,
                           const struct step *step)
{
    switch (step->kind) {
    case STEP_APPEND:
        return append(m, *w, step);
    case STEP_SEAL:
        return wal_seal(*w);
    case STEP_PREPARE:
        return wal_prepare(*w);
    case STEP_REOPEN:
    default:
        break;
    }
    wal_close(*w);
    struct wal_options options = wal_model_options(f);
    char *detail = NULL;
    enum status status = wal_open(&options, w, &detail);
    mem_free(detail);
    return status;
}

struct comparison {
    const struct model_log *log;
    uint64_t next;
    bool is_equal;
};

static bool compare_entry(void *context, const struct wal_entry *entry)
{
    struct comparison *c = context;
    const struct model_entry *e = &c->log->entries[entry->index - 1];
    uint8_t *bytes = mem_alloc((size_t)e->size + 1);
    fill_payload(bytes, e);
    c->is_equal = c->is_equal && entry->index == c->next && entry->term == e->term &&
                  entry->type == ENTRY_TYPE(e->salt) &&
                  slice_equal(entry->payload, slice_of(bytes, e->size));
    c->next = entry->index + 1;
    mem_free(bytes);
    return c->is_equal;
}

static bool runs_match(const struct wal_state *state, const struct model_log *log)
{
    uint32_t run = 0;
    for (uint64_t index = 1; index <= log->last; index++) {
        uint64_t term = log->entries[index - 1].term;
        bool begins = index == 1 || log->entries[index - 2].term != term;
        if (begins) {
            if (run >= state->run_count || state->runs[run].first != index ||
                state->runs[run].term != term) {
                return false;
            }
            run++;
        }
    }
    return run == state->run_count;
}

static bool log_matches(struct wal *w, const struct wal_state *state, const struct model_log *log)
{
    if (state->last != log->last || !runs_match(state, log)) {
        return false;
    }
    if (log->last == 0) {
        return true;
    }
    struct comparison c = {.log = log, .next = 1, .is_equal = true};
    enum status status = wal_read(w, 1, log->last, UINT64_MAX, compare_entry, &c);
    return status == STATUS_OK && c.is_equal && c.next == log->last + 1;
}

static bool hard_state_matches(const struct wal_state *state, const struct model_log *log)
{
    return state->term == log->term && state->vote == log->vote;
}

const char *wal_model_check(struct wal_model *m, struct wal *w)
{
    struct wal_state state;
    wal_state(w, &state);
    const struct model_log *hard = NULL;
    const struct model_log *log = NULL;
    if (hard_state_matches(&state, &m->acked)) {
        hard = &m->acked;
    } else if (m->has_maybe && hard_state_matches(&state, &m->maybe)) {
        hard = &m->maybe;
    }
    if (log_matches(w, &state, &m->acked)) {
        log = &m->acked;
    } else if (m->has_maybe && log_matches(w, &state, &m->maybe)) {
        log = &m->maybe;
    }
    if (hard == NULL || log == NULL) {
        snprintf(message, sizeof message,
                 "%s: found term %" PRIu64 " vote %" PRIu64 " last %" PRIu64
                 "; acknowledged term %" PRIu64 " vote %" PRIu64 " last %" PRIu64,
                 hard == NULL ? "hard state" : "log", state.term, state.vote, state.last,
                 m->acked.term, m->acked.vote, m->acked.last);
        return message;
    }
    uint64_t commit = m->has_maybe ? m->maybe.commit : m->acked.commit;
    if (log == &m->maybe && !hard_state_matches(&state, &m->maybe)) {
        return "entries are there without the hard state of their batch";
    }
    if (state.commit > state.last || state.commit > commit) {
        return "the commit index is above what was ever said";
    }
    struct model_log truth = *log;
    truth.term = state.term;
    truth.vote = state.vote;
    m->acked = truth;
    m->has_maybe = false;
    return NULL;
}

const char *wal_model_reopen_check(struct wal_model *m, struct fake_disk *f)
{
    struct wal_options options = wal_model_options(f);
    struct wal *w = NULL;
    char *detail = NULL;
    enum status status = wal_open(&options, &w, &detail);
    if (status != STATUS_OK) {
        snprintf(message, sizeof message, "open says %s (%s)", status_name(status),
                 detail != NULL ? detail : "");
        mem_free(detail);
        return message;
    }
    const char *wrong = wal_model_check(m, w);
    wal_close(w);
    return wrong;
}
