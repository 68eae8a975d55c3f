/* api/protobuf_wire.h - protobuf bytes of strangers into messages.
 *
 * libprotobuf-c reads whatever depth and number of fields it is given, on the stack and in memory.
 * Here both are counted before it does. */
#pragma once

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"

#include <protobuf-c/protobuf-c.h>

/* OK and a message in `arena`, which also holds copies of its bytes. INVALID: no such message;
 * TOO_LARGE: deeper than LIMIT_PROTOBUF_DEPTH, or more than LIMIT_PROTOBUF_FIELDS. */
enum status MUST_CHECK protobuf_read(const ProtobufCMessageDescriptor *type, struct slice bytes,
                                     struct arena *arena, ProtobufCMessage **message);
/* The same of bytes that were packed here, which may be any number of fields. NULL: no message. */
ProtobufCMessage *protobuf_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes,
                                  struct arena *arena);
