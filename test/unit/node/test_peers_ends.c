/* The links of members: ends and what they mean (rule E6b), and a lot to say. */
#include "peer_pair.h"

#include "base/mem.h"
#include "node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct pair pair;

/* --- ends, and what they mean (rule E6b) ------------------------------------------------------ */

static void rule_e6b_a_killed_member_is_lost_once_and_at_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        pair_open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 2}, "");
        member_kill(seed & 1 ? &pair.a : &pair.b);
        struct member *left = seed & 1 ? &pair.b : &pair.a;
        fake_world_run(pair.world, 20);
        assert_int_equal(left->downs, 1);
        assert_int_equal(left->losts, 1);
        fake_world_run(pair.world, 8000);
        assert_int_equal(left->downs, 1);
        assert_int_equal(left->losts, 1);
        assert_string_equal(member_trouble(left), "cannot connect");
        pair_close(&pair);
    }
}

static void rule_e6b_a_stopped_member_is_not_lost_but_goes_down_in_time(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    fake_process_freeze(pair.b.loop, true);
    fake_world_run(pair.world, 2000);
    assert_int_equal(pair.a.downs, 0);
    fake_world_run(pair.world, 10000);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 0);
    fake_process_freeze(pair.b.loop, false);
    fake_world_run(pair.world, 5000);
    assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
    assert_int_equal(pair.a.losts + pair.b.losts, 0);
    assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
    pair_close(&pair);
}

static void rule_e6b_a_reset_with_a_member_that_lives_is_healed_without_a_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        pair_open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "s");
        for (int i = 0; i < 5; i++) {
            fake_world_reset(pair.world, "a", "b");
            fake_world_run(pair.world, 60);
            assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        }
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        fake_world_run(pair.world, 3000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        pair_close(&pair);
    }
}

/* One end of the connection is gone and the other does not know: the new one must win, whoever
 * dialled the old one. */
static void a_half_open_link_is_replaced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        pair_open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "");
        bool a_forgets = (seed & 1) != 0;
        fake_world_forget(pair.world, a_forgets ? "a" : "b", a_forgets ? "b" : "a");
        fake_world_run(pair.world, 2500);
        assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        pair.a.taken_count = 0;
        pair.b.taken_count = 0;
        member_send_beat(&pair.a, &pair.b, 1);
        member_send_beat(&pair.b, &pair.a, 1);
        fake_world_run(pair.world, 50);
        assert_int_equal(pair.a.taken_count, 1);
        assert_int_equal(pair.b.taken_count, 1);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        pair_close(&pair);
    }
}

static void rule_e6b_another_incarnation_at_the_address_means_lost(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    struct member old = pair.b;
    member_kill(&pair.b);
    static struct member other;
    member_boot(&other, pair.world, "b", 33, "");
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 1);
    assert_true(member_is_up(&pair.a, &other));
    assert_false(member_is_up(&pair.a, &old));
    peers_destroy(other.peers);
    pair_close(&pair);
}

static void rule_e6b_the_same_member_started_anew_says_so_in_its_hello(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    struct uuid before = pair.a.last_hello.boot;
    member_kill(&pair.b);
    static struct member again;
    member_boot(&again, pair.world, "b", 20, "");
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.a.downs, 1);
    assert_int_equal(pair.a.losts, 0);
    assert_true(member_is_up(&pair.a, &again));
    assert_false(uuid_equal(pair.a.last_hello.boot, before));
    peers_destroy(again.peers);
    pair_close(&pair);
}

static void lose(void *context, struct loop *from, struct buf *piece)
{
    if (from == context) {
        buf_clear(piece);
    }
}

/* True: A has no link up, and was not told that B is down, for another one comes. */
static bool open_between_two_links(uint64_t seed)
{
    pair_open(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 40}, "", "");
    member_dial(&pair.a, &pair.b);
    member_dial(&pair.b, &pair.a);
    bool is_between = false;
    for (int i = 0; i < 500 && !is_between; i++) {
        fake_world_run(pair.world, 1);
        is_between = pair.a.hellos > 0 && pair.a.downs == 0 && !member_is_up(&pair.a, &pair.b);
    }
    return is_between;
}

/* B closed the only link that A has up, for a better one, and dies before its hello on that is
 * heard: what waits then is for the process that is gone. */
static bool started_anew_between_two_links(uint64_t seed)
{
    bool is_between = open_between_two_links(seed);
    if (is_between) {
        fake_world_tamper(pair.world, lose, pair.b.loop); /* as an RST does */
        member_send_beat(&pair.a, &pair.b, 1);
        peers_send_note(pair.a.peers, pair.b.hello.incarnation, PEER_NOTE_SURVEY_ASK,
                        slice_str("question"));
        member_kill(&pair.b);
        member_boot(&pair.b, pair.world, "b", 20, "");
        member_dial(&pair.b, &pair.a);
        fake_world_run(pair.world, 5000);
        assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        assert_int_equal(pair.b.taken_count, 0);
        assert_int_equal(pair.b.notes, 0);
        assert_int_equal(pair.a.downs, 1);
    }
    pair_close(&pair);
    return is_between;
}

/* As many as are known at most come while the end of another one is waited for. */
static void crowd_out(struct member *crowd)
{
    for (int i = 0; i < LIMIT_PEERS_KNOWN; i++) {
        char host[16];
        snprintf(host, sizeof(host), "c%d", i);
        member_boot(&crowd[i], pair.world, host, (uint8_t)(100 + i), "");
        member_dial(&crowd[i], &pair.a);
    }
    fake_world_run(pair.world, 600);
}

static bool crowded_out_between_two_links(uint64_t seed)
{
    static struct member crowd[LIMIT_PEERS_KNOWN];
    bool is_between = open_between_two_links(seed);
    if (is_between) {
        fake_world_tamper(pair.world, lose, pair.b.loop);
        crowd_out(crowd);
        assert_true(pair.a.hellos >= LIMIT_PEERS_KNOWN);
        member_kill(&pair.b);
        fake_world_run(pair.world, 2000);
        assert_int_equal(pair.a.downs, 1);
        for (int i = 0; i < LIMIT_PEERS_KNOWN; i++) {
            member_kill(&crowd[i]);
        }
        member_boot(&pair.b, pair.world, "b", 20, "");
    }
    pair_close(&pair);
    return is_between;
}

/* Its owner waits for that word: what was asked of it has no outcome before. */
static void rule_o1_a_full_table_forgets_nobody_before_it_was_told_down(void **state)
{
    (void)state;
    uint32_t found = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        found += crowded_out_between_two_links(seed) ? 1 : 0;
    }
    assert_true(found > 0);
}

static void nothing_that_waits_for_a_process_reaches_the_next_one(void **state)
{
    (void)state;
    uint32_t found = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        found += started_anew_between_two_links(seed) ? 1 : 0;
    }
    assert_true(found >= 5);
}

static void rule_e6b_a_member_that_came_by_itself_is_dialled_where_it_says(void **state)
{
    (void)state;
    for (int says = 0; says < 2; says++) {
        pair_open(&pair, &pair_quiet, "", "");
        if (says) {
            snprintf(pair.b.hello.advertise, sizeof(pair.b.hello.advertise), "%s", pair.b.url);
            peers_set_hello(pair.b.peers, &pair.b.hello);
        }
        member_dial(&pair.b, &pair.a);
        fake_world_run(pair.world, 100);
        assert_true(member_is_up(&pair.a, &pair.b));
        member_kill(&pair.b);
        fake_world_run(pair.world, 5000);
        assert_int_equal(pair.a.downs, 1);
        /* Nobody can be asked when no address is known: the timer decides. */
        assert_int_equal(pair.a.losts, says);
        pair_close(&pair);
    }
}

static void a_partition_is_no_loss_and_heals_soon_after_its_end(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        pair_open_linked(&pair, &(struct fake_options){.seed = seed, .delay_ms_max = 3}, "s");
        fake_world_cut(pair.world, "a", "b", true);
        fake_world_run(pair.world, 9000 + seed * 131);
        assert_int_equal(pair.a.downs + pair.b.downs, 2);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        fake_world_cut(pair.world, "a", "b", false);
        fake_world_run(pair.world, 1500);
        assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
        fake_world_run(pair.world, 5000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        pair_close(&pair);
    }
}

static void an_idle_link_stays_up(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.a.downs + pair.b.downs, 0);
    assert_int_equal(fake_world_dials(pair.world), dials);
    assert_true(peers_silence_ms(pair.a.peers, pair.b.hello.incarnation) < 1000);
    pair_close(&pair);
}

static void the_pause_between_dials_grows_to_a_second(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
    member_kill(&pair.b);
    member_dial(&pair.a, &pair.b);
    fake_world_run(pair.world, 1000);
    assert_in_range(fake_world_dials(pair.world), 5, 9);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 20000);
    assert_in_range(fake_world_dials(pair.world) - dials, 20, 40);
    pair_close(&pair);
}

static void a_good_link_makes_the_next_pauses_short_again(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    member_kill(&pair.b);
    fake_world_run(pair.world, 20000);
    static struct member again;
    member_boot(&again, pair.world, "b", 20, "");
    fake_world_run(pair.world, 2000);
    assert_true(member_is_up(&pair.a, &again));
    member_kill(&again);
    uint32_t dials = fake_world_dials(pair.world);
    fake_world_run(pair.world, 300);
    assert_true(fake_world_dials(pair.world) - dials >= 4);
    pair_close(&pair);
}

static void urls_that_are_taken_away_are_dialled_no_more(void **state)
{
    (void)state;
    for (uint64_t ms = 0; ms < 30; ms++) {
        pair_open(&pair, &(struct fake_options){.seed = ms, .delay_ms_max = 5}, "", "");
        member_dial(&pair.a, &pair.b);
        fake_world_run(pair.world, ms);
        bool was_up = member_is_up(&pair.a, &pair.b);
        peers_set_urls(pair.a.peers, NULL, 0);
        fake_world_run(pair.world, 5000);
        assert_int_equal(fake_world_dials(pair.world), 1);
        assert_int_equal(member_is_up(&pair.a, &pair.b), was_up); /* a link that is up stays */
        pair_close(&pair);
    }
}

/* --- a lot to say ----------------------------------------------------------------------------- */

static const struct fake_options narrow = {
    .seed = 5, .delay_ms_max = 2, .kernel_bytes = 64 * 1024, .piece_bytes_max = 9000};

static void rule_o3_a_heartbeat_overtakes_a_long_message(void **state)
{
    (void)state;
    pair_open_linked(&pair, &narrow, "secret");
    member_send_append(&pair.a, &pair.b, 1, 4 * MIB, false);
    member_send_append(&pair.a, &pair.b, 2, 10, false);
    fake_world_run(pair.world, 5);
    member_send_beat(&pair.a, &pair.b, 3);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.b.taken_count, 3);
    assert_int_equal(pair.b.taken[0], 3);
    assert_int_equal(pair.b.taken[1], 1);
    assert_int_equal(pair.b.taken[2], 2);
    assert_int_equal(pair.b.taken_bytes, 4 * MIB + 10);
    pair_close(&pair);
}

/* Those that need no cutting into frames fill the connection no further than long ones do. */
static void rule_o3_a_heartbeat_overtakes_many_short_messages(void **state)
{
    (void)state;
    const uint32_t size = 10 * KIB;
    const uint32_t count = 200;
    pair_open_linked(&pair, &narrow, "");
    for (uint32_t i = 0; i < count; i++) {
        member_send_append(&pair.a, &pair.b, 1, size, false);
    }
    member_send_beat(&pair.a, &pair.b, 2);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.b.taken_count, count + 1);
    uint32_t before = 0;
    while (pair.b.taken[before] != 2) {
        before++;
    }
    assert_in_range(before, 1, LIMIT_PEER_CONN_BYTES / size + 1);
    pair_close(&pair);
}

static void rule_o1_what_waits_for_a_stopped_member_is_bounded_and_drops_are_told(void **state)
{
    (void)state;
    pair_open_linked(&pair, &narrow, "");
    fake_process_freeze(pair.b.loop, true);
    for (uint64_t i = 0; i < 100; i++) {
        member_send_append(&pair.a, &pair.b, i, 256 * KIB, false);
    }
    assert_int_equal(pair.a.drops, 0); /* not from inside peers_send */
    fake_world_run(pair.world, 1);
    assert_int_equal(pair.a.drops, 1); /* once a turn */
    uint64_t dropped = peers_counters(pair.a.peers).dropped_messages;
    assert_in_range(dropped, 100 - LIMIT_PEER_UNSENT_BYTES / (256 * KIB) - 3,
                    100 - LIMIT_PEER_UNSENT_BYTES / (256 * KIB) + 3);
    /* A vote still finds room. */
    member_send_beat(&pair.a, &pair.b, 1000);
    assert_int_equal(peers_counters(pair.a.peers).dropped_messages, dropped);
    fake_process_freeze(pair.b.loop, false);
    fake_world_run(pair.world, 60000);
    assert_int_equal(pair.b.taken_count, 101 - dropped);
    pair_close(&pair);
}

static void a_message_without_a_link_is_dropped_and_told(void **state)
{
    (void)state;
    pair_open(&pair, &pair_quiet, "", "");
    member_send_beat(&pair.a, &pair.b, 1);
    member_send_beat(&pair.a, &pair.b, 2);
    fake_world_run(pair.world, 1);
    assert_int_equal(pair.a.drops, 1);
    assert_int_equal(peers_counters(pair.a.peers).dropped_messages, 2);
    pair_close(&pair);
}

/* A link that broke in the middle of a long message: the next link starts clean. */
static void a_long_message_cut_in_the_middle_does_not_disturb_the_next_link(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct fake_options options = narrow;
        options.seed = seed;
        pair_open_linked(&pair, &options, "s");
        member_send_append(&pair.a, &pair.b, 1, 2 * MIB, false);
        fake_world_run(pair.world, 5 + seed);
        fake_world_reset(pair.world, "a", "b");
        fake_world_run(pair.world, 100);
        member_send_append(&pair.a, &pair.b, 2, 2 * MIB, false);
        fake_world_run(pair.world, 20000);
        assert_int_equal(pair.b.taken[pair.b.taken_count - 1], 2);
        assert_int_equal(peers_counters(pair.b.peers).bad_frames, 0);
        pair_close(&pair);
    }
}

static struct roster founded_by(const struct pair *p)
{
    struct roster r = {.cluster = {{7}}, .count = 2};
    const struct member *members[] = {&p->a, &p->b};
    for (uint32_t i = 0; i < 2; i++) {
        memcpy(r.members[i].name, members[i]->hello.name, sizeof(r.members[i].name));
        snprintf(r.members[i].url, sizeof(r.members[i].url), "%s", members[i]->url);
        r.members[i].incarnation = members[i]->hello.incarnation;
    }
    return r;
}

/* Who dials it is settled before the last of the two is founded, or has joined. */
static void the_link_for_bulk_comes_whoever_is_founded_last(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct fake_options options = narrow;
        options.seed = seed;
        pair_open(&pair, &options, "s", "s");
        struct roster r = founded_by(&pair);
        member_dial(&pair.a, &pair.b);
        if (seed % 4 < 2) {
            member_dial(&pair.b, &pair.a);
        }
        fake_world_run(pair.world, 4000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 1);
        struct member *order[] = {seed % 2 == 0 ? &pair.a : &pair.b,
                                  seed % 2 == 0 ? &pair.b : &pair.a};
        for (int i = 0; i < 2; i++) {
            order[i]->hello.phase = FOUNDING_FOUNDED;
            order[i]->hello.roster = r;
            peers_set_hello(order[i]->peers, &order[i]->hello);
            fake_world_run(pair.world, 1000);
        }
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 2);
        pair_close(&pair);
    }
}

static void founded_members_have_a_second_link_for_bulk(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fake_options options = narrow;
        options.seed = seed;
        pair_open(&pair, &options, "s", "s");
        struct roster r = founded_by(&pair);
        struct member *members[] = {&pair.a, &pair.b};
        for (int i = 0; i < 2; i++) {
            members[i]->hello.phase = FOUNDING_FOUNDED;
            members[i]->hello.roster = r;
            peers_set_hello(members[i]->peers, &members[i]->hello);
        }
        member_dial(&pair.a, &pair.b);
        member_dial(&pair.b, &pair.a);
        fake_world_run(pair.world, 4000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 2);
        /* From either side, whoever dialled. */
        struct member *from = members[seed % 2];
        struct member *to = members[1 - seed % 2];
        member_send_append(from, to, 1, MIB, true);
        fake_world_run(pair.world, 2);
        member_send_append(from, to, 2, 10, false);
        fake_world_run(pair.world, 30000);
        assert_int_equal(to->taken_count, 2);
        assert_int_equal(to->taken[0], 2);
        assert_int_equal(to->taken[1], 1);
        /* When it breaks it comes back. */
        fake_world_reset(pair.world, "a", "b");
        fake_world_run(pair.world, 4000);
        assert_int_equal(fake_world_conns(pair.world, "a", "b"), 2);
        assert_int_equal(pair.a.losts + pair.b.losts, 0);
        pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_e6b_a_killed_member_is_lost_once_and_at_once),
        cmocka_unit_test(rule_e6b_a_stopped_member_is_not_lost_but_goes_down_in_time),
        cmocka_unit_test(rule_e6b_a_reset_with_a_member_that_lives_is_healed_without_a_loss),
        cmocka_unit_test(a_half_open_link_is_replaced),
        cmocka_unit_test(rule_e6b_another_incarnation_at_the_address_means_lost),
        cmocka_unit_test(rule_e6b_the_same_member_started_anew_says_so_in_its_hello),
        cmocka_unit_test(rule_o1_a_full_table_forgets_nobody_before_it_was_told_down),
        cmocka_unit_test(nothing_that_waits_for_a_process_reaches_the_next_one),
        cmocka_unit_test(rule_e6b_a_member_that_came_by_itself_is_dialled_where_it_says),
        cmocka_unit_test(a_partition_is_no_loss_and_heals_soon_after_its_end),
        cmocka_unit_test(an_idle_link_stays_up),
        cmocka_unit_test(the_pause_between_dials_grows_to_a_second),
        cmocka_unit_test(a_good_link_makes_the_next_pauses_short_again),
        cmocka_unit_test(urls_that_are_taken_away_are_dialled_no_more),
        cmocka_unit_test(rule_o3_a_heartbeat_overtakes_a_long_message),
        cmocka_unit_test(rule_o3_a_heartbeat_overtakes_many_short_messages),
        cmocka_unit_test(rule_o1_what_waits_for_a_stopped_member_is_bounded_and_drops_are_told),
        cmocka_unit_test(a_message_without_a_link_is_dropped_and_told),
        cmocka_unit_test(a_long_message_cut_in_the_middle_does_not_disturb_the_next_link),
        cmocka_unit_test(the_link_for_bulk_comes_whoever_is_founded_last),
        cmocka_unit_test(founded_members_have_a_second_link_for_bulk),
    };
    return cmocka_run_group_tests(tests, quieten_log, NULL);
}
