/* base/utf8.h - is this UTF-8? For keys, and for values that are not JSON. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the well-formed character that `s` begins with (Unicode 15, table 3-7: no overlong
 * forms, no surrogates, nothing beyond U+10FFFF); 0 when there is none or `s` is empty. */
size_t utf8_first(struct slice s);
bool utf8_is_valid(struct slice s);
