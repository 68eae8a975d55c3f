/* /keys: pages, groups, and answers longer than any buffer. */
#include "rest_asserts.h"

#include <stdio.h>

static void store_all(const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        store(keys[i], slice_str("1"));
    }
}

#define STORE(...)                                                                                 \
    do {                                                                                           \
        static const char *const keys_[] = {__VA_ARGS__};                                          \
        store_all(keys_, sizeof(keys_) / sizeof(keys_[0]));                                        \
    } while (0)

static void keys_come_in_order_with_their_revisions(void **state)
{
    (void)state;
    check((struct expect){"GET", "/keys", NULL, NULL, 200,
                          "{\"keys\":[],\"more\":false,\"next\":null}"});
    STORE("b", "a", "c");
    check(
        (struct expect){"GET", "/keys", NULL, NULL, 200,
                        "{\"keys\":[{\"key\":\"a\",\"revision\":3},{\"key\":\"b\",\"revision\":2},"
                        "{\"key\":\"c\",\"revision\":4}],\"more\":false,\"next\":null}"});
    store("b", slice_str("\"x\""));
    store("c", slice_str("text"));
    check(
        (struct expect){"GET", "/keys?values=true&after=a", NULL, NULL, 200,
                        "{\"keys\":[{\"key\":\"b\",\"revision\":5,\"value\":\"x\"},"
                        "{\"key\":\"c\",\"revision\":6,\"value\":\"text\",\"encoding\":\"text\"}],"
                        "\"more\":false,\"next\":null}"});
    check((struct expect){"GET", "/keys?revision=3&values=true", NULL, NULL, 200,
                          "{\"keys\":[{\"key\":\"a\",\"revision\":3,\"value\":1},"
                          "{\"key\":\"b\",\"revision\":2,\"value\":1}],"
                          "\"more\":false,\"next\":null}"});
}

static void a_prefix_and_pages_visit_every_key_once(void **state)
{
    (void)state;
    STORE("a", "p", "p/1", "p/2", "p/3", "p0", "q");
    static const struct expect rows[] = {
        {"GET", "/keys?prefix=p/&limit=2", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"p/1\",\"revision\":4},{\"key\":\"p/2\",\"revision\":5}],"
         "\"more\":true,\"next\":\"p/2\"}"},
        {"GET", "/keys?prefix=p/&limit=2&after=p/2", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"p/3\",\"revision\":6}],\"more\":false,\"next\":null}"},
        {"GET", "/keys?prefix=p/&limit=3", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"p/1\",\"revision\":4},{\"key\":\"p/2\",\"revision\":5},"
         "{\"key\":\"p/3\",\"revision\":6}],\"more\":false,\"next\":null}"},
        /* `after` before the prefix, in it without being a key, and behind it. */
        {"GET", "/keys?prefix=p/&limit=1&after=a", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"p/1\",\"revision\":4}],\"more\":true,\"next\":\"p/1\"}"},
        {"GET", "/keys?prefix=p/&limit=1&after=p/2x", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"p/3\",\"revision\":6}],\"more\":false,\"next\":null}"},
        {"GET", "/keys?prefix=p/&after=q", NULL, NULL, 200,
         "{\"keys\":[],\"more\":false,\"next\":null}"},
        {"GET", "/keys?prefix=%ff", NULL, NULL, 200, "{\"keys\":[],\"more\":false,\"next\":null}"},
    };
    CHECK_EACH(rows);
}

static void a_delimiter_makes_one_line_of_what_is_below(void **state)
{
    (void)state;
    STORE("a", "d/1", "d/2/x", "d/2/y", "d/3", "e/", "e/1", "f");
    static const struct expect rows[] = {
        {"GET", "/keys?delimiter=/", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"a\",\"revision\":2},{\"prefix\":\"d/\"},{\"prefix\":\"e/\"},"
         "{\"key\":\"f\",\"revision\":9}],\"more\":false,\"next\":null}"},
        {"GET", "/keys?delimiter=/&prefix=d/", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"d/1\",\"revision\":3},{\"prefix\":\"d/2/\"},"
         "{\"key\":\"d/3\",\"revision\":6}],\"more\":false,\"next\":null}"},
        {"GET", "/keys?delimiter=/&limit=2", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"a\",\"revision\":2},{\"prefix\":\"d/\"}],"
         "\"more\":true,\"next\":\"d/\"}"},
        {"GET", "/keys?delimiter=/&limit=1&after=d/", NULL, NULL, 200,
         "{\"keys\":[{\"prefix\":\"e/\"}],\"more\":true,\"next\":\"e/\"}"},
        {"GET", "/keys?delimiter=/&limit=1&after=d/2/x", NULL, NULL, 200,
         "{\"keys\":[{\"prefix\":\"e/\"}],\"more\":true,\"next\":\"e/\"}"},
        {"GET", "/keys?delimiter=/&after=e/", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"f\",\"revision\":9}],\"more\":false,\"next\":null}"},
        {"GET", "/keys?delimiter=2/&prefix=d/", NULL, NULL, 200,
         "{\"keys\":[{\"key\":\"d/1\",\"revision\":3},{\"prefix\":\"d/2/\"},"
         "{\"key\":\"d/3\",\"revision\":6}],\"more\":false,\"next\":null}"},
    };
    CHECK_EACH(rows);
}

static void odd_parameters_are_400(void **state)
{
    (void)state;
#define BAD(name, why)                                                                             \
    "{\"error\":\"Bad query parameter\",\"parameter\":\"" name "\",\"reason\":\"" why "\"}"
    static const struct expect rows[] = {
        {"GET", "/keys?limit=0", NULL, NULL, 400, BAD("limit", "too small")},
        {"GET", "/keys?limit=", NULL, NULL, 400, BAD("limit", "must be a decimal number")},
        {"GET", "/keys?limit=1e3", NULL, NULL, 400, BAD("limit", "must be a decimal number")},
        {"GET", "/keys?limit=100001", NULL, NULL, 400, BAD("limit", "must be at most 100000")},
        {"GET", "/keys?delimiter=", NULL, NULL, 400,
         BAD("delimiter", "must be UTF-8 and not empty")},
        {"GET", "/keys?delimiter=%ff", NULL, NULL, 400,
         BAD("delimiter", "must be UTF-8 and not empty")},
        {"GET", "/keys?values=yes", NULL, NULL, 400, BAD("values", "must be true or false")},
        {"GET", "/keys?prefix=a&prefix=b", NULL, NULL, 400, BAD("prefix", "given twice")},
        {"GET", "/keys?Prefix=a", NULL, NULL, 400, BAD("Prefix", "unknown")},
        {"GET", "/keys?consistency=session", NULL, NULL, 400,
         BAD("token", "belongs to consistency=session, which needs it")},
    };
    CHECK_EACH(rows);
}

/* Keys k00000... with one value each; the expected answer is built the slow way. */
static void expect_long(struct buf *answer, int count, const char *value)
{
    buf_append_str(answer, "{\"keys\":[");
    for (int i = 0; i < count; i++) {
        buf_printf(answer, "%s{\"key\":\"k%05d\",\"revision\":%d,\"value\":%s}", i > 0 ? "," : "",
                   i, i + 2, value);
    }
    buf_append_str(answer, "],\"more\":false,\"next\":null}");
    buf_append_byte(answer, 0);
}

static void store_long(int count, const char *value)
{
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%05d", i);
        store(key, slice_str(value));
    }
}

static void a_long_listing_stops_when_the_client_does_and_stays_of_one_revision(void **state)
{
    (void)state;
    store_long(3000, "\"some value that is not very short\"");
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/keys?limit=5000&values=true", NULL, slice_of(NULL, 0));
    assert_false(a->done);
    assert_int_equal(a->chunks, 1);
    assert_true(a->body.size < 64 * 1024);
    /* What happens meanwhile is not of this revision. */
    store("k00500x", slice_str("2"));
    store("k02999", slice_str("3"));
    struct kv_command gone = {.op = KV_DELETE, .key = slice_str("k02500")};
    struct kv_result result;
    kv_apply(fake_node.kv, &gone, &result);
    while (!a->done) {
        uint32_t before = a->chunks;
        fake_writable(a);
        assert_int_equal(a->chunks, before + 1);
    }
    struct buf answer = {0};
    expect_long(&answer, 3000, "\"some value that is not very short\"");
    assert_answered(a, 200, (const char *)answer.data);
    assert_true(a->chunks > 3);
    buf_deinit(&answer);
    forget(a);
}

static void a_listing_whose_revision_is_compacted_breaks_off(void **state)
{
    (void)state;
    store_long(3000, "\"some value that is not very short\"");
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/keys?limit=5000&values=true", NULL, slice_of(NULL, 0));
    store("k00000", slice_str("1"));
    struct kv_command compact = {.op = KV_COMPACT, .revision = 3002};
    struct kv_result result;
    kv_apply(fake_node.kv, &compact, &result);
    assert_int_equal(result.status, STATUS_OK);
    fake_writable(a);
    assert_true(a->done && a->aborted);
    forget(a);
}

static void a_client_that_leaves_a_listing_is_forgotten(void **state)
{
    (void)state;
    store_long(3000, "\"some value that is not very short\"");
    fake_chunks_room = 1;
    struct asked *a = ask("GET", "/keys?limit=5000&values=true", NULL, slice_of(NULL, 0));
    hang_up(a);
    forget(a);
    fake_chunks_room = 0;
    a = ask("HEAD", "/keys", NULL, slice_of(NULL, 0));
    assert_answered(a, 200, "");
    forget(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        REST_TEST(keys_come_in_order_with_their_revisions),
        REST_TEST(a_prefix_and_pages_visit_every_key_once),
        REST_TEST(a_delimiter_makes_one_line_of_what_is_below),
        REST_TEST(odd_parameters_are_400),
        REST_TEST(a_long_listing_stops_when_the_client_does_and_stays_of_one_revision),
        REST_TEST(a_listing_whose_revision_is_compacted_breaks_off),
        REST_TEST(a_client_that_leaves_a_listing_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
