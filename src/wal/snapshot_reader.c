/* wal/snapshot_reader.c - snapshot files read back and checked, as states or as plain bytes. */
#include "base/buf.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/snapshot_format.h"

#include <stdio.h>
#include <string.h>
#include <zstd.h>

#define CHECK_STEP_CHUNKS 4u

struct snapshot_reader {
    struct disk_file *file; /* owned when owns_file */
    bool owns_file;
    char *name; /* owned, for texts */
    struct snapshot_header header;
    struct snapshot_footer footer;
    struct buf meta;
    /* Where the next chunk stands, and what came so far. */
    uint64_t offset;
    uint32_t chunks;
    uint32_t file_crc;
    uint64_t state_bytes;
    struct buf stored; /* head and stored bytes of the chunk read last */
    struct buf state;
};

static enum status damaged(const struct snapshot_reader *r, const char *reason, char **detail)
{
    if (detail != NULL) {
        *detail = mem_printf("%s: %s", r->name, reason);
    }
    return STATUS_CORRUPT;
}

/* All of `size` bytes; CORRUPT when the file ends before. */
static enum status read_fully(struct snapshot_reader *r, uint64_t offset, void *bytes, size_t size)
{
    size_t got = 0;
    enum status status = r->file->disk->ops->read(r->file, offset, bytes, size, &got);
    return status == STATUS_OK && got < size ? STATUS_CORRUPT : status;
}

static enum status read_header(struct snapshot_reader *r, char **detail)
{
    uint8_t bytes[SNAPSHOT_HEADER_BYTES] = {0};
    uint32_t version = 0;
    enum status status = read_fully(r, 0, bytes, sizeof bytes);
    if (status == STATUS_OK) {
        status = snapshot_header_decode(bytes, &r->header, &version);
    }
    if (status == STATUS_UNSUPPORTED && detail != NULL) {
        *detail = mem_printf("%s: format version %u is not known here", r->name, version);
    }
    if (status == STATUS_CORRUPT) {
        return damaged(r, "the header is damaged", detail);
    }
    if (status != STATUS_OK) {
        return status;
    }
    void *meta = buf_reserve(&r->meta, r->header.meta_bytes + 1);
    status = read_fully(r, sizeof bytes, meta, r->header.meta_bytes);
    r->meta.size = r->header.meta_bytes;
    if (status == STATUS_CORRUPT ||
        (status == STATUS_OK && crc32c(0, r->meta.data, r->meta.size) != r->header.meta_crc)) {
        return damaged(r, "the description of the members is damaged", detail);
    }
    r->file_crc = crc32c(0, bytes, sizeof bytes);
    r->file_crc = crc32c(r->file_crc, r->meta.data, r->meta.size);
    r->offset = sizeof bytes + r->meta.size;
    return status;
}

static enum status read_footer(struct snapshot_reader *r, char **detail)
{
    uint64_t size = 0;
    enum status status = r->file->disk->ops->size(r->file, &size);
    if (status != STATUS_OK) {
        return status;
    }
    if (size < r->offset + SNAPSHOT_FOOTER_BYTES) {
        return damaged(r, "the file is cut short", detail);
    }
    uint8_t bytes[SNAPSHOT_FOOTER_BYTES];
    status = read_fully(r, size - sizeof bytes, bytes, sizeof bytes);
    if (status == STATUS_CORRUPT ||
        (status == STATUS_OK &&
         (!snapshot_footer_decode(bytes, &r->footer) || r->footer.file_bytes != size ||
          r->footer.header_crc != r->header.crc))) {
        return damaged(r, "the footer is damaged or the file is cut short", detail);
    }
    return status;
}

enum status snapshot_reader_of_file(struct disk_file *file, const char *name,
                                    struct snapshot_reader **reader, char **detail)
{
    struct snapshot_reader *r = mem_calloc(1, sizeof *r);
    r->file = file;
    r->name = mem_strdup(name);
    *reader = NULL;
    if (detail != NULL) {
        *detail = NULL;
    }
    enum status status = read_header(r, detail);
    if (status == STATUS_OK) {
        status = read_footer(r, detail);
    }
    if (status != STATUS_OK) {
        snapshot_reader_destroy(r);
        return status;
    }
    *reader = r;
    return STATUS_OK;
}

enum status snapshot_reader_open_file(struct disk *disk, const char *name,
                                      struct snapshot_reader **reader, char **detail)
{
    struct disk_file *file = NULL;
    *reader = NULL;
    if (detail != NULL) {
        *detail = NULL;
    }
    enum status status = disk->ops->open(disk, name, false, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = snapshot_reader_of_file(file, name, reader, detail);
    if (status == STATUS_OK) {
        (*reader)->owns_file = true;
    } else {
        (void)disk->ops->close(file);
    }
    return status;
}

enum status snapshot_reader_open(struct disk *disk, struct uuid cluster, struct snapshot_id id,
                                 struct snapshot_reader **reader, char **detail)
{
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(id.index, SNAPSHOT_SUFFIX, name);
    enum status status = snapshot_reader_open_file(disk, name, reader, detail);
    if (status != STATUS_OK) {
        return status;
    }
    struct snapshot_reader *r = *reader;
    if (r->header.id.index != id.index || r->header.id.term != id.term) {
        status = damaged(r, "the file holds another snapshot than its name says", detail);
    } else if (!uuid_is_zero(cluster) && !uuid_equal(cluster, r->header.cluster)) {
        status = damaged(r, "the snapshot belongs to another cluster", detail);
    }
    if (status != STATUS_OK) {
        snapshot_reader_destroy(r);
        *reader = NULL;
    }
    return status;
}

struct snapshot_id snapshot_reader_id(const struct snapshot_reader *r)
{
    return r->header.id;
}

struct uuid snapshot_reader_cluster(const struct snapshot_reader *r)
{
    return r->header.cluster;
}

struct slice snapshot_reader_meta(const struct snapshot_reader *r)
{
    return buf_slice(&r->meta);
}

uint64_t snapshot_reader_state_bytes(const struct snapshot_reader *r)
{
    return r->footer.state_bytes;
}

struct snapshot_file snapshot_reader_file(const struct snapshot_reader *r)
{
    return (struct snapshot_file){.cluster = r->header.cluster,
                                  .id = r->header.id,
                                  .size_bytes = r->footer.file_bytes,
                                  .crc = r->footer.file_crc};
}

/* Head and stored bytes of the next chunk into r->stored, checked. */
static enum status read_chunk(struct snapshot_reader *r, uint64_t end, struct snapshot_chunk *c)
{
    buf_clear(&r->stored);
    uint8_t *bytes =
        buf_reserve(&r->stored, SNAPSHOT_CHUNK_HEAD_BYTES + 2 * (size_t)SNAPSHOT_CHUNK_BYTES);
    if (end - r->offset < SNAPSHOT_CHUNK_HEAD_BYTES) {
        return STATUS_CORRUPT;
    }
    enum status status = read_fully(r, r->offset, bytes, SNAPSHOT_CHUNK_HEAD_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    if (!snapshot_chunk_decode(bytes, r->chunks, c) ||
        c->stored_bytes > end - r->offset - SNAPSHOT_CHUNK_HEAD_BYTES) {
        return STATUS_CORRUPT;
    }
    uint8_t *stored = bytes + SNAPSHOT_CHUNK_HEAD_BYTES;
    status = read_fully(r, r->offset + SNAPSHOT_CHUNK_HEAD_BYTES, stored, c->stored_bytes);
    if (status == STATUS_OK &&
        !snapshot_chunk_crc_is_right(c, &r->header, bytes, slice_of(stored, c->stored_bytes))) {
        return STATUS_CORRUPT;
    }
    r->stored.size = SNAPSHOT_CHUNK_HEAD_BYTES + c->stored_bytes;
    return status;
}

/* The next chunk into r->stored. OK; NOT_FOUND at the end; CORRUPT; IO. */
static enum status next_chunk(struct snapshot_reader *r, struct snapshot_chunk *c)
{
    uint64_t end = r->footer.file_bytes - SNAPSHOT_FOOTER_BYTES;
    if (r->offset == end) {
        bool agrees = r->chunks == r->footer.chunks && r->file_crc == r->footer.file_crc &&
                      r->state_bytes == r->footer.state_bytes;
        return agrees ? STATUS_NOT_FOUND : STATUS_CORRUPT;
    }
    enum status status = read_chunk(r, end, c);
    if (status != STATUS_OK) {
        return status;
    }
    r->file_crc = crc32c(r->file_crc, r->stored.data, r->stored.size);
    r->offset += r->stored.size;
    r->chunks++;
    r->state_bytes += c->state_bytes;
    return STATUS_OK;
}

enum status snapshot_reader_next(struct snapshot_reader *r, struct slice *state)
{
    struct snapshot_chunk c;
    *state = slice_of(NULL, 0);
    enum status status = next_chunk(r, &c);
    if (status != STATUS_OK) {
        return status;
    }
    buf_clear(&r->state);
    size_t size = ZSTD_decompress(buf_reserve(&r->state, SNAPSHOT_CHUNK_BYTES), c.state_bytes,
                                  r->stored.data + SNAPSHOT_CHUNK_HEAD_BYTES, c.stored_bytes);
    if (ZSTD_isError(size) || size != c.state_bytes) {
        return STATUS_CORRUPT;
    }
    r->state.size = size;
    *state = buf_slice(&r->state);
    return STATUS_OK;
}

/* What a check says that came so far. */
static enum status checked(const struct snapshot_reader *r, enum status status, char **detail)
{
    if (status == STATUS_CORRUPT && detail != NULL) {
        *detail = mem_printf("%s, offset %" PRIu64 ": the state is damaged", r->name, r->offset);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status snapshot_reader_check(struct snapshot_reader *r, bool *done, char **detail)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; status == STATUS_OK && i < CHECK_STEP_CHUNKS; i++) {
        struct slice state;
        status = snapshot_reader_next(r, &state);
    }
    *done = status == STATUS_NOT_FOUND;
    return checked(r, status, detail);
}

enum status snapshot_reader_check_stored(struct snapshot_reader *r, char **detail)
{
    struct snapshot_chunk c;
    enum status status = next_chunk(r, &c);
    while (status == STATUS_OK) {
        status = next_chunk(r, &c);
    }
    return checked(r, status, detail);
}

void snapshot_reader_destroy(struct snapshot_reader *r)
{
    if (r == NULL) {
        return;
    }
    if (r->owns_file) {
        (void)r->file->disk->ops->close(r->file);
    }
    buf_deinit(&r->meta);
    buf_deinit(&r->stored);
    buf_deinit(&r->state);
    mem_free(r->name);
    mem_free(r);
}

enum status snapshot_file_describe(struct disk *disk, struct snapshot_id id,
                                   struct snapshot_file *file)
{
    struct snapshot_reader *r = NULL;
    enum status status = snapshot_reader_open(disk, (struct uuid){{0}}, id, &r, NULL);
    if (status == STATUS_OK) {
        *file = snapshot_reader_file(r);
        snapshot_reader_destroy(r);
    }
    return status;
}

enum status snapshot_file_read(struct disk *disk, struct snapshot_id id, uint64_t offset,
                               void *bytes, size_t size, size_t *got)
{
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(id.index, SNAPSHOT_SUFFIX, name);
    struct disk_file *file = NULL;
    *got = 0;
    enum status status = disk->ops->open(disk, name, false, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk->ops->read(file, offset, bytes, size, got);
    (void)disk->ops->close(file);
    return status;
}
