#include "node/frame.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"

#include <sodium.h>

#include <assert.h>
#include <string.h>

#define OPENING_MAGIC 0x4c434e43u /* "CNCL" */

enum { OPENING_KEYED = 1, OPENING_DIALLER = 2, OPENING_FLAGS = 3 };

/* Of the header, before the check itself. */
#define HEADER_CHECKED_BYTES (FRAME_HEADER_BYTES - 2)

/* A message's memory is kept for the next one up to this size. */
#define KEEP_BYTES (1u * MIB)

static_assert(FRAME_PAYLOAD_MAX <= UINT16_MAX, "the length field has 16 bits");
static_assert(FRAME_KEY_BYTES == crypto_generichash_KEYBYTES, "BLAKE2b's key");
static_assert(FRAME_MAC_BYTES == crypto_generichash_BYTES_MIN, "BLAKE2b's shortest output");

/* --- openings --------------------------------------------------------------------------------- */

void opening_encode(const struct frame_opening *o, uint8_t bytes[OPENING_BYTES])
{
    store_u32(bytes, OPENING_MAGIC);
    store_u16(bytes + 4, o->version);
    bytes[6] = (uint8_t)o->lane;
    bytes[7] = (uint8_t)((o->keyed ? OPENING_KEYED : 0) | (o->dialler ? OPENING_DIALLER : 0));
    store_u32(bytes + 8, o->number);
    memcpy(bytes + 12, o->nonce, FRAME_NONCE_BYTES);
    store_u32(bytes + 44, crc32c(0, bytes, 44));
}

enum status opening_decode(struct slice bytes, struct frame_opening *o)
{
    *o = (struct frame_opening){0};
    uint8_t magic[4];
    store_u32(magic, OPENING_MAGIC);
    size_t common = bytes.size < sizeof(magic) ? bytes.size : sizeof(magic);
    if (common > 0 && memcmp(bytes.data, magic, common) != 0) {
        return STATUS_CORRUPT;
    }
    /* The first six bytes are the same in every version, so that the other's can be named. */
    if (bytes.size < 6) {
        return STATUS_BUSY;
    }
    o->version = load_u16(bytes.data + 4);
    if (o->version != FRAME_VERSION) {
        return STATUS_UNSUPPORTED;
    }
    if (bytes.size < OPENING_BYTES) {
        return STATUS_BUSY;
    }
    uint8_t lane = bytes.data[6];
    uint8_t flags = bytes.data[7];
    if (load_u32(bytes.data + 44) != crc32c(0, bytes.data, 44) || lane >= LANE_COUNT ||
        flags > OPENING_FLAGS) {
        return STATUS_CORRUPT;
    }
    o->lane = (enum link_lane)lane;
    o->keyed = (flags & OPENING_KEYED) != 0;
    o->dialler = (flags & OPENING_DIALLER) != 0;
    o->number = load_u32(bytes.data + 8);
    memcpy(o->nonce, bytes.data + 12, FRAME_NONCE_BYTES);
    return STATUS_OK;
}

/* --- keys ------------------------------------------------------------------------------------- */

void frame_secret_key(struct slice secret, uint8_t key[FRAME_KEY_BYTES])
{
    static const char label[] = "conclave cluster secret 1";
    int rc = crypto_generichash(key, FRAME_KEY_BYTES, secret.data, secret.size,
                                (const unsigned char *)label, sizeof(label) - 1);
    CHECK(rc == 0);
}

static void derive(const uint8_t secret_key[FRAME_KEY_BYTES], const char *label,
                   const uint8_t dialler[OPENING_BYTES], const uint8_t acceptor[OPENING_BYTES],
                   uint8_t key[FRAME_KEY_BYTES])
{
    crypto_generichash_state state;
    CHECK(crypto_generichash_init(&state, secret_key, FRAME_KEY_BYTES, FRAME_KEY_BYTES) == 0);
    /* With the zero, so that no label is the beginning of another one. */
    crypto_generichash_update(&state, (const unsigned char *)label, strlen(label) + 1);
    crypto_generichash_update(&state, dialler, OPENING_BYTES);
    crypto_generichash_update(&state, acceptor, OPENING_BYTES);
    CHECK(crypto_generichash_final(&state, key, FRAME_KEY_BYTES) == 0);
    sodium_memzero(&state, sizeof(state));
}

void frame_link_keys(const uint8_t secret_key[FRAME_KEY_BYTES],
                     const uint8_t dialler[OPENING_BYTES], const uint8_t acceptor[OPENING_BYTES],
                     uint8_t from_dialler[FRAME_KEY_BYTES], uint8_t from_acceptor[FRAME_KEY_BYTES])
{
    derive(secret_key, FRAME_UPGRADE " from dialler", dialler, acceptor, from_dialler);
    derive(secret_key, FRAME_UPGRADE " from acceptor", dialler, acceptor, from_acceptor);
}

/* --- frames ----------------------------------------------------------------------------------- */

static size_t tag_bytes(const struct frame_seal *s)
{
    return s->keyed ? FRAME_MAC_BYTES : FRAME_CRC_BYTES;
}

/* The checksum of the counter and of the header without its own check, from which both that check
 * and the tag of a frame without a key follow. */
static uint32_t header_sum(const struct frame_seal *s, const uint8_t *header)
{
    uint8_t bytes[sizeof(s->counter) + HEADER_CHECKED_BYTES];
    store_u64(bytes, s->counter);
    memcpy(bytes + sizeof(s->counter), header, HEADER_CHECKED_BYTES);
    return crc32c(0, bytes, sizeof(bytes));
}

/* Two bytes that catch a damaged length at once, rather than after a wait for bytes that never
 * come. Against chance, not against an adversary: the tag covers the header too. */
static uint16_t header_check(uint32_t sum)
{
    return (uint16_t)sum;
}

/* The tag of header and payload, which lie together, as frame number s->counter; `sum` is the
 * header's. */
static void make_tag(const struct frame_seal *s, uint32_t sum, struct slice frame, uint8_t *tag)
{
    if (!s->keyed) {
        store_u32(
            tag, crc32c(sum, frame.data + HEADER_CHECKED_BYTES, frame.size - HEADER_CHECKED_BYTES));
        return;
    }
    uint8_t counter[sizeof(s->counter)];
    store_u64(counter, s->counter);
    crypto_generichash_state state;
    CHECK(crypto_generichash_init(&state, s->key, FRAME_KEY_BYTES, FRAME_MAC_BYTES) == 0);
    crypto_generichash_update(&state, counter, sizeof(counter));
    crypto_generichash_update(&state, frame.data, frame.size);
    CHECK(crypto_generichash_final(&state, tag, FRAME_MAC_BYTES) == 0);
}

void frame_write(struct frame_seal *s, const struct frame *f, struct buf *out)
{
    CHECK_CMP(f->payload.size, <=, FRAME_PAYLOAD_MAX);
    uint8_t *at = buf_reserve(out, FRAME_HEADER_BYTES + f->payload.size + FRAME_MAC_BYTES);
    store_u16(at, (uint16_t)f->payload.size);
    at[2] = f->type;
    at[3] = f->flags;
    store_u16(at + 4, f->stream);
    uint32_t sum = header_sum(s, at);
    store_u16(at + HEADER_CHECKED_BYTES, header_check(sum));
    if (f->payload.size > 0) {
        memcpy(at + FRAME_HEADER_BYTES, f->payload.data, f->payload.size);
    }
    size_t covered = FRAME_HEADER_BYTES + f->payload.size;
    make_tag(s, sum, slice_of(at, covered), at + covered);
    s->counter++;
    out->size += covered + tag_bytes(s);
}

enum status frame_read(struct frame_seal *s, struct slice bytes, struct frame *f, size_t *used)
{
    *used = 0;
    if (bytes.size < FRAME_HEADER_BYTES) {
        return STATUS_OK;
    }
    size_t size = load_u16(bytes.data);
    uint32_t sum = header_sum(s, bytes.data);
    if (load_u16(bytes.data + HEADER_CHECKED_BYTES) != header_check(sum) ||
        size > FRAME_PAYLOAD_MAX) {
        return STATUS_CORRUPT;
    }
    size_t covered = FRAME_HEADER_BYTES + size;
    if (bytes.size < covered + tag_bytes(s)) {
        return STATUS_OK;
    }
    uint8_t tag[FRAME_MAC_BYTES];
    make_tag(s, sum, slice_of(bytes.data, covered), tag);
    if (sodium_memcmp(tag, bytes.data + covered, tag_bytes(s)) != 0) {
        return STATUS_DENIED;
    }
    s->counter++;
    *f = (struct frame){
        .type = bytes.data[2],
        .flags = bytes.data[3],
        .stream = load_u16(bytes.data + 4),
        .payload = slice_of(bytes.data + FRAME_HEADER_BYTES, size),
    };
    *used = covered + tag_bytes(s);
    return STATUS_OK;
}

/* --- messages in pieces ----------------------------------------------------------------------- */

static struct frame_part *find_part(struct frame_joiner *j, uint16_t stream)
{
    for (size_t i = 0; i < LIMIT_PEER_STREAMS; i++) {
        if (j->parts[i].stream == stream) {
            return &j->parts[i];
        }
    }
    return NULL;
}

static void forget_large(struct buf *b)
{
    buf_clear(b);
    if (b->capacity > KEEP_BYTES) {
        buf_deinit(b);
    }
}

/* The part is whole: its memory changes places with that of the last message. */
static void hand_out(struct frame_joiner *j, struct frame_part *part)
{
    struct buf old = j->whole;
    j->whole = part->bytes;
    forget_large(&old);
    *part = (struct frame_part){.bytes = old};
    j->size_bytes -= j->whole.size;
}

static bool is_whole(const struct frame *f)
{
    return f->stream == 0;
}

enum status frame_join(struct frame_joiner *j, const struct frame *f, struct slice *message,
                       bool *complete)
{
    *complete = false;
    if (f->flags > (FRAME_FIRST | FRAME_LAST)) {
        return STATUS_CORRUPT;
    }
    if (is_whole(f)) {
        *complete = true;
        *message = f->payload;
        return f->flags == (FRAME_FIRST | FRAME_LAST) ? STATUS_OK : STATUS_CORRUPT;
    }
    bool first = (f->flags & FRAME_FIRST) != 0;
    struct frame_part *part = find_part(j, f->stream);
    if (first != (part == NULL)) {
        return STATUS_CORRUPT;
    }
    if (first) {
        part = find_part(j, 0);
    }
    if (part == NULL || f->payload.size == 0 || (!first && part->type != f->type) ||
        f->payload.size > LIMIT_PEER_MESSAGE_BYTES - j->size_bytes) {
        return STATUS_CORRUPT;
    }
    part->stream = f->stream;
    part->type = f->type;
    buf_append_slice(&part->bytes, f->payload);
    j->size_bytes += f->payload.size;
    if (f->flags & FRAME_LAST) {
        hand_out(j, part);
        *complete = true;
        *message = buf_slice(&j->whole);
    }
    return STATUS_OK;
}

void frame_joiner_deinit(struct frame_joiner *j)
{
    for (size_t i = 0; i < LIMIT_PEER_STREAMS; i++) {
        buf_deinit(&j->parts[i].bytes);
    }
    buf_deinit(&j->whole);
    *j = (struct frame_joiner){0};
}
