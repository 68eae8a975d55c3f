/* Processor time of a process whose time is known: a child that spends as much as its own clock
 * says, and one that sleeps. */
#include "load/load_cpu.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SPENT_US 50000u

static uint64_t own_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* A child that spends `us` and then says so and waits to be killed. */
static pid_t spawn(uint64_t us)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        while (own_us() < us) {
        }
        if (write(pipes[1], "x", 1) == 1) {
            pause();
        }
        _exit(0);
    }
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(pipes[0]);
    close(pipes[1]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void a_child_has_spent_what_it_says(void **state)
{
    (void)state;
    pid_t busy = spawn(SPENT_US);
    pid_t idle = spawn(0);
    uint64_t busy_us;
    uint64_t idle_us;
    assert_true(load_cpu_read(busy, &busy_us));
    assert_true(load_cpu_read(idle, &idle_us));
    end(busy);
    end(idle);
    assert_in_range(busy_us, SPENT_US, SPENT_US + 25000);
    assert_in_range(idle_us, 0, 25000);
}

static void this_process_is_zero(void **state)
{
    (void)state;
    uint64_t before = own_us();
    uint64_t us;
    assert_true(load_cpu_read(0, &us));
    assert_in_range(us, before, own_us());
}

static void one_that_is_gone_is_not_known(void **state)
{
    (void)state;
    pid_t child = spawn(0);
    end(child);
    uint64_t us;
    assert_false(load_cpu_read(child, &us));
    assert_true(load_cpu_processors() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_spent_what_it_says),
        cmocka_unit_test(this_process_is_zero),
        cmocka_unit_test(one_that_is_gone_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
