#include "api/auth_token.h"

#include "base/check.h"
#include "base/codec.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define TOKEN_FORMAT 1u
#define CODE_BYTES   crypto_auth_BYTES
#define VARIANT      sodium_base64_VARIANT_URLSAFE_NO_PADDING
/* Format, two numbers, and a name with its length. */
#define BODY_BYTES   (1u + 10u + 10u + 2u + LIMIT_AUTH_NAME_BYTES)

static_assert(TOKEN_KEY_BYTES == crypto_auth_KEYBYTES, "a token's key is one of crypto_auth");

static void make_code(const uint8_t key[TOKEN_KEY_BYTES], struct uuid cluster, struct slice body,
                      uint8_t code[CODE_BYTES])
{
    uint8_t text[sizeof(cluster.bytes) + BODY_BYTES];
    CHECK_CMP(body.size, <=, BODY_BYTES);
    memcpy(text, cluster.bytes, sizeof(cluster.bytes));
    memcpy(text + sizeof(cluster.bytes), body.data, body.size);
    crypto_auth(code, text, sizeof(cluster.bytes) + body.size, key);
}

void token_append(const uint8_t key[TOKEN_KEY_BYTES], struct uuid cluster, struct slice user,
                  uint64_t revision, uint64_t now_ms, struct buf *out)
{
    struct buf bytes = {0};
    uint8_t code[CODE_BYTES];
    put_u8(&bytes, TOKEN_FORMAT);
    put_varint(&bytes, now_ms);
    put_varint(&bytes, revision);
    put_bytes(&bytes, user);
    make_code(key, cluster, buf_slice(&bytes), code);
    buf_append(&bytes, code, sizeof(code));
    size_t size = sodium_base64_encoded_len(bytes.size, VARIANT); /* with a zero at the end */
    sodium_bin2base64((char *)buf_reserve(out, size), size, bytes.data, bytes.size, VARIANT);
    out->size += size - 1;
    buf_deinit(&bytes);
}

static bool read_body(struct slice body, uint64_t now_ms, struct token *token)
{
    struct reader r = reader_of(body);
    uint8_t format = get_u8(&r);
    token->made_ms = get_varint(&r);
    token->revision = get_varint(&r);
    struct slice user = get_bytes(&r);
    if (!reader_done(&r) || format != TOKEN_FORMAT || user.size < 1 ||
        user.size > LIMIT_AUTH_NAME_BYTES) {
        return false;
    }
    memcpy(token->user, user.data, user.size);
    token->user_size = user.size;
    return now_ms >= token->made_ms ? now_ms - token->made_ms < TOKEN_LIFE_MS
                                    : token->made_ms - now_ms < TOKEN_SKEW_MS;
}

bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct uuid cluster, struct slice text,
                uint64_t now_ms, struct token *token)
{
    uint8_t bytes[BODY_BYTES + CODE_BYTES];
    size_t size = 0;
    const char *end = NULL;
    if (text.size == 0 || sodium_base642bin(bytes, sizeof(bytes), (const char *)text.data,
                                            text.size, NULL, &size, &end, VARIANT) != 0) {
        return false;
    }
    if (end != (const char *)text.data + text.size || size <= CODE_BYTES) {
        return false;
    }
    struct slice body = slice_of(bytes, size - CODE_BYTES);
    uint8_t code[CODE_BYTES];
    make_code(key, cluster, body, code);
    return sodium_memcmp(code, bytes + body.size, sizeof(code)) == 0 &&
           read_body(body, now_ms, token);
}
