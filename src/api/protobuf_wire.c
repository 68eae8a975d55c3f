#include "api/protobuf_wire.h"

#include "base/codec.h"
#include "base/limits.h"

/* Of protobuf; libprotobuf-c is of two minds about 0. */
#define FIELD_NUMBER_MAX ((1u << 29) - 1)

struct count {
    unsigned fields; /* that may still come */
    bool too_large;
};

static bool count_fields(const ProtobufCMessageDescriptor *type, struct slice bytes, unsigned depth,
                         struct count *count);

/* One field's value. False: it is none, or too much. */
static bool count_value(const ProtobufCMessageDescriptor *type, uint64_t tag, struct reader *r,
                        unsigned depth, struct count *count)
{
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        get_varint(r);
        return reader_ok(r);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        get_raw(r, 8);
        return reader_ok(r);
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        get_raw(r, 4);
        return reader_ok(r);
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        break;
    default:
        return false;
    }
    struct slice inner = get_bytes(r);
    if (!reader_ok(r)) {
        return false;
    }
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
    if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return true;
    }
    return count_fields(field->descriptor, inner, depth + 1, count);
}

static bool count_fields(const ProtobufCMessageDescriptor *type, struct slice bytes, unsigned depth,
                         struct count *count)
{
    struct reader r = reader_of(bytes);
    if (depth > LIMIT_PROTOBUF_DEPTH) {
        count->too_large = true;
        return false;
    }
    while (reader_left(&r) > 0) {
        if (count->fields-- == 0) {
            count->too_large = true;
            return false;
        }
        uint64_t tag = get_varint(&r);
        if (!reader_ok(&r) || tag >> 3 == 0 || tag >> 3 > FIELD_NUMBER_MAX ||
            !count_value(type, tag, &r, depth, count)) {
            return false;
        }
    }
    return true;
}

static void *allocate(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

/* It goes with the arena. */
static void release(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

enum status protobuf_read(const ProtobufCMessageDescriptor *type, struct slice bytes,
                          struct arena *arena, ProtobufCMessage **message)
{
    struct count count = {.fields = LIMIT_PROTOBUF_FIELDS};
    if (!count_fields(type, bytes, 1, &count)) {
        return count.too_large ? STATUS_TOO_LARGE : STATUS_INVALID;
    }
    *message = protobuf_unpack(type, bytes, arena);
    return *message != NULL ? STATUS_OK : STATUS_INVALID;
}

ProtobufCMessage *protobuf_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes,
                                  struct arena *arena)
{
    ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
    return protobuf_c_message_unpack(type, &allocator, bytes.size, bytes.data);
}
