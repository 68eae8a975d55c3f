/* node/delay_line.h - messages for one member that are sent later, in the order in which they came.
 *
 * Bytes in one buffer, like peer_queue.h; knows no clock and no timer: peer_faults.c asks when the
 * first one is due. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* A message on its way to the queues of its member. */
struct outgoing {
    uint8_t type; /* enum frame_type */
    bool is_urgent;
    bool is_bulk; /* on the bulk link, if there is one */
    struct slice message;
};

/* Zero-initialised is empty. */
struct delay_line {
    struct buf bytes;
    size_t begin;    /* the first message that was not taken */
    uint64_t due_ms; /* of the last one */
};

/* Due at `due_ms`, or when the one before it is, if that is later. False: it is not taken, since
 * more than LIMIT_FAULT_DELAYED_BYTES would wait. One that finds nothing waiting is taken whatever
 * its size. */
bool delay_line_push(struct delay_line *d, uint64_t due_ms, const struct outgoing *m);
/* When the first one is due; UINT64_MAX = nothing waits. */
uint64_t delay_line_due_ms(const struct delay_line *d);
/* The first one; borrowed until the next call. Requires: something waits. */
struct outgoing delay_line_head(const struct delay_line *d);
void delay_line_pop(struct delay_line *d);
/* None is due later than that. */
void delay_line_hurry(struct delay_line *d, uint64_t due_ms);
/* Drop everything and the memory. */
void delay_line_deinit(struct delay_line *d);
