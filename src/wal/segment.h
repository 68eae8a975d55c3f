/* wal/segment.h - one file of the log: its name, how it is made ahead of time, how it is read.
 *
 * A segment appears under its name only when all of its bytes were written (header, then zeros) and
 * synced, so that later syncs move data and no file-system metadata, and so that a segment with a
 * bad header is damage and never a crash. A recycled one (rule P3b) keeps the bytes of its earlier
 * life, all of which say another sequence; only its header is written anew. */
#pragma once

#include "base/buf.h"
#include "base/status.h"
#include "wal/disk.h"
#include "wal/wal_format.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_NAME_SIZE      24 /* "00000001", the longest ending and the zero */
#define SEGMENT_TEMPORARY      "segment.tmp"
#define SEGMENT_SUFFIX         ".log"
#define SEGMENT_FREE_SUFFIX    ".free"        /* removed from the log, to be used again */
#define SEGMENT_DAMAGED_SUFFIX ".log.damaged" /* set aside (rule P4) */

void segment_name(uint64_t sequence, char name[SEGMENT_NAME_SIZE]);
void segment_name_as(uint64_t sequence, const char *suffix, char name[SEGMENT_NAME_SIZE]);
/* False when the name is not one of a segment with this ending. */
bool segment_name_parse_as(const char *name, const char *suffix, uint64_t *sequence);

/* A segment on its way to its name, a chunk at a time. Zero-initialised: none. */
struct segment_builder {
    struct disk_file *file; /* owned until segment_build_take */
    struct segment_header header;
    uint64_t filled_bytes;
    char source[SEGMENT_NAME_SIZE]; /* the name that it has until it is ready */
    /* It has its name and is durable. */
    bool ready;
};

enum status MUST_CHECK segment_build_begin(struct segment_builder *b, struct disk *disk,
                                           const struct segment_header *header);
/* The same, from the file `name` that was a segment of this size and has left the log durably. */
enum status MUST_CHECK segment_build_recycle(struct segment_builder *b, struct disk *disk,
                                             const char *name, const struct segment_header *header);
/* Write and sync one chunk; with the last one, give it its name and sync the directory. */
enum status MUST_CHECK segment_build_step(struct segment_builder *b);
/* The parts of that: one chunk; the records of another file of the same sequence that end before
 * `end`; the name, once all is filled. */
enum status MUST_CHECK segment_build_fill(struct segment_builder *b);
enum status MUST_CHECK segment_build_records(struct segment_builder *b, struct disk_file *from,
                                             uint64_t end);
enum status MUST_CHECK segment_build_name(struct segment_builder *b);
/* The finished file; the builder is empty afterwards. */
struct disk_file *segment_build_take(struct segment_builder *b);
void segment_build_drop(struct segment_builder *b);

/* Reads records of one segment through a window of memory. */
struct segment_reader {
    struct disk_file *file; /* borrowed */
    struct segment_header header;
    struct buf window;
    uint64_t window_offset;
};

void segment_reader_init(struct segment_reader *r, struct disk_file *file,
                         const struct segment_header *header);
void segment_reader_deinit(struct segment_reader *r);
/* Bytes [offset, offset + size) of the segment, valid until the next call. IO; CORRUPT when the
 * file ends before. */
enum status MUST_CHECK segment_read(struct segment_reader *r, uint64_t offset, size_t size,
                                    const uint8_t **bytes);
/* The record at `offset`: OK; CORRUPT when there is none; IO. *payload is valid until the next
 * call. */
enum status MUST_CHECK segment_read_record(struct segment_reader *r, uint64_t offset,
                                           struct wal_record *rec, struct slice *payload);
