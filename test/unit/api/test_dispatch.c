/* GET /dispatch: who gets the next client (rows E6 to E8), as a function of the loads and as an
 * answer. */
#include "rest_asserts.h"

#include "api/dispatch.h"

#include <stdio.h>

#define MEMBERS 3

static struct dispatcher dispatcher;
static struct node_load_item members[LIMIT_MEMBERS];

/* node-1, node-2 ... that serve and have nobody. */
static void make_members(uint32_t count)
{
    dispatcher = (struct dispatcher){0};
    for (uint32_t i = 0; i < count; i++) {
        members[i] = (struct node_load_item){.serves = true, .member.id = i + 1};
        snprintf(members[i].member.name, sizeof(members[i].member.name), "node-%u", i + 1);
        snprintf(members[i].member.url, sizeof(members[i].member.url), "http://127.0.0.1:%u",
                 4001 + i);
    }
}

/* Of `requests` in a row, how many each got. */
static void choose(uint32_t requests, uint64_t now_ms, uint32_t got[MEMBERS])
{
    memset(got, 0, MEMBERS * sizeof(got[0]));
    for (uint32_t i = 0; i < requests; i++) {
        const struct node_load_item *item = dispatch_choose(&dispatcher, members, MEMBERS, now_ms);
        assert_non_null(item);
        got[item->member.id - 1]++;
    }
}

static void assert_got(const uint32_t got[MEMBERS], uint32_t a, uint32_t b, uint32_t c)
{
    assert_int_equal(got[0], a);
    assert_int_equal(got[1], b);
    assert_int_equal(got[2], c);
}

static void row_e6_equals_get_the_same_between_two_beats(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    choose(30, 5000, got);
    assert_got(got, 10, 10, 10);
    /* Also over the end of windows, by clients that leave no trace. */
    for (uint64_t now_ms = 5000, i = 0; i < 30; i++, now_ms += 700) {
        uint32_t one[MEMBERS];
        choose(1, now_ms, one);
        for (uint32_t m = 0; m < MEMBERS; m++) {
            got[m] += one[m];
        }
    }
    assert_got(got, 20, 20, 20);
}

static void row_e7_who_has_five_waits_until_the_others_have_them(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    members[0].load.connections = 5;
    choose(10, 5000, got);
    assert_got(got, 0, 5, 5);
    choose(3, 5000, got);
    assert_got(got, 1, 1, 1);
}

static void row_e6_who_has_come_is_not_counted_twice(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    choose(6, 5000, got);
    assert_got(got, 2, 2, 2);
    members[1].load.connections = 2; /* its two have come; the others' beats are late */
    choose(3, 5000, got);
    assert_got(got, 1, 1, 1);
    members[0].load.connections = 3;
    members[1].load.connections = 3;
    members[2].load.connections = 9; /* and six of its own */
    choose(6, 5000, got);
    assert_got(got, 3, 3, 0);
}

static void row_e6_who_never_comes_is_forgotten_after_two_windows(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    members[1].serves = false;
    members[2].serves = false;
    choose(50, 5000, got);
    assert_got(got, 50, 0, 0);
    members[1].serves = true;
    choose(20, 5000 + DISPATCH_WINDOW_MS, got);
    assert_got(got, 0, 20, 0);
    choose(20, 5000 + 3 * DISPATCH_WINDOW_MS, got);
    assert_got(got, 10, 10, 0);
}

static void row_e7_nobody_is_sent_to_who_does_not_serve(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    members[0].load.connections = 100;
    members[1].serves = false;
    members[2].serves = false;
    choose(3, 5000, got);
    assert_got(got, 3, 0, 0);
    members[0].serves = false;
    assert_null(dispatch_choose(&dispatcher, members, MEMBERS, 5000));
    assert_null(dispatch_choose(&dispatcher, members, 0, 5000));
}

static void row_e6_a_loop_without_a_rest_comes_last(void **state)
{
    (void)state;
    uint32_t got[MEMBERS];
    make_members(MEMBERS);
    members[0].load.loop_permille = DISPATCH_SATURATED_PERMILLE;
    members[1].load.loop_permille = DISPATCH_SATURATED_PERMILLE - 1;
    members[1].load.connections = 1000;
    members[2].load.loop_permille = 1000;
    choose(2, 5000, got);
    assert_got(got, 0, 2, 0);
    members[1].serves = false;
    choose(2, 5000, got);
    assert_got(got, 1, 0, 1);
}

static void row_e6_members_come_and_go_for_ever(void **state)
{
    (void)state;
    make_members(LIMIT_MEMBERS);
    for (uint32_t round = 0; round < 100; round++) {
        members[round % LIMIT_MEMBERS].member.id = 1000 + round;
        for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
            assert_non_null(dispatch_choose(&dispatcher, members, LIMIT_MEMBERS, 5000));
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static void serve_by(uint32_t count)
{
    make_members(count);
    memcpy(fake_node.loads, members, count * sizeof(members[0]));
    fake_node.load_count = count;
}

static void assert_sent(const char *method, const char *target, const char *location)
{
    struct asked *a = ask(method, target, NULL, slice_of(NULL, 0));
    assert_answered(a, 307, "");
    char expected[256];
    snprintf(expected, sizeof(expected), "Location: %s\r\n", location);
    assert_same(target, &a->extra, expected);
    assert_true(a->ends_connection);
    forget(a);
}

static void row_e6_path_and_query_are_kept_as_they_are(void **state)
{
    (void)state;
    serve_by(1);
    static const char *const rows[][2] = {
        {"/dispatch", "/"},
        {"/dispatch/", "/"},
        {"/dispatch/live", "/live"},
        {"/dispatch?x=1", "/?x=1"},
        {"/dispatch?", "/?"},
        {"/dispatch/key/a%20b%2Fc?ack=all&x&x&=%zz", "/key/a%20b%2Fc?ack=all&x&x&=%zz"},
        {"/dispatch//evil.example/", "//evil.example/"},
        {"/dispatch/%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b"},
        {"/dispatch/../status", "/../status"},
        {"/dispatch/dispatch/live", "/dispatch/live"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char location[256];
        snprintf(location, sizeof(location), "http://127.0.0.1:4001%s", rows[i][1]);
        assert_sent("GET", rows[i][0], location);
    }
    assert_sent("HEAD", "/dispatch/live", "http://127.0.0.1:4001/live");
}

static void row_e6_only_a_get_is_dispatched(void **state)
{
    (void)state;
    serve_by(1);
    static const struct expect rows[] = {
        {"PUT", "/dispatch/key/a", NULL, "1", 404, "{\"error\":\"Not found\"}"},
        {"POST", "/dispatch", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"DELETE", "/dispatch/key/a", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"GET", "/dispatching", NULL, NULL, 404, "{\"error\":\"Not found\"}"},
        {"OPTIONS", "/dispatch", NULL, NULL, 200, ""},
    };
    CHECK_EACH(rows);
}

static void row_e8_without_anybody_it_is_503(void **state)
{
    (void)state;
    struct asked *a = ask("GET", "/dispatch/live", NULL, slice_of(NULL, 0));
    assert_answered(a, 503, "No worker nodes available.");
    assert_same("type", &a->type, "text/plain; charset=utf-8");
    assert_same("headers", &a->extra, "Retry-After: 1\r\n");
    assert_true(a->ends_connection);
    forget(a);
}

static void row_e4_the_node_is_told_of_the_load(void **state)
{
    (void)state;
    fake_second(30, 0);
    api_tell_load(fake_api);
    assert_int_equal(fake_node.own_load.connections, 8);
    assert_int_equal(fake_node.own_load.requests_per_second, 30);
    assert_int_equal(fake_node.own_load.loop_permille, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_e6_equals_get_the_same_between_two_beats),
        cmocka_unit_test(row_e7_who_has_five_waits_until_the_others_have_them),
        cmocka_unit_test(row_e6_who_has_come_is_not_counted_twice),
        cmocka_unit_test(row_e6_who_never_comes_is_forgotten_after_two_windows),
        cmocka_unit_test(row_e7_nobody_is_sent_to_who_does_not_serve),
        cmocka_unit_test(row_e6_a_loop_without_a_rest_comes_last),
        cmocka_unit_test(row_e6_members_come_and_go_for_ever),
        REST_TEST(row_e6_path_and_query_are_kept_as_they_are),
        REST_TEST(row_e6_only_a_get_is_dispatched),
        REST_TEST(row_e8_without_anybody_it_is_503),
        REST_TEST(row_e4_the_node_is_told_of_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
