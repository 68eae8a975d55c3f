#include "wal/wal_index.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

#define CAPACITY_MIN 16u

void wal_index_init(struct wal_index *ix)
{
    *ix = (struct wal_index){.first = 1};
}

void wal_index_deinit(struct wal_index *ix)
{
    mem_free(ix->runs);
    mem_free(ix->points);
    *ix = (struct wal_index){0};
}

void wal_index_reset(struct wal_index *ix, uint64_t first, uint64_t base_term)
{
    CHECK_CMP(first, >, 0);
    ix->first = first;
    ix->last = first - 1;
    ix->base_term = base_term;
    ix->run_count = 0;
    ix->point_count = 0;
}

/* Room for one more in an array of `count` things of `size` bytes. */
static void *grow(void *array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity) {
        return array;
    }
    CHECK_CMP(*capacity, <, UINT32_MAX / 2);
    *capacity = *capacity > 0 ? *capacity * 2 : CAPACITY_MIN;
    return mem_realloc(array, *capacity * size);
}

static void truncate_from(struct wal_index *ix, uint64_t from)
{
    CHECK_CMP(from, >=, ix->first);
    CHECK_CMP(from, <=, ix->last + 1);
    while (ix->run_count > 0 && ix->runs[ix->run_count - 1].first >= from) {
        ix->run_count--;
    }
    while (ix->point_count > 0 && ix->points[ix->point_count - 1].first >= from) {
        ix->point_count--;
    }
    ix->last = from - 1;
}

void wal_index_add_record(struct wal_index *ix, const struct wal_record *rec)
{
    bool continues = rec->type == WAL_RECORD_ENTRIES;
    if (rec->type == WAL_RECORD_SEAL || rec->type == WAL_RECORD_END) {
        return;
    }
    if (rec->type == WAL_RECORD_SNAPSHOT || (!continues && rec->first < ix->first)) {
        wal_index_reset(ix, rec->first, rec->previous_term);
    } else if (!continues) {
        truncate_from(ix, rec->first);
    }
    CHECK_CMP(rec->first, ==, ix->last + 1);
    if (continues && ix->point_count > 0) {
        const struct wal_point *newest = &ix->points[ix->point_count - 1];
        if (newest->sequence == rec->sequence &&
            rec->offset - newest->offset < WAL_POINT_EVERY_BYTES) {
            return;
        }
    }
    ix->points = grow(ix->points, ix->point_count, &ix->point_capacity, sizeof *ix->points);
    ix->points[ix->point_count++] = (struct wal_point){
        .first = rec->first,
        .sequence = rec->sequence,
        .offset = rec->offset,
    };
}

void wal_index_push(struct wal_index *ix, uint64_t term)
{
    CHECK_CMP(ix->point_count, >, 0);
    ix->last++;
    if (ix->run_count > 0 && ix->runs[ix->run_count - 1].term == term) {
        return;
    }
    CHECK_CMP(term, >=, wal_index_term(ix, ix->last - 1));
    ix->runs = grow(ix->runs, ix->run_count, &ix->run_capacity, sizeof *ix->runs);
    ix->runs[ix->run_count++] = (struct wal_run){.term = term, .first = ix->last};
}

uint64_t wal_index_term(const struct wal_index *ix, uint64_t index)
{
    CHECK_CMP(index + 1, >=, ix->first);
    CHECK_CMP(index, <=, ix->last);
    for (uint32_t i = ix->run_count; i > 0; i--) {
        if (ix->runs[i - 1].first <= index) {
            return ix->runs[i - 1].term;
        }
    }
    return ix->base_term;
}

uint64_t wal_index_first_after(const struct wal_index *ix, uint64_t sequence)
{
    for (uint32_t i = 0; i < ix->point_count; i++) {
        if (ix->points[i].sequence > sequence) {
            return ix->points[i].first;
        }
    }
    return 0;
}

void wal_index_drop_before(struct wal_index *ix, uint64_t first)
{
    CHECK_CMP(first, >=, ix->first);
    CHECK_CMP(first, <=, ix->last + 1);
    ix->base_term = wal_index_term(ix, first - 1);
    uint32_t points = 0;
    while (points < ix->point_count && ix->points[points].first < first) {
        points++;
    }
    ix->point_count -= points;
    if (points > 0) {
        memmove(ix->points, ix->points + points, ix->point_count * sizeof *ix->points);
    }
    /* The run that `first` is in stays, and begins there. */
    uint32_t runs = 0;
    while (runs < ix->run_count &&
           (runs + 1 < ix->run_count ? ix->runs[runs + 1].first : ix->last + 1) <= first) {
        runs++;
    }
    ix->run_count -= runs;
    if (runs > 0) {
        memmove(ix->runs, ix->runs + runs, ix->run_count * sizeof *ix->runs);
    }
    if (ix->run_count > 0 && ix->runs[0].first < first) {
        ix->runs[0].first = first;
    }
    ix->first = first;
}

struct wal_point wal_index_find(const struct wal_index *ix, uint64_t index, uint64_t *limit)
{
    CHECK_CMP(index, >=, ix->first);
    CHECK_CMP(index, <=, ix->last);
    uint32_t low = 0;
    uint32_t high = ix->point_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (ix->points[middle].first <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    CHECK_CMP(low, <, ix->point_count);
    *limit = low + 1 < ix->point_count ? ix->points[low + 1].first : ix->last + 1;
    return ix->points[low];
}
