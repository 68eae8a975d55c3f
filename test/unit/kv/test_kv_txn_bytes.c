/* The bytes of transactions (docs/DATA_DIR.md). */
#include "kv_fixture.h"
#include "txn_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct kv_txn *every_kind(void)
{
    struct kv_txn *txn = kv_txn_create();
    for (enum kv_compare_target t = KV_COMPARE_VERSION; t <= KV_COMPARE_LEASE; t++) {
        add_compare(txn, one("some key"), t, KV_NOT_EQUAL, -1);
    }
    add_compare_value(txn, between("a", "b"), KV_LESS, "value");
    struct kv_range *r = add_range(&txn->success, all());
    *r = (struct kv_range){.span = between("x", "y"),
                           .revision = 300,
                           .limit = 5,
                           .order = KV_SORT_DESCEND,
                           .target = KV_SORT_VALUE,
                           .keys_only = true,
                           .min_mod_revision = 1,
                           .max_mod_revision = UINT64_MAX,
                           .min_create_revision = 128,
                           .max_create_revision = 3};
    add_range(&txn->success, all())->count_only = true;
    add_put(&txn->failure, "k", "v")->lease = 300;
    add_put(&txn->failure, "l", "")->ignore_value = true;
    add_put(&txn->failure, "m", "w")->ignore_lease = true;
    add_delete(&txn->failure, one("n"))->previous = true;
    struct kv_txn *nested = add_nested(&txn->failure);
    add_delete(&nested->success, between("o", "p"));
    add_put(&nested->failure, "q", "")->previous = true;
    return txn;
}

static void transactions_come_back_as_they_went(void **state)
{
    (void)state;
    struct kv_txn *txn = every_kind();
    struct kv_txn *back;
    struct buf bytes = {0};
    struct buf again = {0};
    kv_txn_encode(txn, &bytes);
    assert_int_equal(kv_txn_decode(buf_slice(&bytes), &back), STATUS_OK);
    kv_txn_encode(back, &again);
    assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
    assert_int_equal(back->compares[0].number, -1);
    assert_int_equal(back->success.at[0].range.max_create_revision, 3);
    assert_true(back->failure.at[1].put.ignore_value);
    assert_true(
        slice_equal(back->failure.at[4].nested->success.at[0].deletes.span.end, slice_str("p")));
    kv_txn_destroy(back);
    kv_txn_destroy(txn);
    buf_deinit(&bytes);
    buf_deinit(&again);
}

/* Whatever is taken is exactly what the encoder writes, and can be applied. */
static void malformed_bytes_are_refused(void **state)
{
    struct kv *kv = *state;
    struct kv_txn *txn = every_kind();
    struct buf bytes = {0};
    struct buf again = {0};
    kv_txn_encode(txn, &bytes);
    kv_txn_destroy(txn);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(kv_txn_decode(slice_of(bytes.data, size), &txn), STATUS_CORRUPT);
        assert_null(txn);
    }
    for (size_t at = 0; at < bytes.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (uint8_t)(1u << bit);
            if (kv_txn_decode(buf_slice(&bytes), &txn) == STATUS_OK) {
                struct kv_result r;
                buf_clear(&again);
                kv_txn_encode(txn, &again);
                assert_true(slice_equal(buf_slice(&bytes), buf_slice(&again)));
                const struct kv_command c = {.op = KV_TXN, .txn = buf_slice(&bytes)};
                kv_apply(kv, &c, &r);
            }
            kv_txn_destroy(txn);
            bytes.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    buf_append_byte(&bytes, 0);
    assert_int_equal(kv_txn_decode(buf_slice(&bytes), &txn), STATUS_CORRUPT);
    buf_deinit(&bytes);
    buf_deinit(&again);
}

static void promises_of_counts_and_depth_take_no_memory(void **state)
{
    (void)state;
    struct kv_txn *txn;
    struct buf deep = {0};
    for (unsigned i = 0; i < 100000; i++) {
        buf_append(&deep, "\x00\x01\x04", 3); /* no compare, one nested */
    }
    assert_int_equal(kv_txn_decode(buf_slice(&deep), &txn), STATUS_CORRUPT);
    buf_deinit(&deep);
    assert_int_equal(kv_txn_decode(slice_of("\xff\xff\xff\xff\x0f", 5), &txn), STATUS_CORRUPT);
    assert_int_equal(kv_txn_decode(slice_of("\x80\x00\x00\x00", 4), &txn), STATUS_CORRUPT);
    assert_int_equal(kv_txn_decode(slice_of("\x00\x00\x00", 3), &txn), STATUS_OK);
    kv_txn_destroy(txn);
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(transactions_come_back_as_they_went),
        KV_TEST(malformed_bytes_are_refused),
        KV_TEST(promises_of_counts_and_depth_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
