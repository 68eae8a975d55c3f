/* member_trouble.c - see the header. */
#include "member_trouble.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct cluster *trouble_cluster(uint64_t seed, int count)
{
    struct cluster *c = cluster_create(seed, count);
    c->segment_bytes = TROUBLE_SEGMENT_BYTES;
    for (int i = 0; i < count; i++) {
        member_start(c, i);
    }
    cluster_settle(c);
    return c;
}

static void on_written(struct node_write *w)
{
    uint32_t *answers = w->context;
    (*answers)++;
}

enum status trouble_write(struct cluster *c, int i, const struct kv_command *command)
{
    uint32_t answers = 0;
    struct node_write w = {.ack = NODE_ACK_QUORUM, .done = on_written, .context = &answers};
    enum status s = node_write_start(c->members[i].node, &w, command);
    if (s != STATUS_OK) {
        return s;
    }
    for (int waited = 0; waited < 2 * REQUEST_TIMEOUT_MS && answers == 0; waited++) {
        fake_world_run(c->world, 1);
    }
    if (answers == 0) {
        node_write_cancel(&w);
        return STATUS_UNKNOWN;
    }
    return w.status;
}

enum status trouble_put(struct cluster *c, int i, const char *key, size_t value_bytes)
{
    uint8_t *value = mem_calloc(1, value_bytes + 1);
    struct kv_command command = {
        .op = KV_PUT, .key = slice_str(key), .value = slice_of(value, value_bytes)};
    enum status s = trouble_write(c, i, &command);
    mem_free(value);
    return s;
}

enum status trouble_delete(struct cluster *c, int i, const char *key)
{
    struct kv_command command = {.op = KV_DELETE, .key = slice_str(key)};
    return trouble_write(c, i, &command);
}

static void on_read(struct node_read *r)
{
    uint32_t *answers = r->context;
    (*answers)++;
}

enum status trouble_read(struct cluster *c, int i, enum node_consistency consistency,
                         uint64_t max_lag_ms)
{
    uint32_t answers = 0;
    struct node_read r = {
        .consistency = consistency, .max_lag_ms = max_lag_ms, .done = on_read, .context = &answers};
    node_read_start(c->members[i].node, &r);
    for (int waited = 0; waited < 2 * REQUEST_TIMEOUT_MS && answers == 0; waited++) {
        fake_world_run(c->world, 1);
    }
    if (answers == 0) {
        node_read_cancel(&r);
        return STATUS_TIMEOUT;
    }
    return r.status;
}

int trouble_other(const struct cluster *c, int a, int b)
{
    int i = 0;
    while (i == a || i == b) {
        i++;
    }
    assert_true(i < c->count);
    return i;
}

struct node_metrics trouble_metrics(const struct cluster *c, int i)
{
    struct node_metrics m;
    node_metrics_get(c->members[i].node, &m);
    return m;
}

int trouble_wait_for_leader_but(struct cluster *c, int old)
{
    int leader = cluster_find_leader(c);
    for (int waited = 0; waited < PATIENCE_MS && (leader < 0 || leader == old); waited++) {
        fake_world_run(c->world, 1);
        leader = cluster_find_leader(c);
    }
    assert_true(leader >= 0 && leader != old);
    return leader;
}

static void note_file(void *context, const char *name)
{
    struct trouble_files *files = context;
    size_t size = strlen(name);
    if (size > 4 && strcmp(name + size - 4, ".log") == 0) {
        assert_true(files->count < TROUBLE_FILES_MAX);
        snprintf(files->names[files->count++], sizeof(files->names[0]), "%s", name);
    }
}

void trouble_list_log(struct cluster *c, int i, struct trouble_files *files)
{
    files->count = 0;
    struct disk *disk = fake_disk_as_disk(c->members[i].disk);
    assert_int_equal(disk->ops->list(disk, note_file, files), STATUS_OK);
    assert_true(files->count > 0);
}

void trouble_stop(struct cluster *c, int i)
{
    member_stop(c, i, false);
    fake_disk_power_loss(c->members[i].disk, (struct fake_loss){.kind = FAKE_LOSS_NONE});
}
