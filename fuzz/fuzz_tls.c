/* The accepting side of TLS under a loop: bytes instead of a hello, bytes after one, and bytes on a
 * connection that is open, inside the encryption and instead of it. Its owner reads, pauses, writes
 * and closes by chance. The first byte says how much comes at a time, the second is the seed and
 * which of these it is. */
#include "base/check.h"
#include "base/rng.h"
#include "fake_loop.h"
#include "net/tls_loop.h"
#include "net/tls_session.h"
#include "tls_files.h"

#include <stdlib.h>

#define TURN_MS      1000
#define TURNS_AT_END 20

struct world {
    struct fake_loop fake;
    struct loop *loop;
    struct rng rng;
    struct conn *conn; /* NULL: its owner has none */
    uint32_t opened;
    uint32_t closed;
    struct tls_session *client;
    struct buf out; /* of the client's, not fed yet */
    size_t carried; /* of what the server has sent, to the client */
};

static struct tls_files files;
static struct tls *server_tls;
static struct tls *client_tls;

static void forget_files(void)
{
    tls_destroy(server_tls);
    tls_destroy(client_tls);
    tls_files_remove(&files);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    tls_files_make(&files);
    server_tls = tls_files_load(&files, "node", "ca", TLS_CLIENT_OPTIONAL);
    client_tls = tls_files_load(&files, "alice", "ca", TLS_CLIENT_NONE);
    CHECK(server_tls != NULL && client_tls != NULL);
    return atexit(forget_files);
}

/* --- the owner -------------------------------------------------------------------------------- */

static void act(void *context)
{
    struct world *w = context;
    if (w->conn == NULL) {
        return;
    }
    const struct loop_ops *ops = w->loop->ops;
    static const char text[4000] = "some text";
    switch (rng_next(&w->rng) % 8) {
    case 0:
        ops->conn_pause(w->conn, true);
        return;
    case 1:
    case 2:
        ops->conn_pause(w->conn, false);
        return;
    case 3:
        ops->conn_close(w->conn, rng_next(&w->rng) % 2 == 0);
        w->conn = NULL;
        return;
    default:
        ops->conn_write(w->conn, slice_of(text, rng_next(&w->rng) % sizeof(text)));
        CHECK_CMP(ops->conn_unsent(w->conn), <, 1u << 20);
    }
}

static void on_data(struct conn *c, struct slice data)
{
    struct world *w = c->context;
    CHECK(data.size > 0 && data.size <= TLS_RECORD_BYTES);
    if (rng_next(&w->rng) % 4 == 0) {
        act(w);
    }
}

static void on_drain(struct conn *c)
{
    act(c->context);
}

static void on_end(struct conn *c)
{
    struct world *w = c->context;
    c->loop->ops->conn_close(c, true);
    w->conn = NULL;
}

static void on_close(struct conn *c, enum status why)
{
    struct world *w = c->context;
    CHECK(why != STATUS_OK);
    w->closed++;
    w->conn = NULL;
}

static const struct conn_events events = {
    .on_data = on_data, .on_drain = on_drain, .on_end = on_end, .on_close = on_close};

static void on_accept(void *context, struct conn *c)
{
    struct world *w = context;
    c->events = &events;
    c->context = w;
    w->conn = c;
    w->opened++;
}

/* --- the other side --------------------------------------------------------------------------- */

static void feed_client(struct world *w, struct fake_conn *c)
{
    fake_conn_feed(c, buf_slice(&w->out));
    buf_clear(&w->out);
    fake_loop_turn(&w->fake);
}

/* Until both are done with it. */
static void shake_hands(struct world *w, struct fake_conn *c)
{
    enum status status = STATUS_BUSY;
    for (int i = 0; i < 4 && status == STATUS_BUSY && !c->is_gone; i++) {
        struct slice in = slice_of(c->sent.data + w->carried, c->sent.size - w->carried);
        status = tls_session_handshake(w->client, &in, &w->out);
        w->carried = c->sent.size - in.size;
        feed_client(w, c);
    }
    CHECK(status == STATUS_OK);
}

static void begin(struct world *w, struct fake_conn *c, uint8_t way)
{
    struct slice none = slice_of(NULL, 0);
    if (way > 0) {
        w->client = tls_session_dial(client_tls, "node", "http/1.1");
    }
    if (way == 1) { /* its hello alone */
        CHECK(tls_session_handshake(w->client, &none, &w->out) == STATUS_BUSY);
        feed_client(w, c);
    } else if (way > 1) {
        shake_hands(w, c);
    }
}

static void turn(void *context)
{
    struct world *w = context;
    fake_loop_turn(&w->fake);
}

static void feed(struct world *w, struct fake_conn *c, struct slice piece, bool is_inside)
{
    if (is_inside) {
        CHECK(tls_session_write(w->client, piece, &w->out) == STATUS_OK);
        feed_client(w, c);
    } else {
        fake_conn_feed(c, piece);
    }
    const struct fake_feed by_chance = {.rng = &w->rng, .act = act, .turn = turn, .context = w};
    fake_conn_by_chance(c, &by_chance);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct world w = {0};
    fake_loop_init(&w.fake);
    rng_init(&w.rng, data[1]);
    w.loop = tls_loop_create(&w.fake.base, server_tls);
    uint16_t port;
    CHECK(w.loop->ops->listen(w.loop, "node", 1, &port, on_accept, &w) == STATUS_OK);
    struct fake_conn *c = fake_loop_accept(&w.fake);
    begin(&w, c, data[1] % 4);
    size_t piece = (size_t)data[0] * 8 + 1;
    for (size_t at = 2; at < size && !c->is_gone; at += piece) {
        size_t left = size - at;
        /* Of the fourth way the first half is what an honest client says. */
        feed(&w, c, slice_of(data + at, left < piece ? left : piece),
             data[1] % 4 == 3 && at < size / 2);
    }
    if (data[1] % 3 == 0) {
        fake_conn_end(c);
    }
    fake_loop_pass(&w.fake, TURNS_AT_END * TURN_MS, TURN_MS);
    fake_conn_reset(c);
    CHECK_CMP(w.opened, ==, w.closed);
    CHECK_CMP(tls_loop_counters(w.loop).under_way, ==, 0);
    w.fake.base.ops->on_turn(&w.fake.base, NULL, NULL);
    fake_loop_deinit(&w.fake);
    tls_loop_destroy(w.loop);
    tls_session_destroy(w.client);
    buf_deinit(&w.out);
    return 0;
}
