#include "api/auth_guesses.h"

#include "base/limits.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <string.h>

#define FREE_PAIR       5u
#define FREE_PAIR_TIGHT 2u /* of a user whom many guess */
#define FREE_ADDRESS    20u
#define FREE_USER       20u
#define COUNTED_MAX     10u /* beyond those that are free */
#define FORGIVE_MS      60000u
#define WAIT_MS         1000u /* after the first that is not free; doubles */
#define WAIT_MAX_MS     30000u
#define TRUST_MS        3600000u
#define WAYS            4u
#define SETS            (LIMIT_AUTH_GUESSES / WAYS)

enum guess_kind { GUESS_PAIR, GUESS_ADDRESS, GUESS_USER };

static const uint32_t free_of[] = {
    [GUESS_PAIR] = FREE_PAIR, [GUESS_ADDRESS] = FREE_ADDRESS, [GUESS_USER] = FREE_USER};

struct entry {
    uint64_t id; /* 0 = free */
    uint32_t wrong;
    uint32_t pending; /* being checked; such a one stays */
    uint64_t wrong_ms;
    uint64_t trusted_ms; /* until then */
};

struct guesses {
    uint8_t key[crypto_shorthash_KEYBYTES]; /* random: nobody chooses whose places he takes */
    struct entry sets[SETS][WAYS];
};

struct guesses *guesses_create(void)
{
    struct guesses *g = mem_calloc(1, sizeof(*g));
    randombytes_buf(g->key, sizeof(g->key));
    return g;
}

void guesses_destroy(struct guesses *g)
{
    mem_free(g);
}

/* --- addresses -------------------------------------------------------------------------------- */

static struct guess_address address_of_4(const uint8_t bytes[4])
{
    struct guess_address a = {.bytes = {4}, .is_loopback = bytes[0] == 127};
    memcpy(a.bytes + 1, bytes, 4);
    return a;
}

struct guess_address guess_address_of(const char *text)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t loopback[16] = {[15] = 1};
    struct guess_address a = {0};
    char host[INET6_ADDRSTRLEN] = "";
    uint8_t bytes[16];
    const char *end = text != NULL ? strrchr(text, ':') : NULL;
    if (end == NULL) {
        return a;
    }
    bool is_ipv6 = text[0] == '[' && end > text + 1 && end[-1] == ']';
    const char *begin = is_ipv6 ? text + 1 : text;
    size_t size = (size_t)(end - begin) - (is_ipv6 ? 1 : 0);
    if (size >= sizeof(host)) {
        return a;
    }
    memcpy(host, begin, size);
    if (!is_ipv6) {
        return inet_pton(AF_INET, host, bytes) == 1 ? address_of_4(bytes) : a;
    }
    if (inet_pton(AF_INET6, host, bytes) != 1) {
        return a;
    }
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return address_of_4(bytes + sizeof(mapped));
    }
    a.bytes[0] = 6;
    memcpy(a.bytes + 1, bytes, 8);
    a.is_loopback = memcmp(bytes, loopback, sizeof(loopback)) == 0;
    return a;
}

/* --- the table -------------------------------------------------------------------------------- */

static uint64_t id_of(const struct guesses *g, enum guess_kind kind, const struct guess *guess)
{
    uint8_t text[1 + sizeof(guess->from.bytes) + LIMIT_AUTH_NAME_BYTES] = {(uint8_t)kind};
    size_t size = 1 + sizeof(guess->from.bytes);
    uint64_t id = 0;
    if (kind != GUESS_USER) {
        memcpy(text + 1, guess->from.bytes, sizeof(guess->from.bytes));
    }
    if (kind != GUESS_ADDRESS) {
        size_t used =
            guess->user.size < LIMIT_AUTH_NAME_BYTES ? guess->user.size : LIMIT_AUTH_NAME_BYTES;
        memcpy(text + size, guess->user.data, used);
        size += used;
    }
    crypto_shorthash((uint8_t *)&id, text, size, g->key);
    return id != 0 ? id : 1;
}

static const struct entry *look(const struct guesses *g, enum guess_kind kind,
                                const struct guess *guess)
{
    uint64_t id = id_of(g, kind, guess);
    const struct entry *set = g->sets[id % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].id == id) {
            return &set[i];
        }
    }
    return NULL;
}

static uint32_t wrong_now(const struct entry *e, uint64_t now_ms)
{
    uint64_t forgiven = e != NULL ? (now_ms - e->wrong_ms) / FORGIVE_MS : 0;
    return e == NULL || forgiven >= e->wrong ? 0 : e->wrong - (uint32_t)forgiven;
}

/* When nothing of it will matter any more. */
static uint64_t over_ms(const struct entry *e)
{
    uint64_t forgiven_ms = e->wrong_ms + (uint64_t)e->wrong * FORGIVE_MS;
    return forgiven_ms > e->trusted_ms ? forgiven_ms : e->trusted_ms;
}

/* Its place, made if need be; NULL: all that it could have are being checked. */
static struct entry *take(struct guesses *g, enum guess_kind kind, const struct guess *guess)
{
    struct entry *found = (struct entry *)look(g, kind, guess);
    if (found != NULL) {
        return found;
    }
    uint64_t id = id_of(g, kind, guess);
    struct entry *set = g->sets[id % SETS];
    for (size_t i = 0; i < WAYS; i++) {
        struct entry *e = &set[i];
        if (e->pending == 0 && (found == NULL || over_ms(e) < over_ms(found))) {
            found = e;
        }
    }
    if (found != NULL) {
        *found = (struct entry){.id = id, .wrong_ms = guess->now_ms};
    }
    return found;
}

static bool is_trusted(const struct entry *pair, uint64_t now_ms)
{
    return pair != NULL && now_ms < pair->trusted_ms;
}

static uint32_t wait_of(const struct entry *e, uint32_t free, uint64_t now_ms)
{
    uint32_t wrong = wrong_now(e, now_ms);
    if (wrong < free) {
        return 0;
    }
    uint64_t wait_ms = (uint64_t)WAIT_MS << (wrong - free < 8 ? wrong - free : 8);
    uint64_t until_ms = e->wrong_ms + (wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
    if (now_ms < until_ms) {
        return (uint32_t)(until_ms - now_ms);
    }
    return e->pending > 0 ? WAIT_MS : 0;
}

static void count_wrong(struct guesses *g, enum guess_kind kind, const struct guess *guess)
{
    struct entry *e = take(g, kind, guess);
    if (e != NULL) {
        uint32_t wrong = wrong_now(e, guess->now_ms) + 1;
        e->wrong = wrong < free_of[kind] + COUNTED_MAX ? wrong : free_of[kind] + COUNTED_MAX;
        e->wrong_ms = guess->now_ms;
    }
}

/* --- attempts --------------------------------------------------------------------------------- */

uint32_t guess_wait_known_ms(const struct guesses *g, const struct guess *guess)
{
    const struct entry *pair = look(g, GUESS_PAIR, guess);
    bool is_tight = !is_trusted(pair, guess->now_ms) &&
                    wrong_now(look(g, GUESS_USER, guess), guess->now_ms) >= FREE_USER;
    return wait_of(pair, is_tight ? FREE_PAIR_TIGHT : FREE_PAIR, guess->now_ms);
}

uint32_t guess_begin(struct guesses *g, const struct guess *guess)
{
    uint32_t wait_ms = guess_wait_known_ms(g, guess);
    if (wait_ms > 0) {
        return wait_ms;
    }
    const struct entry *at = look(g, GUESS_ADDRESS, guess);
    if (!is_trusted(look(g, GUESS_PAIR, guess), guess->now_ms)) {
        wait_ms = wait_of(at, FREE_ADDRESS, guess->now_ms);
    }
    if (wait_ms > 0) {
        count_wrong(g, GUESS_PAIR, guess);
        return wait_ms;
    }
    if (at != NULL && at->pending >= LIMIT_PASSWORDS / 2) {
        return WAIT_MS; /* the others of the queue are for other addresses */
    }
    struct entry *address = take(g, GUESS_ADDRESS, guess);
    if (address == NULL) {
        return WAIT_MS;
    }
    address->pending++; /* so that it stays where it is */
    struct entry *pair = take(g, GUESS_PAIR, guess);
    if (pair == NULL) {
        address->pending--;
        return WAIT_MS;
    }
    pair->pending++;
    return 0;
}

void guess_end(struct guesses *g, const struct guess *guess, enum guess_outcome outcome)
{
    struct entry *pair = take(g, GUESS_PAIR, guess);
    take(g, GUESS_ADDRESS, guess)->pending--;
    pair->pending--;
    if (outcome == GUESS_RIGHT) {
        pair->wrong = 0;
        pair->trusted_ms = guess->now_ms + TRUST_MS;
    } else if (outcome == GUESS_WRONG) {
        count_wrong(g, GUESS_PAIR, guess);
        count_wrong(g, GUESS_ADDRESS, guess);
        count_wrong(g, GUESS_USER, guess);
    }
}
