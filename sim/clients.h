/* clients.h - those who ask: from a schedule's items to requests of members, and from answers to
 * what they prove: I10 to I14 and rule K1.
 *
 * An answer is checked when it is given: everything that is answered before a request begins must
 * be visible in its answer. */
#pragma once

#include "members.h"

struct clients;

struct clients *clients_create(const struct schedule *s, struct sim_members *members);
void clients_destroy(struct clients *c);
/* Its time has come. */
void clients_take(struct clients *c, const struct item *item);
/* Time passed: retries, time-outs, clients that go away. */
void clients_tend(struct clients *c);
/* A member ends. */
void clients_on_stop(struct clients *c, int member);
/* Only these members are asked from now on (bits), by everybody and until it is answered: a write
 * by each client and a read at each of these members. */
void clients_finish(struct clients *c, uint32_t core);
/* Nothing is under way, and all that clients_finish began is done. */
bool clients_are_done(const struct clients *c);
/* Who waits for what, for a report. */
void clients_explain(const struct clients *c, char *text, size_t size);
