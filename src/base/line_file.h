/* base/line_file.h - lines for a file, written by a thread of its own, so that who adds them never
 * waits for a disk.
 *
 * The file is opened anew for each batch, and made when it is gone: others may move it away. Beyond
 * its limit it is renamed to FILE.1, in place of the one before; where it cannot be, it cannot be
 * written. A batch is written whole or not at
 * all; one that cannot be written is tried again every second, and what then has no room in the
 * buffer (LIMIT_LINE_FILE_BYTES) is lost, and counted. Nothing is synced. */
#pragma once

#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct line_file;

/* `path` is copied; "-" = standard output, which has no limit. The file is 0600 when made here. Not
 * OK: *detail, if not NULL, says why the place is none for it; mem_free it. */
enum status MUST_CHECK line_file_open(const char *path, uint64_t bytes_max, struct line_file **f,
                                      char **detail);
/* `line` has no end of line. False: it is lost. By one thread. */
bool line_file_add(struct line_file *f, struct slice line);
/* Written and lost so far, and of the lost those that were told of; all by the thread of
 * line_file_add. */
struct line_file_counts {
    uint64_t added;
    uint64_t lost;
    uint64_t told;
};
struct line_file_counts line_file_counts(const struct line_file *f);
/* So many more of the lost have been told of. */
void line_file_told(struct line_file *f, uint64_t count);
/* NULL is fine. Writes what was added, if that takes no longer than a second. */
void line_file_close(struct line_file *f);
