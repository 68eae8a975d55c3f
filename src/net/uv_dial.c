#include "net/uv_internal.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* A resolver outlives a connection that is closed meanwhile: libuv cannot take a running one
 * back. */
struct dial {
    struct list link;       /* loop->resolvers while it resolves, or alone */
    struct real_conn *conn; /* NULL: closed meanwhile */
    uv_getaddrinfo_t resolver;
    uv_connect_t request;
    struct addrinfo *addresses; /* NULL for a numeric host */
    struct addrinfo *next;
    struct sockaddr_storage numeric;
};

static void free_dial(struct dial *d)
{
    list_remove(&d->link);
    if (d->addresses != NULL) {
        uv_freeaddrinfo(d->addresses);
    }
    mem_free(d);
}

static void connect_to(struct real_conn *c, const struct sockaddr *address);

/* The socket of the failed attempt is closed: try the next address. */
static void on_closed_for_retry(uv_handle_t *handle)
{
    struct real_conn *c = handle->data;
    struct real_loop *l = loop_of_conn(c);
    uv_turn_begin(l);
    CHECK(uv_tcp_init(&l->uv, &c->tcp) == 0);
    c->tcp.data = c;
    if (c->stage == CONN_CLOSING) { /* closed by its owner meanwhile */
        c->stage = CONN_DIALLING;
        uv_conn_destroy(c, c->why);
        return;
    }
    struct addrinfo *address = c->dial->next;
    c->dial->next = address->ai_next;
    connect_to(c, address->ai_addr);
}

static void fail_attempt(struct real_conn *c)
{
    if (c->dial->next != NULL) {
        uv_close((uv_handle_t *)&c->tcp, on_closed_for_retry);
    } else {
        uv_conn_destroy(c, STATUS_UNREACHABLE);
    }
}

static void on_connected(uv_connect_t *request, int error)
{
    struct real_conn *c = request->handle->data;
    uv_turn_begin(loop_of_conn(c));
    if (c->stage != CONN_DIALLING || error == UV_ECANCELED) {
        return;
    }
    if (error != 0) {
        fail_attempt(c);
        return;
    }
    uv_dial_forget(c);
    c->stage = CONN_OPEN;
    uv_conn_opened(c);
    c->base.events->on_open(&c->base);
    uv_conn_start_reading(c);
}

static void connect_to(struct real_conn *c, const struct sockaddr *address)
{
    if (uv_tcp_connect(&c->dial->request, &c->tcp, address, on_connected) != 0) {
        fail_attempt(c);
    }
}

static void on_resolved(uv_getaddrinfo_t *resolver, int error, struct addrinfo *addresses)
{
    struct dial *d = CONTAINER_OF(resolver, struct dial, resolver);
    uv_turn_begin(resolver->loop->data);
    list_remove(&d->link);
    d->addresses = addresses;
    struct real_conn *c = d->conn;
    if (c == NULL) {
        free_dial(d);
        return;
    }
    if (error != 0 || addresses == NULL) {
        uv_conn_destroy(c, STATUS_UNREACHABLE);
        return;
    }
    d->next = addresses->ai_next;
    connect_to(c, addresses->ai_addr);
}

static bool parse_numeric(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    return uv_ip4_addr(host, port, (struct sockaddr_in *)address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)address) == 0;
}

struct conn *uv_dial(struct loop *loop, const char *host, uint16_t port,
                     const struct conn_events *events, void *context)
{
    struct real_loop *l = real_loop_of(loop);
    struct real_conn *c = uv_conn_create(l);
    c->base.events = events;
    c->base.context = context;
    conn_favour(&c->base);
    snprintf(c->base.remote, sizeof(c->base.remote), "%.57s:%u", host, (unsigned)port);
    struct dial *d = mem_calloc(1, sizeof(*d));
    list_init(&d->link);
    d->conn = c;
    c->dial = d;
    if (parse_numeric(host, port, &d->numeric)) {
        connect_to(c, (const struct sockaddr *)&d->numeric);
        return &c->base;
    }
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    if (uv_getaddrinfo(&l->uv, &d->resolver, on_resolved, host, service, &hints) != 0) {
        uv_conn_destroy(c, STATUS_UNREACHABLE);
        return &c->base;
    }
    list_push_back(&l->resolvers, &d->link);
    return &c->base;
}

void uv_dial_abandon(struct real_conn *c)
{
    struct dial *d = c->dial;
    if (d != NULL && !list_is_empty(&d->link)) {
        c->dial = NULL;
        d->conn = NULL; /* on_resolved frees it */
        uv_cancel((uv_req_t *)&d->resolver);
    }
}

void uv_dial_forget(struct real_conn *c)
{
    if (c->dial != NULL) {
        free_dial(c->dial);
        c->dial = NULL;
    }
}

void uv_dial_cancel_all(struct real_loop *l)
{
    for (struct list *link = l->resolvers.next; link != &l->resolvers; link = link->next) {
        uv_cancel((uv_req_t *)&CONTAINER_OF(link, struct dial, link)->resolver);
    }
}
