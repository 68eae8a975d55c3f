#include "client/identity.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <sodium.h>

static char *own_name;
static char *own_password;
static char *own_header;

/* As a string of C has none: its half would be another password. */
static bool has_zero_byte(struct slice text)
{
    return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

/* NAME:PASSWORD in base64. */
static char *make_header(struct slice name, struct slice password)
{
    struct buf pair = {0};
    buf_append_slice(&pair, name);
    buf_append_byte(&pair, ':');
    buf_append_slice(&pair, password);
    size_t size = sodium_base64_ENCODED_LEN(pair.size, sodium_base64_VARIANT_ORIGINAL);
    char *text = mem_alloc(size);
    sodium_bin2base64(text, size, pair.data, pair.size, sodium_base64_VARIANT_ORIGINAL);
    char *header = mem_printf("Authorization: Basic %s\r\n", text);
    mem_free(text);
    buf_deinit(&pair);
    return header;
}

enum status identity_set(struct slice name, struct slice password)
{
    CHECK(own_name == NULL);
    if (name.size == 0 || name.size > LIMIT_AUTH_NAME_BYTES ||
        password.size > LIMIT_PASSWORD_BYTES || memchr(name.data, ':', name.size) != NULL ||
        !utf8_is_valid(name) || !utf8_is_valid(password) || has_zero_byte(name) ||
        has_zero_byte(password)) {
        return STATUS_INVALID;
    }
    own_name = mem_strndup((const char *)name.data, name.size);
    own_password = mem_strndup((const char *)password.data, password.size);
    own_header = make_header(name, password);
    return STATUS_OK;
}

const char *identity_name(void)
{
    return own_name;
}

const char *identity_password(void)
{
    return own_password;
}

const char *identity_header(void)
{
    return own_header != NULL ? own_header : "";
}
