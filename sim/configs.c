#include "configs.h"

#include "coverage.h"
#include "verdict.h"

#include <inttypes.h>

static bool has(const node_id *ids, uint32_t count, node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool configs_counts(const struct raft_config *config, node_id id)
{
    return has(config->voters, config->voter_count, id) ||
           has(config->outgoing, config->outgoing_count, id) ||
           has(config->learners, config->learner_count, id);
}

bool configs_is_removed(const struct truth_member *m)
{
    return truth.has_config && m->was_counted && !configs_counts(&truth.config, m->id);
}

bool configs_decides(const struct raft_config *config, node_id id)
{
    return has(config->voters, config->voter_count, id) ||
           has(config->outgoing, config->outgoing_count, id);
}

bool configs_votes(const struct truth_member *m)
{
    return configs_decides(&truth.config, m->id);
}

/* --- quorums ---------------------------------------------------------------------------------- */

static uint32_t count_in(const node_id *ids, uint32_t count, uint32_t members)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct truth_member *m = truth_by_id(ids[i]);
        found += m != NULL && (members >> truth_index(m) & 1) != 0;
    }
    return found;
}

static bool config_holds(const struct raft_config *c, uint32_t members, bool learners)
{
    uint32_t voters = count_in(c->voters, c->voter_count, members);
    bool holds = 2 * voters > c->voter_count &&
                 (c->outgoing_count == 0 ||
                  2 * count_in(c->outgoing, c->outgoing_count, members) > c->outgoing_count);
    if (holds && learners) {
        /* At worst, just those are made voters that are lost. */
        uint32_t lost = c->learner_count - count_in(c->learners, c->learner_count, members);
        holds = 2 * voters > c->voter_count + lost;
    }
    return holds;
}

static bool all_hold(uint32_t members, bool learners)
{
    if (!truth.has_config || !config_holds(&truth.config, members, learners)) {
        return false;
    }
    /* Also what is in no log any more: it may be on its way to one. */
    for (uint64_t k = truth.committed_last + 1; k < truth.entry_capacity; k++) {
        for (const struct known_entry *e = truth.entries[k]; e != NULL; e = e->next) {
            struct raft_config config;
            struct slice annex;
            if (e->type == RAFT_ENTRY_CONFIG &&
                raft_config_decode(slice_of(e->payload, e->size), &config, &annex) == STATUS_OK &&
                !config_holds(&config, members, learners)) {
                return false;
            }
        }
    }
    for (uint32_t i = 0; i < truth.member_count; i++) {
        const struct truth_member *m = &truth.members[i];
        if (m->raft != NULL && raft_active_config(m->raft)->voter_count > 0 &&
            !configs_is_removed(m) &&
            !config_holds(raft_active_config(m->raft), members, learners)) {
            return false;
        }
    }
    return true;
}

bool configs_hold(uint32_t members)
{
    return all_hold(members, false);
}

bool configs_hold_with_learners(uint32_t members)
{
    return all_hold(members, true);
}

/* --- one after the other ---------------------------------------------------------------------- */

/* Majorities of two sets meet when the sets are equal or differ by one member. */
static bool halves_meet(const node_id *a, uint32_t a_count, const node_id *b, uint32_t b_count)
{
    uint32_t differ = 0;
    for (uint32_t i = 0; i < a_count; i++) {
        differ += !has(b, b_count, a[i]);
    }
    for (uint32_t i = 0; i < b_count; i++) {
        differ += !has(a, a_count, b[i]);
    }
    return a_count > 0 && b_count > 0 && differ <= 1;
}

static bool quorums_meet(const struct raft_config *a, const struct raft_config *b)
{
    return halves_meet(a->voters, a->voter_count, b->voters, b->voter_count) ||
           halves_meet(a->voters, a->voter_count, b->outgoing, b->outgoing_count) ||
           halves_meet(a->outgoing, a->outgoing_count, b->voters, b->voter_count) ||
           halves_meet(a->outgoing, a->outgoing_count, b->outgoing, b->outgoing_count);
}

static void take(const struct raft_config *config)
{
    truth.config = *config;
    truth.has_config = true;
    for (uint32_t i = 0; i < truth.member_count; i++) {
        struct truth_member *m = &truth.members[i];
        m->was_counted |= m->id != 0 && configs_counts(config, m->id);
    }
}

void configs_found(const struct raft_config *config)
{
    if (!truth.has_config || truth.config_index == 0) {
        take(config);
    }
}

static void mark_change(const struct raft_config *from, const struct raft_config *to)
{
    if (to->outgoing_count > 0) {
        coverage_hit(MARK_JOINT_COMMITTED);
        return;
    }
    if (from->outgoing_count > 0 && to->voter_count > from->outgoing_count) {
        coverage_hit(MARK_CLUSTER_GREW);
    } else if (from->outgoing_count > 0 && to->voter_count < from->outgoing_count) {
        coverage_hit(MARK_CLUSTER_SHRANK);
    } else if (from->outgoing_count > 0) {
        coverage_hit(MARK_VOTER_REPLACED);
    }
}

void configs_on_commit(uint64_t index, struct slice payload)
{
    struct raft_config config;
    struct slice annex;
    if (raft_config_decode(payload, &config, &annex) != STATUS_OK) {
        verdict_fail("I9", "entry %" PRIu64 " is committed and is no configuration", index);
    }
    if (truth.has_config && !quorums_meet(&truth.config, &config)) {
        verdict_fail("I9",
                     "the configuration at %" PRIu64 " has quorums that do not meet those of "
                     "the one before, at %" PRIu64,
                     index, truth.config_index);
    }
    mark_change(&truth.config, &config);
    truth.config_index = index;
    take(&config);
}

void configs_check_log(const struct truth_member *m)
{
    uint32_t count = 0;
    for (raft_index i = raft_commit(m->raft) + 1; i <= raft_last(m->raft).index; i++) {
        const struct raft_entry *e = raft_entry_at(m->raft, i);
        count += e != NULL && e->type == RAFT_ENTRY_CONFIG;
    }
    if (count > 1 && raft_role(m->raft) == RAFT_LEADER) {
        verdict_fail("I9", "member %d leads with %" PRIu32 " configurations not committed",
                     truth_index(m), count);
    }
}
