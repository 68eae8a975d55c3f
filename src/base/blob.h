/* base/blob.h - counted, immutable bytes: a log entry's payload, shared by raft, wal and peers.
 *
 * Counts are not atomic: only the loop thread takes and drops references. The log thread may read
 * the bytes of a blob that the loop thread keeps alive for it. */
#pragma once

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>

struct blob {
    uint32_t refs;
    uint32_t size;
    uint8_t data[];
};

/* A new blob with one reference, its bytes to be filled in by the caller before it is shared. */
struct blob *blob_create(size_t size);
/* A new blob with one reference that holds a copy. */
struct blob *blob_copy(struct slice bytes);
/* Take one more reference; returns b. */
struct blob *blob_ref(struct blob *b);
/* Drop one reference and free at the last; NULL is fine. */
void blob_unref(struct blob *b);
/* Borrowed as long as a reference is held. NULL gives the empty slice. */
struct slice blob_slice(const struct blob *b);
