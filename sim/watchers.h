/* watchers.h - clients that watch: what they are told must be what was changed (I15).
 *
 * Each has a span of keys and goes from member to member: when its member ends, when its watch
 * does, and at times for no reason. It goes on where it left off, so that over its life it is told
 * each change once, in order, those of a revision together, whatever happens to members and their
 * histories; only what is really compacted may it miss, and then it is told so. */
#pragma once

#include "members.h"

struct watchers;

struct watchers *watchers_create(const struct schedule *s, struct sim_members *members);
void watchers_destroy(struct watchers *w);
/* watch, watch_pause: its time has come. */
void watchers_take(struct watchers *w, const struct item *item);
/* Time passed. */
void watchers_tend(struct watchers *w);
/* A member ends. */
void watchers_on_stop(struct watchers *w, int member);
/* Another state has taken the place of that of the member whose code runs. */
void watchers_on_swap(void);
/* All are at these members from now on (bits), and nobody pauses. */
void watchers_finish(struct watchers *w, uint32_t core);
/* All were told everything that was ever changed; their mirrors are the store. */
bool watchers_are_done(const struct watchers *w);
/* Who waits for what, for a report. */
void watchers_explain(const struct watchers *w, char *text, size_t size);
