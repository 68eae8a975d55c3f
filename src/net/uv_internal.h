/* net/uv_internal.h - the production loop from inside: what uv_loop.c (turns, timers, signals,
 * listeners), uv_conn.c (connections), uv_dial.c (dialling), uv_work.c (the threads beside it) and
 * uv_short.c (work that needs none) share.
 *
 * One iteration of libuv: due timers, poll and its callbacks, then uv_prepare just before it polls
 * again. Whatever ran since the last prepare is a turn; prepare ends it. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "net/loop.h"
#include "net/timer_heap.h"

#include <time.h>
#include <uv.h>

/* The clock of loop->ops->now_us: counts suspended time where the system has one that does. */
#ifdef CLOCK_BOOTTIME
#define MONOTONIC_CLOCK CLOCK_BOOTTIME
#else
#define MONOTONIC_CLOCK CLOCK_MONOTONIC
#endif

/* --- the threads beside the loop -------------------------------------------------------------- */

struct work_thread {
    struct real_loop *loop;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_sem_t wake;         /* something was queued, or `quit` */
    struct list submitted; /* in this turn; the loop's own */
    struct list queued;    /* under the mutex */
    struct list finished;  /* under the mutex */
    bool quit;             /* under the mutex */
    bool is_started;
    uint32_t outstanding; /* submitted, and `done` not called yet; the loop's own */
    int finished_fd;      /* of eventfd: something has finished */
    uv_poll_t has_finished;
};

/* --- work on the loop (uv_short.c) ------------------------------------------------------------ */

struct short_work {
    struct real_loop *loop;
    uv_thread_t thread; /* watches */
    uv_mutex_t mutex;
    uv_cond_t wake;
    struct work *running; /* under the mutex, as is all up to `quit` */
    uint64_t since_ms;
    uint64_t runs;
    bool is_watched; /* the thread looks every now and then */
    bool quit;
    bool is_started;
    struct work *ran; /* its `done` is owed */
};

/* --- the fine timer --------------------------------------------------------------------------- */

struct fine_alarm {
    struct fine_timer *timer; /* NULL: none runs */
    uint64_t at_us;
    bool is_made;
    int fd;
    uv_poll_t poll;
};

/* --- the loop --------------------------------------------------------------------------------- */

#define SPARE_OUTBOXES_MAX 64

struct real_loop {
    struct loop base; /* first */
    uv_loop_t uv;
    uv_prepare_t end_of_turn;
    uv_timer_t alarm; /* set to the first timer of the heap */
    uv_idle_t again;  /* active: the next turn comes without waiting */
    struct timer_heap timers;
    uint64_t alarm_ms; /* what `alarm` is set to; 0 = not set */
    bool in_turn;
    bool is_stopping;
    bool is_gone;        /* the last handles are closing */
    uint64_t now_ms;     /* of this turn */
    uint32_t turn_reads; /* of clients, in this turn */
    bool is_long;        /* this turn: clients have had their share */
    void (*hook)(void *context);
    void *hook_context;
    struct list conns;
    struct list dirty;   /* conns with something to write */
    struct list drained; /* conns whose on_drain is owed */
    struct list late;    /* conns that are not read until a later turn: this one has had enough */
    struct list listeners;
    struct list signals;
    struct list resolvers;
    struct list spare_outboxes;
    uint32_t spare_outbox_count;
    uint32_t open_handles; /* connections and listeners that are not closed yet */
    struct loop_unsent unsent;
    uint32_t accepted; /* connections of others, lingering ones too */
    uint32_t accepted_max;
    bool is_full; /* and that was logged */
    struct work_thread log_thread;
    struct work_thread slow_thread;
    struct fine_alarm fine;
    struct short_work short_work;
    /* Utilisation: a window of at least a second, and how much of it was spent in poll. */
    uint64_t poll_from_ns;
    uint64_t window_from_ns;
    uint64_t window_idle_ns;
    double utilisation;
    char read_buffer[LIMIT_READ_BYTES];
};

static inline struct real_loop *real_loop_of(struct loop *l)
{
    return (struct real_loop *)(void *)l;
}

/* First thing in every callback from libuv: a turn begins, if none has. */
void uv_turn_begin(struct real_loop *l);
/* Another turn comes without waiting for the outside. */
void uv_turn_again(struct real_loop *l);
/* A handle that counts for `open_handles` is closed. */
void uv_handle_closed(struct real_loop *l);
/* A connection that was accepted is closed. */
void uv_uncount_accepted(struct real_loop *l);
void uv_write_address(const struct sockaddr_storage *address, char *text, size_t size,
                      bool with_port);

/* --- connections (uv_conn.c) ------------------------------------------------------------------ */

/* Bytes on their way out, in order: pieces of `bytes`, and slices that others own. */
struct segment {
    const uint8_t *data; /* NULL: at `offset` in the outbox's bytes */
    size_t offset;
    size_t size;
    void (*release)(void *owner); /* may be NULL */
    void *owner;
};

struct outbox {
    struct list link; /* loop->spare_outboxes, or alone */
    struct buf bytes;
    struct segment *segments;
    uint32_t count;
    uint32_t capacity;
    size_t size; /* of all segments */
    size_t sent; /* of these, by uv_try_write */
    uv_write_t request;
};

enum conn_stage {
    CONN_DIALLING, /* resolving or connecting */
    CONN_OPEN,
    CONN_FLUSHING,  /* conn_close(flush): what was written still leaves */
    CONN_LINGERING, /* our FIN has left; what comes is thrown away until theirs */
    CONN_CLOSING    /* uv_close was called */
};

struct dial;

struct real_conn {
    struct conn base; /* first */
    uv_tcp_t tcp;
    enum conn_stage stage;
    enum status why;          /* for on_close */
    struct list link;         /* loop->conns */
    struct list dirty;        /* loop->dirty, or alone */
    struct list drained;      /* loop->drained, or alone */
    struct list late;         /* loop->late, or alone */
    struct outbox *pending;   /* written in this turn, or behind `in_flight` */
    struct outbox *in_flight; /* libuv has it; may not change */
    struct dial *dial;        /* while it dials */
    struct timer linger;      /* runs from conn_close on */
    uint64_t linger_until_ms;
    uint64_t active_ms; /* when bytes came or went last */
    uint32_t discarded_bytes;
    bool is_accepted; /* counted in loop->accepted */
    bool is_paused;
    bool has_ended; /* the other side sent FIN */
    bool owes_drain;
};

static inline struct real_conn *real_conn_of(const struct conn *c)
{
    return (struct real_conn *)(void *)(uintptr_t)c;
}

static inline struct real_loop *loop_of_conn(const struct real_conn *c)
{
    return real_loop_of(c->base.loop);
}

struct real_conn *uv_conn_create(struct real_loop *l);
/* A connected socket: read the addresses, set it up. */
void uv_conn_opened(struct real_conn *c);
void uv_conn_start_reading(struct real_conn *c);
/* Close at once; on_close with `why` follows. */
void uv_conn_destroy(struct real_conn *c, enum status why);
/* The same by a reset. */
void uv_conn_reset(struct real_conn *c);
void uv_conn_flush_all(struct real_loop *l);
/* At least some of them; those for whom the turn has become too long stay. */
void uv_conn_drain_all(struct real_loop *l);
/* Read on with who had to wait. */
void uv_conn_resume_late(struct real_loop *l);
void uv_conn_close_all(struct real_loop *l);
void uv_conn_forget_spare(struct real_loop *l);
enum status uv_conn_status(int uv_error);

void uv_conn_write(struct conn *conn, struct slice bytes);
void uv_conn_write_owned(struct conn *conn, struct slice bytes, void (*release)(void *owner),
                         void *owner);
size_t uv_conn_unsent(const struct conn *conn);
size_t uv_conn_kept(const struct conn *conn);
void uv_conn_pause(struct conn *conn, bool paused);
void uv_conn_close(struct conn *conn, bool flush);

/* --- the last word (uv_linger.c) -------------------------------------------------------------- */

/* The connection is to be closed when everything is sent: from here on its time is bounded. */
void uv_linger_expect(struct real_conn *c);
/* Everything is sent: say so with a FIN, and wait for theirs while something may yet be lost. */
void uv_linger_start(struct real_conn *c);

/* --- dialling (uv_dial.c) --------------------------------------------------------------------- */

struct conn *uv_dial(struct loop *loop, const char *host, uint16_t port,
                     const struct conn_events *events, void *context);
/* The connection is being closed, maybe while it dials. */
void uv_dial_abandon(struct real_conn *c);
/* Nothing refers to the dial any more. */
void uv_dial_forget(struct real_conn *c);
void uv_dial_cancel_all(struct real_loop *l);

/* --- the threads beside the loop (uv_work.c) -------------------------------------------------- */

void uv_work_init(struct real_loop *l);
void uv_work_submit(struct loop *loop, struct work *w);
void uv_work_submit_slow(struct loop *loop, struct work *w);
/* At the end of a turn: what it submitted goes to the threads. What is returned, unless it is NULL,
 * does not: it is for uv_short_run. */
struct work *uv_work_hand_over(struct real_loop *l);
/* The `done` of what was run here, in the turn after. */
void uv_work_done_here(struct real_loop *l);
void uv_short_init(struct real_loop *l);
/* Run it; another turn follows without waiting, in which uv_short_take gives it back. */
void uv_short_run(struct real_loop *l, struct work *w);
/* What was run, or NULL. */
struct work *uv_short_take(struct real_loop *l);
void uv_short_end(struct real_loop *l);
/* Is anything submitted whose `done` was not called yet? */
bool uv_work_is_pending(const struct real_loop *l);
/* After the last `done`: nothing is submitted any more, and the threads end. */
void uv_work_close(struct real_loop *l);
/* After the loop has ended. */
void uv_work_deinit(struct real_loop *l);

/* --- microseconds (uv_fine_timer.c) ----------------------------------------------------------- */

void uv_fine_timer_start(struct loop *loop, struct fine_timer *t, uint64_t at_us);
/* The loop is about to end. */
void uv_fine_timer_close(struct real_loop *l);
