/* net/grpc_client.h - gRPC over HTTP/2 as a client on the loop: connections with many calls under
 * way at a time. nghttp2 does the framing; nobody above sees it.
 *
 * For who puts load on servers: members never call others by gRPC. Nothing is repeated, no call has
 * a deadline of its own, and no connection is dialled anew: that is for the caller to know.
 *
 * The caller owns its calls (struct grpc_client_call), and begins each as often as it likes, in its
 * on_end too: their buffers are kept, so that in the end only nghttp2 allocates for a call.
 * What is said in a turn of the loop leaves at its end, one write a connection. Callbacks come from
 * the loop or from grpc_client_turn, never out of another function of this header; in any of them
 * everything below may be called but grpc_client_destroy.
 *
 * Bounded: calls of a connection (LIMIT_GRPC_CLIENT_CALLS), what waits to be sent on a stream
 * (LIMIT_GRPC_CLIENT_UNSENT_BYTES), one message of the server (LIMIT_GRPC_CLIENT_MESSAGE_BYTES) and
 * all of a connection that are not whole (LIMIT_GRPC_CLIENT_PARTIAL_BYTES). Calls beyond what the
 * server takes at a time wait here for their turn. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"
#include "net/grpc.h"
#include "net/loop.h"
#include "net/url.h"

#include <stdbool.h>
#include <stdint.h>

struct grpc_client;
struct grpc_client_conn;

/* How a call ended. */
struct grpc_client_end {
    enum grpc_code code; /* a number beyond those of gRPC is UNKNOWN */
    struct slice text;   /* unescaped; of the server, or ours; may be empty; valid until the call
                            begins anew */
    bool is_answer;      /* the server said so; false: the stream or its connection broke, and the
                            call may or may not have been carried out */
};

/* One call at a time. Zero-initialised, then the first three are set, and the fourth where it is
 * wanted; they may change between calls. */
struct grpc_client_call {
    /* A whole message of the server; borrowed during the call. NULL: messages are dropped. */
    void (*on_message)(struct grpc_client_call *call, struct slice message);
    /* Last call: the struct is the caller's again, who may begin anew right here. */
    void (*on_end)(struct grpc_client_call *call, const struct grpc_client_end *end);
    void *context;
    const char *token; /* metadata `authorization`, copied when the call begins; NULL: none */
    /* The rest is written by grpc_client.c only. */
    struct grpc_client_conn *conn; /* while it is under way; NULL: it is not */
    struct list link;              /* conn->calls */
    int32_t id;
    int http_status;
    int32_t code;      /* grpc-status; -1 = none came */
    bool is_ending;    /* nothing is added to what is sent */
    bool is_sent;      /* all of it was handed over, with the end */
    bool is_waiting;   /* nghttp2 waits for more to send */
    bool is_cancelled; /* by the caller, or given up here: `code` and `text` are ours */
    struct buf out;    /* messages to send, each with its prefix */
    size_t out_at;     /* bytes of `out` that were handed over */
    struct buf in;     /* of a message that came in pieces, with its prefix */
    struct buf text;
};

struct grpc_client_events {
    /* Connected. Calls that were begun before leave now. May be NULL. */
    void (*on_open)(struct grpc_client_conn *c);
    /* Last call, after the on_end of each call that was under way; the connection is gone
     * afterwards. UNREACHABLE: it never came to be; CORRUPT: the server broke the rules of HTTP/2;
     * CLOSED, IO: it was cut, sent away (GOAWAY) or closed here. `text` says more, borrowed. */
    void (*on_close)(struct grpc_client_conn *c, enum status why, const char *text);
};

struct grpc_client *grpc_client_create(struct loop *loop);
/* At the end of every turn of the loop, after whatever may have begun or sent: what was said in the
 * turn is handed to the connections. */
void grpc_client_turn(struct grpc_client *g);
/* When no connection is left: each has had its on_close, which at the latest loop stop brings
 * about. */
void grpc_client_destroy(struct grpc_client *g);
uint32_t grpc_client_connections(const struct grpc_client *g);

/* `events` must outlive the connection. Calls may be begun at once. */
struct grpc_client_conn *grpc_client_connect(struct grpc_client *g, const struct url *server,
                                             const struct grpc_client_events *events,
                                             void *context);
void *grpc_client_context(const struct grpc_client_conn *c);
/* Calls under way, those that wait for their turn too. */
uint32_t grpc_client_calls(const struct grpc_client_conn *c);
/* Break it off. Calls under way end as CANCELED, then comes on_close; both later. */
void grpc_client_close(struct grpc_client_conn *c);

/* Begin a unary call: `message` (copied), and no more after it. `path` is "/service/Method" and
 * stays valid until on_end. `call` is not under way.
 * CLOSED: the connection takes no more calls, it is closed or its server is leaving; OVERLOADED:
 * LIMIT_GRPC_CLIENT_CALLS are under way. Then no on_end comes. */
enum status MUST_CHECK grpc_client_begin(struct grpc_client_conn *c, struct grpc_client_call *call,
                                         const char *path, struct slice message);
/* The same for a call on which messages follow, as long as it is not half-closed. */
enum status MUST_CHECK grpc_client_begin_stream(struct grpc_client_conn *c,
                                                struct grpc_client_call *call, const char *path);
/* One message of a stream, copied. CLOSED: the call is not under way, or was half-closed or
 * cancelled; OVERLOADED: too much waits to be sent. */
enum status MUST_CHECK grpc_client_send(struct grpc_client_call *call, struct slice message);
/* No more messages come. Nothing happens when the call is not under way. */
void grpc_client_half_close(struct grpc_client_call *call);
/* Reset the call: no more messages are told, and it ends as CANCELED later, unless it is not under
 * way. */
void grpc_client_cancel(struct grpc_client_call *call);
/* Give back the memory of a call that is not under way. */
void grpc_client_call_deinit(struct grpc_client_call *call);
