/* odd_state.h - a member whose state is not what its log says, by a fault of the hardware (rule
 * P15b): it must be found out, quarantined, and make its state anew.
 *
 * One at a time, for two could be a majority; and only where no snapshots are taken, for what it
 * sends before anybody knows is beyond the rule. What it answers until then is not judged. */
#pragma once

#include "base/rng.h"
#include "members.h"

/* Requires: it runs. */
void odd_state_make(const struct sim_member *m, int member, const struct item *item);
/* What it says of itself; after every step. */
void odd_state_watch(const struct sim_member *m, int member);
/* Its store is another one from now on. */
void odd_state_on_swap(const struct kv *kv);
/* It served a read from what is wrong. */
void odd_state_on_answer(int member);
/* Nobody cried wolf. */
void odd_state_check_silence(const struct sim_member *m, int member);
/* Where no snapshots are taken. Adds items from at_ms on, and returns when the next ones may come:
 * enough is written that digests are compared. */
uint32_t draw_odd_state(struct schedule *s, struct rng *r, uint32_t at_ms);
