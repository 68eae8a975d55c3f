#include "cmd/memory_limit.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define QUOTA_MAX (8ull * 1024 * MIB)

/* The number in a file of one; UINT64_MAX when there is none ("max", or no such file). */
static uint64_t read_number(const char *path)
{
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%" SCNu64, &number) != 1) {
            number = UINT64_MAX;
        }
        fclose(file);
    }
    return number;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Limits of the own control group (version 2) and of those around it. */
static uint64_t cgroup_limit(void)
{
    char line[1024];
    char path[1200];
    uint64_t limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes"); /* version 1 */
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "0::", 3) != 0) {
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        char *group = line + 3;
        for (;;) {
            snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
            limit = least(limit, read_number(path));
            char *slash = strrchr(group, '/');
            if (slash == NULL) {
                break;
            }
            *slash = '\0';
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return limit;
}

uint64_t memory_limit_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);
    uint64_t machine =
        pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : 2 * QUOTA_MAX;
    return least(machine, cgroup_limit());
}

uint64_t memory_quota_default(void)
{
    return least(memory_limit_bytes() / 2, QUOTA_MAX);
}

uint64_t memory_clients_default(void)
{
    uint64_t bytes = least(memory_limit_bytes() / 8, LIMIT_CLIENT_BYTES_MOST);
    return bytes > LIMIT_CLIENT_BYTES_LEAST ? bytes : LIMIT_CLIENT_BYTES_LEAST;
}
