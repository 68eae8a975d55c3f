#include "cmd/option_values.h"

#include "base/limits.h"
#include "base/mem.h"
#include "net/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}};
static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
    {"KB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000ull * 1000 * 1000},
    {"TB", 1000ull * 1000 * 1000 * 1000},
};

/* Digits at *at into *number; false when there are none or too many. */
static bool read_digits(const char **at, uint64_t *number)
{
    const char *start = *at;
    uint64_t value = 0;
    while (**at >= '0' && **at <= '9') {
        uint64_t digit = (uint64_t)(**at - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
        (*at)++;
    }
    *number = value;
    return *at > start;
}

/* The unit whose name is the next `size` letters, or NULL. */
static const struct unit *find_unit(const struct unit *units, size_t count, const char *name,
                                    size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == size && strncmp(units[i].name, name, size) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

static bool parse_duration(const char *text, uint64_t *ms)
{
    uint64_t total = 0;
    do {
        uint64_t number;
        if (!read_digits(&text, &number)) {
            return false;
        }
        size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyz");
        const struct unit *unit =
            find_unit(time_units, sizeof(time_units) / sizeof(time_units[0]), text, size);
        if (unit == NULL || number > (UINT64_MAX - total) / unit->factor) {
            return false;
        }
        total += number * unit->factor;
        text += size;
    } while (*text != '\0');
    *ms = total;
    return true;
}

static bool parse_bytes(const char *text, uint64_t *bytes)
{
    uint64_t whole;
    uint64_t thousandths = 0;
    if (!read_digits(&text, &whole)) {
        return false;
    }
    if (*text == '.') {
        const char *start = ++text;
        if (!read_digits(&text, &thousandths) || text - start > 3) {
            return false;
        }
        for (long digits = text - start; digits < 3; digits++) {
            thousandths *= 10;
        }
    }
    const struct unit *unit =
        find_unit(size_units, sizeof(size_units) / sizeof(size_units[0]), text, strlen(text));
    if (unit == NULL || whole > (UINT64_MAX >> 1) / unit->factor) {
        return false;
    }
    *bytes = whole * unit->factor + thousandths * unit->factor / 1000;
    return true;
}

static bool parse_bool(const char *text, uint64_t *number)
{
    bool on = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    *number = on ? 1 : 0;
    return on || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static bool parse_choice(const char *choices, const char *text, uint64_t *number)
{
    size_t size = strlen(text);
    uint64_t place = 0;
    for (const char *at = choices;; place++) {
        size_t length = strcspn(at, "|");
        if (length == size && strncmp(at, text, size) == 0) {
            *number = place;
            return true;
        }
        if (at[length] == '\0') {
            return false;
        }
        at += length + 1;
    }
}

/* Put *text into the one form that members and clients print: "http://host:port". */
static bool normalise_url(char **text, char *why, size_t why_size)
{
    struct url url;
    const char *reason = "";
    if (url_parse(*text, &url, &reason) != STATUS_OK) {
        snprintf(why, why_size, "is no address like http://127.0.0.1:4001: %s", reason);
        return false;
    }
    char normal[URL_TEXT_BYTES];
    url_format(&url, normal, sizeof(normal));
    mem_free(*text);
    *text = mem_strdup(normal);
    return true;
}

static bool parse_urls(const struct option *row, struct option_value *v, char *why, size_t why_size)
{
    v->items = mem_calloc(LIMIT_MEMBERS, sizeof(*v->items));
    for (const char *at = v->text + strspn(v->text, ", "); *at != '\0'; at += strspn(at, ", ")) {
        size_t size = strcspn(at, ", ");
        if (v->item_count == LIMIT_MEMBERS) {
            snprintf(why, why_size, "lists more than %d addresses", LIMIT_MEMBERS);
            return false;
        }
        char **item = &v->items[v->item_count++];
        *item = mem_strndup(at, size);
        char reason[160];
        if (!normalise_url(item, reason, sizeof(reason))) {
            snprintf(why, why_size, "has \"%.60s\" in it, which %s", *item, reason);
            return false;
        }
        at += size;
    }
    snprintf(why, why_size, "names no address; write it as http://127.0.0.1:4000");
    return v->item_count >= row->min;
}

static bool check_bounds(const struct option *row, uint64_t number, const char *kind, char *why,
                         size_t why_size)
{
    uint64_t max = row->max != 0 ? row->max : UINT64_MAX;
    if (number >= row->min && number <= max) {
        return true;
    }
    if (row->max != 0) {
        snprintf(why, why_size, "is out of range; use %" PRIu64 " to %" PRIu64 "%s%s", row->min,
                 row->max, kind[0] != '\0' ? " " : "", kind);
    } else {
        snprintf(why, why_size, "is too small; use at least %" PRIu64 "%s%s", row->min,
                 kind[0] != '\0' ? " " : "", kind);
    }
    return false;
}

static bool parse_integer(const char *text, uint64_t *number)
{
    return read_digits(&text, number) && *text == '\0';
}

static bool parse_number(const struct option *row, struct option_value *v, char *why,
                         size_t why_size)
{
    switch (row->type) {
    case OPTION_INTEGER:
        snprintf(why, why_size, "is not a whole number; use for example --%s %s", row->name,
                 row->fallback != NULL ? row->fallback : "3");
        return parse_integer(v->text, &v->number) &&
               check_bounds(row, v->number, "", why, why_size);
    case OPTION_DURATION:
        snprintf(why, why_size, "is not a duration; write it as 500ms, 2s, 10m or 1h");
        return parse_duration(v->text, &v->number) &&
               check_bounds(row, v->number, "ms", why, why_size);
    case OPTION_BYTES:
        snprintf(why, why_size, "is not a size; write it as 4096, 64KiB, 1.5MiB or 2GiB");
        return parse_bytes(v->text, &v->number) &&
               check_bounds(row, v->number, "bytes", why, why_size);
    default:
        snprintf(why, why_size, "is neither true nor false");
        return parse_bool(v->text, &v->number);
    }
}

bool option_value_parse(const struct option *row, struct option_value *v, char *why,
                        size_t why_size)
{
    switch (row->type) {
    case OPTION_TEXT:
        snprintf(why, why_size, "is empty");
        return v->text[0] != '\0';
    case OPTION_CHOICE:
        snprintf(why, why_size, "is none of %s", row->choices);
        return parse_choice(row->choices, v->text, &v->number);
    case OPTION_URL:
        return normalise_url(&v->text, why, why_size);
    case OPTION_URLS:
        return parse_urls(row, v, why, why_size);
    default:
        return parse_number(row, v, why, why_size);
    }
}
