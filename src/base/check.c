#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *expr)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expr);
    abort();
}

_Noreturn void check_failed_values(const char *file, int line, const char *expr, uint64_t left,
                                   uint64_t right)
{
    fprintf(stderr, "%s:%d: check failed: %s (%" PRIu64 " and %" PRIu64 ")\n", file, line, expr,
            left, right);
    abort();
}
