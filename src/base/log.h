/* base/log.h - one line per event to stderr: `HH:MM:SS.mmm [node-1] message key=value`, or JSON.
 *
 * A line is written by one write(2), so lines of several threads or processes never mix (row D14).
 * Nothing per request is logged above LOG_DEBUG, and a line below the level costs a compare. */
#pragma once

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_options {
    const char *name;     /* the member's, copied; NULL for a verb: no time and no name are shown */
    enum log_level level; /* lines below are dropped */
    bool json;
};

/* Set for the whole process, before other threads start. Without it: level info, text, no name. */
void log_init(const struct log_options *options);
bool log_enabled(enum log_level level);
/* `format` is the message with its key=value pairs; no newline at the end. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_enabled(LOG_DEBUG)) {                                                              \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                      \
        }                                                                                          \
    } while (0)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
