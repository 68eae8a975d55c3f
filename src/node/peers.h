/* node/peers.h - the links with the other members: dial, hello, authenticate, frame, reconnect.
 *
 * docs/PROTOCOL.md has the bytes. One raft link a pair carries messages both ways; a second, bulk
 * link carries what is long and old (entries read back from disk, snapshots), so that it never
 * delays a heartbeat. Knows nothing of Raft's rules or of founding's: it delivers, and says
 * who came and went. Driven by node.c and founding.c on the loop thread. */
#pragma once

#include "base/slice.h"
#include "base/status.h"
#include "net/loop.h"
#include "node/fault_set.h"
#include "node/roster.h"
#include "raft/raft.h"

#include <stdbool.h>
#include <stdint.h>

struct peers;

/* Rule G1. What a member says of itself at the start of every link, and again when it changes. */
struct peer_hello {
    char name[LIMIT_NAME_BYTES + 1];
    struct uuid incarnation;
    struct uuid boot; /* drawn at every start */
    uint64_t boots;   /* rule C7: which start of this data directory it is; 0 = not known */
    enum founding_phase phase;
    struct roster roster; /* count 0 while FRESH */
    uint32_t founders;    /* n: peers given + 1 */
    raft_term term;
    bool leads;                      /* it leads that term */
    bool joins;                      /* FRESH, and wants to join a cluster that is there */
    uint32_t priority;               /* rule E10 */
    char advertise[LIMIT_URL_BYTES]; /* its --advertise, or empty */
    /* The URL that the dialler used; empty from the accepting side. */
    char dialled[LIMIT_URL_BYTES];
    /* Not on the wire: the URL by which this member reached the sender, or empty; and the address
     * of this end of the connection. */
    char reached[LIMIT_URL_BYTES];
    char local_host[48];
};

/* Kinds of frames besides Raft's messages; bodies are the business of who sends them. */
enum peer_note {
    PEER_NOTE_PROMISE_ASK = 1, /* founding: R */
    PEER_NOTE_PROMISE,         /* founding: R, promised */
    PEER_NOTE_SURVEY_ASK,      /* survey number */
    PEER_NOTE_SURVEY_REPLY,
    PEER_NOTE_JOIN_ASK, /* membership: joining.h has these four */
    PEER_NOTE_JOIN_REPLY,
    PEER_NOTE_REMOVED,
    PEER_NOTE_OLD_COPY,
    PEER_NOTE_FORWARD_ASK, /* rule R15: a write for the leader, by peers_send_long_note */
    PEER_NOTE_FORWARD_REPLY,
    PEER_NOTE_DIGEST, /* rule P15b: agreement.c has both */
    PEER_NOTE_ODD,
    PEER_NOTE_LOAD, /* loads.h has both */
    PEER_NOTE_VIEW,
    PEER_NOTE_LEASE_ASK, /* leases.h has both */
    PEER_NOTE_LEASE_REPLY,
};

struct peers_events {
    /* A link passed its handshake, or an open one sent a new hello. Return false to cut it (wrong
     * cluster, wrong member: rule E11); then it is redialled slowly. */
    bool (*on_hello)(void *context, const struct peer_hello *hello);
    void (*on_message)(void *context, struct uuid from, const struct raft_message *message);
    void (*on_note)(void *context, struct uuid from, enum peer_note kind, struct slice body);
    /* A message of type FRAME_SNAPSHOT_* (snapshot_wire.h). False: it is damaged; the link is cut.
     * May be NULL. */
    bool (*on_snapshot)(void *context, struct uuid from, uint8_t type, struct slice body);
    /* No raft link with it any more. */
    void (*on_down)(void *context, struct uuid peer);
    /* Rule E6b: its raft link ended, and one immediate reconnect was refused, closed before a
     * hello, or answered by another incarnation. (One that answers but no longer leads says so in
     * its hello.) */
    void (*on_lost)(void *context, struct uuid peer);
    /* Messages to it had to be dropped (no link, or LIMIT_PEER_UNSENT_BYTES). Once per turn and
     * peer. */
    void (*on_dropped)(void *context, struct uuid peer);
};

struct peers_options {
    struct loop *loop;
    struct slice secret; /* borrowed for the life of this; empty = frames carry a checksum only */
    const struct peers_events *events;
    void *context;
};

struct peers *peers_create(const struct peers_options *options);
/* A turn is under way: what may share it is done now. */
void peers_on_turn(struct peers *p);
/* End all links and take no new ones, without a word to the owner. Not from inside its events. */
void peers_close(struct peers *p);
void peers_destroy(struct peers *p);

/* What we say of ourselves from now on; sent to open links when it differs from before. */
void peers_set_hello(struct peers *p, const struct peer_hello *hello);
/* Whom to dial, for ever, names resolved anew each time (rule G1); replaces the list. An URL that
 * turns out to be ourselves (own boot nonce) is dropped. */
void peers_set_urls(struct peers *p, const char *const *urls, uint32_t count);
/* An accepted connection after the upgrade. */
void peers_accept(struct peers *p, struct conn *c, struct slice rest);

/* Queue a message for a member; encoded now, sent at the end of the turn. Without a link: dropped.
 *  */
void peers_send(struct peers *p, struct uuid to, const struct raft_message *m);
void peers_send_note(struct peers *p, struct uuid to, enum peer_note kind, struct slice body);
/* A note of up to LIMIT_ENTRY_BYTES, in order behind appends. False: it was not taken, nothing
 * leaves. */
bool peers_send_long_note(struct peers *p, struct uuid to, enum peer_note kind, struct slice body);
/* A message of type FRAME_SNAPSHOT_*, on the bulk link; those that are no pieces go on the raft
 * link when that is the only one. False: there is no link for it, or too much waits; it is gone. */
bool peers_send_snapshot(struct peers *p, struct uuid to, uint8_t type, struct slice body);

/* Play these faults from now on, instead of those before; copied. What waits is sent at once where
 * nothing is delayed any more, and else no later than what comes now. Links stay up, and so do
 * pings: nobody learns anything from a link that ends. Lost is lost without a word to on_dropped.
 * Not from inside the events. */
void peers_set_faults(struct peers *p, const struct fault_set *faults);

bool peers_is_up(const struct peers *p, struct uuid peer);
/* What it said of itself last, borrowed until the next event; NULL: it is not linked. */
const struct peer_hello *peers_hello(const struct peers *p, struct uuid peer);
/* The linked member with that raft id. False: there is none. */
bool peers_find_id(const struct peers *p, node_id id, struct uuid *incarnation);
/* End its links, and tell it that it is not wanted. Not from inside the events. */
void peers_cut(struct peers *p, struct uuid peer);
/* now - the last frame from it; UINT64_MAX = never. */
uint64_t peers_silence_ms(const struct peers *p, struct uuid peer);

/* What stands between us and a member. */
struct peer_trouble {
    /* Without a link: dials of it that failed since it was linked. With one: messages to it that
     * were dropped since something came from it. */
    uint64_t attempts;
    char text[288]; /* of the last of them; empty = none */
};
/* `url` finds one that was never linked. */
void peers_trouble(const struct peers *p, struct uuid peer, const char *url,
                   struct peer_trouble *trouble);

/* Bytes that wait to be sent, to all of them together. */
uint64_t peers_unsent_bytes(const struct peers *p);

/* One peer that we dial or that came, for reports. */
struct peer_view {
    char url[LIMIT_URL_BYTES];
    bool up;
    struct peer_hello hello; /* name empty = never reached */
    char trouble[288]; /* why there is no link: "connection refused", "wrong secret" ...; empty */
};
uint32_t peers_view(const struct peers *p, struct peer_view *views, uint32_t max);

/* Counters of refused frames and links, for reports and tests. */
struct peers_counters {
    uint64_t bad_frames; /* checksum, MAC, counter, length, encoding */
    uint64_t bad_secrets;
    uint64_t bad_versions;
    uint64_t refused_hellos;
    uint64_t strangers; /* accepted, and not up in time, or reset for the next one */
    uint64_t dropped_messages;
    uint64_t fault_drops; /* lost because of peers_set_faults, both ways */
};
struct peers_counters peers_counters(const struct peers *p);
