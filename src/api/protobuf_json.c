#include "api/protobuf_json.h"

#include "base/check.h"
#include "base/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_UINT32:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
        return sizeof(int);
    case PROTOBUF_C_TYPE_STRING:
        return sizeof(char *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(ProtobufCMessage *);
    default:
        CHECK(!"a type that none of our messages has");
    }
}

static const void *place_of(const ProtobufCMessage *message, unsigned offset)
{
    return (const char *)message + offset;
}

static void *own_place_of(ProtobufCMessage *message, unsigned offset)
{
    return (char *)message + offset;
}

/* --- printing --------------------------------------------------------------------------------- */

static void print_enum(struct json_writer *w, const ProtobufCEnumDescriptor *type, int number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    if (value != NULL) {
        json_write_string(w, slice_str(value->name));
        return;
    }
    char text[16];
    snprintf(text, sizeof(text), "%d", number);
    json_write_raw(w, slice_str(text));
}

static void print_value(struct json_writer *w, const ProtobufCFieldDescriptor *field,
                        const void *at)
{
    char number[24];
    const ProtobufCBinaryData *bytes = at;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        snprintf(number, sizeof(number), "%" PRId64, *(const int64_t *)at);
        json_write_string(w, slice_str(number));
        return;
    case PROTOBUF_C_TYPE_UINT64:
        snprintf(number, sizeof(number), "%" PRIu64, *(const uint64_t *)at);
        json_write_string(w, slice_str(number));
        return;
    case PROTOBUF_C_TYPE_UINT32:
        json_write_u64(w, *(const uint32_t *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        json_write_bool(w, *(const protobuf_c_boolean *)at);
        return;
    case PROTOBUF_C_TYPE_ENUM:
        print_enum(w, field->descriptor, *(const int *)at);
        return;
    case PROTOBUF_C_TYPE_STRING:
        json_write_string(w, slice_str(*(char *const *)at));
        return;
    case PROTOBUF_C_TYPE_BYTES:
        json_write_base64(w, slice_of(bytes->data, bytes->len));
        return;
    default:
        protobuf_json_print(w, *(ProtobufCMessage *const *)at);
    }
}

/* What proto3 does not distinguish from absent. */
static bool is_zero(const ProtobufCFieldDescriptor *field, const void *at)
{
    static const uint8_t zeros[sizeof(uint64_t)];
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)at == NULL || (*(char *const *)at)[0] == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(ProtobufCMessage *const *)at == NULL;
    default:
        return memcmp(at, zeros, size_of(field->type)) == 0;
    }
}

static void print_list(struct json_writer *w, const ProtobufCMessage *message,
                       const ProtobufCFieldDescriptor *field)
{
    size_t count = *(const size_t *)place_of(message, field->quantifier_offset);
    const char *items = *(char *const *)place_of(message, field->offset);
    if (count == 0) {
        return;
    }
    json_write_name(w, field->name);
    json_open_array(w);
    for (size_t i = 0; i < count; i++) {
        print_value(w, field, items + i * size_of(field->type));
    }
    json_close_array(w);
}

static bool is_chosen(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    return *(const uint32_t *)place_of(message, field->quantifier_offset) == field->id;
}

void protobuf_json_print(struct json_writer *w, const ProtobufCMessage *message)
{
    json_open_object(w);
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const void *at = place_of(message, field->offset);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            print_list(w, message, field);
            continue;
        }
        bool is_oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
        if (is_oneof ? is_chosen(message, field) : !is_zero(field, at)) {
            json_write_name(w, field->name);
            print_value(w, field, at);
        }
    }
    json_close_object(w);
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading {
    struct arena *arena;
    char *why;
    bool too_large;
};

static bool read_message(struct reading *r, const ProtobufCMessageDescriptor *type, json_t *from,
                         unsigned depth, ProtobufCMessage **message);

static const char *kind_of(const json_t *value)
{
    static const char *const kinds[] = {
        [JSON_OBJECT] = "object",  [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "bool",
        [JSON_FALSE] = "bool",     [JSON_NULL] = "null"};
    return kinds[json_typeof(value)];
}

static bool refuse(struct reading *r, const json_t *value, const ProtobufCFieldDescriptor *field,
                   const char *expected)
{
    snprintf(r->why, PROTOBUF_JSON_WHY_SIZE, "json: cannot unmarshal %s into field %s of type %s",
             kind_of(value), field->name, expected);
    return false;
}

/* 0 to 63, or -1. */
static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : (c == '/' || c == '_' ? 63 : -1);
}

static bool read_base64(struct reading *r, struct slice text, ProtobufCBinaryData *bytes)
{
    size_t size = text.size;
    for (int i = 0; i < 2 && size > 0 && text.size % 4 == 0 && text.data[size - 1] == '='; i++) {
        size--;
    }
    uint8_t *to = arena_alloc(r->arena, size / 4 * 3 + 3);
    bytes->data = to;
    uint32_t bits = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0 || (size % 4 == 1 && i == size - 1)) {
            snprintf(r->why, PROTOBUF_JSON_WHY_SIZE, "illegal base64 data at input byte %zu", i);
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) {
            *to++ = (uint8_t)(bits >> (6 - i % 4 * 2));
        }
    }
    bytes->len = (size_t)(to - bytes->data);
    return true;
}

/* The digits of a string, or a number. */
static bool read_number(struct reading *r, const ProtobufCFieldDescriptor *field, json_t *value,
                        int64_t *number)
{
    bool is_signed = field->type == PROTOBUF_C_TYPE_INT64;
    const char *expected = is_signed ? "int64" : "uint64";
    if (json_is_integer(value) && (is_signed || json_integer_value(value) >= 0)) {
        *number = json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || (text[0] != '-' && (text[0] < '0' || text[0] > '9')) ||
        (text[0] == '-' && !is_signed)) {
        return refuse(r, value, field, expected);
    }
    char *end = NULL;
    errno = 0;
    *number = is_signed ? strtoll(text, &end, 10) : (int64_t)strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || strcmp(text, "-") == 0) {
        return refuse(r, value, field, expected);
    }
    return true;
}

static bool read_enum(struct reading *r, const ProtobufCFieldDescriptor *field, json_t *value,
                      int *number)
{
    const ProtobufCEnumDescriptor *type = field->descriptor;
    if (json_is_integer(value) && json_integer_value(value) >= INT32_MIN &&
        json_integer_value(value) <= INT32_MAX) {
        *number = (int)json_integer_value(value);
        return true;
    }
    if (!json_is_string(value)) {
        return refuse(r, value, field, type->name);
    }
    const ProtobufCEnumValue *known =
        protobuf_c_enum_descriptor_get_value_by_name(type, json_string_value(value));
    if (known == NULL) {
        snprintf(r->why, PROTOBUF_JSON_WHY_SIZE, "unknown value \"%.40s\" for enum %s",
                 json_string_value(value), type->name);
        return false;
    }
    *number = known->value;
    return true;
}

static bool read_value(struct reading *r, const ProtobufCFieldDescriptor *field, json_t *value,
                       unsigned depth, void *at)
{
    int64_t number = 0;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return read_number(r, field, value, at);
    case PROTOBUF_C_TYPE_UINT32:
        if (!read_number(r, field, value, &number) || number < 0 || number > UINT32_MAX) {
            return refuse(r, value, field, "uint32");
        }
        *(uint32_t *)at = (uint32_t)number;
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = json_is_true(value);
        return json_is_boolean(value) || refuse(r, value, field, "bool");
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, field, value, at);
    case PROTOBUF_C_TYPE_STRING:
        if (!json_is_string(value)) {
            return refuse(r, value, field, "string");
        }
        *(char **)at =
            arena_text(r->arena, slice_of(json_string_value(value), json_string_length(value)));
        return true;
    case PROTOBUF_C_TYPE_BYTES:
        if (!json_is_string(value)) {
            return refuse(r, value, field, "bytes");
        }
        return read_base64(r, slice_of(json_string_value(value), json_string_length(value)), at);
    default:
        if (!json_is_object(value)) {
            return refuse(r, value, field, "message");
        }
        return read_message(r, field->descriptor, value, depth + 1, at);
    }
}

static bool read_list(struct reading *r, const ProtobufCFieldDescriptor *field, json_t *value,
                      unsigned depth, ProtobufCMessage *message)
{
    if (!json_is_array(value)) {
        return refuse(r, value, field, "list");
    }
    size_t count = json_array_size(value);
    size_t size = size_of(field->type);
    char *items = arena_calloc(r->arena, count, size);
    for (size_t i = 0; i < count; i++) {
        if (!read_value(r, field, json_array_get(value, i), depth, items + i * size)) {
            return false;
        }
    }
    *(size_t *)own_place_of(message, field->quantifier_offset) = count;
    *(void **)own_place_of(message, field->offset) = items;
    return true;
}

/* "range_end" is also known as "rangeEnd". */
static bool is_named(const ProtobufCFieldDescriptor *field, const char *name)
{
    const char *own = field->name;
    if (strcmp(own, name) == 0) {
        return true;
    }
    for (; *own != '\0'; own++, name++) {
        bool raised = *own == '_';
        own += raised ? 1 : 0;
        char expected = raised && *own >= 'a' && *own <= 'z' ? (char)(*own - 'a' + 'A') : *own;
        if (*name != expected) {
            return false;
        }
    }
    return *name == '\0';
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  const char *name)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        if (is_named(&type->fields[i], name)) {
            return &type->fields[i];
        }
    }
    return NULL;
}

static bool read_message(struct reading *r, const ProtobufCMessageDescriptor *type, json_t *from,
                         unsigned depth, ProtobufCMessage **message)
{
    if (depth > LIMIT_PROTOBUF_DEPTH) {
        r->too_large = true;
        return false;
    }
    *message = arena_alloc(r->arena, type->sizeof_message);
    protobuf_c_message_init(type, *message);
    const char *name;
    json_t *value;
    json_object_foreach(from, name, value)
    {
        const ProtobufCFieldDescriptor *field = find_field(type, name);
        if (field == NULL || json_is_null(value)) {
            continue;
        }
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            if (!read_list(r, field, value, depth, *message)) {
                return false;
            }
            continue;
        }
        if (!read_value(r, field, value, depth, own_place_of(*message, field->offset))) {
            return false;
        }
        if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            *(uint32_t *)own_place_of(*message, field->quantifier_offset) = field->id;
        }
    }
    return true;
}

/* What makes values, whose number decides how much memory the parser takes. Of the first one of the
 * text only: what follows is looked at when its turn has come, and not again and again. */
static bool has_too_many_marks(struct slice text)
{
    size_t marks = 0;
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size && marks <= LIMIT_PROTOBUF_JSON_MARKS; i++) {
        uint8_t c = text.data[i];
        if (in_string) {
            i += c == '\\' ? 1 : 0;
            in_string = c != '"';
        } else {
            bool opens = c == '{' || c == '[';
            in_string = c == '"';
            marks += opens || c == ',' || c == ':' ? 1 : 0;
            depth += opens ? 1 : 0;
            depth -= (c == '}' || c == ']') && depth > 0 ? 1 : 0;
        }
        if (depth == 0 && !in_string && c > ' ') {
            break;
        }
    }
    return marks > LIMIT_PROTOBUF_JSON_MARKS;
}

static enum status parse(struct slice text, json_t **root, size_t *used,
                         char why[PROTOBUF_JSON_WHY_SIZE])
{
    json_error_t error;
    *root = json_loadb((const char *)text.data, text.size, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK,
                       &error);
    if (*root == NULL) {
        bool is_end = json_error_code(&error) == json_error_premature_end_of_input;
        snprintf(why, PROTOBUF_JSON_WHY_SIZE, "%s", is_end ? "unexpected EOF" : error.text);
        return STATUS_INVALID;
    }
    *used = (size_t)error.position;
    if (!json_is_object(*root) && !json_is_null(*root)) {
        snprintf(why, PROTOBUF_JSON_WHY_SIZE, "json: cannot unmarshal %s into a message",
                 kind_of(*root));
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

enum status protobuf_json_read(const ProtobufCMessageDescriptor *type, struct slice text,
                               struct arena *arena, ProtobufCMessage **message, size_t *used,
                               char why[PROTOBUF_JSON_WHY_SIZE])
{
    if (has_too_many_marks(text)) {
        snprintf(why, PROTOBUF_JSON_WHY_SIZE, "too many values");
        return STATUS_TOO_LARGE;
    }
    struct reading r = {.arena = arena, .why = why};
    json_t *root = NULL;
    enum status status = parse(text, &root, used, why);
    if (status == STATUS_OK && !read_message(&r, type, root, 1, message)) {
        status = r.too_large ? STATUS_TOO_LARGE : STATUS_INVALID;
    }
    if (r.too_large) {
        snprintf(why, PROTOBUF_JSON_WHY_SIZE, "nested too deep");
    }
    json_decref(root);
    return status;
}
