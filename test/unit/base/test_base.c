/* The leaf tools: each behaviour that the rooms above rely on. */
#include "base/arena.h"
#include "base/blob.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void crc32c_has_the_standard_check_value(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c_portable(0, "123456789", 9), 0xe3069283u);
}

static void crc32c_hardware_and_table_agree_on_every_length(void **state)
{
    (void)state;
    uint8_t bytes[300];
    struct rng r;
    rng_init(&r, 1);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)rng_next(&r);
    }
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        uint32_t split = crc32c(crc32c(0, bytes, size / 2), bytes + size / 2, size - size / 2);
        assert_int_equal(split, crc32c_portable(0, bytes, size));
    }
}

static void an_arena_hands_out_memory_of_any_size_until_it_is_reset(void **state)
{
    (void)state;
    struct arena a = {0};
    uint8_t *pieces[200];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            pieces[i] = arena_alloc(&a, i * i);
            assert_true((uintptr_t)pieces[i] % _Alignof(max_align_t) == 0);
            memset(pieces[i], (int)i, i * i);
        }
        for (size_t i = 1; i < 200; i++) {
            assert_int_equal(pieces[i][0], i);
            assert_int_equal(pieces[i][i * i - 1], i);
        }
        assert_int_equal(*(uint64_t *)arena_calloc(&a, 1, sizeof(uint64_t)), 0);
        assert_string_equal(arena_text(&a, slice_of("textual", 4)), "text");
        assert_string_equal(arena_text(&a, slice_of(NULL, 0)), "");
        arena_alloc(&a, round == 0 ? 1 : 1u << 20); /* a large one is not kept */
        arena_reset(&a);
    }
    arena_deinit(&a);
    arena_reset(&a);
    assert_null(a.newest);
}

static void a_pool_hands_out_again_what_was_freed(void **state)
{
    (void)state;
    struct pool p = {0};
    size_t sizes[] = {0, 1, 16, 17, 100, POOL_ITEM_BYTES_MAX, POOL_ITEM_BYTES_MAX + 1, 1u << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *first = pool_alloc(&p, sizes[i]);
        uint8_t *second = pool_alloc(&p, sizes[i]);
        assert_ptr_not_equal(first, second);
        assert_int_equal((uintptr_t)first % _Alignof(max_align_t), 0);
        memset(first, 0xaa, sizes[i]);
        memset(second, 0xbb, sizes[i]);
        pool_free(&p, first);
        if (sizes[i] <= POOL_ITEM_BYTES_MAX && POOL_KEEPS_BYTES > 0) {
            assert_ptr_equal(pool_calloc(&p, 1, sizes[i]), first);
            for (size_t at = 0; at < sizes[i]; at++) {
                assert_int_equal(first[at], 0);
                assert_int_equal(second[at], 0xbb);
            }
            pool_free(&p, first);
        }
        pool_free(&p, second);
    }
    pool_free(&p, NULL);
    pool_deinit(&p);
    assert_int_equal(p.spare_bytes, 0);
}

static void a_pool_grows_what_it_handed_out(void **state)
{
    (void)state;
    struct pool p = {0};
    uint8_t *data = pool_realloc(&p, NULL, 10);
    memcpy(data, "ten bytes!", 10);
    assert_ptr_equal(pool_realloc(&p, data, 11), data); /* there is room */
    data = pool_realloc(&p, data, 1000);
    data = pool_realloc(&p, data, 100000);
    assert_memory_equal(data, "ten bytes!", 10);
    pool_free(&p, data);
    pool_deinit(&p);
}

static void a_pool_keeps_no_more_than_its_limit(void **state)
{
    (void)state;
    enum { COUNT = 2 * LIMIT_POOL_SPARE_BYTES / 1000 };
    struct pool p = {0};
    void *items[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        items[i] = pool_alloc(&p, 1000);
    }
    assert_int_equal(p.spare_bytes, 0);
    for (size_t i = 0; i < COUNT; i++) {
        pool_free(&p, items[i]);
        assert_true(p.spare_bytes <= POOL_KEEPS_BYTES);
    }
    assert_true(p.spare_bytes + 2000 > POOL_KEEPS_BYTES);
    pool_deinit(&p);
}

static void an_arena_gives_its_blocks_back_to_its_pool(void **state)
{
    (void)state;
    struct pool p = {0};
    struct arena a = {.pool = &p};
    void *first = arena_alloc(&a, 10);
    arena_alloc(&a, 1u << 20);
    arena_deinit(&a);
    if (POOL_KEEPS_BYTES > 0) {
        assert_true(p.spare_bytes >= 1024);
        assert_ptr_equal(arena_alloc(&a, 10), first);
    }
    arena_deinit(&a);
    pool_deinit(&p);
}

static void varints_come_back_and_are_bounded(void **state)
{
    (void)state;
    const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct buf b = {0};
        put_varint(&b, values[i]);
        assert_int_equal(b.size, varint_size(values[i]));
        struct reader r = reader_of(buf_slice(&b));
        assert_true(get_varint(&r) == values[i]);
        assert_true(reader_done(&r));
        buf_deinit(&b);
    }
    const uint8_t too_long[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct reader r = reader_of(slice_of(too_long, sizeof(too_long)));
    get_varint(&r);
    assert_false(reader_ok(&r));
}

static void a_reader_that_ran_out_stays_bad_and_gives_zero(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct reader r = reader_of(slice_of(bytes, sizeof(bytes)));
    assert_int_equal(get_u32(&r), 0);
    assert_int_equal(get_u8(&r), 0);
    assert_false(reader_ok(&r));
    assert_false(reader_done(&r));
}

static void a_length_beyond_the_end_is_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    put_varint(&b, UINT64_MAX);
    put_u8(&b, 1);
    struct reader r = reader_of(buf_slice(&b));
    assert_int_equal(get_bytes(&r).size, 0);
    assert_false(reader_ok(&r));
    buf_deinit(&b);
}

static void numbers_are_little_endian(void **state)
{
    (void)state;
    struct buf b = {0};
    put_u32(&b, 0x04030201u);
    put_u64(&b, 0x0807060504030201u);
    const uint8_t expected[] = {1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8};
    assert_memory_equal(b.data, expected, sizeof(expected));
    buf_deinit(&b);
}

static void the_same_seed_gives_the_same_numbers(void **state)
{
    (void)state;
    struct rng a;
    struct rng b;
    rng_init(&a, 7);
    rng_init(&b, 7);
    for (int i = 0; i < 100; i++) {
        assert_true(rng_next(&a) == rng_next(&b));
        uint64_t v = rng_between(&a, 10, 20);
        assert_true(v >= 10 && v <= 20);
        rng_between(&b, 10, 20);
    }
}

static void uuids_print_and_parse(void **state)
{
    (void)state;
    uint8_t random[16];
    memset(random, 0xab, sizeof(random));
    struct uuid id = uuid_from_random(random);
    char text[UUID_TEXT_SIZE];
    uuid_format(id, text);
    assert_string_equal(text, "abababab-abab-4bab-abab-abababababab");
    struct uuid back;
    assert_true(uuid_parse(text, &back));
    assert_true(uuid_equal(id, back));
    assert_false(uuid_parse("abababab-abab-4bab-abab-ababababab", &back));
    assert_false(uuid_parse("zbababab-abab-4bab-abab-abababababab", &back));
}

static void lists_keep_order_and_splice(void **state)
{
    (void)state;
    struct list a;
    struct list b;
    struct list nodes[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        list_init(&nodes[i]);
        list_push_back(i < 2 ? &a : &b, &nodes[i]);
    }
    list_splice_back(&a, &b);
    assert_true(list_is_empty(&b));
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(list_pop_front(&a), &nodes[i]);
    }
    assert_null(list_pop_front(&a));
}

static void a_blob_lives_until_its_last_reference(void **state)
{
    (void)state;
    struct blob *b = blob_copy(slice_str("value"));
    blob_ref(b);
    blob_unref(b);
    assert_true(slice_equal(blob_slice(b), slice_str("value")));
    blob_unref(b);
    blob_unref(NULL);
}

static void slices_order_by_bytes_and_prefix_first(void **state)
{
    (void)state;
    assert_true(slice_compare(slice_str("a"), slice_str("ab")) < 0);
    assert_true(slice_compare(slice_str("b"), slice_str("ab")) > 0);
    assert_int_equal(slice_compare(slice_str(""), slice_of(NULL, 0)), 0);
}

static void every_status_has_a_row(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_NOT_LEADER), "NOT_LEADER");
    assert_int_equal(status_http(STATUS_NOT_FOUND), 404);
    assert_int_equal(status_exit_code(STATUS_UNKNOWN), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_has_the_standard_check_value),
        cmocka_unit_test(crc32c_hardware_and_table_agree_on_every_length),
        cmocka_unit_test(an_arena_hands_out_memory_of_any_size_until_it_is_reset),
        cmocka_unit_test(a_pool_hands_out_again_what_was_freed),
        cmocka_unit_test(a_pool_grows_what_it_handed_out),
        cmocka_unit_test(a_pool_keeps_no_more_than_its_limit),
        cmocka_unit_test(an_arena_gives_its_blocks_back_to_its_pool),
        cmocka_unit_test(varints_come_back_and_are_bounded),
        cmocka_unit_test(a_reader_that_ran_out_stays_bad_and_gives_zero),
        cmocka_unit_test(a_length_beyond_the_end_is_refused),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(the_same_seed_gives_the_same_numbers),
        cmocka_unit_test(uuids_print_and_parse),
        cmocka_unit_test(lists_keep_order_and_splice),
        cmocka_unit_test(a_blob_lives_until_its_last_reference),
        cmocka_unit_test(slices_order_by_bytes_and_prefix_first),
        cmocka_unit_test(every_status_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
