/* shrink.h - a failing schedule made as small as it can be while the same invariant breaks. */
#pragma once

#include "schedule.h"
#include "verdict.h"

/* Shrinks `s` in place; it fails with `id`. Says what it does on stdout. At most `runs_max`
 * schedules are run. */
void shrink(struct schedule *s, const char *id, uint32_t runs_max);
