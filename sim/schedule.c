#include "schedule.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lease_plots.h"
#include "member_plots.h"
#include "odd_state.h"
#include "requests.h"
#include "snapshot_plots.h"
#include "ttl_plots.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- the tables ------------------------------------------------------------------------------- */

static const char *const knob_names[KNOB_COUNT] = {
#define KNOB_NAME(name) #name,
    KNOB_TABLE(KNOB_NAME)
#undef KNOB_NAME
};

struct item_info {
    const char *name;
    enum fault_class class;
    uint32_t weight;
    const char *fields[4];
};

static const struct item_info item_infos[ITEM_COUNT] = {
#define ITEM_INFO(name, class, weight, a, b, c, d) {#name, class, weight, {a, b, c, d}},
    ITEM_TABLE(ITEM_INFO)
#undef ITEM_INFO
};

static const uint32_t request_weights[REQUEST_COUNT] = {
#define REQUEST_WEIGHT(name, weight) weight,
    REQUEST_TABLE(REQUEST_WEIGHT)
#undef REQUEST_WEIGHT
};

const char *item_name(enum item_kind kind)
{
    return item_infos[kind].name;
}

void item_format(const struct item *item, char *text, size_t size)
{
    const struct item_info *info = &item_infos[item->kind];
    const uint32_t values[] = {item->a, item->b, item->c, item->d};
    int used = snprintf(text, size, "%s", info->name);
    for (int i = 0; i < 4 && used > 0 && (size_t)used < size; i++) {
        if (info->fields[i][0] != '\0') {
            used += snprintf(text + used, size - (size_t)used, " %s=%" PRIu32, info->fields[i],
                             values[i]);
        }
    }
}

/* One number from the stream in each statement: the order within a call or an initializer is the
 * compiler's. */

/* --- drawing ---------------------------------------------------------------------------------- */

static uint32_t pick(struct rng *r, const uint32_t *values, size_t count)
{
    return values[rng_below(r, count)];
}

#define PICK(r, ...)                                                                               \
    pick(r, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static uint32_t between(struct rng *r, uint32_t low, uint32_t high)
{
    return (uint32_t)rng_between(r, low, high);
}

static void draw_knobs(struct schedule *s, struct rng *r)
{
    uint32_t *k = s->knobs;
    k[KNOB_members] = PICK(r, 1, 2, 3, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7);
    k[KNOB_election_ms] = PICK(r, 60, 100, 150, 200, 400);
    k[KNOB_heartbeat_ms] = k[KNOB_election_ms] / PICK(r, 3, 5, 10);
    k[KNOB_delay_ms] = PICK(r, 0, 1, 3, 3, 8, 20);
    k[KNOB_piece_bytes] = PICK(r, 0, 0, 0, 0, 60, 700, 700);
    k[KNOB_kernel_bytes] = PICK(r, 0, 0, 0, 2000, 20000);
    k[KNOB_coalesce_percent] = PICK(r, 0, 50, 90);
    k[KNOB_late_done] = PICK(r, 0, 1);
    k[KNOB_has_secret] = PICK(r, 0, 0, 0, 1);
    k[KNOB_sector_bytes] = PICK(r, 512, 4096);
    k[KNOB_first_segment_bytes] = PICK(r, 32768, 32768, 65536, 131072);
    k[KNOB_segment_bytes] = k[KNOB_first_segment_bytes] * PICK(r, 1, 2, 4);
    k[KNOB_history_ms] = PICK(r, 300, 1000, 5000, 600000);
    k[KNOB_history_bytes] = PICK(r, 200, 2000, 20000, 1000000);
    k[KNOB_request_ms] = k[KNOB_election_ms] * PICK(r, 1, 4, 10, 20) / 2;
    k[KNOB_append_bytes] = PICK(r, 0, 0, 1, 1, 300, 4000);
    k[KNOB_persist_bytes] = PICK(r, 0, 0, 1, 600);
    k[KNOB_inflight_messages] = PICK(r, 0, 0, 1, 2, 8);
    k[KNOB_tail_bytes] = PICK(r, 0, 0, 1, 3000);
    k[KNOB_uncommitted_entries] = PICK(r, 0, 0, 5, 40);
    k[KNOB_clients] = PICK(r, 1, 2, 4, 8, SIM_CLIENTS_MAX);
    k[KNOB_keys] = PICK(r, 1, 3, 10, SIM_KEYS_MAX);
    k[KNOB_value_bytes] = PICK(r, 8, 20, 100, 700, 3000);
    k[KNOB_length_ms] = k[KNOB_election_ms] * between(r, 11, 20);
    k[KNOB_lease_reads] = PICK(r, 0, 0, 1);
    k[KNOB_early_faults] = rng_chance(r, 1, 5);
    k[KNOB_audit_every] = PICK(r, 20, 80);
    k[KNOB_core] = between(r, 0, 1u << 20);
    /* A network on which these timeouts make sense: else a healed cluster need not live (I20). */
    uint32_t most_ms = k[KNOB_election_ms] / 12;
    k[KNOB_delay_ms] = k[KNOB_delay_ms] < most_ms ? k[KNOB_delay_ms] : most_ms;
    if (k[KNOB_kernel_bytes] > 0) {
        k[KNOB_kernel_bytes] += 20 * k[KNOB_value_bytes];
    }
}

/* What a file of before does not name is off. */
static void draw_features(struct schedule *s, struct rng *r)
{
    uint32_t *k = s->knobs;
    bool snapshots = rng_chance(r, 1, 2);
    uint32_t entries = PICK(r, 1, 3, 8, 20, 20, 50, 50, 150, 400, 1000);
    k[KNOB_snapshot_entries] = snapshots ? entries : 0;
    k[KNOB_churn] = rng_chance(r, 1, 2);
    uint32_t spares = PICK(r, 0, 1, 2, 2, 4, 6);
    uint32_t room = SIM_MEMBERS_MAX - k[KNOB_members];
    k[KNOB_keyed] = rng_chance(r, 1, 2);
    k[KNOB_forwards] = rng_chance(r, 1, 2);
    k[KNOB_policy] = PICK(r, 0, 0, 0, 1, 2, 3);
    k[KNOB_spares] = k[KNOB_churn] == 0 ? 0 : spares < room ? spares : room;
}

/* The same, and of a stream of their own: others keep their course. */
static void draw_asked_for(struct schedule *s)
{
    struct rng r;
    rng_init(&r, s->seed ^ 0x61736b6564);
    s->knobs[KNOB_txns] = rng_chance(&r, 1, 2);
    s->knobs[KNOB_leases] = rng_chance(&r, 1, 2);
    s->knobs[KNOB_watches] = rng_chance(&r, 1, 2);
}

static uint32_t some_member(struct rng *r, const uint32_t *knobs)
{
    switch (rng_below(r, 4)) {
    case 0:
        return SIM_THE_LEADER;
    case 1:
        return SIM_A_FOLLOWER;
    default:
        return (uint32_t)rng_below(r, knobs[KNOB_members]);
    }
}

/* A time in the order of an election's, mostly. */
static uint32_t some_ms(struct rng *r, const uint32_t *knobs)
{
    uint32_t e = knobs[KNOB_election_ms];
    switch (rng_below(r, 4)) {
    case 0:
        return between(r, 1, e / 4);
    case 1:
        return between(r, e / 4, e);
    case 2:
        return between(r, e, 4 * e);
    default:
        return between(r, e, 10 * e);
    }
}

static struct item draw_item(struct rng *r, const uint32_t *knobs, enum item_kind kind,
                             uint32_t at_ms)
{
    struct item item = {.at_ms = at_ms, .kind = kind, .c = some_ms(r, knobs)};
    item.a = some_member(r, knobs);
    item.b = (uint32_t)rng_below(r, knobs[KNOB_members]);
    item.d = (uint32_t)rng_below(r, 2);
    switch (kind) {
    case ITEM_kill_in_write:
    case ITEM_power_in_write:
    case ITEM_fail_disk:
        item.b = between(r, 1, 6);
        item.d = between(r, 0, 3);
        break;
    case ITEM_crash_start:
        item.b = between(r, 1, 60);
        break;
    case ITEM_kill_all:
        item.a = (uint32_t)rng_below(r, 2);
        break;
    case ITEM_split:
        item.a = between(r, 1, (1u << knobs[KNOB_members]) - 1);
        break;
    case ITEM_isolate_way:
    case ITEM_odd_state:
    case ITEM_wall:
        item.b = (uint32_t)rng_below(r, 2);
        break;
    case ITEM_corrupt:
        item.b = between(r, 1, 3);
        break;
    case ITEM_slow_link:
    case ITEM_slow_disk:
        item.d = between(r, 1, knobs[KNOB_election_ms] * PICK(r, 1, 1, 12) / 2 + 1);
        break;
    case ITEM_full_disk:
        item.b = PICK(r, 0, 0, 0, 1, 40, 200);
        item.c = between(r, 1, 12 * knobs[KNOB_election_ms]);
        item.d = rng_chance(r, 1, 4);
        break;
    case ITEM_rot:
        item.b = between(r, 0, 9);
        item.d = between(r, 0, 1u << 30);
        break;
    case ITEM_rot_snapshot:
        item.b = between(r, 0, ROT_ALL_SNAPSHOTS | ROT_AT_REST);
        item.d = between(r, 0, 1u << 30);
        break;
    case ITEM_clock:
        item.b = PICK(r, 990, 1010, 1000, 500, 2000, 900, 1100);
        item.c = rng_chance(r, 1, 2) ? 0 : item.c;
        break;
    default:
        break;
    }
    return item;
}

static void draw_faults(struct schedule *s, struct rng *r)
{
    bool on[CLASS_COUNT];
    for (int c = 0; c < CLASS_COUNT; c++) {
        on[c] = c != CLASS_REQUEST && c != CLASS_MEMBERSHIP && rng_chance(r, 1, 2);
    }
    uint32_t weights = 0;
    for (int k = 0; k < ITEM_COUNT; k++) {
        weights += on[item_infos[k].class] ? item_infos[k].weight : 0;
    }
    if (weights == 0) {
        return;
    }
    uint32_t every_ms = s->knobs[KNOB_election_ms] * PICK(r, 1, 2, 4, 8);
    uint32_t at_ms = 0;
    for (;;) {
        at_ms += between(r, 1, 2 * every_ms);
        if (at_ms >= s->knobs[KNOB_length_ms]) {
            return;
        }
        uint32_t left = (uint32_t)rng_below(r, weights);
        for (int k = 0; k < ITEM_COUNT; k++) {
            uint32_t weight = on[item_infos[k].class] ? item_infos[k].weight : 0;
            if (left < weight) {
                schedule_add(s, draw_item(r, s->knobs, (enum item_kind)k, at_ms));
                break;
            }
            left -= weight;
        }
    }
}

static void add_fault(struct schedule *s, enum item_kind kind, uint32_t at_ms, uint32_t member,
                      uint32_t ms)
{
    schedule_add(s, (struct item){.at_ms = at_ms, .kind = kind, .a = member, .c = ms});
}

static void add_requests(struct schedule *s, struct rng *r, uint32_t count,
                         const struct item *pattern)
{
    for (uint32_t i = 0; i < count; i++) {
        struct item item = *pattern; /* within c ms from at_ms */
        item.at_ms += (uint32_t)rng_below(r, pattern->c + 1);
        item.kind = ITEM_request;
        item.a = (uint32_t)rng_below(r, s->knobs[KNOB_clients]);
        item.c = (uint32_t)rng_below(r, s->knobs[KNOB_keys]);
        item.d = i << REQUEST_MARK_SHIFT | REQUEST_OPEN_LOOP | (i % 2 == 0 ? pattern->d : 0);
        schedule_add(s, item);
    }
}

/* Chance alone seldom makes logs differ and then lets the longer, older one campaign. So: a leader
 * is cut off while clients go on writing to it; when it is back, the new one goes. */
static uint32_t draw_divergence(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, e, 5 * e / 2);
    add_fault(s, rng_chance(r, 3, 4) ? ITEM_isolate : ITEM_freeze, at_ms, SIM_THE_LEADER, away_ms);
    const struct item write = {
        .at_ms = at_ms, .b = REQUEST_put, .c = away_ms, .d = REQUEST_ANYWHERE};
    add_requests(s, r, between(r, 0, 30), &write);
    at_ms += away_ms;
    at_ms += between(r, 0, rng_chance(r, 1, 2) ? e / 10 : e / 2);
    if (rng_chance(r, 1, 2)) {
        add_fault(s, ITEM_campaign, at_ms + between(r, 0, e), SIM_THE_SAME, 0);
    }
    enum item_kind end = (enum item_kind)PICK(r, ITEM_kill, ITEM_isolate, ITEM_freeze);
    add_fault(s, end, at_ms, SIM_THE_LEADER, between(r, e, 4 * e));
    return at_ms + between(r, e, 5 * e);
}

/* Figure 8 of the paper: one leader after the other dies half-way through its first entries. */
static uint32_t draw_short_reigns(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t reigns = between(r, 2, 8);
    for (uint32_t i = 0; i < reigns; i++) {
        enum item_kind end =
            (enum item_kind)PICK(r, ITEM_kill, ITEM_kill, ITEM_isolate, ITEM_isolate_way);
        add_fault(s, end, at_ms, SIM_THE_LEADER, between(r, e / 2, 3 * e));
        at_ms += between(r, e / 3, 2 * e);
    }
    return at_ms;
}

/* A leader that does not know that it is none: its clock is slow, or it has just handed over, and
 * nobody reaches it but its clients. */
static uint32_t draw_stale_leader(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, e, 3 * e);
    bool is_slow = rng_chance(r, 1, 2);
    struct item first = {.at_ms = at_ms, .kind = ITEM_step_down, .a = SIM_THE_LEADER, .d = 1};
    if (is_slow) {
        first = (struct item){.at_ms = at_ms, .kind = ITEM_clock, .a = SIM_THE_LEADER, .b = 400};
    }
    schedule_add(s, first);
    at_ms += is_slow ? 1 : between(r, 0, 3 * s->knobs[KNOB_delay_ms] + 3);
    add_fault(s, ITEM_isolate, at_ms, SIM_THE_SAME, away_ms);
    const struct item read = {
        .at_ms = at_ms, .b = REQUEST_get, .c = away_ms, .d = REQUEST_ANYWHERE};
    const struct item write = {.at_ms = at_ms, .b = REQUEST_put, .c = away_ms};
    add_requests(s, r, between(r, 10, 40), &read);
    add_requests(s, r, between(r, 5, 20), &write);
    return at_ms + away_ms + between(r, 0, 2 * e);
}

/* A member that is asked to take over and whom nobody hears: its term is ahead of the leader's. */
static uint32_t draw_lonely_term(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t target = (uint32_t)rng_below(r, s->knobs[KNOB_members]);
    uint32_t away_ms = between(r, e / 2, 2 * e);
    add_fault(s, ITEM_isolate_way, at_ms + between(r, 0, 2 * s->knobs[KNOB_delay_ms]), target,
              away_ms);
    schedule_add(
        s, (struct item){.at_ms = at_ms, .kind = ITEM_step_down, .a = SIM_THE_LEADER, .b = target});
    return at_ms + away_ms + between(r, 0, 2 * e);
}

/* Links break, and are there again before anybody has missed them. */
static uint32_t draw_resets(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t resets = between(r, 1, 20);
    for (uint32_t i = 0; i < resets; i++) {
        struct item item = {.at_ms = at_ms, .d = i};
        item.kind = rng_chance(r, 1, 3) ? ITEM_half_open : ITEM_reset;
        item.a = rng_chance(r, 1, 2) ? SIM_THE_LEADER : SIM_A_FOLLOWER;
        item.b = (uint32_t)rng_below(r, s->knobs[KNOB_members]);
        schedule_add(s, item);
        at_ms += between(r, 1, s->knobs[KNOB_election_ms] / 2);
    }
    return at_ms;
}

/* A member is away until the others have thrown away the log that it needs; when it is back, links
 * break and processes die while a snapshot comes. */
static uint32_t draw_left_behind(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t e = s->knobs[KNOB_election_ms];
    uint32_t away_ms = between(r, 2 * e, 6 * e);
    add_fault(s, rng_chance(r, 1, 2) ? ITEM_isolate : ITEM_kill, at_ms, SIM_A_FOLLOWER, away_ms);
    const struct item write = {.at_ms = at_ms, .b = REQUEST_put, .c = away_ms};
    add_requests(s, r, between(r, 20, 120), &write);
    at_ms += away_ms;
    uint32_t breaks = between(r, 0, 6);
    for (uint32_t i = 0; i < breaks; i++) {
        at_ms += between(r, 0, e);
        enum item_kind kind =
            (enum item_kind)PICK(r, ITEM_isolate, ITEM_isolate_way, ITEM_kill, ITEM_power_in_write,
                                 ITEM_kill_in_write, ITEM_freeze);
        uint32_t whom = rng_chance(r, 3, 4) ? SIM_THE_SAME : SIM_THE_LEADER;
        add_fault(s, kind, at_ms, whom, between(r, 1, e));
    }
    return at_ms + between(r, 0, 4 * e);
}

/* Members come and go every few election timeouts, or first come and then go. */
static void draw_churn(struct schedule *s, struct rng *r)
{
    if (s->knobs[KNOB_churn] == 0) {
        return;
    }
    uint32_t every_ms = s->knobs[KNOB_election_ms] * PICK(r, 1, 2, 4, 8);
    bool grows = rng_chance(r, 1, 3);
    uint32_t at_ms = between(r, 0, every_ms);
    while (at_ms < s->knobs[KNOB_length_ms]) {
        struct item item = {.at_ms = at_ms, .a = some_member(r, s->knobs)};
        bool is_early = at_ms < s->knobs[KNOB_length_ms] / 2;
        item.kind = (enum item_kind)PICK(r, ITEM_add, ITEM_add, ITEM_remove, ITEM_remove,
                                         ITEM_promote, ITEM_replace);
        if (grows && rng_chance(r, 3, 4)) {
            item.kind = is_early ? ITEM_add : ITEM_remove;
        }
        if (item.a < SIM_MEMBERS_MAX) {
            item.a = (uint32_t)rng_below(r, s->knobs[KNOB_members] + s->knobs[KNOB_spares]);
        }
        item.d = rng_chance(r, 1, 6);
        schedule_add(s, item);
        at_ms += between(r, 1, 2 * every_ms);
    }
}

static void draw_plots(struct schedule *s, struct rng *r)
{
    /* What comes of a late snapshot is rare, so that is there twice. */
    static uint32_t (*const plots[])(struct schedule *, struct rng *, uint32_t) = {
        draw_divergence,      draw_short_reigns,    draw_stale_leader,  draw_lonely_term,
        draw_resets,          draw_left_behind,     draw_late_answers,  draw_forgetful_voters,
        draw_worn_log,        draw_late_snapshot,   draw_late_snapshot, draw_lost_change,
        draw_rotten_snapshot, draw_broken_transfer, draw_odd_state};
    enum { PLOTS = sizeof(plots) / sizeof(plots[0]) };
    bool on[PLOTS];
    bool any = false;
    for (int i = 0; i < PLOTS; i++) {
        on[i] = rng_chance(r, 1, 7);
        any |= on[i];
    }
    uint32_t at_ms = between(r, 0, s->knobs[KNOB_length_ms] / 4);
    while (s->knobs[KNOB_members] >= 2 && any && at_ms < s->knobs[KNOB_length_ms]) {
        uint32_t which = (uint32_t)rng_below(r, PLOTS);
        if (on[which]) {
            at_ms = plots[which](s, r, at_ms);
        }
    }
}

static uint32_t draw_request_kind(struct rng *r)
{
    uint32_t sum = 0;
    for (int i = 0; i < REQUEST_COUNT; i++) {
        sum += request_weights[i];
    }
    uint32_t left = (uint32_t)rng_below(r, sum);
    uint32_t kind = 0;
    while (left >= request_weights[kind]) {
        left -= request_weights[kind++];
    }
    return kind;
}

/* Few hot keys and a long tail. */
static uint32_t draw_key(struct rng *r, uint32_t keys)
{
    return rng_chance(r, 1, 2) ? (uint32_t)rng_below(r, keys < 3 ? keys : 3)
                               : (uint32_t)rng_below(r, keys);
}

/* Some ask for something else than was drawn. */
static void change_request(const struct schedule *s, struct rng *r, struct item *item)
{
    uint32_t kind = item->b;
    if (s->knobs[KNOB_txns] != 0 && rng_chance(r, 1, 3)) {
        kind = PICK(r, REQUEST_txn, REQUEST_txn, REQUEST_txn, REQUEST_txn_read, REQUEST_range_read);
    } else if (s->knobs[KNOB_leases] != 0 && rng_chance(r, 1, 2)) {
        kind = PICK(r, REQUEST_grant, REQUEST_grant, REQUEST_revoke, REQUEST_keep_alive,
                    REQUEST_keep_alive, REQUEST_keep_alive, REQUEST_time_to_live, REQUEST_put_lease,
                    REQUEST_put_lease, REQUEST_put_lease, REQUEST_put_ttl);
    }
    bool is_far = rng_chance(r, 1, 3);
    if (kind == item->b) {
        return;
    }
    item->b = kind;
    item->d &= ~(kind == REQUEST_put_ttl ? 0 : REQUEST_KEYED);
    item->d |= is_far ? REQUEST_FORWARD | REQUEST_ANYWHERE : 0;
}

static void draw_client(struct schedule *s, struct rng *r, uint32_t client, uint32_t every_ms)
{
    bool open_loop = rng_chance(r, 1, 3);
    uint32_t strange = PICK(r, 0, 10, 50); /* percent */
    uint32_t number = 0;
    struct rng changes;
    rng_init(&changes, (s->seed ^ 0x6368616e6765) + 7919 * (client + 1));
    struct rng documents;
    rng_init(&documents, (s->seed ^ 0x646f63756d656e74) + 7919 * (client + 1));
    uint32_t at_ms = between(r, 0, every_ms);
    while (at_ms < s->knobs[KNOB_length_ms]) {
        struct item item = {.at_ms = at_ms, .kind = ITEM_request, .a = client};
        item.b = draw_request_kind(r);
        if (item.b == REQUEST_put && rng_chance(&documents, 1, 4)) {
            item.b = REQUEST_document;
        }
        item.c = draw_key(r, s->knobs[KNOB_keys]);
        item.d = number++ << REQUEST_MARK_SHIFT | (open_loop ? REQUEST_OPEN_LOOP : 0);
        if (rng_chance(r, strange, 100)) {
            item.d |= PICK(r, REQUEST_ACK_LEADER, REQUEST_ACK_ALL, REQUEST_ANYWHERE,
                           REQUEST_ANYWHERE, REQUEST_ABANDONED);
        }
        if (s->knobs[KNOB_keyed] != 0 && rng_chance(r, 1, 2)) {
            item.d |= REQUEST_KEYED;
        }
        if (s->knobs[KNOB_forwards] != 0 && rng_chance(r, 1, 3)) {
            item.d |= REQUEST_FORWARD | REQUEST_ANYWHERE;
        }
        change_request(s, &changes, &item);
        schedule_add(s, item);
        at_ms += between(r, 1, 2 * every_ms);
    }
}

/* All begin early; then they move, or pause, now and then. */
static void draw_watches(struct schedule *s)
{
    if (s->knobs[KNOB_watches] == 0) {
        return;
    }
    struct rng r;
    rng_init(&r, s->seed ^ 0x77617463686573);
    uint32_t every_ms = s->knobs[KNOB_length_ms] / PICK(&r, 2, 6, 20);
    for (uint32_t i = 0; i < SIM_WATCHERS_MAX; i++) {
        uint32_t at_ms = between(&r, 0, s->knobs[KNOB_length_ms] / 2);
        schedule_add(s, (struct item){.at_ms = at_ms, .kind = ITEM_watch, .a = i});
        while ((at_ms += between(&r, 1, 2 * every_ms)) < s->knobs[KNOB_length_ms]) {
            struct item item = {.at_ms = at_ms, .kind = ITEM_watch_pause, .a = i};
            item.c = some_ms(&r, s->knobs);
            if (rng_chance(&r, 1, 3)) {
                item.kind = ITEM_watch;
                item.d = rng_chance(&r, 1, 3);
            }
            schedule_add(s, item);
        }
    }
}

static int compare_items(const void *left, const void *right)
{
    const struct item *a = left;
    const struct item *b = right;
    const uint32_t x[] = {a->at_ms, (uint32_t)a->kind, a->a, a->d};
    const uint32_t y[] = {b->at_ms, (uint32_t)b->kind, b->a, b->d};
    for (int i = 0; i < 4; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Large values in tiny pieces are the same event a hundred times over. */
static void bound_pieces(struct schedule *s)
{
    uint32_t least = s->knobs[KNOB_value_bytes] / 6;
    if (s->knobs[KNOB_piece_bytes] != 0 && s->knobs[KNOB_piece_bytes] < least) {
        s->knobs[KNOB_piece_bytes] = least;
    }
}

void schedule_draw(struct schedule *s, uint64_t seed)
{
    *s = (struct schedule){.seed = seed};
    struct rng knobs;
    struct rng faults;
    rng_init(&knobs, seed ^ 0x6b6e6f6273);
    rng_init(&faults, seed ^ 0x6661756c7473);
    draw_knobs(s, &knobs);
    struct rng features;
    rng_init(&features, seed ^ 0x66656174757265);
    draw_features(s, &features);
    draw_asked_for(s);
    draw_faults(s, &faults);
    draw_churn(s, &features);
    struct rng plots;
    rng_init(&plots, seed ^ 0x706c6f7473);
    draw_plots(s, &plots);
    draw_ttl_plots(s);
    bound_pieces(s);
    /* So many requests in all, whatever the number of clients; more members have more of each. */
    uint32_t members = s->knobs[KNOB_members];
    uint32_t requests = between(&knobs, 30, 130) * 3 / (members > 3 ? members : 3);
    uint32_t every_ms = s->knobs[KNOB_length_ms] * s->knobs[KNOB_clients] / requests + 1;
    for (uint32_t client = 0; client < s->knobs[KNOB_clients]; client++) {
        struct rng r;
        rng_init(&r, (seed ^ 0x636c69656e74) + 7919 * (client + 1));
        draw_client(s, &r, client, every_ms);
    }
    draw_watches(s);
    qsort(s->items, s->item_count, sizeof(*s->items), compare_items);
}

/* --- as text ---------------------------------------------------------------------------------- */

void schedule_add(struct schedule *s, struct item item)
{
    if (s->item_count == s->item_capacity) {
        s->item_capacity = s->item_capacity * 2 + 64;
        s->items = mem_realloc(s->items, s->item_capacity * sizeof(*s->items));
    }
    s->items[s->item_count++] = item;
}

void schedule_copy(struct schedule *to, const struct schedule *from)
{
    *to = *from;
    to->items = mem_alloc((from->item_count + 1) * sizeof(*to->items));
    to->item_capacity = from->item_count + 1;
    if (from->item_count > 0) {
        memcpy(to->items, from->items, from->item_count * sizeof(*to->items));
    }
}

void schedule_deinit(struct schedule *s)
{
    mem_free(s->items);
    *s = (struct schedule){0};
}

void schedule_save(const struct schedule *s, FILE *out)
{
    fprintf(out, "schedule 1\nseed %" PRIu64 "\n", s->seed);
    for (int k = 0; k < KNOB_COUNT; k++) {
        fprintf(out, "knob %s %" PRIu32 "\n", knob_names[k], s->knobs[k]);
    }
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct item *item = &s->items[i];
        fprintf(out, "%" PRIu32 " %s %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
                item->at_ms, item_infos[item->kind].name, item->a, item->b, item->c, item->d);
    }
}

static bool load_knob(struct schedule *s, const char *text)
{
    char name[64];
    uint32_t value;
    if (sscanf(text, "knob %63s %" SCNu32, name, &value) != 2) {
        return false;
    }
    for (int k = 0; k < KNOB_COUNT; k++) {
        if (strcmp(name, knob_names[k]) == 0) {
            s->knobs[k] = value;
            return true;
        }
    }
    return false;
}

static bool load_item(struct schedule *s, const char *text)
{
    char name[64];
    struct item item;
    if (sscanf(text, "%" SCNu32 " %63s %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32, &item.at_ms,
               name, &item.a, &item.b, &item.c, &item.d) != 6) {
        return false;
    }
    for (int k = 0; k < ITEM_COUNT; k++) {
        if (strcmp(name, item_infos[k].name) == 0) {
            item.kind = (enum item_kind)k;
            schedule_add(s, item);
            return true;
        }
    }
    return false;
}

/* Knobs that a file of before does not name keep what the seed says. */
enum status schedule_load(struct schedule *s, FILE *in, uint32_t *line)
{
    *s = (struct schedule){0};
    char text[256];
    bool has_header = false;
    for (*line = 1; fgets(text, sizeof(text), in) != NULL; (*line)++) {
        bool is_good = true;
        if (text[0] == '#' || text[0] == '\n') {
            continue;
        } else if (!has_header) {
            is_good = strcmp(text, "schedule 1\n") == 0;
            has_header = true;
        } else if (sscanf(text, "seed %" SCNu64, &s->seed) == 1) {
            struct rng r;
            rng_init(&r, s->seed ^ 0x6b6e6f6273);
            draw_knobs(s, &r);
        } else {
            is_good = load_knob(s, text) || load_item(s, text);
        }
        if (!is_good) {
            schedule_deinit(s);
            return STATUS_INVALID;
        }
    }
    bool is_whole = has_header && s->knobs[KNOB_members] >= 1 &&
                    s->knobs[KNOB_members] <= SIM_MEMBERS_MAX &&
                    s->knobs[KNOB_clients] <= SIM_CLIENTS_MAX && s->knobs[KNOB_heartbeat_ms] > 0;
    return is_whole ? STATUS_OK : STATUS_INVALID;
}
