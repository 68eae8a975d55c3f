/* Bytes and numbers as the gateway has them. */
#include "client/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void bytes_come_back_as_they_went(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0, 255, '/', 0x80, 'a', 0, 7};
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        json_t *object = json_pack("{s:o}", "key", gateway_bytes(slice_of(bytes, size)));
        struct buf out = {0};
        buf_append_str(&out, "<");
        assert_true(gateway_read_bytes(object, "key", &out));
        assert_int_equal(out.size, 1 + size);
        assert_memory_equal(out.data + 1, bytes, size);
        buf_deinit(&out);
        json_decref(object);
    }
}

static void what_is_no_base64_is_refused_and_what_is_absent_is_empty(void **state)
{
    (void)state;
    json_t *object = json_pack("{s:s,s:s,s:i,s:n}", "a", "AB", "b", "A%==", "c", 1, "d");
    struct buf out = {0};
    for (const char *name = "abcd"; *name != '\0'; name++) {
        const char text[] = {*name, '\0'};
        assert_false(gateway_read_bytes(object, text, &out));
    }
    assert_true(gateway_read_bytes(object, "e", &out));
    assert_true(gateway_read_bytes(NULL, "e", &out));
    assert_int_equal(out.size, 0);
    buf_deinit(&out);
    json_decref(object);
}

static void numbers_of_64_bits_are_strings(void **state)
{
    (void)state;
    const uint64_t large = INT64_MAX;
    json_t *object = json_pack("{s:o,s:f,s:f,s:s,s:n}", "a", gateway_number(large), "b", 12.0, "c",
                               -1.0, "d", "x", "e");
    assert_string_equal(json_string_value(json_object_get(object, "a")), "9223372036854775807");
    assert_true(gateway_read_number(object, "a") == large);
    assert_int_equal(gateway_read_number(object, "b"), 12);
    for (const char *name = "cdef"; *name != '\0'; name++) {
        const char text[] = {*name, '\0'};
        assert_int_equal(gateway_read_number(object, text), 0);
    }
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_back_as_they_went),
        cmocka_unit_test(what_is_no_base64_is_refused_and_what_is_absent_is_empty),
        cmocka_unit_test(numbers_of_64_bits_are_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
