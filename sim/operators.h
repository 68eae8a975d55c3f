/* operators.h - what people ask of members: to stop in order, to hand over, to campaign, and who is
 * to belong to the cluster. */
#pragma once

#include "members.h"

struct operators;

struct operators *operators_create(struct sim_members *members);
void operators_destroy(struct operators *o);
/* shut_down, step_down, campaign: at member `a`. */
void operators_order(struct operators *o, const struct item *item, int a, int b);
/* add, remove, promote, replace: asked of the leader. `intact`: whose disks are sound, as bits;
 * nobody who is in his right mind removes one of the last of these. */
void operators_change(struct operators *o, const struct item *item, int a, uint32_t intact);
/* Nobody comes any more, and no change is begun. */
void operators_end(struct operators *o);
/* A change of the members is under way. */
bool operators_are_busy(const struct operators *o);
/* Time passed. */
void operators_tend(struct operators *o);
