#include "raft/durable.h"

#include "base/check.h"
#include "base/mem.h"

static raft_index min_index(raft_index a, raft_index b)
{
    return a < b ? a : b;
}

void durable_init(struct durable *d, const struct raft_restored *restored)
{
    *d = (struct durable){.term = restored->term,
                          .vote = restored->vote,
                          .lease_promise_ms = restored->lease_promise_ms,
                          .recovering = restored->recovering,
                          .index = restored->last,
                          .written = restored->last};
}

static void release_entries(struct durable *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        blob_unref(d->entries[i].payload);
    }
    d->count = 0;
}

void durable_deinit(struct durable *d)
{
    release_entries(d);
    mem_free(d->entries);
    *d = (struct durable){0};
}

static void hold_entries(struct durable *d, struct raft_span span, uint32_t count)
{
    if (count > d->capacity) {
        d->capacity = count;
        d->entries = mem_realloc(d->entries, d->capacity * sizeof(*d->entries));
    }
    for (uint32_t i = 0; i < count; i++) {
        d->entries[i] = span.entries[i];
        if (d->entries[i].payload != NULL) {
            blob_ref(d->entries[i].payload);
        }
    }
    d->count = count;
}

bool durable_begin(struct durable *d, const struct durable_source *source,
                   struct raft_persist *persist)
{
    bool hard_state = source->term != d->term || source->vote != d->vote ||
                      source->lease_promise_ms != d->lease_promise_ms;
    bool entries = source->log->last > d->index;
    bool recovered = d->recovering && source->recovered;
    if (d->outstanding || (!hard_state && !entries && !recovered && d->install.index == 0)) {
        return false;
    }
    uint64_t bytes = 0;
    struct raft_span span = raft_log_span(source->log, d->index + 1);
    CHECK(!entries || span.count > 0);
    hold_entries(d, span, raft_span_fit(span, source->bytes_max, &bytes));

    d->outstanding = true;
    d->covers_term = source->term;
    d->covers_vote = source->vote;
    d->covers_lease_promise_ms = source->lease_promise_ms;
    d->covers_recovered = recovered;
    d->covers_last = d->index + d->count;
    /* A log that is kept must reach the snapshot, or it would have a hole. */
    d->covers_install = d->install.index != 0 && d->covers_last >= d->install.index;
    *persist = (struct raft_persist){.hard_state = hard_state,
                                     .term = source->term,
                                     .vote = source->vote,
                                     .truncate_from = d->truncate_from,
                                     .first = d->index + 1,
                                     .count = d->count,
                                     .entries = d->entries,
                                     .commit = min_index(source->commit, durable_index(d)),
                                     .lease_promise_ms = source->lease_promise_ms,
                                     .recovered = recovered};
    if (d->covers_install) {
        persist->install = d->install;
        persist->discard = d->discard;
    }
    CHECK(d->truncate_from == 0 || (d->truncate_from == persist->first && d->count > 0));
    d->truncate_from = 0;
    d->written = d->covers_last;
    return true;
}

void durable_complete(struct durable *d)
{
    CHECK(d->outstanding);
    CHECK_CMP(d->covers_last, >=, d->index);
    d->outstanding = false;
    d->term = d->covers_term;
    d->vote = d->covers_vote;
    d->lease_promise_ms = d->covers_lease_promise_ms;
    d->recovering = d->recovering && !d->covers_recovered;
    if (d->covers_install) {
        d->install = (struct entry_id){0};
        d->discard = false;
    }
    d->index = d->covers_last;
    release_entries(d);
}

void durable_on_truncate(struct durable *d, raft_index from)
{
    CHECK_CMP(from, >, 0);
    if (from <= d->written) {
        d->truncate_from = d->truncate_from == 0 ? from : min_index(d->truncate_from, from);
    }
    d->index = min_index(d->index, from - 1);
    d->covers_last = min_index(d->covers_last, from - 1);
}

void durable_on_discard(struct durable *d, struct entry_id install, raft_index until_install)
{
    CHECK_CMP(d->install.index, ==, 0);
    CHECK_CMP(until_install, <=, d->index);
    d->install = install;
    d->discard = true;
    d->until_install = until_install;
    d->truncate_from = 0;
    d->index = install.index;
    d->written = install.index;
    /* What is being written is void before it is durable. */
    d->covers_last = install.index;
    d->covers_install = false;
}

void durable_on_install(struct durable *d, struct entry_id install)
{
    CHECK_CMP(d->install.index, ==, 0);
    d->install = install;
    d->covers_install = false;
}

raft_index durable_index(const struct durable *d)
{
    return d->discard ? d->until_install : d->index;
}
