/* Faults as a value: what holds for which member, and how they are told. */
#include "node/fault_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct fault_link link_of(const char *name)
{
    struct fault_link l = {0};
    snprintf(l.name, sizeof(l.name), "%s", name);
    return l;
}

static void a_link_says_what_is_different_there(void **state)
{
    (void)state;
    struct fault_set s = {.delay_ms = 100, .drop = 5, .cut_count = 1, .link_count = 2};
    snprintf(s.cut[0], sizeof(s.cut[0]), "node-3");
    s.links[0] = link_of("node-2");
    s.links[0].has_delay = true; /* 0: not delayed, unlike the others */
    s.links[1] = link_of("node-3");
    s.links[1].has_cut = true; /* false: not cut, whatever the list says */
    struct fault f = fault_set_of(&s, "node-2");
    assert_int_equal(f.delay_ms, 0);
    assert_int_equal(f.drop, 5);
    assert_false(f.is_cut);
    f = fault_set_of(&s, "node-3");
    assert_int_equal(f.delay_ms, 100);
    assert_false(f.is_cut);
    s.links[1].has_cut = false;
    assert_true(fault_set_of(&s, "node-3").is_cut);
    f = fault_set_of(&s, "node-9");
    assert_int_equal(f.delay_ms, 100);
    assert_int_equal(f.drop, 5);
    assert_false(f.is_cut);
}

static void what_does_nothing_is_empty(void **state)
{
    (void)state;
    struct fault_set s = {.link_count = 1};
    s.links[0] = link_of("node-2");
    s.links[0].has_delay = s.links[0].has_drop = s.links[0].has_cut = true;
    assert_true(fault_set_is_empty(&s));
    s.links[0].fault.drop = 1;
    assert_false(fault_set_is_empty(&s));
    s = (struct fault_set){.disk_delay_ms = 1};
    assert_false(fault_set_is_empty(&s));
    s = (struct fault_set){.cut_count = 1};
    assert_false(fault_set_is_empty(&s));
}

static void one_line_tells_all_of_it(void **state)
{
    (void)state;
    char text[256];
    struct fault_set s = {0};
    fault_set_describe(&s, text, sizeof(text));
    assert_string_equal(text, "");
    s = (struct fault_set){
        .delay_ms = 100, .drop = 100000, .cut_count = 2, .disk_delay_ms = 20, .link_count = 1};
    snprintf(s.cut[0], sizeof(s.cut[0]), "a");
    snprintf(s.cut[1], sizeof(s.cut[1]), "b");
    s.links[0] = link_of("c");
    s.links[0].has_delay = s.links[0].has_drop = s.links[0].has_cut = true;
    s.links[0].fault = (struct fault){.delay_ms = 7, .drop = FAULT_DROP_ALL, .is_cut = true};
    fault_set_describe(&s, text, sizeof(text));
    assert_string_equal(text, "delayMs=100 drop=0.1 partition=a,b diskDelayMs=20 "
                              "c: delayMs=7 drop=1 partition=true");
    fault_set_describe(&s, text, 8);
    assert_string_equal(text, "delayMs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_says_what_is_different_there),
        cmocka_unit_test(what_does_nothing_is_empty),
        cmocka_unit_test(one_line_tells_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
