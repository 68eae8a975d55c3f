/* net/grpc_text.h - gRPC's own notations: two in headers, and the prefix of a message, which says
 * whether it is compressed (1, or 0) and how long it is. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* "100m" is 100 ms: up to 8 digits and one of H M S m u n. Parts of a ms count as one. False: it is
 * none. */
bool grpc_timeout_parse(struct slice text, uint64_t *ms);
/* A status message as it goes into grpc-message: bytes outside of printable ASCII, and '%', become
 * %XX. Appended to `out`. */
void grpc_message_escape(struct slice text, struct buf *out);

#define GRPC_PREFIX_BYTES 5

/* The prefix of a message of `size` bytes, not compressed, appended to `out`. */
void grpc_prefix_append(uint32_t size, struct buf *out);
/* How long the message is whose prefix begins at `at`. */
uint32_t grpc_prefix_size(const uint8_t *at);
