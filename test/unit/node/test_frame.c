/* Openings, tags and messages in pieces. */
#include "node/frame.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct frame_seal seal_of(bool keyed, uint8_t key)
{
    struct frame_seal s = {.keyed = keyed};
    memset(s.key, key, sizeof(s.key));
    return s;
}

static struct frame frame_of(struct slice payload)
{
    return (struct frame){
        .type = FRAME_RAFT, .flags = FRAME_FIRST | FRAME_LAST, .payload = payload};
}

static void frames_come_back_with_and_without_a_key(void **state)
{
    (void)state;
    static uint8_t payload[FRAME_PAYLOAD_MAX];
    memset(payload, 'p', sizeof(payload));
    const size_t sizes[] = {0, 1, 100, FRAME_PAYLOAD_MAX};
    for (int keyed = 0; keyed <= 1; keyed++) {
        struct frame_seal out = seal_of(keyed == 1, 5);
        struct frame_seal in = out;
        struct buf b = {0};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct frame f = frame_of(slice_of(payload, sizes[i]));
            struct frame back;
            size_t used;
            buf_clear(&b);
            frame_write(&out, &f, &b);
            assert_true(b.size <= LIMIT_FRAME_BYTES);
            assert_int_equal(frame_read(&in, slice_of(b.data, b.size - 1), &back, &used),
                             STATUS_OK);
            assert_int_equal(used, 0);
            assert_int_equal(frame_read(&in, buf_slice(&b), &back, &used), STATUS_OK);
            assert_int_equal(used, b.size);
            assert_int_equal(back.type, FRAME_RAFT);
            assert_true(slice_equal(back.payload, f.payload));
        }
        buf_deinit(&b);
    }
}

/* Nothing wrong was taken: refused, or still waiting for bytes that the frame does not have. */
static bool is_not_taken(const struct frame_seal *in, struct slice bytes)
{
    struct frame_seal copy = *in;
    struct frame f;
    size_t used;
    enum status s = frame_read(&copy, bytes, &f, &used);
    return s != STATUS_OK || used == 0;
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    (void)state;
    for (int keyed = 0; keyed <= 1; keyed++) {
        struct frame_seal out = seal_of(keyed == 1, 5);
        const struct frame_seal in = out;
        struct buf b = {0};
        struct frame f = frame_of(slice_str("twenty or so bytes of it"));
        frame_write(&out, &f, &b);
        assert_false(is_not_taken(&in, buf_slice(&b)));
        for (size_t bit = 0; bit < b.size * 8; bit++) {
            b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_true(is_not_taken(&in, buf_slice(&b)));
            b.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        buf_deinit(&b);
    }
}

static void a_replayed_a_skipped_and_a_reordered_frame_are_refused(void **state)
{
    (void)state;
    for (int keyed = 0; keyed <= 1; keyed++) {
        struct frame_seal out = seal_of(keyed == 1, 5);
        struct frame_seal in = out;
        struct buf first = {0};
        struct buf second = {0};
        struct frame f = frame_of(slice_str("same"));
        frame_write(&out, &f, &first);
        frame_write(&out, &f, &second);
        assert_true(is_not_taken(&in, buf_slice(&second)));
        struct frame back;
        size_t used;
        assert_int_equal(frame_read(&in, buf_slice(&first), &back, &used), STATUS_OK);
        assert_int_equal(used, first.size);
        assert_true(is_not_taken(&in, buf_slice(&first)));
        assert_false(is_not_taken(&in, buf_slice(&second)));
        buf_deinit(&first);
        buf_deinit(&second);
    }
}

static void a_length_beyond_a_frame_is_refused_at_once(void **state)
{
    (void)state;
    struct frame_seal in = seal_of(true, 5);
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame f;
    size_t used;
    memset(header, 0xff, sizeof(header));
    assert_int_equal(frame_read(&in, slice_of(header, sizeof(header)), &f, &used), STATUS_CORRUPT);
}

static void keys_depend_on_secret_nonces_lane_and_direction(void **state)
{
    (void)state;
    struct frame_opening a = {.version = FRAME_VERSION, .keyed = true, .dialler = true};
    struct frame_opening b = {.version = FRAME_VERSION, .keyed = true};
    memset(a.nonce, 1, sizeof(a.nonce));
    memset(b.nonce, 2, sizeof(b.nonce));
    uint8_t secret[2][FRAME_KEY_BYTES];
    frame_secret_key(slice_str("one"), secret[0]);
    frame_secret_key(slice_str("two"), secret[1]);
    uint8_t keys[12][FRAME_KEY_BYTES];
    size_t count = 0;
    for (int change = 0; change < 6; change++) {
        struct frame_opening x = a;
        struct frame_opening y = b;
        x.nonce[31] ^= change == 1 ? 1 : 0;
        y.nonce[31] ^= change == 2 ? 1 : 0;
        x.lane = change == 3 ? LANE_BULK : LANE_RAFT;
        x.number = change == 4 ? 9 : 0;
        uint8_t dialler[OPENING_BYTES];
        uint8_t acceptor[OPENING_BYTES];
        opening_encode(&x, dialler);
        opening_encode(&y, acceptor);
        frame_link_keys(secret[change == 5 ? 1 : 0], dialler, acceptor, keys[count],
                        keys[count + 1]);
        count += 2;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(keys[i], keys[k], FRAME_KEY_BYTES);
        }
    }
}

static void openings_come_back_and_changed_ones_are_refused(void **state)
{
    (void)state;
    struct frame_opening o = {
        .version = FRAME_VERSION, .lane = LANE_BULK, .keyed = true, .dialler = true, .number = 77};
    struct frame_opening back;
    uint8_t bytes[OPENING_BYTES];
    memset(o.nonce, 3, sizeof(o.nonce));
    opening_encode(&o, bytes);
    for (size_t size = 0; size < OPENING_BYTES; size++) {
        assert_int_equal(opening_decode(slice_of(bytes, size), &back), STATUS_BUSY);
    }
    assert_int_equal(opening_decode(slice_of(bytes, sizeof(bytes)), &back), STATUS_OK);
    assert_int_equal(back.lane, LANE_BULK);
    assert_int_equal(back.number, 77);
    assert_true(back.keyed && back.dialler);
    assert_memory_equal(back.nonce, o.nonce, sizeof(o.nonce));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(opening_decode(slice_of(bytes, sizeof(bytes)), &back), STATUS_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void an_opening_of_another_version_names_it(void **state)
{
    (void)state;
    uint8_t bytes[OPENING_BYTES];
    struct frame_opening o = {.version = 7};
    opening_encode(&o, bytes);
    assert_int_equal(opening_decode(slice_of(bytes, 6), &o), STATUS_UNSUPPORTED);
    assert_int_equal(o.version, 7);
    assert_int_equal(opening_decode(slice_str("HTTP/1.1 400 "), &o), STATUS_CORRUPT);
}

static struct frame piece(uint16_t stream, uint8_t flags, const char *text)
{
    return (struct frame){
        .type = FRAME_RAFT, .flags = flags, .stream = stream, .payload = slice_str(text)};
}

static enum status join(struct frame_joiner *j, struct frame f, struct slice *message, bool *whole)
{
    return frame_join(j, &f, message, whole);
}

static void messages_in_pieces_may_cross(void **state)
{
    (void)state;
    struct frame_joiner j = {0};
    struct slice m;
    bool whole;
    assert_int_equal(join(&j, piece(1, FRAME_FIRST, "long "), &m, &whole), STATUS_OK);
    assert_false(whole);
    assert_int_equal(join(&j, piece(0, FRAME_FIRST | FRAME_LAST, "beat"), &m, &whole), STATUS_OK);
    assert_true(whole && slice_equal(m, slice_str("beat")));
    assert_int_equal(join(&j, piece(2, FRAME_FIRST, "other "), &m, &whole), STATUS_OK);
    assert_int_equal(join(&j, piece(1, 0, "and "), &m, &whole), STATUS_OK);
    assert_int_equal(join(&j, piece(2, FRAME_LAST, "one"), &m, &whole), STATUS_OK);
    assert_true(whole && slice_equal(m, slice_str("other one")));
    assert_int_equal(join(&j, piece(1, FRAME_LAST, "slow"), &m, &whole), STATUS_OK);
    assert_true(whole && slice_equal(m, slice_str("long and slow")));
    assert_int_equal(j.size_bytes, 0);
    frame_joiner_deinit(&j);
}

static void pieces_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct slice m;
    bool whole;
    const struct {
        struct frame before;
        struct frame bad;
    } cases[] = {
        {piece(1, FRAME_FIRST, "a"), piece(1, FRAME_FIRST, "b")},
        {piece(1, FRAME_FIRST, "a"), piece(2, 0, "b")},
        {piece(1, FRAME_FIRST, "a"), piece(2, FRAME_LAST, "b")},
        {piece(1, FRAME_FIRST, "a"), piece(1, 0, "")},
        {piece(1, FRAME_FIRST, "a"), piece(0, 0, "b")},
        {piece(1, FRAME_FIRST, "a"), piece(0, FRAME_FIRST, "b")},
        {piece(1, FRAME_FIRST, "a"), piece(1, 4, "b")},
        {piece(1, FRAME_FIRST, "a"),
         {.type = FRAME_NOTE, .flags = FRAME_LAST, .stream = 1, .payload = slice_str("b")}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct frame_joiner j = {0};
        assert_int_equal(join(&j, cases[i].before, &m, &whole), STATUS_OK);
        assert_int_equal(join(&j, cases[i].bad, &m, &whole), STATUS_CORRUPT);
        frame_joiner_deinit(&j);
    }
}

static void rule_o1_pieces_are_bounded_in_number_and_bytes(void **state)
{
    (void)state;
    struct frame_joiner j = {0};
    struct slice m;
    bool whole;
    for (uint16_t stream = 1; stream <= LIMIT_PEER_STREAMS; stream++) {
        assert_int_equal(join(&j, piece(stream, FRAME_FIRST, "x"), &m, &whole), STATUS_OK);
    }
    assert_int_equal(join(&j, piece(99, FRAME_FIRST, "x"), &m, &whole), STATUS_CORRUPT);
    j.size_bytes = LIMIT_PEER_MESSAGE_BYTES - 1;
    assert_int_equal(join(&j, piece(1, 0, "xx"), &m, &whole), STATUS_CORRUPT);
    frame_joiner_deinit(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_with_and_without_a_key),
        cmocka_unit_test(a_flipped_bit_anywhere_is_refused),
        cmocka_unit_test(a_replayed_a_skipped_and_a_reordered_frame_are_refused),
        cmocka_unit_test(a_length_beyond_a_frame_is_refused_at_once),
        cmocka_unit_test(keys_depend_on_secret_nonces_lane_and_direction),
        cmocka_unit_test(openings_come_back_and_changed_ones_are_refused),
        cmocka_unit_test(an_opening_of_another_version_names_it),
        cmocka_unit_test(messages_in_pieces_may_cross),
        cmocka_unit_test(pieces_that_do_not_fit_are_refused),
        cmocka_unit_test(rule_o1_pieces_are_bounded_in_number_and_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
