/* What members say to each other about a snapshot, and what one carries beside the state. */
#include "node/snapshot_wire.h"

#include "base/codec.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct snapshot_offer offer = {
    .term = 9,
    .file = {.cluster = {{1, 2, 3}}, .id = {.index = 70, .term = 8}, .size_bytes = 900, .crc = 77},
};

static void a_snapshot_frame_comes_back_as_it_was(void **state)
{
    (void)state;
    struct buf bytes = {0};
    snapshot_offer_encode(&offer, &bytes);
    struct snapshot_offer o;
    assert_int_equal(snapshot_offer_decode(buf_slice(&bytes), &o), STATUS_OK);
    assert_int_equal(o.term, 9);
    assert_true(uuid_equal(o.file.cluster, offer.file.cluster));
    assert_true(snapshot_tag_equal(snapshot_tag_of(&o.file), snapshot_tag_of(&offer.file)));
    assert_int_equal(o.file.size_bytes, 900);

    buf_clear(&bytes);
    const struct snapshot_want want = {
        .tag = snapshot_tag_of(&offer.file), .answer = SNAPSHOT_GOT, .offset = 300};
    snapshot_want_encode(&want, &bytes);
    struct snapshot_want w;
    assert_int_equal(snapshot_want_decode(buf_slice(&bytes), &w), STATUS_OK);
    assert_true(snapshot_tag_equal(w.tag, want.tag));
    assert_int_equal(w.answer, SNAPSHOT_GOT);
    assert_int_equal(w.offset, 300);

    buf_clear(&bytes);
    const struct snapshot_piece piece = {
        .tag = want.tag, .offset = 300, .bytes = slice_str("state")};
    snapshot_piece_encode(&piece, &bytes);
    struct snapshot_piece p;
    assert_int_equal(snapshot_piece_decode(buf_slice(&bytes), &p), STATUS_OK);
    assert_int_equal(p.offset, 300);
    assert_true(slice_equal(p.bytes, slice_str("state")));
    buf_deinit(&bytes);
}

static void a_snapshot_frame_that_nobody_writes_is_refused(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct snapshot_offer o;
    struct snapshot_want w;
    struct snapshot_piece p;
    snapshot_offer_encode(&offer, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(snapshot_offer_decode(slice_of(bytes.data, size), &o), STATUS_CORRUPT);
    }
    store_u64(bytes.data, 7); /* a leader of a term before that of the snapshot */
    assert_int_equal(snapshot_offer_decode(buf_slice(&bytes), &o), STATUS_CORRUPT);

    buf_clear(&bytes);
    const struct snapshot_want want = {.tag = snapshot_tag_of(&offer.file),
                                       .answer = SNAPSHOT_REFUSED};
    snapshot_want_encode(&want, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(snapshot_want_decode(slice_of(bytes.data, size), &w), STATUS_CORRUPT);
    }
    bytes.data[20] = 6;
    assert_int_equal(snapshot_want_decode(buf_slice(&bytes), &w), STATUS_CORRUPT);
    bytes.data[20] = 0;
    assert_int_equal(snapshot_want_decode(buf_slice(&bytes), &w), STATUS_CORRUPT);

    buf_clear(&bytes);
    snapshot_piece_encode(&(struct snapshot_piece){.tag = want.tag}, &bytes);
    assert_int_equal(snapshot_piece_decode(buf_slice(&bytes), &p), STATUS_CORRUPT); /* no bytes */
    static uint8_t many[SNAPSHOT_PIECE_BYTES + 1];
    buf_append(&bytes, many, sizeof(many));
    assert_int_equal(snapshot_piece_decode(buf_slice(&bytes), &p), STATUS_CORRUPT);
    buf_deinit(&bytes);
}

static void rule_s1_a_snapshot_carries_both_halves_of_a_configuration(void **state)
{
    (void)state;
    const struct snapshot_meta meta = {
        .config_index = 12,
        .revision = 400,
        .config = {.voter_count = 3,
                   .voters = {1, 2, 4},
                   .outgoing_count = 3,
                   .outgoing = {1, 2, 3},
                   .learner_count = 1,
                   .learners = {9}},
        .annex = slice_str("names and URLs"),
    };
    struct buf bytes = {0};
    snapshot_meta_encode(&meta, &bytes);
    struct snapshot_meta m;
    assert_int_equal(snapshot_meta_decode(buf_slice(&bytes), &m), STATUS_OK);
    assert_int_equal(m.config_index, 12);
    assert_int_equal(m.revision, 400);
    assert_int_equal(m.config.voter_count, 3);
    assert_int_equal(m.config.voters[2], 4);
    assert_int_equal(m.config.outgoing_count, 3);
    assert_int_equal(m.config.outgoing[2], 3);
    assert_int_equal(m.config.learners[0], 9);
    assert_true(slice_equal(m.annex, meta.annex));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_not_equal(snapshot_meta_decode(slice_of(bytes.data, size), &m), STATUS_OK);
    }
    bytes.data[0]++;
    assert_int_equal(snapshot_meta_decode(buf_slice(&bytes), &m), STATUS_UNSUPPORTED);
    buf_deinit(&bytes);
}

static void damaged_snapshot_frames_are_survived(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 1);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[80];
        size_t size = rng_below(&r, sizeof(bytes));
        for (size_t k = 0; k < size; k++) {
            bytes[k] = (uint8_t)rng_below(&r, rng_chance(&r, 1, 2) ? 4 : 256);
        }
        struct snapshot_offer o;
        struct snapshot_want w;
        struct snapshot_piece p;
        struct snapshot_meta m;
        struct slice s = slice_of(bytes, size);
        (void)!snapshot_offer_decode(s, &o);
        (void)!snapshot_want_decode(s, &w);
        (void)!snapshot_piece_decode(s, &p);
        (void)!snapshot_meta_decode(s, &m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_frame_comes_back_as_it_was),
        cmocka_unit_test(a_snapshot_frame_that_nobody_writes_is_refused),
        cmocka_unit_test(rule_s1_a_snapshot_carries_both_halves_of_a_configuration),
        cmocka_unit_test(damaged_snapshot_frames_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
