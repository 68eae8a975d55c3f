/* Commands of the store: what decodes is exactly what the encoder writes. */
#include "base/buf.h"
#include "base/check.h"
#include "kv/kv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct kv_command command;
    if (kv_command_decode(bytes, &command) == STATUS_OK) {
        struct buf again = {0};
        kv_command_encode(&command, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
        buf_deinit(&again);
    }
    return 0;
}
