/* Server-sent events out of pieces of any size. */
#include "client/event_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool note(void *context, const struct stream_event *e)
{
    struct buf *told = context;
    const struct slice fields[] = {e->type, e->id, e->data};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        buf_append_byte(told, '[');
        buf_append_slice(told, fields[i]);
        buf_append_byte(told, ']');
    }
    return !slice_equal(e->type, slice_str("last"));
}

static const char stream_text[] = "retry: 1000\n\n"
                                  "id: 7\nevent: change\ndata: {\"a\":\ndata: 1}\n\n"
                                  ": a comment\n\n"
                                  "event:none\nid: 8\n\n"
                                  "data\n\n"
                                  "data:  two\n\n";
static const char told_text[] = "[change][7][{\"a\":\n1}]"
                                "[][][]"
                                "[][][ two]";

static void events_come_out_of_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(stream_text); piece++) {
        struct buf told = {0};
        struct event_stream s = {.on_event = note, .context = &told};
        for (size_t at = 0; at < strlen(stream_text); at += piece) {
            size_t left = strlen(stream_text) - at;
            assert_true(
                event_stream_take(&s, slice_of(stream_text + at, left < piece ? left : piece)));
        }
        assert_true(slice_equal(buf_slice(&told), slice_str(told_text)));
        event_stream_deinit(&s);
        buf_deinit(&told);
    }
}

static void an_event_that_broke_off_is_forgotten(void **state)
{
    (void)state;
    struct buf told = {0};
    struct event_stream s = {.on_event = note, .context = &told};
    assert_true(event_stream_take(&s, slice_str("id: 7\nevent: change\ndata: {\ndat")));
    event_stream_reset(&s);
    assert_true(event_stream_take(&s, slice_str("data: 1\n\n")));
    assert_true(slice_equal(buf_slice(&told), slice_str("[][][1]")));
    event_stream_deinit(&s);
    buf_deinit(&told);
}

static void who_wants_no_more_gets_no_more(void **state)
{
    (void)state;
    struct buf told = {0};
    struct event_stream s = {.on_event = note, .context = &told};
    assert_false(event_stream_take(&s, slice_str("event: last\ndata: 1\n\ndata: 2\n\n")));
    assert_true(slice_equal(buf_slice(&told), slice_str("[last][][1]")));
    event_stream_deinit(&s);
    buf_deinit(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_of_pieces_of_any_size),
        cmocka_unit_test(an_event_that_broke_off_is_forgotten),
        cmocka_unit_test(who_wants_no_more_gets_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
