#include "lease_plots.h"

#include "requests.h"

#define READS  60
#define WRITES 40

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(r, low, high);
}

/* Many ask, whomever, for so long: the old leader must be read while the new one writes. */
static void ask_everybody(struct schedule *s, struct rng *r, uint32_t at_ms, uint32_t for_ms)
{
    for (uint32_t i = 0; i < READS + WRITES; i++) {
        struct item item = {.kind = ITEM_request, .b = i < READS ? REQUEST_get : REQUEST_put};
        item.at_ms = at_ms + between(r, 0, for_ms);
        item.a = (uint32_t)rng_below(r, s->knobs[KNOB_clients]);
        item.c = (uint32_t)rng_below(r, s->knobs[KNOB_keys]);
        item.d = i << REQUEST_MARK_SHIFT | REQUEST_OPEN_LOOP | REQUEST_ANYWHERE;
        schedule_add(s, item);
    }
}

uint32_t draw_late_answers(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    s->knobs[KNOB_lease_reads] = 1;
    /* Later ones would end the leadership (rule E7). */
    uint32_t late_ms = between(r, e / 2, e * 9 / 10);
    for (uint32_t from = 0; from < s->knobs[KNOB_members]; from++) {
        schedule_add(s, (struct item){.at_ms = at_ms,
                                      .kind = ITEM_slow_link,
                                      .a = from,
                                      .b = SIM_THE_LEADER,
                                      .c = 6 * e,
                                      .d = late_ms});
    }
    at_ms += between(r, e, 2 * e);
    schedule_add(s, (struct item){
                        .at_ms = at_ms, .kind = ITEM_isolate_way, .a = SIM_THE_LEADER, .c = 4 * e});
    ask_everybody(s, r, at_ms + e, 2 * e);
    return at_ms + between(r, 4 * e, 6 * e);
}

uint32_t draw_forgetful_voters(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t others = s->knobs[KNOB_members] - 1;
    s->knobs[KNOB_lease_reads] = 1;
    schedule_add(
        s, (struct item){.at_ms = at_ms, .kind = ITEM_isolate, .a = SIM_THE_LEADER, .c = 3 * e});
    for (uint32_t i = 0; i < others; i++) {
        schedule_add(
            s, (struct item){.at_ms = at_ms + 1, .kind = ITEM_kill, .a = SIM_A_FOLLOWER, .d = i});
    }
    uint32_t soon_ms = at_ms + 2;
    for (uint32_t i = 0; i < 2 * others; i++) {
        soon_ms += between(r, 1, e / 8);
        schedule_add(
            s, (struct item){.at_ms = soon_ms, .kind = ITEM_campaign, .a = SIM_A_FOLLOWER, .d = i});
    }
    ask_everybody(s, r, at_ms + 2, e);
    return at_ms + between(r, 2 * e, 4 * e);
}
