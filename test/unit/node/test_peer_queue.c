/* What waits for one member: order, precedence, bounds. */
#include "node/peer_queue.h"

#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool push(struct peer_queue *q, bool urgent, const char *text)
{
    return peer_queue_push(q, FRAME_RAFT, urgent, slice_str(text));
}

static void expect(struct peer_queue *q, const char *text)
{
    struct frame f;
    assert_true(peer_queue_next(q, &f));
    assert_true(slice_equal(f.payload, slice_str(text)));
    assert_int_equal(f.stream, 0);
    peer_queue_pop(q, &f);
}

static void rule_o3_urgent_messages_go_first_and_appends_keep_their_order(void **state)
{
    (void)state;
    struct peer_queue q = {0};
    struct frame f;
    assert_true(push(&q, false, "append 1"));
    assert_true(push(&q, false, "append 2"));
    assert_true(push(&q, true, "vote"));
    assert_true(push(&q, true, "beat"));
    expect(&q, "vote");
    expect(&q, "beat");
    expect(&q, "append 1");
    assert_true(push(&q, true, "beat"));
    expect(&q, "beat");
    expect(&q, "append 2");
    assert_false(peer_queue_next(&q, &f));
    assert_int_equal(peer_queue_bytes(&q), 0);
    peer_queue_deinit(&q);
}

static void rule_o3_an_urgent_message_goes_between_the_pieces_of_a_long_one(void **state)
{
    (void)state;
    enum { SIZE = 3 * FRAME_PAYLOAD_MAX };
    uint8_t *bytes = mem_calloc(1, SIZE);
    struct peer_queue q = {0};
    struct frame f;
    assert_true(peer_queue_push(&q, FRAME_RAFT, false, slice_of(bytes, SIZE)));
    assert_true(peer_queue_next(&q, &f));
    assert_int_equal(f.flags, FRAME_FIRST);
    uint16_t stream = f.stream;
    peer_queue_pop(&q, &f);
    assert_true(push(&q, true, "beat"));
    expect(&q, "beat");
    assert_true(peer_queue_next(&q, &f));
    assert_int_equal(f.flags, 0);
    assert_int_equal(f.stream, stream);
    /* Another connection goes on: all over again. */
    peer_queue_restart(&q);
    int pieces = 0;
    while (peer_queue_next(&q, &f)) {
        assert_int_equal((f.flags & FRAME_FIRST) != 0, pieces == 0);
        assert_int_equal((f.flags & FRAME_LAST) != 0, pieces == 2);
        peer_queue_pop(&q, &f);
        pieces++;
    }
    assert_int_equal(pieces, 3);
    peer_queue_deinit(&q);
    mem_free(bytes);
}

static void rule_o1_both_queues_are_bounded_apart(void **state)
{
    (void)state;
    enum { SIZE = 60000 };
    uint8_t *bytes = mem_calloc(1, SIZE);
    struct peer_queue q = {0};
    size_t appends = 0;
    while (peer_queue_push(&q, FRAME_RAFT, false, slice_of(bytes, SIZE))) {
        appends++;
    }
    assert_true(appends * SIZE <= LIMIT_PEER_UNSENT_BYTES);
    assert_true((appends + 2) * SIZE > LIMIT_PEER_UNSENT_BYTES);
    /* A flood of appends does not drop a vote. */
    assert_true(push(&q, true, "vote"));
    size_t urgent = 0;
    while (peer_queue_push(&q, FRAME_RAFT, true, slice_of(bytes, SIZE))) {
        urgent++;
    }
    assert_true(urgent * SIZE <= LIMIT_PEER_URGENT_BYTES);
    peer_queue_deinit(&q);
    mem_free(bytes);
}

static void one_message_of_any_size_is_taken_by_an_empty_queue(void **state)
{
    (void)state;
    size_t size = LIMIT_PEER_UNSENT_BYTES + 1;
    uint8_t *bytes = mem_calloc(1, size);
    struct peer_queue q = {0};
    assert_true(peer_queue_push(&q, FRAME_RAFT, false, slice_of(bytes, size)));
    assert_false(push(&q, false, "next"));
    peer_queue_deinit(&q);
    mem_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_o3_urgent_messages_go_first_and_appends_keep_their_order),
        cmocka_unit_test(rule_o3_an_urgent_message_goes_between_the_pieces_of_a_long_one),
        cmocka_unit_test(rule_o1_both_queues_are_bounded_apart),
        cmocka_unit_test(one_message_of_any_size_is_taken_by_an_empty_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
