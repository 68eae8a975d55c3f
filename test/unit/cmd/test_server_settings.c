/* `conclave server`: the rules beyond single values. */
#include "cmd/server_settings.h"

#include "cmd/memory_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct options o;
static struct server_settings s;

static int begin(void **state)
{
    (void)state;
    options_init(&o, "conclave server", server_option_rows, SERVER_OPTION_COUNT);
    return 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {
        "NODE_ID", "PORT", "HOST", "PEERS", "CONCLAVE_CLUSTER_SECRET", "CONCLAVE_LISTEN"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
    server_settings_deinit(&s);
    options_deinit(&o);
    return 0;
}

static enum status read_words(int argc, char **argv)
{
    server_settings_deinit(&s);
    options_deinit(&o);
    begin(NULL);
    enum status status = options_read_arguments(&o, argc, argv);
    return status == STATUS_OK ? server_settings_read(&o, &s) : status;
}

/* --log-level error keeps the warnings out of the tests' output. */
#define READ(...)                                                                                  \
    read_words(sizeof((char *[]){"--log-level", "error", ##__VA_ARGS__}) / sizeof(char *),         \
               (char *[]){"--log-level", "error", ##__VA_ARGS__})

static void assert_error(const char *words)
{
    if (strstr(options_error(&o), words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", options_error(&o), words);
    }
}

static void without_flags_it_is_the_contracts_defaults(void **state)
{
    (void)state;
    assert_int_equal(READ(), STATUS_OK);
    assert_string_equal(s.node.name, "node-1");
    assert_string_equal(s.node.listen_host, "127.0.0.1");
    assert_int_equal(s.node.listen_port, 4000);
    assert_string_equal(s.data_dir, "./node-1.conclave");
    assert_int_equal(s.node.heartbeat_ms, 50);
    assert_int_equal(s.node.election_timeout_ms, 500);
    assert_int_equal(s.node.request_timeout_ms, 2000);
    assert_int_equal(s.node.history_ms, 600000);
    assert_int_equal(s.node.history_bytes, 64 * MIB);
    assert_int_equal(s.node.value_bytes_max, 3 * MIB / 2);
    assert_true(s.node.quota_bytes > 0 && s.node.quota_bytes <= 8ull * 1024 * MIB);
    assert_int_equal(s.ack, NODE_ACK_QUORUM);
    assert_int_equal(s.node.peer_count, 0);
    assert_int_equal(s.node.secret.size, 0);
    assert_null(s.node.advertise);
    assert_null(s.cors_origin);
}

static void row_a1_the_seeds_environment_works_alone(void **state)
{
    (void)state;
    setenv("NODE_ID", "node-2", 1);
    setenv("PORT", "4002", 1);
    setenv("PEERS", "http://127.0.0.1:4001,,http://127.0.0.1:4003,", 1);
    assert_int_equal(READ(), STATUS_OK);
    assert_string_equal(s.node.name, "node-2");
    assert_string_equal(s.node.listen_host, "127.0.0.1");
    assert_int_equal(s.node.listen_port, 4002);
    assert_int_equal(s.node.peer_count, 2);
    assert_string_equal(s.node.peers[1], "http://127.0.0.1:4003");
}

static void port_and_host_count_only_beside_node_id_or_peers(void **state)
{
    (void)state;
    setenv("PORT", "9999", 1);
    setenv("HOST", "build-machine", 1);
    assert_int_equal(READ(), STATUS_OK);
    assert_int_equal(s.node.listen_port, 4000);
    setenv("NODE_ID", "a", 1);
    setenv("HOST", "127.0.0.2", 1);
    assert_int_equal(READ(), STATUS_OK);
    assert_string_equal(s.node.listen_host, "127.0.0.2");
    assert_int_equal(s.node.listen_port, 9999);
    assert_int_equal(READ("--listen", "127.0.0.1:5"), STATUS_OK);
    assert_int_equal(s.node.listen_port, 5);
    setenv("CONCLAVE_LISTEN", "127.0.0.1:6", 1);
    assert_int_equal(READ(), STATUS_OK);
    assert_int_equal(s.node.listen_port, 6);
    unsetenv("CONCLAVE_LISTEN");
    setenv("PORT", "many", 1);
    assert_int_equal(READ(), STATUS_INVALID);
    assert_error("HOST and PORT: \"127.0.0.2:many\"");
}

static void a_peers_list_may_hold_the_own_address(void **state)
{
    (void)state;
    assert_int_equal(READ("--listen", "127.0.0.1:4001", "--peers",
                          "http://127.0.0.1:4001,http://localhost:4001,http://127.0.0.1:4002"),
                     STATUS_OK);
    assert_int_equal(s.node.peer_count, 1);
    assert_string_equal(s.node.peers[0], "http://127.0.0.1:4002");
    assert_int_equal(READ("--listen", "127.0.0.1:1", "--advertise", "http://a:4001", "--peers",
                          "http://a:4001,http://b:4001"),
                     STATUS_OK);
    assert_int_equal(s.node.peer_count, 1);
    assert_int_equal(READ("--peers", "http://b:1,http://b:1"), STATUS_INVALID);
    assert_error("lists http://b:1 twice");
}

static void members_to_join_exclude_founding_peers(void **state)
{
    (void)state;
    assert_int_equal(READ("--join", "http://10.0.0.1:4000,http://127.0.0.1:4000"), STATUS_OK);
    assert_int_equal(s.node.join_count, 1);
    assert_string_equal(s.node.join[0], "http://10.0.0.1:4000");
    assert_int_equal(READ("--join", "http://10.0.0.1:4000", "--peers", "http://10.0.0.2:4000"),
                     STATUS_INVALID);
    assert_error("exclude each other");
    assert_int_equal(READ("--join", "http://127.0.0.1:4000"), STATUS_INVALID);
    assert_error("names only this member");
}

static void rules_e10_q6_r15_are_off_unless_asked_for(void **state)
{
    (void)state;
    assert_int_equal(READ(), STATUS_OK);
    assert_int_equal(s.node.election_policy, NODE_POLICY_NONE);
    assert_int_equal(s.on_follower, API_REJECT);
    assert_false(s.node.lease_reads);
    assert_int_equal(READ("--election-policy", "priority", "--priority", "5", "--read-mode",
                          "lease", "--on-follower", "redirect", "--snapshot-bytes", "1MiB"),
                     STATUS_OK);
    assert_int_equal(s.node.election_policy, NODE_POLICY_PRIORITY);
    assert_int_equal(s.node.priority, 5);
    assert_int_equal(s.on_follower, API_REDIRECT);
    assert_true(s.node.lease_reads);
    assert_int_equal(s.node.snapshot_log_bytes, MIB);
    assert_int_equal(READ("--election-policy", "biggest"), STATUS_INVALID);
}

static void names_of_members_are_checked(void **state)
{
    (void)state;
    assert_int_equal(READ("--name", "a.b_c-D9"), STATUS_OK);
    assert_int_equal(READ("--name", ".hidden"), STATUS_INVALID);
    assert_error("--name: \".hidden\" is no name");
    assert_int_equal(READ("--name", "a/b"), STATUS_INVALID);
    char longest[66];
    memset(longest, 'x', 65);
    longest[65] = '\0';
    assert_int_equal(READ("--name", longest), STATUS_INVALID);
    assert_int_equal(READ("--name", longest + 1), STATUS_OK);
}

static void addresses_to_listen_on_are_checked(void **state)
{
    (void)state;
    assert_int_equal(READ("--listen", "[::1]:4000"), STATUS_OK);
    assert_string_equal(s.node.listen_host, "::1");
    static char *const bad[] = {
        "4000", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "::1:4000", "http://127.0.0.1:4000"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(READ("--listen", bad[i]), STATUS_INVALID);
        assert_error("--listen: \"");
    }
}

static void an_election_timeout_below_three_heartbeats_is_refused(void **state)
{
    (void)state;
    assert_int_equal(READ("--heartbeat-ms", "100", "--election-timeout-ms", "299"), STATUS_INVALID);
    assert_error("--election-timeout-ms: \"299\" is less than 3 heartbeats of 100 ms; use at least "
                 "300, better 1000");
    assert_int_equal(READ("--heartbeat-ms", "100", "--election-timeout-ms", "300"), STATUS_OK);
}

static void row_f9_serving_other_machines_needs_a_secret(void **state)
{
    (void)state;
    assert_int_equal(READ("--listen", "0.0.0.0:4000"), STATUS_INVALID);
    assert_error("--cluster-secret-file");
    assert_error("--insecure");
    assert_int_equal(READ("--listen", "0.0.0.0:4000", "--insecure"), STATUS_OK);
    assert_true(s.is_insecure);
    setenv("CONCLAVE_CLUSTER_SECRET", "long and random", 1);
    assert_int_equal(READ("--listen", "0.0.0.0:4000"), STATUS_OK);
    assert_false(s.is_insecure);
    assert_true(slice_equal(s.node.secret, slice_str("long and random")));
}

static void a_secret_file_wins_over_the_variable_and_loses_its_line_end(void **state)
{
    (void)state;
    char path[] = "/tmp/conclave-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "from file\r\n", 11), 11);
    setenv("CONCLAVE_CLUSTER_SECRET", "from variable", 1);
    assert_int_equal(READ("--cluster-secret-file", path), STATUS_OK);
    assert_true(slice_equal(s.node.secret, slice_str("from file")));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(READ("--cluster-secret-file", path), STATUS_INVALID);
    assert_error("is empty");
    assert_int_equal(pwrite(fd, "pass\0word", 9, 0), 9);
    assert_int_equal(READ("--reset-root-password-file", path), STATUS_INVALID);
    assert_error("zero byte");
    assert_int_equal(pwrite(fd, "password\n", 9, 0), 9);
    assert_int_equal(READ("--reset-root-password-file", path), STATUS_OK);
    assert_true(slice_equal(buf_slice(&s.root_password), slice_str("password")));
    close(fd);
    unlink(path);
    assert_int_equal(READ("--cluster-secret-file", path), STATUS_INVALID);
    assert_error("cannot be read: No such file");
}

static void half_of_the_memory_is_the_quota(void **state)
{
    (void)state;
    uint64_t half = memory_limit_bytes() / 2;
    uint64_t most = 8ull * 1024 * MIB;
    assert_true(memory_quota_default() == (half < most ? half : most));
    assert_int_equal(READ("--quota-bytes", "2GiB"), STATUS_OK);
    assert_true(s.node.quota_bytes == 2ull * 1024 * MIB);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_flags_it_is_the_contracts_defaults),
        TEST(row_a1_the_seeds_environment_works_alone),
        TEST(port_and_host_count_only_beside_node_id_or_peers),
        TEST(a_peers_list_may_hold_the_own_address),
        TEST(members_to_join_exclude_founding_peers),
        TEST(rules_e10_q6_r15_are_off_unless_asked_for),
        TEST(names_of_members_are_checked),
        TEST(addresses_to_listen_on_are_checked),
        TEST(an_election_timeout_below_three_heartbeats_is_refused),
        TEST(row_f9_serving_other_machines_needs_a_secret),
        TEST(a_secret_file_wins_over_the_variable_and_loses_its_line_end),
        TEST(half_of_the_memory_is_the_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
