/* plans.h - what a request asks for in full: transactions and ranges, made of its numbers. */
#pragma once

#include "kv/kv_txn.h"
#include "schedule.h"

#define PLAN_VALUES_MAX 32

/* Ids of leases that clients choose from; beyond them are those of keys with a ttl of their own. */
#define SIM_LEASES         4u
#define SIM_PRIVATE_LEASES 100u

struct plan {
    struct kv_txn *txn;               /* owned; NULL = none was made */
    uint8_t *values[PLAN_VALUES_MAX]; /* owned, and what slices borrow, so below */
    uint32_t value_count;
    char mark[16];
};

struct plan_numbers {
    uint64_t seed;     /* of what is drawn */
    uint32_t attempt;  /* values are its own, and it can be told from the bytes in the log */
    uint64_t revision; /* that somebody was told of: compares and reads are about it and before */
    bool only_reads;
    bool one_range; /* one read of a range, and nothing else */
};

void plan_make(struct plan *p, const uint32_t *knobs, const struct plan_numbers *numbers);
void plan_deinit(struct plan *p);
bool plan_has_put(const struct kv_txn *txn);
/* The attempt that a transaction is of; UINT64_MAX = of none. */
uint64_t plan_attempt_of(const struct kv_txn *txn);

/* The value that an attempt writes: at least its number, TRUTH_VALUE_MIN bytes. */
void plan_value(uint64_t attempt, size_t size, uint8_t *bytes);
