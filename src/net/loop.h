/* net/loop.h - the loop and the connection, as tables of functions: libuv in production
 * (uv_loop.c, the only file that knows libuv), virtual time in the simulator.
 *
 * One thread. Callbacks run on it, never inside a call of the caller's (a dial that fails at once
 * reports later). A turn is everything that one wake-up delivered; at its end the loop runs the turn
 * hook once, and only then are bytes that were written handed to the kernel, one writev a connection. */
#pragma once

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

/* --- connections ------------------------------------------------------------------------------ */

/* What the owner of a connection hears. `data` is borrowed during the call. */
struct conn_events {
    void (*on_open)(struct conn *c); /* dialled: connected. Not called for accepted ones */
    void (*on_data)(struct conn *c, struct slice data);
    void (*on_drain)(
        struct conn *c); /* unsent bytes fell to zero after conn_unsent was > 0 at a turn's end */
    void (*on_end)(
        struct conn *c); /* the other side sent FIN; writing is still possible. May be NULL:
                                          then the connection is closed */
    void (*on_close)(struct conn *c,
                     enum status why); /* last call; the conn is gone afterwards. Also after
                                          conn_close. UNREACHABLE: a dial failed; CLOSED; IO */
};

/* Implementations embed this as their first member. */
struct conn {
    struct loop *loop;
    const struct conn_events *events;
    void *context;       /* the owner's */
    char remote[64];     /* "127.0.0.1:4001", for logs */
    char local_host[48]; /* the local address, without port */
};

/* --- work on the log thread ------------------------------------------------------------------- */

/* Embedded in its owner. `run` on the log thread, in the order of submission; then `done` on the loop. */
struct work {
    void (*run)(struct work *w);
    void (*done)(struct work *w);
    void *context;
    struct list link; /* the loop's own */
};

struct loop_ops {
    uint64_t (*now_ms)(
        struct loop *l); /* monotonic, cached once a wake-up; counts suspended time */
    uint64_t (*wall_ms)(struct loop *l);                      /* since 1970; may jump */
    void (*random)(struct loop *l, void *bytes, size_t size); /* good for secrets in production */
    void (*timer_start)(struct loop *l, struct timer *t, uint64_t at_ms); /* moves a running one */
    void (*timer_stop)(struct loop *l, struct timer *t);
    void (*submit)(struct loop *l, struct work *w);
    /* Host name or address; resolved anew. The conn exists at once; on_open or on_close follows. */
    struct conn *(*dial)(struct loop *l, const char *host, uint16_t port,
                         const struct conn_events *events, void *context);
    /* `on_accept` sets events and context of the new conn. BUSY: the port is taken. Port 0: any; the
     * one that was got is *bound_port. */
    enum status (*listen)(struct loop *l, const char *host, uint16_t port, uint16_t *bound_port,
                          void (*on_accept)(void *context, struct conn *c), void *context);
    /* Stop accepting; the port is free afterwards. */
    void (*listen_stop)(struct loop *l);
    void (*conn_write)(struct conn *c,
                       struct slice bytes); /* copied; sent at the end of the turn */
    /* Not copied: `release(owner)` is called when the bytes are no longer needed. */
    void (*conn_write_owned)(struct conn *c, struct slice bytes, void (*release)(void *owner),
                             void *owner);
    size_t (*conn_unsent)(const struct conn *c);     /* bytes not yet taken by the kernel */
    void (*conn_pause)(struct conn *c, bool paused); /* stop or go on reading */
    void (*conn_close)(struct conn *c, bool flush);  /* flush: after what was written is sent,
                                                                bounded by a few seconds */
    void (*on_turn)(struct loop *l, void (*hook)(void *context), void *context); /* one hook */
    void (*stop)(struct loop *l);
};

/* Implementations embed this as their first member. */
struct loop {
    const struct loop_ops *ops;
};

/* The production loop. Signals are delivered as calls on the loop thread. */
struct loop *uv_loop_create(void);
/* Runs until loop stop; returns when every handle is closed. */
void uv_loop_run(struct loop *l);
void uv_loop_destroy(struct loop *l);
void uv_loop_on_signal(struct loop *l, int signal_number,
                       void (*hook)(void *context, int signal_number), void *context);
/* Share of the last second or so that was spent working rather than waiting, 0..1. */
double uv_loop_utilisation(const struct loop *l);
