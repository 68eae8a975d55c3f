/* Lease reads: when a leader may answer without asking, and what its voters promised for that
 * (rules Q6, Q6b). And teeth: the checks of the world find a lease that trusts its clocks too much.
 * */
#include "one_core.h"
#include "world.h"
#include "world_check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEASE_MS 96 /* of E = 100 with r = 1 %: 100 * 99 / 101 - 2 */

static void lead(struct one_core *c, uint32_t voters)
{
    core_start(c, &(struct core_setup){.voters = voters, .options = {.lease_reads = true}});
    core_lead(c);
    core_settle(c);
}

static bool can_read(struct one_core *c)
{
    raft_index index = 0;
    bool may = raft_lease_read(c->raft, c->now_ms, &index);
    assert_true(!may || index == raft_commit(c->raft));
    return may;
}

/* A quorum answers what leaves now. */
static void confirm(struct one_core *c)
{
    core_wait(c, CORE_HEARTBEAT_MS);
    core_acknowledge(c, 2, raft_last(c->raft).index);
}

static void rule_q6_the_lease_counts_from_sending_and_is_shorter_than_the_promise(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 3);
    assert_false(can_read(&c)); /* nobody has answered */
    core_wait(&c, CORE_HEARTBEAT_MS);
    const struct raft_message *m = core_sent(&c, RAFT_MSG_HEARTBEAT, 2);
    assert_int_equal(m->lease_ms, CORE_ELECTION_MS);
    struct raft_message reply = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    reply.match = 1;
    reply.sent_ms = m->sent_ms;
    uint64_t sent_ms = m->sent_ms;
    core_wait(&c, 50); /* the answer was long on its way */
    core_deliver(&c, &reply);
    assert_true(can_read(&c));
    core_wait(&c, sent_ms + LEASE_MS - 1 - c.now_ms);
    assert_true(can_read(&c));
    core_wait(&c, 1);
    assert_false(can_read(&c));
    core_stop(&c);
}

static void rule_q6_there_is_none_unless_asked_for_or_before_a_commit(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3});
    core_lead(&c);
    core_settle(&c);
    confirm(&c);
    assert_int_equal(core_sent_count(&c, RAFT_MSG_APPEND), 0);
    assert_false(can_read(&c));
    core_stop(&c);

    lead(&c, 3);
    core_wait(&c, CORE_HEARTBEAT_MS);
    core_echo(&c, 2); /* it follows, but the no-op is not committed (rule Q1) */
    assert_false(can_read(&c));
    core_acknowledge(&c, 2, 1);
    assert_true(can_read(&c));
    core_stop(&c);
}

static void rule_q6_reads_are_answered_at_once_under_a_lease(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 3);
    confirm(&c);
    assert_int_equal(core_read(&c, 7), STATUS_OK);
    assert_int_equal(c.out.read_count, 1);
    assert_int_equal(c.out.reads[0].index, raft_commit(c.raft));
    assert_int_equal(core_sent_count(&c, RAFT_MSG_HEARTBEAT), 0);
    core_wait(&c, LEASE_MS - 1);
    core_wait(&c, 1);
    assert_int_equal(core_read(&c, 8), STATUS_OK);
    assert_int_equal(c.out.read_count, 0); /* a round is needed */
    core_stop(&c);
}

static void rule_q6_timeout_now_ends_the_lease_for_the_term(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 3);
    confirm(&c);
    assert_true(can_read(&c));
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_TRANSFER, .target = 2}),
                     STATUS_OK);
    assert_non_null(core_sent(&c, RAFT_MSG_TIMEOUT_NOW, 2));
    assert_false(can_read(&c));
    for (int i = 0; i < 10; i++) { /* it was in vain; the message may still be on its way */
        confirm(&c);
    }
    assert_false(raft_is_transferring(c.raft));
    assert_int_equal(raft_role(c.raft), RAFT_LEADER);
    assert_false(can_read(&c));
    core_stop(&c);
}

static void rule_q6_a_clock_that_jumps_ahead_ends_the_lease(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 3);
    confirm(&c);
    assert_true(can_read(&c));
    uint64_t sent_ms = c.now_ms;
    c.now_ms += LEASE_MS; /* suspended: nobody told the core */
    assert_false(can_read(&c));
    struct raft_message reply = core_message(&c, RAFT_MSG_HEARTBEAT_REPLY, 2, 1);
    reply.match = 1;
    reply.sent_ms = sent_ms; /* an answer to what left before */
    core_deliver(&c, &reply);
    assert_false(can_read(&c));
    core_acknowledge(&c, 2, 1); /* and to what leaves now */
    assert_true(can_read(&c));
    core_stop(&c);
}

static void rule_q6_a_new_configuration_voids_what_was_answered(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 3);
    confirm(&c);
    assert_true(can_read(&c));
    const struct raft_config config = {
        .voter_count = 3, .voters = {1, 2, 3}, .learner_count = 1, .learners = {4}};
    assert_int_equal(core_change(&c, &config), STATUS_OK);
    assert_false(can_read(&c));
    core_settle(&c);
    confirm(&c);
    assert_true(can_read(&c));
    core_stop(&c);
}

static void rule_q6_a_lone_voter_needs_nobody(void **state)
{
    (void)state;
    struct one_core c;
    lead(&c, 1);
    core_wait(&c, 1);
    assert_true(can_read(&c));
    core_wait(&c, 100 * CORE_ELECTION_MS);
    assert_true(can_read(&c));
    core_stop(&c);
}

/* --- the voter -------------------------------------------------------------------------------- */

static void heartbeat(struct one_core *c, uint32_t lease_ms)
{
    struct raft_message m = core_message(c, RAFT_MSG_HEARTBEAT, 2, 1);
    m.round = 1;
    m.sent_ms = 1;
    m.lease_ms = lease_ms;
    core_deliver(c, &m);
}

/* Does member `from` get a vote for that term? */
static bool grants(struct one_core *c, node_id from, raft_term term, bool transfer)
{
    struct raft_message m = core_message(c, RAFT_MSG_VOTE, from, term);
    m.transfer = transfer;
    core_deliver(c, &m);
    core_settle(c);
    return raft_vote(c->raft) == from && raft_term_now(c->raft) == term;
}

static void rule_q6b_a_promise_is_durable_before_it_is_counted(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, 300);
    assert_null(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 0));
    assert_true(c.out.has_persist && c.out.persist.hard_state);
    assert_int_equal(c.out.persist.lease_promise_ms, 300);
    core_persisted(&c);
    assert_non_null(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2));
    heartbeat(&c, 200); /* no longer than was promised already */
    assert_false(c.out.has_persist);
    assert_non_null(core_sent(&c, RAFT_MSG_HEARTBEAT_REPLY, 2));
    core_stop(&c);
}

static void rule_q6b_the_leaders_number_is_kept_whatever_the_own_timeout(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, 1000);
    core_settle(&c);
    core_wait(&c, 999); /* far beyond the own timeout: not even a campaign */
    assert_int_not_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    assert_false(grants(&c, 3, 2, false));
    core_wait(&c, 1);
    assert_true(grants(&c, 3, 2, false));
    core_wait(&c, 2 * CORE_ELECTION_MS);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    core_stop(&c);
}

static void rule_q6b_a_higher_term_is_no_way_around_a_promise(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, 1000);
    core_settle(&c);
    struct raft_message m = core_message(&c, RAFT_MSG_READ, 3, 5); /* any message spreads a term */
    core_deliver(&c, &m);
    core_settle(&c);
    assert_int_equal(raft_term_now(c.raft), 5);
    assert_false(grants(&c, 3, 5, false));
    assert_true(grants(&c, 2, 5, false)); /* whom it was promised to */
    core_stop(&c);
}

static void rule_q6b_the_leaders_own_hand_over_passes_a_promise(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, 1000);
    core_settle(&c);
    assert_true(grants(&c, 3, 2, true));
    core_stop(&c);
}

static void rule_q6b_a_promise_outlives_the_process(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1, .lease_promise_ms = 500});
    assert_int_equal(core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN}), STATUS_OK);
    core_wait(&c, 499);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    assert_false(grants(&c, 2, 2, false)); /* nor to whom it may have been: that is forgotten */
    core_wait(&c, 1);
    assert_true(grants(&c, 2, 2, false));
    core_stop(&c);
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    assert_true(grants(&c, 2, 2, false)); /* without one there is no wait */
    core_stop(&c);
}

static void rule_e6b_a_lost_leader_is_not_replaced_while_a_promise_runs(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, 80);
    core_settle(&c);
    (void)!core_step(&c, &(struct raft_input){.kind = RAFT_INPUT_LEADER_LOST,
                                              .lost = {.leader = 2, .term = 1, .sync_ms = 1}});
    core_wait(&c, 79);
    assert_int_equal(raft_role(c.raft), RAFT_FOLLOWER);
    core_wait(&c, 1);
    assert_int_equal(raft_role(c.raft), RAFT_PRECANDIDATE);
    core_stop(&c);
}

static void a_promise_without_bound_is_not_made(void **state)
{
    (void)state;
    struct one_core c;
    core_start(&c, &(struct core_setup){.voters = 3, .term = 1});
    heartbeat(&c, UINT32_MAX);
    assert_true(core_saw(&c, RAFT_EVENT_DROPPED));
    assert_int_equal(raft_leader(c.raft), 0);
    core_stop(&c);
}

/* --- clocks ----------------------------------------------------------------------------------- */

/* A leader whose clock is slow is cut off, with a voter behind it whose clock is fast; checks
 * abort. `percent` is how wrong the clocks are, the cores believe `bound`. */
static void isolate_a_slow_leader(uint64_t seed, uint32_t percent, uint32_t bound)
{
    struct world w;
    world_init(&w, seed);
    const struct raft_config config = {.voter_count = 3, .voters = {1, 2, 3}};
    const struct raft_options options = {.self = 1,
                                         .election_timeout_ms = 200,
                                         .heartbeat_ms = 20,
                                         .lease_reads = true,
                                         .clock_rate_error_percent = bound};
    for (node_id id = 1; id <= 3; id++) {
        world_add(&w, &options, &config);
        w.nodes[id].clock_permille = id == 1 ? 1000 - 10 * percent : 1000 + 10 * percent;
        world_start(&w, id);
        /* a lease that is renewed seldom has less to go wrong with */
        raft_set_wish(w.nodes[id].raft, (struct raft_wish){.beats = true});
    }
    (void)!world_input(&w, 1, &(struct raft_input){.kind = RAFT_INPUT_CAMPAIGN});
    world_run(&w, 100 + rng_below(&w.rng, 40));
    for (node_id id = 2; id <= 3; id++) {
        world_set_link(&w, 1, id, WORLD_LINK_CUT);
        world_set_link(&w, id, 1, WORLD_LINK_CUT);
        struct raft_input lost = {.kind = RAFT_INPUT_LEADER_LOST,
                                  .lost = {.leader = 1, .term = 1, .sync_ms = 1}};
        (void)!world_input(&w, id, &lost);
    }
    for (int i = 0; i < 400; i++) {
        world_run(&w, 1);
        for (node_id id = 2; id <= 3; id++) {
            (void)!world_propose(&w, id, 8);
        }
        checker_on_step(&w, 1); /* would it serve a read now? */
    }
    world_deinit(&w);
}

static uint32_t count_violations(uint32_t percent, uint32_t bound)
{
    uint32_t violations = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            (void)!freopen("/dev/null", "w", stderr);
            isolate_a_slow_leader(seed, percent, bound);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        violations += WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    }
    return violations;
}

static void rule_q6_clocks_within_the_bound_are_safe_and_thrice_that_is_caught(void **state)
{
    (void)state;
    assert_int_equal(count_violations(0, 10), 0);
    assert_int_equal(count_violations(10, 10), 0);
    assert_int_equal(count_violations(5, 5), 0);
    assert_in_range(count_violations(30, 10), 6, 10); /* most of the seeds */
    assert_in_range(count_violations(15, 5), 6, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_q6_the_lease_counts_from_sending_and_is_shorter_than_the_promise),
        cmocka_unit_test(rule_q6_there_is_none_unless_asked_for_or_before_a_commit),
        cmocka_unit_test(rule_q6_reads_are_answered_at_once_under_a_lease),
        cmocka_unit_test(rule_q6_timeout_now_ends_the_lease_for_the_term),
        cmocka_unit_test(rule_q6_a_clock_that_jumps_ahead_ends_the_lease),
        cmocka_unit_test(rule_q6_a_new_configuration_voids_what_was_answered),
        cmocka_unit_test(rule_q6_a_lone_voter_needs_nobody),
        cmocka_unit_test(rule_q6b_a_promise_is_durable_before_it_is_counted),
        cmocka_unit_test(rule_q6b_the_leaders_number_is_kept_whatever_the_own_timeout),
        cmocka_unit_test(rule_q6b_a_higher_term_is_no_way_around_a_promise),
        cmocka_unit_test(rule_q6b_the_leaders_own_hand_over_passes_a_promise),
        cmocka_unit_test(rule_q6b_a_promise_outlives_the_process),
        cmocka_unit_test(rule_e6b_a_lost_leader_is_not_replaced_while_a_promise_runs),
        cmocka_unit_test(a_promise_without_bound_is_not_made),
        cmocka_unit_test(rule_q6_clocks_within_the_bound_are_safe_and_thrice_that_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
