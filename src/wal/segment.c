#include "wal/segment.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define WINDOW_BYTES      (256u * KIB)
#define BUILD_CHUNK_BYTES MIB
#define ZEROS_BYTES       (64u * KIB)
#define ZEROS_PARTS       (BUILD_CHUNK_BYTES / ZEROS_BYTES)

static const uint8_t zeros[ZEROS_BYTES];

void segment_name(uint64_t sequence, char name[SEGMENT_NAME_SIZE])
{
    segment_name_as(sequence, SEGMENT_SUFFIX, name);
}

void segment_name_as(uint64_t sequence, const char *suffix, char name[SEGMENT_NAME_SIZE])
{
    CHECK_CMP(sequence, <=, 99999999);
    snprintf(name, SEGMENT_NAME_SIZE, "%08u%s", (unsigned)sequence, suffix);
}

bool segment_name_parse_as(const char *name, const char *suffix, uint64_t *sequence)
{
    *sequence = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        *sequence = *sequence * 10 + (uint64_t)(name[i] - '0');
    }
    return strcmp(name + 8, suffix) == 0;
}

enum status segment_build_begin(struct segment_builder *b, struct disk *disk,
                                const struct segment_header *header)
{
    CHECK(b->file == NULL);
    CHECK_CMP(header->size_bytes % WAL_BLOCK_BYTES, ==, 0);
    *b = (struct segment_builder){.header = *header, .source = SEGMENT_TEMPORARY};
    enum status status = disk->ops->open(disk, SEGMENT_TEMPORARY, true, &b->file);
    if (status == STATUS_OK) {
        /* A crash may have left one behind, with anything in it. */
        status = disk->ops->truncate(b->file, 0);
    }
    return status;
}

enum status segment_build_recycle(struct segment_builder *b, struct disk *disk, const char *name,
                                  const struct segment_header *header)
{
    CHECK(b->file == NULL && header->is_recycled);
    *b = (struct segment_builder){.header = *header};
    memcpy(b->source, name, strlen(name));
    return disk->ops->open(disk, name, false, &b->file);
}

enum status segment_build_fill(struct segment_builder *b)
{
    CHECK(b->file != NULL && !b->ready);
    uint8_t block[WAL_BLOCK_BYTES];
    struct slice parts[ZEROS_PARTS + 1];
    size_t count = 0;
    uint64_t offset = b->filled_bytes;
    if (offset == 0) {
        segment_header_encode(&b->header, block);
        parts[count++] = slice_of(block, sizeof block);
        b->filled_bytes = b->header.is_recycled ? b->header.size_bytes : sizeof block;
    }
    for (unsigned i = 0; i < ZEROS_PARTS && b->filled_bytes < b->header.size_bytes; i++) {
        uint64_t left = b->header.size_bytes - b->filled_bytes;
        parts[count] = slice_of(zeros, left < ZEROS_BYTES ? (size_t)left : ZEROS_BYTES);
        b->filled_bytes += parts[count++].size;
    }
    enum status status = b->file->disk->ops->write(b->file, offset, parts, count);
    return status == STATUS_OK ? b->file->disk->ops->sync(b->file) : status;
}

enum status segment_build_records(struct segment_builder *b, struct disk_file *from, uint64_t end)
{
    CHECK(b->file != NULL && !b->ready);
    CHECK_CMP(end, <=, b->header.size_bytes);
    const struct disk_ops *ops = b->file->disk->ops;
    uint8_t *bytes = mem_alloc(BUILD_CHUNK_BYTES);
    enum status status = STATUS_OK;
    for (uint64_t at = WAL_BLOCK_BYTES; status == STATUS_OK && at < end;) {
        uint64_t left = end - at;
        size_t got = 0;
        status = ops->read(from, at, bytes,
                           left < BUILD_CHUNK_BYTES ? (size_t)left : BUILD_CHUNK_BYTES, &got);
        if (status == STATUS_OK && got == 0) {
            status = STATUS_CORRUPT;
        }
        struct slice part = slice_of(bytes, got);
        status = status == STATUS_OK ? ops->write(b->file, at, &part, 1) : status;
        at += got;
    }
    mem_free(bytes);
    return status == STATUS_OK ? ops->sync(b->file) : status;
}

enum status segment_build_name(struct segment_builder *b)
{
    CHECK(b->file != NULL && !b->ready);
    CHECK_CMP(b->filled_bytes, ==, b->header.size_bytes);
    struct disk *disk = b->file->disk;
    char name[SEGMENT_NAME_SIZE];
    segment_name(b->header.sequence, name);
    enum status status = disk->ops->rename(disk, b->source, name);
    if (status == STATUS_OK) {
        status = disk->ops->sync_dir(disk);
    }
    b->ready = status == STATUS_OK;
    return status;
}

enum status segment_build_step(struct segment_builder *b)
{
    enum status status = segment_build_fill(b);
    bool is_full = b->filled_bytes == b->header.size_bytes;
    return status == STATUS_OK && is_full ? segment_build_name(b) : status;
}

struct disk_file *segment_build_take(struct segment_builder *b)
{
    CHECK(b->ready);
    struct disk_file *file = b->file;
    *b = (struct segment_builder){0};
    return file;
}

void segment_build_drop(struct segment_builder *b)
{
    if (b->file != NULL) {
        (void)b->file->disk->ops->close(b->file);
    }
    *b = (struct segment_builder){0};
}

void segment_reader_init(struct segment_reader *r, struct disk_file *file,
                         const struct segment_header *header)
{
    *r = (struct segment_reader){.file = file, .header = *header};
}

void segment_reader_deinit(struct segment_reader *r)
{
    buf_deinit(&r->window);
    *r = (struct segment_reader){0};
}

enum status segment_read(struct segment_reader *r, uint64_t offset, size_t size,
                         const uint8_t **bytes)
{
    uint64_t segment_bytes = r->header.size_bytes;
    if (offset > segment_bytes || size > segment_bytes - offset) {
        return STATUS_CORRUPT;
    }
    bool inside = offset >= r->window_offset &&
                  offset - r->window_offset + size <= r->window.size && r->window.size > 0;
    if (!inside) {
        uint64_t left = segment_bytes - offset;
        size_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
        wanted = wanted > left ? (size_t)left : wanted;
        buf_clear(&r->window);
        uint8_t *room = buf_reserve(&r->window, wanted);
        size_t got = 0;
        enum status status = r->file->disk->ops->read(r->file, offset, room, wanted, &got);
        if (status != STATUS_OK) {
            return status;
        }
        if (got < wanted) {
            return STATUS_CORRUPT;
        }
        r->window_offset = offset;
        r->window.size = wanted;
    }
    *bytes = r->window.data + (offset - r->window_offset);
    return STATUS_OK;
}

enum status segment_read_record(struct segment_reader *r, uint64_t offset, struct wal_record *rec,
                                struct slice *payload)
{
    const uint8_t *header = NULL;
    *rec = (struct wal_record){.sequence = r->header.sequence, .offset = offset};
    enum status status = segment_read(r, offset, WAL_RECORD_HEADER_BYTES, &header);
    if (status != STATUS_OK) {
        return status;
    }
    if (!record_decode_header(header, r->header.log_id, r->header.size_bytes, rec)) {
        return STATUS_CORRUPT;
    }
    status = segment_read(r, offset, WAL_RECORD_HEADER_BYTES + (size_t)rec->length, &header);
    if (status != STATUS_OK) {
        return status;
    }
    *payload = slice_of(header + WAL_RECORD_HEADER_BYTES, rec->length);
    return record_crc_is_right(rec, header, *payload) ? STATUS_OK : STATUS_CORRUPT;
}
