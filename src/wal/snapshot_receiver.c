/* wal/snapshot_receiver.c - a snapshot file that comes in pieces, resumably (rule S6).
 *
 * The bytes go to `snapshot-<index>.snap.part`, and the small record `receiving` says of which file
 * they are and how many of them are durable: it is written after their sync, so that a later try
 * goes on from there without reading everything again. Rot in them is found at the end. One file is
 * received at a time; another one makes what came of the first worthless. */
#include "base/buf.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/mem.h"
#include "wal/snapshot_format.h"
#include "wal/wal_format.h"

#include <string.h>

#define SYNC_EVERY_BYTES (8u * MIB)
#define PROGRESS_BYTES   52u

struct snapshot_receiver {
    struct disk *disk;      /* borrowed */
    struct disk_file *file; /* owned; NULL once it is closed */
    struct snapshot_file wanted;
    uint64_t offset;
    uint64_t synced_bytes;         /* and `receiving` says so */
    struct snapshot_reader *check; /* owned; of what came, once all of it did */
    bool is_checked;
    bool is_failed; /* nobody knows what the file holds behind synced_bytes */
};

static void encode_progress(const struct snapshot_file *file, uint64_t offset,
                            uint8_t bytes[PROGRESS_BYTES])
{
    memcpy(bytes, file->cluster.bytes, sizeof file->cluster.bytes);
    store_u64(bytes + 16, file->id.index);
    store_u64(bytes + 24, file->id.term);
    store_u64(bytes + 32, file->size_bytes);
    store_u32(bytes + 40, file->crc);
    store_u64(bytes + 44, offset);
}

/* Whole blocks: the one that the next write goes to may be lost with what it holds (rule P6b). */
static enum status save_progress(struct snapshot_receiver *r)
{
    uint8_t bytes[PROGRESS_BYTES];
    encode_progress(&r->wanted, r->offset / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES, bytes);
    enum status status =
        record_save(r->disk, SNAPSHOT_PROGRESS_FILE, slice_of(bytes, sizeof bytes));
    if (status == STATUS_OK) {
        r->synced_bytes = r->offset;
    }
    return status;
}

/* How much of the wanted file came earlier; 0 when nothing, or nothing that can be relied on. */
static enum status load_progress(struct snapshot_receiver *r, uint64_t *offset)
{
    *offset = 0;
    struct blob *content = NULL;
    char *detail = NULL;
    enum status status = record_load(r->disk, SNAPSHOT_PROGRESS_FILE, &content, &detail);
    mem_free(detail);
    if (status == STATUS_IO) {
        return status;
    }
    if (status == STATUS_OK && content->size == PROGRESS_BYTES) {
        uint64_t came = load_u64(content->data + 44);
        uint8_t expected[PROGRESS_BYTES];
        encode_progress(&r->wanted, came, expected);
        bool is_same = memcmp(expected, content->data, sizeof expected) == 0;
        *offset = is_same && came <= r->wanted.size_bytes ? came : 0;
    }
    blob_unref(content);
    return STATUS_OK;
}

/* Forget what came of any file. */
static enum status begin_anew(struct snapshot_receiver *r)
{
    enum status status = r->disk->ops->truncate(r->file, 0);
    return status == STATUS_OK ? save_progress(r) : status;
}

enum status snapshot_receiver_create(struct disk *disk, const struct snapshot_file *file,
                                     struct snapshot_receiver **receiver, uint64_t *offset)
{
    CHECK_CMP(file->id.index, >, 0);
    struct snapshot_receiver *r = mem_calloc(1, sizeof *r);
    r->disk = disk;
    r->wanted = *file;
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(file->id.index, SNAPSHOT_PART_SUFFIX, name);
    uint64_t came = 0;
    uint64_t size = 0;
    enum status status = load_progress(r, &came);
    if (status == STATUS_OK) {
        status = disk->ops->open(disk, name, true, &r->file);
    }
    if (status == STATUS_OK) {
        status = disk->ops->size(r->file, &size);
    }
    if (status == STATUS_OK && (came == 0 || size < came)) {
        status = begin_anew(r);
    } else if (status == STATUS_OK) {
        r->offset = came;
        r->synced_bytes = came;
    }
    *offset = r->offset;
    if (status != STATUS_OK) {
        r->is_failed = true;
        snapshot_receiver_destroy(r);
        r = NULL;
    }
    *receiver = r;
    return status;
}

/* What came is durable, and a later try knows. */
static enum status keep_progress(struct snapshot_receiver *r)
{
    enum status status = r->disk->ops->sync(r->file);
    return status == STATUS_OK ? save_progress(r) : status;
}

enum status snapshot_receiver_add(struct snapshot_receiver *r, uint64_t offset, struct slice bytes)
{
    CHECK(r->file != NULL);
    if (r->is_failed) {
        return STATUS_IO;
    }
    if (offset != r->offset || bytes.size > r->wanted.size_bytes - offset) {
        return STATUS_INVALID;
    }
    enum status status = r->disk->ops->write(r->file, offset, &bytes, 1);
    if (status == STATUS_OK) {
        r->offset += bytes.size;
    }
    if (status == STATUS_OK && r->offset - r->synced_bytes >= SYNC_EVERY_BYTES) {
        status = keep_progress(r);
    }
    r->is_failed = status != STATUS_OK;
    return status;
}

/* What came is durable, whole, and what was announced, as far as the ends of the file tell. */
static enum status begin_check(struct snapshot_receiver *r, const char *name, char **detail)
{
    enum status status = r->disk->ops->sync(r->file);
    if (status == STATUS_OK) {
        status = snapshot_reader_of_file(r->file, name, &r->check, detail);
    }
    if (status != STATUS_OK) {
        return status == STATUS_UNSUPPORTED ? STATUS_CORRUPT : status;
    }
    struct snapshot_file came = snapshot_reader_file(r->check);
    if (!uuid_equal(came.cluster, r->wanted.cluster) || came.id.index != r->wanted.id.index ||
        came.id.term != r->wanted.id.term || came.size_bytes != r->wanted.size_bytes ||
        came.crc != r->wanted.crc) {
        if (detail != NULL) {
            *detail = mem_printf("%s: not the snapshot that was announced", name);
        }
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

static void close_part(struct snapshot_receiver *r)
{
    snapshot_reader_destroy(r->check);
    r->check = NULL;
    (void)r->disk->ops->close(r->file);
    r->file = NULL;
}

enum status snapshot_receiver_check(struct snapshot_receiver *r, bool *done, char **detail)
{
    *done = false;
    if (detail != NULL) {
        *detail = NULL;
    }
    if (r->is_failed || r->offset != r->wanted.size_bytes) {
        return r->is_failed ? STATUS_IO : STATUS_INVALID;
    }
    CHECK(r->file != NULL);
    char part[SNAPSHOT_NAME_SIZE];
    snapshot_name(r->wanted.id.index, SNAPSHOT_PART_SUFFIX, part);
    enum status status = r->check == NULL ? begin_check(r, part, detail) : STATUS_OK;
    if (status == STATUS_OK && !r->is_checked) {
        status = snapshot_reader_check(r->check, &r->is_checked, detail);
    }
    if (status == STATUS_CORRUPT) {
        /* Both are gone, or worthless to a later try. */
        close_part(r);
        (void)r->disk->ops->unlink(r->disk, part);
        (void)r->disk->ops->unlink(r->disk, SNAPSHOT_PROGRESS_FILE);
    }
    r->is_failed = status != STATUS_OK;
    *done = r->is_checked;
    return status;
}

enum status snapshot_receiver_finish(struct snapshot_receiver *r, char **detail)
{
    enum status status = STATUS_OK;
    for (bool done = false; status == STATUS_OK && !done;) {
        status = snapshot_receiver_check(r, &done, detail);
    }
    if (status != STATUS_OK) {
        return status;
    }
    close_part(r);
    char part[SNAPSHOT_NAME_SIZE];
    char name[SNAPSHOT_NAME_SIZE];
    snapshot_name(r->wanted.id.index, SNAPSHOT_PART_SUFFIX, part);
    snapshot_name(r->wanted.id.index, SNAPSHOT_SUFFIX, name);
    status = r->disk->ops->rename(r->disk, part, name);
    if (status == STATUS_OK) {
        (void)r->disk->ops->unlink(r->disk, SNAPSHOT_PROGRESS_FILE);
        status = r->disk->ops->sync_dir(r->disk);
    }
    return status;
}

void snapshot_receiver_destroy(struct snapshot_receiver *r)
{
    if (r == NULL) {
        return;
    }
    if (r->file != NULL) {
        if (!r->is_failed && r->offset > r->synced_bytes) {
            /* Should it fail, the later try begins where the last sync was. */
            (void)!keep_progress(r);
        }
        close_part(r);
    }
    mem_free(r);
}
