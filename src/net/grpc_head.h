/* net/grpc_head.h - the headers of requests, kept once for all that are the same. For
 * http2_session.c and grpc_call.c.
 *
 * The requests of a connection mostly differ in their messages only. What was in the last block is
 * neither checked nor copied again, and a block with nothing else in it is the last one's head.
 * Mostly HPACK says that it is the same: as an entry of the table, which nghttp2 shows as the same
 * buffer. Some clients do not have paths in the table; then the bytes are compared. */
#pragma once

#include "net/http2_head.h"
#include "net/http_header.h"

#include <nghttp2/nghttp2.h>

/* Never changed once it is whole, but for the note. */
struct grpc_head {
    struct slice path;
    const void *path_note; /* the handler's */
    /* Without the pseudo-headers but for ":authority", in order. */
    struct http_header *headers;
    uint32_t header_count;
    bool is_post;         /* the method is POST */
    bool is_grpc;         /* the content type is one of gRPC */
    bool is_too_long;     /* beyond the limits: the rest was not kept */
    struct slice timeout; /* grpc-timeout; data == NULL: there is none */
    /* grpc_head.c's own. */
    uint32_t refs;
    uint32_t entry_count;
    uint32_t capacity;
    size_t bytes; /* of what counts towards the limit */
    struct head_entry *entries;
};

struct grpc_head *grpc_head_ref(struct grpc_head *head);
void grpc_head_unref(struct grpc_head *head); /* may be NULL */

/* Of a connection: reads one block after the other. Zeroed at the beginning. */
struct grpc_head_reader {
    struct http2_head check;
    struct grpc_head *last; /* NULL: there was none, or it was not sound */
    struct grpc_head *made; /* NULL: so far it is the same as `last` */
    uint32_t at;            /* headers of the block that were taken */
};

void grpc_head_reader_deinit(struct grpc_head_reader *r);
void grpc_head_reader_begin(struct grpc_head_reader *r, bool is_trailer);
/* The next header. False: the block is malformed, and nothing more is taken from it. */
bool grpc_head_reader_take(struct grpc_head_reader *r, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* After the last one, of a block that is no trailer and was not malformed: its head, the caller's
 * to unref. */
struct grpc_head *grpc_head_reader_end(struct grpc_head_reader *r);
