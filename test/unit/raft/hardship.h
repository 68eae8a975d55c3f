/* test/unit/raft/hardship.h - clocks that are wrong and leaders that trust them, for the random
 * schedules. */
#pragma once

#include "world.h"

/* Every clock is wrong by a part of `percent`, some as much as can be. Some members expect less
 * patience than the others (rule Q6b). */
void hardship_set_clocks(struct world *w, uint32_t percent);
/* The two ways around a lease. Answers to the leader come late, and nothing from it: it must count
 * from when it asked. Or all voters restart: they must remember what they promised. */
void hardship_attack_lease(struct world *w);
