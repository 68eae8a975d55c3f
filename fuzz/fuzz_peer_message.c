/* Raft's messages of other members: what decodes, encodes, and then decodes to the same again. (The
 * bytes may differ once: a number may have come in a longer form than it needs.) */
#include "base/buf.h"
#include "base/check.h"
#include "node/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decode `bytes` and encode what came of it; false when they are refused. */
static bool pass_through(struct slice bytes, struct buf *out)
{
    struct wire_decoder decoder = {0};
    bool ok = wire_decode_message(&decoder, bytes) == STATUS_OK;
    if (ok) {
        wire_encode_message(&decoder.message, out);
    }
    wire_decoder_deinit(&decoder);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first = {0};
    struct buf second = {0};
    if (pass_through(slice_of(data, size), &first)) {
        CHECK(pass_through(buf_slice(&first), &second));
        CHECK(slice_equal(buf_slice(&first), buf_slice(&second)));
    }
    buf_deinit(&first);
    buf_deinit(&second);
    return 0;
}
