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

/* --- the request ------------------------------------------------------------------------------ */

static bool refuse(struct client_write *k, const char *error, const char *reason)
{
    answer_error_reason(k->call.api, k->call.http, 400, error, reason);
    return false;
}

static bool parse_ack(struct client_write *k, struct query *q)
{
    if (query_is(q, "ack", "leader")) {
        k->write.ack = NODE_ACK_LEADER;
    } else if (query_is(q, "ack", "quorum")) {
        k->write.ack = NODE_ACK_QUORUM;
    } else if (query_is(q, "ack", "all")) {
        k->write.ack = NODE_ACK_ALL;
    } else if (query_has(q, "ack")) {
        (void)query_refuse(q, "ack", "must be leader, quorum or all");
        answer_bad_query(k->call.api, k->call.http, q);
        return false;
    } else {
        k->write.ack = k->call.api->options.ack;
    }
    return true;
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

/* What later versions bring is refused: a write whose expiry is silently dropped would lie. */
static bool refuse_what_is_not_supported(struct client_write *k, struct query *q)
{
    if (query_has(q, "ttl")) {
        (void)query_refuse(q, "ttl", "not supported by this version");
        answer_bad_query(k->call.api, k->call.http, q);
        return false;
    }
    return true;
}

/* Everything that makes it this request and no other: method, path, conditions, body. */
static void hash_request(const struct http_request *r, uint64_t hash[2])
{
    const struct slice parts[] = {r->method_name, r->path, http_header_find(r, "If-Match"),
                                  http_header_find(r, "If-None-Match"), r->body};
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES_MIN);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
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
    hash_request(k->call.http, k->command.retry_hash);
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
    return k->write.leader[0] != '\0' ? k->write.leader : api_status(api)->name;
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
    if (k->command.op == KV_PUT) {
        json_write_name(w, "value");
        json_write_raw(w, k->command.value);
    }
}

static void answer_success(struct client_write *k)
{
    struct api *api = k->call.api;
    char etag[64];
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
        if (k->command.op == KV_PUT) {
            snprintf(etag, sizeof(etag), "ETag: \"%" PRIu64 "\"\r\n", k->write.result.revision);
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

static void answer_not_confirmed(struct client_write *k)
{
    struct json_writer w = answer_begin(k->call.api, k->call.http);
    json_field_text(&w, "error", status_text(STATUS_NOT_CONFIRMED));
    json_field_text(&w, "durability", "quorum");
    json_write_name(&w, "missing");
    json_open_array(&w);
    for (uint32_t i = 0; i < k->write.missing_count; i++) {
        json_write_string(&w, slice_str(k->write.missing[i]));
    }
    json_close_array(&w);
    json_field_u64(&w, "revision", k->write.result.revision);
    answer_send(k->call.http, 504, NULL, &w);
}

/* Rows A9 and C3. */
static struct json_writer begin_not_leader(struct client_write *k)
{
    const char *error =
        k->command.op == KV_DOCUMENT ? "Only master can write" : status_text(STATUS_NOT_LEADER);
    return answer_begin_not_leader(k->call.api, k->call.http, error);
}

/* 307: the client sends the same request again, to the leader. */
static void answer_redirect(struct client_write *k, const char *leader_url)
{
    struct buf headers = {0};
    buf_append_str(&headers, "Location: ");
    buf_append_str(&headers, leader_url);
    buf_append_slice(&headers, path_and_query(k->call.http, 0));
    buf_append_str(&headers, "\r\n");
    buf_append_byte(&headers, 0);
    struct json_writer w = begin_not_leader(k);
    answer_send(k->call.http, 307, (const char *)headers.data, &w);
    buf_deinit(&headers);
}

static void answer_not_leader(struct client_write *k)
{
    struct api *api = k->call.api;
    const struct node_status *s = api_status(api);
    if (api->options.on_follower == API_REDIRECT && s->leader_url[0] != '\0' &&
        strcmp(s->leader, s->name) != 0) {
        answer_redirect(k, s->leader_url);
        return;
    }
    struct json_writer w = begin_not_leader(k);
    answer_send(k->call.http, k->command.op == KV_DOCUMENT ? 403 : 503, NULL, &w);
}

static void answer_write(struct client_write *k, enum status status)
{
    struct api *api = k->call.api;
    struct http_request *r = k->call.http;
    struct json_writer w;
    switch (status) {
    case STATUS_OK:
        answer_success(k);
        break;
    case STATUS_NOT_FOUND:
        answer_key_not_found(api, r, buf_slice(&k->key));
        break;
    case STATUS_CONFLICT:
        answer_conflict(k);
        break;
    case STATUS_NOT_CONFIRMED:
        answer_not_confirmed(k);
        break;
    case STATUS_NOT_LEADER:
        answer_not_leader(k);
        break;
    case STATUS_MISMATCH:
        answer_error_reason(api, r, 422, "Idempotency-Key reused",
                            "this key was used for another request within the last ten minutes");
        break;
    case STATUS_BUSY:
        w = answer_begin_not_leader(api, r, "Leadership is being handed over");
        answer_send(r, 503, NULL, &w);
        break;
    default:
        answer_status(api, r, status);
        break;
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
    if (!key_of_path(api, r, &k->key) || !refuse_what_is_not_supported(k, q) || !parse_ack(k, q) ||
        !parse_conditions(k) || !parse_retry_key(k) || (op == KV_PUT && !parse_value(k))) {
        return;
    }
    k->command.key = buf_slice(&k->key);
    const struct kv_span span = {.kind = KV_SPAN_KEY, .key = k->command.key};
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
    if (parse_ack(k, q) && refuse_conditions(k) && parse_retry_key(k) && parse_content(k)) {
        start_write(k);
    }
}
