/* net/url.h - where a member or a server listens, as people write it: "http://host:port" or
 * "host:port". No paths, no users, no https. */
#pragma once

#include "base/limits.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct url {
    char host[256]; /* without brackets */
    uint16_t port;
};

/* Room for what url_format writes. */
#define URL_TEXT_BYTES (sizeof(((struct url *)0)->host) + sizeof("http://[]:65535"))

/* INVALID: `text` is no such address, and *why says so in words, static. `why` may be NULL.
 * A port may be missing only after "http://" (80). One slash at the end is forgiven. */
enum status MUST_CHECK url_parse(const char *text, struct url *u, const char **why);
/* "http://host:port", an IPv6 address in brackets. */
void url_format(const struct url *u, char *text, size_t size);
