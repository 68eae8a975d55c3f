#include "cmd/options.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cmd/option_values.h"
#include "cmd/suggest.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void options_init(struct options *o, const char *verb, const struct option *table, size_t count)
{
    *o = (struct options){.verb = verb, .table = table, .count = count};
    o->values = mem_calloc(count + 1, sizeof(*o->values));
    for (size_t i = 0; i < count; i++) {
        o->values[i].origin = OPTION_UNSET;
    }
}

void options_deinit(struct options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        struct option_value *v = &o->values[i];
        for (uint32_t k = 0; k < v->item_count; k++) {
            mem_free(v->items[k]);
        }
        mem_free(v->items);
        mem_free(v->text);
        mem_free(v->where);
    }
    mem_free(o->values);
    mem_free(o->arguments);
    buf_deinit(&o->error);
    *o = (struct options){0};
}

/* --- messages --------------------------------------------------------------------------------- */

static void keep_error(struct options *o, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void keep_error(struct options *o, const char *format, va_list args)
{
    char text[2048];
    vsnprintf(text, sizeof(text), format, args);
    buf_clear(&o->error);
    buf_append_str(&o->error, text);
    buf_append_byte(&o->error, 0);
}

enum status options_fail(struct options *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    keep_error(o, format, args);
    va_end(args);
    return STATUS_INVALID;
}

enum status options_refuse(struct options *o, size_t row, const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    const struct option_value *v = &o->values[row];
    if (v->text == NULL) {
        return options_fail(o, "--%s: %s", o->table[row].name, what);
    }
    return options_fail(o, "%s: \"%s\" %s", v->where, v->text, what);
}

const char *options_error(const struct options *o)
{
    return o->error.size > 0 ? (const char *)o->error.data : "";
}

/* --- sources ---------------------------------------------------------------------------------- */

const struct option *options_find(const struct options *o, const char *name, const char **nearest)
{
    struct suggestion s = suggestion_of(name);
    for (size_t i = 0; i < o->count; i++) {
        if (strcmp(o->table[i].name, name) == 0) {
            return &o->table[i];
        }
        suggestion_offer(&s, o->table[i].name);
    }
    *nearest = s.best;
    return NULL;
}

enum status options_set(struct options *o, size_t row, enum option_origin origin, const char *where,
                        const char *text)
{
    CHECK(row < o->count);
    struct option_value *v = &o->values[row];
    if (v->origin != OPTION_UNSET) {
        return STATUS_OK;
    }
    v->origin = origin;
    v->where = mem_strdup(where);
    v->text = mem_strdup(text);
    char why[256];
    if (!option_value_parse(&o->table[row], v, why, sizeof(why))) {
        return options_refuse(o, row, "%s", why);
    }
    return STATUS_OK;
}

static enum status set_flag(struct options *o, const struct option *row, const char *shown,
                            const char *text)
{
    size_t index = (size_t)(row - o->table);
    if (o->values[index].origin == OPTION_FROM_FLAG) {
        return options_fail(o, "%s is given twice", shown);
    }
    return options_set(o, index, OPTION_FROM_FLAG, shown, text);
}

/* The flag of argv[*at], with its value in the same word or in the next one. */
static enum status read_flag(struct options *o, int argc, char **argv, int *at)
{
    const char *word = argv[*at];
    bool is_long = word[1] == '-';
    const char *equals = is_long ? strchr(word, '=') : NULL;
    size_t shown_size = is_long ? (equals != NULL ? (size_t)(equals - word) : strlen(word)) : 2;
    char *shown = mem_strndup(word, shown_size);
    const struct option *row = NULL;
    const char *nearest = NULL;
    if (is_long) {
        row = options_find(o, shown + 2, &nearest);
    }
    for (size_t i = 0; !is_long && i < o->count; i++) {
        if (o->table[i].letter == word[1]) {
            row = &o->table[i];
        }
    }

    enum status status;
    const char *rest =
        is_long ? (equals != NULL ? equals + 1 : NULL) : (word[2] != '\0' ? word + 2 : NULL);
    if (row == NULL && nearest != NULL) {
        status = options_fail(o, "unknown flag %s; did you mean --%s?", shown, nearest);
    } else if (row == NULL) {
        status = options_fail(o, "unknown flag %s", shown);
    } else if (rest != NULL) {
        status = set_flag(o, row, shown, rest);
    } else if (row->type == OPTION_BOOL) {
        status = set_flag(o, row, shown, "true");
    } else if (*at + 1 < argc) {
        status = set_flag(o, row, shown, argv[++*at]);
    } else {
        status = options_fail(o, "%s needs a value: %s %s", shown, shown, row->unit);
    }
    mem_free(shown);
    return status;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1] != '\0' && !isdigit((unsigned char)word[1]);
}

enum status options_read_arguments(struct options *o, int argc, char **argv)
{
    CHECK(o->arguments == NULL);
    o->arguments = mem_calloc((size_t)argc + 1, sizeof(*o->arguments));
    bool flags_end = false;
    for (int i = 0; i < argc; i++) {
        if (!flags_end && strcmp(argv[i], "--") == 0) {
            flags_end = true;
        } else if (!flags_end && is_flag(argv[i])) {
            enum status status = read_flag(o, argc, argv, &i);
            if (status != STATUS_OK) {
                return status;
            }
        } else {
            o->arguments[o->argument_count++] = argv[i];
        }
    }
    return STATUS_OK;
}

char *options_env_name(const char *name)
{
    char *env = mem_printf("CONCLAVE_%s", name);
    for (char *c = env; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    return env;
}

static enum status set_from_variable(struct options *o, size_t row, enum option_origin origin,
                                     const char *variable)
{
    const char *text = getenv(variable);
    if (text == NULL || text[0] == '\0') {
        return STATUS_OK;
    }
    return options_set(o, row, origin, variable, text);
}

enum status options_read_environment(struct options *o, bool prefixed)
{
    for (size_t i = 0; i < o->count; i++) {
        enum status status = STATUS_OK;
        if (prefixed) {
            char *variable = options_env_name(o->table[i].name);
            status = set_from_variable(o, i, OPTION_FROM_ENVIRONMENT, variable);
            mem_free(variable);
        }
        if (status == STATUS_OK && o->table[i].env != NULL) {
            status = set_from_variable(o, i, OPTION_FROM_SEED_ENVIRONMENT, o->table[i].env);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status options_apply_defaults(struct options *o)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < o->count; i++) {
        if (o->table[i].fallback != NULL) {
            char *where = mem_printf("the default of --%s", o->table[i].name);
            status = options_set(o, i, OPTION_FROM_DEFAULT, where, o->table[i].fallback);
            mem_free(where);
        }
    }
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

const char *options_text(const struct options *o, size_t row)
{
    CHECK(row < o->count);
    return o->values[row].text;
}

uint64_t options_number(const struct options *o, size_t row)
{
    CHECK(row < o->count);
    return o->values[row].number;
}

bool options_is_on(const struct options *o, size_t row)
{
    return options_number(o, row) != 0;
}

bool options_is_given(const struct options *o, size_t row)
{
    CHECK(row < o->count);
    return o->values[row].origin < OPTION_FROM_DEFAULT;
}
