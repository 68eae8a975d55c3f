/* watch_log.c - the calls of wal.h, watched: I2, I17, and what is durable.
 *
 * The real function runs; before and after it this file notes what must be on the disk from now on.
 * Whether it is, is asked of a copy of the disk that lost everything that was not synced. */
#include "base/mem.h"
#include "coverage.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <string.h>

enum status __real_wal_open(const struct wal_options *options, struct wal **wal, char **detail);
enum status __wrap_wal_open(const struct wal_options *options, struct wal **wal, char **detail);
enum status __real_wal_append(struct wal *w, const struct wal_batch *batch);
enum status __wrap_wal_append(struct wal *w, const struct wal_batch *batch);
enum status __real_wal_compact(struct wal *w, uint64_t first, bool *more);
enum status __wrap_wal_compact(struct wal *w, uint64_t first, bool *more);
enum status __real_wal_recovered(struct wal *w);
enum status __wrap_wal_recovered(struct wal *w);
void __real_wal_close(struct wal *w);
void __wrap_wal_close(struct wal *w);

/* --- what a start finds ----------------------------------------------------------------------- */

struct found_log {
    const struct truth_member *m;
    struct known_entry **log; /* by index */
    uint64_t last;
    struct wal_state state;
};

static bool take_entry(void *context, const struct wal_entry *e)
{
    struct found_log *f = context;
    struct known_entry *known = e->index < truth.entry_capacity ? truth.entries[e->index] : NULL;
    while (known != NULL && known->term != e->term) {
        known = known->next;
    }
    if (known == NULL || known->size != e->payload.size || (int)known->type != e->type ||
        (known->size > 0 && memcmp(known->payload, e->payload.data, known->size) != 0)) {
        verdict_fail("I17",
                     "member %d finds entry %" PRIu64 " of term %" PRIu64
                     " in its log, which nobody wrote",
                     truth_index(f->m), e->index, e->term);
    }
    f->last = e->index;
    f->log[f->last] = known;
    return true;
}

/* Entry `i` of what must be there when the unsure write did (or did not) reach the disk; NULL =
 * nothing more. */
static const struct known_entry *expected_entry(const struct truth_member *m, bool arrived,
                                                uint64_t i)
{
    const struct unsure_write *u = &m->unsure;
    if (arrived && u->is_there && u->count > 0 && i >= u->first) {
        return i < u->first + u->count ? u->entries[i - u->first] : NULL;
    }
    if (arrived && u->is_there && u->discard_to != 0) {
        return i <= u->discard_to ? truth.committed[i].entry : NULL;
    }
    bool is_cut = arrived && u->is_there && u->truncate_from != 0 && i >= u->truncate_from;
    return !is_cut && i <= m->last ? m->log[i] : NULL;
}

/* What must at least be there. */
static uint64_t expected_last(const struct truth_member *m, bool arrived)
{
    const struct unsure_write *u = &m->unsure;
    if (arrived && u->is_there && u->discard_to != 0) {
        return u->discard_to;
    }
    if (arrived && u->is_there && u->truncate_from != 0) {
        return u->truncate_from - 1;
    }
    return m->last;
}

/* A snapshot whose last entry the log does not have makes it void (rule S4). */
static bool voids_log(const struct truth_member *m, const struct found_log *f, bool arrived)
{
    uint64_t index = f->state.snapshot_index;
    return index > 0 && expected_entry(m, arrived, index) != truth.committed[index].entry;
}

/* Rule P4: what is left was a log once. Perhaps one that was overwritten since: when the damage hit
 * what said so, entries that were void are there again. */
static bool is_salvaged(const struct found_log *f)
{
    for (uint64_t i = f->state.first; i <= f->last; i++) {
        if (f->log[i]->previous != f->log[i - 1]) {
            return false;
        }
    }
    return true;
}

static bool is_explained(const struct truth_member *m, const struct found_log *f, bool arrived)
{
    if (f->state.recovering && m->is_damaged) {
        return is_salvaged(f);
    }
    if (voids_log(m, f, arrived)) {
        return f->last == f->state.snapshot_index;
    }
    if (f->last < expected_last(m, arrived)) {
        return false;
    }
    for (uint64_t i = f->state.first; i <= f->last; i++) {
        if (f->log[i] != expected_entry(m, arrived, i)) {
            return false;
        }
    }
    return true;
}

/* What a log that begins later stands on: a snapshot, of what was committed. */
static void check_base(const struct truth_member *m, const struct found_log *f)
{
    const struct wal_state *state = &f->state;
    uint64_t index = state->snapshot_index;
    if (index > truth.committed_last ||
        (index > 0 && truth.committed[index].entry->term != state->snapshot_term)) {
        verdict_fail("I17",
                     "member %d finds a snapshot of entry %" PRIu64 " of term %" PRIu64
                     ", which is not committed",
                     truth_index(m), index, state->snapshot_term);
    }
    uint64_t base = state->first - 1;
    if (base > index || (base > 0 && truth.committed[base].entry->term != state->base_term)) {
        verdict_fail("I17",
                     "member %d finds a log from %" PRIu64 " on, after term %" PRIu64
                     "; its snapshot is of %" PRIu64,
                     truth_index(m), state->first, state->base_term, index);
    }
}

static void check_hard_state(const struct truth_member *m, const struct wal_state *state)
{
    const struct unsure_write *u = &m->unsure;
    bool is_old = state->term == m->term && state->vote == m->vote;
    bool is_new = u->is_there && u->hard_state && state->term == u->term && state->vote == u->vote;
    if (!is_old && !is_new) {
        verdict_fail("I2",
                     "member %d finds term %" PRIu64 " vote %" PRIx64 ", and term %" PRIu64
                     " vote %" PRIx64 " was durable",
                     truth_index(m), state->term, state->vote, m->term, m->vote);
    }
}

/* Compare an open log with what must be in it; the caller frees f->log. False: a crash that was
 * arranged comes in between. */
static bool check_found(struct truth_member *m, struct wal *wal, struct found_log *f)
{
    struct wal_state state;
    wal_state(wal, &state);
    check_hard_state(m, &state);
    *f = (struct found_log){.m = m,
                            .log = mem_calloc(state.last + 2, sizeof(*f->log)),
                            .last = state.first - 1,
                            .state = state};
    check_base(m, f);
    for (uint64_t i = 1; i < state.first; i++) {
        f->log[i] = (struct known_entry *)truth.committed[i].entry;
    }
    if (state.last >= state.first) {
        enum status s = wal_read(wal, state.first, state.last, UINT64_MAX, take_entry, f);
        if (s != STATUS_OK && !m->may_fail && !m->is_damaged) {
            verdict_fail("I17", "member %d opens its log and cannot read it: %s", truth_index(m),
                         status_name(s));
        }
        if (s != STATUS_OK) {
            return false;
        }
    }
    if (!is_explained(m, f, false) && !is_explained(m, f, true)) {
        verdict_fail("I17",
                     "member %d finds a log up to %" PRIu64 ", and had synced it up to %" PRIu64
                     " (or what it finds differs)",
                     truth_index(m), f->last, m->last);
    }
    if ((state.commit > f->last && !state.recovering) || state.commit > truth.committed_last) {
        verdict_fail("I17",
                     "member %d finds commit index %" PRIu64 ", the log ends at %" PRIu64
                     ", committed is %" PRIu64,
                     truth_index(m), state.commit, f->last, truth.committed_last);
    }
    return true;
}

static void adopt(struct truth_member *m, const struct wal_state *state, const struct found_log *f)
{
    m->recovers = state->recovering;
    m->is_repaired = m->is_repaired && !state->recovering;
    m->has_hidden_rot = false;
    if (state->recovering) {
        coverage_hit(MARK_LOG_SALVAGED);
        if (strstr(state->damage, "newest sound snapshot") != NULL) {
            coverage_hit(MARK_SALVAGED_WITHOUT_SNAPSHOT);
        }
        truth_on_salvage(m);
    }
    if (f->last > m->last) {
        coverage_hit(MARK_RECOVERED_UNACKNOWLEDGED);
    }
    m->term = state->term;
    m->vote = state->vote;
    m->last = 0;
    m->log_first = state->first;
    for (uint64_t i = 1; i <= f->last; i++) {
        truth_log_set(m, i, f->log[i]);
    }
    m->unsure.is_there = false;
}

enum status __wrap_wal_open(const struct wal_options *options, struct wal **wal, char **detail)
{
    struct truth_member *m = &truth.members[truth.current];
    char *own = NULL;
    enum status s = __real_wal_open(options, wal, detail != NULL ? detail : &own);
    const char *words = detail != NULL ? *detail : own;
    m->wal_options = *options;
    if (s == STATUS_OK) {
        struct wal_state state;
        struct found_log found;
        wal_state(*wal, &state);
        if (state.torn_bytes > 0) {
            coverage_hit(MARK_TORN_TAIL);
        }
        bool is_read = check_found(m, *wal, &found);
        if (m->highest_sent > state.term) {
            verdict_fail("I2",
                         "member %d comes back at term %" PRIu64 " after speaking of %" PRIu64,
                         truth_index(m), state.term, m->highest_sent);
        }
        if (is_read) {
            adopt(m, &state, &found);
        }
        mem_free(found.log);
        m->wal = *wal;
    } else if (s != STATUS_IO && s != STATUS_NO_SPACE && !m->is_damaged) {
        verdict_fail("I17", "member %d refuses a sound log: %s", truth_index(m),
                     words != NULL ? words : status_name(s));
    } else if (s != STATUS_CORRUPT && !m->may_fail && !(m->is_full && s == STATUS_NO_SPACE)) {
        verdict_fail("SIM", "member %d cannot open its log: %s", truth_index(m), status_name(s));
    }
    mem_free(own);
    return s;
}

/* --- what is written -------------------------------------------------------------------------- */

static void note_unsure(struct truth_member *m, const struct wal_batch *b)
{
    struct unsure_write *u = &m->unsure;
    if (b->count > u->capacity) {
        u->capacity = b->count;
        u->entries = mem_realloc(u->entries, u->capacity * sizeof(*u->entries));
    }
    u->is_there = true;
    u->hard_state = b->hard_state;
    u->term = b->term;
    u->vote = b->vote;
    u->discard_to = b->discard ? b->install_index : 0;
    u->truncate_from = b->truncate_from;
    u->count = b->count;
    u->first = b->count > 0 ? b->entries[0].index : 0;
    uint64_t kept = u->discard_to != 0      ? u->discard_to
                    : b->truncate_from != 0 ? b->truncate_from - 1
                                            : m->last;
    if (b->count > 0 && u->first != kept + 1) {
        verdict_fail("I3", "member %d writes entry %" PRIu64 " after %" PRIu64, truth_index(m),
                     u->first, kept);
    }
    const struct known_entry *previous = NULL;
    if (b->count > 0 && kept > 0) {
        previous = u->discard_to != 0 ? truth.committed[kept].entry : m->log[kept];
    }
    for (uint32_t i = 0; i < b->count; i++) {
        const struct wal_entry *e = &b->entries[i];
        u->entries[i] =
            truth_entry(e->index, previous, e->term, (enum raft_entry_type)e->type, e->payload);
        previous = u->entries[i];
    }
}

/* Rule S3: only what was committed is installed, and nothing that was is thrown away. */
static void check_install(const struct truth_member *m, const struct wal_batch *b)
{
    uint64_t index = b->install_index;
    if (index > truth.committed_last || truth.committed[index].entry->term != b->install_term) {
        verdict_fail("I6",
                     "member %d installs a snapshot of entry %" PRIu64 " of term %" PRIu64
                     ", which is not committed",
                     truth_index(m), index, b->install_term);
    }
    coverage_hit(b->discard ? MARK_INSTALL_DISCARDED : MARK_INSTALL_KEPT);
    for (uint64_t i = index + 1; b->discard && i <= m->last && i <= truth.committed_last; i++) {
        if (m->log[i] == truth.committed[i].entry) {
            verdict_fail("I10",
                         "member %d installs a snapshot of %" PRIu64 " and drops entry "
                         "%" PRIu64 ", which is committed",
                         truth_index(m), index, i);
        }
    }
}

static raft_term term_of_drop(const struct truth_member *m, const struct wal_batch *b, uint64_t i)
{
    if (i < m->dropped_capacity && m->dropped_for[i] != 0) {
        return m->dropped_for[i];
    }
    return b->hard_state ? b->term : m->term;
}

static void check_batch(const struct truth_member *m, const struct wal_batch *b)
{
    if (b->hard_state && b->term < m->term) {
        verdict_fail("I2", "member %d writes term %" PRIu64 " after %" PRIu64, truth_index(m),
                     b->term, m->term);
    }
    if (b->hard_state && b->term == m->term && m->vote != 0 && b->vote != m->vote) {
        verdict_fail("I1b", "member %d changes its vote of term %" PRIu64, truth_index(m), m->term);
    }
    if (b->install_index != 0) {
        check_install(m, b);
    }
    if (b->truncate_from == 0) {
        return;
    }
    coverage_hit(MARK_TRUNCATED_ON_DISK);
    /* Who hears late of a leader before the one that committed it may drop a copy that nobody has
     * counted (figure 8 of the paper), and do so on its disk when it has heard of the next one. */
    for (uint64_t i = b->truncate_from; i <= m->last && i <= truth.committed_last; i++) {
        if (m->log[i] == truth.committed[i].entry &&
            term_of_drop(m, b, i) >= truth.committed[i].by) {
            verdict_fail("I10",
                         "member %d drops entry %" PRIu64 " from its disk, which is committed",
                         truth_index(m), i);
        }
    }
}

static void make_sure(struct truth_member *m)
{
    struct unsure_write *u = &m->unsure;
    if (u->hard_state) {
        m->term = u->term;
        m->vote = u->vote;
    }
    if (u->discard_to != 0) {
        truth_log_restore(m, u->discard_to);
        m->log_first = u->discard_to + 1;
    }
    if (u->truncate_from != 0 && u->truncate_from <= m->last) {
        m->last = u->truncate_from - 1;
        truth_drops_done(m, u->truncate_from);
    }
    for (uint32_t i = 0; i < u->count; i++) {
        truth_log_set(m, u->first + i, u->entries[i]);
    }
    u->is_there = false;
}

/* What would be there if the power failed now, and nothing that was not synced arrived? */
static void audit(struct truth_member *m)
{
    if (m->is_damaged) {
        return;
    }
    struct fake_disk *copy = fake_disk_clone(m->disk);
    struct wal_options options = m->wal_options;
    options.salvage = false;
    options.disk = fake_disk_as_disk(copy);
    options.must_exist = true;
    struct wal *wal;
    char *detail = NULL;
    enum status s = __real_wal_open(&options, &wal, &detail);
    if (s != STATUS_OK) {
        verdict_fail("I17", "after a power loss now, member %d could not start: %s", truth_index(m),
                     detail != NULL ? detail : status_name(s));
    }
    struct found_log found;
    check_found(m, wal, &found);
    mem_free(found.log);
    __real_wal_close(wal);
    fake_disk_destroy(copy);
}

static bool is_audited(struct truth_member *m, uint32_t every, bool always)
{
    return truth.knobs[KNOB_audit_every] != 0 && (++m->writes_seen % every == 0 || always);
}

enum status __wrap_wal_append(struct wal *w, const struct wal_batch *batch)
{
    struct truth_member *m = truth_by_wal(w);
    truth_enter(truth_index(m));
    check_batch(m, batch);
    note_unsure(m, batch);
    enum status s = __real_wal_append(w, batch);
    if (s == STATUS_OK) {
        make_sure(m);
        if (is_audited(m, truth.knobs[KNOB_audit_every], batch->discard)) {
            audit(m);
        }
    } else if (s == STATUS_NO_SPACE && m->is_full) {
        m->unsure.is_there = false; /* rule P12: nothing was written */
    } else if (s == STATUS_CORRUPT && m->has_hidden_rot) {
        m->may_fail = true; /* it ends: the snapshot that came is damaged already (rule P4) */
    } else if (!m->may_fail) {
        verdict_fail("SIM", "member %d cannot write: %s", truth_index(m), status_name(s));
    }
    return s;
}

enum status __wrap_wal_compact(struct wal *w, uint64_t first, bool *more)
{
    struct truth_member *m = truth_by_wal(w);
    truth_enter(truth_index(m));
    enum status s = __real_wal_compact(w, first, more);
    struct wal_state state;
    wal_state(w, &state);
    if (s == STATUS_OK && state.first > m->log_first) {
        m->log_first = state.first;
        coverage_hit(MARK_LOG_COMPACTED);
        if (is_audited(m, 4, false)) {
            audit(m);
        }
    } else if (s != STATUS_OK && !m->may_fail && !m->is_damaged) {
        verdict_fail("SIM", "member %d cannot compact its log: %s", truth_index(m), status_name(s));
    }
    return s;
}

enum status __wrap_wal_recovered(struct wal *w)
{
    struct truth_member *m = truth_by_wal(w);
    enum status s = __real_wal_recovered(w);
    if (s == STATUS_OK && m != NULL) {
        coverage_hit(MARK_LOG_REPAIRED);
        m->recovers = false;
        m->is_repaired = !m->has_hidden_rot;
    }
    return s;
}

void __wrap_wal_close(struct wal *w)
{
    struct truth_member *m = w != NULL ? truth_by_wal(w) : NULL;
    if (m != NULL) {
        m->wal = NULL;
    }
    __real_wal_close(w);
}
