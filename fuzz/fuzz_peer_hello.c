/* Hellos of other members: what decodes is exactly what the encoder writes. */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "node/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct peer_hello *hello = mem_calloc(1, sizeof *hello);
    if (wire_decode_hello(bytes, hello) == STATUS_OK) {
        struct buf again = {0};
        wire_encode_hello(hello, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
    mem_free(hello);
    return 0;
}
