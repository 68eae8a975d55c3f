/* api/etcd_queue.h - waiting for one's turn under a name: what Lock and Campaign share.
 *
 * Who comes puts the key NAME/LEASE (the lease in hex), attached to its lease, and has its turn
 * when no older key under NAME/ is left, so that everybody waits for the one before it only. Keys
 * are etcd's own, so that its clients, which do the same by themselves, stand in the same queue.
 * The revision that made the key is the fence: whoever comes later has a higher one.
 *
 * An older key cannot come back, so that this member's own copy of the store is enough to see them
 * go. That the own key is still there, and so the lease, is asked of a majority before the turn is
 * told. */
#pragma once

#include "api/etcd_error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct api;
struct etcd_call;
struct etcd_contender;

struct etcd_turn {
    bool has_turn;
    enum etcd_error error; /* if not; its key is gone then, or goes */
    struct slice key;      /* borrowed during the call, like `text` */
    uint64_t lease;
    uint64_t key_revision; /* that made the key: the fence */
    uint64_t revision;     /* of the store when it had its turn */
};

/* May the caller stand in it? He must be allowed to read all keys under NAME/ and to write his own,
 * or with no lease of his own all; and all that hang on his lease. Else the call has failed. */
bool etcd_may_queue(struct etcd_call *call, struct slice name, uint64_t lease);
/* Stand in the queue of `name` (copied) with `value` for `lease`; 0 = one of a minute is granted,
 * which nobody keeps alive. If its key is there already it is told the same, and a value that is
 * another one replaces it. `done` is called once, never inside; the contender is gone on return. */
struct etcd_contender *
etcd_contender_start(struct api *api, struct slice name, uint64_t lease, struct slice value,
                     void (*done)(void *context, const struct etcd_turn *turn), void *context);
/* The client went away before `done`: leaves the queue, and the key goes. */
void etcd_contender_abandon(struct etcd_contender *c);
