#include "api/json_scan.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* Without an exponent, fewer digits than this can't make an infinite double. */
#define SAFE_DIGITS 300

struct scan {
    const uint8_t *at;
    const uint8_t *end;
    /* One bit a level: an object (1) or an array (0); bit 0 is the innermost. */
    uint64_t objects;
    uint32_t depth;
};
_Static_assert(LIMIT_JSON_DEPTH <= 64, "one bit a level");

/* The next byte without taking it; a NUL, which is legal nowhere outside of strings, at the end. */
static uint8_t peek(const struct scan *s)
{
    return s->at < s->end ? *s->at : 0;
}

/* Take the next byte if it is `c`. */
static bool take(struct scan *s, uint8_t c)
{
    if (s->at < s->end && *s->at == c) {
        s->at++;
        return true;
    }
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) {
        s->at++;
    }
}

/* --- strings ---------------------------------------------------------------------------------- */

static bool take_hex4(struct scan *s, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = peek(s);
        uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9') {
            *value = *value << 4 | (uint32_t)(c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            *value = *value << 4 | (uint32_t)(lower - 'a' + 10);
        } else {
            return false;
        }
        s->at++;
    }
    return true;
}

/* Behind the backslash. A high surrogate must be followed by an escaped low one, and only so. */
static bool take_escape(struct scan *s)
{
    uint8_t c = peek(s);
    if (c != 0 && strchr("\"\\/bfnrt", c) != NULL) {
        s->at++;
        return true;
    }
    uint32_t high;
    uint32_t low;
    if (!take(s, 'u') || !take_hex4(s, &high)) {
        return false;
    }
    if (high < 0xd800 || high > 0xdfff) {
        return true;
    }
    return high <= 0xdbff && take(s, '\\') && take(s, 'u') && take_hex4(s, &low) && low >= 0xdc00 &&
           low <= 0xdfff;
}

/* Are none of eight bytes what ends a run: a control character, '"', '\\', or beyond ASCII? What
 * borrows from the byte before it shows only beside one that does. */
static bool are_plain(const uint8_t *bytes)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t v;
    memcpy(&v, bytes, sizeof(v));
    uint64_t quotes = v ^ each * '"';
    uint64_t slashes = v ^ each * '\\';
    uint64_t found =
        ((v - each * 0x20) & ~v) | ((quotes - each) & ~quotes) | ((slashes - each) & ~slashes) | v;
    return (found & each * 0x80) == 0;
}

/* Most of most values is this loop: its pointers are its own, so that they stay in registers. */
static void skip_plain(struct scan *s)
{
    const uint8_t *at = s->at;
    const uint8_t *end = s->end;
    while (end - at >= 8 && are_plain(at)) {
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') {
        at++;
    }
    s->at = at;
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"')) {
        return false;
    }
    for (;;) {
        skip_plain(s);
        if (take(s, '"')) {
            return true;
        }
        if (take(s, '\\')) {
            if (!take_escape(s)) {
                return false;
            }
            continue;
        }
        size_t length = utf8_first(slice_of(s->at, (size_t)(s->end - s->at)));
        if (length < 2) { /* the end, a control character, or no UTF-8 */
            return false;
        }
        s->at += length;
    }
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* How many digits were there? */
static size_t take_digits(struct scan *s)
{
    const uint8_t *start = s->at;
    while (peek(s) >= '0' && peek(s) <= '9') {
        s->at++;
    }
    return (size_t)(s->at - start);
}

static bool is_infinite(struct slice number)
{
    struct buf text = {0};
    buf_append_slice(&text, number);
    buf_append_byte(&text, 0);
    bool infinite = isinf(strtod((const char *)text.data, NULL));
    buf_deinit(&text);
    return infinite;
}

static bool take_number(struct scan *s)
{
    const uint8_t *start = s->at;
    take(s, '-');
    size_t digits = 1;
    bool has_exponent = false;
    if (!take(s, '0')) {
        digits = take_digits(s);
    }
    if (digits == 0 || (take(s, '.') && take_digits(s) == 0)) {
        return false;
    }
    if (take(s, 'e') || take(s, 'E')) {
        has_exponent = true;
        if (!take(s, '+')) {
            take(s, '-');
        }
        if (take_digits(s) == 0) {
            return false;
        }
    }
    return (!has_exponent && digits < SAFE_DIGITS) ||
           !is_infinite(slice_of(start, (size_t)(s->at - start)));
}

/* --- values ----------------------------------------------------------------------------------- */

static bool take_word(struct scan *s, const char *word)
{
    while (*word != '\0') {
        if (!take(s, (uint8_t)*word++)) {
            return false;
        }
    }
    return true;
}

static bool take_scalar(struct scan *s)
{
    switch (peek(s)) {
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s);
    }
}

static bool is_in_object(const struct scan *s)
{
    return (s->objects & 1) != 0;
}

/* A name and its colon. */
static bool take_name(struct scan *s)
{
    skip_space(s);
    if (!take_string(s)) {
        return false;
    }
    skip_space(s);
    return take(s, ':');
}

/* Up to where a value is complete: a scalar or an empty container, with all that it is nested in
 * opened, and the names before it taken. */
static bool take_first_leaf(struct scan *s)
{
    for (;;) {
        skip_space(s);
        uint8_t open = peek(s);
        if (open != '{' && open != '[') {
            return take_scalar(s);
        }
        s->at++;
        skip_space(s);
        if (s->depth == LIMIT_JSON_DEPTH) {
            return false;
        }
        if (take(s, open == '{' ? '}' : ']')) {
            return true;
        }
        s->depth++;
        s->objects = s->objects << 1 | (open == '{');
        if (is_in_object(s) && !take_name(s)) {
            return false;
        }
    }
}

/* Behind a complete value: close what ends here. True when a comma says that another one follows.
 * */
static bool take_closers(struct scan *s)
{
    for (;;) {
        skip_space(s);
        if (s->depth == 0) {
            return false;
        }
        if (take(s, ',')) {
            return true;
        }
        if (!take(s, is_in_object(s) ? '}' : ']')) {
            return false;
        }
        s->depth--;
        s->objects >>= 1;
    }
}

bool json_scan(struct slice text)
{
    if (text.size == 0) {
        return false;
    }
    struct scan s = {.at = text.data, .end = text.data + text.size};
    for (;;) {
        if (!take_first_leaf(&s)) {
            return false;
        }
        if (!take_closers(&s)) {
            return s.depth == 0 && s.at == s.end;
        }
        if (is_in_object(&s) && !take_name(&s)) {
            return false;
        }
    }
}
