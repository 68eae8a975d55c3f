/* load/load_probe.h - measures this machine for load_check.c: its disk, clock, network and limits.
 * What the figures mean is load_judge.h's.
 *
 * All calls block. A probe looks at `ended` between its steps and comes back early, with what it
 * has, when that is set (a signal handler does it). A step is short, as a rule; a disk that does
 * not answer, or the resolving of a name, holds it up for as long as the system has it. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"
#include "load/load_judge.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* The disk probe's file, all of which is written once, and its appends. */
#define LOAD_PROBE_FILE_BYTES   (64u * MIB)
#define LOAD_PROBE_APPEND_BYTES 4096
/* So much stays free, or nothing is written: a member that runs here must not meet a full disk. */
#define LOAD_PROBE_SPARE_BYTES  (256ull * MIB)

struct load_disk {
    struct load_delays syncs; /* each an append and its fdatasync, into bytes written before */
    uint64_t fill_us;         /* writing the file once, with a sync; 0: it was not done */
};

/* Where the disk probe writes: a name in `directory` that nobody has, ".conclave-check.PID". The
 * file is made, and removed by load_probe_disk_end; nothing that exists is touched. IO: it
 * could not be made, and why. */
struct load_disk_probe {
    char path[4200];
    int fd;
};
enum status MUST_CHECK load_probe_disk_begin(struct load_disk_probe *p, const char *directory,
                                             struct buf *why);
/* Write the file, then append for `run_ms`. IO, and why, when the disk is full or failed. */
enum status MUST_CHECK load_probe_disk_run(struct load_disk_probe *p, uint32_t run_ms,
                                           const volatile sig_atomic_t *ended,
                                           struct load_disk *disk, struct buf *why);
/* Remove the file. False: it could not be. */
bool load_probe_disk_end(struct load_disk_probe *p);

/* IO when the directory cannot be asked. */
enum status MUST_CHECK load_probe_space(const char *directory, uint64_t *free_bytes);
void load_probe_file_system(const char *directory, struct load_file_system *fs);
/* By the number that statfs calls its type. */
struct load_file_system load_file_system_of(uint64_t type);

void load_probe_clock(uint32_t run_ms, const volatile sig_atomic_t *ended, struct load_clock *c);

/* GET /ping over and over to a URL that was checked, on one connection if the server keeps it.
 * UNREACHABLE, or what cut the measurement short: CLOSED, TIMEOUT, CORRUPT; what came before is in
 * *network. */
enum status MUST_CHECK load_probe_network(const char *url, uint32_t run_ms,
                                          const volatile sig_atomic_t *ended,
                                          struct load_network *network);

/* Of the monotonic clock. */
uint64_t load_probe_now_us(void);
struct load_histogram;
struct load_delays load_delays_of(const struct load_histogram *h);

/* Available now, of the machine; UINT64_MAX: not known. */
uint64_t load_probe_available_memory(void);
/* The hard limit: a member raises its own to that (net/loop.h). */
uint64_t load_probe_open_files(void);
