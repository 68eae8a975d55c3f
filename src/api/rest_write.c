/* rest_write.c - PUT and DELETE /key/{key}: an answer says only what is true. */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

struct key_write {
    struct call call;
    struct node_write write;
    struct kv_command command;
    struct buf key;
    bool waits; /* for the node */
};

static void destroy_write(struct call *c)
{
    struct key_write *k = CONTAINER_OF(c, struct key_write, call);
    if (k->waits) {
        node_write_cancel(&k->write);
    }
    buf_deinit(&k->key);
    mem_free(k);
}

/* --- the request ------------------------------------------------------------------------------ */

static bool refuse(struct key_write *k, const char *error, const char *reason)
{
    answer_error_reason(k->call.api, k->call.http, 400, error, reason);
    return false;
}

static bool parse_ack(struct key_write *k, struct query *q)
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

static bool parse_conditions(struct key_write *k)
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

/* What later versions bring is refused: a write whose expiry or retry is silently dropped would
 * lie. */
static bool refuse_what_is_not_supported(struct key_write *k, struct query *q)
{
    if (query_has(q, "ttl")) {
        (void)query_refuse(q, "ttl", "not supported by this version");
        answer_bad_query(k->call.api, k->call.http, q);
        return false;
    }
    if (http_header_find(k->call.http, "Idempotency-Key").data != NULL) {
        return refuse(k, "Bad header", "Idempotency-Key is not supported by this version");
    }
    return true;
}

static bool parse_value(struct key_write *k)
{
    struct api *api = k->call.api;
    if (json_text_check(k->call.http->body, &k->command.value) != STATUS_OK) {
        answer_error(api, k->call.http, 400, "Invalid JSON");
        return false;
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void log_write(const struct key_write *k, bool found)
{
    const char *key = (const char *)k->key.data;
    struct slice value = k->command.value;
    if (k->command.op == KV_DELETE) {
        log_debug("DELETE %.*s => %s", (int)k->key.size, key, found ? "success" : "not found");
    } else {
        log_debug("SET %.*s = %.*s", (int)k->key.size, key,
                  (int)(value.size < LOGGED_BYTES ? value.size : LOGGED_BYTES),
                  (const char *)value.data);
    }
}

static void answer_success(struct key_write *k)
{
    struct api *api = k->call.api;
    char etag[64];
    const char *headers = NULL;
    /* Only the leader of the time could take the write, so that leader is this member. */
    const char *leader = api_status(api)->name;
    struct json_writer w = answer_begin(api);
    json_field_bool(&w, "success", true);
    json_field_string(&w, "key", buf_slice(&k->key));
    if (k->command.op == KV_PUT) {
        json_write_name(&w, "value");
        json_write_raw(&w, k->command.value);
    }
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

static void answer_conflict(struct key_write *k)
{
    struct api *api = k->call.api;
    struct kv_item item;
    bool exists = kv_get(node_kv(api->options.node), buf_slice(&k->key), 0, &item) == STATUS_OK;
    struct json_writer w = answer_begin(api);
    json_field_text(&w, "error", "Precondition failed");
    json_field_string(&w, "key", buf_slice(&k->key));
    json_field_u64_or_null(&w, "revision", exists ? item.revision : UINT64_MAX);
    answer_send(k->call.http, 412, NULL, &w);
}

static void answer_not_confirmed(struct key_write *k)
{
    struct json_writer w = answer_begin(k->call.api);
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

static void answer_write(struct key_write *k, enum status status)
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
        w = answer_begin_not_leader(api, status_text(status));
        answer_send(r, 503, NULL, &w);
        break;
    case STATUS_BUSY:
        w = answer_begin_not_leader(api, "Leadership is being handed over");
        answer_send(r, 503, NULL, &w);
        break;
    default:
        answer_status(api, r, status);
        break;
    }
}

static void on_written(struct node_write *write)
{
    struct key_write *k = write->context;
    k->waits = false;
    if (log_enabled(LOG_DEBUG) &&
        (write->status == STATUS_OK || write->status == STATUS_NOT_FOUND)) {
        log_write(k, write->status == STATUS_OK);
    }
    answer_write(k, write->status);
}

/* --- both together ---------------------------------------------------------------------------- */

static void start_write(struct api *api, struct http_request *r, struct query *q, enum kv_op op)
{
    struct key_write *k = mem_calloc(1, sizeof(*k));
    call_begin(&k->call, api, r, destroy_write);
    k->command.op = op;
    if (!key_of_path(api, r, &k->key) || !refuse_what_is_not_supported(k, q) || !parse_ack(k, q) ||
        !parse_conditions(k) || (op == KV_PUT && !parse_value(k))) {
        return;
    }
    k->command.key = buf_slice(&k->key);
    k->write.done = on_written;
    k->write.context = k;
    enum status s = node_write_start(api->options.node, &k->write, &k->command);
    k->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_write(k, s);
    }
}

void rest_key_put(struct api *api, struct http_request *r, struct query *q)
{
    start_write(api, r, q, KV_PUT);
}

void rest_key_delete(struct api *api, struct http_request *r, struct query *q)
{
    start_write(api, r, q, KV_DELETE);
}
