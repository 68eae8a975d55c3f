/* The identity in the data directory: what decodes is exactly what the encoder writes. */
#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "node/roster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct identity *id = mem_calloc(1, sizeof *id);
    if (identity_decode(bytes, id) == STATUS_OK) {
        struct buf again = {0};
        identity_encode(id, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
    mem_free(id);
    return 0;
}
