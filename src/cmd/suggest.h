/* cmd/suggest.h - "did you mean": the known word that is nearest to a mistyped one.
 *
 * Knows nothing of verbs or flags; the callers walk their own tables. */
#pragma once

#include <stddef.h>

/* How many letters must be changed, added, dropped or swapped with their neighbour to make one word
 * from the other. Words longer than 64 bytes count as entirely different. */
size_t suggest_distance(const char *a, const char *b);

/* Feed every known word, then read `best`: NULL when none is near enough to be meant. */
struct suggestion {
    const char *typed; /* borrowed */
    const char *best;  /* borrowed from suggestion_offer's caller */
    size_t distance;
};
struct suggestion suggestion_of(const char *typed);
void suggestion_offer(struct suggestion *s, const char *known);
