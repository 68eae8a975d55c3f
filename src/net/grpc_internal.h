/* net/grpc_internal.h - what http2_session.c (connections and frames), grpc_call.c (requests),
 * grpc_answer.c (answers), grpc_sweep.c (deadlines) and grpc_server.c share.
 *
 *   http2_connection ── calls:   streams that nghttp2 knows, in the order of their beginnings
 *                    ├── partial: of those, who have begun a message that is not whole
 *                    ├── held:    who have something to tell that waits
 *                    └── starved: whose handlers were told not to send more
 *
 * A call ends twice: for its handler, and on the wire. It is released when it has ended for both;
 * one that has ended on the wire only waits for its handler in server->orphans. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/pool.h"
#include "net/client_memory.h"
#include "net/grpc.h"
#include "net/grpc_head.h"
#include "net/unsent.h"

#include <nghttp2/nghttp2.h>

enum call_stage {
    CALL_HEAD, /* its headers are being read, or were refused: no handler knows it */
    CALL_OPEN, /* the handler's */
    CALL_OVER, /* was the handler's */
};

/* A blob in what a call sends: it goes before the own byte of that number. */
struct shared_piece {
    struct blob *blob;
    uint64_t at;
};

struct grpc_call {
    /* Of one call; zeroed when it is released, down to what is kept. */
    struct grpc_stream stream;           /* first: handlers see only this */
    struct http2_connection *connection; /* NULL: has ended on the wire */
    int32_t id;
    enum call_stage stage;
    bool is_leaving;     /* in its on_gone */
    bool has_ended;      /* the client sends no more messages */
    bool has_told_end;   /* ... and the handler knows */
    bool is_paused;      /* by the handler */
    bool is_partial;     /* is in connection->partial */
    bool is_held;        /* is in connection->held */
    bool has_head;       /* the answer's headers were submitted */
    bool is_deferred;    /* nghttp2 waits for more to send */
    bool is_answered;    /* nothing can be added to the answer */
    uint64_t started_ms; /* when the first byte of the message in `in` came */
    uint32_t message_max;
    uint32_t kept; /* bytes that it takes as long as it is open, about */
    /* The request. */
    struct grpc_head *head; /* NULL while it is being read */
    size_t in_at;           /* bytes of `in` that were told */
    uint32_t withheld;      /* bytes whose window was not given back */
    /* The answer. */
    size_t own_taken;    /* bytes of `own`, handed to the connection */
    uint64_t own_before; /* bytes that were in `own` once, before those that are */
    uint32_t shared_first;
    uint32_t shared_count;
    size_t shared_taken;     /* of the first one */
    size_t unsent;           /* bytes of `own` and `shared` that are left */
    uint64_t moved_ms;       /* when bytes were last taken, or first waited */
    const char *http_status; /* no gRPC: refused as HTTP; NULL otherwise */
    enum grpc_code code;     /* of the end, once is_answered */

    /* Kept from call to call. */
    struct list link;     /* connection->calls, server->orphans or server->spare */
    struct list waiting;  /* connection->partial or ->held, or alone */
    struct list starving; /* connection->starved, or alone */
    struct grpc_server *server;
    struct timer deadline;
    struct buf in;  /* messages not told, the last of them maybe in part */
    struct buf own; /* bytes to send, in which blobs are inserted */
    struct shared_piece *shared;
    uint32_t shared_capacity;
    struct buf message; /* that ends the answer, escaped */
};

struct http2_connection {
    struct list link;  /* server->connections */
    struct list dirty; /* server->dirty, or alone: nghttp2 may have something to send */
    struct list ready; /* server->ready, or alone */
    struct grpc_server *server;
    struct conn *conn;
    nghttp2_session *session;
    struct list calls;
    struct grpc_call *recent; /* of them: whom something came for last; or NULL */
    struct list partial;
    struct list held;
    struct list starved;
    uint32_t call_count;
    size_t told;     /* bytes of messages in what was just read: all but their streams take */
    uint64_t untold; /* bytes in the `in` of its calls */
    uint64_t unsent; /* of its calls */
    uint64_t kept;   /* by its calls, beside the two */
    struct client_share share;
    struct unsent flow;
    uint64_t began_ms;     /* when it was taken over */
    uint64_t head_from_ms; /* when a block of headers began that is not whole; 0 = none */
    uint64_t idle_from_ms; /* when the last call ended */
    uint64_t came_ms;      /* when bytes last came */
    uint64_t pinged_ms;    /* when we asked whether anybody is there; 0 = answered */
    uint64_t empty_from_ms;
    uint32_t empty_frames;   /* since empty_from_ms, and since our last answer */
    uint32_t window_updates; /* that may come, and are none of those */
    uint64_t reset_ms;       /* when `resets` was counted down last */
    uint32_t resets;
    struct grpc_head_reader head;
    bool has_settings; /* the client's first frame is here */
    bool is_sending;   /* in nghttp2's mem_send */
    bool is_ending;    /* what is said goes out, then it is closed */
    bool is_last_call; /* no further calls are taken */
    bool is_closed;    /* conn_close was called */
};

struct grpc_server {
    struct loop *loop;
    struct grpc_handler handler;
    struct grpc_options options;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_mem memory; /* of `pool` */
    struct pool pool;   /* what nghttp2 keeps of sessions, streams, frames and headers */
    struct list connections;
    struct list dirty;
    struct list ready; /* connections with calls to go on with, in the next turn */
    struct list orphans;
    struct list spare; /* calls for the next requests */
    uint32_t spare_count;
    uint32_t connection_count;
    uint32_t stream_count;
    uint64_t message_count;
    bool is_ending; /* clients are told so */
    bool is_draining;
    uint64_t drain_ms; /* when that began */
    struct timer go_on;
    struct timer sweep;
};

static inline struct grpc_call *grpc_call_of(struct list *link)
{
    return CONTAINER_OF(link, struct grpc_call, link);
}

static inline uint64_t grpc_now(const struct grpc_server *g)
{
    return g->loop->ops->now_ms(g->loop);
}

/* --- http2_session.c -------------------------------------------------------------------------- */

/* Callbacks and options of every session. */
void http2_configure(struct grpc_server *g);
struct http2_connection *http2_connection_begin(struct grpc_server *g, struct conn *conn);
void http2_connection_read(struct http2_connection *c, struct slice data);
/* nghttp2 may have something to send: it is asked at the end of the turn. */
void http2_connection_touch(struct http2_connection *c);
/* `bytes` more are written. */
static inline void http2_connection_wrote(struct http2_connection *c, size_t bytes)
{
    uint64_t grown = unsent_add(&c->flow, bytes);
    if (grown > 0) {
        client_share_grew(c->server->options.memory, &c->share, grown);
    }
}
/* Of `kept` that it keeps, `bytes` are new. */
static inline void http2_connection_kept(struct http2_connection *c, uint64_t kept, uint64_t bytes)
{
    if (kept >= LIMIT_CLIENT_SMALL_BYTES) {
        client_share_grew(c->server->options.memory, &c->share, bytes);
    }
}
/* Its calls may have something to go on with: they are asked in the next turn. */
void http2_connection_wake(struct http2_connection *c);
/* Hand out what there is to say. */
void http2_connection_flush(struct http2_connection *c);
/* Say why, and close. `why` may be empty. */
void http2_connection_end(struct http2_connection *c, uint32_t error_code, const char *why);
/* Break it off. */
void http2_connection_abort(struct http2_connection *c);
void http2_connection_close(struct http2_connection *c, bool flush);
/* What on_close does: the connection is no more. */
void http2_connection_forget(struct http2_connection *c);

/* --- grpc_call.c ------------------------------------------------------------------------------ */

struct grpc_call *grpc_call_begin(struct http2_connection *c, int32_t id);
/* The headers are whole, and the call's to unref: the handler gets it, or it is refused. */
void grpc_call_open(struct grpc_call *call, struct grpc_head *head);
/* `is_last`: of a frame that ends the stream. */
void grpc_call_data(struct grpc_call *call, struct slice data, bool is_last);
/* The client sends no more. */
void grpc_call_half_close(struct grpc_call *call);
/* Go on with what was held, if it need not be any longer. */
void grpc_call_resume(struct grpc_call *call);
/* It has ended on the wire. */
void grpc_call_lost(struct grpc_call *call);
/* Answer instead of the handler, who hears that the call is gone. */
void grpc_call_fail(struct grpc_call *call, enum grpc_code code, const char *message);
/* What came and was not told is nobody's any more. */
void grpc_call_drop_input(struct grpc_call *call);
void grpc_call_release(struct grpc_call *call);
void grpc_call_free(struct grpc_call *call);

/* --- grpc_answer.c ---------------------------------------------------------------------------- */

/* Room for more of the answer, in the call and in its connection. */
bool grpc_call_has_room(const struct grpc_call *call);
/* No gRPC request: only an HTTP status (borrowed for ever), once the request has ended; clients of
 * HTTP may wait for ever for the rest of an answer that comes before. */
void grpc_answer_http(struct grpc_call *call, const char *http_status);
/* The request has ended: an answer that waited for that goes. */
void grpc_answer_http_now(struct grpc_call *call);
void grpc_answer_end(struct grpc_call *call, enum grpc_code code, struct slice message);
/* The next `size` <= unsent bytes go to the connection. */
void grpc_answer_take(struct grpc_call *call, size_t size);
/* What was not sent never will be. */
void grpc_answer_drop(struct grpc_call *call);

/* --- grpc_sweep.c ----------------------------------------------------------------------------- */

void grpc_sweep_init(struct grpc_server *g);
/* Look at the deadlines no later than `at_ms`, or a little after. */
void grpc_sweep_by(struct grpc_server *g, uint64_t at_ms);
uint32_t grpc_sweep_grain_ms(const struct grpc_server *g);
