/* api/protobuf_json.h - messages as JSON and back, by their descriptors: what the gateway speaks.
 *
 * As protobuf's JSON mapping has it, with names as they are in the .proto files: bytes are base64,
 * 64-bit integers are strings, enums go by name, and what is zero is left out. More is understood
 * than is said: names in camelCase, integers as numbers, enums as numbers, base64 of either
 * alphabet with or without padding; null is as good as absent, and a field that is not known is
 * ignored, as etcd's gateway does. */
#pragma once

#include "api/json_writer.h"
#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"

#include <protobuf-c/protobuf-c.h>

#define PROTOBUF_JSON_WHY_SIZE 160

/* The message as one JSON object. */
void protobuf_json_print(struct json_writer *w, const ProtobufCMessage *message);

/* The first JSON text of `text`, an object or null, as a message in `arena` that refers to nothing
 * else; `used` bytes belong to it, and what follows is not looked at. INVALID, and a line for the
 * client in `why`: it is no such message; TOO_LARGE: nested deeper than LIMIT_PROTOBUF_DEPTH, or of
 * more than LIMIT_PROTOBUF_JSON_MARKS. */
enum status MUST_CHECK protobuf_json_read(const ProtobufCMessageDescriptor *type, struct slice text,
                                          struct arena *arena, ProtobufCMessage **message,
                                          size_t *used, char why[PROTOBUF_JSON_WHY_SIZE]);
