#include "tls_world.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static struct tls_world *world_of(const struct conn *c)
{
    return c->context;
}

static struct tls_side *side_of(const struct conn *c)
{
    struct tls_world *w = world_of(c);
    return c->loop == w->client.loop ? &w->client : &w->server;
}

static void tell(const struct conn *c, char letter)
{
    struct tls_world *w = world_of(c);
    CHECK(w->logged + 1 < sizeof(w->log));
    w->log[w->logged++] = (char)(side_of(c) == &w->client ? letter - 'a' + 'A' : letter);
}

static void on_open(struct conn *c)
{
    tell(c, 'o');
}

static void on_data(struct conn *c, struct slice data)
{
    buf_append_slice(&side_of(c)->got, data);
}

static void on_drain(struct conn *c)
{
    tell(c, 'd');
}

static void on_end(struct conn *c)
{
    tell(c, 'e');
    if (side_of(c)->is_ended_too) {
        c->loop->ops->conn_close(c, true);
    }
}

static void on_close(struct conn *c, enum status why)
{
    struct tls_side *s = side_of(c);
    tell(c, 'c');
    s->why = why;
    s->conn = NULL;
    snprintf(s->trouble, sizeof(s->trouble), "%s", c->tls->trouble != NULL ? c->tls->trouble : "");
}

static const struct conn_events events = {.on_open = on_open,
                                          .on_data = on_data,
                                          .on_drain = on_drain,
                                          .on_end = on_end,
                                          .on_close = on_close};

static void on_accept(void *context, struct conn *c)
{
    struct tls_world *w = context;
    c->events = &events;
    c->context = w;
    w->server.conn = c;
    tell(c, 'o');
}

static void start_side(struct tls_side *s, struct tls *tls)
{
    CHECK(tls != NULL);
    fake_loop_init(&s->fake);
    s->tls = tls;
    s->loop = tls_loop_create(&s->fake.base, tls);
}

void tls_world_begin(struct tls_world *w)
{
    *w = (struct tls_world){.piece = 65536, .protocol = "http/1.1"};
    tls_files_make(&w->files);
}

void tls_world_start(struct tls_world *w, enum tls_client_auth client_auth, const char *name,
                     const char *ca)
{
    tls_world_begin(w);
    tls_world_start_with(w,
                         &(struct tls_options){
                             .cert = "node", .key = "node", .ca = "ca", .client_auth = client_auth},
                         &(struct tls_options){.cert = name, .key = name, .ca = ca});
}

void tls_world_start_with(struct tls_world *w, const struct tls_options *server,
                          const struct tls_options *client)
{
    start_side(&w->server, tls_files_create(&w->files, server));
    start_side(&w->client, tls_files_create(&w->files, client));
    uint16_t port;
    CHECK(w->server.loop->ops->listen(w->server.loop, "node", 1, &port, on_accept, w) == STATUS_OK);
}

static void finish_side(struct tls_side *s)
{
    for (struct list *link = s->fake.conns.next; link != &s->fake.conns; link = link->next) {
        fake_conn_reset(CONTAINER_OF(link, struct fake_conn, link));
    }
    s->fake.base.ops->on_turn(&s->fake.base, NULL, NULL);
    fake_loop_deinit(&s->fake);
    tls_loop_destroy(s->loop);
    tls_destroy(s->tls);
    buf_deinit(&s->got);
}

void tls_world_finish(struct tls_world *w)
{
    finish_side(&w->client);
    finish_side(&w->server);
    tls_files_remove(&w->files);
}

void tls_world_dial(struct tls_world *w, const char *host)
{
    w->client.conn =
        w->client.loop->ops->dial_tls(w->client.loop, host, 1, w->protocol, &events, w);
    w->client.below = CONTAINER_OF(w->client.fake.conns.prev, struct fake_conn, link);
    w->server.below = fake_loop_accept(&w->server.fake);
    w->client.carried = 0;
    w->server.carried = 0;
    w->client.below->base.events->on_open(&w->client.below->base);
}

/* False: there is nothing to carry. */
static bool carry(struct tls_side *from, struct tls_side *to, size_t piece)
{
    size_t left = from->below->sent.size - from->carried;
    size_t size = left < piece ? left : piece;
    if (size == 0) {
        return false;
    }
    struct buf copy = {0}; /* what is sent may grow while it is fed */
    buf_append(&copy, from->below->sent.data + from->carried, size);
    from->carried += size;
    fake_conn_feed(to->below, buf_slice(&copy));
    buf_deinit(&copy);
    return true;
}

void tls_world_run(struct tls_world *w)
{
    for (uint32_t quiet = 0; quiet < 4; quiet++) {
        while (carry(&w->client, &w->server, w->piece)) {
            quiet = 0;
        }
        fake_loop_turn(&w->server.fake);
        while (carry(&w->server, &w->client, w->piece)) {
            quiet = 0;
        }
        fake_loop_turn(&w->client.fake);
    }
}

void tls_world_connect(struct tls_world *w, const char *host)
{
    tls_world_dial(w, host);
    tls_world_run(w);
}

void tls_side_say(struct tls_side *s, const char *text)
{
    s->loop->ops->conn_write(s->conn, slice_str(text));
}

bool tls_side_has(const struct tls_side *s, const char *text)
{
    return slice_equal(buf_slice(&s->got), slice_str(text));
}

struct tls_counters tls_side_count(const struct tls_side *s)
{
    return tls_loop_counters(s->loop);
}
