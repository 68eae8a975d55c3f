/* net/http_room.c - when all places for connections are taken.
 *
 * A newcomer gets the place of one that asks for nothing and has taken all its answers, first of
 * those that never have asked, for the longest: whoever holds connections, thousands of them, keeps
 * nobody else out. When all ask for something, the newcomer may at least say what he wants: a
 * member's link and a probe of its health are let in, the others are told to go. */
#include "net/http_internal.h"

#include "base/limits.h"

/* Looked at for one newcomer; those who stay are looked at again after all others. */
#define LOOKED_AT 64

/* Or is about to take what it has asked for. */
static bool asks_for_something(const struct http_connection *c)
{
    return c->in_progress > 0 || c->is_closed || c->conn->loop->ops->conn_unsent(c->conn) > 0;
}

/* Since when it has asked for nothing whole. */
static uint64_t idle_from_ms(const struct http_connection *c)
{
    return c->reading != NULL ? c->started_ms : c->idle_from_ms;
}

/* Who has never asked for anything goes before who has. */
static bool goes_before(const struct http_connection *a, const struct http_connection *b)
{
    return a->is_client != b->is_client ? !a->is_client : idle_from_ms(a) < idle_from_ms(b);
}

/* Of those that are looked at, the one that goes first; or NULL. */
static struct http_connection *find_idle(struct http_server *s)
{
    struct http_connection *idle = NULL;
    uint32_t count = s->connection_count < LOOKED_AT ? s->connection_count : LOOKED_AT;
    for (uint32_t i = 0; i < count; i++) {
        struct list *link = list_pop_front(&s->connections);
        struct http_connection *c = CONTAINER_OF(link, struct http_connection, link);
        list_push_back(&s->connections, link);
        bool is_idle = !asks_for_something(c) && list_is_empty(&c->beyond);
        if (is_idle && (idle == NULL || goes_before(c, idle))) {
            idle = c;
        }
    }
    return idle;
}

static bool reset(struct http_server *s, struct http_connection *idle)
{
    if (idle != NULL) {
        http_connection_abort(idle);
        s->closed_for_room++;
    }
    return idle != NULL;
}

/* Those that came when all places were taken and have said nothing whole since, the oldest first.
 */
static struct http_connection *find_idle_beyond(struct http_server *s)
{
    for (struct list *link = s->beyond.next; link != &s->beyond; link = link->next) {
        struct http_connection *c = CONTAINER_OF(link, struct http_connection, beyond);
        if (!asks_for_something(c)) {
            return c;
        }
    }
    return NULL;
}

static bool make_room_http2(struct http_server *s)
{
    bool is_made = s->make_room_http2 != NULL && s->make_room_http2(s->http2_context);
    s->closed_for_room += is_made ? 1 : 0;
    return is_made;
}

enum http_place http_find_place(struct http_server *s)
{
    uint32_t http2 = s->count_http2 != NULL ? s->count_http2(s->http2_context) : 0;
    uint32_t count = s->connection_count + http2;
    uint32_t max = s->options.connections_max;
    uint32_t beyond = max / 8 < LIMIT_CONNECTIONS_REFUSED ? max / 8 + 1 : LIMIT_CONNECTIONS_REFUSED;
    if (count < max) {
        return HTTP_PLACE_FREE;
    }
    bool is_made = http2 > s->connection_count ? make_room_http2(s) || reset(s, find_idle(s))
                                               : reset(s, find_idle(s)) || make_room_http2(s);
    if (is_made) {
        return HTTP_PLACE_FREE;
    }
    bool has_room = count < max + beyond || reset(s, find_idle_beyond(s));
    return has_room ? HTTP_PLACE_BEYOND : HTTP_PLACE_NONE;
}
