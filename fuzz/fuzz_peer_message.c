/* Raft's messages of other members: what decodes is exactly what the encoder writes. */
#include "base/buf.h"
#include "base/check.h"
#include "node/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct wire_decoder decoder = {0};
    if (wire_decode_message(&decoder, bytes) == STATUS_OK) {
        struct buf again = {0};
        wire_encode_message(&decoder.message, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
    wire_decoder_deinit(&decoder);
    return 0;
}
