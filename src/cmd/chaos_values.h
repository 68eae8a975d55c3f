/* cmd/chaos_values.h - which values a key may have, as one client that writes and reads knows it
 * (row D13).
 *
 * The client does one thing at a time. Every value is a number that is written once, so that a
 * value tells which write it is of. What a write became is known, known not to be, or not known;
 * one of the last kind may still take effect at any time, once. Pure: no clock, no network. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAOS_KEYS       8
/* The run ends with this many; more than a day has room for. */
#define CHAOS_VALUES_MAX 8000000u

enum chaos_outcome {
    CHAOS_UNKNOWN, /* it may have been written, or may be still */
    CHAOS_REFUSED, /* it was not, and never will be */
    CHAOS_WRITTEN,
};

/* Zero-initialised: nothing was written. */
struct chaos_values {
    uint8_t *outcomes; /* owned; of value v at v - 1 */
    uint32_t capacity;
    uint32_t issued;              /* values 1 to this one; value v is for key v % CHAOS_KEYS */
    uint32_t current[CHAOS_KEYS]; /* 0 = the key is not there */
};

void chaos_values_deinit(struct chaos_values *c);
/* The next value to write; its outcome is unknown until it is told. 0: there were as many as there
 * may be. */
uint32_t chaos_values_issue(struct chaos_values *c);
uint32_t chaos_values_key(uint32_t value);
void chaos_values_tell(struct chaos_values *c, uint32_t value, enum chaos_outcome outcome);
/* A read of a key gave this (0 = not there); `is_stale` when an old value is allowed. NULL: that
 * may be. Otherwise why it is wrong, for a person, in `why`. */
const char *chaos_values_judge(struct chaos_values *c, uint32_t key, uint64_t value, bool is_stale,
                               char *why, size_t size);
