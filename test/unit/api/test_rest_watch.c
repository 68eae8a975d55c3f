/* GET /watch: one event a revision, rendered once for all; slow readers, lost history, the end. */
#include "rest_asserts.h"

#include "base/limits.h"
#include "kv/kv_txn.h"

#include <stdio.h>

#define BEGIN "retry: 1000\n\n"
#define PROGRESS(revision)                                                                         \
    "id: " revision "\nevent: progress\ndata: {\"revision\":" revision "}\n\n"
#define PUT(revision, key, value, create, version)                                                 \
    "id: " revision "\nevent: change\ndata: {\"revision\":" revision                               \
    ",\"events\":[{\"type\":\"put\",\"key\":\"" key "\",\"value\":" value                          \
    ",\"createRevision\":" create ",\"version\":" version "}]}\n\n"

static struct asked *watch(const char *query, const char *headers)
{
    char target[64];
    snprintf(target, sizeof(target), "/watch%s", query);
    struct asked *a = ask("GET", target, headers, slice_of(NULL, 0));
    assert_true(a->begun && !a->done);
    return a;
}

static void stop(struct asked *a)
{
    hang_up(a);
    forget(a);
}

static void turn(void)
{
    while (kv_watch_hub_step(fake_node.watches)) {
    }
}

static void expect(struct asked *a, const char *text)
{
    turn();
    assert_same((const char *)a->http.target.data, &a->body, text);
    buf_clear(&a->body);
}

static void apply(struct kv_command c)
{
    struct kv_result result;
    kv_apply(fake_node.kv, &c, &result);
    assert_int_equal(result.status, STATUS_OK);
}

static void delete (const char *key)
{
    apply((struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}

static void compact(uint64_t revision)
{
    apply((struct kv_command){.op = KV_COMPACT, .revision = revision});
}

static void rule_i15_one_event_a_revision_in_order(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    struct asked *past = watch("?prefix=a&from=2", NULL);
    struct asked *now = watch("", NULL);
    struct asked *one = watch("?key=ab", "Last-Event-ID: 2\n");
    assert_same("type", &past->type, "text/event-stream");
    store("ab", slice_str("{\"x\":\r\n1}"));
    store("b", slice_str("text"));
    delete ("a");
    expect(past, BEGIN PUT("2", "a", "1", "2", "1")
                     PUT("3", "ab", "{\"x\":\ndata: 1}", "3",
                         "1") "id: 5\nevent: change\ndata: {\"revision\":5,\"events\":"
                              "[{\"type\":\"delete\",\"key\":\"a\"}]}\n\n");
    expect(now, BEGIN PROGRESS("2") PUT("3", "ab", "{\"x\":\ndata: 1}", "3", "1")
                    PUT("4", "b", "\"text\",\"encoding\":\"text\"", "4",
                        "1") "id: 5\nevent: change\ndata: {\"revision\":5,\"events\":"
                             "[{\"type\":\"delete\",\"key\":\"a\"}]}\n\n");
    expect(one, BEGIN PUT("3", "ab", "{\"x\":\ndata: 1}", "3", "1"));
    stop(past);
    stop(now);
    stop(one);
}

static void put_both(void)
{
    struct kv_txn *txn = kv_txn_create();
    for (int i = 0; i < 2; i++) {
        struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
        op->put.key = slice_str(i == 0 ? "a" : "b");
        op->put.value = slice_str("1");
    }
    struct buf bytes = {0};
    kv_txn_encode(txn, &bytes);
    apply((struct kv_command){.op = KV_TXN, .txn = buf_slice(&bytes)});
    buf_deinit(&bytes);
    kv_txn_destroy(txn);
}

static void a_revision_is_rendered_once_for_all_who_get_all_of_it(void **state)
{
    (void)state;
    struct asked *all = watch("?from=1", NULL);
    struct asked *too = watch("?from=1", NULL);
    struct asked *part = watch("?prefix=b&from=1", NULL);
    put_both();
    expect(all, BEGIN "id: 2\nevent: change\ndata: {\"revision\":2,\"events\":"
                      "[{\"type\":\"put\",\"key\":\"a\",\"value\":1,\"createRevision\":2,"
                      "\"version\":1},{\"type\":\"put\",\"key\":\"b\",\"value\":1,"
                      "\"createRevision\":2,\"version\":1}]}\n\n");
    assert_non_null(all->shared);
    assert_ptr_equal(all->shared, too->shared);
    assert_null(part->shared);
    expect(part, BEGIN PUT("2", "b", "1", "2", "1"));
    stop(all);
    stop(too);
    stop(part);
}

static void rule_o4_a_slow_reader_goes_on_when_it_reads(void **state)
{
    (void)state;
    struct asked *a = watch("?from=1", NULL);
    fake_chunks_room = a->chunks + 1;
    store("a", slice_str("1"));
    turn();
    store("a", slice_str("2"));
    expect(a, BEGIN PUT("2", "a", "1", "2", "1"));
    fake_chunks_room += 10;
    fake_writable(a);
    expect(a, PUT("3", "a", "2", "2", "2"));
    stop(a);
}

static void a_silent_stream_says_how_far_it_is(void **state)
{
    (void)state;
    struct asked *a = watch("?prefix=x&from=2", NULL);
    struct asked *future = watch("?from=100", NULL);
    turn();
    buf_clear(&a->body);
    buf_clear(&future->body);
    store("a", slice_str("1"));
    turn();
    fake_pass(11000);
    expect(a, PROGRESS("2"));
    expect(future, "event: progress\ndata: {\"revision\":2}\n\n");
    stop(a);
    stop(future);
}

static void rule_q8_beyond_the_history_all_there_is_comes_first(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    store("a", slice_str("2"));
    store("b", slice_str("3"));
    store("c", slice_str("4"));
    delete ("c");
    compact(5);
    struct asked *a = watch("?prefix=&from=2", NULL);
    struct asked *key = watch("?key=a", "Last-Event-ID: 1\n");
    expect(a, BEGIN "event: resync-begin\ndata: {\"revision\":6}\n\n"
                    "event: resync\ndata: {\"revision\":6,\"keys\":["
                    "{\"key\":\"a\",\"value\":2,\"createRevision\":2,\"version\":2,\"revision\":3},"
                    "{\"key\":\"b\",\"value\":3,\"createRevision\":4,\"version\":1,\"revision\":4}"
                    "]}\n\n"
                    "id: 6\nevent: resync-end\ndata: {\"revision\":6}\n\n");
    expect(key, BEGIN "event: resync-begin\ndata: {\"revision\":6}\n\n"
                      "event: resync\ndata: {\"revision\":6,\"keys\":["
                      "{\"key\":\"a\",\"value\":2,\"createRevision\":2,\"version\":2,"
                      "\"revision\":3}]}\n\n"
                      "id: 6\nevent: resync-end\ndata: {\"revision\":6}\n\n");
    store("b", slice_str("5"));
    expect(a, PUT("7", "b", "5", "4", "2"));
    stop(a);
    stop(key);
}

/* What it was being told is compacted before it has read it: it begins anew. */
static void rule_q8_a_reader_too_slow_for_a_resync_gets_another(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    store("a", slice_str("2"));
    compact(3);
    struct asked *a = watch("?from=1", NULL);
    fake_chunks_room = a->chunks + 1;
    expect(a, BEGIN "event: resync-begin\ndata: {\"revision\":3}\n\n");
    store("a", slice_str("3"));
    compact(4);
    fake_chunks_room += 10;
    fake_writable(a);
    expect(a, "event: resync-begin\ndata: {\"revision\":4}\n\n"
              "event: resync\ndata: {\"revision\":4,\"keys\":["
              "{\"key\":\"a\",\"value\":3,\"createRevision\":2,\"version\":3,\"revision\":4}]}\n\n"
              "id: 4\nevent: resync-end\ndata: {\"revision\":4}\n\n");
    stop(a);
}

static void a_member_that_stops_ends_its_streams(void **state)
{
    (void)state;
    struct asked *a = watch("", NULL);
    kv_watch_hub_close(fake_node.watches);
    assert_true(a->done && !a->aborted);
    forget(a);
    struct asked *late = ask("GET", "/watch", NULL, slice_of(NULL, 0));
    assert_answered(late, 503, "{\"error\":\"Not ready\",\"reason\":\"this member is stopping\"}");
    forget(late);
}

static void without_a_leader_none_is_taken(void **state)
{
    (void)state;
    fake_node.status.leader[0] = '\0';
    struct asked *a = ask("GET", "/watch", NULL, slice_of(NULL, 0));
    assert_answered(a, 503,
                    "{\"error\":\"No leader\",\"reason\":\"this member knows none; ask another\"}");
    forget(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_i15_one_event_a_revision_in_order),
        TEST(a_revision_is_rendered_once_for_all_who_get_all_of_it),
        TEST(rule_o4_a_slow_reader_goes_on_when_it_reads),
        TEST(a_silent_stream_says_how_far_it_is),
        TEST(rule_q8_beyond_the_history_all_there_is_comes_first),
        TEST(rule_q8_a_reader_too_slow_for_a_resync_gets_another),
        TEST(a_member_that_stops_ends_its_streams),
        TEST(without_a_leader_none_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
