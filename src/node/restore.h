/* node/restore.h - a backup as a file (wal/snapshot_file.h): checked, and made into the first
 * member of a new cluster.
 *
 * For verbs, not for a running member: blocking, without a loop. */
#pragma once

#include "base/status.h"
#include "base/uuid.h"
#include "wal/disk.h"

#include <stdint.h>

/* How far a restored store's revision is ahead of the backup's, so that no client of the old
 * cluster, which went on after the backup, meets a revision twice with other contents. */
#define RESTORE_REVISION_STEP 1000000000u

struct backup_info {
    struct uuid cluster;
    uint64_t index;
    uint64_t revision;
    uint64_t state_bytes;
};
/* Reads all of the file. OK; NOT_FOUND; CORRUPT or UNSUPPORTED with *detail (a new string); IO. */
enum status MUST_CHECK backup_check(struct disk *disk, const char *name, struct backup_info *info,
                                    char **detail);

struct restore_options {
    const char *name; /* of the member */
    const char *url;  /* by which the others reach it; valid */
    /* New ones, random. */
    struct uuid cluster;
    struct uuid incarnation;
    struct uuid log_id;
};
struct restore_result {
    struct backup_info backup;
    uint64_t revision; /* of the store now; everything before is compacted */
    uint64_t keys;
    uint64_t documents;
};
/* Makes `to` the data directory of the only voter of a new cluster that holds what the backup
 * `file` in `from` holds. The backup is read and checked to its end before anything is written.
 * Requires: `to` is not locked yet; it stays locked.
 *
 * OK: durable. INVALID: the name; CONFLICT: `to` is not empty; BUSY: in use; NOT_FOUND: no such
 * file; CORRUPT, UNSUPPORTED: of the file; NO_SPACE, IO. *detail (a new string, or NULL) is for a
 * person. After a crash or a failure in between, `to` is empty but for its lock, or a directory
 * that no member starts with (IDENTITY_UNFINISHED). */
enum status MUST_CHECK restore_member(struct disk *from, const char *file, struct disk *to,
                                      const struct restore_options *options,
                                      struct restore_result *result, char **detail);
