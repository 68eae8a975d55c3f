/* wal/snapshot_file.h - snapshots on disk: written, verified, read back, received in pieces.
 *
 * A file `snapshot-<index>.snap`: a header (format version, cluster, id, size of `meta`), `meta`
 * (opaque, small: the configuration), then the state as opaque bytes in chunks, each compressed by
 * zstd and with a checksum of its own, and a footer with the number of chunks, the bytes in all and
 * a checksum over the whole. docs/DATA_DIR.md has the bytes. It is written under `.snap.tmp`,
 * synced, renamed, and the directory synced (rule S2); a file under its final name is whole. The
 * same bytes go to other members and into backups: nothing in it belongs to one member.
 *
 * Blocking, on the log thread. Each call does bounded work (about one chunk). */
#pragma once

#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"
#include "wal/disk.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the state in one chunk, before compression. */
#define SNAPSHOT_CHUNK_BYTES (256u * 1024u)

struct snapshot_id {
    uint64_t index;
    uint64_t term;
};

/* --- writing ---------------------------------------------------------------------------------- */

struct snapshot_writer;
/* OK, NO_SPACE, IO. `meta` is copied into the file. */
enum status MUST_CHECK snapshot_writer_create(struct disk *disk, struct uuid cluster,
                                              struct snapshot_id id, struct slice meta,
                                              struct snapshot_writer **writer);
/* At most SNAPSHOT_CHUNK_BYTES: becomes one chunk. Synced every few MiB, so that the last sync is
 * short and the log's own syncs do not stand behind it. */
enum status MUST_CHECK snapshot_writer_add(struct snapshot_writer *w, struct slice state);
/* A step, of about a MiB, of reading back what was written; with the first one the footer is
 * written and nothing more may be added. *done: finish has nothing left to verify. Not needed, but
 * finish takes as long as the file is large without it. OK, CORRUPT, NO_SPACE, IO. */
enum status MUST_CHECK snapshot_writer_verify(struct snapshot_writer *w, bool *done);
/* Footer, sync, when `verify` what is left to read back and check, rename, directory sync. */
enum status MUST_CHECK snapshot_writer_finish(struct snapshot_writer *w, bool verify);
/* Removes the temporary file when it was not finished. NULL is fine. */
void snapshot_writer_destroy(struct snapshot_writer *w);

/* --- reading ---------------------------------------------------------------------------------- */

struct snapshot_reader;
/* OK; NOT_FOUND; CORRUPT or UNSUPPORTED with *detail (a new string; may be NULL); IO. Checks
 * header, meta and footer; chunks are checked as they are read. Files that do not belong to
 * `cluster` are CORRUPT; a zero uuid accepts any. */
enum status MUST_CHECK snapshot_reader_open(struct disk *disk, struct uuid cluster,
                                            struct snapshot_id id, struct snapshot_reader **reader,
                                            char **detail);
/* The same for a file of any name. */
enum status MUST_CHECK snapshot_reader_open_file(struct disk *disk, const char *name,
                                                 struct snapshot_reader **reader, char **detail);
struct snapshot_id snapshot_reader_id(const struct snapshot_reader *r);
struct uuid snapshot_reader_cluster(const struct snapshot_reader *r);
struct slice snapshot_reader_meta(const struct snapshot_reader *r); /* borrowed from the reader */
uint64_t snapshot_reader_state_bytes(const struct snapshot_reader *r);
/* The next chunk, decompressed, borrowed until the next call. OK; NOT_FOUND at the end (all chunks
 * came, the footer agrees); CORRUPT; IO. */
enum status MUST_CHECK snapshot_reader_next(struct snapshot_reader *r, struct slice *state);
/* The same without the bytes: read on, about a MiB of state. OK, *done at the end when everything
 * is sound; CORRUPT with *detail (a new string; may be NULL); IO. */
enum status MUST_CHECK snapshot_reader_check(struct snapshot_reader *r, bool *done, char **detail);
/* All of the rest at once, every byte of it against its checksums, but not decompressed: when the
 * state is read anyway afterwards. OK; CORRUPT with *detail (a new string; may be NULL); IO. */
enum status MUST_CHECK snapshot_reader_check_stored(struct snapshot_reader *r, char **detail);
void snapshot_reader_destroy(struct snapshot_reader *r);

/* --- streaming: the file as bytes ------------------------------------------------------------- */

/* What a receiver must know to resume (rule S6). */
struct snapshot_file {
    struct uuid cluster;
    struct snapshot_id id;
    uint64_t size_bytes; /* of the file */
    uint32_t crc;        /* over the whole, from its footer */
};
enum status MUST_CHECK snapshot_file_describe(struct disk *disk, struct snapshot_id id,
                                              struct snapshot_file *file);
/* Bytes of the file, as many as there are, at most `size`. The file may be removed meanwhile by
 * nobody: the caller pins it (rule S7). */
enum status MUST_CHECK snapshot_file_read(struct disk *disk, struct snapshot_id id, uint64_t offset,
                                          void *bytes, size_t size, size_t *got);

struct snapshot_receiver;
/* Goes on with what an earlier try left behind when it was of the same file, at *offset. */
enum status MUST_CHECK snapshot_receiver_create(struct disk *disk, const struct snapshot_file *file,
                                                struct snapshot_receiver **receiver,
                                                uint64_t *offset);
/* The bytes at *offset and no others; INVALID for another place. */
enum status MUST_CHECK snapshot_receiver_add(struct snapshot_receiver *r, uint64_t offset,
                                             struct slice bytes);
/* All came: a step, of about a MiB, of the checks of finish, which may then be many. *done: finish
 * has nothing left to check. CORRUPT: thrown away. INVALID: not all came. */
enum status MUST_CHECK snapshot_receiver_check(struct snapshot_receiver *r, bool *done,
                                               char **detail);
/* Checks what is left to check, syncs, renames, syncs the directory. CORRUPT: thrown away. INVALID:
 * not all came. */
enum status MUST_CHECK snapshot_receiver_finish(struct snapshot_receiver *r, char **detail);
/* Leaves what came for a later try. NULL is fine. */
void snapshot_receiver_destroy(struct snapshot_receiver *r);

/* --- which are there -------------------------------------------------------------------------- */

#define SNAPSHOTS_MAX 8
/* By file name, oldest first; at most SNAPSHOTS_MAX, the newest ones. The term is in the file: it
 * is read. A file that is damaged is in the list with `sound` false. */
struct snapshot_entry {
    struct snapshot_id id;
    uint64_t size_bytes;
    bool sound; /* header, meta and footer are right */
};
enum status MUST_CHECK snapshot_list(struct disk *disk, struct uuid cluster,
                                     struct snapshot_entry entries[SNAPSHOTS_MAX], uint32_t *count);
/* Remove those older than the `keep` newest sound ones (rule S2), and leftovers: files of a writer,
 * and what was received of one that is not newer than the newest. Directory sync. Not `pinned` (0,
 * 0 = none). */
enum status MUST_CHECK snapshot_remove_old(struct disk *disk, struct uuid cluster, uint32_t keep,
                                           struct snapshot_id pinned);
/* Rule P4: a damaged one gets the name *.damaged, of which LIMIT_DAMAGED_SNAPSHOTS stay; from then
 * on it is none. Directory sync. One that is not there is fine. */
enum status MUST_CHECK snapshot_set_aside(struct disk *disk, uint64_t index);
