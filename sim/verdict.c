#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct verdict unread;
static struct verdict *current = &unread;
static uint64_t clock_ms;
static bool traced;

void verdict_begin(struct verdict *v, uint64_t seed, bool trace)
{
    current = v;
    *v = (struct verdict){.seed = seed};
    traced = trace;
    clock_ms = 0;
}

void verdict_clock(uint64_t now_ms)
{
    clock_ms = now_ms;
}

void verdict_fail(const char *id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(current->text, sizeof(current->text), format, args);
    va_end(args);
    snprintf(current->id, sizeof(current->id), "%s", id);
    current->at_ms = clock_ms;
    current->failed = true;
    if (traced) {
        printf("%8" PRIu64 " FAILED %s: %s\n", clock_ms, id, current->text);
        fflush(stdout);
    }
    _exit(SIM_EXIT_FAILED);
}

bool verdict_is_traced(void)
{
    return traced;
}

void verdict_trace(const char *format, ...)
{
    if (!traced) {
        return;
    }
    printf("%8" PRIu64 " ", clock_ms);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
