/* net/http_parser.h - bytes to one HTTP/1 message, request or response. Knows no connection.
 *
 * The head (first line and headers) is gathered until its empty line and then parsed at one go, so
 * that what points into it stays in one piece however the bytes arrive. The request line is read
 * here, because llhttp knows a fixed list of methods and its rules for targets differ from release
 * to release; llhttp reads the headers, and the body as it comes. What llhttp forgives in some
 * release (folded lines, bare line feeds, a missing Host) is refused here.
 *
 * Memory: the head up to LIMIT_URL_LINE_BYTES + LIMIT_HEADERS_BYTES, the body up to what
 * http_parser_limit_body says (at first: nothing). The parser is reused message after message. */
#pragma once

#include "base/slice.h"
#include "net/http_header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_parser;

enum http_kind { HTTP_KIND_REQUEST, HTTP_KIND_RESPONSE };

enum http_parsed {
    HTTP_PARSED_PART,  /* all bytes were used; more are needed */
    HTTP_PARSED_HEAD,  /* the head is there: look at it, limit the body, feed on */
    HTTP_PARSED_WHOLE, /* the message is complete */
    HTTP_PARSED_BAD    /* see http_parser_trouble; nothing more can be read from this connection */
};

/* What the first line and the headers said. Slices are valid until http_parser_reset. */
struct http_head {
    struct slice method; /* requests */
    struct slice target;
    int http_status; /* responses */
    const struct http_header *headers;
    uint32_t header_count;
    bool is_http_1_0;
    bool keep_alive;
    bool has_body;
    bool is_chunked;
    uint64_t content_length; /* 0 when there is none */
    struct slice upgrade;    /* what `Upgrade:` asked for with `Connection: upgrade`, or empty */
};

struct http_trouble {
    int http_status;
    const char *reason; /* static */
};

struct http_parser *http_parser_create(enum http_kind kind);
void http_parser_destroy(struct http_parser *p);
/* Forget the message; keep moderate amounts of memory for the next one. */
void http_parser_reset(struct http_parser *p);
/* Read on. *used: how many of `bytes` were taken; those after a whole message belong to the
 * next. */
enum http_parsed http_parser_feed(struct http_parser *p, struct slice bytes, size_t *used);
/* The connection ended: WHOLE for a response whose body was to go on until then, otherwise BAD. */
enum http_parsed http_parser_end(struct http_parser *p);
/* A longer body is 413. Called after HEAD, or before the first feed. */
void http_parser_limit_body(struct http_parser *p, uint64_t bytes_max);
/* The next response answers a HEAD: it has no body whatever its headers say. */
void http_parser_expect_no_body(struct http_parser *p);
/* No byte of a message (but empty lines before it) was fed yet. */
bool http_parser_is_fresh(const struct http_parser *p);
/* Valid from HEAD on. */
const struct http_head *http_parser_head(const struct http_parser *p);
/* What has come of the body; all of it after WHOLE, but for what was dropped. */
struct slice http_parser_body(const struct http_parser *p);
/* Forget what has come of the body, for a body that need not be in memory as a whole. Bounds count
 * from there on. */
void http_parser_drop_body(struct http_parser *p);
/* Valid after BAD. */
struct http_trouble http_parser_trouble(const struct http_parser *p);
