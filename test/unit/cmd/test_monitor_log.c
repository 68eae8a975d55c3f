/* cmd/monitor_log.h: what changes between two looks, and how fast the store does. */
#include "base/mem.h"
#include "cmd/monitor_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct story {
    struct monitor_log *log;
    struct cluster_view view;
    uint64_t now_ms;
};

static int begin(void **state)
{
    struct story *s = mem_calloc(1, sizeof(*s));
    s->log = mem_calloc(1, sizeof(*s->log));
    s->view.revision = 1;
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct story *s = *state;
    mem_free(s->log);
    mem_free(s);
    return 0;
}

static struct member_view *add(struct story *s, const char *name, const char *role)
{
    struct member_view *m = &s->view.members[s->view.count++];
    *m = (struct member_view){.is_online = true, .term = 1};
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->role, sizeof(m->role), "%s", role);
    return m;
}

static void look(struct story *s)
{
    s->now_ms += 500;
    monitor_log_note(s->log, &s->view, s->now_ms, (time_t)(s->now_ms / 1000));
}

static void expect_event(const struct story *s, uint32_t i, const char *text)
{
    assert_true(i < s->log->event_count);
    assert_string_equal(monitor_log_event(s->log, i)->text, text);
}

static void row_b12_the_first_look_is_no_news(void **state)
{
    struct story *s = *state;
    look(s); /* nobody answers yet */
    assert_int_equal(s->log->event_count, 0);
    add(s, "node-1", "follower");
    look(s);
    assert_int_equal(s->log->event_count, 0);
    look(s);
    assert_int_equal(s->log->event_count, 0);
}

static void row_b12_members_that_go_and_come_are_events(void **state)
{
    struct story *s = *state;
    struct member_view *one = add(s, "node-1", "follower");
    add(s, "node-2", "follower");
    look(s);
    one->is_online = false;
    snprintf(one->reason, sizeof(one->reason), "takes no connections");
    look(s);
    expect_event(s, 0, "node-1 went offline: takes no connections");
    one->is_online = true;
    look(s);
    expect_event(s, 0, "node-1 came back");
    add(s, "node-3", "learner");
    look(s);
    expect_event(s, 0, "node-3 is a member now");
    s->view.count = 1;
    look(s);
    expect_event(s, 0, "node-3 is no member any more");
    expect_event(s, 1, "node-2 is no member any more");
    assert_int_equal(s->log->event_count, 5);
}

static void row_b17_a_new_leader_and_a_new_term_are_events(void **state)
{
    struct story *s = *state;
    struct member_view *one = add(s, "node-1", "leader");
    struct member_view *two = add(s, "node-2", "follower");
    look(s);
    snprintf(one->role, sizeof(one->role), "follower");
    look(s);
    expect_event(s, 0, "node-1 leads no more, and nobody else does");
    snprintf(two->role, sizeof(two->role), "leader");
    two->term = 2;
    look(s);
    expect_event(s, 1, "node-2 leads now");
    expect_event(s, 0, "term 2 after 1");
    snprintf(two->role, sizeof(two->role), "follower");
    snprintf(one->role, sizeof(one->role), "leader");
    look(s);
    expect_event(s, 0, "node-1 leads now, not node-2");
    assert_int_equal(s->log->event_count, 4);
}

static void row_b12_events_beyond_the_limit_push_out_the_oldest(void **state)
{
    struct story *s = *state;
    struct member_view *one = add(s, "node-1", "follower");
    look(s);
    for (uint32_t i = 0; i < LIMIT_MONITOR_EVENTS + 10; i++) {
        one->is_online = !one->is_online;
        look(s);
    }
    assert_int_equal(s->log->event_count, LIMIT_MONITOR_EVENTS);
    for (uint32_t i = 0; i < LIMIT_MONITOR_EVENTS; i++) {
        bool came = strcmp(monitor_log_event(s->log, i)->text, "node-1 came back") == 0;
        assert_int_equal(came, i % 2 == 0);
    }
}

static void row_b12_throughput_is_the_change_of_the_revision_a_second(void **state)
{
    struct story *s = *state;
    add(s, "node-1", "leader");
    look(s);
    assert_int_equal(s->log->rate_count, 0); /* one look tells no speed */
    s->view.revision += 50;
    look(s);
    assert_true(monitor_log_rate(s->log, 0) == 100.0);
    look(s);
    assert_true(monitor_log_rate(s->log, 0) == 0.0);
    /* Only one that lags answers, and then all again: nothing was written meanwhile. */
    s->view.revision -= 20;
    look(s);
    s->view.revision += 20;
    look(s);
    assert_true(monitor_log_rate(s->log, 0) == 0.0);
    /* Nobody answers for a while: what happened then is no speed of now. */
    s->view.revision = MEMBER_VIEW_UNKNOWN;
    look(s);
    s->view.revision = 100000;
    look(s);
    assert_true(monitor_log_rate(s->log, 0) == 0.0);
    for (uint32_t i = 0; i < 2 * LIMIT_MONITOR_RATES; i++) {
        s->view.revision += i;
        look(s);
    }
    assert_int_equal(s->log->rate_count, LIMIT_MONITOR_RATES);
    assert_true(monitor_log_rate(s->log, 0) == 2.0 * (2 * LIMIT_MONITOR_RATES - 1));
    assert_true(monitor_log_rate(s->log, 1) == 2.0 * (2 * LIMIT_MONITOR_RATES - 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(row_b12_the_first_look_is_no_news, begin, end),
        cmocka_unit_test_setup_teardown(row_b12_members_that_go_and_come_are_events, begin, end),
        cmocka_unit_test_setup_teardown(row_b17_a_new_leader_and_a_new_term_are_events, begin, end),
        cmocka_unit_test_setup_teardown(row_b12_events_beyond_the_limit_push_out_the_oldest, begin,
                                        end),
        cmocka_unit_test_setup_teardown(row_b12_throughput_is_the_change_of_the_revision_a_second,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
