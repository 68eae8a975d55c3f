/* load/load_errors.h - what went wrong, counted by kind, with the first text of each. */
#pragma once

#include "base/slice.h"

#include <stdint.h>

/* Kinds that are told apart: what comes beyond counts as "other". */
#define LOAD_ERROR_KINDS 16

struct load_error {
    char kind[48];  /* "UNAVAILABLE", "HTTP 503", "wrong answer" */
    char text[160]; /* of the first one, without control characters; may be empty */
    uint64_t count;
};

/* Zero-initialised is empty. */
struct load_errors {
    struct load_error kinds[LOAD_ERROR_KINDS];
    uint32_t kind_count;
    uint64_t total;
};

void load_errors_add(struct load_errors *e, const char *kind, struct slice text);
