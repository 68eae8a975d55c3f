/* net/http_share.c - what connections share, and who is refused when it is used up: room for
 * connections, and for the bodies of requests. */
#include "net/http_internal.h"

#include "base/limits.h"

/* --- bodies ----------------------------------------------------------------------------------- */

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
    if (h->is_overloaded != NULL && h->is_overloaded(h->context, &e->request, bytes)) {
        s->refusals.bodies++;
    } else if (http_share_charge(e, bytes)) {
        return true;
    }
    http_connection_refuse(c, 429, HTTP_MANY_BODIES);
    return false;
}

/* --- connections ------------------------------------------------------------------------------ */

bool http_share_hears(struct http_connection *c, struct exchange *e)
{
    const struct http_handler *h = &c->server->handler;
    if (!c->is_guest) {
        return true;
    }
    if (!h->is_vital(h->context, &e->request)) {
        http_connection_refuse(c, 503, "Too many connections");
        return false;
    }
    e->keep_alive = false;
    return true;
}

void http_share_forget_guest(struct http_connection *c)
{
    if (c->is_guest) {
        c->is_guest = false;
        c->server->guest_count--;
        list_remove(&c->guest);
    }
}

void http_share_take_guest(struct http_connection *c)
{
    struct http_server *s = c->server;
    s->refusals.connections++;
    if (s->guest_count >= s->options.guests_max) {
        struct http_connection *oldest =
            CONTAINER_OF(s->guests.next, struct http_connection, guest);
        http_share_forget_guest(oldest);
        oldest->is_closed = true; /* it may only be on its way out: that ends, too */
        oldest->conn->loop->ops->conn_close(oldest->conn, false);
    }
    c->is_guest = true;
    s->guest_count++;
    list_push_back(&s->guests, &c->guest);
}
