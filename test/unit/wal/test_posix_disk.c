/* The real disk, in a temporary directory; and small named records, on both disks. */
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "fake_disk.h"
#include "wal/disk.h"
#include "wal/wal.h"
#include "wal_model.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MANY_PARTS 2500

struct fixture {
    char root[64];
    char path[128];
    struct disk *disk;
};

static int setup(void **state)
{
    struct fixture *x = mem_calloc(1, sizeof *x);
    snprintf(x->root, sizeof x->root, "/tmp/conclave-disk-XXXXXX");
    assert_non_null(mkdtemp(x->root));
    snprintf(x->path, sizeof x->path, "%s/a/b/data", x->root);
    char *detail = NULL;
    assert_int_equal(posix_disk_create(x->path, &x->disk, &detail), STATUS_OK);
    assert_null(detail);
    *state = x;
    return 0;
}

static void unlink_name(void *context, const char *name)
{
    struct disk *d = context;
    assert_int_equal(d->ops->unlink(d, name), STATUS_OK);
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(x->disk->ops->list(x->disk, unlink_name, x->disk), STATUS_OK);
    x->disk->ops->destroy(x->disk);
    static const char *const below[] = {"a/b/data", "a/b", "a", "."};
    for (unsigned i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", x->root, below[i]);
        (void)rmdir(i < 3 ? path : x->root);
    }
    mem_free(x);
    return 0;
}

static void a_data_directory_is_made_with_its_parents_for_its_owner_only(void **state)
{
    struct fixture *x = *state;
    struct stat info;
    assert_int_equal(stat(x->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    struct disk_file *file = NULL;
    assert_int_equal(x->disk->ops->open(x->disk, "f", true, &file), STATUS_OK);
    assert_int_equal(x->disk->ops->close(file), STATUS_OK);
    char path[160];
    snprintf(path, sizeof path, "%s/f", x->path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    struct fixture *x = *state;
    struct disk_file *file = NULL;
    assert_int_equal(x->disk->ops->open(x->disk, "f", true, &file), STATUS_OK);
    assert_int_equal(x->disk->ops->close(file), STATUS_OK);
    char path[160];
    snprintf(path, sizeof path, "%s/f/below", x->path);
    struct disk *disk = NULL;
    char *detail = NULL;
    assert_int_equal(posix_disk_create(path, &disk, &detail), STATUS_IO);
    assert_non_null(strstr(detail, path));
    mem_free(detail);
}

static void a_file_gives_back_what_was_written(void **state)
{
    struct fixture *x = *state;
    const struct disk_ops *ops = x->disk->ops;
    struct disk_file *file = NULL;
    assert_int_equal(ops->open(x->disk, "f", false, &file), STATUS_NOT_FOUND);
    assert_int_equal(ops->open(x->disk, "f", true, &file), STATUS_OK);
    const struct slice parts[] = {slice_str("one"), slice_of(NULL, 0), slice_str("two")};
    assert_int_equal(ops->write(file, 100, parts, 3), STATUS_OK);
    assert_int_equal(ops->sync(file), STATUS_OK);
    uint64_t size = 0;
    assert_int_equal(ops->size(file, &size), STATUS_OK);
    assert_int_equal(size, 106);
    char bytes[20];
    size_t got = 0;
    assert_int_equal(ops->read(file, 99, bytes, sizeof bytes, &got), STATUS_OK);
    assert_int_equal(got, 7);
    assert_memory_equal(bytes, "\0onetwo", 7);
    assert_int_equal(ops->read(file, 500, bytes, sizeof bytes, &got), STATUS_OK);
    assert_int_equal(got, 0);
    assert_int_equal(ops->truncate(file, 3), STATUS_OK);
    assert_int_equal(ops->size(file, &size), STATUS_OK);
    assert_int_equal(size, 3);
    assert_int_equal(ops->close(file), STATUS_OK);
    uint64_t free_bytes = 0;
    assert_int_equal(ops->free_bytes(x->disk, &free_bytes), STATUS_OK);
    assert_true(free_bytes > 0);
}

/* More parts than one system call takes. */
static void a_write_of_many_parts_is_one_range(void **state)
{
    struct fixture *x = *state;
    const struct disk_ops *ops = x->disk->ops;
    struct disk_file *file = NULL;
    static uint16_t numbers[MANY_PARTS];
    static struct slice parts[MANY_PARTS];
    for (unsigned i = 0; i < MANY_PARTS; i++) {
        numbers[i] = (uint16_t)i;
        parts[i] = slice_of(&numbers[i], i % 5 == 0 ? 0 : sizeof numbers[i]);
    }
    assert_int_equal(ops->open(x->disk, "f", true, &file), STATUS_OK);
    assert_int_equal(ops->write(file, 0, parts, MANY_PARTS), STATUS_OK);
    static uint16_t found[MANY_PARTS];
    size_t got = 0;
    assert_int_equal(ops->read(file, 0, found, sizeof found, &got), STATUS_OK);
    assert_int_equal(got, MANY_PARTS / 5 * 4 * sizeof found[0]);
    for (unsigned i = 0; i < MANY_PARTS / 5 * 4; i++) {
        assert_int_equal(found[i], i / 4 * 5 + i % 4 + 1);
    }
    assert_int_equal(ops->close(file), STATUS_OK);
}

static void expect_bytes(struct disk_file *file, uint64_t offset, uint8_t byte, size_t size)
{
    uint8_t *found = mem_alloc(size);
    size_t got = 0;
    assert_int_equal(file->disk->ops->read(file, offset, found, size, &got), STATUS_OK);
    assert_int_equal(got, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(found[i], byte);
    }
    mem_free(found);
}

/* Whole blocks go around the page cache, and what it had of them is not shown again; anything else
 * goes through it. In whatever order, what is read is what was written last. */
static void a_durable_write_is_seen_by_reads_whichever_way_it_took(void **state)
{
    struct fixture *x = *state;
    const struct disk_ops *ops = x->disk->ops;
    static uint8_t bytes[4][3 * MIB / 4];
    struct disk_file *file = NULL;
    for (unsigned i = 0; i < 4; i++) {
        memset(bytes[i], 'a' + (int)i, sizeof bytes[i]);
    }
    const struct slice ground = slice_of(bytes[0], sizeof bytes[0]);
    const struct slice odd = slice_of(bytes[2], 100);
    const struct slice large = slice_of(bytes[3], sizeof bytes[3]);
    const struct slice blocks[] = {slice_of(bytes[1], 5000), slice_of(NULL, 0),
                                   slice_of(bytes[1], 2 * DISK_BLOCK_BYTES - 5000)};
    assert_int_equal(ops->open(x->disk, "f.tmp", true, &file), STATUS_OK);
    assert_int_equal(ops->write(file, 0, &ground, 1), STATUS_OK);
    assert_int_equal(ops->rename(x->disk, "f.tmp", "f"), STATUS_OK);
    expect_bytes(file, 0, 'a', sizeof bytes[0]); /* the page cache has them all */
    assert_int_equal(ops->write_durably(file, DISK_BLOCK_BYTES, blocks, 3), STATUS_OK);
    expect_bytes(file, 0, 'a', DISK_BLOCK_BYTES);
    expect_bytes(file, DISK_BLOCK_BYTES, 'b', 2 * (size_t)DISK_BLOCK_BYTES);
    expect_bytes(file, 3 * (uint64_t)DISK_BLOCK_BYTES, 'a', DISK_BLOCK_BYTES);
    assert_int_equal(ops->write_durably(file, DISK_BLOCK_BYTES, &odd, 1), STATUS_OK);
    expect_bytes(file, DISK_BLOCK_BYTES, 'c', 100);
    expect_bytes(file, DISK_BLOCK_BYTES + 100, 'b', 100);
    assert_int_equal(ops->write_durably(file, 0, &large, 1), STATUS_OK);
    expect_bytes(file, 0, 'd', sizeof bytes[3]);
    assert_int_equal(ops->write_durably(file, 0, blocks, 3), STATUS_OK);
    expect_bytes(file, 0, 'b', 2 * (size_t)DISK_BLOCK_BYTES);
    assert_int_equal(ops->close(file), STATUS_OK);
}

/* The kernel writes a part and then refuses the rest, here because of a limit on file sizes. */
static void a_short_write_goes_on_and_ends_in_an_error_when_it_cannot(void **state)
{
    struct fixture *x = *state;
    const struct disk_ops *ops = x->disk->ops;
    static const uint8_t bytes[10000] = {1};
    const struct slice parts[] = {slice_of(bytes, 3000), slice_of(bytes, sizeof bytes)};
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {.rlim_cur = 5000, .rlim_max = 5000};
        struct disk_file *file = NULL;
        uint64_t size = 0;
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)close(STDERR_FILENO);
        bool is_right = setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                        ops->open(x->disk, "f", true, &file) == STATUS_OK &&
                        ops->write(file, 0, parts, 2) == STATUS_IO &&
                        ops->size(file, &size) == STATUS_OK && size == 5000;
        _exit(is_right ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

static void note_name(void *context, const char *name)
{
    struct buf *names = context;
    buf_printf(names, "%s ", name);
}

static void names_are_listed_in_byte_order(void **state)
{
    struct fixture *x = *state;
    const struct disk_ops *ops = x->disk->ops;
    static const char *const names[] = {"b", "00000002.log", "Z", "00000001.log", "a"};
    for (unsigned i = 0; i < 5; i++) {
        struct disk_file *file = NULL;
        assert_int_equal(ops->open(x->disk, names[i], true, &file), STATUS_OK);
        assert_int_equal(ops->close(file), STATUS_OK);
    }
    assert_int_equal(ops->rename(x->disk, "b", "c"), STATUS_OK);
    assert_int_equal(ops->unlink(x->disk, "a"), STATUS_OK);
    assert_int_equal(ops->unlink(x->disk, "a"), STATUS_NOT_FOUND);
    assert_int_equal(ops->sync_dir(x->disk), STATUS_OK);
    struct buf names_found = {0};
    assert_int_equal(ops->list(x->disk, note_name, &names_found), STATUS_OK);
    assert_true(slice_equal(buf_slice(&names_found), slice_str("00000001.log 00000002.log Z c ")));
    buf_deinit(&names_found);
}

static void a_second_process_finds_the_directory_in_use(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(x->disk->ops->lock(x->disk), STATUS_OK);
    pid_t child = fork();
    if (child == 0) {
        struct disk *second = NULL;
        enum status status = posix_disk_create(x->path, &second, NULL);
        (void)close(STDERR_FILENO);
        _exit(status == STATUS_OK && second->ops->lock(second) == STATUS_BUSY ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);

    /* The lock goes with its holder. */
    x->disk->ops->destroy(x->disk);
    assert_int_equal(posix_disk_create(x->path, &x->disk, NULL), STATUS_OK);
    assert_int_equal(x->disk->ops->lock(x->disk), STATUS_OK);
}

static void a_log_lives_on_the_real_disk(void **state)
{
    struct fixture *x = *state;
    struct wal_options options = {.disk = x->disk,
                                  .log_id = {{1, 2, 3}},
                                  .first_segment_bytes = 32768,
                                  .segment_bytes = 65536};
    struct wal *w = NULL;
    char *detail = NULL;
    uint8_t payload[700] = {42};
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(wal_open(&options, &w, &detail), STATUS_OK);
        struct wal_state s;
        wal_state(w, &s);
        assert_int_equal(s.last, round * 20);
        assert_int_equal(s.term, round);
        for (unsigned i = 1; i <= 20; i++) {
            struct wal_entry entry = {.index = s.last + i,
                                      .term = round + 1,
                                      .payload = slice_of(payload, sizeof payload)};
            struct wal_batch batch = {
                .hard_state = i == 1, .term = round + 1, .vote = 7, .entries = &entry, .count = 1};
            assert_int_equal(wal_append(w, &batch), STATUS_OK);
        }
        wal_close(w);
    }
}

/* Small named records. */

static void a_record_is_replaced_as_a_whole(void **state)
{
    struct fixture *x = *state;
    struct blob *content = NULL;
    char *detail = NULL;
    assert_int_equal(record_load(x->disk, "identity", &content, &detail), STATUS_NOT_FOUND);
    assert_int_equal(record_save(x->disk, "identity", slice_str("first, long")), STATUS_OK);
    assert_int_equal(record_save(x->disk, "identity", slice_str("second")), STATUS_OK);
    assert_int_equal(record_load(x->disk, "identity", &content, &detail), STATUS_OK);
    assert_true(slice_equal(blob_slice(content), slice_str("second")));
    blob_unref(content);
    assert_int_equal(record_save(x->disk, "empty", slice_of(NULL, 0)), STATUS_OK);
    assert_int_equal(record_load(x->disk, "empty", &content, &detail), STATUS_OK);
    assert_int_equal(content->size, 0);
    blob_unref(content);
}

static enum status load_text(struct fake_disk *f, const char **text)
{
    static char bytes[32];
    struct blob *content = NULL;
    char *detail = NULL;
    enum status status = record_load(fake_disk_as_disk(f), "identity", &content, &detail);
    assert_true((status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED) == (detail != NULL));
    if (status == STATUS_OK) {
        snprintf(bytes, sizeof bytes, "%.*s", (int)content->size, (const char *)content->data);
        *text = bytes;
    }
    blob_unref(content);
    mem_free(detail);
    return status;
}

static void rule_p8_a_record_is_old_or_new_after_a_crash_at_any_call(void **state)
{
    (void)state;
    for (uint64_t call = 1; call <= 20; call++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct fake_disk *f =
                fake_disk_create(&(struct fake_disk_options){.seed = seed, .sector_bytes = 512});
            struct disk *d = fake_disk_as_disk(f);
            assert_int_equal(record_save(d, "identity", slice_str("old")), STATUS_OK);
            fake_disk_halt_at(f, fake_disk_calls(f) + call);
            enum status saved = record_save(d, "identity", slice_str("new"));
            fake_disk_power_loss(
                f, (struct fake_loss){.kind = FAKE_LOSS_RANDOM, .destroys = seed % 2 == 0});
            const char *text = "";
            assert_int_equal(load_text(f, &text), STATUS_OK);
            assert_true(strcmp(text, "new") == 0 ||
                        (saved != STATUS_OK && strcmp(text, "old") == 0));
            fake_disk_destroy(f);
        }
    }
}

static void every_flipped_byte_of_a_record_is_found(void **state)
{
    (void)state;
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 512});
    struct disk *d = fake_disk_as_disk(f);
    assert_int_equal(record_save(d, "identity", slice_str("content")), STATUS_OK);
    assert_int_equal(record_save(d, "roster", slice_str("content")), STATUS_OK);
    const char *text = "";
    uint64_t size = fake_disk_file_size(f, "identity");
    for (uint64_t at = 0; at < size; at++) {
        fake_disk_flip(f, "identity", at, (uint8_t)(1u << (at % 8)));
        assert_int_equal(load_text(f, &text), STATUS_CORRUPT);
        fake_disk_flip(f, "identity", at, (uint8_t)(1u << (at % 8)));
    }
    fake_disk_resize(f, "identity", size - 1);
    assert_int_equal(load_text(f, &text), STATUS_CORRUPT);
    fake_disk_swap(f, "identity", "roster");
    assert_int_equal(load_text(f, &text), STATUS_CORRUPT);
    fake_disk_destroy(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_data_directory_is_made_with_its_parents_for_its_owner_only),
        TEST(a_directory_that_cannot_be_made_is_named),
        TEST(a_file_gives_back_what_was_written),
        TEST(a_write_of_many_parts_is_one_range),
        TEST(a_durable_write_is_seen_by_reads_whichever_way_it_took),
        TEST(a_short_write_goes_on_and_ends_in_an_error_when_it_cannot),
        TEST(names_are_listed_in_byte_order),
        TEST(a_second_process_finds_the_directory_in_use),
        TEST(a_log_lives_on_the_real_disk),
        TEST(a_record_is_replaced_as_a_whole),
        cmocka_unit_test(rule_p8_a_record_is_old_or_new_after_a_crash_at_any_call),
        cmocka_unit_test(every_flipped_byte_of_a_record_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
