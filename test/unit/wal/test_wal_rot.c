/* Damage of bytes that were acknowledged: it is named, or it is harmless; never silence. */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "fake_disk.h"
#include "wal/hard_state.h"
#include "wal/wal_format.h"
#include "wal_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT_1    "00000001.log"
#define SEGMENT_2    "00000002.log"
#define SEGMENT_3    "00000003.log"
#define ENTRY_SIZE   40
#define COUNT_OF(a)  (sizeof(a) / sizeof((a)[0]))
#define PADDING_STEP 61

struct fixture {
    struct fake_disk *disk;
    struct wal_model model;
    struct wal_options options;
};

static enum status open_log(struct fake_disk *f, struct wal **w, char **detail)
{
    struct wal_options options = wal_model_options(f);
    return wal_open(&options, w, detail);
}

/* A closed log after these steps. */
static void write_log(struct fixture *x, const struct step *steps, size_t count)
{
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(open_log(x->disk, &w, &detail), STATUS_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wal_model_step(&x->model, &w, x->disk, &steps[i]), STATUS_OK);
    }
    wal_close(w);
    assert_int_equal(fake_disk_pending(x->disk), 0);
}

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

/* One segment: five records, a suffix replaced, and a seal. */
static void write_sealed(struct fixture *x)
{
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = ENTRY_SIZE},
        {.kind = STEP_APPEND, .count = 3, .size = ENTRY_SIZE},
        {.kind = STEP_APPEND,
         .term = 2,
         .vote = 2,
         .truncate_from = 3,
         .count = 2,
         .size = ENTRY_SIZE,
         .commit = 2},
        {.kind = STEP_APPEND, .count = 1, .size = ENTRY_SIZE, .commit = 4},
        {.kind = STEP_SEAL},
    };
    write_log(x, steps, COUNT_OF(steps));
}

/* Three segments in use and records in each. */
static void write_segments(struct fixture *x)
{
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 2, .size = 9000},
        {.kind = STEP_APPEND, .count = 2, .size = 9000},
        {.kind = STEP_APPEND, .count = 1, .size = 9000},
        {.kind = STEP_APPEND, .count = 2, .size = 9000},
        {.kind = STEP_APPEND, .count = 1, .size = 100},
        {.kind = STEP_SEAL},
    };
    write_log(x, steps, COUNT_OF(steps));
}

/* CORRUPT, and the text names the file and holds `words`. */
static void expect_corrupt(struct fake_disk *f, const char *file, const char *words)
{
    struct wal *w = NULL;
    char *detail = NULL;
    enum status status = open_log(f, &w, &detail);
    if (status != STATUS_CORRUPT || detail == NULL || strstr(detail, file) == NULL ||
        strstr(detail, words) == NULL) {
        fail_msg("%s: %s, expected \"%s\" and \"%s\"", status_name(status),
                 detail != NULL ? detail : "no detail", file, words);
    }
    assert_null(w);
    mem_free(detail);
}

/* CORRUPT with a reason, or everything is there. */
static void expect_corrupt_or_whole(const struct fixture *x, struct fake_disk *f, const char *file,
                                    uint64_t offset)
{
    struct wal *w = NULL;
    char *detail = NULL;
    enum status status = open_log(f, &w, &detail);
    bool is_named = status == STATUS_CORRUPT && detail != NULL;
    struct wal_model model = x->model;
    bool is_whole = status == STATUS_OK && wal_model_check(&model, w) == NULL;
    if (!is_named && !is_whole) {
        fail_msg("%s, byte %" PRIu64 " flipped: %s", file, offset, status_name(status));
    }
    mem_free(detail);
    wal_close(w);
}

static void flip_each(const struct fixture *x, const char *file, uint64_t from, uint64_t to,
                      uint64_t step, bool every_bit)
{
    for (uint64_t at = from; at < to; at += step) {
        for (unsigned bit = every_bit ? 0 : at % 8; bit < (every_bit ? 8 : at % 8 + 1); bit++) {
            struct fake_disk *f = fake_disk_clone(x->disk);
            fake_disk_flip(f, file, at, (uint8_t)(1u << bit));
            expect_corrupt_or_whole(x, f, file, at);
            fake_disk_destroy(f);
        }
    }
}

static void rule_p2_every_flipped_bit_of_a_sealed_log_is_found(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    uint64_t size = fake_disk_file_size(x->disk, SEGMENT_1);
    for (uint64_t block = 0; block < size; block += WAL_BLOCK_BYTES) {
        /* A record of three entries has 120 + 9 + 120 bytes. */
        flip_each(x, SEGMENT_1, block, block + 256, 1, true);
        flip_each(x, SEGMENT_1, block + 256, block + WAL_BLOCK_BYTES, PADDING_STEP, false);
    }
}

/* Whatever bit of a record before the last goes, the record is named. */
static void rule_p2_header_length_and_payload_are_all_under_the_checksum(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    for (uint64_t block = WAL_BLOCK_BYTES; block < 5 * WAL_BLOCK_BYTES; block += WAL_BLOCK_BYTES) {
        for (uint64_t at = block; at < block + WAL_RECORD_HEADER_BYTES + 3 + ENTRY_SIZE; at++) {
            struct fake_disk *f = fake_disk_clone(x->disk);
            fake_disk_flip(f, SEGMENT_1, at, (uint8_t)(1u << (at % 8)));
            char where[40];
            snprintf(where, sizeof where, "offset %" PRIu64 ": ", block);
            expect_corrupt(f, SEGMENT_1, where);
            fake_disk_destroy(f);
        }
    }
}

static void rule_p6b_one_flipped_byte_of_the_hard_state_changes_nothing(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    for (uint64_t block = 0; block < 4 * WAL_BLOCK_BYTES; block += WAL_BLOCK_BYTES) {
        for (uint64_t at = block; at < block + 80; at++) {
            struct fake_disk *f = fake_disk_clone(x->disk);
            fake_disk_flip(f, HARD_STATE_FILE, at, (uint8_t)(1u << (at % 8)));
            struct wal_model model = x->model;
            assert_null(wal_model_reopen_check(&model, f));
            fake_disk_destroy(f);
        }
    }
}

/* One copy rots; a start finds it; later the other one rots. Version 4 is in slot 0. */
static void rule_p6b_a_bad_copy_is_healed_at_the_next_start(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    fake_disk_flip(x->disk, HARD_STATE_FILE, 40, 1);
    assert_null(wal_model_reopen_check(&x->model, x->disk));
    fake_disk_flip(x->disk, HARD_STATE_FILE, WAL_BLOCK_BYTES + 40, 1);
    assert_null(wal_model_reopen_check(&x->model, x->disk));
}

/* Version 4 is in force, in slot 0: the first two blocks. */
static void rule_p6b_a_lost_slot_that_the_log_knows_of_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    fake_disk_fill(x->disk, HARD_STATE_FILE, 0, 2 * WAL_BLOCK_BYTES, 0xee);
    expect_corrupt(x->disk, SEGMENT_1, "has only version 3");
}

/* The same loss before any record followed is what a torn write leaves: the state before holds. */
static void rule_p6_a_torn_slot_gives_the_state_before(void **state)
{
    struct fixture *x = *state;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 10},
        {.kind = STEP_APPEND, .term = 2, .vote = 2},
    };
    write_log(x, steps, COUNT_OF(steps));
    fake_disk_fill(x->disk, HARD_STATE_FILE, 0, 2 * WAL_BLOCK_BYTES, 0xee);
    x->model.acked.term = 1;
    x->model.acked.vote = 1;
    assert_null(wal_model_reopen_check(&x->model, x->disk));
}

static void rule_p6_two_bad_slots_are_corrupt_and_never_term_0(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    for (unsigned block = 0; block < 4; block++) {
        fake_disk_flip(x->disk, HARD_STATE_FILE, block * WAL_BLOCK_BYTES + 40, 1);
    }
    expect_corrupt(x->disk, HARD_STATE_FILE, "no copy of term and vote is good");
}

static void rule_p6_a_lost_hard_state_file_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    fake_disk_remove(x->disk, HARD_STATE_FILE);
    expect_corrupt(x->disk, SEGMENT_1, "hardstate is missing");
}

static void rule_p6_an_older_hard_state_put_back_is_corrupt(void **state)
{
    struct fixture *x = *state;
    static const struct step early[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 10}};
    write_log(x, early, COUNT_OF(early));
    struct fake_disk *backup = fake_disk_clone(x->disk);
    static const struct step later[] = {
        {.kind = STEP_APPEND, .term = 2, .vote = 2},
        {.kind = STEP_APPEND, .term = 3, .vote = 3, .count = 1, .size = 10},
    };
    write_log(x, later, COUNT_OF(later));
    fake_disk_copy_from(x->disk, backup, HARD_STATE_FILE);
    expect_corrupt(x->disk, SEGMENT_1, "has only version 3");
    fake_disk_destroy(backup);
}

/* The other way round: the hard state proves what the log has lost. */
static void rule_p7_a_log_that_ends_before_a_synced_record_is_corrupt(void **state)
{
    struct fixture *x = *state;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 10},
        {.kind = STEP_APPEND, .count = 1, .size = 10},
        {.kind = STEP_APPEND, .term = 2, .vote = 1},
    };
    write_log(x, steps, COUNT_OF(steps));
    fake_disk_fill(x->disk, SEGMENT_1, 2 * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES, 0);
    expect_corrupt(x->disk, SEGMENT_1, "says that record 2 was synced");
}

static void rule_p10_a_zeroed_page_in_the_middle_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    for (unsigned block = 1; block <= 4; block++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_fill(f, SEGMENT_1, block * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES, 0);
        expect_corrupt(f, SEGMENT_1, "was synced before record");
        fake_disk_destroy(f);
    }
}

static void rule_p10_zeroed_pages_anywhere_are_never_silent(void **state)
{
    struct fixture *x = *state;
    write_segments(x);
    static const char *const files[] = {SEGMENT_1, SEGMENT_2, SEGMENT_3};
    for (unsigned i = 0; i < COUNT_OF(files); i++) {
        uint64_t size = fake_disk_file_size(x->disk, files[i]);
        for (uint64_t at = 0; at < size; at += WAL_BLOCK_BYTES) {
            struct fake_disk *f = fake_disk_clone(x->disk);
            fake_disk_fill(f, files[i], at, WAL_BLOCK_BYTES, 0);
            expect_corrupt_or_whole(x, f, files[i], at);
            fake_disk_destroy(f);
        }
    }
}

/* The limit that the rules name: without a seal, rot in the last record looks like a torn write. */
static void
rule_p3_damage_of_the_last_record_is_torn_without_a_seal_and_corrupt_with_one(void **state)
{
    struct fixture *x = *state;
    static const struct step steps[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 1, .size = 10},
        {.kind = STEP_APPEND, .count = 1, .size = 5000},
    };
    write_log(x, steps, COUNT_OF(steps));
    struct fake_disk *f = fake_disk_clone(x->disk);
    fake_disk_flip(f, SEGMENT_1, 3 * WAL_BLOCK_BYTES, 1);
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(open_log(f, &w, &detail), STATUS_OK);
    struct wal_state s;
    wal_state(w, &s);
    assert_int_equal(s.last, 1);
    assert_int_equal(s.torn_bytes, 2 * WAL_BLOCK_BYTES);
    wal_close(w);
    /* Cut, durably: the next opening finds a clean end. */
    assert_int_equal(fake_disk_byte(f, SEGMENT_1, 3 * WAL_BLOCK_BYTES), 0);
    assert_int_equal(open_log(f, &w, &detail), STATUS_OK);
    wal_state(w, &s);
    assert_int_equal(s.torn_bytes, 0);
    wal_close(w);
    fake_disk_destroy(f);

    static const struct step seal[] = {{.kind = STEP_SEAL}};
    write_log(x, seal, 1);
    fake_disk_flip(x->disk, SEGMENT_1, 3 * WAL_BLOCK_BYTES, 1);
    expect_corrupt(x->disk, SEGMENT_1, "record 2 is damaged");
}

/* Files. */

static void rule_p13_a_missing_segment_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_segments(x);
    static const struct {
        const char *file;
        const char *named;
        const char *words;
    } cases[] = {
        {SEGMENT_1, "", "the log begins with entry 3, and the newest sound snapshot ends at 0"},
        {SEGMENT_2, SEGMENT_2, "the segment is missing"},
        {SEGMENT_3, SEGMENT_2, "goes on in the next segment, which is missing"},
    };
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_remove(f, cases[i].file);
        expect_corrupt(f, cases[i].named, cases[i].words);
        fake_disk_destroy(f);
    }
    fake_disk_remove(x->disk, SEGMENT_1);
    fake_disk_remove(x->disk, SEGMENT_2);
    fake_disk_remove(x->disk, SEGMENT_3);
    expect_corrupt(x->disk, HARD_STATE_FILE, "no log segment does");
}

static void rule_p13_swapped_segments_are_corrupt(void **state)
{
    struct fixture *x = *state;
    write_segments(x);
    fake_disk_swap(x->disk, SEGMENT_2, SEGMENT_3);
    expect_corrupt(x->disk, SEGMENT_2, "segment 3 under a wrong name");
}

static void rule_p13_a_file_of_another_size_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_segments(x);
    uint64_t size = fake_disk_file_size(x->disk, SEGMENT_2);
    const uint64_t sizes[] = {0, 10, 4096, size - 4096, size - 1, size + 1, size + 4096};
    for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        fake_disk_resize(f, SEGMENT_2, sizes[i]);
        expect_corrupt(f, SEGMENT_2, "");
        fake_disk_destroy(f);
    }
}

/* An older version of the last segment, from a copy of the directory: valid, and not the newest. */
static void rule_p13_an_older_copy_of_a_closed_segment_is_corrupt(void **state)
{
    struct fixture *x = *state;
    static const struct step early[] = {
        {.kind = STEP_APPEND, .term = 1, .vote = 1, .count = 2, .size = 5000}};
    write_log(x, early, COUNT_OF(early));
    struct fake_disk *backup = fake_disk_clone(x->disk);
    static const struct step later[] = {
        {.kind = STEP_APPEND, .count = 2, .size = 5000},
        {.kind = STEP_APPEND, .count = 2, .size = 5000},
    };
    write_log(x, later, COUNT_OF(later));
    assert_true(fake_disk_has_file(x->disk, SEGMENT_2));
    fake_disk_copy_from(x->disk, backup, SEGMENT_1);
    expect_corrupt(x->disk, SEGMENT_1, "the next segment is in use");
    fake_disk_destroy(backup);
}

static void rule_p3_a_segment_of_another_log_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_segments(x);
    struct fake_disk *other =
        fake_disk_create(&(struct fake_disk_options){.seed = 2, .sector_bytes = 4096});
    struct wal_options options = wal_model_options(other);
    options.log_id.bytes[3] ^= 1;
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(wal_open(&options, &w, &detail), STATUS_OK);
    wal_close(w);
    fake_disk_copy_from(x->disk, other, SEGMENT_1);
    expect_corrupt(x->disk, SEGMENT_1, "another log");
    fake_disk_destroy(other);

    /* And a whole directory that belongs to another. */
    struct fixture y = {
        .disk = fake_disk_create(&(struct fake_disk_options){.seed = 3, .sector_bytes = 4096})};
    write_sealed(&y);
    options = wal_model_options(y.disk);
    options.log_id.bytes[0] ^= 1;
    assert_int_equal(wal_open(&options, &w, &detail), STATUS_CORRUPT);
    assert_non_null(strstr(detail, "another log"));
    mem_free(detail);
    fake_disk_destroy(y.disk);
}

static void a_log_that_must_exist_is_not_made_anew(void **state)
{
    struct fixture *x = *state;
    struct wal_options options = wal_model_options(x->disk);
    options.must_exist = true;
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(wal_open(&options, &w, &detail), STATUS_CORRUPT);
    assert_non_null(strstr(detail, "though there was a log here"));
    mem_free(detail);
    assert_false(fake_disk_has_file(x->disk, SEGMENT_1));
}

/* Forged records: checksums right, contents not. */

/* Put a record with entries of empty payloads into block `block` of the first segment. */
static void forge_of(struct fixture *x, struct uuid log_id, struct wal_record rec, unsigned block)
{
    struct wal_entry entry = {.index = rec.first, .term = rec.term};
    struct buf heads = {0};
    entry_heads_encode(&entry, rec.count, &heads);
    rec.heads = (uint32_t)heads.size;
    rec.length = (uint32_t)heads.size;
    uint8_t header[WAL_RECORD_HEADER_BYTES];
    record_encode_header(&rec, log_id, buf_slice(&heads), &entry, header);
    uint64_t offset = block * WAL_BLOCK_BYTES;
    fake_disk_overwrite(x->disk, SEGMENT_1, offset, slice_of(header, sizeof header));
    if (heads.size > 0) {
        fake_disk_overwrite(x->disk, SEGMENT_1, offset + sizeof header, buf_slice(&heads));
    }
    buf_deinit(&heads);
}

/* Of this log, and at home where it is put. */
static void forge(struct fixture *x, struct wal_record rec, unsigned block)
{
    rec.sequence = 1;
    rec.offset = block * WAL_BLOCK_BYTES;
    forge_of(x, wal_model_options(x->disk).log_id, rec, block);
}

/* The record that may follow write_sealed. */
static struct wal_record rightful(struct fixture *x)
{
    uint8_t crc[4];
    for (unsigned i = 0; i < 4; i++) {
        crc[i] = fake_disk_byte(x->disk, SEGMENT_1, 5 * WAL_BLOCK_BYTES + 4 + i);
    }
    return (struct wal_record){.type = WAL_RECORD_ENTRIES,
                               .count = 1,
                               .number = 6,
                               .synced = 5,
                               .previous_crc = load_u32(crc),
                               .first = 6,
                               .term = 2,
                               .previous_term = 2,
                               .commit = 5,
                               .hard_number = 4};
}

static void rule_p13_a_record_that_does_not_follow_is_corrupt(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    struct wal_record good = rightful(x);
    forge(x, good, 6);
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(open_log(x->disk, &w, &detail), STATUS_OK);
    wal_close(w);

    struct wal_record bad[13];
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].number = 7;
    bad[1].previous_crc ^= 1;
    bad[2].first = 7;
    bad[3].term = 1;
    bad[4].term = 3;
    bad[5].commit = 7;
    bad[6].commit = 3;
    bad[7].hard_number = 5;
    bad[8].type = WAL_RECORD_TRUNCATE;
    bad[8].first = 4;
    bad[8].commit = 4;
    bad[9].previous_term = 1;
    bad[10].type = WAL_RECORD_SEAL;
    bad[11].type = WAL_RECORD_SNAPSHOT;
    bad[11].first = UINT64_MAX;
    bad[11].commit = 0;
    bad[12].type = WAL_RECORD_SNAPSHOT;
    bad[12].count = 0;
    bad[12].previous_term = 3;
    for (unsigned i = 0; i < COUNT_OF(bad); i++) {
        forge(x, bad[i], 6);
        expect_corrupt(x->disk, SEGMENT_1, "offset 24576: ");
    }
}

/* A sound header of version 2: all that a later version promises is the place of its checksum. */
static void make_newer(struct fake_disk *f, const char *file, uint64_t offset, size_t crc_offset)
{
    uint8_t header[WAL_BLOCK_BYTES];
    fake_disk_flip(f, file, offset + 8, WAL_FORMAT_VERSION ^ (WAL_FORMAT_VERSION + 1));
    for (size_t i = 0; i < crc_offset; i++) {
        header[i] = fake_disk_byte(f, file, offset + i);
    }
    store_u32(header, crc32c(0, header, crc_offset));
    fake_disk_overwrite(f, file, offset + crc_offset, slice_of(header, 4));
}

static void a_newer_format_is_refused_by_name(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    for (unsigned i = 0; i < 2; i++) {
        struct fake_disk *f = fake_disk_clone(x->disk);
        const char *file = i == 0 ? SEGMENT_1 : HARD_STATE_FILE;
        make_newer(f, file, 0, i == 0 ? 48 : 68);
        struct wal *w = NULL;
        char *detail = NULL;
        assert_int_equal(open_log(f, &w, &detail), STATUS_UNSUPPORTED);
        assert_non_null(strstr(detail, file));
        mem_free(detail);
        fake_disk_destroy(f);
    }
}

static void an_unknown_record_type_is_unsupported(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    struct wal_record rec = rightful(x);
    rec.type = (enum wal_record_type)(WAL_RECORD_SNAPSHOT + 1);
    forge(x, rec, 6);
    struct wal *w = NULL;
    char *detail = NULL;
    assert_int_equal(open_log(x->disk, &w, &detail), STATUS_UNSUPPORTED);
    assert_non_null(strstr(detail, "record type 6"));
    mem_free(detail);
}

/* A later record is evidence only if it says that the missing one was synced. */
static void rule_p9_a_later_record_of_the_unsynced_range_is_no_evidence(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    struct wal_record rec = rightful(x);
    rec.number = 7;
    rec.synced = 5;
    forge(x, rec, 7);
    struct fake_disk *f = fake_disk_clone(x->disk);
    struct wal_model model = x->model;
    assert_null(wal_model_reopen_check(&model, f));
    fake_disk_destroy(f);

    rec.synced = 6;
    forge(x, rec, 7);
    expect_corrupt(x->disk, SEGMENT_1, "record 6 is damaged");
}

/* A record counts only where it was written: in this log, this segment, at this offset. Anything
 * else that looks like one (in a value, in a recycled segment) is no evidence (rule P3b). */
static void rule_p3b_a_record_in_a_wrong_place_is_none(void **state)
{
    struct fixture *x = *state;
    write_sealed(x);
    struct wal_record rec = rightful(x);
    rec.number = 7;
    rec.synced = 6;
    rec.sequence = 1;
    rec.offset = 7 * WAL_BLOCK_BYTES;
    struct uuid log_id = wal_model_options(x->disk).log_id;
    forge_of(x, log_id, rec, 7);
    expect_corrupt(x->disk, SEGMENT_1, "record 6 is damaged");

    struct wal_record elsewhere = rec;
    elsewhere.offset += WAL_BLOCK_BYTES;
    struct wal_record of_old_segment = rec;
    of_old_segment.sequence = 0;
    struct uuid other = log_id;
    other.bytes[15] ^= 1;
    for (unsigned i = 0; i < 3; i++) {
        forge_of(x, i == 0 ? other : log_id, i == 1 ? elsewhere : i == 2 ? of_old_segment : rec, 7);
        struct wal_model model = x->model;
        assert_null(wal_model_reopen_check(&model, x->disk));
    }
}

static uint32_t crc_of(struct wal_record rec)
{
    uint8_t header[WAL_RECORD_HEADER_BYTES];
    record_encode_header(&rec, (struct uuid){{0}}, slice_of(NULL, 0), NULL, header);
    return rec.crc;
}

static void rule_p2_every_field_of_the_header_is_under_the_checksum(void **state)
{
    (void)state;
    const struct wal_record zero = {.type = WAL_RECORD_SEAL};
    const struct wal_record changed[] = {
        {.type = WAL_RECORD_END},
        {.type = WAL_RECORD_SEAL, .length = 1},
        {.type = WAL_RECORD_SEAL, .heads = 1},
        {.type = WAL_RECORD_SEAL, .previous_crc = 1},
        {.type = WAL_RECORD_SEAL, .number = 1},
        {.type = WAL_RECORD_SEAL, .synced = 1},
        {.type = WAL_RECORD_SEAL, .sequence = 1},
        {.type = WAL_RECORD_SEAL, .offset = 1},
        {.type = WAL_RECORD_SEAL, .first = 1},
        {.type = WAL_RECORD_SEAL, .term = 1},
        {.type = WAL_RECORD_SEAL, .commit = 1},
        {.type = WAL_RECORD_SEAL, .hard_number = 1},
        {.type = WAL_RECORD_SEAL, .previous_term = 1},
    };
    for (unsigned i = 0; i < COUNT_OF(changed); i++) {
        assert_true(crc_of(changed[i]) != crc_of(zero));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rule_p2_every_flipped_bit_of_a_sealed_log_is_found),
        TEST(rule_p2_header_length_and_payload_are_all_under_the_checksum),
        TEST(rule_p6b_one_flipped_byte_of_the_hard_state_changes_nothing),
        TEST(rule_p6b_a_bad_copy_is_healed_at_the_next_start),
        TEST(rule_p6b_a_lost_slot_that_the_log_knows_of_is_corrupt),
        TEST(rule_p6_a_torn_slot_gives_the_state_before),
        TEST(rule_p6_two_bad_slots_are_corrupt_and_never_term_0),
        TEST(rule_p6_a_lost_hard_state_file_is_corrupt),
        TEST(rule_p6_an_older_hard_state_put_back_is_corrupt),
        TEST(rule_p7_a_log_that_ends_before_a_synced_record_is_corrupt),
        TEST(rule_p10_a_zeroed_page_in_the_middle_is_corrupt),
        TEST(rule_p10_zeroed_pages_anywhere_are_never_silent),
        TEST(rule_p3_damage_of_the_last_record_is_torn_without_a_seal_and_corrupt_with_one),
        TEST(rule_p13_a_missing_segment_is_corrupt),
        TEST(rule_p13_swapped_segments_are_corrupt),
        TEST(rule_p13_a_file_of_another_size_is_corrupt),
        TEST(rule_p13_an_older_copy_of_a_closed_segment_is_corrupt),
        TEST(rule_p3_a_segment_of_another_log_is_corrupt),
        TEST(a_log_that_must_exist_is_not_made_anew),
        TEST(rule_p13_a_record_that_does_not_follow_is_corrupt),
        TEST(a_newer_format_is_refused_by_name),
        TEST(an_unknown_record_type_is_unsupported),
        TEST(rule_p9_a_later_record_of_the_unsynced_range_is_no_evidence),
        TEST(rule_p3b_a_record_in_a_wrong_place_is_none),
        TEST(rule_p2_every_field_of_the_header_is_under_the_checksum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
