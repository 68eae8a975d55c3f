/* cluster/log_tail.h - follow a growing log file, whole lines at a time.
 *
 * Members write to their files directly, so a slow terminal never holds one up, and a member that
 * another command started is followed just the same. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct log_tail {
    int fd; /* -1 = closed */
    struct buf pending;
};

/* Open at the end (or, `from_start`, at the beginning); a file that is not there yet is made.
 * False: errno says why. */
bool log_tail_open(struct log_tail *t, const char *path, bool from_start);
void log_tail_close(struct log_tail *t);
/* Call `each` for every whole line that was added, without its line end; a line longer than
 * LIMIT_LOG_LINE_BYTES comes in pieces. */
void log_tail_poll(struct log_tail *t, void (*each)(void *context, struct slice line),
                   void *context);
