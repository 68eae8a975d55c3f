/* rest_faults.c - faults for experiments: GET, POST and DELETE /faults (rows F4, B15, D11). */
#include "api/json_body.h"
#include "api/rest.h"

#include <stdarg.h>
#include <stdio.h>

#define REASON_SIZE 256

static const char form[] =
    "the body is {\"delayMs\": MS, \"drop\": 0 to 1, \"partition\": [NAME], \"links\": {NAME: "
    "{\"delayMs\", \"drop\", \"partition\": true}}, \"diskDelayMs\": MS}, each of them optional";

/* A body as it is read. */
struct reading {
    struct api *api;
    struct fault_set set;
    char reason[REASON_SIZE]; /* what is wrong; empty = nothing so far */
};

/* --- reading ---------------------------------------------------------------------------------- */

/* Always false. */
static bool refuse(struct reading *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(struct reading *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(g->reason, sizeof(g->reason), format, args);
    va_end(args);
    return false;
}

static bool take_ms(struct reading *g, const char *name, const json_t *value, uint32_t max,
                    uint32_t *ms)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > (json_int_t)max) {
        return refuse(g, "%s is a whole number of milliseconds from 0 to %u", name, max);
    }
    *ms = (uint32_t)number;
    return true;
}

static bool take_drop(struct reading *g, const json_t *value, uint32_t *drop)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number <= 1)) {
        return refuse(g, "drop is a number from 0 to 1");
    }
    *drop = (uint32_t)(number * FAULT_DROP_ALL + 0.5);
    return true;
}

/* Another member than this one, as it knows them now. */
static bool is_other_member(struct api *api, const char *name, size_t size)
{
    const struct node_status *s = api_status(api);
    for (uint32_t i = 0; i < s->member_count; i++) {
        const struct node_member *m = &s->members[i];
        if (!m->self && strlen(m->name) == size && memcmp(m->name, name, size) == 0) {
            return true;
        }
    }
    return false;
}

static bool take_name(struct reading *g, const char *field, const char *name, size_t size,
                      char out[LIMIT_NAME_BYTES + 1])
{
    if (!is_other_member(g->api, name, size)) {
        return refuse(g, "%s: \"%.*s\" is no other member", field,
                      (int)(size < LIMIT_NAME_BYTES ? size : LIMIT_NAME_BYTES), name);
    }
    snprintf(out, LIMIT_NAME_BYTES + 1, "%s", name);
    return true;
}

static bool take_partition(struct reading *g, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) > LIMIT_MEMBERS) {
        return refuse(g, "partition is a list of members' names");
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        char *name = g->set.cut[g->set.cut_count];
        if (!json_is_string(item)) {
            return refuse(g, "partition is a list of members' names");
        }
        if (!take_name(g, "partition", json_string_value(item), json_string_length(item), name)) {
            return false;
        }
        for (uint32_t k = 0; k < g->set.cut_count; k++) {
            if (strcmp(g->set.cut[k], name) == 0) {
                return refuse(g, "partition names %s twice", name);
            }
        }
        g->set.cut_count++;
    }
    return true;
}

static bool take_link_field(struct reading *g, struct fault_link *l, const char *field,
                            const json_t *value)
{
    if (strcmp(field, "delayMs") == 0) {
        l->has_delay = true;
        return take_ms(g, "delayMs", value, FAULT_DELAY_MS_MAX, &l->fault.delay_ms);
    }
    if (strcmp(field, "drop") == 0) {
        l->has_drop = true;
        return take_drop(g, value, &l->fault.drop);
    }
    if (strcmp(field, "partition") == 0) {
        l->has_cut = true;
        l->fault.is_cut = json_is_true(value);
        return json_is_boolean(value) || refuse(g, "partition of a link is true or false");
    }
    return refuse(g, "a link has no field \"%.64s\"; it has delayMs, drop and partition", field);
}

static bool take_links(struct reading *g, json_t *value)
{
    if (!json_is_object(value) || json_object_size(value) > LIMIT_MEMBERS) {
        return refuse(g, "links is an object with a member's name for each field");
    }
    const char *name;
    json_t *fields;
    json_object_foreach(value, name, fields)
    {
        struct fault_link *l = &g->set.links[g->set.link_count];
        if (!take_name(g, "links", name, strlen(name), l->name)) {
            return false;
        }
        if (!json_is_object(fields)) {
            return refuse(g, "links: %s is an object with delayMs, drop, partition", name);
        }
        const char *field;
        json_t *setting;
        json_object_foreach(fields, field, setting)
        {
            if (!take_link_field(g, l, field, setting)) {
                return false;
            }
        }
        g->set.link_count++;
    }
    return true;
}

static bool take_field(struct reading *g, const char *name, json_t *value)
{
    if (strcmp(name, "delayMs") == 0) {
        return take_ms(g, name, value, FAULT_DELAY_MS_MAX, &g->set.delay_ms);
    }
    if (strcmp(name, "drop") == 0) {
        return take_drop(g, value, &g->set.drop);
    }
    if (strcmp(name, "partition") == 0) {
        return take_partition(g, value);
    }
    if (strcmp(name, "links") == 0) {
        return take_links(g, value);
    }
    if (strcmp(name, "diskDelayMs") == 0) {
        return take_ms(g, name, value, FAULT_DISK_DELAY_MS_MAX, &g->set.disk_delay_ms);
    }
    return refuse(g, "there is no \"%.64s\"; %s", name, form);
}

/* False: answered. */
static bool read_body(struct reading *g, struct http_request *r)
{
    if (r->body.size == 0) {
        answer_error_reason(g->api, r, 400, "Bad request", form);
        return false;
    }
    json_t *body = json_body_take(g->api, r, form);
    if (body == NULL) {
        return false;
    }
    bool is_fine = true;
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value)
    {
        is_fine = is_fine && take_field(g, name, value);
    }
    json_decref(body);
    if (!is_fine) {
        answer_error_reason(g->api, r, 400, "Bad request", g->reason);
    }
    return is_fine;
}

/* --- answering -------------------------------------------------------------------------------- */

static void field_drop(struct json_writer *w, uint32_t drop)
{
    char text[32];
    snprintf(text, sizeof(text), "%.7g", (double)drop / FAULT_DROP_ALL);
    json_write_name(w, "drop");
    json_write_raw(w, slice_str(text));
}

static void print_links(struct json_writer *w, const struct fault_set *set)
{
    json_write_name(w, "links");
    json_open_object(w);
    for (uint32_t i = 0; i < set->link_count; i++) {
        const struct fault_link *l = &set->links[i];
        json_write_name(w, l->name);
        json_open_object(w);
        if (l->has_delay) {
            json_field_u64(w, "delayMs", l->fault.delay_ms);
        }
        if (l->has_drop) {
            field_drop(w, l->fault.drop);
        }
        if (l->has_cut) {
            json_field_bool(w, "partition", l->fault.is_cut);
        }
        json_close_object(w);
    }
    json_close_object(w);
}

static void answer_faults(struct api *api, struct http_request *r)
{
    struct fault_set set;
    node_faults_get(api->options.node, &set);
    struct json_writer w = answer_begin(api, r);
    json_field_u64(&w, "delayMs", set.delay_ms);
    field_drop(&w, set.drop);
    json_write_name(&w, "partition");
    json_open_array(&w);
    for (uint32_t i = 0; i < set.cut_count; i++) {
        json_write_string(&w, slice_str(set.cut[i]));
    }
    json_close_array(&w);
    print_links(&w, &set);
    json_field_u64(&w, "diskDelayMs", set.disk_delay_ms);
    answer_send(r, 200, NULL, &w);
}

/* False: answered. */
static bool is_open(struct api *api, struct http_request *r)
{
    if (!api->options.enable_faults) {
        answer_error_reason(api, r, 403, "Faults are not enabled",
                            "start this member with --enable-faults");
    }
    return api->options.enable_faults;
}

void rest_faults_get(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    if (is_open(api, r)) {
        answer_faults(api, r);
    }
}

void rest_faults_set(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct reading g = {.api = api};
    if (is_open(api, r) && read_body(&g, r)) {
        node_faults_set(api->options.node, &g.set);
        answer_faults(api, r);
    }
}

void rest_faults_clear(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    if (is_open(api, r)) {
        node_faults_set(api->options.node, &(struct fault_set){0});
        answer_faults(api, r);
    }
}
