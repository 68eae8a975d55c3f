/* Term and vote from any four blocks. The first byte says which checksums are put right. */
#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "fake_disk.h"
#include "wal/hard_state.h"
#include "wal/wal_format.h"

#include <string.h>

#define BLOCKS     4u
#define HEAD_BYTES 72u /* of a block: the rest is zeros */
#define CRC_OFFSET 68u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    uint8_t mended = get_u8(&in);
    static uint8_t bytes[BLOCKS * WAL_BLOCK_BYTES];
    for (unsigned i = 0; i < BLOCKS; i++) {
        uint8_t *block = bytes + i * WAL_BLOCK_BYTES;
        struct slice head = get_raw(&in, HEAD_BYTES);
        memset(block, 0, HEAD_BYTES);
        if (head.size > 0) {
            memcpy(block, head.data, head.size);
        }
        if (mended >> i & 1) {
            memcpy(block, "CNCLVHRD", 8);
            store_u32(block + CRC_OFFSET, crc32c(0, block, CRC_OFFSET));
        }
    }
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    struct disk *disk = fake_disk_as_disk(f);
    struct disk_file *file = NULL;
    struct slice part = slice_of(bytes, sizeof bytes);
    CHECK(disk->ops->open(disk, HARD_STATE_FILE, true, &file) == STATUS_OK);
    CHECK(disk->ops->write(file, 0, &part, 1) == STATUS_OK);
    CHECK(disk->ops->close(file) == STATUS_OK);
    struct hard_state h;
    char *detail = NULL;
    enum status status = hard_state_open(&h, disk, (struct uuid){{0}}, &detail);
    CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
    CHECK(status == STATUS_OK || detail != NULL);
    CHECK(status != STATUS_OK || h.version > 0);
    hard_state_close(&h);
    mem_free(detail);
    fake_disk_destroy(f);
    return 0;
}
