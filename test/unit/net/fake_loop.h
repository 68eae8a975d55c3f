/* A loop without a kernel: the test says what time it is, what arrives, and what the other side
 * takes. What is dialled is open when the test calls on_open. Shared by the tests of the servers
 * and by the fuzzers. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "net/loop.h"
#include "net/timer_heap.h"

struct rng;

#define FAKE_OWNED_MAX 64

struct fake_loop {
    struct loop base; /* first */
    struct timer_heap timers;
    uint64_t now_ms;
    uint64_t spent_us; /* since then: now_us is so much later */
    struct list conns;
    void (*hook)(void *context); /* on_turn */
    void *hook_context;
    void (*on_accept)(void *context, struct conn *c); /* listen */
    void *accept_context;
};

struct fake_conn {
    struct conn base; /* first */
    struct list link;
    struct buf sent; /* what was written */
    struct buf held; /* what arrived while reading was paused */
    size_t taken;    /* of `sent`, by the other side */
    bool is_stuck;   /* the other side takes nothing */
    bool is_paused;
    bool is_closed;   /* conn_close was called */
    bool was_flushed; /* ... with flush */
    bool is_gone;     /* on_close was called */
    bool owes_drain;
    /* What conn_write_owned is to give back when all of `sent` is taken. */
    struct {
        void (*release)(void *owner);
        void *owner;
    } owned[FAKE_OWNED_MAX];
    size_t owned_count;
};

void fake_loop_init(struct fake_loop *l);
/* Frees the conns, too. Every one must be gone. */
void fake_loop_deinit(struct fake_loop *l);
/* A conn that was just accepted; its events are the test's to set. */
struct fake_conn *fake_loop_connect(struct fake_loop *l);
/* The same, handed to who listens. */
struct fake_conn *fake_loop_accept(struct fake_loop *l);
/* One turn: due timers, what was held back, drains, on_close of what was closed, and the hook. */
void fake_loop_turn(struct fake_loop *l);
/* Let time pass, a turn every `step_ms`. */
void fake_loop_pass(struct fake_loop *l, uint64_t ms, uint64_t step_ms);
/* Bytes arrive; no turn of their own is needed. */
void fake_conn_feed(struct fake_conn *c, struct slice bytes);
/* What happens between two pieces of what arrives. */
struct fake_feed {
    struct rng *rng;
    void (*act)(void *context);
    void (*turn)(void *context);
    void *context;
};
/* By chance: `act`, a change of is_stuck, `turn`, or nothing. */
void fake_conn_by_chance(struct fake_conn *c, const struct fake_feed *feed);
/* Bytes arrive `piece` at a time, with something by chance after each. */
void fake_conn_feed_pieces(struct fake_conn *c, struct slice bytes, size_t piece,
                           const struct fake_feed *feed);
void fake_conn_end(struct fake_conn *c);
/* The other side resets the connection. */
void fake_conn_reset(struct fake_conn *c);
