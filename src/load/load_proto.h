/* load/load_proto.h - the few fields of protobuf that a load needs, written and read in place: a
 * generator that spends as much on a message as the server does measures itself. */
#pragma once

#include "base/codec.h"

struct load_field {
    uint32_t number;
    uint64_t value;     /* of a number */
    struct slice bytes; /* of a string or a message; borrowed */
};

void load_proto_put_number(struct buf *b, uint32_t field, uint64_t value);
void load_proto_put_bytes(struct buf *b, uint32_t field, struct slice bytes);
/* The next field. False: there is none, or the bytes are none of protobuf; reader_done tells
 * which. */
bool load_proto_next(struct reader *r, struct load_field *field);
