/* net/http.h - HTTP/1.1 as a server: bytes to requests, answers to bytes. llhttp parses.
 *
 * Keep-alive, pipelining, chunked bodies both ways, HEAD, Expect: 100-continue, upgrades. Answers
 * of pipelined requests leave in the order of the requests, whatever order they are made in.
 * Bounded: see limits.h. Protocol trouble is answered here (400, 408, 413, 414, 431, 501, 505)
 * through the handler's `on_bad`, so that error bodies have one form; then the connection is
 * closed.
 *
 * Refused as smuggling: Content-Length with Transfer-Encoding, two different lengths, obsolete line
 * folding, spaces before a colon, a missing or double Host in HTTP/1.1, bare LF. */
#pragma once

#include "base/blob.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "net/client_memory.h"
#include "net/http_header.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_request;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_PUT,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_OTHER
};

/* A whole request with its body. Owned by the server, valid until the answer is complete (or until
 * on_gone). The handler may keep the pointer meanwhile. A handler that sets no on_gone answers in
 * any case; when the client is gone, the answer goes nowhere. */
struct http_request {
    enum http_method method;
    struct slice method_name;
    struct slice target; /* as sent, with query: "/key/a%20b?ack=all" */
    struct slice path;   /* before '?', not decoded; of http://host/path only /path */
    struct slice query;  /* after '?', not decoded; empty if none */
    const struct http_header *headers;
    uint32_t header_count;
    struct slice body;
    struct conn
        *conn; /* whose address is for logs; not for writing; NULL when the client is gone */
    /* When its last bytes came, as the loop counts; it may have waited for others since. */
    uint64_t arrived_ms;
    void *user; /* the handler's, NULL at first */
    void *note; /* the same, for what outlives whoever has `user` */
    /* Set by a handler that waits: the client went away before the answer was complete. The request
     * dies on return. */
    void (*on_gone)(struct http_request *r);
    /* Set by a handler that streams: go on writing. */
    void (*on_writable)(struct http_request *r);
};

struct http_handler {
    /* A whole request. Answer now or later, exactly once. */
    void (*on_request)(void *context, struct http_request *r);
    /* The server refuses what arrived: write the body of the error to `body`. */
    void (*on_bad)(void *context, int http_status, const char *reason, struct buf *body);
    /* Headers that every answer carries, CRLF after each; appended to `headers`. For what `on_bad`
     * said, r is NULL. */
    void (*common_headers)(void *context, const struct http_request *r, struct buf *headers);
    /* `Upgrade: <protocol>` was asked for: true: take it. False, or NULL here: the request goes to
     * on_request as usual. */
    bool (*wants_upgrade)(void *context, const struct http_request *r, struct slice protocol);
    /* After wants_upgrade said yes: the 101 with the protocol's name is written, and `conn` with
     * `rest` (bytes already read, borrowed during the call) is now the caller's, who sets events
     * and context before returning, or closes it. `r` ends on return. */
    void (*on_upgrade)(void *context, const struct http_request *r, struct slice protocol,
                       struct conn *conn, struct slice rest);
    /* Answered although all connections are taken: a probe of this member's health. `r` has the
     * headers only. NULL: nothing is. */
    bool (*is_vital)(void *context, const struct http_request *r);
    /* How long the body may be; `r` has the headers only. Beyond: 413. */
    uint64_t (*body_bytes_max)(void *context, const struct http_request *r);
    /* Would a request with a body of so many bytes (more than LIMIT_BODY_SMALL_BYTES) be refused as
     * things are? Then it is 429 before they are read. May be NULL: no. */
    bool (*is_overloaded)(void *context, const struct http_request *r, uint64_t body_bytes);
    void *context;
};

struct http_options {
    uint32_t idle_ms;             /* 0 = LIMIT_HTTP_IDLE_MS */
    uint32_t request_ms;          /* 0 = LIMIT_HTTP_REQUEST_MS */
    uint32_t connections_max;     /* 0 = LIMIT_CONNECTIONS */
    uint64_t bodies_max;          /* bytes; 0 = LIMIT_BODIES_BYTES */
    struct client_memory *memory; /* borrowed; NULL: what clients make us keep has no bound */
};

/* `handler` is copied; its context must outlive the server. `options` may be NULL. */
struct http_server *http_server_create(struct loop *loop, const struct http_handler *handler,
                                       const struct http_options *options);
/* Connections that begin with the preface of HTTP/2 go to `take`, with `first` (all that was read,
 * borrowed during the call). Without this they are bad requests. `count` is how many of those there
 * are: they are within connections_max, too. `make_room` resets one that asks for nothing; false:
 * all ask. */
void http_server_on_http2(struct http_server *s,
                          void (*take)(void *context, struct conn *c, struct slice first),
                          uint32_t (*count)(const void *context), bool (*make_room)(void *context),
                          void *context);
/* Take over an accepted connection. When all places are taken, it gets that of another which asks
 * for nothing; when all ask, it is told 503, unless it becomes another's by its upgrade, or asks
 * for what is vital. */
void http_server_accept(struct http_server *s, struct conn *c);
/* The end is near, in two steps. From this one on an answer says `Connection: close`, and ends its
 * connection, when no further request of it has begun; requests are still taken, new connections
 * too. Whoever asks and hears is told before the connection goes. */
void http_server_announce_end(struct http_server *s);
/* Then: connections without a request are closed after LIMIT_HTTP_DRAIN_IDLE_MS, which is for
 * requests on their way, and from then on any request is the last of its connection. One that has
 * begun has LIMIT_HTTP_DRAIN_REQUEST_MS from its first byte. Done when no connections are left. */
void http_server_drain(struct http_server *s);
/* Not from inside one of the handler's calls. Requests that wait get their on_gone. */
void http_server_destroy(struct http_server *s);
uint32_t http_server_connections(const struct http_server *s);
/* Connections that were reset since the start: for newcomers, and for what they made us keep; the
 * latter of HTTP/2, too, if that has the same memory. */
uint64_t http_server_closed_for_room(const struct http_server *s);
uint64_t http_server_closed_for_memory(const struct http_server *s);
/* Of those, who have asked something and are not being closed. */
uint32_t http_server_clients(const struct http_server *s);
uint64_t http_server_requests(const struct http_server *s); /* since the start */
/* Since the start, connections beyond connections_max, and requests whose bodies were not read. */
struct http_refusals {
    uint64_t connections;
    uint64_t bodies;
};
struct http_refusals http_server_refusals(const struct http_server *s);

/* Value of the first header of that name, case-insensitively; data == NULL when absent. */
struct slice http_header_find(const struct http_request *r, const char *name);
/* The answer to come ends its connection and says so, unless more was asked behind it. */
void http_request_end_connection(struct http_request *r);
/* A whole answer. `headers` (may be NULL) are further header lines, CRLF after each. For HEAD the
 * body is not sent but counted. Ends the request. */
void http_answer(struct http_request *r, int http_status, const char *content_type,
                 const char *headers, struct slice body);
/* A streamed answer (chunked; to an HTTP/1.0 client: until close). */
void http_answer_begin(struct http_request *r, int http_status, const char *content_type,
                       const char *headers);
void http_answer_chunk(struct http_request *r, struct slice bytes);
/* The same chunk for many readers: referred to until it is sent, not copied, when the answer is the
 * first of its connection. */
void http_answer_chunk_shared(struct http_request *r, struct blob *bytes);
/* Bytes of this connection that the kernel has not taken, or that wait for answers before this one.
 * A stream that goes on by the clock leaves out what a slow reader would only pile up. */
size_t http_answer_unsent(const struct http_request *r);
/* False: stop producing until on_writable. Also before a whole answer that may be long: others of
 * the same connection wait to be taken. */
bool http_answer_wants_more(const struct http_request *r);
void http_answer_end(struct http_request *r);
/* Break off: the client sees a broken stream, never a false end. */
void http_answer_abort(struct http_request *r);
const char *http_status_text(int http_status);
