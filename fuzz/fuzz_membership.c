/* What the log and other members say of who belongs to the cluster: memberships, and the notes of
 * joining. What decodes is exactly what the encoder writes. The first byte chooses. */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "node/joining.h"
#include "node/membership_annex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(struct slice bytes, struct buf *again)
{
    CHECK(slice_equal(buf_slice(again), bytes));
    buf_deinit(again);
}

static void try_membership(struct slice bytes)
{
    struct membership *m = mem_calloc(1, sizeof *m);
    if (membership_decode(bytes, m) == STATUS_OK) {
        struct buf again = {0};
        membership_encode(m, &again);
        expect_same(bytes, &again);
    }
    mem_free(m);
}

static void try_ask(struct slice bytes)
{
    struct join_ask ask;
    if (join_ask_decode(bytes, &ask) == STATUS_OK) {
        struct buf again = {0};
        join_ask_encode(&ask, &again);
        expect_same(bytes, &again);
    }
}

static void try_reply(struct slice bytes)
{
    struct join_reply *reply = mem_calloc(1, sizeof *reply);
    if (join_reply_decode(bytes, reply) == STATUS_OK) {
        struct buf again = {0};
        join_reply_encode(reply, &again);
        expect_same(bytes, &again);
    }
    mem_free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice bytes = slice_of(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0:
        try_membership(bytes);
        break;
    case 1:
        try_ask(bytes);
        break;
    default:
        try_reply(bytes);
    }
    return 0;
}
