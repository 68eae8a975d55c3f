#include "base/buf.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUF_CAPACITY_MIN 64

void buf_deinit(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->size = 0;
}

uint8_t *buf_grow(struct buf *b, size_t extra)
{
    size_t needed = b->size + extra;
    CHECK(needed >= extra);
    if (needed > b->capacity || b->data == NULL) {
        size_t capacity = b->capacity > 0 ? b->capacity : BUF_CAPACITY_MIN;
        while (capacity < needed) {
            capacity *= 2;
        }
        b->data = mem_realloc(b->data, capacity);
        b->capacity = capacity;
    }
    return b->data + b->size;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    memcpy(buf_reserve(b, size), data, size);
    b->size += size;
}

void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.size);
}

char *store_decimal(char *at, uint64_t v)
{
    char digits[DECIMAL_CHARS_MAX];
    size_t first = sizeof(digits);
    do {
        digits[--first] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    memcpy(at, digits + first, sizeof(digits) - first);
    return at + sizeof(digits) - first;
}

void buf_append_u64(struct buf *b, uint64_t v)
{
    char *at = (char *)buf_reserve(b, DECIMAL_CHARS_MAX);
    b->size += (size_t)(store_decimal(at, v) - at);
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    CHECK(needed >= 0);
    uint8_t *at = buf_reserve(b, (size_t)needed + 1);
    va_start(args, format);
    vsnprintf((char *)at, (size_t)needed + 1, format, args);
    va_end(args);
    b->size += (size_t)needed;
}

void buf_consume(struct buf *b, size_t count)
{
    CHECK_CMP(count, <=, b->size);
    b->size -= count;
    if (b->size > 0 && count > 0) {
        memmove(b->data, b->data + count, b->size);
    }
}

struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->size);
}
