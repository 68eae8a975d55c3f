/* load/load_probe_clock.c - how late timers wake, and whether the clocks can be trusted. */
#include "load/load_probe.h"

#include "base/mem.h"
#include "load/load_histogram.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#ifdef __linux__
#include <sys/timex.h>
#endif

/* A timer's time, as short as anything that a member waits for. */
#define STEP_NS 2000000

static int64_t read_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t load_probe_now_us(void)
{
    return (uint64_t)read_ns(CLOCK_MONOTONIC) / 1000;
}

struct load_delays load_delays_of(const struct load_histogram *h)
{
    return (struct load_delays){.count = h->count,
                                .p50_us = load_histogram_quantile(h, 0.5),
                                .p99_us = load_histogram_quantile(h, 0.99),
                                .max_us = h->max_us};
}

/* --- processor time that the host gave to others ---------------------------------------------- */

struct cpu_times {
    uint64_t all, stolen; /* in ticks since the start; all = 0: not known */
};

static struct cpu_times read_cpu_times(void)
{
    struct cpu_times t = {0};
    uint64_t field[8] = {0}; /* user nice system idle iowait irq softirq steal */
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) {
        return t;
    }
    int count = fscanf(file,
                       "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                       " %" SCNu64 " %" SCNu64,
                       &field[0], &field[1], &field[2], &field[3], &field[4], &field[5], &field[6],
                       &field[7]);
    fclose(file);
    if (count == 8) {
        for (int i = 0; i < count; i++) {
            t.all += field[i];
        }
        t.stolen = field[7];
    }
    return t;
}

static double stolen_share(const struct cpu_times *before, const struct cpu_times *after)
{
    if (before->all == 0 || after->all <= before->all || after->stolen < before->stolen) {
        return -1;
    }
    return (double)(after->stolen - before->stolen) / (double)(after->all - before->all);
}

/* --- the wall clock --------------------------------------------------------------------------- */

/* Asking needs no right, but a container may forbid it. */
static void ask_kernel(struct load_clock *c)
{
#ifdef __linux__
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    if (state >= 0) {
        c->is_wall_known = true;
        c->is_wall_synced = state != TIME_ERROR && (t.status & STA_UNSYNC) == 0;
        c->wall_offset_us = t.offset / ((t.status & STA_NANO) != 0 ? 1000 : 1);
    }
#else
    (void)c;
#endif
}

/* --- timers ----------------------------------------------------------------------------------- */

static bool sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = (time_t)(at_ns / 1000000000), .tv_nsec = at_ns % 1000000000};
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == 0;
}

static void watch_timers(uint32_t run_ms, const volatile sig_atomic_t *ended, struct load_clock *c)
{
    struct load_histogram *late = mem_calloc(1, sizeof(struct load_histogram));
    int64_t last_ns = read_ns(CLOCK_MONOTONIC);
    int64_t end_ns = last_ns + (int64_t)run_ms * 1000000;
    while (last_ns < end_ns && !*ended) {
        int64_t at_ns = last_ns + STEP_NS;
        bool is_slept = sleep_until(at_ns); /* not when a signal comes, which may have ended us */
        int64_t now_ns = read_ns(CLOCK_MONOTONIC);
        c->backwards += now_ns < last_ns;
        if (is_slept) {
            load_histogram_add(late, now_ns > at_ns ? (uint64_t)(now_ns - at_ns) / 1000 : 0);
        }
        last_ns = now_ns;
    }
    c->late = load_delays_of(late);
    mem_free(late);
}

void load_probe_clock(uint32_t run_ms, const volatile sig_atomic_t *ended, struct load_clock *c)
{
    *c = (struct load_clock){0};
    struct cpu_times before = read_cpu_times();
    int64_t wall_ahead_ns = read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC);
    watch_timers(run_ms, ended, c);
    int64_t moved_ns = read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC) - wall_ahead_ns;
    c->wall_jump_us = moved_ns / 1000;
    struct cpu_times after = read_cpu_times();
    c->stolen = stolen_share(&before, &after);
    ask_kernel(c);
}
