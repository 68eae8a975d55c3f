/* node/peers_internal.h - shared by peers.c (who is linked), peer_dial.c (which URL is
 * dialled when), peer_send.c (what goes out) and peer_faults.c (what of it is lost or late). */
#pragma once

#include "base/rng.h"
#include "node/delay_line.h"
#include "node/link.h"
#include "node/peer_queue.h"
#include "node/peers.h"

/* One URL that is dialled: for ever when it was given to peers_set_urls; once when it is only known
 * from a member that came by itself. */
struct peer_dial {
    struct peers *peers;
    char url[LIMIT_URL_BYTES];
    bool listed;
    bool is_self; /* our own boot nonce answered: never again */
    uint32_t failures;
    uint64_t dialled_ms;
    struct timer timer;
    struct link *attempt;    /* on its way up, or NULL */
    struct uuid incarnation; /* who answered last; zero = nobody yet */
    char trouble[288];
};

/* A member that said hello. Two raft links may be up for a moment: both sides dialled. */
struct peer {
    struct peers *peers;
    struct peer_hello hello;
    struct link *dialled; /* raft links that are up, by who dialled */
    struct link *accepted;
    struct link *bulk;
    struct link *bulk_attempt;
    struct link *sending; /* of the two raft links the one in use */
    bool announced;       /* on_hello said yes, and on_down did not follow */
    bool lost_pending;    /* rule E6b: the link ended, a dial will tell */
    uint64_t heard_ms;
    uint64_t unsent; /* messages that were dropped since it was heard */
    struct timer contest;
    struct timer bulk_timer;
    struct peer_queue queues[LANE_COUNT];
    struct delay_line delayed; /* empty without faults */
    struct timer delay_timer;
};

/* Faults that are played, and the chance for them. */
struct peer_faults {
    struct fault_set set;
    struct rng rng;
};

struct peers {
    struct loop *loop;
    const struct peers_events *events;
    void *context;
    bool keyed;
    uint8_t secret_key[FRAME_KEY_BYTES];
    bool has_hello;
    bool is_closed;          /* peers_close was called */
    struct peer_hello hello; /* our own */
    struct list links;       /* all that did not end */
    uint32_t dial_number;
    uint32_t dial_count;
    struct peer_dial *dials[LIMIT_PEERS_KNOWN];
    uint32_t peer_count;
    struct peer *table[LIMIT_PEERS_KNOWN];
    struct timer tick;
    uint64_t ticked_ms;
    uint64_t warned_ms;  /* of strangers */
    uint64_t refused_ms; /* the last line on a hello that was refused */
    struct timer later;  /* reports `dropped` in a turn of its own */
    uint32_t dropped_count;
    struct uuid dropped[LIMIT_PEERS_KNOWN];
    struct buf scratch;
    struct wire_decoder decoder;
    struct peers_counters counters;
    struct peer_faults *faults; /* NULL = none, and it costs no more than to see that */
};

/* peers.c */
struct peer *peers_find(const struct peers *p, struct uuid incarnation);
bool peer_is_up(const struct peer *peer);
/* A new link, in the list and under our events. */
struct link *peers_dial_link(struct peers *p, const char *url, enum link_lane lane);
/* End a link without an event. */
void peers_drop_link(struct link *l, enum frame_bye why);
/* Rule E6b: the dial that followed the end of its link failed. */
void peers_report_lost(struct peer *peer);
/* What either side said of itself meanwhile is said, and heard, now. */
void peers_greet_again(struct peer *peer);

struct link_setup peers_link_setup(struct peers *p);
/* It ended, and not by peers_drop_link (struct link_events). */
void peers_on_link_end(struct link *l, enum link_end why);

/* peer_silence.c */
void peers_watch_silence(struct peers *p);

/* peer_strangers.c, with peers_accept */
void peers_count_end(struct peers *p, const struct link *l, enum link_end why);
/* One line in `pause_ms` at most, of what others make happen; *warned_ms: when the last one was. */
bool peers_may_warn(const struct peers *p, uint64_t *warned_ms, uint64_t pause_ms);

/* peer_send.c */
/* Hand over as much as the connection should hold; the rest follows when it has drained. */
void peer_flush(struct peer *peer, enum link_lane lane);
/* Into its queues, or straight to the connection. False: it is gone. */
bool peer_send_now(struct peer *peer, const struct outgoing *m);
void peers_on_drain(struct link *l);
void peers_on_later(struct timer *t);

/* peer_faults.c. Requires of the first: there are faults. */
/* True: it was lost, or is sent later. */
bool peer_faults_take(struct peer *peer, const struct outgoing *m);
/* Nothing goes to it and nothing of it is heard. */
bool peer_is_cut(const struct peer *peer);
/* The same for something that has just come from it, which is counted. */
bool peer_faults_deafen(struct peer *peer);
/* What waits for it is gone. */
void peer_faults_forget(struct peer *peer);
void peer_on_delay(struct timer *t);

/* peer_dial.c */
/* Dial everything that is not linked and not waiting. */
void dial_all(struct peers *p);
/* The last raft link with it ended: dial at once, by whatever URL is known (rule E6b). */
void dial_again(struct peer *peer);
/* The attempt ended before it was up. */
void dial_on_failed(struct peer_dial *d, enum link_end why);
/* The attempt is up: `incarnation` answers at this URL. */
void dial_on_answered(struct peer_dial *d, struct uuid incarnation);
/* The member is linked, whoever dialled: what failed before says nothing any more. */
void dial_on_linked(struct peer *peer);
void dial_on_self(struct peer_dial *d);
/* Try again, but slowly: it is there and is not to be linked with. */
void dial_slowly(struct peer_dial *d);
/* The same for every URL of it, whoever dialled the link that was refused: the other side may not
 * know where this one is, and then nobody else dials. */
void dial_member_slowly(const struct peer *peer);
/* The URL by which we reached that member; NULL = we did not. */
const char *dial_url_of(const struct peers *p, struct uuid incarnation);
void dial_set_trouble(struct peer_dial *d, const struct link *l, enum link_end why);
void dial_destroy(struct peer_dial *d);
