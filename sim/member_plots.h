/* member_plots.h - stories about changes of members that come to nothing (rules C2, C9). */
#pragma once

#include "base/rng.h"
#include "schedule.h"

/* A leader is cut off with a change of its own in its log, which the next one does away with. Adds
 * items from at_ms on and returns when it is over. */
uint32_t draw_lost_change(struct schedule *s, struct rng *r, uint32_t at_ms);
