/* wal/snapshot_writer.c - a snapshot on its way to its name (rule S2). */
#include "base/buf.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/snapshot_format.h"

#include <zstd.h>

/* Fast rather than small: it runs beside the log. */
#define COMPRESSION_LEVEL 1
#define SYNC_EVERY_BYTES  (4u * MIB)

struct snapshot_writer {
    struct disk *disk;      /* borrowed */
    struct disk_file *file; /* owned; NULL once it is closed */
    struct snapshot_header header;
    uint64_t offset;
    uint64_t synced_bytes;
    uint32_t chunks;
    uint32_t file_crc;
    uint64_t state_bytes;
    bool has_footer;
    struct snapshot_reader *check; /* owned; what is read back */
    bool is_verified;
    bool is_finished;
    struct buf stored;
};

/* The next bytes of the file, which are under the footer's checksum. */
static enum status put_parts(struct snapshot_writer *w, const struct slice *parts, size_t count)
{
    enum status status = w->disk->ops->write(w->file, w->offset, parts, count);
    for (size_t i = 0; i < count; i++) {
        w->file_crc = crc32c(w->file_crc, parts[i].data, parts[i].size);
        w->offset += parts[i].size;
    }
    return status;
}

enum status snapshot_writer_create(struct disk *disk, struct uuid cluster, struct snapshot_id id,
                                   struct slice meta, struct snapshot_writer **writer)
{
    CHECK_CMP(id.index, >, 0);
    CHECK_CMP(meta.size, <=, LIMIT_SNAPSHOT_META_BYTES);
    struct snapshot_writer *w = mem_calloc(1, sizeof *w);
    w->disk = disk;
    w->header = (struct snapshot_header){.cluster = cluster,
                                         .id = id,
                                         .meta_bytes = (uint32_t)meta.size,
                                         .meta_crc = crc32c(0, meta.data, meta.size)};
    uint8_t header[SNAPSHOT_HEADER_BYTES];
    snapshot_header_encode(&w->header, header);
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(id.index, SNAPSHOT_TEMPORARY_SUFFIX, name);
    enum status status = disk->ops->open(disk, name, true, &w->file);
    if (status == STATUS_OK) {
        /* A crash may have left one behind, with anything in it. */
        status = disk->ops->truncate(w->file, 0);
    }
    if (status == STATUS_OK) {
        const struct slice parts[] = {slice_of(header, sizeof header), meta};
        status = put_parts(w, parts, 2);
    }
    if (status != STATUS_OK) {
        snapshot_writer_destroy(w);
        w = NULL;
    }
    *writer = w;
    return status;
}

enum status snapshot_writer_add(struct snapshot_writer *w, struct slice state)
{
    CHECK(w->file != NULL && !w->has_footer);
    CHECK_CMP(state.size, >, 0);
    CHECK_CMP(state.size, <=, SNAPSHOT_CHUNK_BYTES);
    CHECK_CMP(w->chunks, <, UINT32_MAX);
    buf_clear(&w->stored);
    size_t bound = ZSTD_compressBound(state.size);
    size_t size = ZSTD_compress(buf_reserve(&w->stored, bound), bound, state.data, state.size,
                                COMPRESSION_LEVEL);
    CHECK(!ZSTD_isError(size));
    w->stored.size = size;
    struct snapshot_chunk c = {
        .number = w->chunks, .stored_bytes = (uint32_t)size, .state_bytes = (uint32_t)state.size};
    uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES];
    snapshot_chunk_encode(&c, &w->header, buf_slice(&w->stored), head);
    const struct slice parts[] = {slice_of(head, sizeof head), buf_slice(&w->stored)};
    enum status status = put_parts(w, parts, 2);
    w->chunks++;
    w->state_bytes += state.size;
    if (status == STATUS_OK && w->offset - w->synced_bytes >= SYNC_EVERY_BYTES) {
        status = w->disk->ops->sync(w->file);
        w->synced_bytes = w->offset;
    }
    return status;
}

static enum status put_footer(struct snapshot_writer *w)
{
    struct snapshot_footer footer = {
        .chunks = w->chunks,
        .file_crc = w->file_crc,
        .state_bytes = w->state_bytes,
        .file_bytes = w->offset + SNAPSHOT_FOOTER_BYTES,
        .header_crc = w->header.crc,
    };
    uint8_t bytes[SNAPSHOT_FOOTER_BYTES];
    snapshot_footer_encode(&footer, bytes);
    struct slice part = slice_of(bytes, sizeof bytes);
    w->has_footer = true;
    enum status status = w->disk->ops->write(w->file, w->offset, &part, 1);
    return status == STATUS_OK ? w->disk->ops->sync(w->file) : status;
}

enum status snapshot_writer_verify(struct snapshot_writer *w, bool *done)
{
    CHECK(w->file != NULL);
    enum status status = w->has_footer ? STATUS_OK : put_footer(w);
    if (status == STATUS_OK && w->check == NULL) {
        char name[SNAPSHOT_NAME_SIZE];
        snapshot_name(w->header.id.index, SNAPSHOT_TEMPORARY_SUFFIX, name);
        status = snapshot_reader_of_file(w->file, name, &w->check, NULL);
    }
    if (status == STATUS_OK && !w->is_verified) {
        status = snapshot_reader_check(w->check, &w->is_verified, NULL);
    }
    *done = w->is_verified;
    return status;
}

enum status snapshot_writer_finish(struct snapshot_writer *w, bool verify)
{
    CHECK(w->file != NULL);
    char temporary[SNAPSHOT_NAME_SIZE];
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(w->header.id.index, SNAPSHOT_TEMPORARY_SUFFIX, temporary);
    snapshot_name(w->header.id.index, SNAPSHOT_SUFFIX, name);
    enum status status = w->has_footer ? STATUS_OK : put_footer(w);
    for (bool done = !verify; status == STATUS_OK && !done;) {
        status = snapshot_writer_verify(w, &done);
    }
    enum status closed = w->disk->ops->close(w->file);
    w->file = NULL;
    status = status == STATUS_OK ? closed : status;
    if (status == STATUS_OK) {
        status = w->disk->ops->rename(w->disk, temporary, name);
        w->is_finished = status == STATUS_OK;
    }
    return status == STATUS_OK ? w->disk->ops->sync_dir(w->disk) : status;
}

void snapshot_writer_destroy(struct snapshot_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->file != NULL) {
        (void)w->disk->ops->close(w->file);
    }
    if (!w->is_finished) {
        /* A leftover harms nobody: the next one of this name begins with its removal. */
        char name[SNAPSHOT_NAME_SIZE];
        snapshot_name(w->header.id.index, SNAPSHOT_TEMPORARY_SUFFIX, name);
        (void)w->disk->ops->unlink(w->disk, name);
    }
    snapshot_reader_destroy(w->check);
    buf_deinit(&w->stored);
    mem_free(w);
}
