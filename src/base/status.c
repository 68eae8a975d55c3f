#include "base/status.h"

#include "base/check.h"

#include <stddef.h>

struct status_row {
    const char *name;
    const char *text;
    int http;
    int exit_code;
};

static const struct status_row rows[] = {
#define STATUS_ROW(name, text, http, exit_code) {#name, text, http, exit_code},
    STATUS_TABLE(STATUS_ROW)
#undef STATUS_ROW
};

static const struct status_row *row(enum status s)
{
    CHECK((size_t)s < sizeof(rows) / sizeof(rows[0]));
    return &rows[s];
}

const char *status_text(enum status s)
{
    return row(s)->text;
}

const char *status_name(enum status s)
{
    return row(s)->name;
}

int status_http(enum status s)
{
    return row(s)->http;
}

int status_exit_code(enum status s)
{
    return row(s)->exit_code;
}
