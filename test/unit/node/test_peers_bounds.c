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

/* --- strangers -------------------------------------------------------------------------------- */

static void stranger_close(struct conn *c, enum status why)
{
    (void)c;
    (void)why;
}

static void stranger_data(struct conn *c, struct slice data)
{
    (void)c;
    (void)data;
}

static void stranger_open(struct conn *c)
{
    c->loop->ops->conn_write(c, slice_str("GET /peer HTTP/1.1\r\n\r\n"));
}

/* All places of those that are on their way up are taken, and taken anew in every millisecond. */
static void rule_o1_a_flood_of_strangers_keeps_no_member_out(void **state)
{
    (void)state;
    static const struct conn_events stranger = {
        .on_open = stranger_open, .on_data = stranger_data, .on_close = stranger_close};
    pair_open(&pair, &pair_quiet, "", "");
    struct loop *outside = fake_process_create(pair.world, "outside");
    for (int ms = 0; ms < 60; ms++) {
        for (int i = 0; i < 2 * LIMIT_PEER_CONNECTIONS; i++) {
            outside->ops->dial(outside, "a", PAIR_PORT, &stranger, NULL);
        }
        if (ms == 10) {
            member_dial(&pair.b, &pair.a);
        }
        fake_world_run(pair.world, 1);
    }
    assert_true(member_is_up(&pair.a, &pair.b));
    assert_true(peers_counters(pair.a.peers).strangers > LIMIT_PEER_CONNECTIONS);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o1_a_link_that_has_nothing_to_say_says_so),
        cmocka_unit_test(rule_o1_a_silent_link_is_given_up_when_its_time_is_over),
        cmocka_unit_test(rule_o1_one_more_than_are_known_waits_until_one_has_gone),
        cmocka_unit_test(rule_o1_a_flood_of_strangers_keeps_no_member_out),
    };
    return cmocka_run_group_tests(tests, quieten_log, NULL);
}
