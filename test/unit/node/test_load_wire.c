/* Loads and views as bytes: what members tell each other of rows E4 and E5. */
#include "node/loads.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct load_note note = {
    .serves = true,
    .knows_leases = true,
    .load = {.connections = 7, .requests_per_second = 90000, .loop_permille = 1000},
    .applied_index = UINT64_MAX,
};

static struct node_view view_of(uint32_t count)
{
    struct node_view v = {.term = 3, .number = 9, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        struct node_view_item *item = &v.items[i];
        snprintf(item->name, sizeof(item->name), "node-%02u", i);
        snprintf(item->address.host, sizeof(item->address.host), i % 2 == 0 ? "a.example" : "::1");
        item->address.port = (uint16_t)(4001 + i);
        item->presence = (enum node_presence)(i % 3);
        item->connections = i * 1000;
    }
    return v;
}

static void row_e4_a_load_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf bytes = {0};
    load_note_encode(&note, &bytes);
    struct load_note n;
    assert_int_equal(load_note_decode(buf_slice(&bytes), &n), STATUS_OK);
    assert_true(n.serves);
    assert_true(n.knows_leases);
    assert_int_equal(n.load.connections, 7);
    assert_int_equal(n.load.requests_per_second, 90000);
    assert_int_equal(n.load.loop_permille, 1000);
    assert_true(n.applied_index == UINT64_MAX);
    buf_deinit(&bytes);
}

static void row_e5_a_view_comes_back_as_it_was(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= LIMIT_MEMBERS; count++) {
        struct node_view v = view_of(count);
        struct node_view got;
        struct buf bytes = {0};
        struct buf again = {0};
        view_encode(&v, &bytes);
        assert_int_equal(view_decode(buf_slice(&bytes), &got), STATUS_OK);
        assert_string_equal(got.items[count - 1].address.host, v.items[count - 1].address.host);
        view_encode(&got, &again);
        assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
        buf_deinit(&bytes);
        buf_deinit(&again);
    }
}

/* Every prefix, and one byte more. */
static void refuse_lengths(struct buf *bytes, enum status (*decode)(struct slice))
{
    for (size_t size = 0; size < bytes->size; size++) {
        assert_int_equal(decode(slice_of(bytes->data, size)), STATUS_CORRUPT);
    }
    buf_append_byte(bytes, 0);
    assert_int_equal(decode(buf_slice(bytes)), STATUS_CORRUPT);
    bytes->size--;
}

static enum status decode_note(struct slice bytes)
{
    struct load_note n;
    return load_note_decode(bytes, &n);
}

static enum status decode_view(struct slice bytes)
{
    struct node_view v;
    return view_decode(bytes, &v);
}

static void row_e4_a_load_that_nobody_writes_is_refused(void **state)
{
    (void)state;
    struct buf bytes = {0};
    load_note_encode(&note, &bytes);
    refuse_lengths(&bytes, decode_note);
    bytes.data[0] = 4; /* an unknown flag */
    assert_int_equal(decode_note(buf_slice(&bytes)), STATUS_CORRUPT);
    struct load_note more = note;
    more.load.loop_permille = 1001;
    buf_clear(&bytes);
    load_note_encode(&more, &bytes);
    assert_int_equal(decode_note(buf_slice(&bytes)), STATUS_CORRUPT);
    buf_deinit(&bytes);
}

static void expect_refused(const struct node_view *v)
{
    struct buf bytes = {0};
    view_encode(v, &bytes);
    assert_int_equal(decode_view(buf_slice(&bytes)), STATUS_CORRUPT);
    buf_deinit(&bytes);
}

static void row_e5_a_view_that_nobody_writes_is_refused(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct node_view v = view_of(3);
    view_encode(&v, &bytes);
    refuse_lengths(&bytes, decode_view);
    bytes.data[16] = LIMIT_MEMBERS + 1;
    assert_int_equal(decode_view(buf_slice(&bytes)), STATUS_CORRUPT);
    buf_deinit(&bytes);

    struct node_view bad = v;
    bad.term = 0;
    expect_refused(&bad);
    bad = v;
    bad.items[1].presence = (enum node_presence)3;
    expect_refused(&bad);
    bad = v;
    snprintf(bad.items[1].address.host, sizeof(bad.items[1].address.host), "a/b");
    expect_refused(&bad);
    bad = v;
    snprintf(bad.items[0].name, sizeof(bad.items[0].name), "z"); /* not by name */
    expect_refused(&bad);
    bad = view_of(0);
    expect_refused(&bad);
}

/* Whatever is read from noise is what would be written. */
static void row_e5_noise_is_refused_or_understood(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    struct node_view v = view_of(4);
    struct buf bytes = {0};
    struct buf again = {0};
    for (int round = 0; round < 20000; round++) {
        buf_clear(&bytes);
        view_encode(&v, &bytes);
        for (int i = 0; i < 3; i++) {
            bytes.data[rng_below(&rng, bytes.size)] = (uint8_t)rng_next(&rng);
        }
        struct node_view got;
        if (view_decode(buf_slice(&bytes), &got) == STATUS_OK) {
            buf_clear(&again);
            view_encode(&got, &again);
            assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
        }
    }
    buf_deinit(&bytes);
    buf_deinit(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_e4_a_load_comes_back_as_it_was),
        cmocka_unit_test(row_e5_a_view_comes_back_as_it_was),
        cmocka_unit_test(row_e4_a_load_that_nobody_writes_is_refused),
        cmocka_unit_test(row_e5_a_view_that_nobody_writes_is_refused),
        cmocka_unit_test(row_e5_noise_is_refused_or_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
