#include "wal/snapshot_format.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"

#include <stdio.h>
#include <string.h>

#define SNAPSHOT_MAGIC        "CNCLVSNP"
#define SNAPSHOT_FOOTER_MAGIC "CNCLVSNE"
#define SNAPSHOT_CHUNK_MAGIC  0x4b434e53u /* "SNCK" */
#define SNAPSHOT_VERSION      1u
#define HEADER_CRC_OFFSET     52u
#define CHUNK_CRC_OFFSET      16u
#define FOOTER_CRC_OFFSET     36u
#define PREFIX                "snapshot-"

void snapshot_name(uint64_t index, const char *suffix, char name[SNAPSHOT_NAME_SIZE])
{
    int size = snprintf(name, SNAPSHOT_NAME_SIZE, PREFIX "%" PRIu64 "%s", index, suffix);
    CHECK(size > 0 && size < SNAPSHOT_NAME_SIZE);
}

bool snapshot_name_parse(const char *name, const char *suffix, uint64_t *index)
{
    size_t prefix_size = strlen(PREFIX);
    if (strncmp(name, PREFIX, prefix_size) != 0) {
        return false;
    }
    const char *at = name + prefix_size;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    /* One spelling of each number, so that two files never claim the same index. */
    char spelled[SNAPSHOT_NAME_SIZE];
    if (strlen(at) >= sizeof SNAPSHOT_DAMAGED_SUFFIX || value == 0) {
        return false;
    }
    snapshot_name(value, suffix, spelled);
    *index = value;
    return strcmp(name, spelled) == 0;
}

void snapshot_header_encode(struct snapshot_header *h, uint8_t bytes[SNAPSHOT_HEADER_BYTES])
{
    memset(bytes, 0, SNAPSHOT_HEADER_BYTES);
    memcpy(bytes, SNAPSHOT_MAGIC, 8);
    store_u32(bytes + 8, SNAPSHOT_VERSION);
    store_u32(bytes + 12, h->meta_bytes);
    memcpy(bytes + 16, h->cluster.bytes, sizeof h->cluster.bytes);
    store_u64(bytes + 32, h->id.index);
    store_u64(bytes + 40, h->id.term);
    store_u32(bytes + 48, h->meta_crc);
    h->crc = crc32c(0, bytes, HEADER_CRC_OFFSET);
    store_u32(bytes + HEADER_CRC_OFFSET, h->crc);
}

enum status snapshot_header_decode(const uint8_t bytes[SNAPSHOT_HEADER_BYTES],
                                   struct snapshot_header *h, uint32_t *version)
{
    *version = load_u32(bytes + 8);
    *h = (struct snapshot_header){
        .id = {.index = load_u64(bytes + 32), .term = load_u64(bytes + 40)},
        .meta_bytes = load_u32(bytes + 12),
        .meta_crc = load_u32(bytes + 48),
        .crc = load_u32(bytes + HEADER_CRC_OFFSET),
    };
    memcpy(h->cluster.bytes, bytes + 16, sizeof h->cluster.bytes);
    if (memcmp(bytes, SNAPSHOT_MAGIC, 8) != 0 || h->crc != crc32c(0, bytes, HEADER_CRC_OFFSET)) {
        return STATUS_CORRUPT;
    }
    if (*version != SNAPSHOT_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    return h->meta_bytes <= LIMIT_SNAPSHOT_META_BYTES ? STATUS_OK : STATUS_CORRUPT;
}

static uint32_t chunk_crc(const struct snapshot_header *h,
                          const uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES], struct slice stored)
{
    uint32_t crc = crc32c(h->crc, head, CHUNK_CRC_OFFSET);
    return crc32c(crc, stored.data, stored.size);
}

void snapshot_chunk_encode(struct snapshot_chunk *c, const struct snapshot_header *h,
                           struct slice stored, uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES])
{
    CHECK_CMP(c->stored_bytes, ==, stored.size);
    store_u32(head, SNAPSHOT_CHUNK_MAGIC);
    store_u32(head + 4, c->number);
    store_u32(head + 8, c->stored_bytes);
    store_u32(head + 12, c->state_bytes);
    c->crc = chunk_crc(h, head, stored);
    store_u32(head + CHUNK_CRC_OFFSET, c->crc);
}

bool snapshot_chunk_decode(const uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES], uint32_t number,
                           struct snapshot_chunk *c)
{
    *c = (struct snapshot_chunk){
        .number = load_u32(head + 4),
        .stored_bytes = load_u32(head + 8),
        .state_bytes = load_u32(head + 12),
        .crc = load_u32(head + CHUNK_CRC_OFFSET),
    };
    return load_u32(head) == SNAPSHOT_CHUNK_MAGIC && c->number == number && c->stored_bytes > 0 &&
           c->stored_bytes <= 2 * SNAPSHOT_CHUNK_BYTES && c->state_bytes > 0 &&
           c->state_bytes <= SNAPSHOT_CHUNK_BYTES;
}

bool snapshot_chunk_crc_is_right(const struct snapshot_chunk *c, const struct snapshot_header *h,
                                 const uint8_t head[SNAPSHOT_CHUNK_HEAD_BYTES], struct slice stored)
{
    return c->crc == chunk_crc(h, head, stored);
}

void snapshot_footer_encode(const struct snapshot_footer *f, uint8_t bytes[SNAPSHOT_FOOTER_BYTES])
{
    memcpy(bytes, SNAPSHOT_FOOTER_MAGIC, 8);
    store_u32(bytes + 8, f->chunks);
    store_u32(bytes + 12, f->file_crc);
    store_u64(bytes + 16, f->state_bytes);
    store_u64(bytes + 24, f->file_bytes);
    store_u32(bytes + 32, f->header_crc);
    store_u32(bytes + FOOTER_CRC_OFFSET, crc32c(0, bytes, FOOTER_CRC_OFFSET));
}

bool snapshot_footer_decode(const uint8_t bytes[SNAPSHOT_FOOTER_BYTES], struct snapshot_footer *f)
{
    *f = (struct snapshot_footer){
        .chunks = load_u32(bytes + 8),
        .file_crc = load_u32(bytes + 12),
        .state_bytes = load_u64(bytes + 16),
        .file_bytes = load_u64(bytes + 24),
        .header_crc = load_u32(bytes + 32),
    };
    return memcmp(bytes, SNAPSHOT_FOOTER_MAGIC, 8) == 0 &&
           load_u32(bytes + FOOTER_CRC_OFFSET) == crc32c(0, bytes, FOOTER_CRC_OFFSET);
}
