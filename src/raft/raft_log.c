#include "raft/raft_log.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

void raft_log_init(struct raft_log *log, const struct raft_restored *restored)
{
    raft_index first = restored->first > 0 ? restored->first : 1;
    *log = (struct raft_log){.base = {.term = restored->base_term, .index = first - 1},
                             .last = restored->tail_first - 1};
    CHECK_CMP(restored->tail_first, >=, first);
    CHECK((log->base.index == 0) == (log->base.term == 0));
    CHECK_CMP(restored->tail_first, <=, restored->last + 1);
    if (restored->run_count > 0) {
        log->run_capacity = restored->run_count;
        log->runs = mem_calloc(log->run_capacity, sizeof(*log->runs));
    }
    for (uint32_t i = 0; i < restored->run_count; i++) {
        struct entry_id run = restored->runs[i];
        CHECK(run.term > 0 && run.index >= first && run.index <= restored->last);
        CHECK(i == 0 || (run.term > log->runs[i - 1].term && run.index > log->runs[i - 1].index));
        log->runs[log->run_count++] = run;
    }
    uint32_t count = (uint32_t)(restored->last + 1 - restored->tail_first);
    for (uint32_t i = 0; i < count; i++) {
        raft_log_append(log, &restored->tail[i]);
    }
}

void raft_log_deinit(struct raft_log *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        blob_unref(log->entries[log->head + i].payload);
    }
    mem_free(log->entries);
    mem_free(log->runs);
    *log = (struct raft_log){0};
}

raft_index raft_log_first(const struct raft_log *log)
{
    return log->base.index + 1;
}

raft_index raft_log_tail_first(const struct raft_log *log)
{
    return log->last + 1 - log->count;
}

/* The number of runs whose first index is <= `index`. */
static uint32_t runs_up_to_index(const struct raft_log *log, raft_index index)
{
    uint32_t low = 0;
    uint32_t high = log->run_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs[middle].index <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t runs_up_to_term(const struct raft_log *log, raft_term term)
{
    uint32_t low = 0;
    uint32_t high = log->run_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (log->runs[middle].term <= term) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool raft_log_term(const struct raft_log *log, raft_index index, raft_term *term)
{
    if (index == log->base.index) {
        *term = log->base.term;
        return true;
    }
    if (index < log->base.index || index > log->last) {
        return false;
    }
    uint32_t runs = log->run_count;
    if (log->runs[runs - 1].index > index) {
        runs = runs_up_to_index(log, index);
    }
    if (runs == 0) {
        return false;
    }
    *term = log->runs[runs - 1].term;
    return true;
}

struct entry_id raft_log_last(const struct raft_log *log)
{
    if (log->last == log->base.index) {
        return log->base;
    }
    return (struct entry_id){.term = log->runs[log->run_count - 1].term, .index = log->last};
}

bool raft_log_has(const struct raft_log *log, struct entry_id id)
{
    raft_term term = 0;
    return raft_log_term(log, id.index, &term) && term == id.term;
}

struct entry_id raft_log_find_below(const struct raft_log *log, struct entry_id at)
{
    raft_index index = at.index < log->last ? at.index : log->last;
    uint32_t runs = runs_up_to_term(log, at.term);
    if (runs < log->run_count && log->runs[runs].index <= index) {
        index = log->runs[runs].index - 1;
    }
    struct entry_id found = {.index = index};
    if (!raft_log_term(log, index, &found.term) || found.term > at.term) {
        return (struct entry_id){0};
    }
    return found;
}

struct raft_span raft_log_span(const struct raft_log *log, raft_index index)
{
    raft_index first = raft_log_tail_first(log);
    if (index < first || index > log->last) {
        return (struct raft_span){0};
    }
    uint32_t offset = (uint32_t)(index - first);
    return (struct raft_span){.entries = &log->entries[log->head + offset],
                              .count = log->count - offset};
}

uint32_t raft_entry_payload_bytes(const struct raft_entry *entry)
{
    return entry->payload != NULL ? entry->payload->size : 0;
}

uint64_t raft_entry_weight(const struct raft_entry *entry)
{
    return raft_entry_payload_bytes(entry) + RAFT_ENTRY_OVERHEAD;
}

uint32_t raft_span_fit(struct raft_span span, uint32_t bytes_max, uint64_t *bytes)
{
    uint32_t count = 0;
    *bytes = 0;
    while (count < span.count) {
        uint64_t weight = raft_entry_weight(&span.entries[count]);
        if (count > 0 && *bytes + weight > bytes_max) {
            break;
        }
        *bytes += weight;
        count++;
    }
    return count;
}

/* Room for one more at the end: slide down when half of the array is free, else double it. */
static void make_room(struct raft_log *log)
{
    if (log->head + log->count < log->capacity) {
        return;
    }
    if (log->head > log->capacity / 2) {
        memmove(log->entries, log->entries + log->head, log->count * sizeof(*log->entries));
        log->head = 0;
        return;
    }
    log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
    log->entries = mem_realloc(log->entries, log->capacity * sizeof(*log->entries));
}

static void note_term(struct raft_log *log, struct entry_id id)
{
    if (log->run_count > 0 && log->runs[log->run_count - 1].term >= id.term) {
        return;
    }
    if (log->run_count == log->run_capacity) {
        log->run_capacity = log->run_capacity == 0 ? 8 : log->run_capacity * 2;
        log->runs = mem_realloc(log->runs, log->run_capacity * sizeof(*log->runs));
    }
    log->runs[log->run_count++] = id;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    CHECK_CMP(log->base.term, <=, entry->term);
    make_room(log);
    log->last++;
    note_term(log, (struct entry_id){.term = entry->term, .index = log->last});
    raft_term term = 0;
    CHECK(raft_log_term(log, log->last, &term));
    CHECK_CMP(term, ==, entry->term);
    struct raft_entry *slot = &log->entries[log->head + log->count++];
    *slot = *entry;
    if (slot->payload != NULL) {
        blob_ref(slot->payload);
    }
    log->bytes += raft_entry_weight(slot);
}

void raft_log_truncate(struct raft_log *log, raft_index from)
{
    CHECK_CMP(from, >=, raft_log_tail_first(log));
    CHECK_CMP(from, <=, log->last);
    while (log->last >= from) {
        struct raft_entry *entry = &log->entries[log->head + --log->count];
        log->bytes -= raft_entry_weight(entry);
        blob_unref(entry->payload);
        log->last--;
    }
    while (log->run_count > 0 && log->runs[log->run_count - 1].index >= from) {
        log->run_count--;
    }
}

static void drop_oldest(struct raft_log *log)
{
    struct raft_entry *entry = &log->entries[log->head++];
    log->bytes -= raft_entry_weight(entry);
    blob_unref(entry->payload);
    if (--log->count == 0) {
        log->head = 0;
    }
}

void raft_log_trim(struct raft_log *log, raft_index upto, uint64_t bytes_max)
{
    while (log->bytes > bytes_max && log->count > 0 && raft_log_tail_first(log) <= upto) {
        drop_oldest(log);
    }
}

void raft_log_compact(struct raft_log *log, raft_index first)
{
    if (first <= raft_log_first(log)) {
        return;
    }
    CHECK_CMP(first, <=, log->last + 1);
    struct entry_id base = {.index = first - 1};
    CHECK(raft_log_term(log, base.index, &base.term));
    while (log->count > 0 && raft_log_tail_first(log) < first) {
        drop_oldest(log);
    }
    uint32_t runs = runs_up_to_index(log, first);
    if (first > log->last) {
        log->run_count = 0;
    } else if (runs > 1) {
        log->run_count -= runs - 1;
        memmove(log->runs, log->runs + runs - 1, log->run_count * sizeof(*log->runs));
    }
    if (log->run_count > 0) {
        log->runs[0].index = first;
    }
    log->base = base;
}

void raft_log_reset(struct raft_log *log, struct entry_id base)
{
    while (log->count > 0) {
        drop_oldest(log);
    }
    log->run_count = 0;
    log->base = base;
    log->last = base.index;
}
