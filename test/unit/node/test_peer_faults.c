/* Faults between two members: late, lost and cut messages over links that stay up, and the queue
 * behind a delay with its bound (rule O1). Rows F4, B15. */
#include "peer_pair.h"

#include "base/limits.h"
#include "base/mem.h"
#include "node/delay_line.h"
#include "node/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct pair pair;

/* --- the queue -------------------------------------------------------------------------------- */

static bool push(struct delay_line *d, uint64_t due_ms, const char *text, bool is_urgent)
{
    return delay_line_push(d, due_ms,
                           &(struct outgoing){.type = FRAME_NOTE,
                                              .is_urgent = is_urgent,
                                              .is_bulk = !is_urgent,
                                              .message = slice_str(text)});
}

static void a_delay_line_keeps_order_and_what_it_was_given(void **state)
{
    (void)state;
    struct delay_line d = {0};
    assert_true(delay_line_due_ms(&d) == UINT64_MAX);
    assert_true(push(&d, 100, "first", true));
    assert_true(push(&d, 50, "second", false)); /* no sooner than the first */
    assert_true(push(&d, 170, "", true));
    assert_int_equal(delay_line_due_ms(&d), 100);
    struct outgoing m = delay_line_head(&d);
    assert_true(slice_equal(m.message, slice_str("first")));
    assert_true(m.is_urgent && !m.is_bulk && m.type == FRAME_NOTE);
    delay_line_pop(&d);
    assert_int_equal(delay_line_due_ms(&d), 100);
    m = delay_line_head(&d);
    assert_true(slice_equal(m.message, slice_str("second")));
    assert_true(!m.is_urgent && m.is_bulk);
    delay_line_pop(&d);
    assert_int_equal(delay_line_due_ms(&d), 170);
    delay_line_hurry(&d, 200);
    assert_int_equal(delay_line_due_ms(&d), 170);
    delay_line_hurry(&d, 120);
    assert_int_equal(delay_line_due_ms(&d), 120);
    delay_line_pop(&d);
    delay_line_hurry(&d, 10);
    assert_true(delay_line_due_ms(&d) == UINT64_MAX);
    assert_true(push(&d, 60, "an empty one remembers nothing", true));
    assert_int_equal(delay_line_due_ms(&d), 60);
    delay_line_deinit(&d);
}

static void rule_o1_a_delay_line_is_bounded_and_takes_one_message_of_any_size(void **state)
{
    (void)state;
    struct delay_line d = {0};
    const size_t size = LIMIT_FAULT_DELAYED_BYTES / 4;
    uint8_t *bytes = mem_calloc(1, 5 * size);
    const struct outgoing quarter = {.type = FRAME_RAFT, .message = slice_of(bytes, size)};
    const struct outgoing huge = {.type = FRAME_RAFT, .message = slice_of(bytes, 5 * size)};
    for (int i = 0; i < 3; i++) {
        assert_true(delay_line_push(&d, 1, &quarter));
    }
    assert_false(delay_line_push(&d, 1, &quarter)); /* its own header is too much */
    delay_line_pop(&d);
    assert_true(delay_line_push(&d, 1, &quarter));
    for (int i = 0; i < 3; i++) {
        delay_line_pop(&d);
    }
    assert_true(delay_line_push(&d, 1, &huge));
    assert_false(push(&d, 1, "", true));
    delay_line_pop(&d);
    assert_in_range(d.bytes.capacity, 0, 4 * LIMIT_PEER_CONN_BYTES); /* nothing waits in it */
    delay_line_deinit(&d);
    mem_free(bytes);
}

/* --- between two members ---------------------------------------------------------------------- */

static void expect_taken(const struct member *m, uint32_t count)
{
    assert_int_equal(m->taken_count, count);
    for (uint32_t i = 1; i < count; i++) {
        assert_true(m->taken[i] > m->taken[i - 1]);
    }
}

static void row_f4_messages_arrive_later_and_in_order(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "secret");
    peers_set_faults(pair.a.peers, &(struct fault_set){.delay_ms = 1000});
    for (uint64_t i = 1; i <= 20; i++) { /* of all kinds, so that none overtakes another */
        if (i % 3 == 0) {
            member_send_append(&pair.a, &pair.b, i, 100000, false);
        } else {
            member_send_beat(&pair.a, &pair.b, i);
        }
    }
    member_send_beat(&pair.b, &pair.a, 1);
    fake_world_run(pair.world, 900);
    expect_taken(&pair.b, 0);
    expect_taken(&pair.a, 1); /* the other way nothing is late */
    fake_world_run(pair.world, 300);
    assert_int_equal(pair.b.taken_count, 20);
    /* A shorter delay is the one of what waits, too, and lets nothing overtake it. */
    member_send_beat(&pair.a, &pair.b, 28);
    peers_set_faults(pair.a.peers, &(struct fault_set){.delay_ms = 100});
    member_send_beat(&pair.a, &pair.b, 29);
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.b.taken_count, 20);
    fake_world_run(pair.world, 150);
    assert_int_equal(pair.b.taken_count, 22);
    /* A longer one is not. */
    member_send_beat(&pair.a, &pair.b, 30);
    peers_set_faults(pair.a.peers, &(struct fault_set){.delay_ms = 1000});
    fake_world_run(pair.world, 200);
    assert_int_equal(pair.b.taken_count, 23);
    member_send_beat(&pair.a, &pair.b, 31);
    /* The end of the fault sends at once what waits, before what comes then. */
    peers_set_faults(pair.a.peers, &(struct fault_set){0});
    member_send_beat(&pair.a, &pair.b, 32);
    fake_world_run(pair.world, 50);
    assert_int_equal(pair.b.taken_count, 25);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(pair.b.taken[20 + i], 28 + i);
    }
    assert_int_equal(peers_counters(pair.a.peers).fault_drops, 0);
    assert_int_equal(pair.a.downs + pair.b.downs, 0);
    pair_close(&pair);
}

static void rule_o1_what_a_delay_cannot_hold_is_lost_and_counted(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    peers_set_faults(pair.a.peers, &(struct fault_set){.delay_ms = 5000});
    for (uint64_t i = 1; i <= 20; i++) {
        member_send_append(&pair.a, &pair.b, i, MIB, false);
    }
    uint64_t lost = peers_counters(pair.a.peers).fault_drops;
    assert_in_range(lost, 4, 6);
    assert_int_equal(pair.a.drops, 0); /* nobody tells the core */
    fake_world_run(pair.world, 6000);
    expect_taken(&pair.b, 20 - (uint32_t)lost);
    pair_close(&pair);
}

/* Which of 400 arrive, as a hash, from one seed of the world. */
static uint64_t play_drops(uint64_t seed, uint32_t *arrived)
{
    const struct fake_options options = {.seed = seed, .delay_ms_max = 2};
    pair_open_linked(&pair, &options, "secret");
    peers_set_faults(pair.a.peers, &(struct fault_set){.drop = FAULT_DROP_ALL / 4});
    for (uint64_t i = 1; i <= 400; i++) {
        member_send_append(&pair.a, &pair.b, i, 100000, i % 2 == 0); /* in pieces, on both links */
        fake_world_run(pair.world, 10);
    }
    fake_world_run(pair.world, 1000);
    uint64_t hash = 0;
    for (uint32_t i = 0; i < pair.b.taken_count; i++) {
        hash += pair.b.taken[i] * pair.b.taken[i];
    }
    *arrived = pair.b.taken_count;
    assert_int_equal(peers_counters(pair.a.peers).fault_drops + *arrived, 400);
    assert_int_equal(peers_counters(pair.b.peers).bad_frames, 0); /* whole messages are lost */
    assert_int_equal(pair.a.downs + pair.b.downs + pair.a.drops, 0);
    pair_close(&pair);
    return hash;
}

static void drops_lose_whole_messages_by_the_seed_and_leave_the_link_whole(void **state)
{
    (void)state;
    uint32_t arrived;
    uint64_t first = play_drops(7, &arrived);
    assert_in_range(arrived, 250, 350);
    assert_true(first == play_drops(7, &arrived));
    assert_true(first != play_drops(8, &arrived));
}

static struct fault_set cut_from(const struct member *m)
{
    struct fault_set s = {.cut_count = 1};
    snprintf(s.cut[0], sizeof(s.cut[0]), "%s", m->hello.name);
    return s;
}

static void row_b15_a_partition_is_silence_both_ways_over_links_that_stay_up(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "secret");
    uint32_t hellos_a = pair.a.hellos;
    uint32_t hellos_b = pair.b.hellos;
    struct fault_set cut = cut_from(&pair.b);
    peers_set_faults(pair.a.peers, &cut);
    member_send_beat(&pair.a, &pair.b, 1);
    member_send_beat(&pair.b, &pair.a, 1);
    /* Neither learns what the other says of itself. */
    pair.a.hello.term = 7;
    peers_set_hello(pair.a.peers, &pair.a.hello);
    pair.b.hello.term = 8;
    peers_set_hello(pair.b.peers, &pair.b.hello);
    fake_world_run(pair.world, 5 * LIMIT_PEER_SILENCE_MS);
    expect_taken(&pair.a, 0);
    expect_taken(&pair.b, 0);
    assert_int_equal(pair.a.hellos, hellos_a);
    assert_int_equal(pair.b.hellos, hellos_b);
    assert_int_equal(peers_counters(pair.a.peers).fault_drops, 2);
    assert_true(member_is_up(&pair.a, &pair.b) && member_is_up(&pair.b, &pair.a));
    assert_int_equal(pair.a.downs + pair.b.downs + pair.a.losts + pair.b.losts, 0);
    assert_true(peers_silence_ms(pair.a.peers, pair.b.hello.incarnation) >
                4 * LIMIT_PEER_SILENCE_MS);
    /* Healed, both hear what they missed. */
    peers_set_faults(pair.a.peers, &(struct fault_set){0});
    member_send_beat(&pair.a, &pair.b, 2);
    member_send_beat(&pair.b, &pair.a, 2);
    fake_world_run(pair.world, 100);
    expect_taken(&pair.a, 1);
    expect_taken(&pair.b, 1);
    assert_int_equal(pair.a.last_hello.term, 8);
    assert_int_equal(pair.b.last_hello.term, 7);
    pair_close(&pair);
}

static void a_member_that_restarts_behind_a_partition_stays_cut_off(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    struct fault_set cut = cut_from(&pair.b);
    peers_set_faults(pair.a.peers, &cut);
    member_kill(&pair.b);
    fake_world_run(pair.world, 100);
    member_boot(&pair.b, pair.world, "b", 20, "");
    member_dial(&pair.b, &pair.a);
    fake_world_run(pair.world, 3000);
    assert_true(member_is_up(&pair.a, &pair.b));
    member_send_beat(&pair.a, &pair.b, 1);
    member_send_beat(&pair.b, &pair.a, 1);
    fake_world_run(pair.world, 100);
    expect_taken(&pair.a, 0);
    expect_taken(&pair.b, 0);
    peers_set_faults(pair.a.peers, &(struct fault_set){0});
    member_send_beat(&pair.a, &pair.b, 2);
    fake_world_run(pair.world, 100);
    expect_taken(&pair.b, 1);
    pair_close(&pair);
}

static void what_is_late_goes_with_the_link(void **state)
{
    (void)state;
    pair_open_linked(&pair, &pair_quiet, "");
    peers_set_faults(pair.a.peers, &(struct fault_set){.delay_ms = 500});
    member_send_beat(&pair.a, &pair.b, 1);
    fake_world_reset(pair.world, "a", "b");
    fake_world_run(pair.world, 2000);
    assert_true(member_is_up(&pair.a, &pair.b));
    expect_taken(&pair.b, 0);
    member_send_beat(&pair.a, &pair.b, 2); /* still waits when all ends */
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delay_line_keeps_order_and_what_it_was_given),
        cmocka_unit_test(rule_o1_a_delay_line_is_bounded_and_takes_one_message_of_any_size),
        cmocka_unit_test(row_f4_messages_arrive_later_and_in_order),
        cmocka_unit_test(rule_o1_what_a_delay_cannot_hold_is_lost_and_counted),
        cmocka_unit_test(drops_lose_whole_messages_by_the_seed_and_leave_the_link_whole),
        cmocka_unit_test(row_b15_a_partition_is_silence_both_ways_over_links_that_stay_up),
        cmocka_unit_test(a_member_that_restarts_behind_a_partition_stays_cut_off),
        cmocka_unit_test(what_is_late_goes_with_the_link),
    };
    return cmocka_run_group_tests(tests, quieten_log, NULL);
}
