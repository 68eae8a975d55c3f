#include "load/load_cpu.h"

#include <time.h>
#include <unistd.h>

#define US_PER_S  1000000u
#define NS_PER_US 1000u

bool load_cpu_read(int64_t process, uint64_t *us)
{
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
#if defined(_POSIX_CPUTIME) && _POSIX_CPUTIME >= 0
    if (process != 0 && clock_getcpuclockid((pid_t)process, &clock) != 0) {
        return false;
    }
#else
    if (process != 0) {
        return false;
    }
#endif
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) {
        return false;
    }
    *us = (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / NS_PER_US;
    return true;
}

uint32_t load_cpu_processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}
