#include "member_snapshots.h"

#include "base/mem.h"
#include "kv/kv_digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct cluster *snapshots_create(uint64_t seed, int count, uint64_t entries)
{
    struct cluster *c = cluster_create(seed, count);
    c->snapshot_log_entries = entries;
    c->segment_bytes = SNAPSHOTS_SEGMENT_BYTES;
    return c;
}

struct cluster *snapshots_settled(uint64_t seed, int count, uint64_t entries)
{
    struct cluster *c = snapshots_create(seed, count, entries);
    for (int i = 0; i < count; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    return c;
}

void snapshots_on_written(struct node_write *w)
{
    *(bool *)w->context = true;
}

enum status snapshots_try_put(struct cluster *c, int i, const char *key, struct slice value)
{
    bool done = false;
    struct node_write w = {.ack = NODE_ACK_QUORUM, .done = snapshots_on_written, .context = &done};
    struct kv_command command = {.op = KV_PUT, .key = slice_str(key), .value = value};
    enum status s = node_write_start(c->members[i].node, &w, &command);
    if (s != STATUS_OK) {
        return s;
    }
    while (!done) {
        fake_world_run(c->world, 1);
        cluster_expect_no_fatal(c);
    }
    return w.status;
}

void snapshots_put(struct cluster *c, const char *key, struct slice value)
{
    for (int tries = 0; tries < 100; tries++) {
        int leader = cluster_find_leader(c);
        if (leader >= 0 && snapshots_try_put(c, leader, key, value) == STATUS_OK) {
            return;
        }
        fake_world_run(c->world, 50);
    }
    fail_msg("nobody takes a write");
}

void snapshots_put_numbered(struct cluster *c, int from, int to, int keys)
{
    for (int i = from; i < to; i++) {
        char key[32];
        char value[32];
        snprintf(key, sizeof(key), "key-%d", i % keys);
        snprintf(value, sizeof(value), "value-%d", i);
        snapshots_put(c, key, slice_str(value));
    }
}

void snapshots_put_large(struct cluster *c, int count, size_t size)
{
    uint8_t *value = mem_alloc(size);
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "large-%d", i);
        for (size_t k = 0; k < size; k++) {
            value[k] = (uint8_t)rng_next(fake_world_rng(c->world));
        }
        snapshots_put(c, key, slice_of(value, size));
    }
    mem_free(value);
}

void snapshots_expect_equal(const struct cluster *c)
{
    struct kv_digest first = kv_digest(node_kv(c->members[0].node));
    for (int i = 0; i < c->count; i++) {
        const struct kv *kv = node_kv(c->members[i].node);
        kv_check(kv);
        struct kv_digest digest = kv_digest(kv);
        assert_memory_equal(&digest, &first, sizeof(digest));
    }
}

void snapshots_expect_stored(const struct cluster *c, int i, const char *key, const char *value)
{
    struct kv_item item;
    assert_int_equal(kv_get(node_kv(c->members[i].node), slice_str(key), 0, &item), STATUS_OK);
    assert_true(slice_equal(item.value, slice_str(value)));
}

static void tally_file(void *context, const char *name)
{
    struct snapshots_tally *t = context;
    size_t size = strlen(name);
    t->logs += size > 4 && strcmp(name + size - 4, ".log") == 0;
    t->snapshots += size > 5 && strcmp(name + size - 5, ".snap") == 0;
    t->parts += size > 5 && strcmp(name + size - 5, ".part") == 0;
}

struct snapshots_tally snapshots_tally(const struct cluster *c, int i)
{
    struct snapshots_tally t = {.bytes = fake_disk_used_bytes(c->members[i].disk)};
    struct disk *disk = fake_disk_as_disk(c->members[i].disk);
    assert_int_equal(disk->ops->list(disk, tally_file, &t), STATUS_OK);
    return t;
}
