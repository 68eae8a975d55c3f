/* GET /live: rows E9, E10 and E15. A page first, then an update a second, the same for all. */
#include "rest_asserts.h"

#include "base/limits.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define ID_SIZE 8

static struct asked *open_page(void)
{
    struct asked *a = ask("GET", "/live", NULL, slice_of(NULL, 0));
    assert_true(a->begun && !a->done);
    return a;
}

static void close_page(struct asked *a)
{
    hang_up(a);
    forget(a);
}

static bool says(const struct asked *a, const char *text)
{
    return memmem(a->body.data, a->body.size, text, strlen(text)) != NULL;
}

/* The session's id, as the page has it. */
static void id_of(const struct asked *a, char id[ID_SIZE + 1])
{
    static const char mark[] = "const own = \"";
    const char *at = memmem(a->body.data, a->body.size, mark, strlen(mark));
    assert_non_null(at);
    memcpy(id, at + strlen(mark), ID_SIZE);
    id[ID_SIZE] = '\0';
    assert_int_equal(strspn(id, "0123456789abcdef"), ID_SIZE);
}

static void add_surveyed(const char *name, const char *url, const char *role)
{
    struct node_survey_item *item = &fake_node.survey_items[fake_node.survey_count++];
    snprintf(item->member.name, sizeof(item->member.name), "%s", name);
    snprintf(item->member.url, sizeof(item->member.url), "%s", url);
    item->member.self = fake_node.survey_count == 1;
    item->online = role != NULL;
    item->role = role;
    item->term = 3;
}

static void row_e9_the_page_comes_first_and_then_an_update_a_second(void **state)
{
    (void)state;
    add_surveyed("node-1", "http://127.0.0.1:4001", "leader");
    struct asked *a = open_page();
    assert_int_equal(a->status, 200);
    assert_same("type", &a->type, "text/html; charset=utf-8");
    assert_non_null(memmem(a->extra.data, a->extra.size, "Cache-Control: no-cache\r\n", 25));
    assert_int_equal(a->chunks, 1);
    assert_true(says(a, "<!doctype html>"));
    char id[ID_SIZE + 1];
    id_of(a, id);
    for (uint32_t second = 1; second <= 3; second++) {
        buf_clear(&a->body);
        fake_pass(1000);
        assert_int_equal(a->chunks, 1 + second);
        char expected[64];
        snprintf(expected, sizeof(expected), "<script>update([\"%s\"],{\"id\":\"node-1\",", id);
        assert_true(slice_has_prefix(buf_slice(&a->body), slice_str(expected)));
        assert_true(says(a, "\"role\":\"leader\",\"term\":3,\"leaderId\":\"node-1\""));
        assert_true(says(a, "\"sessions\":1,\"connections\":10,"));
        assert_true(says(a, ");</script>\n"));
    }
    close_page(a);
}

static void row_e9_head_has_no_session(void **state)
{
    (void)state;
    struct asked *a = ask("HEAD", "/live", NULL, slice_of(NULL, 0));
    assert_true(a->begun && a->done);
    assert_int_equal(a->chunks, 0);
    assert_null(fake_node.survey);
    forget(a);
}

static void row_e4_the_page_shows_how_many_clients_each_member_has(void **state)
{
    (void)state;
    static const char *const names[] = {"node-1", "node-2", "node-3"};
    for (uint32_t i = 0; i < 3; i++) {
        add_surveyed(names[i], "http://127.0.0.1:4001", i == 0 ? "leader" : "follower");
        fake_node.survey_items[i].member.id = i + 1;
        fake_node.loads[i].member.id = 3 - i; /* in another order */
        fake_node.loads[i].load.connections = 30 - i;
    }
    fake_node.loads[0].age_ms = UINT64_MAX; /* node-3 has not told */
    fake_node.load_count = 3;
    struct asked *a = open_page();
    fake_pass(1000);
    assert_true(says(a, "\"lastContactMs\":0,\"connections\":28}"));
    assert_true(says(a, "\"lastContactMs\":0,\"connections\":29}"));
    assert_true(says(a, "\"lastContactMs\":0,\"connections\":null}"));
    close_page(a);
}

static void row_e10_a_session_is_on_all_pages_within_a_second_until_it_ends(void **state)
{
    (void)state;
    struct asked *a = open_page();
    fake_pass(1500);
    struct asked *b = open_page();
    char id[ID_SIZE + 1];
    id_of(b, id);
    assert_false(says(a, id));
    fake_pass(1000);
    assert_true(says(a, id));
    assert_true(says(a, "\"sessions\":2"));
    close_page(b);
    fake_pass(1000);
    buf_clear(&a->body);
    fake_pass(1000);
    assert_false(says(a, id));
    assert_true(says(a, "\"sessions\":1"));
    close_page(a);
}

static void row_e15_pages_of_a_tick_share_the_bytes_of_one_update(void **state)
{
    (void)state;
    struct asked *pages[40];
    for (size_t i = 0; i < 40; i++) {
        pages[i] = open_page();
    }
    fake_pass(1000);
    size_t shared = 0;
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(pages[i]->chunks, 2);
        for (size_t k = 0; k < i; k++) {
            shared += pages[i]->shared == pages[k]->shared ? 1 : 0;
        }
    }
    assert_true(shared >= 10 * (4 * 3 / 2)); /* ten ticks of four pages each */
    for (size_t i = 0; i < 40; i++) {
        close_page(pages[i]);
    }
}

static void row_e15_many_sessions_are_counted_and_the_newest_listed(void **state)
{
    (void)state;
    struct asked **pages = mem_calloc(LIMIT_LIVE_STREAMS, sizeof(struct asked *));
    for (size_t i = 0; i < LIMIT_LIVE_STREAMS; i++) {
        pages[i] = open_page();
        if (i + 2 < LIMIT_LIVE_STREAMS) {
            buf_deinit(&pages[i]->body);
        }
    }
    struct asked *refused = ask("GET", "/live", NULL, slice_of(NULL, 0));
    assert_answered(refused, 503,
                    "{\"error\":\"Too many streams\",\"reason\":\"as many pages and listeners as "
                    "this member takes are open; ask another\"}");
    assert_same("headers", &refused->extra, "Retry-After: 5\r\n");
    forget(refused);

    struct asked *last = pages[LIMIT_LIVE_STREAMS - 1];
    char id[ID_SIZE + 1];
    id_of(last, id);
    buf_clear(&last->body);
    fake_pass(1000);
    char expected[64];
    snprintf(expected, sizeof(expected), "update([\"%s\",", id);
    assert_true(says(last, expected));
    snprintf(expected, sizeof(expected), "\"sessions\":%u", LIMIT_LIVE_STREAMS);
    assert_true(says(last, expected));
    assert_true(last->body.size < 8u * KIB);
    for (size_t i = 0; i < LIMIT_LIVE_STREAMS; i++) {
        close_page(pages[i]);
    }
    struct asked *again = open_page();
    close_page(again);
    mem_free(pages);
}

static void row_e15_a_slow_reader_misses_updates_and_is_closed_when_it_takes_nothing(void **state)
{
    (void)state;
    struct asked *slow = open_page();
    struct asked *dead = open_page();
    struct asked *fine = open_page();
    slow->unsent = 1;
    dead->unsent = 1;
    fake_pass(LIMIT_LIVE_LATE_MS - 5000);
    assert_int_equal(slow->chunks, 1);
    slow->unsent = 0;
    fake_pass(1000);
    assert_int_equal(slow->chunks, 2); /* the newest, not what it missed */
    slow->unsent = 1;
    fake_pass(6000);
    assert_true(dead->done && dead->aborted);
    assert_false(slow->done);
    assert_true(fine->chunks >= LIMIT_LIVE_LATE_MS / 1000);
    buf_clear(&fine->body);
    fake_pass(1000);
    assert_true(says(fine, "\"sessions\":2"));
    forget(dead);
    close_page(slow);
    close_page(fine);
}

static void row_e9_nothing_of_a_member_can_end_the_script(void **state)
{
    (void)state;
    add_surveyed("node-1", "http://a/</script><b>&\xe2\x80\xa8\xe2\x80\xa9", "leader");
    struct asked *a = open_page();
    fake_pass(1000);
    buf_clear(&a->body);
    fake_pass(1000);
    assert_false(says(a, "</script><b>"));
    assert_true(says(a, "http://a/\\u003c/script\\u003e\\u003cb\\u003e\\u0026\\u2028\\u2029"));
    close_page(a);
}

static void row_e11_pages_go_on_without_a_leader_and_say_what_happened(void **state)
{
    (void)state;
    add_surveyed("node-1", "http://127.0.0.1:4001", "follower");
    add_surveyed("node-2", "http://127.0.0.1:4002", "leader");
    fake_become_follower("node-2");
    struct asked *a = open_page();
    fake_pass(1500);
    fake_become_follower("");
    fake_node.metrics.elections_lost_leader++;
    fake_node.survey_items[1].online = false;
    fake_pass(2500);
    buf_clear(&a->body);
    fake_pass(1000);
    assert_true(says(a, "\"leaderId\":null"));
    assert_true(says(a, "\"state\":\"OFFLINE\""));
    assert_true(says(a, "\"change\":\"offline\""));
    assert_true(says(a, "\"cause\":\"the leader's connection ended\""));
    assert_false(a->done);
    close_page(a);
}

static void row_e15_a_member_that_stops_ends_its_pages(void **state)
{
    (void)state;
    struct asked *a = open_page();
    fake_node.status.shutting_down = true;
    fake_pass(200);
    assert_true(a->done && !a->aborted);
    forget(a);
    a = ask("GET", "/live", NULL, slice_of(NULL, 0));
    assert_answered(a, 503, "{\"error\":\"Not ready\",\"reason\":\"this member is stopping\"}");
    forget(a);
}

static void row_e15_nobody_is_asked_while_nobody_watches(void **state)
{
    (void)state;
    fake_pass(3000);
    assert_null(fake_node.survey);
    struct asked *a = open_page();
    assert_non_null(fake_node.survey);
    close_page(a);
    assert_null(fake_node.survey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(row_e9_the_page_comes_first_and_then_an_update_a_second),
        REST_TEST(row_e9_head_has_no_session),
        REST_TEST(row_e4_the_page_shows_how_many_clients_each_member_has),
        REST_TEST(row_e10_a_session_is_on_all_pages_within_a_second_until_it_ends),
        REST_TEST(row_e15_pages_of_a_tick_share_the_bytes_of_one_update),
        REST_TEST(row_e15_many_sessions_are_counted_and_the_newest_listed),
        REST_TEST(row_e15_a_slow_reader_misses_updates_and_is_closed_when_it_takes_nothing),
        REST_TEST(row_e9_nothing_of_a_member_can_end_the_script),
        REST_TEST(row_e11_pages_go_on_without_a_leader_and_say_what_happened),
        REST_TEST(row_e15_a_member_that_stops_ends_its_pages),
        REST_TEST(row_e15_nobody_is_asked_while_nobody_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
