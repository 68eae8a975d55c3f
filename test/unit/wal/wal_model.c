#include "wal_model.h"

#include "base/check.h"
#include "base/mem.h"
#include "snapshot_kit.h"

#include <stdio.h>
#include <string.h>

#define STEP_ENTRIES_MAX 64
#define ENTRY_TYPE(salt) ((uint8_t)((salt) % 7))

static char message[256];

struct wal_options wal_model_options(struct fake_disk *f)
{
    struct wal_options options = {.disk = fake_disk_as_disk(f),
                                  .first_segment_bytes = 32768,
                                  .segment_bytes = 40960,
                                  .recycled_segments_max = 2};
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

/* Rule S4: what log and snapshot are together, whatever else happens. */
static void join(struct model_log *log, uint64_t index, uint64_t term)
{
    bool has_entry = index > log->gone && index <= log->last;
    bool is_void = !has_entry || log->entries[index - 1].term != term;
    log->snapshot = index;
    log->commit = index > log->commit ? index : log->commit;
    if (is_void && !(index == log->gone && log->entries[index - 1].term == term)) {
        log->entries[index - 1] = (struct model_entry){.term = term};
        log->gone = index;
        log->last = index;
    }
}

static enum status append(struct wal_model *m, struct wal *w, const struct step *step, bool discard)
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
                              .lease_promise_ms = (uint32_t)step->term * 10,
                              .install_index = step->snapshot,
                              .install_term = step->snapshot_term,
                              .discard = discard,
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

/* The file comes first; a crash after it has the same effect as the batch that relies on it. */
static enum status put_snapshot(struct wal_model *m, struct disk *disk, uint64_t index,
                                uint64_t term)
{
    m->maybe = m->acked;
    m->has_maybe = true;
    join(&m->maybe, index, term);
    m->snapshot_is_news = true;
    enum status status =
        kit_write(disk, (struct snapshot_id){.index = index, .term = term}, 1, 100, true);
    if (status == STATUS_OK) {
        m->acked = m->maybe;
        m->has_maybe = false;
    }
    return status;
}

static enum status install(struct wal_model *m, struct wal *w, struct disk *disk,
                           const struct step *step)
{
    uint64_t gone = m->acked.gone;
    enum status status = put_snapshot(m, disk, step->snapshot, step->snapshot_term);
    return status == STATUS_OK ? append(m, w, step, m->acked.gone != gone) : status;
}

static enum status compact(struct wal_model *m, struct wal *w, struct disk *disk)
{
    if (m->acked.snapshot == 0) {
        return STATUS_OK;
    }
    m->acked.compacted = m->acked.snapshot + 1;
    enum status status =
        snapshot_remove_old(disk, kit_cluster(), 1, (struct snapshot_id){.index = 0});
    bool more = true;
    while (status == STATUS_OK && more) {
        status = wal_compact(w, m->acked.compacted, &more);
    }
    return status;
}

static enum status scrub(struct wal *w)
{
    bool done = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done) {
        status = wal_scrub(w, &done, NULL);
    }
    CHECK(status != STATUS_CORRUPT);
    return status;
}

enum status wal_model_step(struct wal_model *m, struct wal **w, struct fake_disk *f,
                           const struct step *step)
{
    struct disk *disk = fake_disk_as_disk(f);
    switch (step->kind) {
    case STEP_APPEND:
        return append(m, *w, step, false);
    case STEP_SEAL:
        return wal_seal(*w);
    case STEP_PREPARE:
        return wal_prepare(*w);
    case STEP_SNAPSHOT:
        return put_snapshot(m, disk, step->snapshot, m->acked.entries[step->snapshot - 1].term);
    case STEP_INSTALL:
        return install(m, *w, disk, step);
    case STEP_COMPACT:
        return compact(m, *w, disk);
    case STEP_SCRUB:
        return scrub(*w);
    case STEP_REOPEN:
    default:
        break;
    }
    wal_close(*w);
    struct wal_options options = wal_model_options(f);
    char *detail = NULL;
    enum status status = wal_open(&options, w, &detail);
    mem_free(detail);
    wal_model_opened(m);
    return status;
}

void wal_model_opened(struct wal_model *m)
{
    m->snapshot_is_news = false;
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
    for (uint64_t index = state->first; index <= log->last; index++) {
        uint64_t term = log->entries[index - 1].term;
        bool begins = index == state->first || log->entries[index - 2].term != term;
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

static bool snapshot_matches(const struct wal_model *m, const struct wal_state *state,
                             const struct model_log *log)
{
    if (m->snapshot_is_news && state->snapshot_index < log->snapshot) {
        return true;
    }
    return state->snapshot_index == log->snapshot &&
           (log->snapshot == 0 || state->snapshot_term == log->entries[log->snapshot - 1].term);
}

/* The log may begin late only because of a compaction or a snapshot that is there. */
static bool beginning_matches(const struct wal_state *state, const struct model_log *log)
{
    uint64_t latest = log->gone + 1 > log->compacted ? log->gone + 1 : log->compacted;
    return state->first > log->gone && state->first <= (latest > 1 ? latest : 1) &&
           state->first <= log->snapshot + 1 &&
           state->base_term == (state->first > 1 ? log->entries[state->first - 2].term : 0);
}

static bool log_matches(const struct wal_model *m, struct wal *w, const struct wal_state *state,
                        const struct model_log *log)
{
    if (state->last != log->last || !snapshot_matches(m, state, log) ||
        !beginning_matches(state, log) || !runs_match(state, log)) {
        return false;
    }
    if (log->last < state->first) {
        return true;
    }
    struct comparison c = {.log = log, .next = state->first, .is_equal = true};
    enum status status = wal_read(w, c.next, log->last, UINT64_MAX, compare_entry, &c);
    return status == STATUS_OK && c.is_equal && c.next == log->last + 1;
}

static bool hard_state_matches(const struct wal_state *state, const struct model_log *log)
{
    return state->term == log->term && state->vote == log->vote &&
           state->lease_promise_ms == log->term * 10;
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
    if (log_matches(m, w, &state, &m->acked)) {
        log = &m->acked;
    } else if (m->has_maybe && log_matches(m, w, &state, &m->maybe)) {
        log = &m->maybe;
    }
    if (hard == NULL || log == NULL) {
        snprintf(message, sizeof message,
                 "%s: found term %" PRIu64 " vote %" PRIu64 " snapshot %" PRIu64 " log %" PRIu64
                 "..%" PRIu64 "; acknowledged term %" PRIu64 " vote %" PRIu64 " snapshot %" PRIu64
                 " log ..%" PRIu64,
                 hard == NULL ? "hard state" : "log", state.term, state.vote, state.snapshot_index,
                 state.first, state.last, m->acked.term, m->acked.vote, m->acked.snapshot,
                 m->acked.last);
        return message;
    }
    uint64_t commit = m->has_maybe ? m->maybe.commit : m->acked.commit;
    if (log == &m->maybe && m->maybe.snapshot == m->acked.snapshot &&
        !hard_state_matches(&state, &m->maybe)) {
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
    wal_model_opened(m);
    const char *wrong = wal_model_check(m, w);
    wal_close(w);
    return wrong;
}
