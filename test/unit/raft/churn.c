#include "churn.h"

struct roles {
    char of[WORLD_NODES_MAX + 1]; /* by id: 'v', 'l', or 0 */
    uint32_t voters;
};

static bool toss(struct world *w, uint64_t percent)
{
    return rng_chance(&w->rng, percent, 100);
}

static struct roles roles_of(const struct raft_config *config)
{
    struct roles roles = {.voters = config->voter_count};
    for (uint32_t i = 0; i < config->learner_count; i++) {
        roles.of[config->learners[i]] = 'l';
    }
    for (uint32_t i = 0; i < config->voter_count; i++) {
        roles.of[config->voters[i]] = 'v';
    }
    return roles;
}

static void add_learner(struct world *w, struct roles *roles)
{
    node_id id = rng_between(&w->rng, 1, w->node_count);
    if (roles->of[id] == 0) {
        roles->of[id] = 'l';
    }
}

/* Each role `from` becomes `to` by that chance; some voter always stays. */
static void turn_some(struct world *w, struct roles *roles, char from, char to, uint64_t percent)
{
    for (node_id id = 1; id <= w->node_count; id++) {
        if (roles->of[id] != from || !toss(w, percent) || (from == 'v' && roles->voters == 1)) {
            continue;
        }
        roles->of[id] = to;
        roles->voters -= from == 'v';
        roles->voters += to == 'v';
    }
}

static struct raft_config config_of(const struct world *w, const struct roles *roles)
{
    struct raft_config config = {0};
    for (node_id id = 1; id <= w->node_count; id++) {
        if (roles->of[id] == 'v') {
            config.voters[config.voter_count++] = id;
        } else if (roles->of[id] == 'l') {
            config.learners[config.learner_count++] = id;
        }
    }
    return config;
}

enum status churn_ask(struct world *w, node_id id)
{
    struct roles roles = roles_of(raft_active_config(w->nodes[id].raft));
    switch (rng_below(&w->rng, 8)) {
    case 0:
    case 1:
        add_learner(w, &roles);
        break;
    case 2: /* grow: one to three, three to five */
        turn_some(w, &roles, 'l', 'v', 100);
        break;
    case 3: /* replace */
        turn_some(w, &roles, 'l', 'v', 60);
        turn_some(w, &roles, 'v', 0, 40);
        break;
    case 4: /* shrink */
        turn_some(w, &roles, 'v', 0, toss(w, 30) ? 100 : 40);
        break;
    case 5:
        turn_some(w, &roles, 'v', 'l', 30);
        break;
    case 6:
        turn_some(w, &roles, 'l', 0, 50);
        break;
    default: /* nothing new but the annex; or everything at once */
        if (toss(w, 50)) {
            turn_some(w, &roles, 'v', 'l', 30);
            turn_some(w, &roles, 'l', 'v', 50);
            turn_some(w, &roles, 'l', 0, 30);
            add_learner(w, &roles);
        }
        break;
    }
    struct raft_config config = config_of(w, &roles);
    return world_change(w, id, &config);
}

void churn_bar(struct world *w, node_id id, bool barred)
{
    if (world_is_up(w, id) && !w->nodes[id].paused) {
        (void)!world_input(w, id,
                           &(struct raft_input){.kind = RAFT_INPUT_BARRED, .barred = barred});
    }
}

void churn_prefer(struct world *w)
{
    struct raft_preference p = {.hand_back = toss(w, 50)};
    bool taken[WORLD_NODES_MAX + 1] = {false};
    uint64_t count = rng_between(&w->rng, 1, w->node_count);
    while (p.count < count) {
        node_id id = rng_between(&w->rng, 1, w->node_count);
        if (!taken[id]) {
            taken[id] = true;
            p.order[p.count++] = id;
        }
    }
    for (node_id id = 1; id <= w->node_count; id++) {
        w->nodes[id].preference = p;
    }
}
