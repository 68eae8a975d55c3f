/* rest_txn.c - POST /txn: several compares, and several changes and reads under one revision.
 *
 * The body is cut, not rebuilt: values go into the store as they stand in it. Strings are decoded
 * once, into a buffer that never moves, because decoding only shrinks. */
#include "api/audit.h"
#include "api/json_value.h"
#include "api/rest.h"

#include "base/json_cut.h"
#include "base/mem.h"
#include "kv/kv_txn.h"

#include <jansson.h>
#include <stdio.h>

#define FORM_BODY "the body is {\"compare\":[...], \"then\":[...], \"else\":[...]}"
#define FORM_COMPARE                                                                               \
    "is {\"key\":KEY, \"revision\"|\"version\"|\"createRevision\"|\"value\":V, "                   \
    "\"is\":\"=\"|\"!=\"|\"<\"|\">\"}"
#define FORM_OP                                                                                    \
    "is {\"put\":KEY, \"value\":V}, {\"delete\":KEY} or {\"get\":KEY}; for KEY also "              \
    "{\"key\":KEY} "                                                                               \
    "or, not for a put, {\"prefix\":PREFIX}"

struct txn_call {
    struct call call;
    struct node_write write;
    struct kv_txn *txn;
    struct buf text; /* decoded strings, which txn borrows */
    struct buf encoded;
    struct buf answer;
    const char *list; /* of the body, that is looked at: for what is refused */
    size_t place;
    bool waits; /* for the node */
};

static void destroy_txn(struct call *c)
{
    struct txn_call *t = CONTAINER_OF(c, struct txn_call, call);
    if (t->waits) {
        node_write_cancel(&t->write);
    }
    kv_txn_destroy(t->txn);
    buf_deinit(&t->text);
    buf_deinit(&t->encoded);
    buf_deinit(&t->answer);
    mem_free(t);
}

/* --- the request ------------------------------------------------------------------------------ */

static bool refuse(struct txn_call *t, const char *why)
{
    char reason[512];
    if (t->list != NULL) {
        snprintf(reason, sizeof(reason), "%s[%zu] %s", t->list, t->place, why);
    } else {
        snprintf(reason, sizeof(reason), "%s", why);
    }
    answer_error_reason(t->call.api, t->call.http, 400, "Bad request", reason);
    return false;
}

struct member {
    const char *name;
    struct slice text; /* of its value; data == NULL: it is not there */
};

static struct member *find_member(struct member *members, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(name, slice_str(members[i].name))) {
            return &members[i];
        }
    }
    return NULL;
}

/* The members of an object, each known and once; otherwise refused with `form`. */
static bool take_members(struct txn_call *t, struct slice object, struct member *members,
                         size_t count, const char *form)
{
    struct slice name;
    struct slice text;
    if (object.data[0] != '{') {
        return refuse(t, form);
    }
    while (json_text_next_member(&object, &name, &text)) {
        struct member *m = find_member(members, count, name);
        if (m == NULL || m->text.data != NULL) {
            return refuse(t, form);
        }
        m->text = text;
    }
    return true;
}

/* False: it is no string, or of no size for a key. */
static bool take_string(struct txn_call *t, struct slice text, struct slice *string)
{
    if (text.data == NULL || text.data[0] != '"') {
        return false;
    }
    json_t *decoded =
        json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (decoded == NULL) {
        return false;
    }
    size_t at = t->text.size;
    buf_append(&t->text, json_string_value(decoded), json_string_length(decoded));
    *string = slice_of(t->text.data + at, t->text.size - at);
    json_decref(decoded);
    return string->size >= 1 && string->size <= LIMIT_KEY_BYTES;
}

static bool take_key(struct txn_call *t, struct slice text, struct kv_span *span)
{
    *span = (struct kv_span){.kind = KV_SPAN_KEY};
    return take_string(t, text, &span->key);
}

static bool take_prefix(struct txn_call *t, struct slice text, struct kv_span *span)
{
    struct buf end = {0};
    *span = (struct kv_span){.kind = KV_SPAN_RANGE};
    if (!take_string(t, text, &span->key)) {
        return false;
    }
    kv_prefix_end(span->key, &end);
    size_t at = t->text.size;
    buf_append_slice(&t->text, buf_slice(&end));
    span->end = slice_of(t->text.data + at, end.size);
    if (end.size == 0) {
        span->kind = KV_SPAN_FROM;
    }
    buf_deinit(&end);
    return true;
}

static bool take_relation(struct slice text, enum kv_compare_relation *relation)
{
    static const struct {
        const char *text;
        enum kv_compare_relation relation;
    } relations[] = {
        {"\"=\"", KV_EQUAL}, {"\"!=\"", KV_NOT_EQUAL}, {"\"<\"", KV_LESS}, {"\">\"", KV_GREATER}};
    for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
        if (text.data == NULL || slice_equal(text, slice_str(relations[i].text))) {
            *relation = relations[i].relation;
            return true;
        }
    }
    return false;
}

static bool take_target(struct kv_compare *c, const struct member *m, enum kv_compare_target target)
{
    uint64_t number = 0;
    c->target = target;
    if (target == KV_COMPARE_VALUE) {
        c->value = m->text;
        return true;
    }
    if (!number_parse(m->text, &number) || number > INT64_MAX) {
        return false;
    }
    c->number = (int64_t)number;
    return true;
}

static bool parse_compare(struct txn_call *t, struct slice text)
{
    static const enum kv_compare_target targets[] = {KV_COMPARE_MOD, KV_COMPARE_VERSION,
                                                     KV_COMPARE_CREATE, KV_COMPARE_VALUE};
    struct member m[] = {{"revision"}, {"version"}, {"createRevision"}, {"value"}, {"key"}, {"is"}};
    struct kv_compare *c = kv_txn_add_compare(t->txn);
    unsigned given = 0;
    if (!take_members(t, text, m, sizeof(m) / sizeof(m[0]), FORM_COMPARE)) {
        return false;
    }
    bool fine = take_key(t, m[4].text, &c->span) && take_relation(m[5].text, &c->relation);
    for (size_t i = 0; fine && i < sizeof(targets) / sizeof(targets[0]); i++) {
        if (m[i].text.data != NULL) {
            given++;
            fine = take_target(c, &m[i], targets[i]);
        }
    }
    return (fine && given == 1) || refuse(t, FORM_COMPARE);
}

/* What an operation is about: a key, alone or in an object, or a prefix. `value`: of a put. */
static bool take_subject(struct txn_call *t, struct slice text, struct kv_span *span,
                         struct slice *value)
{
    struct member m[] = {{"key"}, {"prefix"}, {"value"}};
    if (text.data[0] == '"') {
        return take_key(t, text, span) || refuse(t, FORM_OP);
    }
    if (!take_members(t, text, m, sizeof(m) / sizeof(m[0]), FORM_OP)) {
        return false;
    }
    bool fine =
        (m[0].text.data == NULL) != (m[1].text.data == NULL) &&
        (m[2].text.data == NULL || value->data == NULL) &&
        (m[0].text.data != NULL ? take_key(t, m[0].text, span) : take_prefix(t, m[1].text, span));
    *value = m[2].text.data != NULL ? m[2].text : *value;
    return fine || refuse(t, FORM_OP);
}

static bool parse_op(struct txn_call *t, struct slice text, struct kv_txn_ops *ops)
{
    static const enum kv_txn_kind kinds[] = {KV_TXN_PUT, KV_TXN_DELETE, KV_TXN_RANGE};
    struct member m[] = {{"put"}, {"delete"}, {"get"}, {"value"}};
    struct kv_span span = {0};
    if (!take_members(t, text, m, sizeof(m) / sizeof(m[0]), FORM_OP)) {
        return false;
    }
    size_t which = m[0].text.data != NULL ? 0 : m[1].text.data != NULL ? 1 : 2;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if ((m[i].text.data != NULL) != (i == which)) {
            return refuse(t, FORM_OP);
        }
    }
    struct slice value = m[3].text;
    if (!take_subject(t, m[which].text, &span, &value)) {
        return false;
    }
    bool is_put = kinds[which] == KV_TXN_PUT;
    if (is_put != (value.data != NULL) || (is_put && span.kind != KV_SPAN_KEY)) {
        return refuse(t, FORM_OP);
    }
    struct kv_txn_op *op = kv_txn_add_op(ops, kinds[which]);
    if (is_put) {
        op->put = (struct kv_txn_put){.key = span.key, .value = value};
    } else if (kinds[which] == KV_TXN_DELETE) {
        op->deletes.span = span;
    } else {
        op->range.span = span;
    }
    return true;
}

/* A list of the body, which may be missing. `ops`: of operations, or NULL for the compares. */
static bool parse_list(struct txn_call *t, const struct member *m, struct kv_txn_ops *ops)
{
    struct slice rest = m->text;
    struct slice item;
    if (rest.data == NULL) {
        return true;
    }
    if (rest.data[0] != '[') {
        return refuse(t, FORM_BODY);
    }
    t->list = m->name;
    for (t->place = 0; json_text_next(&rest, &item); t->place++) {
        if (t->place == LIMIT_TXN_OPS) {
            return refuse(t, "is one too many: a list has at most 128");
        }
        if (ops != NULL ? !parse_op(t, item, ops) : !parse_compare(t, item)) {
            return false;
        }
    }
    t->list = NULL;
    return true;
}

static const char *fault_text(enum kv_txn_fault fault)
{
    switch (fault) {
    case KV_TXN_SOUND:
        return NULL;
    case KV_TXN_DUPLICATE_KEY:
        return "a key is put twice, or put and deleted";
    case KV_TXN_TOO_LARGE:
        return "it is too large";
    default:
        return "it cannot be done";
    }
}

static bool parse_txn(struct txn_call *t)
{
    struct member m[] = {{"compare"}, {"then"}, {"else"}};
    struct slice body;
    if (json_text_check(t->call.http->body, &body) != STATUS_OK) {
        answer_error(t->call.api, t->call.http, 400, "Invalid JSON");
        return false;
    }
    buf_reserve(&t->text, 2 * body.size); /* a prefix, and the end of its span */
    t->txn = kv_txn_create();
    if (!take_members(t, body, m, sizeof(m) / sizeof(m[0]), FORM_BODY) ||
        !parse_list(t, &m[0], NULL) || !parse_list(t, &m[1], &t->txn->success) ||
        !parse_list(t, &m[2], &t->txn->failure)) {
        return false;
    }
    const char *fault = fault_text(kv_txn_check(t->txn));
    return fault == NULL || refuse(t, fault);
}

static bool parse_promise(struct txn_call *t, struct query *q)
{
    struct api *api = t->call.api;
    if (!write_ack_parse(api, t->call.http, q, &t->write.ack)) {
        return false;
    }
    if (t->write.ack == NODE_ACK_LEADER) {
        return refuse(t, "a transaction needs ack=quorum or ack=all");
    }
    if (http_header_find(t->call.http, "Idempotency-Key").data != NULL) {
        return refuse(t, "Idempotency-Key is not for transactions: let a compare say it");
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static const struct kv_span *span_of(const struct kv_txn_op *op, struct kv_span *of_put)
{
    if (op->kind == KV_TXN_PUT) {
        *of_put = (struct kv_span){.kind = KV_SPAN_KEY, .key = op->put.key};
        return of_put;
    }
    return op->kind == KV_TXN_DELETE ? &op->deletes.span : &op->range.span;
}

static void print_item(struct json_writer *w, const struct kv_item *item)
{
    json_field_value(w, item->value);
    json_field_u64(w, "revision", item->revision);
    json_field_u64(w, "createRevision", item->create_revision);
    json_field_u64(w, "version", item->version);
}

/* Of a key that is not there: revision 0, and null. */
static void print_key(struct json_writer *w, struct kv_answer_items items)
{
    struct kv_item item;
    if (kv_answer_item(&items, &item)) {
        print_item(w, &item);
        return;
    }
    json_write_name(w, "value");
    json_write_null(w);
    json_field_u64(w, "revision", 0);
}

static void print_keys(struct json_writer *w, struct kv_answer_items items)
{
    struct kv_item item;
    json_write_name(w, "keys");
    json_open_array(w);
    while (kv_answer_item(&items, &item)) {
        json_open_object(w);
        json_field_string(w, "key", item.key);
        print_item(w, &item);
        json_close_object(w);
    }
    json_close_array(w);
}

static void print_result(struct json_writer *w, const struct kv_txn_op *op,
                         const struct kv_answer_op *done)
{
    struct kv_span of_put;
    const struct kv_span *span = span_of(op, &of_put);
    bool is_key = span->kind == KV_SPAN_KEY;
    json_open_object(w);
    json_field_text(w, "type",
                    op->kind == KV_TXN_PUT      ? "put"
                    : op->kind == KV_TXN_DELETE ? "delete"
                                                : "get");
    json_field_string(w, is_key ? "key" : "prefix", span->key);
    if (op->kind == KV_TXN_PUT) {
        json_field_u64(w, "revision", done->revision);
    } else if (op->kind == KV_TXN_DELETE) {
        json_field_u64(w, "deleted", done->count);
    } else if (is_key) {
        print_key(w, done->items);
    } else {
        print_keys(w, done->items);
    }
    json_close_object(w);
}

/* It was done, and what it read is beyond LIMIT_TXN_ANSWER_BYTES. */
static void answer_untold(struct txn_call *t)
{
    struct json_writer w = answer_begin(t->call.api, t->call.http);
    json_field_bool(&w, "succeeded", t->write.result.succeeded);
    json_write_name(&w, "results");
    json_write_null(&w);
    json_field_text(&w, "reason", "it was done, and what it read is too long to tell");
    json_field_u64(&w, "revision", t->write.result.revision);
    answer_send(t->call.http, 200, NULL, &w);
}

static void answer_done(struct txn_call *t)
{
    struct kv_answer answer;
    struct kv_answer_op done;
    if (!kv_answer_begin(buf_slice(&t->answer), &answer)) {
        answer_untold(t);
        return;
    }
    const struct kv_txn_ops *ops = answer.succeeded ? &t->txn->success : &t->txn->failure;
    struct json_writer w = answer_begin(t->call.api, t->call.http);
    json_field_bool(&w, "succeeded", answer.succeeded);
    json_write_name(&w, "results");
    json_open_array(&w);
    for (size_t i = 0; i < ops->count && kv_answer_next(&answer, &done); i++) {
        print_result(&w, &ops->at[i], &done);
    }
    json_close_array(&w);
    json_field_u64(&w, "revision", t->write.result.revision);
    answer_send(t->call.http, 200, NULL, &w);
}

static void answer_txn(struct txn_call *t, enum status status)
{
    if (status == STATUS_OK) {
        answer_done(t);
    } else {
        answer_write_failed(t->call.api, t->call.http, &t->write, status);
    }
}

static void on_written(struct node_write *write)
{
    struct txn_call *t = write->context;
    struct api *api = t->call.api;
    t->waits = false;
    api->told_revision = write->result.revision;
    answer_txn(t, write->status);
    api->told_revision = 0;
}

void rest_txn(struct api *api, struct http_request *r, struct query *q)
{
    struct txn_call *t = mem_calloc(1, sizeof(*t));
    call_begin(&t->call, api, r, destroy_txn);
    if (!parse_promise(t, q) || !parse_txn(t)) {
        return;
    }
    audit_show_txn(r, t->txn);
    if (!rest_allows(api, r, auth_may_txn(api, &t->call.caller, t->txn))) {
        return;
    }
    kv_txn_encode(t->txn, &t->encoded);
    const struct kv_command command = {.op = KV_TXN,
                                       .txn = buf_slice(&t->encoded),
                                       .auth_revision = kv_auth_stamp(node_kv(api->options.node))};
    t->write.forward = api->options.on_follower == API_FORWARD;
    t->write.answer = &t->answer;
    t->write.done = on_written;
    t->write.context = t;
    enum status s = node_write_start(api->options.node, &t->write, &command);
    t->waits = s == STATUS_OK;
    if (s != STATUS_OK) {
        answer_txn(t, s);
    }
}
