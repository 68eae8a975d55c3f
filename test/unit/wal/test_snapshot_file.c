/* Snapshot files: written, read back, received, removed; at every crash whole or not there, with
 * any flipped byte refused. */
#include "base/mem.h"
#include "fake_disk.h"
#include "snapshot_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct fixture {
    struct fake_disk *fake;
    struct disk *disk;
};

static int setup(void **state)
{
    struct fixture *x = mem_calloc(1, sizeof *x);
    x->fake = fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    x->disk = fake_disk_as_disk(x->fake);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    fake_disk_destroy(x->fake);
    mem_free(x);
    return 0;
}

static const struct snapshot_id five = {.index = 5, .term = 2};
static const struct snapshot_id nine = {.index = 9, .term = 3};
static const struct snapshot_id twelve = {.index = 12, .term = 3};

static void write_one(struct disk *disk, struct snapshot_id id, uint32_t chunks, uint32_t bytes)
{
    assert_int_equal(kit_write(disk, id, chunks, bytes, true), STATUS_OK);
}

static void expect_sound(struct disk *disk, struct snapshot_id id, uint32_t chunks, uint32_t bytes)
{
    const char *wrong = kit_wrong(disk, id, chunks, bytes);
    if (wrong != NULL) {
        fail_msg("snapshot %u: %s", (unsigned)id.index, wrong);
    }
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 0, 1);
    expect_sound(x->disk, five, 0, 1);
    write_one(x->disk, nine, 30, SNAPSHOT_CHUNK_BYTES);
    expect_sound(x->disk, nine, 30, SNAPSHOT_CHUNK_BYTES);
    struct snapshot_reader *r = NULL;
    assert_int_equal(snapshot_reader_open_file(x->disk, "snapshot-9.snap", &r, NULL), STATUS_OK);
    assert_true(uuid_equal(snapshot_reader_cluster(r), kit_cluster()));
    assert_int_equal(snapshot_reader_id(r).term, 3);
    assert_int_equal(snapshot_reader_state_bytes(r), 30 * SNAPSHOT_CHUNK_BYTES - 30);
    snapshot_reader_destroy(r);
    assert_int_equal(snapshot_reader_open(x->disk, kit_cluster(), twelve, &r, NULL),
                     STATUS_NOT_FOUND);
}

static void a_snapshot_of_another_cluster_is_refused(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 1, 100);
    struct uuid other = {{1}};
    struct snapshot_reader *r = NULL;
    char *detail = NULL;
    assert_int_equal(snapshot_reader_open(x->disk, other, five, &r, &detail), STATUS_CORRUPT);
    assert_non_null(strstr(detail, "another cluster"));
    mem_free(detail);
    assert_int_equal(snapshot_reader_open(x->disk, (struct uuid){{0}}, five, &r, NULL), STATUS_OK);
    snapshot_reader_destroy(r);
}

/* The same without its state. */
static bool is_refused_as_stored(struct disk *disk, struct snapshot_id id)
{
    struct snapshot_reader *r = NULL;
    enum status status = snapshot_reader_open(disk, kit_cluster(), id, &r, NULL);
    if (status == STATUS_OK) {
        status = snapshot_reader_check_stored(r, NULL);
    }
    snapshot_reader_destroy(r);
    return status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED;
}

/* Everything is checked: the file is refused at the opening or before its end. */
static bool is_refused(struct disk *disk, struct snapshot_id id)
{
    struct snapshot_reader *r = NULL;
    bool as_stored = is_refused_as_stored(disk, id);
    enum status status = snapshot_reader_open(disk, kit_cluster(), id, &r, NULL);
    while (status == STATUS_OK) {
        struct slice chunk;
        status = snapshot_reader_next(r, &chunk);
    }
    snapshot_reader_destroy(r);
    bool as_state = status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED;
    assert_int_equal(as_stored, as_state);
    return as_state;
}

static void rule_s2_every_flipped_bit_of_a_snapshot_is_found(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 3, 70);
    uint64_t size = fake_disk_file_size(x->fake, "snapshot-5.snap");
    for (uint64_t at = 0; at < size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            fake_disk_flip(x->fake, "snapshot-5.snap", at, (uint8_t)(1u << bit));
            if (!is_refused(x->disk, five)) {
                fail_msg("bit %u of byte %u flipped and not found", bit, (unsigned)at);
            }
            fake_disk_flip(x->fake, "snapshot-5.snap", at, (uint8_t)(1u << bit));
        }
    }
    expect_sound(x->disk, five, 3, 70);
}

static void rule_s2_a_snapshot_of_another_size_is_refused(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 3, 70);
    uint64_t whole = fake_disk_file_size(x->fake, "snapshot-5.snap");
    for (uint64_t size = 0; size < whole + 100; size++) {
        struct fake_disk *f = fake_disk_clone(x->fake);
        fake_disk_resize(f, "snapshot-5.snap", size);
        assert_int_equal(is_refused(fake_disk_as_disk(f), five), size != whole);
        fake_disk_destroy(f);
    }
}

static void rule_s2_swapped_snapshots_are_refused(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 2, 50);
    write_one(x->disk, nine, 2, 50);
    fake_disk_swap(x->fake, "snapshot-5.snap", "snapshot-9.snap");
    assert_true(is_refused(x->disk, five));
    assert_true(is_refused(x->disk, nine));
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    assert_int_equal(snapshot_list(x->disk, kit_cluster(), entries, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_false(entries[0].sound || entries[1].sound);
}

/* Sound chunks in another order, or of another snapshot of the same shape. */
static void rule_s2_chunks_that_changed_places_are_refused(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, five, 4, 60);
    write_one(x->disk, (struct snapshot_id){.index = 6, .term = 2}, 4, 60);
    uint64_t size = fake_disk_file_size(x->fake, "snapshot-5.snap");
    for (uint64_t cut = 60; cut + 40 < size; cut++) {
        struct fake_disk *f = fake_disk_clone(x->fake);
        for (uint64_t at = cut; at + 40 < size; at++) {
            uint8_t byte = fake_disk_byte(f, "snapshot-6.snap", at);
            fake_disk_overwrite(f, "snapshot-5.snap", at, slice_of(&byte, 1));
        }
        bool is_same = true;
        for (uint64_t at = 0; at < size; at++) {
            is_same = is_same && fake_disk_byte(f, "snapshot-5.snap", at) ==
                                     fake_disk_byte(x->fake, "snapshot-5.snap", at);
        }
        assert_true(is_same || is_refused(fake_disk_as_disk(f), five));
        fake_disk_destroy(f);
    }
}

static void a_long_verification_is_done_in_steps(void **state)
{
    struct fixture *x = *state;
    struct snapshot_writer *w = NULL;
    uint8_t chunk[5000] = {1};
    assert_int_equal(snapshot_writer_create(x->disk, kit_cluster(), five, slice_of(NULL, 0), &w),
                     STATUS_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(snapshot_writer_add(w, slice_of(chunk, sizeof chunk)), STATUS_OK);
    }
    unsigned steps = 0;
    for (bool done = false; !done; steps++) {
        assert_int_equal(snapshot_writer_verify(w, &done), STATUS_OK);
    }
    assert_int_equal(steps, 3);
    uint64_t calls = fake_disk_calls(x->fake);
    assert_int_equal(snapshot_writer_finish(w, true), STATUS_OK);
    /* The rename and the sync of the directory. */
    assert_int_equal(fake_disk_calls(x->fake) - calls, 2);
    snapshot_writer_destroy(w);
    assert_false(is_refused(x->disk, five));
}

static void a_snapshot_that_was_not_finished_leaves_nothing(void **state)
{
    struct fixture *x = *state;
    struct snapshot_writer *w = NULL;
    assert_int_equal(snapshot_writer_create(x->disk, kit_cluster(), five, slice_of(NULL, 0), &w),
                     STATUS_OK);
    assert_int_equal(snapshot_writer_add(w, slice_of("state", 5)), STATUS_OK);
    assert_true(fake_disk_has_file(x->fake, "snapshot-5.snap.tmp"));
    snapshot_writer_destroy(w);
    assert_false(fake_disk_has_file(x->fake, "snapshot-5.snap.tmp"));
    assert_false(fake_disk_has_file(x->fake, "snapshot-5.snap"));
}

/* Crashes. Each story is run again and again and stopped at every call of the disk; what must hold
 * afterwards is its own word. */

struct story {
    enum status (*before)(struct disk *disk); /* durable, without trouble */
    enum status (*run)(struct disk *disk);
    /* NULL or what is wrong. `ended`: the story ran to its end. */
    const char *(*wrong)(struct disk *disk, bool ended);
};

static const struct fake_loss losses[] = {
    {.kind = FAKE_LOSS_NONE},
    {.kind = FAKE_LOSS_ALL},
    {.kind = FAKE_LOSS_RANDOM},
    {.kind = FAKE_LOSS_RANDOM, .destroys = true},
};

/* False when the story ended before the call. */
static bool crash_story_once(const struct story *s, uint64_t call, uint64_t seed,
                             struct fake_loss loss, size_t *pending)
{
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = seed, .sector_bytes = 512});
    struct disk *disk = fake_disk_as_disk(f);
    if (s->before != NULL) {
        assert_int_equal(s->before(disk), STATUS_OK);
    }
    uint64_t before = fake_disk_calls(f);
    fake_disk_halt_at(f, before + call);
    bool ended = s->run(disk) == STATUS_OK;
    *pending = fake_disk_pending(f);
    bool was_reached = fake_disk_calls(f) >= before + call;
    fake_disk_power_loss(f, loss);
    const char *wrong = s->wrong(disk, ended);
    if (wrong != NULL) {
        fail_msg("crash at call %u, loss %d/%u, seed %u: %s", (unsigned)call, (int)loss.kind,
                 (unsigned)loss.which, (unsigned)seed, wrong);
    }
    fake_disk_destroy(f);
    return was_reached;
}

static void crash_story(const struct story *s)
{
    bool was_reached = true;
    for (uint64_t call = 1; was_reached; call++) {
        size_t pending = 0;
        for (size_t i = 0; i < COUNT_OF(losses); i++) {
            was_reached = crash_story_once(s, call, call * 10 + i, losses[i], &pending);
        }
        for (size_t which = 0; which < pending; which++) {
            struct fake_loss one = {.kind = FAKE_LOSS_ONE, .which = which};
            size_t ignored = 0;
            (void)crash_story_once(s, call, 1, one, &ignored);
        }
    }
}

static enum status write_five(struct disk *disk)
{
    return kit_write(disk, five, 2, 900, true);
}

static enum status write_nine(struct disk *disk)
{
    return kit_write(disk, nine, 3, 1500, true);
}

/* Whole or not there: a file under its final name is never less. */
static const char *whole_or_absent(struct disk *disk, struct snapshot_id id, uint32_t chunks,
                                   uint32_t bytes, bool must_be_there)
{
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    if (snapshot_list(disk, kit_cluster(), entries, &count) != STATUS_OK) {
        return "there is no list";
    }
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].id.index == id.index) {
            return entries[i].sound ? kit_wrong(disk, id, chunks, bytes) : "it is damaged";
        }
    }
    return must_be_there ? "it is not there" : NULL;
}

static const char *five_and_perhaps_nine(struct disk *disk, bool ended)
{
    const char *wrong = whole_or_absent(disk, five, 2, 900, true);
    if (wrong == NULL) {
        wrong = whole_or_absent(disk, nine, 3, 1500, ended);
    }
    /* And the next one is not in the way of what was left behind. */
    if (wrong == NULL && write_nine(disk) != STATUS_OK) {
        wrong = "the next try fails";
    }
    return wrong == NULL ? whole_or_absent(disk, nine, 3, 1500, true) : wrong;
}

static void rule_s2_p8_crash_at_every_call_of_a_writer(void **state)
{
    (void)state;
    crash_story(
        &(struct story){.before = write_five, .run = write_nine, .wrong = five_and_perhaps_nine});
}

/* Removal. */

static enum status write_three(struct disk *disk)
{
    enum status status = write_five(disk);
    if (status == STATUS_OK) {
        status = write_nine(disk);
    }
    return status == STATUS_OK ? kit_write(disk, twelve, 1, 10, false) : status;
}

static enum status write_three_and_remove(struct disk *disk)
{
    enum status status = write_nine(disk);
    if (status == STATUS_OK) {
        status = kit_write(disk, twelve, 1, 10, false);
    }
    return status == STATUS_OK
               ? snapshot_remove_old(disk, kit_cluster(), 1, (struct snapshot_id){0})
               : status;
}

static const char *one_is_left(struct disk *disk, bool ended)
{
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    if (snapshot_list(disk, kit_cluster(), entries, &count) != STATUS_OK || count == 0) {
        return "no snapshot is left";
    }
    if (!entries[count - 1].sound) {
        return "the newest is damaged";
    }
    return ended && (count != 1 || entries[0].id.index != 12) ? "the old ones are still there"
                                                              : NULL;
}

static void rule_s2_p8_crash_at_every_call_of_a_removal(void **state)
{
    (void)state;
    crash_story(
        &(struct story){.before = write_five, .run = write_three_and_remove, .wrong = one_is_left});
}

static void rule_s2_the_newest_sound_ones_and_the_pinned_one_are_kept(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(write_three(x->disk), STATUS_OK);
    assert_int_equal(kit_write(x->disk, (struct snapshot_id){.index = 100, .term = 3}, 1, 10, true),
                     STATUS_OK);
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    assert_int_equal(snapshot_list(x->disk, kit_cluster(), entries, &count), STATUS_OK);
    assert_int_equal(count, 4);
    assert_int_equal(entries[3].id.index, 100);
    assert_int_equal(entries[0].id.term, 2);
    assert_int_equal(entries[1].size_bytes, fake_disk_file_size(x->fake, "snapshot-9.snap"));

    /* 100 is damaged, so that 12 and 9 are the two newest sound ones. */
    fake_disk_flip(x->fake, "snapshot-100.snap", 20, 1);
    assert_int_equal(snapshot_remove_old(x->disk, kit_cluster(), 2, five), STATUS_OK);
    assert_true(fake_disk_has_file(x->fake, "snapshot-5.snap"));
    assert_int_equal(
        snapshot_remove_old(x->disk, kit_cluster(), 2, (struct snapshot_id){.index = 0}),
        STATUS_OK);
    assert_false(fake_disk_has_file(x->fake, "snapshot-5.snap"));
    assert_true(fake_disk_has_file(x->fake, "snapshot-9.snap"));
    assert_int_equal(snapshot_remove_old(x->disk, kit_cluster(), 3, five), STATUS_OK);
    assert_true(fake_disk_has_file(x->fake, "snapshot-9.snap"));
    assert_int_equal(fake_disk_pending(x->fake), 0);
}

static void rule_p4_a_snapshot_that_is_set_aside_is_none(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(write_three(x->disk), STATUS_OK);
    assert_int_equal(snapshot_set_aside(x->disk, 12), STATUS_OK);
    assert_int_equal(fake_disk_pending(x->fake), 0);
    assert_true(fake_disk_has_file(x->fake, "snapshot-12.snap.damaged"));
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    assert_int_equal(snapshot_list(x->disk, kit_cluster(), entries, &count), STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(entries[1].id.index, 9);
    /* It stays when old snapshots go, until there are more of its kind. */
    assert_int_equal(snapshot_remove_old(x->disk, kit_cluster(), 1, (struct snapshot_id){0}),
                     STATUS_OK);
    assert_true(fake_disk_has_file(x->fake, "snapshot-12.snap.damaged"));
    assert_int_equal(snapshot_set_aside(x->disk, 9), STATUS_OK);
    write_one(x->disk, five, 1, 10);
    assert_int_equal(snapshot_set_aside(x->disk, 5), STATUS_OK);
    assert_false(fake_disk_has_file(x->fake, "snapshot-9.snap.damaged"));
    assert_true(fake_disk_has_file(x->fake, "snapshot-12.snap.damaged"));
    assert_int_equal(snapshot_set_aside(x->disk, 5), STATUS_OK); /* it is gone already */
}

static void a_list_has_the_newest_ones_in_order_of_their_numbers(void **state)
{
    struct fixture *x = *state;
    for (uint64_t i = 1; i <= 12; i++) {
        struct snapshot_id id = {.index = i * 9, .term = 1};
        assert_int_equal(kit_write(x->disk, id, 1, 10, false), STATUS_OK);
    }
    struct snapshot_entry entries[SNAPSHOTS_MAX];
    uint32_t count = 0;
    assert_int_equal(snapshot_list(x->disk, kit_cluster(), entries, &count), STATUS_OK);
    assert_int_equal(count, SNAPSHOTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].id.index, (i + 5) * 9);
        assert_true(entries[i].sound);
    }
}

/* Receiving. */

#define BIG_CHUNKS 40u
#define BIG_BYTES  SNAPSHOT_CHUNK_BYTES

/* Stream `id` of one disk to the other until `stop`; OK when it was installed. */
static enum status stream(struct disk *from, struct disk *to, struct snapshot_id id, size_t piece,
                          uint64_t stop, uint64_t *began)
{
    struct snapshot_file file;
    struct snapshot_receiver *r = NULL;
    assert_int_equal(snapshot_file_describe(from, id, &file), STATUS_OK);
    uint64_t offset = 0;
    enum status status = snapshot_receiver_create(to, &file, &r, &offset);
    *began = offset;
    uint8_t *bytes = mem_alloc(piece);
    while (status == STATUS_OK && offset < file.size_bytes && offset < stop) {
        size_t got = 0;
        assert_int_equal(snapshot_file_read(from, id, offset, bytes, piece, &got), STATUS_OK);
        status = snapshot_receiver_add(r, offset, slice_of(bytes, got));
        offset += got;
    }
    if (status == STATUS_OK) {
        status = offset < file.size_bytes ? STATUS_UNREACHABLE : snapshot_receiver_finish(r, NULL);
    }
    mem_free(bytes);
    snapshot_receiver_destroy(r);
    return status;
}

static void rule_s6_a_file_arrives_in_pieces_and_goes_on_where_it_was(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, nine, BIG_CHUNKS, BIG_BYTES);
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 2, .sector_bytes = 4096});
    struct disk *to = fake_disk_as_disk(f);
    uint64_t began = 0;
    assert_int_equal(stream(x->disk, to, nine, 100000, 1000000, &began), STATUS_UNREACHABLE);
    assert_int_equal(began, 0);
    assert_int_equal(stream(x->disk, to, nine, 70000, 3000000, &began), STATUS_UNREACHABLE);
    assert_int_equal(began, 1000000 / 4096 * 4096);
    /* What was told to a later try survives a power loss. */
    fake_disk_power_loss(f, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_int_equal(stream(x->disk, to, nine, 1 << 20, UINT64_MAX, &began), STATUS_OK);
    assert_true(began > 3000000 - 4096);
    expect_sound(to, nine, BIG_CHUNKS, BIG_BYTES);
    assert_false(fake_disk_has_file(f, "snapshot-9.snap.part"));
    assert_false(fake_disk_has_file(f, "receiving"));
    assert_int_equal(fake_disk_pending(f), 0);
    fake_disk_destroy(f);
}

static void rule_s6_bytes_of_another_place_are_refused(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, nine, 2, 500);
    struct snapshot_file file;
    assert_int_equal(snapshot_file_describe(x->disk, nine, &file), STATUS_OK);
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 2, .sector_bytes = 4096});
    struct snapshot_receiver *r = NULL;
    uint64_t offset = 1;
    assert_int_equal(snapshot_receiver_create(fake_disk_as_disk(f), &file, &r, &offset), STATUS_OK);
    assert_int_equal(offset, 0);
    uint8_t bytes[4096] = {0};
    assert_int_equal(snapshot_receiver_add(r, 5, slice_of(bytes, 10)), STATUS_INVALID);
    assert_int_equal(snapshot_receiver_add(r, 0, slice_of(bytes, (size_t)file.size_bytes + 1)),
                     STATUS_INVALID);
    assert_int_equal(snapshot_receiver_add(r, 0, slice_of(bytes, 10)), STATUS_OK);
    assert_int_equal(snapshot_receiver_add(r, 0, slice_of(bytes, 10)), STATUS_INVALID);
    assert_int_equal(snapshot_receiver_finish(r, NULL), STATUS_INVALID);
    snapshot_receiver_destroy(r);
    fake_disk_destroy(f);
}

/* What came of one file is worthless to another of the same name. */
static void rule_s6_another_file_of_the_same_index_begins_anew(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, nine, 8, 5000);
    struct fake_disk *other =
        fake_disk_create(&(struct fake_disk_options){.seed = 3, .sector_bytes = 4096});
    write_one(fake_disk_as_disk(other), nine, 9, 5000);
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 2, .sector_bytes = 4096});
    struct disk *to = fake_disk_as_disk(f);
    uint64_t began = 0;
    assert_int_equal(stream(x->disk, to, nine, 1000, 12000, &began), STATUS_UNREACHABLE);
    assert_int_equal(stream(fake_disk_as_disk(other), to, nine, 1000, 3000, &began),
                     STATUS_UNREACHABLE);
    assert_int_equal(began, 0);
    assert_int_equal(stream(x->disk, to, nine, 1000, UINT64_MAX, &began), STATUS_OK);
    assert_int_equal(began, 0);
    expect_sound(to, nine, 8, 5000);
    fake_disk_destroy(f);
    fake_disk_destroy(other);
}

/* Wherever a byte goes wrong on the way: thrown away, and the next try gets it. */
static void rule_s6_a_file_that_changed_on_the_way_is_thrown_away(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, nine, 2, 60);
    struct snapshot_file file;
    assert_int_equal(snapshot_file_describe(x->disk, nine, &file), STATUS_OK);
    uint8_t bytes[1024];
    size_t size = 0;
    assert_int_equal(snapshot_file_read(x->disk, nine, 0, bytes, sizeof bytes, &size), STATUS_OK);
    assert_int_equal(size, file.size_bytes);
    struct fake_disk *f =
        fake_disk_create(&(struct fake_disk_options){.seed = 2, .sector_bytes = 4096});
    struct disk *to = fake_disk_as_disk(f);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 0x20;
        struct snapshot_receiver *r = NULL;
        uint64_t offset = 0;
        char *detail = NULL;
        assert_int_equal(snapshot_receiver_create(to, &file, &r, &offset), STATUS_OK);
        assert_int_equal(offset, 0);
        assert_int_equal(snapshot_receiver_add(r, 0, slice_of(bytes, size)), STATUS_OK);
        assert_int_equal(snapshot_receiver_finish(r, &detail), STATUS_CORRUPT);
        assert_non_null(detail);
        mem_free(detail);
        snapshot_receiver_destroy(r);
        assert_false(fake_disk_has_file(f, "snapshot-9.snap"));
        assert_false(fake_disk_has_file(f, "snapshot-9.snap.part"));
        bytes[at] ^= 0x20;
    }
    uint64_t began = 0;
    assert_int_equal(stream(x->disk, to, nine, 100, UINT64_MAX, &began), STATUS_OK);
    fake_disk_destroy(f);
}

/* A second disk that every run of the story below reads from. */
static struct disk *source;

static enum status receive_nine(struct disk *disk)
{
    uint64_t began = 0;
    enum status status = stream(source, disk, nine, 700, 2100, &began);
    return status == STATUS_UNREACHABLE ? stream(source, disk, nine, 700, UINT64_MAX, &began)
                                        : status;
}

static const char *five_and_nine_can_be_received(struct disk *disk, bool ended)
{
    const char *wrong = whole_or_absent(disk, five, 2, 900, true);
    if (wrong == NULL) {
        wrong = whole_or_absent(disk, nine, 3, 1500, ended);
    }
    uint64_t began = 0;
    if (wrong == NULL && stream(source, disk, nine, 512, UINT64_MAX, &began) != STATUS_OK) {
        wrong = "the next try fails";
    }
    return wrong == NULL ? whole_or_absent(disk, nine, 3, 1500, true) : wrong;
}

static void rule_s6_p8_crash_at_every_call_of_a_receiver(void **state)
{
    struct fixture *x = *state;
    write_one(x->disk, nine, 3, 1500);
    source = x->disk;
    crash_story(&(struct story){
        .before = write_five, .run = receive_nine, .wrong = five_and_nine_can_be_received});
}

static void rule_p11_errors_of_the_disk_are_told(void **state)
{
    (void)state;
    const enum status kinds[] = {STATUS_IO, STATUS_NO_SPACE};
    for (unsigned kind = 0; kind < 2; kind++) {
        for (uint64_t call = 1;; call++) {
            struct fake_disk *f =
                fake_disk_create(&(struct fake_disk_options){.seed = call, .sector_bytes = 512});
            fake_disk_fail_at(f, (struct fake_fault){.call = call, .status = kinds[kind]});
            enum status status = write_nine(fake_disk_as_disk(f));
            bool has_failed = fake_disk_has_failed(f);
            if (has_failed && status == STATUS_OK) {
                fail_msg("the error of call %u was not told", (unsigned)call);
            }
            fake_disk_destroy(f);
            if (!has_failed) {
                break;
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_back),
        TEST(a_snapshot_of_another_cluster_is_refused),
        TEST(rule_s2_every_flipped_bit_of_a_snapshot_is_found),
        TEST(rule_s2_a_snapshot_of_another_size_is_refused),
        TEST(rule_s2_swapped_snapshots_are_refused),
        TEST(rule_s2_chunks_that_changed_places_are_refused),
        TEST(a_long_verification_is_done_in_steps),
        TEST(a_snapshot_that_was_not_finished_leaves_nothing),
        TEST(rule_s2_p8_crash_at_every_call_of_a_writer),
        TEST(rule_s2_p8_crash_at_every_call_of_a_removal),
        TEST(rule_s2_the_newest_sound_ones_and_the_pinned_one_are_kept),
        TEST(rule_p4_a_snapshot_that_is_set_aside_is_none),
        TEST(a_list_has_the_newest_ones_in_order_of_their_numbers),
        TEST(rule_s6_a_file_arrives_in_pieces_and_goes_on_where_it_was),
        TEST(rule_s6_bytes_of_another_place_are_refused),
        TEST(rule_s6_another_file_of_the_same_index_begins_anew),
        TEST(rule_s6_a_file_that_changed_on_the_way_is_thrown_away),
        TEST(rule_s6_p8_crash_at_every_call_of_a_receiver),
        TEST(rule_p11_errors_of_the_disk_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
