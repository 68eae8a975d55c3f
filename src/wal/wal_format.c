#include "wal/wal_format.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <string.h>

#define RECORD_MAGIC       0x44524357u /* "WCRD" */
#define RECORD_CRC_FROM    8u          /* magic and the checksum itself are outside of it */
#define SEGMENT_RECYCLED   1u
#define SEGMENT_MAGIC      "CNCLVSEG"
#define SEGMENT_CRC_OFFSET 48u

uint64_t record_bytes(uint32_t length)
{
    uint64_t size = (uint64_t)WAL_RECORD_HEADER_BYTES + length;
    return (size + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

void record_encode_header(struct wal_record *rec, struct uuid log_id, struct slice heads,
                          const struct wal_entry *entries, uint8_t header[WAL_RECORD_HEADER_BYTES])
{
    memset(header, 0, WAL_RECORD_HEADER_BYTES);
    store_u32(header, RECORD_MAGIC);
    store_u32(header + 8, rec->length);
    store_u32(header + 12, rec->heads);
    store_u32(header + 16, rec->count);
    store_u32(header + 20, rec->previous_crc);
    header[24] = (uint8_t)rec->type;
    store_u64(header + 32, rec->number);
    store_u64(header + 40, rec->synced);
    store_u64(header + 48, rec->sequence);
    store_u64(header + 56, rec->offset);
    store_u64(header + 64, rec->first);
    store_u64(header + 72, rec->term);
    store_u64(header + 80, rec->commit);
    store_u64(header + 88, rec->hard_number);
    memcpy(header + 96, log_id.bytes, sizeof log_id.bytes);
    store_u64(header + 112, rec->previous_term);

    uint32_t crc = crc32c(0, header + RECORD_CRC_FROM, WAL_RECORD_HEADER_BYTES - RECORD_CRC_FROM);
    crc = crc32c(crc, heads.data, heads.size);
    for (uint32_t i = 0; i < rec->count; i++) {
        crc = crc32c(crc, entries[i].payload.data, entries[i].payload.size);
    }
    rec->crc = crc;
    store_u32(header + 4, crc);
}

bool record_decode_header(const uint8_t header[WAL_RECORD_HEADER_BYTES], struct uuid log_id,
                          uint64_t segment_bytes, struct wal_record *rec)
{
    uint64_t place = rec->offset;
    uint64_t sequence = rec->sequence;
    *rec = (struct wal_record){
        .type = (enum wal_record_type)header[24],
        .length = load_u32(header + 8),
        .heads = load_u32(header + 12),
        .count = load_u32(header + 16),
        .crc = load_u32(header + 4),
        .previous_crc = load_u32(header + 20),
        .number = load_u64(header + 32),
        .synced = load_u64(header + 40),
        .sequence = load_u64(header + 48),
        .offset = load_u64(header + 56),
        .first = load_u64(header + 64),
        .term = load_u64(header + 72),
        .commit = load_u64(header + 80),
        .hard_number = load_u64(header + 88),
        .previous_term = load_u64(header + 112),
    };
    return load_u32(header) == RECORD_MAGIC && rec->sequence == sequence && rec->offset == place &&
           memcmp(header + 96, log_id.bytes, sizeof log_id.bytes) == 0 &&
           rec->heads <= rec->length && place <= segment_bytes &&
           record_bytes(rec->length) <= segment_bytes - place;
}

bool record_crc_is_right(const struct wal_record *rec, const uint8_t *header, struct slice payload)
{
    CHECK_CMP(payload.size, ==, rec->length);
    uint32_t crc = crc32c(0, header + RECORD_CRC_FROM, WAL_RECORD_HEADER_BYTES - RECORD_CRC_FROM);
    return crc32c(crc, payload.data, payload.size) == rec->crc;
}

void entry_heads_encode(const struct wal_entry *entries, uint32_t count, struct buf *heads)
{
    uint64_t term = count > 0 ? entries[0].term : 0;
    for (uint32_t i = 0; i < count; i++) {
        CHECK_CMP(entries[i].index, ==, entries[0].index + i);
        CHECK_CMP(entries[i].term, >=, term);
        put_u8(heads, entries[i].type);
        put_varint(heads, entries[i].term - term);
        put_varint(heads, entries[i].payload.size);
        term = entries[i].term;
    }
}

struct entry_cursor entry_cursor_of(const struct wal_record *rec, struct slice payload)
{
    CHECK_CMP(payload.size, ==, rec->length);
    return (struct entry_cursor){
        .heads = reader_of(slice_of(payload.data, rec->heads)),
        .bodies = reader_of(slice_of(payload.data + rec->heads, rec->length - rec->heads)),
        .left = rec->count,
        .index = rec->first,
        .term = rec->term,
    };
}

bool entry_cursor_next(struct entry_cursor *c, struct wal_entry *entry)
{
    if (c->left == 0) {
        return false;
    }
    uint8_t type = get_u8(&c->heads);
    c->term += get_varint(&c->heads);
    uint64_t size = get_varint(&c->heads);
    if (!reader_ok(&c->heads) || size > reader_left(&c->bodies)) {
        return false;
    }
    *entry = (struct wal_entry){
        .index = c->index++,
        .term = c->term,
        .type = type,
        .payload = get_raw(&c->bodies, (size_t)size),
    };
    c->left--;
    return true;
}

bool entry_cursor_done(const struct entry_cursor *c)
{
    return c->left == 0 && reader_done(&c->heads) && reader_done(&c->bodies);
}

void segment_header_encode(const struct segment_header *h, uint8_t block[WAL_BLOCK_BYTES])
{
    memset(block, 0, WAL_BLOCK_BYTES);
    memcpy(block, SEGMENT_MAGIC, 8);
    store_u32(block + 8, WAL_FORMAT_VERSION);
    store_u32(block + 12, h->is_recycled ? SEGMENT_RECYCLED : 0);
    memcpy(block + 16, h->log_id.bytes, sizeof h->log_id.bytes);
    store_u64(block + 32, h->sequence);
    store_u64(block + 40, h->size_bytes);
    store_u32(block + SEGMENT_CRC_OFFSET, crc32c(0, block, SEGMENT_CRC_OFFSET));
}

enum status segment_header_decode(const uint8_t block[WAL_BLOCK_BYTES], struct segment_header *h,
                                  uint32_t *version)
{
    if (memcmp(block, SEGMENT_MAGIC, 8) != 0 ||
        load_u32(block + SEGMENT_CRC_OFFSET) != crc32c(0, block, SEGMENT_CRC_OFFSET)) {
        return STATUS_CORRUPT;
    }
    *version = load_u32(block + 8);
    if (*version != WAL_FORMAT_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    memcpy(h->log_id.bytes, block + 16, sizeof h->log_id.bytes);
    h->is_recycled = load_u32(block + 12) == SEGMENT_RECYCLED;
    h->sequence = load_u64(block + 32);
    h->size_bytes = load_u64(block + 40);
    return STATUS_OK;
}
