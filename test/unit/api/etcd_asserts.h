/* etcd_asserts.h - calls of the etcd v3 API, as JSON and as gRPC, and what they are answered. */
#pragma once

#include "fake_grpc.h"
#include "rest_asserts.h"

#include "api/etcd_call.h"
#include "base/check.h"

#include <stdio.h>

/* What fake_node says of itself. */
#define HEADER_AT(revision)                                                                        \
    "\"header\":{\"cluster_id\":\"12370169555311111083\",\"member_id\":\"1\",\"revision\":"        \
    "\"" revision "\",\"raft_term\":\"3\"}"
#define ETCD_ERROR_TEXT(code, text)                                                                \
    "{\"error\":\"" text "\",\"code\":" code ",\"message\":\"" text "\",\"details\":[]}"

static inline int etcd_setup(void **state)
{
    int result = fake_setup(state);
    fake_node.status.id = 1;
    return result;
}

/* Ask the gateway, let the node take its turn, expect. */
static inline void post(const char *route, const char *body, int status, const char *answer)
{
    char target[128];
    snprintf(target, sizeof(target), "/v3%s", route);
    check((struct expect){"POST", target, NULL, body, status, answer});
}

/* The call has ended so. */
static inline void assert_ended(struct called *c, enum grpc_code code, const char *text)
{
    if (!c->done || c->code != code || strcmp(c->text, text) != 0) {
        fail_msg("done %d, code %d: %s, instead of %d: %s", c->done, c->code, c->text, code, text);
    }
}

/* A message that came back, for protobuf_c_message_free_unpacked. */
static inline void *message_of(const struct called *c, uint32_t number,
                               const ProtobufCMessageDescriptor *type)
{
    assert_true(number < c->message_count);
    struct slice bytes = buf_slice(&c->messages[number]);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, NULL, bytes.size, bytes.data);
    assert_non_null(m);
    return m;
}
