/* base/slice.h - bytes that somebody else owns. A slice is borrowed: valid as long as its owner
 * says. An empty slice may have data == NULL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){.data = data, .size = size};
}

static inline struct slice slice_str(const char *text)
{
    return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Byte order, a shorter one before its extensions: <0, 0, >0. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) {
        return order;
    }
    return a.size < b.size ? -1 : (a.size > b.size ? 1 : 0);
}

/* White space as JSON has it. */
static inline bool slice_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Without white space at either end. */
static inline struct slice slice_trim(struct slice s)
{
    while (s.size > 0 && slice_is_space(s.data[0])) {
        s = slice_of(s.data + 1, s.size - 1);
    }
    while (s.size > 0 && slice_is_space(s.data[s.size - 1])) {
        s.size--;
    }
    return s;
}

static inline bool slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.size >= prefix.size &&
           (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}
