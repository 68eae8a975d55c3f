/* Protobuf of strangers: what is read packs to bytes that are read as the same, and a transaction
 * that is sound goes into the log and comes back. */
#include "api/etcd_txn.h"
#include "api/protobuf_wire.h"
#include "base/buf.h"
#include "base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack(struct buf *out, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, buf_reserve(out, size + 1));
    out->size = size;
}

static void read_again(const ProtobufCMessage *message, struct arena *arena)
{
    struct buf once = {0};
    struct buf twice = {0};
    ProtobufCMessage *again = NULL;
    pack(&once, message);
    enum status status = protobuf_read(message->descriptor, buf_slice(&once), arena, &again);
    CHECK(status == STATUS_OK);
    pack(&twice, again);
    CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));
    buf_deinit(&once);
    buf_deinit(&twice);
}

static void log_txn(const Etcdserverpb__TxnRequest *request)
{
    struct kv_txn *txn = etcd_txn_of(request);
    if (txn != NULL && kv_txn_check(txn) == KV_TXN_SOUND) {
        struct buf bytes = {0};
        struct kv_txn *again = NULL;
        kv_txn_encode(txn, &bytes);
        enum status status = kv_txn_decode(buf_slice(&bytes), &again);
        CHECK(status == STATUS_OK);
        CHECK(kv_txn_writes(again) == kv_txn_writes(txn));
        kv_txn_destroy(again);
        buf_deinit(&bytes);
    }
    kv_txn_destroy(txn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &etcdserverpb__txn_request__descriptor,
        &etcdserverpb__range_request__descriptor,
        &etcdserverpb__watch_request__descriptor,
        &etcdserverpb__member_add_request__descriptor,
        &etcdserverpb__lease_grant_request__descriptor,
        &etcdserverpb__auth_user_add_request__descriptor,
    };
    if (size == 0) {
        return 0;
    }
    unsigned which = data[0] % (sizeof(types) / sizeof(types[0]));
    struct arena arena = {0};
    ProtobufCMessage *message = NULL;
    if (protobuf_read(types[which], slice_of(data + 1, size - 1), &arena, &message) == STATUS_OK) {
        read_again(message, &arena);
        if (which == 0) {
            log_txn((const void *)message);
        }
    }
    arena_deinit(&arena);
    return 0;
}
