/* wal/recovery.h - reads a log back after any crash and decides what its end means. Called once, by
 * wal_open; changes nothing on the disk except that it zeroes a torn tail.
 *
 * The story of the decision (rules P3, P5, P7, P9, P10, P13):
 *  1. Every batch is one record, in blocks of its own, and is written only after the record before
 *     it was synced. So at a crash at most one record is not durable: the last one written.
 *  2. Of that record any subset of sectors may have arrived, in any order (P9). It is whole, and
 *     then it is kept, or its checksum is wrong, and then nobody was ever told of it.
 *  3. Records are read in order; each must carry the next number and the checksum of the one before
 *     (P13: through all segments). The first place without such a record is the end, or damage.
 *  4. Everything from there to the end of the segment is zero: a clean end (P10), if 7 agrees. A
 *     recycled segment (P3b) holds records of its earlier life instead, which say another sequence
 *     and so count for nothing: what is behind the end there is no sign of anything, unless 5.
 *  5. A valid record of this log, segment and offset stands further on, and it says in `synced`
 *     that the missing number was synced before it was written: then the missing record is not
 *     torn, it is rot: CORRUPT. (A later record that does not say so was written beside the missing
 *     one. With one write in flight there is none, but recovery does not depend on that.)
 *  6. The next segment begins with something besides zeros (a recycled one: with a record of its
 *     sequence): it was used only after an END record was synced here, and that is missing:
 *     CORRUPT. After an END record the next segment must be there.
 *  7. Evidence elsewhere: the hard state knows of a record with a higher number, or a record knows
 *     of a higher hard state than the file has: CORRUPT.
 *  8. Otherwise the rest is a torn tail, the ordinary leftover of a power loss (P5): it is zeroed,
 *     synced, and the log goes on from there. In a recycled segment the first block of it is: no
 *     record comes to life without its header.
 * A log whose oldest segments were removed (S2) begins in the middle: number and previous checksum
 * of its oldest record are believed. That is safe because the record is under its own checksum, in
 * the place that its segment's header names, and because wal_open accepts such a beginning only
 * when a sound snapshot reaches it: what the chain could have told of is not needed any more.
 * What no log alone can tell: rot in the very last record, with no seal after it, looks like 8.
 * That is why wal_seal is called when the log comes to rest. */
#pragma once

#include "base/status.h"
#include "wal/hard_state.h"
#include "wal/segment.h"
#include "wal/wal_index.h"

#include <stdint.h>

/* What the next record has to follow. */
struct log_end {
    /* Of the last record; 0 when there is none. */
    uint64_t number;
    uint32_t crc;
    enum wal_record_type type;
    /* The highest commit index of any record. */
    uint64_t commit;
    /* The index that the next record begins with, unless it replaces something, and the term of
     * the entry before. */
    uint64_t next;
    uint64_t last_term;
    /* Where the next record goes, in the segment of the tail. */
    uint64_t offset;
};

/* Segments before the tail, in order, without holes. */
struct closed_segment {
    uint64_t sequence;
    uint64_t size_bytes;
};
struct closed_segments {
    struct closed_segment *items; /* owned */
    uint32_t count;
    uint32_t capacity;
};

void closed_segments_push(struct closed_segments *c, struct closed_segment segment);
void closed_segments_drop_first(struct closed_segments *c);

struct recovery {
    struct disk *disk;
    struct uuid log_id;
    /* Borrowed. file == NULL: there is none, and then there may be no record either. */
    const struct hard_state *hard;
    /* Segments on the disk, first..last. */
    uint64_t first_sequence;
    uint64_t last_sequence;
    /* What was before the first segment was set aside: it may be empty. */
    bool may_begin_empty;

    /* Results; the caller closes what is open, also after a failure. */
    struct wal_index *index;
    struct closed_segments *closed;
    struct log_end end;
    struct disk_file *tail;
    struct segment_header tail_header;
    struct segment_builder spare;
    uint64_t torn_bytes;
    char *detail;
    /* Where the damage is when the answer is CORRUPT: everything before it is sound. Offset 0: all
     * of the segment, which may be missing. */
    uint64_t damage_sequence;
    uint64_t damage_offset;
    /* It is term and vote that are damaged or lost, which nothing can mend (rule P6). */
    bool is_hard_state_lost;
};

/* OK; CORRUPT or UNSUPPORTED with r->detail; IO. */
enum status MUST_CHECK recover_log(struct recovery *r);
