/* load/load_judge.h - what figures of a machine mean for a member that lives there.
 *
 * Numbers in, a verdict and a sentence out: no clock, no file, no network. The probes
 * (load_probe.h) bring the numbers, load_check.c puts both together. What counts as good:
 *   - A write waits for one sync, so 10 ms for 99 of 100 is what people do not notice (etcd asks
 *     for the same), and a vote waits for one too, so that none may come near the time of an
 *     election.
 *   - A leader is believed dead after the election timeout, 500 ms by default with a heartbeat
 *     every 50 ms: the longest sync, the latest wake-up and a round trip must fit into it together,
 *     with room. Where they do not, larger timeouts do, at the price of a slower failover. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* In this order: the worst of several is the one that counts. */
enum load_verdict { VERDICT_UNKNOWN, VERDICT_GOOD, VERDICT_ACCEPTABLE, VERDICT_POOR };

#define LOAD_FIGURES_MAX 6

struct load_figure {
    const char *name; /* with its unit: "p99_us"; static */
    double value;
};

/* One thing that was looked at. Copied freely. */
struct load_finding {
    const char *what; /* "disk-sync"; static */
    enum load_verdict verdict;
    char measured[640]; /* "50 % within 0.11 ms, ..."; for UNKNOWN: why it is not known */
    char advice[480];   /* why it is not good, and what to do; empty where it is */
    struct load_figure figures[LOAD_FIGURES_MAX];
    uint32_t figure_count;
};

/* How long something took, each time that it was done. */
struct load_delays {
    uint64_t count; /* 0: it never was, and the rest is 0 */
    uint64_t p50_us, p99_us, max_us;
};

enum load_medium {
    MEDIUM_LOCAL,   /* a disk's own */
    MEDIUM_WEAK,    /* a disk's, without a journal */
    MEDIUM_LAYER,   /* of a container, and gone with it */
    MEDIUM_PASSED,  /* another system's, handed through */
    MEDIUM_NETWORK, /* another machine's */
    MEDIUM_MEMORY,
    MEDIUM_UNKNOWN,
};

struct load_file_system {
    enum load_medium medium;
    char name[32]; /* "ext4" */
};

struct load_clock {
    struct load_delays late; /* wake-ups after the time that they were asked for */
    uint64_t backwards;      /* readings of the monotonic clock below the one before */
    bool is_wall_known;      /* the two below are */
    bool is_wall_synced;
    int64_t wall_offset_us; /* the kernel's estimate of what is still to be corrected */
    int64_t wall_jump_us;   /* how far it moved against the monotonic one while looking */
    double stolen;          /* of all CPU time, by other guests of the host; < 0: not known */
};

struct load_network {
    struct load_delays trips; /* of one short request */
    bool is_connecting;       /* the server hangs up after each, and connecting is in the next */
};

struct load_memory {
    uint64_t limit_bytes;     /* of the machine or the control group */
    uint64_t available_bytes; /* UINT64_MAX: not known */
};

/* The heartbeat and election timeout that fit; heartbeat_ms = 0: none does. */
struct load_timeouts {
    uint32_t heartbeat_ms, election_timeout_ms;
};

struct load_finding load_judge_sync(const struct load_delays *syncs);
/* Of a file of so many bytes, written in order and synced at the end. */
struct load_finding load_judge_write_rate(uint64_t bytes, uint64_t took_us);
struct load_finding load_judge_space(uint64_t free_bytes, uint64_t quota_bytes);
struct load_finding load_judge_file_system(const struct load_file_system *fs);
struct load_finding load_judge_wake_up(const struct load_clock *c);
struct load_finding load_judge_clock(const struct load_clock *c);
struct load_finding load_judge_memory(const struct load_memory *m);
/* Descriptors that a process may have open. */
struct load_finding load_judge_open_files(uint64_t limit);
/* `url`: who answered. */
struct load_finding load_judge_network(const char *url, const struct load_network *n);
/* What could not be measured, and why: poor. */
struct load_finding load_judge_failed(const char *what, const char *why, const char *advice);

/* The shortest timeouts that leave room for all three; one with count 0 was not measured. */
struct load_timeouts load_fitting_timeouts(const struct load_delays *syncs,
                                           const struct load_delays *late,
                                           const struct load_delays *trips);
/* The same as a finding: good when the defaults fit. */
struct load_finding load_judge_timeouts(const struct load_timeouts *fitting, bool is_network_known);

/* "good", "acceptable", "poor", "unknown". */
const char *load_verdict_name(enum load_verdict verdict);
