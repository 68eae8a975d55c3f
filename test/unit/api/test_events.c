/* GET /events: how things stand, then what changes; of a listener only its place is kept. */
#include "rest_asserts.h"

#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

static struct asked *listen_with(const char *headers)
{
    struct asked *a = ask("GET", "/events", headers, slice_of(NULL, 0));
    assert_true(a->begun && !a->done);
    return a;
}

static void stop(struct asked *a)
{
    hang_up(a);
    forget(a);
}

static bool says(const struct asked *a, const char *text)
{
    return memmem(a->body.data, a->body.size, text, strlen(text)) != NULL;
}

static void become(const char *role, uint64_t term)
{
    fake_node.status.role = role;
    fake_node.status.term = term;
}

/* The id of the last event, as a header. */
static void last_id(const struct asked *a, char header[64])
{
    struct slice rest = buf_slice(&a->body);
    const uint8_t *at;
    const uint8_t *found = NULL;
    while ((at = memmem(rest.data, rest.size, "\nid: ", 5)) != NULL) {
        found = at + 5;
        rest = slice_of(found, (size_t)(rest.data + rest.size - found));
    }
    assert_non_null(found);
    const uint8_t *end = memchr(found, '\n', rest.size);
    snprintf(header, 64, "Last-Event-ID: %.*s\n", (int)(end - found), (const char *)found);
}

static void the_state_comes_first_and_then_what_changes(void **state)
{
    (void)state;
    fake_node.survey_count = 1;
    snprintf(fake_node.survey_items[0].member.name, 8, "node-1");
    struct asked *a = listen_with(NULL);
    assert_same("type", &a->type, "text/event-stream");
    assert_non_null(memmem(a->extra.data, a->extra.size, "Cache-Control: no-cache\r\n", 25));
    fake_pass(200);
    assert_true(says(a, "\nevent: state\ndata: {\"type\":\"state\","));
    assert_true(says(a, "\"members\":[{\"id\":\"node-1\""));
    buf_clear(&a->body);
    become("follower", 4);
    snprintf(fake_node.status.leader, sizeof(fake_node.status.leader), "node-2");
    fake_pass(200);
    assert_true(says(a, "event: role\ndata: {\"type\":\"role\","));
    assert_true(
        says(a, "\"id\":\"node-1\",\"role\":\"follower\",\"was\":\"leader\",\"term\":4}\n\n"));
    assert_true(says(a, "\"leaderId\":\"node-2\","));
    stop(a);
}

static void row_e10_sessions_of_pages_are_told(void **state)
{
    (void)state;
    struct asked *a = listen_with(NULL);
    fake_pass(200);
    struct asked *page = ask("GET", "/live", NULL, slice_of(NULL, 0));
    fake_pass(200);
    assert_true(says(a, "\"sessions\":1,\"began\":1,\"beganIds\":[\""));
    hang_up(page);
    forget(page);
    fake_pass(200);
    assert_true(says(a, "\"sessions\":0,\"began\":0,\"beganIds\":[],\"ended\":1,"));
    stop(a);
}

static void members_that_come_go_and_fall_silent_are_told(void **state)
{
    (void)state;
    struct node_survey_item *items = fake_node.survey_items;
    for (int i = 0; i < 3; i++) {
        snprintf(items[i].member.name, 8, "node-%d", i + 1);
        items[i].online = true;
        items[i].role = i == 0 ? "leader" : "follower";
        items[i].member.self = i == 0;
    }
    fake_node.survey_count = 2;
    struct asked *a = listen_with(NULL);
    fake_pass(1500);
    assert_false(says(a, "event: member"));
    fake_node.survey_count = 3;
    items[1].online = false;
    fake_pass(1000);
    assert_true(says(a, "\"id\":\"node-3\",\"url\":\"\",\"change\":\"joined\""));
    assert_true(says(a, "\"id\":\"node-2\",\"url\":\"\",\"change\":\"offline\""));
    buf_clear(&a->body);
    fake_node.survey_count = 2;
    items[1].online = true;
    items[1].role = "learner";
    fake_pass(1000);
    assert_true(says(a, "\"id\":\"node-3\",\"url\":\"\",\"change\":\"left\""));
    assert_true(says(a, "\"change\":\"online\""));
    assert_true(says(a, "\"id\":\"node-2\",\"role\":\"learner\",\"was\":\"follower\""));
    stop(a);
}

static void one_that_comes_back_gets_what_it_missed(void **state)
{
    (void)state;
    struct asked *keeper = listen_with(NULL);
    struct asked *a = listen_with(NULL);
    fake_pass(200);
    char id[64];
    last_id(a, id);
    stop(a);
    become("follower", 4);
    fake_pass(200);
    become("candidate", 5);
    fake_pass(200);
    a = listen_with(id);
    fake_pass(200);
    assert_false(says(a, "event: state"));
    assert_true(says(a, "\"role\":\"follower\"") && says(a, "\"role\":\"candidate\""));
    stop(a);
    /* Nobody watched for a while: what it missed is not known. */
    last_id(keeper, id);
    stop(keeper);
    a = listen_with(id);
    fake_pass(200);
    assert_true(says(a, "event: state"));
    stop(a);
}

static void a_last_event_id_that_is_none_gets_the_state(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "Last-Event-ID: x\n",           "Last-Event-ID: 01000000-\n",
        "Last-Event-ID: 01000000-99\n", "Last-Event-ID: 01000000-18446744073709551615\n",
        "Last-Event-ID: 10000000-99\n", "Last-Event-ID: 1000000018446744073709551616\n"};
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct asked *a = listen_with(headers[i]);
        fake_pass(200);
        assert_true(says(a, "event: state"));
        stop(a);
    }
}

static void a_listener_that_is_too_late_gets_the_state_instead(void **state)
{
    (void)state;
    struct asked *a = listen_with(NULL);
    fake_pass(200);
    a->unsent = 1;
    buf_clear(&a->body);
    uint32_t chunks = a->chunks;
    for (uint64_t i = 0; i < 270; i++) { /* two events each: more than are kept */
        become(i % 2 == 0 ? "follower" : "leader", 4 + i);
        fake_pass(100);
    }
    assert_int_equal(a->chunks, chunks);
    a->unsent = 0;
    fake_pass(100);
    assert_int_equal(a->chunks, chunks + 1);
    assert_true(says(a, "event: state\n"));
    stop(a);
}

static void a_listener_that_takes_nothing_is_closed(void **state)
{
    (void)state;
    struct asked *a = listen_with(NULL);
    fake_pass(200);
    a->unsent = 1;
    fake_pass(2 * LIMIT_LIVE_LATE_MS);
    assert_true(a->done && a->aborted);
    forget(a);
}

static void load_is_told_when_it_changes_and_silence_broken_by_comments(void **state)
{
    (void)state;
    struct asked *a = listen_with(NULL);
    fake_pass(200);
    fake_pass(24000);
    assert_false(says(a, "event: load\n"));
    uint32_t beats = 0;
    struct slice rest = buf_slice(&a->body);
    const uint8_t *at;
    while ((at = memmem(rest.data, rest.size, ": heartbeat\n\n", 13)) != NULL) {
        beats++;
        rest = slice_of(at + 1, (size_t)(rest.data + rest.size - at) - 1);
    }
    assert_int_equal(beats, 2);
    for (int i = 0; i < 6; i++) {
        fake_second(50, 0);
    }
    assert_true(says(a, "event: load\n") && says(a, "\"requestsPerSecond\":50.000"));
    stop(a);
}

static void a_member_that_stops_ends_the_stream(void **state)
{
    (void)state;
    struct asked *a = listen_with(NULL);
    fake_node.status.shutting_down = true;
    fake_pass(200);
    assert_true(a->done && !a->aborted);
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(the_state_comes_first_and_then_what_changes),
        REST_TEST(row_e10_sessions_of_pages_are_told),
        REST_TEST(members_that_come_go_and_fall_silent_are_told),
        REST_TEST(one_that_comes_back_gets_what_it_missed),
        REST_TEST(a_last_event_id_that_is_none_gets_the_state),
        REST_TEST(a_listener_that_is_too_late_gets_the_state_instead),
        REST_TEST(a_listener_that_takes_nothing_is_closed),
        REST_TEST(load_is_told_when_it_changes_and_silence_broken_by_comments),
        REST_TEST(a_member_that_stops_ends_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
