/* Rules G0-G6, one story each; test_founding_search.c searches at random. */
#include "node/founding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct uuid disk_of(char c)
{
    struct uuid id = {{(uint8_t)c, 7}};
    return id;
}

static struct identity fresh(const char *name)
{
    struct identity id = {.incarnation = disk_of(name[0])};
    snprintf(id.name, sizeof(id.name), "%s", name);
    return id;
}

static struct founding *member_of(const struct identity *id, uint32_t founders)
{
    static char url[128];
    snprintf(url, sizeof(url), "http://%s:1", id->name);
    struct founding_options options = {
        .founders = founders, .advertise = url, .cluster_candidate = {{42}}, .boot = {{1}}};
    return founding_create(&options, id);
}

static struct peer_hello hello_from(const char *name, uint32_t founders)
{
    struct peer_hello h = {.incarnation = disk_of(name[0]), .boot = {{3}}, .founders = founders};
    snprintf(h.name, sizeof(h.name), "%s", name);
    snprintf(h.advertise, sizeof(h.advertise), "http://%s:1", name);
    return h;
}

static struct roster roster_of(const char *const *names, uint32_t count)
{
    struct roster r = {.cluster = {{99}}, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        snprintf(r.members[i].name, sizeof(r.members[i].name), "%s", names[i]);
        snprintf(r.members[i].url, sizeof(r.members[i].url), "http://%s:1", names[i]);
        r.members[i].incarnation = disk_of(names[i][0]);
    }
    return r;
}

static const char *const abc[] = {"a", "b", "c"};

static void hear(struct founding *f, struct peer_hello h, struct founding_output *out)
{
    founding_on_hello(f, &h);
    founding_output(f, out);
}

static void note(struct founding *f, const char *from, enum peer_note kind, const struct roster *r,
                 struct founding_output *out)
{
    struct buf b = {0};
    roster_encode(r, &b);
    founding_on_note(f, disk_of(from[0]), kind, buf_slice(&b));
    founding_output(f, out);
    buf_deinit(&b);
}

static void a_member_alone_founds_at_once_with_one_write(void **state)
{
    (void)state;
    struct identity id = fresh("a");
    struct founding *f = member_of(&id, 1);
    struct founding_output out;
    founding_output(f, &out);
    assert_true(out.save);
    assert_false(out.founded);
    assert_int_equal(out.identity->phase, FOUNDING_FOUNDED);
    founding_output(f, &out);
    assert_false(out.save); /* said once */
    founding_on_saved(f);
    founding_output(f, &out);
    assert_true(out.founded);
    assert_string_equal(out.identity->roster.members[0].url, "http://a:1");
    founding_destroy(f);
}

static void rule_g2_the_first_by_name_makes_a_roster_and_asks(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    hear(f, hello_from("c", 3), &out);
    assert_false(out.save);
    hear(f, hello_from("b", 3), &out);
    assert_true(out.save);
    assert_int_equal(out.identity->phase, FOUNDING_PROMISED);
    assert_int_equal(out.note_count, 0);
    founding_on_saved(f);
    /* Several inputs before the output: nothing that they asked for is lost or doubled. */
    founding_on_timer(f);
    founding_on_down(f, disk_of('x'));
    founding_output(f, &out);
    assert_int_equal(out.note_count, 2);
    founding_on_down(f, disk_of('x'));
    founding_output(f, &out);
    assert_int_equal(out.note_count, 0);
    struct roster r = out.identity->roster;
    founding_destroy(f);

    struct identity b = fresh("b");
    f = member_of(&b, 3);
    hear(f, hello_from("a", 3), &out);
    hear(f, hello_from("c", 3), &out);
    assert_false(out.save);
    note(f, "a", PEER_NOTE_PROMISE_ASK, &r, &out);
    assert_true(out.save);
    assert_int_equal(out.note_count, 0); /* nothing is told that is not durable */
    founding_on_saved(f);
    founding_output(f, &out);
    assert_int_equal(out.note_count, 1);
    assert_int_equal(out.notes[0].kind, PEER_NOTE_PROMISE);
    founding_destroy(f);
}

/* A roster that cannot get all promises would bind this directory for nothing. */
static void rule_g2_no_roster_is_made_while_somebody_has_promised_another_one(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    struct peer_hello h = hello_from("b", 3);
    const char *const bcd[] = {"b", "c", "d"};
    h.phase = FOUNDING_PROMISED;
    h.roster = roster_of(bcd, 3);
    hear(f, h, &out);
    hear(f, hello_from("c", 3), &out);
    assert_false(out.save);
    founding_destroy(f);
}

static void rule_g3_no_promise_for_a_roster_that_is_not_what_this_member_reached(void **state)
{
    (void)state;
    const char *const ab[] = {"a", "b"};
    const char *const abd[] = {"a", "b", "d"};
    const char *const acd[] = {"a", "c", "d"};
    const struct roster wrong[] = {roster_of(ab, 2), roster_of(abd, 3), roster_of(acd, 3)};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct founding_output out;
        struct identity b = fresh("b");
        struct founding *f = member_of(&b, 3);
        hear(f, hello_from("a", 3), &out);
        hear(f, hello_from("c", 3), &out);
        note(f, "a", PEER_NOTE_PROMISE_ASK, &wrong[i], &out);
        assert_false(out.save);
        assert_int_equal(out.note_count, 0);
        founding_destroy(f);
    }
    /* And not before it reached everybody. */
    struct roster right = roster_of(abc, 3);
    struct founding_output out;
    struct identity b = fresh("b");
    struct founding *f = member_of(&b, 3);
    hear(f, hello_from("a", 3), &out);
    note(f, "a", PEER_NOTE_PROMISE_ASK, &right, &out);
    assert_false(out.save);
    hear(f, hello_from("c", 3), &out);
    note(f, "a", PEER_NOTE_PROMISE_ASK, &right, &out);
    assert_true(out.save);
    /* A second roster gets no promise any more, nor while the first is being written. */
    struct roster second = right;
    second.cluster = (struct uuid){{55}};
    note(f, "a", PEER_NOTE_PROMISE_ASK, &second, &out);
    founding_on_saved(f);
    founding_output(f, &out);
    assert_int_equal(out.note_count, 1);
    note(f, "a", PEER_NOTE_PROMISE_ASK, &second, &out);
    assert_int_equal(out.note_count, 0);
    assert_true(roster_equal(&out.identity->roster, &right));
    note(f, "a", PEER_NOTE_PROMISE_ASK, &right, &out);
    assert_int_equal(out.note_count, 1);
    founding_destroy(f);
}

static struct identity promised(const char *name)
{
    struct identity id = fresh(name);
    id.phase = FOUNDING_PROMISED;
    id.roster = roster_of(abc, 3);
    return id;
}

static void rule_g4_the_founder_needs_every_promise_and_the_others_a_founded_member(void **state)
{
    (void)state;
    struct founding_output out;
    struct roster r = roster_of(abc, 3);
    struct identity a = promised("a");
    struct founding *f = member_of(&a, 3);
    hear(f, hello_from("b", 3), &out);
    assert_int_equal(out.note_count, 1); /* it asks again after a restart */
    note(f, "b", PEER_NOTE_PROMISE, &r, &out);
    note(f, "b", PEER_NOTE_PROMISE, &r, &out);
    assert_false(out.save);
    hear(f, hello_from("c", 3), &out);
    note(f, "c", PEER_NOTE_PROMISE, &r, &out);
    assert_true(out.save);
    assert_int_equal(out.identity->phase, FOUNDING_FOUNDED);
    assert_false(out.founded);
    founding_on_saved(f);
    founding_output(f, &out);
    assert_true(out.founded);
    founding_destroy(f);

    struct identity b = promised("b");
    f = member_of(&b, 3);
    note(f, "c", PEER_NOTE_PROMISE, &r, &out);
    assert_false(out.save);
    struct peer_hello h = hello_from("c", 3);
    h.phase = FOUNDING_FOUNDED;
    h.roster = r;
    hear(f, h, &out);
    assert_true(out.save);
    assert_int_equal(out.identity->phase, FOUNDING_FOUNDED);
    founding_destroy(f);
}

static void rule_g6_a_cluster_that_lists_the_name_with_another_disk_is_fatal(void **state)
{
    (void)state;
    const enum founding_phase phases[] = {FOUNDING_FRESH, FOUNDING_PROMISED};
    for (size_t i = 0; i < 2; i++) {
        struct founding_output out;
        struct identity b = phases[i] == FOUNDING_FRESH ? fresh("b") : promised("b");
        struct founding *f = member_of(&b, 3);
        struct peer_hello h = hello_from("c", 3);
        h.phase = FOUNDING_FOUNDED;
        h.roster = roster_of(abc, 3);
        h.roster.cluster = (struct uuid){{1}};
        h.roster.members[1].incarnation = disk_of('z');
        hear(f, h, &out);
        assert_non_null(out.fatal);
        assert_non_null(strstr(out.fatal, "the data directory of b was lost"));
        assert_non_null(strstr(out.fatal, "The other members go on"));
        assert_false(out.save);
        founding_destroy(f);
    }
}

static void a_directory_that_forgot_its_promise_is_fatal(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity b = fresh("b");
    struct founding *f = member_of(&b, 3);
    struct peer_hello h = hello_from("c", 3);
    h.phase = FOUNDING_FOUNDED;
    h.roster = roster_of(abc, 3);
    hear(f, h, &out);
    assert_non_null(out.fatal);
    assert_non_null(strstr(out.fatal, "old copy"));
    founding_destroy(f);
}

static void a_cluster_that_does_not_know_this_member_stops_founding_and_is_named(void **state)
{
    (void)state;
    struct founding_output out;
    char text[512];
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    const char *const cxy[] = {"c", "x", "y"};
    struct peer_hello h = hello_from("c", 3);
    h.phase = FOUNDING_FOUNDED;
    h.roster = roster_of(cxy, 3);
    hear(f, h, &out);
    assert_null(out.fatal);
    /* Also after that member cut the link. */
    founding_on_down(f, disk_of('c'));
    hear(f, hello_from("b", 3), &out);
    hear(f, hello_from("d", 3), &out);
    assert_false(out.save);
    founding_text(f, text, sizeof(text));
    assert_non_null(strstr(text, "c (http://c:1) belongs to the running cluster"));
    assert_non_null(strstr(text, "--join"));
    founding_destroy(f);
}

static void a_name_given_twice_is_fatal_and_both_addresses_are_named(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    struct peer_hello h = hello_from("a", 3);
    h.incarnation = disk_of('q');
    snprintf(h.advertise, sizeof(h.advertise), "http://elsewhere:2");
    hear(f, h, &out);
    assert_non_null(strstr(out.fatal, "two members are named a"));
    assert_non_null(strstr(out.fatal, "http://a:1"));
    assert_non_null(strstr(out.fatal, "http://elsewhere:2"));
    founding_destroy(f);

    f = member_of(&a, 3);
    hear(f, hello_from("b", 3), &out);
    h = hello_from("b", 3);
    h.incarnation = disk_of('q');
    snprintf(h.advertise, sizeof(h.advertise), "http://elsewhere:2");
    hear(f, h, &out);
    assert_non_null(strstr(out.fatal, "two members are named b"));
    assert_non_null(strstr(out.fatal, "http://b:1"));
    founding_destroy(f);
}

static void a_member_that_was_wiped_before_anything_was_promised_is_just_new(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    hear(f, hello_from("b", 3), &out);
    struct peer_hello again = hello_from("b", 3);
    again.incarnation = disk_of('q');
    hear(f, again, &out);
    assert_null(out.fatal);
    hear(f, hello_from("c", 3), &out);
    assert_true(out.save);
    assert_non_null(roster_find(&out.identity->roster, disk_of('q')));
    assert_null(roster_find(&out.identity->roster, disk_of('b')));
    founding_destroy(f);
}

static void a_member_wiped_while_founding_closes_it_and_the_remedy_is_said(void **state)
{
    (void)state;
    struct founding_output out;
    char text[512];
    struct identity a = promised("a");
    struct founding *f = member_of(&a, 3);
    struct peer_hello wiped = hello_from("b", 3);
    wiped.incarnation = disk_of('q');
    hear(f, hello_from("c", 3), &out);
    hear(f, wiped, &out);
    struct roster r = roster_of(abc, 3);
    note(f, "c", PEER_NOTE_PROMISE, &r, &out);
    note(f, "q", PEER_NOTE_PROMISE, &r, &out);
    assert_false(out.save);
    assert_null(out.fatal);
    founding_text(f, text, sizeof(text));
    assert_non_null(strstr(text, "b (http://b:1) lost its data directory"));
    assert_non_null(strstr(text, "remove their data directories"));
    founding_destroy(f);
}

static void numbers_of_founders_that_differ_are_explained_and_nothing_is_founded(void **state)
{
    (void)state;
    struct founding_output out;
    char text[512];
    struct identity a = fresh("a");
    struct founding *f = member_of(&a, 3);
    hear(f, hello_from("b", 3), &out);
    hear(f, hello_from("c", 4), &out);
    assert_false(out.save);
    assert_null(out.fatal);
    founding_text(f, text, sizeof(text));
    assert_non_null(strstr(text, "found 3 of 3 members: a (this one), b, c"));
    assert_non_null(strstr(text, "c (http://c:1) was started for 4 members and this one for 3"));
    founding_destroy(f);
}

static void the_text_says_who_is_missing(void **state)
{
    (void)state;
    struct founding_output out;
    char text[512];
    struct identity a = promised("a");
    struct founding *f = member_of(&a, 3);
    hear(f, hello_from("c", 3), &out);
    struct roster r = roster_of(abc, 3);
    note(f, "c", PEER_NOTE_PROMISE, &r, &out);
    founding_text(f, text, sizeof(text));
    assert_string_equal(text, "promised to found a cluster of 3; waiting for b (http://b:1)");
    founding_text(f, text, 20);
    assert_int_equal(strlen(text), 19);
    founding_destroy(f);
}

static void malformed_notes_change_nothing(void **state)
{
    (void)state;
    struct founding_output out;
    struct identity b = fresh("b");
    struct founding *f = member_of(&b, 3);
    hear(f, hello_from("a", 3), &out);
    hear(f, hello_from("c", 3), &out);
    struct roster r = roster_of(abc, 3);
    struct buf bytes = {0};
    roster_encode(&r, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        founding_on_note(f, disk_of('a'), PEER_NOTE_PROMISE_ASK, slice_of(bytes.data, size));
        founding_output(f, &out);
        assert_false(out.save);
    }
    buf_deinit(&bytes);
    founding_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_alone_founds_at_once_with_one_write),
        cmocka_unit_test(rule_g2_the_first_by_name_makes_a_roster_and_asks),
        cmocka_unit_test(rule_g2_no_roster_is_made_while_somebody_has_promised_another_one),
        cmocka_unit_test(rule_g3_no_promise_for_a_roster_that_is_not_what_this_member_reached),
        cmocka_unit_test(rule_g4_the_founder_needs_every_promise_and_the_others_a_founded_member),
        cmocka_unit_test(rule_g6_a_cluster_that_lists_the_name_with_another_disk_is_fatal),
        cmocka_unit_test(a_directory_that_forgot_its_promise_is_fatal),
        cmocka_unit_test(a_cluster_that_does_not_know_this_member_stops_founding_and_is_named),
        cmocka_unit_test(a_name_given_twice_is_fatal_and_both_addresses_are_named),
        cmocka_unit_test(a_member_that_was_wiped_before_anything_was_promised_is_just_new),
        cmocka_unit_test(a_member_wiped_while_founding_closes_it_and_the_remedy_is_said),
        cmocka_unit_test(numbers_of_founders_that_differ_are_explained_and_nothing_is_founded),
        cmocka_unit_test(the_text_says_who_is_missing),
        cmocka_unit_test(malformed_notes_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
