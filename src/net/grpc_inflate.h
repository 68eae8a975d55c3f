/* net/grpc_inflate.h - messages that a client compressed with gzip. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdint.h>

/* Inflate all of `in` to the end of `out`. TOO_LARGE: it is more than `max` bytes, and `out` has so
 * many and one more; INVALID: it is no gzip, ends too early, or more follows. */
enum status MUST_CHECK grpc_inflate(struct slice in, uint32_t max, struct buf *out);
