#include "wal/hard_state.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "wal/wal_format.h"

#include <string.h>

#define HARD_STATE_TEMPORARY "hardstate.tmp"
#define HARD_STATE_MAGIC     "CNCLVHRD"
#define SLOTS                2u
#define COPIES               2u
#define SLOT_BYTES           (COPIES * WAL_BLOCK_BYTES)
#define FILE_BYTES           (SLOTS * SLOT_BYTES)
#define CRC_OFFSET           68u

static void encode(const struct hard_state *h, uint8_t block[WAL_BLOCK_BYTES])
{
    memset(block, 0, WAL_BLOCK_BYTES);
    memcpy(block, HARD_STATE_MAGIC, 8);
    store_u32(block + 8, WAL_FORMAT_VERSION);
    memcpy(block + 16, h->log_id.bytes, sizeof h->log_id.bytes);
    store_u64(block + 32, h->version);
    store_u64(block + 40, h->term);
    store_u64(block + 48, h->vote);
    store_u64(block + 56, h->record_number);
    store_u32(block + 64, h->lease_promise_ms);
    store_u32(block + CRC_OFFSET, crc32c(0, block, CRC_OFFSET));
}

static enum status write_slot(struct hard_state *h)
{
    uint8_t block[WAL_BLOCK_BYTES];
    encode(h, block);
    const struct slice copies[COPIES] = {slice_of(block, sizeof block),
                                         slice_of(block, sizeof block)};
    return h->file->disk->ops->write(h->file, h->version % SLOTS * SLOT_BYTES, copies, COPIES);
}

enum status hard_state_save(struct hard_state *h)
{
    CHECK_CMP(h->version, <, UINT64_MAX);
    h->version++;
    enum status status = write_slot(h);
    return status == STATUS_OK ? h->file->disk->ops->sync(h->file) : status;
}

void hard_state_close(struct hard_state *h)
{
    if (h->file != NULL) {
        /* Everything that counts was synced, so that an error here says nothing about it. */
        (void)h->file->disk->ops->close(h->file);
        h->file = NULL;
    }
}

enum status hard_state_create(struct hard_state *h, struct disk *disk, struct uuid log_id)
{
    *h = (struct hard_state){.log_id = log_id};
    enum status status = disk->ops->open(disk, HARD_STATE_TEMPORARY, true, &h->file);
    for (unsigned slot = 0; status == STATUS_OK && slot < SLOTS; slot++) {
        h->version++;
        status = write_slot(h);
    }
    if (status == STATUS_OK) {
        status = disk->ops->sync(h->file);
    }
    if (status == STATUS_OK) {
        status = disk->ops->rename(disk, HARD_STATE_TEMPORARY, HARD_STATE_FILE);
    }
    if (status == STATUS_OK) {
        status = disk->ops->sync_dir(disk);
    }
    if (status != STATUS_OK) {
        hard_state_close(h);
    }
    return status;
}

/* OK, CORRUPT, or UNSUPPORTED for a sound block of a newer version. */
static enum status decode(const uint8_t block[WAL_BLOCK_BYTES], struct uuid log_id,
                          struct hard_state *found)
{
    if (memcmp(block, HARD_STATE_MAGIC, 8) != 0 ||
        load_u32(block + CRC_OFFSET) != crc32c(0, block, CRC_OFFSET)) {
        return STATUS_CORRUPT;
    }
    if (load_u32(block + 8) != WAL_FORMAT_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    memcpy(found->log_id.bytes, block + 16, sizeof found->log_id.bytes);
    found->version = load_u64(block + 32);
    found->term = load_u64(block + 40);
    found->vote = load_u64(block + 48);
    found->record_number = load_u64(block + 56);
    found->lease_promise_ms = load_u32(block + 64);
    bool is_possible = found->version > 0 && found->version < UINT64_MAX;
    return is_possible && uuid_equal(found->log_id, log_id) ? STATUS_OK : STATUS_CORRUPT;
}

/* Take the newest good copy over into *h and count the good copies of that version. */
static enum status choose(struct hard_state *h, const uint8_t bytes[FILE_BYTES],
                          unsigned *good_copies)
{
    *good_copies = 0;
    for (unsigned i = 0; i < SLOTS * COPIES; i++) {
        struct hard_state found = {.file = h->file};
        enum status status = decode(bytes + i * WAL_BLOCK_BYTES, h->log_id, &found);
        if (status == STATUS_UNSUPPORTED) {
            return status;
        }
        if (status != STATUS_OK || found.version % SLOTS != i / COPIES) {
            continue;
        }
        if (found.version > h->version) {
            *h = found;
            *good_copies = 0;
        }
        if (found.version == h->version) {
            ++*good_copies;
        }
    }
    return *good_copies > 0 ? STATUS_OK : STATUS_CORRUPT;
}

enum status hard_state_open(struct hard_state *h, struct disk *disk, struct uuid log_id,
                            char **detail)
{
    *h = (struct hard_state){.log_id = log_id};
    enum status status = disk->ops->open(disk, HARD_STATE_FILE, false, &h->file);
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t bytes[FILE_BYTES] = {0};
    unsigned good_copies = 0;
    size_t got = 0;
    status = disk->ops->read(h->file, 0, bytes, sizeof bytes, &got);
    if (status == STATUS_OK) {
        status = choose(h, bytes, &good_copies);
    }
    if (status == STATUS_CORRUPT) {
        *detail = mem_printf("%s: no copy of term and vote is good in either slot, or they are of "
                             "another log",
                             HARD_STATE_FILE);
    } else if (status == STATUS_UNSUPPORTED) {
        *detail = mem_printf("%s: written by a newer version", HARD_STATE_FILE);
    }
    /* The rule of two copies holds again before anybody relies on this state. */
    if (status == STATUS_OK && good_copies < COPIES) {
        status = hard_state_save(h);
    }
    if (status != STATUS_OK) {
        hard_state_close(h);
    }
    return status;
}
