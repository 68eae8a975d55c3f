/* gate_load.h - a client of the gate: requests to the leader over connections of the gate's world,
 * in a closed loop, with as little work of its own as possible. HTTP/2 frames are written and read
 * by hand; only what the leader is known to send is understood, anything else ends the process. */
#pragma once

#include "gate_world.h"

#include "base/check.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define GATE_CONNECTIONS_MAX 64
#define GATE_TEXT_BYTES      65536

/* Bytes that the client puts together or takes apart: its own work, which must not be counted, so
 * that nothing of src/ does it. More than fit end the process. */
struct gate_text {
    size_t size;
    uint8_t at[GATE_TEXT_BYTES];
};

static inline void gate_append(struct gate_text *t, const void *bytes, size_t size)
{
    CHECK_CMP(size, <=, sizeof(t->at) - t->size);
    memcpy(t->at + t->size, bytes, size);
    t->size += size;
}

static inline void gate_append_byte(struct gate_text *t, uint8_t byte)
{
    CHECK_CMP(t->size, <, sizeof(t->at));
    t->at[t->size++] = byte;
}

static inline struct slice gate_text_slice(const struct gate_text *t)
{
    return slice_of(t->at, t->size);
}

struct gate_plan {
    const char *path; /* of the gRPC call; NULL = HTTP/1.1, one request a connection */
    uint32_t connections;
    uint32_t streams; /* of each of them */
    bool is_stream;   /* calls stay open: each message is a request, each message back an answer */
    /* Append the message (of HTTP/1.1 the whole request) number `number`. */
    void (*make)(struct gate_text *t, uint64_t number);
};

struct gate_load;

/* Connects. `plan` must outlive it. */
struct gate_load *gate_load_open(struct gate_world *w, const struct gate_plan *plan);
/* So many requests, always connections x streams of them under way, until all are answered. Every
 * answer must be a good one. */
void gate_load_run(struct gate_load *l, uint64_t count);
/* Messages that came, answers or not: those of watches, which send one request for many. */
uint64_t gate_load_messages(const struct gate_load *l);
/* The connections stay, idle, until the world ends. */
void gate_load_free(struct gate_load *l);
