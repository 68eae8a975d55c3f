#include "cmd/suggest.h"

#include <string.h>

#define WORD_SIZE_MAX 64

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t suggest_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    if (a_size > WORD_SIZE_MAX || b_size > WORD_SIZE_MAX) {
        return a_size + b_size;
    }
    /* rows[i][j]: from the first i letters of a to the first j of b. */
    size_t rows[WORD_SIZE_MAX + 1][WORD_SIZE_MAX + 1];
    for (size_t i = 0; i <= a_size; i++) {
        rows[i][0] = i;
    }
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
            size_t best = least(rows[i - 1][j] + 1, rows[i][j - 1] + 1);
            best = least(best, rows[i - 1][j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = least(best, rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    return rows[a_size][b_size];
}

struct suggestion suggestion_of(const char *typed)
{
    /* A third of the letters may be wrong, at least one and at most three. */
    size_t allowed = strlen(typed) / 3;
    allowed = allowed < 1 ? 1 : least(allowed, 3);
    return (struct suggestion){.typed = typed, .distance = allowed + 1};
}

void suggestion_offer(struct suggestion *s, const char *known)
{
    size_t distance = suggest_distance(s->typed, known);
    if (distance < s->distance) {
        s->best = known;
        s->distance = distance;
    }
}
