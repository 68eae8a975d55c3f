/* rest_members.c - who takes part: GET and POST /members, DELETE /members/{name}, and
 * POST /members/{name}/promote and /replace (rules C1 to C9). */
#include "api/json_body.h"
#include "api/rest.h"

#include "base/mem.h"

#include <stdio.h>

#define MEMBERS_PATH "/members/"

/* --- GET /members ----------------------------------------------------------------------------- */

static const char *role_of(const struct node_status *s, const struct node_membership_item *item)
{
    static const struct uuid nobody;
    if (uuid_equal(item->member.incarnation, nobody)) {
        return "invited";
    }
    if (s->leader[0] != '\0' && strcmp(s->leader, item->member.name) == 0 && item->voter) {
        return "leader";
    }
    return item->voter ? "follower" : "learner";
}

static void print_member(struct json_writer *w, const struct node_status *s,
                         const struct node_membership_item *item)
{
    char id[24];
    char incarnation[UUID_TEXT_SIZE];
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)item->member.id);
    uuid_format(item->member.incarnation, incarnation);
    json_open_object(w);
    json_field_text(w, "name", item->member.name);
    json_field_text(w, "id", id);
    json_field_text(w, "url", item->member.url);
    json_field_text(w, "role", role_of(s, item));
    json_field_bool(w, "voter", item->voter);
    json_field_text(w, "incarnation", incarnation);
    if (item->stays_learner) {
        json_field_bool(w, "staysLearner", true);
    }
    if (item->replaced) {
        json_field_bool(w, "replaced", true);
    }
    if (item->priority != 0) {
        json_field_u64(w, "priority", item->priority);
    }
    json_close_object(w);
}

static void print_membership(struct api *api, struct json_writer *w)
{
    const struct node_status *s = api_status(api);
    struct node_membership *m = mem_calloc(1, sizeof(*m));
    node_membership_get(api->options.node, m);
    json_write_name(w, "members");
    json_open_array(w);
    for (uint32_t i = 0; i < m->count; i++) {
        print_member(w, s, &m->items[i]);
    }
    json_close_array(w);
    json_field_bool(w, "joint", m->joint);
    json_field_bool(w, "committed", m->committed);
    json_field_u64(w, "index", m->index);
    mem_free(m);
}

void rest_members_get(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct json_writer w = answer_begin(api, r);
    print_membership(api, &w);
    answer_send(r, 200, NULL, &w);
}

/* --- a change --------------------------------------------------------------------------------- */

struct change_call {
    struct call call;
    struct node_change change;
    bool waits;
};

static void destroy_change(struct call *c)
{
    struct change_call *m = CONTAINER_OF(c, struct change_call, call);
    if (m->waits) {
        node_change_cancel(&m->change);
    }
    mem_free(m);
}

/* What a person reads with each refusal. */
static void answer_refused(struct change_call *m, enum status status)
{
    static const struct {
        enum status status;
        int http_status;
        const char *error;
    } refusals[] = {
        {STATUS_NOT_FOUND, 404, "No such member"},
        {STATUS_CONFLICT, 409, "Conflict"},
        {STATUS_INVALID, 400, "Bad request"},
        {STATUS_BUSY, 409, "Another change is under way"},
        {STATUS_BEHIND, 409, "Not caught up"},
        {STATUS_NO_QUORUM, 503, "No quorum"},
    };
    struct api *api = m->call.api;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (refusals[i].status == status) {
            char why[sizeof(m->change.why)];
            snprintf(why, sizeof(why), "%s", m->change.why);
            answer_error_reason(api, m->call.http, refusals[i].http_status, refusals[i].error, why);
            return;
        }
    }
    answer_status(api, m->call.http, status);
}

static void answer_change(struct change_call *m, enum status status)
{
    struct api *api = m->call.api;
    struct json_writer w;
    if (status == STATUS_OK) {
        w = answer_begin(api, m->call.http);
        json_field_bool(&w, "success", true);
        json_field_text(&w, "name", m->change.name);
        print_membership(api, &w);
        answer_send(m->call.http, 200, NULL, &w);
    } else if (status == STATUS_NOT_LEADER) {
        w = answer_begin_not_leader(api, m->call.http, status_text(status));
        answer_send(m->call.http, 503, NULL, &w);
    } else {
        answer_refused(m, status);
    }
}

static void on_changed(struct node_change *c)
{
    struct change_call *m = c->context;
    m->waits = false;
    answer_change(m, c->status);
}

static void start_change(struct change_call *m)
{
    m->change.done = on_changed;
    m->change.context = m;
    enum status status = node_change_start(m->call.api->options.node, &m->change);
    m->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        answer_change(m, status);
    }
}

static struct change_call *begin_change(struct api *api, struct http_request *r,
                                        enum node_change_kind kind)
{
    struct change_call *m = mem_calloc(1, sizeof(*m));
    call_begin(&m->call, api, r, destroy_change);
    m->change.kind = kind;
    return m;
}

/* --- its parts -------------------------------------------------------------------------------- */

static bool take_text(json_t *value, char *out, size_t size)
{
    const char *text = json_string_value(value);
    if (text == NULL || json_string_length(value) >= size ||
        strlen(text) != json_string_length(value)) { /* a NUL in it */
        return false;
    }
    snprintf(out, size, "%s", text);
    return true;
}

static bool take_field(struct node_change *c, const char *name, json_t *value)
{
    if (strcmp(name, "name") == 0 && c->kind == NODE_CHANGE_ADD) {
        return take_text(value, c->name, sizeof(c->name));
    }
    if (strcmp(name, "url") == 0) {
        return take_text(value, c->url, sizeof(c->url));
    }
    if (strcmp(name, "learner") == 0 && c->kind == NODE_CHANGE_ADD && json_is_boolean(value)) {
        c->learner = json_is_true(value);
        return true;
    }
    return false;
}

/* False: answered. An empty body is {}. */
static bool parse_body(struct change_call *m, const char *form)
{
    struct http_request *r = m->call.http;
    if (r->body.size == 0) {
        return true;
    }
    json_t *body = json_body_take(m->call.api, r, form);
    if (body == NULL) {
        return false;
    }
    bool fine = true;
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value)
    {
        fine = fine && take_field(&m->change, name, value);
    }
    json_decref(body);
    if (!fine) {
        answer_error_reason(m->call.api, r, 400, "Bad request", form);
    }
    return fine;
}

/* The name between "/members/" and `suffix`; names need no decoding. False: answered 404. */
static bool parse_name(struct change_call *m, const char *suffix)
{
    struct slice path = m->call.http->path;
    size_t prefix = strlen(MEMBERS_PATH);
    size_t tail = strlen(suffix);
    struct slice name = slice_of(path.data + prefix, path.size - prefix - tail);
    if (name.size == 0 || name.size > LIMIT_NAME_BYTES) {
        answer_error_reason(m->call.api, m->call.http, 404, "No such member",
                            "a name has 1 to 64 characters");
        return false;
    }
    snprintf(m->change.name, sizeof(m->change.name), "%.*s", (int)name.size,
             (const char *)name.data);
    return true;
}

void rest_members_add(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    static const char form[] = "the body is {\"name\": NAME, \"url\": URL, \"learner\": false}";
    struct change_call *m = begin_change(api, r, NODE_CHANGE_ADD);
    if (!parse_body(m, form)) {
        return;
    }
    if (m->change.name[0] == '\0' || m->change.url[0] == '\0') {
        answer_error_reason(api, r, 400, "Bad request", form);
        return;
    }
    start_change(m);
}

void rest_member_remove(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct change_call *m = begin_change(api, r, NODE_CHANGE_REMOVE);
    if (parse_name(m, "")) {
        start_change(m);
    }
}

static bool path_ends_with(const struct http_request *r, const char *suffix)
{
    size_t size = strlen(suffix);
    return r->path.size >= strlen(MEMBERS_PATH) + size &&
           memcmp(r->path.data + r->path.size - size, suffix, size) == 0;
}

void rest_member_change(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    static const char promote[] = "/promote";
    static const char replace[] = "/replace";
    struct change_call *m;
    if (path_ends_with(r, promote)) {
        m = begin_change(api, r, NODE_CHANGE_PROMOTE);
        if (parse_name(m, promote)) {
            start_change(m);
        }
    } else if (path_ends_with(r, replace)) {
        m = begin_change(api, r, NODE_CHANGE_REPLACE);
        if (parse_name(m, replace) && parse_body(m, "the body is {\"url\": URL} or empty")) {
            start_change(m);
        }
    } else {
        answer_error(api, r, 404, "Not found");
    }
}
