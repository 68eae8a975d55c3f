#include "wal/recovery.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

/* No log ever gets so far, and sums with less than that do not overflow. */
#define NUMBERS_MAX (UINT64_MAX / 2)

static const uint8_t zeros[64 * KIB];

void closed_segments_push(struct closed_segments *c, struct closed_segment segment)
{
    if (c->count == c->capacity) {
        c->capacity = c->capacity > 0 ? c->capacity * 2 : 16;
        c->items = mem_realloc(c->items, c->capacity * sizeof *c->items);
    }
    c->items[c->count++] = segment;
}

void closed_segments_drop_first(struct closed_segments *c)
{
    CHECK_CMP(c->count, >, 0);
    c->count--;
    memmove(c->items, c->items + 1, c->count * sizeof *c->items);
}

/* CORRUPT, with a text that says where and why. */
static enum status damage(struct recovery *r, uint64_t sequence, uint64_t offset, char *reason)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    mem_free(r->detail);
    r->detail = mem_printf("%s, offset %" PRIu64 ": %s", name, offset, reason);
    mem_free(reason);
    r->damage_sequence = sequence;
    r->damage_offset = offset;
    return STATUS_CORRUPT;
}

static enum status hard_state_lost(struct recovery *r, uint64_t sequence, uint64_t offset,
                                   char *reason)
{
    r->is_hard_state_lost = true;
    return damage(r, sequence, offset, reason);
}

/* The header and the size of a segment whose file is open. */
static enum status check_header(struct recovery *r, uint64_t sequence, struct disk_file *file,
                                struct segment_header *header)
{
    uint8_t block[WAL_BLOCK_BYTES];
    size_t got = 0;
    uint64_t size = 0;
    enum status status = file->disk->ops->read(file, 0, block, sizeof block, &got);
    if (status == STATUS_OK) {
        status = file->disk->ops->size(file, &size);
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t version = 0;
    status = got < sizeof block ? STATUS_CORRUPT : segment_header_decode(block, header, &version);
    if (status == STATUS_UNSUPPORTED) {
        (void)damage(r, sequence, 0, mem_printf("format version %u is not known here", version));
        return STATUS_UNSUPPORTED;
    }
    if (status != STATUS_OK) {
        return damage(r, sequence, 0, mem_strdup("the header block is damaged"));
    }
    if (!uuid_equal(header->log_id, r->log_id)) {
        return damage(r, sequence, 0, mem_strdup("the segment belongs to another log"));
    }
    if (header->sequence != sequence) {
        return damage(
            r, sequence, 0,
            mem_printf("the file is segment %" PRIu64 " under a wrong name", header->sequence));
    }
    if (header->size_bytes != size || size % WAL_BLOCK_BYTES != 0) {
        return damage(r, sequence, 0,
                      mem_printf("the file has %" PRIu64 " bytes instead of %" PRIu64, size,
                                 header->size_bytes));
    }
    return STATUS_OK;
}

static enum status open_segment(struct recovery *r, uint64_t sequence, struct disk_file **file,
                                struct segment_header *header)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    enum status status = r->disk->ops->open(r->disk, name, false, file);
    if (status == STATUS_NOT_FOUND) {
        return damage(r, sequence, 0, mem_strdup("the segment is missing"));
    }
    return status == STATUS_OK ? check_header(r, sequence, *file, header) : status;
}

/* The oldest record of a log whose first segments were removed: what it follows is believed. */
static bool begins_in_the_middle(const struct recovery *r)
{
    return r->end.number == 0 && r->first_sequence > 1;
}

static void begin_in_the_middle(struct recovery *r, const struct wal_record *rec)
{
    r->end.number = rec->number - 1;
    r->end.crc = rec->previous_crc;
    r->end.next = rec->first;
    r->end.last_term = rec->previous_term;
    wal_index_reset(r->index, rec->first, rec->previous_term);
}

/* Whether the record's first index and the term before it fit what was read so far. */
static bool place_is_right(const struct recovery *r, const struct wal_record *rec)
{
    const struct wal_index *ix = r->index;
    switch (rec->type) {
    case WAL_RECORD_SNAPSHOT:
        return true;
    case WAL_RECORD_TRUNCATE:
        /* A log that begins in the middle may begin with this record, or with entries that it
         * replaces. */
        if (r->first_sequence > 1 && rec->first <= ix->first) {
            return rec->first > r->end.commit;
        }
        return rec->first > r->end.commit && rec->first >= ix->first && rec->first <= ix->last &&
               rec->previous_term == wal_index_term(ix, rec->first - 1);
    default:
        return rec->first == r->end.next && rec->previous_term == r->end.last_term;
    }
}

/* NULL when the record may follow what was read so far, else the reason why not. */
static char *why_not_next(const struct recovery *r, const struct wal_record *rec)
{
    bool is_reset = rec->type == WAL_RECORD_SNAPSHOT;
    if (rec->number != r->end.number + 1 || rec->previous_crc != r->end.crc) {
        return mem_printf("record %" PRIu64 " does not follow record %" PRIu64, rec->number,
                          r->end.number);
    }
    if (rec->number == 0 || rec->first == 0 || rec->number > NUMBERS_MAX ||
        rec->first > NUMBERS_MAX) {
        return mem_printf("impossible number %" PRIu64 " or index %" PRIu64, rec->number,
                          rec->first);
    }
    if ((rec->type == WAL_RECORD_SEAL || rec->type == WAL_RECORD_END) && rec->count > 0) {
        return mem_strdup("entries in a record that has none");
    }
    if (r->hard->file != NULL && rec->previous_term > r->hard->term) {
        return mem_printf("impossible term %" PRIu64 " before entry %" PRIu64, rec->previous_term,
                          rec->first);
    }
    if (!place_is_right(r, rec)) {
        return mem_printf("entries from %" PRIu64 " cannot follow entry %" PRIu64
                          " with commit index %" PRIu64,
                          rec->first, r->index->last, r->end.commit);
    }
    if ((rec->commit < r->end.commit && !is_reset) || rec->commit > rec->first + rec->count - 1) {
        return mem_printf("impossible commit index %" PRIu64, rec->commit);
    }
    return NULL;
}

/* Take over one record whose checksum and place are right. */
static enum status accept(struct recovery *r, const struct wal_record *rec, struct slice payload)
{
    if (rec->type < WAL_RECORD_ENTRIES || rec->type > WAL_RECORD_SNAPSHOT) {
        (void)damage(r, rec->sequence, rec->offset,
                     mem_printf("record type %u is not known here", (unsigned)rec->type));
        return STATUS_UNSUPPORTED;
    }
    if (r->hard->file != NULL && rec->hard_number > r->hard->version) {
        return hard_state_lost(r, rec->sequence, rec->offset,
                               mem_printf("written after version %" PRIu64
                                          " of %s, which has only version %" PRIu64,
                                          rec->hard_number, HARD_STATE_FILE, r->hard->version));
    }
    if (begins_in_the_middle(r) && rec->first > 0) {
        begin_in_the_middle(r, rec);
    }
    char *reason = why_not_next(r, rec);
    if (reason != NULL) {
        return damage(r, rec->sequence, rec->offset, reason);
    }
    wal_index_add_record(r->index, rec);
    struct entry_cursor cursor = entry_cursor_of(rec, payload);
    struct wal_entry entry;
    while (entry_cursor_next(&cursor, &entry)) {
        if (entry.term < wal_index_term(r->index, r->index->last) ||
            (r->hard->file != NULL && entry.term > r->hard->term)) {
            return damage(r, rec->sequence, rec->offset,
                          mem_printf("entry %" PRIu64 " has impossible term %" PRIu64, entry.index,
                                     entry.term));
        }
        wal_index_push(r->index, entry.term);
    }
    if (!entry_cursor_done(&cursor)) {
        return damage(r, rec->sequence, rec->offset, mem_strdup("the entries are malformed"));
    }
    r->end = (struct log_end){
        .number = rec->number,
        .crc = rec->crc,
        .type = rec->type,
        .commit = rec->commit,
        .next = r->index->last + 1,
        .last_term = wal_index_term(r->index, r->index->last),
        .offset = rec->offset + record_bytes(rec->length),
    };
    return STATUS_OK;
}

/* Read records until the END record or until a place where none stands; r->end tells which. */
static enum status scan_records(struct recovery *r, struct segment_reader *reader)
{
    r->end.type = 0;
    r->end.offset = WAL_BLOCK_BYTES;
    while (r->end.type != WAL_RECORD_END && r->end.offset < reader->header.size_bytes) {
        struct wal_record rec;
        struct slice payload;
        enum status status = segment_read_record(reader, r->end.offset, &rec, &payload);
        if (status == STATUS_CORRUPT) {
            break;
        }
        if (status == STATUS_OK) {
            status = accept(r, &rec, payload);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Look at every block from r->end.offset on (steps 4 and 5). *used_end: after the last block that
 * is not zero, 0 when all are; in a recycled segment, after the block at the end when that begins a
 * record of this segment. */
static enum status look_behind(struct recovery *r, struct segment_reader *reader,
                               uint64_t *used_end)
{
    *used_end = 0;
    for (uint64_t at = r->end.offset; at < reader->header.size_bytes; at += WAL_BLOCK_BYTES) {
        const uint8_t *block = NULL;
        enum status status = segment_read(reader, at, WAL_BLOCK_BYTES, &block);
        if (status != STATUS_OK) {
            return status;
        }
        if (memcmp(block, zeros, WAL_BLOCK_BYTES) == 0) {
            continue;
        }
        struct wal_record rec = {.sequence = reader->header.sequence, .offset = at};
        struct slice payload;
        if (!reader->header.is_recycled ||
            (at == r->end.offset &&
             record_decode_header(block, r->log_id, reader->header.size_bytes, &rec))) {
            *used_end = at + WAL_BLOCK_BYTES;
        }
        status = segment_read_record(reader, at, &rec, &payload);
        if (status == STATUS_IO) {
            return status;
        }
        if (status == STATUS_OK && rec.synced > r->end.number) {
            return damage(r, rec.sequence, r->end.offset,
                          mem_printf("record %" PRIu64 " is damaged: it was synced before record "
                                     "%" PRIu64 " was written at offset %" PRIu64,
                                     r->end.number + 1, rec.number, at));
        }
    }
    return STATUS_OK;
}

/* The segment after the tail: made ahead of time and never used, or something is missing (step 6).
 * A segment is used from its first block on, so that one tells; what else is not zero in an unused
 * one is cut off when it is the tail. */
static enum status check_spare(struct recovery *r, uint64_t sequence)
{
    if (sequence < r->last_sequence) {
        return damage(r, sequence - 1, r->end.offset,
                      mem_strdup("later segments exist, so the end of this one is damaged"));
    }
    r->spare.ready = true;
    enum status status = open_segment(r, sequence, &r->spare.file, &r->spare.header);
    uint8_t block[WAL_BLOCK_BYTES] = {0};
    size_t got = 0;
    if (status == STATUS_OK) {
        status = r->disk->ops->read(r->spare.file, WAL_BLOCK_BYTES, block, sizeof block, &got);
    }
    struct wal_record rec = {.sequence = sequence, .offset = WAL_BLOCK_BYTES};
    bool is_used = r->spare.header.is_recycled
                       ? record_decode_header(block, r->log_id, r->spare.header.size_bytes, &rec)
                       : memcmp(block, zeros, sizeof block) != 0;
    if (status == STATUS_OK && is_used) {
        status =
            damage(r, sequence - 1, r->end.offset,
                   mem_strdup("the next segment is in use, so the end of this one is damaged"));
    }
    return status;
}

static enum status check_hard_state(struct recovery *r, bool has_torn)
{
    uint64_t sequence = r->tail_header.sequence;
    if (r->hard->file == NULL && (r->end.number > 0 || has_torn || r->first_sequence > 1)) {
        return hard_state_lost(r, sequence, r->end.offset,
                               mem_printf("there are records, but %s is missing", HARD_STATE_FILE));
    }
    if (r->first_sequence > 1 && r->end.number == 0 && !r->may_begin_empty) {
        return damage(r, sequence, 0,
                      mem_strdup("the log begins here, and its oldest record is damaged"));
    }
    if (r->hard->record_number > r->end.number) {
        return damage(r, sequence, r->end.offset,
                      mem_printf("the log ends with record %" PRIu64 ", but %s says that record "
                                 "%" PRIu64 " was synced",
                                 r->end.number, HARD_STATE_FILE, r->hard->record_number));
    }
    return STATUS_OK;
}

/* Zero the torn bytes (step 8). They stand in blocks of their own: nothing else is rewritten. */
static enum status cut_tail(struct recovery *r, uint64_t used_end)
{
    const struct disk_ops *ops = r->disk->ops;
    enum status status = STATUS_OK;
    uint64_t at = r->end.offset;
    while (status == STATUS_OK && at < used_end) {
        uint64_t left = used_end - at;
        struct slice part = slice_of(zeros, left < sizeof zeros ? (size_t)left : sizeof zeros);
        status = ops->write(r->tail, at, &part, 1);
        at += part.size;
    }
    r->torn_bytes = used_end - r->end.offset;
    return status == STATUS_OK ? ops->sync(r->tail) : status;
}

/* The scan stopped in the segment that is open as the tail, without an END record. */
static enum status judge_tail(struct recovery *r, struct segment_reader *reader)
{
    uint64_t used_end = 0;
    enum status status = look_behind(r, reader, &used_end);
    if (status == STATUS_OK && r->tail_header.sequence < r->last_sequence) {
        status = check_spare(r, r->tail_header.sequence + 1);
    }
    if (status == STATUS_OK) {
        status = check_hard_state(r, used_end > 0);
    }
    if (status == STATUS_OK && used_end > 0) {
        status = cut_tail(r, used_end);
    }
    return status;
}

enum status recover_log(struct recovery *r)
{
    CHECK_CMP(r->first_sequence, <=, r->last_sequence);
    r->end = (struct log_end){.next = 1};
    for (uint64_t sequence = r->first_sequence; sequence <= r->last_sequence; sequence++) {
        enum status status = open_segment(r, sequence, &r->tail, &r->tail_header);
        if (status != STATUS_OK) {
            return status;
        }
        struct segment_reader reader;
        segment_reader_init(&reader, r->tail, &r->tail_header);
        status = scan_records(r, &reader);
        bool is_tail = r->end.type != WAL_RECORD_END;
        if (status == STATUS_OK && is_tail) {
            status = judge_tail(r, &reader);
        }
        segment_reader_deinit(&reader);
        if (status != STATUS_OK || is_tail) {
            return status;
        }
        closed_segments_push(r->closed,
                             (struct closed_segment){sequence, r->tail_header.size_bytes});
        status = r->disk->ops->close(r->tail);
        r->tail = NULL;
        if (status != STATUS_OK) {
            return status;
        }
    }
    (void)damage(r, r->last_sequence, r->end.offset,
                 mem_strdup("the log goes on in the next segment, which is missing"));
    r->damage_sequence = r->last_sequence + 1;
    r->damage_offset = 0;
    return STATUS_CORRUPT;
}
