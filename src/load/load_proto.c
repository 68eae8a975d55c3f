#include "load/load_proto.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

void load_proto_put_number(struct buf *b, uint32_t field, uint64_t value)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_VARINT);
    put_varint(b, value);
}

void load_proto_put_bytes(struct buf *b, uint32_t field, struct slice bytes)
{
    put_varint(b, (uint64_t)field << 3 | WIRE_BYTES);
    put_bytes(b, bytes);
}

bool load_proto_next(struct reader *r, struct load_field *field)
{
    if (reader_left(r) == 0 || !reader_ok(r)) {
        return false;
    }
    uint64_t tag = get_varint(r);
    *field = (struct load_field){.number = (uint32_t)(tag >> 3)};
    switch (tag & 7) {
    case WIRE_VARINT:
        field->value = get_varint(r);
        break;
    case WIRE_64:
        field->value = get_u64(r);
        break;
    case WIRE_BYTES:
        field->bytes = get_bytes(r);
        break;
    case WIRE_32:
        field->value = get_u32(r);
        break;
    default:
        r->bad = true;
    }
    return reader_ok(r);
}
