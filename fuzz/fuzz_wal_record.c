/* Log records and segment headers: no bytes lead a reader outside of them. The checksum, which
 * would stop almost everything here, is not asked for: rot that passes it is rare, not
 * impossible. */
#include "base/check.h"
#include "wal/wal_format.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk_entries(const struct wal_record *rec, struct slice payload)
{
    struct entry_cursor cursor = entry_cursor_of(rec, payload);
    struct wal_entry entry;
    uint64_t bytes = 0;
    while (entry_cursor_next(&cursor, &entry)) {
        bytes += entry.payload.size;
        CHECK_CMP(bytes, <=, payload.size);
    }
    (void)entry_cursor_done(&cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uuid log_id = {0};
    if (size >= WAL_BLOCK_BYTES) {
        struct segment_header header;
        uint32_t version = 0;
        enum status status = segment_header_decode(data, &header, &version);
        CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
    }
    if (size >= WAL_RECORD_HEADER_BYTES) {
        struct wal_record rec = {0};
        struct slice payload =
            slice_of(data + WAL_RECORD_HEADER_BYTES, size - WAL_RECORD_HEADER_BYTES);
        if (record_decode_header(data, log_id, UINT64_MAX / 2, &rec) &&
            rec.length <= payload.size) {
            payload.size = rec.length;
            (void)record_crc_is_right(&rec, data, payload);
            if (rec.heads <= rec.length) {
                walk_entries(&rec, payload);
            }
        }
    }
    return 0;
}
