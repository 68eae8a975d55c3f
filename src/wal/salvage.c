/* wal/salvage.c - rule P4: a damaged log is kept up to the damage, and nothing is destroyed that a
 * person could still want to look at.
 *
 * Every step leaves either the same damage, or less of it behind the place where the log ends, to
 * be found by the next start, should this one be cut short:
 *  1. `recovering` is durable before anything is touched.
 *  2. Recycled segments go: sequences may be used a second time, and what such a segment held when
 *     it last had one of them would look like the log (rule P3b).
 *  3. Segments behind the damaged one are renamed, from the last one on.
 *  4. Of the damaged one a copy is kept. A new file with its sound beginning and zeros behind it
 *     takes its name, in one rename; without a sound beginning, an empty one.
 *  5. The hard state says that the log ends here, so that its end is not damage (rule P3). */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/wal_internal.h"

#include <string.h>

#define COPY_BYTES MIB

/* Files that were set aside. */
struct sequences {
    uint64_t oldest;
    uint32_t count;
};

static void note_damaged(void *context, const char *name)
{
    struct sequences *s = context;
    uint64_t sequence = 0;
    if (segment_name_parse_as(name, SEGMENT_DAMAGED_SUFFIX, &sequence)) {
        s->oldest = s->count == 0 || sequence < s->oldest ? sequence : s->oldest;
        s->count++;
    }
}

/* Room for one more file that is set aside. */
static enum status drop_oldest_damaged(struct disk *disk)
{
    struct sequences s = {0};
    enum status status = disk->ops->list(disk, note_damaged, &s);
    if (status != STATUS_OK || s.count < LIMIT_DAMAGED_FILES) {
        return status;
    }
    char name[SEGMENT_NAME_SIZE];
    segment_name_as(s.oldest, SEGMENT_DAMAGED_SUFFIX, name);
    return disk->ops->unlink(disk, name);
}

static void note_last(void *context, const char *name)
{
    uint64_t *last = context;
    uint64_t sequence = 0;
    if (segment_name_parse_as(name, SEGMENT_SUFFIX, &sequence) && sequence > *last) {
        *last = sequence;
    }
}

/* Rename, durably. A segment that is not there is fine. */
static enum status set_aside(struct disk *disk, uint64_t sequence)
{
    char name[SEGMENT_NAME_SIZE];
    char aside[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    segment_name_as(sequence, SEGMENT_DAMAGED_SUFFIX, aside);
    enum status status = drop_oldest_damaged(disk);
    if (status == STATUS_OK) {
        status = disk->ops->rename(disk, name, aside);
    }
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? disk->ops->sync_dir(disk) : status;
}

static enum status set_aside_behind(struct disk *disk, uint64_t sequence)
{
    uint64_t last = 0;
    enum status status = disk->ops->list(disk, note_last, &last);
    for (; status == STATUS_OK && last > sequence; last--) {
        status = set_aside(disk, last);
    }
    return status;
}

/* Bytes [0, size) of one file into another that is open. */
static enum status copy_bytes(struct disk_file *from, struct disk_file *to, uint64_t size)
{
    uint8_t *bytes = mem_alloc(COPY_BYTES);
    enum status status = STATUS_OK;
    for (uint64_t at = 0; status == STATUS_OK && at < size;) {
        uint64_t left = size - at;
        size_t got = 0;
        status = from->disk->ops->read(from, at, bytes,
                                       left < COPY_BYTES ? (size_t)left : COPY_BYTES, &got);
        if (status != STATUS_OK || got == 0) {
            break;
        }
        struct slice part = slice_of(bytes, got);
        status = to->disk->ops->write(to, at, &part, 1);
        at += got;
    }
    mem_free(bytes);
    return status;
}

static enum status keep_copy(struct disk *disk, struct disk_file *damaged, uint64_t sequence)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name_as(sequence, SEGMENT_DAMAGED_SUFFIX, name);
    struct disk_file *copy = NULL;
    uint64_t size = 0;
    enum status status = drop_oldest_damaged(disk);
    if (status == STATUS_OK) {
        status = damaged->disk->ops->size(damaged, &size);
    }
    if (status == STATUS_OK) {
        status = disk->ops->open(disk, name, true, &copy);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = copy_bytes(damaged, copy, size);
    if (status == STATUS_OK) {
        status = disk->ops->sync(copy);
    }
    (void)disk->ops->close(copy);
    return status == STATUS_OK ? disk->ops->sync_dir(disk) : status;
}

/* A fresh segment of this sequence, with the records of `beginning` before `offset`. */
static enum status build_cut(struct wal *w, uint64_t sequence, uint64_t size_bytes,
                             struct disk_file *beginning, uint64_t offset)
{
    struct segment_header header = {
        .log_id = w->log_id, .sequence = sequence, .size_bytes = size_bytes};
    struct segment_builder b = {0};
    enum status status = segment_build_begin(&b, w->disk, &header);
    while (status == STATUS_OK && b.filled_bytes < size_bytes) {
        status = segment_build_fill(&b);
    }
    if (status == STATUS_OK && beginning != NULL) {
        status = segment_build_records(&b, beginning, offset);
    }
    if (status == STATUS_OK) {
        status = segment_build_name(&b);
    }
    segment_build_drop(&b);
    return status;
}

static enum status cut_segment(struct wal *w, uint64_t sequence, uint64_t offset)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    struct disk_file *damaged = NULL;
    uint64_t size = 0;
    enum status status = w->disk->ops->open(w->disk, name, false, &damaged);
    if (status == STATUS_OK) {
        status = w->disk->ops->size(damaged, &size);
    }
    if (status == STATUS_OK) {
        status = keep_copy(w->disk, damaged, sequence);
    }
    if (status == STATUS_OK) {
        status = build_cut(w, sequence, size, damaged, offset);
    }
    if (damaged != NULL) {
        (void)w->disk->ops->close(damaged);
    }
    return status;
}

enum status salvage_begin(struct wal *w, const char *reason)
{
    w->recovering = true;
    enum status status = record_save(w->disk, RECOVERING_FILE, slice_str(reason));
    return status == STATUS_OK ? wal_drop_free(w) : status;
}

enum status salvage_log(struct wal *w, uint64_t sequence, uint64_t offset,
                        const struct log_end *end, const char *reason)
{
    enum status status = salvage_begin(w, reason);
    if (status == STATUS_OK) {
        status = set_aside_behind(w->disk, sequence);
    }
    if (status == STATUS_OK && offset > WAL_BLOCK_BYTES) {
        status = cut_segment(w, sequence, offset);
    } else if (status == STATUS_OK) {
        status = set_aside(w->disk, sequence);
        if (status == STATUS_OK) {
            status = build_cut(w, sequence, w->segment_bytes, NULL, 0);
        }
    }
    if (status == STATUS_OK && w->hard.record_number != end->number) {
        w->hard.record_number = end->number;
        status = hard_state_save(&w->hard);
    }
    return status;
}
