/* wal/wal_segments.c - the life of segments: made ahead of time, rolled into, removed when a
 * snapshot has what they hold, and used again (rules S2, P3b, P8, P12). */
#include "base/check.h"
#include "base/mem.h"
#include "wal/wal_internal.h"

#include <string.h>

/* Twice the one before, up to the usual size: a young log takes little room, and the half of a
 * segment that is left when its successor is begun is in proportion to the work. */
static uint64_t next_segment_bytes(const struct wal *w)
{
    uint64_t doubled = 2 * w->tail_header.size_bytes;
    return doubled < w->segment_bytes ? doubled : w->segment_bytes;
}

/* --- segments to be used again ---------------------------------------------------------------- */

static void push_free(struct free_segments *f, uint64_t sequence)
{
    f->sequences = mem_realloc(f->sequences, (f->count + 1) * sizeof *f->sequences);
    f->sequences[f->count++] = sequence;
}

static void note_free(void *context, const char *name)
{
    uint64_t sequence = 0;
    if (segment_name_parse_as(name, SEGMENT_FREE_SUFFIX, &sequence)) {
        push_free(context, sequence);
    }
}

static enum status remove_free(struct wal *w, uint64_t sequence)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name_as(sequence, SEGMENT_FREE_SUFFIX, name);
    return w->disk->ops->unlink(w->disk, name);
}

static enum status free_segment_fits(struct wal *w, uint64_t sequence, bool *fits)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name_as(sequence, SEGMENT_FREE_SUFFIX, name);
    struct disk_file *file = NULL;
    uint64_t size = 0;
    enum status status = w->disk->ops->open(w->disk, name, false, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = w->disk->ops->size(file, &size);
    *fits = size == w->segment_bytes;
    (void)w->disk->ops->close(file);
    return status;
}

enum status wal_find_free(struct wal *w)
{
    struct free_segments found = {0};
    enum status status = w->disk->ops->list(w->disk, note_free, &found);
    for (uint32_t i = 0; status == STATUS_OK && i < found.count; i++) {
        bool fits = false;
        status = free_segment_fits(w, found.sequences[i], &fits);
        if (status == STATUS_OK && fits && w->free.count < w->free_segments_max) {
            push_free(&w->free, found.sequences[i]);
        } else if (status == STATUS_OK) {
            status = remove_free(w, found.sequences[i]);
        }
    }
    mem_free(found.sequences);
    return status;
}

enum status wal_drop_free(struct wal *w)
{
    struct free_segments found = {0};
    enum status status = w->disk->ops->list(w->disk, note_free, &found);
    for (uint32_t i = 0; status == STATUS_OK && i < found.count; i++) {
        status = remove_free(w, found.sequences[i]);
    }
    mem_free(found.sequences);
    w->free.count = 0;
    return status == STATUS_OK ? w->disk->ops->sync_dir(w->disk) : status;
}

/* --- the next segment ------------------------------------------------------------------------- */

static enum status begin_next(struct wal *w, uint64_t size_bytes)
{
    struct segment_header header = {
        .log_id = w->log_id,
        .sequence = w->tail_header.sequence + 1,
        .size_bytes = size_bytes,
    };
    if (w->free.count > 0 && size_bytes == w->segment_bytes) {
        header.is_recycled = true;
        char name[SEGMENT_NAME_SIZE];
        segment_name_as(w->free.sequences[--w->free.count], SEGMENT_FREE_SUFFIX, name);
        return segment_build_recycle(&w->next, w->disk, name, &header);
    }
    return segment_build_begin(&w->next, w->disk, &header);
}

/* Whatever came of the next segment so far is no loss: the space is given back, so that it serves
 * who needs it more, and a later try begins anew. */
static enum status give_up_next(struct wal *w)
{
    char name[SEGMENT_NAME_SIZE];
    memcpy(name, w->next.source, sizeof name);
    segment_build_drop(&w->next);
    enum status status = w->disk->ops->unlink(w->disk, name);
    return status == STATUS_OK || status == STATUS_NOT_FOUND ? STATUS_NO_SPACE : status;
}

enum status wal_make_next(struct wal *w, uint64_t bytes)
{
    uint64_t needed = bytes + 2 * WAL_BLOCK_BYTES;
    uint64_t size = next_segment_bytes(w);
    size = needed > size ? needed : size;
    if (w->next.file != NULL && w->next.header.size_bytes < needed) {
        segment_build_drop(&w->next);
    }
    enum status status = w->next.file == NULL ? begin_next(w, size) : STATUS_OK;
    while (status == STATUS_OK && !w->next.ready) {
        status = segment_build_step(&w->next);
    }
    return status == STATUS_NO_SPACE ? give_up_next(w) : status;
}

enum status wal_roll(struct wal *w)
{
    CHECK(w->next.ready);
    enum status status = wal_write_mark(w, WAL_RECORD_END);
    if (status != STATUS_OK) {
        return status;
    }
    closed_segments_push(
        &w->closed, (struct closed_segment){w->tail_header.sequence, w->tail_header.size_bytes});
    wal_close_reader(w); /* it may be reading this very file */
    status = w->disk->ops->close(w->tail);
    w->tail_header = w->next.header;
    w->tail = segment_build_take(&w->next);
    w->end.offset = WAL_BLOCK_BYTES;
    return status;
}

bool wal_wants_prepare(const struct wal *w)
{
    bool is_half_full = w->end.offset > w->tail_header.size_bytes / 2;
    return !w->poisoned && !w->next.ready && (w->next.file != NULL || is_half_full);
}

enum status wal_prepare(struct wal *w)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    if (w->next.ready) {
        return STATUS_OK;
    }
    enum status status = w->next.file == NULL ? begin_next(w, next_segment_bytes(w)) : STATUS_OK;
    if (status == STATUS_OK) {
        status = segment_build_step(&w->next);
    }
    if (status == STATUS_NO_SPACE) {
        status = give_up_next(w);
    }
    return status == STATUS_NO_SPACE ? status : wal_finish(w, status);
}

/* --- room ------------------------------------------------------------------------------------- */

uint64_t wal_room_bytes(const struct wal *w)
{
    uint64_t used = w->end.offset + WAL_BLOCK_BYTES;
    uint64_t room = w->tail_header.size_bytes > used ? w->tail_header.size_bytes - used : 0;
    if (w->next.ready) {
        room += w->next.header.size_bytes - 2 * WAL_BLOCK_BYTES;
    }
    return room + w->free.count * (w->segment_bytes - 2 * WAL_BLOCK_BYTES);
}

uint64_t wal_written_bytes(const struct wal *w)
{
    return w->written_bytes;
}

uint64_t wal_disk_bytes(const struct wal *w)
{
    uint64_t bytes = w->tail_header.size_bytes + w->free.count * w->segment_bytes;
    for (uint32_t i = 0; i < w->closed.count; i++) {
        bytes += w->closed.items[i].size_bytes;
    }
    if (w->next.file != NULL) {
        bytes += w->next.header.is_recycled || w->next.ready ? w->next.header.size_bytes
                                                             : w->next.filled_bytes;
    }
    return bytes;
}

/* --- compaction ------------------------------------------------------------------------------- */

/* The oldest segment may go: *begins is where the log begins then. A record must be left, which
 * says what the next ones follow (recovery.h). */
static bool may_remove_oldest(const struct wal *w, uint64_t first, uint64_t *begins)
{
    if (w->closed.count == 0) {
        return false;
    }
    *begins = wal_index_first_after(&w->index, w->closed.items[0].sequence);
    return *begins != 0 && *begins <= first;
}

static enum status remove_oldest(struct wal *w)
{
    struct closed_segment oldest = w->closed.items[0];
    char name[SEGMENT_NAME_SIZE];
    segment_name(oldest.sequence, name);
    bool is_kept = oldest.size_bytes == w->segment_bytes && w->free.count < w->free_segments_max;
    enum status status = STATUS_OK;
    if (is_kept) {
        char free_name[SEGMENT_NAME_SIZE];
        segment_name_as(oldest.sequence, SEGMENT_FREE_SUFFIX, free_name);
        status = w->disk->ops->rename(w->disk, name, free_name);
    } else {
        status = w->disk->ops->unlink(w->disk, name);
    }
    /* Durable before the next one goes, so that there is never a hole, and before a recycled one
     * is written to (rule P8). */
    if (status == STATUS_OK) {
        status = w->disk->ops->sync_dir(w->disk);
    }
    if (status == STATUS_OK && is_kept) {
        push_free(&w->free, oldest.sequence);
    }
    return status;
}

enum status wal_compact(struct wal *w, uint64_t first, bool *more)
{
    *more = false;
    if (w->poisoned) {
        return STATUS_IO;
    }
    uint64_t begins = 0;
    if (w->is_void || !may_remove_oldest(w, first, &begins)) {
        return STATUS_OK;
    }
    /* Rule S2: a snapshot that is not durable is none. */
    if (w->snapshot.index + 1 < first) {
        enum status status = w->disk->ops->sync_dir(w->disk);
        if (status == STATUS_OK) {
            status = wal_find_snapshot(w->disk, false, &w->snapshot, NULL);
        }
        if (status != STATUS_OK) {
            return wal_finish(w, status);
        }
    }
    if (w->snapshot.index + 1 < first) {
        return STATUS_CORRUPT;
    }
    if (w->reader.file != NULL && w->reader.header.sequence == w->closed.items[0].sequence) {
        wal_close_reader(w);
    }
    if (w->scrub_file != NULL && w->scrub.header.sequence == w->closed.items[0].sequence) {
        wal_close_scrub(w);
    }
    enum status status = remove_oldest(w);
    if (status != STATUS_OK) {
        return wal_finish(w, status);
    }
    closed_segments_drop_first(&w->closed);
    wal_index_drop_before(&w->index, begins);
    *more = may_remove_oldest(w, first, &begins);
    return STATUS_OK;
}
