/* wal/disk.h - the one door to files: POSIX in production, a fake that tears, loses and fails
 * writes in tests, a simulated one in sim/.
 *
 * All calls block; they run on the log thread (or before the loop starts). Every call returns OK,
 * NOT_FOUND, NO_SPACE, BUSY or IO; any error on a write or a sync means that nobody knows what is
 * on the disk, and the caller must fail stop (rule P11). Names are plain file names in one
 * directory. */
#pragma once

#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;
struct disk_file;

/* What `lock` leaves in the directory. */
#define DISK_LOCK_FILE "LOCK"

/* What `write_durably` is quick for. */
#define DISK_BLOCK_BYTES 4096u

struct disk_ops {
    /* Open, and create when `create`; an existing file keeps its content. What is read from then on
     * is what the medium has: what a process before us wrote is synced first, and what it wrote in
     * vain (its sync failed, rule P11) is not shown. */
    enum status (*open)(struct disk *d, const char *name, bool create, struct disk_file **file);
    enum status (*close)(struct disk_file *f);
    enum status (*size)(struct disk_file *f, uint64_t *size);
    /* All of `size` bytes or an error; *got < size only at the end of the file. */
    enum status (*read)(struct disk_file *f, uint64_t offset, void *data, size_t size, size_t *got);
    /* All parts, in order, at `offset`; grows the file when needed. */
    enum status (*write)(struct disk_file *f, uint64_t offset, const struct slice *parts,
                         size_t count);
    /* Data (and the size) of this file are durable afterwards: fdatasync. */
    enum status (*sync)(struct disk_file *f);
    /* The parts are durable afterwards, as by `write` and `sync`, in one call where the system has
     * one for whole blocks at a multiple of DISK_BLOCK_BYTES. NULL: it is these two. */
    enum status (*write_durably)(struct disk_file *f, uint64_t offset, const struct slice *parts,
                                 size_t count);
    enum status (*truncate)(struct disk_file *f, uint64_t size);
    enum status (*rename)(struct disk *d, const char *from, const char *to);
    enum status (*unlink)(struct disk *d, const char *name);
    /* Entries of the directory are durable afterwards (rule P8). */
    enum status (*sync_dir)(struct disk *d);
    /* Calls `each` for every name, in byte order. */
    enum status (*list)(struct disk *d, void (*each)(void *context, const char *name),
                        void *context);
    /* Free bytes of the file system, for reports. */
    enum status (*free_bytes)(struct disk *d, uint64_t *bytes);
    /* Take the exclusive lock of the directory: BUSY when another process holds it, and a log line
     * that names that process. Held until destroy. */
    enum status (*lock)(struct disk *d);
    void (*destroy)(struct disk *d);
};

/* Implementations embed this as their first member. */
struct disk {
    const struct disk_ops *ops;
};
struct disk_file {
    struct disk *disk;
};

/* The directory at `path`, created (with its parents' entries synced) when absent. On failure
 * *detail, if not NULL, is a new string that says what failed and with what; freed by the
 * caller. */
enum status MUST_CHECK posix_disk_create(const char *path, struct disk **disk, char **detail);
