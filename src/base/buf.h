/* base/buf.h - a growing byte buffer. Zero-initialised is empty and valid; its owner calls
 * buf_deinit. Growth is by doubling; the caller bounds what it puts in. */
#pragma once

#include "base/slice.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    uint8_t *data; /* owned */
    size_t size;
    size_t capacity;
};

void buf_deinit(struct buf *b);
/* Empty it and keep the memory. */
void buf_clear(struct buf *b);
/* buf_reserve, when it takes more memory. */
uint8_t *buf_grow(struct buf *b, size_t extra);

/* Make room for `extra` more bytes and return where they go; b->size is unchanged. */
static inline uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    /* More room than needed, so that an empty one without memory grows too. */
    return extra < b->capacity - b->size ? b->data + b->size : buf_grow(b, extra);
}

void buf_append(struct buf *b, const void *data, size_t size);
void buf_append_slice(struct buf *b, struct slice s);
/* Inline, since the length of most texts is known when they are compiled. */
static inline void buf_append_str(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

static inline void buf_append_byte(struct buf *b, uint8_t byte)
{
    *buf_reserve(b, 1) = byte;
    b->size++;
}

/* In decimal, at most DECIMAL_CHARS_MAX; returns the place behind it. */
#define DECIMAL_CHARS_MAX 20
char *store_decimal(char *at, uint64_t v);
void buf_append_u64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drop the first `count` <= size bytes. */
void buf_consume(struct buf *b, size_t count);
/* Borrowed until the next change of the buffer. */
struct slice buf_slice(const struct buf *b);
