/* main.c - the table of verbs. */
#include <stdio.h>

int main(void)
{
    puts("conclave " CONCLAVE_VERSION);
    return 0;
}
