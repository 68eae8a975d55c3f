/* etcd_streams.h - messages of gRPC calls written as JSON, for tests of streams. */
#pragma once

#include <stdio.h>

#include "etcd_asserts.h"

#include "api/protobuf_json.h"
#include "base/mem.h"
#include "kv/kv_txn.h"

/* The header that every message begins with, and what follows it. */
#define AT(revision, rest) "{" HEADER_AT(revision) rest "}"

static inline void say(struct called *c, const ProtobufCMessageDescriptor *type, const char *json)
{
    struct arena arena = {0};
    ProtobufCMessage *message = NULL;
    size_t used;
    char why[PROTOBUF_JSON_WHY_SIZE];
    assert_int_equal(protobuf_json_read(type, slice_str(json), &arena, &message, &used, why),
                     STATUS_OK);
    call_send(c, message);
    arena_deinit(&arena);
}

/* One call with one message. */
static inline struct called *call_json(const char *path, const ProtobufCMessageDescriptor *type,
                                       const char *json)
{
    struct called *c = call_begin_rpc(path, NULL, NULL);
    say(c, type, json);
    call_half_close(c);
    return c;
}

/* Message `number` reads so. */
static inline void assert_message(const struct called *c, uint32_t number,
                                  const ProtobufCMessageDescriptor *type, const char *json)
{
    struct buf text = {0};
    struct json_writer w = {.out = &text};
    ProtobufCMessage *message = message_of(c, number, type);
    protobuf_json_print(&w, message);
    assert_same("message", &text, json);
    protobuf_c_message_free_unpacked(message, NULL);
    buf_deinit(&text);
}

/* The node tells watches what has changed. */
static inline void tell_watches(void)
{
    while (kv_watch_hub_step(fake_node.watches)) {
    }
}

static inline void apply(const struct kv_command *command)
{
    struct kv_result result;
    kv_apply(fake_node.kv, command, &result);
    assert_int_equal(result.status, STATUS_OK);
}

static inline void drop(const char *key)
{
    apply(&(struct kv_command){.op = KV_DELETE, .key = slice_str(key)});
}
