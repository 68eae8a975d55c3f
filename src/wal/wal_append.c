/* wal/wal_append.c - what is written to the log: batches, seals, the records between segments. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/wal_internal.h"

static const uint8_t zeros[WAL_BLOCK_BYTES];

enum status wal_finish(struct wal *w, enum status status)
{
    w->poisoned = w->poisoned || status != STATUS_OK;
    /* NO_SPACE is for those who may try again. */
    return status == STATUS_NO_SPACE ? STATUS_IO : status;
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

static enum status write_durably(struct disk_file *file, uint64_t offset, const struct slice *parts,
                                 size_t count)
{
    const struct disk_ops *ops = file->disk->ops;
    if (ops->write_durably != NULL) {
        return ops->write_durably(file, offset, parts, count);
    }
    enum status status = ops->write(file, offset, parts, count);
    return status == STATUS_OK ? ops->sync(file) : status;
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
    enum status status = write_durably(w->tail, rec->offset, w->parts, part_count);
    if (status != STATUS_OK) {
        return status;
    }
    w->written_bytes += record_bytes(rec->length);
    w->end = (struct log_end){
        .number = rec->number,
        .crc = rec->crc,
        .type = rec->type,
        .commit = rec->commit,
        .next = rec->first + rec->count,
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): no entries, count 0 */
        .last_term = rec->count > 0 ? entries[rec->count - 1].term : rec->previous_term,
        .offset = rec->offset + record_bytes(rec->length),
    };
    return STATUS_OK;
}

enum status wal_write_mark(struct wal *w, enum wal_record_type type)
{
    struct wal_record rec = {
        .type = type,
        .first = w->end.next,
        .term = w->end.last_term,
        .previous_term = w->end.last_term,
        .commit = w->end.commit,
    };
    size_t part_count = gather_parts(w, &rec, NULL);
    return write_record(w, &rec, NULL, part_count);
}

bool wal_has_room(const struct wal *w, uint64_t bytes)
{
    return w->end.offset + bytes + WAL_BLOCK_BYTES <= w->tail_header.size_bytes;
}

/* Write the record, in the next segment when there is no room in this one. */
static enum status put_record(struct wal *w, struct wal_record *rec,
                              const struct wal_entry *entries)
{
    size_t part_count = gather_parts(w, rec, entries);
    if (!wal_has_room(w, record_bytes(rec->length))) {
        enum status status = wal_roll(w);
        if (status != STATUS_OK) {
            return status;
        }
        part_count = gather_parts(w, rec, entries);
    }
    enum status status = write_record(w, rec, entries, part_count);
    if (status != STATUS_OK) {
        return status;
    }
    wal_index_add_record(&w->index, rec);
    for (uint32_t i = 0; i < rec->count; i++) {
        wal_index_push(&w->index, entries[i].term);
    }
    w->is_void = w->is_void && rec->type != WAL_RECORD_SNAPSHOT;
    return STATUS_OK;
}

enum status wal_write_void(struct wal *w)
{
    struct wal_record rec = {
        .type = WAL_RECORD_SNAPSHOT,
        .first = w->index.first,
        .term = w->index.base_term,
        .previous_term = w->index.base_term,
        .commit = w->index.first - 1,
    };
    return put_record(w, &rec, NULL);
}

/* The record that a batch becomes; its type is 0 when nothing is to be written. */
static struct wal_record plan_record(const struct wal *w, const struct wal_batch *batch)
{
    const struct wal_index *ix = &w->index;
    struct wal_record rec = {.count = batch->count, .first = ix->last + 1};
    bool truncates = batch->truncate_from != 0 && batch->truncate_from <= ix->last;
    if (batch->discard) {
        CHECK_CMP(batch->install_index, >, 0);
        rec.type = WAL_RECORD_SNAPSHOT;
        rec.first = batch->install_index + 1;
        rec.previous_term = batch->install_term;
    } else if (w->is_void && batch->count > 0) {
        rec.type = WAL_RECORD_SNAPSHOT;
        rec.previous_term = ix->base_term;
    } else if (truncates) {
        CHECK_CMP(batch->truncate_from, >=, ix->first);
        rec.type = WAL_RECORD_TRUNCATE;
        rec.first = batch->truncate_from;
        rec.previous_term = wal_index_term(ix, rec.first - 1);
        CHECK_CMP(rec.first, >, w->end.commit);
    } else if (batch->count > 0) {
        rec.type = WAL_RECORD_ENTRIES;
        rec.previous_term = wal_index_term(ix, ix->last);
    }
    rec.term = batch->count > 0 ? batch->entries[0].term : rec.previous_term;
    /* A commit index beyond this batch would turn a torn tail into damage (rules P5, P7). */
    uint64_t last = rec.first + rec.count - 1;
    uint64_t floor = rec.type == WAL_RECORD_SNAPSHOT ? rec.first - 1 : w->end.commit;
    rec.commit = batch->commit < last ? batch->commit : last;
    rec.commit = rec.commit > floor ? rec.commit : floor;
    return rec;
}

/* Bytes of the record in the log. */
static uint64_t planned_bytes(const struct wal_batch *batch)
{
    uint64_t length = 0;
    uint64_t term = batch->count > 0 ? batch->entries[0].term : 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct wal_entry *e = &batch->entries[i];
        length += 1 + varint_size(e->term - term) + varint_size(e->payload.size) + e->payload.size;
        term = e->term;
    }
    CHECK_CMP(length, <=, LIMIT_WAL_RECORD_BYTES);
    return record_bytes((uint32_t)length);
}

static enum status save_hard_state(struct wal *w, const struct wal_batch *batch)
{
    CHECK_CMP(batch->term, >=, w->hard.term);
    w->hard.term = batch->term;
    w->hard.vote = batch->vote;
    if (batch->lease_promise_ms > w->hard.lease_promise_ms) {
        w->hard.lease_promise_ms = batch->lease_promise_ms;
    }
    w->hard.record_number = w->end.number;
    return hard_state_save(&w->hard);
}

/* The last index of the log once the batch is in it. */
static uint64_t last_after(const struct wal *w, const struct wal_batch *batch)
{
    uint64_t kept = batch->truncate_from != 0 ? batch->truncate_from - 1 : w->index.last;
    return kept + batch->count;
}

/* Rule S3: what the batch relies on is there. A log that is kept reaches the snapshot at the latest
 * with this batch: the entries up to it may have been on their way when it came. */
static enum status check_install(struct wal *w, const struct wal_batch *batch)
{
    struct snapshot_id id = {0};
    enum status status = wal_find_snapshot(w->disk, false, &id, NULL);
    if (status != STATUS_OK) {
        return status;
    }
    if (id.index < batch->install_index) {
        return STATUS_CORRUPT;
    }
    CHECK(batch->discard || batch->install_index <= last_after(w, batch));
    CHECK(w->recovering || batch->install_index >= w->end.commit || !batch->discard);
    w->snapshot = id;
    return STATUS_OK;
}

enum status wal_append(struct wal *w, const struct wal_batch *batch)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    if (batch->install_index != 0) {
        enum status status = check_install(w, batch);
        if (status != STATUS_OK) {
            return wal_finish(w, status);
        }
    }
    struct wal_record rec = plan_record(w, batch);
    uint64_t bytes = planned_bytes(batch);
    if (rec.type != 0 && !wal_has_room(w, bytes)) {
        /* Before anything is written: rule P12 tells a full disk from a broken one. */
        enum status status = wal_make_next(w, bytes);
        if (status != STATUS_OK) {
            return status == STATUS_NO_SPACE ? status : wal_finish(w, status);
        }
    }
    if (batch->hard_state) {
        enum status status = save_hard_state(w, batch);
        if (status != STATUS_OK) {
            return wal_finish(w, status);
        }
    }
    if (rec.type == 0) {
        return STATUS_OK;
    }
    if (batch->count > 0) {
        CHECK_CMP(batch->entries[0].index, ==, rec.first);
        CHECK_CMP(batch->entries[batch->count - 1].term, <=, w->hard.term);
    }
    return wal_finish(w, put_record(w, &rec, batch->entries));
}

enum status wal_seal(struct wal *w)
{
    if (w->poisoned) {
        return STATUS_IO;
    }
    bool is_sealed = w->end.type == WAL_RECORD_SEAL || w->end.number == 0;
    if (is_sealed || !wal_has_room(w, WAL_BLOCK_BYTES)) {
        return STATUS_OK;
    }
    return wal_finish(w, wal_write_mark(w, WAL_RECORD_SEAL));
}
