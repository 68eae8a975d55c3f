#include "odd_state.h"

#include "coverage.h"
#include "node/state_check.h"
#include "requests.h"
#include "truth.h"
#include "verdict.h"

#include <inttypes.h>
#include <string.h>

void __real_kv_apply_answered(struct kv *kv, const struct kv_command *c, struct kv_result *result,
                              struct buf *answer);

static bool is_quarantined(const struct sim_member *m, uint64_t *mismatches)
{
    struct node_status status;
    struct node_metrics metrics;
    node_status_get(m->node, &status);
    node_metrics_get(m->node, &metrics);
    *mismatches = metrics.digest_mismatches;
    return status.role != NULL && strcmp(status.role, "quarantined") == 0;
}

/* Where members go, one that is odd may be left as a majority of its own, and nobody can tell. */
static bool can_be_told(const uint32_t *knobs)
{
    return knobs[KNOB_snapshot_entries] == 0 && knobs[KNOB_churn] == 0 && knobs[KNOB_members] >= 3;
}

/* Behind the log's back: a command that nobody sent, or a bit of a value, which the digest shows
 * when that value goes. */
void odd_state_make(const struct sim_member *m, int member, const struct item *item)
{
    struct truth_member *t = &truth.members[member];
    for (uint32_t i = 0; i < truth.member_count; i++) {
        if (truth.members[i].is_odd) {
            return;
        }
    }
    if (!can_be_told(truth.knobs) || t->raft == NULL || t->recovers || t->restoring != 0 ||
        m->is_fatal || m->shutting_down) {
        return;
    }
    struct kv *kv = (struct kv *)(uintptr_t)t->kv;
    char key[MODEL_KEY_BYTES];
    model_key(0, key);
    struct kv_item found;
    if (item->b == 0) {
        const struct kv_command command = {
            .op = KV_PUT, .key = slice_str(key), .value = slice_str("what nobody wrote")};
        struct kv_result result;
        __real_kv_apply_answered(kv, &command, &result, NULL);
    } else if (kv_get(kv, slice_str(key), 0, &found) == STATUS_OK) {
        ((uint8_t *)(uintptr_t)found.value.data)[found.value.size / 2] ^= 4;
    } else {
        return;
    }
    t->is_odd = true;
    t->was_odd = true;
    truth.has_odd = true;
}

void odd_state_watch(const struct sim_member *m, int member)
{
    struct truth_member *t = &truth.members[member];
    uint64_t ignored;
    if (m->node == NULL || !(t->is_odd || t->is_quarantined)) {
        return;
    }
    bool was_quarantined = t->is_quarantined;
    t->is_quarantined = is_quarantined(m, &ignored);
    if (t->is_quarantined && !t->is_odd) {
        verdict_fail("P15b", "member %d is quarantined, and its state is right", member);
    }
    if (t->is_quarantined && !was_quarantined) {
        verdict_trace("member %d is quarantined", member);
        coverage_hit(MARK_STATE_QUARANTINED);
    }
}

void odd_state_on_swap(const struct kv *kv)
{
    struct truth_member *t = &truth.members[truth.current];
    if (!t->is_odd || kv != t->kv) {
        return;
    }
    verdict_trace("the state of member %d was made anew", truth.current);
    coverage_hit(MARK_STATE_MADE_ANEW);
    t->is_odd = false;
    t->digest = kv_digest(kv);
}

void odd_state_on_answer(int member)
{
    if (truth.members[member].is_quarantined) {
        verdict_fail("P15b", "member %d is quarantined, and serves a read", member);
    }
}

void odd_state_check_silence(const struct sim_member *m, int member)
{
    uint64_t mismatches;
    if (is_quarantined(m, &mismatches) || (mismatches > 0 && !truth.has_odd)) {
        verdict_fail("P15", "member %d found %" PRIu64 " states that differ, and none does", member,
                     mismatches);
    }
}

uint32_t draw_odd_state(struct schedule *s, struct rng *r, uint32_t at_ms)
{
    uint32_t for_ms = s->knobs[KNOB_election_ms] * (uint32_t)rng_between(r, 6, 12);
    uint32_t writes = DIGEST_EVERY + (uint32_t)rng_below(r, DIGEST_EVERY / 2);
    if (!can_be_told(s->knobs)) {
        return at_ms + 1;
    }
    struct item odd = {.at_ms = at_ms, .kind = ITEM_odd_state};
    odd.at_ms += (uint32_t)rng_below(r, for_ms / 4);
    odd.a = rng_chance(r, 1, 3) ? SIM_THE_LEADER : SIM_A_FOLLOWER;
    odd.b = (uint32_t)rng_below(r, 2);
    schedule_add(s, odd);
    for (uint32_t i = 0; i < writes; i++) {
        struct item item = {.at_ms = at_ms, .kind = ITEM_request, .b = REQUEST_put};
        item.at_ms += (uint32_t)rng_below(r, for_ms);
        item.a = (uint32_t)rng_below(r, s->knobs[KNOB_clients]);
        item.c = (uint32_t)rng_below(r, s->knobs[KNOB_keys]);
        item.d = i << REQUEST_MARK_SHIFT | REQUEST_OPEN_LOOP;
        schedule_add(s, item);
    }
    return s->knobs[KNOB_length_ms]; /* once: no log is that long for ever */
}
