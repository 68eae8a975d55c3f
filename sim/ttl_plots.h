/* ttl_plots.h - stories about keys that go with a lease (rules T1 to T3): chance alone seldom keeps
 * one alive for long, or grants one again at the moment at which it ends. */
#pragma once

#include "base/rng.h"
#include "schedule.h"

/* Some of these, or none; the story becomes as long as they take. */
void draw_ttl_plots(struct schedule *s);
