/* Who guesses passwords waits, and nobody else does (api/auth_guesses.h). */
#include "api/auth_guesses.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after those that it needs */
#include <cmocka.h>

#define MINUTE_MS 60000u
#define HOUR_MS   (60u * MINUTE_MS)

static struct guesses *g;
static uint64_t now_ms;

static int setup(void **state)
{
    (void)state;
    g = guesses_create();
    now_ms = 5000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guesses_destroy(g);
    return 0;
}

static struct guess guess_of(const char *user, const char *from)
{
    return (struct guess){
        .user = slice_str(user), .from = guess_address_of(from), .now_ms = now_ms};
}

/* How long he must wait; 0: it was taken, and was so. */
static uint32_t try(const char *user, const char *from, enum guess_outcome outcome)
{
    const struct guess guess = guess_of(user, from);
    uint32_t wait_ms = guess_begin(g, &guess);
    if (wait_ms == 0) {
        guess_end(g, &guess, outcome);
    }
    return wait_ms;
}

static void addresses_are_told_apart_without_ports(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        const char *other;
        bool same;
    } rows[] = {
        {"10.0.0.1:1", "10.0.0.1:2", true},
        {"10.0.0.1:1", "10.0.0.2:1", false},
        {"[2001:db8::1]:1", "[2001:db8::ffff:2]:2", true}, /* of one network */
        {"[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false},
        {"[::ffff:10.0.0.1]:1", "10.0.0.1:2", true},
        {"[::1]:1", "127.0.0.1:1", false},
        {"", "10.0.0.1:1", false},
        {"nonsense", "", true},
        {"[::1", "", true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct guess_address one = guess_address_of(rows[i].one);
        struct guess_address other = guess_address_of(rows[i].other);
        assert_int_equal(memcmp(one.bytes, other.bytes, sizeof(one.bytes)) == 0, rows[i].same);
    }
    assert_true(guess_address_of("127.0.0.9:1").is_loopback);
    assert_true(guess_address_of("[::1]:1").is_loopback);
    assert_false(guess_address_of("10.0.0.1:1").is_loopback);
    assert_false(guess_address_of(NULL).is_loopback);
}

static void who_guesses_waits_longer_each_time(void **state)
{
    (void)state;
    static const uint32_t waits_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    }
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        assert_int_equal(try("alice", "10.0.0.1:2", GUESS_RIGHT), waits_ms[i]);
        now_ms += waits_ms[i] - 1;
        assert_int_equal(try("alice", "10.0.0.1:3", GUESS_RIGHT), 1); /* asking made it no longer */
        now_ms += 1;
        assert_int_equal(try("alice", "10.0.0.1:4", GUESS_WRONG), 0);
    }
    /* A day of it is a small number. */
    uint32_t tried = 0;
    for (uint64_t end_ms = now_ms + 24u * HOUR_MS; now_ms < end_ms; now_ms += 1000) {
        tried += try("alice", "10.0.0.1:1", GUESS_WRONG) == 0;
    }
    assert_in_range(tried, 1, 3000);
}

static void nobody_waits_for_the_guesses_of_others(void **state)
{
    (void)state;
    char from[32];
    for (int i = 0; i < 200; i++) {
        snprintf(from, sizeof(from), "10.0.%d.1:1", i);
        while (try("alice", from, GUESS_WRONG) == 0) {
        }
    }
    assert_int_equal(try("alice", "10.1.0.1:1", GUESS_RIGHT), 0);
    assert_int_equal(try("bob", "10.1.0.1:1", GUESS_RIGHT), 0);
}

static void who_waits_for_one_name_is_in_by_another(void **state)
{
    (void)state;
    while (try("alice", "10.0.0.1:1", GUESS_WRONG) == 0) {
    }
    assert_int_equal(try("bob", "10.0.0.1:1", GUESS_RIGHT), 0);
}

static void many_names_from_one_address_are_slowed_together(void **state)
{
    (void)state;
    char name[16];
    uint32_t tried = 0;
    assert_int_equal(try("bob", "10.0.0.1:1", GUESS_RIGHT), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "user-%d", i);
        tried += try(name, "10.0.0.1:1", GUESS_WRONG) == 0;
    }
    assert_int_equal(tried, 20);
    assert_in_range(try("carol", "10.0.0.1:1", GUESS_RIGHT), 1, 30000);
    /* Who was right from there a moment ago is not one of them. */
    assert_int_equal(try("bob", "10.0.0.1:1", GUESS_RIGHT), 0);
    assert_int_equal(try("carol", "10.0.0.2:1", GUESS_RIGHT), 0);
}

static void what_an_address_sends_while_it_waits_counts_for_its_users(void **state)
{
    (void)state;
    char name[16];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "user-%d", i);
        assert_int_equal(try(name, "10.0.0.1:1", GUESS_WRONG), 0);
    }
    /* Else it would be compared for nothing with what is known without a hash. */
    const struct guess guess = guess_of("alice", "10.0.0.1:1");
    assert_int_equal(guess_wait_known_ms(g, &guess), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_not_equal(guess_begin(g, &guess), 0);
    }
    assert_int_not_equal(guess_wait_known_ms(g, &guess), 0);
}

static void a_user_whom_many_guess_has_fewer_that_are_free(void **state)
{
    (void)state;
    char from[32];
    assert_int_equal(try("alice", "10.1.0.1:1", GUESS_RIGHT), 0);
    for (int i = 0; i < 20; i++) {
        snprintf(from, sizeof(from), "10.0.%d.1:1", i);
        assert_int_equal(try("alice", from, GUESS_WRONG), 0);
    }
    assert_int_equal(try("alice", "10.2.0.1:1", GUESS_WRONG), 0);
    assert_int_equal(try("alice", "10.2.0.1:1", GUESS_WRONG), 0);
    assert_int_not_equal(try("alice", "10.2.0.1:1", GUESS_WRONG), 0);
    /* Not where he was right before. */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try("alice", "10.1.0.1:1", GUESS_WRONG), 0);
    }
    assert_int_not_equal(try("alice", "10.1.0.1:1", GUESS_WRONG), 0);
}

static void guesses_at_once_do_not_outrun_the_count(void **state)
{
    (void)state;
    const struct guess guess = guess_of("alice", "10.0.0.1:1");
    uint32_t begun = 0;
    while (guess_begin(g, &guess) == 0) {
        begun++;
    }
    assert_int_equal(begun, 32); /* half of those that can wait for their hash */
    const struct guess other = guess_of("bob", "10.0.0.2:1");
    assert_int_equal(guess_begin(g, &other), 0);
    for (uint32_t i = 0; i < begun; i++) {
        guess_end(g, &guess, GUESS_WRONG);
    }
    now_ms += 30000;
    assert_int_equal(try("alice", "10.0.0.1:1", GUESS_UNKNOWN), 0);
    const struct guess later = guess_of("alice", "10.0.0.1:1");
    assert_int_equal(guess_begin(g, &later), 0);
    assert_int_not_equal(guess_begin(g, &later), 0); /* one at a time from now on */
}

static void it_is_forgiven_with_time_and_by_the_right_one(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    }
    assert_int_equal(try("alice", "10.0.0.1:1", GUESS_RIGHT), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    }
    assert_int_not_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    now_ms += 2u * MINUTE_MS;
    assert_int_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    assert_int_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
    assert_int_not_equal(try("alice", "10.0.0.1:1", GUESS_WRONG), 0);
}

/* Whatever comes, in a table of 1024: who is not guessed is let in, and nothing breaks. */
static void a_full_table_forgets_and_goes_on(void **state)
{
    (void)state;
    char from[32];
    char name[16];
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(from, sizeof(from), "10.%u.%u.1:1", i / 250 % 250, i % 250);
        snprintf(name, sizeof(name), "user-%u", i % 977);
        (void)try(name, from, i % 7 == 0 ? GUESS_RIGHT : GUESS_WRONG);
        now_ms += 3;
    }
    assert_int_equal(try("alice", "10.255.0.1:1", GUESS_RIGHT), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(addresses_are_told_apart_without_ports),
        CASE(who_guesses_waits_longer_each_time),
        CASE(nobody_waits_for_the_guesses_of_others),
        CASE(who_waits_for_one_name_is_in_by_another),
        CASE(many_names_from_one_address_are_slowed_together),
        CASE(what_an_address_sends_while_it_waits_counts_for_its_users),
        CASE(a_user_whom_many_guess_has_fewer_that_are_free),
        CASE(guesses_at_once_do_not_outrun_the_count),
        CASE(it_is_forgiven_with_time_and_by_the_right_one),
        CASE(a_full_table_forgets_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
