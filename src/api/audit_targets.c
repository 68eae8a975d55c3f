#include "api/audit_targets.h"

#include "base/limits.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* All others stay out: values, passwords, and what will be added later. */
static const char *const shown[] = {"key",      "range_end", "name",    "user",     "role",
                                    "ID",       "lease",     "TTL",     "targetID", "peerURLs",
                                    "memberID", "revision",  "permType"};
static const char *const entered[] = {
    "perm", "leader", "success", "failure", "request_put", "request_delete_range", "request_txn"};

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* False: there were enough; that is said. */
static bool has_room(struct json_writer *w, uint32_t *count)
{
    if (++*count == LIMIT_AUDIT_TARGETS) {
        json_open_object(w);
        json_field_bool(w, "cut", true);
        json_close_object(w);
    }
    return *count < LIMIT_AUDIT_TARGETS;
}

/* Keys are bytes, and most are text. */
static void field_bytes(struct json_writer *w, const char *name, struct slice bytes)
{
    if (utf8_is_valid(bytes)) {
        json_field_string(w, name, bytes);
    } else {
        char name64[32];
        snprintf(name64, sizeof(name64), "%s_base64", name);
        json_write_name(w, name64);
        json_write_base64(w, bytes);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static const void *place_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (const uint8_t *)m + f->offset;
}

static size_t count_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const void *quantifier = (const uint8_t *)m + f->quantifier_offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count;
        memcpy(&count, quantifier, sizeof(count));
        return count;
    }
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t which;
        memcpy(&which, quantifier, sizeof(which));
        return which == f->id;
    }
    return 1;
}

/* A number of 64 bits would not outlive most readers of JSON as a number. */
static void field_number(struct json_writer *w, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    json_field_text(w, name, text);
}

static void print_field(struct json_writer *w, const ProtobufCMessage *m,
                        const ProtobufCFieldDescriptor *f)
{
    const void *place = place_of(m, f);
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        place = *(const void *const *)place; /* the first of them */
    }
    int64_t number = 0;
    int32_t small = 0;
    const char *text = NULL;
    const ProtobufCEnumValue *value;
    ProtobufCBinaryData bytes;
    switch (f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        memcpy(&bytes, place, sizeof(bytes));
        if (bytes.len > 0) {
            field_bytes(w, f->name, slice_of(bytes.data, bytes.len));
        }
        break;
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, place, sizeof(text));
        if (text[0] != '\0') {
            json_field_text(w, f->name, text);
        }
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        memcpy(&number, place, sizeof(number));
        if (number != 0) {
            field_number(w, f->name, number);
        }
        break;
    case PROTOBUF_C_TYPE_ENUM:
        memcpy(&small, place, sizeof(small));
        value = protobuf_c_enum_descriptor_get_value(f->descriptor, small);
        json_field_text(w, f->name, value != NULL ? value->name : "?");
        break;
    default:
        break;
    }
}

static void print_message(struct json_writer *w, const ProtobufCMessage *m, uint32_t *count,
                          unsigned depth);

static void enter(struct json_writer *w, const ProtobufCMessage *m,
                  const ProtobufCFieldDescriptor *f, uint32_t *count, unsigned depth)
{
    const ProtobufCMessage *const *each = place_of(m, f);
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&each, place_of(m, f), sizeof(each));
    }
    for (size_t i = 0; i < count_of(m, f) && *count < LIMIT_AUDIT_TARGETS; i++) {
        if (each[i] != NULL) {
            print_message(w, each[i], count, depth + 1);
        }
    }
}

static void print_message(struct json_writer *w, const ProtobufCMessage *m, uint32_t *count,
                          unsigned depth)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    bool is_open = false;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (is_among(f->name, shown, sizeof(shown) / sizeof(shown[0])) && count_of(m, f) > 0) {
            if (!is_open && !has_room(w, count)) {
                return;
            }
            if (!is_open) {
                json_open_object(w);
                is_open = true;
            }
            print_field(w, m, f);
        }
    }
    if (is_open) {
        json_close_object(w);
    }
    for (unsigned i = 0; i < d->n_fields && depth < 2 * LIMIT_TXN_DEPTH + 4; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (is_among(f->name, entered, sizeof(entered) / sizeof(entered[0]))) {
            enter(w, m, f, count, depth);
        }
    }
}

void audit_print_message(struct json_writer *w, const ProtobufCMessage *message)
{
    uint32_t count = 0;
    print_message(w, message, &count, 0);
}

/* --- transactions ----------------------------------------------------------------------------- */

static void print_span(struct json_writer *w, const struct kv_span *span)
{
    json_open_object(w);
    field_bytes(w, "key", span->key);
    if (span->kind == KV_SPAN_RANGE) {
        field_bytes(w, "range_end", span->end);
    } else if (span->kind == KV_SPAN_FROM) {
        field_bytes(w, "range_end", slice_of("", 1));
    }
    json_close_object(w);
}

static void print_txn(struct json_writer *w, const struct kv_txn *txn, uint32_t *count);

static void print_ops(struct json_writer *w, const struct kv_txn_ops *ops, uint32_t *count)
{
    for (size_t i = 0; i < ops->count && *count < LIMIT_AUDIT_TARGETS; i++) {
        const struct kv_txn_op *op = &ops->at[i];
        if (op->kind == KV_TXN_NESTED) {
            print_txn(w, op->nested, count);
        } else if (op->kind == KV_TXN_PUT && has_room(w, count)) {
            print_span(w, &(struct kv_span){.kind = KV_SPAN_KEY, .key = op->put.key});
        } else if (op->kind == KV_TXN_DELETE && has_room(w, count)) {
            print_span(w, &op->deletes.span);
        }
    }
}

static void print_txn(struct json_writer *w, const struct kv_txn *txn, uint32_t *count)
{
    print_ops(w, &txn->success, count);
    print_ops(w, &txn->failure, count);
}

void audit_print_txn(struct json_writer *w, const struct kv_txn *txn)
{
    uint32_t count = 0;
    print_txn(w, txn, &count);
}
