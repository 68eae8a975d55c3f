/* Backups of whole members that run: whole, pinned while they are read, bounded. */
#include "member_snapshots.h"

#include "base/log.h"
#include "kv/kv_image.h"
#include "wal/snapshot_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct client {
    struct node_backup backup;
    bool ready;
    bool ended;
    bool waits;
    enum status status;
    struct buf bytes;
};

static void on_ready(struct node_backup *b)
{
    struct client *k = b->context;
    k->ready = true;
    k->status = b->status;
}

static void on_piece(struct node_backup *b, enum status status, struct slice bytes)
{
    struct client *k = b->context;
    k->waits = false;
    k->status = status;
    k->ended = status != STATUS_OK || bytes.size == 0;
    buf_append_slice(&k->bytes, bytes);
}

static void client_start(struct cluster *c, int i, struct client *k)
{
    *k = (struct client){
        .backup = {.ready = on_ready, .piece = on_piece, .context = k},
    };
    assert_int_equal(node_backup_start(c->members[i].node, &k->backup), STATUS_OK);
    assert_false(k->ready);
    for (int waited = 0; !k->ready; waited++) {
        assert_true(waited < 5000);
        fake_world_run(c->world, 1);
    }
}

static void client_next(struct cluster *c, struct client *k)
{
    k->waits = true;
    node_backup_next(&k->backup);
    while (k->waits) {
        fake_world_run(c->world, 1);
    }
}

static void expect_whole(const struct client *k, uint64_t revision)
{
    struct fake_disk *f = fake_disk_create(&(struct fake_disk_options){.sector_bytes = 512});
    struct disk *disk = fake_disk_as_disk(f);
    struct disk_file *file;
    struct slice bytes = buf_slice(&k->bytes);
    assert_int_equal(disk->ops->open(disk, "backup", true, &file), STATUS_OK);
    assert_int_equal(disk->ops->write(file, 0, &bytes, 1), STATUS_OK);
    assert_int_equal(disk->ops->close(file), STATUS_OK);
    struct snapshot_reader *r = NULL;
    assert_int_equal(snapshot_reader_open_file(disk, "backup", &r, NULL), STATUS_OK);
    assert_int_equal(snapshot_reader_id(r).index, k->backup.index);
    struct kv_import *import = kv_import_begin();
    struct slice chunk;
    enum status s;
    while ((s = snapshot_reader_next(r, &chunk)) == STATUS_OK) {
        assert_int_equal(kv_import_add(import, chunk), STATUS_OK);
    }
    assert_int_equal(s, STATUS_NOT_FOUND);
    struct kv *kv;
    assert_int_equal(kv_import_finish(import, &kv), STATUS_OK);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision, revision);
    kv_destroy(kv);
    snapshot_reader_destroy(r);
    fake_disk_destroy(f);
}

static void a_backup_has_all_that_was_written_before_it(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(80, 3, 1000000);
    snapshots_put_large(c, 3, 200000);
    snapshots_put_numbered(c, 0, 50, 10);
    cluster_settle(c);
    for (int i = 0; i < 3; i++) {
        struct client k;
        client_start(c, i, &k);
        assert_int_equal(k.status, STATUS_OK);
        struct kv_stats stats;
        kv_stats(node_kv(c->members[i].node), &stats);
        assert_int_equal(k.backup.revision, stats.revision);
        assert_int_equal(k.backup.index, member_status(c, i).applied_index);
        while (!k.ended) {
            client_next(c, &k);
        }
        assert_int_equal(k.status, STATUS_OK);
        assert_int_equal(k.bytes.size, k.backup.size_bytes);
        expect_whole(&k, stats.revision);
        node_backup_end(&k.backup);
        buf_deinit(&k.bytes);
    }
    cluster_destroy(c);
}

static void a_backup_is_pinned_and_can_be_given_up(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(81, 1, 40);
    snapshots_put_large(c, 3, 200000);
    struct client k;
    client_start(c, 0, &k);
    client_next(c, &k);
    struct client other = {.backup = {.ready = on_ready, .piece = on_piece}};
    assert_int_equal(node_backup_start(c->members[0].node, &other.backup), STATUS_BUSY);
    snapshots_put_numbered(c, 0, 170, 10); /* three more snapshots */
    fake_world_run(c->world, 2000);
    uint64_t revision = k.backup.revision;
    while (!k.ended) {
        client_next(c, &k);
    }
    assert_int_equal(k.status, STATUS_OK);
    expect_whole(&k, revision);
    node_backup_end(&k.backup);
    buf_deinit(&k.bytes);

    client_start(c, 0, &k);
    node_backup_next(&k.backup);
    node_backup_end(&k.backup); /* while a piece is being read */
    fake_world_run(c->world, 100);
    assert_int_equal(k.bytes.size, 0);
    client_start(c, 0, &k);
    node_backup_end(&k.backup);
    cluster_destroy(c);
}

static void rule_s7_a_backup_that_is_not_read_cannot_fill_the_disk(void **state)
{
    (void)state;
    struct cluster *c = snapshots_settled(82, 1, 20);
    snapshots_put_large(c, 2, 200000);
    struct client k;
    client_start(c, 0, &k);
    snapshots_put_numbered(c, 0, 300, 10);
    fake_world_run(c->world, 2000);
    assert_true(snapshots_tally(c, 0).snapshots <= 5);
    assert_true(k.ended);
    assert_int_equal(k.status, STATUS_IO);
    cluster_destroy(c);
}

int main(void)
{
    log_init(&(struct log_options){.level = getenv("MEMBER_LOG") != NULL ? LOG_DEBUG : LOG_ERROR,
                                   .name = "test"});
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_has_all_that_was_written_before_it),
        cmocka_unit_test(a_backup_is_pinned_and_can_be_given_up),
        cmocka_unit_test(rule_s7_a_backup_that_is_not_read_cannot_fill_the_disk),
    };
    cmocka_set_test_filter(getenv("TEST_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
