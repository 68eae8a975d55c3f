/* client/json_text.h - JSON as text: the parts of an answer exactly as they were sent, and a text
 * of the user's into a JSON value. Parsing and printing again would change numbers, so values are
 * cut out and never rebuilt. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>

/* The text of the value of member `name` (written without escapes) of a JSON object that is known
 * to be valid; false when it is no object or has no such member. Borrowed from `object`. */
bool json_text_member(struct slice object, const char *name, struct slice *value);
/* Step through a valid JSON array: *item is the next one, and *rest moves behind it. Start with the
 * array itself in *rest. False at the end. */
bool json_text_next(struct slice *rest, struct slice *item);
/* The characters of a valid JSON string text, decoded; INVALID when it is no string. */
enum status MUST_CHECK json_text_decode(struct slice text, struct buf *out);

/* Whether the bytes are one JSON text. One that is only out of range for a double counts as JSON:
 * the server's word on it is clearer than a string that nobody asked for. */
bool json_text_is_valid(struct slice bytes);
/* Append the bytes as they are if they are JSON, else as a JSON string. INVALID: neither, because
 * they are not UTF-8. */
enum status MUST_CHECK json_text_from_user(struct slice bytes, struct buf *out);
/* Append a JSON string of the characters; INVALID when they are not UTF-8. */
enum status MUST_CHECK json_text_quote(struct slice bytes, struct buf *out);
