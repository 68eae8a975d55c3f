#include "base/log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE_MAX 4096
#define NAME_SIZE_MAX 65

static struct {
    char name[NAME_SIZE_MAX];
    enum log_level level;
    bool json;
} settings = {.level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_init(const struct log_options *options)
{
    snprintf(settings.name, sizeof(settings.name), "%s",
             options->name != NULL ? options->name : "");
    settings.level = options->level;
    settings.json = options->json;
}

bool log_enabled(enum log_level level)
{
    return level >= settings.level;
}

/* Append `text` with control characters made visible (text form) or escaped (JSON form), so that
 * bytes from outside can never forge a line. */
static size_t append_safe(char *line, size_t at, size_t limit, const char *text)
{
    for (; *text != '\0' && at + 7 < limit; text++) {
        unsigned char c = (unsigned char)*text;
        if (settings.json && (c == '"' || c == '\\')) {
            line[at++] = '\\';
            line[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            at += (size_t)snprintf(line + at, limit - at, "\\u%04x", c);
        } else {
            line[at++] = (char)c;
        }
    }
    return at;
}

static size_t append_prefix(char *line, size_t limit, enum log_level level)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm day;
    gmtime_r(&now.tv_sec, &day);
    int ms = (int)(now.tv_nsec / 1000000);
    if (settings.json) {
        char date[32];
        strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &day);
        return (size_t)snprintf(
            line, limit, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"node\":\"%s\",\"message\":\"",
            date, ms, level_names[level], settings.name);
    }
    if (settings.name[0] == '\0') {
        return 0;
    }
    localtime_r(&now.tv_sec, &day);
    return (size_t)snprintf(
        line, limit, "%02d:%02d:%02d.%03d [%s] %s", day.tm_hour, day.tm_min, day.tm_sec, ms,
        settings.name, level == LOG_ERROR ? "error: " : (level == LOG_WARN ? "warning: " : ""));
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    char message[LINE_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    char line[LINE_SIZE_MAX + 256];
    size_t size = append_prefix(line, sizeof(line), level);
    size = append_safe(line, size, sizeof(line) - 4, message);
    if (settings.json) {
        memcpy(line + size, "\"}", 2);
        size += 2;
    }
    line[size++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, size);
    (void)ignored;
}
