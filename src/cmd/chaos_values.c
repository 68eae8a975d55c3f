#include "cmd/chaos_values.h"

#include "base/check.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

void chaos_values_deinit(struct chaos_values *c)
{
    mem_free(c->outcomes);
    *c = (struct chaos_values){0};
}

uint32_t chaos_values_issue(struct chaos_values *c)
{
    if (c->issued == CHAOS_VALUES_MAX) {
        return 0;
    }
    if (c->issued == c->capacity) {
        c->capacity = c->capacity > 0 ? 2 * c->capacity : 1024;
        c->outcomes = mem_realloc(c->outcomes, c->capacity);
    }
    c->outcomes[c->issued] = CHAOS_UNKNOWN;
    return ++c->issued;
}

uint32_t chaos_values_key(uint32_t value)
{
    return value % CHAOS_KEYS;
}

static bool is_issued(const struct chaos_values *c, uint32_t key, uint64_t value)
{
    return value >= 1 && value <= c->issued && value % CHAOS_KEYS == key;
}

void chaos_values_tell(struct chaos_values *c, uint32_t value, enum chaos_outcome outcome)
{
    CHECK(is_issued(c, chaos_values_key(value), value));
    c->outcomes[value - 1] = (uint8_t)outcome;
    if (outcome == CHAOS_WRITTEN) {
        c->current[chaos_values_key(value)] = value;
    }
}

static const char *refuse(char *why, size_t size, const char *what, uint32_t current)
{
    snprintf(why, size, "%s; it was %" PRIu32, what, current);
    return why;
}

const char *chaos_values_judge(struct chaos_values *c, uint32_t key, uint64_t value, bool is_stale,
                               char *why, size_t size)
{
    uint32_t current = c->current[key];
    if (value == current || (is_stale && value == 0)) {
        return NULL;
    }
    if (value == 0) {
        return refuse(why, size, "it is not there, and was written", current);
    }
    if (!is_issued(c, key, value)) {
        return refuse(why, size, "nobody wrote that", current);
    }
    switch ((enum chaos_outcome)c->outcomes[value - 1]) {
    case CHAOS_REFUSED:
        return refuse(why, size, "that write was refused: nothing was written", current);
    case CHAOS_WRITTEN:
        return is_stale ? NULL
                        : refuse(why, size, "that is an old value, overwritten since", current);
    case CHAOS_UNKNOWN:
        break;
    }
    if (!is_stale) {
        /* Now it is known, and what it overwrote may not come back. */
        chaos_values_tell(c, (uint32_t)value, CHAOS_WRITTEN);
    }
    return NULL;
}
