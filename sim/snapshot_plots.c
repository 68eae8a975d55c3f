#include "snapshot_plots.h"

#include "requests.h"

/* A log of small segments, of which many fall to snapshots. */
#define SEGMENT_BYTES         32768u
#define VALUE_BYTES           3000u
/* All of it is kept, so that a snapshot takes many pieces. */
#define HISTORY_MS            600000u
#define HISTORY_BYTES         1000000u
/* `place` of a rot: a bit of the first record's header. */
#define PLACE_OF_FIRST_RECORD 65u
#define PLACE_PER_BYTE        4096u
#define PLACE_PER_BIT         8u
/* In a record's header. Where a log begins nothing but the record's own checksum covers it; in all
 * others the record before must agree. Terms of a story are small. */
#define PREVIOUS_TERM_AT      112u
#define TERM_BITS             3u
/* `file` of a rot: the oldest segment. */
#define OLDEST_SEGMENT        2u

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(r, low, high);
}

static void write_much(struct schedule *s, struct rng *r, uint32_t at_ms, uint32_t for_ms)
{
    uint32_t count = between(r, 40, 120);
    for (uint32_t i = 0; i < count; i++) {
        struct item item = {.at_ms = at_ms + between(r, 0, for_ms), .kind = ITEM_request};
        item.a = (uint32_t)rng_below(r, s->knobs[KNOB_clients]);
        item.b = REQUEST_put;
        item.c = (uint32_t)rng_below(r, s->knobs[KNOB_keys]);
        item.d = i << REQUEST_MARK_SHIFT | REQUEST_OPEN_LOOP;
        schedule_add(s, item);
    }
}

static void wear_logs(struct schedule *s, struct rng *r)
{
    s->knobs[KNOB_first_segment_bytes] = SEGMENT_BYTES;
    s->knobs[KNOB_segment_bytes] = SEGMENT_BYTES;
    s->knobs[KNOB_snapshot_entries] = between(r, 3, 20);
}

static struct item flip_first_record(struct rng *r, uint32_t at_ms)
{
    struct item item = {.at_ms = at_ms, .kind = ITEM_rot, .a = SIM_A_FOLLOWER};
    uint32_t byte = between(r, 0, 200);
    uint32_t bit = between(r, 0, 7);
    if (rng_chance(r, 1, 2)) {
        byte = PREVIOUS_TERM_AT;
        bit %= TERM_BITS;
    }
    item.b = OLDEST_SEGMENT;
    item.d = PLACE_OF_FIRST_RECORD + byte * PLACE_PER_BYTE + bit * PLACE_PER_BIT;
    return item;
}

static void write_large_values(struct schedule *s)
{
    s->knobs[KNOB_value_bytes] = VALUE_BYTES;
    if (s->knobs[KNOB_kernel_bytes] > 0) { /* room for them, as schedule.c leaves it */
        s->knobs[KNOB_kernel_bytes] += 20 * VALUE_BYTES;
    }
}

uint32_t draw_worn_log(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t for_ms = between(r, 3 * e, 8 * e);
    wear_logs(s, r);
    write_large_values(s);
    write_much(s, r, at_ms, for_ms);
    uint32_t blows = between(r, 2, 8);
    for (uint32_t i = 0; i < blows; i++) {
        uint32_t then_ms = at_ms + between(r, for_ms / 2, for_ms);
        struct item item = {.at_ms = then_ms, .kind = ITEM_power, .a = SIM_A_FOLLOWER, .d = i};
        if (rng_chance(r, 1, 2)) {
            item.kind = ITEM_power_in_write;
            item.b = between(r, 1, 6);
        }
        if (rng_chance(r, 1, 2)) {
            item.kind = ITEM_power_in_write;
            item.b = between(r, 1, 6);
        }
        if (rng_chance(r, 1, 3)) {
            item = flip_first_record(r, then_ms);
        }
        item.c = between(r, 1, e);
        schedule_add(s, item);
    }
    return at_ms + for_ms + between(r, e, 4 * e);
}

uint32_t draw_late_snapshot(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, 2 * e, 5 * e);
    uint32_t back_ms = at_ms + away_ms;
    wear_logs(s, r);
    s->knobs[KNOB_snapshot_spread] = between(r, 1, 5);
    schedule_add(s, (struct item){.at_ms = at_ms,
                                  .kind = ITEM_isolate,
                                  .a = SIM_A_FOLLOWER,
                                  .c = away_ms,
                                  .d = between(r, 0, 5)});
    write_much(s, r, at_ms, away_ms);
    /* It opens, checks and reads what comes one after the other, and writes its log meanwhile. */
    schedule_add(s, (struct item){.at_ms = back_ms,
                                  .kind = ITEM_slow_disk,
                                  .a = SIM_THE_SAME,
                                  .c = 12 * e,
                                  .d = between(r, e / 10, 2 * e)});
    uint32_t reigns = between(r, 2, 6);
    for (uint32_t i = 0; i < reigns; i++) {
        back_ms += between(r, 1, 2 * e);
        schedule_add(s, (struct item){
                            .at_ms = back_ms, .kind = ITEM_step_down, .a = SIM_THE_LEADER, .d = 1});
    }
    back_ms += between(r, e, 4 * e);
    if (s->knobs[KNOB_length_ms] < back_ms) {
        s->knobs[KNOB_length_ms] = back_ms;
    }
    return back_ms;
}

uint32_t draw_rotten_snapshot(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t for_ms = between(r, 3 * e, 8 * e);
    uint32_t away_ms = between(r, e, for_ms);
    wear_logs(s, r);
    write_much(s, r, at_ms, for_ms);
    schedule_add(
        s, (struct item){.at_ms = at_ms, .kind = ITEM_isolate, .a = SIM_A_FOLLOWER, .c = away_ms});
    struct item item = {.at_ms = at_ms + away_ms - between(r, 0, e / 2), .kind = ITEM_rot_snapshot};
    item.a = rng_chance(r, 1, 2) ? SIM_THE_LEADER : SIM_A_FOLLOWER;
    item.b = between(r, 0, ROT_ALL_SNAPSHOTS | ROT_AT_REST);
    item.c = between(r, 1, e);
    item.d = between(r, 0, 1u << 30);
    schedule_add(s, item);
    return at_ms + for_ms + between(r, e, 4 * e);
}

uint32_t draw_broken_transfer(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, 2 * e, 5 * e);
    uint32_t back_ms = at_ms + away_ms;
    uint32_t whom = (uint32_t)rng_below(r, s->knobs[KNOB_members]);
    wear_logs(s, r);
    write_large_values(s);
    s->knobs[KNOB_keys] = SIM_KEYS_MAX;
    s->knobs[KNOB_snapshot_entries] = between(r, 50, 80);
    s->knobs[KNOB_history_ms] = HISTORY_MS;
    s->knobs[KNOB_history_bytes] = HISTORY_BYTES;
    s->knobs[KNOB_kernel_bytes] = 20 * VALUE_BYTES; /* on its way at a time */
    schedule_add(s, (struct item){.at_ms = at_ms, .kind = ITEM_isolate, .a = whom, .c = away_ms});
    write_much(s, r, at_ms, away_ms);
    write_much(s, r, at_ms, away_ms);
    schedule_add(s, (struct item){.at_ms = back_ms,
                                  .kind = ITEM_slow_link,
                                  .a = SIM_THE_LEADER,
                                  .b = whom,
                                  .c = 10 * e,
                                  .d = e / 8});
    uint32_t breaks = between(r, 5, 30);
    for (uint32_t i = 0; i < breaks; i++) {
        struct item item = {.at_ms = back_ms, .kind = ITEM_reset, .a = whom};
        item.b = SIM_THE_LEADER;
        schedule_add(s, item);
        back_ms += between(r, 1, e / 2);
    }
    return back_ms + between(r, e, 4 * e);
}
