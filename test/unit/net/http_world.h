/* An HTTP server over a loop without a kernel, and a handler that does what the path says:
 *
 *   /later     waits in `waiting` until the test answers, and hears when its client goes
 *   /stubborn  the same, but does not listen
 *   /none      takes no body; /big and /busy one of 4 MiB; every other path BODY_MAX
 *   /peer      may be upgraded to conclave-peer/1
 *   /alive     is vital
 *   others     200 with "<method's number> <method> <path>?<query> <body>" */
#pragma once

#include "base/limits.h"
#include "fake_loop.h"
#include "net/http.h"

#define HOST "Host: a\r\n"
#define UPGRADE                                                                                    \
    "GET /peer HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: conclave-peer/1\r\n\r\n"
#define WAITING_MAX  100
#define BODY_MAX     1000
#define BIG_BODY_MAX (4u * MIB)

struct world {
    struct fake_loop loop;
    struct http_server *server;
    struct http_request *waiting[WAITING_MAX]; /* requests for /later, in the order of arrival */
    uint32_t waiting_count;
    uint32_t gone_count;
    uint32_t writable_count;
    uint32_t request_count;
    struct conn *upgraded;
    struct buf upgrade_rest;
    struct buf upgrade_data;
};

/* `options` may be NULL. */
void http_world_start_with(struct world *w, const struct http_options *options);
void http_world_start(struct world *w);
/* Destroys the server; no timer of it may run afterwards. */
void http_world_finish(struct world *w);
struct fake_conn *http_world_connect(struct world *w);
void feed(struct fake_conn *c, const char *text);
/* "200:body|404:body|..." of everything that was sent; read with the parser's other half, so that
 * every answer is also well-formed. */
char *read_answers(struct slice sent);
void expect_answers(struct fake_conn *c, const char *expected);
bool contains(const struct buf *b, const char *text);
