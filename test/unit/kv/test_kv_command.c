/* The bytes of commands: what goes in comes out, and nothing else is taken. */
#include "base/limits.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kv/kv.h"
#include "kv_seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_same(const struct kv_command *a, const struct kv_command *b)
{
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->condition, b->condition);
    assert_int_equal(a->condition_revision, b->condition_revision);
    assert_int_equal(a->time_ms, b->time_ms);
    assert_true(slice_equal(a->key, b->key));
    assert_true(slice_equal(a->value, b->value));
    assert_int_equal(a->lease, b->lease);
    assert_int_equal(a->revision, b->revision);
    assert_true(slice_equal(a->retry_key, b->retry_key));
    assert_memory_equal(a->retry_hash, b->retry_hash, sizeof(a->retry_hash));
    assert_int_equal(a->retry_origin, b->retry_origin);
}

static void assert_round_trip(const struct kv_command *c)
{
    struct buf b = {0};
    kv_command_encode(c, &b);
    struct kv_command got;
    assert_int_equal(kv_command_decode(buf_slice(&b), &got), STATUS_OK);
    assert_same(c, &got);
    buf_deinit(&b);
}

static void commands_come_back_as_they_went(void **state)
{
    (void)state;
    const struct kv_command commands[] = {
        {.op = KV_PUT, .time_ms = 1, .key = slice_str("k"), .value = slice_str("v")},
        {.op = KV_PUT, .time_ms = UINT64_MAX, .key = slice_str("k"), .lease = UINT64_MAX},
        {.op = KV_PUT, .condition = KV_IF_REVISION, .condition_revision = 0, .key = slice_str("k")},
        {.op = KV_DELETE, .condition = KV_IF_EXISTS, .time_ms = 300, .key = slice_of("\0", 1)},
        {.op = KV_DELETE,
         .condition = KV_IF_REVISION,
         .condition_revision = UINT64_MAX,
         .key = slice_str("a/b")},
        {.op = KV_COMPACT, .time_ms = 7, .revision = 1u << 20},
        {.op = KV_PUT,
         .key = slice_str("k"),
         .value = slice_str("v"),
         .retry_key = slice_str("r"),
         .retry_hash = {UINT64_MAX, 1},
         .retry_origin = UINT64_MAX},
        {.op = KV_DELETE, .key = slice_str("k"), .retry_key = slice_str("retry")},
        {.op = KV_DOCUMENT, .time_ms = 300, .value = slice_str("\"content\"")},
        {.op = KV_DOCUMENT, .value = slice_str(""), .retry_key = slice_str("retry")},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        assert_round_trip(&commands[i]);
    }
}

static void a_put_of_16_and_256_bytes_costs_at_most_30_more(void **state)
{
    (void)state;
    const uint8_t bytes[256] = {0};
    const struct kv_command c = {.op = KV_PUT,
                                 .condition = KV_IF_REVISION,
                                 .condition_revision = 1u << 30,
                                 .time_ms = 1800000000000,
                                 .key = slice_of(bytes, 16),
                                 .value = slice_of(bytes, 256),
                                 .lease = 1u << 30};
    struct buf b = {0};
    kv_command_encode(&c, &b);
    assert_true(b.size <= 16 + 256 + 30);
    buf_deinit(&b);
}

static void rule_k2b_a_command_without_a_retry_key_pays_nothing_for_it(void **state)
{
    (void)state;
    struct kv_command c = {.op = KV_PUT,
                           .key = slice_str("k"),
                           .value = slice_str("v"),
                           .retry_hash = {1, 2},
                           .retry_origin = 3};
    struct buf b = {0};
    kv_command_encode(&c, &b);
    assert_int_equal(b.size, 9);
    buf_clear(&b);
    c.retry_key = slice_str("r");
    kv_command_encode(&c, &b);
    assert_int_equal(b.size, 9 + 2 + 16 + 1);
    buf_deinit(&b);
}

static enum status decode(const struct buf *b)
{
    struct kv_command ignored;
    return kv_command_decode(buf_slice(b), &ignored);
}

static void every_cut_and_every_extra_byte_is_corrupt(void **state)
{
    (void)state;
    const struct kv_command c = {.op = KV_PUT,
                                 .condition = KV_IF_REVISION,
                                 .condition_revision = 300,
                                 .time_ms = 1800000000000,
                                 .key = slice_str("some key"),
                                 .value = slice_str("some value"),
                                 .lease = 300,
                                 .retry_key = slice_str("some retry"),
                                 .retry_origin = 300};
    struct buf b = {0};
    kv_command_encode(&c, &b);
    size_t whole = b.size;
    for (b.size = 0; b.size < whole; b.size++) {
        assert_int_equal(decode(&b), STATUS_CORRUPT);
    }
    assert_int_equal(decode(&b), STATUS_OK);
    buf_append_byte(&b, 0);
    assert_int_equal(decode(&b), STATUS_CORRUPT);
    buf_deinit(&b);
}

static void unknown_formats_operations_and_conditions_are_corrupt(void **state)
{
    (void)state;
    const struct kv_command c = {.op = KV_DELETE, .key = slice_str("k")};
    struct buf b = {0};
    kv_command_encode(&c, &b);
    const size_t places[] = {0, 1, 3}; /* format, op, condition */
    const uint8_t highest[] = {1, KV_DELETE, KV_IF_ABSENT};
    for (size_t i = 0; i < 3; i++) {
        uint8_t good = b.data[places[i]];
        for (unsigned bad = highest[i] + 1u; bad < 256; bad++) {
            b.data[places[i]] = (uint8_t)bad;
            assert_int_equal(decode(&b), STATUS_CORRUPT);
        }
        b.data[places[i]] = good;
    }
    assert_int_equal(decode(&b), STATUS_OK);
    buf_deinit(&b);
}

static void a_number_longer_than_needed_is_corrupt(void **state)
{
    (void)state;
    const uint8_t shortest[] = {1, KV_COMPACT, 0, 5};
    const uint8_t longer[] = {1, KV_COMPACT, 0, 0x85, 0x00};
    struct kv_command c;
    assert_int_equal(kv_command_decode(slice_of(shortest, sizeof(shortest)), &c), STATUS_OK);
    assert_int_equal(kv_command_decode(slice_of(longer, sizeof(longer)), &c), STATUS_CORRUPT);
}

static void rule_k2b_a_retry_key_has_1_to_128_bytes_and_is_not_for_compactions(void **state)
{
    (void)state;
    struct buf b = {0};
    for (size_t size = 0; size <= LIMIT_RETRY_KEY_BYTES + 1; size++) {
        const uint8_t head[] = {1, 0x80 | KV_DELETE, 0, KV_ALWAYS, 1, 'k'};
        buf_clear(&b);
        buf_append(&b, head, sizeof(head));
        buf_append_byte(&b, (uint8_t)(size | (size >= 0x80 ? 0x80 : 0)));
        buf_append(&b, "\1", size >= 0x80 ? 1 : 0);
        memset(buf_reserve(&b, size + 17), 'r', size + 17); /* and the hash, and the origin */
        b.size += size + 17;
        bool fits = size >= 1 && size <= LIMIT_RETRY_KEY_BYTES;
        assert_int_equal(decode(&b), fits ? STATUS_OK : STATUS_CORRUPT);
    }
    b.data[1] = 0x80 | KV_COMPACT;
    assert_int_equal(decode(&b), STATUS_CORRUPT);
    const uint8_t compaction[] = {1, 0x80 | KV_COMPACT, 0, 5};
    buf_clear(&b);
    buf_append(&b, compaction, sizeof(compaction));
    assert_int_equal(decode(&b), STATUS_CORRUPT);
    buf_deinit(&b);
}

static void put_head(struct buf *b, size_t key_size)
{
    buf_clear(b);
    const uint8_t head[] = {1, KV_PUT, 0, KV_ALWAYS};
    buf_append(b, head, sizeof(head));
    do {
        buf_append_byte(b, (uint8_t)(key_size >= 0x80 ? key_size | 0x80 : key_size));
        key_size >>= 7;
    } while (key_size > 0);
}

static void row_a22_keys_are_1_to_4096_bytes_and_values_at_most_64_mib(void **state)
{
    (void)state;
    struct buf b = {0};
    put_head(&b, 0);
    buf_append(&b, "\0\0", 2);
    assert_int_equal(decode(&b), STATUS_CORRUPT);
    for (size_t size = LIMIT_KEY_BYTES; size <= LIMIT_KEY_BYTES + 1; size++) {
        put_head(&b, size);
        memset(buf_reserve(&b, size), 'k', size);
        b.size += size;
        buf_append(&b, "\0\0", 2);
        assert_int_equal(decode(&b), size <= LIMIT_KEY_BYTES ? STATUS_OK : STATUS_CORRUPT);
    }
    for (size_t size = LIMIT_VALUE_BYTES_MAX; size <= LIMIT_VALUE_BYTES_MAX + 1; size++) {
        put_head(&b, 1);
        buf_append(&b, "k\0", 2);
        for (size_t left = size; left > 0; left >>= 7) {
            buf_append_byte(&b, (uint8_t)(left >= 0x80 ? left | 0x80 : left));
        }
        memset(buf_reserve(&b, size), 'v', size);
        b.size += size;
        assert_int_equal(decode(&b), size <= LIMIT_VALUE_BYTES_MAX ? STATUS_OK : STATUS_CORRUPT);
    }
    buf_deinit(&b);
}

/* Damaged bytes are refused, or are the very bytes of another command. */
static void run_damage(uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    struct buf b = {0};
    struct buf again = {0};
    for (unsigned i = 0; i < 20000; i++) {
        static const enum kv_op ops[] = {KV_PUT, KV_DELETE, KV_DOCUMENT};
        enum kv_op op = ops[rng_below(&rng, 3)];
        unsigned conditions = op != KV_DOCUMENT ? 4 : 1;
        const struct kv_command c = {.op = op,
                                     .condition = (enum kv_condition)rng_below(&rng, conditions),
                                     .time_ms = rng_next(&rng) >> rng_below(&rng, 64),
                                     .key = slice_str("key"),
                                     .value = slice_str("value"),
                                     .retry_key = slice_str(rng_chance(&rng, 1, 2) ? "r" : "")};
        buf_clear(&b);
        kv_command_encode(&c, &b);
        for (uint64_t n = rng_between(&rng, 1, 3); n > 0; n--) {
            b.data[rng_below(&rng, b.size)] = (uint8_t)rng_next(&rng);
        }
        b.size -= rng_chance(&rng, 1, 4) ? (size_t)rng_below(&rng, b.size) : 0;
        struct kv_command got;
        if (kv_command_decode(buf_slice(&b), &got) == STATUS_OK) {
            buf_clear(&again);
            kv_command_encode(&got, &again);
            assert_true(slice_equal(buf_slice(&b), buf_slice(&again)));
        }
    }
    buf_deinit(&b);
    buf_deinit(&again);
}

static void damaged_bytes_are_refused_or_another_command(void **state)
{
    (void)state;
    run_seeds("damage", 2, run_damage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_come_back_as_they_went),
        cmocka_unit_test(a_put_of_16_and_256_bytes_costs_at_most_30_more),
        cmocka_unit_test(rule_k2b_a_command_without_a_retry_key_pays_nothing_for_it),
        cmocka_unit_test(rule_k2b_a_retry_key_has_1_to_128_bytes_and_is_not_for_compactions),
        cmocka_unit_test(every_cut_and_every_extra_byte_is_corrupt),
        cmocka_unit_test(unknown_formats_operations_and_conditions_are_corrupt),
        cmocka_unit_test(a_number_longer_than_needed_is_corrupt),
        cmocka_unit_test(row_a22_keys_are_1_to_4096_bytes_and_values_at_most_64_mib),
        cmocka_unit_test(damaged_bytes_are_refused_or_another_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
