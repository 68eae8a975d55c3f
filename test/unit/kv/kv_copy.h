/* A store into an image and back, with whatever happens in between. */
#pragma once

#include "base/rng.h"
#include "kv/kv_image.h"

/* Append what is left of the export, in pieces of any size. */
void export_rest(struct kv_export *e, struct rng *rng, struct buf *image);
/* The whole image of a store that rests. */
void export_all(struct kv *kv, struct buf *image);
/* The store of an image that is whole, given in pieces of any size. */
struct kv *import_all(struct slice image, struct rng *rng);
/* What kv_digest_step finds. */
struct kv_digest digest_anew_of(const struct kv *kv, unsigned budget);
bool is_same_digest(struct kv_digest a, struct kv_digest b);
