/* rest_admin.c - who shall lead: POST /step-down and POST /election. */
#include "api/json_body.h"
#include "api/rest.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

struct step_down_call {
    struct call call;
    struct node_step_down step_down;
    bool waits;
};

static void destroy_step_down(struct call *c)
{
    struct step_down_call *s = CONTAINER_OF(c, struct step_down_call, call);
    if (s->waits) {
        node_step_down_cancel(&s->step_down);
    }
    mem_free(s);
}

/* `{"to": NAME}` or `{}`, and nothing else. */
static bool read_target(json_t *body, char to[LIMIT_NAME_BYTES + 1])
{
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value)
    {
        const char *text = json_string_value(value);
        if (strcmp(name, "to") != 0 || text == NULL ||
            json_string_length(value) > LIMIT_NAME_BYTES ||
            strlen(text) != json_string_length(value)) { /* a NUL in it */
            return false;
        }
        snprintf(to, LIMIT_NAME_BYTES + 1, "%s", text);
    }
    return true;
}

/* False: answered. An empty body asks for nobody in particular. */
static bool parse_target(struct api *api, struct http_request *r, char to[LIMIT_NAME_BYTES + 1])
{
    static const char form[] = "the body is {} or {\"to\": NAME}";
    if (r->body.size == 0) {
        return true;
    }
    json_t *body = json_body_take(api, r, form);
    if (body == NULL) {
        return false;
    }
    bool fine = read_target(body, to);
    json_decref(body);
    if (!fine) {
        answer_error_reason(api, r, 400, "Bad request", form);
    }
    return fine;
}

static void answer_step_down(struct step_down_call *s, enum status status)
{
    struct api *api = s->call.api;
    struct http_request *r = s->call.http;
    struct json_writer w;
    switch (status) {
    case STATUS_OK:
        w = answer_begin(api, r);
        json_field_text(&w, "message", "Stepped down successfully");
        answer_send(r, 200, NULL, &w);
        break;
    case STATUS_NOT_LEADER:
        w = answer_begin_not_leader(api, r, "Not currently leader");
        answer_send(r, 400, NULL, &w);
        break;
    case STATUS_NOT_FOUND:
        w = answer_begin(api, r);
        json_field_text(&w, "error", "No such voter");
        json_field_text(&w, "to", s->step_down.to);
        answer_send(r, 400, NULL, &w);
        break;
    case STATUS_CONFLICT:
        w = answer_begin(api, r);
        json_field_text(&w, "error", "Already leading");
        json_field_text(&w, "to", s->step_down.to);
        answer_send(r, 400, NULL, &w);
        break;
    case STATUS_BUSY:
        answer_error(api, r, 409, "Leadership is being handed over");
        break;
    case STATUS_TIMEOUT:
        answer_error_reason(api, r, 503, "Still leading",
                            "no other member was caught up within an election timeout");
        break;
    default:
        answer_status(api, r, status);
        break;
    }
}

static void on_stepped_down(struct node_step_down *d)
{
    struct step_down_call *s = d->context;
    s->waits = false;
    answer_step_down(s, d->status);
}

void rest_step_down(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct step_down_call *s = mem_calloc(1, sizeof(*s));
    call_begin(&s->call, api, r, destroy_step_down);
    if (!parse_target(api, r, s->step_down.to)) {
        return;
    }
    s->step_down.done = on_stepped_down;
    s->step_down.context = s;
    enum status status = node_step_down_start(api->options.node, &s->step_down);
    s->waits = status == STATUS_OK;
    if (status != STATUS_OK) {
        answer_step_down(s, status);
    }
}

void rest_election(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    log_debug("POST /election");
    node_campaign(api->options.node);
    answer_bytes(r, 200, TYPE_TEXT, NULL, slice_str("OK"));
}
