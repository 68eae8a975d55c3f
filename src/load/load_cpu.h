/* load/load_cpu.h - processor time of this process and of others on this machine, from the clock
 * that the system keeps for each of them (finer than the ticks of /proc). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Of user and system, all threads, since it began; `process` 0 is this one. False: there is no such
 * process, or this system does not tell. */
bool load_cpu_read(int64_t process, uint64_t *us);
/* Processors of this machine, at least 1. */
uint32_t load_cpu_processors(void);
