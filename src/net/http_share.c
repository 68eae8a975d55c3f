/* net/http_share.c - room for the bodies of requests, which connections share, and who is refused
 * when it is used up. */
#include "net/http_internal.h"

#include "base/limits.h"

bool http_share_charge(struct exchange *e, uint64_t body_bytes)
{
    struct http_server *s = e->server;
    if (body_bytes <= LIMIT_BODY_SMALL_BYTES || body_bytes <= e->body_charged) {
        return true;
    }
    uint64_t more = body_bytes - e->body_charged;
    bool is_alone = s->body_bytes == e->body_charged;
    if (!is_alone && s->body_bytes + more > s->options.bodies_max) {
        s->refusals.bodies++;
        return false;
    }
    s->body_bytes += more;
    e->body_charged = body_bytes;
    return true;
}

void http_share_release(struct exchange *e)
{
    e->server->body_bytes -= e->body_charged;
    e->body_charged = 0;
}

bool http_share_admit(struct http_connection *c, struct exchange *e)
{
    struct http_server *s = c->server;
    const struct http_handler *h = &s->handler;
    uint64_t bytes_max = h->body_bytes_max(h->context, &e->request);
    uint64_t bytes = http_parser_head(e->parser)->content_length;
    http_parser_limit_body(e->parser, bytes_max);
    if (bytes <= LIMIT_BODY_SMALL_BYTES || bytes > bytes_max) {
        return true; /* or the parser says that it is too long */
    }
    if (h->is_overloaded == NULL || !h->is_overloaded(h->context, &e->request, bytes)) {
        return true;
    }
    s->refusals.bodies++;
    http_connection_refuse(c, 429, "Too many writes are waiting");
    return false;
}
