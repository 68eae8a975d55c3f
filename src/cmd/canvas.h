/* cmd/canvas.h - a screenful of text, laid out for any width.
 *
 * Text comes in pieces. A piece that does not fit into what is left of its line goes to the next
 * one, and one that is wider than that is cut; so the same frame reads on 200 columns and on 20.
 * Where the text goes in the end (a terminal's screen, a file) is not known here. */
#pragma once

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum canvas_style {
    CANVAS_PLAIN,
    CANVAS_TITLE,
    CANVAS_GOOD,
    CANVAS_WARN,
    CANVAS_BAD,
    CANVAS_DIM,
    CANVAS_STYLES
};

struct canvas_piece {
    uint32_t row;
    uint32_t column;
    enum canvas_style style;
    char *text; /* owned; no control characters */
};

struct canvas {
    struct canvas_piece pieces[LIMIT_MONITOR_PIECES]; /* in the order of reading */
    uint32_t count;
    uint32_t columns;
    uint32_t rows; /* begun so far */
    /* Where the next piece goes. */
    uint32_t column;
    uint32_t indent; /* of the rows on which this line goes on */
};

/* Heap-allocated by the caller or static: it is large. `columns` > 0. */
void canvas_init(struct canvas *c, uint32_t columns);
void canvas_deinit(struct canvas *c);
/* Begin a line; where it needs further rows, they are indented. */
void canvas_line(struct canvas *c, uint32_t indent);
/* Append a piece, two columns behind the one before. Spaces at its end keep columns apart, and are
 * never a reason to go to the next row. */
void canvas_put(struct canvas *c, enum canvas_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same one column behind: what belongs to the piece before. */
void canvas_put_close(struct canvas *c, enum canvas_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As lines of text; styles as terminal sequences if `has_color`. */
void canvas_print(const struct canvas *c, bool has_color, FILE *out);
