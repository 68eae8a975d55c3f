/* node/peer_url.h - the URL of a member, taken apart for dialling: http://HOST:PORT[/].
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets; the port may be left out (80). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PEER_HOST_SIZE 256

struct peer_url {
    char host[PEER_HOST_SIZE]; /* without brackets */
    uint16_t port;
};

bool peer_url_parse(const char *text, struct peer_url *url);
