/* load/load_probe_machine.c - what this machine grants a process. */
#include "load/load_probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

uint64_t load_probe_available_memory(void)
{
    char line[128];
    uint64_t kib;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    uint64_t bytes = UINT64_MAX;
    while (bytes == UINT64_MAX && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1) {
            bytes = kib * KIB;
        }
    }
    fclose(file);
    return bytes;
}

uint64_t load_probe_open_files(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (uint64_t)limit.rlim_max : 0;
}
