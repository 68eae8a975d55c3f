/* Bounds of the links of members, at the bound (rule O1): how many are known, and for how long
 * nothing is heard. */
#include "peer_pair.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct pair pair;

/* --- time ------------------------------------------------------------------------------------- */

/* One looks as often as it may be silent at most, so that it is so for less than twice that. */
static void rule_o1_a_link_that_has_nothing_to_say_says_so(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    uint64_t longest_ms = 0;
    for (int i = 0; i < 20000; i++) {
        fake_world_run(pair.world, 1);
        uint64_t silence_ms = peers_silence_ms(pair.a.peers, pair.b.hello.incarnation);
        longest_ms = silence_ms > longest_ms ? silence_ms : longest_ms;
    }
    assert_in_range(longest_ms, LIMIT_PEER_PING_MS - 1, 2 * LIMIT_PEER_PING_MS);
    pair_close(&pair);
}

static void rule_o1_a_silent_link_is_given_up_when_its_time_is_over(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    fake_process_freeze(pair.b.loop, true);
    uint64_t silence_ms = 0;
    for (int i = 0; i < 10000 && pair.a.downs == 0; i++) {
        silence_ms = peers_silence_ms(pair.a.peers, pair.b.hello.incarnation);
        fake_world_run(pair.world, 1);
    }
    assert_int_equal(pair.a.downs, 1);
    assert_in_range(silence_ms, LIMIT_PEER_SILENCE_MS - 1,
                    LIMIT_PEER_SILENCE_MS + LIMIT_PEER_PING_MS);
    fake_process_freeze(pair.b.loop, false);
    pair_close(&pair);
}

/* --- how many --------------------------------------------------------------------------------- */

static struct member crowd[LIMIT_PEERS_KNOWN];

static uint32_t count_up(void)
{
    uint32_t up = 0;
    for (int i = 0; i < LIMIT_PEERS_KNOWN; i++) {
        up += crowd[i].alive && member_is_up(&pair.a, &crowd[i]);
    }
    return up;
}

static void come(int i)
{
    char host[16];
    snprintf(host, sizeof(host), "c%d", i);
    member_boot(&crowd[i], pair.world, host, (uint8_t)(100 + i), "");
    member_dial(&crowd[i], &pair.a);
}

/* With `b` one more than are known at most. */
static void rule_o1_one_more_than_are_known_waits_until_one_has_gone(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    for (int i = 0; i < LIMIT_PEERS_KNOWN - 1; i++) {
        come(i);
    }
    fake_world_run(pair.world, 100);
    assert_int_equal(count_up(), LIMIT_PEERS_KNOWN - 1);
    struct member *last = &crowd[LIMIT_PEERS_KNOWN - 1];
    come(LIMIT_PEERS_KNOWN - 1);
    fake_world_run(pair.world, 5000);
    assert_false(member_is_up(&pair.a, last));
    assert_true(peers_counters(pair.a.peers).refused_hellos > 0);
    assert_int_equal(count_up(), LIMIT_PEERS_KNOWN - 1); /* and disturbs nobody */
    assert_true(member_is_up(&pair.a, &pair.b));
    assert_int_equal(pair.a.downs, 0);
    member_kill(&crowd[7]);
    fake_world_run(pair.world, 5000);
    assert_true(member_is_up(&pair.a, last));
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(count_up(), LIMIT_PEERS_KNOWN - 1);
    for (int i = 0; i < LIMIT_PEERS_KNOWN; i++) {
        if (crowd[i].alive) {
            member_kill(&crowd[i]);
        }
    }
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_a_link_that_has_nothing_to_say_says_so),
        cmocka_unit_test(rule_o1_a_silent_link_is_given_up_when_its_time_is_over),
        cmocka_unit_test(rule_o1_one_more_than_are_known_waits_until_one_has_gone),
    };
    return cmocka_run_group_tests(tests, quieten_log, NULL);
}
