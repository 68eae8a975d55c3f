/* The gRPC client over a loop without a kernel: whatever a server says, in whatever pieces, and
 * whatever the caller does meanwhile, each call that was begun ends once, and whole frames go out.
 *
 * The first byte of the input is the size of the pieces; the second seeds what the caller does. */
#include "base/check.h"
#include "base/limits.h"
#include "base/rng.h"
#include "fake_loop.h"
#include "net/grpc_client.h"

#define CALLS      8
#define BEGUN_MAX  64 /* of one input */
#define SENDS_MAX  64
#define MAGIC_SIZE 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fake_loop loop;
    struct grpc_client *client;
    struct grpc_client_conn *conn;
    struct grpc_client_call calls[CALLS];
    struct rng rng;
    uint32_t begun;
    uint32_t ended;
    uint32_t sends;
    uint32_t closed;
};

/* What a caller may do with a call at any time. */
static void act(struct world *w, struct grpc_client_call *call)
{
    static const uint8_t message[300];
    struct slice some = slice_of(message, rng_next(&w->rng) % sizeof(message));
    enum status status = STATUS_CLOSED;
    switch (rng_next(&w->rng) % 8) {
    case 0:
    case 1:
    case 2:
        if (call->conn == NULL && w->conn != NULL && w->begun < BEGUN_MAX) {
            status = rng_next(&w->rng) % 2 == 0 ? grpc_client_begin(w->conn, call, "/a/b", some)
                                                : grpc_client_begin_stream(w->conn, call, "/a/b");
            w->begun += status == STATUS_OK;
        }
        break;
    case 3:
    case 4:
        if (w->sends++ < SENDS_MAX) {
            status = grpc_client_send(call, some);
            CHECK(status == STATUS_OK || status == STATUS_CLOSED);
        }
        break;
    case 5:
        grpc_client_half_close(call);
        break;
    case 6:
        grpc_client_cancel(call);
        break;
    default:
        if (w->conn != NULL && rng_next(&w->rng) % 32 == 0) {
            grpc_client_close(w->conn);
        }
        break;
    }
}

static void act_on_any(void *context)
{
    struct world *w = context;
    act(w, &w->calls[rng_next(&w->rng) % CALLS]);
}

static void on_message(struct grpc_client_call *call, struct slice message)
{
    CHECK(message.size <= LIMIT_GRPC_CLIENT_MESSAGE_BYTES && !call->is_cancelled);
    act(call->context, call);
    act_on_any(call->context);
}

static void on_end(struct grpc_client_call *call, const struct grpc_client_end *end)
{
    struct world *w = call->context;
    CHECK(call->conn == NULL && end->code <= GRPC_UNAUTHENTICATED);
    CHECK(end->text.size <= LIMIT_GRPC_CLIENT_TEXT_BYTES + 1);
    w->ended++;
    act(w, call);
    act_on_any(w);
}

static void on_open(struct grpc_client_conn *c)
{
    act_on_any(grpc_client_context(c));
}

static void on_close(struct grpc_client_conn *c, enum status why, const char *text)
{
    struct world *w = grpc_client_context(c);
    CHECK(why != STATUS_OK && text[0] != '\0' && grpc_client_calls(c) == 0);
    w->conn = NULL;
    w->closed++;
}

static void turn(void *context)
{
    struct world *w = context;
    fake_loop_turn(&w->loop);
    grpc_client_turn(w->client);
}

/* What goes out is the preface and whole frames. */
static void check_frames(const struct fake_conn *c)
{
    struct slice rest = buf_slice(&c->sent);
    size_t size = MAGIC_SIZE;
    while (rest.size > 0) {
        CHECK_CMP(size, <=, rest.size);
        rest = slice_of(rest.data + size, rest.size - size);
        if (rest.size > 0) {
            CHECK_CMP(rest.size, >=, 9);
            size = 9 + ((size_t)rest.data[0] << 16 | (size_t)rest.data[1] << 8 | rest.data[2]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct grpc_client_events events = {.on_open = on_open, .on_close = on_close};
    static const struct url server = {.host = "a", .port = 1};
    if (size < 2) {
        return 0;
    }
    struct world w = {0};
    fake_loop_init(&w.loop);
    rng_init(&w.rng, data[1]);
    w.client = grpc_client_create(&w.loop.base);
    w.conn = grpc_client_connect(w.client, &server, &events, &w);
    struct fake_conn *c = CONTAINER_OF(w.loop.conns.next, struct fake_conn, link);
    for (int i = 0; i < CALLS; i++) {
        w.calls[i] =
            (struct grpc_client_call){.on_message = on_message, .on_end = on_end, .context = &w};
    }
    for (int i = 0; i < CALLS; i++) {
        act_on_any(&w);
    }
    if (!c->is_closed) {
        c->base.events->on_open(&c->base);
    }
    turn(&w);
    const struct fake_feed feed = {.rng = &w.rng, .act = act_on_any, .turn = turn, .context = &w};
    fake_conn_feed_pieces(c, slice_of(data + 2, size - 2), (size_t)data[0] + 1, &feed);
    turn(&w);
    fake_conn_reset(c);
    CHECK(w.closed == 1 && w.conn == NULL);
    CHECK_CMP(w.begun, ==, w.ended);
    check_frames(c);
    grpc_client_destroy(w.client);
    for (int i = 0; i < CALLS; i++) {
        grpc_client_call_deinit(&w.calls[i]);
    }
    fake_loop_deinit(&w.loop);
    return 0;
}
