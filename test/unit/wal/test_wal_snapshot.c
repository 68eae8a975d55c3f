/* A log and its snapshots: what they are together, which segments go, and how those come back. */
#include "base/mem.h"
#include "fake_disk.h"
#include "snapshot_kit.h"
#include "wal/wal_format.h"
#include "wal/wal_internal.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define APPEND(...)  ((struct step){.kind = STEP_APPEND, __VA_ARGS__})
#define INSTALL(...) ((struct step){.kind = STEP_INSTALL, __VA_ARGS__})
#define COMPACT      ((struct step){.kind = STEP_COMPACT})

struct fixture {
    struct fake_disk *disk;
    struct wal_options options;
    struct wal *wal;
    struct wal_model model;
};

static int setup(void **state)
{
    struct fixture *x = mem_calloc(1, sizeof *x);
    x->disk = fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    x->options = wal_model_options(x->disk);
    assert_int_equal(wal_open(&x->options, &x->wal, NULL), STATUS_OK);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    wal_close(x->wal);
    fake_disk_destroy(x->disk);
    mem_free(x);
    return 0;
}

static void expect_ok(struct fixture *x, struct step step)
{
    assert_int_equal(wal_model_step(&x->model, &x->wal, x->disk, &step), STATUS_OK);
}

static void close_log(struct fixture *x)
{
    wal_close(x->wal);
    x->wal = NULL;
}

static void reopen(struct fixture *x)
{
    close_log(x);
    char *detail = NULL;
    if (wal_open(&x->options, &x->wal, &detail) != STATUS_OK) {
        fail_msg("the log does not open: %s", detail != NULL ? detail : "");
    }
    wal_model_opened(&x->model);
}

static void expect_right(struct fixture *x)
{
    const char *wrong = wal_model_check(&x->model, x->wal);
    if (wrong != NULL) {
        fail_msg("%s", wrong);
    }
}

static void expect_right_also_after_reopening(struct fixture *x)
{
    expect_right(x);
    reopen(x);
    expect_right(x);
}

static void expect_corrupt(struct fixture *x, const char *words)
{
    close_log(x);
    char *detail = NULL;
    assert_int_equal(wal_open(&x->options, &x->wal, &detail), STATUS_CORRUPT);
    assert_non_null(detail);
    if (strstr(detail, words) == NULL) {
        fail_msg("%s, expected \"%s\"", detail, words);
    }
    mem_free(detail);
}

static struct wal_state state_of(struct fixture *x)
{
    struct wal_state state;
    wal_state(x->wal, &state);
    return state;
}

static enum status write_snapshot(struct fixture *x, uint64_t index, uint64_t term)
{
    return kit_write(fake_disk_as_disk(x->disk), (struct snapshot_id){.index = index, .term = term},
                     1, 100, true);
}

/* --- joining (rule S4) ------------------------------------------------------------------------ */

static void rule_s4_a_snapshot_newer_than_the_log_makes_it_void(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 4, .size = 10));
    close_log(x);
    assert_int_equal(write_snapshot(x, 9, 2), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        reopen(x);
        struct wal_state s = state_of(x);
        assert_int_equal(s.snapshot_index, 9);
        assert_int_equal(s.snapshot_term, 2);
        assert_int_equal(s.first, 10);
        assert_int_equal(s.base_term, 2);
        assert_int_equal(s.last, 9);
        assert_int_equal(s.commit, 9);
        assert_int_equal(s.run_count, 0);
    }
    struct wal_entry e = {.index = 10, .term = 3, .payload = slice_of("ten", 3)};
    assert_int_equal(wal_append(x->wal, &(struct wal_batch){.entries = &e, .count = 1}), STATUS_OK);
    reopen(x);
    assert_int_equal(state_of(x).first, 10);
    assert_int_equal(state_of(x).last, 10);
    assert_int_equal(state_of(x).runs[0].first, 10);
}

/* What was acknowledged by a snapshot, after a start, is missed when that is damaged later. */
static void rule_p4_a_log_that_a_snapshot_made_void_does_not_come_back_without_it(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 4, .size = 10));
    close_log(x);
    assert_int_equal(write_snapshot(x, 9, 2), STATUS_OK);
    reopen(x);
    assert_int_equal(state_of(x).last, 9);
    close_log(x);
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_NONE});
    fake_disk_flip(x->disk, "snapshot-9.snap", 130, 4);
    expect_corrupt(x, "the log begins with entry 10");
}

static void rule_p12_a_full_disk_does_not_keep_a_void_log_from_being_opened(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 4, .size = 10));
    while (wal_has_room(x->wal, WAL_BLOCK_BYTES)) {
        expect_ok(x, APPEND(.count = 1, .size = 10));
    }
    close_log(x);
    assert_int_equal(write_snapshot(x, 999, 3), STATUS_OK);
    fake_disk_set_capacity(x->disk, fake_disk_used_bytes(x->disk));
    reopen(x);
    assert_int_equal(state_of(x).last, 999);
    assert_true(x->wal->is_void);
}

static void rule_s3_a_snapshot_in_the_log_with_the_same_term_keeps_the_suffix(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 9, .size = 10));
    uint64_t calls = fake_disk_stats(x->disk).writes;
    struct step step = INSTALL(.snapshot = 5, .snapshot_term = 3);
    expect_ok(x, step);
    /* Three for the file, none for the log. */
    assert_int_equal(fake_disk_stats(x->disk).writes - calls, 3);
    assert_int_equal(state_of(x).first, 1);
    assert_int_equal(state_of(x).last, 9);
    assert_int_equal(state_of(x).commit, 5);
    expect_right_also_after_reopening(x);
}

static void rule_s3_a_log_that_is_kept_may_reach_the_snapshot_with_the_same_batch(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 4, .size = 10));
    assert_int_equal(write_snapshot(x, 6, 3), STATUS_OK);
    struct wal_entry entries[3];
    for (uint64_t i = 0; i < 3; i++) {
        entries[i] = (struct wal_entry){.index = 5 + i, .term = 3, .payload = slice_of("more", 4)};
    }
    const struct wal_batch batch = {
        .entries = entries, .count = 3, .install_index = 6, .install_term = 3};
    assert_int_equal(wal_append(x->wal, &batch), STATUS_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(state_of(x).first, 1);
        assert_int_equal(state_of(x).last, 7);
        assert_int_equal(state_of(x).snapshot_index, 6);
        reopen(x);
    }
}

static void rule_s3_a_snapshot_in_the_log_with_another_term_discards_all_of_it(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 1, .count = 9, .size = 10, .commit = 2));
    expect_ok(x, APPEND(.term = 5, .vote = 1));
    expect_ok(x, INSTALL(.snapshot = 5, .snapshot_term = 4, .count = 2, .size = 7));
    assert_int_equal(state_of(x).first, 6);
    assert_int_equal(state_of(x).base_term, 4);
    assert_int_equal(state_of(x).last, 7);
    expect_right_also_after_reopening(x);
    /* And when the crash came before the batch. */
    close_log(x);
    assert_int_equal(write_snapshot(x, 7, 4), STATUS_OK);
    reopen(x);
    assert_int_equal(state_of(x).first, 8);
    assert_int_equal(state_of(x).last, 7);
}

static void
rule_s4_a_damaged_snapshot_is_passed_over_when_the_log_reaches_an_older_one(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 9, .size = 5000));
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 3});
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 8});
    close_log(x);
    /* Deep in the state, where no look at the header would find it. */
    fake_disk_flip(x->disk, "snapshot-8.snap", 130, 4);
    reopen(x);
    assert_int_equal(state_of(x).snapshot_index, 3);
    assert_int_equal(state_of(x).last, 9);
}

static void rule_s4_a_log_that_no_sound_snapshot_reaches_is_corrupt(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 3, .size = 10));
    expect_ok(x, INSTALL(.snapshot = 7, .snapshot_term = 1, .count = 1, .size = 10));
    close_log(x);
    assert_int_equal(write_snapshot(x, 2, 1), STATUS_OK);
    fake_disk_flip(x->disk, "snapshot-7.snap", 130, 4);
    expect_corrupt(x, "the log begins with entry 8, and the newest sound snapshot ends at 2");
    fake_disk_remove(x->disk, "snapshot-7.snap");
    fake_disk_remove(x->disk, "snapshot-2.snap");
    expect_corrupt(x, "the newest sound snapshot ends at 0");
}

static void rule_p6_a_snapshot_without_a_hard_state_is_corrupt(void **state)
{
    struct fixture *x = *state;
    close_log(x);
    assert_int_equal(write_snapshot(x, 2, 1), STATUS_OK);
    fake_disk_remove(x->disk, "hardstate");
    x->options.salvage = true;
    expect_corrupt(x, "hardstate is missing");
}

/* --- compaction ------------------------------------------------------------------------------- */

/* Two entries a segment, nearly. */
static void fill_segments(struct fixture *x, unsigned batches)
{
    if (x->model.acked.term == 0) {
        expect_ok(x, APPEND(.term = 1, .vote = 1));
    }
    for (unsigned i = 0; i < batches; i++) {
        expect_ok(x, APPEND(.count = 1, .size = 15000));
    }
}

static void rule_s2_segments_that_a_snapshot_covers_go_and_the_rest_stays(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 9);
    uint64_t before = wal_disk_bytes(x->wal);
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 5});
    bool more = true;
    unsigned steps = 0;
    for (; more; steps++) {
        struct fake_disk_stats was = fake_disk_stats(x->disk);
        x->model.acked.compacted = 6;
        assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_OK);
        assert_true(fake_disk_stats(x->disk).dir_syncs - was.dir_syncs <= 2);
        expect_right(x);
    }
    assert_true(steps > 1);
    struct wal_state s = state_of(x);
    assert_true(s.first > 1 && s.first <= 6);
    assert_int_equal(s.runs[0].first, s.first);
    assert_false(fake_disk_has_file(x->disk, "00000001.log"));
    assert_true(wal_disk_bytes(x->wal) < before);
    assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_OK);
    assert_false(more);
    expect_right_also_after_reopening(x);
    fill_segments(x, 3);
    expect_right_also_after_reopening(x);
}

static void rule_s2_nothing_goes_without_a_sound_snapshot(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 9);
    bool more = false;
    assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_CORRUPT);
    assert_true(fake_disk_has_file(x->disk, "00000001.log"));
    expect_right(x);
    fill_segments(x, 1);
    assert_int_equal(write_snapshot(x, 4, 1), STATUS_OK);
    assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_CORRUPT);
    assert_int_equal(write_snapshot(x, 7, 1), STATUS_OK);
    fake_disk_flip(x->disk, "snapshot-7.snap", 20, 1);
    assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_CORRUPT);
    assert_true(fake_disk_has_file(x->disk, "00000001.log"));
    assert_int_equal(write_snapshot(x, 5, 1), STATUS_OK);
    assert_int_equal(wal_compact(x->wal, 6, &more), STATUS_OK);
    assert_false(fake_disk_has_file(x->disk, "00000001.log"));
}

/* A log that begins with records that a later one replaced. */
static void rule_s2_a_log_may_begin_with_a_replaced_suffix(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 4);
    assert_true(fake_disk_has_file(x->disk, "00000002.log"));
    expect_ok(x, APPEND(.term = 2, .vote = 1, .truncate_from = 2, .count = 1, .size = 10));
    expect_ok(x, APPEND(.term = 3, .vote = 1, .truncate_from = 2));
    expect_ok(x, APPEND(.count = 3, .size = 10));
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 3});
    expect_ok(x, COMPACT);
    assert_int_equal(state_of(x).first, 2);
    assert_int_equal(state_of(x).base_term, 1);
    expect_right_also_after_reopening(x);
}

static void rule_s2_the_tail_stays_and_so_does_a_record_to_go_on_from(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 5);
    expect_ok(x, INSTALL(.snapshot = 40, .snapshot_term = 1));
    expect_ok(x, COMPACT);
    assert_int_equal(state_of(x).first, 41);
    expect_right_also_after_reopening(x);
    uint64_t calls = fake_disk_calls(x->disk);
    bool more = true;
    assert_int_equal(wal_compact(x->wal, 41, &more), STATUS_OK);
    assert_false(more);
    assert_int_equal(fake_disk_calls(x->disk), calls);
    fill_segments(x, 5);
    expect_right_also_after_reopening(x);
}

static void rule_p13_rot_in_the_oldest_record_of_a_log_is_corrupt(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 9);
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 9});
    expect_ok(x, COMPACT);
    expect_ok(x, (struct step){.kind = STEP_SEAL});
    close_log(x);
    const char *const name = "00000005.log";
    assert_true(fake_disk_has_file(x->disk, name));
    assert_false(fake_disk_has_file(x->disk, "00000004.log"));
    for (uint64_t at = 0; at < 200; at++) {
        fake_disk_flip(x->disk, name, 4096 + at, 0x40);
        expect_corrupt(x, name);
        fake_disk_flip(x->disk, name, 4096 + at, 0x40);
    }
    fake_disk_fill(x->disk, name, 4096, 32768, 0);
    expect_corrupt(x, name);
}

/* --- segments used again (rule P3b) ----------------------------------------------------------- */

/* Many segments, most of which were others before. */
static void live_long(struct fixture *x, unsigned rounds)
{
    fill_segments(x, 1);
    for (unsigned i = 0; i < rounds; i++) {
        fill_segments(x, 4);
        while (i % 2 == 0 && wal_wants_prepare(x->wal)) {
            assert_int_equal(wal_prepare(x->wal), STATUS_OK);
        }
        expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = x->model.acked.last - 1});
        expect_ok(x, COMPACT);
    }
}

static unsigned count_free(struct fixture *x)
{
    unsigned count = 0;
    for (unsigned i = 1; i < 100; i++) {
        char name[24];
        snprintf(name, sizeof name, "%08u.free", i);
        count += fake_disk_has_file(x->disk, name);
    }
    return count;
}

static void rule_p3b_segments_come_back_without_being_filled_again(void **state)
{
    struct fixture *x = *state;
    live_long(x, 4);
    uint64_t written = fake_disk_stats(x->disk).written_bytes;
    uint64_t first = x->model.acked.last;
    live_long(x, 10);
    uint64_t entries = x->model.acked.last - first;
    uint64_t bytes = fake_disk_stats(x->disk).written_bytes - written;
    /* An entry takes four blocks, two entries an END record, and a snapshot of 300 bytes is
     * nothing; a segment of ten blocks that is filled first would cost ten more. */
    assert_true(bytes < entries * 6 * 4096);
    assert_true(count_free(x) <= 2);
    expect_right_also_after_reopening(x);
    assert_true(count_free(x) <= 2);
    live_long(x, 3);
    expect_right_also_after_reopening(x);
}

static void rule_p3b_a_torn_tail_among_old_records_is_cut(void **state)
{
    struct fixture *x = *state;
    live_long(x, 8);
    for (unsigned i = 0; i < 12; i++) {
        uint64_t last = x->model.acked.last;
        fake_disk_fail_at(x->disk, (struct fake_fault){.call = fake_disk_calls(x->disk) + 2,
                                                       .status = STATUS_IO});
        struct step step = APPEND(.count = 1, .size = 5000 + 500 * i);
        assert_int_not_equal(wal_model_step(&x->model, &x->wal, x->disk, &step), STATUS_OK);
        close_log(x);
        fake_disk_power_loss(x->disk,
                             (struct fake_loss){.kind = FAKE_LOSS_RANDOM, .destroys = i % 2 == 1});
        reopen(x);
        expect_right(x);
        assert_true(x->model.acked.last >= last);
        fill_segments(x, 1);
        reopen(x);
        assert_int_equal(state_of(x).torn_bytes, 0);
        expect_right(x);
    }
}

/* Write a record of two blocks that a power loss takes one of. */
static void tear(struct fixture *x, uint8_t type, size_t lost_block)
{
    struct wal_state s = state_of(x);
    uint8_t payload[5000];
    memset(payload, 'p', sizeof payload);
    struct wal_entry e = {.index = s.last + 1,
                          .term = s.term,
                          .type = type,
                          .payload = slice_of(payload, sizeof payload)};
    fake_disk_halt_at(x->disk, fake_disk_calls(x->disk) + 2);
    assert_int_equal(wal_append(x->wal, &(struct wal_batch){.entries = &e, .count = 1}), STATUS_IO);
    close_log(x);
    assert_int_equal(fake_disk_pending(x->disk), 2);
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_ONE, .which = lost_block});
    reopen(x);
}

/* Of two records that were torn at the same place, one has its header and the other the rest. */
static void rule_p3b_halves_of_two_torn_records_never_make_one(void **state)
{
    struct fixture *x = *state;
    live_long(x, 8);
    fill_segments(x, 1);
    uint64_t last = state_of(x).last;
    tear(x, 1, 1);
    assert_int_equal(state_of(x).last, last);
    assert_int_equal(state_of(x).torn_bytes, 4096);
    tear(x, 2, 0);
    assert_int_equal(state_of(x).last, last);
    expect_right(x);
}

/* Whatever of a sealed log is zeroed or flipped: named, or harmless. */
static void rule_p3b_p10_rot_in_a_recycled_segment_is_never_silent(void **state)
{
    struct fixture *x = *state;
    live_long(x, 9);
    fill_segments(x, 1);
    expect_ok(x, (struct step){.kind = STEP_SEAL});
    close_log(x);
    unsigned flips = 0;
    for (unsigned sequence = 1; sequence < 60; sequence++) {
        char name[24];
        snprintf(name, sizeof name, "%08u.log", sequence);
        for (uint64_t at = 0; fake_disk_has_file(x->disk, name) && at < 40960; at += 128) {
            struct fake_disk *f = fake_disk_clone(x->disk);
            if (at % 4096 == 0) {
                fake_disk_fill(f, name, at, 4096, 0);
            } else {
                fake_disk_flip(f, name, at, 1);
            }
            struct wal_options options = wal_model_options(f);
            struct wal *w = NULL;
            struct wal_model model = x->model;
            enum status status = wal_open(&options, &w, NULL);
            bool is_whole = status == STATUS_OK && wal_model_check(&model, w) == NULL;
            if (status != STATUS_CORRUPT && !is_whole) {
                fail_msg("%s, byte %u: %s", name, (unsigned)at, status_name(status));
            }
            wal_close(w);
            fake_disk_destroy(f);
            flips++;
        }
    }
    assert_true(flips > 300);
}

/* --- scrubbing (rule P13) --------------------------------------------------------------------- */

static enum status scrub_all(struct fixture *x, char **detail)
{
    bool done = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !done) {
        status = wal_scrub(x->wal, &done, detail);
    }
    return status;
}

static void rule_p13_a_scrub_finds_rot_in_every_closed_segment(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 7);
    char *detail = NULL;
    assert_int_equal(scrub_all(x, &detail), STATUS_OK);
    assert_int_equal(scrub_all(x, &detail), STATUS_OK);
    static const char *const names[] = {"00000001.log", "00000002.log", "00000003.log"};
    for (unsigned i = 0; i < 3; i++) {
        static const uint64_t places[] = {40, 4096 + 30, 4096 + 5000};
        for (unsigned k = 0; k < 3; k++) {
            fake_disk_flip(x->disk, names[i], places[k], 1);
            assert_int_equal(scrub_all(x, &detail), STATUS_CORRUPT);
            assert_non_null(strstr(detail, names[i]));
            mem_free(detail);
            fake_disk_flip(x->disk, names[i], places[k], 1);
        }
    }
    assert_int_equal(scrub_all(x, &detail), STATUS_OK);
}

static void rule_p13_a_scrub_goes_on_while_segments_go(void **state)
{
    struct fixture *x = *state;
    fill_segments(x, 9);
    bool done = false;
    assert_int_equal(wal_scrub(x->wal, &done, NULL), STATUS_OK);
    assert_int_equal(wal_scrub(x->wal, &done, NULL), STATUS_OK);
    assert_false(done);
    expect_ok(x, (struct step){.kind = STEP_SNAPSHOT, .snapshot = 7});
    expect_ok(x, COMPACT);
    assert_int_equal(scrub_all(x, NULL), STATUS_OK);
    fill_segments(x, 9);
    assert_int_equal(scrub_all(x, NULL), STATUS_OK);
    expect_right_also_after_reopening(x);
}

/* --- term and vote ---------------------------------------------------------------------------- */

static void rule_q6b_the_lease_promise_is_kept_and_never_falls(void **state)
{
    struct fixture *x = *state;
    struct wal_batch batch = {.hard_state = true, .term = 1, .lease_promise_ms = 900};
    assert_int_equal(wal_append(x->wal, &batch), STATUS_OK);
    batch.term = 2;
    batch.lease_promise_ms = 300;
    assert_int_equal(wal_append(x->wal, &batch), STATUS_OK);
    assert_int_equal(state_of(x).lease_promise_ms, 900);
    reopen(x);
    assert_int_equal(state_of(x).term, 2);
    assert_int_equal(state_of(x).lease_promise_ms, 900);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_s4_a_snapshot_newer_than_the_log_makes_it_void),
        TEST(rule_p4_a_log_that_a_snapshot_made_void_does_not_come_back_without_it),
        TEST(rule_p12_a_full_disk_does_not_keep_a_void_log_from_being_opened),
        TEST(rule_s3_a_snapshot_in_the_log_with_the_same_term_keeps_the_suffix),
        TEST(rule_s3_a_log_that_is_kept_may_reach_the_snapshot_with_the_same_batch),
        TEST(rule_s3_a_snapshot_in_the_log_with_another_term_discards_all_of_it),
        TEST(rule_s4_a_damaged_snapshot_is_passed_over_when_the_log_reaches_an_older_one),
        TEST(rule_s4_a_log_that_no_sound_snapshot_reaches_is_corrupt),
        TEST(rule_p6_a_snapshot_without_a_hard_state_is_corrupt),
        TEST(rule_s2_segments_that_a_snapshot_covers_go_and_the_rest_stays),
        TEST(rule_s2_nothing_goes_without_a_sound_snapshot),
        TEST(rule_s2_a_log_may_begin_with_a_replaced_suffix),
        TEST(rule_s2_the_tail_stays_and_so_does_a_record_to_go_on_from),
        TEST(rule_p13_rot_in_the_oldest_record_of_a_log_is_corrupt),
        TEST(rule_p3b_segments_come_back_without_being_filled_again),
        TEST(rule_p3b_a_torn_tail_among_old_records_is_cut),
        TEST(rule_p3b_halves_of_two_torn_records_never_make_one),
        TEST(rule_p3b_p10_rot_in_a_recycled_segment_is_never_silent),
        TEST(rule_p13_a_scrub_finds_rot_in_every_closed_segment),
        TEST(rule_p13_a_scrub_goes_on_while_segments_go),
        TEST(rule_q6b_the_lease_promise_is_kept_and_never_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
