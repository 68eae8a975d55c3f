/* wal/record_file.c - record_save and record_load of wal.h.
 *
 *   0  magic   8   "CNCLVREC"
 *   8  version 4   of this layout
 *  12  size    4   of the content
 *  16  crc     4   CRC-32C of bytes 0 to 15, the file's name, and the content
 *  20  content
 *
 * The name is in the checksum, so that two records that changed places are both refused. */
#include "wal/wal.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mem.h"

#include <string.h>

#define RECORD_FILE_MAGIC   "CNCLVREC"
#define RECORD_FILE_VERSION 1u
#define HEADER_BYTES        20u
#define CRC_OFFSET          16u

static uint32_t checksum(const uint8_t header[HEADER_BYTES], const char *name, struct slice content)
{
    uint32_t crc = crc32c(0, header, CRC_OFFSET);
    crc = crc32c(crc, name, strlen(name));
    return crc32c(crc, content.data, content.size);
}

static enum status write_file(struct disk *disk, const char *temporary, const struct slice *parts,
                              size_t count)
{
    struct disk_file *file = NULL;
    enum status status = disk->ops->open(disk, temporary, true, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk->ops->truncate(file, 0);
    if (status == STATUS_OK) {
        status = disk->ops->write(file, 0, parts, count);
    }
    if (status == STATUS_OK) {
        status = disk->ops->sync(file);
    }
    enum status closed = disk->ops->close(file);
    return status == STATUS_OK ? closed : status;
}

enum status record_save(struct disk *disk, const char *name, struct slice content)
{
    CHECK_CMP(content.size, <=, LIMIT_RECORD_FILE_BYTES);
    uint8_t header[HEADER_BYTES];
    memcpy(header, RECORD_FILE_MAGIC, 8);
    store_u32(header + 8, RECORD_FILE_VERSION);
    store_u32(header + 12, (uint32_t)content.size);
    store_u32(header + CRC_OFFSET, checksum(header, name, content));
    const struct slice parts[] = {slice_of(header, sizeof header), content};

    char *temporary = mem_printf("%s.tmp", name);
    enum status status = write_file(disk, temporary, parts, 2);
    if (status == STATUS_OK) {
        status = disk->ops->rename(disk, temporary, name);
    }
    if (status == STATUS_OK) {
        status = disk->ops->sync_dir(disk);
    }
    mem_free(temporary);
    return status;
}

static enum status damaged(const char *name, const char *reason, char **detail)
{
    *detail = mem_printf("%s: %s", name, reason);
    return STATUS_CORRUPT;
}

static enum status read_content(struct disk_file *file, const char *name, struct blob **content,
                                char **detail)
{
    const struct disk_ops *ops = file->disk->ops;
    uint8_t header[HEADER_BYTES];
    uint64_t file_bytes = 0;
    size_t got = 0;
    enum status status = ops->size(file, &file_bytes);
    if (status == STATUS_OK) {
        status = ops->read(file, 0, header, sizeof header, &got);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (got < sizeof header || memcmp(header, RECORD_FILE_MAGIC, 8) != 0) {
        return damaged(name, "no record file", detail);
    }
    uint32_t size = load_u32(header + 12);
    if (size > LIMIT_RECORD_FILE_BYTES || file_bytes != (uint64_t)HEADER_BYTES + size) {
        return damaged(name, "the size in the header is not that of the file", detail);
    }
    struct blob *blob = blob_create(size);
    status = ops->read(file, HEADER_BYTES, blob->data, size, &got);
    if (status == STATUS_OK &&
        (got < size || load_u32(header + CRC_OFFSET) != checksum(header, name, blob_slice(blob)))) {
        status = damaged(name, "the checksum is wrong", detail);
    }
    if (status == STATUS_OK && load_u32(header + 8) != RECORD_FILE_VERSION) {
        *detail = mem_printf("%s: format version %u is not known here", name, load_u32(header + 8));
        status = STATUS_UNSUPPORTED;
    }
    if (status != STATUS_OK) {
        blob_unref(blob);
        return status;
    }
    *content = blob;
    return STATUS_OK;
}

enum status record_load(struct disk *disk, const char *name, struct blob **content, char **detail)
{
    *content = NULL;
    *detail = NULL;
    /* The rename of a process that died may still be in memory only. */
    enum status status = disk->ops->sync_dir(disk);
    struct disk_file *file = NULL;
    if (status == STATUS_OK) {
        status = disk->ops->open(disk, name, false, &file);
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = read_content(file, name, content, detail);
    (void)disk->ops->close(file);
    return status;
}
