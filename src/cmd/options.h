/* cmd/options.h - settings from flags, environment and a settings file, by one table a verb.
 *
 * A row of the table gives a setting its name, its type, its bounds and its one line of help; the
 * parser, the checks, `--help` and the settings file all read that row. Each source fills only what
 * is still open, so the order of the calls is the order of precedence:
 *
 *   options_read_arguments > options_read_environment > config_file_read > options_apply_defaults
 *
 * Every error names where the value came from. Nothing here prints: the message waits in the
 * struct. */
#pragma once

#include "base/buf.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_TEXT,     /* anything but empty */
    OPTION_BOOL,     /* a flag without a value; true or false elsewhere */
    OPTION_INTEGER,  /* min..max */
    OPTION_DURATION, /* "500ms", "2s", "1m30s", "1h"; number is milliseconds */
    OPTION_BYTES,    /* "4096", "64KiB", "1.5MiB", "2GB"; number is bytes */
    OPTION_CHOICE,   /* one of `choices`; number is its place */
    OPTION_URL,      /* http://host:port */
    OPTION_URLS,     /* several, separated by commas; empty ones are dropped */
};

struct option {
    const char *name; /* without dashes: "heartbeat-ms" */
    char letter;      /* a short form, or 0 */
    enum option_type type;
    const char *unit;     /* what the value is, for help: "MS"; NULL for OPTION_BOOL */
    const char *meaning;  /* one line of help, without a full stop */
    const char *fallback; /* the default as text, or NULL for none */
    const char *env;     /* an environment variable of another name than CONCLAVE_<NAME>, or NULL */
    uint64_t min, max;   /* of the number; max 0 = unbounded. OPTION_URLS: min of them */
    const char *choices; /* "leader|quorum|all" */
    bool command_line_only;
};

/* Where a value came from; a lower one wins. */
enum option_origin {
    OPTION_FROM_FLAG,
    OPTION_FROM_ENVIRONMENT,      /* CONCLAVE_<NAME> */
    OPTION_FROM_SEED_ENVIRONMENT, /* the row's `env` */
    OPTION_FROM_FILE,
    OPTION_FROM_DEFAULT,
    OPTION_UNSET,
};

struct option_value {
    enum option_origin origin;
    char *where; /* for messages: "--listen", "PORT", "conclave.yaml:3: listen" */
    char *text;  /* NULL when unset */
    uint64_t number;
    char **items; /* OPTION_URLS */
    uint32_t item_count;
};

struct options {
    const char *verb; /* "conclave put", for messages; borrowed */
    const struct option *table;
    size_t count;
    struct option_value *values;
    char **arguments; /* what is not a flag; borrowed from argv */
    int argument_count;
    struct buf error; /* zero-terminated when a call failed */
};

void options_init(struct options *o, const char *verb, const struct option *table, size_t count);
void options_deinit(struct options *o);

/* All of argv, without the verb's own words. "--" ends the flags; "-" and "-5" are no flags.
 * INVALID: an unknown flag, one given twice, or a bad value. */
enum status MUST_CHECK options_read_arguments(struct options *o, int argc, char **argv);
/* The rows' `env`; with `prefixed`, CONCLAVE_<NAME> before it. An empty variable counts as
 * absent. */
enum status MUST_CHECK options_read_environment(struct options *o, bool prefixed);
/* Set an open row and check the value; a row that is set already stays. `where` is copied. */
enum status MUST_CHECK options_set(struct options *o, size_t row, enum option_origin origin,
                                   const char *where, const char *text);
enum status MUST_CHECK options_apply_defaults(struct options *o);

/* The row of that name, or NULL with the nearest known name (or NULL) in *nearest. */
const struct option *options_find(const struct options *o, const char *name, const char **nearest);
/* Keep a message about a value, told with where it came from; always INVALID. */
enum status MUST_CHECK options_refuse(struct options *o, size_t row, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Keep any other message; always INVALID. */
enum status MUST_CHECK options_fail(struct options *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *options_error(const struct options *o);

/* NULL when unset. Borrowed until options_deinit. */
const char *options_text(const struct options *o, size_t row);
uint64_t options_number(const struct options *o, size_t row);
bool options_is_on(const struct options *o, size_t row);
/* Set by a person, not by default. */
bool options_is_given(const struct options *o, size_t row);

/* "CONCLAVE_HEARTBEAT_MS" of "heartbeat-ms". A new string. */
char *options_env_name(const char *name);
