#include "ttl_plots.h"

#include "plans.h"
#include "requests.h"

#define TTL_MS 1000 /* of requests whose mark is no multiple of anything: client_leases.c */

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(r, low, high);
}

/* Of a lease, by number; a mark that is 1 more than a multiple of 16 asks for one second. */
static void ask(struct schedule *s, struct rng *r, uint32_t at_ms, uint32_t kind, uint32_t lease)
{
    struct item item = {.at_ms = at_ms, .kind = ITEM_request, .b = kind, .c = lease};
    uint32_t mark = 16 * between(r, 0, 1000) + (kind == REQUEST_put_lease ? lease : 1);
    item.a = (uint32_t)rng_below(r, s->knobs[KNOB_clients]);
    item.d = mark << REQUEST_MARK_SHIFT | REQUEST_OPEN_LOOP | REQUEST_FORWARD;
    item.d |= rng_chance(r, 1, 2) ? REQUEST_ANYWHERE : 0;
    schedule_add(s, item);
}

static void strike(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    static const enum item_kind kinds[] = {ITEM_kill,      ITEM_isolate, ITEM_isolate_way,
                                           ITEM_step_down, ITEM_freeze,  ITEM_power};
    struct item item = {.at_ms = at_ms, .a = SIM_THE_LEADER, .d = 1};
    item.kind = kinds[rng_below(r, sizeof(kinds) / sizeof(kinds[0]))];
    item.c = between(r, s->knobs[KNOB_election_ms] / 2, 4 * s->knobs[KNOB_election_ms]);
    schedule_add(s, item);
}

/* One is kept alive for a while, as leaders come and go. */
static uint32_t draw_kept_lease(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t lease = (uint32_t)rng_below(r, SIM_LEASES);
    uint32_t until_ms = at_ms + between(r, TTL_MS / 2, 2 * TTL_MS);
    ask(s, r, at_ms, REQUEST_grant, lease);
    for (uint32_t i = 0; i < 3; i++) {
        ask(s, r, at_ms + between(r, 20, 300), REQUEST_put_lease, lease);
    }
    while (at_ms < until_ms) {
        at_ms += between(r, TTL_MS / 8, TTL_MS / 2);
        ask(s, r, at_ms, REQUEST_keep_alive, lease);
        if (rng_chance(r, 1, 3)) {
            strike(s, r, at_ms + between(r, 0, 2 * s->knobs[KNOB_delay_ms]));
        }
    }
    return until_ms + TTL_MS + between(r, 0, TTL_MS / 2);
}

/* All are granted, and revoked and granted again just when they end, while disks are slow: what
 * ends them is on its way (rule T3). */
static uint32_t draw_late_expiry(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t slow_ms = between(r, 5, 60);
    for (uint32_t i = 0; i < s->knobs[KNOB_members]; i++) {
        schedule_add(s, (struct item){.at_ms = at_ms + TTL_MS - 200,
                                      .kind = ITEM_slow_disk,
                                      .a = i,
                                      .c = 600,
                                      .d = slow_ms});
    }
    for (uint32_t lease = 0; lease < SIM_LEASES; lease++) {
        uint32_t granted_ms = at_ms + between(r, 0, 100);
        uint32_t again_ms = granted_ms + TTL_MS - between(r, 0, 2 * slow_ms);
        ask(s, r, granted_ms, REQUEST_grant, lease);
        ask(s, r, granted_ms + between(r, 30, 500), REQUEST_put_lease, lease);
        ask(s, r, again_ms, REQUEST_revoke, lease);
        ask(s, r, again_ms + between(r, 0, 3), REQUEST_grant, lease);
        ask(s, r, again_ms + between(r, 3, 100), REQUEST_put_lease, lease);
    }
    return at_ms + TTL_MS + between(r, 400, TTL_MS);
}

void draw_ttl_plots(struct schedule *s)
{
    struct rng r;
    rng_init(&r, s->seed ^ 0x74746c);
    if (s->knobs[KNOB_leases] == 0 || !rng_chance(&r, 1, 3)) {
        return;
    }
    uint32_t at_ms = between(&r, 0, s->knobs[KNOB_length_ms] / 4);
    uint32_t plots = between(&r, 1, 2);
    for (uint32_t i = 0; i < plots; i++) {
        bool is_late = rng_chance(&r, 1, 2);
        at_ms = is_late ? draw_late_expiry(s, &r, at_ms) : draw_kept_lease(s, &r, at_ms);
    }
    if (s->knobs[KNOB_length_ms] < at_ms) {
        s->knobs[KNOB_length_ms] = at_ms;
    }
}
