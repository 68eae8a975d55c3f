#include "hardship.h"

static bool toss(struct world *w, uint64_t percent)
{
    return rng_chance(&w->rng, percent, 100);
}

void hardship_set_clocks(struct world *w, uint32_t percent)
{
    bool unequal = toss(w, 30);
    for (node_id id = 1; id <= w->node_count; id++) {
        uint64_t error = 10 * (toss(w, 50) ? percent : rng_below(&w->rng, percent + 1));
        w->nodes[id].clock_permille = toss(w, 50) ? 1000 + error : 1000 - error;
        if (unequal && toss(w, 50)) {
            w->nodes[id].options.election_timeout_ms /= 2;
        }
    }
}

void hardship_attack_lease(struct world *w)
{
    node_id leader = world_leader(w);
    uint64_t election_ms = w->nodes[1].options.election_timeout_ms;
    if (leader == 0) {
        return;
    }
    bool restart = toss(w, 50);
    for (node_id id = 1; id <= w->node_count; id++) {
        world_set_link(w, leader, id, WORLD_LINK_CUT);
        world_set_link(w, id, leader, restart ? WORLD_LINK_CUT : WORLD_LINK_HELD);
    }
    if (!restart) {
        world_run(w, rng_between(&w->rng, election_ms / 2, election_ms - 5));
    }
    for (node_id id = 1; id <= w->node_count; id++) {
        world_set_link(w, id, leader, restart ? WORLD_LINK_CUT : WORLD_LINK_OPEN);
    }
    world_run(w, 1);
    for (node_id id = 1; id <= w->node_count; id++) {
        world_set_link(w, id, leader, WORLD_LINK_CUT);
        if (id == leader || !world_is_up(w, id) || w->nodes[id].paused) {
            continue;
        }
        struct raft_input input = {.kind = RAFT_INPUT_CAMPAIGN};
        if (restart) {
            world_crash(w, id);
            world_start(w, id);
        } else {
            const struct raft *r = w->nodes[id].raft;
            input = (struct raft_input){
                .kind = RAFT_INPUT_LEADER_LOST,
                .lost = {.leader = leader, .term = raft_term_now(r), .sync_ms = 1}};
        }
        if (!restart || toss(w, 50)) {
            (void)!world_input(w, id, &input);
        }
    }
}
