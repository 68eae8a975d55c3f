/* net/grpc_client_internal.h - what grpc_client.c (connections and frames) and grpc_client_call.c
 * (calls and messages) share. */
#pragma once

#include "net/grpc_client.h"

#include <nghttp2/nghttp2.h>

struct grpc_client {
    struct loop *loop;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct list connections;
    struct list dirty;
    uint32_t connection_count;
};

struct grpc_client_conn {
    struct list link;  /* client->connections */
    struct list dirty; /* client->dirty, or alone: nghttp2 may have something to send */
    struct grpc_client *client;
    const struct grpc_client_events *events;
    void *context;
    struct conn *conn;
    nghttp2_session *session;
    struct list calls; /* under way */
    uint32_t call_count;
    size_t partial_bytes;   /* in the `in` of its calls */
    size_t unchecked_bytes; /* written since conn_unsent was last asked and had room */
    bool is_closed;         /* conn_close was called, or the connection is lost */
    bool is_broken_off;     /* by our side's wish */
    enum status why;        /* if we know better than the loop; OK = we do not */
    struct buf text;        /* why it ends; zero-terminated when it is not empty */
    struct buf authority;
};

/* --- grpc_client.c ---------------------------------------------------------------------------- */

/* nghttp2 may have something to send: it is asked at the end of the turn. */
void grpc_client_touch(struct grpc_client_conn *c);

/* --- grpc_client_call.c ----------------------------------------------------------------------- */

/* One header of the server's, of those that matter here. */
void grpc_client_call_header(struct grpc_client_call *call, struct slice name, struct slice value);
void grpc_client_call_data(struct grpc_client_call *call, struct slice data);
/* The stream is closed, with that code of HTTP/2. The call is the caller's again. */
void grpc_client_call_closed(struct grpc_client_call *call, uint32_t error_code);
/* The connection is. */
void grpc_client_call_lost(struct grpc_client_call *call, enum grpc_code code, struct slice text);
