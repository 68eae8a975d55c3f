/* The manager's directory, ports and members; the members here are a shell script that only
 * waits. */
#include "scratch.h"

#include "cluster/manager.h"

#include "base/mem.h"
#include "cluster/log_tail.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[SCRATCH_PATH_SIZE];
static char *program;
static char *detail;
static uint16_t base_port;

static int begin(void **state)
{
    (void)state;
    if (!scratch_make(dir, "manager")) {
        return -1;
    }
    program = mem_printf("%s/member", dir);
    FILE *file = fopen(program, "w");
    fputs("#!/bin/sh\necho \"$@\"\nexec sleep 60\n", file);
    fclose(file);
    chmod(program, 0700);
    base_port = manager_find_ports(3);
    return base_port != 0 ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    scratch_remove(dir);
    mem_free(program);
    mem_free(detail);
    detail = NULL;
    return 0;
}

static struct manager *make(void)
{
    const struct manager_options options = {
        .dir = dir, .program = program, .nodes = 3, .base_port = base_port};
    struct manager *m = NULL;
    assert_int_equal(manager_create(&options, &m, &detail), STATUS_OK);
    m->dies_with_parent = true;
    return m;
}

static void stop_and_destroy(struct manager *m)
{
    manager_stop(m);
    manager_destroy(m);
}

static void a_cluster_is_made_once_and_found_again_with_its_shape(void **state)
{
    (void)state;
    const struct manager_options open = {.dir = dir};
    struct manager *m = NULL;
    assert_int_equal(manager_open(&open, &m, &detail), STATUS_NOT_FOUND);
    manager_destroy(make());
    assert_int_equal(manager_open(&open, &m, &detail), STATUS_OK);
    assert_int_equal(m->count, 3);
    assert_int_equal(m->members[2].port, base_port + 2);
    assert_string_equal(m->members[2].name, "node-3");
    manager_destroy(m);
}

static void another_number_of_members_or_other_ports_are_refused(void **state)
{
    (void)state;
    manager_destroy(make());
    struct manager *m = NULL;
    const struct manager_options more = {.dir = dir, .nodes = 5};
    assert_int_equal(manager_create(&more, &m, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "--nodes 5"));
    const struct manager_options elsewhere = {.dir = dir, .base_port = 4};
    assert_int_equal(manager_create(&elsewhere, &m, &detail), STATUS_INVALID);
    assert_non_null(strstr(detail, "--base-port 4"));
}

static void the_secret_is_random_private_and_kept(void **state)
{
    (void)state;
    char *path = mem_printf("%s/secret", dir);
    char first[100] = "";
    char second[100] = "";
    for (int i = 0; i < 2; i++) {
        manager_destroy(make());
        FILE *file = fopen(path, "r");
        assert_non_null(fgets(i == 0 ? first : second, 100, file));
        fclose(file);
    }
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(strlen(first), 64);
    assert_string_equal(first, second);
    mem_free(path);
}

static void a_taken_port_is_named_before_anything_starts(void **state)
{
    (void)state;
    struct manager *m = make();
    assert_int_equal(manager_check_ports(m, &detail), STATUS_OK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)(base_port + 1)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(manager_check_ports(m, &detail), STATUS_BUSY);
    char port[32];
    snprintf(port, sizeof(port), "port %u, which node-2", base_port + 1);
    assert_non_null(strstr(detail, port));
    close(fd);
    manager_destroy(m);
}

/* The first line of a member's log, once it is there: the script prints its arguments. */
static void read_arguments(const struct manager *m, uint32_t i, char *line, int size)
{
    char *path = manager_log_path(m, i);
    line[0] = '\0';
    while (strchr(line, '\n') == NULL) {
        FILE *file = fopen(path, "r");
        if (file != NULL && fgets(line, size, file) == NULL) {
            line[0] = '\0';
        }
        if (file != NULL) {
            fclose(file);
        }
        usleep(1000);
    }
    mem_free(path);
}

static void members_are_told_name_addresses_peers_data_and_secret(void **state)
{
    (void)state;
    struct manager *m = make();
    assert_int_equal(manager_start(m, &detail), STATUS_OK);
    char line[1024];
    char expected[1024];
    read_arguments(m, 1, line, sizeof(line));
    snprintf(expected, sizeof(expected),
             "server --name node-2 --listen 127.0.0.1:%u --advertise http://127.0.0.1:%u --data "
             "%s/node-2 --cluster-secret-file %s/secret --peers "
             "http://127.0.0.1:%u,http://127.0.0.1:%u\n",
             base_port + 1, base_port + 1, dir, dir, base_port, base_port + 2);
    assert_string_equal(line, expected);
    stop_and_destroy(m);
}

static void row_d11_faults_are_enabled_for_all_that_are_started_from_then_on(void **state)
{
    (void)state;
    const struct manager_options options = {.dir = dir, .program = program};
    struct manager *m = make();
    assert_int_equal(manager_set_faults(m, true, &detail), STATUS_OK);
    manager_destroy(m);
    assert_int_equal(manager_open(&options, &m, &detail), STATUS_OK); /* a later command */
    assert_int_equal(manager_start_member(m, 0, &detail), STATUS_OK);
    char line[1024];
    read_arguments(m, 0, line, sizeof(line));
    assert_non_null(strstr(line, " --enable-faults\n"));
    assert_int_equal(manager_set_faults(m, false, &detail), STATUS_OK);
    assert_int_equal(manager_start_member(m, 1, &detail), STATUS_OK);
    read_arguments(m, 1, line, sizeof(line));
    assert_null(strstr(line, "--enable-faults"));
    stop_and_destroy(m);
}

static void a_second_manager_finds_the_members_of_the_first_and_stops_them(void **state)
{
    (void)state;
    struct manager *first = make();
    assert_int_equal(manager_start(first, &detail), STATUS_OK);
    struct manager *second = make();
    assert_int_equal(manager_refresh(second), 3);
    assert_int_equal(second->members[0].process.pid, first->members[0].process.pid);
    manager_stop(second);
    assert_int_equal(manager_refresh(second), 0);
    assert_int_equal(manager_refresh(first), 0);
    manager_destroy(second);
    manager_destroy(first);
}

static void only_what_does_not_run_is_started(void **state)
{
    (void)state;
    struct manager *m = make();
    assert_int_equal(manager_start(m, &detail), STATUS_OK);
    pid_t kept = m->members[0].process.pid;
    pid_t lost = m->members[1].process.pid;
    process_signal(&m->members[1].process, SIGKILL);
    assert_true(process_wait(&m->members[1].process, 20000));
    assert_int_equal(manager_refresh(m), 2);
    assert_int_equal(manager_start(m, &detail), STATUS_OK);
    assert_int_equal(manager_refresh(m), 3);
    assert_int_equal(m->members[0].process.pid, kept);
    assert_true(m->members[1].process.pid != lost);
    stop_and_destroy(m);
}

static void a_member_that_ends_while_the_cluster_forms_is_named(void **state)
{
    (void)state;
    struct manager *m = make();
    assert_int_equal(manager_start(m, &detail), STATUS_OK);
    process_signal(&m->members[2].process, SIGKILL);
    int leader;
    assert_int_equal(manager_await_leader(m, 20000, NULL, &leader, &detail), STATUS_NOT_FOUND);
    assert_non_null(strstr(detail, "node-3 ended"));
    stop_and_destroy(m);
}

static void members_are_found_by_name_and_strangers_are_not(void **state)
{
    (void)state;
    struct manager *m = make();
    uint32_t i;
    assert_int_equal(manager_find(m, "node-3", &i, &detail), STATUS_OK);
    assert_int_equal(i, 2);
    assert_int_equal(manager_find(m, "node-4", &i, &detail), STATUS_NOT_FOUND);
    assert_non_null(strstr(detail, "node-1, node-2, node-3, and \"leader\""));
    assert_int_equal(manager_find(m, "leader", &i, &detail), STATUS_NOT_LEADER);
    manager_destroy(m);
}

static struct manager *find_again(void)
{
    struct manager *m = NULL;
    assert_int_equal(
        manager_open(&(struct manager_options){.dir = dir, .program = program}, &m, &detail),
        STATUS_OK);
    m->dies_with_parent = true;
    return m;
}

static void a_member_that_is_added_joins_and_its_number_is_never_used_again(void **state)
{
    (void)state;
    struct manager *m = make();
    uint32_t i;
    assert_int_equal(manager_add(m, &i, &detail), STATUS_OK);
    assert_int_equal(i, 3);
    assert_int_equal(manager_forget(m, 1, &detail), STATUS_OK); /* node-2, a founder */
    manager_destroy(m);

    m = find_again();
    assert_int_equal(m->count, 3);
    assert_string_equal(m->members[1].name, "node-3");
    assert_int_equal(manager_start_member(m, 2, &detail), STATUS_OK);
    char line[1024];
    char join[256];
    read_arguments(m, 2, line, sizeof(line));
    snprintf(join, sizeof(join), "--join http://127.0.0.1:%u,http://127.0.0.1:%u\n", base_port,
             base_port + 2);
    assert_non_null(strstr(line, join));
    assert_int_equal(manager_forget(m, 2, &detail), STATUS_OK);
    assert_int_equal(manager_add(m, &i, &detail), STATUS_OK);
    assert_string_equal(m->members[i].name, "node-5");
    stop_and_destroy(m);
}

static void a_shape_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const shapes[] = {
        "",
        "{}",
        "[]",
        "{\"nodes\": 3, \"basePort\": 4001, \"next\": 4, \"members\": []}",
        "{\"nodes\": 3, \"basePort\": 4001, \"next\": 4, \"members\": [4]}",
        "{\"nodes\": 3, \"basePort\": 65535, \"next\": 4, \"members\": [1]}",
        "{\"nodes\": 0, \"basePort\": 4001, \"next\": 4, \"members\": [1]}",
        "{\"nodes\": 3, \"basePort\": 4001, \"next\": 4, \"members\": [\"1\"]}",
    };
    char *path = mem_printf("%s/cluster.json", dir);
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
        FILE *file = fopen(path, "w");
        fputs(shapes[k], file);
        fclose(file);
        struct manager *m = NULL;
        assert_int_equal(manager_open(&(struct manager_options){.dir = dir}, &m, &detail),
                         STATUS_CORRUPT);
    }
    mem_free(path);
}

static void collect(void *context, struct slice line)
{
    struct buf *b = context;
    buf_append_slice(b, line);
    buf_append_byte(b, '|');
}

static void row_d14_a_log_is_followed_by_whole_lines(void **state)
{
    (void)state;
    char *path = mem_printf("%s/a.log", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_int_equal(write(fd, "old\n", 4), 4);
    struct log_tail tail;
    struct buf seen = {0};
    assert_true(log_tail_open(&tail, path, false));
    assert_int_equal(write(fd, "one\ntw", 6), 6);
    log_tail_poll(&tail, collect, &seen);
    assert_true(slice_equal(buf_slice(&seen), slice_str("one|")));
    assert_int_equal(write(fd, "o\n\n", 3), 3);
    log_tail_poll(&tail, collect, &seen);
    assert_true(slice_equal(buf_slice(&seen), slice_str("one|two||")));
    log_tail_close(&tail);
    buf_deinit(&seen);
    close(fd);
    mem_free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cluster_is_made_once_and_found_again_with_its_shape),
        TEST(another_number_of_members_or_other_ports_are_refused),
        TEST(the_secret_is_random_private_and_kept),
        TEST(a_taken_port_is_named_before_anything_starts),
        TEST(members_are_told_name_addresses_peers_data_and_secret),
        TEST(row_d11_faults_are_enabled_for_all_that_are_started_from_then_on),
        TEST(a_second_manager_finds_the_members_of_the_first_and_stops_them),
        TEST(only_what_does_not_run_is_started),
        TEST(a_member_that_ends_while_the_cluster_forms_is_named),
        TEST(a_member_that_is_added_joins_and_its_number_is_never_used_again),
        TEST(a_shape_that_makes_no_sense_is_refused),
        TEST(members_are_found_by_name_and_strangers_are_not),
        TEST(row_d14_a_log_is_followed_by_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
