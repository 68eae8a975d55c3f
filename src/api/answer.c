#include "api/rest.h"

#include "api/audit.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A larger answer's memory is given back. */
#define OUT_KEPT_BYTES (64u * KIB)

/* --- a request that waits --------------------------------------------------------------------- */

static void on_gone(struct http_request *r)
{
    call_end(r->user);
    if (r->note != NULL) {
        audit_http(r, 0);
    }
}

void call_begin(struct call *c, struct api *api, struct http_request *http,
                void (*destroy)(struct call *c))
{
    c->api = api;
    c->http = http;
    c->destroy = destroy;
    c->caller.name_size = api->caller.name_size;
    memcpy(c->caller.name, api->caller.name, api->caller.name_size);
    list_push_back(&api->calls, &c->link);
    http->user = c;
    http->on_gone = on_gone;
}

void call_end(struct call *c)
{
    struct http_request *r = c->http;
    list_remove(&c->link);
    c->destroy(c);
    r->user = NULL;
    r->on_gone = NULL;
    r->on_writable = NULL;
}

/* --- answers ---------------------------------------------------------------------------------- */

void answer_bytes(struct http_request *r, int http_status, const char *content_type,
                  const char *headers, struct slice body)
{
    if (r->user != NULL) {
        call_end(r->user);
    }
    if (r->note != NULL) {
        audit_http(r, http_status);
    }
    http_answer(r, http_status, content_type, headers, body);
}

struct slice path_and_query(const struct http_request *r, size_t skip)
{
    const uint8_t *begin = r->path.data + skip;
    const uint8_t *end = r->target.data + r->target.size;
    return slice_of(begin, (size_t)(end - begin));
}

/* Rows A4 to A10, and documents. What administers, and what no seed had, is the same whatever the
 * setting. */
static bool has_twins(const struct http_request *r)
{
    static const char *const paths[] = {"/status", "/write", "/read"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (slice_equal(r->path, slice_str(paths[i]))) {
            return true;
        }
    }
    return slice_has_prefix(r->path, slice_str("/key/"));
}

struct json_writer answer_begin(struct api *api, const struct http_request *r)
{
    if (api->out.capacity > OUT_KEPT_BYTES) {
        buf_deinit(&api->out);
    }
    buf_clear(&api->out);
    struct json_writer w = {.out = &api->out, .snake = api->options.json_snake && has_twins(r)};
    json_open_object(&w);
    return w;
}

void answer_send(struct http_request *r, int http_status, const char *headers,
                 struct json_writer *w)
{
    json_close_object(w);
    answer_bytes(r, http_status, TYPE_JSON, headers, buf_slice(w->out));
}

void answer_error(struct api *api, struct http_request *r, int http_status, const char *error)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", error);
    answer_send(r, http_status, NULL, &w);
}

void answer_error_reason(struct api *api, struct http_request *r, int http_status,
                         const char *error, const char *reason)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", error);
    json_field_text(&w, "reason", reason);
    answer_send(r, http_status, NULL, &w);
}

void answer_later(struct api *api, struct http_request *r, const char *error, const char *reason,
                  uint32_t seconds)
{
    char header[40];
    snprintf(header, sizeof(header), "Retry-After: %" PRIu32 "\r\n", seconds);
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", error);
    json_field_text(&w, "reason", reason);
    answer_send(r, 503, header, &w);
}

void etag_header(uint64_t revision, char header[ETAG_HEADER_BYTES])
{
    char *end = store_decimal(stpcpy(header, "ETag: \""), revision);
    memcpy(end, "\"\r\n", sizeof("\"\r\n"));
}

void answer_key_not_found(struct api *api, struct http_request *r, struct slice key)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", "Key not found");
    json_field_string(&w, "key", key);
    answer_send(r, 404, NULL, &w);
}

void answer_bad_query(struct api *api, struct http_request *r, const struct query *q)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", "Bad query parameter");
    json_field_string(&w, "parameter", q->bad_name);
    json_field_text(&w, "reason", q->why);
    answer_send(r, 400, NULL, &w);
}

struct json_writer answer_begin_not_leader(struct api *api, const struct http_request *r,
                                           const char *error)
{
    const struct node_status *s = api_status(api);
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", error);
    json_field_text_or_null(&w, "currentRole", s->role);
    json_field_text(&w, "leaderId", s->leader[0] != '\0' ? s->leader : "Unknown");
    if (s->leader_url[0] != '\0') {
        json_field_text(&w, "leaderUrl", s->leader_url);
    }
    return w;
}

const char *api_member_name(struct api *api, uint64_t id)
{
    const struct node_status *s = api_status(api);
    for (uint32_t i = 0; i < s->member_count; i++) {
        if (s->members[i].id == id) {
            return s->members[i].name;
        }
    }
    return "Unknown";
}

void answer_status(struct api *api, struct http_request *r, enum status status)
{
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", status_text(status));
    answer_send(r, status_http(status), status == STATUS_OVERLOADED ? "Retry-After: 1\r\n" : NULL,
                &w);
}
