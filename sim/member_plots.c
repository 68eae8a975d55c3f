#include "member_plots.h"

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(r, low, high);
}

uint32_t draw_lost_change(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, 5 * e / 2, 4 * e);
    schedule_add(
        s, (struct item){.at_ms = at_ms, .kind = ITEM_isolate, .a = SIM_THE_LEADER, .c = away_ms});
    schedule_add(s, (struct item){.at_ms = at_ms,
                                  .kind = rng_chance(r, 1, 2) ? ITEM_remove : ITEM_replace,
                                  .a = SIM_A_FOLLOWER});
    return at_ms + away_ms + between(r, e, 4 * e);
}
