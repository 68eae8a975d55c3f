/* api/query.h - query parameters: split, decoded once, and each one known.
 *
 * An unknown or repeated parameter is an error that names it, never ignored: a misspelt
 * `consistancy=` must not quietly give another promise. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define QUERY_PARAMS_MAX 12

struct query {
    uint32_t count;
    /* Names as in the table of the route; values in `text`. */
    const char *names[QUERY_PARAMS_MAX];
    struct slice values[QUERY_PARAMS_MAX];
    struct buf text;
    /* After INVALID: what is wrong with which parameter, for the answer. `bad_name` is as it was
     * sent or as in the table. */
    const char *why;
    struct slice bad_name;
};

/* `raw` is what follows the '?'; `allowed` ends with NULL and may be NULL for none. OK or INVALID;
 * ended by query_deinit in both cases. `raw` must outlive the query. */
enum status MUST_CHECK query_parse(struct query *q, struct slice raw, const char *const *allowed);
void query_deinit(struct query *q);

bool query_has(const struct query *q, const char *name);
/* The decoded value; empty when absent. Borrowed from the query. */
struct slice query_value(const struct query *q, const char *name);
/* True when it is there and is exactly `text`. */
bool query_is(const struct query *q, const char *name, const char *text);
/* A number from `min` up; *value is left alone when the parameter is absent. INVALID sets `why`. */
enum status MUST_CHECK query_number(struct query *q, const char *name, uint64_t min,
                                    uint64_t *value);
/* A time of whole seconds, from one to `max` seconds: "30s", "10m", "2h", "1d"; otherwise as above.
 */
enum status MUST_CHECK query_seconds(struct query *q, const char *name, uint64_t max,
                                     uint64_t *seconds);
/* `true` or `false`; otherwise as above. */
enum status MUST_CHECK query_bool(struct query *q, const char *name, bool *value);
/* Note that `name` is at fault; returns INVALID. `why` is static. */
enum status query_refuse(struct query *q, const char *name, const char *why);

/* Decimal digits only, without leading zeros, that fit: the form in which numbers are written too.
 * */
bool number_parse(struct slice text, uint64_t *value);
