/* Who asks, as a stranger says it: headers, tokens, addresses, and guesses in any order. Nobody
 * gets in by any of it, and what counts guesses stays in step with those that are being checked. */
#include "fakes.h"

#include "api/auth_guesses.h"
#include "api/auth_token.h"
#include "base/check.h"
#include "base/mem.h"
#include "kv/kv_auth.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define HEADER_MAX 2048u
#define PENDING    8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void change(struct kv_auth_change c)
{
    struct buf bytes = {0};
    struct kv_result result;
    kv_auth_encode(&c, &bytes);
    const struct kv_command command = {.op = KV_AUTH, .auth = buf_slice(&bytes)};
    kv_apply(fake_node.kv, &command, &result);
    buf_deinit(&bytes);
    CHECK(result.status == STATUS_OK);
}

static void switch_on(void)
{
    struct kv_auth_change root = {
        .kind = KV_AUTH_USER_ADD, .user = slice_str("root"), .no_password = true};
    change(root);
    root.kind = KV_AUTH_USER_GRANT;
    root.no_password = false;
    root.role = slice_str("root");
    change(root);
    struct kv_auth_change enable = {.kind = KV_AUTH_ENABLE};
    randombytes_buf(enable.token_key, sizeof(enable.token_key));
    change(enable);
}

static void try_header(struct slice text)
{
    char header[HEADER_MAX + 32];
    if (text.size > HEADER_MAX || memchr(text.data, '\n', text.size) != NULL ||
        memchr(text.data, 0, text.size) != NULL) {
        return;
    }
    snprintf(header, sizeof(header), "Authorization: %.*s\n", (int)text.size,
             (const char *)text.data);
    struct asked *a = ask("GET", "/key/secret", header, slice_of(NULL, 0));
    fake_pass(1);
    fake_turn();
    CHECK(a->done && (a->status == 401 || a->status == 429));
    forget(a);
}

static void try_token(struct slice text)
{
    struct token token;
    const struct uuid cluster = {.bytes = {1}};
    uint8_t key[TOKEN_KEY_BYTES];
    randombytes_buf(key, sizeof(key));
    CHECK(!token_read(key, cluster, text, 0, &token));
}

static void try_address(struct slice text)
{
    char *copy = mem_alloc(text.size + 1);
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    (void)guess_address_of(copy);
    mem_free(copy);
}

/* A byte each: who tries, and what becomes of it. */
static void try_guesses(struct slice script)
{
    static const char *const users[] = {"a", "b", "c", "d"};
    static const char *const places[] = {"10.0.0.1:1", "10.0.0.2:1", "[2001:db8::1]:1", ""};
    struct guesses *g = guesses_create();
    struct guess pending[PENDING];
    uint32_t count = 0;
    uint64_t now_ms = 1000;
    for (size_t i = 0; i < script.size; i++) {
        uint8_t b = script.data[i];
        now_ms += (uint64_t)(b >> 6) * 700;
        const struct guess guess = {.user = slice_str(users[b & 3]),
                                    .from = guess_address_of(places[b >> 2 & 3]),
                                    .now_ms = now_ms};
        if ((b & 16) == 0 && count < PENDING && guess_begin(g, &guess) == 0) {
            pending[count++] = guess;
        } else if ((b & 16) != 0 && count > 0) {
            pending[--count].now_ms = now_ms;
            guess_end(g, &pending[count], (b & 32) != 0 ? GUESS_WRONG : GUESS_RIGHT);
        }
    }
    while (count > 0) {
        guess_end(g, &pending[--count], GUESS_WRONG);
    }
    const struct guess elsewhere = {
        .user = slice_str("a"), .from = guess_address_of("10.9.9.9:1"), .now_ms = now_ms};
    CHECK(guess_begin(g, &elsewhere) == 0); /* nobody waits for others */
    guesses_destroy(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice rest = slice_of(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        CHECK(fake_setup(NULL) == 0);
        switch_on();
        try_header(rest);
        CHECK(fake_teardown(NULL) == 0);
        break;
    case 1:
        try_token(rest);
        break;
    case 2:
        try_address(rest);
        break;
    default:
        try_guesses(rest);
        break;
    }
    return 0;
}
