#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

bool scratch_make(char dir[SCRATCH_PATH_SIZE], const char *what)
{
    snprintf(dir, SCRATCH_PATH_SIZE, "/tmp/conclave-%s-XXXXXX", what);
    return mkdtemp(dir) != NULL;
}

static int remove_entry(const char *name, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(name);
}

void scratch_remove(const char *dir)
{
    nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
