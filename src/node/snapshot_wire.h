/* node/snapshot_wire.h - what members say to each other about a snapshot, and what one carries
 * beside the state, as bytes.
 *
 * docs/PROTOCOL.md has the tables of the frames, docs/DATA_DIR.md that of the meta. Pure. Decoders
 * take bytes from outside: whatever an encoder would not write is CORRUPT. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "raft/raft.h"
#include "wal/snapshot_file.h"

#include <stdbool.h>
#include <stdint.h>

/* Which file is spoken of: two files of one id differ at least in their checksum. */
struct snapshot_tag {
    struct snapshot_id id;
    uint32_t crc;
};

/* FRAME_SNAPSHOT_OFFER, from a leader: take this in. Said again until it is answered. */
struct snapshot_offer {
    raft_term term; /* the sender leads it */
    struct snapshot_file file;
};

enum snapshot_answer {
    SNAPSHOT_FROM = 1, /* send from `offset` on, whatever was sent before */
    SNAPSHOT_GOT,      /* everything before `offset` is on the disk here */
    SNAPSHOT_HELD,     /* all of it is here, and being taken in */
    SNAPSHOT_DONE,     /* taken in, or nothing new in it */
    SNAPSHOT_REFUSED,  /* it could not be taken: try again later */
};

/* FRAME_SNAPSHOT_WANT, from a follower. */
struct snapshot_want {
    struct snapshot_tag tag;
    enum snapshot_answer answer;
    uint64_t offset;
};

/* FRAME_SNAPSHOT_PIECE: bytes of the file. */
struct snapshot_piece {
    struct snapshot_tag tag;
    uint64_t offset;
    struct slice bytes; /* at least one, at most SNAPSHOT_PIECE_BYTES; borrowed */
};
#define SNAPSHOT_PIECE_BYTES (60u * 1024u)

void snapshot_offer_encode(const struct snapshot_offer *o, struct buf *out);
enum status MUST_CHECK snapshot_offer_decode(struct slice bytes, struct snapshot_offer *o);
void snapshot_want_encode(const struct snapshot_want *w, struct buf *out);
enum status MUST_CHECK snapshot_want_decode(struct slice bytes, struct snapshot_want *w);
void snapshot_piece_encode(const struct snapshot_piece *p, struct buf *out);
enum status MUST_CHECK snapshot_piece_decode(struct slice bytes, struct snapshot_piece *p);

struct snapshot_tag snapshot_tag_of(const struct snapshot_file *file);
bool snapshot_tag_equal(struct snapshot_tag a, struct snapshot_tag b);
bool snapshot_id_equal(struct snapshot_id a, struct snapshot_id b);

/* Rule S1: what a snapshot says beside the state. */
struct snapshot_meta {
    raft_index config_index; /* where the log had the configuration below */
    uint64_t revision;       /* of the store */
    struct raft_config config;
    struct slice annex; /* borrowed from the decoded bytes */
};
void snapshot_meta_encode(const struct snapshot_meta *m, struct buf *out);
/* OK; CORRUPT; UNSUPPORTED: of a newer version. */
enum status MUST_CHECK snapshot_meta_decode(struct slice bytes, struct snapshot_meta *m);
