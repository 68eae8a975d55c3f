/* net/http_ask.h - one request of HTTP/1.1 as text, and bytes to its answer: what the client that
 * waits (http_client.c) and the one on the loop (http_exchange.c) have in common. Knows no
 * connection. */
#pragma once

#include "base/buf.h"
#include "net/http_client.h"
#include "net/http_parser.h"

/* The request, appended to `out`. */
void http_ask_write(const struct http_call *call, const struct url *server, struct buf *out);
/* Prepare for the answer. */
void http_ask_begin(const struct http_call *call, struct http_parser *parser);
/* Read on. OK: the answer is whole, and *rest is what came behind it; BUSY: more is needed;
 * TOO_LARGE, CORRUPT, or IO (the sink wants no more): there will be no answer. */
enum status MUST_CHECK http_ask_read(const struct http_call *call, struct http_parser *parser,
                                     struct slice bytes, struct slice *rest);
/* The connection ended. OK: which made the answer whole; otherwise CLOSED. */
enum status MUST_CHECK http_ask_end(struct http_parser *parser);
/* The answer, once it is whole; valid until the next http_ask_begin. */
struct http_reply http_ask_reply(const struct http_parser *parser);
