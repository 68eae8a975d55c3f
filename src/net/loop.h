/* net/loop.h - the loop and the connection, as tables of functions: libuv in production
 * (uv_*.c, the only files that know libuv), virtual time in the simulator.
 *
 * One thread. Callbacks run on it, never inside a call of the caller's (a dial that fails at once
 * reports later). A turn is everything that one wake-up delivered; at its end the loop runs the
 * turn hook once, and only then are bytes that were written handed to the kernel, one writev a
 * connection. */
#pragma once

#include "base/limits.h"
#include "base/list.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct conn;
struct timer;
struct listener;

/* --- timers ----------------------------------------------------------------------------------- */

/* Embedded in its owner. Zero-initialised is stopped; `context` is the owner. */
struct timer {
    void (*fire)(struct timer *t);
    void *context;
    uint64_t at_ms;
    /* The loop's own: place in its queue. */
    uint64_t order;
    uint32_t slot; /* place in the heap + 1; 0 = stopped */
};

/* One in microseconds, for who puts load on servers at a rate; members have none. Embedded in its
 * owner. */
struct fine_timer {
    void (*fire)(struct fine_timer *t);
    void *context;
};

/* --- connections ------------------------------------------------------------------------------ */

/* What the owner of a connection hears. `data` is borrowed during the call. */
struct conn_events {
    void (*on_open)(struct conn *c); /* dialled: connected. Not called for accepted ones */
    void (*on_data)(struct conn *c, struct slice data);
    /* Everything that was written has been taken by the kernel, after the owner was told by
     * conn_unsent that something was left. In a turn of its own. May be NULL. */
    void (*on_drain)(struct conn *c);
    /* The other side sent FIN; writing is still possible. May be NULL: then the connection is
     * closed. */
    void (*on_end)(struct conn *c);
    /* Last call; the conn is gone afterwards. Also after conn_close.
     * UNREACHABLE: a dial failed; CLOSED; IO. */
    void (*on_close)(struct conn *c, enum status why);
};

/* What is known of an encrypted connection (net/tls_loop.h). */
struct conn_tls {
    const char *peer_name; /* CN of the certificate that was shown and is good; NULL = none was */
    bool is_member;        /* and it is one for members: good on the accepting side, too */
    /* For on_close: why the handshake failed, in words for logs; NULL = it did not, or the other
     * side only broke it off. */
    const char *trouble;
};

/* Implementations embed this as their first member. */
struct conn {
    struct loop *loop;
    const struct conn_events *events;
    void *context;              /* the owner's */
    const struct conn_tls *tls; /* NULL: it is not encrypted. The loop's own, as long as the conn */
    struct conn *carrier;       /* of an encrypted one: what it goes over. NULL otherwise */
    bool is_favoured;           /* by conn_favour */
    char remote[64];            /* "127.0.0.1:4001", for logs */
    char local_host[48];        /* the local address, without port */
};

/* --- work beside the loop --------------------------------------------------------------------- */

/* Embedded in its owner. `run` on a thread of its own, in the order of submission; then `done` on
 * the loop. */
struct work {
    void (*run)(struct work *w);
    void (*done)(struct work *w);
    /* Not NULL: it may be expected to take no longer than to wake a thread and be woken by it. Then
     * the loop may run it itself, at the end of a turn, when nothing else is under way beside it.
     * Should it keep the loop for longer all the same, `late` is called each second, from another
     * thread, until it is back or just after; it may end the process. */
    void (*late)(struct work *w, uint64_t age_ms);
    void *context;
    struct list link; /* the loop's own */
};

/* For dial_tls: a member dials another one, to speak HTTP/1.1. */
#define LOOP_PEER_PROTOCOL "conclave-peer"

struct loop_ops {
    /* Monotonic, cached once a wake-up; counts suspended time. */
    uint64_t (*now_ms)(struct loop *l);
    /* The same clock, finer and not cached; on any thread. */
    uint64_t (*now_us)(struct loop *l);
    /* Since 1970; may jump. */
    uint64_t (*wall_ms)(struct loop *l);
    /* Good for secrets in production. */
    void (*random)(struct loop *l, void *bytes, size_t size);
    /* Moves a running one. A time that has passed means the next turn. */
    void (*timer_start)(struct loop *l, struct timer *t, uint64_t at_ms);
    void (*timer_stop)(struct loop *l, struct timer *t);
    /* Fires once, not before `at_us` of now_us. One at a time: it takes the place of whichever
     * runs. Each costs system calls. In production only. */
    void (*fine_timer_start)(struct loop *l, struct fine_timer *t, uint64_t at_us);
    /* To the log thread, which must never wait for anything but a disk. */
    void (*submit)(struct loop *l, struct work *w);
    /* To another one, for what takes a processor long (a password's hash); one at a time, so that
     * no more than one processor is taken. Made with the first work. */
    void (*submit_slow)(struct loop *l, struct work *w);
    /* Host name or address; resolved anew. The conn exists at once; on_open or on_close follows. */
    struct conn *(*dial)(struct loop *l, const char *host, uint16_t port,
                         const struct conn_events *events, void *context);
    /* The same, encrypted: the other side must show that it is `host`. `protocol` (ALPN) is
     * "http/1.1", "h2" or LOOP_PEER_PROTOCOL, static. NULL: this loop cannot; url_dial (net/url.h)
     * knows. */
    struct conn *(*dial_tls)(struct loop *l, const char *host, uint16_t port, const char *protocol,
                             const struct conn_events *events, void *context);
    /* `on_accept` sets events and context of the new conn. BUSY: the port is taken. Port 0: any;
     * the one that was got is *bound_port. */
    enum status (*listen)(struct loop *l, const char *host, uint16_t port, uint16_t *bound_port,
                          void (*on_accept)(void *context, struct conn *c), void *context);
    /* Stop accepting; the port is free afterwards. Who has connected already is still handed to
     * `on_accept`, before this returns: closing the port would reset them. */
    void (*listen_stop)(struct loop *l);
    /* Copied; sent at the end of the turn. Ignored after conn_close. */
    void (*conn_write)(struct conn *c, struct slice bytes);
    /* Not copied: `release(owner)` is called when the bytes are no longer needed. */
    void (*conn_write_owned)(struct conn *c, struct slice bytes, void (*release)(void *owner),
                             void *owner);
    /* Bytes not yet taken by the kernel. After more than 0, an on_drain will come. */
    size_t (*conn_unsent)(const struct conn *c);
    /* Bytes of memory that are kept for what was written and is not taken, also after conn_close;
     * those of owners do not count. */
    size_t (*conn_kept)(const struct conn *c);
    /* Stop or go on reading. */
    void (*conn_pause)(struct conn *c, bool paused);
    /* `flush`: after what was written is sent, and the other side has closed too or nothing can be
     * lost any more; bounded by LIMIT_CONN_LINGER_MS. Otherwise at once and by a reset, so that the
     * other side sees a broken stream. No events but on_close come afterwards. */
    void (*conn_close)(struct conn *c, bool flush);
    /* One hook. */
    void (*on_turn)(struct loop *l, void (*hook)(void *context), void *context);
    /* At the end of this turn, after a last attempt to send what was written: closes every
     * connection and listener, waits for submitted work and its `done`, then lets the run end. */
    void (*stop)(struct loop *l);
};

/* What waits to be sent, on all connections, as whoever keeps it counts. */
struct loop_unsent {
    uint64_t bytes;
    uint64_t bytes_max; /* LIMIT_UNSENT_BYTES, unless there is too little memory for that */
};

/* Implementations embed this as their first member. */
struct loop {
    const struct loop_ops *ops;
    struct loop_unsent *unsent; /* loops around a loop share its. NULL: nobody counts */
};

/* About `ms` from now, a quarter of a second more or less, for timers that need not be exact: they
 * share their wake-ups, since all such times are multiples of the same half second. */
static inline uint64_t loop_about(struct loop *l, uint64_t ms)
{
    const uint64_t grid_ms = 500;
    return (l->ops->now_ms(l) + ms + grid_ms / 2) / grid_ms * grid_ms;
}

static inline void loop_add_unsent(const struct loop *l, uint64_t bytes)
{
    if (l->unsent != NULL) {
        l->unsent->bytes += bytes;
    }
}

static inline void loop_take_unsent(const struct loop *l, uint64_t bytes)
{
    if (l->unsent != NULL) {
        l->unsent->bytes -= bytes;
    }
}

/* More waits than may: what makes it much more should not be made. */
static inline bool loop_is_crowded(const struct loop *l)
{
    return l->unsent != NULL && l->unsent->bytes > l->unsent->bytes_max;
}

/* What comes on it is read in every turn, however much clients have taken of that: for members.
 * Dialled ones are. */
static inline void conn_favour(struct conn *c)
{
    for (; c != NULL; c = c->carrier) {
        c->is_favoured = true;
    }
}

/* Clients have had their share of this turn: what can wait does, until the next one. */
static inline bool loop_turn_is_long(struct loop *l)
{
    return l->ops->now_us(l) / 1000 >= l->ops->now_ms(l) + LIMIT_TURN_CLIENTS_MS;
}

/* The production loop. Ignores SIGPIPE and raises the limit of open files to what the process
 * may. */
struct loop *uv_loop_create(void);
/* Connections that are accepted at a time, as the limit on open files has it; more are reset. */
uint32_t uv_loop_accepted_max(const struct loop *l);
/* Runs until loop stop; returns when every handle is closed. */
void uv_loop_run(struct loop *l);
/* Stops it first when that was not done; timers that still run are forgotten. */
void uv_loop_destroy(struct loop *l);
/* Signals are delivered as calls on the loop thread. */
void uv_loop_on_signal(struct loop *l, int signal_number,
                       void (*hook)(void *context, int signal_number), void *context);
/* Share of the last second or so that was spent working rather than waiting, 0..1. */
double uv_loop_utilisation(const struct loop *l);
