/* wal/wal.h - what survives a crash: log segments, term and vote, and small named records.
 *
 * Opaque entries in, the same entries out, or a clear word that some are damaged. Rules P1 to P14
 * of consensus.md, of P4 and P12 what a disk can tell; docs/DATA_DIR.md has the bytes.
 * Blocking: calls come from one thread at a time, mostly the log thread; the getters (wal_state,
 * wal_wants_prepare) from any, while no other call runs. Snapshots are files of their own
 * (snapshot_file.h); the newest sound one and the log after it are one state, which wal_open
 * derives (rule S4).
 *
 * After any write or sync error the log is poisoned: that call and every later one return IO, and
 * the process is expected to exit (rule P11). NO_SPACE is no such error: nothing was written. */
#pragma once

#include "base/blob.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/uuid.h"
#include "wal/disk.h"

#include <stdbool.h>
#include <stdint.h>

struct wal;

struct wal_entry {
    uint64_t index;
    uint64_t term;
    uint8_t type;         /* opaque here */
    struct slice payload; /* borrowed during the call */
};

/* One unit: durable as a whole when wal_append returns OK, or (after a crash) possibly a prefix of
 * its entries, which nobody was told of. */
struct wal_batch {
    bool hard_state; /* term and vote below are new; made durable before the entries are */
    uint64_t term;
    uint64_t vote;
    uint32_t lease_promise_ms; /* rule Q6b; part of the hard state, never falls */
    /* Rule S3: install_index != 0: the snapshot of that index and term is durable under its name,
     * which is looked at. `discard`: the whole log is void before the entries, the next one is
     * install_index + 1. A record (rule P14); without `discard` nothing is written for it. */
    uint64_t install_index;
    uint64_t install_term;
    bool discard;
    uint64_t truncate_from;          /* != 0: entries from here on are void (a record, rule P14) */
    const struct wal_entry *entries; /* consecutive; the first follows the last one kept */
    uint32_t count;
    uint64_t commit; /* floor for recovery (rule P7); may trail */
};

struct wal_options {
    struct disk *disk;            /* borrowed for the life of the log */
    struct uuid log_id;           /* of this log: records of another are never taken for ours */
    uint64_t first_segment_bytes; /* 0 = 1 MiB */
    uint64_t segment_bytes;       /* each is twice the one before, up to this; 0 = 16 MiB */
    bool must_exist; /* this log was opened before: an empty directory is CORRUPT, not new */
    /* Rule P4: a damaged log is not refused, but kept up to the damage (or to the newest snapshot);
     * what came after is set aside (renamed to *.damaged, at most LIMIT_DAMAGED_FILES), and the
     * directory remembers that it is recovering until wal_recovered. The hard state is never
     * salvaged (rule P6): its loss stays CORRUPT. */
    bool salvage;
    uint32_t recycled_segments_max; /* rule P3b: so many are kept to be used again; 0 = 24 */
};

struct wal_run {
    uint64_t term;
    uint64_t first; /* index of the first entry of that term */
};

/* What is on disk. `runs` is owned by the wal and valid until the next append. */
struct wal_state {
    uint64_t term;
    uint64_t vote;
    uint32_t lease_promise_ms;
    /* The newest sound snapshot on disk, every byte of it checked by wal_open; 0, 0 = none. With it
     * everything up to snapshot_index is known: entries before `first` need not be there. One that
     * was written since is seen by the next wal_compact that needs it. Its term may be above
     * `term`, when a crash came between its name and the batch that installs it. */
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t first;     /* index of the oldest entry in the log; <= snapshot_index + 1 */
    uint64_t base_term; /* of entry first - 1; 0 when first is 1 */
    bool recovering;    /* rule P4: acknowledged entries may be missing at the end */
    char damage[256];   /* what was found and where, if it was found now; empty otherwise */
    uint64_t last;      /* first - 1 when the log is empty */
    uint64_t commit;
    const struct wal_run *runs;
    uint32_t run_count;
    uint64_t torn_bytes; /* what recovery cut off at the end, 0 = a clean end */
};

/* Recover or create. OK; CORRUPT: damage that is no torn tail, never repaired here, *detail says
 * file, offset and reason; UNSUPPORTED: of a newer version, *detail says what; IO; NO_SPACE.
 * *detail may be NULL or a new string for the caller to free. The caller holds the directory's
 * lock. */
enum status MUST_CHECK wal_open(const struct wal_options *options, struct wal **wal, char **detail);
/* Rule P4. What can be read of a log that wal_open refused: `each` gets the entries before the
 * damage, in order, as by wal_read. Changes nothing. OK, also when that is none; IO. */
enum status MUST_CHECK wal_look(const struct wal_options *options,
                                bool (*each)(void *context, const struct wal_entry *entry),
                                void *context);
/* Closes files; does not sync. NULL is fine. */
void wal_close(struct wal *w);
void wal_state(const struct wal *w, struct wal_state *state);

/* Write and sync. One sync for the entries (rule P1); one more, before, for a changed hard state. A
 * full segment adds the END record's, and, when wal_prepare was not called in time, a pause; then
 * NO_SPACE is possible, with nothing written, hard state included, and nothing poisoned (P12).
 * Entries above the durable term, a term that falls, and a truncation at or below the commit index
 * are bugs of the caller. */
enum status MUST_CHECK wal_append(struct wal *w, const struct wal_batch *batch);

/* Entries first..last, as many whole ones as fit `bytes_max`, at least one; each is checked again.
 * `each` gets them in order and returns false to stop early. */
enum status MUST_CHECK wal_read(struct wal *w, uint64_t first, uint64_t last, uint64_t bytes_max,
                                bool (*each)(void *context, const struct wal_entry *entry),
                                void *context);

/* Entries before `first` are no longer needed: whole segments of them are recycled or removed,
 * after the log's new beginning is durable (rules S2, M27). Requires: a durable snapshot of index
 * >= first - 1, which is looked for: CORRUPT, and nothing was removed, when none is sound. Changes
 * wal_state's `first` to what the log then really begins with. One step, at most one segment and
 * two syncs; *more: call it again. */
enum status MUST_CHECK wal_compact(struct wal *w, uint64_t first, bool *more);
/* Rule P4: what was lost is here again and durable. */
enum status MUST_CHECK wal_recovered(struct wal *w);

/* Rule P13: read closed segments again in the background, a step of 1 MiB and the rest of its last
 * record. OK: sound so far
 * (*done: all of it once); CORRUPT with *detail (a new string): damage, the log cannot be relied
 * on. */
enum status MUST_CHECK wal_scrub(struct wal *w, bool *done, char **detail);

/* Rule P12. The room that is left without new space: bytes of records that still fit. When the next
 * segment cannot be made, wal_prepare returns NO_SPACE, which poisons nothing: try again later. */
uint64_t wal_room_bytes(const struct wal *w);
/* Bytes of the records written since wal_open, padding included. */
uint64_t wal_written_bytes(const struct wal *w);
/* What the log takes on disk, recycled segments and those made ahead included. */
uint64_t wal_disk_bytes(const struct wal *w);

/* The log comes to rest (idle for a while, or before wal_close): a seal proves that the last record
 * was synced, so that rot in it is not taken for a torn tail (rule P3). One block and one sync, or
 * nothing when the log is sealed already. */
enum status MUST_CHECK wal_seal(struct wal *w);

/* True when the next segment is due to be made ready: call wal_prepare while no append waits. */
bool wal_wants_prepare(const struct wal *w);
/* One step in making the next segment (allocate, zero-fill; rule P3b's ground): at most 1 MiB and
 * one sync. Call it again as long as wal_wants_prepare says so. */
enum status MUST_CHECK wal_prepare(struct wal *w);

/* A small record under a name of its own (identity, roster): replaced atomically and durably
 * (temporary file, sync, rename, directory sync), checksummed, with a format version. */
enum status MUST_CHECK record_save(struct disk *disk, const char *name, struct slice content);
/* OK, NOT_FOUND, CORRUPT, UNSUPPORTED (a newer format; *detail says so), IO. *content is a new
 * blob. */
enum status MUST_CHECK record_load(struct disk *disk, const char *name, struct blob **content,
                                   char **detail);
