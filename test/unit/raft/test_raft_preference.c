/* Several members and a favourite that comes and goes: how often does leadership move (E10)? */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ELECTION_MS 100

struct counts {
    uint32_t leaders;  /* a member became one */
    uint32_t offers;   /* for the sake of preference */
    uint32_t timeouts; /* of the favourite */
};

static void count(void *context, node_id id, const struct raft_event *event)
{
    struct counts *counts = context;
    (void)id;
    counts->leaders += event->kind == RAFT_EVENT_ROLE && event->a == RAFT_LEADER;
    counts->offers += event->kind == RAFT_EVENT_PREFERRED;
    counts->timeouts += event->kind == RAFT_EVENT_ELECTION_TIMEOUT && id == 5;
}

/* Five members; 5 is preferred, and 1 leads. */
static void begin(struct world *w, struct counts *counts)
{
    const struct raft_options options = {
        .self = 1, .election_timeout_ms = ELECTION_MS, .heartbeat_ms = ELECTION_MS / 5};
    const struct raft_config config = {.voter_count = 5, .voters = {1, 2, 3, 4, 5}};
    world_init(w, 1);
    world_set_replay("in test_raft_preference\n");
    for (node_id id = 1; id <= 5; id++) {
        struct world_node *n = world_add(w, &options, &config);
        n->preference = (struct raft_preference){.count = 1, .order = {5}, .hand_back = true};
        world_start(w, id);
    }
    (void)!world_input(w, 1, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN});
    world_run(w, ELECTION_MS);
    assert_int_equal(world_leader(w), 1);
    *counts = (struct counts){0};
    w->observer = (struct world_observer){.context = counts, .on_event = count};
}

static void set_reachable(struct world *w, bool reachable)
{
    for (node_id id = 1; id < 5; id++) {
        world_set_link(w, 5, id, reachable ? WORLD_LINK_OPEN : WORLD_LINK_CUT);
        world_set_link(w, id, 5, reachable ? WORLD_LINK_OPEN : WORLD_LINK_CUT);
    }
}

static void rule_e10_a_favourite_that_flaps_fast_moves_nothing(void **state)
{
    (void)state;
    struct world w;
    struct counts counts;
    begin(&w, &counts);
    for (int i = 0; i < 100; i++) {
        set_reachable(&w, false);
        world_run(&w, rng_between(&w.rng, 3 * ELECTION_MS / 2, 4 * ELECTION_MS));
        set_reachable(&w, true);
        world_run(&w, rng_between(&w.rng, ELECTION_MS, 9 * ELECTION_MS));
    }
    assert_true(counts.timeouts > 50); /* it did flap */
    assert_int_equal(counts.leaders, 0);
    assert_int_equal(counts.offers, 0);
    assert_int_equal(world_leader(&w), 1);
    world_deinit(&w);
}

static void
rule_e10_a_favourite_that_flaps_slowly_moves_leadership_once_in_ten_timeouts(void **state)
{
    (void)state;
    struct world w;
    struct counts counts;
    begin(&w, &counts);
    uint64_t began_ms = w.now_ms;
    for (int i = 0; i < 100; i++) {
        if (world_is_up(&w, 5)) {
            world_crash(&w, 5);
        } else {
            world_start(&w, 5);
        }
        world_run(&w, rng_between(&w.rng, ELECTION_MS, 20 * ELECTION_MS));
    }
    uint64_t most = (w.now_ms - began_ms) / ((uint64_t)10 * ELECTION_MS) + 1;
    assert_true(counts.offers > 5);
    assert_true(counts.offers <= most);
    assert_true(counts.leaders <= 2 * most); /* there, and back when it dies */
    world_deinit(&w);
}

static void rule_e10_a_favourite_that_cannot_be_reached_delays_no_election(void **state)
{
    (void)state;
    struct world w;
    struct counts counts;
    begin(&w, &counts);
    set_reachable(&w, false);
    world_crash(&w, 1);
    world_run(&w, 3 * ELECTION_MS);
    assert_true(world_leader(&w) >= 2 && world_leader(&w) <= 4);
    world_deinit(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e10_a_favourite_that_flaps_fast_moves_nothing),
        cmocka_unit_test(
            rule_e10_a_favourite_that_flaps_slowly_moves_leadership_once_in_ten_timeouts),
        cmocka_unit_test(rule_e10_a_favourite_that_cannot_be_reached_delays_no_election),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
