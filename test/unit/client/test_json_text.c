/* JSON as text: values come out as they went in, and a user's text becomes JSON or a string. */
#include "client/json_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_becomes(struct slice typed, const char *expected)
{
    struct buf out = {0};
    assert_int_equal(json_text_from_user(typed, &out), STATUS_OK);
    if (!slice_equal(buf_slice(&out), slice_str(expected))) {
        fail_msg("%.*s became %.*s", (int)typed.size, (const char *)typed.data, (int)out.size,
                 (const char *)out.data);
    }
    buf_deinit(&out);
}

static void json_is_sent_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"30",
                                        "1.10",
                                        "true",
                                        "null",
                                        "\"a\"",
                                        "{}",
                                        " [1, 2] ",
                                        "{\"a\":1,\"a\":2}",
                                        "12345678901234567890123",
                                        "-0",
                                        "\"\\u0000\"",
                                        "1e999"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_becomes(slice_str(texts[i]), texts[i]);
    }
}

static void anything_else_becomes_a_json_string(void **state)
{
    (void)state;
    assert_becomes(slice_str("Alice"), "\"Alice\"");
    assert_becomes(slice_str(""), "\"\"");
    assert_becomes(slice_str("say \"hi\"\n"), "\"say \\\"hi\\\"\\n\"");
    assert_becomes(slice_str("{bad"), "\"{bad\"");
    assert_becomes(slice_str("1 2"), "\"1 2\"");
    assert_becomes(slice_str("Infinity"), "\"Infinity\"");
    assert_becomes(slice_str("bl\xc3\xa5"), "\"bl\xc3\xa5\"");
    assert_becomes(slice_of("a\0b", 3), "\"a\\u0000b\"");
}

static void bytes_that_are_no_utf8_are_refused(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(json_text_from_user(slice_str("\xff"), &out), STATUS_INVALID);
    buf_deinit(&out);
}

static void members_are_cut_out_unchanged(void **state)
{
    (void)state;
    static const char object[] = " { \"a\" : {\"value\":1, \"x\":[\"}\",2]} , \"s\":\"\\\"}{\", "
                                 "\"value\":1.10 ,\"last\":[1,[2]]}";
    struct slice v;
    assert_true(json_text_member(slice_str(object), "value", &v));
    assert_true(slice_equal(v, slice_str("1.10")));
    assert_true(json_text_member(slice_str(object), "a", &v));
    assert_true(slice_equal(v, slice_str("{\"value\":1, \"x\":[\"}\",2]}")));
    assert_true(json_text_member(slice_str(object), "s", &v));
    assert_true(slice_equal(v, slice_str("\"\\\"}{\"")));
    assert_true(json_text_member(slice_str(object), "last", &v));
    assert_true(slice_equal(v, slice_str("[1,[2]]")));
    assert_false(json_text_member(slice_str(object), "x", &v));
    assert_false(json_text_member(slice_str("[1]"), "x", &v));
    assert_false(json_text_member(slice_str("{}"), "x", &v));
    assert_false(json_text_member(slice_str(""), "x", &v));
}

static void items_of_an_array_come_one_by_one(void **state)
{
    (void)state;
    struct slice rest = slice_str(" [ {\"a\":[1]} , \"],\" ,3 ]");
    struct slice item;
    assert_true(json_text_next(&rest, &item));
    assert_true(slice_equal(item, slice_str("{\"a\":[1]}")));
    assert_true(json_text_next(&rest, &item));
    assert_true(slice_equal(item, slice_str("\"],\"")));
    assert_true(json_text_next(&rest, &item));
    assert_true(slice_equal(item, slice_str("3")));
    assert_false(json_text_next(&rest, &item));
    rest = slice_str("[]");
    assert_false(json_text_next(&rest, &item));
}

static void strings_are_decoded_with_zeros_and_all(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(json_text_decode(slice_str("\"a\\u0000\\u00e5\""), &out), STATUS_OK);
    assert_true(slice_equal(buf_slice(&out), slice_of("a\0\xc3\xa5", 4)));
    assert_int_equal(json_text_decode(slice_str("3"), &out), STATUS_INVALID);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_sent_as_it_is),
        cmocka_unit_test(anything_else_becomes_a_json_string),
        cmocka_unit_test(bytes_that_are_no_utf8_are_refused),
        cmocka_unit_test(members_are_cut_out_unchanged),
        cmocka_unit_test(items_of_an_array_come_one_by_one),
        cmocka_unit_test(strings_are_decoded_with_zeros_and_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
