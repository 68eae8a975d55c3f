/* A configuration in the log: what decodes is exactly what the encoder writes. */
#include "base/check.h"
#include "raft/raft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct raft_config config;
    struct slice annex;
    if (raft_config_decode(bytes, &config, &annex) == STATUS_OK) {
        struct blob *again = raft_config_encode(&config, annex);
        CHECK(slice_equal(blob_slice(again), bytes));
        blob_unref(again);
    }
    return 0;
}
