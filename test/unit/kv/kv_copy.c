#include "kv_copy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

void export_rest(struct kv_export *e, struct rng *rng, struct buf *image)
{
    while (kv_export_step(e, image, (size_t)rng_below(rng, 500))) {
    }
}

void export_all(struct kv *kv, struct buf *image)
{
    struct kv_export *e = kv_export_begin(kv);
    assert_non_null(e);
    while (kv_export_step(e, image, 64u << 10)) {
    }
    kv_export_end(e);
}

struct kv *import_all(struct slice image, struct rng *rng)
{
    struct kv_import *i = kv_import_begin();
    for (size_t at = 0; at < image.size;) {
        size_t most = rng_chance(rng, 1, 3) ? 3 : 5000;
        size_t size = (size_t)rng_below(rng, most);
        size = size < image.size - at ? size : image.size - at;
        assert_int_equal(kv_import_add(i, slice_of(image.data + at, size)), STATUS_OK);
        at += size;
    }
    struct kv *kv = NULL;
    assert_int_equal(kv_import_finish(i, &kv), STATUS_OK);
    kv_check(kv);
    return kv;
}

struct kv_digest digest_anew_of(const struct kv *kv, unsigned budget)
{
    struct kv_digest_scan scan = {0};
    struct kv_digest digest;
    while (!kv_digest_step(kv, &scan, budget, &digest)) {
    }
    assert_false(scan.stale);
    kv_digest_scan_deinit(&scan);
    return digest;
}

bool is_same_digest(struct kv_digest a, struct kv_digest b)
{
    return a.half[0] == b.half[0] && a.half[1] == b.half[1];
}
