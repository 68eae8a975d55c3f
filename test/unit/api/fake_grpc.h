/* fake_grpc.h - net/grpc.h without connections, replaced at link time: calls that keep what they
 * are answered. For use beside fakes.h. */
#pragma once

#include "base/buf.h"
#include "net/grpc.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#define FAKE_MESSAGES_MAX 16

/* One call and what came back. */
struct called {
    struct grpc_stream stream;
    const void *path_note;
    struct http_header headers[2];
    struct buf messages[FAKE_MESSAGES_MAX];
    uint32_t message_count;
    const void *shared; /* where the bytes of the last shared message are */
    bool paused;
    bool full; /* the test says that it takes no more */
    bool done;
    bool is_unknown; /* grpc_finish_unknown */
    enum grpc_code code;
    char text[128];
};

/* Begin a call to the api; `name` and `value` are of a header, or NULL. */
struct called *call_begin_rpc(const char *path, const char *name, const char *value);
/* The client sends a message, or these bytes. Nothing happens when the call is done. */
void call_send(struct called *c, const ProtobufCMessage *message);
void call_send_bytes(struct called *c, struct slice bytes);
void call_half_close(struct called *c);
/* Begin, one message, and no more. */
struct called *call_rpc(const char *path, const ProtobufCMessage *request);
/* It was reset before its end. */
void call_reset(struct called *c);
void call_writable(struct called *c);
void call_forget(struct called *c);
