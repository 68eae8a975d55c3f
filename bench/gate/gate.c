/* gate.c - a fixed amount of work through whole members, for the count of instructions that each
 * operation takes: run it under callgrind by tools/gate.py, which counts what happens inside
 * measured() and is told here, a line each on stdout, which counts are whose:
 *
 *   put 1024
 *
 * is "of the next count, 1024 operations called put". The work is the same in every run.
 *
 *   gate [OPERATION]
 *   gate --compiler     what it was built with */
#include "gate_load.h"

#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#define KEYS        1000
#define VALUE_BYTES 256
#define WARM_UP     128
#define WATCHERS    100
#define REST_MS     5

/* --- protobuf, by hand ------------------------------------------------------------------------ */

static void put_varint(struct gate_text *b, uint64_t v)
{
    while (v >= 128) {
        gate_append_byte(b, (uint8_t)(v | 128));
        v >>= 7;
    }
    gate_append_byte(b, (uint8_t)v);
}

static void put_number(struct gate_text *b, uint32_t field, uint64_t v)
{
    put_varint(b, field << 3);
    put_varint(b, v);
}

static void put_bytes(struct gate_text *b, uint32_t field, struct slice bytes)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, bytes.size);
    gate_append(b, bytes.data, bytes.size);
}

static void put_inner(struct gate_text *b, uint32_t field, const struct gate_text *inner)
{
    put_bytes(b, field, gate_text_slice(inner));
}

/* --- requests --------------------------------------------------------------------------------- */

static struct slice key(uint64_t number)
{
    static char text[32];
    int size = snprintf(text, sizeof(text), "bench/%010u", (unsigned)(number * 7919 % KEYS));
    return slice_of(text, (size_t)size);
}

static struct slice value(void)
{
    static char text[VALUE_BYTES];
    memset(text, 'v', sizeof(text));
    text[0] = text[VALUE_BYTES - 1] = '"';
    return slice_of(text, sizeof(text));
}

static void make_put(struct gate_text *b, uint64_t number)
{
    put_bytes(b, 1, key(number));
    put_bytes(b, 2, value());
}

static void make_range(struct gate_text *b, uint64_t number)
{
    put_bytes(b, 1, key(number));
}

static void make_serializable(struct gate_text *b, uint64_t number)
{
    make_range(b, number);
    put_number(b, 7, 1);
}

/* If the key is there, put it and another one. */
static void make_txn(struct gate_text *b, uint64_t number)
{
    static struct gate_text compare;
    compare.size = 0;
    put_number(&compare, 1, 1); /* greater */
    put_bytes(&compare, 3, key(number));
    put_number(&compare, 4, 0); /* than version 0 */
    put_inner(b, 1, &compare);
    for (uint64_t i = 0; i < 2; i++) {
        static struct gate_text put;
        static struct gate_text op;
        put.size = op.size = 0;
        make_put(&put, number + i);
        put_inner(&op, 2, &put);
        put_inner(b, 2, &op);
    }
}

static void make_grant(struct gate_text *b, uint64_t number)
{
    put_number(b, 1, 3600);
    put_number(b, 2, number + 1);
}

static void make_keep_alive(struct gate_text *b, uint64_t number)
{
    put_number(b, 1, number % KEYS + 1);
}

static void make_watch(struct gate_text *b, uint64_t number)
{
    (void)number;
    static struct gate_text create;
    create.size = 0;
    put_bytes(&create, 1, slice_str("bench/"));
    put_bytes(&create, 2, slice_str("bench0"));
    put_inner(b, 1, &create);
}

static void make_http_put(struct gate_text *b, uint64_t number)
{
    struct slice k = key(number);
    char head[128];
    int size = snprintf(head, sizeof(head),
                        "PUT /key/%.*s HTTP/1.1\r\nHost: member:4000\r\n"
                        "Content-Length: %d\r\n\r\n",
                        (int)k.size, (const char *)k.data, VALUE_BYTES);
    gate_append(b, head, (size_t)size);
    gate_append(b, value().data, VALUE_BYTES);
}

static void make_http_get(struct gate_text *b, uint64_t number)
{
    struct slice k = key(number);
    char head[128];
    int size = snprintf(head, sizeof(head), "GET /key/%.*s HTTP/1.1\r\nHost: member:4000\r\n\r\n",
                        (int)k.size, (const char *)k.data);
    gate_append(b, head, (size_t)size);
}

/* --- what is measured ------------------------------------------------------------------------- */

/* The one operation that is wanted; NULL = all. */
static const char *only;

static bool is_wanted(const char *name)
{
    return only == NULL || strcmp(only, name) == 0;
}

/* The one function whose calls are counted; with what comes after the last answer. */
static __attribute__((noinline)) void measured(struct gate_world *w, struct gate_load *l,
                                               uint64_t count)
{
    gate_load_run(l, count);
    fake_world_advance(w->world, REST_MS);
}

static void measure(struct gate_world *w, const char *name, const struct gate_plan *plan,
                    uint64_t count, uint64_t revisions)
{
    if (!is_wanted(name)) {
        return;
    }
    struct gate_load *l = gate_load_open(w, plan);
    gate_load_run(l, WARM_UP);
    uint64_t before = gate_world_revision(w);
    printf("%s %u\n", name, (unsigned)count);
    measured(w, l, count);
    CHECK(gate_world_revision(w) == before + revisions);
    gate_load_free(l);
}

static void prepare(struct gate_world *w, const struct gate_plan *plan, uint64_t count)
{
    struct gate_load *l = gate_load_open(w, plan);
    gate_load_run(l, count);
    gate_load_free(l);
}

/* Puts one by one, each of which all watchers are told. The operations are the events. */
static void measure_watch(struct gate_world *w, const struct gate_plan *put)
{
    if (!is_wanted("watch-event")) {
        return;
    }
    const struct gate_plan watch = {.path = "/etcdserverpb.Watch/Watch",
                                    .connections = 10,
                                    .streams = WATCHERS / 10,
                                    .is_stream = true,
                                    .make = make_watch};
    const uint64_t puts = 20;
    struct gate_load *watchers = gate_load_open(w, &watch);
    gate_load_run(watchers, WATCHERS);
    struct gate_load *putter = gate_load_open(w, put);
    gate_load_run(putter, 5);
    fake_world_advance(w->world, REST_MS);
    uint64_t before = gate_load_messages(watchers);
    printf("watch-event %u\n", (unsigned)(puts * WATCHERS));
    measured(w, putter, puts);
    CHECK(gate_load_messages(watchers) == before + puts * WATCHERS);
    gate_load_free(putter);
    gate_load_free(watchers);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? argv[1] : NULL;
    if (only != NULL && strcmp(only, "--compiler") == 0) {
        puts(COMPILER);
        return 0;
    }
    log_init(&(struct log_options){.level = LOG_ERROR});
    const struct gate_plan put = {"/etcdserverpb.KV/Put", 4, 16, false, make_put};
    const struct gate_plan put_alone = {"/etcdserverpb.KV/Put", 1, 1, false, make_put};
    const struct gate_plan range = {"/etcdserverpb.KV/Range", 4, 16, false, make_range};
    const struct gate_plan serializable = {"/etcdserverpb.KV/Range", 4, 16, false,
                                           make_serializable};
    const struct gate_plan txn = {"/etcdserverpb.KV/Txn", 4, 16, false, make_txn};
    const struct gate_plan grant = {"/etcdserverpb.Lease/LeaseGrant", 1, 16, false, make_grant};
    const struct gate_plan keep_alive = {"/etcdserverpb.Lease/LeaseKeepAlive", 4, 16, true,
                                         make_keep_alive};
    const struct gate_plan http_put = {NULL, 64, 1, false, make_http_put};
    const struct gate_plan http_get = {NULL, 64, 1, false, make_http_get};

    struct gate_world *w = gate_world_create();
    prepare(w, &put, KEYS);
    measure(w, "put", &put, 1024, 1024);
    measure(w, "put-alone", &put_alone, 100, 100);
    measure(w, "range", &range, 1024, 0);
    measure(w, "serializable", &serializable, 1024, 0);
    measure(w, "txn", &txn, 512, 512);
    prepare(w, &grant, KEYS);
    measure(w, "keep-alive", &keep_alive, 1024, 0);
    measure(w, "http-put", &http_put, 1024, 1024);
    measure(w, "http-get", &http_get, 1024, 0);
    measure_watch(w, &put_alone);
    gate_world_destroy(w);
    return 0;
}
