#include "net/grpc_inflate.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* the largest window, and a gzip header */
#define STEP_BYTES       (16u * KIB)

static void *allocate(void *context, unsigned count, unsigned size)
{
    (void)context;
    return mem_calloc(count, size);
}

static void release(void *context, void *memory)
{
    (void)context;
    mem_free(memory);
}

static enum status inflate_all(z_stream *z, uint32_t max, struct buf *out)
{
    size_t base = out->size;
    for (;;) {
        size_t room = (size_t)max + 1 - (out->size - base);
        z->avail_out = (unsigned)(room < STEP_BYTES ? room : STEP_BYTES);
        z->next_out = buf_reserve(out, z->avail_out);
        size_t offered = z->avail_out;
        int result = inflate(z, Z_NO_FLUSH);
        out->size += offered - z->avail_out;
        if (out->size - base > max) {
            return STATUS_TOO_LARGE;
        }
        if (result == Z_STREAM_END) {
            return z->avail_in == 0 ? STATUS_OK : STATUS_INVALID;
        }
        if (result != Z_OK) {
            return STATUS_INVALID; /* Z_BUF_ERROR: it ends too early */
        }
    }
}

enum status grpc_inflate(struct slice in, uint32_t max, struct buf *out)
{
    z_stream z = {.zalloc = allocate, .zfree = release};
    z.next_in = (unsigned char *)(uintptr_t)in.data;
    z.avail_in = (unsigned)in.size;
    CHECK(inflateInit2(&z, GZIP_WINDOW_BITS) == Z_OK);
    enum status status = inflate_all(&z, max, out);
    inflateEnd(&z);
    return status;
}
