/* A write that a follower hands to the leader (rule R15): whole members in virtual time
 * (member_world.h), one behaviour a test. */
#include "member_world.h"

#include "base/log.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct writing {
    struct node_write write;
    uint32_t answers;
};

static void on_written(struct node_write *w)
{
    struct writing *t = w->context;
    t->answers++;
}

static enum status put_value(struct cluster *c, int i, struct writing *t, struct slice value)
{
    *t = (struct writing){0};
    t->write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = t};
    struct kv_command command = {.op = KV_PUT, .key = slice_str("k"), .value = value};
    return node_write_start(c->members[i].node, &t->write, &command);
}

static enum status put(struct cluster *c, int i, struct writing *t)
{
    return put_value(c, i, t, slice_str("\"v\""));
}

static int follower_of(const struct cluster *c)
{
    return (cluster_find_leader(c) + 1) % c->count;
}

static void run_until_answered(struct cluster *c, const struct writing *t)
{
    for (int i = 0; i < 2 * REQUEST_TIMEOUT_MS && t->answers == 0; i++) {
        fake_world_run(c->world, 1);
    }
    assert_int_equal(t->answers, 1);
}

static void cut(struct cluster *c, int a, int b, bool is_cut)
{
    fake_world_cut(c->world, member_hosts[a], member_hosts[b], is_cut);
    fake_world_cut(c->world, member_hosts[b], member_hosts[a], is_cut);
}

static void rule_r15_a_follower_hands_a_write_to_the_leader(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(21, 3);
    int leader = cluster_find_leader(c);
    struct writing t;
    assert_int_equal(put(c, follower_of(c), &t), STATUS_OK);
    run_until_answered(c, &t);
    assert_int_equal(t.write.status, STATUS_OK);
    assert_string_equal(t.write.leader, member_names[leader]);
    struct kv_item item;
    assert_int_equal(kv_get(node_kv(c->members[leader].node), slice_str("k"), 0, &item), STATUS_OK);
    assert_int_equal(item.revision, t.write.result.revision);
    cluster_destroy(c);
}

static void a_large_value_goes_in_pieces(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(22, 3);
    struct buf value = {0};
    memset(buf_reserve(&value, 900000), '7', 900000);
    value.size = 900000;
    struct writing t;
    assert_int_equal(put_value(c, follower_of(c), &t, buf_slice(&value)), STATUS_OK);
    run_until_answered(c, &t);
    assert_int_equal(t.write.status, STATUS_OK);
    struct kv_item item;
    const struct kv *kv = node_kv(c->members[cluster_find_leader(c)].node);
    assert_int_equal(kv_get(kv, slice_str("k"), 0, &item), STATUS_OK);
    assert_true(slice_equal(item.value, buf_slice(&value)));
    memset(buf_reserve(&value, 900000), '7', 900000);
    value.size = 1800000;
    assert_int_equal(put_value(c, follower_of(c), &t, buf_slice(&value)), STATUS_TOO_LARGE);
    buf_deinit(&value);
    cluster_destroy(c);
}

static enum status add_document(struct cluster *c, int i, struct writing *t)
{
    *t = (struct writing){0};
    t->write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = t};
    struct kv_command command = {
        .op = KV_DOCUMENT, .value = slice_str("\"content\""), .retry_key = slice_str("retry")};
    return node_write_start(c->members[i].node, &t->write, &command);
}

/* Row C4: both are the leader's, and those that every member has. A retry gets the first ones. */
static void rule_r15_row_c4_a_document_comes_back_with_its_revision_and_time(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(31, 3);
    struct writing first;
    struct writing again;
    assert_int_equal(add_document(c, follower_of(c), &first), STATUS_OK);
    run_until_answered(c, &first);
    fake_world_run(c->world, 1500);
    assert_int_equal(add_document(c, follower_of(c), &again), STATUS_OK);
    run_until_answered(c, &again);
    fake_world_run(c->world, 500);
    assert_int_equal(first.write.status, STATUS_OK);
    assert_false(first.write.result.replayed);
    assert_true(again.write.result.replayed);
    assert_int_equal(again.write.result.revision, first.write.result.revision);
    assert_int_equal(again.write.result.time_ms, first.write.result.time_ms);
    for (int i = 0; i < 3; i++) {
        const struct kv *kv = node_kv(c->members[i].node);
        struct kv_document d;
        assert_true(kv_document_at(kv, 0, &d));
        assert_int_equal(d.revision, first.write.result.revision);
        assert_int_equal(d.time_ms, first.write.result.time_ms);
        assert_true(d.time_ms > 0);
        assert_false(kv_document_at(kv, 1, &d));
    }
    cluster_destroy(c);
}

static struct writing put_if(struct cluster *c, int i, enum kv_condition condition)
{
    static struct writing t;
    t = (struct writing){0};
    t.write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = &t};
    struct kv_command command = {
        .op = KV_PUT, .condition = condition, .key = slice_str("k"), .value = slice_str("2")};
    assert_int_equal(node_write_start(c->members[i].node, &t.write, &command), STATUS_OK);
    run_until_answered(c, &t);
    return t;
}

/* The follower that hands it on is behind: its disk takes nothing. */
static void rule_r15_a_conflict_comes_with_the_revision_that_the_leader_has(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(30, 3);
    int follower = follower_of(c);
    fake_process_stall(c->members[follower].loop, true);
    struct writing t = put_if(c, follower, KV_IF_EXISTS);
    assert_int_equal(t.write.status, STATUS_CONFLICT);
    assert_true(t.write.result.key_revision == KV_NO_KEY);
    assert_int_equal(t.write.result.create_revision, 0);
    uint64_t revision = put_if(c, follower, KV_ALWAYS).write.result.revision;
    t = put_if(c, follower, KV_IF_ABSENT);
    assert_int_equal(t.write.status, STATUS_CONFLICT);
    assert_int_equal(t.write.result.key_revision, revision);
    struct kv_item item;
    const struct kv *behind = node_kv(c->members[follower].node);
    assert_int_equal(kv_get(behind, slice_str("k"), 0, &item), STATUS_NOT_FOUND);
    cluster_destroy(c);
}

static void without_a_known_leader_nothing_is_sent(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(23, 3);
    int follower = follower_of(c);
    for (int i = 0; i < 3; i++) {
        if (i != follower) {
            member_stop(c, i, false);
        }
    }
    fake_world_run(c->world, 5 * ELECTION_MS);
    struct writing t;
    assert_int_equal(put(c, follower, &t), STATUS_NOT_LEADER);
    cluster_destroy(c);
}

static void rule_k1_the_outcome_is_unknown_when_the_leader_dies_before_its_answer(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(24, 3);
    int leader = cluster_find_leader(c);
    struct writing t;
    assert_int_equal(put(c, follower_of(c), &t), STATUS_OK);
    member_stop(c, leader, false);
    run_until_answered(c, &t);
    assert_int_equal(t.write.status, STATUS_UNKNOWN);
    cluster_destroy(c);
}

static void rule_k1_silence_ends_in_an_unknown_outcome_at_the_deadline(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(25, 3);
    int leader = cluster_find_leader(c);
    int follower = follower_of(c);
    struct writing t;
    assert_int_equal(put(c, follower, &t), STATUS_OK);
    cut(c, leader, follower, true);
    run_until_answered(c, &t);
    assert_int_equal(t.write.status, STATUS_UNKNOWN);
    cut(c, leader, follower, false);
    cluster_settle(c);
    assert_int_equal(t.answers, 1);
    cluster_destroy(c);
}

/* Its process dies with a write on the way, and the next one asks for another. */
static void rule_k1_an_answer_is_for_the_process_that_asked(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(29, 3);
    int leader = cluster_find_leader(c);
    int follower = follower_of(c);
    fake_process_stall(c->members[leader].loop, true); /* nothing is answered yet */
    struct writing first;
    assert_int_equal(put(c, follower, &first), STATUS_OK);
    fake_world_run(c->world, 20);
    node_write_cancel(&first.write);
    member_stop(c, follower, false);
    member_start(c, follower);
    struct writing second;
    enum status s = STATUS_NOT_LEADER;
    for (int i = 0; i < ELECTION_MS && s == STATUS_NOT_LEADER; i++) {
        fake_world_run(c->world, 1);
        s = put_value(c, follower, &second, slice_str("\"another\""));
    }
    assert_int_equal(s, STATUS_OK);
    fake_world_run(c->world, 20);
    assert_int_equal(second.answers, 0);
    fake_process_stall(c->members[leader].loop, false);
    run_until_answered(c, &second);
    assert_int_equal(second.write.status, STATUS_OK);
    struct kv_item item;
    assert_int_equal(kv_get(node_kv(c->members[leader].node), slice_str("k"), 0, &item), STATUS_OK);
    assert_int_equal(item.revision, second.write.result.revision);
    assert_true(slice_equal(item.value, slice_str("\"another\"")));
    cluster_destroy(c);
}

static void rule_r15_one_hop_only(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(26, 3);
    int leader = cluster_find_leader(c);
    int follower = follower_of(c);
    cut(c, leader, follower, true); /* it still believes in the old leader for a while */
    node_shutdown(c->members[leader].node, NULL, NULL);
    fake_world_run(c->world, ELECTION_MS / 2);
    struct writing t;
    enum status s = put(c, follower, &t);
    if (s == STATUS_OK) {
        cut(c, leader, follower, false);
        run_until_answered(c, &t);
        s = t.write.status;
    }
    /* Taken by the new leader, or refused; never handed on by the old one. */
    assert_true(s == STATUS_NOT_LEADER || s == STATUS_UNKNOWN ||
                (s == STATUS_OK && strcmp(t.write.leader, member_names[leader]) != 0));
    cluster_destroy(c);
}

static void a_client_that_goes_away_is_not_answered(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(27, 3);
    struct writing t;
    assert_int_equal(put(c, follower_of(c), &t), STATUS_OK);
    node_write_cancel(&t.write);
    fake_world_run(c->world, REQUEST_TIMEOUT_MS + 100);
    assert_int_equal(t.answers, 0);
    struct kv_item item;
    const struct kv *kv = node_kv(c->members[cluster_find_leader(c)].node);
    assert_int_equal(kv_get(kv, slice_str("k"), 0, &item), STATUS_OK);
    cluster_destroy(c);
}

static void rule_o1_a_leader_takes_so_many_forwarded_writes_and_refuses_more(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(28, 3);
    int leader = cluster_find_leader(c);
    int follower = follower_of(c);
    fake_process_stall(c->members[leader].loop, true); /* nothing is durable, nothing answered */
    uint32_t count = LIMIT_FORWARDS + 50;
    struct writing *all = mem_calloc(count, sizeof(*all));
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(put(c, follower, &all[i]), STATUS_OK);
    }
    fake_world_run(c->world, ELECTION_MS / 2);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < count; i++) {
        refused += all[i].answers > 0 && all[i].write.status == STATUS_OVERLOADED ? 1 : 0;
    }
    assert_int_equal(refused, 50);
    fake_process_stall(c->members[leader].loop, false);
    fake_world_run(c->world, 2 * REQUEST_TIMEOUT_MS);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(all[i].answers, 1);
    }
    mem_free(all);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = LOG_ERROR, .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_r15_a_follower_hands_a_write_to_the_leader),
        cmocka_unit_test(a_large_value_goes_in_pieces),
        cmocka_unit_test(rule_r15_row_c4_a_document_comes_back_with_its_revision_and_time),
        cmocka_unit_test(rule_r15_a_conflict_comes_with_the_revision_that_the_leader_has),
        cmocka_unit_test(without_a_known_leader_nothing_is_sent),
        cmocka_unit_test(rule_k1_the_outcome_is_unknown_when_the_leader_dies_before_its_answer),
        cmocka_unit_test(rule_k1_silence_ends_in_an_unknown_outcome_at_the_deadline),
        cmocka_unit_test(rule_k1_an_answer_is_for_the_process_that_asked),
        cmocka_unit_test(rule_r15_one_hop_only),
        cmocka_unit_test(a_client_that_goes_away_is_not_answered),
        cmocka_unit_test(rule_o1_a_leader_takes_so_many_forwarded_writes_and_refuses_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
