/* Whole segments of records that are sound each by itself and say anything. A log opens or is
 * refused; one that opens can be read and goes on; one that is refused can be salvaged, and then
 * opens.
 *
 * The input: a byte of choices, then records of 10 bytes and the bytes behind their headers. */
#include "base/check.h"
#include "base/codec.h"
#include "fake_disk.h"
#include "wal/hard_state.h"
#include "wal/segment.h"
#include "wal/wal_format.h"

#include <string.h>

#define SEGMENT_BYTES 65536u
#define RECORDS_MAX   12u
#define COUNT_MAX     8u

enum choice { CHOICE_RECYCLED = 1, CHOICE_SECOND_SEGMENT = 2, CHOICE_LATE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct uuid log_id = {{9, 9, 9}};

static void put_file(struct fake_disk *f, const char *name, const uint8_t *bytes, size_t size)
{
    struct disk *disk = fake_disk_as_disk(f);
    struct disk_file *file = NULL;
    struct slice part = slice_of(bytes, size);
    CHECK(disk->ops->open(disk, name, true, &file) == STATUS_OK);
    CHECK(disk->ops->write(file, 0, &part, 1) == STATUS_OK);
    CHECK(disk->ops->sync(file) == STATUS_OK);
    CHECK(disk->ops->close(file) == STATUS_OK);
    CHECK(disk->ops->sync_dir(disk) == STATUS_OK);
}

/* The next record at *offset of the segment; numbers and checksums are right, the rest is what the
 * input says. */
static bool put_record(struct reader *in, uint8_t *segment, uint64_t sequence, uint64_t *offset,
                       uint64_t *number, uint32_t *crc)
{
    struct wal_record rec = {
        .type = (enum wal_record_type)(get_u8(in) % 7),
        .count = get_u8(in) % COUNT_MAX,
        .first = get_u8(in),
        .term = get_u8(in) % 16,
        .previous_term = get_u8(in) % 16,
        .commit = get_u8(in),
        .number = ++*number,
        .synced = *number - 1,
        .previous_crc = *crc,
        .sequence = sequence,
        .offset = *offset,
    };
    rec.heads = get_u8(in);
    rec.length = get_u8(in) + 256u * (get_u8(in) % 20);
    *number += get_u8(in) == 255;
    rec.first = rec.first == 255 ? UINT64_MAX : rec.first;
    uint64_t bytes = record_bytes(rec.length);
    if (!reader_ok(in) || rec.heads > rec.length || *offset + bytes > SEGMENT_BYTES) {
        return false;
    }
    uint8_t *at = segment + *offset;
    size_t given = rec.length < reader_left(in) ? rec.length : reader_left(in);
    struct slice payload = get_raw(in, given);
    memset(at, 0, (size_t)bytes);
    if (given > 0) {
        memcpy(at + WAL_RECORD_HEADER_BYTES, payload.data, given);
    }
    /* All bytes are heads, as far as the checksum goes. */
    static const struct wal_entry none[COUNT_MAX];
    record_encode_header(&rec, log_id, slice_of(at + WAL_RECORD_HEADER_BYTES, rec.length), none,
                         at);
    *crc = rec.crc;
    *offset += bytes;
    return true;
}

static void put_segment(struct fake_disk *f, struct reader *in, uint64_t sequence, bool recycled,
                        uint64_t *number, uint32_t *crc)
{
    static uint8_t segment[SEGMENT_BYTES];
    memset(segment, recycled ? 0x5c : 0, sizeof segment);
    struct segment_header header = {.log_id = log_id,
                                    .sequence = sequence,
                                    .size_bytes = SEGMENT_BYTES,
                                    .is_recycled = recycled};
    segment_header_encode(&header, segment);
    uint64_t offset = WAL_BLOCK_BYTES;
    for (unsigned i = 0; i < RECORDS_MAX && reader_left(in) > 0; i++) {
        if (!put_record(in, segment, sequence, &offset, number, crc)) {
            break;
        }
    }
    char name[SEGMENT_NAME_SIZE];
    segment_name(sequence, name);
    put_file(f, name, segment, sizeof segment);
}

static bool count_entry(void *context, const struct wal_entry *entry)
{
    uint64_t *next = context;
    CHECK_CMP(entry->index, ==, *next);
    ++*next;
    return true;
}

/* All of it can be read, and it takes one more. */
static void use(struct wal *w)
{
    struct wal_state s;
    wal_state(w, &s);
    CHECK_CMP(s.first, <=, s.last + 1);
    CHECK_CMP(s.commit, <=, s.last);
    if (s.first <= s.last) {
        uint64_t next = s.first;
        CHECK(wal_read(w, s.first, s.last, UINT64_MAX, count_entry, &next) == STATUS_OK);
        CHECK_CMP(next, ==, s.last + 1);
    }
    bool done = false;
    CHECK(wal_scrub(w, &done, NULL) == STATUS_OK);
    struct wal_entry e = {.index = s.last + 1, .term = s.term};
    CHECK(wal_append(w, &(struct wal_batch){.entries = &e, .count = 1}) == STATUS_OK);
    bool more = true;
    CHECK(wal_compact(w, 1, &more) == STATUS_OK);
}

static enum status open_log(struct fake_disk *f, bool salvage, struct wal **w)
{
    struct wal_options options = {.disk = fake_disk_as_disk(f),
                                  .log_id = log_id,
                                  .first_segment_bytes = SEGMENT_BYTES,
                                  .segment_bytes = SEGMENT_BYTES,
                                  .salvage = salvage};
    return wal_open(&options, w, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(slice_of(data, size));
    uint8_t choices = get_u8(&in);
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    struct hard_state hard;
    CHECK(hard_state_create(&hard, fake_disk_as_disk(f), log_id) == STATUS_OK);
    hard.term = 8;
    CHECK(hard_state_save(&hard) == STATUS_OK);
    hard_state_close(&hard);

    uint64_t number = 0;
    uint32_t crc = 0;
    uint64_t sequence = choices & CHOICE_LATE ? 4 : 1;
    put_segment(f, &in, sequence, choices & CHOICE_RECYCLED, &number, &crc);
    if (choices & CHOICE_SECOND_SEGMENT) {
        put_segment(f, &in, sequence + 1, choices & CHOICE_RECYCLED, &number, &crc);
    }
    struct wal *w = NULL;
    enum status status = open_log(f, false, &w);
    CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
    if (status == STATUS_CORRUPT) {
        status = open_log(f, true, &w);
        CHECK(status == STATUS_OK || status == STATUS_UNSUPPORTED);
    }
    if (status == STATUS_OK) {
        use(w);
        wal_close(w);
        CHECK(open_log(f, false, &w) == STATUS_OK);
        wal_close(w);
    }
    fake_disk_destroy(f);
    return 0;
}
