/* The probes on a directory of their own: what they measure, and that nothing stays behind. */
#include "load/load_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct scratch {
    char root[64];
    volatile sig_atomic_t ended;
    bool is_ending_at_announce;
    char announced[4200];
    uint64_t announced_bytes;
};

static int setup(void **state)
{
    static struct scratch x;
    x = (struct scratch){.root = "/tmp/conclave-check-XXXXXX"};
    assert_non_null(mkdtemp(x.root));
    *state = &x;
    return 0;
}

static int teardown(void **state)
{
    struct scratch *x = *state;
    return rmdir(x->root); /* fails when something was left */
}

static uint32_t names_in(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    }
    closedir(directory);
    return count;
}

static void note_announcement(void *context, const char *path, uint64_t bytes)
{
    struct scratch *x = context;
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(s.st_size, 0); /* nothing is written before it is said */
    snprintf(x->announced, sizeof(x->announced), "%s", path);
    x->announced_bytes = bytes;
    x->ended = x->is_ending_at_announce;
}

static enum status check(struct scratch *x, const char *directory, const char *endpoint,
                         struct load_check *result, struct buf *why)
{
    const struct load_check_options options = {.directory = directory,
                                               .endpoints = &endpoint,
                                               .endpoint_count = endpoint != NULL,
                                               .run_ms = 200,
                                               .memory_bytes = 4096ull * MIB,
                                               .quota_bytes = 2048ull * MIB,
                                               .ended = &x->ended,
                                               .announce = note_announcement,
                                               .context = x};
    enum status status = load_check_run(&options, result, why);
    buf_append_byte(why, 0);
    return status;
}

static const struct load_finding *find(const struct load_check *c, const char *what)
{
    for (uint32_t i = 0; i < c->count; i++) {
        if (strcmp(c->findings[i].what, what) == 0) {
            return &c->findings[i];
        }
    }
    return NULL;
}

static void all_is_measured_and_nothing_is_left(void **state)
{
    struct scratch *x = *state;
    static struct load_check c;
    struct buf why = {0};
    assert_int_equal(check(x, x->root, NULL, &c, &why), STATUS_OK);
    static const char *const whats[] = {"file-system",     "disk-space", "disk-sync",
                                        "disk-write-rate", "wake-up",    "clock",
                                        "memory",          "open-files", "timeouts"};
    assert_int_equal(c.count, sizeof(whats) / sizeof(whats[0]));
    enum load_verdict worst = VERDICT_UNKNOWN;
    for (uint32_t i = 0; i < c.count; i++) {
        assert_string_equal(c.findings[i].what, whats[i]);
        worst = c.findings[i].verdict > worst ? c.findings[i].verdict : worst;
    }
    assert_int_equal(c.verdict, worst);
    assert_true(find(&c, "disk-sync")->figures[0].value > 0);
    assert_true(find(&c, "wake-up")->figures[0].value > 0);
    assert_memory_equal(x->announced, x->root, strlen(x->root));
    assert_int_equal(x->announced_bytes, LOAD_PROBE_FILE_BYTES);
    assert_int_equal(names_in(x->root), 0);
    buf_deinit(&why);
}

static void an_end_in_the_middle_leaves_nothing(void **state)
{
    struct scratch *x = *state;
    x->is_ending_at_announce = true;
    static struct load_check c;
    struct buf why = {0};
    assert_int_equal(check(x, x->root, "http://127.0.0.1:1", &c, &why), STATUS_CLOSED);
    assert_true(x->announced[0] != '\0');
    assert_null(find(&c, "network"));
    assert_int_equal(names_in(x->root), 0);
    buf_deinit(&why);
}

static void a_file_of_that_name_is_left_alone(void **state)
{
    struct scratch *x = *state;
    char taken[128];
    snprintf(taken, sizeof(taken), "%s/.conclave-check.%ld", x->root, (long)getpid());
    int fd = open(taken, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    x->is_ending_at_announce = true;
    static struct load_check c;
    struct buf why = {0};
    assert_int_equal(check(x, x->root, NULL, &c, &why), STATUS_CLOSED);
    assert_string_not_equal(x->announced, taken);
    struct stat s;
    assert_int_equal(stat(taken, &s), 0);
    assert_int_equal(s.st_size, 4);
    assert_int_equal(names_in(x->root), 1);
    unlink(taken);
    buf_deinit(&why);
}

static void a_directory_that_cannot_be_used_is_named(void **state)
{
    struct scratch *x = *state;
    static struct load_check c;
    struct buf why = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/none", x->root);
    assert_int_equal(check(x, path, NULL, &c, &why), STATUS_INVALID);
    assert_non_null(strstr((char *)why.data, "/none: No such file or directory"));
    buf_clear(&why);
    assert_int_equal(check(x, "/dev/null", NULL, &c, &why), STATUS_INVALID);
    assert_string_equal((char *)why.data, "/dev/null is no directory");
    buf_clear(&why);
    assert_int_equal(check(x, "/proc", NULL, &c, &why), STATUS_INVALID); /* for root, too */
    assert_non_null(strstr((char *)why.data, "cannot make /proc/.conclave-check."));
    buf_deinit(&why);
}

/* As a full disk, but without one: the kernel lets no file grow beyond 1 MiB. */
static void a_write_that_fails_is_a_poor_disk_and_leaves_nothing(void **state)
{
    struct scratch *x = *state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = MIB, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static struct load_check c;
    struct buf why = {0};
    enum status status = check(x, x->root, NULL, &c, &why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(c.verdict, VERDICT_POOR);
    const struct load_finding *sync = find(&c, "disk-sync");
    assert_int_equal(sync->verdict, VERDICT_POOR);
    assert_non_null(strstr(sync->measured, "cannot write "));
    assert_null(find(&c, "timeouts"));
    assert_int_equal(names_in(x->root), 0);
    buf_deinit(&why);
}

static void an_endpoint_where_nobody_is_makes_it_poor(void **state)
{
    struct scratch *x = *state;
    static struct load_check c;
    struct buf why = {0};
    assert_int_equal(check(x, x->root, "http://127.0.0.1:1", &c, &why), STATUS_OK);
    const struct load_finding *f = find(&c, "network");
    assert_int_equal(f->verdict, VERDICT_POOR);
    assert_string_equal(f->measured, "http://127.0.0.1:1: cannot connect after 0 round trips");
    assert_int_equal(c.verdict, VERDICT_POOR);
    buf_deinit(&why);
}

/* As a shell's soft limit of 1024 is below what a service manager grants. */
static void the_limit_of_open_files_is_the_one_that_a_member_raises_its_own_to(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit small = {.rlim_cur = before.rlim_max - 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    assert_true(load_probe_open_files() == before.rlim_max);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static bool is_restless;

/* Instead of the C library's: as when signals come faster than timers, or a sandbox forbids it. */
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *at, struct timespec *left)
{
    if (is_restless) {
        return EINTR;
    }
    return syscall(SYS_clock_nanosleep, clock, flags, at, left) == 0 ? 0 : errno;
}

static void the_clock_probe_ends_when_no_sleep_does(void **state)
{
    struct scratch *x = *state;
    struct load_clock clock;
    is_restless = true;
    load_probe_clock(50, &x->ended, &clock);
    is_restless = false;
    assert_int_equal(clock.late.count, 0);
    assert_int_equal(clock.backwards, 0);
    assert_int_equal(load_judge_wake_up(&clock).verdict, VERDICT_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_is_measured_and_nothing_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(an_end_in_the_middle_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_that_name_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_directory_that_cannot_be_used_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_that_fails_is_a_poor_disk_and_leaves_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_endpoint_where_nobody_is_makes_it_poor, setup, teardown),
        cmocka_unit_test(the_limit_of_open_files_is_the_one_that_a_member_raises_its_own_to),
        cmocka_unit_test_setup_teardown(the_clock_probe_ends_when_no_sleep_does, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
