/* Range reads, with all of their options. */
#include "kv_fixture.h"
#include "txn_builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct kv_result apply(struct kv *kv, struct kv_command c)
{
    struct kv_result r;
    kv_apply(kv, &c, &r);
    return r;
}

static struct kv_result put(struct kv *kv, const char *key, const char *value)
{
    return apply(
        kv, (struct kv_command){.op = KV_PUT, .key = slice_str(key), .value = slice_str(value)});
}

struct told {
    struct buf text;
    uint64_t room;
};

static bool tell(void *context, const struct kv_item *item)
{
    struct told *t = context;
    if (t->room == 0) {
        return false;
    }
    t->room--;
    buf_append_slice(&t->text, item->key);
    if (item->value.size > 0) {
        buf_append_str(&t->text, "=");
        buf_append_slice(&t->text, item->value);
    }
    buf_append_str(&t->text, " ");
    return true;
}

static struct kv_range_result read_range(const struct kv *kv, struct kv_range range,
                                         const char *want)
{
    struct told t = {.room = 100};
    struct kv_range_result result;
    assert_int_equal(kv_range_read(kv, &range, tell, &t, &result), STATUS_OK);
    buf_append_byte(&t.text, 0);
    assert_string_equal((const char *)t.text.data, want);
    buf_deinit(&t.text);
    return result;
}

/* a=3 (create 2, mod 5, version 2), b=2 (3, 3, 1), c=1 (4, 6, 2); then d deleted at 8. */
static void fill(struct kv *kv)
{
    put(kv, "a", "0");
    put(kv, "b", "2");
    put(kv, "c", "0");
    put(kv, "a", "3");
    put(kv, "c", "1");
    put(kv, "d", "4");
    apply(kv, (struct kv_command){.op = KV_DELETE, .key = slice_str("d")});
}

static void ranges_have_etcds_options(void **state)
{
    struct kv *kv = *state;
    fill(kv);
    static const struct {
        struct kv_range range;
        const char *want;
        uint64_t count;
        bool more;
    } cases[] = {
        {{.order = KV_SORT_NONE}, "a=3 b=2 c=1 ", 3, false},
        {{.limit = 2}, "a=3 b=2 ", 3, true},
        {{.limit = 3}, "a=3 b=2 c=1 ", 3, false},
        {{.keys_only = true}, "a b c ", 3, false},
        {{.count_only = true, .limit = 1}, "", 3, false},
        {{.revision = 4}, "a=0 b=2 c=0 ", 3, false},
        {{.revision = 7, .limit = 3}, "a=3 b=2 c=1 ", 4, true},
        {{.order = KV_SORT_DESCEND}, "c=1 b=2 a=3 ", 3, false},
        {{.order = KV_SORT_DESCEND, .limit = 1}, "c=1 ", 3, true},
        {{.order = KV_SORT_ASCEND, .limit = 1}, "a=3 ", 3, true},
        {{.target = KV_SORT_VALUE}, "c=1 b=2 a=3 ", 3, false},
        {{.target = KV_SORT_VALUE, .keys_only = true}, "c b a ", 3, false},
        {{.target = KV_SORT_VALUE, .order = KV_SORT_DESCEND}, "a=3 b=2 c=1 ", 3, false},
        {{.target = KV_SORT_MOD}, "b=2 a=3 c=1 ", 3, false},
        {{.target = KV_SORT_MOD, .order = KV_SORT_DESCEND, .limit = 2}, "c=1 a=3 ", 3, true},
        {{.target = KV_SORT_CREATE, .order = KV_SORT_DESCEND}, "c=1 b=2 a=3 ", 3, false},
        {{.target = KV_SORT_VERSION}, "b=2 a=3 c=1 ", 3, false},
        {{.target = KV_SORT_VERSION, .order = KV_SORT_DESCEND}, "a=3 c=1 b=2 ", 3, false},
        {{.min_mod_revision = 4}, "a=3 c=1 ", 3, false},
        {{.max_mod_revision = 5, .limit = 1}, "a=3 ", 3, true},
        {{.max_mod_revision = 4, .limit = 1}, "b=2 ", 3, false},
        {{.min_create_revision = 3, .max_create_revision = 3}, "b=2 ", 3, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kv_range range = cases[i].range;
        for (unsigned wide = 0; wide < 2; wide++) {
            range.span = wide == 1 ? all() : between("a", "zz");
            struct kv_range_result r = read_range(kv, range, cases[i].want);
            assert_int_equal(r.count, cases[i].count);
            assert_int_equal(r.more, cases[i].more);
            assert_false(r.cut);
        }
    }
}

static void spans_are_as_etcd_names_them(void **state)
{
    struct kv *kv = *state;
    fill(kv);
    static const struct {
        const char *key;
        size_t key_size;
        const char *end;
        size_t end_size;
        const char *want;
    } cases[] = {
        {"b", 1, "", 0, "b=2 "},
        {"b", 1, "\0", 1, "b=2 c=1 "},
        {"\0", 1, "\0", 1, "a=3 b=2 c=1 "},
        {"a", 1, "c", 1, "a=3 b=2 "},
        {"c", 1, "a", 1, ""},
        {"b", 1, "b", 1, ""},
        {"d", 1, "", 0, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct kv_span span = kv_span_of(slice_of(cases[i].key, cases[i].key_size),
                                         slice_of(cases[i].end, cases[i].end_size));
        struct kv_range_result r = read_range(kv, (struct kv_range){.span = span}, cases[i].want);
        assert_int_equal(r.count, r.told);
    }
}

static void ranges_of_the_past_and_future(void **state)
{
    struct kv *kv = *state;
    fill(kv);
    apply(kv, (struct kv_command){.op = KV_COMPACT, .revision = 5});
    struct kv_range_result result;
    struct told t = {.room = 10};
    for (uint64_t revision = 1; revision <= 9; revision++) {
        const struct kv_range range = {.span = all(), .revision = revision};
        enum status want = revision < 5 ? STATUS_COMPACTED : STATUS_OK;
        want = revision > 8 ? STATUS_FUTURE : want;
        assert_int_equal(kv_range_read(kv, &range, tell, &t, &result), want);
        t.room = 10;
    }
    buf_deinit(&t.text);
}

static void a_sink_that_has_enough_ends_the_walk(void **state)
{
    struct kv *kv = *state;
    fill(kv);
    for (enum kv_sort_target target = KV_SORT_KEY; target <= KV_SORT_VALUE; target++) {
        const struct kv_range range = {.span = between("a", "z"), .target = target};
        struct told t = {.room = 1};
        struct kv_range_result r;
        assert_int_equal(kv_range_read(kv, &range, tell, &t, &r), STATUS_OK);
        assert_int_equal(r.count, target == KV_SORT_KEY ? 2 : 3); /* a sort has to see all */
        assert_int_equal(r.told, 1);
        assert_true(r.cut);
        buf_deinit(&t.text);
    }
}

/* Values that begin alike, that are shorter than what is compared at once, and with zeros. */
static void values_are_sorted_by_all_of_their_bytes(void **state)
{
    struct kv *kv = *state;
    put(kv, "a", "beginning2");
    put(kv, "b", "beginning1");
    put(kv, "c", "beginning");
    put(kv, "d", "begin");
    put(kv, "e", "\xff");
    apply(kv, (struct kv_command){
                  .op = KV_PUT, .key = slice_str("f"), .value = slice_of("begin\0", 6)});
    put(kv, "g", "");
    put(kv, "h", "begin");
    struct kv_range range = {
        .span = all(), .target = KV_SORT_VALUE, .order = KV_SORT_DESCEND, .keys_only = true};
    (void)read_range(kv, range, "e a b c f d h g ");
    range.order = KV_SORT_ASCEND;
    (void)read_range(kv, range, "g d h f c b a e ");
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, kv_fixture_create, kv_fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KV_TEST(ranges_have_etcds_options),
        KV_TEST(spans_are_as_etcd_names_them),
        KV_TEST(ranges_of_the_past_and_future),
        KV_TEST(a_sink_that_has_enough_ends_the_walk),
        KV_TEST(values_are_sorted_by_all_of_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
