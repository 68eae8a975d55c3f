/* cmd/output.h - how verbs show data: aligned tables, text that is safe on a terminal, colour. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdio.h>

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_RAW };
#define OUTPUT_CHOICES "table|json|raw"

#define TABLE_COLUMNS_MAX 8
#define TABLE_ROWS_MAX    64

/* Rows of cells, printed with columns aligned; the first row is the heading. Zero-initialised is
 * empty; cells are copied, rows beyond TABLE_ROWS_MAX are dropped. */
struct table {
    char *cells[TABLE_ROWS_MAX][TABLE_COLUMNS_MAX];
    size_t rows;
    size_t columns;
};
/* `count` <= TABLE_COLUMNS_MAX cells, the same for every row; NULL shows as "-". */
void table_add(struct table *t, const char *const *cells, size_t count);
/* Print it and empty it. */
void table_print(struct table *t, FILE *out);

/* `bytes` with control characters as \xNN, so that a key can never steer a terminal. */
void output_append_safe(struct buf *out, struct slice bytes);

/* A terminal that wants colour: NO_COLOR is not set and TERM is not "dumb". */
bool output_has_color(FILE *out);
