/* Raft's messages and hellos as bytes. */
#include "node/wire.h"

#include "base/codec.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ENTRIES_MAX 40

static uint64_t odd_number(struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0:
        return 0;
    case 1:
        return rng_below(r, 300);
    case 2:
        return rng_next(r) >> rng_below(r, 64);
    default:
        return rng_below(r, 1000000);
    }
}

struct sample {
    struct raft_message m;
    struct raft_entry entries[ENTRIES_MAX];
};

static void make_entries(struct sample *s, struct rng *r)
{
    raft_term term = s->m.last.term;
    s->m.entry_count = (uint32_t)rng_below(r, ENTRIES_MAX + 1);
    s->m.entries = s->entries;
    for (uint32_t i = 0; i < s->m.entry_count; i++) {
        term += rng_below(r, 3);
        uint8_t bytes[300];
        size_t size = (size_t)rng_below(r, sizeof(bytes));
        memset(bytes, (int)rng_below(r, 256), sizeof(bytes));
        s->entries[i] = (struct raft_entry){
            .term = term,
            .type = (enum raft_entry_type)rng_below(r, 3),
            .payload = size > 0 ? blob_copy(slice_of(bytes, size)) : NULL,
        };
    }
}

static void make_sample(struct sample *s, struct rng *r)
{
    *s = (struct sample){0};
    s->m = (struct raft_message){
        .type = (enum raft_message_type)rng_between(r, RAFT_MSG_PREVOTE, RAFT_MSG_TRANSFER_REQUEST),
        .from = 1 + odd_number(r) / 2,
        .to = 1 + odd_number(r) / 2,
        .term = odd_number(r),
        .last = {odd_number(r) / 2, odd_number(r)},
        .commit = odd_number(r),
        .match = odd_number(r),
        .hint = {odd_number(r), odd_number(r)},
        .probe = odd_number(r),
        .round = odd_number(r),
        .sent_ms = odd_number(r),
        .lease_ms = (uint32_t)odd_number(r),
        .recovering = rng_chance(r, 1, 2),
        .reject = rng_chance(r, 1, 2),
        .transfer = rng_chance(r, 1, 2),
        .bulk = rng_chance(r, 1, 2),
    };
    if (s->m.type == RAFT_MSG_APPEND) {
        make_entries(s, r);
    }
    if (s->m.type == RAFT_MSG_APPEND_REPLY || s->m.type == RAFT_MSG_HEARTBEAT_REPLY) {
        s->m.rest_ms = s->m.lease_ms; /* in the places of those two (PROTOCOL.md) */
        s->m.waits = s->m.transfer;
        s->m.lease_ms = 0;
        s->m.transfer = false;
    }
}

static void drop_sample(struct sample *s)
{
    for (uint32_t i = 0; i < s->m.entry_count; i++) {
        blob_unref(s->entries[i].payload);
    }
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    struct raft_message x = *a;
    struct raft_message y = *b;
    x.entries = NULL;
    y.entries = NULL;
    assert_memory_equal(&x, &y, sizeof(x));
    for (uint32_t i = 0; i < a->entry_count; i++) {
        assert_int_equal(a->entries[i].term, b->entries[i].term);
        assert_int_equal(a->entries[i].type, b->entries[i].type);
        assert_true(
            slice_equal(blob_slice(a->entries[i].payload), blob_slice(b->entries[i].payload)));
    }
}

static void every_kind_of_message_comes_back(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 11);
    struct wire_decoder d = {0};
    struct buf b = {0};
    for (int i = 0; i < 3000; i++) {
        struct sample s;
        make_sample(&s, &r);
        buf_clear(&b);
        wire_encode_message(&s.m, &b);
        assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_OK);
        assert_same(&s.m, &d.message);
        drop_sample(&s);
    }
    wire_decoder_deinit(&d);
    buf_deinit(&b);
}

static void every_cut_and_every_longer_message_is_refused(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 12);
    struct wire_decoder d = {0};
    struct buf b = {0};
    for (int i = 0; i < 60; i++) {
        struct sample s;
        make_sample(&s, &r);
        buf_clear(&b);
        wire_encode_message(&s.m, &b);
        for (size_t size = 0; size < b.size; size++) {
            assert_int_equal(wire_decode_message(&d, slice_of(b.data, size)), STATUS_CORRUPT);
        }
        put_u8(&b, 0);
        assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_CORRUPT);
        drop_sample(&s);
    }
    wire_decoder_deinit(&d);
    buf_deinit(&b);
}

static void what_is_read_from_changed_bytes_can_be_written_again(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 13);
    struct wire_decoder d = {0};
    struct wire_decoder again = {0};
    struct buf b = {0};
    uint32_t read = 0;
    for (int i = 0; i < 20000; i++) {
        struct sample s;
        make_sample(&s, &r);
        buf_clear(&b);
        wire_encode_message(&s.m, &b);
        b.data[rng_below(&r, b.size)] = (uint8_t)rng_next(&r);
        if (wire_decode_message(&d, buf_slice(&b)) == STATUS_OK) {
            read++;
            buf_clear(&b);
            wire_encode_message(&d.message, &b);
            assert_int_equal(wire_decode_message(&again, buf_slice(&b)), STATUS_OK);
            assert_same(&d.message, &again.message);
        }
        drop_sample(&s);
    }
    assert_true(read > 1000);
    wire_decoder_deinit(&d);
    wire_decoder_deinit(&again);
    buf_deinit(&b);
}

/* A small message may not make the reader reserve memory for many entries. */
static void an_entry_count_beyond_the_bytes_is_refused(void **state)
{
    (void)state;
    struct raft_message m = {.type = RAFT_MSG_APPEND, .from = 1, .to = 2, .term = 3};
    struct buf b = {0};
    struct wire_decoder d = {0};
    wire_encode_message(&m, &b);
    b.size--; /* the count of zero */
    put_varint(&b, LIMIT_APPEND_ENTRIES);
    assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_CORRUPT);
    assert_int_equal(d.capacity, 0);
    wire_decoder_deinit(&d);
    buf_deinit(&b);
}

static void too_many_entries_are_left_for_the_next_message(void **state)
{
    (void)state;
    enum { COUNT = LIMIT_APPEND_ENTRIES + 5 };
    static struct raft_entry entries[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        entries[i] = (struct raft_entry){.term = 1, .type = RAFT_ENTRY_NOOP};
    }
    struct raft_message m = {.type = RAFT_MSG_APPEND,
                             .from = 1,
                             .to = 2,
                             .term = 1,
                             .entry_count = COUNT,
                             .entries = entries};
    struct buf b = {0};
    struct wire_decoder d = {0};
    wire_encode_message(&m, &b);
    assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_OK);
    assert_int_equal(d.message.entry_count, LIMIT_APPEND_ENTRIES);
    wire_decoder_deinit(&d);
    buf_deinit(&b);
}

static void unknown_types_flags_and_senders_are_refused(void **state)
{
    (void)state;
    struct raft_message m = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 2, .term = 3};
    struct wire_decoder d = {0};
    struct buf b = {0};
    wire_encode_message(&m, &b);
    const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 0}, {0, RAFT_MSG_SNAPSHOT}, {0, 200}, {1, 16}, {3, 4}, {4, 0}, {12, 0}};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        uint8_t before = b.data[changes[i].at];
        b.data[changes[i].at] = changes[i].value;
        assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_CORRUPT);
        b.data[changes[i].at] = before;
    }
    assert_int_equal(wire_decode_message(&d, buf_slice(&b)), STATUS_OK);
    wire_decoder_deinit(&d);
    buf_deinit(&b);
}

static struct peer_hello hello_of(enum founding_phase phase)
{
    struct peer_hello h = {.incarnation = {{1}},
                           .boot = {{2}},
                           .phase = phase,
                           .founders = 3,
                           .term = 77,
                           .leads = true,
                           .joins = phase == FOUNDING_FRESH,
                           .boots = 7,
                           .priority = 9};
    snprintf(h.name, sizeof(h.name), "node-1");
    snprintf(h.advertise, sizeof(h.advertise), "http://a:1");
    snprintf(h.dialled, sizeof(h.dialled), "http://b:2");
    if (phase != FOUNDING_FRESH) {
        h.roster = (struct roster){.cluster = {{9}}, .count = 1};
        snprintf(h.roster.members[0].name, sizeof(h.roster.members[0].name), "node-1");
        h.roster.members[0].incarnation = h.incarnation;
    }
    return h;
}

static void hellos_come_back_and_broken_ones_are_refused(void **state)
{
    (void)state;
    for (int phase = FOUNDING_FRESH; phase <= FOUNDING_FOUNDED; phase++) {
        struct peer_hello h = hello_of((enum founding_phase)phase);
        struct peer_hello back;
        struct buf b = {0};
        wire_encode_hello(&h, &b);
        assert_int_equal(wire_decode_hello(buf_slice(&b), &back), STATUS_OK);
        assert_string_equal(back.name, h.name);
        assert_string_equal(back.advertise, h.advertise);
        assert_string_equal(back.dialled, h.dialled);
        assert_true(uuid_equal(back.incarnation, h.incarnation));
        assert_true(uuid_equal(back.boot, h.boot));
        assert_int_equal(back.term, 77);
        assert_int_equal(back.founders, 3);
        assert_int_equal(back.phase, phase);
        assert_true(back.leads);
        assert_int_equal(back.joins, phase == FOUNDING_FRESH);
        assert_int_equal(back.boots, 7);
        assert_int_equal(back.priority, 9);
        assert_true(roster_equal(&back.roster, &h.roster));
        for (size_t size = 0; size < b.size; size++) {
            assert_int_equal(wire_decode_hello(slice_of(b.data, size), &back), STATUS_CORRUPT);
        }
        buf_deinit(&b);
    }
    struct peer_hello nobody = hello_of(FOUNDING_FRESH);
    struct buf b = {0};
    nobody.boot = (struct uuid){0};
    wire_encode_hello(&nobody, &b);
    assert_int_equal(wire_decode_hello(buf_slice(&b), &nobody), STATUS_CORRUPT);
    buf_deinit(&b);
}

static enum status decode_entry_of(size_t size)
{
    struct raft_entry entry = {.term = 1, .type = RAFT_ENTRY_COMMAND, .payload = blob_create(size)};
    memset(entry.payload->data, 'x', size);
    struct raft_message m = {.type = RAFT_MSG_APPEND,
                             .from = 1,
                             .to = 2,
                             .term = 1,
                             .entries = &entry,
                             .entry_count = 1};
    struct buf bytes = {0};
    struct wire_decoder d = {0};
    wire_encode_message(&m, &bytes);
    enum status s = wire_decode_message(&d, buf_slice(&bytes));
    if (s == STATUS_OK) {
        assert_int_equal(blob_slice(d.message.entries[0].payload).size, size);
    }
    wire_decoder_deinit(&d);
    buf_deinit(&bytes);
    blob_unref(entry.payload);
    return s;
}

static void rule_o1_an_entry_is_so_large_and_no_larger(void **state)
{
    (void)state;
    assert_int_equal(decode_entry_of(LIMIT_ENTRY_BYTES), STATUS_OK);
    assert_int_equal(decode_entry_of(LIMIT_ENTRY_BYTES + 1), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_message_comes_back),
        cmocka_unit_test(every_cut_and_every_longer_message_is_refused),
        cmocka_unit_test(what_is_read_from_changed_bytes_can_be_written_again),
        cmocka_unit_test(an_entry_count_beyond_the_bytes_is_refused),
        cmocka_unit_test(too_many_entries_are_left_for_the_next_message),
        cmocka_unit_test(unknown_types_flags_and_senders_are_refused),
        cmocka_unit_test(hellos_come_back_and_broken_ones_are_refused),
        cmocka_unit_test(rule_o1_an_entry_is_so_large_and_no_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
