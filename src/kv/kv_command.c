/* kv/kv_command.c - the bytes of a command, as they stand in the log.
 *
 *   format u8 = 1 | op u8 | time varint | by op:
 *     put      condition | key bytes | lease varint | value bytes | [retry]
 *     delete   condition | key bytes | [retry]
 *     compact  revision varint
 *     document content bytes | [retry]
 *   condition: kind u8, and for KV_IF_REVISION the revision as a varint.
 *   retry: key bytes | hash 2 u64 | origin varint; there when op has its highest bit set.
 *   bytes: a varint length and the bytes. Numbers are in their shortest form. */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv.h"

#define COMMAND_FORMAT 1u
#define OP_HAS_RETRY   0x80u

static bool has_key(const struct kv_command *c)
{
    return c->op == KV_PUT || c->op == KV_DELETE;
}

static bool has_value(const struct kv_command *c)
{
    return c->op == KV_PUT || c->op == KV_DOCUMENT;
}

/* What encode would write, so that decode can refuse numbers in a longer form than the shortest. */
static size_t encoded_size(const struct kv_command *c)
{
    size_t size = 2 + varint_size(c->time_ms);
    if (c->op == KV_COMPACT) {
        return size + varint_size(c->revision);
    }
    if (has_key(c)) {
        size += 1 + (c->condition == KV_IF_REVISION ? varint_size(c->condition_revision) : 0);
        size += varint_size(c->key.size) + c->key.size;
    }
    size += c->op == KV_PUT ? varint_size(c->lease) : 0;
    size += has_value(c) ? varint_size(c->value.size) + c->value.size : 0;
    if (c->retry_key.size > 0) {
        size += varint_size(c->retry_key.size) + c->retry_key.size + sizeof(c->retry_hash) +
                varint_size(c->retry_origin);
    }
    return size;
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

void kv_command_encode(const struct kv_command *c, struct buf *out)
{
    size_t before = out->size;
    buf_reserve(out, encoded_size(c));
    put_u8(out, COMMAND_FORMAT);
    bool has_retry = c->retry_key.size > 0;
    put_u8(out, (uint8_t)(c->op | (has_retry ? OP_HAS_RETRY : 0)));
    put_varint(out, c->time_ms);
    CHECK(has_key(c) || c->condition == KV_ALWAYS);
    if (c->op == KV_COMPACT) {
        CHECK(!has_retry);
        put_varint(out, c->revision);
    }
    if (has_key(c)) {
        put_key(c, out);
    }
    if (c->op == KV_PUT) {
        put_varint(out, c->lease);
    }
    if (has_value(c)) {
        CHECK_CMP(c->value.size, <=, LIMIT_VALUE_BYTES_MAX);
        put_bytes(out, c->value);
    }
    if (has_retry) {
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

static bool get_by_op(struct reader *r, struct kv_command *c)
{
    switch (c->op) {
    case KV_PUT:
        if (!get_condition(r, c) || !get_key(r, c)) {
            return false;
        }
        c->lease = get_varint(r);
        return get_value(r, c);
    case KV_DELETE:
        return get_condition(r, c) && get_key(r, c);
    case KV_COMPACT:
        c->revision = get_varint(r);
        return true;
    case KV_DOCUMENT:
        return get_value(r, c);
    }
    return false;
}

enum status kv_command_decode(struct slice bytes, struct kv_command *c)
{
    *c = (struct kv_command){0};
    struct reader r = reader_of(bytes);
    uint8_t format = get_u8(&r);
    uint8_t op = get_u8(&r);
    bool has_retry = (op & OP_HAS_RETRY) != 0;
    op &= (uint8_t)~OP_HAS_RETRY;
    if (format != COMMAND_FORMAT || (has_retry && op == KV_COMPACT)) {
        return STATUS_CORRUPT;
    }
    c->op = (enum kv_op)op;
    c->time_ms = get_varint(&r);
    if (!get_by_op(&r, c) || (has_retry && !get_retry(&r, c)) || !reader_done(&r) ||
        encoded_size(c) != bytes.size) {
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}
