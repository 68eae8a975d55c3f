/* How fast and how small the store is: puts, gets and a walk over KEYS keys of 16 + 256 bytes,
 * random order and in order, and what they weigh. Not a test: it asserts nothing. */
#include "base/mem.h"
#include "base/rng.h"
#include "kv/kv.h"
#include "kv/kv_image.h"
#include "kv/kv_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES   16
#define VALUE_BYTES 256

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double resident_mib(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu %lu", &size, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return (double)resident * 4096 / (1024 * 1024);
}

/* 16 bytes; a bijection of i, so that no key comes twice. */
static struct slice key_of(uint64_t i, bool in_order, char key[32])
{
    uint64_t n = in_order ? i : i * 0x9e3779b97f4a7c15u;
    snprintf(key, 32, "%016" PRIx64, n);
    return slice_of(key, KEY_BYTES);
}

static void put_all(struct kv *kv, uint64_t keys, bool in_order, const char *what)
{
    uint8_t value[VALUE_BYTES];
    memset(value, 'v', sizeof(value));
    double start = now_ns();
    for (uint64_t i = 0; i < keys; i++) {
        char key[32];
        const struct kv_command c = {.op = KV_PUT,
                                     .time_ms = i / 100,
                                     .key = key_of(i, in_order, key),
                                     .value = slice_of(value, sizeof(value))};
        struct kv_result r;
        kv_apply(kv, &c, &r);
    }
    printf("  %-14s %6.0f ns\n", what, (now_ns() - start) / (double)keys);
}

static void get_all(const struct kv *kv, uint64_t keys, bool in_order)
{
    struct rng rng;
    rng_init(&rng, 1);
    uint64_t sum = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < keys; i++) {
        char key[32];
        struct kv_item item;
        if (kv_get(kv, key_of(rng_below(&rng, keys), in_order, key), 0, &item) == STATUS_OK) {
            sum += item.value.data[0];
        }
    }
    printf("  %-14s %6.0f ns (%" PRIu64 ")\n", "get, random", (now_ns() - start) / (double)keys,
           sum);
}

/* The lookup alone, without making the key and without touching the value. */
static void find_all(const struct kv *kv, uint64_t keys, bool in_order)
{
    struct rng rng;
    rng_init(&rng, 2);
    char(*made)[32] = mem_alloc(keys * sizeof(*made));
    for (uint64_t i = 0; i < keys; i++) {
        key_of(rng_below(&rng, keys), in_order, made[i]);
    }
    uint64_t found = 0;
    double start = now_ns();
    for (uint64_t i = 0; i < keys; i++) {
        found += btree_find(&kv->tree, slice_of(made[i], KEY_BYTES)) != NULL;
    }
    printf("  %-14s %6.0f ns (%" PRIu64 ")\n", "find, random", (now_ns() - start) / (double)keys,
           found);
    mem_free(made);
}

static void scan_all(const struct kv *kv)
{
    struct kv_cursor c;
    struct kv_item item;
    uint64_t count = 0;
    double start = now_ns();
    if (kv_cursor_init(&c, kv, slice_of(NULL, 0), slice_of(NULL, 0), 0) == STATUS_OK) {
        while (kv_cursor_next(&c, &item) == STATUS_OK) {
            count++;
        }
    }
    printf("  %-14s %6.0f ns a key (%" PRIu64 ")\n", "cursor", (now_ns() - start) / (double)count,
           count);
    kv_cursor_deinit(&c);
    count = 0;
    start = now_ns();
    struct btree_place at = btree_seek(&kv->tree, slice_of(NULL, 0));
    for (; btree_at(at) != NULL; at = btree_next(at)) {
        count++;
    }
    printf("  %-14s %6.0f ns a key (%" PRIu64 ")\n", "tree only",
           (now_ns() - start) / (double)count, count);
}

static void tell_memory(const struct kv *kv, uint64_t keys, const char *when)
{
    struct kv_stats s;
    kv_stats(kv, &s);
    double each = (double)s.memory_bytes / (double)keys;
    printf("  %-14s %6.1f bytes a key, %.1f beside key and value; tree %.1f; process %.1f MiB\n",
           when, each, each - KEY_BYTES - VALUE_BYTES, (double)kv->tree.node_bytes / (double)keys,
           resident_mib());
}

static void copy_all(struct kv *kv, uint64_t keys)
{
    struct buf image = {0};
    double start = now_ns();
    struct kv_export *e = kv_export_begin(kv);
    while (kv_export_step(e, &image, 256u << 10)) {
    }
    kv_export_end(e);
    printf("  %-14s %6.0f ns a key, %.1f MiB\n", "export", (now_ns() - start) / (double)keys,
           (double)image.size / (1024 * 1024));
    start = now_ns();
    struct kv_import *i = kv_import_begin();
    enum status status = STATUS_OK;
    for (size_t at = 0; at < image.size && status == STATUS_OK; at += 256u << 10) {
        size_t left = image.size - at;
        status = kv_import_add(i, slice_of(image.data + at, left < 256u << 10 ? left : 256u << 10));
    }
    struct kv *copy = NULL;
    status = kv_import_finish(i, &copy);
    printf("  %-14s %6.0f ns a key (%s)\n", "import", (now_ns() - start) / (double)keys,
           status_name(status));
    kv_destroy(copy);
    buf_deinit(&image);
}

static void compact_all(struct kv *kv)
{
    const struct kv_command c = {.op = KV_COMPACT, .revision = kv->revision};
    struct kv_result r;
    double start = now_ns();
    kv_apply(kv, &c, &r);
    printf("  %-14s %6.0f us\n", "compact", (now_ns() - start) / 1000);
    start = now_ns();
    uint64_t changes = kv->history.floor - kv->history.head;
    while (kv_compact_step(kv, 1000)) {
    }
    printf("  %-14s %6.0f ns a change (%" PRIu64 ")\n", "  freeing",
           (now_ns() - start) / (double)(changes > 0 ? changes : 1), changes);
}

static void run(uint64_t keys, bool in_order)
{
    printf("%" PRIu64 " keys, %s\n", keys, in_order ? "in order" : "random");
    struct kv *kv = kv_create();
    put_all(kv, keys, in_order, "insert");
    tell_memory(kv, keys, "after insert");
    find_all(kv, keys, in_order);
    get_all(kv, keys, in_order);
    scan_all(kv);
    copy_all(kv, keys);
    compact_all(kv);
    tell_memory(kv, keys, "compacted");
    copy_all(kv, keys);
    put_all(kv, keys, in_order, "overwrite");
    tell_memory(kv, keys, "overwritten");
    compact_all(kv);
    tell_memory(kv, keys, "compacted");
    for (uint64_t i = 0; i < keys; i++) {
        char key[32];
        const struct kv_command c = {.op = KV_DELETE, .key = key_of(i, in_order, key)};
        struct kv_result r;
        kv_apply(kv, &c, &r);
    }
    compact_all(kv);
    tell_memory(kv, keys, "deleted");
    kv_destroy(kv);
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    run(keys, false);
    run(keys, true);
    return 0;
}
