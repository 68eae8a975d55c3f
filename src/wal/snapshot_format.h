/* wal/snapshot_format.h - the bytes and the names of snapshot files; docs/DATA_DIR.md has the same
 * as tables. Pure: nothing is read or written here.
 *
 *   file   = header, meta, chunks, footer; every byte is under a checksum of its own part, and all
 *            before the footer under the footer's
 *   chunk  = head, then the compressed bytes. Its checksum continues from the header's, so that a
 *            chunk of another snapshot is not taken for one of this. */
#pragma once

#include "base/status.h"
#include "base/uuid.h"
#include "wal/snapshot_file.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_HEADER_BYTES     56u
#define SNAPSHOT_CHUNK_HEAD_BYTES 20u
#define SNAPSHOT_FOOTER_BYTES     40u
/* "snapshot-", 20 digits, the longest ending and the zero. */
#define SNAPSHOT_NAME_SIZE        48

#define SNAPSHOT_SUFFIX           ".snap"
#define SNAPSHOT_TEMPORARY_SUFFIX ".snap.tmp"
#define SNAPSHOT_PART_SUFFIX      ".snap.part"
#define SNAPSHOT_DAMAGED_SUFFIX   ".snap.damaged"
/* The small record of what is being received. */
#define SNAPSHOT_PROGRESS_FILE    "receiving"

void snapshot_name(uint64_t index, const char *suffix, char name[SNAPSHOT_NAME_SIZE]);
/* False when this is not the name of a snapshot with this suffix, spelled as snapshot_name does. */
bool snapshot_name_parse(const char *name, const char *suffix, uint64_t *index);

struct snapshot_header {
    struct uuid cluster;
    struct snapshot_id id;
    uint32_t meta_bytes;
    uint32_t meta_crc;
    uint32_t crc; /* of the header itself */
};

/* Fills in h->crc. */
void snapshot_header_encode(struct snapshot_header *h, uint8_t bytes[SNAPSHOT_HEADER_BYTES]);
/* OK, CORRUPT, or UNSUPPORTED when it is sound and of another version, then in *version. */
enum status MUST_CHECK snapshot_header_decode(const uint8_t bytes[SNAPSHOT_HEADER_BYTES],
                                              struct snapshot_header *h, uint32_t *version);

struct snapshot_chunk {
    uint32_t number; /* 0, 1, 2 ... */
    uint32_t stored_bytes;
    uint32_t state_bytes; /* after decompression */
    uint32_t crc;
};

/* Fills in c->crc. `stored` is what follows the head. */
void snapshot_chunk_encode(struct snapshot_chunk *c, const struct snapshot_header *h,
                           struct slice stored, uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES]);
/* False when this cannot be the head of chunk `number`. Its checksum is not looked at: that needs
 * the stored bytes too. */
bool snapshot_chunk_decode(const uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES], uint32_t number,
                           struct snapshot_chunk *c);
bool snapshot_chunk_crc_is_right(const struct snapshot_chunk *c, const struct snapshot_header *h,
                                 const uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES],
                                 struct slice stored);

struct snapshot_footer {
    uint32_t chunks;
    uint32_t file_crc; /* of everything before the footer */
    uint64_t state_bytes;
    uint64_t file_bytes; /* with the footer */
    uint32_t header_crc;
};

void snapshot_footer_encode(const struct snapshot_footer *f, uint8_t bytes[SNAPSHOT_FOOTER_BYTES]);
bool snapshot_footer_decode(const uint8_t bytes[SNAPSHOT_FOOTER_BYTES], struct snapshot_footer *f);

/* The reader of snapshot_file.h on a file that is open already, which stays the caller's. */
enum status MUST_CHECK snapshot_reader_of_file(struct disk_file *file, const char *name,
                                               struct snapshot_reader **reader, char **detail);
/* What the footer says of the file. */
struct snapshot_file snapshot_reader_file(const struct snapshot_reader *r);
