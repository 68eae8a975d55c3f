/* base/uuid.h - 16 random bytes that name a cluster, an incarnation or a boot. The bytes come from
 * the caller (the operating system's randomness in production, a seed in tests). */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_SIZE 37 /* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and the zero */

/* Set the version (4) and variant bits of 16 random bytes. */
struct uuid uuid_from_random(const uint8_t random[16]);
void uuid_format(struct uuid id, char text[UUID_TEXT_SIZE]);
/* Accepts exactly the form that uuid_format writes, in either case. */
bool uuid_parse(const char *text, struct uuid *id);
static inline bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}

static inline bool uuid_is_zero(struct uuid id)
{
    return uuid_equal(id, (struct uuid){0});
}

/* Byte order: <0, 0, >0. */
int uuid_compare(struct uuid a, struct uuid b);
/* The first 8 bytes as a number that is never 0: the id of a member in messages and in the log. */
static inline uint64_t uuid_short(struct uuid id)
{
    uint64_t v;
    memcpy(&v, id.bytes, sizeof(v));
    return v != 0 ? le64toh(v) : 1;
}
