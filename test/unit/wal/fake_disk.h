/* fake_disk.h - a disk in memory that tears, loses and fails writes, for tests and the simulator.
 *
 * It models what a power loss may leave behind, which is more than a plain file system shows in
 * practice. A log that stands on it must survive all of these:
 *  - Of the writes to a file since its last sync any subset arrives, sector by sector (512 or 4096
 *    bytes), in any order; its size changes independently of its data.
 *  - Of the directory changes (create, rename, unlink) since the last sync_dir any subset arrives.
 *    A file without a durable name is gone, however well its data was synced.
 *  - `destroys`: a 4 KiB page that was being rewritten holds garbage, also in sectors of it that
 *    were durable and did not change (rule P6b).
 *  - A kill of the process loses nothing; what was not synced is visible to the next process and
 *    may still be lost by a power loss after that.
 *  - A write that fails (IO, NO_SPACE) has written a part. A sync that fails marks everything
 *    clean: an arbitrary part is durable, the rest is shown until the file is opened again, or is
 *    gone at once, and the next sync says OK (rule P11).
 * It does not model rot by itself: tests change bytes with the functions at the end.
 *
 * All chance comes from the seed. Calls are counted; a test can stop the disk at any of them. */
#pragma once

#include "base/rng.h"
#include "wal/disk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_disk;

struct fake_disk_options {
    uint64_t seed;
    size_t sector_bytes; /* 512 or 4096 */
};

struct fake_disk *fake_disk_create(const struct fake_disk_options *options);
/* A copy of the durable state, with nothing pending and no file open. */
struct fake_disk *fake_disk_clone(const struct fake_disk *f);
void fake_disk_destroy(struct fake_disk *f);
struct disk *fake_disk_as_disk(struct fake_disk *f);

/* Calls so far, all but close. */
uint64_t fake_disk_calls(const struct fake_disk *f);
/* Call number `call` (the first is 1) and all after it fail with IO and change nothing; 0 =
 * never. */
void fake_disk_halt_at(struct fake_disk *f, uint64_t call);

struct fake_fault {
    uint64_t call; /* the one that fails; 0 = none */
    enum status status;
    bool
        shows_lost_pages; /* after a failed sync: until the next open the writes seem to be there */
};
void fake_disk_fail_at(struct fake_disk *f, struct fake_fault fault);
/* The fault has happened. */
bool fake_disk_has_failed(const struct fake_disk *f);

/* What all files take together may not grow beyond it; 0 = no bound. A file that is removed, or cut
 * short, makes room. */
void fake_disk_set_capacity(struct fake_disk *f, uint64_t bytes);

struct fake_disk_stats {
    uint64_t writes;
    uint64_t written_bytes;
    uint64_t syncs;     /* of files */
    uint64_t dir_syncs; /* of the directory */
};
struct fake_disk_stats fake_disk_stats(const struct fake_disk *f);

enum fake_loss_kind {
    FAKE_LOSS_NONE,   /* everything pending arrives */
    FAKE_LOSS_ALL,    /* nothing does */
    FAKE_LOSS_ONE,    /* all but number `which` */
    FAKE_LOSS_RANDOM, /* each by chance */
};
struct fake_loss {
    enum fake_loss_kind kind;
    size_t which;
    bool destroys; /* pages with a pending write are garbage, each by chance */
};
/* What all files have in bytes, as the process sees them. */
uint64_t fake_disk_used_bytes(const struct fake_disk *f);
/* Sector writes, size changes and directory changes that are not durable. */
size_t fake_disk_pending(const struct fake_disk *f);
/* The power fails and comes back. No file may be open. */
void fake_disk_power_loss(struct fake_disk *f, struct fake_loss loss);
/* The process was killed and a new one starts: pending writes stay pending. No file may be open. */
void fake_disk_restart(struct fake_disk *f);

/* Rot and mischief, durable at once. The file must exist. */
uint64_t fake_disk_file_size(struct fake_disk *f, const char *name);
bool fake_disk_has_file(struct fake_disk *f, const char *name);
uint8_t fake_disk_byte(struct fake_disk *f, const char *name, uint64_t offset);
void fake_disk_flip(struct fake_disk *f, const char *name, uint64_t offset, uint8_t mask);
void fake_disk_fill(struct fake_disk *f, const char *name, uint64_t offset, size_t size,
                    uint8_t byte);
void fake_disk_overwrite(struct fake_disk *f, const char *name, uint64_t offset,
                         struct slice bytes);
void fake_disk_resize(struct fake_disk *f, const char *name, uint64_t size);
void fake_disk_remove(struct fake_disk *f, const char *name);
void fake_disk_swap(struct fake_disk *f, const char *left, const char *right);
/* Put a copy of a file of another disk here, under its own name. */
void fake_disk_copy_from(struct fake_disk *f, struct fake_disk *other, const char *name);
