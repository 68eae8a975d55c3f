#include "shrink.h"

#include "base/mem.h"
#include "campaign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct shrinker {
    struct schedule *best;
    const char *id;
    uint32_t runs_left;
};

/* Takes `candidate` over: it is the best from now on, or gone. */
static bool try(struct shrinker *k, struct schedule *candidate)
{
    struct verdict v;
    if (k->runs_left == 0) {
        schedule_deinit(candidate);
        return false;
    }
    k->runs_left--;
    campaign_run_one(candidate, false, &v);
    if (!v.failed || strcmp(v.id, k->id) != 0) {
        schedule_deinit(candidate);
        return false;
    }
    schedule_deinit(k->best);
    *k->best = *candidate;
    return true;
}

/* Without items first..first + count - 1. */
static bool try_without(struct shrinker *k, uint32_t first, uint32_t count)
{
    struct schedule candidate;
    schedule_copy(&candidate, k->best);
    uint32_t after = candidate.item_count - first - count;
    memmove(candidate.items + first, candidate.items + first + count,
            after * sizeof(*candidate.items));
    candidate.item_count -= count;
    return try(k, &candidate);
}

/* Delta debugging: ever smaller pieces are left out. */
static void shrink_items(struct shrinker *k)
{
    for (uint32_t piece = k->best->item_count / 2; piece >= 1; piece /= 2) {
        for (uint32_t first = 0; first + piece <= k->best->item_count;) {
            if (!try_without(k, first, piece)) {
                first += piece;
            }
        }
        printf("%" PRIu32 " items left\n", k->best->item_count);
        fflush(stdout);
    }
}

static bool try_knob(struct shrinker *k, enum knob knob, uint32_t value)
{
    struct schedule candidate;
    if (k->best->knobs[knob] == value) {
        return false;
    }
    schedule_copy(&candidate, k->best);
    candidate.knobs[knob] = value;
    return try(k, &candidate);
}

static void shrink_knobs(struct shrinker *k)
{
    static const struct {
        enum knob knob;
        uint32_t value;
    } simpler[] = {
        {KNOB_members, 1},      {KNOB_members, 2},        {KNOB_members, 3},
        {KNOB_clients, 1},      {KNOB_clients, 2},        {KNOB_keys, 1},
        {KNOB_has_secret, 0},   {KNOB_piece_bytes, 0},    {KNOB_kernel_bytes, 0},
        {KNOB_late_done, 0},    {KNOB_value_bytes, 8},    {KNOB_coalesce_percent, 0},
        {KNOB_early_faults, 0}, {KNOB_sector_bytes, 512}, {KNOB_history_ms, 600000},
        {KNOB_delay_ms, 0},     {KNOB_delay_ms, 1},       {KNOB_history_bytes, 1000000},
        {KNOB_watches, 0},      {KNOB_txns, 0},           {KNOB_leases, 0},
    };
    for (size_t i = 0; i < sizeof(simpler) / sizeof(simpler[0]); i++) {
        if (simpler[i].knob != KNOB_members || simpler[i].value < k->best->knobs[KNOB_members]) {
            try_knob(k, simpler[i].knob, simpler[i].value);
        }
    }
    uint32_t last_ms = k->best->item_count > 0 ? k->best->items[k->best->item_count - 1].at_ms : 0;
    try_knob(k, KNOB_length_ms, last_ms + k->best->knobs[KNOB_election_ms]);
}

/* Everything that lasts, by half. */
static void shrink_durations(struct shrinker *k)
{
    for (uint32_t i = 0; i < k->best->item_count; i++) {
        while (k->best->items[i].kind != ITEM_request && k->best->items[i].c > 1) {
            struct schedule candidate;
            schedule_copy(&candidate, k->best);
            candidate.items[i].c /= 2;
            if (!try(k, &candidate)) {
                break;
            }
        }
    }
}

void shrink(struct schedule *s, const char *id, uint32_t runs_max)
{
    struct shrinker k = {.best = s, .id = id, .runs_left = runs_max};
    uint32_t before;
    do {
        before = s->item_count;
        shrink_items(&k);
        shrink_knobs(&k);
        shrink_durations(&k);
    } while (s->item_count < before && k.runs_left > 0);
}
