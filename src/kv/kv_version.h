/* kv/kv_version.h - one version of one key: what a put or a delete left behind.
 *
 * The versions of a key are a chain, newest first, from its entry in the tree. A delete is a
 * version too (a tombstone). Most versions in a store are the only one of their key, never changed
 * and without a lease, so what such a version need not say is not stored: 28 bytes and the value.
 *
 *   older | revision | value_hash | value_size, flags | [create_revision, version] | [lease]
 *   | value
 *
 * Versions live in the slab. Only kv/ uses them. */
#pragma once

#include "base/slice.h"
#include "kv/slab.h"

#include <stdbool.h>
#include <stdint.h>

/* Aligned to 4 only, so that 28 bytes are 28. */
struct __attribute__((packed, aligned(4))) version {
    struct version *older; /* NULL at the end, or from where compaction has cut the chain */
    uint64_t revision;
    uint64_t value_hash; /* digest_value; 0 in a tombstone */
    unsigned value_size : 28;
    unsigned is_tombstone : 1;
    unsigned is_update : 1; /* create_revision and version follow; else this is the key's first */
    unsigned has_lease : 1;
    uint8_t tail[];
};

/* What a version is made from. */
struct version_fields {
    uint64_t revision;
    uint64_t create_revision; /* == revision exactly when version is 1 */
    uint64_t version;
    uint64_t lease; /* 0 = none */
    struct slice value;
};

/* A put's version, in front of `older` (which may be NULL). The value is copied. */
struct version *version_create(struct slab *slab, const struct version_fields *f,
                               struct version *older);
/* A delete's version. */
struct version *version_create_tombstone(struct slab *slab, uint64_t revision,
                                         struct version *older);
/* Free this one only. */
void version_free(struct slab *slab, struct version *v);

/* `v` is not a tombstone; value is borrowed from it. */
void version_read(const struct version *v, struct version_fields *f);
/* The newest in the chain that is not above `revision`: a put's, or NULL when the key was not there
 * then (no such version, or a tombstone). */
const struct version *version_at(const struct version *newest, uint64_t revision);
/* What it takes from the slab. */
size_t version_size(const struct version *v);
