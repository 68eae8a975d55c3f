/* node/frame.h - bytes of a link between two members: openings, frames, and messages in pieces.
 *
 * docs/PROTOCOL.md has the tables. Pure: bytes in, bytes out; link.c owns the connection. Every
 * frame ends in a tag: with a cluster secret a MAC under a key of this link and direction, else a
 * checksum. The tag covers a counter that is never sent, so a frame that was replayed, dropped,
 * reordered, reflected, cut or forged does not pass. It proves who speaks; it hides nothing. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define FRAME_VERSION      1
#define FRAME_UPGRADE      "conclave-peer/1" /* the protocol's name in the HTTP upgrade */
#define FRAME_HEADER_BYTES 8
#define FRAME_MAC_BYTES    16
#define FRAME_CRC_BYTES    4
#define FRAME_KEY_BYTES    32
#define FRAME_NONCE_BYTES  32
/* What one frame carries at most. */
#define FRAME_PAYLOAD_MAX  (LIMIT_FRAME_BYTES - FRAME_HEADER_BYTES - FRAME_MAC_BYTES)

/* --- openings: the first bytes of each side after the upgrade --------------------------------- */

#define OPENING_BYTES 48

enum link_lane { LANE_RAFT = 0, LANE_BULK = 1 };
#define LANE_COUNT 2

struct frame_opening {
    uint16_t version;
    enum link_lane lane;
    bool keyed;   /* has a cluster secret */
    bool dialler; /* speaks as the side that dialled */
    /* Of this dial since the dialler's boot, ascending; 0 from the acceptor. */
    uint32_t number;
    uint8_t nonce[FRAME_NONCE_BYTES];
};

void opening_encode(const struct frame_opening *o, uint8_t bytes[OPENING_BYTES]);
/* `bytes` may be fewer than OPENING_BYTES. OK; CORRUPT: not an opening; UNSUPPORTED: o->version is
 * another one; BUSY: more bytes are needed. */
enum status MUST_CHECK opening_decode(struct slice bytes, struct frame_opening *o);

/* --- frames ----------------------------------------------------------------------------------- */

enum frame_type {
    FRAME_HELLO = 1, /* the first of each side; again when it changes */
    FRAME_BYE = 2,   /* why the link is about to be closed: one byte, enum frame_bye */
    FRAME_PING = 3,  /* nothing else to say; empty, not answered */
    FRAME_RAFT = 4,
    FRAME_NOTE = 5,            /* kind (one byte) and body */
    FRAME_SNAPSHOT_OFFER = 16, /* snapshot_wire.h; 19-23 are reserved for snapshots */
    FRAME_SNAPSHOT_PIECE = 17,
    FRAME_SNAPSHOT_WANT = 18,
    /* 24-31 are reserved for membership. */
};

enum frame_bye {
    BYE_DUPLICATE = 1, /* there is another link between the two */
    BYE_REFUSED = 2,   /* another cluster, another member: dial again, but slowly */
};

enum { FRAME_FIRST = 1, FRAME_LAST = 2 };

struct frame {
    uint8_t type;
    uint8_t flags;   /* FRAME_FIRST | FRAME_LAST: a whole message */
    uint16_t stream; /* 0 = a whole message; else the message that this is a piece of */
    struct slice payload;
};

/* One direction of a link. */
struct frame_seal {
    bool keyed;
    uint8_t key[FRAME_KEY_BYTES];
    uint64_t counter; /* frames so far */
};

/* The cluster's secret, any bytes, as a key. */
void frame_secret_key(struct slice secret, uint8_t key[FRAME_KEY_BYTES]);
/* The keys of one link from the secret's key and the two openings. */
void frame_link_keys(const uint8_t secret_key[FRAME_KEY_BYTES],
                     const uint8_t dialler[OPENING_BYTES], const uint8_t acceptor[OPENING_BYTES],
                     uint8_t from_dialler[FRAME_KEY_BYTES], uint8_t from_acceptor[FRAME_KEY_BYTES]);

/* Appends a frame. Requires: payload of at most FRAME_PAYLOAD_MAX. */
void frame_write(struct frame_seal *s, const struct frame *f, struct buf *out);
/* The frame at the start of `bytes`. OK: *used bytes are consumed and f->payload points into
 * `bytes`; *used == 0: more bytes are needed. CORRUPT: a broken header; DENIED: the tag is wrong.
 *  */
enum status MUST_CHECK frame_read(struct frame_seal *s, struct slice bytes, struct frame *f,
                                  size_t *used);

/* --- messages in pieces ----------------------------------------------------------------------- */

struct frame_part {
    uint16_t stream; /* 0 = free */
    uint8_t type;
    struct buf bytes;
};

/* Zero-initialised is empty. Bounded by LIMIT_PEER_STREAMS and LIMIT_PEER_MESSAGE_BYTES in all. */
struct frame_joiner {
    struct frame_part parts[LIMIT_PEER_STREAMS];
    size_t size_bytes;
    struct buf whole; /* the message handed out last */
};

/* Take a frame. OK: *complete says whether *message (of f->type) is whole; it is valid until the
 * next call, or as long as the frame. CORRUPT: pieces that do not fit, or too many. */
enum status MUST_CHECK frame_join(struct frame_joiner *j, const struct frame *f,
                                  struct slice *message, bool *complete);
void frame_joiner_deinit(struct frame_joiner *j);
