/* net/http_internal.h - what http_server.c (connections), http_answer.c (answers) and http_sweep.c
 * (deadlines) share.
 *
 *   http_connection ── exchanges: requests whose answers are not complete, in the order of arrival
 *                  └── reading:   the request that is being read, not yet in that list
 *
 * Only the first exchange writes to the connection; the others keep what they say in `out` until
 * their turn comes. An exchange without a connection has lost its client and waits for its
 * handler. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "net/http.h"
#include "net/http_parser.h"
#include "net/unsent.h"

enum answer_stage { ANSWER_NONE, ANSWER_STREAMS, ANSWER_DONE };

struct exchange {
    struct http_request request; /* first: handlers see only this */
    struct list link;            /* connection->exchanges, server->orphans or server->spare */
    struct http_server *server;
    struct http_connection *connection; /* NULL: the client went away */
    struct http_parser *parser;
    struct buf out; /* what was answered before its turn */
    enum answer_stage stage;
    uint64_t body_charged; /* to server->body_bytes */
    bool keep_alive;
    bool is_last_wanted; /* by the handler: ends its connection, if nothing was asked behind it */
    bool is_http_1_0;
    bool is_chunked;     /* the answer */
    bool wants_continue; /* 100 Continue is owed as soon as it is this one's turn */
};

struct http_connection {
    struct list link;   /* server->connections */
    struct list ready;  /* server->ready, or alone */
    struct list beyond; /* server->beyond, or alone: then all places were taken when it came */
    struct http_server *server;
    struct conn *conn;
    struct list exchanges;
    struct exchange *reading;
    uint64_t came_ms;     /* when the bytes that are looked at came */
    size_t unread;        /* bytes that came along behind the request that is told right now */
    struct buf stash;     /* bytes read but not looked at: too much is in progress */
    uint32_t in_progress; /* length of `exchanges` */
    /* The last one, whole but not told to the handler: it must not overtake those before it. */
    struct exchange *held;
    uint64_t body_bytes;   /* of the requests in `exchanges` */
    uint64_t kept_bytes;   /* of answers that wait for their turn */
    bool is_fresh;         /* what came so far may be the preface of HTTP/2; it is in `stash` */
    bool is_paused;        /* not reading, and `stash` may hold bytes */
    bool is_last;          /* no request after those that are here */
    bool is_client;        /* has asked something, and may ask more: counted */
    bool has_ended;        /* the client sent FIN */
    bool is_closed;        /* conn_close was called */
    bool is_starved;       /* the first exchange was told not to write more */
    uint64_t started_ms;   /* when the first byte of `reading` came */
    uint64_t idle_from_ms; /* when the last answer was complete */
    struct unsent flow;
    struct client_share share;
};

struct http_server {
    struct loop *loop;
    struct http_handler handler;
    struct http_options options;
    void (*take_http2)(void *context, struct conn *c, struct slice first); /* NULL: nobody */
    uint32_t (*count_http2)(const void *context);
    bool (*make_room_http2)(void *context);
    void *http2_context;
    struct list connections;
    struct list ready;   /* connections to go on with, in the next turn */
    struct list beyond;  /* connections of whom only what is vital is answered, by their age */
    struct list orphans; /* exchanges whose handler answers although the client is gone */
    struct list spare;   /* exchanges for the next requests */
    uint32_t spare_count;
    uint32_t connection_count;
    uint32_t client_count;
    uint64_t request_count;
    uint64_t closed_for_room;
    uint64_t body_bytes; /* charged by all exchanges */
    struct http_refusals refusals;
    bool is_ending;        /* answers say so */
    bool is_draining;      /* connections end, whether something is asked on them or not */
    uint64_t last_call_ms; /* then any request is the last of its connection */
    bool has_looked;       /* the sweep was due, and let what has come be read first */
    struct timer go_on;
    struct timer sweep;
    struct buf scratch;
};

static inline struct exchange *exchange_of(struct list *link)
{
    return CONTAINER_OF(link, struct exchange, link);
}

static inline bool exchange_is_first(const struct exchange *e)
{
    return e->connection != NULL && e->connection->exchanges.next == &e->link;
}

/* --- http_server.c ---------------------------------------------------------------------------- */

uint64_t http_now(const struct http_server *s);
/* Let the connection go on in a turn of its own: write more, or read on. */
void http_connection_wake(struct http_connection *c);
/* Send what is written, then close; the other answers are lost. */
void http_connection_finish(struct http_connection *c);
/* Break it off. */
void http_connection_abort(struct http_connection *c);
/* Answer what is being read, or nothing at all, with an error, and read no more. */
void http_connection_refuse(struct http_connection *c, int http_status, const char *reason);
/* `bytes` more are written. */
static inline void http_connection_wrote(struct http_connection *c, size_t bytes)
{
    uint64_t grown = unsent_add(&c->flow, bytes);
    if (grown > 0) {
        client_share_grew(c->server->options.memory, &c->share, grown);
    }
}
/* The first exchange's answer is complete: go to the next. */
void http_connection_advance(struct http_connection *c);
void exchange_release(struct exchange *e);

/* --- http_describe.c -------------------------------------------------------------------------- */

/* Fill in the request by its head. False: the target makes no sense, or is another host's. */
bool exchange_describe(struct exchange *e);

/* --- http_answer.c ---------------------------------------------------------------------------- */

/* Write to the connection, or keep it until it is the exchange's turn. */
void exchange_emit(struct exchange *e, struct slice bytes);
/* It has become the first: what it kept leaves. */
void exchange_take_turn(struct exchange *e);
/* What it kept goes nowhere. */
void exchange_drop_kept(struct exchange *e);
void exchange_answer_bad(struct exchange *e, int http_status, const char *reason);

/* --- http_room.c ------------------------------------------------------------------------------ */

enum http_place {
    HTTP_PLACE_FREE,
    HTTP_PLACE_BEYOND, /* none is free; it may say what it wants */
    HTTP_PLACE_NONE,
};
/* For one more connection; perhaps another one is reset for it. */
enum http_place http_find_place(struct http_server *s);

/* --- http_share.c ----------------------------------------------------------------------------- */

/* So much of the request's body has come: what is only announced takes no room from others. False:
 * there is no room for it, as for those of all together; it is counted. */
bool http_share_charge(struct exchange *e, uint64_t body_bytes);
/* The body is gone. */
void http_share_release(struct exchange *e);
/* False: refused, with its head whole and nothing of its body read. */
bool http_share_admit(struct http_connection *c, struct exchange *e);

/* --- http_sweep.c ----------------------------------------------------------------------------- */

void http_sweep_init(struct http_server *s);
/* Look at the deadlines no later than `at_ms`, or a little after. */
void http_sweep_by(struct http_server *s, uint64_t at_ms);
/* How coarse the deadlines are: of requests that are being read, and of anything else. */
uint32_t http_sweep_request_grain_ms(const struct http_server *s);
uint32_t http_sweep_idle_grain_ms(const struct http_server *s);
