#include "load/load_check.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Parts of the time. */
#define PARTS         5
#define DISK_PARTS    3
#define CLOCK_PARTS   2
#define NETWORK_PARTS 1

/* A run of the check, and what later findings need of earlier ones. */
struct run {
    const struct load_check_options *options;
    struct load_check *check;
    struct buf *why;
    struct load_delays syncs, late, trips; /* trips: of the farthest endpoint */
};

static void add(struct run *r, const struct load_finding *f)
{
    CHECK(r->check->count < LOAD_FINDINGS_MAX);
    r->check->findings[r->check->count++] = *f;
    if (f->verdict > r->check->verdict) {
        r->check->verdict = f->verdict;
    }
}

static uint32_t part_ms(const struct run *r, uint32_t parts)
{
    return (uint32_t)((uint64_t)r->options->run_ms * parts / PARTS);
}

/* --- the disk --------------------------------------------------------------------------------- */

static void add_disk(struct run *r, const struct load_disk *disk)
{
    struct load_finding sync = load_judge_sync(&disk->syncs);
    add(r, &sync);
    if (disk->fill_us > 0) {
        struct load_finding rate = load_judge_write_rate(LOAD_PROBE_FILE_BYTES, disk->fill_us);
        add(r, &rate);
    }
    r->syncs = disk->syncs;
}

static void add_failed_disk(struct run *r, const char *why)
{
    struct load_finding f = load_judge_failed(
        "disk-sync", why,
        "a member stops when its disk is full or fails: make room, or name another directory by "
        "--data.");
    add(r, &f);
}

/* So that a check never fills the disk. */
static bool has_room(struct run *r, uint64_t free_bytes)
{
    if (free_bytes >= LOAD_PROBE_FILE_BYTES + LOAD_PROBE_SPARE_BYTES) {
        return true;
    }
    char text[160];
    snprintf(text, sizeof(text),
             "not measured: that takes %u MiB, and %llu MiB must stay free; there are %llu MiB",
             LOAD_PROBE_FILE_BYTES / MIB, LOAD_PROBE_SPARE_BYTES / MIB,
             (unsigned long long)(free_bytes / MIB));
    add_failed_disk(r, text);
    return false;
}

static void write_disk(struct run *r, struct load_disk_probe *p)
{
    struct load_disk disk;
    struct buf why = {0};
    r->options->announce(r->options->context, p->path, LOAD_PROBE_FILE_BYTES);
    enum status status =
        load_probe_disk_run(p, part_ms(r, DISK_PARTS), r->options->ended, &disk, &why);
    if (status == STATUS_OK) {
        add_disk(r, &disk);
    } else {
        buf_append_byte(&why, 0);
        add_failed_disk(r, (const char *)why.data);
    }
    buf_deinit(&why);
}

static enum status check_disk(struct run *r, uint64_t free_bytes)
{
    struct load_disk_probe probe;
    if (load_probe_disk_begin(&probe, r->options->directory, r->why) != STATUS_OK) {
        return STATUS_INVALID;
    }
    if (has_room(r, free_bytes)) {
        write_disk(r, &probe);
    }
    if (!load_probe_disk_end(&probe)) {
        buf_printf(r->why, "cannot remove %s: %s", probe.path, strerror(errno));
        return STATUS_IO;
    }
    return STATUS_OK;
}

static enum status check_directory(struct run *r)
{
    struct stat s;
    const char *directory = r->options->directory;
    uint64_t free_bytes;
    if (stat(directory, &s) != 0) {
        buf_printf(r->why, "cannot look into %s: %s", directory, strerror(errno));
        return STATUS_INVALID;
    }
    if (!S_ISDIR(s.st_mode)) {
        buf_printf(r->why, "%s is no directory", directory);
        return STATUS_INVALID;
    }
    if (load_probe_space(directory, &free_bytes) != STATUS_OK) {
        buf_printf(r->why, "cannot ask for the free space of %s: %s", directory, strerror(errno));
        return STATUS_INVALID;
    }
    struct load_file_system fs;
    load_probe_file_system(directory, &fs);
    struct load_finding kind = load_judge_file_system(&fs);
    struct load_finding space = load_judge_space(free_bytes, r->options->quota_bytes);
    add(r, &kind);
    add(r, &space);
    return check_disk(r, free_bytes);
}

/* --- the rest --------------------------------------------------------------------------------- */

static void check_clock(struct run *r)
{
    struct load_clock clock;
    load_probe_clock(part_ms(r, CLOCK_PARTS), r->options->ended, &clock);
    struct load_finding wake_up = load_judge_wake_up(&clock);
    struct load_finding steady = load_judge_clock(&clock);
    add(r, &wake_up);
    add(r, &steady);
    r->late = clock.late;
}

static void check_machine(struct run *r)
{
    const struct load_memory memory = {.limit_bytes = r->options->memory_bytes,
                                       .available_bytes = load_probe_available_memory()};
    struct load_finding room = load_judge_memory(&memory);
    struct load_finding files = load_judge_open_files(load_probe_open_files());
    add(r, &room);
    add(r, &files);
}

static void check_endpoint(struct run *r, const char *url)
{
    struct load_network network;
    enum status status =
        load_probe_network(url, part_ms(r, NETWORK_PARTS), r->options->ended, &network);
    if (status != STATUS_OK) {
        char why[640];
        snprintf(why, sizeof(why), "%s: %s after %llu round trips", url, status_text(status),
                 (unsigned long long)network.trips.count);
        struct load_finding f = load_judge_failed(
            "network", why, "is the member up, and does nothing filter or cut the way to it?");
        add(r, &f);
        return;
    }
    struct load_finding f = load_judge_network(url, &network);
    add(r, &f);
    if (network.trips.p99_us > r->trips.p99_us) {
        r->trips = network.trips;
    }
}

static void check_timeouts(struct run *r)
{
    if (r->syncs.count == 0 || r->late.count == 0) {
        return; /* what is missing has its own finding */
    }
    r->check->timeouts = load_fitting_timeouts(&r->syncs, &r->late, &r->trips);
    struct load_finding f = load_judge_timeouts(&r->check->timeouts, r->trips.count > 0);
    add(r, &f);
}

enum status load_check_run(const struct load_check_options *options, struct load_check *check,
                           struct buf *why)
{
    *check = (struct load_check){0};
    struct run r = {.options = options, .check = check, .why = why};
    enum status status = check_directory(&r);
    if (status != STATUS_OK) {
        return status;
    }
    check_clock(&r);
    check_machine(&r);
    for (uint32_t i = 0; i < options->endpoint_count && !*options->ended; i++) {
        check_endpoint(&r, options->endpoints[i]);
    }
    check_timeouts(&r);
    return *options->ended ? STATUS_CLOSED : STATUS_OK;
}
