#include "cmd/output.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void table_add(struct table *t, const char *const *cells, size_t count)
{
    CHECK_CMP(count, <=, TABLE_COLUMNS_MAX);
    CHECK(t->rows == 0 || count == t->columns);
    if (t->rows == TABLE_ROWS_MAX) {
        return;
    }
    t->columns = count;
    for (size_t i = 0; i < count; i++) {
        t->cells[t->rows][i] = mem_strdup(cells[i] != NULL ? cells[i] : "-");
    }
    t->rows++;
}

/* Characters, not bytes: UTF-8 continuation bytes take no place. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    }
    return width;
}

void table_print(struct table *t, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t row = 0; row < t->rows; row++) {
        for (size_t i = 0; i < t->columns; i++) {
            size_t width = width_of(t->cells[row][i]);
            widths[i] = width > widths[i] ? width : widths[i];
        }
    }
    for (size_t row = 0; row < t->rows; row++) {
        for (size_t i = 0; i < t->columns; i++) {
            const char *cell = t->cells[row][i];
            size_t pad = i + 1 < t->columns ? widths[i] - width_of(cell) + 2 : 0;
            fprintf(out, "%s%*s", cell, (int)pad, "");
            mem_free(t->cells[row][i]);
        }
        fputc('\n', out);
    }
    *t = (struct table){0};
}

void output_append_safe(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] < 0x20 || bytes.data[i] == 0x7f) {
            buf_printf(out, "\\x%02x", bytes.data[i]);
        } else {
            buf_append_byte(out, bytes.data[i]);
        }
    }
}

bool output_has_color(FILE *out)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && (no_color == NULL || no_color[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}
