/* bench/floor/floor.h - a server that knows its answer beforehand: what is left of a request's cost
 * when nothing is behind the door. For measurements only; it ends on what it does not expect.
 *
 * The loop (floor_loop.c) reads, hands over what came, and sends what was answered by one write a
 * connection. Two doors: floor_frames.c looks at nothing but the heads of frames, so that nearly
 * all is the kernel's; floor_grpc.c has nghttp2 do what it does for any server. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOOR_OUT_BYTES     (256u * 1024)
#define FLOOR_MESSAGE_BYTES 512
/* The client's bytes that we say we take without further notice: it is never told of more. */
#define FLOOR_WINDOW        ((1u << 31) - 1)

/* The answer of gRPC, with the five bytes before a message. */
struct floor_message {
    uint8_t bytes[FLOOR_MESSAGE_BYTES];
    size_t size;
    size_t revision_at;
};

/* What is to be sent, of the connection that is being served. */
struct floor_out {
    uint8_t bytes[FLOOR_OUT_BYTES];
    size_t size;
};

struct floor_door {
    /* What is kept of a connection. */
    void *(*open)(void);
    void (*take)(void *kept, const uint8_t *data, size_t size);
    void (*close)(void *kept);
};

extern const struct floor_door floor_frames;
extern const struct floor_door floor_grpc;
extern struct floor_message floor_message;
extern struct floor_out floor_out;

void floor_send(const void *bytes, size_t size);
/* The message, with a revision that no answer had before: clients look at it. */
const uint8_t *floor_next_message(void);
/* Serves until it is killed. */
void floor_serve(const struct floor_door *door, int port);
_Noreturn void floor_fail(const char *what);
