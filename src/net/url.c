#include "net/url.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static enum status refuse(const char **why, const char *text)
{
    if (why != NULL) {
        *why = text;
    }
    return STATUS_INVALID;
}

static enum status parse_port(const char *text, size_t size, uint16_t *port, const char **why)
{
    uint32_t value = 0;
    if (size == 0 || size > 5) {
        return refuse(why, "the port is not a number from 1 to 65535");
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return refuse(why, "the port is not a number from 1 to 65535");
        }
        value = 10 * value + (uint32_t)(text[i] - '0');
    }
    if (value == 0 || value > UINT16_MAX) {
        return refuse(why, "the port is not a number from 1 to 65535");
    }
    *port = (uint16_t)value;
    return STATUS_OK;
}

static bool is_host_byte(char c, bool in_brackets)
{
    return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_' ||
           (in_brackets && (c == ':' || c == '%'));
}

static enum status take_host(const char *text, size_t size, bool in_brackets, struct url *u,
                             const char **why)
{
    if (size == 0) {
        return refuse(why, "the host is missing");
    }
    if (size >= sizeof(u->host)) {
        return refuse(why, "the host is too long");
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_host_byte(text[i], in_brackets)) {
            return refuse(why, text[i] == ':' ? "an IPv6 address needs brackets"
                                              : "the host has a character that no host has");
        }
    }
    memcpy(u->host, text, size);
    u->host[size] = '\0';
    return STATUS_OK;
}

/* Where host and port are parted; NULL: there is no port. */
static const char *find_colon(const char *text, size_t size, bool in_brackets)
{
    if (!in_brackets) {
        return memrchr(text, ':', size);
    }
    const char *bracket = memchr(text, ']', size);
    return bracket != NULL && bracket + 1 < text + size && bracket[1] == ':' ? bracket + 1 : NULL;
}

enum status url_parse(const char *text, struct url *u, const char **why)
{
    memset(u, 0, sizeof(*u));
    u->is_tls = strncasecmp(text, "https://", 8) == 0;
    bool has_scheme = u->is_tls || strncasecmp(text, "http://", 7) == 0;
    if (has_scheme) {
        text += u->is_tls ? 8 : 7;
    }
    size_t size = strlen(text);
    if (size > 0 && text[size - 1] == '/') {
        size--;
    }
    if (memchr(text, '/', size) != NULL || memchr(text, '?', size) != NULL) {
        return refuse(why,
                      "only http://host:port or https://host:port is expected, without a path");
    }
    if (memchr(text, '@', size) != NULL) {
        return refuse(why, "a user in the address is not supported");
    }
    bool in_brackets = size > 0 && text[0] == '[';
    const char *colon = find_colon(text, size, in_brackets);
    size_t host_size = colon != NULL ? (size_t)(colon - text) : size;
    if (colon == NULL && !has_scheme) {
        return refuse(why, "the port is missing; write host:port");
    }
    u->port = u->is_tls ? 443 : 80;
    if (colon != NULL) {
        enum status status = parse_port(colon + 1, size - host_size - 1, &u->port, why);
        if (status != STATUS_OK) {
            return status;
        }
    }
    if (!in_brackets) {
        return take_host(text, host_size, false, u, why);
    }
    if (host_size < 2 || text[host_size - 1] != ']') {
        return refuse(why, "a bracket is not closed");
    }
    if (memchr(text, ':', host_size) == NULL) {
        return refuse(why, "only an IPv6 address stands in brackets");
    }
    return take_host(text + 1, host_size - 2, true, u, why);
}

void url_format(const struct url *u, char *text, size_t size)
{
    bool is_ipv6 = strchr(u->host, ':') != NULL;
    snprintf(text, size, is_ipv6 ? "%s://[%s]:%u" : "%s://%s:%u", u->is_tls ? "https" : "http",
             u->host, (unsigned)u->port);
}

struct conn *url_dial(struct loop *l, const struct url *u, const char *protocol,
                      const struct conn_events *events, void *context)
{
    if (u->is_tls && l->ops->dial_tls != NULL) {
        return l->ops->dial_tls(l, u->host, u->port, protocol, events, context);
    }
    struct conn *c = l->ops->dial(l, u->host, u->port, events, context);
    if (u->is_tls) {
        l->ops->conn_close(c, false);
    }
    return c;
}
