/* scratch.h - a directory for one test, and its end with all that is in it. */
#pragma once

#include <stdbool.h>

#define SCRATCH_PATH_SIZE 64

/* A new one under /tmp, with `what` in its name. */
bool scratch_make(char dir[SCRATCH_PATH_SIZE], const char *what);
void scratch_remove(const char *dir);
