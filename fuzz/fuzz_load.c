/* Loads and views of other members: what decodes is exactly what the encoder writes. */
#include "base/check.h"
#include "node/loads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct load_note note;
    struct node_view view;
    struct buf again = {0};
    if (load_note_decode(bytes, &note) == STATUS_OK) {
        load_note_encode(&note, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
    }
    buf_clear(&again);
    if (view_decode(bytes, &view) == STATUS_OK) {
        view_encode(&view, &again);
        CHECK(slice_equal(buf_slice(&again), bytes));
    }
    buf_deinit(&again);
    return 0;
}
