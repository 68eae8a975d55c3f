/* cmd/canvas.h and cmd/monitor_frame.h: what goes to which row and column, at any width. */
#include "base/mem.h"
#include "cmd/monitor_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The frame as canvas_print prints it: a new string. */
static char *printed(const struct canvas *f, bool has_color)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    canvas_print(f, has_color, out);
    fclose(out);
    return text;
}

static void expect(struct canvas *f, const char *wanted)
{
    char *text = printed(f, false);
    assert_string_equal(text, wanted);
    mem_free(text);
    canvas_deinit(f);
    mem_free(f);
}

static struct canvas *frame_of(uint32_t columns)
{
    struct canvas *f = mem_calloc(1, sizeof(*f));
    canvas_init(f, columns);
    return f;
}

static void pieces_that_do_not_fit_go_to_the_next_row(void **state)
{
    (void)state;
    struct canvas *f = frame_of(12);
    canvas_line(f, 2);
    canvas_put(f, CANVAS_PLAIN, "one");
    canvas_put(f, CANVAS_PLAIN, "%s", "two");
    canvas_put(f, CANVAS_PLAIN, "four");
    canvas_put_close(f, CANVAS_PLAIN, "(six)");
    canvas_put_close(f, CANVAS_PLAIN, "x");
    canvas_line(f, 0);
    canvas_line(f, 0);
    canvas_put(f, CANVAS_PLAIN, "end");
    expect(f, "one  two\n  four (six)\n  x\n\nend\n");
}

static void a_piece_wider_than_the_frame_is_cut_between_characters(void **state)
{
    (void)state;
    struct canvas *f = frame_of(4);
    canvas_line(f, 2);
    canvas_put(f, CANVAS_PLAIN, "▁▂▃▄▅");
    canvas_put(f, CANVAS_PLAIN, "▁▂▃▄▅");
    canvas_line(f, 9); /* no room for so much indentation */
    canvas_put(f, CANVAS_PLAIN, "ab");
    canvas_put(f, CANVAS_PLAIN, "cd");
    expect(f, "▁▂▃▄\n  ▁▂\nab\ncd\n");
}

static void spaces_at_the_end_keep_columns_apart_and_need_no_room(void **state)
{
    (void)state;
    struct canvas *f = frame_of(9);
    canvas_line(f, 0);
    canvas_put(f, CANVAS_PLAIN, "%-4s", "a");
    canvas_put(f, CANVAS_PLAIN, "%-9s", "bcd");
    canvas_line(f, 0);
    canvas_put(f, CANVAS_PLAIN, "%-20s", "long");
    canvas_put(f, CANVAS_PLAIN, "b");
    expect(f, "a     bcd\nlong\nb\n");
}

static void control_characters_are_never_printed_and_colors_are_closed(void **state)
{
    (void)state;
    struct canvas *f = frame_of(40);
    canvas_line(f, 0);
    canvas_put(f, CANVAS_BAD, "a\033[2Jb");
    char *text = printed(f, true);
    assert_string_equal(text, "\033[31ma\\x1b[2Jb\033[0m\n");
    mem_free(text);
    canvas_deinit(f);
    mem_free(f);
}

static void a_frame_beyond_its_limit_drops_pieces(void **state)
{
    (void)state;
    struct canvas *f = frame_of(10);
    for (uint32_t i = 0; i < LIMIT_MONITOR_PIECES + 5; i++) {
        canvas_line(f, 0);
        canvas_put(f, CANVAS_PLAIN, "x");
    }
    assert_int_equal(f->count, LIMIT_MONITOR_PIECES);
    canvas_deinit(f);
    mem_free(f);
}

/* --- the monitor's ---------------------------------------------------------------------------- */

static struct member_view *add(struct cluster_view *v, const char *name, const char *role)
{
    struct member_view *m = &v->members[v->count++];
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->url, sizeof(m->url), "http://10.0.0.1:4%03u", v->count);
    snprintf(m->role, sizeof(m->role), "%s", role);
    m->is_online = role[0] != '\0';
    m->term = m->is_online ? 7 : MEMBER_VIEW_UNKNOWN;
    m->lag_entries = MEMBER_VIEW_UNKNOWN;
    return m;
}

static char *monitor_text(const struct cluster_view *v, uint32_t columns)
{
    struct monitor_log *log = mem_calloc(1, sizeof(*log));
    struct canvas *f = frame_of(columns);
    const struct monitor_look look = {.asked = "http://10.0.0.9:4000"};
    monitor_log_note(log, v, 1000, 0);
    monitor_frame_make(f, log, &look);
    char *text = printed(f, false);
    canvas_deinit(f);
    mem_free(f);
    mem_free(log);
    return text;
}

static void expect_monitor(const struct cluster_view *v, const char *wanted)
{
    char *text = monitor_text(v, 100);
    if (strstr(text, wanted) == NULL) {
        fail_msg("no \"%s\" in:\n%s", wanted, text);
    }
    mem_free(text);
}

static void row_b12_leadership_and_terms_are_told_as_they_are(void **state)
{
    (void)state;
    struct cluster_view v = {.answered = 3};
    add(&v, "node-1", "follower");
    add(&v, "node-2", "candidate")->term = 9;
    add(&v, "node-3", "");
    expect_monitor(&v, "Leader: None\n");
    expect_monitor(&v, "Leadership: Election in progress  Term: 7-9");
    expect_monitor(&v, "Candidates: 1  Learners: 0  Offline: 1  Total: 3");
    /* A learner elects nobody. */
    snprintf(v.members[0].role, sizeof(v.members[0].role), "learner");
    add(&v, "node-4", "");
    expect_monitor(&v, "Leadership: None");
    snprintf(v.members[1].role, sizeof(v.members[1].role), "leader");
    expect_monitor(&v, "Leader: node-2 (Port 4002, Term 9)\n");
    expect_monitor(&v, "Leadership: Stable");
}

static void row_b12_two_that_say_they_lead_show_the_one_of_the_higher_term(void **state)
{
    (void)state;
    struct cluster_view v = {.answered = 2};
    add(&v, "node-1", "leader");
    add(&v, "node-2", "leader")->term = 8;
    expect_monitor(&v, "Leader: node-2 (Port 4002, Term 8)\n");
}

static void row_b12_nobody_is_a_frame_too(void **state)
{
    (void)state;
    struct cluster_view v = {.revision = MEMBER_VIEW_UNKNOWN};
    expect_monitor(&v, "no member answers at http://10.0.0.9:4000\n");
    expect_monitor(&v, "Health: 0% online  Leadership: None  Term: unknown");
}

static void row_b12_any_width_has_a_frame_that_keeps_to_it(void **state)
{
    (void)state;
    struct cluster_view v = {.answered = 2};
    add(&v, "a-name-that-is-wider-than-some-terminals", "leader")->has_load = true;
    add(&v, "node-2", "");
    for (uint32_t columns = 1; columns <= 120; columns++) {
        char *text = monitor_text(&v, columns);
        for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
            assert_true(strcspn(line, "\n") <= columns);
        }
        mem_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_that_do_not_fit_go_to_the_next_row),
        cmocka_unit_test(a_piece_wider_than_the_frame_is_cut_between_characters),
        cmocka_unit_test(spaces_at_the_end_keep_columns_apart_and_need_no_room),
        cmocka_unit_test(control_characters_are_never_printed_and_colors_are_closed),
        cmocka_unit_test(a_frame_beyond_its_limit_drops_pieces),
        cmocka_unit_test(row_b12_leadership_and_terms_are_told_as_they_are),
        cmocka_unit_test(row_b12_two_that_say_they_lead_show_the_one_of_the_higher_term),
        cmocka_unit_test(row_b12_nobody_is_a_frame_too),
        cmocka_unit_test(row_b12_any_width_has_a_frame_that_keeps_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
