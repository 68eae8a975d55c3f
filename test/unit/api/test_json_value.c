/* The JSON door: what is a value, what is not, and how values that are not JSON read. */
#include "api/json_scan.h"
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
#include <jansson.h>

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

/* --- jansson as the oracle -------------------------------------------------------------------- */

/* Of a text that is well-formed. */
static uint32_t depth_of(struct slice text)
{
    uint32_t depth = 0;
    uint32_t deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string && c == '\\') {
            i++;
        } else if (!in_string && (c == '[' || c == '{')) {
            depth++;
            deepest = depth > deepest ? depth : deepest;
        } else if (!in_string && (c == ']' || c == '}')) {
            depth--;
        }
    }
    return deepest;
}

/* What jansson says, but for three ways of its own: it takes a raw NUL behind the text for the end
 * of it, refuses U+0000 in names, and allows deeper nesting. */
static bool oracle_accepts(struct slice text)
{
    static const char nul_escape[] = "\\u0000";
    if (text.size == 0 || memchr(text.data, 0, text.size) != NULL) {
        return false;
    }
    struct buf copy = {0};
    buf_append_slice(&copy, text);
    uint8_t *end = copy.data + copy.size;
    uint8_t *at = copy.data;
    while ((at = memmem(at, (size_t)(end - at), nul_escape, 6)) != NULL) {
        at[5] = '1';
    }
    json_error_t error;
    json_t *parsed = json_loadb((const char *)copy.data, copy.size,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    buf_deinit(&copy);
    if (parsed == NULL) {
        return false;
    }
    json_decref(parsed);
    return depth_of(text) <= LIMIT_JSON_DEPTH;
}

static void assert_agrees_with_oracle(struct slice text)
{
    if (json_scan(text) != oracle_accepts(text)) {
        fail_msg("jansson says %d of: %.*s", oracle_accepts(text), (int)text.size,
                 (const char *)text.data);
    }
}

static void write_random(struct rng *rng, struct buf *out, uint32_t depth)
{
    static const char *const leaves[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-0",
                                         "10",
                                         "1.5",
                                         "-2.25e-3",
                                         "1e308",
                                         "1E+309",
                                         "17e307",
                                         "0.0001e312",
                                         "1e-999",
                                         "\"\"",
                                         "\"a\\n\"",
                                         "\"\\u00e9\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"\\ud83d\"",
                                         "\"\\u0000\"",
                                         "\"\xc3\xa9\"",
                                         "\"\xf0\x9f\x98\x80\""};
    uint64_t kind = depth < 4 ? rng_below(rng, 4) : 0;
    if (kind < 2) {
        buf_append_str(out, leaves[rng_below(rng, sizeof(leaves) / sizeof(leaves[0]))]);
        return;
    }
    buf_append_byte(out, kind == 2 ? '[' : '{');
    for (uint64_t left = rng_below(rng, 4); left > 0; left--) {
        if (kind == 3) {
            buf_append_str(out, rng_chance(rng, 1, 9) ? "\"\\u0000\" :" : "\"n\":");
        }
        write_random(rng, out, depth + 1);
        if (left > 1) {
            buf_append_byte(out, ',');
        }
    }
    buf_append_byte(out, kind == 2 ? ']' : '}');
}

/* Half of the texts are damaged in one place. */
static void every_text_is_judged_as_jansson_judges_it(void **state)
{
    (void)state;
    static const char damage[] = "{}[]\",:\\u0019eE+-. \ntf\xc3\xa9\xff\x01";
    struct rng rng;
    rng_init(&rng, 64);
    uint32_t accepted = 0;
    for (int round = 0; round < 40000; round++) {
        struct buf text = {0};
        write_random(&rng, &text, 0);
        if (round % 2 == 1) {
            text.data[rng_below(&rng, text.size)] =
                (uint8_t)damage[rng_below(&rng, sizeof(damage) - 1)];
        }
        assert_agrees_with_oracle(buf_slice(&text));
        accepted += json_scan(buf_slice(&text));
        buf_deinit(&text);
    }
    assert_true(accepted > 10000 && accepted < 30000);
}

/* Around the largest double, and with digits by the thousand. */
static void numbers_are_judged_as_jansson_judges_them(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "1.7976931348623157e308",  "1.7976931348623158e308",
        "1.7976931348623159e308",  "-1.7976931348623159e308",
        "0.17976931348623159e309", "17976931348623159e292",
        "1e18446744073709551617",  "1e-18446744073709551617",
        "0e18446744073709551617",  "0.0e999",
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_agrees_with_oracle(slice_str(numbers[i]));
    }
    struct buf text = {0};
    for (uint32_t digits = 1; digits < 400; digits++) {
        buf_append_byte(&text, digits == 1 ? '1' : '9');
        assert_agrees_with_oracle(buf_slice(&text));
        assert_int_equal(json_scan(buf_slice(&text)), digits < 309);
    }
    buf_deinit(&text);
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
        cmocka_unit_test(every_text_is_judged_as_jansson_judges_it),
        cmocka_unit_test(numbers_are_judged_as_jansson_judges_them),
        cmocka_unit_test(the_writer_puts_commas_escapes_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
