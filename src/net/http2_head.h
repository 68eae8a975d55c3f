/* net/http2_head.h - whether a block of headers is sound, as a server of HTTP/2 sees it (RFC 9113,
 * 8.2 and 8.3). For grpc_head.c.
 *
 * It stands in for nghttp2's own check, which is all or nothing, and wants an ":authority" to look
 * like one: what clients in Go say who were given an endpoint as "http://host:port" is just that.
 * The authority is for nothing here, so any text will do, and none. Lengths are not looked at: a
 * call's messages have their own, and content-length is ignored as by other servers of gRPC. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* Of one block, while it is read. */
struct http2_head {
    bool is_trailer;
    bool has_regular;    /* pseudo-headers come before all others */
    unsigned pseudo_set; /* which of them were seen */
};

void http2_head_begin(struct http2_head *head, bool is_trailer);
/* The next header. False: the block is malformed. */
bool http2_head_take(struct http2_head *head, struct slice name, struct slice value);
/* After the last one. `ends_stream`: nothing follows on the stream. False: malformed. */
bool http2_head_is_whole(const struct http2_head *head, bool ends_stream);
