#include "wal/wal.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/recovery.h"

#include <string.h>

#define FIRST_SEGMENT_BYTES MIB
#define SEGMENT_BYTES       (64u * MIB)
#define READ_WINDOW_KEPT    MIB

struct wal {
    struct disk *disk; /* borrowed */
    struct uuid log_id;
    uint64_t first_segment_bytes;
    uint64_t segment_bytes;

    struct hard_state hard;
    struct wal_index index;
    struct log_end end;
    struct disk_file *tail; /* owned */
    struct segment_header tail_header;
    /* The segment after the tail: being made, or ready. */
    struct segment_builder next;
    uint64_t torn_bytes;
    /* A write or a sync failed: nobody knows what is on the disk (rule P11). */
    bool poisoned;

    /* For wal_read: the segment read last. The file is owned unless it is the tail. */
    struct segment_reader reader;
    struct disk_file *reader_file;

    /* For wal_append: the parts of one write. */
    struct buf heads;
    struct slice *parts;
    size_t part_capacity;
};

static const uint8_t zeros[WAL_BLOCK_BYTES];

/* Names of segments, as the directory lists them. */
struct names {
    uint64_t first;
    uint64_t last;
    uint64_t count;
};

static void note_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t sequence = 0;
    if (!segment_name_parse(name, &sequence)) {
        return;
    }
    names->first = names->count == 0 ? sequence : names->first;
    names->last = sequence;
    names->count++;
}

static enum status build_next(struct wal *w, uint64_t sequence, uint64_t size_bytes)
{
    enum status status = STATUS_OK;
    if (w->next.file == NULL) {
        struct segment_header header = {
            .log_id = w->log_id, .sequence = sequence, .size_bytes = size_bytes};
        status = segment_build_begin(&w->next, w->disk, &header);
    }
    while (status == STATUS_OK && !w->next.ready) {
        status = segment_build_step(&w->next);
    }
    return status;
}

/* Segments must be there without a hole, from 1 on. */
static enum status check_names(const struct names *names, char **detail)
{
    if (names->count > 0 && names->first == 1 && names->last == names->count) {
        return STATUS_OK;
    }
    *detail = names->count == 0
                  ? mem_printf("%s exists, but no log segment does", HARD_STATE_FILE)
                  : mem_printf("segments are missing: %" PRIu64 " of 1 to %" PRIu64 " are there",
                               names->count, names->last);
    return STATUS_CORRUPT;
}

/* Find or make the first segment, then read everything. */
static enum status recover(struct wal *w, struct names names, char **detail)
{
    enum status status = STATUS_OK;
    if (names.count == 0 && w->hard.file == NULL) {
        status = build_next(w, 1, w->first_segment_bytes);
        segment_build_drop(&w->next);
        names = (struct names){.first = 1, .last = 1, .count = 1};
    }
    if (status == STATUS_OK) {
        status = check_names(&names, detail);
    }
    if (status != STATUS_OK) {
        return status;
    }
    struct recovery r = {
        .disk = w->disk,
        .log_id = w->log_id,
        .hard = &w->hard,
        .index = &w->index,
        .first_sequence = names.first,
        .last_sequence = names.last,
    };
    status = recover_log(&r);
    w->end = r.end;
    w->tail = r.tail;
    w->tail_header = r.tail_header;
    w->next = r.spare;
    w->torn_bytes = r.torn_bytes;
    *detail = r.detail;
    return status;
}

static enum status open_log(struct wal *w, bool must_exist, char **detail)
{
    /* What a directory shows after a crash of the process may still be in memory only. */
    enum status status = w->disk->ops->sync_dir(w->disk);
    struct names names = {0};
    if (status == STATUS_OK) {
        status = w->disk->ops->list(w->disk, note_name, &names);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = hard_state_open(&w->hard, w->disk, w->log_id, detail);
    bool is_new = status == STATUS_NOT_FOUND;
    if (is_new && must_exist) {
        *detail = mem_printf("%s is missing, though there was a log here", HARD_STATE_FILE);
        return STATUS_CORRUPT;
    }
    if (status == STATUS_OK || is_new) {
        status = recover(w, names, detail);
    }
    /* The first segment comes before it: term and vote without a log are a sign of damage. */
    if (status == STATUS_OK && is_new) {
        status = hard_state_create(&w->hard, w->disk, w->log_id);
    }
    return status;
}

enum status wal_open(const struct wal_options *options, struct wal **wal, char **detail)
{
    struct wal *w = mem_calloc(1, sizeof *w);
    w->disk = options->disk;
    w->log_id = options->log_id;
    w->first_segment_bytes =
        options->first_segment_bytes > 0 ? options->first_segment_bytes : FIRST_SEGMENT_BYTES;
    w->segment_bytes = options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_BYTES;
    /* A header, a record and an END record fit into the smallest one. */
    CHECK_CMP(w->first_segment_bytes, >=, 3 * WAL_BLOCK_BYTES);
    CHECK_CMP(w->segment_bytes, >=, 3 * WAL_BLOCK_BYTES);
    CHECK_CMP((w->first_segment_bytes | w->segment_bytes) % WAL_BLOCK_BYTES, ==, 0);
    wal_index_init(&w->index, 1);

    *detail = NULL;
    enum status status = open_log(w, options->must_exist, detail);
    if (status != STATUS_OK) {
        wal_close(w);
        w = NULL;
    }
    *wal = w;
    return status;
}

static void close_reader(struct wal *w)
{
    segment_reader_deinit(&w->reader);
    if (w->reader_file != NULL) {
        (void)w->disk->ops->close(w->reader_file);
        w->reader_file = NULL;
    }
}

void wal_close(struct wal *w)
{
    if (w == NULL) {
        return;
    }
    close_reader(w);
    segment_build_drop(&w->next);
    if (w->tail != NULL) {
        (void)w->disk->ops->close(w->tail);
    }
    hard_state_close(&w->hard);
    wal_index_deinit(&w->index);
    buf_deinit(&w->heads);
    mem_free(w->parts);
    mem_free(w);
}

void wal_state(const struct wal *w, struct wal_state *state)
{
    *state = (struct wal_state){
        .term = w->hard.term,
        .vote = w->hard.vote,
        .first = w->index.first,
        .last = w->index.last,
        .commit = w->end.commit,
        .runs = w->index.runs,
        .run_count = w->index.run_count,
        .torn_bytes = w->torn_bytes,
    };
}

/* The one way out of a call that wrote: the first error poisons the log for good. */
static enum status finish(struct wal *w, enum status status)
{
    w->poisoned = w->poisoned || status != STATUS_OK;
    return status;
}

/* The parts of a record after its header: heads, bodies, padding. Returns how many with the
 * header. */
static size_t gather_parts(struct wal *w, struct wal_record *rec, const struct wal_entry *entries)
{
    buf_clear(&w->heads);
    entry_heads_encode(entries, rec->count, &w->heads);
    size_t needed = (size_t)rec->count + 3;
    if (needed > w->part_capacity) {
        w->parts = mem_realloc(w->parts, needed * sizeof *w->parts);
        w->part_capacity = needed;
    }
    size_t count = 1;
    uint64_t length = w->heads.size;
    w->parts[count++] = buf_slice(&w->heads);
    for (uint32_t i = 0; i < rec->count; i++) {
        w->parts[count++] = entries[i].payload;
        length += entries[i].payload.size;
    }
    CHECK_CMP(length, <=, LIMIT_WAL_RECORD_BYTES);
    rec->heads = (uint32_t)w->heads.size;
    rec->length = (uint32_t)length;
    /* Whole blocks, so that the kernel has no old half of a block to read first. */
    uint64_t padding = record_bytes(rec->length) - WAL_RECORD_HEADER_BYTES - length;
    w->parts[count++] = slice_of(zeros, (size_t)padding);
    return count;
}

/* Write and sync the record whose parts were gathered, at the end of the log. */
static enum status write_record(struct wal *w, struct wal_record *rec,
                                const struct wal_entry *entries, size_t part_count)
{
    rec->number = w->end.number + 1;
    rec->synced = w->end.number;
    rec->previous_crc = w->end.crc;
    rec->hard_number = w->hard.version;
    rec->sequence = w->tail_header.sequence;
    rec->offset = w->end.offset;
    CHECK_CMP(rec->offset + record_bytes(rec->length), <=, w->tail_header.size_bytes);

    uint8_t header[WAL_RECORD_HEADER_BYTES];
    record_encode_header(rec, w->log_id, buf_slice(&w->heads), entries, header);
    w->parts[0] = slice_of(header, sizeof header);
    enum status status = w->disk->ops->write(w->tail, rec->offset, w->parts, part_count);
    if (status == STATUS_OK) {
        status = w->disk->ops->sync(w->tail);
    }
    if (status != STATUS_OK) {
        return status;
    }
    w->end.number = rec->number;
    w->end.crc = rec->crc;
    w->end.type = rec->type;
    w->end.commit = rec->commit;
    w->end.offset += record_bytes(rec->length);
    return STATUS_OK;
}

static enum status write_mark(struct wal *w, enum wal_record_type type)
{
    struct wal_record rec = {
        .type = type,
        .first = w->index.last + 1,
        .term = wal_index_last_term(&w->index),
        .commit = w->end.commit,
    };
    size_t part_count = gather_parts(w, &rec, NULL);
    return write_record(w, &rec, NULL, part_count);
}

/* True when `bytes` fit into the tail, with a block for the END record behind them. */
static bool has_room(const struct wal *w, uint64_t bytes)
{
    return w->end.offset + bytes + WAL_BLOCK_BYTES <= w->tail_header.size_bytes;
}

/* Twice the one before, up to the usual size: a young log takes little room, and the half of a
 * segment that is left when its successor is begun is in proportion to the work. */
static uint64_t next_segment_bytes(const struct wal *w)
{
    uint64_t doubled = 2 * w->tail_header.size_bytes;
    return doubled < w->segment_bytes ? doubled : w->segment_bytes;
}

/* Go on in the next segment, which gets room for a record of `bytes`. */
static enum status roll(struct wal *w, uint64_t bytes)
{
    uint64_t needed = bytes + 2 * WAL_BLOCK_BYTES;
    uint64_t size = next_segment_bytes(w);
    size = needed > size ? needed : size;
    if (w->next.file != NULL && w->next.header.size_bytes < needed) {
        segment_build_drop(&w->next);
    }
    enum status status = build_next(w, w->tail_header.sequence + 1, size);
    if (status == STATUS_OK) {
        status = write_mark(w, WAL_RECORD_END);
    }
    if (status == STATUS_OK) {
        close_reader(w); /* it may stand on the file that is closed here */
        status = w->disk->ops->close(w->tail);
        w->tail_header = w->next.header;
        w->tail = segment_build_take(&w->next);
        w->end.offset = WAL_BLOCK_BYTES;
    }
    return status;
}

static enum status append_entries(struct wal *w, const struct wal_batch *batch, bool truncates)
{
    uint64_t kept = truncates ? batch->truncate_from - 1 : w->index.last;
    uint64_t last = kept + batch->count;
    /* A commit index beyond this batch would turn a torn tail into damage (rules P5, P7). */
    uint64_t commit = batch->commit < last ? batch->commit : last;
    struct wal_record rec = {
        .type = truncates ? WAL_RECORD_TRUNCATE : WAL_RECORD_ENTRIES,
        .count = batch->count,
        .first = kept + 1,
        .term = batch->count > 0 ? batch->entries[0].term : 0,
        .commit = commit > w->end.commit ? commit : w->end.commit,
    };
    if (truncates) {
        CHECK_CMP(kept, >=, w->end.commit);
    }
    if (batch->count > 0) {
        CHECK_CMP(batch->entries[0].index, ==, rec.first);
        CHECK_CMP(batch->entries[batch->count - 1].term, <=, w->hard.term);
    }
    size_t part_count = gather_parts(w, &rec, batch->entries);
    uint64_t bytes = record_bytes(rec.length);
    if (!has_room(w, bytes)) {
        enum status status = roll(w, bytes);
        if (status != STATUS_OK) {
            return status;
        }
        part_count = gather_parts(w, &rec, batch->entries);
    }
    enum status status = write_record(w, &rec, batch->entries, part_count);
    if (status == STATUS_OK) {
        wal_index_add_record(&w->index, &rec);
        for (uint32_t i = 0; i < batch->count; i++) {
            wal_index_push(&w->index, batch->entries[i].term);
        }
    }
    return status;
}

enum status wal_append(struct wal *w, const struct wal_batch *batch)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    if (batch->hard_state) {
        CHECK_CMP(batch->term, >=, w->hard.term);
        w->hard.term = batch->term;
        w->hard.vote = batch->vote;
        w->hard.record_number = w->end.number;
        enum status status = hard_state_save(&w->hard);
        if (status != STATUS_OK) {
            return finish(w, status);
        }
    }
    bool truncates = batch->truncate_from != 0 && batch->truncate_from <= w->index.last;
    if (batch->count == 0 && !truncates) {
        return STATUS_OK;
    }
    return finish(w, append_entries(w, batch, truncates));
}

enum status wal_seal(struct wal *w)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    bool is_sealed = w->end.type == WAL_RECORD_SEAL || w->end.number == 0;
    if (is_sealed || !has_room(w, WAL_BLOCK_BYTES)) {
        return STATUS_OK;
    }
    return finish(w, write_mark(w, WAL_RECORD_SEAL));
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
    if (w->next.file == NULL) {
        struct segment_header header = {
            .log_id = w->log_id,
            .sequence = w->tail_header.sequence + 1,
            .size_bytes = next_segment_bytes(w),
        };
        enum status status = segment_build_begin(&w->next, w->disk, &header);
        if (status != STATUS_OK) {
            return finish(w, status);
        }
    }
    return finish(w, segment_build_step(&w->next));
}

/* Point the reader at the segment, with nothing in its window that an append may have changed. */
static enum status aim_reader(struct wal *w, uint64_t sequence)
{
    if (w->reader.file != NULL && w->reader.header.sequence == sequence &&
        sequence != w->tail_header.sequence) {
        return STATUS_OK;
    }
    close_reader(w);
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
        close_reader(w);
    }
    return status;
}
