/* api/dispatch.h - which member gets the next client (rows E6, E7): the least loaded that serves.
 *
 * Pure: who is there is told with every call, and so is the time. What a member tells of its load
 * is a beat old, so the clients sent to it meanwhile are counted here, until they show as
 * connections there or a second or two have passed: one that has not come by then is not coming.
 * Among equals it is the turn of the one whose turn was longest ago; so also requests that leave no
 * trace are spread evenly.
 *
 * Every member dispatches by its own count. Two of them may choose the same least loaded one until
 * it has told of those that came, which is a beat; then both know. Among equals each spreads
 * evenly, so the sum is even, and they do not walk in step: each begins with the member after
 * itself (node_loads_get). */
#pragma once

#include "node/node.h"

#include <stdint.h>

#define DISPATCH_WINDOW_MS          1000
/* A loop that hardly waits any more gets clients only when all are like that. */
#define DISPATCH_SATURATED_PERMILLE 900

struct dispatch_slot {
    uint64_t id;          /* of the member; 0 = free */
    uint32_t connections; /* as it told them when it was looked at last */
    uint32_t sent[2];     /* clients not seen there yet: of this window, and of the one before */
    uint64_t turn;        /* when it was chosen last; 0 = never */
};

/* Zero-initialised is ready. */
struct dispatcher {
    struct dispatch_slot slots[LIMIT_MEMBERS];
    uint64_t window;
    uint64_t turn;
};

/* The one to send a client to, counted from now on, or NULL: none serves. `items` as of
 * node_loads_get. */
const struct node_load_item *dispatch_choose(struct dispatcher *d,
                                             const struct node_load_item *items, uint32_t count,
                                             uint64_t now_ms);
