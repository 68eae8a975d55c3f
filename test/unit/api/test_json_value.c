/* The JSON door: what is a value, what is not, and how values that are not JSON read. */
#include "api/json_value.h"
#include "base/limits.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(text) slice_of(text, sizeof(text) - 1)

static void texts_of_rfc_8259_pass_and_lose_outer_white_space_only(void **state)
{
    (void)state;
    const struct {
        struct slice body;
        const char *text;
    } cases[] = {
        {BYTES("30"), "30"},
        {BYTES("\"Alice\""), "\"Alice\""},
        {BYTES("null"), "null"},
        {BYTES("false"), "false"},
        {BYTES(" \t\r\n{ \"a\" : 1 }\n"), "{ \"a\" : 1 }"},
        {BYTES("-0"), "-0"},
        {BYTES("1.10"), "1.10"},
        {BYTES("1E+2"), "1E+2"},
        {BYTES("9007199254740993"), "9007199254740993"},
        {BYTES("123456789012345678901234567890"), "123456789012345678901234567890"},
        {BYTES("1.7976931348623157e308"), "1.7976931348623157e308"},
        {BYTES("1e-400"), "1e-400"},
        {BYTES("{\"a\":1,\"a\":2}"), "{\"a\":1,\"a\":2}"},
        {BYTES("{\"\":[]}"), "{\"\":[]}"},
        {BYTES("\"\\u0000\""), "\"\\u0000\""},
        {BYTES("{\"\\u0000\":\"\\u0000\"}"), "{\"\\u0000\":\"\\u0000\"}"},
        {BYTES("\"\\\\u0000\""), "\"\\\\u0000\""},
        {BYTES("\"\\ud83d\\ude00\""), "\"\\ud83d\\ude00\""},
        {BYTES("\"\xf0\x9f\x98\x80\""), "\"\xf0\x9f\x98\x80\""},
        {BYTES("\"\\/\\b\\f\\n\\r\\t\\\"\\\\\""), "\"\\/\\b\\f\\n\\r\\t\\\"\\\\\""},
        {BYTES("\"\x7f\""), "\"\x7f\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice text;
        if (json_text_check(cases[i].body, &text) != STATUS_OK) {
            fail_msg("refused: %s", cases[i].text);
        }
        assert_int_equal(text.size, strlen(cases[i].text));
        assert_memory_equal(text.data, cases[i].text, text.size);
    }
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    const struct slice cases[] = {
        BYTES(""),
        BYTES(" \n"),
        BYTES("{bad"),
        BYTES("1 2"),
        BYTES("{}{}"),
        BYTES("{} x"),
        BYTES("01"),
        BYTES("+1"),
        BYTES("1."),
        BYTES(".5"),
        BYTES("1e"),
        BYTES("-"),
        BYTES("0x10"),
        BYTES("NaN"),
        BYTES("Infinity"),
        BYTES("1e309"),
        BYTES("-1e309"),
        BYTES("True"),
        BYTES("nul"),
        BYTES("nulll"),
        BYTES("'a'"),
        BYTES("[1,]"),
        BYTES("[,1]"),
        BYTES("[1 2]"),
        BYTES("{\"a\":1,}"),
        BYTES("{\"a\"}"),
        BYTES("{1:2}"),
        BYTES("[}"),
        BYTES("]"),
        BYTES("\"a"),
        BYTES("\"\\x41\""),
        BYTES("\"\\u12g4\""),
        BYTES("\"\\u00\""),
        BYTES("\"\n\""),
        BYTES("\"\t\""),
        BYTES("\"\0\""),
        BYTES("1\0"),
        BYTES("\0"),
        BYTES("\"\\ud800\""),
        BYTES("\"\\udc00\""),
        BYTES("\"\\ud800\\u0000\""),
        BYTES("\"\\ud800\\u0041\""),
        BYTES("\"\\ude00\\ud83d\""),
        BYTES("\"\xff\""),
        BYTES("\"\xc0\x80\""),
        BYTES("\"\xed\xa0\x80\""),
        BYTES("\"\xf4\x90\x80\x80\""),
        BYTES("\"\xe2\x82\""),
        BYTES("\xef\xbb\xbf"
              "1"),
        BYTES("\v1"),
        BYTES("1\xc2\xa0"),
        BYTES("// x\n1"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice text;
        if (json_text_check(cases[i], &text) != STATUS_INVALID) {
            fail_msg("accepted: case %zu: %.*s", i, (int)cases[i].size, cases[i].data);
        }
    }
}

static enum status check_nested(uint32_t depth, const char *open, const char *close)
{
    struct buf b = {0};
    for (uint32_t i = 0; i < depth; i++) {
        buf_append_str(&b, open);
    }
    buf_append_str(&b, "\"[[{\\\"[{\"");
    for (uint32_t i = 0; i < depth; i++) {
        buf_append_str(&b, close);
    }
    struct slice text;
    enum status s = json_text_check(buf_slice(&b), &text);
    buf_deinit(&b);
    return s;
}

static void nesting_is_bounded_and_brackets_in_strings_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(check_nested(LIMIT_JSON_DEPTH, "[", "]"), STATUS_OK);
    assert_int_equal(check_nested(LIMIT_JSON_DEPTH + 1, "[", "]"), STATUS_INVALID);
    assert_int_equal(check_nested(LIMIT_JSON_DEPTH, "{\"a\":", "}"), STATUS_OK);
    assert_int_equal(check_nested(LIMIT_JSON_DEPTH + 1, "{\"a\":", "}"), STATUS_INVALID);
    /* Side by side is not nested. */
    struct slice text;
    struct buf wide = {0};
    buf_append_str(&wide, "[0");
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&wide, ",[],{}");
    }
    buf_append_str(&wide, "]");
    assert_int_equal(json_text_check(buf_slice(&wide), &text), STATUS_OK);
    buf_deinit(&wide);
}

static void assert_reads_as(struct slice value, const char *expected)
{
    struct buf out = {0};
    struct json_writer w = {.out = &out};
    json_open_object(&w);
    json_field_value(&w, value);
    json_close_object(&w);
    buf_append_byte(&out, 0);
    assert_string_equal((const char *)out.data, expected);
    buf_deinit(&out);
}

static void a_stored_value_reads_as_itself_as_text_or_as_base64(void **state)
{
    (void)state;
    assert_reads_as(BYTES("1.10"), "{\"value\":1.10}");
    assert_reads_as(BYTES("{\"a\":1,\"a\":2}"), "{\"value\":{\"a\":1,\"a\":2}}");
    assert_reads_as(BYTES("plain \"text\"\n"),
                    "{\"value\":\"plain \\\"text\\\"\\n\",\"encoding\":\"text\"}");
    assert_reads_as(BYTES(""), "{\"value\":\"\",\"encoding\":\"text\"}");
    assert_reads_as(BYTES("\xff"), "{\"value\":\"/w==\",\"encoding\":\"base64\"}");
    assert_reads_as(BYTES("\xff\x00"), "{\"value\":\"/wA=\",\"encoding\":\"base64\"}");
    assert_reads_as(BYTES("\xff\x00\x10"), "{\"value\":\"/wAQ\",\"encoding\":\"base64\"}");
    assert_reads_as(BYTES("\xfb\xef\xbe\xff"), "{\"value\":\"++++/w==\",\"encoding\":\"base64\"}");
}

/* Whatever bytes are stored, the answer is one JSON text. */
static void any_bytes_read_as_json(void **state)
{
    (void)state;
    static const char alphabet[] = "{}[]\",:\\u0019eE+-. \ntruefalsn\xc3\xa9\xff\x01";
    struct rng rng;
    rng_init(&rng, 8259);
    for (int round = 0; round < 20000; round++) {
        struct buf value = {0};
        struct buf out = {0};
        for (uint64_t left = rng_below(&rng, 24); left > 0; left--) {
            buf_append_byte(&value, (uint8_t)alphabet[rng_below(&rng, sizeof(alphabet))]);
        }
        struct json_writer w = {.out = &out};
        json_open_object(&w);
        json_field_value(&w, buf_slice(&value));
        json_field_string(&w, "again", buf_slice(&value));
        json_close_object(&w);
        struct slice text;
        if (json_text_check(buf_slice(&out), &text) != STATUS_OK) {
            fail_msg("round %d: %.*s", round, (int)out.size, out.data);
        }
        buf_deinit(&value);
        buf_deinit(&out);
    }
}

static void the_writer_puts_commas_escapes_and_numbers(void **state)
{
    (void)state;
    struct buf out = {0};
    struct json_writer w = {.out = &out};
    json_open_object(&w);
    json_field_u64(&w, "a", UINT64_MAX);
    json_field_u64_or_null(&w, "never", UINT64_MAX);
    json_write_name(&w, "b");
    json_open_array(&w);
    json_open_array(&w);
    json_close_array(&w);
    json_open_object(&w);
    json_close_object(&w);
    json_write_u64(&w, 0);
    json_write_bool(&w, true);
    json_write_null(&w);
    json_write_decimal(&w, 0.5);
    json_write_raw(&w, slice_str("[1]"));
    json_close_array(&w);
    json_field_string(&w, "c", slice_of("\x00\x1f\"\\\b\f\r\x7f\xc3\xa9\xff\xe2\x82", 13));
    json_field_text_or_null(&w, "d", "");
    json_close_object(&w);
    buf_append_byte(&out, 0);
    assert_string_equal((const char *)out.data,
                        "{\"a\":18446744073709551615,\"never\":null,"
                        "\"b\":[[],{},0,true,null,0.500,[1]],"
                        "\"c\":\"\\u0000\\u001f\\\"\\\\\\b\\f\\r\\u007f\xc3\xa9"
                        "\\ufffd\\ufffd\\ufffd\",\"d\":null}");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_of_rfc_8259_pass_and_lose_outer_white_space_only),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(nesting_is_bounded_and_brackets_in_strings_do_not_count),
        cmocka_unit_test(a_stored_value_reads_as_itself_as_text_or_as_base64),
        cmocka_unit_test(any_bytes_read_as_json),
        cmocka_unit_test(the_writer_puts_commas_escapes_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
