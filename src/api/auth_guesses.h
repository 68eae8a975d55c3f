/* api/auth_guesses.h - slows down who guesses passwords, without locking anybody out for others.
 *
 * Counts wrong passwords by user and address together, by address, and by user. Each is forgiven
 * one a minute.
 *
 *   user at an address  5 are free; then one attempt at a time, after 1 s, 2 s, 4 s ... 30 s
 *   address             20 are free, whatever the names; then the same, but for users who were
 *                       right there within the hour
 *   user                nobody waits for others' guesses. While 20 are counted, wherever they
 *                       came from, only 2 are free where he was not right within the hour
 *
 * So whoever has the password and an address of his own gets in at once; who guesses needs as many
 * addresses as guesses. A network of IPv6 (/64) is one address. A fixed table, in the memory of
 * this member: what matters least is forgotten first. No clock: times are given, of the loop. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct guesses;

struct guesses *guesses_create(void);
void guesses_destroy(struct guesses *g);

/* `text` is a conn's `remote`; NULL: not known, which is one address, too. */
struct guess_address {
    uint8_t bytes[16];
    bool is_loopback;
};
struct guess_address guess_address_of(const char *text);

/* Who tries. */
struct guess {
    struct slice user;
    struct guess_address from;
    uint64_t now_ms;
};

/* 0: what he sends may be compared with what is known without a hash; else how long to wait. */
uint32_t guess_wait_known_ms(const struct guesses *g, const struct guess *guess);
/* 0: his password is being checked until guess_end; else how long to wait. An attempt at an address
 * that must wait counts as a wrong one of this user there. */
uint32_t guess_begin(struct guesses *g, const struct guess *guess);
enum guess_outcome { GUESS_RIGHT, GUESS_WRONG, GUESS_UNKNOWN /* it was not checked */ };
void guess_end(struct guesses *g, const struct guess *guess, enum guess_outcome outcome);
