#include "load/load_judge.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define MS        1000u /* in microseconds */
#define MIB_BYTES ((uint64_t)MIB)
#define GIB_BYTES (1024 * MIB_BYTES)

/* The server's own, and how many heartbeats make an election timeout without a warning. */
#define HEARTBEAT_DEFAULT_MS 50
#define HEARTBEATS           10

const char *load_verdict_name(enum load_verdict verdict)
{
    static const char *const names[] = {"unknown", "good", "acceptable", "poor"};
    return names[verdict];
}

/* --- making a finding ------------------------------------------------------------------------- */

static void figure(struct load_finding *f, const char *name, double value)
{
    if (f->figure_count < LOAD_FIGURES_MAX) {
        f->figures[f->figure_count++] = (struct load_figure){.name = name, .value = value};
    }
}

static void __attribute__((format(printf, 2, 3)))
measured(struct load_finding *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->measured, sizeof(f->measured), format, arguments);
    va_end(arguments);
}

/* The advice is kept only where something is to be done. */
static void judge(struct load_finding *f, enum load_verdict verdict, const char *advice)
{
    f->verdict = verdict;
    snprintf(f->advice, sizeof(f->advice), "%s", verdict > VERDICT_GOOD ? advice : "");
}

/* Less is better: good up to `good`, acceptable up to `acceptable`. */
static enum load_verdict by_ceiling(uint64_t value, uint64_t good, uint64_t acceptable)
{
    return value <= good ? VERDICT_GOOD : value <= acceptable ? VERDICT_ACCEPTABLE : VERDICT_POOR;
}

/* More is better. */
static enum load_verdict by_floor(uint64_t value, uint64_t good, uint64_t acceptable)
{
    return value >= good ? VERDICT_GOOD : value >= acceptable ? VERDICT_ACCEPTABLE : VERDICT_POOR;
}

static enum load_verdict worse(enum load_verdict a, enum load_verdict b)
{
    return a > b ? a : b;
}

static void delays(struct load_finding *f, const struct load_delays *d, const char *what)
{
    measured(f, "half within %.2f ms, 99 %% within %.2f ms, the longest %.2f ms (%" PRIu64 " %s)",
             (double)d->p50_us / MS, (double)d->p99_us / MS, (double)d->max_us / MS, d->count,
             what);
    figure(f, "count", (double)d->count);
    figure(f, "p50_us", (double)d->p50_us);
    figure(f, "p99_us", (double)d->p99_us);
    figure(f, "max_us", (double)d->max_us);
}

static struct load_finding unknown(const char *what, const char *why)
{
    struct load_finding f = {.what = what, .verdict = VERDICT_UNKNOWN};
    measured(&f, "%s", why);
    return f;
}

struct load_finding load_judge_failed(const char *what, const char *why, const char *advice)
{
    struct load_finding f = {.what = what};
    measured(&f, "%s", why);
    judge(&f, VERDICT_POOR, advice);
    return f;
}

/* --- the disk --------------------------------------------------------------------------------- */

/* No medium that survives a power cut is that fast. */
#define SYNC_BELIEVED_US 4

struct load_finding load_judge_sync(const struct load_delays *syncs)
{
    if (syncs->count == 0) {
        return unknown("disk-sync", "no append was made in the time given");
    }
    struct load_finding f = {.what = "disk-sync"};
    delays(&f, syncs, "appends of 4 KiB");
    enum load_verdict verdict = worse(by_ceiling(syncs->p99_us, 10 * MS, 50 * MS),
                                      by_ceiling(syncs->max_us, 150 * MS, 1000 * MS));
    if (syncs->p50_us < SYNC_BELIEVED_US) {
        judge(&f, worse(verdict, VERDICT_ACCEPTABLE),
              "faster than any disk: a sync that waits for nothing keeps nothing when the power "
              "fails. Let the (virtual) disk honour flushes, or know that it is so.");
        return f;
    }
    judge(&f, verdict,
          verdict == VERDICT_POOR
              ? "each write waits for a sync, and a slow one can cost the leader its office. Use a "
                "local SSD, or one with power-loss protection, that nothing else writes to."
              : "each write waits for a sync. A disk of its own for --data makes writes faster; "
                "look for what else writes to this one.");
    return f;
}

struct load_finding load_judge_write_rate(uint64_t bytes, uint64_t took_us)
{
    struct load_finding f = {.what = "disk-write-rate"};
    double mib_per_s =
        (double)bytes / (double)MIB_BYTES / ((double)(took_us > 0 ? took_us : 1) / 1e6);
    measured(&f, "%.0f MiB/s in order, with the sync at the end (%" PRIu64 " MiB)", mib_per_s,
             bytes / MIB_BYTES);
    figure(&f, "mib_per_s", mib_per_s);
    judge(&f, by_floor((uint64_t)mib_per_s, 50, 10),
          "snapshots and the log share this; a member that was away catches up no faster.");
    return f;
}

/* On disk there may be up to two whole states (a snapshot, and the next one while it is written)
 * and the log since. */
struct load_finding load_judge_space(uint64_t free_bytes, uint64_t quota_bytes)
{
    struct load_finding f = {.what = "disk-space"};
    measured(&f, "%.1f GiB free", (double)free_bytes / (double)GIB_BYTES);
    figure(&f, "free_bytes", (double)free_bytes);
    figure(&f, "quota_bytes", (double)quota_bytes);
    char advice[sizeof(f.advice)];
    snprintf(advice, sizeof(advice),
             "a store of --quota-bytes (here %.1f GiB, half of the memory, by default) needs up to "
             "three times that: snapshots and the log. Make room, or give a lower --quota-bytes.",
             (double)quota_bytes / (double)GIB_BYTES);
    judge(&f, by_floor(free_bytes, 3 * quota_bytes, GIB_BYTES), advice);
    return f;
}

struct load_finding load_judge_file_system(const struct load_file_system *fs)
{
    static const struct {
        enum load_verdict verdict;
        const char *kind, *advice;
    } media[] = {
        [MEDIUM_LOCAL] = {VERDICT_GOOD, "a local file system", ""},
        [MEDIUM_WEAK] = {VERDICT_ACCEPTABLE, "a file system without a journal",
                         "a crash can damage the directory itself; ext4 or xfs withstand it."},
        [MEDIUM_LAYER] = {VERDICT_ACCEPTABLE, "the layer of a container",
                          "what is written here goes with the container: mount a volume for "
                          "--data."},
        [MEDIUM_PASSED] = {VERDICT_ACCEPTABLE, "handed through by another system",
                           "whether a sync reaches a disk is up to that system; a local disk is "
                           "safer and faster."},
        [MEDIUM_NETWORK] = {VERDICT_POOR, "on another machine",
                            "each sync crosses the network, and members that share a server fail "
                            "together. The members are the replicas: give each a local disk."},
        [MEDIUM_MEMORY] = {VERDICT_POOR, "memory, not a disk",
                           "nothing here survives a restart, and a member that forgets its vote "
                           "endangers the others: name a directory on a disk."},
    };
    struct load_finding f = {.what = "file-system"};
    if (fs->medium == MEDIUM_UNKNOWN) {
        return unknown("file-system", fs->name);
    }
    measured(&f, "%s, %s", fs->name, media[fs->medium].kind);
    judge(&f, media[fs->medium].verdict, media[fs->medium].advice);
    return f;
}

/* --- the clock -------------------------------------------------------------------------------- */

#define STOLEN_GOOD       0.02
#define STOLEN_ACCEPTABLE 0.10

struct load_finding load_judge_wake_up(const struct load_clock *c)
{
    if (c->late.count == 0) {
        return unknown("wake-up", "no timer ran in the time given");
    }
    struct load_finding f = {.what = "wake-up"};
    delays(&f, &c->late, "timers, late by so much");
    enum load_verdict verdict = worse(by_ceiling(c->late.p99_us, 5 * MS, 25 * MS),
                                      by_ceiling(c->late.max_us, 50 * MS, 250 * MS));
    if (c->stolen >= 0) {
        figure(&f, "stolen_share", c->stolen);
        verdict = worse(verdict, c->stolen <= STOLEN_GOOD         ? VERDICT_GOOD
                                 : c->stolen <= STOLEN_ACCEPTABLE ? VERDICT_ACCEPTABLE
                                                                  : VERDICT_POOR);
    }
    char advice[sizeof(f.advice)];
    snprintf(advice, sizeof(advice),
             "heartbeats wait for the processor%s. Give the member more of it: fewer neighbours, "
             "a larger CPU limit, no CPU quota of a container.",
             c->stolen > STOLEN_GOOD ? ", which the host gives to others, too" : "");
    judge(&f, verdict, advice);
    return f;
}

static bool is_wall_jumping(const struct load_clock *c)
{
    return llabs(c->wall_jump_us) > 100 * (int64_t)MS;
}

struct load_finding load_judge_clock(const struct load_clock *c)
{
    struct load_finding f = {.what = "clock"};
    figure(&f, "backwards", (double)c->backwards);
    if (c->backwards > 0) {
        measured(&f, "the monotonic clock went backwards %" PRIu64 " times", c->backwards);
        judge(&f, VERDICT_POOR,
              "timeouts mean nothing on such a clock: choose another clock source of the kernel, "
              "or another host.");
        return f;
    }
    figure(&f, "wall_jump_us", (double)c->wall_jump_us);
    if (c->is_wall_known) {
        figure(&f, "wall_synced", c->is_wall_synced);
        figure(&f, "wall_offset_us", (double)c->wall_offset_us);
    }
    const char *jump = is_wall_jumping(c) ? "; it jumped during the check" : "";
    if (!c->is_wall_known) {
        measured(&f, "steady; whether the wall clock is synchronised cannot be asked here%s", jump);
    } else {
        measured(&f, "steady; the wall clock is %ssynchronised%s", c->is_wall_synced ? "" : "not ",
                 jump);
    }
    bool is_set = !c->is_wall_known || c->is_wall_synced;
    judge(&f, is_set && !is_wall_jumping(c) ? VERDICT_GOOD : VERDICT_ACCEPTABLE,
          "no promise depends on it, but times in logs and documents do: run one NTP client "
          "(chrony, systemd-timesyncd), here or on the host.");
    return f;
}

/* --- the machine ------------------------------------------------------------------------------ */

struct load_finding load_judge_memory(const struct load_memory *m)
{
    struct load_finding f = {.what = "memory"};
    figure(&f, "limit_bytes", (double)m->limit_bytes);
    enum load_verdict verdict = by_floor(m->limit_bytes, 512 * MIB_BYTES, 128 * MIB_BYTES);
    if (m->available_bytes == UINT64_MAX) {
        measured(&f, "%.1f GiB", (double)m->limit_bytes / (double)GIB_BYTES);
    } else {
        measured(&f, "%.1f GiB, %.1f GiB of it available",
                 (double)m->limit_bytes / (double)GIB_BYTES,
                 (double)m->available_bytes / (double)GIB_BYTES);
        figure(&f, "available_bytes", (double)m->available_bytes);
        verdict = worse(verdict, by_floor(m->available_bytes, 256 * MIB_BYTES, 64 * MIB_BYTES));
    }
    judge(&f, verdict,
          "the whole store is kept in memory: make room, or bound it by --quota-bytes.");
    return f;
}

struct load_finding load_judge_open_files(uint64_t limit)
{
    struct load_finding f = {.what = "open-files"};
    measured(&f, "%" PRIu64 " for a process", limit);
    figure(&f, "limit", (double)limit);
    char advice[sizeof(f.advice)];
    snprintf(advice, sizeof(advice),
             "a member keeps %d for itself, and each client takes one: ulimit -n %u, or "
             "LimitNOFILE= in its unit.",
             LIMIT_FILES_KEPT, LIMIT_CONNECTIONS + 1024u);
    judge(&f, by_floor(limit, 4096, 512), advice);
    return f;
}

/* --- the network ------------------------------------------------------------------------------ */

struct load_finding load_judge_network(const char *url, const struct load_network *n)
{
    const struct load_delays *trips = &n->trips;
    if (trips->count == 0) {
        return unknown("network", "no round trip was made in the time given");
    }
    struct load_finding f = {.what = "network"};
    char what[560];
    snprintf(what, sizeof(what), "round trips%s to %s",
             n->is_connecting ? " with connecting, as the server hangs up after each," : "", url);
    delays(&f, trips, what);
    judge(&f,
          worse(by_ceiling(trips->p99_us, 25 * MS, 150 * MS),
                by_ceiling(trips->max_us, 100 * MS, 500 * MS)),
          "each write waits for one round trip between members. Put them closer together, or look "
          "for what delays packets; the timeouts below allow for it.");
    return f;
}

/* --- what fits -------------------------------------------------------------------------------- */

/* A heartbeat must be longer than a round trip and than a usual late wake-up, or silence means
 * nothing. Three times the worst that was seen fit into the election timeout: what was seen in
 * seconds is not the worst of a year. Below 150 ms one slow sync makes an election on any disk. */
static bool is_fitting(uint32_t heartbeat_ms, const struct load_delays *syncs,
                       const struct load_delays *late, const struct load_delays *trips)
{
    uint64_t heartbeat_us = (uint64_t)heartbeat_ms * MS;
    uint64_t worst_us = syncs->max_us + late->max_us + trips->p99_us;
    return heartbeat_us >= trips->p99_us && heartbeat_us >= 2 * late->p99_us &&
           heartbeat_us * HEARTBEATS >= 3 * worst_us;
}

struct load_timeouts load_fitting_timeouts(const struct load_delays *syncs,
                                           const struct load_delays *late,
                                           const struct load_delays *trips)
{
    static const uint32_t steps[] = {15, 20, 30, 50, 75, 100, 150, 200, 300, 500};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (is_fitting(steps[i], syncs, late, trips)) {
            return (struct load_timeouts){.heartbeat_ms = steps[i],
                                          .election_timeout_ms = steps[i] * HEARTBEATS};
        }
    }
    return (struct load_timeouts){0};
}

struct load_finding load_judge_timeouts(const struct load_timeouts *fitting, bool is_network_known)
{
    struct load_finding f = {.what = "timeouts"};
    figure(&f, "heartbeat_ms", fitting->heartbeat_ms);
    figure(&f, "election_timeout_ms", fitting->election_timeout_ms);
    if (fitting->heartbeat_ms == 0) {
        measured(&f, "none fit");
        judge(&f, VERDICT_POOR,
              "delays as long as those above would take even a calm leader its office; what is "
              "poor above comes first.");
        return f;
    }
    const char *network = is_network_known ? ""
                                           : ", if the members are near each other (give "
                                             "--endpoints to measure that)";
    if (fitting->heartbeat_ms <= HEARTBEAT_DEFAULT_MS) {
        measured(&f, "the defaults fit; down to --heartbeat-ms %u --election-timeout-ms %u would%s",
                 fitting->heartbeat_ms, fitting->election_timeout_ms, network);
        judge(&f, VERDICT_GOOD, "");
        return f;
    }
    measured(&f, "--heartbeat-ms %u --election-timeout-ms %u%s", fitting->heartbeat_ms,
             fitting->election_timeout_ms, network);
    judge(&f, fitting->heartbeat_ms <= 4 * HEARTBEAT_DEFAULT_MS ? VERDICT_ACCEPTABLE : VERDICT_POOR,
          "start the members with these, or a busy moment ends in an election; a failover takes "
          "that much longer.");
    return f;
}
