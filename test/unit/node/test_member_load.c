/* Rows E4 to E7 between whole members in virtual time (member_world.h): each knows how busy the
 * others are, all have the leader's view, and clients go only to those that serve. */
#include "member_moves.h"

#include "base/mem.h"
#include "node/loads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BEAT_MS  20
/* To hear of it: a beat until it is told, and the way. */
#define HEARD_MS (3 * BEAT_MS)

static struct node_load_item load_at(const struct cluster *c, int asked, int of)
{
    struct node_load_item items[LIMIT_MEMBERS];
    uint32_t count = node_loads_get(c->members[asked].node, items);
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(items[i].member.name, member_names[of]) == 0) {
            return items[i];
        }
    }
    return (struct node_load_item){0}; /* has not heard of it yet */
}

static bool serves_at(const struct cluster *c, int asked, int of)
{
    return load_at(c, asked, of).serves;
}

/* At all that run and are not frozen. */
static void wait_until_serves(struct cluster *c, int of, bool serves)
{
    for (int waited = 0; waited < PATIENCE_MS; waited++) {
        bool all = true;
        for (int i = 0; i < c->count; i++) {
            bool asks = c->members[i].node != NULL && !c->members[i].frozen;
            all = all && (!asks || serves_at(c, i, of) == serves);
        }
        if (all) {
            return;
        }
        fake_world_run(c->world, 1);
    }
    fail_msg("%s: still not %d", member_names[of], serves);
}

static void set_connections(const struct cluster *c, int i, uint32_t connections)
{
    const struct node_load load = {.connections = connections};
    node_set_load(c->members[i].node, &load);
}

static enum node_presence presence(const struct cluster *c, int asked, int of)
{
    const struct node_view *v = node_view(c->members[asked].node);
    for (uint32_t i = 0; i < v->count; i++) {
        if (strcmp(v->items[i].name, member_names[of]) == 0) {
            return v->items[i].presence;
        }
    }
    return NODE_OFFLINE;
}

static void wait_for_presence(struct cluster *c, int asked, int of, enum node_presence wanted)
{
    for (int waited = 0; presence(c, asked, of) != wanted; waited++) {
        assert_true(waited < PATIENCE_MS);
        fake_world_run(c->world, 1);
    }
}

static int follower(const struct cluster *c, int which)
{
    int leader = cluster_find_leader(c);
    for (int i = 0; i < c->count; i++) {
        if (i != leader && which-- == 0) {
            return i;
        }
    }
    return -1;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void row_e4_all_hear_of_a_load_with_the_next_beat(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(11, 3);
    fake_world_run(c->world, 1000);
    for (int i = 0; i < 3; i++) {
        set_connections(c, i, 100 + (uint32_t)i);
        fake_world_run(c->world, HEARD_MS);
        for (int j = 0; j < 3; j++) {
            struct node_load_item item = load_at(c, j, i);
            assert_int_equal(item.load.connections, 100 + i);
            assert_true(item.serves && item.age_ms <= HEARD_MS);
        }
    }
    cluster_destroy(c);
}

/* How often member `j` heard the load of `i` within `ms`, while `i` tells another one every `step`
 * ms (0 = none). */
static int count_notes(struct cluster *c, int j, int i, int ms, int step)
{
    int heard = 0;
    uint64_t age_ms = load_at(c, j, i).age_ms;
    for (int at = 1; at <= ms; at++) {
        if (step > 0 && at % step == 0) {
            set_connections(c, i, (uint32_t)at);
        }
        fake_world_run(c->world, 1);
        uint64_t now_ms = load_at(c, j, i).age_ms;
        heard += now_ms <= age_ms;
        age_ms = now_ms;
    }
    return heard;
}

static void row_e4_a_member_tells_no_more_than_once_a_beat_and_at_rest_like_a_ping(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(12, 3);
    int a = follower(c, 0);
    int b = follower(c, 1);
    int busy = count_notes(c, a, b, 2000, 1);
    assert_in_range(busy, 2000 / (2 * BEAT_MS), 2000 / BEAT_MS + 2);
    fake_world_run(c->world, 1000);
    int idle = count_notes(c, a, b, 10000, 0);
    assert_in_range(idle, 10000 / LOAD_REFRESH_MS - 3, 10000 / LOAD_REFRESH_MS + 1);
    cluster_destroy(c);
}

static void row_e4_what_was_told_before_a_restart_is_forgotten(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(13, 3);
    int a = follower(c, 0);
    int b = follower(c, 1);
    set_connections(c, b, 50);
    fake_world_run(c->world, HEARD_MS);
    assert_int_equal(load_at(c, a, b).load.connections, 50);
    member_stop(c, b, false);
    fake_world_run(c->world, HEARD_MS);
    struct node_load_item gone = load_at(c, a, b);
    assert_false(gone.serves);
    assert_true(gone.age_ms == UINT64_MAX);
    member_start(c, b);
    wait_until_serves(c, b, true);
    assert_int_equal(load_at(c, a, b).load.connections, 0);
    cluster_destroy(c);
}

/* --- the view --------------------------------------------------------------------------------- */

static void row_e4_a_frozen_member_is_offline_until_it_answers(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(14, 3);
    int leader = cluster_find_leader(c);
    int frozen = follower(c, 0);
    int other = follower(c, 1);
    wait_for_presence(c, other, frozen, NODE_ONLINE);
    member_freeze(c, frozen, true);
    uint64_t began_ms = fake_world_now(c->world);
    wait_for_presence(c, leader, frozen, NODE_OFFLINE);
    assert_true(fake_world_now(c->world) - began_ms <= ELECTION_MS + 2 * BEAT_MS);
    wait_for_presence(c, other, frozen, NODE_OFFLINE);
    wait_until_serves(c, frozen, false);
    assert_true(fake_world_now(c->world) - began_ms <= ELECTION_MS + 2 * HEARD_MS);
    member_freeze(c, frozen, false);
    wait_for_presence(c, other, frozen, NODE_ONLINE);
    wait_for_presence(c, frozen, frozen, NODE_ONLINE);
    wait_until_serves(c, frozen, true);
    cluster_destroy(c);
}

/* By itself, as an experiment has it: its links stay up, and its pings come. */
static void cut_off(struct cluster *c, int i)
{
    struct fault_set cut = {0};
    for (int k = 0; k < c->count; k++) {
        if (k != i) {
            snprintf(cut.cut[cut.cut_count++], sizeof(cut.cut[0]), "%s", member_names[k]);
        }
    }
    node_faults_set(c->members[i].node, &cut);
}

static void row_e4_a_member_that_plays_a_cut_is_offline_though_its_pings_come(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(25, 3);
    int cut = follower(c, 0);
    int other = follower(c, 1);
    wait_until_serves(c, cut, true);
    cut_off(c, cut);
    fake_world_run(c->world, 4 * LIMIT_PEER_PING_MS);
    for (int at = 0; at < 4 * LIMIT_PEER_PING_MS; at++) {
        fake_world_run(c->world, 1);
        assert_int_equal(presence(c, other, cut), NODE_OFFLINE);
        assert_false(serves_at(c, other, cut));
    }
    node_faults_set(c->members[cut].node, &(struct fault_set){0});
    wait_for_presence(c, other, cut, NODE_ONLINE);
    wait_until_serves(c, cut, true);
    cluster_destroy(c);
}

static void row_e5_the_view_names_the_next_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(15, 3);
    int old = cluster_find_leader(c);
    int a = follower(c, 0);
    int b = follower(c, 1);
    set_connections(c, a, 3);
    wait_for_presence(c, a, old, NODE_LEADS);
    fake_world_run(c->world, 2 * VIEW_LOAD_MS);
    assert_int_equal(node_view(c->members[b].node)->items[a].connections, 3);
    uint64_t term = node_view(c->members[a].node)->term;
    member_stop(c, old, false);
    wait_for_presence(c, a, old, NODE_OFFLINE);
    wait_for_presence(c, b, old, NODE_OFFLINE);
    const struct node_view *v = node_view(c->members[a].node);
    int leader = cluster_find_leader(c);
    assert_true(v->term > term);
    assert_int_equal(presence(c, a, leader), NODE_LEADS);
    assert_int_equal(presence(c, b, leader), NODE_LEADS);
    assert_int_equal(presence(c, leader, leader == a ? b : a), NODE_ONLINE);
    cluster_destroy(c);
}

static void encode_view(const struct cluster *c, int i, struct buf *out)
{
    buf_clear(out);
    view_encode(node_view(c->members[i].node), out);
}

/* One of them is stopped, frozen or cut off all the time. */
static void row_e5_versions_only_grow_and_say_the_same_everywhere(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(16, 3);
    struct buf bytes[2] = {{0}};
    uint64_t terms[3] = {0};
    uint64_t numbers[3] = {0};
    for (int at = 0; at < 60000; at++) {
        int i = at / 2000 % 3;
        if (at % 2000 == 0 && at % 4000 != 0) {
            member_freeze(c, i, true);
        } else if (at % 2000 == 0) {
            fake_world_cut(c->world, member_hosts[i], member_hosts[(i + 1) % 3], true);
        } else if (at % 2000 == 1500) {
            cluster_heal(c);
        }
        set_connections(c, i, (uint32_t)at);
        fake_world_run(c->world, 1);
        for (int j = 0; j < 3; j++) {
            const struct node_view *v = node_view(c->members[j].node);
            assert_true(v->term > terms[j] || (v->term == terms[j] && v->number >= numbers[j]));
            terms[j] = v->term;
            numbers[j] = v->number;
            for (int k = 0; k < j; k++) {
                if (terms[k] == terms[j] && numbers[k] == numbers[j]) {
                    encode_view(c, j, &bytes[0]);
                    encode_view(c, k, &bytes[1]);
                    assert_true(slice_equal(buf_slice(&bytes[0]), buf_slice(&bytes[1])));
                }
            }
        }
    }
    assert_true(numbers[0] > 1);
    buf_deinit(&bytes[0]);
    buf_deinit(&bytes[1]);
    cluster_destroy(c);
}

/* --- who serves ------------------------------------------------------------------------------- */

static void row_e7_each_lists_the_others_from_the_next_one_on_and_itself_last(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(17, 3);
    for (int i = 0; i < 3; i++) {
        struct node_load_item items[LIMIT_MEMBERS];
        assert_int_equal(node_loads_get(c->members[i].node, items), 3);
        for (int k = 0; k < 3; k++) {
            assert_string_equal(items[k].member.name, member_names[(i + 1 + k) % 3]);
            assert_true(items[k].member.self == (k == 2));
        }
    }
    cluster_destroy(c);
}

static void row_e7_nobody_is_known_while_founding(void **state)
{
    (void)state;
    struct cluster *c = cluster_create(18, 3);
    member_start(c, 0);
    fake_world_run(c->world, 1000);
    struct node_load_item items[LIMIT_MEMBERS];
    assert_int_equal(node_loads_get(c->members[0].node, items), 0);
    assert_int_equal(node_view(c->members[0].node)->term, 0);
    cluster_destroy(c);
}

static void row_e7_a_member_that_stops_says_so_before_it_is_gone(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(19, 3);
    int stops = cluster_find_leader(c);
    int asked = follower(c, 1);
    fake_world_run(c->world, 1000);
    assert_true(serves_at(c, asked, stops));
    node_shutdown(c->members[stops].node, NULL, NULL);
    assert_false(serves_at(c, stops, stops));
    for (int waited = 0; serves_at(c, asked, stops); waited++) {
        assert_true(waited < HEARD_MS);
        fake_world_run(c->world, 1);
    }
    assert_true(load_at(c, asked, stops).age_ms != UINT64_MAX); /* it is linked still */
    cluster_destroy(c);
}

static void row_e7_a_leader_that_died_is_not_chosen_while_there_is_no_other(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(20, 3);
    int old = cluster_find_leader(c);
    int a = follower(c, 0);
    int b = follower(c, 1);
    for (int i = 0; i < 3; i++) {
        wait_until_serves(c, i, true);
    }
    member_stop(c, old, false);
    fake_world_run(c->world, 5);
    assert_false(serves_at(c, a, old) || serves_at(c, b, old));
    assert_true(serves_at(c, a, a) && serves_at(c, a, b) && serves_at(c, b, a));
    cluster_destroy(c);
}

static void row_e7_the_last_one_serves_itself(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(21, 3);
    int last = follower(c, 0);
    for (int i = 0; i < 3; i++) {
        if (i != last) {
            member_stop(c, i, false);
        }
    }
    fake_world_run(c->world, 3000);
    for (int i = 0; i < 3; i++) {
        assert_true(serves_at(c, last, i) == (i == last));
    }
    cluster_destroy(c);
}

static void row_e7_a_learner_gets_no_clients(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(22, 3);
    int i = cluster_add(c, MEMBER_JOINS);
    struct moved t;
    assert_int_equal(member_start_change(c, &t, NODE_CHANGE_ADD, i), STATUS_OK);
    member_freeze(c, follower(c, 0), true); /* two of four would have to agree with it */
    member_start(c, i);
    bool was_learner = false;
    for (int waited = 0; waited < 5000; waited++) {
        fake_world_run(c->world, 1);
        const char *role = member_status(c, i).role;
        if (role != NULL && strcmp(role, "learner") == 0) {
            was_learner = true;
            assert_false(serves_at(c, i, i));
        }
    }
    assert_true(was_learner);
    cluster_heal(c);
    cluster_wait_for_voters(c, 4);
    wait_until_serves(c, i, true);
    cluster_destroy(c);
}

/* --- lag -------------------------------------------------------------------------------------- */

#define LAG_WRITES (2 * LIMIT_PROMOTE_LAG_ENTRIES)

static void on_written(struct node_write *w)
{
    uint32_t *answers = w->context;
    (*answers)++;
}

/* All of them by the leader, while member `slow` is away. */
static void write_what_it_lacks(struct cluster *c, int slow)
{
    int leader = cluster_find_leader(c);
    member_stop(c, slow, false);
    struct node_write *writes = mem_calloc(LAG_WRITES, sizeof(*writes));
    uint32_t answers = 0;
    const struct kv_command command = {
        .op = KV_PUT, .key = slice_str("k"), .value = slice_str("1")};
    for (uint32_t i = 0; i < LAG_WRITES; i++) {
        writes[i] =
            (struct node_write){.ack = NODE_ACK_QUORUM, .done = on_written, .context = &answers};
        assert_int_equal(node_write_start(c->members[leader].node, &writes[i], &command),
                         STATUS_OK);
    }
    while (answers < LAG_WRITES) {
        fake_world_run(c->world, 1);
    }
    mem_free(writes);
    member_start(c, slow);
    fake_process_slow_disk(c->members[slow].loop, 200);
}

static void row_e7_who_is_far_behind_gets_no_clients_until_it_has_caught_up(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(23, 3);
    int leader = cluster_find_leader(c);
    int slow = follower(c, 0);
    int other = follower(c, 1);
    write_what_it_lacks(c, slow);
    uint32_t refused = 0;
    for (int waited = 0; waited < PATIENCE_MS; waited++) {
        fake_world_run(c->world, 1);
        bool is_behind = member_status(c, slow).applied_index + LIMIT_PROMOTE_LAG_ENTRIES <
                         member_status(c, leader).applied_index;
        if (is_behind) {
            refused++;
            assert_false(serves_at(c, leader, slow) || serves_at(c, other, slow));
        }
    }
    assert_true(refused > 0);
    wait_until_serves(c, slow, true);
    cluster_destroy(c);
}

static void row_e7_who_comes_back_hears_at_once_how_far_the_others_are(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(24, 3);
    int leader = cluster_find_leader(c);
    int slow = follower(c, 0);
    write_what_it_lacks(c, slow);
    for (int waited = 0; load_at(c, slow, leader).age_ms == UINT64_MAX; waited++) {
        assert_true(waited < PATIENCE_MS);
        fake_world_run(c->world, 1);
    }
    assert_false(serves_at(c, slow, slow));
    cluster_destroy(c);
}

/* What it said when it was ahead says nothing once others have passed it; its link is still up. */
static void row_e7_nobody_is_behind_a_member_that_is_not_heard_any_more(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(24, 3);
    int silent = cluster_find_leader(c);
    int slow = follower(c, 0);
    int other = follower(c, 1);
    write_what_it_lacks(c, slow);
    for (int waited = 0; load_at(c, slow, silent).age_ms == UINT64_MAX; waited++) {
        assert_true(waited < PATIENCE_MS);
        fake_world_run(c->world, 1);
    }
    assert_false(serves_at(c, slow, slow));
    cut_off(c, silent);
    fake_world_run(c->world, PATIENCE_MS);
    assert_int_equal(member_status(c, slow).applied_index, member_status(c, other).applied_index);
    assert_true(serves_at(c, slow, slow) && serves_at(c, slow, other));
    assert_false(serves_at(c, slow, silent));
    cluster_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_e4_all_hear_of_a_load_with_the_next_beat),
        cmocka_unit_test(row_e4_a_member_tells_no_more_than_once_a_beat_and_at_rest_like_a_ping),
        cmocka_unit_test(row_e4_what_was_told_before_a_restart_is_forgotten),
        cmocka_unit_test(row_e4_a_frozen_member_is_offline_until_it_answers),
        cmocka_unit_test(row_e4_a_member_that_plays_a_cut_is_offline_though_its_pings_come),
        cmocka_unit_test(row_e5_the_view_names_the_next_leader),
        cmocka_unit_test(row_e5_versions_only_grow_and_say_the_same_everywhere),
        cmocka_unit_test(row_e7_each_lists_the_others_from_the_next_one_on_and_itself_last),
        cmocka_unit_test(row_e7_nobody_is_known_while_founding),
        cmocka_unit_test(row_e7_a_member_that_stops_says_so_before_it_is_gone),
        cmocka_unit_test(row_e7_a_leader_that_died_is_not_chosen_while_there_is_no_other),
        cmocka_unit_test(row_e7_the_last_one_serves_itself),
        cmocka_unit_test(row_e7_a_learner_gets_no_clients),
        cmocka_unit_test(row_e7_who_is_far_behind_gets_no_clients_until_it_has_caught_up),
        cmocka_unit_test(row_e7_who_comes_back_hears_at_once_how_far_the_others_are),
        cmocka_unit_test(row_e7_nobody_is_behind_a_member_that_is_not_heard_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
