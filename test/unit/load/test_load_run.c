/* The load itself, against servers in the same process that answer, stall, lie, refuse and hang up
 * as they are told. */
#include "base/check.h"
#include "base/mem.h"
#include "load/load_proto.h"
#include "load/load_report.h"
#include "load/load_run.h"
#include "net/grpc.h"
#include "net/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WAITING_MAX 1000
#define STALL_MS    300

/* How the servers behave. */
enum behaviour { HONEST, LYING, REFUSING, SILENT, HANGING_UP };

static struct {
    struct loop *loop;
    struct http_server *http;
    struct grpc_server *grpc;
    enum behaviour behaviour;
    uint64_t turn_at; /* requests until that begins */
    uint64_t requests;
    uint64_t revision;
    bool is_stalled;
    struct http_request *waiting[WAITING_MAX];
    size_t waiting_count;
    struct timer stall;
    struct timer interrupt;
    struct load_run *run;
    struct load_plan plan;
    struct load_result *result;
} w;

static bool is_odd(void)
{
    return ++w.requests > w.turn_at && w.behaviour != HONEST;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void answer_put(struct http_request *r)
{
    char headers[64];
    w.revision++;
    snprintf(headers, sizeof(headers), "Conclave-Revision: %" PRIu64 "\r\n", w.revision);
    http_answer(r, 200, "application/json", headers, slice_str("{\"success\":true}"));
}

static void on_request(void *context, struct http_request *r)
{
    (void)context;
    if (w.is_stalled) {
        CHECK(w.waiting_count < WAITING_MAX);
        w.waiting[w.waiting_count++] = r;
    } else if (!is_odd()) {
        answer_put(r);
    } else if (w.behaviour == LYING) {
        http_answer(r, 200, "application/json", NULL, slice_str("{\"success\":false}"));
    } else if (w.behaviour == REFUSING) {
        http_answer(r, 503, "application/json", NULL, slice_str("{\"error\":\"No quorum\"}"));
    } else if (w.behaviour == HANGING_UP) {
        http_answer_begin(r, 200, "text/plain", NULL);
        http_answer_abort(r);
        w.loop->ops->listen_stop(w.loop);
    }
}

static void say_bad(void *context, int http_status, const char *reason, struct buf *body)
{
    (void)context;
    buf_printf(body, "%d %s", http_status, reason);
}

static uint64_t allow_some(void *context, const struct http_request *r)
{
    (void)context;
    (void)r;
    return 1000;
}

static void end_stall(struct timer *t)
{
    (void)t;
    w.is_stalled = false;
    for (size_t i = 0; i < w.waiting_count; i++) {
        answer_put(w.waiting[i]);
    }
    w.waiting_count = 0;
}

static void begin_stall(struct timer *t)
{
    w.is_stalled = true;
    t->fire = end_stall;
    w.loop->ops->timer_start(w.loop, t, w.loop->ops->now_ms(w.loop) + STALL_MS);
}

/* --- gRPC ------------------------------------------------------------------------------------- */

static void send_put(struct grpc_stream *s, uint64_t revision)
{
    struct buf header = {0};
    struct buf message = {0};
    load_proto_put_number(&header, 3, revision);
    load_proto_put_bytes(&message, 1, buf_slice(&header));
    grpc_send(s, buf_slice(&message));
    buf_deinit(&header);
    buf_deinit(&message);
    grpc_finish(s, GRPC_OK, NULL);
}

static void on_message(struct grpc_stream *s, struct slice message)
{
    (void)message;
    if (!is_odd()) {
        send_put(s, ++w.revision);
    } else if (w.behaviour == LYING) {
        send_put(s, 1);
    } else if (w.behaviour == REFUSING) {
        grpc_finish(s, GRPC_UNAVAILABLE, "etcdserver: no leader");
    }
}

static void on_stream(void *context, struct grpc_stream *s)
{
    (void)context;
    assert_true(slice_equal(s->path, slice_str("/etcdserverpb.KV/Put")));
    s->on_message = on_message;
}

static void on_http2(void *context, struct conn *c, struct slice first)
{
    (void)context;
    grpc_server_accept(w.grpc, c, first);
}

/* --- the world -------------------------------------------------------------------------------- */

static void on_accept(void *context, struct conn *c)
{
    (void)context;
    http_server_accept(w.http, c);
}

static uint32_t count_http2(const void *context)
{
    return grpc_server_connections(context);
}

static void on_turn(void *context)
{
    (void)context;
    load_run_turn(w.run);
    grpc_server_turn(w.grpc);
}

static void on_done(void *context)
{
    (void)context;
    w.loop->ops->stop(w.loop);
}

static void begin(enum load_protocol protocol)
{
    memset(&w, 0, sizeof(w));
    w.loop = uv_loop_create();
    w.revision = 1;
    w.result = mem_calloc(1, sizeof(*w.result));
    const struct http_handler http = {
        .on_request = on_request, .on_bad = say_bad, .body_bytes_max = allow_some};
    const struct grpc_handler grpc = {.on_stream = on_stream};
    w.http = http_server_create(w.loop, &http, NULL);
    w.grpc = grpc_server_create(w.loop, &grpc, NULL);
    http_server_on_http2(w.http, on_http2, count_http2, NULL, w.grpc);
    w.plan = (struct load_plan){.operation = LOAD_PUT,
                                .mix = {[LOAD_PUT] = 1},
                                .protocol = protocol,
                                .endpoint_count = 1,
                                .connections = 2,
                                .streams = 2,
                                .measured_us = 200000,
                                .timeout_us = 20000000,
                                .keys = 100,
                                .key_bytes = 16,
                                .value_bytes = 16,
                                .prefix = "k/"};
    struct url *url = &w.plan.endpoints[0];
    snprintf(url->host, sizeof(url->host), "127.0.0.1");
    assert_int_equal(w.loop->ops->listen(w.loop, url->host, 0, &url->port, on_accept, NULL),
                     STATUS_OK);
}

static void run(void)
{
    const struct load_run_events events = {.on_done = on_done};
    w.run = load_run_create(w.loop, &w.plan, &events, w.result);
    w.loop->ops->on_turn(w.loop, on_turn, NULL);
    load_run_begin(w.run);
    uv_loop_run(w.loop);
    load_run_destroy(w.run);
    http_server_destroy(w.http);
    grpc_server_destroy(w.grpc);
    uv_loop_destroy(w.loop);
}

static void end(void)
{
    mem_free(w.result);
}

static const char *first_kind(void)
{
    return w.result->errors.kind_count > 0 ? w.result->errors.kinds[0].kind : "";
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_closed_loop_asks_again_and_counts_what_it_measured(void **state)
{
    (void)state;
    for (int protocol = LOAD_GRPC; protocol <= LOAD_HTTP; protocol++) {
        begin((enum load_protocol)protocol);
        w.plan.warmup_us = 100000;
        run();
        const struct load_result *r = w.result;
        assert_true(r->requests > 0 && r->requests < w.requests); /* not those of warming up */
        assert_int_equal(r->latency.count, r->requests);
        assert_int_equal(r->errors.total, 0);
        assert_int_equal(r->measured_us, 200000);
        assert_true(r->generator.is_known && r->generator.us > 0);
        assert_true(load_report_is_sound(r));
        end();
    }
}

static void an_open_loop_sends_at_its_own_rate(void **state)
{
    (void)state;
    begin(LOAD_GRPC);
    w.plan.rate = 500;
    w.plan.measured_us = 400000;
    w.plan.arrivals = LOAD_CONSTANT;
    run();
    uint64_t all = w.result->requests + w.result->never_sent;
    assert_in_range(all, 198, 201);
    assert_int_equal(w.result->latency.count, all);
    end();
}

/* Coordinated omission: of one second, 300 ms without answers. A closed loop has one slow request a
 * client; who came meanwhile waited, too. */
static void a_stall_shows_in_the_open_loops_latency(void **state)
{
    (void)state;
    begin(LOAD_HTTP);
    w.plan.rate = 1000;
    w.plan.measured_us = 1000000;
    w.plan.arrivals = LOAD_POISSON;
    w.stall = (struct timer){.fire = begin_stall};
    w.loop->ops->timer_start(w.loop, &w.stall, w.loop->ops->now_ms(w.loop) + 200);
    run();
    const struct load_histogram *h = &w.result->latency;
    assert_true(load_histogram_quantile(h, 0.99) > STALL_MS * 1000 / 2);
    assert_true(load_histogram_quantile(h, 0.9) > STALL_MS * 1000 / 4);
    assert_true(w.result->late_sends > 100); /* four clients waited for answers */
    end();
}

/* A server that never answers again: what was due until the end has waited. */
static void what_never_found_a_client_is_in_the_latency(void **state)
{
    (void)state;
    for (int protocol = LOAD_GRPC; protocol <= LOAD_HTTP; protocol++) {
        begin((enum load_protocol)protocol);
        w.plan.rate = 1000;
        w.plan.measured_us = 400000;
        w.plan.timeout_us = 500000;
        w.behaviour = SILENT;
        run();
        const struct load_result *r = w.result;
        assert_true(r->never_sent > 100 && r->late_sends >= r->never_sent);
        assert_int_equal(r->latency.count, r->never_sent);
        assert_int_equal(r->errors.total, 4); /* one of each client */
        assert_string_equal(first_kind(), "no answer in time");
        assert_true(load_histogram_quantile(&r->latency, 0.9) > 100000);
        end();
    }
}

static void wrong_answers_are_errors(void **state)
{
    (void)state;
    for (int protocol = LOAD_GRPC; protocol <= LOAD_HTTP; protocol++) {
        begin((enum load_protocol)protocol);
        w.behaviour = LYING;
        w.turn_at = 10;
        run();
        assert_string_equal(first_kind(), "wrong answer");
        assert_true(w.result->errors.kinds[0].text[0] != '\0');
        assert_int_equal(w.result->requests, 10);
        assert_int_equal(w.result->requests + w.result->errors.total, w.requests);
        assert_false(load_report_is_sound(w.result));
        end();
    }
}

static void refusals_are_errors_with_the_servers_words(void **state)
{
    (void)state;
    begin(LOAD_GRPC);
    w.behaviour = REFUSING;
    run();
    assert_string_equal(first_kind(), "UNAVAILABLE");
    assert_string_equal(w.result->errors.kinds[0].text, "etcdserver: no leader");
    assert_int_equal(w.result->requests, 0);
    assert_false(load_report_is_sound(w.result));
    end();
    begin(LOAD_HTTP);
    w.behaviour = REFUSING;
    run();
    assert_string_equal(first_kind(), "HTTP 503");
    assert_non_null(strstr(w.result->errors.kinds[0].text, "No quorum"));
    end();
}

static void a_server_that_is_gone_is_errors_and_time_without_connections(void **state)
{
    (void)state;
    begin(LOAD_HTTP);
    w.behaviour = HANGING_UP;
    w.turn_at = 10;
    w.plan.measured_us = 800000;
    run();
    assert_string_equal(first_kind(), "connection lost");
    assert_true(w.result->errors.kind_count > 1);
    assert_string_equal(w.result->errors.kinds[1].kind, "cannot connect");
    assert_true(w.result->down_us > 0);
    assert_false(load_report_is_sound(w.result));
    end();
}

static void nobody_there_is_trouble_and_no_measurement(void **state)
{
    (void)state;
    begin(LOAD_GRPC);
    w.loop->ops->listen_stop(w.loop);
    run();
    assert_non_null(strstr(w.result->trouble, "cannot connect"));
    assert_int_equal(w.result->measured_us, 0);
    end();
}

static void interrupt(struct timer *t)
{
    (void)t;
    load_run_interrupt(w.run);
}

static void an_interrupt_ends_it_with_what_was_seen(void **state)
{
    (void)state;
    begin(LOAD_GRPC);
    w.plan.measured_us = 3600000000;
    w.interrupt = (struct timer){.fire = interrupt};
    w.loop->ops->timer_start(w.loop, &w.interrupt, w.loop->ops->now_ms(w.loop) + 300);
    run();
    assert_true(w.result->is_interrupted);
    assert_true(w.result->requests > 0 && w.result->measured_us > 0);
    assert_true(w.result->measured_us < 3600000000);
    assert_int_equal(w.result->errors.total, 0);
    end();
}

static void reports_are_printed(void **state)
{
    (void)state;
    begin(LOAD_GRPC);
    w.behaviour = REFUSING;
    w.turn_at = 100;
    run();
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    load_report_print(&w.plan, w.result, out);
    fflush(out);
    assert_non_null(strstr(text, "p99.9"));
    assert_non_null(strstr(text, "x UNAVAILABLE: etcdserver: no leader"));
    assert_non_null(strstr(text, "warning: p99 and beyond rest on few requests: 100 "));
    w.result->generator.us = w.result->measured_us * 1000;
    load_report_print(&w.plan, w.result, out);
    fclose(out);
    assert_non_null(strstr(text, "what was measured is partly the generator"));
    free(text);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_loop_asks_again_and_counts_what_it_measured),
        cmocka_unit_test(an_open_loop_sends_at_its_own_rate),
        cmocka_unit_test(a_stall_shows_in_the_open_loops_latency),
        cmocka_unit_test(what_never_found_a_client_is_in_the_latency),
        cmocka_unit_test(wrong_answers_are_errors),
        cmocka_unit_test(refusals_are_errors_with_the_servers_words),
        cmocka_unit_test(a_server_that_is_gone_is_errors_and_time_without_connections),
        cmocka_unit_test(nobody_there_is_trouble_and_no_measurement),
        cmocka_unit_test(an_interrupt_ends_it_with_what_was_seen),
        cmocka_unit_test(reports_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
