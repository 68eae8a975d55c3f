/* Snapshot files: whatever a disk or another member gives, a reader says what it is and stays
 * inside of it. The first byte says whether checksums are put right first, so that what is behind
 * them is reached, too: rot that passes a checksum is rare, not impossible. */
#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "fake_disk.h"
#include "wal/snapshot_format.h"

#include <string.h>

#define FILE_NAME "snapshot-5.snap"
#define BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend_chunks(uint8_t *bytes, size_t from, size_t end, const struct snapshot_header *h)
{
    for (uint32_t number = 0; from + SNAPSHOT_CHUNK_HEAD_BYTES <= end; number++) {
        struct snapshot_chunk c = {0};
        (void)snapshot_chunk_decode(bytes + from, number, &c);
        size_t room = end - from - SNAPSHOT_CHUNK_HEAD_BYTES;
        c.number = number;
        c.stored_bytes = c.stored_bytes < room ? c.stored_bytes : (uint32_t)room;
        struct slice stored = slice_of(bytes + from + SNAPSHOT_CHUNK_HEAD_BYTES, c.stored_bytes);
        snapshot_chunk_encode(&c, h, stored, bytes + from);
        from += SNAPSHOT_CHUNK_HEAD_BYTES + stored.size;
    }
}

static void mend(uint8_t *bytes, size_t size)
{
    if (size < SNAPSHOT_HEADER_BYTES + SNAPSHOT_FOOTER_BYTES) {
        return;
    }
    struct snapshot_header h;
    uint32_t version = 0;
    (void)snapshot_header_decode(bytes, &h, &version);
    size_t end = size - SNAPSHOT_FOOTER_BYTES;
    size_t room = end - SNAPSHOT_HEADER_BYTES;
    h.id.index = 5;
    h.meta_bytes = h.meta_bytes < room ? h.meta_bytes : (uint32_t)room;
    h.meta_crc = crc32c(0, bytes + SNAPSHOT_HEADER_BYTES, h.meta_bytes);
    snapshot_header_encode(&h, bytes);
    mend_chunks(bytes, SNAPSHOT_HEADER_BYTES + h.meta_bytes, end, &h);
    struct snapshot_footer f = {0};
    (void)snapshot_footer_decode(bytes + end, &f);
    f.file_bytes = size;
    f.file_crc = crc32c(0, bytes, end);
    f.header_crc = h.crc;
    snapshot_footer_encode(&f, bytes + end);
}

static void read_back(struct disk *disk)
{
    struct snapshot_reader *r = NULL;
    enum status status = snapshot_reader_open_file(disk, FILE_NAME, &r, NULL);
    CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
    uint64_t bytes = 0;
    while (status == STATUS_OK) {
        struct slice state;
        status = snapshot_reader_next(r, &state);
        CHECK_CMP(state.size, <=, SNAPSHOT_CHUNK_BYTES);
        bytes += state.size;
    }
    CHECK(status == STATUS_NOT_FOUND || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
    CHECK(status != STATUS_NOT_FOUND || bytes == snapshot_reader_state_bytes(r));
    snapshot_reader_destroy(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > BYTES_MAX) {
        return 0;
    }
    static uint8_t bytes[BYTES_MAX];
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1) {
        mend(bytes, size - 1);
    }
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    struct disk *disk = fake_disk_as_disk(f);
    struct disk_file *file = NULL;
    struct slice part = slice_of(bytes, size - 1);
    CHECK(disk->ops->open(disk, FILE_NAME, true, &file) == STATUS_OK);
    CHECK(disk->ops->write(file, 0, &part, 1) == STATUS_OK);
    CHECK(disk->ops->close(file) == STATUS_OK);
    read_back(disk);
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    CHECK(snapshot_list(disk, (struct uuid){{0}}, entries, &count) == STATUS_OK && count == 1);
    fake_disk_destroy(f);
    return 0;
}
