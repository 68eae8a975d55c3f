/* kv/kv_auth_command.c - the bytes of a change of users, roles or permissions (kv_auth.h), which a
 * command carries.
 *
 *   kind u8 | by kind, in this order: user bytes, role bytes, then
 *     enable    token key, 32 bytes as they are
 *     add       no_password u8 | password bytes
 *     password  password bytes
 *     permit    permission u8 | key bytes | range_end bytes
 *     withdraw  key bytes | range_end bytes
 *   bytes: a varint length and the bytes. Numbers are in their shortest form. */
#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_auth.h"

#include <string.h>

static bool has_user(enum kv_auth_kind kind)
{
    return kind >= KV_AUTH_USER_ADD && kind <= KV_AUTH_USER_REVOKE;
}

static bool has_role(enum kv_auth_kind kind)
{
    return kind >= KV_AUTH_USER_GRANT;
}

static bool has_password(enum kv_auth_kind kind)
{
    return kind == KV_AUTH_USER_ADD || kind == KV_AUTH_USER_PASSWORD;
}

static bool has_span(enum kv_auth_kind kind)
{
    return kind == KV_AUTH_ROLE_PERMIT || kind == KV_AUTH_ROLE_WITHDRAW;
}

static bool is_name(struct slice name)
{
    return name.size >= 1 && name.size <= LIMIT_AUTH_NAME_BYTES;
}

bool kv_auth_span_is_sound(struct slice key, struct slice range_end)
{
    if (key.size < 1 || key.size > LIMIT_KEY_BYTES || range_end.size > LIMIT_KEY_BYTES) {
        return false;
    }
    struct kv_span span = kv_span_of(key, range_end);
    return span.kind != KV_SPAN_RANGE || slice_compare(key, range_end) < 0;
}

static bool is_sound(const struct kv_auth_change *c)
{
    return c->kind >= KV_AUTH_ENABLE && c->kind <= KV_AUTH_ROLE_WITHDRAW &&
           (!has_user(c->kind) || is_name(c->user)) && (!has_role(c->kind) || is_name(c->role)) &&
           c->password.size <= LIMIT_AUTH_HASH_BYTES &&
           (!c->no_password || (c->kind == KV_AUTH_USER_ADD && c->password.size == 0)) &&
           (!has_span(c->kind) || kv_auth_span_is_sound(c->key, c->range_end)) &&
           c->permission <= KV_PERMIT_BOTH;
}

void kv_auth_encode(const struct kv_auth_change *c, struct buf *out)
{
    CHECK(is_sound(c));
    put_u8(out, (uint8_t)c->kind);
    if (has_user(c->kind)) {
        put_bytes(out, c->user);
    }
    if (has_role(c->kind)) {
        put_bytes(out, c->role);
    }
    if (c->kind == KV_AUTH_ENABLE) {
        buf_append(out, c->token_key, sizeof(c->token_key));
    }
    if (c->kind == KV_AUTH_USER_ADD) {
        put_u8(out, c->no_password ? 1 : 0);
    }
    if (has_password(c->kind)) {
        put_bytes(out, c->password);
    }
    if (c->kind == KV_AUTH_ROLE_PERMIT) {
        put_u8(out, (uint8_t)c->permission);
    }
    if (has_span(c->kind)) {
        put_bytes(out, c->key);
        put_bytes(out, c->range_end);
    }
}

static void get_fields(struct reader *r, struct kv_auth_change *c)
{
    if (has_user(c->kind)) {
        c->user = get_bytes(r);
    }
    if (has_role(c->kind)) {
        c->role = get_bytes(r);
    }
    if (c->kind == KV_AUTH_ENABLE) {
        struct slice key = get_raw(r, sizeof(c->token_key));
        if (reader_ok(r)) {
            memcpy(c->token_key, key.data, key.size);
        }
    }
    if (c->kind == KV_AUTH_USER_ADD) {
        uint8_t no_password = get_u8(r);
        r->bad = r->bad || no_password > 1;
        c->no_password = no_password == 1;
    }
    if (has_password(c->kind)) {
        c->password = get_bytes(r);
    }
    if (c->kind == KV_AUTH_ROLE_PERMIT) {
        c->permission = (enum kv_permission)get_u8(r);
    }
    if (has_span(c->kind)) {
        c->key = get_bytes(r);
        c->range_end = get_bytes(r);
    }
}

enum status kv_auth_decode(struct slice bytes, struct kv_auth_change *c)
{
    struct reader r = reader_of(bytes);
    *c = (struct kv_auth_change){.kind = (enum kv_auth_kind)get_u8(&r)};
    get_fields(&r, c);
    if (!reader_done(&r) || !is_sound(c)) {
        return STATUS_CORRUPT;
    }
    /* Only lengths can be written in two ways. */
    struct buf again = {0};
    kv_auth_encode(c, &again);
    bool is_same = again.size == bytes.size;
    buf_deinit(&again);
    return is_same ? STATUS_OK : STATUS_CORRUPT;
}
