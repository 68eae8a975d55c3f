/* rest_log.c - GET /log: committed entries as they stand in this member's log. GET /replication:
 * how far the others are, as their leader knows it. */
#include "api/json_value.h"
#include "api/rest.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

#define LIMIT_DEFAULT 100

/* --- GET /replication ------------------------------------------------------------------------- */

static void print_replica(struct json_writer *w, const struct node_replica *replica)
{
    json_open_object(w);
    json_field_text(w, "name", replica->name);
    json_field_u64(w, "match", replica->match);
    json_field_u64(w, "next", replica->next);
    json_field_u64(w, "backlogEntries", replica->backlog);
    json_field_u64(w, "attempts", replica->attempts);
    json_field_text_or_null(w, "lastError", replica->last_error);
    json_field_text(w, "state", replica->state);
    json_close_object(w);
}

void rest_replication(struct api *api, struct http_request *r, struct query *q)
{
    (void)q;
    struct node_replication view;
    if (node_replication_get(api->options.node, &view) != STATUS_OK) {
        struct json_writer refusal = answer_begin_not_leader(api, r, "Not the leader");
        answer_send(r, 503, NULL, &refusal);
        return;
    }
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "leaderId", node_name(api->options.node));
    json_field_u64(&w, "term", view.term);
    json_field_u64(&w, "commitIndex", view.commit_index);
    json_field_u64(&w, "lastIndex", view.last_index);
    json_write_name(&w, "members");
    json_open_array(&w);
    for (uint32_t i = 0; i < view.count; i++) {
        print_replica(&w, &view.replicas[i]);
    }
    json_close_array(&w);
    answer_send(r, 200, NULL, &w);
}

/* --- GET /log --------------------------------------------------------------------------------- */

struct log_call {
    struct call call;
    struct node_read read; /* so that what was acknowledged before is in the log */
    struct node_log_read entries;
    bool waits; /* for `read` */
    bool reads; /* `entries` are under way */
};

static void destroy_log(struct call *c)
{
    struct log_call *l = CONTAINER_OF(c, struct log_call, call);
    if (l->waits) {
        node_read_cancel(&l->read);
    }
    if (l->reads) {
        node_log_read_cancel(&l->entries);
    }
    mem_free(l);
}

/* What had to hold for the entry to do what it says. */
static void field_condition(struct json_writer *w, const struct kv_command *command)
{
    char text[40];
    switch (command->condition) {
    case KV_ALWAYS:
        return;
    case KV_IF_REVISION:
        snprintf(text, sizeof(text), "revision %" PRIu64, command->condition_revision);
        break;
    case KV_IF_EXISTS:
        snprintf(text, sizeof(text), "exists");
        break;
    case KV_IF_ABSENT:
        snprintf(text, sizeof(text), "absent");
        break;
    }
    json_field_text(w, "condition", text);
}

static void field_value_or_null(struct json_writer *w, const struct node_log_entry *e)
{
    if (e->has_value) {
        json_field_value(w, e->command.value);
    } else {
        json_write_name(w, "value");
        json_write_null(w);
    }
}

static void print_entry(struct json_writer *w, const struct node_log_entry *e)
{
    const struct kv_command *command = &e->command;
    json_open_object(w);
    json_field_u64(w, "id", e->index);
    json_field_u64(w, "term", e->term);
    json_field_u64_or_null(w, "time", e->has_command ? command->time_ms : UINT64_MAX);
    json_field_text(w, "type", e->type);
    if (command->key.size > 0) {
        json_field_string(w, "key", command->key);
    } else {
        json_field_text_or_null(w, "key", NULL);
    }
    field_value_or_null(w, e);
    field_condition(w, command);
    if (command->retry_key.size > 0) {
        json_field_string(w, "idempotencyKey", command->retry_key);
    }
    if (command->revision > 0) {
        json_field_u64(w, "revision", command->revision);
    }
    json_close_object(w);
}

static void answer_entries(struct api *api, struct http_request *r,
                           const struct node_log_read *entries)
{
    uint64_t next =
        entries->count > 0 ? entries->entries[entries->count - 1].index + 1 : entries->newest + 1;
    struct json_writer w = answer_begin(api, r);
    json_write_name(&w, "entries");
    json_open_array(&w);
    for (uint32_t i = 0; i < entries->count; i++) {
        print_entry(&w, &entries->entries[i]);
    }
    json_close_array(&w);
    json_field_u64(&w, "oldest", entries->oldest);
    json_field_u64(&w, "newest", entries->newest);
    json_field_bool(&w, "more", next <= entries->newest);
    json_field_u64(&w, "next", next);
    answer_send(r, 200, NULL, &w);
}

static void answer_no_entries(struct api *api, struct http_request *r,
                              const struct node_log_read *entries, enum status status)
{
    if (status == STATUS_CLOSED) {
        answer_error_reason(api, r, 503, "Not ready",
                            "this member is founding, joining or stopping");
        return;
    }
    if (status != STATUS_COMPACTED && status != STATUS_FUTURE) {
        answer_status(api, r, status);
        return;
    }
    bool is_gone = status == STATUS_COMPACTED;
    uint64_t end = is_gone ? entries->oldest : entries->newest;
    struct json_writer w = answer_begin(api, r);
    json_field_text(&w, "error", is_gone ? status_text(status) : "index is in the future");
    json_field_u64(&w, is_gone ? "oldest" : "newest", end);
    answer_send(r, status_http(status), NULL, &w);
}

static void on_entries(struct node_log_read *entries)
{
    struct log_call *l = entries->context;
    l->reads = false;
    if (entries->status == STATUS_OK) {
        answer_entries(l->call.api, l->call.http, entries);
    } else {
        answer_no_entries(l->call.api, l->call.http, entries, entries->status);
    }
}

static void read_entries(struct log_call *l)
{
    enum status status = node_log_read_start(l->call.api->options.node, &l->entries);
    l->reads = status == STATUS_OK;
    if (status != STATUS_OK) {
        answer_no_entries(l->call.api, l->call.http, &l->entries, status);
    }
}

static void on_writable(struct http_request *r)
{
    r->on_writable = NULL;
    read_entries(CONTAINER_OF(r->user, struct log_call, call));
}

/* A client that takes no answers gets no further ones made. */
static void on_read(struct node_read *read)
{
    struct log_call *l = read->context;
    struct http_request *r = l->call.http;
    l->waits = false;
    if (read->status != STATUS_OK) {
        answer_read_failed(l->call.api, r, read->status);
    } else if (http_answer_wants_more(r)) {
        read_entries(l);
    } else {
        r->on_writable = on_writable;
    }
}

static bool parse_range(struct node_log_read *entries, struct query *q)
{
    uint64_t limit = LIMIT_DEFAULT;
    if (query_number(q, "from", 1, &entries->from) != STATUS_OK ||
        query_number(q, "limit", 1, &limit) != STATUS_OK) {
        return false;
    }
    if (limit > LIMIT_LOG_READ_ENTRIES) {
        (void)query_refuse(q, "limit", "must be at most 1000");
        return false;
    }
    entries->limit = (uint32_t)limit;
    return true;
}

void rest_log(struct api *api, struct http_request *r, struct query *q)
{
    struct log_call *l = mem_calloc(1, sizeof(*l));
    call_begin(&l->call, api, r, destroy_log);
    if (!parse_range(&l->entries, q)) {
        answer_bad_query(api, r, q);
        return;
    }
    uint64_t now = 0; /* of the log there is no past to be asked for */
    if (!read_params_parse(api, r, q, &l->read, &now)) {
        return;
    }
    l->entries.done = on_entries;
    l->entries.context = l;
    l->read.done = on_read;
    l->read.context = l;
    l->waits = true;
    node_read_start(api->options.node, &l->read);
}
