/* net/grpc.h - gRPC over HTTP/2 as a server: connections to calls, messages to frames. nghttp2 does
 * the framing; nobody above sees it.
 *
 * A call is a stream: the client's messages arrive one by one, ours leave in order, and a code with
 * a text ends it. Unary calls are streams with one message each way.
 *
 * Bounded: see limits.h. Flow control goes both ways: what a handler has not been told is not given
 * back to the client's window, and what a client does not read waits here up to a limit, at which
 * the handler is told to stop. Answered here, without the handler: what is no gRPC request (HTTP
 * 405, 415), malformed or too long messages (INTERNAL, RESOURCE_EXHAUSTED), compression that is not
 * known (UNIMPLEMENTED), deadlines (DEADLINE_EXCEEDED). */
#pragma once

#include "base/blob.h"
#include "base/slice.h"
#include "net/http_header.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grpc_server;

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

/* One call. Owned by the server; it dies when the handler finishes it (grpc_finish), or on return
 * from on_gone. A handler that sets no on_gone finishes it in any case: when the client is gone,
 * what it sends goes nowhere. The handler sets the callbacks in on_stream, and may change them at
 * any time. Callbacks come from the loop, never out of a function of this header. In any of them
 * everything below may be called, grpc_finish too. */
struct grpc_stream {
    struct slice path; /* "/etcdserverpb.KV/Range" */
    /* For what the handler finds under the path: NULL at first, and kept with the headers, which
     * many calls of a connection share. */
    const void **path_note;
    /* The request's metadata in order, names in lower case, with ":authority" and without the other
     * pseudo-headers. Valid as long as the stream. A "-bin" value is base64 as sent. */
    const struct http_header *headers;
    uint32_t header_count;
    uint64_t deadline_ms; /* by the loop's clock, from grpc-timeout; UINT64_MAX = none */
    struct conn *conn;    /* whose address is for logs; not for writing; NULL: the client is gone */
    void *user;           /* the handler's, NULL at first */
    /* A whole message, inflated if it was compressed; borrowed during the call. NULL: messages are
     * dropped. */
    void (*on_message)(struct grpc_stream *s, struct slice message);
    /* The client sends no more messages. May be NULL. Not after on_gone or grpc_finish. */
    void (*on_half_close)(struct grpc_stream *s);
    /* The client reset the stream, its connection was lost, what it sent was refused here, or the
     * deadline passed, in which case DEADLINE_EXCEEDED "context deadline exceeded" has been
     * answered. Last call. */
    void (*on_gone)(struct grpc_stream *s);
    /* After grpc_wants_more said no: go on. May be NULL. */
    void (*on_writable)(struct grpc_stream *s);
};

struct grpc_handler {
    /* A call begins: its headers are here, no message yet. */
    void (*on_stream)(void *context, struct grpc_stream *s);
    /* How long one message of the client may be, before and after inflating; asked after on_stream.
     * Beyond: RESOURCE_EXHAUSTED. NULL: LIMIT_GRPC_MESSAGE_BYTES. */
    uint32_t (*message_bytes_max)(void *context, const struct grpc_stream *s);
    void *context;
};

struct grpc_options {
    uint32_t idle_ms;             /* a connection without calls; 0 = LIMIT_H2_IDLE_MS */
    uint32_t request_ms;          /* from a beginning to its end; 0 = LIMIT_HTTP_REQUEST_MS */
    uint32_t streams_max;         /* of one connection; 0 = LIMIT_H2_STREAMS */
    struct client_memory *memory; /* as in net/http.h */
};

/* `handler` is copied; its context must outlive the server. `options` may be NULL. */
struct grpc_server *grpc_server_create(struct loop *loop, const struct grpc_handler *handler,
                                       const struct grpc_options *options);
/* Take over a connection; `first` are the bytes already read (borrowed), which begin with the
 * preface of HTTP/2. It is closed here, if it comes to that. How many there may be is for whoever
 * accepts them (net/http.h). */
void grpc_server_accept(struct grpc_server *g, struct conn *c, struct slice first);
/* At the end of every turn of the loop, after whatever may have sent: what was said in the turn is
 * handed to the connections. */
void grpc_server_turn(struct grpc_server *g);
/* The end is near, in two steps, as in net/http.h. From this one on clients are told to go
 * elsewhere with new calls (GOAWAY that refuses none yet); calls are still taken. */
void grpc_server_announce_end(struct grpc_server *g);
/* Then: calls that begin are refused (the client knows that they have not run), those that have
 * begun get LIMIT_HTTP_DRAIN_REQUEST_MS, and what is left is then UNAVAILABLE. A connection is
 * closed after its last call. Done when no connections are left. */
void grpc_server_drain(struct grpc_server *g);
/* Not from inside one of the handler's calls. Streams that are left get their on_gone; those
 * without one are no more either. */
void grpc_server_destroy(struct grpc_server *g);

uint32_t grpc_server_connections(const struct grpc_server *g);
/* Reset a connection without calls. False: none was found. */
bool grpc_server_make_room(struct grpc_server *g);
uint32_t grpc_server_streams(const struct grpc_server *g);  /* calls that are not finished */
uint64_t grpc_server_requests(const struct grpc_server *g); /* messages told, since the start */

/* Value of the first header of that name (in lower case); data == NULL when absent. */
struct slice grpc_header_find(const struct grpc_stream *s, const char *name);
/* Hold back the client's messages, and on_half_close, until it is unset. Bounded by the window. */
void grpc_pause(struct grpc_stream *s, bool paused);
/* One message, copied. */
void grpc_send(struct grpc_stream *s, struct slice message);
/* One message: `head` (copied), then all of `shared` (referred to until it is sent, unless it is
 * so short that copying is cheaper). */
void grpc_send_shared(struct grpc_stream *s, struct slice head, struct blob *shared);
/* Bytes of this call that its connection has not taken. */
size_t grpc_unsent(const struct grpc_stream *s);
/* False: stop producing until on_writable; this call, or its connection, has enough unsent. Whoever
 * sends only short answers to messages need not ask: while it is false, no further messages are
 * told. Before a long one ask, also in a call that has sent nothing: messages of a thousand calls
 * may have been told before the first of them is answered. */
bool grpc_wants_more(struct grpc_stream *s);
/* The end of the call, after what was sent. `message` is UTF-8 and may be NULL; it is escaped here.
 * When nothing was sent, only the code goes. */
void grpc_finish(struct grpc_stream *s, enum grpc_code code, const char *message);
/* The end of a call whose path names nothing: UNIMPLEMENTED, worded as gRPC for Go does. */
void grpc_finish_unknown(struct grpc_stream *s, bool is_service_known);
