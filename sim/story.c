#include "story.h"

#include "base/check.h"
#include "base/mem.h"
#include "clients.h"
#include "configs.h"
#include "coverage.h"
#include "faults.h"
#include "lease_truth.h"
#include "odd_state.h"
#include "truth.h"
#include "watch_queues.h"
#include "watchers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Founding asks again every half second, links are dialled anew within seconds. */
#define FOUNDING_MS_MAX 60000
#define LINKS_MS_MAX    20000
#define CALM_ELECTIONS  8
/* One turn of simulated events beyond this: something runs in circles. */
#define EVENTS_MAX      2000000
/* The members' queues are looked at once in so many steps. */
#define QUEUES_EVERY    16
/* Of leases that do not outlive a story. */
#define LEASE_TTL_MAX_S 2

struct story {
    const struct schedule *s;
    struct fake_world *world;
    struct sim_members members;
    struct clients *clients;
    struct watchers *watchers;
    struct faults *faults;
    uint32_t core;
    uint32_t advances;
};

static void on_stop(void *context, int member)
{
    struct story *st = context;
    clients_on_stop(st->clients, member);
    watchers_on_stop(st->watchers, member);
}

static void check_queues(const struct story *st)
{
    for (int i = 0; i < (int)st->members.count; i++) {
        if (st->members.items[i].node != NULL) {
            watch_queues_of_member(st->members.items[i].node, i);
            kv_watch_hub_check(node_watch_hub(st->members.items[i].node));
        }
    }
}

static void advance(struct story *st, uint64_t ms)
{
    fake_world_advance(st->world, ms);
    verdict_clock(fake_world_now(st->world));
    members_tend(&st->members);
    faults_tend(st->faults);
    clients_tend(st->clients);
    watchers_tend(st->watchers);
    if (++st->advances % QUEUES_EVERY == 0) {
        check_queues(st);
    }
    if (fake_world_events(st->world) > EVENTS_MAX) {
        verdict_fail("I20", "the cluster is busy without end");
    }
}

static struct story *begin(const struct schedule *s)
{
    struct story *st = mem_calloc(1, sizeof(*st));
    const uint32_t *k = s->knobs;
    st->s = s;
    truth_begin(s);
    struct fake_options options = {.seed = s->seed,
                                   .delay_ms_max = k[KNOB_delay_ms],
                                   .kernel_bytes = k[KNOB_kernel_bytes],
                                   .piece_bytes_max = k[KNOB_piece_bytes],
                                   .coalesce_percent = k[KNOB_coalesce_percent],
                                   .late_done = k[KNOB_late_done] != 0};
    st->world = fake_world_create(&options);
    st->members.on_stop = on_stop;
    st->members.context = st;
    members_open(&st->members, s, st->world);
    st->faults = faults_create(s, &st->members);
    st->clients = clients_create(s, &st->members);
    st->watchers = watchers_create(s, &st->members);
    for (uint32_t i = 0; i < st->members.founders; i++) {
        st->members.items[i].back_ms = fake_world_now(st->world) + 1 + s->seed * (i + 3) % 100;
    }
    return st;
}

static void end(struct story *st, struct verdict *v)
{
    for (uint32_t i = 0; i < st->members.count; i++) {
        if (fake_disk_has_file(st->members.items[i].disk, "00000002.log")) {
            coverage_hit(MARK_NEW_SEGMENT);
        }
    }
    v->hash = fake_world_hash(st->world);
    v->events = fake_world_events(st->world);
    members_close(&st->members);
    v->leaks = st->members.leaks;
    v->has_crashed = st->members.has_crashed;
    v->unsynced = st->members.unsynced;
    clients_destroy(st->clients);
    watchers_destroy(st->watchers);
    faults_destroy(st->faults);
    truth_end();
    mem_free(st);
}

/* --- living ----------------------------------------------------------------------------------- */

static void found(struct story *st)
{
    uint64_t until = fake_world_now(st->world) + FOUNDING_MS_MAX;
    while (!members_are_founded(&st->members) || members_leader(&st->members) < 0) {
        if (fake_world_now(st->world) > until) {
            verdict_fail("I20", "the cluster is not founded, or nobody leads it");
        }
        advance(st, 10);
    }
}

static void live(struct story *st)
{
    uint64_t start_ms = fake_world_now(st->world);
    uint64_t tick_ms = st->s->knobs[KNOB_election_ms] / 20;
    tick_ms = tick_ms > 0 ? tick_ms : 1;
    uint32_t next = 0;
    bool was_founded = members_are_founded(&st->members);
    for (uint64_t at_ms = 0; at_ms < st->s->knobs[KNOB_length_ms];) {
        while (next < st->s->item_count && st->s->items[next].at_ms <= at_ms) {
            const struct item *item = &st->s->items[next++];
            if (item->kind == ITEM_request) {
                clients_take(st->clients, item);
            } else if (item->kind == ITEM_watch || item->kind == ITEM_watch_pause) {
                watchers_take(st->watchers, item);
            } else {
                faults_take(st->faults, item);
            }
        }
        uint64_t step_ms = tick_ms;
        if (next < st->s->item_count && st->s->items[next].at_ms < at_ms + tick_ms) {
            step_ms = st->s->items[next].at_ms - at_ms;
        }
        advance(st, step_ms > 0 ? step_ms : 1);
        at_ms = fake_world_now(st->world) - start_ms;
    }
    if (!was_founded && members_are_founded(&st->members)) {
        coverage_hit(MARK_FOUNDED_UNDER_FAULTS);
    }
}

/* --- and living again (I20) ------------------------------------------------------------------- */

static bool is_usable(const struct story *st, int i)
{
    const struct truth_member *t = &truth.members[i];
    bool is_founded = members_are_founded(&st->members);
    return !t->is_stranger && !(t->is_damaged && st->members.items[i].node == NULL) &&
           !configs_is_removed(t) && (is_founded ? t->id != 0 : i < (int)st->members.founders);
}

static bool recovers(int i)
{
    return truth.members[i].raft != NULL && raft_is_recovering(truth.members[i].raft);
}

/* It recovers, or may after its next start: a snapshot rotted under it. */
static bool may_be_voiceless(int i)
{
    const struct truth_member *t = &truth.members[i];
    return recovers(i) || (t->is_damaged && !t->is_repaired);
}

/* A random majority of those that can, whichever configuration that is under way comes to be. A
 * cluster that is not founded needs everybody. */
static void choose_core(struct story *st)
{
    uint32_t count = st->members.count;
    uint32_t salt = st->s->knobs[KNOB_core];
    uint32_t most = (st->members.founders - 1) / 2;
    uint32_t out = members_are_founded(&st->members) ? salt % (most + 1) : 0;
    uint32_t voiceless = 0;
    st->core = 0;
    for (uint32_t i = 0; i < count; i++) {
        st->core |= is_usable(st, (int)i) ? 1u << i : 0;
        voiceless |= may_be_voiceless((int)i) ? 1u << i : 0;
    }
    for (uint32_t i = 0; i < count && out > 0; i++) {
        uint32_t left = st->core & ~(1u << (i + salt / 16) % count);
        if (left != st->core && configs_hold(left & ~voiceless) &&
            configs_hold_with_learners(left & ~voiceless)) {
            st->core = left;
            out--;
        }
    }
}

/* It is one of those that must live. */
static bool must_live(const struct story *st, int i)
{
    return (st->core >> i & 1) != 0 && !configs_is_removed(&truth.members[i]);
}

/* Those outside the core are lost in one of several ways, for ever. */
static void lose(struct story *st, int i, uint32_t way)
{
    struct sim_member *m = &st->members.items[i];
    m->back_ms = 0;
    if (way == 0 || m->node == NULL || truth.members[i].is_stranger) {
        members_stop(&st->members, i, DEATH_KILL);
        coverage_hit(MARK_LIVE_WITH_DEAD_MINORITY);
        return;
    }
    if (way == 1) {
        members_freeze(&st->members, i, true);
        return;
    }
    coverage_hit(MARK_LIVE_WITH_ONE_WAY_MINORITY);
    for (int j = 0; j < (int)st->members.count; j++) {
        if ((st->core >> j & 1) != 0 && way != 2) {
            faults_cut_for_good(st->faults, i, j);
        }
        if ((st->core >> j & 1) != 0 && way != 3) {
            faults_cut_for_good(st->faults, j, i);
        }
    }
}

static void heal(struct story *st)
{
    faults_end_all(st->faults);
    for (int i = 0; i < (int)st->members.count; i++) {
        struct sim_member *m = &st->members.items[i];
        if (m->node != NULL && m->thawed_ms != 0) {
            members_freeze(&st->members, i, false);
        }
        if (m->node != NULL && m->shutting_down) {
            members_stop(&st->members, i, DEATH_ORDERLY);
        }
        const struct truth_member *t = &truth.members[i];
        bool is_unseen = t->is_odd && !t->is_quarantined; /* until the next digest, perhaps never */
        if (m->node != NULL && (t->may_fail || is_unseen)) {
            members_stop(&st->members, i, DEATH_KILL);
        }
        m->crash_calls = 0;
        if (m->node == NULL && members_is_born(&st->members, i) &&
            !(m->lost_for_good && truth.members[i].is_damaged)) {
            members_start(&st->members, i);
        }
    }
    faults_end_all(st->faults);
    choose_core(st);
    for (int i = 0; i < (int)st->members.count; i++) {
        if ((st->core >> i & 1) == 0) {
            lose(st, i, (st->s->knobs[KNOB_core] / 256 + (uint32_t)i) % 5);
        }
    }
}

/* The last configuration is committed, and not a joint one; and it means to lead on. */
static bool is_settled(const struct raft *leader)
{
    struct raft_config_view view;
    raft_config_view(leader, &view);
    return view.committed && view.config->outgoing_count == 0 && !raft_is_transferring(leader);
}

/* Rule P12: it goes on by itself when there is room again. */
static bool lacks_space(const struct story *st, int i)
{
    struct node_status status;
    if (!truth.members[i].was_full) {
        return false;
    }
    node_status_get(st->members.items[i].node, &status);
    return status.no_space;
}

static bool has_converged(const struct story *st)
{
    int leader = -1;
    for (int i = 0; i < (int)st->members.count; i++) {
        const struct raft *r = truth.members[i].raft;
        if (!must_live(st, i)) {
            continue;
        }
        if (r == NULL) {
            return false;
        }
        leader = raft_role(r) == RAFT_LEADER ? i : leader;
    }
    if (leader < 0 || !is_settled(truth.members[leader].raft)) {
        return false;
    }
    raft_index last = raft_last(truth.members[leader].raft).index;
    for (int i = 0; i < (int)st->members.count; i++) {
        if (must_live(st, i) && (truth.members[i].applied != last || recovers(i) ||
                                 lacks_space(st, i) || truth.members[i].is_odd)) {
            return false;
        }
    }
    return true;
}

static void explain(const struct story *st, char *text, size_t size)
{
    int used = 0;
    for (int i = 0; i < (int)st->members.count && (size_t)used < size; i++) {
        const struct truth_member *t = &truth.members[i];
        used += snprintf(text + used, size - (size_t)used, " %d%s:%s/%" PRIu64 "/%" PRIu64, i,
                         (st->core >> i & 1) != 0 ? "" : "(lost)",
                         t->raft == NULL ? "down" : raft_role_name(raft_role(t->raft)), t->term,
                         t->applied);
    }
}

/* I20. */
static void await_life(struct story *st)
{
    const uint32_t *k = st->s->knobs;
    uint64_t begun_ms = fake_world_now(st->world);
    uint64_t limit_ms =
        begun_ms + LINKS_MS_MAX + 40ull * k[KNOB_election_ms] + 6ull * k[KNOB_request_ms];
    while (!has_converged(st) || !clients_are_done(st->clients) ||
           !watchers_are_done(st->watchers)) {
        if (fake_world_now(st->world) > limit_ms) {
            char state[256];
            char who[256];
            explain(st, state, sizeof(state));
            clients_explain(st->clients, who, sizeof(who));
            if (who[0] == '\0') {
                watchers_explain(st->watchers, who, sizeof(who));
            }
            verdict_fail("I20", "healed, and not alive after %" PRIu64 " ms:%s; %s",
                         fake_world_now(st->world) - begun_ms, state, who);
        }
        advance(st, 10);
    }
}

static void live_again(struct story *st)
{
    clients_finish(st->clients, st->core);
    watchers_finish(st->watchers, st->core);
    await_life(st);
}

/* Rule T1: who is kept alive by nobody ends, with all its keys. A change of leader lengthens it by
 * its TTL at most, and members that are preferred may take over one after the other (E10), each
 * of them once; expiry itself may have to be asked again. */
static void await_leases(struct story *st)
{
    uint64_t patience_ms = 2000ull * LEASE_TTL_MAX_S + 20ull * st->s->knobs[KNOB_election_ms];
    uint64_t limit_ms = fake_world_now(st->world) + patience_ms;
    uint32_t changes_left = st->s->knobs[KNOB_policy] != 0 ? st->members.count : 0;
    raft_term term = 0;
    while (lease_truth_pending(LEASE_TTL_MAX_S) > 0) {
        int leader = members_leader(&st->members);
        if (leader >= 0 && truth.members[leader].term > term && changes_left > 0) {
            term = truth.members[leader].term;
            changes_left--;
            limit_ms = fake_world_now(st->world) + patience_ms;
        }
        if (fake_world_now(st->world) > limit_ms) {
            verdict_fail("I20", "%" PRIu32 " leases are kept alive by nobody, and live",
                         lease_truth_pending(LEASE_TTL_MAX_S));
        }
        advance(st, 10);
    }
}

/* Nothing happens any more: nobody takes over from a leader that does its work, whoever is still
 * out there (rules E4, E6, C6), but for those who are preferred (E10). */
static void stay_calm(struct story *st)
{
    int leader = members_leader(&st->members);
    raft_term term = truth.members[leader].term;
    uint32_t changes = 0;
    for (uint32_t i = 0; i < CALM_ELECTIONS * 10; i++) {
        advance(st, st->s->knobs[KNOB_election_ms] / 10);
        int now_leads = members_leader(&st->members);
        if (now_leads >= 0 && truth.members[now_leads].term != term) {
            changes++;
            term = truth.members[now_leads].term;
        }
    }
    if (changes > (st->s->knobs[KNOB_policy] != 0 ? 2 : 0)) {
        verdict_fail("E6", "the leader changes %" PRIu32 " times, and nothing is wrong with it",
                     changes);
    }
}

static bool anybody_waits(const struct story *st)
{
    for (int i = 0; i < (int)st->members.count; i++) {
        if (must_live(st, i) && watch_queues_hold_requests(st->members.items[i].node)) {
            return true;
        }
    }
    return false;
}

/* A forwarded write whose client went away waits at the leader until its time is up: for all to
 * confirm it, say. */
static void await_deadlines(struct story *st)
{
    uint64_t until_ms = fake_world_now(st->world) + st->s->knobs[KNOB_request_ms];
    while (anybody_waits(st) && fake_world_now(st->world) <= until_ms) {
        advance(st, 10);
    }
}

/* Every member of the core has what the log says, and all of it. */
static void check_states(struct story *st)
{
    await_deadlines(st);
    for (int i = 0; i < (int)st->members.count; i++) {
        if (!must_live(st, i)) {
            continue;
        }
        const struct kv *kv = node_kv(st->members.items[i].node);
        struct kv_stats stats;
        uint64_t documents;
        kv_check(kv);
        odd_state_check_silence(&st->members.items[i], i);
        watch_queues_are_empty(st->members.items[i].node, i);
        kv_stats(kv, &stats);
        if (stats.revision != model_revision(truth.model) ||
            stats.compact_revision != model_compacted(truth.model) ||
            stats.keys != model_count(truth.model, stats.revision) ||
            model_lease_hash_of(kv) != model_lease_hash(truth.model) ||
            !model_has_documents(truth.model, kv, stats.revision, &documents)) {
            verdict_fail("I16",
                         "member %d ends at revision %" PRIu64 " with %" PRIu64
                         " keys; it is %" PRIu64 " (or documents or leases differ)",
                         i, stats.revision, stats.keys, model_revision(truth.model));
        }
        for (uint32_t key = 0; key < SIM_KEYS_MAX; key++) {
            char name[MODEL_KEY_BYTES];
            struct kv_item item;
            model_key(key, name);
            enum status s = kv_get(kv, slice_str(name), 0, &item);
            if (!model_agrees(truth.model, slice_str(name), stats.revision,
                              s == STATUS_OK ? &item : NULL)) {
                verdict_fail("I10", "member %d ends with another %s than was acknowledged", i,
                             name);
            }
        }
    }
}

static void lose_power(struct story *st)
{
    for (int i = 0; i < (int)st->members.count; i++) {
        if (must_live(st, i)) {
            members_stop(&st->members, i, DEATH_POWER_DESTROYS);
        }
    }
    for (int i = 0; i < (int)st->members.count; i++) {
        if (must_live(st, i)) {
            members_start(&st->members, i);
        }
        if (st->members.items[i].lost_for_good && truth.members[i].is_damaged) {
            st->core &= ~(1u << i); /* what rotted at rest is found only now, and it refuses */
        }
    }
}

void story_run(const struct schedule *s, struct verdict *v)
{
    struct story *st = begin(s);
    if (!s->knobs[KNOB_early_faults]) {
        found(st);
    }
    live(st);
    for (uint32_t i = 0; i < st->members.count; i++) {
        v->disk_calls[i] = fake_disk_calls(st->members.items[i].disk);
    }
    heal(st);
    live_again(st);
    stay_calm(st);
    await_leases(st);
    await_life(st); /* a compaction that was due may be on its way */
    check_states(st);
    lose_power(st);
    live_again(st);
    check_states(st);
    end(st, v);
}
