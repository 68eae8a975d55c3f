/* api/json_value.h - values at the door: is a body one JSON text, and how does a stored value read?
 *
 * Values are bytes and stay as they came; JSON is checked here and never printed again. */
#pragma once

#include "api/json_writer.h"
#include "base/slice.h"
#include "base/status.h"

/* OK and the JSON text in `body` without outer white space, borrowed from it. INVALID unless that
 * is exactly one text of RFC 8259 in UTF-8, nested at most LIMIT_JSON_DEPTH deep, without lone
 * surrogates and without numbers beyond a double's range. Names may repeat, as the RFC allows. */
enum status MUST_CHECK json_text_check(struct slice body, struct slice *text);

/* The fields of a stored value: `"value":V` for JSON; for anything else, which a client of another
 * protocol wrote, a string and `"encoding":"text"` (UTF-8) or `"encoding":"base64"`. */
void json_field_value(struct json_writer *w, struct slice value);
