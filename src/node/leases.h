/* node/leases.h - the clock of leases, which the leader alone has, and who asks it (rules T1 to
 * T3).
 *
 * The store knows which leases there are and nothing of time. The member that leads, once it has
 * committed an entry of its term, gives each of them its whole TTL from then on: so a change of
 * leader lengthens a lease by up to one TTL, and never shortens it. It ends those that are due by
 * entries in the log, one under way at a time.
 *
 * leases.c is the clock, lease_asks.c who keeps alive or asks, here or from another member. */
#pragma once

#include "base/buf.h"
#include "base/list.h"
#include "base/uuid.h"
#include "net/timer_heap.h"
#include "node/node.h"

#include <stdbool.h>
#include <stdint.h>

struct lease_clock;

struct leases {
    uint64_t term; /* in which the clock runs; 0 = it does not */
    uint64_t seen; /* leases with a grant number up to this one have a deadline */
    struct timer_heap deadlines;
    struct lease_clock **buckets; /* by id; owned */
    uint32_t bucket_count;        /* a power of two, or 0 */
    uint32_t count;
    uint32_t swept; /* the next bucket to be looked at for leases that are gone */
    struct timer timer;
    uint64_t expiry_index; /* of the expiry under way; 0 = none */
    struct list expiring;  /* struct lease_clock: in it */
    struct buf expiry;

    struct list undecided; /* node_lease_ask: confirmed, and the lease is expiring */
    struct list asks_out;  /* node_lease_ask that a leader was asked, by number */
    struct list asks_in;   /* struct lease_asked: what others asked of us */
    uint32_t ask_count;
    uint32_t asks_in_count;
    uint64_t ask_number;
};

void node_leases_init(struct node *n);
/* Nobody may wait any more but other members. */
void node_leases_destroy(struct node *n);
void node_leases_on_turn(struct node *n);
/* Forget all deadlines: the state is another one. A leader begins anew, as after an election. */
void node_leases_stop(struct node *n);

/* A confirmed question, answered now or when the lease's expiry is decided. Requires: this member
 * leads, and has committed an entry of its term. */
void node_lease_answer(struct node *n, struct node_lease_ask *a);
void node_lease_finish(struct node_lease_ask *a, enum status status);

void node_lease_on_ask(struct node *n, struct uuid from, struct slice body);
void node_lease_on_reply(struct node *n, struct uuid from, struct slice body);
/* What was asked of it is not answered, and neither is what it asked of us. */
void node_lease_on_down(struct node *n, struct uuid peer);
void node_lease_asks_expire(struct node *n, uint64_t now_ms);
uint64_t node_lease_asks_deadline(const struct node *n);
void node_lease_asks_destroy(struct node *n);
