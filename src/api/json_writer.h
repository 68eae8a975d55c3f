/* api/json_writer.h - prints JSON into a buffer, piece by piece, so that long answers can stream.
 *
 * Keeps only the comma: nesting is the caller's, who may drain the buffer between any two calls.
 * Whatever goes in, what comes out is UTF-8. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct json_writer {
    struct buf *out; /* borrowed */
    bool comma;      /* a value was written at this level */
    bool snake;      /* names given as "leaderId" are written as "leader_id" */
};

void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);
/* The name of a member; its value follows. `name` needs no escaping. */
void json_write_name(struct json_writer *w, const char *name);

/* A byte that is not part of well-formed UTF-8 becomes U+FFFD. */
void json_write_string(struct json_writer *w, struct slice s);
/* A string, or null when `text` is NULL or empty. */
void json_write_text_or_null(struct json_writer *w, const char *text);
/* A string that holds the bytes in base64. */
void json_write_base64(struct json_writer *w, struct slice bytes);
/* Bytes that are one JSON text already. */
void json_write_raw(struct json_writer *w, struct slice text);
void json_write_u64(struct json_writer *w, uint64_t v);
/* Null for UINT64_MAX, which stands for "never" and "unknown". */
void json_write_u64_or_null(struct json_writer *w, uint64_t v);
/* Three decimals; `v` is finite. */
void json_write_decimal(struct json_writer *w, double v);
void json_write_bool(struct json_writer *w, bool v);
void json_write_null(struct json_writer *w);

/* A name with its value. */
void json_field_text(struct json_writer *w, const char *name, const char *text);
void json_field_text_or_null(struct json_writer *w, const char *name, const char *text);
void json_field_string(struct json_writer *w, const char *name, struct slice s);
void json_field_u64(struct json_writer *w, const char *name, uint64_t v);
void json_field_u64_or_null(struct json_writer *w, const char *name, uint64_t v);
void json_field_bool(struct json_writer *w, const char *name, bool v);
