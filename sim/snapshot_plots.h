/* snapshot_plots.h - stories about logs that begin with a snapshot (rules S1 to S4). */
#pragma once

#include "base/rng.h"
#include "schedule.h"

/* All add items from at_ms on and return when they are over. */

/* Much is written and thrown away again; then the power fails here and there, or bits flip where a
 * log begins. */
uint32_t draw_worn_log(struct schedule *s, struct rng *r, uint32_t at_ms);
/* A member that was away takes long to take a snapshot in; meanwhile others lead, who take
 * snapshots less often and still have the log: it has the entries before it has the snapshot. */
uint32_t draw_late_snapshot(struct schedule *s, struct rng *r, uint32_t at_ms);
/* Snapshots rot on disks whose logs do not reach back any more, before a start or under a member
 * that goes on, and others are left behind and need one of it. */
uint32_t draw_rotten_snapshot(struct schedule *s, struct rng *r, uint32_t at_ms);
/* A member that was away takes a large snapshot in; links break again and again. */
uint32_t draw_broken_transfer(struct schedule *s, struct rng *r, uint32_t at_ms);
