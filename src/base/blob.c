#include "base/blob.h"

#include "base/check.h"
#include "base/mem.h"

#include <string.h>

struct blob *blob_create(size_t size)
{
    CHECK_CMP(size, <=, UINT32_MAX);
    struct blob *b = mem_alloc(sizeof(*b) + size);
    b->refs = 1;
    b->size = (uint32_t)size;
    return b;
}

struct blob *blob_copy(struct slice bytes)
{
    struct blob *b = blob_create(bytes.size);
    if (bytes.size > 0) {
        memcpy(b->data, bytes.data, bytes.size);
    }
    return b;
}

struct blob *blob_ref(struct blob *b)
{
    CHECK(b->refs > 0 && b->refs < UINT32_MAX);
    b->refs++;
    return b;
}

void blob_unref(struct blob *b)
{
    if (b == NULL) {
        return;
    }
    CHECK(b->refs > 0);
    if (--b->refs == 0) {
        mem_free(b);
    }
}

struct slice blob_slice(const struct blob *b)
{
    return b != NULL ? slice_of(b->data, b->size) : slice_of(NULL, 0);
}
