/* story.h - one schedule from beginning to end: a cluster is founded, lives through the faults, is
 * healed but for a minority, must live again (I20), loses its power, and must have kept everything
 * (I10). Fails by verdict_fail, and so by the end of the process. */
#pragma once

#include "schedule.h"
#include "verdict.h"

/* The result's hash and events. */
void story_run(const struct schedule *s, struct verdict *v);
