/* load/load_check.h - is this machine a good home for a member?
 *
 * Measures (load_probe.h) and judges (load_judge.h) one thing after the other, and gathers the
 * findings; printing is the caller's. While it runs, and only then, there is one file more in the
 * directory: its name is told before anything is written, and it is gone whatever happens but a
 * kill -9 or a power cut. */
#pragma once

#include "base/limits.h"
#include "load/load_judge.h"
#include "load/load_probe.h"

/* Nine things, and a finding for each endpoint. */
#define LOAD_FINDINGS_MAX (9 + LIMIT_MEMBERS)

struct load_check_options {
    const char *directory;        /* exists; what a member's --data would be in */
    const char *const *endpoints; /* checked URLs of members */
    uint32_t endpoint_count;      /* <= LIMIT_MEMBERS */
    uint32_t run_ms;              /* of disk and clock together; each endpoint takes a fifth more */
    uint64_t memory_bytes;        /* that a process here may use */
    uint64_t quota_bytes;         /* what a member's --quota-bytes would be */
    const volatile sig_atomic_t *ended; /* set by a signal handler: stop, and clean up */
    /* Before the first byte: where `bytes` will be written, and removed again. */
    void (*announce)(void *context, const char *path, uint64_t bytes);
    void *context;
};

struct load_check {
    struct load_finding findings[LOAD_FINDINGS_MAX];
    uint32_t count;
    enum load_verdict verdict; /* the worst */
    struct load_timeouts timeouts;
};

/* OK: all is measured and judged. INVALID: nothing can be written in the directory, and why, as a
 * sentence about it. CLOSED: it was ended early; there is no verdict. IO: the file that was written
 * could not be removed, and why. */
enum status MUST_CHECK load_check_run(const struct load_check_options *options,
                                      struct load_check *check, struct buf *why);
