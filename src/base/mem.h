/* base/mem.h - memory. Running out of it ends the process: a replicated process may crash safely,
 * and request sizes are bounded before anything is allocated. No other file calls malloc. */
#pragma once

#include <stddef.h>

/* Uninitialised memory of `size` > 0 bytes; never NULL. Freed by mem_free. */
void *mem_alloc(size_t size);
/* Zeroed memory for `count` things of `size` bytes; never NULL. The product may not overflow. */
void *mem_calloc(size_t count, size_t size);
/* Like realloc with size > 0; never NULL. */
void *mem_realloc(void *old, size_t size);
/* NULL is fine. */
void mem_free(void *p);
/* A copy of a string; never NULL. */
char *mem_strdup(const char *s);
/* A zero-terminated copy of the first `size` bytes at `data`. */
char *mem_strndup(const char *data, size_t size);
/* Give what is free back to the system, where the C library keeps it otherwise. Takes milliseconds
 * after a large working set: for moments of rest. */
void mem_trim(void);
/* printf into a new string; never NULL. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
