/* Rule P4: a damaged log is kept up to the damage, says so, and goes on; term and vote are never
 * guessed. */
#include "base/mem.h"
#include "fake_disk.h"
#include "snapshot_kit.h"
#include "wal/segment.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

struct fixture {
    struct fake_disk *disk;
    struct wal_model model;
};

static int setup(void **state)
{
    struct fixture *x = mem_calloc(1, sizeof *x);
    x->disk = fake_disk_create(&(struct fake_disk_options){.seed = 1, .sector_bytes = 4096});
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;
    fake_disk_destroy(x->disk);
    mem_free(x);
    return 0;
}

/* A closed log after these steps. */
static void write_log(struct fixture *x, const struct step *steps, size_t count)
{
    struct wal *w = NULL;
    struct wal_options options = wal_model_options(x->disk);
    assert_int_equal(wal_open(&options, &w, NULL), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wal_model_step(&x->model, &w, x->disk, &steps[i]), STATUS_OK);
    }
    wal_close(w);
    assert_int_equal(fake_disk_pending(x->disk), 0);
}

/* Three segments; entries 1..6, two a segment. */
static const struct step three_segments[] = {
    {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 9000},
    {.kind = STEP_APPEND, .count = 1, .size = 9000, .commit = 1},
    {.kind = STEP_APPEND, .count = 1, .size = 11000},
    {.kind = STEP_APPEND, .count = 1, .size = 11000},
    {.kind = STEP_APPEND, .count = 1, .size = 11000},
    {.kind = STEP_APPEND, .term = 2, .vote = 2, .count = 1, .size = 11000},
    {.kind = STEP_SEAL},
};

static enum status open_salvaging(struct fake_disk *f, struct wal **w)
{
    struct wal_options options = wal_model_options(f);
    options.salvage = true;
    char *detail = NULL;
    enum status status = wal_open(&options, w, &detail);
    assert_true(status != STATUS_OK || detail == NULL);
    mem_free(detail);
    return status;
}

/* Entries of the log are what the model once had there. */
static bool check_entry(void *context, const struct wal_entry *entry)
{
    const struct model_log *log = context;
    const struct model_entry *e = &log->entries[entry->index - 1];
    return entry->index <= log->last && entry->term == e->term && entry->payload.size == e->size;
}

static void expect_prefix(const struct fixture *x, struct wal *w, uint64_t last)
{
    struct wal_state s;
    wal_state(w, &s);
    assert_int_equal(s.last, last);
    assert_true(s.commit <= s.last);
    if (s.first <= s.last) {
        struct model_log log = x->model.acked;
        assert_int_equal(wal_read(w, s.first, s.last, UINT64_MAX, check_entry, &log), STATUS_OK);
    }
}

static void expect_recovering(struct wal *w, const char *words)
{
    struct wal_state s;
    wal_state(w, &s);
    assert_true(s.recovering);
    if (strstr(s.damage, words) == NULL) {
        fail_msg("damage is \"%s\", expected \"%s\"", s.damage, words);
    }
}

/* The log takes entries again, in the term in force, and is sound without salvage. */
static void expect_goes_on(struct fake_disk *f, struct wal *w)
{
    struct wal_state s;
    wal_state(w, &s);
    uint64_t last = s.last;
    uint8_t payload[6000] = {7};
    for (unsigned i = 0; i < 8; i++) {
        struct wal_entry e = {
            .index = s.last + 1, .term = s.term, .payload = slice_of(payload, sizeof payload)};
        assert_int_equal(wal_append(w, &(struct wal_batch){.entries = &e, .count = 1}), STATUS_OK);
        wal_state(w, &s);
    }
    assert_int_equal(s.last, last + 8);
    wal_close(w);
    struct wal_options options = wal_model_options(f);
    char *detail = NULL;
    if (wal_open(&options, &w, &detail) != STATUS_OK) {
        fail_msg("after salvage: %s", detail);
    }
    wal_state(w, &s);
    assert_int_equal(s.last, last + 8);
    assert_true(s.recovering);
    assert_int_equal(s.damage[0], 0);
    assert_int_equal(wal_recovered(w), STATUS_OK);
    wal_state(w, &s);
    assert_false(s.recovering);
    wal_close(w);
    fake_disk_power_loss(f, (struct fake_loss){.kind = FAKE_LOSS_ALL});
    assert_int_equal(wal_open(&options, &w, NULL), STATUS_OK);
    wal_state(w, &s);
    assert_false(s.recovering);
    wal_close(w);
}

struct damage {
    const char *file;
    uint64_t offset;
    uint64_t last; /* entries that are left */
    const char *words;
};

static const struct damage damages[] = {
    {"00000001.log", 20, 0, "00000001.log, offset 0: the header block is damaged"},
    {"00000001.log", 4096 + 50, 0, "00000001.log, offset 4096"},
    {"00000001.log", 4 * 4096 + 50, 1, "00000001.log, offset 16384"},
    {"00000001.log", 7 * 4096 + 50, 2, "00000001.log"},
    {"00000002.log", 20, 2, "00000002.log, offset 0"},
    {"00000002.log", 4096 + 5000, 2, "00000002.log, offset 4096"},
    {"00000002.log", 4 * 4096 + 50, 3, "00000002.log, offset 16384"},
    {"00000003.log", 4096 + 50, 4, "00000003.log, offset 4096"},
    {"00000003.log", 4 * 4096 + 50, 5, "00000003.log, offset 16384"},
};

static void rule_p4_a_log_is_kept_up_to_the_damage(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const struct damage *d = &damages[i];
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_flip(f, d->file, d->offset, 8);
        struct wal_options options = wal_model_options(f);
        struct wal *w = NULL;
        assert_int_equal(wal_open(&options, &w, NULL), STATUS_CORRUPT);
        assert_int_equal(open_salvaging(f, &w), STATUS_OK);
        expect_recovering(w, d->words);
        expect_prefix(x, w, d->last);
        /* What was cut off can still be looked at. */
        char aside[40];
        snprintf(aside, sizeof aside, "%s.damaged", d->file);
        assert_true(fake_disk_has_file(f, aside));
        expect_goes_on(f, w);
        fake_disk_destroy(f);
    }
}

static void rule_p4_missing_segments_are_damage_too(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    static const struct {
        const char *files[3];
        uint64_t last;
    } cases[] = {
        {{"00000003.log"}, 4},
        {{"00000002.log"}, 2},
        {{"00000001.log"}, 0},
        {{"00000001.log", "00000002.log"}, 0},
        {{"00000001.log", "00000002.log", "00000003.log"}, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        for (unsigned k = 0; k < 3 && cases[i].files[k] != NULL; k++) {
            fake_disk_remove(f, cases[i].files[k]);
        }
        struct wal *w = NULL;
        assert_int_equal(open_salvaging(f, &w), STATUS_OK);
        expect_recovering(w, "");
        expect_prefix(x, w, cases[i].last);
        expect_goes_on(f, w);
        fake_disk_destroy(f);
    }
}

static void rule_p4_a_sound_log_is_left_alone(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    struct wal *w = NULL;
    assert_int_equal(open_salvaging(x->disk, &w), STATUS_OK);
    struct wal_state s;
    wal_state(w, &s);
    assert_false(s.recovering);
    assert_int_equal(s.damage[0], 0);
    uint64_t calls = fake_disk_calls(x->disk);
    assert_int_equal(wal_recovered(w), STATUS_OK);
    assert_int_equal(fake_disk_calls(x->disk), calls);
    assert_null(wal_model_check(&x->model, w));
    wal_close(w);
}

static void rule_p4_damage_before_the_snapshot_falls_back_to_the_snapshot(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    assert_int_equal(kit_write(fake_disk_as_disk(x->disk),
                               (struct snapshot_id){.index = 4, .term = 1}, 1, 10, true),
                     STATUS_OK);
    fake_disk_flip(x->disk, "00000002.log", 4096 + 50, 1);
    struct wal *w = NULL;
    assert_int_equal(open_salvaging(x->disk, &w), STATUS_OK);
    struct wal_state s;
    wal_state(w, &s);
    assert_int_equal(s.snapshot_index, 4);
    assert_int_equal(s.first, 5);
    assert_int_equal(s.last, 4);
    expect_recovering(w, "00000002.log, offset 4096");
    expect_goes_on(x->disk, w);
}

/* The log begins after a snapshot that is damaged, and no other reaches it. */
static void rule_p4_a_log_without_its_snapshot_falls_back_to_an_older_one(void **state)
{
    struct fixture *x = *state;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 3, .size = 10},
        {.kind = STEP_SNAPSHOT, .snapshot = 2},
        {.kind = STEP_INSTALL, .snapshot = 9, .snapshot_term = 1, .count = 2, .size = 20},
    };
    write_log(x, steps, COUNT_OF(steps));
    fake_disk_flip(x->disk, "snapshot-9.snap", 130, 1);
    struct wal *w = NULL;
    assert_int_equal(open_salvaging(x->disk, &w), STATUS_OK);
    struct wal_state s;
    wal_state(w, &s);
    assert_int_equal(s.snapshot_index, 2);
    assert_int_equal(s.first, 3);
    assert_int_equal(s.last, 2);
    expect_recovering(w, "the log begins with entry 10");
    expect_goes_on(x->disk, w);
}

static bool count_entry(void *context, const struct wal_entry *e)
{
    uint64_t *last = context;
    assert_int_equal(e->index, *last + 1);
    *last = e->index;
    return true;
}

static void rule_p4_a_damaged_log_can_be_looked_at_without_a_change(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        const struct damage *d = &damages[i];
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_flip(f, d->file, d->offset, 8);
        struct fake_disk_stats before = fake_disk_stats(f);
        struct wal_options options = wal_model_options(f);
        uint64_t last = 0;
        assert_int_equal(wal_look(&options, count_entry, &last), STATUS_OK);
        assert_int_equal(last, d->last);
        struct fake_disk_stats after = fake_disk_stats(f);
        assert_memory_equal(&after, &before, sizeof after);
        fake_disk_destroy(f);
    }
}

static void rule_p4_a_log_without_any_snapshot_begins_anew(void **state)
{
    struct fixture *x = *state;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 3, .size = 10},
        {.kind = STEP_INSTALL, .snapshot = 9, .snapshot_term = 1, .count = 2, .size = 20},
    };
    write_log(x, steps, COUNT_OF(steps));
    static const uint64_t places[] = {20, 130}; /* header, state */
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_flip(f, "snapshot-9.snap", places[i], 1);
        struct wal_options options = wal_model_options(f);
        struct wal *w = NULL;
        char *detail = NULL;
        assert_int_equal(wal_open(&options, &w, &detail), STATUS_CORRUPT);
        assert_non_null(strstr(detail, "snapshot-9.snap"));
        mem_free(detail);
        assert_false(fake_disk_has_file(f, "recovering"));
        assert_int_equal(open_salvaging(f, &w), STATUS_OK);
        struct wal_state s;
        wal_state(w, &s);
        assert_int_equal(s.snapshot_index, 0);
        assert_int_equal(s.first, 1);
        assert_int_equal(s.last, 0);
        assert_int_equal(s.commit, 0);
        expect_recovering(w, "snapshot-9.snap");
        expect_goes_on(f, w);
        fake_disk_destroy(f);
    }
}

static void rule_p6_damaged_term_and_vote_are_never_salvaged(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    struct wal *w = NULL;
    for (unsigned i = 0; i < 3; i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        switch (i) {
        case 0:
            fake_disk_fill(f, "hardstate", 0, 16384, 0xee);
            break;
        case 1:
            fake_disk_remove(f, "hardstate");
            break;
        default:
            /* The newest state only, and records know of it. */
            fake_disk_fill(f, "hardstate", 0, 8192, 0xee);
            break;
        }
        assert_int_equal(open_salvaging(f, &w), STATUS_CORRUPT);
        assert_false(fake_disk_has_file(f, "recovering"));
        fake_disk_destroy(f);
    }
}

static void rule_p4_few_damaged_files_are_kept(void **state)
{
    struct fixture *x = *state;
    struct wal *w = NULL;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 9000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
        {.kind = STEP_APPEND, .count = 1, .size = 20000},
    };
    write_log(x, steps, COUNT_OF(steps));
    assert_true(fake_disk_has_file(x->disk, "00000010.log"));
    fake_disk_flip(x->disk, "00000001.log", 4096 + 40, 1);
    assert_int_equal(open_salvaging(x->disk, &w), STATUS_OK);
    wal_close(w);
    unsigned count = 0;
    for (unsigned i = 1; i < 20; i++) {
        char name[40];
        snprintf(name, sizeof name, "%08u.log.damaged", i);
        count += fake_disk_has_file(x->disk, name);
    }
    assert_int_equal(count, 8);
}

/* After a loss of everything sequences begin anew, and a recycled segment has records of such
 * sequences in it (rule P3b). */
static void rule_p4_recycled_segments_go_before_sequences_are_used_again(void **state)
{
    struct fixture *x = *state;
    struct step steps[40];
    for (unsigned i = 0; i < COUNT_OF(steps); i++) {
        steps[i] = (struct step){.kind = STEP_APPEND, .count = 1, .size = 15000};
    }
    steps[0].term = 1;
    steps[COUNT_OF(steps) - 2] = (struct step){.kind = STEP_SNAPSHOT, .snapshot = 38};
    steps[COUNT_OF(steps) - 1] = (struct step){.kind = STEP_COMPACT};
    write_log(x, steps, COUNT_OF(steps));
    assert_true(fake_disk_has_file(x->disk, "00000002.free"));
    char name[SEGMENT_NAME_SIZE];
    for (unsigned i = 1; i < 40; i++) {
        snprintf(name, sizeof name, "%08u.log", i);
        if (fake_disk_has_file(x->disk, name)) {
            fake_disk_remove(x->disk, name);
        }
    }
    struct wal *w = NULL;
    assert_int_equal(open_salvaging(x->disk, &w), STATUS_OK);
    for (unsigned i = 1; i < 40; i++) {
        snprintf(name, sizeof name, "%08u.free", i);
        assert_false(fake_disk_has_file(x->disk, name));
    }
    expect_goes_on(x->disk, w);
}

/* Cut short at any call, by any loss: the next start comes to the same, or has it done already. */
static void salvage_cut_short(const struct fixture *x, const struct damage *d, uint64_t call,
                              struct fake_loss loss, bool *was_reached)
{
    struct fake_disk *f = fake_disk_clone(x->disk);
    fake_disk_flip(f, d->file, d->offset, 8);
    uint64_t before = fake_disk_calls(f);
    fake_disk_halt_at(f, before + call);
    struct wal *w = NULL;
    bool is_done = open_salvaging(f, &w) == STATUS_OK;
    *was_reached = fake_disk_calls(f) >= before + call;
    wal_close(w);
    fake_disk_power_loss(f, loss);
    enum status status = open_salvaging(f, &w);
    if (status != STATUS_OK) {
        fail_msg("%s, %u: cut at call %u, loss %d: %s", d->file, (unsigned)d->offset,
                 (unsigned)call, (int)loss.kind, status_name(status));
    }
    struct wal_state s;
    wal_state(w, &s);
    assert_true(s.recovering);
    assert_true(!is_done || s.damage[0] == '\0' || s.last == 0);
    expect_prefix(x, w, d->last);
    expect_goes_on(f, w);
    fake_disk_destroy(f);
}

static void rule_p4_crash_at_every_call_of_a_salvage(void **state)
{
    struct fixture *x = *state;
    write_log(x, three_segments, COUNT_OF(three_segments));
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        bool was_reached = true;
        for (uint64_t call = 1; was_reached; call++) {
            static const enum fake_loss_kind kinds[] = {FAKE_LOSS_NONE, FAKE_LOSS_ALL,
                                                        FAKE_LOSS_RANDOM};
            for (size_t k = 0; k < COUNT_OF(kinds); k++) {
                salvage_cut_short(x, &damages[i], call, (struct fake_loss){.kind = kinds[k]},
                                  &was_reached);
            }
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_p4_a_log_is_kept_up_to_the_damage),
        TEST(rule_p4_missing_segments_are_damage_too),
        TEST(rule_p4_a_sound_log_is_left_alone),
        TEST(rule_p4_damage_before_the_snapshot_falls_back_to_the_snapshot),
        TEST(rule_p4_a_log_without_its_snapshot_falls_back_to_an_older_one),
        TEST(rule_p4_a_damaged_log_can_be_looked_at_without_a_change),
        TEST(rule_p4_a_log_without_any_snapshot_begins_anew),
        TEST(rule_p6_damaged_term_and_vote_are_never_salvaged),
        TEST(rule_p4_few_damaged_files_are_kept),
        TEST(rule_p4_recycled_segments_go_before_sequences_are_used_again),
        TEST(rule_p4_crash_at_every_call_of_a_salvage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
