#include "cmd/config_file.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* One setting of the file. */
struct entry {
    char *member; /* whose part it is under; NULL = everybody's */
    size_t row;
    size_t line;
    struct buf text; /* zero-terminated once complete */
};

struct config_reader {
    struct options *options;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct entry entries[LIMIT_CONFIG_ENTRIES];
    size_t entry_count;
    char *members[LIMIT_MEMBERS]; /* names under `members`, to find one given twice */
    size_t member_count;
    bool members_seen;
};

static enum status fail_at(struct config_reader *r, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status fail_at(struct config_reader *r, size_t line, const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return options_fail(r->options, "%s:%zu: %s", r->path, line, what);
}

static size_t line_of(const struct config_reader *r)
{
    return r->event.start_mark.line + 1;
}

/* Step to the next event, refusing what a settings file has no use for. */
static enum status next_event(struct config_reader *r)
{
    yaml_event_delete(&r->event);
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        size_t line = r->parser.problem_mark.line + 1;
        const char *problem = r->parser.problem;
        memset(&r->event, 0, sizeof(r->event));
        return fail_at(r, line, "not readable as YAML or JSON: %s",
                       problem != NULL ? problem : "unexpected end");
    }
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (e->type == YAML_ALIAS_EVENT || anchor != NULL) {
        return fail_at(r, line_of(r), "anchors (&) and aliases (*) are not allowed here");
    }
    if (tag != NULL) {
        return fail_at(r, line_of(r), "tags (!) are not allowed here");
    }
    return STATUS_OK;
}

/* The text of the current scalar, without inner zeros, appended to `out`. */
static enum status take_scalar(struct config_reader *r, const char *key, struct buf *out)
{
    const yaml_event_t *e = &r->event;
    const char *text = (const char *)e->data.scalar.value;
    size_t size = e->data.scalar.length;
    bool is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool is_null = is_plain && (size == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
    if (is_null || strlen(text) != size) {
        return fail_at(r, line_of(r), "%s: needs a value", key);
    }
    buf_append(out, text, size);
    return STATUS_OK;
}

/* The value of `key`: one scalar, or a list of scalars, which become one text with commas. */
static enum status read_value(struct config_reader *r, const char *key, bool is_list_allowed,
                              struct buf *out)
{
    enum status status = next_event(r);
    if (status != STATUS_OK) {
        return status;
    }
    if (r->event.type == YAML_SCALAR_EVENT) {
        status = take_scalar(r, key, out);
    } else if (r->event.type != YAML_SEQUENCE_START_EVENT || !is_list_allowed) {
        return fail_at(r, line_of(r), "%s: needs a single value%s", key,
                       is_list_allowed ? " or a list of them" : "");
    } else {
        while ((status = next_event(r)) == STATUS_OK && r->event.type != YAML_SEQUENCE_END_EVENT) {
            if (r->event.type != YAML_SCALAR_EVENT) {
                return fail_at(r, line_of(r), "%s: a list of single values, please", key);
            }
            if (out->size > 0) {
                buf_append_byte(out, ',');
            }
            if ((status = take_scalar(r, key, out)) != STATUS_OK) {
                return status;
            }
        }
    }
    buf_append_byte(out, 0);
    return status;
}

static bool is_same_owner(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* One `key: value` of a map of settings; the current event is the key. */
static enum status read_setting(struct config_reader *r, const char *key, const char *member)
{
    size_t line = line_of(r);
    const char *nearest = NULL;
    const struct option *row = options_find(r->options, key, &nearest);
    if (row == NULL || row->command_line_only) {
        return fail_at(r, line, "unknown key \"%.80s\"%s%s%s", key,
                       nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
                       nearest != NULL ? "?"
                                       : "; the keys are the flags of `conclave server --help`");
    }
    if (member != NULL && strcmp(key, "name") == 0) {
        return fail_at(r, line, "name: cannot be set inside members");
    }
    size_t index = (size_t)(row - r->options->table);
    for (size_t i = 0; i < r->entry_count; i++) {
        if (r->entries[i].row == index && is_same_owner(r->entries[i].member, member)) {
            return fail_at(r, line, "%s: given twice, first on line %zu", key, r->entries[i].line);
        }
    }
    if (r->entry_count == LIMIT_CONFIG_ENTRIES) {
        return fail_at(r, line, "more than %d settings", LIMIT_CONFIG_ENTRIES);
    }
    struct entry *e = &r->entries[r->entry_count++];
    *e = (struct entry){.row = index, .line = line};
    e->member = member != NULL ? mem_strdup(member) : NULL;
    return read_value(r, row->name, row->type == OPTION_URLS, &e->text);
}

/* Step to the next key of the current map: *key is a new string, or NULL at the map's end. */
static enum status next_key(struct config_reader *r, char **key)
{
    *key = NULL;
    enum status status = next_event(r);
    if (status != STATUS_OK || r->event.type == YAML_MAPPING_END_EVENT) {
        return status;
    }
    if (r->event.type != YAML_SCALAR_EVENT) {
        return fail_at(r, line_of(r), "a key must be a single word");
    }
    *key = mem_strdup((const char *)r->event.data.scalar.value);
    return STATUS_OK;
}

static enum status begin_map(struct config_reader *r, const char *what)
{
    enum status status = next_event(r);
    if (status == STATUS_OK && r->event.type != YAML_MAPPING_START_EVENT) {
        return fail_at(r, line_of(r), "%s: needs keys and values below it", what);
    }
    return status;
}

static enum status note_member(struct config_reader *r, const char *name)
{
    for (size_t i = 0; i < r->member_count; i++) {
        if (strcmp(r->members[i], name) == 0) {
            return fail_at(r, line_of(r), "members: \"%.80s\" is given twice", name);
        }
    }
    if (r->member_count == LIMIT_MEMBERS) {
        return fail_at(r, line_of(r), "members: more than %d", LIMIT_MEMBERS);
    }
    r->members[r->member_count++] = mem_strdup(name);
    return STATUS_OK;
}

static enum status read_member(struct config_reader *r, const char *name)
{
    enum status status = note_member(r, name);
    if (status == STATUS_OK) {
        status = begin_map(r, name);
    }
    while (status == STATUS_OK) {
        char *key;
        status = next_key(r, &key);
        if (key == NULL) {
            break;
        }
        status = read_setting(r, key, name);
        mem_free(key);
    }
    return status;
}

static enum status read_members(struct config_reader *r)
{
    if (r->members_seen) {
        return fail_at(r, line_of(r), "members: given twice");
    }
    r->members_seen = true;
    enum status status = begin_map(r, "members");
    while (status == STATUS_OK) {
        char *name;
        status = next_key(r, &name);
        if (name == NULL) {
            break;
        }
        status = read_member(r, name);
        mem_free(name);
    }
    return status;
}

static enum status read_top(struct config_reader *r)
{
    enum status status;
    do {
        status = next_event(r);
    } while (status == STATUS_OK && (r->event.type == YAML_STREAM_START_EVENT ||
                                     r->event.type == YAML_DOCUMENT_START_EVENT));
    if (status != STATUS_OK || r->event.type == YAML_STREAM_END_EVENT) {
        return status; /* an empty file sets nothing */
    }
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return fail_at(r, line_of(r), "a settings file is a map of keys and values");
    }
    for (;;) {
        char *key;
        status = next_key(r, &key);
        if (key == NULL) {
            break;
        }
        status = strcmp(key, "members") == 0 ? read_members(r) : read_setting(r, key, NULL);
        mem_free(key);
        if (status != STATUS_OK) {
            break;
        }
    }
    if (status == STATUS_OK) {
        status = next_event(r); /* the document's end */
    }
    if (status == STATUS_OK) {
        status = next_event(r);
    }
    if (status == STATUS_OK && r->event.type != YAML_STREAM_END_EVENT) {
        return fail_at(r, line_of(r), "more than one document");
    }
    return status;
}

/* Check a value as if it were set, so that a mistake in another member's part is found as well. */
static enum status check_entry(struct config_reader *r, const struct entry *e, const char *where)
{
    struct options trial;
    options_init(&trial, r->options->verb, r->options->table, r->options->count);
    enum status status =
        options_set(&trial, e->row, OPTION_FROM_FILE, where, (const char *)e->text.data);
    if (status != STATUS_OK) {
        status = options_fail(r->options, "%s", options_error(&trial));
    }
    options_deinit(&trial);
    return status;
}

/* Give the options what is everybody's (member NULL) or a member's. */
static enum status apply_entries(struct config_reader *r, const char *member)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < r->entry_count; i++) {
        const struct entry *e = &r->entries[i];
        if (!is_same_owner(e->member, member)) {
            continue;
        }
        char *where = mem_printf("%s:%zu: %s", r->path, e->line, r->options->table[e->row].name);
        status =
            options_set(r->options, e->row, OPTION_FROM_FILE, where, (const char *)e->text.data);
        mem_free(where);
    }
    return status;
}

static enum status apply(struct config_reader *r, size_t name_row)
{
    const char *name = options_text(r->options, name_row);
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < r->entry_count; i++) {
        const struct entry *e = &r->entries[i];
        char *where = mem_printf("%s:%zu: %s", r->path, e->line, r->options->table[e->row].name);
        status = check_entry(r, e, where);
        mem_free(where);
        if (name == NULL && e->row == name_row) {
            name = (const char *)e->text.data;
        }
    }
    if (name == NULL) {
        name = r->options->table[name_row].fallback;
    }
    /* The member's own part first: what is set stays. */
    if (status == STATUS_OK && name != NULL) {
        status = apply_entries(r, name);
    }
    return status == STATUS_OK ? apply_entries(r, NULL) : status;
}

static enum status slurp(struct options *o, const char *path, struct buf *content)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return options_fail(o, "--config %s: %s", path, strerror(errno));
    }
    size_t got;
    do {
        got = fread(buf_reserve(content, 4096), 1, 4096, file);
        content->size += got;
    } while (got > 0 && content->size <= LIMIT_CONFIG_BYTES);
    bool failed = ferror(file) != 0;
    int error = errno;
    fclose(file);
    if (failed) {
        return options_fail(o, "--config %s: %s", path, strerror(error));
    }
    if (content->size > LIMIT_CONFIG_BYTES) {
        return options_fail(o, "--config %s: larger than %u bytes", path, LIMIT_CONFIG_BYTES);
    }
    return STATUS_OK;
}

enum status config_file_read(struct options *o, const char *path, size_t name_row)
{
    struct buf content = {0};
    enum status status = slurp(o, path, &content);
    if (status != STATUS_OK) {
        buf_deinit(&content);
        return status;
    }
    struct config_reader *r = mem_calloc(1, sizeof(*r));
    r->options = o;
    r->path = path;
    CHECK(yaml_parser_initialize(&r->parser) != 0); /* only memory can fail here */
    yaml_parser_set_input_string(&r->parser, content.data, content.size);
    status = read_top(r);
    if (status == STATUS_OK) {
        status = apply(r, name_row);
    }
    yaml_event_delete(&r->event);
    yaml_parser_delete(&r->parser);
    for (size_t i = 0; i < r->entry_count; i++) {
        mem_free(r->entries[i].member);
        buf_deinit(&r->entries[i].text);
    }
    for (size_t i = 0; i < r->member_count; i++) {
        mem_free(r->members[i]);
    }
    mem_free(r);
    buf_deinit(&content);
    return status;
}
