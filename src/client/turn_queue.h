/* client/turn_queue.h - waiting for one's turn under a name, in the same queue as etcd's clients.
 *
 * Who comes puts the key NAME/LEASE (the lease in hex), attached to its lease, and has its turn
 * when no older key under NAME/ is left, so that everybody waits only for the one before it. The
 * revision that made the key is the fence: whoever comes later has a higher one. Nothing of it is
 * in one member's memory, so that the place in the queue outlives any of them. */
#pragma once

#include "client/client.h"

struct turn_queue {
    /* Set before; borrowed. */
    const struct client_options *options;
    struct slice name;
    struct slice value; /* of the key */
    uint64_t lease;
    int cancel_fd; /* readable: waiting ends; > 0 */

    /* Told after; zeroed before. */
    struct buf key;
    uint64_t fence; /* 0: has not entered */
    bool has_turn;
    struct buf before; /* the key of the one before it, while it has not; may be any bytes */

    struct client *client;
    uint64_t seen; /* the revision that `before` is of */
};

/* Stand in the queue, and look whether it is one's turn: has_turn. Statuses of gateway_call; `a`
 * says why. CONFLICT: the own key is gone, because the lease is. IO: also when it was cancelled. */
enum status MUST_CHECK turn_queue_enter(struct turn_queue *q, struct client_answer *a);
/* Wait until has_turn, however long members are out of reach. Statuses as above, but only what does
 * not pass by itself. */
enum status MUST_CHECK turn_queue_wait(struct turn_queue *q, struct client_answer *a);
bool turn_queue_is_cancelled(const struct turn_queue *q);
/* The place in the queue goes with the lease. */
void turn_queue_deinit(struct turn_queue *q);
