/* net/http_exchange.h - HTTP/1.1 as a client on the loop: one connection that is kept, one request
 * after another, each after the answer to the one before.
 *
 * For who puts load on servers; net/http_client.h does the same for callers that may block, and
 * what is asked and answered (struct http_call, struct http_reply) is theirs. Nothing is repeated
 * or followed, and no connection is dialled anew. Nothing is allocated here for a request in the
 * steady state. Callbacks come from the loop, never out of a function of this header; in any of
 * them everything below may be called.
 *
 * Bounded: heads as in net/http_parser.h, bodies by what each call says. */
#pragma once

#include "base/status.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "net/url.h"

struct http_exchange;

struct http_exchange_events {
    /* Connected. May be NULL. */
    void (*on_open)(struct http_exchange *x);
    /* The answer, whatever its code says; valid until the next http_exchange_ask or the return,
     * whichever is first. The next one may be asked right here. */
    void (*on_reply)(struct http_exchange *x, const struct http_reply *reply);
    /* Last call; the exchange is gone afterwards. A request that is under way has no answer:
     * UNREACHABLE: nothing was sent. TIMEOUT, CLOSED, IO: none came in time, or it was cut off (it
     * may have been carried out). TOO_LARGE, CORRUPT: it was longer than asked for, or not HTTP.
     * CLOSED without a request: the server, or the caller, wanted no more. `text` says more,
     * borrowed. */
    void (*on_close)(struct http_exchange *x, enum status why, const char *text);
};

/* `events` must outlive the exchange. The first request may be asked at once. */
struct http_exchange *http_exchange_open(struct loop *loop, const struct url *server,
                                         const struct http_exchange_events *events, void *context);
void *http_exchange_context(const struct http_exchange *x);
/* A request is under way. */
bool http_exchange_is_busy(const struct http_exchange *x);
/* Copied, but for the method and the sink, which stay valid until the answer. The time begins now;
 * `cancel_fd` is not looked at. BUSY: a request is under way. CLOSED: the connection takes no more
 * requests; on_close has been told or follows. */
enum status MUST_CHECK http_exchange_ask(struct http_exchange *x, const struct http_call *call);
/* Break it off; on_close follows. */
void http_exchange_close(struct http_exchange *x);
