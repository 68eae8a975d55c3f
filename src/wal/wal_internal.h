/* wal/wal_internal.h - what the parts of the log share: wal.c opens it, wal_append.c writes,
 * wal_read.c reads back, wal_segments.c makes and removes segments, salvage.c cuts damage off. */
#pragma once

#include "base/buf.h"
#include "wal/recovery.h"
#include "wal/snapshot_file.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The small record that says that acknowledged entries may be missing (rule P4). */
#define RECOVERING_FILE "recovering"

/* Segments that were removed from the log and wait to be used again (rule P3b), by the sequence
 * that they had. */
struct free_segments {
    uint64_t *sequences; /* owned */
    uint32_t count;
};

struct wal {
    struct disk *disk; /* borrowed */
    struct uuid log_id;
    uint64_t first_segment_bytes;
    uint64_t segment_bytes;
    uint32_t free_segments_max;

    struct hard_state hard;
    struct wal_index index;
    struct log_end end;
    struct closed_segments closed; /* before the tail */
    struct disk_file *tail;        /* owned */
    struct segment_header tail_header;
    /* The segment after the tail: being made, or ready. */
    struct segment_builder next;
    struct free_segments free; /* each of segment_bytes */
    uint64_t torn_bytes;
    uint64_t written_bytes;      /* of records, since it was opened */
    struct snapshot_id snapshot; /* the newest sound one that is known */
    /* The log on disk is void, by the snapshot: the next record says so (rules S3, S4). */
    bool is_void;
    bool recovering;
    char damage[256];
    /* A write or a sync failed: nobody knows what is on the disk (rule P11). */
    bool poisoned;

    /* For wal_read: the segment read last. The file is owned unless it is the tail. */
    struct segment_reader reader;
    struct disk_file *reader_file;

    /* For wal_scrub: the closed segment that is being read, and what its next record follows. */
    struct segment_reader scrub;
    struct disk_file *scrub_file; /* owned */
    struct log_end scrub_end;
    bool scrub_knows_end; /* scrub_end is of the record before, not yet to be learnt */

    /* For wal_append: the parts of one write. */
    struct buf heads;
    struct slice *parts;
    size_t part_capacity;
};

/* The one way out of a call that wrote: an error poisons the log for good (rule P11). */
enum status wal_finish(struct wal *w, enum status status);

/* True when a record of `bytes` fits into the tail, with a block for the END record behind it. */
bool wal_has_room(const struct wal *w, uint64_t bytes);
/* The segment after the tail is ready and has room for a record of `bytes`. NO_SPACE: nothing of
 * the log was touched. */
enum status MUST_CHECK wal_make_next(struct wal *w, uint64_t bytes);
/* END record, then the log goes on in the next segment, which is ready. */
enum status MUST_CHECK wal_roll(struct wal *w);
/* Write and sync a record without entries at the end of the log. */
enum status MUST_CHECK wal_write_mark(struct wal *w, enum wal_record_type type);
/* Write the record that makes everything before `index.first` void; the index is already so. */
enum status MUST_CHECK wal_write_void(struct wal *w);

void wal_close_reader(struct wal *w);
void wal_close_scrub(struct wal *w);

/* Take over the recycled segments that a process before us left; unfit ones are removed. */
enum status MUST_CHECK wal_find_free(struct wal *w);
/* Remove every recycled segment: before sequences may be used a second time. */
enum status MUST_CHECK wal_drop_free(struct wal *w);

/* Rule P4. The directory remembers that it is recovering, and why. */
enum status MUST_CHECK salvage_begin(struct wal *w, const char *reason);
/* After that: what is at `sequence` and `offset` and behind it goes out of the way, and the log
 * ends before, with `end`. No segment is open. */
enum status MUST_CHECK salvage_log(struct wal *w, uint64_t sequence, uint64_t offset,
                                   const struct log_end *end, const char *reason);

/* The newest sound snapshot, checked to its last byte when `thorough`; 0, 0 = none. Then *why, when
 * the newest file is not sound: a new string. `why` may be NULL. */
enum status MUST_CHECK wal_find_snapshot(struct disk *disk, bool thorough, struct snapshot_id *id,
                                         char **why);
