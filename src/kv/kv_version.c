#include "kv/kv_version.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/limits.h"
#include "kv/kv_digest.h"

#include <stddef.h>
#include <string.h>

_Static_assert(LIMIT_VALUE_BYTES_MAX < 1u << 28, "a value's size must fit its bits");
_Static_assert(sizeof(struct version) == offsetof(struct version, tail), "no byte is wasted");

#define UPDATE_BYTES 16u
#define LEASE_BYTES  8u

/* Offset of the value in tail. */
static size_t value_offset(const struct version *v)
{
    return (v->is_update ? UPDATE_BYTES : 0) + (v->has_lease ? LEASE_BYTES : 0);
}

size_t version_size(const struct version *v)
{
    return sizeof(*v) + value_offset(v) + v->value_size;
}

static struct version *allocate(struct slab *slab, const struct version *shape)
{
    struct version *v = slab_alloc(slab, version_size(shape));
    *v = *shape;
    return v;
}

struct version *version_create(struct slab *slab, const struct version_fields *f,
                               struct version *older)
{
    CHECK_CMP(f->value.size, <=, LIMIT_VALUE_BYTES_MAX);
    CHECK((f->version == 1) == (f->create_revision == f->revision));
    const struct version shape = {.older = older,
                                  .revision = f->revision,
                                  .value_hash = digest_value(f->value),
                                  .value_size = (unsigned)f->value.size & 0xfffffffu,
                                  .is_update = f->version > 1,
                                  .has_lease = f->lease != 0};
    struct version *v = allocate(slab, &shape);
    uint8_t *at = v->tail;
    if (v->is_update) {
        store_u64(at, f->create_revision);
        store_u64(at + 8, f->version);
        at += UPDATE_BYTES;
    }
    if (v->has_lease) {
        store_u64(at, f->lease);
        at += LEASE_BYTES;
    }
    if (f->value.size > 0) {
        memcpy(at, f->value.data, f->value.size);
    }
    return v;
}

struct version *version_create_tombstone(struct slab *slab, uint64_t revision,
                                         struct version *older)
{
    const struct version shape = {.older = older, .revision = revision, .is_tombstone = 1};
    return allocate(slab, &shape);
}

void version_free(struct slab *slab, struct version *v)
{
    slab_free(slab, v, version_size(v));
}

void version_read(const struct version *v, struct version_fields *f)
{
    CHECK(!v->is_tombstone);
    f->revision = v->revision;
    f->create_revision = v->is_update ? load_u64(v->tail) : v->revision;
    f->version = v->is_update ? load_u64(v->tail + 8) : 1;
    f->lease = v->has_lease ? load_u64(v->tail + (v->is_update ? UPDATE_BYTES : 0)) : 0;
    f->value = slice_of(v->tail + value_offset(v), v->value_size);
}

const struct version *version_at(const struct version *newest, uint64_t revision)
{
    const struct version *v = newest;
    while (v != NULL && v->revision > revision) {
        v = v->older;
    }
    return v != NULL && !v->is_tombstone ? v : NULL;
}
