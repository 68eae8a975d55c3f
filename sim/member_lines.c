/* What the members log, errors too: damage is planted here by the thousand. Shown with
 * SIM_LOG=1. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void __real_log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void __wrap_log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool is_shown(void)
{
    static int shown = -1;
    if (shown < 0) {
        shown = getenv("SIM_LOG") != NULL ? 1 : 0;
    }
    return shown == 1;
}

void __wrap_log_line(enum log_level level, const char *format, ...)
{
    if (!is_shown()) {
        return;
    }
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    __real_log_line(level, "%s", text);
}
