/* fake_world.h - several processes in one world of virtual time: loops, timers and connections in
 * memory, from one seed.
 *
 * Bytes of a connection arrive in order, in pieces of random size, after random delays. The world
 * can kill a process, stop one (its kernel still accepts), cut two hosts off from each other, and
 * change bytes under way. */
#pragma once

#include "base/buf.h"
#include "base/rng.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct fake_world;

struct fake_options {
    uint64_t seed;
    uint64_t delay_ms_max;  /* of every hop: drawn from 0 to this */
    size_t kernel_bytes;    /* that a connection holds under way; 0 = 1 MiB */
    size_t piece_bytes_max; /* 0 = whole writes */
    /* Of a hundred events that follow another one of the same process within its millisecond, so
     * many share its turn. */
    uint32_t coalesce_percent;
    bool late_done; /* that its work is done, a process hears later: it may die in between */
};

struct fake_world *fake_world_create(const struct fake_options *options);
void fake_world_destroy(struct fake_world *w);
uint64_t fake_world_now(const struct fake_world *w);
/* Run everything that is due within the next `ms`. */
void fake_world_run(struct fake_world *w, uint64_t ms);
/* The same for a caller that has written nothing itself since (fake_process_post did). */
void fake_world_advance(struct fake_world *w, uint64_t ms);
struct rng *fake_world_rng(struct fake_world *w);

/* A process on a host. It listens and dials by the host's name. */
struct loop *fake_process_create(struct fake_world *w, const char *host);
/* kill -9: its connections are reset, its timers and its listener are gone, nothing of it is called
 * again but the on_close of its connections, here and now, so that their owners free themselves. */
void fake_process_kill(struct loop *l);
/* SIGSTOP and SIGCONT. */
void fake_process_freeze(struct loop *l, bool frozen);
/* Its disk hangs: work that was submitted is not done until this ends. */
void fake_process_stall(struct loop *l, bool stalled);
/* From now on, work takes so much longer. */
void fake_process_slow_disk(struct loop *l, uint64_t ms);
/* Works so far that a real loop might have run itself. */
uint32_t fake_process_short_works(struct loop *base);
/* Its clock jumps forward, and from now on runs at so many thousandths of true time. */
void fake_process_clock(struct loop *l, uint32_t permille, uint64_t jump_ms);
/* Its wall clock jumps, forward or back. */
void fake_process_wall(struct loop *l, int64_t jump_ms);
/* Called on the loop as soon as it is awake, with a turn of its own. Dropped by a kill. */
void fake_process_post(struct loop *l, void (*call)(void *context), void *context);
/* Work of it was run and its `done` not called: what that holds is lost when it is killed now. */
bool fake_process_owes_work(struct loop *l);
/* Between the two nothing arrives until it is healed; then what was sent does. */
void fake_world_cut(struct fake_world *w, const char *a, const char *b, bool cut);
/* The same in one direction; new connections need both. */
void fake_world_cut_way(struct fake_world *w, const char *from, const char *to, bool cut);
/* What is sent from now on takes so much longer. */
void fake_world_slow(struct fake_world *w, const char *from, const char *to, uint64_t ms);
/* Called for every piece that is about to arrive; may change or empty it. */
void fake_world_tamper(struct fake_world *w,
                       void (*tamper)(void *context, struct loop *from, struct buf *piece),
                       void *context);
/* Called whenever something of a process is about to run. */
void fake_world_on_enter(struct fake_world *w,
                         void (*on_enter)(void *context, struct loop *process), void *context);
/* Reset every connection between the two hosts: both ends are told. */
void fake_world_reset(struct fake_world *w, const char *a, const char *b);
/* Only the ends on host `a` of its connections with `b` are told: half-open afterwards. */
void fake_world_forget(struct fake_world *w, const char *a, const char *b);
/* Connections between the two hosts that are open at both ends. */
uint32_t fake_world_conns(const struct fake_world *w, const char *a, const char *b);
uint32_t fake_world_dials(const struct fake_world *w);
/* Events and timers so far, and a hash over all of them with their bytes. */
uint64_t fake_world_events(const struct fake_world *w);
uint64_t fake_world_hash(const struct fake_world *w);
