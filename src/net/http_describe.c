/* net/http_describe.c - what the head of a request asks for. */
#include "net/http_internal.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    {"GET", HTTP_GET},   {"PUT", HTTP_PUT},       {"POST", HTTP_POST},
    {"HEAD", HTTP_HEAD}, {"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
};

/* Methods are compared as they are: "get" is another one. */
static enum http_method find_method(struct slice name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (slice_equal(name, slice_str(methods[i].name))) {
            return methods[i].method;
        }
    }
    return HTTP_OTHER;
}

/* Take "http://host" away from a target, over TLS "https://host". False: it is neither a path nor
 * such a URL nor "*". */
static bool find_path(struct slice target, bool is_tls, struct slice *path, struct slice *host)
{
    const char *scheme = is_tls ? "https://" : "http://";
    size_t begin = strlen(scheme);
    *path = target;
    if (target.data[0] == '/' || (target.size == 1 && target.data[0] == '*')) {
        return true;
    }
    if (target.size <= begin || strncasecmp((const char *)target.data, scheme, begin) != 0) {
        return false;
    }
    size_t at = begin;
    while (at < target.size && target.data[at] != '/' && target.data[at] != '?') {
        at++;
    }
    *host = slice_of(target.data + begin, at - begin);
    *path = slice_of(target.data + at, target.size - at);
    return at > begin;
}

/* Whoever stands before us may have looked at the one, and we at the other. */
static bool is_same_host(const struct http_request *r, struct slice host)
{
    struct slice header = http_header_find(r, "host");
    return host.size == 0 || header.data == NULL ||
           (header.size == host.size &&
            strncasecmp((const char *)header.data, (const char *)host.data, host.size) == 0);
}

bool exchange_describe(struct exchange *e)
{
    const struct http_head *head = http_parser_head(e->parser);
    struct http_request *r = &e->request;
    r->method_name = head->method;
    r->method = find_method(head->method);
    r->target = head->target;
    r->headers = head->headers;
    r->header_count = head->header_count;
    r->conn = e->connection->conn;
    e->keep_alive = head->keep_alive;
    e->is_http_1_0 = head->is_http_1_0;
    struct slice host = {0};
    if (!find_path(head->target, r->conn->tls != NULL, &r->path, &host) || !is_same_host(r, host)) {
        return false;
    }
    const uint8_t *mark = r->path.size > 0 ? memchr(r->path.data, '?', r->path.size) : NULL;
    if (mark != NULL) {
        size_t size = (size_t)(mark - r->path.data);
        r->query = slice_of(mark + 1, r->path.size - size - 1);
        r->path.size = size;
    }
    if (r->path.size == 0) {
        r->path = slice_str("/"); /* http://host and http://host?query */
    }
    return true;
}
