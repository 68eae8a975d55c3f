#include "raft/quorum.h"

#include "base/check.h"

static uint64_t majority_value(const node_id *ids, uint32_t count, const void *context,
                               quorum_value_cb value_of)
{
    CHECK_CMP(count, <=, LIMIT_MEMBERS);
    if (count == 0) {
        return 0;
    }
    uint64_t sorted[LIMIT_MEMBERS]; /* descending */
    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = value_of(context, ids[i]);
        uint32_t at = i;
        while (at > 0 && sorted[at - 1] < value) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = value;
    }
    return sorted[count / 2]; /* count / 2 + 1 of them are at least this */
}

uint64_t quorum_value(const struct raft_config *config, const void *context,
                      quorum_value_cb value_of)
{
    uint64_t value = majority_value(config->voters, config->voter_count, context, value_of);
    if (config->outgoing_count > 0) {
        uint64_t other =
            majority_value(config->outgoing, config->outgoing_count, context, value_of);
        value = other < value ? other : value;
    }
    return value;
}

bool ids_contain(const node_id *ids, uint32_t count, node_id id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool config_has_voter(const struct raft_config *config, node_id id)
{
    return ids_contain(config->voters, config->voter_count, id) ||
           ids_contain(config->outgoing, config->outgoing_count, id);
}

bool config_has_learner(const struct raft_config *config, node_id id)
{
    return ids_contain(config->learners, config->learner_count, id);
}

bool config_is_lone_voter(const struct raft_config *config, node_id id)
{
    return config->voter_count == 1 && config->voters[0] == id &&
           (config->outgoing_count == 0 ||
            (config->outgoing_count == 1 && config->outgoing[0] == id));
}

uint32_t preference_place(const struct raft_preference *preference, node_id id)
{
    uint32_t place = 0;
    while (place < preference->count && preference->order[place] != id) {
        place++;
    }
    return place;
}

uint32_t config_voter_rank(const struct raft_config *config,
                           const struct raft_preference *preference, struct voter_pair who)
{
    uint32_t rank = 0;
    uint32_t own = preference_place(preference, who.id);
    for (uint32_t i = 0; i < config->voter_count + config->outgoing_count; i++) {
        bool is_old = i >= config->voter_count;
        node_id other = is_old ? config->outgoing[i - config->voter_count] : config->voters[i];
        if (other == who.without ||
            (is_old && ids_contain(config->voters, config->voter_count, other))) {
            continue;
        }
        uint32_t place = preference_place(preference, other);
        rank += place < own || (place == own && other < who.id);
    }
    return rank;
}
