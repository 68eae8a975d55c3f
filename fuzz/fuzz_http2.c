/* The gRPC server over a loop without a kernel: whatever arrives, in whatever pieces and with
 * whatever delays, whole frames come out, each call ends once, and each connection ends.
 *
 * The first byte of the input is the size of the pieces; the second seeds what the handler does;
 * the preface is there already. */
#include "base/blob.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/rng.h"
#include "fake_loop.h"
#include "net/grpc.h"

#define PREFACE      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define WAITING_MAX  64
#define SENDS_MAX    24 /* of one input: the fake loop keeps what is sent */
#define BLOB_BYTES   5000
#define TURN_MS      2000
#define TURNS_AT_END 250 /* long enough for every deadline */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fake_loop loop;
    struct grpc_server *server;
    struct rng rng;
    struct blob *blob;
    struct grpc_stream *waiting[WAITING_MAX];
    uint32_t waiting_count;
    uint32_t sends;
};

static void forget(struct grpc_stream *s)
{
    struct world *w = s->user;
    for (uint32_t i = 0; i < w->waiting_count; i++) {
        if (w->waiting[i] == s) {
            w->waiting[i] = w->waiting[--w->waiting_count];
            return;
        }
    }
    CHECK(0 && "a call that nobody waits for went away");
}

static void send(struct world *w, struct grpc_stream *s)
{
    if (w->sends++ >= SENDS_MAX || !grpc_wants_more(s)) {
        return;
    }
    if (rng_next(&w->rng) % 2 == 0) {
        grpc_send(s, s->path);
    } else {
        grpc_send_shared(s, s->path, w->blob);
    }
}

static void finish(struct world *w, struct grpc_stream *s)
{
    forget(s);
    grpc_finish(s, (enum grpc_code)(rng_next(&w->rng) % 17), "100% \xff");
}

/* What a handler may do at any time. */
static void act(struct world *w, struct grpc_stream *s)
{
    switch (rng_next(&w->rng) % 8) {
    case 0:
        finish(w, s);
        break;
    case 1:
        grpc_pause(s, true);
        break;
    case 2:
        grpc_pause(s, false);
        break;
    case 3:
    case 4:
        send(w, s);
        break;
    default:
        break;
    }
}

static void act_on_any(void *context)
{
    struct world *w = context;
    if (w->waiting_count > 0) {
        act(w, w->waiting[rng_next(&w->rng) % w->waiting_count]);
    }
}

static void on_gone(struct grpc_stream *s)
{
    struct world *w = s->user;
    if (rng_next(&w->rng) % 8 == 0) {
        grpc_send(s, slice_str("to nobody"));
        grpc_finish(s, GRPC_CANCELED, NULL);
    }
    forget(s);
    act_on_any(w);
}

static void on_message(struct grpc_stream *s, struct slice message)
{
    struct world *w = s->user;
    CHECK(message.size <= 4096);
    act(w, s);
    act_on_any(w);
}

static void on_half_close(struct grpc_stream *s)
{
    struct world *w = s->user;
    if (rng_next(&w->rng) % 2 == 0) {
        finish(w, s);
    }
}

static void on_writable(struct grpc_stream *s)
{
    act(s->user, s);
}

static void on_stream(void *context, struct grpc_stream *s)
{
    struct world *w = context;
    CHECK(s->path.size > 0);
    s->user = w;
    if (w->waiting_count == WAITING_MAX || rng_next(&w->rng) % 8 == 0) {
        grpc_finish_unknown(s, rng_next(&w->rng) % 2 == 0);
        return;
    }
    w->waiting[w->waiting_count++] = s;
    s->on_message = on_message;
    s->on_half_close = on_half_close;
    s->on_writable = on_writable;
    s->on_gone = rng_next(&w->rng) % 4 == 0 ? NULL : on_gone;
}

static uint32_t message_bytes_max(void *context, const struct grpc_stream *s)
{
    (void)context;
    (void)s;
    return 4096;
}

static void turn(void *context)
{
    struct world *w = context;
    fake_loop_turn(&w->loop);
    grpc_server_turn(w->server);
}

/* Only a connection that was broken off may end inside of a frame. */
static void check_frames(const struct fake_conn *c)
{
    struct slice rest = buf_slice(&c->sent);
    while (rest.size > 0) {
        size_t size = rest.size >= 9
                          ? (size_t)rest.data[0] << 16 | (size_t)rest.data[1] << 8 | rest.data[2]
                          : 0;
        if (rest.size < 9 + size) {
            CHECK(!c->was_flushed);
            return;
        }
        CHECK(size <= 16384 && rest.data[3] <= 0x10);
        rest = slice_of(rest.data + 9 + size, rest.size - 9 - size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct world w = {0};
    fake_loop_init(&w.loop);
    rng_init(&w.rng, data[1]);
    w.blob = blob_create(BLOB_BYTES);
    memset(w.blob->data, 'b', BLOB_BYTES);
    const struct grpc_handler handler = {
        .on_stream = on_stream, .message_bytes_max = message_bytes_max, .context = &w};
    w.server = grpc_server_create(&w.loop.base, &handler, NULL);
    struct fake_conn *c = fake_loop_connect(&w.loop);
    grpc_server_accept(w.server, &c->base, slice_str(PREFACE));
    const struct fake_feed feed = {.rng = &w.rng, .act = act_on_any, .turn = turn, .context = &w};
    fake_conn_feed_pieces(c, slice_of(data + 2, size - 2), (size_t)data[0] + 1, &feed);
    if (data[1] % 4 == 0) {
        fake_conn_end(c);
    } else if (data[1] % 4 == 1) {
        grpc_server_announce_end(w.server);
        grpc_server_drain(w.server);
    }
    c->is_stuck = c->is_stuck && data[1] % 3 == 0;
    for (int i = 0; i < TURNS_AT_END && !c->is_gone; i++) {
        act_on_any(&w);
        w.loop.now_ms += TURN_MS;
        turn(&w);
    }
    while (w.waiting_count > 0) {
        finish(&w, w.waiting[0]); /* those who do not hear that their client is gone */
    }
    for (int i = 0; i < TURNS_AT_END && !c->is_gone; i++) {
        w.loop.now_ms += TURN_MS;
        turn(&w);
    }
    CHECK(c->is_gone);
    CHECK_CMP(grpc_server_connections(w.server), ==, 0);
    CHECK_CMP(grpc_server_streams(w.server), ==, 0);
    check_frames(c);
    grpc_server_destroy(w.server);
    CHECK(timer_heap_first(&w.loop.timers) == NULL);
    CHECK_CMP(w.blob->refs, ==, 1);
    blob_unref(w.blob);
    fake_loop_deinit(&w.loop);
    return 0;
}
