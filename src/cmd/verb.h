/* cmd/verb.h - what a verb is, and the way from argv to the verb that runs.
 *
 * A verb is a row of a table: its words, its flags, its help. The tables nest (`cluster` has verbs
 * of its own). This file finds the verb, answers `--help`, reads the flags, checks how many
 * arguments there are, and says "did you mean". Exit codes are the contract's (docs/API.md). */
#pragma once

#include "cmd/options.h"

#include <stddef.h>

/* Exit codes that no status stands for; the others come from status_exit_code. */
enum { EXIT_DONE = 0, EXIT_VERDICT = 1, EXIT_USAGE = 2 };

struct verb {
    const char *name;
    const char *arguments; /* "KEY VALUE", for the usage line; NULL for none */
    const char *summary;   /* one line, without a full stop */
    const char *details;   /* whole lines of help, or NULL */
    const char *examples;  /* whole lines, or NULL */
    const struct option *options;
    size_t option_count;
    int arguments_min, arguments_max;
    /* Reads its environment and defaults itself. */
    bool is_configurable;
    /* What several verbs do before they run, once flags are read; NULL = nothing. Another code
     * than EXIT_DONE is the verb's. */
    int (*prepare)(struct options *o);
    /* Runs the verb; returns the exit code. */
    int (*run)(struct options *o);
    /* A group: no `run` of its own. */
    const struct verb *children;
    size_t child_count;
};

/* Run what argv asks for below `root`, whose name is the program's. Returns the exit code; data
 * that could not be written to stdout makes it 1. */
int verb_main(const struct verb *root, int argc, char **argv);

/* The program as the user called it, for commands in messages. */
const char *verb_program(void);

/* "conclave put: message" and a newline on stderr. */
void verb_complain(const struct options *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, then where help is; returns EXIT_USAGE. */
int verb_refuse(const struct options *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
