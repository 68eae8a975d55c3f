/* api/auth_token.h - what a user who has logged in shows instead of his password.
 *
 * Nobody keeps tokens: one says whose it is, of which auth revision and when it was made, under a
 * code (HMAC) that the members of this cluster alone can make, by a key that is part of the
 * replicated state while auth is on. So any member knows any member's tokens, and all of them end
 * when auth is switched off.
 *
 *   token = base64url( format u8 = 1 | made at, ms varint | auth revision varint | user bytes
 *                      | code of the cluster's UUID and all before, 32 bytes ) */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_KEY_BYTES 32u
/* By the members' wall clocks; and how far ahead of this one's another's may be. */
#define TOKEN_LIFE_MS   (30u * 60u * 1000u)
#define TOKEN_SKEW_MS   (5u * 60u * 1000u)

struct token {
    uint64_t made_ms;
    uint64_t revision;
    size_t user_size;
    char user[LIMIT_AUTH_NAME_BYTES];
};

/* Append the text; `user` is 1 to LIMIT_AUTH_NAME_BYTES. */
void token_append(const uint8_t key[TOKEN_KEY_BYTES], struct uuid cluster, struct slice user,
                  uint64_t revision, uint64_t now_ms, struct buf *out);
/* False: not made under this key for this cluster, or its time is over. Takes the same time however
 * much of the code is right. */
bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct uuid cluster, struct slice text,
                uint64_t now_ms, struct token *token);
