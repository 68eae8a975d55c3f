/* Majorities against a deliberately dumb twin: it asks of every value "do enough voters reach
 * you?", in each half, and counts with its fingers. */
#include "raft/quorum.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t value_of(const void *context, node_id id)
{
    return ((const uint64_t *)context)[id];
}

static bool dumb_majority(const node_id *ids, uint32_t count, const uint64_t *values, uint64_t v)
{
    uint32_t reach = 0;
    uint32_t miss = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (values[ids[i]] >= v) {
            reach++;
        } else {
            miss++;
        }
    }
    return reach > miss;
}

static uint64_t dumb_quorum(const struct raft_config *c, const uint64_t *values)
{
    for (uint64_t v = 20; v > 0; v--) {
        if (dumb_majority(c->voters, c->voter_count, values, v) &&
            (c->outgoing_count == 0 || dumb_majority(c->outgoing, c->outgoing_count, values, v))) {
            return v;
        }
    }
    return 0;
}

static void fill(struct rng *r, node_id *ids, uint32_t *count, uint32_t most)
{
    bool taken[LIMIT_MEMBERS + 1] = {false};
    *count = 0;
    uint32_t wanted = (uint32_t)rng_between(r, 0, most);
    while (*count < wanted) {
        node_id id = rng_between(r, 1, LIMIT_MEMBERS);
        if (!taken[id]) {
            taken[id] = true;
            ids[(*count)++] = id;
        }
    }
}

static void rule_e12_quorums_agree_with_the_dumb_twin_on_random_configurations(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 1);
    for (int i = 0; i < 50000; i++) {
        struct raft_config c = {0};
        fill(&r, c.voters, &c.voter_count, 7);
        if (rng_chance(&r, 1, 2)) {
            fill(&r, c.outgoing, &c.outgoing_count, 7);
        }
        fill(&r, c.learners, &c.learner_count, 3);
        uint64_t values[LIMIT_MEMBERS + 1];
        for (int k = 0; k <= LIMIT_MEMBERS; k++) {
            values[k] = rng_below(&r, 12);
        }
        assert_int_equal(quorum_value(&c, values, value_of), dumb_quorum(&c, values));
    }
}

static void rule_e12_a_majority_of_the_union_is_not_a_quorum(void **state)
{
    (void)state;
    const struct raft_config c = {
        .voter_count = 3, .voters = {1, 2, 3}, .outgoing_count = 3, .outgoing = {4, 5, 6}};
    uint64_t values[7] = {0, 1, 1, 1, 1, 0, 0}; /* four of six (M4) */
    assert_int_equal(quorum_value(&c, values, value_of), 0);
    values[5] = 1;
    assert_int_equal(quorum_value(&c, values, value_of), 1);
}

static void a_configuration_without_voters_decides_nothing(void **state)
{
    (void)state;
    const struct raft_config c = {.learner_count = 1, .learners = {1}};
    const uint64_t values[] = {9, 9};
    assert_int_equal(quorum_value(&c, values, value_of), 0);
}

static const struct raft_preference nobody;

static uint32_t rank(const struct raft_config *c, const struct raft_preference *p, node_id id,
                     node_id without)
{
    return config_voter_rank(c, p, (struct voter_pair){.id = id, .without = without});
}

static void rule_e6b_ranks_are_dense_and_leave_out_the_lost_one(void **state)
{
    (void)state;
    const struct raft_config c = {
        .voter_count = 3, .voters = {30, 10, 20}, .outgoing_count = 2, .outgoing = {20, 5}};
    assert_int_equal(rank(&c, &nobody, 5, 10), 0);
    assert_int_equal(rank(&c, &nobody, 20, 10), 1);
    assert_int_equal(rank(&c, &nobody, 30, 10), 2);
    assert_int_equal(rank(&c, &nobody, 30, 20), 2);
    assert_int_equal(rank(&c, &nobody, 30, 99), 3);
}

static void rule_e10_preferred_voters_rank_first_and_the_rest_by_id(void **state)
{
    (void)state;
    const struct raft_config c = {
        .voter_count = 3, .voters = {30, 10, 20}, .outgoing_count = 2, .outgoing = {20, 5}};
    const struct raft_preference p = {.count = 3, .order = {30, 77, 20}};
    assert_int_equal(rank(&c, &p, 30, 10), 0);
    assert_int_equal(rank(&c, &p, 20, 10), 1);
    assert_int_equal(rank(&c, &p, 5, 10), 2);
    assert_int_equal(rank(&c, &p, 10, 0), 3);
    assert_int_equal(rank(&c, &p, 20, 30), 0);
}

static void a_lone_voter_is_alone_in_both_halves(void **state)
{
    (void)state;
    struct raft_config c = {.voter_count = 1, .voters = {1}};
    assert_true(config_is_lone_voter(&c, 1));
    assert_false(config_is_lone_voter(&c, 2));
    c.outgoing_count = 1;
    c.outgoing[0] = 2;
    assert_false(config_is_lone_voter(&c, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e12_quorums_agree_with_the_dumb_twin_on_random_configurations),
        cmocka_unit_test(rule_e12_a_majority_of_the_union_is_not_a_quorum),
        cmocka_unit_test(a_configuration_without_voters_decides_nothing),
        cmocka_unit_test(rule_e6b_ranks_are_dense_and_leave_out_the_lost_one),
        cmocka_unit_test(rule_e10_preferred_voters_rank_first_and_the_rest_by_id),
        cmocka_unit_test(a_lone_voter_is_alone_in_both_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
