/* wal/wal_format.h - the bytes of log segments; docs/DATA_DIR.md has the same as tables.
 *
 * Pure: bytes to structs and back, nothing is read or written here. Used by the rest of wal/ and by
 * tests that forge records.
 *
 *   segment   = header block, then records, then zeros up to its fixed size
 *   record    = header (120 bytes), heads of all entries, bodies of all entries, zeros up to the
 *   block one batch = one record = its own blocks: what was acknowledged is never rewritten (rule
 *   P6b)
 */
#pragma once

#include "base/buf.h"
#include "base/codec.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "wal/wal.h"

#include <stdbool.h>
#include <stdint.h>

/* The page cache and most disks rewrite this much at once, so nothing smaller is safe beside
 * acknowledged bytes. Records begin at multiples of it. */
#define WAL_BLOCK_BYTES         4096u
#define WAL_FORMAT_VERSION      1u
#define WAL_RECORD_HEADER_BYTES 120u

enum wal_record_type {
    /* Entries that follow the last one. */
    WAL_RECORD_ENTRIES = 1,
    /* Entries, perhaps none, that replace everything from `first` on (rule P14). */
    WAL_RECORD_TRUNCATE = 2,
    /* Says that what is before it was synced; otherwise empty. */
    WAL_RECORD_SEAL = 3,
    /* The last record of a segment: the log goes on in the next one, which exists. */
    WAL_RECORD_END = 4,
    /* Everything before it is void, all entries before `first` are in a snapshot (rule S3).
     * Entries, perhaps none, from `first` on. */
    WAL_RECORD_SNAPSHOT = 5,
};

struct wal_record {
    enum wal_record_type type;
    /* Bytes after the header, without the padding. */
    uint32_t length;
    /* Of these, the bytes of entry heads, which come first. */
    uint32_t heads;
    /* Entries. */
    uint32_t count;
    /* Of this record, and of the record before (rule P2's chain; 0 for the first). */
    uint32_t crc;
    uint32_t previous_crc;
    /* 1, 2, 3 ... through all segments; and the highest known to be synced when this was
     * written. */
    uint64_t number;
    uint64_t synced;
    /* Where it stands: a record that was written elsewhere is not valid here. */
    uint64_t sequence;
    uint64_t offset;
    /* Index of the first entry; without entries the index of the next one to come. */
    uint64_t first;
    /* Of the first entry; without entries, the same as previous_term. */
    uint64_t term;
    /* Of the entry before `first`, so that a log can begin with any record; 0 for none. */
    uint64_t previous_term;
    /* The commit index, never above the last index of this record. */
    uint64_t commit;
    /* The number of the hard state that was durable when this was written. */
    uint64_t hard_number;
};

/* Bytes of the log that a record with `length` bytes after its header takes. */
uint64_t record_bytes(uint32_t length);
/* Fills in rec->crc and writes the header. `heads` and the bodies of the entries are what
 * follows. */
void record_encode_header(struct wal_record *rec, struct uuid log_id, struct slice heads,
                          const struct wal_entry *entries, uint8_t header[WAL_RECORD_HEADER_BYTES]);
/* True when these are the bytes of a record header of this log for this place, with room for its
 * length before `segment_bytes`. Its checksum is not looked at: that needs the payload too. */
bool record_decode_header(const uint8_t header[WAL_RECORD_HEADER_BYTES], struct uuid log_id,
                          uint64_t segment_bytes, struct wal_record *rec);
/* True when rec->crc is that of header and payload. */
bool record_crc_is_right(const struct wal_record *rec, const uint8_t *header, struct slice payload);

/* The heads of `count` entries, appended to `heads`: type, term above the one before, size. */
void entry_heads_encode(const struct wal_entry *entries, uint32_t count, struct buf *heads);

/* Walks the entries of a record whose checksum is right. */
struct entry_cursor {
    struct reader heads;
    struct reader bodies;
    uint32_t left;
    uint64_t index;
    uint64_t term;
};

struct entry_cursor entry_cursor_of(const struct wal_record *rec, struct slice payload);
/* The next entry, its payload borrowed from the record's; false at the end or when malformed. */
bool entry_cursor_next(struct entry_cursor *c, struct wal_entry *entry);
/* All entries came and no byte is left over. */
bool entry_cursor_done(const struct entry_cursor *c);

struct segment_header {
    struct uuid log_id;
    uint64_t sequence;
    /* Of the whole file, fixed when it was made. */
    uint64_t size_bytes;
    /* Rule P3b: it was another segment before, so that it holds old records and no zeros. */
    bool is_recycled;
};

void segment_header_encode(const struct segment_header *h, uint8_t block[WAL_BLOCK_BYTES]);
/* OK, CORRUPT, or UNSUPPORTED when it is sound and of a newer version, then in *version. */
enum status MUST_CHECK segment_header_decode(const uint8_t block[WAL_BLOCK_BYTES],
                                             struct segment_header *h, uint32_t *version);
