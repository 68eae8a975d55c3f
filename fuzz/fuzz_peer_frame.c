/* Frames of a link without a secret: openings, frames, and messages in pieces. Raw bytes hardly
 * pass the checksum, so the input is also cut into frames that do. */
#include "base/buf.h"
#include "base/check.h"
#include "node/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read every frame of `bytes` and join the pieces, as a link does. */
static void receive(struct slice bytes)
{
    struct frame_seal seal = {0};
    struct frame_joiner joiner = {0};
    for (;;) {
        struct frame frame;
        size_t used = 0;
        if (frame_read(&seal, bytes, &frame, &used) != STATUS_OK || used == 0) {
            break;
        }
        CHECK_CMP(used, <=, bytes.size);
        struct slice message;
        bool complete = false;
        if (frame_join(&joiner, &frame, &message, &complete) != STATUS_OK) {
            break;
        }
        bytes = slice_of(bytes.data + used, bytes.size - used);
    }
    frame_joiner_deinit(&joiner);
}

/* Each frame of the input: type, flags, stream, length, that many bytes. */
static void write_frames(struct slice in, struct buf *out)
{
    struct frame_seal seal = {0};
    while (in.size >= 4) {
        size_t length = in.data[3] < in.size - 4 ? in.data[3] : in.size - 4;
        struct frame frame = {.type = in.data[0],
                              .flags = in.data[1],
                              .stream = in.data[2],
                              .payload = slice_of(in.data + 4, length)};
        frame_write(&seal, &frame, out);
        in = slice_of(in.data + 4 + length, in.size - 4 - length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct frame_opening opening;
    if (opening_decode(bytes, &opening) == STATUS_OK) {
        uint8_t again[OPENING_BYTES];
        opening_encode(&opening, again);
        CHECK(slice_equal(slice_of(again, sizeof again), slice_of(data, OPENING_BYTES)));
    }
    receive(bytes);
    struct buf frames = {0};
    write_frames(bytes, &frames);
    receive(buf_slice(&frames));
    buf_deinit(&frames);
    return 0;
}
