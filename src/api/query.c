#include "api/query.h"

#include "base/check.h"
#include "net/http.h"

static enum status refuse(struct query *q, struct slice name, const char *why)
{
    q->bad_name = name;
    q->why = why;
    return STATUS_INVALID;
}

static const char *find_allowed(const char *const *allowed, struct slice name)
{
    for (uint32_t i = 0; allowed != NULL && allowed[i] != NULL; i++) {
        if (slice_equal(name, slice_str(allowed[i]))) {
            return allowed[i];
        }
    }
    return NULL;
}

static enum status add(struct query *q, struct slice name, struct slice value,
                       const char *const *allowed)
{
    const char *known = find_allowed(allowed, name);
    if (known == NULL) {
        return refuse(q, name, "unknown");
    }
    if (query_has(q, known)) {
        return refuse(q, name, "given twice");
    }
    size_t start = q->text.size;
    if (http_percent_decode(value, &q->text) != STATUS_OK) {
        return refuse(q, name, "broken percent-encoding");
    }
    CHECK_CMP(q->count, <, QUERY_PARAMS_MAX);
    q->names[q->count] = known;
    q->values[q->count] = slice_of(q->text.data + start, q->text.size - start);
    q->count++;
    return STATUS_OK;
}

/* The bytes before the first `separator`, which are taken from `rest` together with it. */
static struct slice take_until(struct slice *rest, char separator)
{
    const uint8_t *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    if (at == NULL) {
        struct slice all = *rest;
        *rest = slice_of(NULL, 0);
        return all;
    }
    struct slice before = slice_of(rest->data, (size_t)(at - rest->data));
    *rest = slice_of(at + 1, rest->size - before.size - 1);
    return before;
}

enum status query_parse(struct query *q, struct slice raw, const char *const *allowed)
{
    *q = (struct query){0};
    /* Decoding only shrinks, so the values never move. */
    buf_reserve(&q->text, raw.size);
    while (raw.size > 0) {
        struct slice value = take_until(&raw, '&');
        if (value.size == 0) {
            continue;
        }
        struct slice name = take_until(&value, '=');
        enum status s = add(q, name, value, allowed);
        if (s != STATUS_OK) {
            return s;
        }
    }
    return STATUS_OK;
}

void query_deinit(struct query *q)
{
    buf_deinit(&q->text);
}

bool query_has(const struct query *q, const char *name)
{
    for (uint32_t i = 0; i < q->count; i++) {
        if (strcmp(q->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

struct slice query_value(const struct query *q, const char *name)
{
    for (uint32_t i = 0; i < q->count; i++) {
        if (strcmp(q->names[i], name) == 0) {
            return q->values[i];
        }
    }
    return slice_of(NULL, 0);
}

bool query_is(const struct query *q, const char *name, const char *text)
{
    return query_has(q, name) && slice_equal(query_value(q, name), slice_str(text));
}

enum status query_number(struct query *q, const char *name, uint64_t min, uint64_t *value)
{
    if (!query_has(q, name)) {
        return STATUS_OK;
    }
    uint64_t number;
    if (!number_parse(query_value(q, name), &number)) {
        return query_refuse(q, name, "must be a decimal number");
    }
    if (number < min) {
        return query_refuse(q, name, "too small");
    }
    *value = number;
    return STATUS_OK;
}

enum status query_seconds(struct query *q, const char *name, uint64_t max, uint64_t *seconds)
{
    static const struct {
        uint8_t name;
        uint32_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 60 * 60}, {'d', 24 * 60 * 60}};
    if (!query_has(q, name)) {
        return STATUS_OK;
    }
    struct slice text = query_value(q, name);
    uint64_t number = 0;
    uint64_t factor = 0;
    for (size_t i = 0; text.size > 1 && i < sizeof(units) / sizeof(units[0]); i++) {
        factor = text.data[text.size - 1] == units[i].name ? units[i].seconds : factor;
    }
    if (factor == 0 || !number_parse(slice_of(text.data, text.size - 1), &number)) {
        return query_refuse(q, name, "must be a time such as 30s, 10m, 2h or 1d");
    }
    if (number == 0 || number > max / factor) {
        return query_refuse(q, name, number == 0 ? "too short" : "too long");
    }
    *seconds = number * factor;
    return STATUS_OK;
}

enum status query_bool(struct query *q, const char *name, bool *value)
{
    if (!query_has(q, name)) {
        return STATUS_OK;
    }
    *value = query_is(q, name, "true");
    if (!*value && !query_is(q, name, "false")) {
        return query_refuse(q, name, "must be true or false");
    }
    return STATUS_OK;
}

enum status query_refuse(struct query *q, const char *name, const char *why)
{
    return refuse(q, slice_str(name), why);
}

bool number_parse(struct slice text, uint64_t *value)
{
    if (text.size == 0 || (text.size > 1 && text.data[0] == '0')) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t digit = (uint8_t)(text.data[i] - '0');
        if (digit > 9 || number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}
