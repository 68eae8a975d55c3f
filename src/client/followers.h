/* client/followers.h - reads that go to a live follower chosen by chance, so that many readers
 * spread over the members.
 *
 * Who follows is asked of the cluster and remembered for a second: a follower that does not answer,
 * or that has another role by now, makes it ask again. A cluster without any other member than the
 * leader is read there. */
#pragma once

#include "base/rng.h"
#include "client/client.h"

struct followers {
    struct client *client; /* borrowed; who is asked for the members */
    struct rng rng;
    uint32_t timeout_ms; /* of one follower's answer */
    uint64_t asked_ms;   /* when the list was got; 0 = never */
    char *urls[LIMIT_MEMBERS];
    uint32_t count;
};

void followers_init(struct followers *f, struct client *c, uint32_t timeout_ms);
void followers_deinit(struct followers *f);
/* Do the read `r` at a random live follower; followers that do not answer are left out and another
 * one is asked; while there is no leader, again until the timeout. Statuses of client_ask;
 * UNREACHABLE when no follower is left, or as client_call says when nobody can tell who follows. */
enum status MUST_CHECK followers_read(struct followers *f, const struct client_request *r,
                                      struct client_answer *a);
