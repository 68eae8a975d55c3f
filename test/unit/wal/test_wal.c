/* What the log does when nothing crashes, and what it does at the first error. */
#include "base/mem.h"
#include "fake_disk.h"
#include "wal/wal_format.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define APPEND(...) ((struct step){.kind = STEP_APPEND, __VA_ARGS__})

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
    char *detail = NULL;
    assert_int_equal(wal_open(&x->options, &x->wal, &detail), STATUS_OK);
    assert_null(detail);
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

static enum status do_step(struct fixture *x, struct step step)
{
    return wal_model_step(&x->model, &x->wal, x->disk, &step);
}

static void expect_ok(struct fixture *x, struct step step)
{
    assert_int_equal(do_step(x, step), STATUS_OK);
}

static enum status reopen(struct fixture *x)
{
    wal_close(x->wal);
    char *detail = NULL;
    enum status status = wal_open(&x->options, &x->wal, &detail);
    assert_true(status != STATUS_CORRUPT || detail != NULL);
    mem_free(detail);
    return status;
}

static struct wal_state state_of(struct fixture *x)
{
    struct wal_state state;
    wal_state(x->wal, &state);
    return state;
}

static void a_new_log_is_empty_without_term_and_vote(void **state)
{
    struct wal_state s = state_of(*state);
    assert_int_equal(s.term, 0);
    assert_int_equal(s.vote, 0);
    assert_int_equal(s.first, 1);
    assert_int_equal(s.last, 0);
    assert_int_equal(s.run_count, 0);
    assert_int_equal(s.torn_bytes, 0);
}

/* Begin anew with segments of these sizes. */
static void begin_with(struct fixture *x, uint64_t first_segment_bytes, uint64_t segment_bytes)
{
    wal_close(x->wal);
    fake_disk_destroy(x->disk);
    x->disk = fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    x->options = wal_model_options(x->disk);
    x->options.first_segment_bytes = first_segment_bytes;
    x->options.segment_bytes = segment_bytes;
    char *detail = NULL;
    assert_int_equal(wal_open(&x->options, &x->wal, &detail), STATUS_OK);
}

static void what_was_appended_is_there_after_a_reopening(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 3, .vote = 8, .count = 2, .size = 100));
    expect_ok(x, APPEND(.term = 4, .vote = 0, .count = 3, .size = 0, .commit = 2));
    assert_null(wal_model_check(&x->model, x->wal));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
    struct wal_state s = state_of(x);
    assert_int_equal(s.run_count, 2);
    assert_int_equal(s.commit, 2);
    assert_int_equal(s.torn_bytes, 0);
}

static void rule_p1_an_append_is_one_write_and_one_sync(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    struct fake_disk_stats before = fake_disk_stats(x->disk);
    expect_ok(x, APPEND(.count = 20, .size = 264));
    struct fake_disk_stats after = fake_disk_stats(x->disk);
    assert_int_equal(after.writes - before.writes, 1);
    assert_int_equal(after.syncs - before.syncs, 1);
    assert_int_equal(fake_disk_pending(x->disk), 0);
}

static void rule_p1_a_batch_without_news_touches_nothing(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 9));
    uint64_t calls = fake_disk_calls(x->disk);
    expect_ok(x, APPEND(.commit = 1));
    assert_int_equal(fake_disk_calls(x->disk), calls);
}

/* The order of A6: term and vote are durable before the entries are written. */
static void rule_p6_hard_state_is_durable_before_the_entries_are_written(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 9));
    struct fake_disk_stats before = fake_disk_stats(x->disk);
    /* Write and sync of the hard state, then the write of the record fails. */
    fake_disk_fail_at(
        x->disk, (struct fake_fault){.call = fake_disk_calls(x->disk) + 3, .status = STATUS_IO});
    assert_int_equal(do_step(x, APPEND(.term = 2, .vote = 5, .count = 1, .size = 9)), STATUS_IO);
    assert_int_equal(fake_disk_stats(x->disk).syncs - before.syncs, 1);
    wal_close(x->wal);
    x->wal = NULL;
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_int_equal(reopen(x), STATUS_OK);
    assert_int_equal(state_of(x).term, 2);
    assert_int_equal(state_of(x).vote, 5);
    assert_int_equal(state_of(x).last, 1);
}

static void rule_p6_slots_of_the_hard_state_alternate(void **state)
{
    struct fixture *x = *state;
    for (uint64_t term = 1; term <= 4; term++) {
        uint8_t before[16384];
        for (unsigned i = 0; i < sizeof before; i++) {
            before[i] = fake_disk_byte(x->disk, "hardstate", i);
        }
        expect_ok(x, APPEND(.term = term, .vote = 1));
        unsigned changed_slots = 0;
        for (unsigned slot = 0; slot < 2; slot++) {
            bool is_changed = false;
            for (unsigned i = 0; i < 8192; i++) {
                is_changed =
                    is_changed || before[slot * 8192 + i] !=
                                      fake_disk_byte(x->disk, "hardstate", slot * 8192 + i);
            }
            changed_slots += is_changed;
            assert_true(!is_changed || slot == (term % 2));
        }
        assert_int_equal(changed_slots, 1);
    }
}

static void rule_p11_the_first_error_poisons_the_log(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 9));
    /* The second call of an append is its sync. */
    fake_disk_fail_at(x->disk, (struct fake_fault){.call = fake_disk_calls(x->disk) + 2,
                                                   .status = STATUS_IO,
                                                   .shows_lost_pages = true});
    assert_int_equal(do_step(x, APPEND(.count = 1, .size = 9)), STATUS_IO);
    assert_true(fake_disk_has_failed(x->disk));
    uint64_t calls = fake_disk_calls(x->disk);
    struct wal_batch batch = {.hard_state = true, .term = 2, .vote = 2};
    assert_int_equal(wal_append(x->wal, &batch), STATUS_IO);
    assert_int_equal(wal_seal(x->wal), STATUS_IO);
    assert_int_equal(wal_prepare(x->wal), STATUS_IO);
    assert_int_equal(wal_read(x->wal, 1, 1, 1, NULL, NULL), STATUS_IO);
    assert_false(wal_wants_prepare(x->wal));
    /* Nothing was tried again: a second sync would say OK and mean nothing. */
    assert_int_equal(fake_disk_calls(x->disk), calls);
}

/* What a failed sync left in the page cache is not on the disk, so a new process must not count on
 * it: it sees what the medium has, or makes durable what it sees. */
static void rule_p11_pages_of_a_failed_sync_are_not_believed_after_a_restart(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 9));
    fake_disk_fail_at(x->disk, (struct fake_fault){.call = fake_disk_calls(x->disk) + 2,
                                                   .status = STATUS_IO,
                                                   .shows_lost_pages = true});
    assert_int_equal(do_step(x, APPEND(.count = 4, .size = 4000)), STATUS_IO);
    wal_close(x->wal);
    x->wal = NULL;
    fake_disk_restart(x->disk);
    assert_int_equal(reopen(x), STATUS_OK);
    uint64_t last = state_of(x).last;
    wal_close(x->wal);
    x->wal = NULL;
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_int_equal(reopen(x), STATUS_OK);
    assert_int_equal(state_of(x).last, last);
}

/* Open, truncate, write: the third call of a preparation. */
static void fill_disk_at(struct fixture *x, uint64_t call)
{
    fake_disk_fail_at(x->disk, (struct fake_fault){.call = fake_disk_calls(x->disk) + call,
                                                   .status = STATUS_NO_SPACE});
}

static void rule_p12_a_full_disk_stops_a_preparation_and_poisons_nothing(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 15000));
    uint64_t room = wal_room_bytes(x->wal);
    for (uint64_t call = 1; call <= 6; call++) {
        fill_disk_at(x, call);
        enum status status = STATUS_OK;
        while (status == STATUS_OK && wal_wants_prepare(x->wal)) {
            status = wal_prepare(x->wal);
        }
        assert_int_equal(status, STATUS_NO_SPACE);
        assert_true(wal_wants_prepare(x->wal));
        assert_false(fake_disk_has_file(x->disk, "segment.tmp"));
        assert_int_equal(wal_room_bytes(x->wal), room);
    }
    expect_ok(x, APPEND(.term = 2, .vote = 1, .count = 1, .size = 9));
    expect_ok(x, (struct step){.kind = STEP_PREPARE});
    assert_true(wal_room_bytes(x->wal) > room);
    expect_ok(x, APPEND(.count = 1, .size = 15000));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
}

static void rule_p12_an_append_without_room_writes_nothing_and_poisons_nothing(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 15000));
    for (uint64_t call = 1; call <= 6; call++) {
        fill_disk_at(x, call);
        struct step step = APPEND(.term = 2, .vote = 2, .count = 1, .size = 15000);
        assert_int_equal(do_step(x, step), STATUS_NO_SPACE);
        x->model.has_maybe = false;
        assert_null(wal_model_check(&x->model, x->wal));
        assert_int_equal(reopen(x), STATUS_OK);
        assert_null(wal_model_check(&x->model, x->wal));
    }
    /* What fits goes on, and so does term and vote. */
    assert_true(wal_room_bytes(x->wal) >= 8192);
    fill_disk_at(x, 100);
    expect_ok(x, APPEND(.term = 3, .vote = 2, .count = 1, .size = 8000));
    expect_ok(x, APPEND(.term = 4, .vote = 2));
}

static void rule_p12_a_full_disk_under_a_write_is_a_broken_log(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 9));
    fill_disk_at(x, 1);
    assert_int_equal(do_step(x, APPEND(.count = 1, .size = 9)), STATUS_IO);
    assert_int_equal(do_step(x, APPEND(.count = 1, .size = 9)), STATUS_IO);
    wal_close(x->wal);
    x->wal = NULL;
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_int_equal(reopen(x), STATUS_OK);
}

static void rule_p12_room_and_disk_bytes_are_told(void **state)
{
    struct fixture *x = *state;
    /* 32 KiB: the header, 6 blocks of records, and one for the END record. */
    assert_int_equal(wal_room_bytes(x->wal), 6 * 4096);
    assert_int_equal(wal_disk_bytes(x->wal), 32768);
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 15000));
    assert_int_equal(wal_room_bytes(x->wal), 2 * 4096);
    expect_ok(x, (struct step){.kind = STEP_PREPARE});
    assert_int_equal(wal_room_bytes(x->wal), (2 + 8) * 4096);
    assert_int_equal(wal_disk_bytes(x->wal), 32768 + 40960);
    assert_int_equal(reopen(x), STATUS_OK);
    assert_int_equal(wal_disk_bytes(x->wal), 32768 + 40960);
}

static void rule_p14_a_replaced_suffix_never_comes_back(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 10, .size = 500));
    expect_ok(x, APPEND(.term = 2, .vote = 1, .truncate_from = 4, .count = 2, .size = 30));
    expect_ok(x, APPEND(.term = 3, .vote = 1, .truncate_from = 5));
    assert_null(wal_model_check(&x->model, x->wal));
    assert_int_equal(state_of(x).last, 4);
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
    expect_ok(x, APPEND(.count = 8, .size = 10));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
}

static void a_truncation_above_the_end_is_none(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 2, .size = 5));
    uint64_t calls = fake_disk_calls(x->disk);
    expect_ok(x, APPEND(.truncate_from = 3));
    assert_int_equal(fake_disk_calls(x->disk), calls);
    expect_ok(x, APPEND(.truncate_from = 3, .count = 1, .size = 5));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
}

/* Rules P5 and P7 together: a leader may commit beyond its own disk, and a floor there would make
 * damage of a torn tail. */
static void rule_p7_the_commit_floor_stays_within_its_batch(void **state)
{
    struct fixture *x = *state;
    struct wal_entry entry = {.index = 1, .term = 1};
    struct wal_batch batch = {
        .hard_state = true, .term = 1, .entries = &entry, .count = 1, .commit = 99};
    assert_int_equal(wal_append(x->wal, &batch), STATUS_OK);
    assert_int_equal(state_of(x).commit, 1);
    assert_int_equal(reopen(x), STATUS_OK);
    assert_int_equal(state_of(x).commit, 1);
}

/* Segments. */

static void rule_p13_a_log_goes_on_over_many_segments(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    for (unsigned i = 0; i < 60; i++) {
        while (wal_wants_prepare(x->wal)) {
            assert_int_equal(wal_prepare(x->wal), STATUS_OK);
        }
        expect_ok(x, APPEND(.count = 2, .size = 4000));
    }
    assert_true(fake_disk_has_file(x->disk, "00000010.log"));
    assert_null(wal_model_check(&x->model, x->wal));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
    expect_ok(x, APPEND(.count = 2, .size = 4000));
    assert_null(wal_model_check(&x->model, x->wal));
}

static void a_prepared_segment_makes_the_change_cheap(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 15000));
    assert_true(wal_wants_prepare(x->wal));
    while (wal_wants_prepare(x->wal)) {
        assert_int_equal(wal_prepare(x->wal), STATUS_OK);
    }
    assert_true(fake_disk_has_file(x->disk, "00000002.log"));
    struct fake_disk_stats before = fake_disk_stats(x->disk);
    expect_ok(x, APPEND(.count = 1, .size = 15000));
    struct fake_disk_stats after = fake_disk_stats(x->disk);
    /* The END record and the batch. */
    assert_int_equal(after.writes - before.writes, 2);
    assert_int_equal(after.syncs - before.syncs, 2);
    assert_int_equal(after.dir_syncs - before.dir_syncs, 0);
}

static void a_step_of_preparation_is_bounded(void **state)
{
    struct fixture *x = *state;
    begin_with(x, 2u * 1024 * 1024, 4u * 1024 * 1024);
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 1200000));
    unsigned steps = 0;
    while (wal_wants_prepare(x->wal)) {
        struct fake_disk_stats before = fake_disk_stats(x->disk);
        assert_int_equal(wal_prepare(x->wal), STATUS_OK);
        struct fake_disk_stats after = fake_disk_stats(x->disk);
        assert_true(after.written_bytes - before.written_bytes <= 1024 * 1024 + 4096);
        assert_int_equal(after.syncs - before.syncs, 1);
        steps++;
        /* An append between two steps is fine. */
        expect_ok(x, APPEND(.count = 1, .size = 15000));
    }
    assert_int_equal(steps, 4);
}

static void segments_double_up_to_their_usual_size(void **state)
{
    struct fixture *x = *state;
    begin_with(x, 16384, 49152);
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    for (unsigned i = 0; i < 30; i++) {
        expect_ok(x, APPEND(.count = 1, .size = 100));
    }
    assert_int_equal(fake_disk_file_size(x->disk, "00000001.log"), 16384);
    assert_int_equal(fake_disk_file_size(x->disk, "00000002.log"), 32768);
    assert_int_equal(fake_disk_file_size(x->disk, "00000003.log"), 49152);
    assert_int_equal(fake_disk_file_size(x->disk, "00000004.log"), 49152);
}

static void a_batch_larger_than_a_segment_gets_a_segment_of_its_size(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 20));
    expect_ok(x, (struct step){.kind = STEP_PREPARE});
    expect_ok(x, APPEND(.count = 1, .size = 300000));
    expect_ok(x, APPEND(.count = 1, .size = 20));
    assert_true(fake_disk_file_size(x->disk, "00000002.log") > 300000);
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
}

static void rule_p8_names_survive_a_power_loss_as_soon_as_they_are_used(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 15000));
    expect_ok(x, APPEND(.count = 1, .size = 15000));
    wal_close(x->wal);
    x->wal = NULL;
    fake_disk_power_loss(x->disk, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_true(fake_disk_has_file(x->disk, "00000001.log"));
    assert_true(fake_disk_has_file(x->disk, "00000002.log"));
    assert_true(fake_disk_has_file(x->disk, "hardstate"));
    assert_false(fake_disk_has_file(x->disk, "segment.tmp"));
    assert_false(fake_disk_has_file(x->disk, "hardstate.tmp"));
}

/* Reading. */

struct reading {
    uint64_t first;
    uint64_t count;
    uint64_t stop_after;
};

static bool count_entry(void *context, const struct wal_entry *entry)
{
    struct reading *reading = context;
    reading->first = reading->count == 0 ? entry->index : reading->first;
    assert_int_equal(entry->index, reading->first + reading->count);
    reading->count++;
    return reading->count != reading->stop_after;
}

static struct reading read_range(struct fixture *x, uint64_t first, uint64_t last,
                                 uint64_t bytes_max)
{
    struct reading reading = {0};
    assert_int_equal(wal_read(x->wal, first, last, bytes_max, count_entry, &reading), STATUS_OK);
    return reading;
}

static void a_read_gives_whole_entries_up_to_a_limit_and_at_least_one(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 10, .size = 100));
    expect_ok(x, APPEND(.count = 10, .size = 100));
    struct reading r = read_range(x, 3, 20, 250);
    assert_int_equal(r.first, 3);
    assert_int_equal(r.count, 2);
    assert_int_equal(read_range(x, 5, 20, 1).count, 1);
    assert_int_equal(read_range(x, 5, 5, UINT64_MAX).count, 1);
    assert_int_equal(read_range(x, 9, 12, UINT64_MAX).count, 4);
    assert_int_equal(read_range(x, 1, 20, UINT64_MAX).count, 20);
    struct reading stopping = {.stop_after = 3};
    assert_int_equal(wal_read(x->wal, 2, 20, UINT64_MAX, count_entry, &stopping), STATUS_OK);
    assert_int_equal(stopping.count, 3);
}

static void any_entry_is_found_in_a_log_with_points_and_truncations(void **state)
{
    struct fixture *x = *state;
    begin_with(x, 1024 * 1024, 1024 * 1024);
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    for (unsigned i = 0; i < 90; i++) {
        expect_ok(x, APPEND(.count = 3, .size = 2000));
        if (i % 20 == 19) {
            expect_ok(x, APPEND(.term = i, .vote = 1, .truncate_from = 3 * i - 30));
        }
    }
    for (unsigned round = 0; round < 2; round++) {
        assert_null(wal_model_check(&x->model, x->wal));
        uint64_t last = state_of(x).last;
        for (uint64_t index = 1; index <= last; index++) {
            assert_int_equal(read_range(x, index, last, 1).first, index);
        }
        assert_int_equal(reopen(x), STATUS_OK);
    }
}

static void a_read_sees_what_was_appended_since_the_last_one(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 100));
    for (unsigned i = 1; i <= 4; i++) {
        assert_int_equal(read_range(x, 1, i, UINT64_MAX).count, i);
        assert_int_equal(read_range(x, i, i, UINT64_MAX).first, i);
        expect_ok(x, APPEND(.count = 1, .size = 100));
    }
}

static void a_read_of_the_last_segment_does_not_outlive_it(void **state)
{
    struct fixture *x = *state;
    begin_with(x, 1 << 20, 1 << 20);
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    for (unsigned i = 1; i <= 60; i++) {
        expect_ok(x, APPEND(.count = 1, .size = 50000));
        unsigned back = i > 15 ? i - 15 : 1;
        assert_int_equal(read_range(x, back, back, UINT64_MAX).first, back);
        assert_int_equal(read_range(x, i, i, UINT64_MAX).first, i);
    }
    assert_true(fake_disk_has_file(x->disk, "00000003.log"));
}

static void a_read_checks_again_what_it_hands_over(void **state)
{
    struct fixture *x = *state;
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 100));
    expect_ok(x, APPEND(.count = 1, .size = 100));
    fake_disk_flip(x->disk, "00000001.log", 4096 + WAL_RECORD_HEADER_BYTES + 50, 0x10);
    struct reading r = {0};
    assert_int_equal(wal_read(x->wal, 1, 1, 1000, count_entry, &r), STATUS_CORRUPT);
    assert_int_equal(r.count, 0);
    assert_int_equal(wal_read(x->wal, 2, 2, 1000, count_entry, &r), STATUS_CORRUPT);
}

/* Cost. */

static uint64_t bytes_written_by(struct fixture *x, struct step step)
{
    uint64_t before = fake_disk_stats(x->disk).written_bytes;
    expect_ok(x, step);
    return fake_disk_stats(x->disk).written_bytes - before;
}

static void a_small_put_costs_one_block_and_many_cost_little_more_than_themselves(void **state)
{
    struct fixture *x = *state;
    begin_with(x, 1024 * 1024, 1024 * 1024);
    expect_ok(x, APPEND(.term = 1, .vote = 1));
    assert_int_equal(bytes_written_by(x, APPEND(.count = 1, .size = 264)), 4096);
    assert_int_equal(bytes_written_by(x, APPEND(.count = 15, .size = 264)), 8192);
    /* 1000 clients: batches of some hundred entries. 6/5 is the target. */
    struct wal_entry entries[500];
    uint8_t payload[264] = {1};
    uint64_t next = state_of(x).last + 1;
    for (unsigned i = 0; i < 500; i++) {
        entries[i] = (struct wal_entry){
            .index = next + i, .term = 1, .payload = slice_of(payload, sizeof payload)};
    }
    uint64_t before = fake_disk_stats(x->disk).written_bytes;
    assert_int_equal(wal_append(x->wal, &(struct wal_batch){.entries = entries, .count = 500}),
                     STATUS_OK);
    uint64_t written = fake_disk_stats(x->disk).written_bytes - before;
    assert_true(written * 100 <= 500 * sizeof payload * 105);
}

static void a_seal_is_written_once(void **state)
{
    struct fixture *x = *state;
    assert_int_equal(bytes_written_by(x, (struct step){.kind = STEP_SEAL}), 0);
    expect_ok(x, APPEND(.term = 1, .vote = 1, .count = 1, .size = 10));
    assert_int_equal(bytes_written_by(x, (struct step){.kind = STEP_SEAL}), 4096);
    assert_int_equal(bytes_written_by(x, (struct step){.kind = STEP_SEAL}), 0);
    assert_int_equal(reopen(x), STATUS_OK);
    assert_int_equal(bytes_written_by(x, (struct step){.kind = STEP_SEAL}), 0);
    expect_ok(x, APPEND(.count = 1, .size = 10));
    assert_int_equal(reopen(x), STATUS_OK);
    assert_null(wal_model_check(&x->model, x->wal));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_log_is_empty_without_term_and_vote),
        TEST(what_was_appended_is_there_after_a_reopening),
        TEST(rule_p1_an_append_is_one_write_and_one_sync),
        TEST(rule_p1_a_batch_without_news_touches_nothing),
        TEST(rule_p6_hard_state_is_durable_before_the_entries_are_written),
        TEST(rule_p6_slots_of_the_hard_state_alternate),
        TEST(rule_p11_the_first_error_poisons_the_log),
        TEST(rule_p11_pages_of_a_failed_sync_are_not_believed_after_a_restart),
        TEST(rule_p12_a_full_disk_stops_a_preparation_and_poisons_nothing),
        TEST(rule_p12_an_append_without_room_writes_nothing_and_poisons_nothing),
        TEST(rule_p12_a_full_disk_under_a_write_is_a_broken_log),
        TEST(rule_p12_room_and_disk_bytes_are_told),
        TEST(rule_p14_a_replaced_suffix_never_comes_back),
        TEST(a_truncation_above_the_end_is_none),
        TEST(rule_p7_the_commit_floor_stays_within_its_batch),
        TEST(rule_p13_a_log_goes_on_over_many_segments),
        TEST(a_prepared_segment_makes_the_change_cheap),
        TEST(a_step_of_preparation_is_bounded),
        TEST(segments_double_up_to_their_usual_size),
        TEST(a_batch_larger_than_a_segment_gets_a_segment_of_its_size),
        TEST(rule_p8_names_survive_a_power_loss_as_soon_as_they_are_used),
        TEST(a_read_gives_whole_entries_up_to_a_limit_and_at_least_one),
        TEST(any_entry_is_found_in_a_log_with_points_and_truncations),
        TEST(a_read_sees_what_was_appended_since_the_last_one),
        TEST(a_read_of_the_last_segment_does_not_outlive_it),
        TEST(a_read_checks_again_what_it_hands_over),
        TEST(a_small_put_costs_one_block_and_many_cost_little_more_than_themselves),
        TEST(a_seal_is_written_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
