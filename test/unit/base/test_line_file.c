/* Lines for a file (base/line_file.h). */
#include "base/line_file.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those that it needs */
#include <cmocka.h>

static char place[64];
static char path[96];
static char old_path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(place, sizeof(place), "/tmp/conclave-lines-XXXXXX");
    CHECK(mkdtemp(place) != NULL);
    snprintf(path, sizeof(path), "%s/lines", place);
    snprintf(old_path, sizeof(old_path), "%s/lines.1", place);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(old_path);
    rmdir(path);
    return rmdir(place);
}

static struct line_file *open_lines(uint64_t bytes_max)
{
    struct line_file *f = NULL;
    assert_int_equal(line_file_open(path, bytes_max, &f, NULL), STATUS_OK);
    return f;
}

static void assert_content(const char *file, const char *content)
{
    char bytes[4096];
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    bytes[fread(bytes, 1, sizeof(bytes) - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(bytes, content);
}

static void lines_are_there_when_it_is_closed_and_behind_those_of_before(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct line_file *f = open_lines(1000);
        assert_true(line_file_add(f, slice_str("one")));
        assert_true(line_file_add(f, slice_str("two")));
        assert_int_equal(line_file_counts(f).added, 2);
        line_file_close(f);
    }
    assert_content(path, "one\ntwo\none\ntwo\n");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void beyond_its_limit_it_is_moved_aside(void **state)
{
    (void)state;
    static const char *const lines[] = {"first", "second", "third"};
    for (size_t i = 0; i < 3; i++) {
        struct line_file *f = open_lines(10);
        assert_true(line_file_add(f, slice_str(lines[i])));
        line_file_close(f);
    }
    assert_content(path, "third\n");
    assert_content(old_path, "second\n");
}

static void where_it_cannot_be_moved_aside_it_does_not_grow(void **state)
{
    (void)state;
    struct line_file *f = open_lines(10);
    assert_int_equal(mkdir(old_path, 0700), 0); /* stands in the way */
    assert_true(line_file_add(f, slice_str("first")));
    line_file_close(f);
    f = open_lines(10);
    assert_true(line_file_add(f, slice_str("second")));
    line_file_close(f);
    assert_content(path, "first\n");
    assert_int_equal(rmdir(old_path), 0);
}

static void what_somebody_moves_away_is_made_anew(void **state)
{
    (void)state;
    struct line_file *f = open_lines(1000);
    assert_int_equal(rename(path, old_path), 0);
    assert_true(line_file_add(f, slice_str("line")));
    line_file_close(f);
    assert_content(path, "line\n");
}

static void what_cannot_be_written_has_a_bound(void **state)
{
    (void)state;
    static char kilobyte[1024];
    memset(kilobyte, 'x', sizeof(kilobyte));
    struct line_file *f = open_lines(UINT64_MAX);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* nothing can be written there now */
    for (uint32_t i = 0; i < 4096; i++) {
        line_file_add(f, slice_of(kilobyte, sizeof(kilobyte)));
    }
    struct line_file_counts counts = line_file_counts(f);
    assert_int_equal(counts.added + counts.lost, 4096);
    assert_in_range(counts.lost, 1, 4095);
    assert_in_range(counts.added * (sizeof(kilobyte) + 1), 1, 2 * LIMIT_LINE_FILE_BYTES);
    line_file_close(f);
}

static void a_place_that_is_none_is_named(void **state)
{
    (void)state;
    struct line_file *f = NULL;
    char *detail = NULL;
    assert_int_equal(line_file_open(place, 1000, &f, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "is a directory"));
    mem_free(detail);
    assert_int_equal(line_file_open("/nowhere/at/all", 1000, &f, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "/nowhere/at/all: No such file"));
    mem_free(detail);
    line_file_close(NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(lines_are_there_when_it_is_closed_and_behind_those_of_before),
        CASE(beyond_its_limit_it_is_moved_aside),
        CASE(where_it_cannot_be_moved_aside_it_does_not_grow),
        CASE(what_somebody_moves_away_is_made_anew),
        CASE(what_cannot_be_written_has_a_bound),
        CASE(a_place_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
