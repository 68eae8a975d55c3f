/* base/json_cut.h - the parts of a valid JSON text, exactly as they stand in it.
 *
 * Parsing and printing again would change numbers and cost a tree, so values are cut out and never
 * rebuilt. Nothing is checked: of a text that is not valid the parts are any bytes of it. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* The text of the value of member `name` (written without escapes) of a JSON object that is known
 * to be valid; false when it is no object or has no such member. Borrowed from `object`. */
bool json_text_member(struct slice object, const char *name, struct slice *value);
/* Step through a valid JSON object: *name is what is between the quotes of the next name, escapes
 * as written, *value its text, and *rest moves behind it. Start with the object itself in *rest.
 * False at the end. */
bool json_text_next_member(struct slice *rest, struct slice *name, struct slice *value);
/* Step through a valid JSON array: *item is the next one, and *rest moves behind it. Start with the
 * array itself in *rest. False at the end. */
bool json_text_next(struct slice *rest, struct slice *item);
