/* cmd/option_values.h - the text of a setting into its number or its list. Only options.c calls
 * it. */
#pragma once

#include "cmd/options.h"

/* Fill number and items from v->text by the row's type and bounds. False: `why` says what the value
 * is not, to be read after the value itself: "is not a whole number from 1 to 60000". */
bool option_value_parse(const struct option *row, struct option_value *v, char *why,
                        size_t why_size);
