/* schedule.h - what happens in one simulated story: knobs, and timed items (faults, requests).
 *
 * Drawn from a seed, or read from a text file; what is drawn can be saved, shrunk, and played again
 * as it is. Every item stands for itself (a partition ends after its time), so that any of them can
 * be left out. */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_MEMBERS_MAX  7
#define SIM_CLIENTS_MAX  20
#define SIM_KEYS_MAX     64
#define SIM_WATCHERS_MAX 6
/* In place of a member: whoever leads, or follows, when the item is due. */
#define SIM_THE_LEADER   90
#define SIM_A_FOLLOWER   91
#define SIM_THE_SAME     92 /* as the last fault that was about one of the two above */

/* X(name) */
#define KNOB_TABLE(X)                                                                              \
    X(members)                                                                                     \
    X(election_ms)                                                                                 \
    X(heartbeat_ms)                                                                                \
    X(delay_ms)                                                                                    \
    X(piece_bytes)                                                                                 \
    X(kernel_bytes)                                                                                \
    X(coalesce_percent)                                                                            \
    X(late_done)                                                                                   \
    X(has_secret)                                                                                  \
    X(sector_bytes)                                                                                \
    X(first_segment_bytes)                                                                         \
    X(segment_bytes)                                                                               \
    X(history_ms)                                                                                  \
    X(history_bytes)                                                                               \
    X(request_ms)                                                                                  \
    X(append_bytes) /* bounds of the core; 0 = as in production */                                 \
    X(persist_bytes)                                                                               \
    X(inflight_messages)                                                                           \
    X(tail_bytes)                                                                                  \
    X(uncommitted_entries)                                                                         \
    X(lease_reads)                                                                                 \
    X(clients)                                                                                     \
    X(keys)                                                                                        \
    X(value_bytes)                                                                                 \
    X(length_ms)                                                                                   \
    X(early_faults)     /* also while the cluster is founded */                                    \
    X(audit_every)      /* one of so many writes: what would a power loss leave? 0 = not asked */  \
    X(spares)           /* members beside the founders, who may join later */                      \
    X(churn)            /* members come and go */                                                  \
    X(keyed)            /* some writes have an Idempotency-Key */                                  \
    X(forwards)         /* some are handed on to the leader */                                     \
    X(policy)           /* enum node_election_policy */                                            \
    X(txns)             /* some requests are transactions, and reads of ranges in part */          \
    X(leases)           /* there are leases, and keys that go with them */                         \
    X(watches)          /* some watch */                                                           \
    X(snapshot_entries) /* 0 = none in so short a story */                                         \
    X(snapshot_spread)  /* so many times more of them for each next of three members */            \
    X(core)         /* seed of who is left when it must live again, and how the others are lost */ \
    X(crash_member) /* the power of this one fails */                                              \
    X(crash_call)   /* at this call to its disk; 0 = never */                                      \
    X(crash_loss)   /* of what was not synced: see crash_points.h */

enum knob {
#define KNOB_ENUM(name) KNOB_##name,
    KNOB_TABLE(KNOB_ENUM)
#undef KNOB_ENUM
        KNOB_COUNT
};

/* Classes of faults: each is off in half of all schedules. */
enum fault_class {
    CLASS_REQUEST, /* no fault */
    CLASS_KILL,
    CLASS_POWER,
    CLASS_ALL,
    CLASS_RECOVERY,
    CLASS_FREEZE,
    CLASS_PARTITION,
    CLASS_RESET,
    CLASS_SLOW,
    CLASS_CORRUPT,
    CLASS_SLOW_DISK,
    CLASS_FAILING_DISK,
    CLASS_FULL_DISK,
    CLASS_ROT,
    CLASS_ODD_STATE,
    CLASS_CLOCK,
    CLASS_WIPE,
    CLASS_LEADERSHIP,
    CLASS_MEMBERSHIP,
    CLASS_COUNT
};

/* X(name, class, weight within the class, meaning of a, b, c, d) */
#define ITEM_TABLE(X)                                                                              \
    X(request, CLASS_REQUEST, 0, "client", "kind", "key", "flags")                                 \
    X(kill, CLASS_KILL, 3, "member", "", "down_ms", "")                                            \
    X(kill_in_write, CLASS_KILL, 3, "member", "calls", "down_ms", "")                              \
    X(power, CLASS_POWER, 2, "member", "", "down_ms", "destroys")                                  \
    X(power_in_write, CLASS_POWER, 4, "member", "calls", "down_ms", "destroys")                    \
    X(kill_all, CLASS_ALL, 1, "power", "", "down_ms", "destroys")                                  \
    X(crash_start, CLASS_RECOVERY, 1, "member", "calls", "down_ms", "power")                       \
    X(freeze, CLASS_FREEZE, 1, "member", "", "ms", "")                                             \
    X(cut_way, CLASS_PARTITION, 3, "from", "to", "ms", "")                                         \
    X(isolate, CLASS_PARTITION, 4, "member", "", "ms", "")                                         \
    X(isolate_way, CLASS_PARTITION, 2, "member", "inwards", "ms", "")                              \
    X(split, CLASS_PARTITION, 2, "mask", "", "ms", "")                                             \
    X(bridge, CLASS_PARTITION, 1, "member", "", "ms", "")                                          \
    X(ring, CLASS_PARTITION, 1, "", "", "ms", "")                                                  \
    X(reset, CLASS_RESET, 2, "member", "other", "", "")                                            \
    X(half_open, CLASS_RESET, 1, "member", "other", "", "")                                        \
    X(slow_link, CLASS_SLOW, 1, "from", "to", "ms", "delay_ms")                                    \
    X(corrupt, CLASS_CORRUPT, 1, "from", "pieces", "", "")                                         \
    X(stall, CLASS_SLOW_DISK, 1, "member", "", "ms", "")                                           \
    X(slow_disk, CLASS_SLOW_DISK, 1, "member", "", "ms", "delay_ms")                               \
    X(fail_disk, CLASS_FAILING_DISK, 1, "member", "calls", "down_ms", "kind")                      \
    X(full_disk, CLASS_FULL_DISK, 2, "member", "room_kib", "ms", "all")                            \
    X(rot, CLASS_ROT, 1, "member", "file", "down_ms", "place")                                     \
    X(rot_snapshot, CLASS_ROT, 1, "member", "which", "down_ms", "place")                           \
    X(odd_state, CLASS_ODD_STATE, 1, "member", "kind", "", "")                                     \
    X(clock, CLASS_CLOCK, 2, "member", "permille", "jump_ms", "")                                  \
    X(wall, CLASS_CLOCK, 1, "member", "back", "jump_ms", "")                                       \
    X(wipe, CLASS_WIPE, 1, "member", "", "down_ms", "")                                            \
    X(shut_down, CLASS_LEADERSHIP, 1, "member", "", "down_ms", "")                                 \
    X(step_down, CLASS_LEADERSHIP, 2, "member", "to", "", "anybody")                               \
    X(campaign, CLASS_LEADERSHIP, 1, "member", "", "", "")                                         \
    X(add, CLASS_MEMBERSHIP, 0, "member", "", "", "learner")                                       \
    X(remove, CLASS_MEMBERSHIP, 0, "member", "", "", "")                                           \
    X(promote, CLASS_MEMBERSHIP, 0, "member", "", "", "")                                          \
    X(replace, CLASS_MEMBERSHIP, 0, "member", "", "", "")                                          \
    X(watch, CLASS_REQUEST, 0, "watcher", "", "wait_ms", "anew")                                   \
    X(watch_pause, CLASS_REQUEST, 0, "watcher", "", "ms", "")

enum item_kind {
#define ITEM_ENUM(name, class, weight, a, b, c, d) ITEM_##name,
    ITEM_TABLE(ITEM_ENUM)
#undef ITEM_ENUM
        ITEM_COUNT
};

/* `which` of a rot_snapshot. */
#define ROT_ALL_SNAPSHOTS 1u /* or only the newest */
#define ROT_AT_REST       2u /* the member goes on */

struct item {
    uint32_t at_ms;
    enum item_kind kind;
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
};

struct schedule {
    uint64_t seed; /* of everything that is neither knob nor item: delays, what is torn */
    uint32_t knobs[KNOB_COUNT];
    struct item *items; /* owned; by time */
    uint32_t item_count;
    uint32_t item_capacity;
};

void schedule_draw(struct schedule *s, uint64_t seed);
void schedule_copy(struct schedule *to, const struct schedule *from);
void schedule_deinit(struct schedule *s);
void schedule_add(struct schedule *s, struct item item);
void schedule_save(const struct schedule *s, FILE *out);
/* INVALID: not what schedule_save writes; *line says where. */
enum status MUST_CHECK schedule_load(struct schedule *s, FILE *in, uint32_t *line);
const char *item_name(enum item_kind kind);
/* One line for a person. */
void item_format(const struct item *item, char *text, size_t size);
