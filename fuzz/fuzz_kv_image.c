/* Images of the store: what is taken is a sound store, and exactly the image that it writes. */
#include "base/check.h"
#include "kv/kv_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In two pieces, cut where the last byte says. */
static struct kv *import(struct slice bytes)
{
    struct kv_import *i = kv_import_begin();
    size_t cut = bytes.size > 0 ? bytes.data[bytes.size - 1] % bytes.size : 0;
    enum status status = kv_import_add(i, slice_of(bytes.data, cut));
    if (status == STATUS_OK) {
        status = kv_import_add(i, slice_of(bytes.data + cut, bytes.size - cut));
    }
    struct kv *kv = NULL;
    enum status finished = kv_import_finish(i, &kv);
    CHECK((kv != NULL) == (finished == STATUS_OK));
    CHECK(status == STATUS_OK || kv == NULL);
    return kv;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = slice_of(data, size);
    struct kv *kv = import(bytes);
    if (kv == NULL) {
        return 0;
    }
    kv_check(kv);
    struct buf again = {0};
    struct kv_export *e = kv_export_begin(kv);
    while (kv_export_step(e, &again, 1000)) {
    }
    kv_export_end(e);
    CHECK(slice_equal(buf_slice(&again), bytes));
    buf_deinit(&again);
    kv_destroy(kv);
    return 0;
}
