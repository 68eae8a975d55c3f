/* lease_plots.h - stories that attack leases (rules Q6, Q6b): chance alone seldom gives a leader a
 * lease that should have ended. */
#pragma once

#include "base/rng.h"
#include "schedule.h"

/* Both add items from at_ms on and return when they are over. */

/* Answers to the leader are long under way; then nobody hears it any more, while the answers to
 * what it said before still arrive. */
uint32_t draw_late_answers(struct schedule *s, struct rng *r, uint32_t at_ms);
/* A leader is cut off, and all who promised it something are killed, come back at once, and are
 * told to campaign. */
uint32_t draw_forgetful_voters(struct schedule *s, struct rng *r, uint32_t at_ms);
