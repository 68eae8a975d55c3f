/* wal/wal_read.c - entries read back from segments, each checked again. */
#include "base/check.h"
#include "base/limits.h"
#include "wal/wal_internal.h"

#define READ_WINDOW_KEPT MIB

void wal_close_reader(struct wal *w)
{
    segment_reader_deinit(&w->reader);
    if (w->reader_file != NULL) {
        (void)w->disk->ops->close(w->reader_file);
        w->reader_file = NULL;
    }
}

/* Point the reader at the segment, with nothing in its window that an append may have changed. */
static enum status aim_reader(struct wal *w, uint64_t sequence)
{
    if (w->reader.file != NULL && w->reader.header.sequence == sequence &&
        sequence != w->tail_header.sequence) {
        return STATUS_OK;
    }
    wal_close_reader(w);
    if (sequence == w->tail_header.sequence) {
        segment_reader_init(&w->reader, w->tail, &w->tail_header);
        return STATUS_OK;
    }
    char name[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    struct segment_header header = {.log_id = w->log_id, .sequence = sequence};
    enum status status = w->disk->ops->open(w->disk, name, false, &w->reader_file);
    if (status == STATUS_OK) {
        status = w->disk->ops->size(w->reader_file, &header.size_bytes);
    }
    if (status == STATUS_OK) {
        segment_reader_init(&w->reader, w->reader_file, &header);
    }
    return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
}

/* What wal_read still has to hand over. */
struct read_task {
    uint64_t next;
    uint64_t last;
    uint64_t bytes_left;
    bool has_any;
    bool is_done;
    bool (*each)(void *context, const struct wal_entry *entry);
    void *context;
};

/* Hand over the entries of one record that are asked for and stand before `limit`. */
static enum status read_entries(struct read_task *task, const struct wal_record *rec,
                                struct slice payload, uint64_t limit)
{
    struct entry_cursor cursor = entry_cursor_of(rec, payload);
    struct wal_entry entry;
    while (!task->is_done && entry_cursor_next(&cursor, &entry)) {
        if (entry.index < task->next || entry.index >= limit) {
            continue;
        }
        if (task->has_any && entry.payload.size > task->bytes_left) {
            task->is_done = true;
            break;
        }
        task->bytes_left -=
            entry.payload.size < task->bytes_left ? entry.payload.size : task->bytes_left;
        task->has_any = true;
        task->next = entry.index + 1;
        task->is_done = !task->each(task->context, &entry) || task->next > task->last;
    }
    return task->is_done || entry_cursor_done(&cursor) ? STATUS_OK : STATUS_CORRUPT;
}

/* Read forward from the point for task->next until its limit or until the task is done. */
static enum status read_from_point(struct wal *w, struct read_task *task)
{
    uint64_t limit = 0;
    struct wal_point point = wal_index_find(&w->index, task->next, &limit);
    enum status status = aim_reader(w, point.sequence);
    uint64_t expected = point.first;
    while (status == STATUS_OK && !task->is_done && task->next < limit) {
        struct wal_record rec;
        struct slice payload;
        status = segment_read_record(&w->reader, point.offset, &rec, &payload);
        if (status != STATUS_OK) {
            break;
        }
        if (rec.first != expected || rec.type == WAL_RECORD_END) {
            return STATUS_CORRUPT;
        }
        status = read_entries(task, &rec, payload, limit);
        expected += rec.count;
        point.offset += record_bytes(rec.length);
    }
    return status;
}

enum status wal_read(struct wal *w, uint64_t first, uint64_t last, uint64_t bytes_max,
                     bool (*each)(void *context, const struct wal_entry *entry), void *context)
{
    CHECK_CMP(first, >=, w->index.first);
    CHECK_CMP(first, <=, last);
    CHECK_CMP(last, <=, w->index.last);
    if (w->poisoned) {
        return STATUS_IO;
    }
    struct read_task task = {
        .next = first, .last = last, .bytes_left = bytes_max, .each = each, .context = context};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !task.is_done) {
        status = read_from_point(w, &task);
    }
    if (w->reader.window.capacity > READ_WINDOW_KEPT) {
        wal_close_reader(w);
    }
    return status;
}
