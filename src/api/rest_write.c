/* rest_write.c - PUT and DELETE /key/{key}, POST /write: an answer says only what is true. */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/json_cut.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

static_assert(crypto_generichash_BYTES_MIN == sizeof(((struct kv_command *)NULL)->retry_hash),
              "a request's hash fits the command");

struct client_write {
    struct call call;
    struct node_write write;
    struct kv_command command;
    struct buf key;
    bool waits; /* for the node */
};

static void destroy_write(struct call *c)
{
    struct client_write *k = CONTAINER_OF(c, struct client_write, call);
    if (k->waits) {
        node_write_cancel(&k->write);
    }
    buf_deinit(&k->key);
    mem_free(k);
}

static bool is_put(const struct client_write *k)
{
    return k->command.op == KV_PUT || k->command.op == KV_PUT_TTL;
}

/* --- the request ------------------------------------------------------------------------------ */

static bool refuse(struct client_write *k, const char *error, const char *reason)
{
    answer_error_reason(k->call.api, k->call.http, 400, error, reason);
    return false;
}

/* `"N"`, a strong entity tag as GET gave it. */
static bool parse_etag(struct slice text, uint64_t *revision)
{
    return text.size > 2 && text.data[0] == '"' && text.data[text.size - 1] == '"' &&
           number_parse(slice_of(text.data + 1, text.size - 2), revision);
}

static bool parse_conditions(struct client_write *k)
{
    struct slice match = http_header_find(k->call.http, "If-Match");
    struct slice none_match = http_header_find(k->call.http, "If-None-Match");
    if (match.data != NULL && none_match.data != NULL) {
        return refuse(k, "Bad condition", "give If-Match or If-None-Match, not both");
    }
    if (none_match.data != NULL) {
        if (!slice_equal(none_match, slice_str("*"))) {
            return refuse(k, "Bad condition", "If-None-Match of a write takes * only");
        }
        k->command.condition = KV_IF_ABSENT;
    } else if (match.data != NULL && slice_equal(match, slice_str("*"))) {
        k->command.condition = KV_IF_EXISTS;
    } else if (match.data != NULL) {
        if (!parse_etag(match, &k->command.condition_revision)) {
            return refuse(k, "Bad condition", "If-Match takes * or one \"N\" as ETag gave it");
        }
        k->command.condition = KV_IF_REVISION;
    }
    if (k->command.condition != KV_ALWAYS && k->write.ack == NODE_ACK_LEADER) {
        return refuse(k, "Bad condition", "a condition needs ack=quorum or ack=all");
    }
    return true;
}

/* A lease of its own, whose id the leader makes sure is free. */
static bool parse_ttl(struct client_write *k, struct query *q)
{
    struct api *api = k->call.api;
    if (!query_has(q, "ttl")) {
        return true;
    }
    if (query_seconds(q, "ttl", LIMIT_LEASE_TTL_S, &k->command.ttl_s) != STATUS_OK) {
        answer_bad_query(api, k->call.http, q);
        return false;
    }
    k->command.lease = api_new_lease(api);
    k->command.op = KV_PUT_TTL;
    return true;
}

/* Everything that makes it this request and no other: method, path, conditions, body, ttl. */
static void hash_request(const struct http_request *r, uint64_t ttl_s, uint64_t hash[2])
{
    const struct slice ttl = slice_of((const uint8_t *)&ttl_s, sizeof(ttl_s));
    const struct slice parts[] = {r->method_name,
                                  r->path,
                                  http_header_find(r, "If-Match"),
                                  http_header_find(r, "If-None-Match"),
                                  r->body,
                                  ttl};
    size_t count = sizeof(parts) / sizeof(parts[0]) - (ttl_s == 0 ? 1 : 0);
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES_MIN);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = parts[i].size;
        crypto_generichash_update(&state, (const uint8_t *)&size, sizeof(size));
        crypto_generichash_update(&state, parts[i].data, parts[i].size);
    }
    crypto_generichash_final(&state, (uint8_t *)hash, crypto_generichash_BYTES_MIN);
}

static bool is_visible_ascii(struct slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] <= ' ' || s.data[i] > '~') {
            return false;
        }
    }
    return true;
}

/* Rule K2b. */
static bool parse_retry_key(struct client_write *k)
{
    struct slice key = http_header_find(k->call.http, "Idempotency-Key");
    if (key.data == NULL) {
        return true;
    }
    if (key.size == 0 || key.size > LIMIT_RETRY_KEY_BYTES || !is_visible_ascii(key)) {
        return refuse(k, "Bad header", "Idempotency-Key is 1 to 128 visible ASCII characters");
    }
    if (k->write.ack == NODE_ACK_LEADER) {
        return refuse(k, "Bad header", "Idempotency-Key needs ack=quorum or ack=all");
    }
    k->command.retry_key = key;
    hash_request(k->call.http, k->command.ttl_s, k->command.retry_hash);
    return true;
}

static bool parse_value(struct client_write *k)
{
    struct api *api = k->call.api;
    if (json_text_check(k->call.http->body, &k->command.value) != STATUS_OK) {
        answer_error(api, k->call.http, 400, "Invalid JSON");
        return false;
    }
    return true;
}

static bool refuse_conditions(struct client_write *k)
{
    if (http_header_find(k->call.http, "If-Match").data != NULL ||
        http_header_find(k->call.http, "If-None-Match").data != NULL) {
        return refuse(k, "Bad condition", "a document has none: each one is new");
    }
    return true;
}

static bool parse_content(struct client_write *k)
{
    struct slice rest;
    if (json_text_check(k->call.http->body, &rest) != STATUS_OK) {
        answer_error(k->call.api, k->call.http, 400, "Invalid JSON");
        return false;
    }
    struct slice name;
    struct slice text;
    struct slice *content = &k->command.value;
    bool fine = rest.data[0] == '{';
    while (fine && json_text_next_member(&rest, &name, &text)) {
        fine =
            content->data == NULL && slice_equal(name, slice_str("content")) && text.data[0] == '"';
        *content = text;
    }
    if (!fine || content->data == NULL) {
        return refuse(k, "Bad request", "the body is {\"content\": STRING}");
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void log_write(const struct client_write *k, bool found)
{
    const char *key = (const char *)k->key.data;
    const char *value = (const char *)k->command.value.data;
    size_t size = k->command.value.size;
    int shown = (int)(size < LOGGED_BYTES ? size : LOGGED_BYTES);
    if (k->command.op == KV_DELETE) {
        log_debug("DELETE %.*s => %s", (int)k->key.size, key, found ? "success" : "not found");
    } else if (k->command.op == KV_DOCUMENT) {
        log_debug("WRITE %.*s", shown, value);
    } else {
        log_debug("SET %.*s = %.*s", (int)k->key.size, key, shown, value);
    }
}

/* Who took the write: this member, the one that it was forwarded to, or for a retry whoever took
 * the first one. */
static const char *name_leader(const struct client_write *k)
{
    struct api *api = k->call.api;
    if (k->write.result.replayed) {
        return api_member_name(api, k->write.result.retry_origin);
    }
    return k->write.leader[0] != '\0' ? k->write.leader : node_name(api->options.node);
}

/* Of a document that is not applied yet, nobody knows what its id will be. */
static void print_subject(const struct client_write *k, struct json_writer *w)
{
    if (k->command.op == KV_DOCUMENT && k->write.ack != NODE_ACK_LEADER) {
        document_print(w, k->write.result.revision, k->command.value, k->write.result.time_ms);
        return;
    }
    if (k->command.op == KV_DOCUMENT) {
        json_write_name(w, "content");
        json_write_raw(w, k->command.value);
        return;
    }
    json_field_string(w, "key", buf_slice(&k->key));
    if (is_put(k)) {
        json_write_name(w, "value");
        json_write_raw(w, k->command.value);
    }
    if (k->command.op == KV_PUT_TTL) {
        json_field_u64(w, "ttl", k->command.ttl_s);
    }
}

static void answer_success(struct client_write *k)
{
    struct api *api = k->call.api;
    char etag[ETAG_HEADER_BYTES];
    const char *headers = NULL;
    const char *leader = name_leader(k);
    struct json_writer w = answer_begin(api, k->call.http);
    json_field_bool(&w, "success", true);
    print_subject(k, &w);
    json_field_text(&w, "leaderId", leader);
    if (k->write.ack == NODE_ACK_LEADER) {
        json_field_text(&w, "durability", "leader");
        json_field_u64(&w, "index", k->write.index);
        json_field_u64(&w, "term", k->write.term);
    } else {
        json_field_u64(&w, "revision", k->write.result.revision);
        if (is_put(k)) {
            etag_header(k->write.result.revision, etag);
            headers = etag;
        }
    }
    answer_send(k->call.http, 200, headers, &w);
}

/* As it was where the condition was looked at. A leader of an older version does not say it to who
 * forwarded the write: then as it is here. */
static uint64_t revision_of_conflict(const struct client_write *k)
{
    struct kv_item item;
    const struct kv *kv = node_kv(k->call.api->options.node);
    if (k->write.result.key_revision != 0) {
        return k->write.result.key_revision;
    }
    return kv_get(kv, buf_slice(&k->key), 0, &item) == STATUS_OK ? item.revision : KV_NO_KEY;
}

static void answer_conflict(struct client_write *k)
{
    struct api *api = k->call.api;
    static_assert(KV_NO_KEY == UINT64_MAX, "which is null in an answer");
    struct json_writer w = answer_begin(api, k->call.http);
    json_field_text(&w, "error", "Precondition failed");
    json_field_string(&w, "key", buf_slice(&k->key));
    json_field_u64_or_null(&w, "revision", revision_of_conflict(k));
    answer_send(k->call.http, 412, NULL, &w);
}

static void answer_write(struct client_write *k, enum status status)
{
    struct api *api = k->call.api;
    struct http_request *r = k->call.http;
    if (status == STATUS_OK) {
        answer_success(k);
    } else if (status == STATUS_NOT_FOUND) {
        answer_key_not_found(api, r, buf_slice(&k->key));
    } else if (status == STATUS_CONFLICT) {
        answer_conflict(k);
    } else if (status == STATUS_NOT_LEADER && k->command.op == KV_DOCUMENT) {
        answer_not_leader(api, r, 403, "Only master can write"); /* rows A9 and C3 */
    } else {
        answer_write_failed(api, r, &k->write, status);
    }
}

/* A write that was forwarded is applied at the leader, and here a little later: the session token
 * covers it at once (rule Q7). */
static void on_written(struct node_write *write)
{
    struct client_write *k = write->context;
    struct api *api = k->call.api;
    k->waits = false;
    if (log_enabled(LOG_DEBUG) &&
        (write->status == STATUS_OK || write->status == STATUS_NOT_FOUND)) {
        log_write(k, write->status == STATUS_OK);
    }
    api->told_revision = write->result.revision;
    answer_write(k, write->status);
    api->told_revision = 0;
}

/* --- both together ---------------------------------------------------------------------------- */

static struct client_write *begin_write(struct api *api, struct http_request *r, enum kv_op op)
{
    struct client_write *k = mem_calloc(1, sizeof(*k));
    call_begin(&k->call, api, r, destroy_write);
    k->command.op = op;
    return k;
}

/* Not before the request was hashed: members may differ in the least that they give. */
static void raise_ttl(struct client_write *k)
{
    uint64_t least = node_lease_ttl_min(k->call.api->options.node);
    if (k->command.op == KV_PUT_TTL && k->command.ttl_s < least) {
        k->command.ttl_s = least;
    }
}

static void start_write(struct client_write *k)
{
    struct api *api = k->call.api;
    k->command.auth_revision = kv_auth_stamp(node_kv(api->options.node));
    k->write.forward = api->options.on_follower == API_FORWARD;
    k->write.done = on_written;
    k->write.context = k;
    enum status s = node_write_start(api->options.node, &k->write, &k->command);
    k->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_write(k, s);
    }
}

/* Who makes it depend on what is there is told of that. False: answered. */
static bool may_write(struct client_write *k, const struct kv_span *span)
{
    struct api *api = k->call.api;
    enum auth_verdict v = auth_may(api, &k->call.caller, KV_PERMIT_WRITE, span);
    if (v == AUTH_ALLOWED && k->command.condition != KV_ALWAYS) {
        v = auth_may(api, &k->call.caller, KV_PERMIT_READ, span);
    }
    return rest_allows(api, k->call.http, v);
}

static void write_key(struct api *api, struct http_request *r, struct query *q, enum kv_op op)
{
    struct client_write *k = begin_write(api, r, op);
    if (!key_of_path(api, r, &k->key) || !write_ack_parse(api, r, q, &k->write.ack) ||
        !parse_ttl(k, q) || !parse_conditions(k) || !parse_retry_key(k) ||
        (op == KV_PUT && !parse_value(k))) {
        return;
    }
    k->command.key = buf_slice(&k->key);
    const struct kv_span span = {.kind = KV_SPAN_KEY, .key = k->command.key};
    raise_ttl(k);
    if (may_write(k, &span)) {
        start_write(k);
    }
}

void rest_key_put(struct api *api, struct http_request *r, struct query *q)
{
    write_key(api, r, q, KV_PUT);
}

void rest_key_delete(struct api *api, struct http_request *r, struct query *q)
{
    write_key(api, r, q, KV_DELETE);
}

void rest_write(struct api *api, struct http_request *r, struct query *q)
{
    struct client_write *k = begin_write(api, r, KV_DOCUMENT);
    if (write_ack_parse(api, r, q, &k->write.ack) && refuse_conditions(k) && parse_retry_key(k) &&
        parse_content(k)) {
        start_write(k);
    }
}
