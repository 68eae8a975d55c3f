/* floor_frames.c - a door without HTTP/2: of what comes only the heads of frames are looked at, to
 * know how many requests there are and of which streams. */
#include "floor.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 9
#define KEPT_BYTES (64u * 1024)

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/* :status 200, content-type application/grpc; grpc-status 0. */
static const uint8_t head[] = "\x88\x0f\x10\x10"
                              "application/grpc";
static const uint8_t trailers[] = "\0\x0bgrpc-status\x01"
                                  "0";

struct kept {
    size_t size; /* bytes of a frame that is not whole */
    bool has_begun;
    uint8_t bytes[KEPT_BYTES];
};

static void store_u32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_frame(int kind, int flags, uint32_t stream, const void *payload, size_t size)
{
    uint8_t frame[HEAD_BYTES] = {0, (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)kind,
                                 (uint8_t)flags};
    store_u32(frame + 5, stream);
    floor_send(frame, sizeof(frame));
    floor_send(payload, size);
}

static void *open_kept(void)
{
    return calloc(1, sizeof(struct kept));
}

static void answer(const uint8_t *frame, size_t size)
{
    uint32_t stream = load_u32(frame + 5);
    bool is_last = (frame[4] & END_STREAM) != 0;
    switch (frame[3]) {
    case SETTINGS:
        if ((frame[4] & ACK) == 0) {
            send_frame(SETTINGS, ACK, 0, "", 0);
        }
        break;
    case PING:
        if ((frame[4] & ACK) == 0) {
            send_frame(PING, ACK, 0, frame + HEAD_BYTES, 8);
        }
        break;
    case HEADERS:
        send_frame(HEADERS, END_HEADERS, stream, head, sizeof(head) - 1);
        break;
    case DATA:
        if (size > HEAD_BYTES) {
            send_frame(DATA, 0, stream, floor_next_message(), floor_message.size);
        }
        if (is_last) {
            send_frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers, sizeof(trailers) - 1);
        }
        break;
    default:
        break;
    }
}

/* How many bytes were used. */
static size_t take_frames(struct kept *k, const uint8_t *data, size_t size)
{
    size_t used = 0;
    if (!k->has_begun && size >= sizeof(preface) - 1) {
        uint8_t window[4];
        k->has_begun = true;
        used = sizeof(preface) - 1;
        store_u32(window, FLOOR_WINDOW - 65535);
        send_frame(SETTINGS, 0, 0, "", 0);
        send_frame(WINDOW_UPDATE, 0, 0, window, sizeof(window));
    }
    while (k->has_begun && size - used >= HEAD_BYTES) {
        const uint8_t *frame = data + used;
        size_t whole = HEAD_BYTES + (load_u32(frame) >> 8);
        if (whole > size - used) {
            break;
        }
        answer(frame, whole);
        used += whole;
    }
    return used;
}

static void keep(struct kept *k, const uint8_t *data, size_t size)
{
    if (size > KEPT_BYTES - k->size) {
        floor_fail("a frame is too long");
    }
    memcpy(k->bytes + k->size, data, size);
    k->size += size;
}

static void take(void *kept, const uint8_t *data, size_t size)
{
    struct kept *k = kept;
    if (k->size == 0) {
        size_t used = take_frames(k, data, size);
        keep(k, data + used, size - used);
        return;
    }
    keep(k, data, size);
    size_t used = take_frames(k, k->bytes, k->size);
    k->size -= used;
    memmove(k->bytes, k->bytes + used, k->size);
}

const struct floor_door floor_frames = {.open = open_kept, .take = take, .close = free};
