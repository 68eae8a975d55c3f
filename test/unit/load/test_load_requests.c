/* Requests as bytes of either protocol, answers that are right, and every kind that is not. */
#include "load/load_errors.h"
#include "load/load_proto.h"
#include "load/load_requests.h"
#include "net/http_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct load_plan make_plan(enum load_operation operation, enum load_protocol protocol)
{
    struct load_plan plan = {.operation = operation,
                             .protocol = protocol,
                             .keys = 10,
                             .key_bytes = 6,
                             .value_bytes = 32,
                             .prefix = "k/",
                             .distribution = LOAD_SEQUENTIAL,
                             .txn_ops = 2,
                             .watchers = 1,
                             .leases = 2};
    if (operation < LOAD_SIMPLE) {
        plan.mix[operation] = 1;
    } else if (operation == LOAD_WATCH) {
        plan.mix[LOAD_PUT] = 1;
    }
    return plan;
}

struct world {
    struct load_plan plan;
    struct load_maker maker;
    struct load_request request;
    struct buf message;
};

static void begin(struct world *w, enum load_operation operation, enum load_protocol protocol)
{
    *w = (struct world){.plan = make_plan(operation, protocol)};
    load_maker_init(&w->maker, &w->plan);
}

static void end(struct world *w)
{
    load_request_deinit(&w->request);
    load_maker_deinit(&w->maker);
    buf_deinit(&w->message);
}

static struct slice field_of(struct slice message, uint32_t number)
{
    struct reader r = reader_of(message);
    struct load_field f;
    while (load_proto_next(&r, &f)) {
        if (f.number == number) {
            return f.bytes;
        }
    }
    return (struct slice){0};
}

static const char *check(struct world *w)
{
    struct load_answer a;
    return load_check_message(&w->plan, &w->request, buf_slice(&w->message), &a);
}

/* An answer begins with its header. */
static void answer(struct world *w, uint64_t revision)
{
    struct buf header = {0};
    buf_clear(&w->message);
    load_proto_put_number(&header, 1, 77);
    load_proto_put_number(&header, 3, revision);
    load_proto_put_bytes(&w->message, 1, buf_slice(&header));
    buf_deinit(&header);
}

static void answer_key(struct world *w, const char *key, size_t value_bytes)
{
    static const uint8_t zeros[64];
    struct buf kv = {0};
    load_proto_put_bytes(&kv, 1, slice_str(key));
    load_proto_put_number(&kv, 3, 2);
    load_proto_put_bytes(&kv, 5, slice_of(zeros, value_bytes));
    load_proto_put_bytes(&w->message, 2, buf_slice(&kv));
    buf_deinit(&kv);
}

static void a_put_has_its_key_and_a_value_of_its_size(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_PUT, LOAD_GRPC);
    load_make(&w.maker, &w.request, 0);
    assert_string_equal(w.request.path, "/etcdserverpb.KV/Put");
    struct slice message = buf_slice(&w.request.body);
    assert_true(slice_equal(field_of(message, 1), slice_str("k/0000")));
    assert_int_equal(field_of(message, 2).size, 32);
    answer(&w, 5);
    assert_null(check(&w));
    w.request.floor = 5;
    assert_non_null(check(&w)); /* a put makes a new revision */
    answer(&w, 0);
    assert_non_null(check(&w));
    buf_clear(&w.message);
    buf_append_str(&w.message, "\x0a\x7f");
    assert_non_null(check(&w));
    end(&w);
}

static void a_read_is_of_its_key_and_a_prefilled_one_must_be_there(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_RANGE, LOAD_GRPC);
    load_make(&w.maker, &w.request, 0);
    w.request.floor = 4;
    answer(&w, 4);
    assert_null(check(&w));
    w.plan.prefill = true;
    assert_non_null(check(&w));
    answer_key(&w, "k/0000", 32);
    assert_null(check(&w));
    answer_key(&w, "k/0000", 32);
    assert_non_null(check(&w)); /* two */
    answer(&w, 4);
    answer_key(&w, "k/0001", 32);
    assert_non_null(check(&w));
    answer(&w, 4);
    answer_key(&w, "k/0000", 31);
    assert_non_null(check(&w));
    answer(&w, 3);
    answer_key(&w, "k/0000", 32);
    assert_non_null(check(&w)); /* the past */
    end(&w);
}

static void a_serializable_read_says_so(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_SERIALIZABLE, LOAD_GRPC);
    load_make(&w.maker, &w.request, 0);
    struct slice body = buf_slice(&w.request.body);
    assert_true(body.size > 2 && body.data[body.size - 2] == (7 << 3));
    end(&w);
    begin(&w, LOAD_SERIALIZABLE, LOAD_HTTP);
    load_make(&w.maker, &w.request, 0);
    assert_string_equal((const char *)w.request.target.data, "/key/k/0000?consistency=stale");
    end(&w);
}

static void a_transaction_puts_what_was_asked_for_or_is_wrong(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_TXN, LOAD_GRPC);
    load_make(&w.maker, &w.request, 0);
    assert_int_equal(w.request.puts, 2);
    struct slice put = field_of(field_of(buf_slice(&w.request.body), 2), 2);
    assert_int_equal(field_of(put, 2).size, 32);
    answer(&w, 9);
    load_proto_put_number(&w.message, 2, 1);
    load_proto_put_bytes(&w.message, 3, slice_str(""));
    assert_non_null(check(&w));
    load_proto_put_bytes(&w.message, 3, slice_str(""));
    assert_null(check(&w));
    end(&w);
}

static void a_lease_that_is_gone_is_wrong(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_KEEPALIVE, LOAD_GRPC);
    w.maker.leases[w.maker.lease_count++] = 42;
    load_make(&w.maker, &w.request, 0);
    answer(&w, 2);
    load_proto_put_number(&w.message, 2, 42);
    load_proto_put_number(&w.message, 3, 60);
    assert_null(check(&w));
    answer(&w, 2);
    load_proto_put_number(&w.message, 2, 42);
    assert_non_null(check(&w));
    answer(&w, 2);
    load_proto_put_number(&w.message, 2, 43);
    load_proto_put_number(&w.message, 3, 60);
    assert_non_null(check(&w));
    end(&w);
}

static void prefill_puts_every_key_once(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_RANGE, LOAD_GRPC);
    w.plan.keys = 250;
    uint64_t puts = 0;
    int requests = 0;
    for (; load_make_prefill(&w.maker, &w.request); requests++) {
        puts += w.request.puts;
    }
    assert_int_equal(puts, 250);
    assert_int_equal(requests, 3);
    end(&w);
}

static void note_time(void *context, uint64_t put_us)
{
    *(uint64_t *)context = put_us;
}

static void a_watched_put_says_when_it_was_sent(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_WATCH, LOAD_GRPC);
    load_make(&w.maker, &w.request, 123456789);
    struct slice value = field_of(buf_slice(&w.request.body), 2);
    assert_int_equal(value.size, 32);
    struct buf kv = {0};
    struct buf event = {0};
    load_proto_put_bytes(&kv, 5, value);
    load_proto_put_bytes(&event, 2, buf_slice(&kv));
    answer(&w, 7);
    load_proto_put_bytes(&w.message, 11, buf_slice(&event));
    struct load_watch_news news;
    uint64_t put_us = 0;
    assert_null(load_read_watch(buf_slice(&w.message), &news, note_time, &put_us));
    assert_int_equal(put_us, 123456789);
    assert_int_equal(news.events, 1);
    assert_int_equal(news.revision, 7);
    w.message.size--;
    assert_non_null(load_read_watch(buf_slice(&w.message), &news, note_time, &put_us));
    buf_deinit(&kv);
    buf_deinit(&event);
    end(&w);
}

static const char *check_http(struct world *w, int status, const char *body)
{
    const struct http_header header = {slice_str("conclave-revision"), slice_str("12")};
    const struct http_reply reply = {
        .http_status = status, .headers = &header, .header_count = 1, .body = slice_str(body)};
    struct load_answer a;
    return load_check_reply(&w->plan, &w->request, &reply, &a);
}

static void http_answers_are_checked_alike(void **state)
{
    (void)state;
    struct world w;
    begin(&w, LOAD_RANGE, LOAD_HTTP);
    w.plan.value_bytes = 7;
    load_make(&w.maker, &w.request, 0);
    assert_null(check_http(&w, 200, "{\"key\":\"k/0000\",\"value\":\"abcde\",\"revision\":3}"));
    assert_non_null(check_http(&w, 200, "{\"key\":\"k/0001\",\"value\":\"abcde\",\"revision\":3}"));
    assert_null(check_http(&w, 404, "{\"error\":\"Key not found\"}"));
    w.plan.prefill = true;
    assert_non_null(check_http(&w, 404, "{\"error\":\"Key not found\"}"));
    assert_null(check_http(&w, 200, "{\"key\":\"k/0000\",\"value\":\"abcde\",\"revision\":3}"));
    assert_non_null(check_http(&w, 200, "{\"key\":\"k/0000\",\"value\":\"abcd\",\"revision\":3}"));
    w.request.floor = 13;
    assert_non_null(check_http(&w, 200, "{\"key\":\"k/0000\",\"value\":\"abcde\",\"revision\":3}"));
    end(&w);
    begin(&w, LOAD_PUT, LOAD_HTTP);
    load_make(&w.maker, &w.request, 0);
    assert_string_equal((const char *)w.request.target.data, "/key/k/0000");
    assert_int_equal(w.request.body.size, 32);
    assert_true(w.request.body.data[0] == '"' && w.request.body.data[31] == '"');
    assert_null(check_http(&w, 200, "{\"success\":true,\"key\":\"k/0000\"}"));
    assert_non_null(check_http(&w, 200, "{}"));
    end(&w);
    begin(&w, LOAD_TXN, LOAD_HTTP);
    load_make(&w.maker, &w.request, 0);
    assert_null(check_http(
        &w, 200, "{\"succeeded\":true,\"results\":[{\"type\":\"put\"},{\"type\":\"put\"}]}"));
    assert_non_null(check_http(&w, 200, "{\"succeeded\":true,\"results\":[{\"type\":\"put\"}]}"));
    end(&w);
}

static void mixes_are_read_and_wrong_ones_refused(void **state)
{
    (void)state;
    uint32_t mix[LOAD_SIMPLE];
    assert_null(load_mix_parse("put=1,range=9", mix));
    assert_true(mix[LOAD_PUT] == 1 && mix[LOAD_RANGE] == 9 && mix[LOAD_TXN] == 0);
    static const char *const wrong[] = {
        "put", "put=",        "put=1,put=2", "put=0",       "watch=1",
        "p=1", "put=1;txn=2", "put=-1",      "put=1000001", "put=99999999999"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_non_null(load_mix_parse(wrong[i], mix));
    }
}

static void errors_are_counted_by_kind_with_the_first_text(void **state)
{
    (void)state;
    static struct load_errors e;
    load_errors_add(&e, "UNAVAILABLE", slice_str("no\nleader"));
    load_errors_add(&e, "UNAVAILABLE", slice_str("other words"));
    assert_int_equal(e.kind_count, 1);
    assert_int_equal(e.kinds[0].count, 2);
    assert_string_equal(e.kinds[0].text, "no?leader");
    for (int i = 0; i < 100; i++) {
        char kind[16];
        snprintf(kind, sizeof(kind), "HTTP %d", 400 + i);
        load_errors_add(&e, kind, slice_str(""));
    }
    assert_int_equal(e.kind_count, LOAD_ERROR_KINDS);
    assert_string_equal(e.kinds[LOAD_ERROR_KINDS - 1].kind, "other");
    assert_int_equal(e.total, 102);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_has_its_key_and_a_value_of_its_size),
        cmocka_unit_test(a_read_is_of_its_key_and_a_prefilled_one_must_be_there),
        cmocka_unit_test(a_serializable_read_says_so),
        cmocka_unit_test(a_transaction_puts_what_was_asked_for_or_is_wrong),
        cmocka_unit_test(a_lease_that_is_gone_is_wrong),
        cmocka_unit_test(prefill_puts_every_key_once),
        cmocka_unit_test(a_watched_put_says_when_it_was_sent),
        cmocka_unit_test(http_answers_are_checked_alike),
        cmocka_unit_test(mixes_are_read_and_wrong_ones_refused),
        cmocka_unit_test(errors_are_counted_by_kind_with_the_first_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
