/* node/wire.h - what members say to each other, as bytes: Raft's messages and hellos.
 *
 * docs/PROTOCOL.md has the tables. Pure: no links, no checksums (frame.h). Decoders take bytes from
 * outside: whatever an encoder would not write is CORRUPT, and memory is bounded by what arrived.
 *  */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "node/peers.h"
#include "raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends. Of more than LIMIT_APPEND_ENTRIES entries the rest is left out: to the core that is a
 * message of which the end was lost. */
void wire_encode_message(const struct raft_message *m, struct buf *out);

/* Reusable memory for decoded messages; zero-initialised is ready. */
struct wire_decoder {
    struct raft_message message;
    struct raft_entry *entries; /* owned; payloads hold one reference each */
    uint32_t count;
    uint32_t capacity;
};

/* OK: d->message is valid until the next call; keep a payload by blob_ref. CORRUPT. */
enum status MUST_CHECK wire_decode_message(struct wire_decoder *d, struct slice bytes);
void wire_decoder_deinit(struct wire_decoder *d);

/* `reached` is not part of it: the receiver knows that itself. */
void wire_encode_hello(const struct peer_hello *h, struct buf *out);
/* OK or CORRUPT. */
enum status MUST_CHECK wire_decode_hello(struct slice bytes, struct peer_hello *h);
