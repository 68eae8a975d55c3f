/* JSON for the gateway: what is read as a message prints as JSON that is read as the same. */
#include "api/proto/etcd_rpc.pb-c.h"
#include "api/protobuf_json.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(struct buf *out, const ProtobufCMessage *message)
{
    struct json_writer w = {.out = out};
    protobuf_json_print(&w, message);
}

static void read_again(const ProtobufCMessage *message, struct arena *arena)
{
    char why[PROTOBUF_JSON_WHY_SIZE];
    struct buf once = {0};
    struct buf twice = {0};
    ProtobufCMessage *again = NULL;
    size_t used = 0;
    print(&once, message);
    enum status status =
        protobuf_json_read(message->descriptor, buf_slice(&once), arena, &again, &used, why);
    /* Names are longer than some that were read, and have no limit when they are printed. */
    if (status != STATUS_TOO_LARGE) {
        CHECK(status == STATUS_OK && used == once.size);
        print(&twice, again);
        CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    }
    buf_deinit(&once);
    buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &etcdserverpb__range_request__descriptor,
        &etcdserverpb__txn_request__descriptor,
        &etcdserverpb__watch_request__descriptor,
        &etcdserverpb__member_add_request__descriptor,
        &etcdserverpb__hash_kvresponse__descriptor,
        &etcdserverpb__auth_role_grant_permission_request__descriptor,
    };
    if (size == 0) {
        return 0;
    }
    struct arena arena = {0};
    char why[PROTOBUF_JSON_WHY_SIZE];
    ProtobufCMessage *message = NULL;
    size_t used = 0;
    if (protobuf_json_read(types[data[0] % (sizeof(types) / sizeof(types[0]))],
                           slice_of(data + 1, size - 1), &arena, &message, &used,
                           why) == STATUS_OK) {
        CHECK(used <= size - 1);
        read_again(message, &arena);
    }
    arena_deinit(&arena);
    return 0;
}
