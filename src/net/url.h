/* net/url.h - where a member or a server listens, as people write it: "http://host:port",
 * "https://host:port" or "host:port". No paths, no users. */
#pragma once

#include "base/limits.h"
#include "base/status.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct url {
    char host[256]; /* without brackets */
    uint16_t port;
    bool is_tls; /* https */
};

/* Room for what url_format writes. */
#define URL_TEXT_BYTES (sizeof(((struct url *)0)->host) + sizeof("https://[]:65535"))

/* INVALID: `text` is no such address, and *why says so in words, static. `why` may be NULL.
 * A port may be missing only after "http://" (80) or "https://" (443). One slash at the end is
 * forgiven. */
enum status MUST_CHECK url_parse(const char *text, struct url *u, const char **why);
/* "http://host:port" or "https://host:port", an IPv6 address in brackets. */
void url_format(const struct url *u, char *text, size_t size);
/* Dial it, encrypted if it says so (net/loop.h: dial, dial_tls). A loop that cannot encrypt closes
 * the conn at once. */
struct conn *url_dial(struct loop *l, const struct url *u, const char *protocol,
                      const struct conn_events *events, void *context);
