/* kv/kv_command.c - the bytes of a command, as they stand in the log.
 *
 *   format u8 = 1 | op u8 | time varint | [auth] | by op:
 *     put      condition | key bytes | lease varint | value bytes | [retry]
 *     delete   condition | key bytes | [retry]
 *     compact  revision varint
 *     txn      bytes (kv_txn_codec.c)
 *     grant    lease varint | ttl varint
 *     revoke   lease varint
 *     expire   bytes: lease u64 and grant number u64 of each
 *     put ttl  condition | key bytes | lease varint | ttl varint | value bytes | [retry]
 *     document content bytes | [retry]
 *     auth     bytes (kv_auth_command.c)
 *   condition: kind u8, and for KV_IF_REVISION the revision as a varint.
 *   auth: revision varint, not 0; there when op has its second highest bit set.
 *   retry: key bytes | hash 2 u64 | origin varint; there when op has its highest bit set.
 *   bytes: a varint length and the bytes. Numbers are in their shortest form. */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_auth.h"
#include "kv/kv_state.h"
#include "kv/kv_txn.h"

#define COMMAND_FORMAT 1u
#define OP_HAS_RETRY   0x80u
#define OP_HAS_AUTH    0x40u

/* What an operation's bytes have, beside the operation and the time, in the order in which they
 * stand there. */
enum part {
    PART_KEY = 1, /* with the condition */
    PART_REVISION = 2,
    PART_LEASE = 4,
    PART_TTL = 8,
    PART_VALUE = 16,
    PART_TXN = 32,
    PART_EXPIRY = 64,
    PART_RETRY = 128, /* if it has a retry key */
    PART_AUTH = 256,
};

/* 0 = there is no such operation. */
static unsigned parts_of(enum kv_op op)
{
    switch (op) {
    case KV_PUT:
        return PART_KEY | PART_LEASE | PART_VALUE | PART_RETRY;
    case KV_DELETE:
        return PART_KEY | PART_RETRY;
    case KV_COMPACT:
        return PART_REVISION;
    case KV_TXN:
        return PART_TXN;
    case KV_LEASE_GRANT:
        return PART_LEASE | PART_TTL;
    case KV_LEASE_REVOKE:
        return PART_LEASE;
    case KV_LEASE_EXPIRE:
        return PART_EXPIRY;
    case KV_PUT_TTL:
        return PART_KEY | PART_LEASE | PART_TTL | PART_VALUE | PART_RETRY;
    case KV_DOCUMENT:
        return PART_VALUE | PART_RETRY;
    case KV_AUTH:
        return PART_AUTH;
    }
    return 0;
}

static bool has(const struct kv_command *c, enum part part)
{
    return (parts_of(c->op) & part) != 0;
}

bool kv_op_may_retry(enum kv_op op)
{
    return (parts_of(op) & PART_RETRY) != 0;
}

static size_t bytes_size(struct slice bytes)
{
    return varint_size(bytes.size) + bytes.size;
}

/* What encode would write, so that decode can refuse numbers in a longer form than the shortest. */
static size_t encoded_size(const struct kv_command *c)
{
    unsigned parts = parts_of(c->op);
    size_t size = 2 + varint_size(c->time_ms);
    size += c->auth_revision != 0 ? varint_size(c->auth_revision) : 0;
    if (parts & PART_KEY) {
        size += 1 + (c->condition == KV_IF_REVISION ? varint_size(c->condition_revision) : 0);
        size += bytes_size(c->key);
    }
    size += parts & PART_REVISION ? varint_size(c->revision) : 0;
    size += parts & PART_LEASE ? varint_size(c->lease) : 0;
    size += parts & PART_TTL ? varint_size(c->ttl_s) : 0;
    size += parts & PART_VALUE ? bytes_size(c->value) : 0;
    size += parts & PART_TXN ? bytes_size(c->txn) : 0;
    size += parts & PART_EXPIRY ? bytes_size(c->expiry) : 0;
    size += parts & PART_AUTH ? bytes_size(c->auth) : 0;
    if (c->retry_key.size > 0) {
        size += bytes_size(c->retry_key) + sizeof(c->retry_hash) + varint_size(c->retry_origin);
    }
    return size;
}

/* KV_PUT alone may have none. */
static bool is_lease_sound(const struct kv_command *c)
{
    return c->lease != 0 || c->op == KV_PUT;
}

static bool is_ttl_sound(const struct kv_command *c)
{
    return c->ttl_s >= 1 && c->ttl_s <= LIMIT_LEASE_TTL_S;
}

static void put_retry(const struct kv_command *c, struct buf *out)
{
    CHECK_CMP(c->retry_key.size, <=, LIMIT_RETRY_KEY_BYTES);
    put_bytes(out, c->retry_key);
    put_u64(out, c->retry_hash[0]);
    put_u64(out, c->retry_hash[1]);
    put_varint(out, c->retry_origin);
}

static void put_key(const struct kv_command *c, struct buf *out)
{
    CHECK(c->key.size >= 1 && c->key.size <= LIMIT_KEY_BYTES);
    put_u8(out, (uint8_t)c->condition);
    if (c->condition == KV_IF_REVISION) {
        put_varint(out, c->condition_revision);
    }
    put_bytes(out, c->key);
}

static void put_lease(const struct kv_command *c, struct buf *out)
{
    CHECK(is_lease_sound(c));
    put_varint(out, c->lease);
}

static void put_ttl(const struct kv_command *c, struct buf *out)
{
    CHECK(is_ttl_sound(c));
    put_varint(out, c->ttl_s);
}

static void put_parts(const struct kv_command *c, struct buf *out)
{
    unsigned parts = parts_of(c->op);
    if (parts & PART_KEY) {
        put_key(c, out);
    }
    if (parts & PART_REVISION) {
        put_varint(out, c->revision);
    }
    if (parts & PART_LEASE) {
        put_lease(c, out);
    }
    if (parts & PART_TTL) {
        put_ttl(c, out);
    }
    if (parts & PART_VALUE) {
        CHECK_CMP(c->value.size, <=, LIMIT_VALUE_BYTES_MAX);
        put_bytes(out, c->value);
    }
    if (parts & PART_TXN) {
        put_bytes(out, c->txn);
    }
    if (parts & PART_EXPIRY) {
        CHECK(kv_expiry_is_sound(c->expiry));
        put_bytes(out, c->expiry);
    }
    if (parts & PART_AUTH) {
        put_bytes(out, c->auth);
    }
}

void kv_command_encode(const struct kv_command *c, struct buf *out)
{
    size_t before = out->size;
    buf_reserve(out, encoded_size(c));
    put_u8(out, COMMAND_FORMAT);
    bool has_retry = c->retry_key.size > 0;
    bool has_auth = c->auth_revision != 0;
    put_u8(out, (uint8_t)(c->op | (has_retry ? OP_HAS_RETRY : 0) | (has_auth ? OP_HAS_AUTH : 0)));
    put_varint(out, c->time_ms);
    if (has_auth) {
        put_varint(out, c->auth_revision);
    }
    CHECK(has(c, PART_KEY) || c->condition == KV_ALWAYS);
    put_parts(c, out);
    if (has_retry) {
        CHECK(has(c, PART_RETRY));
        put_retry(c, out);
    }
    CHECK_CMP(out->size - before, ==, encoded_size(c));
}

static bool get_condition(struct reader *r, struct kv_command *c)
{
    uint8_t condition = get_u8(r);
    if (condition > KV_IF_ABSENT) {
        return false;
    }
    c->condition = (enum kv_condition)condition;
    if (c->condition == KV_IF_REVISION) {
        c->condition_revision = get_varint(r);
    }
    return true;
}

static bool get_key(struct reader *r, struct kv_command *c)
{
    c->key = get_bytes(r);
    return c->key.size >= 1 && c->key.size <= LIMIT_KEY_BYTES;
}

static bool get_retry(struct reader *r, struct kv_command *c)
{
    c->retry_key = get_bytes(r);
    c->retry_hash[0] = get_u64(r);
    c->retry_hash[1] = get_u64(r);
    c->retry_origin = get_varint(r);
    return c->retry_key.size >= 1 && c->retry_key.size <= LIMIT_RETRY_KEY_BYTES;
}

static bool get_value(struct reader *r, struct kv_command *c)
{
    c->value = get_bytes(r);
    return c->value.size <= LIMIT_VALUE_BYTES_MAX;
}

static bool get_txn(struct reader *r, struct kv_command *c)
{
    struct kv_txn *txn;
    c->txn = get_bytes(r);
    enum status status = kv_txn_decode(c->txn, &txn);
    kv_txn_destroy(txn);
    return status == STATUS_OK;
}

static bool get_expiry(struct reader *r, struct kv_command *c)
{
    c->expiry = get_bytes(r);
    return kv_expiry_is_sound(c->expiry);
}

static bool get_auth(struct reader *r, struct kv_command *c)
{
    struct kv_auth_change change;
    c->auth = get_bytes(r);
    return kv_auth_decode(c->auth, &change) == STATUS_OK;
}

static bool get_numbers(struct reader *r, struct kv_command *c)
{
    unsigned parts = parts_of(c->op);
    c->revision = parts & PART_REVISION ? get_varint(r) : 0;
    c->lease = parts & PART_LEASE ? get_varint(r) : 0;
    c->ttl_s = parts & PART_TTL ? get_varint(r) : 0;
    return ((parts & PART_LEASE) == 0 || is_lease_sound(c)) &&
           ((parts & PART_TTL) == 0 || is_ttl_sound(c));
}

static bool get_parts(struct reader *r, struct kv_command *c)
{
    unsigned parts = parts_of(c->op);
    return parts != 0 && ((parts & PART_KEY) == 0 || (get_condition(r, c) && get_key(r, c))) &&
           get_numbers(r, c) && ((parts & PART_VALUE) == 0 || get_value(r, c)) &&
           ((parts & PART_TXN) == 0 || get_txn(r, c)) &&
           ((parts & PART_EXPIRY) == 0 || get_expiry(r, c)) &&
           ((parts & PART_AUTH) == 0 || get_auth(r, c));
}

enum status kv_command_decode(struct slice bytes, struct kv_command *c)
{
    *c = (struct kv_command){0};
    struct reader r = reader_of(bytes);
    uint8_t format = get_u8(&r);
    uint8_t op = get_u8(&r);
    bool has_retry = (op & OP_HAS_RETRY) != 0;
    bool has_auth = (op & OP_HAS_AUTH) != 0;
    op &= (uint8_t) ~(OP_HAS_RETRY | OP_HAS_AUTH);
    c->op = (enum kv_op)op;
    if (format != COMMAND_FORMAT || (has_retry && !has(c, PART_RETRY))) {
        return STATUS_CORRUPT;
    }
    c->time_ms = get_varint(&r);
    c->auth_revision = has_auth ? get_varint(&r) : 0;
    if (has_auth != (c->auth_revision != 0) || !get_parts(&r, c) ||
        (has_retry && !get_retry(&r, c)) || !reader_done(&r) || encoded_size(c) != bytes.size) {
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}
