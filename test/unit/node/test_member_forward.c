/* A write that a follower hands to the leader (rule R15): whole members in virtual time
 * (member_world.h), one behaviour a test. */
#include "member_world.h"

#include "base/log.h"
#include "base/mem.h"
#include "kv/kv_lease.h"
#include "kv/kv_txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct writing {
    struct node_write write;
    struct buf answer; /* of a transaction */
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

/* --- transactions ----------------------------------------------------------------------------- */

/* If there is no k: put it and read it again; else read it only. */
static enum status make_and_read(struct cluster *c, int i, struct writing *t, struct slice value)
{
    struct kv_txn *txn = kv_txn_create();
    struct kv_compare *compare = kv_txn_add_compare(txn);
    *compare = (struct kv_compare){.span = kv_span_of(slice_str("k"), (struct slice){0}),
                                   .target = KV_COMPARE_VERSION,
                                   .relation = KV_EQUAL};
    struct kv_txn_op *put = kv_txn_add_op(&txn->success, KV_TXN_PUT);
    put->put.key = slice_str("k");
    put->put.value = value;
    kv_txn_add_op(&txn->success, KV_TXN_RANGE)->range.span = compare->span;
    kv_txn_add_op(&txn->failure, KV_TXN_RANGE)->range.span = compare->span;
    assert_int_equal(kv_txn_check(txn), KV_TXN_SOUND);
    struct buf bytes = {0};
    kv_txn_encode(txn, &bytes);
    kv_txn_destroy(txn);
    *t = (struct writing){0};
    t->write = (struct node_write){.ack = NODE_ACK_QUORUM,
                                   .forward = true,
                                   .answer = &t->answer,
                                   .done = on_written,
                                   .context = t};
    const struct kv_command command = {.op = KV_TXN, .txn = buf_slice(&bytes)};
    enum status s = node_write_start(c->members[i].node, &t->write, &command);
    buf_deinit(&bytes);
    return s;
}

static void expect_read(const struct writing *t, bool succeeded, struct slice value)
{
    assert_int_equal(t->write.status, STATUS_OK);
    assert_true(t->write.result.succeeded == succeeded);
    struct kv_answer answer;
    struct kv_answer_op op;
    struct kv_item item;
    assert_true(kv_answer_begin(buf_slice(&t->answer), &answer));
    assert_true(answer.succeeded == succeeded);
    if (succeeded) {
        assert_true(kv_answer_next(&answer, &op));
        assert_int_equal(op.kind, KV_TXN_PUT);
    }
    assert_true(kv_answer_next(&answer, &op));
    assert_int_equal(op.kind, KV_TXN_RANGE);
    assert_true(kv_answer_item(&op.items, &item));
    assert_true(slice_equal(item.value, value));
    assert_false(kv_answer_next(&answer, &op));
    assert_false(answer.bad);
}

static void rule_r15_a_transaction_answers_the_same_at_any_member(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(32, 3);
    int follower = follower_of(c);
    struct slice value = slice_str("\"v\"");
    for (int i = 0; i < 3; i++) {
        struct writing t;
        assert_int_equal(make_and_read(c, (follower + i) % 3, &t, value), STATUS_OK);
        run_until_answered(c, &t);
        expect_read(&t, i == 0, value);
        buf_deinit(&t.answer);
    }
    cluster_destroy(c);
}

static void rule_r15_a_long_answer_comes_in_pieces(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(33, 3);
    struct buf value = {0};
    memset(buf_reserve(&value, 900000), '7', 900000);
    value.size = 900000;
    for (int i = 0; i < 2; i++) {
        struct writing t;
        assert_int_equal(make_and_read(c, follower_of(c), &t, buf_slice(&value)), STATUS_OK);
        run_until_answered(c, &t);
        expect_read(&t, i == 0, buf_slice(&value));
        buf_deinit(&t.answer);
    }
    struct writing t;
    memset(buf_reserve(&value, 900000), '7', 900000);
    value.size = 1800000;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(make_and_read(c, i, &t, buf_slice(&value)), STATUS_TOO_LARGE);
    }
    buf_deinit(&value);
    cluster_destroy(c);
}

static void rule_k1_the_answer_to_a_transaction_is_lost_with_the_link(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(34, 3);
    int leader = cluster_find_leader(c);
    struct writing t;
    assert_int_equal(make_and_read(c, follower_of(c), &t, slice_str("1")), STATUS_OK);
    member_stop(c, leader, false);
    run_until_answered(c, &t);
    assert_int_equal(t.write.status, STATUS_UNKNOWN);
    assert_int_equal(t.answer.size, 0);
    cluster_destroy(c);
}

static void a_transaction_that_nobody_waits_for_is_done_all_the_same(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(35, 3);
    for (int i = 0; i < 3; i++) {
        struct writing t;
        assert_int_equal(make_and_read(c, i, &t, slice_str("1")), STATUS_OK);
        node_write_cancel(&t.write);
        fake_world_run(c->world, 200);
        assert_int_equal(t.answers, 0);
        assert_int_equal(t.answer.size, 0);
        struct kv_item item;
        const struct kv *kv = node_kv(c->members[i].node);
        assert_int_equal(kv_get(kv, slice_str("k"), 0, &item), STATUS_OK);
        assert_int_equal(item.version, 1);
    }
    cluster_destroy(c);
}

static struct writing command_at(struct cluster *c, int i, const struct kv_command *command)
{
    static struct writing t;
    t = (struct writing){0};
    t.write = (struct node_write){
        .ack = NODE_ACK_QUORUM, .forward = true, .done = on_written, .context = &t};
    t.write.status = node_write_start(c->members[i].node, &t.write, command);
    if (t.write.status == STATUS_OK) {
        run_until_answered(c, &t);
    }
    return t;
}

static void rule_r15_grants_and_compactions_go_to_the_leader_too(void **state)
{
    (void)state;
    struct cluster *c = cluster_settled(36, 3);
    int follower = follower_of(c);
    const struct kv_command grant = {.op = KV_LEASE_GRANT, .lease = 7, .ttl_s = 60};
    struct writing t = command_at(c, follower, &grant);
    assert_int_equal(t.write.status, STATUS_OK);
    assert_int_equal(t.write.result.lease, 7);
    assert_int_equal(command_at(c, follower, &grant).write.status, STATUS_CONFLICT);
    uint64_t revision = put_if(c, follower, KV_ALWAYS).write.result.revision;
    const struct kv_command compact = {.op = KV_COMPACT, .revision = revision};
    assert_int_equal(command_at(c, follower, &compact).write.status, STATUS_OK);
    assert_int_equal(command_at(c, follower, &compact).write.status, STATUS_COMPACTED);
    const struct kv_command too_far = {.op = KV_COMPACT, .revision = revision + 1};
    assert_int_equal(command_at(c, follower, &too_far).write.status, STATUS_FUTURE);
    struct buf expiry = {0};
    kv_expiry_add(&expiry, 7, 1);
    const struct kv_command expire = {.op = KV_LEASE_EXPIRE, .expiry = buf_slice(&expiry)};
    for (int i = 0; i < 3; i++) { /* nobody asks for that from outside */
        assert_int_equal(command_at(c, i, &expire).write.status, STATUS_INVALID);
    }
    buf_deinit(&expiry);
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
        cmocka_unit_test(rule_r15_a_transaction_answers_the_same_at_any_member),
        cmocka_unit_test(rule_r15_a_long_answer_comes_in_pieces),
        cmocka_unit_test(rule_k1_the_answer_to_a_transaction_is_lost_with_the_link),
        cmocka_unit_test(a_transaction_that_nobody_waits_for_is_done_all_the_same),
        cmocka_unit_test(rule_r15_grants_and_compactions_go_to_the_leader_too),
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
