/* cmd/version.c - which Conclave this is. */
#include "cmd/output.h"
#include "cmd/verbs.h"

#include <stdio.h>

enum { VERSION_OUTPUT };

static const struct option rows[] = {
    [VERSION_OUTPUT] = {.name = "output",
                        .letter = 'o',
                        .type = OPTION_CHOICE,
                        .unit = "FORM",
                        .meaning = "how to print: table, json or raw",
                        .choices = OUTPUT_CHOICES,
                        .fallback = "table"},
};

static int run_version(struct options *o)
{
    switch ((enum output_format)options_number(o, VERSION_OUTPUT)) {
    case OUTPUT_JSON:
        puts("{\"version\":\"" CONCLAVE_VERSION "\"}");
        break;
    case OUTPUT_RAW:
        puts(CONCLAVE_VERSION);
        break;
    case OUTPUT_TABLE:
        puts("conclave " CONCLAVE_VERSION);
        break;
    }
    return EXIT_DONE;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "print this program's version",
    .examples = "  conclave version -o raw\n",
    .options = rows,
    .option_count = sizeof(rows) / sizeof(rows[0]),
    .run = run_version,
};
