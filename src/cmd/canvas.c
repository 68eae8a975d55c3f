#include "cmd/canvas.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/output.h"

#include <stdarg.h>
#include <string.h>

void canvas_init(struct canvas *c, uint32_t columns)
{
    CHECK(columns > 0);
    *c = (struct canvas){.columns = columns};
}

void canvas_deinit(struct canvas *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        mem_free(c->pieces[i].text);
    }
    c->count = 0;
}

void canvas_line(struct canvas *c, uint32_t indent)
{
    c->rows++;
    c->column = 0;
    c->indent = indent < c->columns ? indent : 0;
}

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static uint32_t width_of(const char *text, size_t size)
{
    uint32_t width = 0;
    for (size_t i = 0; i < size; i++) {
        width += begins_character(text[i]) ? 1 : 0;
    }
    return width;
}

/* Cut after so many characters. */
static void cut(char *text, uint32_t width)
{
    size_t i = 0;
    for (uint32_t seen = 0; text[i] != '\0'; i++) {
        seen += begins_character(text[i]) ? 1 : 0;
        if (seen > width) {
            text[i] = '\0';
            return;
        }
    }
}

static size_t size_without_spaces(const char *text)
{
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == ' ') {
        size--;
    }
    return size;
}

static char *format_safely(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

static char *format_safely(const char *format, va_list args)
{
    char raw[1024];
    vsnprintf(raw, sizeof(raw), format, args);
    struct buf safe = {0};
    output_append_safe(&safe, slice_str(raw));
    buf_append_byte(&safe, 0);
    return (char *)safe.data;
}

/* Takes `text`. */
static void put(struct canvas *c, enum canvas_style style, uint32_t gap, char *text)
{
    CHECK(c->rows > 0);
    if (c->count == LIMIT_MONITOR_PIECES) {
        mem_free(text);
        return;
    }
    uint32_t full = width_of(text, strlen(text));
    text[size_without_spaces(text)] = '\0';
    uint32_t width = width_of(text, strlen(text));
    bool is_first = c->column == 0 || c->column == c->indent;
    uint32_t at = c->column + (is_first ? 0 : gap);
    if (!is_first && at + width > c->columns) {
        c->rows++;
        at = c->indent;
    }
    cut(text, c->columns - at);
    c->pieces[c->count++] =
        (struct canvas_piece){.row = c->rows - 1, .column = at, .style = style, .text = text};
    c->column = at + full;
}

void canvas_put(struct canvas *c, enum canvas_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(c, style, 2, format_safely(format, args));
    va_end(args);
}

void canvas_put_close(struct canvas *c, enum canvas_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(c, style, 1, format_safely(format, args));
    va_end(args);
}

void canvas_print(const struct canvas *c, bool has_color, FILE *out)
{
    static const char *const codes[CANVAS_STYLES] = {
        [CANVAS_TITLE] = "1", [CANVAS_GOOD] = "32", [CANVAS_WARN] = "33",
        [CANVAS_BAD] = "31",  [CANVAS_DIM] = "2",
    };
    uint32_t row = 0;
    uint32_t column = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct canvas_piece *p = &c->pieces[i];
        for (; row < p->row; row++) {
            fputc('\n', out);
            column = 0;
        }
        const char *code = has_color ? codes[p->style] : NULL;
        fprintf(out, "%*s", (int)(p->column - column), "");
        if (code != NULL) {
            fprintf(out, "\033[%sm%s\033[0m", code, p->text);
        } else {
            fputs(p->text, out);
        }
        column = p->column + width_of(p->text, strlen(p->text));
    }
    fputc('\n', out);
}
