/* A gRPC server over a loop without a kernel, a client that is nghttp2's own, and a handler that
 * does what the path says:
 *
 *   /echo/x      sends each message back, and finishes when the client has ended
 *   /first/x     finishes with the first message, whether the client has ended or not
 *   /refuse/x    finishes at once: NOT_FOUND REFUSAL
 *   /wait/x      waits in `waiting` until the test does something; counts what it hears
 *   /stubborn/x  the same, but does not hear that the client is gone
 *   others       unknown service */
#pragma once

#include "fake_loop.h"
#include "net/grpc.h"

#include <nghttp2/nghttp2.h>

#define WAITING_MAX     2000
#define CALLS_MAX       4000
#define MESSAGE_MAX     100000
#define REFUSAL         "no such thing: 100% \xc3\xa9\n"
#define REFUSAL_ESCAPED "no such thing: 100%25 %C3%A9%0A"

struct grpc_world {
    struct fake_loop loop;
    struct grpc_server *server;
    struct grpc_stream *waiting[WAITING_MAX];
    uint32_t waiting_count;
    uint32_t message_count; /* of /wait/ and /stubborn/ */
    struct buf last_message;
    uint32_t half_close_count;
    uint32_t gone_count;
    uint32_t writable_count;
};

/* What a client knows of one call. */
struct client_call {
    int32_t id;
    struct buf out; /* to be sent */
    bool out_ends;
    struct buf body; /* what came */
    char http_status[8];
    char code[8];
    char message[256];
    uint32_t header_blocks;
    bool is_closed;
    uint32_t reset_code; /* of the RST_STREAM that closed it */
};

struct client {
    struct grpc_world *world;
    struct fake_conn *conn;
    nghttp2_session *session;
    size_t read;    /* of conn->sent */
    bool is_greedy; /* gives back no window */
    struct client_call *calls[CALLS_MAX];
    uint32_t goaway_count;
    uint32_t goaway_code;
    int32_t goaway_last_id;
    char goaway_text[64];
    uint32_t pong_count;
    uint32_t ping_count;
};

/* A world with one connection whose client is the test: frames by hand. */
struct raw {
    struct grpc_world world;
    struct fake_conn *conn; /* has said its preface */
    struct buf out;         /* what it says next */
};

void grpc_world_start(struct grpc_world *w, const struct grpc_options *options);
/* Destroys the server; no timer of it may run afterwards. */
void grpc_world_finish(struct grpc_world *w);
/* Let the server do a turn: what it says is written. */
void grpc_world_turn(struct grpc_world *w);
/* Time passes, with turns. */
void grpc_world_pass(struct grpc_world *w, uint64_t ms, uint64_t step_ms);
struct fake_conn *grpc_world_connect(struct grpc_world *w, struct slice first);

void client_start(struct client *c, struct grpc_world *w);
void client_finish(struct client *c);
/* Let bytes go to and fro until nothing moves. */
void client_pump(struct client *c);
/* A call with further headers: name, value, ..., NULL. Nothing is pumped yet. */
int32_t client_call(struct client *c, const char *path, const char *const *more);
/* The same with a method and a content-type of its own. */
int32_t client_call_as(struct client *c, const char *method, const char *type, const char *path,
                       const char *const *more);
void client_send_raw(struct client *c, int32_t id, struct slice bytes);
void client_send(struct client *c, int32_t id, const char *text);
void client_send_bytes(struct client *c, int32_t id, struct slice message);
void client_end(struct client *c, int32_t id);
struct client_call *client_find(struct client *c, int32_t id);
/* The call ended with that code and (unless NULL) that text. */
void expect_end(struct client *c, int32_t id, const char *code, const char *message);

/* A frame as bytes, appended to `out`. */
void frame_append(struct buf *out, uint8_t type, uint8_t flags, uint32_t id, struct slice payload);
/* What a client begins with: preface and empty SETTINGS. */
void preface_append(struct buf *out);
/* The nth frame of that type that was sent. False: there is none. */
bool frame_find(const struct fake_conn *c, uint8_t type, uint32_t nth, struct slice *payload);
/* Headers of a call, as HPACK without any tricks. */
void headers_append(struct buf *out, const char *path);
uint32_t read_u32(const uint8_t *at);

/* Of cmocka: the state is a struct raw. */
int raw_setup(void **state);
int raw_teardown(void **state);
/* Send `out`, and let the server answer. */
void raw_say(struct raw *r);
/* HEADERS of a new call, appended to `out`. */
void raw_open(struct raw *r, uint32_t id, const char *path, uint8_t flags);
/* The connection was ended by a GOAWAY with that code and (unless NULL) text. */
void raw_expect_goaway(struct raw *r, uint32_t code, const char *text);
