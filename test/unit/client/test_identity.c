/* Who asks: what is no user is refused, and what is one is said as HTTP has it. */
#include "client/identity.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_cannot_be_a_user_is_refused(void **state)
{
    (void)state;
    static char many[LIMIT_PASSWORD_BYTES + 1];
    memset(many, 'a', sizeof(many));
    struct slice pw = slice_str("pw");
    assert_int_equal(identity_set(slice_str(""), pw), STATUS_INVALID);
    assert_int_equal(identity_set(slice_str("a:b"), pw), STATUS_INVALID);
    assert_int_equal(identity_set(slice_str("\xff"), pw), STATUS_INVALID);
    assert_int_equal(identity_set(slice_str("a"), slice_str("\xff")), STATUS_INVALID);
    assert_int_equal(identity_set(slice_of(many, LIMIT_AUTH_NAME_BYTES + 1), pw), STATUS_INVALID);
    assert_int_equal(identity_set(slice_str("a"), slice_of(many, sizeof(many))), STATUS_INVALID);
    assert_int_equal(identity_set(slice_str("a"), slice_of("p\0w", 3)), STATUS_INVALID);
    assert_null(identity_name());
    assert_null(identity_password());
    assert_string_equal(identity_header(), "");
}

static void a_user_is_a_line_of_the_header(void **state)
{
    (void)state;
    assert_int_equal(identity_set(slice_str("Aladdin"), slice_str("open sesame:")), STATUS_OK);
    assert_string_equal(identity_name(), "Aladdin");
    assert_string_equal(identity_password(), "open sesame:");
    assert_string_equal(identity_header(), "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZTo=\r\n");
}

/* In this order: a process has one user. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_a_user_is_refused),
        cmocka_unit_test(a_user_is_a_line_of_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
