/* node/link.h - one connection with another member: upgrade, opening, hello, frames.
 *
 * Decides whether the other side is a member that may speak; whether it is the right one, whether
 * the link is kept and what is said on it is up to peers.c, its only owner.
 *
 *   dialling -> upgrading -> opening -> greeting -> up          (the side that dialled)
 *                            opening -> greeting -> up          (the side that accepted)
 *
 * dialling: TCP. upgrading: `GET /peer` was sent, 101 is awaited. opening: nonces cross. greeting:
 * our hello has left, theirs is awaited; it is the first frame under the link's keys, and nothing
 * of it is looked at before its tag was found right. A link that is not up in
 * LIMIT_PEER_HANDSHAKE_MS ends.
 *
 * A link frees itself after it ended, when its connection is gone. */
#pragma once

#include "base/list.h"
#include "net/loop.h"
#include "node/frame.h"
#include "net/url.h"
#include "node/wire.h"

#include <stdbool.h>
#include <stdint.h>

enum link_state { LINK_DIALLING, LINK_UPGRADING, LINK_OPENING, LINK_GREETING, LINK_UP, LINK_ENDED };

/* Why it ended, as the other side or the network had it. */
enum link_end {
    LINK_UNREACHABLE, /* the dial failed */
    LINK_BAD_TLS,     /* one side does not believe the other's certificate, or no TLS is spoken */
    LINK_CLOSED,      /* FIN, RST */
    LINK_SILENT,      /* the handshake took too long */
    LINK_NOT_MEMBER,  /* what answers is not a member */
    LINK_BAD_VERSION,
    LINK_BAD_SECRET,  /* the first tag is wrong */
    LINK_SECRET_HERE, /* only this side has a secret */
    LINK_SECRET_THERE,
    LINK_BAD_FRAME,
    LINK_REFUSED,   /* the other side said so: BYE_REFUSED */
    LINK_DUPLICATE, /* the other side keeps another link: BYE_DUPLICATE */
};

struct link;

struct link_events {
    /* The keys are there: send the hello (link_send). */
    void (*on_greeting)(struct link *l);
    /* l->hello is new. The first makes the link up. */
    void (*on_hello)(struct link *l, bool first);
    /* A whole message of type FRAME_RAFT, FRAME_NOTE or FRAME_SNAPSHOT_*; borrowed. The link is
     * up. */
    void (*on_message)(struct link *l, uint8_t type, struct slice message);
    /* More may be sent. */
    void (*on_drain)(struct link *l);
    /* It ended, and not by link_close. */
    void (*on_end)(struct link *l, enum link_end why);
};

struct link_setup {
    struct loop *loop;
    const uint8_t *secret_key; /* NULL = no secret; borrowed until the link is up */
    const struct link_events *events;
    void *context;
};

struct peer_dial;
struct peer;

struct link {
    const struct link_events *events;
    void *context; /* of the setup */

    /* The owner's own; NULL at first. */
    struct list node;
    struct peer_dial *dial;
    struct peer *peer;

    struct loop *loop;
    struct conn *conn;
    enum link_state state;
    enum link_lane lane;
    bool dialled;    /* by this side */
    uint32_t number; /* of the dial, as its dialler counts */
    struct peer_hello hello;
    uint64_t heard_ms; /* when bytes of a sound frame last came */
    uint64_t spoke_ms; /* when a frame was last sent */
    char url[LIMIT_URL_BYTES];
    /* A few words on the end, more than link_end says; may be empty. */
    char detail[256];

    /* The link's own. */
    const uint8_t *secret_key;
    struct url address;
    struct timer deadline;
    uint8_t opening[OPENING_BYTES];
    struct frame_seal seal_out;
    struct frame_seal seal_in;
    struct frame_joiner joiner;
    struct buf in;
    struct buf out;
};

/* Requires: url_parse accepts `url`. */
struct link *link_dial(const struct link_setup *setup, const char *url, enum link_lane lane,
                       uint32_t number);
/* After the 101 was sent. `rest` is for link_feed. */
struct link *link_accept(const struct link_setup *setup, struct conn *c);
/* Bytes that had been read before link_accept. May call events. */
void link_feed(struct link *l, struct slice bytes);
/* Requires: greeting or up. */
void link_send(struct link *l, const struct frame *f);
/* Bytes that the kernel did not take yet. */
size_t link_unsent(const struct link *l);
/* End it, saying why when that can be said (0 = without a word); no event follows. */
void link_close(struct link *l, enum frame_bye why);
/* The same without a word, and at once: for a stranger. */
void link_reset(struct link *l);
const char *link_end_text(enum link_end why);
