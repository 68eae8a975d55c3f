/* rest_asserts.h - one request, one expectation. */
#pragma once

#include "fakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One row of a table. */
struct expect {
    const char *method;
    const char *target;
    const char *headers; /* "Name: value\n" or NULL */
    const char *body;    /* NULL = none */
    int status;
    const char *answer;
};

static inline struct slice body_of(const char *body)
{
    return body != NULL ? slice_str(body) : slice_of(NULL, 0);
}

static inline void assert_same(const char *about, const struct buf *got, const char *expected)
{
    if (!slice_equal(buf_slice(got), slice_str(expected))) {
        fail_msg("%s: got %.*s instead of %s", about, (int)got->size, (const char *)got->data,
                 expected);
    }
}

/* What has been asked is answered exactly so. */
static inline void assert_answered(struct asked *a, int status, const char *answer)
{
    if (!a->done || a->aborted || a->status != status) {
        fail_msg("%.*s: done %d, status %d instead of %d: %.*s", (int)a->http.target.size,
                 (const char *)a->http.target.data, a->done, a->status, status, (int)a->body.size,
                 (const char *)a->body.data);
    }
    assert_same((const char *)a->http.target.data, &a->body, answer);
}

/* Ask, let the node take its turn, expect, forget. */
static inline void check(struct expect e)
{
    struct asked *a = ask(e.method, e.target, e.headers, body_of(e.body));
    fake_turn();
    assert_answered(a, e.status, e.answer);
    forget(a);
}

#define CHECK_EACH(table)                                                                          \
    for (size_t i_ = 0; i_ < sizeof(table) / sizeof((table)[0]); i_++) {                           \
        check((table)[i_]);                                                                        \
    }

#define REST_TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)
