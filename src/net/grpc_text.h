/* net/grpc_text.h - the two notations of gRPC's own in headers. */
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
