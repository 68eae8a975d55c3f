/* Background processes and their pid files: found again, and never mistaken for another. */
#include "cluster/process.h"

#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000

static char dir[64];
static char *pid_path;
static char *log_path;

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/conclave-process-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    pid_path = mem_printf("%s/a.pid", dir);
    log_path = mem_printf("%s/a.log", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(pid_path);
    unlink(log_path);
    rmdir(dir);
    mem_free(pid_path);
    mem_free(log_path);
    return 0;
}

static struct process start(const char *script)
{
    char *arguments[] = {"sh", "-c", (char *)script, NULL};
    const struct process_options options = {.program = "/bin/sh",
                                            .arguments = arguments,
                                            .log_path = log_path,
                                            .pid_path = pid_path,
                                            .dies_with_parent = true};
    struct process p;
    assert_int_equal(process_start(&options, &p), STATUS_OK);
    return p;
}

static void a_process_is_found_again_by_its_pid_file(void **state)
{
    (void)state;
    struct process p = start("exec sleep 60");
    struct process found = process_load(pid_path);
    assert_int_equal(found.pid, p.pid);
    assert_int_equal(process_state_of(&found), PROCESS_RUNNING);
    assert_true(process_signal(&p, SIGKILL));
    assert_true(process_wait(&p, PATIENCE_MS));
    assert_true(p.is_reaped && WIFSIGNALED(p.wait_status));
    assert_int_equal(process_load(pid_path).pid, 0);
    assert_false(process_signal(&p, SIGTERM));
}

static void a_pid_that_now_belongs_to_another_is_never_signalled(void **state)
{
    (void)state;
    struct process p = start("exec sleep 60");
    /* The file of a process that had the same pid, but started at another time. */
    FILE *file = fopen(pid_path, "r");
    long pid;
    unsigned long long started;
    char boot[64];
    assert_int_equal(fscanf(file, "%ld %llu %63s", &pid, &started, boot), 3);
    fclose(file);
    file = fopen(pid_path, "w");
    fprintf(file, "%ld %llu %s\n", pid, started - 1, boot);
    fclose(file);
    assert_int_equal(process_load(pid_path).pid, 0);
    struct process stranger = {.pid = p.pid, .started = p.started - 1};
    assert_int_equal(process_state_of(&stranger), PROCESS_GONE);
    assert_false(process_signal(&stranger, SIGKILL));
    assert_int_equal(process_state_of(&p), PROCESS_RUNNING);

    /* The file of the same numbers in another boot of the machine. */
    file = fopen(pid_path, "w");
    fprintf(file, "%ld %llu another-boot\n", pid, started);
    fclose(file);
    assert_int_equal(process_load(pid_path).pid, 0);
    process_signal(&p, SIGKILL);
    assert_true(process_wait(&p, PATIENCE_MS));
}

static void torn_and_foreign_pid_files_name_nobody(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x", "1", "-1 5 x", "0 0 x", "999999999999 1 x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        FILE *file = fopen(pid_path, "w");
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(process_load(pid_path).pid, 0);
    }
    unlink(pid_path);
    assert_int_equal(process_load(pid_path).pid, 0);
}

static void a_paused_process_is_seen_as_such_and_can_still_be_stopped(void **state)
{
    (void)state;
    struct process p = start("exec sleep 60");
    assert_true(process_signal(&p, SIGSTOP));
    while (process_state_of(&p) != PROCESS_PAUSED) {
        usleep(1000);
    }
    assert_true(process_stop(&p, PATIENCE_MS));
    assert_int_equal(process_state_of(&p), PROCESS_GONE);
}

static void one_that_ignores_sigterm_is_killed(void **state)
{
    (void)state;
    struct process p = start("trap '' TERM; echo ready; while :; do sleep 60 & wait; done");
    char word[16] = "";
    while (strncmp(word, "ready", 5) != 0) {
        FILE *file = fopen(log_path, "r");
        if (file != NULL) {
            if (fgets(word, sizeof(word), file) == NULL) {
                word[0] = '\0';
            }
            fclose(file);
        }
        usleep(1000);
    }
    assert_false(process_stop(&p, 100));
    assert_int_equal(process_state_of(&p), PROCESS_GONE);
    kill(-p.pid, SIGKILL); /* its sleep, which is in its group */
}

static void a_program_that_is_not_there_ends_with_127_and_says_so(void **state)
{
    (void)state;
    char *arguments[] = {"nothing", NULL};
    const struct process_options options = {.program = "/nonexistent/program",
                                            .arguments = arguments,
                                            .log_path = log_path,
                                            .pid_path = pid_path};
    struct process p;
    assert_int_equal(process_start(&options, &p), STATUS_OK);
    assert_true(process_wait(&p, PATIENCE_MS));
    assert_true(WIFEXITED(p.wait_status) && WEXITSTATUS(p.wait_status) == 127);
}

static void it_runs_in_a_process_group_of_its_own(void **state)
{
    (void)state;
    struct process p = start("exec sleep 60");
    while (getpgid(p.pid) == getpgid(0)) {
        usleep(1000);
    }
    assert_int_equal(getpgid(p.pid), p.pid);
    process_signal(&p, SIGKILL);
    assert_true(process_wait(&p, PATIENCE_MS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_process_is_found_again_by_its_pid_file),
        TEST(a_pid_that_now_belongs_to_another_is_never_signalled),
        TEST(torn_and_foreign_pid_files_name_nobody),
        TEST(a_paused_process_is_seen_as_such_and_can_still_be_stopped),
        TEST(one_that_ignores_sigterm_is_killed),
        TEST(a_program_that_is_not_there_ends_with_127_and_says_so),
        TEST(it_runs_in_a_process_group_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
