/* net/http_client.h - one HTTP/1.1 request after another to one server, waiting for each answer.
 *
 * For the command line's verbs; members never use it, because it blocks. Follows nothing and
 * repeats nothing: whether a request may be sent again is the caller's to know, so the outcomes say
 * how far it got. The connection is kept for the next call when the server allows that. */
#pragma once

#include "base/slice.h"
#include "base/status.h"
#include "net/http_header.h"
#include "net/url.h"

#include <stdbool.h>
#include <stdint.h>

struct http_client;

/* Takes a body of any length, piece by piece; a piece is borrowed during the call. False: no more
 * of it is wanted. */
struct http_sink {
    bool (*take)(void *context, struct slice piece);
    void *context;
};

struct http_call {
    const char *method;  /* "GET" */
    const char *target;  /* "/key/a", encoded by the caller */
    const char *headers; /* further header lines, CRLF after each; may be NULL */
    struct slice body;   /* sent with its length when it is not empty, or data != NULL */
    uint32_t timeout_ms; /* for everything, from connecting to the last byte; > 0 */
    uint64_t answer_bytes_max;
    /* NULL = none. The body of a 2xx answer goes there and not into the reply, however long it is;
     * with it, timeout_ms begins anew with every piece. */
    const struct http_sink *sink;
    int cancel_fd; /* 0 = none. Readable: the caller wants no more of it */
};

/* Valid until the next call or the client's end. */
struct http_reply {
    int http_status;
    const struct http_header *headers;
    uint32_t header_count;
    struct slice body;
    bool is_last; /* the server keeps the connection for no other request */
};

struct http_client *http_client_create(const struct url *server);
void http_client_destroy(struct http_client *c);
/* Why the last call found no TLS there (certificates, above all), for a person; empty = for no such
 * reason. Until the next call. */
const char *http_client_trouble(const struct http_client *c);
/* OK: there is an answer, whatever its code says.
 * UNREACHABLE: no connection within the time, or no TLS on it; nothing was done.
 * TIMEOUT, CLOSED: it may have been sent and even been carried out; no answer in time, or cut off.
 * TOO_LARGE, CORRUPT: there was an answer, but a longer one than asked for, or not HTTP.
 * IO: the sink or the caller wanted no more. */
enum status MUST_CHECK http_client_call(struct http_client *c, const struct http_call *call,
                                        struct http_reply *reply);
