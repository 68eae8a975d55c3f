/* api/json_scan.h - is this exactly one JSON text? Looks, and keeps nothing.
 *
 * One pass, no memory, no recursion: a body of a megabyte costs the loop a millisecond or two,
 * where building a tree of it costs tens of milliseconds and fifty times its size. jansson is the
 * oracle that tests and fuzzing hold it against. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* RFC 8259 in UTF-8, white space around it allowed, nested at most LIMIT_JSON_DEPTH deep, without
 * lone surrogates and without numbers that a double can't hold (that become infinite). Names may
 * repeat, and strings may hold U+0000, as the RFC allows. */
bool json_scan(struct slice text);
