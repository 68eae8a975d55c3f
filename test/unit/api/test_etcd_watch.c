/* The Watch service: many watches on one stream. Keys and values are base64 here: a is YQ==, b is
 * Yg==, c is Yw==, 1 is MQ==, 2 is Mg==. */
#include "etcd_streams.h"

#define PATH     "/etcdserverpb.Watch/Watch"
#define REQUEST  &etcdserverpb__watch_request__descriptor
#define RESPONSE &etcdserverpb__watch_response__descriptor
#define A_AT(revision, version)                                                                    \
    "{\"kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"" revision             \
    "\",\"version\":\"" version "\",\"value\":\"MQ==\"}}"

static struct called *open_watch(const char *create)
{
    struct called *c = call_begin_rpc(PATH, NULL, NULL);
    char json[512];
    snprintf(json, sizeof(json), "{\"create_request\":%s}", create);
    say(c, REQUEST, json);
    return c;
}

static void end(struct called *c)
{
    call_reset(c);
    call_forget(c);
}

static void a_watch_is_created_and_told_what_comes(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    assert_int_equal(c->message_count, 1);
    assert_message(c, 0, RESPONSE, AT("2", ",\"created\":true"));
    store("b", slice_str("1"));
    store("a", slice_str("1"));
    tell_watches();
    assert_int_equal(c->message_count, 2);
    assert_message(c, 1, RESPONSE, AT("4", ",\"events\":[" A_AT("4", "2") "]"));
    drop("a");
    tell_watches();
    assert_message(c, 2, RESPONSE,
                   AT("5", ",\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\","
                           "\"mod_revision\":\"5\"}}]"));
    end(c);
}

static void ids_are_counted_or_chosen_and_never_shared(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\",\"watch_id\":\"1\"}}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\"}}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\",\"watch_id\":\"1\"}}");
    assert_message(c, 0, RESPONSE, AT("1", ",\"created\":true"));
    assert_message(c, 1, RESPONSE, AT("1", ",\"watch_id\":\"1\",\"created\":true"));
    assert_message(c, 2, RESPONSE, AT("1", ",\"watch_id\":\"2\",\"created\":true"));
    assert_message(c, 3, RESPONSE,
                   AT("1", ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
                           "\"cancel_reason\":\"mvcc: duplicate watch ID provided on the "
                           "WatchStream\""));
    end(c);
}

static void an_empty_range_is_refused(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"Yg==\",\"range_end\":\"YQ==\"}");
    assert_message(c, 0, RESPONSE,
                   AT("1", ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
                           "\"cancel_reason\":\"mvcc: watcher range is empty\""));
    end(c);
}

static void rule_i15_the_past_is_told_first_and_compacted_ends_it(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    store("a", slice_str("1"));
    struct called *c = open_watch("{\"key\":\"YQ==\",\"start_revision\":\"2\"}");
    tell_watches();
    assert_message(c, 0, RESPONSE, AT("3", ",\"created\":true"));
    assert_message(c, 1, RESPONSE, AT("3", ",\"events\":[" A_AT("2", "1") "," A_AT("3", "2") "]"));
    apply(&(struct kv_command){.op = KV_COMPACT, .revision = 3});
    say(c, REQUEST,
        "{\"create_request\":{\"key\":\"YQ==\",\"start_revision\":\"2\",\"watch_id\":\"7\"}}");
    tell_watches();
    assert_message(c, 2, RESPONSE, AT("3", ",\"watch_id\":\"7\",\"created\":true"));
    assert_message(c, 3, RESPONSE,
                   AT("3", ",\"watch_id\":\"7\",\"canceled\":true,\"compact_revision\":\"3\""));
    store("a", slice_str("1"));
    tell_watches();
    assert_int_equal(c->message_count, 5); /* the first one lives on */
    end(c);
}

static void filters_and_previous_values(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\",\"filters\":[\"NOPUT\"],\"prev_kv\":true}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\",\"filters\":[\"NODELETE\"]}}");
    store("a", slice_str("1"));
    drop("a");
    tell_watches();
    assert_int_equal(c->message_count, 4);
    const char *const put = AT("2", ",\"watch_id\":\"1\",\"events\":[" A_AT("2", "1") "]");
    const char *const gone = AT(
        "3", ",\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"3\"},"
             "\"prev_kv\":{\"key\":\"YQ==\",\"create_revision\":\"2\",\"mod_revision\":\"2\","
             "\"version\":\"1\",\"value\":\"MQ==\"}}]");
    struct buf first = {0};
    struct json_writer w = {.out = &first};
    ProtobufCMessage *m = message_of(c, 2, RESPONSE);
    protobuf_json_print(&w, m);
    protobuf_c_message_free_unpacked(m, NULL);
    bool is_put = slice_equal(buf_slice(&first), slice_str(put));
    buf_deinit(&first);
    assert_message(c, is_put ? 2 : 3, RESPONSE, put); /* of different watches: in any order */
    assert_message(c, is_put ? 3 : 2, RESPONSE, gone);
    end(c);
}

static void a_cancelled_watch_is_told_nothing_more(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    say(c, REQUEST, "{\"cancel_request\":{\"watch_id\":\"0\"}}");
    say(c, REQUEST, "{\"cancel_request\":{\"watch_id\":\"9\"}}");
    assert_message(c, 1, RESPONSE, AT("1", ",\"canceled\":true"));
    store("a", slice_str("1"));
    tell_watches();
    assert_int_equal(c->message_count, 2);
    end(c);
}

static void progress_is_told_when_all_are_in_step(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    struct called *c = open_watch("{\"key\":\"Yw==\",\"start_revision\":\"1\"}");
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_int_equal(c->message_count, 1);
    tell_watches();
    assert_int_equal(c->message_count, 2);
    assert_message(c, 1, RESPONSE, AT("2", ",\"watch_id\":\"-1\""));
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_message(c, 2, RESPONSE, AT("2", ",\"watch_id\":\"-1\""));
    end(c);
}

static void progress_is_told_when_who_was_behind_reads_again_or_is_gone(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    c->full = true;
    store("a", slice_str("1"));
    tell_watches();
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_int_equal(c->message_count, 2);
    call_writable(c);
    assert_int_equal(c->message_count, 3);
    assert_message(c, 2, RESPONSE, AT("2", ",\"watch_id\":\"-1\""));
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\",\"start_revision\":\"2\"}}");
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_int_equal(c->message_count, 4);
    say(c, REQUEST, "{\"cancel_request\":{\"watch_id\":\"1\"}}");
    assert_int_equal(c->message_count, 6);
    assert_message(c, 5, RESPONSE, AT("2", ",\"watch_id\":\"-1\""));
    end(c);
}

static void a_key_that_is_too_long_is_refused_by_its_name(void **state)
{
    (void)state;
    char create[2 * LIMIT_KEY_BYTES] = "{\"create_request\":{\"key\":\"";
    size_t at = strlen(create);
    memset(create + at, 'A', LIMIT_KEY_BYTES + LIMIT_KEY_BYTES / 2);
    snprintf(create + at + LIMIT_KEY_BYTES + LIMIT_KEY_BYTES / 2, 8, "\"}}");
    struct called *c = call_begin_rpc(PATH, NULL, NULL);
    say(c, REQUEST, create);
    assert_message(c, 0, RESPONSE,
                   AT("1", ",\"watch_id\":\"-1\",\"created\":true,\"canceled\":true,"
                           "\"cancel_reason\":\"etcdserver: request is too large\""));
    end(c);
}

static void progress_of_many_watches_waits_for_the_last(void **state)
{
    (void)state;
    store("a", slice_str("1"));
    struct called *c = open_watch("{\"key\":\"Yw==\"}");
    tell_watches();
    say(c, REQUEST, "{\"create_request\":{\"key\":\"Yw==\",\"start_revision\":\"1\"}}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"Yg==\",\"start_revision\":\"1\"}}");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"Yg==\"}}");
    say(c, REQUEST, "{\"cancel_request\":{\"watch_id\":\"1\"}}");
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_int_equal(c->message_count, 5);
    tell_watches();
    assert_int_equal(c->message_count, 6);
    assert_message(c, 5, RESPONSE, AT("2", ",\"watch_id\":\"-1\""));
    say(c, REQUEST, "{\"progress_request\":{}}");
    assert_int_equal(c->message_count, 7);
    end(c);
}

static void an_idle_watch_tells_its_progress_every_ten_minutes(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\",\"progress_notify\":true}");
    tell_watches();
    store("b", slice_str("1"));
    tell_watches();
    fake_pass(10 * 60 * 1000);
    assert_int_equal(c->message_count, 2);
    assert_message(c, 1, RESPONSE, AT("2", ""));
    store("a", slice_str("1"));
    tell_watches();
    fake_pass(10 * 60 * 1000);
    assert_int_equal(c->message_count, 3); /* it was not idle */
    fake_pass(10 * 60 * 1000);
    assert_int_equal(c->message_count, 4);
    end(c);
}

static void rule_o2_a_client_that_does_not_read_is_left_out_and_loses_nothing(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    tell_watches();
    c->full = true;
    for (int i = 0; i < 5; i++) {
        store("a", slice_str("1"));
        tell_watches();
    }
    assert_int_equal(c->message_count, 2);
    struct kv_watch_stats stats;
    kv_watch_hub_stats(fake_node.watches, &stats);
    assert_int_equal(stats.slow, 1);
    call_writable(c);
    tell_watches();
    assert_int_equal(c->message_count, 3);
    assert_message(c, 2, RESPONSE,
                   AT("6", ",\"events\":[" A_AT("3", "2") "," A_AT("4", "3") "," A_AT(
                               "5", "4") "," A_AT("6", "5") "]"));
    end(c);
}

/* A transaction puts three keys of a MiB: one revision, in fragments of whole events. */
static void a_large_revision_comes_in_fragments_if_asked(void **state)
{
    (void)state;
    struct buf value = {0};
    struct buf encoded = {0};
    struct kv_txn *txn = kv_txn_create();
    static const char *const keys[] = {"a", "b", "c"};
    memset(buf_reserve(&value, MIB), 'x', MIB);
    for (size_t i = 0; i < 3; i++) {
        struct kv_txn_op *op = kv_txn_add_op(&txn->success, KV_TXN_PUT);
        op->put =
            (struct kv_txn_put){.key = slice_str(keys[i]), .value = slice_of(value.data, MIB)};
    }
    kv_txn_encode(txn, &encoded);
    struct called *whole = open_watch("{\"key\":\"AA==\",\"range_end\":\"AA==\"}");
    struct called *parts =
        open_watch("{\"key\":\"AA==\",\"range_end\":\"AA==\",\"fragment\":true}");
    apply(&(struct kv_command){.op = KV_TXN, .txn = buf_slice(&encoded)});
    tell_watches();
    assert_int_equal(whole->message_count, 2);
    assert_int_equal(parts->message_count, 4);
    for (uint32_t i = 1; i < 4; i++) {
        Etcdserverpb__WatchResponse *r = message_of(parts, i, RESPONSE);
        assert_int_equal(r->n_events, 1);
        assert_int_equal(r->fragment, i < 3);
        assert_int_equal(r->events[0]->kv->mod_revision, 2);
        protobuf_c_message_free_unpacked(&r->base, NULL);
    }
    end(whole);
    end(parts);
    kv_txn_destroy(txn);
    buf_deinit(&encoded);
    buf_deinit(&value);
}

static void one_encoding_serves_all_watches(void **state)
{
    (void)state;
    struct called *one = open_watch("{\"key\":\"YQ==\"}");
    struct called *two = open_watch("{\"key\":\"YQ==\"}");
    struct called *other = open_watch("{\"key\":\"YQ==\",\"prev_kv\":true}");
    store("a", slice_str("1"));
    tell_watches();
    assert_non_null(one->shared);
    assert_ptr_equal(one->shared, two->shared);
    assert_ptr_not_equal(one->shared, other->shared);
    end(one);
    end(two);
    end(other);
}

static void rule_o1_the_gateway_takes_so_many_messages_and_no_more(void **state)
{
    (void)state;
    struct buf body = {0};
    for (unsigned i = 0; i <= LIMIT_ETCD_JSON_MESSAGES; i++) {
        buf_append_str(&body, "{} ");
    }
    buf_append_byte(&body, 0);
    post("/watch", (const char *)body.data, 429,
         ETCD_ERROR_TEXT("8", "etcdserver: too many requests"));
    buf_deinit(&body);
}

static void the_gateway_streams_results(void **state)
{
    (void)state;
    struct asked *a =
        ask("POST", "/v3/watch", NULL, slice_str("{\"create_request\":{\"key\":\"YQ==\"}}"));
    store("a", slice_str("1"));
    tell_watches();
    assert_true(a->begun && !a->done);
    assert_same("stream", &a->body,
                "{\"result\":" AT("1", ",\"created\":true") "}\n{\"result\":" AT(
                    "2", ",\"events\":[" A_AT("2", "1") "]") "}\n");
    hang_up(a);
    a->done = true;
    a->http.user = NULL;
    a->http.on_gone = NULL;
    forget(a);
}

/* More fields than a client may send in a message: deleting many keys is one revision. */
static void the_gateway_tells_a_revision_of_many_keys(void **state)
{
    (void)state;
    const uint32_t count = LIMIT_PROTOBUF_FIELDS / 8;
    struct asked *a = ask("POST", "/v3/watch", NULL,
                          slice_str("{\"create_request\":{\"key\":\"AA==\",\"range_end\":\"AA==\","
                                    "\"prev_kv\":true,\"filters\":[\"NOPUT\"]}}"));
    for (uint32_t i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        store(key, slice_str("1"));
    }
    tell_watches();
    struct buf encoded = {0};
    struct kv_txn *txn = kv_txn_create();
    kv_txn_add_op(&txn->success, KV_TXN_DELETE)->deletes.span =
        (struct kv_span){.kind = KV_SPAN_RANGE, .key = slice_str("0"), .end = slice_str("a")};
    kv_txn_encode(txn, &encoded);
    kv_txn_destroy(txn);
    apply(&(struct kv_command){.op = KV_TXN, .txn = buf_slice(&encoded)});
    buf_deinit(&encoded);
    tell_watches();
    buf_append_byte(&a->body, 0);
    assert_non_null(strstr((const char *)a->body.data, "\"key\":\"OTk5OQ==\",\"mod")); /* 9999 */
    hang_up(a);
    a->done = true;
    a->http.user = NULL;
    a->http.on_gone = NULL;
    forget(a);
}

static void a_member_that_stops_ends_its_streams(void **state)
{
    (void)state;
    struct called *c = open_watch("{\"key\":\"YQ==\"}");
    kv_watch_hub_close(fake_node.watches);
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: server stopped");
    call_forget(c);
}

static void a_stream_that_asks_for_a_leader_ends_without_one(void **state)
{
    (void)state;
    struct called *c = call_begin_rpc(PATH, "hasleader", "true");
    say(c, REQUEST, "{\"create_request\":{\"key\":\"YQ==\"}}");
    assert_false(c->done);
    fake_node.guard->lost(fake_node.guard);
    assert_ended(c, GRPC_UNAVAILABLE, "etcdserver: no leader");
    call_forget(c);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, etcd_setup, fake_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_watch_is_created_and_told_what_comes),
        CASE(ids_are_counted_or_chosen_and_never_shared),
        CASE(an_empty_range_is_refused),
        CASE(rule_i15_the_past_is_told_first_and_compacted_ends_it),
        CASE(filters_and_previous_values),
        CASE(a_cancelled_watch_is_told_nothing_more),
        CASE(progress_is_told_when_all_are_in_step),
        CASE(progress_is_told_when_who_was_behind_reads_again_or_is_gone),
        CASE(a_key_that_is_too_long_is_refused_by_its_name),
        CASE(progress_of_many_watches_waits_for_the_last),
        CASE(an_idle_watch_tells_its_progress_every_ten_minutes),
        CASE(rule_o2_a_client_that_does_not_read_is_left_out_and_loses_nothing),
        CASE(a_large_revision_comes_in_fragments_if_asked),
        CASE(one_encoding_serves_all_watches),
        CASE(the_gateway_streams_results),
        CASE(the_gateway_tells_a_revision_of_many_keys),
        CASE(rule_o1_the_gateway_takes_so_many_messages_and_no_more),
        CASE(a_member_that_stops_ends_its_streams),
        CASE(a_stream_that_asks_for_a_leader_ends_without_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
