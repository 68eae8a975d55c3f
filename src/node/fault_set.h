/* node/fault_set.h - faults that a member was told to play for an experiment (contract, /faults).
 *
 * A plain value: what is done to messages for other members, and to the own disk. It is not kept
 * anywhere, so a restart forgets it. peer_faults.c and log_writer.c play it; api/ reads and prints
 * it. */
#pragma once

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Drops are counted in millionths: no floating point decides what happens. */
#define FAULT_DROP_ALL          1000000u
#define FAULT_DELAY_MS_MAX      60000u
/* At this age of a write a member gives its disk up (rule P17). */
#define FAULT_DISK_DELAY_MS_MAX 60000u

/* What is done to the messages for one member. */
struct fault {
    uint32_t delay_ms; /* each is sent so much later, in order */
    uint32_t drop;     /* so many of FAULT_DROP_ALL are lost */
    bool is_cut;       /* all are, and so is everything that it sends */
};

/* What is different for one member; what has_* does not name is as for the others. */
struct fault_link {
    char name[LIMIT_NAME_BYTES + 1];
    bool has_delay;
    bool has_drop;
    bool has_cut;
    struct fault fault;
};

/* Zero-initialised is none. Names are unique in each list. */
struct fault_set {
    uint32_t delay_ms;
    uint32_t drop;
    uint32_t cut_count;
    char cut[LIMIT_MEMBERS][LIMIT_NAME_BYTES + 1];
    uint32_t link_count;
    struct fault_link links[LIMIT_MEMBERS];
    uint32_t disk_delay_ms; /* each write and sync of the log begins so much later */
};

/* Nothing is done by it. */
bool fault_set_is_empty(const struct fault_set *s);
/* What it does to the messages for the member of that name. */
struct fault fault_set_of(const struct fault_set *s, const char *name);
/* One line for a log: "delayMs=100 partition=node-3". Cut off when it does not fit. */
void fault_set_describe(const struct fault_set *s, char *text, size_t size);
