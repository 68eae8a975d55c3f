/* client/json_text.h - JSON as text: the parts of an answer exactly as they were sent (json_cut.h),
 * and a text of the user's into a JSON value. */
#pragma once

#include "base/buf.h"
#include "base/json_cut.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>

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
