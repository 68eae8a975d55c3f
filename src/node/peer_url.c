#include "node/peer_url.h"

#include "base/limits.h"

#include <string.h>

#define SCHEME       "http://"
#define DEFAULT_PORT 80

static bool is_host_char(char c, bool bracketed)
{
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return alnum || c == '.' || c == '-' || c == '_' || (bracketed && (c == ':' || c == '%'));
}

/* 1-65535 in decimal, then an optional slash and the end. */
static bool parse_port(const char *at, uint16_t *port)
{
    uint32_t value = 0;
    size_t digits = 0;
    for (; at[digits] >= '0' && at[digits] <= '9' && digits < 6; digits++) {
        value = value * 10 + (uint32_t)(at[digits] - '0');
    }
    at += digits;
    if (digits == 0 || value == 0 || value > UINT16_MAX || (strcmp(at, "") && strcmp(at, "/"))) {
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

bool peer_url_parse(const char *text, struct peer_url *url)
{
    *url = (struct peer_url){.port = DEFAULT_PORT};
    if (strlen(text) >= LIMIT_URL_BYTES || strncmp(text, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    const char *at = text + strlen(SCHEME);
    bool bracketed = *at == '[';
    at += bracketed ? 1 : 0;
    size_t size = 0;
    while (is_host_char(at[size], bracketed)) {
        size++;
    }
    if (size == 0 || size >= sizeof(url->host)) {
        return false;
    }
    memcpy(url->host, at, size);
    at += size;
    if (bracketed && *at++ != ']') {
        return false;
    }
    if (*at == ':') {
        return parse_port(at + 1, &url->port);
    }
    return strcmp(at, "") == 0 || strcmp(at, "/") == 0;
}
