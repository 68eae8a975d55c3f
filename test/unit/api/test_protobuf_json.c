/* Messages of the etcd v3 API as JSON and back, and what strangers may send. */
#include "api/protobuf_json.h"
#include "api/protobuf_wire.h"

#include "api/proto/etcd_lock.pb-c.h"
#include "api/proto/etcd_rpc.pb-c.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct arena arena;
static char why[PROTOBUF_JSON_WHY_SIZE];
static size_t used;

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static void *must_read(const ProtobufCMessageDescriptor *type, const char *text)
{
    ProtobufCMessage *message = NULL;
    enum status status = protobuf_json_read(type, slice_str(text), &arena, &message, &used, why);
    if (status != STATUS_OK) {
        fail_msg("%s: %s", text, why);
    }
    return message;
}

static void assert_refused(const ProtobufCMessageDescriptor *type, const char *text,
                           const char *expected)
{
    ProtobufCMessage *message = NULL;
    assert_int_equal(protobuf_json_read(type, slice_str(text), &arena, &message, &used, why),
                     STATUS_INVALID);
    assert_string_equal(why, expected);
}

static void assert_prints(const ProtobufCMessage *message, const char *expected)
{
    struct buf out = {0};
    struct json_writer w = {.out = &out};
    protobuf_json_print(&w, message);
    buf_append_byte(&out, 0);
    assert_string_equal((const char *)out.data, expected);
    buf_deinit(&out);
}

#define RANGE &etcdserverpb__range_request__descriptor
#define TXN   &etcdserverpb__txn_request__descriptor
#define HASH  &etcdserverpb__hash_kvresponse__descriptor

static void what_is_printed_is_read_again(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *text;
    } rows[] = {
        {RANGE, "{}"},
        {RANGE, "{\"key\":\"Zm9v\",\"range_end\":\"AA==\",\"limit\":\"-1\","
                "\"revision\":\"9223372036854775807\",\"sort_order\":\"DESCEND\","
                "\"sort_target\":\"VALUE\",\"serializable\":true}"},
        {RANGE, "{\"sort_order\":7}"},
        {HASH, "{\"header\":{\"cluster_id\":\"18446744073709551615\",\"raft_term\":\"2\"},"
               "\"hash\":4294967295}"},
        {&etcdserverpb__member__descriptor,
         "{\"ID\":\"5\",\"name\":\"n\\u0001\",\"peerURLs\":[\"http://a\",\"\"],"
         "\"isLearner\":true}"},
        {TXN, "{\"compare\":[{\"result\":\"GREATER\",\"target\":\"LEASE\",\"key\":\"AQ==\","
              "\"lease\":\"0\"}],\"success\":[{\"request_put\":{\"key\":\"AQI=\"}},"
              "{\"request_txn\":{\"failure\":[{\"request_range\":{}}]}},{}]}"},
        {&etcdserverpb__watch_create_request__descriptor,
         "{\"filters\":[\"NODELETE\",\"NOPUT\"],\"prev_kv\":true}"},
        {&v3lockpb__lock_request__descriptor, "{\"name\":\"bA==\",\"lease\":\"7\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ProtobufCMessage *message = must_read(rows[i].type, rows[i].text);
        assert_int_equal(used, strlen(rows[i].text));
        assert_prints(message, rows[i].text);
        /* and through protobuf */
        size_t size = protobuf_c_message_get_packed_size(message);
        uint8_t *bytes = arena_alloc(&arena, size);
        protobuf_c_message_pack(message, bytes);
        ProtobufCMessage *again = NULL;
        assert_int_equal(protobuf_read(rows[i].type, slice_of(bytes, size), &arena, &again),
                         STATUS_OK);
        assert_prints(again, rows[i].text);
    }
}

static void more_is_understood_than_is_said(void **state)
{
    (void)state;
    static const struct {
        const ProtobufCMessageDescriptor *type;
        const char *text;
        const char *same;
    } rows[] = {
        {RANGE, "{\"rangeEnd\":\"AA==\",\"sortOrder\":1,\"keysOnly\":true,\"limit\":5}",
         "{\"range_end\":\"AA==\",\"limit\":\"5\",\"sort_order\":\"ASCEND\",\"keys_only\":true}"},
        {RANGE, "{\"key\":\"-_8\",\"range_end\":\"+/8=\"}",
         "{\"key\":\"+/8=\",\"range_end\":\"+/8=\"}"},
        {RANGE, "{\"key\":\"AA\",\"range_end\":\"AAA\"}",
         "{\"key\":\"AA==\",\"range_end\":\"AAA=\"}"},
        {RANGE, "{\"key\":null,\"limit\":null,\"keys_only\":false,\"revision\":\"0\"}", "{}"},
        {RANGE, "{\"bogus\":{\"a\":[1,{}]},\"limit\":1}", "{\"limit\":\"1\"}"},
        {RANGE, "null", "{}"},
        {RANGE, " {\"limit\":1} trailing", "{\"limit\":\"1\"}"},
        {TXN, "{\"success\":[{\"requestPut\":{\"prevKv\":true}}],\"failure\":[]}",
         "{\"success\":[{\"request_put\":{\"prev_kv\":true}}]}"},
        {&etcdserverpb__lease_checkpoint__descriptor, "{\"remainingTTL\":3,\"ID\":\"1\"}",
         "{\"ID\":\"1\",\"remaining_TTL\":\"3\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_prints(must_read(rows[i].type, rows[i].text), rows[i].same);
    }
}

static void bad_input_is_named(void **state)
{
    (void)state;
    static const char text_key[] = "json: cannot unmarshal number into field key of type bytes";
    assert_refused(RANGE, "{\"key\":5}", text_key);
    assert_refused(RANGE, "{\"key\":\"Zm9v\"", "unexpected EOF");
    assert_refused(RANGE, "[]", "json: cannot unmarshal array into a message");
    assert_refused(RANGE, "\"x\"", "json: cannot unmarshal string into a message");
    assert_refused(RANGE, "{\"key\":\"Zm9v*\"}", "illegal base64 data at input byte 4");
    assert_refused(RANGE, "{\"key\":\"Zm9vZ\"}", "illegal base64 data at input byte 4");
    assert_refused(RANGE, "{\"key\":\"Z=9v\"}", "illegal base64 data at input byte 1");
    assert_refused(RANGE, "{\"key\":\"====\"}", "illegal base64 data at input byte 0");
    assert_refused(RANGE, "{\"sort_order\":\"BAD\"}",
                   "unknown value \"BAD\" for enum etcdserverpb.RangeRequest.SortOrder");
    assert_refused(RANGE, "{\"sort_order\":1.5}",
                   "json: cannot unmarshal number into field sort_order of type "
                   "etcdserverpb.RangeRequest.SortOrder");
    static const char limit[] = "json: cannot unmarshal number into field limit of type int64";
    static const char texts[] = "json: cannot unmarshal string into field limit of type int64";
    assert_refused(RANGE, "{\"limit\":5.0}", limit);
    assert_refused(RANGE, "{\"limit\":\"x\"}", texts);
    assert_refused(RANGE, "{\"limit\":\"\"}", texts);
    assert_refused(RANGE, "{\"limit\":\"-\"}", texts);
    assert_refused(RANGE, "{\"limit\":\" 1\"}", texts);
    assert_refused(RANGE, "{\"limit\":\"1x\"}", texts);
    assert_refused(RANGE, "{\"limit\":\"9223372036854775808\"}", texts);
    assert_refused(RANGE, "{\"keys_only\":\"true\"}",
                   "json: cannot unmarshal string into field keys_only of type bool");
    assert_refused(TXN, "{\"compare\":{}}",
                   "json: cannot unmarshal object into field compare of type list");
    assert_refused(TXN, "{\"compare\":[null]}",
                   "json: cannot unmarshal null into field compare of type message");
    assert_refused(HASH, "{\"hash\":4294967296}",
                   "json: cannot unmarshal number into field hash of type uint32");
    assert_refused(HASH, "{\"header\":{\"raft_term\":\"-1\"}}",
                   "json: cannot unmarshal string into field raft_term of type uint64");
    assert_refused(&etcdserverpb__member__descriptor, "{\"name\":5}",
                   "json: cannot unmarshal number into field name of type string");
}

/* `open` and `close` so many times. */
static char *nested(const char *open, const char *middle, const char *close, unsigned times)
{
    struct buf text = {0};
    for (unsigned i = 0; i < times; i++) {
        buf_append_str(&text, open);
    }
    buf_append_str(&text, middle);
    for (unsigned i = 0; i < times; i++) {
        buf_append_str(&text, close);
    }
    buf_append_byte(&text, 0);
    char *copy = arena_text(&arena, buf_slice(&text));
    buf_deinit(&text);
    return copy;
}

static void json_is_bounded_in_depth_and_number(void **state)
{
    (void)state;
    static const char open[] = "{\"success\":[{\"request_txn\":";
    ProtobufCMessage *message = NULL;
    const char *fine = nested(open, "{}", "}]}", LIMIT_PROTOBUF_DEPTH / 2 - 1);
    must_read(TXN, fine);
    const char *deep = nested(open, "{}", "}]}", LIMIT_PROTOBUF_DEPTH / 2 + 1);
    assert_int_equal(protobuf_json_read(TXN, slice_str(deep), &arena, &message, &used, why),
                     STATUS_TOO_LARGE);
    const char *many = nested("[", "", "", LIMIT_PROTOBUF_JSON_MARKS + 1);
    assert_int_equal(protobuf_json_read(TXN, slice_str(many), &arena, &message, &used, why),
                     STATUS_TOO_LARGE);
}

/* A body of very many messages is not looked through for each of them. */
static void what_follows_a_message_is_not_looked_at(void **state)
{
    (void)state;
    static const char *const first[] = {"{}", " null", "{\"lease\":\"]}\\\\\\\"\"}"};
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        ProtobufCMessage *message = NULL;
        const char *text = nested(",", "", "", LIMIT_PROTOBUF_JSON_MARKS + 1);
        struct buf both = {0};
        buf_append_str(&both, first[i]);
        buf_append_str(&both, text);
        assert_int_equal(protobuf_json_read(TXN, buf_slice(&both), &arena, &message, &used, why),
                         STATUS_OK);
        assert_int_equal(used, strlen(first[i]));
        buf_deinit(&both);
    }
}

static void protobuf_is_bounded_in_depth_and_number(void **state)
{
    (void)state;
    ProtobufCMessage *message = NULL;
    struct buf bytes = {0};
    /* TxnRequest.success of RequestOp.request_txn of ..., from the inside */
    for (unsigned i = 0; i < 60; i++) {
        struct buf outer = {0};
        for (int level = 0; level < 2; level++) {
            buf_clear(&outer);
            buf_append_byte(&outer, level == 0 ? 0x22 : 0x12);
            for (size_t size = bytes.size; true; size >>= 7) {
                buf_append_byte(&outer, (uint8_t)(size > 127 ? size | 0x80 : size));
                if (size <= 127) {
                    break;
                }
            }
            buf_append_slice(&outer, buf_slice(&bytes));
            buf_clear(&bytes);
            buf_append_slice(&bytes, buf_slice(&outer));
        }
        buf_deinit(&outer);
        enum status expected =
            2 * (i + 1) + 1 <= LIMIT_PROTOBUF_DEPTH ? STATUS_OK : STATUS_TOO_LARGE;
        assert_int_equal(protobuf_read(TXN, buf_slice(&bytes), &arena, &message), expected);
    }
    buf_clear(&bytes);
    for (unsigned i = 0; i < LIMIT_PROTOBUF_FIELDS; i++) {
        buf_append(&bytes, "\x12", 2); /* with the zero behind it: an empty operation */
    }
    assert_int_equal(protobuf_read(TXN, buf_slice(&bytes), &arena, &message), STATUS_OK);
    buf_append(&bytes, "\x12", 2);
    assert_int_equal(protobuf_read(TXN, buf_slice(&bytes), &arena, &message), STATUS_TOO_LARGE);
    buf_deinit(&bytes);
}

static void malformed_protobuf_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } rows[] = {
        {"\x0a", 1},         /* no length */
        {"\x0a\x05x", 3},    /* too short */
        {"\x80\x00\x1e", 3}, /* field 0 */
        {"\x0b", 1},         /* a group */
        {"\x18\xff", 2},     /* half a number */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x08\x01", 2}, /* the key as a number */
        {"\x0d\x01", 2}, /* four bytes, of which there is one */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ProtobufCMessage *message = NULL;
        assert_int_equal(
            protobuf_read(RANGE, slice_of(rows[i].bytes, rows[i].size), &arena, &message),
            STATUS_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_printed_is_read_again, teardown),
        cmocka_unit_test_teardown(more_is_understood_than_is_said, teardown),
        cmocka_unit_test_teardown(bad_input_is_named, teardown),
        cmocka_unit_test_teardown(json_is_bounded_in_depth_and_number, teardown),
        cmocka_unit_test_teardown(what_follows_a_message_is_not_looked_at, teardown),
        cmocka_unit_test_teardown(protobuf_is_bounded_in_depth_and_number, teardown),
        cmocka_unit_test_teardown(malformed_protobuf_is_refused, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
