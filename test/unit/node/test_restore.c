/* Backups that become clusters: what is restored runs and is what was saved, damage is seen before
 * anything is written, and no crash leaves a directory that serves half of it. */
#include "member_moves.h"

#include "base/mem.h"
#include "kv/kv_image.h"
#include "node/restore.h"
#include "node/snapshot_wire.h"
#include "wal/snapshot_format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define KEYS  300
#define INDEX 42

static struct uuid uuid_of(uint8_t byte)
{
    uint8_t random[16];
    memset(random, byte, sizeof(random));
    return uuid_from_random(random);
}

static const struct restore_options *options_of(const char *name)
{
    static struct restore_options o;
    o = (struct restore_options){.name = name,
                                 .url = "http://a:4000",
                                 .cluster = uuid_of(7),
                                 .incarnation = uuid_of(8),
                                 .log_id = uuid_of(9)};
    return &o;
}

static struct fake_disk *empty_disk(void)
{
    const struct fake_disk_options options = {.seed = 5, .sector_bytes = 512};
    return fake_disk_create(&options);
}

static struct kv *filled_store(void)
{
    struct kv *kv = kv_create();
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        char value[400];
        snprintf(key, sizeof(key), "key-%03d", i);
        memset(value, 'a' + i % 26, sizeof(value));
        const struct kv_command c = {.op = KV_PUT,
                                     .time_ms = 1000,
                                     .key = slice_str(key),
                                     .value = slice_of(value, sizeof(value))};
        struct kv_result ignored;
        kv_apply(kv, &c, &ignored);
    }
    return kv;
}

/* Of the only file on its disk. */
static char backup_name[SNAPSHOT_NAME_SIZE];

static struct fake_disk *disk_with_backup(void)
{
    struct fake_disk *f = empty_disk();
    struct kv *kv = filled_store();
    struct kv_stats stats;
    kv_stats(kv, &stats);
    const struct snapshot_meta meta = {.revision = stats.revision,
                                       .config = {.voter_count = 1, .voters = {1}}};
    struct buf bytes = {0};
    snapshot_meta_encode(&meta, &bytes);
    struct snapshot_writer *w = NULL;
    const struct snapshot_id id = {.index = INDEX, .term = 3};
    assert_int_equal(
        snapshot_writer_create(fake_disk_as_disk(f), uuid_of(1), id, buf_slice(&bytes), &w),
        STATUS_OK);
    struct kv_export *export = kv_export_begin(kv);
    for (bool more = true; more;) {
        buf_clear(&bytes);
        more = kv_export_step(export, &bytes, 4096);
        if (bytes.size > 0) {
            assert_int_equal(snapshot_writer_add(w, buf_slice(&bytes)), STATUS_OK);
        }
    }
    kv_export_end(export);
    assert_int_equal(snapshot_writer_finish(w, true), STATUS_OK);
    snapshot_writer_destroy(w);
    buf_deinit(&bytes);
    kv_destroy(kv);
    snapshot_name(INDEX, SNAPSHOT_SUFFIX, backup_name);
    return f;
}

static enum status restore(struct fake_disk *from, struct fake_disk *to)
{
    struct restore_result result;
    char *detail = NULL;
    enum status s = restore_member(fake_disk_as_disk(from), backup_name, fake_disk_as_disk(to),
                                   options_of("node-1"), &result, &detail);
    if (s == STATUS_OK) {
        assert_int_equal(result.keys, KEYS);
        assert_int_equal(result.backup.revision, KEYS + 1);
        assert_int_equal(result.revision, KEYS + 1 + RESTORE_REVISION_STEP);
    } else if (s == STATUS_CORRUPT || s == STATUS_CONFLICT) {
        assert_non_null(detail);
    }
    mem_free(detail);
    return s;
}

/* --- what is restored ------------------------------------------------------------------------- */

static void expect_keys(const struct cluster *c, int i)
{
    const struct kv *kv = node_kv(c->members[i].node);
    kv_check(kv);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.keys, KEYS);
    assert_true(stats.revision >= KEYS + 1 + RESTORE_REVISION_STEP);
    for (int k = 0; k < KEYS; k++) {
        char key[32];
        snprintf(key, sizeof(key), "key-%03d", k);
        struct kv_item item;
        assert_int_equal(kv_get(kv, slice_str(key), 0, &item), STATUS_OK);
        assert_int_equal(item.revision, k + 2);
        assert_int_equal(item.value.size, 400);
        assert_int_equal(item.value.data[399], 'a' + k % 26);
    }
    struct kv_item past;
    assert_int_equal(kv_get(kv, slice_str("key-000"), KEYS + 1, &past), STATUS_COMPACTED);
}

static void a_restored_backup_runs_and_others_join_it(void **state)
{
    (void)state;
    struct fake_disk *from = disk_with_backup();
    struct cluster *c = cluster_create(3, 1);
    c->members[0].way = MEMBER_ALONE;
    assert_int_equal(restore(from, c->members[0].disk), STATUS_OK);
    fake_disk_power_loss(c->members[0].disk, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    member_start(c, 0);
    cluster_settle(c);
    expect_keys(c, 0);
    struct node_status status = member_status(c, 0);
    assert_true(uuid_equal(status.cluster, uuid_of(7)));
    assert_string_equal(status.leader_url, "http://a:4000");
    int joined = member_join(c);
    cluster_wait_for_voters(c, 2);
    cluster_settle(c);
    expect_keys(c, joined);
    member_stop(c, 0, true);
    member_start(c, 0);
    cluster_settle(c);
    expect_keys(c, 0);
    cluster_destroy(c);
    fake_disk_destroy(from);
}

static void a_directory_that_is_not_empty_is_left_alone(void **state)
{
    (void)state;
    struct fake_disk *from = disk_with_backup();
    struct fake_disk *to = empty_disk();
    assert_int_equal(restore(from, to), STATUS_OK);
    fake_disk_restart(to);
    assert_int_equal(restore(from, to), STATUS_CONFLICT);
    fake_disk_destroy(to);
    fake_disk_destroy(from);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void expect_refused(struct fake_disk *from, enum status expected)
{
    struct fake_disk *to = empty_disk();
    assert_int_equal(restore(from, to), expected);
    assert_false(fake_disk_has_file(to, "identity"));
    fake_disk_restart(to);
    struct backup_info info;
    char *detail = NULL;
    assert_int_equal(backup_check(fake_disk_as_disk(from), backup_name, &info, &detail), expected);
    mem_free(detail);
    fake_disk_destroy(to);
}

static void damage_is_found_before_anything_is_written(void **state)
{
    (void)state;
    struct fake_disk *from = disk_with_backup();
    uint64_t size = fake_disk_file_size(from, backup_name);
    for (uint64_t at = 0; at < size; at += 1 + size / 97) {
        bool is_version = at >= 4 && at < 16; /* a version that is not known is told as that */
        if (is_version) {
            continue;
        }
        fake_disk_flip(from, backup_name, at, 0x10);
        expect_refused(from, STATUS_CORRUPT);
        fake_disk_flip(from, backup_name, at, 0x10);
    }
    fake_disk_resize(from, backup_name, size - 1);
    expect_refused(from, STATUS_CORRUPT);
    fake_disk_remove(from, backup_name);
    expect_refused(from, STATUS_NOT_FOUND);
    fake_disk_destroy(from);
}

/* --- crashes ---------------------------------------------------------------------------------- */

/* Broken off at that call: whoever starts a member there is told, or it is as good as new. */
static bool break_off_at(struct fake_disk *from, uint64_t call, enum fake_loss_kind kind)
{
    struct cluster *c = cluster_create(call * 4 + kind, 1);
    c->members[0].way = MEMBER_ALONE;
    struct fake_disk *to = c->members[0].disk;
    fake_disk_halt_at(to, call);
    enum status s = restore(from, to);
    fake_disk_power_loss(to, (struct fake_loss){.kind = kind});
    bool is_whole = s == STATUS_OK;
    if (!is_whole && !fake_disk_has_file(to, "identity")) {
        assert_int_equal(restore(from, to), STATUS_OK);
        fake_disk_restart(to);
    }
    enum status opened = member_try_open(c, 0, "node-1");
    if (opened == STATUS_OK) {
        member_start(c, 0);
        cluster_settle(c);
        expect_keys(c, 0);
    } else {
        assert_false(is_whole);
        assert_int_equal(opened, STATUS_CONFLICT);
        assert_int_equal(restore(from, to), STATUS_CONFLICT);
        fake_disk_restart(to);
    }
    cluster_destroy(c);
    return is_whole;
}

static void a_crash_leaves_nothing_that_serves_a_half(void **state)
{
    (void)state;
    struct fake_disk *from = disk_with_backup();
    static const enum fake_loss_kind kinds[] = {FAKE_LOSS_NONE, FAKE_LOSS_ALL, FAKE_LOSS_RANDOM};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        uint64_t call = 1;
        while (!break_off_at(from, call, kinds[k])) {
            call++;
        }
        assert_true(call > 20);
    }
    fake_disk_destroy(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_backup_runs_and_others_join_it),
        cmocka_unit_test(a_directory_that_is_not_empty_is_left_alone),
        cmocka_unit_test(damage_is_found_before_anything_is_written),
        cmocka_unit_test(a_crash_leaves_nothing_that_serves_a_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
