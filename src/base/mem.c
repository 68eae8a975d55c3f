#include "base/mem.h"

#include "base/check.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *p)
{
    if (p == NULL) {
        fputs("conclave: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size)
{
    CHECK(size > 0);
    return or_die(malloc(size));
}

void *mem_calloc(size_t count, size_t size)
{
    CHECK(count > 0 && size > 0);
    return or_die(calloc(count, size));
}

void *mem_realloc(void *old, size_t size)
{
    CHECK(size > 0);
    return or_die(realloc(old, size));
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *data, size_t size)
{
    char *copy = mem_alloc(size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    copy[size] = '\0';
    return copy;
}

void mem_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(needed >= 0);
    char *text = mem_alloc((size_t)needed + 1);
    va_start(args, format);
    vsnprintf(text, (size_t)needed + 1, format, args);
    va_end(args);
    return text;
}
