/* GET /metrics: Prometheus text that its own parser would take, with the figures of the node. */
#include "rest_asserts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct asked *get_metrics(void)
{
    struct asked *a = ask("GET", "/metrics", NULL, slice_of(NULL, 0));
    assert_int_equal(a->status, 200);
    assert_same("type", &a->type, "text/plain; version=0.0.4; charset=utf-8");
    buf_append_byte(&a->body, 0);
    return a;
}

static void assert_line(const struct asked *a, const char *line)
{
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (strstr((const char *)a->body.data, wanted) == NULL) {
        fail_msg("no line \"%s\" in:\n%s", line, (const char *)a->body.data);
    }
}

static void figures_of_the_node_are_there(void **state)
{
    (void)state;
    fake_node.metrics = (struct node_metrics){.writes_waiting = 3,
                                              .proposals = 1000,
                                              .elections_timeout = 2,
                                              .elections_lost_leader = 1,
                                              .log_room_bytes = 77};
    store("k", slice_str("1"));
    struct asked *a = get_metrics();
    assert_line(a, "conclave_writes_waiting 3");
    assert_line(a, "conclave_proposals_total 1000");
    assert_line(a, "conclave_elections_total{cause=\"timeout\"} 2");
    assert_line(a, "conclave_elections_total{cause=\"leader_lost\"} 1");
    assert_line(a, "conclave_elections_total{cause=\"transfer\"} 0");
    assert_line(a, "conclave_log_room_bytes 77");
    assert_line(a, "conclave_is_leader 1");
    assert_line(a, "conclave_keys 1");
    assert_line(a, "conclave_revision 2");
    assert_line(a, "conclave_http_connections 7");
    assert_line(a, "conclave_connections_closed_for_room_total 3");
    assert_line(a, "conclave_connections_closed_for_memory_total 4");
    assert_line(a, "conclave_grpc_connections 3");
    assert_line(a, "conclave_http_refused_total{what=\"connection\"} 3");
    assert_line(a, "conclave_http_refused_total{what=\"body\"} 4");
    assert_line(a, "conclave_grpc_streams 11");
    assert_line(a, "conclave_grpc_requests_total 0");
    forget(a);
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    struct node_histogram *h = &fake_node.metrics.log_sync;
    h->counts[0] = 5;
    h->counts[3] = 2;
    h->counts[NODE_HISTOGRAM_BUCKETS - 1] = 1;
    h->count = 8;
    h->sum_us = 1500000;
    struct asked *a = get_metrics();
    assert_line(a, "conclave_log_sync_seconds_bucket{le=\"0.00001\"} 5");
    assert_line(a, "conclave_log_sync_seconds_bucket{le=\"0.00004\"} 5");
    assert_line(a, "conclave_log_sync_seconds_bucket{le=\"0.00008\"} 7");
    assert_line(a, "conclave_log_sync_seconds_bucket{le=\"+Inf\"} 8");
    assert_line(a, "conclave_log_sync_seconds_sum 1.500000");
    assert_line(a, "conclave_log_sync_seconds_count 8");
    forget(a);
}

/* Every sample stands under a TYPE of its name, and no name comes twice. */
static void every_sample_has_one_type_and_a_help(void **state)
{
    (void)state;
    struct asked *a = get_metrics();
    char seen[128][96];
    size_t count = 0;
    for (char *line = strtok((char *)a->body.data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char name[96];
        char type[16];
        if (sscanf(line, "# TYPE %95s %15s", name, type) == 2) {
            for (size_t i = 0; i < count; i++) {
                assert_string_not_equal(seen[i], name);
            }
            assert_true(count < 128);
            snprintf(seen[count++], sizeof(seen[0]), "%s", name);
            size_t size = strlen(name);
            bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
            assert_int_equal(is_total, strcmp(type, "counter") == 0);
        } else if (line[0] == '#') {
            assert_true(strncmp(line, "# HELP conclave_", 16) == 0);
            assert_true(line[strlen(line) - 1] == '.');
        } else {
            assert_true(count > 0 && strncmp(line, seen[count - 1], strlen(seen[count - 1])) == 0);
        }
    }
    assert_true(count > 30);
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(figures_of_the_node_are_there),
        REST_TEST(histograms_are_cumulative),
        REST_TEST(every_sample_has_one_type_and_a_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
