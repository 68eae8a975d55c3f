/* The bytes of a configuration, and the history of configurations against a dumb twin that keeps
 * one for every index. */
#include "raft/config_log.h"
#include "raft/raft_config.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define INDEXES_MAX 200

static struct raft_config config_of(node_id voter)
{
    return (struct raft_config){.voter_count = 1, .voters = {voter}};
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void draw_list(struct rng *r, node_id *ids, uint32_t *count, uint32_t least)
{
    *count = (uint32_t)rng_between(r, least, LIMIT_MEMBERS);
    node_id id = 0;
    for (uint32_t i = 0; i < *count; i++) {
        id += rng_between(r, 1, UINT64_MAX / (2 * LIMIT_MEMBERS));
        ids[i] = id;
    }
}

static void a_sound_configuration_survives_its_bytes(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 1);
    for (int i = 0; i < 500; i++) {
        struct raft_config config = {0};
        draw_list(&r, config.voters, &config.voter_count, 1);
        draw_list(&r, config.outgoing, &config.outgoing_count, 0);
        draw_list(&r, config.learners, &config.learner_count, 0);
        if (!raft_config_is_sound(&config)) {
            continue;
        }
        char text[] = "names and urls";
        struct slice annex = slice_of(text, rng_below(&r, sizeof(text)));
        struct blob *payload = raft_config_encode(&config, annex);
        struct raft_config again;
        struct slice bytes;
        assert_int_equal(raft_config_decode(blob_slice(payload), &again, &bytes), STATUS_OK);
        assert_memory_equal(&again, &config, sizeof(config));
        assert_true(slice_equal(bytes, annex));
        blob_unref(payload);
    }
}

static void expect_corrupt(const struct raft_config *config)
{
    assert_false(raft_config_is_sound(config));
    uint8_t bytes[4 + 3 * LIMIT_MEMBERS * 8] = {1, (uint8_t)config->voter_count,
                                                (uint8_t)config->outgoing_count,
                                                (uint8_t)config->learner_count};
    size_t size = 4;
    const struct {
        const node_id *ids;
        uint32_t count;
    } lists[] = {{config->voters, config->voter_count},
                 {config->outgoing, config->outgoing_count},
                 {config->learners, config->learner_count}};
    for (int k = 0; k < 3; k++) {
        for (uint32_t i = 0; i < lists[k].count; i++, size += 8) {
            bytes[size] = (uint8_t)lists[k].ids[i];
        }
    }
    struct raft_config again;
    struct slice annex;
    assert_int_equal(raft_config_decode(slice_of(bytes, size), &again, &annex), STATUS_CORRUPT);
}

static void what_no_encoder_writes_is_corrupt(void **state)
{
    (void)state;
    const struct raft_config unsound[] = {
        {0},
        {.learner_count = 1, .learners = {1}},
        {.voter_count = 1, .voters = {0}},
        {.voter_count = 2, .voters = {1, 1}},
        {.voter_count = 1, .voters = {1}, .outgoing_count = 2, .outgoing = {2, 2}},
        {.voter_count = 1, .voters = {1}, .learner_count = 2, .learners = {3, 3}},
        {.voter_count = 2, .voters = {1, 2}, .learner_count = 1, .learners = {2}},
    };
    for (size_t i = 0; i < sizeof(unsound) / sizeof(unsound[0]); i++) {
        expect_corrupt(&unsound[i]);
    }
    const struct raft_config demoted = {.voter_count = 1,
                                        .voters = {1},
                                        .outgoing_count = 2,
                                        .outgoing = {1, 2},
                                        .learner_count = 1,
                                        .learners = {2}};
    assert_true(raft_config_is_sound(&demoted));
}

static void cut_or_changed_bytes_are_corrupt_or_canonical(void **state)
{
    (void)state;
    const struct raft_config config = {.voter_count = 3,
                                       .voters = {1, 2, 3},
                                       .outgoing_count = 2,
                                       .outgoing = {1, 4},
                                       .learner_count = 1,
                                       .learners = {5}};
    struct blob *payload = raft_config_encode(&config, slice_str("x"));
    struct slice bytes = blob_slice(payload);
    struct raft_config out;
    struct slice annex;
    for (size_t size = 0; size + 1 < bytes.size; size++) {
        assert_int_equal(raft_config_decode(slice_of(bytes.data, size), &out, &annex),
                         STATUS_CORRUPT);
    }
    struct rng r;
    rng_init(&r, 2);
    for (int i = 0; i < 2000; i++) {
        uint8_t changed[4 + 6 * 8 + 1];
        assert_int_equal(bytes.size, sizeof(changed));
        memcpy(changed, bytes.data, sizeof(changed));
        changed[rng_below(&r, sizeof(changed))] = (uint8_t)rng_next(&r);
        struct slice whole = slice_of(changed, sizeof(changed));
        if (raft_config_decode(whole, &out, &annex) == STATUS_OK) {
            struct blob *again = raft_config_encode(&out, annex);
            assert_true(slice_equal(blob_slice(again), whole));
            blob_unref(again);
        }
    }
    blob_unref(payload);
}

static void an_annex_has_a_bound(void **state)
{
    (void)state;
    const struct raft_config config = config_of(7);
    struct blob *payload = raft_config_encode(&config, (struct slice){0});
    struct blob *larger = blob_create(payload->size + LIMIT_CONFIG_ANNEX_BYTES + 1);
    memset(larger->data, 0, larger->size);
    memcpy(larger->data, payload->data, payload->size);
    struct raft_config out;
    struct slice annex;
    struct slice bytes = blob_slice(larger);
    assert_int_equal(raft_config_decode(bytes, &out, &annex), STATUS_CORRUPT);
    bytes.size--;
    assert_int_equal(raft_config_decode(bytes, &out, &annex), STATUS_OK);
    assert_int_equal(annex.size, LIMIT_CONFIG_ANNEX_BYTES);
    blob_unref(larger);
    blob_unref(payload);
}

/* --- history ---------------------------------------------------------------------------------- */

struct twin {
    node_id at[INDEXES_MAX]; /* the voter of the configuration that stands there; 0 = none */
    raft_index base;
    raft_index last;
};

static node_id twin_at(const struct twin *t, raft_index index)
{
    while (index > t->base && t->at[index] == 0) {
        index--;
    }
    return index < t->base ? 0 : t->at[index];
}

static void append(struct config_log *log, struct twin *t, node_id voter)
{
    t->at[++t->last] = voter;
    if (voter != 0) {
        const struct raft_config config = config_of(voter);
        struct blob *payload = raft_config_encode(&config, slice_of(&voter, sizeof(voter)));
        config_log_append(log, (struct entry_id){.term = 1, .index = t->last}, payload);
        blob_unref(payload);
    }
}

static void compare(const struct config_log *log, const struct twin *t)
{
    for (raft_index i = t->base; i <= t->last; i++) {
        const struct config_item *item = config_log_at(log, i);
        node_id voter = twin_at(t, i);
        assert_int_equal(item->config.voters[0], voter);
        assert_true(slice_equal(item->annex, slice_of(&voter, sizeof(voter))));
    }
    assert_ptr_equal(config_log_last(log), config_log_at(log, t->last));
}

static void rule_c3_the_history_agrees_with_a_twin_that_keeps_every_index(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 3);
    for (int round = 0; round < 200; round++) {
        struct config_log log = {0};
        struct twin t = {.base = 10, .last = 10};
        t.at[10] = 100;
        const struct raft_config base = config_of(100);
        config_log_reset(&log, &(struct raft_config_view){.id = {.term = 1, .index = 10},
                                                          .config = &base,
                                                          .annex = slice_of(&t.at[10], 8)});
        assert_null(config_log_at(&log, 9));
        for (int step = 0; step < 100; step++) {
            raft_index first = t.base + 1;
            uint64_t what = rng_below(&r, 10);
            if (what < 7) {
                append(&log, &t, rng_chance(&r, 1, 3) ? rng_between(&r, 1, 1000) : 0);
            } else if (what < 9 && first <= t.last) {
                raft_index from = rng_between(&r, first, t.last);
                bool some = false;
                for (raft_index i = from; i <= t.last; i++) {
                    some = some || t.at[i] != 0;
                    t.at[i] = 0;
                }
                assert_int_equal(config_log_truncate(&log, from), some);
                t.last = from - 1;
            } else if (what == 9 && t.last >= first) {
                raft_index index = rng_between(&r, first, t.last);
                config_log_prune(&log, index);
                t.at[index] = twin_at(&t, index);
                t.base = index;
            }
            compare(&log, &t);
        }
        config_log_deinit(&log);
    }
}

static void rule_c3_the_first_configuration_is_rolled_back_to_the_base(void **state)
{
    (void)state;
    struct config_log log = {0};
    const struct raft_config base = config_of(1);
    const struct raft_config next = config_of(2);
    config_log_reset(&log, &(struct raft_config_view){.id = {.term = 3, .index = 20},
                                                      .config = &base,
                                                      .annex = slice_str("in the snapshot")});
    struct blob *payload = raft_config_encode(&next, slice_str("new"));
    config_log_append(&log, (struct entry_id){.term = 4, .index = 21}, payload);
    blob_unref(payload);
    assert_int_equal(config_log_last(&log)->config.voters[0], 2);
    assert_true(config_log_truncate(&log, 21));
    assert_int_equal(config_log_last(&log)->config.voters[0], 1);
    assert_int_equal(config_log_last(&log)->id.index, 20);
    assert_true(slice_equal(config_log_last(&log)->annex, slice_str("in the snapshot")));
    config_log_deinit(&log);
}

static void rule_c3_a_reset_may_begin_with_what_the_log_itself_holds(void **state)
{
    (void)state;
    struct config_log log = {0};
    const struct raft_config base = config_of(1);
    config_log_reset(&log, &(struct raft_config_view){.config = &base});
    struct blob *payload = raft_config_encode(&base, slice_str("annex"));
    config_log_append(&log, (struct entry_id){.term = 1, .index = 5}, payload);
    blob_unref(payload);
    const struct config_item *last = config_log_last(&log);
    config_log_reset(&log, &(struct raft_config_view){
                               .id = last->id, .config = &last->config, .annex = last->annex});
    assert_int_equal(config_log_last(&log)->id.index, 5);
    assert_true(slice_equal(config_log_last(&log)->annex, slice_str("annex")));
    assert_null(config_log_at(&log, 4));
    config_log_deinit(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_configuration_survives_its_bytes),
        cmocka_unit_test(what_no_encoder_writes_is_corrupt),
        cmocka_unit_test(cut_or_changed_bytes_are_corrupt_or_canonical),
        cmocka_unit_test(an_annex_has_a_bound),
        cmocka_unit_test(rule_c3_the_history_agrees_with_a_twin_that_keeps_every_index),
        cmocka_unit_test(rule_c3_the_first_configuration_is_rolled_back_to_the_base),
        cmocka_unit_test(rule_c3_a_reset_may_begin_with_what_the_log_itself_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
