/* GET /log and GET /replication: what is asked of the node, and how its answer is printed. */
#include "rest_asserts.h"

#include <stdio.h>
#include <string.h>

static struct node_log_entry command_entry(uint64_t index, const char *type, enum kv_op op)
{
    return (struct node_log_entry){
        .index = index,
        .term = 2,
        .type = type,
        .has_command = true,
        .command = {.op = op, .time_ms = 1700000000000 + index, .key = slice_str("k")},
    };
}

static struct node_log_entry write_entry(uint64_t index, const char *value)
{
    struct node_log_entry e = command_entry(index, "write", KV_PUT);
    e.has_value = true;
    e.command.value = slice_str(value);
    return e;
}

static void answer_with(const struct node_log_entry *entries, uint32_t count, uint64_t newest)
{
    fake_node.log_entries = entries;
    fake_node.log_count = count;
    fake_node.log_oldest = 1;
    fake_node.log_newest = newest;
}

/* --- entries ---------------------------------------------------------------------------------- */

static void row_d7_each_type_of_entry_has_the_same_fields(void **state)
{
    (void)state;
    struct node_log_entry compaction = command_entry(5, "compact", KV_COMPACT);
    compaction.command.key = slice_of(NULL, 0);
    compaction.command.revision = 9;
    const struct node_log_entry entries[] = {
        {.index = 2, .term = 2, .type = "noop"},   write_entry(3, "{\"a\": 1.10}"),
        command_entry(4, "delete", KV_DELETE),     compaction,
        {.index = 6, .term = 2, .type = "config"},
    };
    answer_with(entries, 5, 6);
    check((struct expect){
        "GET", "/log?from=2", NULL, NULL, 200,
        "{\"entries\":["
        "{\"id\":2,\"term\":2,\"time\":null,\"type\":\"noop\",\"key\":null,\"value\":null},"
        "{\"id\":3,\"term\":2,\"time\":1700000000003,\"type\":\"write\",\"key\":\"k\","
        "\"value\":{\"a\": 1.10}},"
        "{\"id\":4,\"term\":2,\"time\":1700000000004,\"type\":\"delete\",\"key\":\"k\","
        "\"value\":null},"
        "{\"id\":5,\"term\":2,\"time\":1700000000005,\"type\":\"compact\",\"key\":null,"
        "\"value\":null,\"revision\":9},"
        "{\"id\":6,\"term\":2,\"time\":null,\"type\":\"config\",\"key\":null,\"value\":null}],"
        "\"oldest\":1,\"newest\":6,\"more\":false,\"next\":7}"});
    assert_int_equal(fake_node.last_log_read.from, 2);
    assert_int_equal(fake_node.last_log_read.limit, 100);
}

static void row_d7_what_may_have_kept_a_write_from_being_done_is_told(void **state)
{
    (void)state;
    struct node_log_entry entries[] = {write_entry(1, "1"), write_entry(2, "\xff\xfe"),
                                       write_entry(3, "text")};
    entries[0].command.condition = KV_IF_REVISION;
    entries[0].command.condition_revision = 7;
    entries[0].command.retry_key = slice_str("again");
    entries[1].command.condition = KV_IF_ABSENT;
    entries[2].command.condition = KV_IF_EXISTS;
    answer_with(entries, 3, 4);
    check((struct expect){
        "GET", "/log", NULL, NULL, 200,
        "{\"entries\":["
        "{\"id\":1,\"term\":2,\"time\":1700000000001,\"type\":\"write\",\"key\":\"k\",\"value\":1,"
        "\"condition\":\"revision 7\",\"idempotencyKey\":\"again\"},"
        "{\"id\":2,\"term\":2,\"time\":1700000000002,\"type\":\"write\",\"key\":\"k\","
        "\"value\":\"//4=\",\"encoding\":\"base64\",\"condition\":\"absent\"},"
        "{\"id\":3,\"term\":2,\"time\":1700000000003,\"type\":\"write\",\"key\":\"k\","
        "\"value\":\"text\",\"encoding\":\"text\",\"condition\":\"exists\"}],"
        "\"oldest\":1,\"newest\":4,\"more\":true,\"next\":4}"});
    assert_int_equal(fake_node.last_log_read.from, 0);
}

static void behind_the_newest_there_is_nothing_yet(void **state)
{
    (void)state;
    answer_with(NULL, 0, 6);
    check((struct expect){"GET", "/log?from=7&limit=1000", NULL, NULL, 200,
                          "{\"entries\":[],\"oldest\":1,\"newest\":6,\"more\":false,\"next\":7}"});
    assert_int_equal(fake_node.last_log_read.limit, 1000);
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    answer_with(NULL, 0, 6);
    fake_node.log_oldest = 4;
    static const struct {
        enum status status;
        int http_status;
        const char *answer;
    } rows[] = {
        {STATUS_COMPACTED, 410, "{\"error\":\"Compacted\",\"oldest\":4}"},
        {STATUS_FUTURE, 400, "{\"error\":\"index is in the future\",\"newest\":6}"},
        {STATUS_OVERLOADED, 429, "{\"error\":\"overloaded\"}"},
        {STATUS_CLOSED, 503,
         "{\"error\":\"Not ready\",\"reason\":\"this member is founding, joining or stopping\"}"},
        {STATUS_TIMEOUT, 504, "{\"error\":\"timed out\"}"},
        {STATUS_CORRUPT, 500, "{\"error\":\"corrupt\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_node.log_start = rows[i].status;
        check((struct expect){"GET", "/log", NULL, NULL, rows[i].http_status, rows[i].answer});
        fake_node.log_start = STATUS_OK;
        fake_node.log_outcome = rows[i].status;
        check((struct expect){"GET", "/log", NULL, NULL, rows[i].http_status, rows[i].answer});
    }
}

static void bad_parameters_of_the_log_are_named(void **state)
{
    (void)state;
#define BAD(name, why)                                                                             \
    "{\"error\":\"Bad query parameter\",\"parameter\":\"" name "\",\"reason\":\"" why "\"}"
    static const struct expect rows[] = {
        {"GET", "/log?from=abc", NULL, NULL, 400, BAD("from", "must be a decimal number")},
        {"GET", "/log?from=0", NULL, NULL, 400, BAD("from", "too small")},
        {"GET", "/log?from=-1", NULL, NULL, 400, BAD("from", "must be a decimal number")},
        {"GET", "/log?from=18446744073709551616", NULL, NULL, 400,
         BAD("from", "must be a decimal number")},
        {"GET", "/log?limit=0", NULL, NULL, 400, BAD("limit", "too small")},
        {"GET", "/log?limit=1001", NULL, NULL, 400, BAD("limit", "must be at most 1000")},
        {"GET", "/log?limit=4294967297", NULL, NULL, 400, BAD("limit", "must be at most 1000")},
        {"GET", "/log?revision=2", NULL, NULL, 400, BAD("revision", "unknown")},
        {"GET", "/log?consistency=weak", NULL, NULL, 400,
         BAD("consistency", "must be linearizable, session or stale")},
        {"GET", "/replication?x=1", NULL, NULL, 400, BAD("x", "unknown")},
        {"POST", "/log", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
    };
    CHECK_EACH(rows);
    assert_null(fake_node.log_read);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void the_log_is_read_once_all_that_was_acknowledged_is_in_it(void **state)
{
    (void)state;
    fake_node.reads_wait = true;
    struct asked *a = ask("GET", "/log", NULL, slice_of(NULL, 0));
    assert_int_equal(fake_node.last_read.consistency, NODE_LINEARIZABLE);
    assert_non_null(fake_node.read);
    assert_null(fake_node.log_read);
    hang_up(a);
    assert_null(fake_node.read);
    forget(a);
    fake_node.read_outcome = STATUS_NOT_LEADER;
    check((struct expect){
        "GET", "/log", NULL, NULL, 503,
        "{\"error\":\"No leader\",\"currentRole\":\"leader\",\"leaderId\":\"node-1\","
        "\"leaderUrl\":\"http://127.0.0.1:4001\","
        "\"hint\":\"consistency=stale reads this member's own copy\"}"});
    assert_null(fake_node.log_read);
    fake_node.read_outcome = STATUS_OK;
    fake_node.reads_wait = false;
    check((struct expect){"GET", "/log?consistency=stale", NULL, NULL, 200,
                          "{\"entries\":[],\"oldest\":0,\"newest\":0,\"more\":false,\"next\":1}"});
    assert_int_equal(fake_node.last_read.consistency, NODE_STALE);
}

static void a_client_that_goes_away_ends_the_reading_of_the_log(void **state)
{
    (void)state;
    struct asked *a = ask("GET", "/log", NULL, slice_of(NULL, 0));
    assert_non_null(fake_node.log_read);
    hang_up(a);
    assert_null(fake_node.log_read);
    assert_int_equal(fake_node.cancels, 1);
    forget(a);
}

static void rule_o1_the_log_is_not_read_for_one_that_takes_no_answers(void **state)
{
    (void)state;
    answer_with(NULL, 0, 6);
    fake_chunks_room = 0;
    struct asked *a = ask("GET", "/log", NULL, slice_of(NULL, 0));
    assert_null(fake_node.log_read);
    fake_chunks_room = 1;
    fake_writable(a);
    assert_non_null(fake_node.log_read);
    fake_turn();
    assert_answered(a, 200, "{\"entries\":[],\"oldest\":1,\"newest\":6,\"more\":false,\"next\":7}");
    forget(a);
}

/* --- who may ask ------------------------------------------------------------------------------ */

static void a_web_page_of_another_origin_reads_no_log(void **state)
{
    (void)state;
    static const char *const targets[] = {"/log", "/replication"};
    for (size_t i = 0; i < 2; i++) {
        struct asked *a =
            ask("GET", targets[i], "Host: a:1\nOrigin: http://evil\n", slice_of(NULL, 0));
        assert_int_equal(a->status, 403);
        struct buf headers = {0};
        common_headers_of(a, &headers);
        assert_null(memmem(headers.data, headers.size, "Allow-Origin", 12));
        buf_deinit(&headers);
        forget(a);
    }
    assert_null(fake_node.log_read);
}

/* --- replication ------------------------------------------------------------------------------ */

static void row_c10_the_leader_shows_what_each_member_lacks(void **state)
{
    (void)state;
    fake_node.replication = (struct node_replication){
        .term = 3,
        .commit_index = 12,
        .last_index = 13,
        .count = 2,
        .replicas = {{.name = "node-2", .state = "replicate", .match = 13, .next = 14},
                     {.name = "node-3",
                      .state = "probe",
                      .match = 5,
                      .next = 6,
                      .backlog = 8,
                      .attempts = 11,
                      .last_error = "cannot connect"}},
    };
    check((struct expect){
        "GET", "/replication", NULL, NULL, 200,
        "{\"leaderId\":\"node-1\",\"term\":3,\"commitIndex\":12,\"lastIndex\":13,\"members\":["
        "{\"name\":\"node-2\",\"match\":13,\"next\":14,\"backlogEntries\":0,\"attempts\":0,"
        "\"lastError\":null,\"state\":\"replicate\"},"
        "{\"name\":\"node-3\",\"match\":5,\"next\":6,\"backlogEntries\":8,\"attempts\":11,"
        "\"lastError\":\"cannot connect\",\"state\":\"probe\"}]}"});
}

static void row_c10_a_follower_names_the_leader(void **state)
{
    (void)state;
    fake_become_follower("node-2");
    fake_node.replication_outcome = STATUS_NOT_LEADER;
    struct asked *a = ask("GET", "/replication", NULL, slice_of(NULL, 0));
    assert_int_equal(a->status, 503);
    assert_non_null(memmem(a->body.data, a->body.size, "\"leaderUrl\":\"http://", 20));
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_d7_each_type_of_entry_has_the_same_fields),
        REST_TEST(row_d7_what_may_have_kept_a_write_from_being_done_is_told),
        REST_TEST(behind_the_newest_there_is_nothing_yet),
        REST_TEST(what_cannot_be_read_is_said),
        REST_TEST(bad_parameters_of_the_log_are_named),
        REST_TEST(the_log_is_read_once_all_that_was_acknowledged_is_in_it),
        REST_TEST(a_client_that_goes_away_ends_the_reading_of_the_log),
        REST_TEST(rule_o1_the_log_is_not_read_for_one_that_takes_no_answers),
        REST_TEST(a_web_page_of_another_origin_reads_no_log),
        REST_TEST(row_c10_the_leader_shows_what_each_member_lacks),
        REST_TEST(row_c10_a_follower_names_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
