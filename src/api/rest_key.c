/* rest_key.c - GET and HEAD /key/{key}. */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/log.h"
#include "base/mem.h"

#include <string.h>

struct key_get {
    struct call call;
    struct node_read read;
    struct buf key;
    uint64_t revision; /* 0 = now */
    bool waits;        /* for the read */
};

static void destroy_get(struct call *c)
{
    struct key_get *g = CONTAINER_OF(c, struct key_get, call);
    if (g->waits) {
        node_read_cancel(&g->read);
    }
    buf_deinit(&g->key);
    mem_free(g);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == ',';
}

static bool is_tag_of(struct slice tag, uint64_t revision)
{
    char header[ETAG_HEADER_BYTES];
    struct slice name = slice_str("ETag: ");
    struct slice end = slice_str("\r\n");
    etag_header(revision, header);
    return slice_equal(tag, slice_of(header + name.size, strlen(header) - name.size - end.size));
}

/* Does If-None-Match hold the tag of `revision` or `*`? Weak comparison, as RFC 9110 asks for. */
static bool is_known_to_client(const struct http_request *r, uint64_t revision)
{
    struct slice rest = http_header_find(r, "If-None-Match");
    while (rest.size > 0) {
        size_t size = 0;
        while (size < rest.size && !is_space(rest.data[size])) {
            size++;
        }
        struct slice one = slice_of(rest.data, size);
        if (slice_has_prefix(one, slice_str("W/"))) {
            one = slice_of(one.data + 2, one.size - 2);
        }
        if (is_tag_of(one, revision) || slice_equal(one, slice_str("*"))) {
            return true;
        }
        size += size < rest.size ? 1 : 0;
        rest = slice_of(rest.data + size, rest.size - size);
    }
    return false;
}

static void log_get(struct slice key, const struct kv_item *item)
{
    struct slice value = item != NULL ? item->value : slice_str("null");
    log_debug("GET %.*s => %.*s", (int)key.size, (const char *)key.data,
              (int)(value.size < LOGGED_BYTES ? value.size : LOGGED_BYTES),
              (const char *)value.data);
}

static void answer_item(struct key_get *g, const struct kv_item *item)
{
    struct api *api = g->call.api;
    struct http_request *r = g->call.http;
    char headers[ETAG_HEADER_BYTES];
    etag_header(item->revision, headers);
    if (is_known_to_client(r, item->revision)) {
        answer_bytes(r, 304, TYPE_JSON, headers, slice_of(NULL, 0));
        return;
    }
    struct json_writer w = answer_begin(api, r);
    json_field_string(&w, "key", buf_slice(&g->key));
    json_field_value(&w, item->value);
    json_field_text_or_null(&w, "nodeRole", node_role(api->options.node));
    json_field_u64(&w, "revision", item->revision);
    answer_send(r, 200, headers, &w);
}

static void answer_now(struct key_get *g)
{
    struct api *api = g->call.api;
    struct http_request *r = g->call.http;
    struct kv_item item;
    const struct kv_span span = {.kind = KV_SPAN_KEY, .key = buf_slice(&g->key)};
    if (!rest_allows(api, r, auth_may(api, &g->call.caller, KV_PERMIT_READ, &span))) {
        return;
    }
    enum status s = kv_get(node_kv(api->options.node), buf_slice(&g->key), g->revision, &item);
    if (log_enabled(LOG_DEBUG)) {
        log_get(buf_slice(&g->key), s == STATUS_OK ? &item : NULL);
    }
    if (s == STATUS_OK && item.value.size > LIMIT_CROWDED_ANSWER_BYTES &&
        loop_is_crowded(api->options.loop)) {
        answer_status(api, r, STATUS_OVERLOADED);
    } else if (s == STATUS_OK) {
        answer_item(g, &item);
    } else if (s == STATUS_NOT_FOUND) {
        answer_key_not_found(api, r, buf_slice(&g->key));
    } else {
        answer_bad_revision(api, r, s);
    }
}

static void on_writable(struct http_request *r)
{
    answer_now(CONTAINER_OF(r->user, struct key_get, call));
}

/* A client that takes no answers gets no further ones made: what the key holds is looked up when
 * there is room, which is still between its question and its answer. */
static void on_read(struct node_read *read)
{
    struct key_get *g = read->context;
    struct http_request *r = g->call.http;
    g->waits = false;
    if (read->status != STATUS_OK) {
        answer_read_failed(g->call.api, r, read->status);
    } else if (http_answer_wants_more(r)) {
        answer_now(g);
    } else {
        r->on_writable = on_writable;
    }
}

void rest_key_get(struct api *api, struct http_request *r, struct query *q)
{
    struct key_get *g = mem_calloc(1, sizeof(*g));
    call_begin(&g->call, api, r, destroy_get);
    if (!key_of_path(api, r, &g->key) || !read_params_parse(api, r, q, &g->read, &g->revision)) {
        return;
    }
    g->read.done = on_read;
    g->read.context = g;
    g->waits = true;
    node_read_start(api->options.node, &g->read);
}
