/* wal/wal_scrub.c - rule P13: closed segments are read again while nobody asks for them. */
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/wal_internal.h"

#define STEP_BYTES MIB

void wal_close_scrub(struct wal *w)
{
    segment_reader_deinit(&w->scrub);
    if (w->scrub_file != NULL) {
        (void)w->disk->ops->close(w->scrub_file);
        w->scrub_file = NULL;
    }
    w->scrub_knows_end = false;
}

static enum status damaged(const struct wal *w, uint64_t offset, const char *reason, char **detail)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(w->scrub.header.sequence, name);
    if (detail != NULL) {
        *detail = mem_printf("%s, offset %" PRIu64 ": %s", name, offset, reason);
    }
    return STATUS_CORRUPT;
}

/* Open a closed segment and check its header. */
static enum status begin_segment(struct wal *w, struct closed_segment segment, char **detail)
{
    struct log_end before = w->scrub_end;
    bool knows_end = w->scrub_knows_end;
    wal_close_scrub(w);
    struct segment_header expected = {
        .log_id = w->log_id, .sequence = segment.sequence, .size_bytes = segment.size_bytes};
    char name[SEGMENT_NAME_SIZE];
    segment_name(segment.sequence, name);
    enum status status = w->disk->ops->open(w->disk, name, false, &w->scrub_file);
    segment_reader_init(&w->scrub, w->scrub_file, &expected);
    if (status == STATUS_NOT_FOUND) {
        return damaged(w, 0, "the segment is missing", detail);
    }
    const uint8_t *block = NULL;
    if (status == STATUS_OK) {
        status = segment_read(&w->scrub, 0, WAL_BLOCK_BYTES, &block);
    }
    if (status == STATUS_OK) {
        struct segment_header header;
        uint32_t version = 0;
        status = segment_header_decode(block, &header, &version);
        bool is_right = status == STATUS_OK && uuid_equal(header.log_id, w->log_id) &&
                        header.sequence == segment.sequence &&
                        header.size_bytes == segment.size_bytes;
        status = is_right ? STATUS_OK : STATUS_CORRUPT;
    }
    if (status == STATUS_CORRUPT) {
        return damaged(w, 0, "the header block is damaged", detail);
    }
    w->scrub_end = before;
    w->scrub_knows_end = knows_end;
    w->scrub_end.offset = WAL_BLOCK_BYTES;
    w->scrub_end.type = 0;
    return status;
}

static enum status scrub_record(struct wal *w, char **detail)
{
    struct log_end *end = &w->scrub_end;
    struct wal_record rec;
    struct slice payload;
    enum status status = segment_read_record(&w->scrub, end->offset, &rec, &payload);
    if (status == STATUS_CORRUPT) {
        return damaged(w, end->offset, "the record is damaged", detail);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (w->scrub_knows_end && (rec.number != end->number + 1 || rec.previous_crc != end->crc)) {
        return damaged(w, end->offset, "the record does not follow the one before", detail);
    }
    w->scrub_knows_end = true;
    end->number = rec.number;
    end->crc = rec.crc;
    end->type = rec.type;
    end->offset += record_bytes(rec.length);
    return STATUS_OK;
}

/* The closed segment that comes after the one that was read last; false when there is none. */
static bool next_segment(const struct wal *w, struct closed_segment *segment)
{
    uint64_t last = w->scrub_file != NULL ? w->scrub.header.sequence : 0;
    for (uint32_t i = 0; i < w->closed.count; i++) {
        if (w->closed.items[i].sequence > last) {
            *segment = w->closed.items[i];
            return true;
        }
    }
    return false;
}

enum status wal_scrub(struct wal *w, bool *done, char **detail)
{
    *done = false;
    if (detail != NULL) {
        *detail = NULL;
    }
    if (w->poisoned) {
        return STATUS_IO;
    }
    enum status status = STATUS_OK;
    if (w->scrub_file == NULL || w->scrub_end.type == WAL_RECORD_END) {
        struct closed_segment segment;
        if (!next_segment(w, &segment)) {
            wal_close_scrub(w);
            *done = true;
            return STATUS_OK;
        }
        status = begin_segment(w, segment, detail);
    }
    uint64_t began = w->scrub_end.offset;
    while (status == STATUS_OK && w->scrub_end.type != WAL_RECORD_END &&
           w->scrub_end.offset - began < STEP_BYTES) {
        status = scrub_record(w, detail);
    }
    if (status != STATUS_OK) {
        wal_close_scrub(w);
    }
    return status;
}
