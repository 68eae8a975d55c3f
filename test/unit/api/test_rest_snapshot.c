/* GET /snapshot: a backup streams at the reader's pace, and one that broke off is never a whole
 * one. */
#include "rest_asserts.h"

#include <stdlib.h>

#define CONTENT "0123456789abcdefghijKLMNO"

static struct asked *begin(void)
{
    fake_node.backup_bytes = slice_str(CONTENT);
    struct asked *a = ask("GET", "/snapshot", NULL, slice_of(NULL, 0));
    assert_false(a->begun);
    fake_turn();
    return a;
}

static void a_backup_is_streamed_whole(void **state)
{
    (void)state;
    struct asked *a = begin();
    assert_true(a->begun);
    assert_int_equal(a->status, 200);
    assert_same("type", &a->type, "application/octet-stream");
    assert_same("headers", &a->extra,
                "Conclave-Snapshot-Bytes: 25\r\nConclave-Snapshot-Index: 11\r\n"
                "Conclave-Snapshot-Revision: 5\r\n");
    for (int i = 0; i < 4; i++) {
        fake_turn();
    }
    assert_answered(a, 200, CONTENT);
    assert_null(fake_node.backup);
    forget(a);
}

static void rule_o1_a_slow_reader_is_waited_for(void **state)
{
    (void)state;
    fake_chunks_room = 1;
    struct asked *a = begin();
    fake_turn();
    assert_false(fake_node.backup_wanted); /* the first piece is not taken yet */
    assert_int_equal(a->body.size, FAKE_PIECE_BYTES);
    for (int i = 0; i < 3; i++) {
        fake_writable(a);
        fake_turn();
    }
    assert_answered(a, 200, CONTENT);
    forget(a);
}

static void a_backup_that_cannot_be_read_on_is_cut(void **state)
{
    (void)state;
    fake_node.backup_fails_at = 15;
    struct asked *a = begin();
    fake_turn();
    fake_turn();
    assert_true(a->aborted);
    assert_null(fake_node.backup);
    forget(a);
}

static void a_client_that_goes_away_ends_the_backup(void **state)
{
    (void)state;
    struct asked *a = begin();
    hang_up(a);
    assert_null(fake_node.backup);
    forget(a);
}

static void what_cannot_begin_is_said(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_BUSY, 503,
         "{\"error\":\"Busy\",\"reason\":\"another snapshot is being taken, or sent; ask another "
         "member, or again\"}"},
        {STATUS_CLOSED, 503,
         "{\"error\":\"Not ready\",\"reason\":\"this member is founding, joining or stopping\"}"},
        {STATUS_NO_SPACE, 507, "{\"error\":\"Out of space\"}"},
        {STATUS_TIMEOUT, 504, "{\"error\":\"timed out\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.backup_start = rows[i].status;
        check((struct expect){"GET", "/snapshot", NULL, NULL, rows[i].http_status, rows[i].answer});
        fake_node.backup_start = STATUS_OK;
        fake_node.backup_outcome = rows[i].status;
        check((struct expect){"GET", "/snapshot", NULL, NULL, rows[i].http_status, rows[i].answer});
    }
}

static void rule_o1_who_finds_it_busy_is_told_when_to_ask_again(void **state)
{
    (void)state;
    fake_node.backup_start = STATUS_BUSY;
    struct asked *a = ask("GET", "/snapshot", NULL, slice_of(NULL, 0));
    assert_true(a->done); /* nobody waits for a reader that stalls */
    assert_int_equal(a->status, 503);
    assert_true(slice_equal(buf_slice(&a->extra), slice_str("Retry-After: 5\r\n")));
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(a_backup_is_streamed_whole),
        REST_TEST(rule_o1_a_slow_reader_is_waited_for),
        REST_TEST(a_backup_that_cannot_be_read_on_is_cut),
        REST_TEST(a_client_that_goes_away_ends_the_backup),
        REST_TEST(what_cannot_begin_is_said),
        REST_TEST(rule_o1_who_finds_it_busy_is_told_when_to_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
